"""Bars in local files: one file per symbol and size, or one long file for many symbols."""

import logging
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np

from quant_trading.data.bar_files import BarFile, open_bar_file
from quant_trading.data.files import replace_file
from quant_trading.domain.bar_sizes import BAR_SIZES, BarSize, Duration, parse_bar_size, parse_duration
from quant_trading.domain.bars import BarColumns, BarPanel, no_bars, panel_from_columns
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.refdata.sessions import exchange_date

__all__ = ["LocalBars", "load_panel", "save_bars"]

_log = logging.getLogger(__name__)
_TIMEFRAMES = frozenset(size.timeframe for size in BAR_SIZES)


class LocalBars:
    """A `BarSource` over a folder, or over one long file; its now is the last bar.

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
) -> BarPanel:
    """Return the bars of `symbols` on one clock; a bar that one symbol lacks is NaN.

    Daily bars span their session, so half days end early. Intraday bars end `bar_size` after their
    start, or with the session.

    Args:
        data_dir: folder of bar files, or one long file.
        symbols: the columns, in this order.
        bar_size: IBKR's words or a timeframe, up to one day.
        duration: IBKR's words, back from the last bar of `end`: N D are sessions, W, M and Y the calendar.
        start, end: first and last exchange date, both included.
        skip_missing: True makes a symbol without bars a column of NaN, as long as another has some.

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
    found = _find(data_dir, symbols, size)
    lacking = [symbol for symbol in symbols if symbol not in found]
    if lacking and (not skip_missing or not found):
        raise DataGap(
            f"{data_dir}: no bars of {size.words} of {', '.join(lacking)}; expected {lacking[0]}_{size.timeframe}.csv "
            "or a file with a symbol column; fetch them with --ibkr or leave them out"
        )
    panel = panel_from_columns(symbols, size.words, [found.get(symbol, no_bars()) for symbol in symbols])
    panel = _between(panel, start, end)
    if reach is not None and len(panel):
        panel = panel.rows(_first_of(panel, reach), len(panel))
    empty = [symbol for j, symbol in enumerate(symbols) if not np.any(panel.close[:, j] == panel.close[:, j])]
    if empty and (not skip_missing or len(empty) == len(symbols)):
        span = " ".join(str(part) for part in (duration, start and f"from {start}", end and f"to {end}") if part)
        raise DataGap(
            f"{data_dir}: no bars of {', '.join(empty)} within {span or 'the files'}; widen it or leave them out"
        )
    if empty:
        _log.warning("%s: no bars of %s; they are skipped", data_dir, ", ".join(empty))
    return panel


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
        stamps = [exchange_date(ns).isoformat() for ns in panel.start_ns.tolist()]
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


def _stem(symbol: str, size: BarSize) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 .^=-]*", symbol):
        raise ConfigError(f"symbol {symbol!r} makes no file name; write letters, digits, dots, dashes and spaces only")
    return f"{symbol}_{size.timeframe}"


def _find(place: Path, symbols: Sequence[str], size: BarSize) -> dict[str, BarColumns]:
    """Return the columns of each symbol that has any."""
    if not place.exists():
        raise ConfigError(f"data folder {place} does not exist; name one that does, or fetch bars with --ibkr")
    found: dict[str, BarColumns] = {}
    long_files: list[BarFile] = []
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
                opened = open_bar_file(path)
                if opened is None:
                    raise DataGap(
                        f"{path}: lacks one of the columns date or timestamp, open, high, low, close, volume; add "
                        "its name to the first line"
                    )
                found[symbol] = opened.columns(size)
        if len(found) < len(symbols):
            long_files = _long_files(place, size)
    missing = [symbol for symbol in symbols if symbol not in found]
    holders: dict[str, BarFile] = {}
    for file in long_files if missing else ():
        for symbol in file.symbols().intersection(missing):
            if symbol in holders:
                raise ConfigError(
                    f"{symbol} is in {holders[symbol].path} and in {file.path.name}; name the file instead of "
                    "the folder"
                )
            holders[symbol] = file
    for file in long_files:
        wanted = [symbol for symbol in missing if holders.get(symbol) is file]
        if wanted:
            found.update(file.columns_of(wanted, size))
    return found


def _long_files(folder: Path, size: BarSize) -> list[BarFile]:
    """Return the files with a symbol column that may hold bars of `size`."""
    files = []
    for path in sorted((*folder.glob("*.parquet"), *folder.glob("*.csv"))):
        named = _TIMEFRAMES.intersection(re.split(r"[_. -]", path.stem))
        opened = open_bar_file(path) if not named or size.timeframe in named else None
        if opened is not None and opened.is_long and (opened.time == "date") != size.is_intraday:
            files.append(opened)
    return files


def _between(panel: BarPanel, start: date | None, end: date | None) -> BarPanel:
    if start is None and end is None:
        return panel
    days = [exchange_date(ns) for ns in panel.start_ns.tolist()]
    first = next((t for t, day in enumerate(days) if start is None or day >= start), len(days))
    stop = next((t for t, day in enumerate(days) if end is not None and day > end), len(days))
    return panel.rows(first, max(first, stop))


def _first_of(panel: BarPanel, reach: Duration) -> int:
    """Return the first bar that a request of `reach` made at the end of the last bar is answered with."""
    if reach.unit == "S":
        begin = int(panel.end_ns[-1]) - reach.count * 1_000_000_000
        return int(np.searchsorted(panel.start_ns, begin, side="left"))
    days = np.array([exchange_date(ns).toordinal() for ns in panel.start_ns.tolist()], dtype=np.int64)
    if reach.unit == "D":
        sessions = np.unique(days)
        return int(np.searchsorted(days, sessions[max(len(sessions) - reach.count, 0)], side="left"))
    cut = reach.day_before(date.fromordinal(int(days[-1]))).toordinal()
    return int(np.searchsorted(days, cut, side="right"))
