"""Bars in local files: one file per symbol and size, or one long file for many symbols."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quant_trading.data.bar_files import BarFile, open_bar_file, why_no_bars
from quant_trading.data.files import replace_file
from quant_trading.data.store_places import ACTIONS_FILE, STORE_FILE
from quant_trading.domain.bar_sizes import BAR_SIZES, BarSize, Duration, parse_bar_size, parse_duration
from quant_trading.domain.bars import BarColumns, BarPanel, no_bars, panel_from_columns
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.refdata.sessions import exchange_days

if TYPE_CHECKING:
    from quant_trading.data.bar_store import BarStore

__all__ = ["LocalBars", "SourceFile", "available", "load_panel", "provenance", "save_bars"]

_TIMEFRAMES = frozenset(size.timeframe for size in BAR_SIZES)
_EPOCH_DAY = date(1970, 1, 1).toordinal()

OnError = Callable[[str, DataGap], None]


class LocalBars:
    """A `BarSource` over a folder, over one long file, or over a bar store; its now is the last bar.

    For a symbol and size it takes the first of `<SYMBOL>_<timeframe>.csv`, `<SYMBOL>_<timeframe>_bars_macd.csv`
    and `<SYMBOL>_<timeframe>.parquet`, then looks into the CSV and Parquet files with a `symbol` column.
    """

    def __init__(self, data_dir: Path) -> None:
        self._place = data_dir

    def bars(self, symbols: Sequence[str], bar_size: str, duration: str, *, skip_missing: bool = False) -> BarPanel:
        """Return the bars of `duration` up to the last one; see `load_panel`."""
        return load_panel(self._place, symbols, bar_size, duration=duration, skip_missing=skip_missing)


def load_panel(
    data_dir: Path,
    symbols: Sequence[str],
    bar_size: str,
    *,
    duration: str | None = None,
    start: date | None = None,
    end: date | None = None,
    skip_missing: bool = False,
    on_error: OnError | None = None,
) -> BarPanel:
    """Return the bars of `symbols` on one clock; a bar that one symbol lacks is NaN.

    Daily bars span their session, so half days end early. Intraday bars end `bar_size` after their
    start, or with the session.

    Args:
        data_dir: folder of bar files, one long file, or a bar store (its TRADES).
        symbols: the columns, in this order.
        bar_size: IBKR's words or a timeframe, up to one day.
        duration: IBKR's words, back from the last bar of `end`: N D are sessions, W, M and Y the calendar.
        start, end: first and last exchange date, both included.
        skip_missing: True makes a symbol without bars a column of NaN, as long as another has some.
        on_error: called with a symbol and what is wrong with its bars; the symbol is then left out of the panel
            and the others go on. Without it the first unsound or missing file stops everything.

    Raises:
        ConfigError: when the place is missing or several files hold the same symbol.
        DataGap: when symbols or bars are missing or a file is unsound, by file and line.
        UsageError: when bar size or duration is none.
    """
    size = parse_bar_size(bar_size)
    reach = parse_duration(duration) if duration is not None else None
    if size.seconds > 86_400:
        raise DataGap(f"local files hold bars of at most 1 day, not {size.words}; ask for 1 day")
    if not symbols:
        raise ConfigError("no symbols were named; list at least one under universe")
    if len(set(symbols)) < len(symbols):
        twice = next(symbol for i, symbol in enumerate(symbols) if symbol in symbols[:i])
        raise ConfigError(f"symbol {twice} is named twice; name it once")
    panel = _between(_whole_panel(data_dir, symbols, size, skip_missing, on_error), start, end)
    symbols = panel.symbols
    if reach is not None and len(panel):
        panel = panel.rows(_first_of(panel, reach), len(panel))
    empty = [symbol for j, symbol in enumerate(symbols) if not np.any(panel.close[:, j] == panel.close[:, j])]
    if empty and (not skip_missing or len(empty) == len(symbols)):
        span = " ".join(
            part
            for part in (duration and f"within {duration}", start and f"from {start}", end and f"up to {end}")
            if part
        )
        hole = DataGap(
            f"{data_dir}: no bars of {', '.join(empty)} {span or 'in the files'}; widen the span or leave them out"
        )
        if on_error is None or len(empty) == len(symbols):
            raise hole
        for symbol in empty:
            on_error(symbol, hole)
        return _without(panel, empty)
    if empty:
        import logging

        logging.getLogger(__name__).warning("%s: no bars of %s; they are skipped", data_dir, ", ".join(empty))
    return panel


def _whole_panel(
    place: Path, symbols: Sequence[str], size: BarSize, skip_missing: bool, on_error: OnError | None
) -> BarPanel:
    """Return all bars there are, without the symbols that `on_error` was told of."""
    store = _store_at(place)
    if store is not None:
        return store.panel(symbols, size.words, skip_missing=skip_missing, on_error=on_error)
    bars, remaining = _bars_of(place, symbols, size, skip_missing, on_error)
    return panel_from_columns(remaining, size.words, [bars.get(symbol, no_bars()) for symbol in remaining])


def _store_at(place: Path) -> "BarStore | None":
    """Return the bar store that a folder is, None when it is a plain one."""
    if not (place / STORE_FILE).is_file():
        return None
    from quant_trading.data.bar_store import BarStore  # plain folders do without it

    return BarStore(place)


def _bars_of(
    place: Path, symbols: Sequence[str], size: BarSize, skip_missing: bool, on_error: OnError | None
) -> tuple[dict[str, BarColumns], list[str]]:
    """Return the columns that were found, and the symbols that remain: all but the refused ones."""
    found = _find(place, symbols, size, on_error)
    refused = [symbol for symbol in symbols if isinstance(found.get(symbol), DataGap)]
    bars = {symbol: columns for symbol, columns in found.items() if isinstance(columns, BarColumns)}
    lacking = [symbol for symbol in symbols if symbol not in found]
    if lacking and (not skip_missing or not bars):
        hole = DataGap(
            f"{place}: no bars of {size.words} of {', '.join(lacking)}; expected {lacking[0]}_{size.timeframe}.csv "
            "or a file with a symbol column; fetch them (docs/backtest.md) or leave them out"
        )
        if on_error is None or not bars:
            raise hole
        for symbol in lacking:
            on_error(symbol, hole)
        refused += lacking
    remaining = [symbol for symbol in symbols if symbol not in refused]
    if not remaining:
        raise DataGap(f"{place}: no symbol has sound bars of {size.words}; mend the files that were named")
    return bars, remaining


def _without(panel: BarPanel, symbols: Sequence[str]) -> BarPanel:
    keep = [j for j, symbol in enumerate(panel.symbols) if symbol not in symbols]
    prices = (panel.open, panel.high, panel.low, panel.close, panel.volume)
    names = tuple(panel.symbols[j] for j in keep)
    return BarPanel(names, panel.bar_size, panel.start_ns, panel.end_ns, *(array[:, keep] for array in prices))


def available(data_dir: Path, bar_size: str) -> list[str]:
    """Return the symbols that have bars of this size in a folder (or one long file), in alphabetical order.

    A file that cannot be read is listed by its name, so that loading it names the fault and the others go on.

    Raises:
        ConfigError: when the place is missing.
        DataGap: when a file cannot be read whose name tells no symbol.
        UsageError: when the bar size is none.
    """
    size = parse_bar_size(bar_size)
    _check_place(data_dir)
    store = _store_at(data_dir)
    if store is not None:
        return store.symbols(bar_size)
    if data_dir.is_file():
        opened = open_bar_file(data_dir)
        return sorted(opened.symbols()) if opened is not None and opened.is_long else []
    # A file of one symbol has no symbol column.
    found = {symbol for path in data_dir.iterdir() if (symbol := _symbol_of(path, size)) and not _is_long(path)}
    files, faults = _long_files(data_dir, size)
    if faults:
        raise faults[0]
    for file in files:
        try:
            found.update(file.symbols())
        except DataGap:
            symbol = _symbol_of(file.path, size)
            if symbol is None:
                raise
            found.add(symbol)
    return sorted(found)


def _symbol_of(path: Path, size: BarSize) -> str | None:
    """Return the symbol that the name of a bar file tells, None when it tells none."""
    for ending in _ENDINGS:
        symbol = path.name.removesuffix(f"_{size.timeframe}{ending}")
        if symbol != path.name:
            return symbol if re.fullmatch(_SYMBOL, symbol) else None
    return None


def _is_long(path: Path) -> bool:
    try:
        opened = open_bar_file(path)
    except DataGap:
        return False
    return opened is not None and opened.is_long


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that bars were read from, so that a result can name its data for good.

    Attributes:
        name: file name without its folder; of a bar store with its folders.
        sha256: of its bytes, hexadecimal.
        size: bytes.
        symbols: which of the symbols asked for it holds.
    """

    name: str
    sha256: str
    size: int
    symbols: tuple[str, ...]


def provenance(data_dir: Path, symbols: Sequence[str], bar_size: str) -> tuple[SourceFile, ...]:
    """Return the files that `load_panel` reads for `symbols`, with their hashes; raises as it does."""
    import hashlib  # brings in OpenSSL

    size = parse_bar_size(bar_size)
    used: dict[Path, list[str]] = {}
    store = _store_at(data_dir)
    if store is not None:
        for symbol in symbols:
            used.update({path: [symbol] for path in store.files(symbol, bar_size)})
        if used and (data_dir / ACTIONS_FILE).is_file():
            used[data_dir / ACTIONS_FILE] = list(symbols)
    else:
        single, holders = _files_of(data_dir, symbols, size)
        for symbol in symbols:
            path = single.get(symbol) or (holders[symbol].path if symbol in holders else None)
            if path is not None:
                used.setdefault(path, []).append(symbol)
    sources = []
    for path, held in used.items():
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = path.name if store is None else path.relative_to(data_dir).as_posix()
        sources.append(SourceFile(name, digest, path.stat().st_size, tuple(held)))
    return tuple(sources)


def save_bars(data_dir: Path, panel: BarPanel) -> list[Path]:
    """Write one `<SYMBOL>_<timeframe>.csv` per symbol and return their paths; missing bars are left out.

    Daily files have a `date` column, intraday files a `timestamp` in UTC. Prices are written with the
    fewest digits that read back the same.

    Raises:
        ConfigError: when the place cannot be written or a symbol makes no file name.
    """
    size = parse_bar_size(panel.bar_size)
    if size.is_intraday:
        heading = "timestamp"
        stamps = [f"{np.datetime64(ns, 'ns').astype('datetime64[s]')}Z" for ns in panel.start_ns.tolist()]
    else:
        heading = "date"
        stamps = [date.fromordinal(day + _EPOCH_DAY).isoformat() for day in exchange_days(panel.start_ns).tolist()]
    paths = []
    for j, symbol in enumerate(panel.symbols):
        lines = [f"{heading},open,high,low,close,volume"]
        prices = zip(panel.open[:, j].tolist(), panel.high[:, j].tolist(), panel.low[:, j].tolist(),
                     panel.close[:, j].tolist(), panel.volume[:, j].tolist(), strict=True)  # fmt: skip
        for stamp, (*ohlc, volume) in zip(stamps, prices, strict=True):
            if ohlc[3] == ohlc[3]:
                shares = int(volume) if volume.is_integer() else volume
                lines.append(",".join((stamp, *map(repr, ohlc), repr(shares))))
        content = "\n".join((*lines, "")).encode()
        paths.append(replace_file(data_dir / f"{_stem(symbol, size)}.csv", content))
    return paths


_ENDINGS = ("_bars_macd.csv", ".csv", ".parquet")
_SYMBOL = r"[A-Za-z0-9][A-Za-z0-9 .^=-]*"


def _stem(symbol: str, size: BarSize) -> str:
    if not re.fullmatch(_SYMBOL, symbol):
        raise ConfigError(f"symbol {symbol!r} makes no file name; write letters, digits, dots, dashes and spaces only")
    return f"{symbol}_{size.timeframe}"


def _check_place(place: Path) -> None:
    if not place.exists():
        raise ConfigError(
            f"data folder {place} does not exist; name one that does, or fetch bars (trade.py: --ibkr; "
            "docs/backtest.md)"
        )


def _files_of(place: Path, symbols: Sequence[str], size: BarSize) -> tuple[dict[str, Path], dict[str, BarFile]]:
    """Return the file of each symbol that has one to itself, and the long file of each other that is in one."""
    _check_place(place)
    single: dict[str, Path] = {}
    faults: list[DataGap] = []
    if place.is_file():
        opened = open_bar_file(place)
        if opened is None or not opened.is_long:
            raise ConfigError(
                f"{place} lacks one of the columns symbol, date or timestamp, open, high, low, close, volume; "
                "name the folder of a file that holds one symbol"
            )
        long_files = [opened]
    else:
        for symbol in symbols:
            stem = _stem(symbol, size)
            names = (f"{stem}.csv", f"{stem}_bars_macd.csv", f"{stem}.parquet")
            path = next((place / name for name in names if (place / name).is_file()), None)
            if path is not None:
                single[symbol] = path
        long_files, faults = _long_files(place, size) if len(single) < len(symbols) else ([], faults)
    missing = [symbol for symbol in symbols if symbol not in single]
    holders: dict[str, BarFile] = {}
    for file in long_files if missing else ():
        for symbol in file.symbols().intersection(missing):
            if symbol in holders:
                raise ConfigError(
                    f"{symbol} is in {holders[symbol].path} and in {file.path.name}; name the file instead of "
                    "the folder"
                )
            holders[symbol] = file
    if faults and any(symbol not in holders for symbol in missing):
        raise faults[0]  # it may be what holds them
    return single, holders


def _find(
    place: Path, symbols: Sequence[str], size: BarSize, on_error: OnError | None
) -> dict[str, BarColumns | DataGap]:
    """Return the columns of each symbol that has any; with `on_error` what is wrong with those that are unsound."""
    single, holders = _files_of(place, symbols, size)
    found: dict[str, BarColumns | DataGap] = {}

    for symbol, path in single.items():
        try:
            found[symbol] = _columns_of_file(path, size)
        except DataGap as error:
            if on_error is None:
                raise
            found[symbol] = error
            on_error(symbol, error)
    for file in {id(file): file for file in holders.values()}.values():
        wanted = [symbol for symbol in symbols if holders.get(symbol) is file]
        if on_error is None:
            found.update(file.columns_of(wanted, size))
        else:  # one unsound symbol of a long file must not take the others with it
            found.update(_each_of(file, wanted, size, on_error))
    return found


def _each_of(
    file: BarFile, symbols: Sequence[str], size: BarSize, on_error: OnError
) -> dict[str, BarColumns | DataGap]:
    try:
        return dict(file.columns_of(symbols, size))
    except DataGap:
        found: dict[str, BarColumns | DataGap] = {}
        for symbol in symbols:
            try:
                found.update(file.columns_of([symbol], size))
            except DataGap as error:
                found[symbol] = error
                on_error(symbol, error)
        return found


def _columns_of_file(path: Path, size: BarSize) -> BarColumns:
    opened = open_bar_file(path)
    if opened is None:
        raise why_no_bars(path)
    return opened.columns(size)


def _long_files(folder: Path, size: BarSize) -> tuple[list[BarFile], list[DataGap]]:
    """Return the files with a symbol column that may hold bars of `size`, and what is wrong with unreadable ones.

    A file that its name gives to one symbol is left to that symbol, whatever is wrong with it.
    """
    files: list[BarFile] = []
    faults: list[DataGap] = []
    for path in sorted((*folder.glob("*.parquet"), *folder.glob("*.csv"))):
        named = _TIMEFRAMES.intersection(re.split(r"[_. -]", path.stem))
        if named and size.timeframe not in named:
            continue
        try:
            opened = open_bar_file(path)
        except DataGap as error:
            if _symbol_of(path, size) is None:
                faults.append(error)
            continue
        if opened is not None and opened.is_long and (opened.time == "date") != size.is_intraday:
            files.append(opened)
    return files, faults


def _between(panel: BarPanel, start: date | None, end: date | None) -> BarPanel:
    if start is None and end is None:
        return panel
    days = exchange_days(panel.start_ns) + _EPOCH_DAY
    first = 0 if start is None else int(np.searchsorted(days, start.toordinal(), side="left"))
    stop = len(days) if end is None else int(np.searchsorted(days, end.toordinal(), side="right"))
    return panel.rows(first, max(first, stop))


def _first_of(panel: BarPanel, reach: Duration) -> int:
    """Return the first bar that a request of `reach` made at the end of the last bar is answered with."""
    if reach.unit == "S":
        begin = int(panel.end_ns[-1]) - reach.count * 1_000_000_000
        return int(np.searchsorted(panel.start_ns, begin, side="left"))
    days = exchange_days(panel.start_ns) + _EPOCH_DAY
    if reach.unit == "D":
        sessions = days[np.flatnonzero(np.diff(days, prepend=-1))]
        return int(np.searchsorted(days, sessions[max(len(sessions) - reach.count, 0)], side="left"))
    cut = reach.day_before(date.fromordinal(int(days[-1]))).toordinal()
    return int(np.searchsorted(days, cut, side="right"))
