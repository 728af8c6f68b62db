"""Bars into the store from files of others, and out of it into files for others."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from quant_trading.data.bar_store import BarMeta, BarStore, between
from quant_trading.data.files import replace_file
from quant_trading.data.store import available, load_panel, save_bars
from quant_trading.data.store_manifest import encode_bars
from quant_trading.data.store_writer import Appended
from quant_trading.domain.bar_sizes import BAR_SIZES, parse_bar_size
from quant_trading.domain.bars import BarColumns, BarPanel, panel_from_columns
from quant_trading.domain.errors import DataGap, UsageError

__all__ = ["Imported", "column_of", "export_bars", "import_bars", "sizes_in"]

MADE_UP = "MADE_UP.txt"  # written beside sample bars
_NAMED = re.compile(r".+_(\d+(?:s|m|h|d|w|mo))(?:_bars_macd)?\.(?:csv|parquet)")


@dataclass(frozen=True, slots=True)
class Imported:
    """What came in.

    Attributes:
        done: by symbol.
        refused: by symbol, why its bars were left out.
    """

    done: dict[str, Appended]
    refused: dict[str, DataGap]


def sizes_in(place: Path) -> list[str]:
    """Return the bar sizes that the names of the files in a folder tell, smallest first, in IBKR's words."""
    names = [place.name] if place.is_file() else [path.name for path in place.iterdir()] if place.is_dir() else []
    found = {match[1] for match in map(_NAMED.fullmatch, names) if match is not None}
    return [size.words for size in BAR_SIZES if size.timeframe in found]


def import_bars(
    store: BarStore,
    place: Path,
    bar_size: str,
    meta: BarMeta,
    symbols: Sequence[str] | None = None,
    *,
    replace: bool = False,
    said: Callable[[str, Appended], None] | None = None,
) -> Imported:
    """Bring the bars of a folder of files, of one file or of another store into the store.

    Args:
        place: a folder such as the downloader's, a file of one symbol (`SYMBOL_5m.csv`), or a long one.
        bar_size: IBKR's words or a timeframe.
        meta: whence they come.
        symbols: the ones wanted; None = all there are.
        replace: as in `BarStore.append`.
        said: called after each symbol.

    Raises:
        DataGap: when there is nothing to bring in.
        ConfigError: when a place cannot be read or written.
        UsageError: when the bar size is none.
    """
    refused: dict[str, DataGap] = {}
    panel = _panel_of(place, bar_size, symbols, refused)
    done: dict[str, Appended] = {}
    for j, symbol in enumerate(panel.symbols):
        try:
            done[symbol] = store.append(symbol, bar_size, column_of(panel, j), meta, replace=replace)
        except DataGap as error:
            refused[symbol] = error
        else:
            if said is not None:
                said(symbol, done[symbol])
    if done:
        _keep_made_up(place if place.is_dir() else place.parent, store.root)
    return Imported(done, refused)


def _keep_made_up(folder: Path, root: Path) -> None:
    """Carry over the file that says of a folder that its bars are made up: backtests of the store then say so, too."""
    told = folder / MADE_UP
    if told.is_file() and folder != root:
        known = (root / MADE_UP).read_text(encoding="utf-8") if (root / MADE_UP).is_file() else ""
        lines = dict.fromkeys([*known.splitlines(), *told.read_text(encoding="utf-8").splitlines()])
        replace_file(root / MADE_UP, "\n".join([*lines, ""]).encode())


def _panel_of(place: Path, bar_size: str, symbols: Sequence[str] | None, refused: dict[str, DataGap]) -> BarPanel:
    size = parse_bar_size(bar_size)
    if place.is_file() and (named := _NAMED.fullmatch(place.name)) is not None:
        # A file of one symbol is told by its folder and its name; a long one may be named so, too.
        symbol = place.name[: named.start(1) - 1]
        if symbol in available(place.parent, bar_size):
            if named[1] != size.timeframe:
                raise UsageError(f"{place} is named as one of {named[1]} bars, not {size.timeframe}; mend --bar-size")
            return load_panel(place.parent, [symbol], bar_size)
    chosen = list(symbols) if symbols is not None else available(place, bar_size)
    if not chosen:
        raise DataGap(f"{place}: holds no bars of {size.words}; name the size they have with --bar-size")
    return load_panel(place, chosen, bar_size, on_error=refused.__setitem__)


def column_of(panel: BarPanel, j: int) -> BarColumns:
    """Return the bars of one symbol of a panel, without those it lacks."""
    rows = np.flatnonzero(~np.isnan(panel.close[:, j]))
    return BarColumns(
        panel.start_ns[rows], panel.end_ns[rows], panel.open[rows, j], panel.high[rows, j], panel.low[rows, j],
        panel.close[rows, j], panel.volume[rows, j],
    )  # fmt: skip


def export_bars(
    store: BarStore,
    folder: Path,
    symbols: Sequence[str],
    bar_size: str,
    *,
    what: str = "TRADES",
    all_hours: bool = False,
    as_of: date | None = None,
    start: date | None = None,
    end: date | None = None,
    kind: str = "csv",
) -> list[Path]:
    """Write one `<SYMBOL>_<timeframe>.csv` or `.parquet` per symbol and return their paths.

    Args:
        symbols, bar_size, what, all_hours, as_of: as in `BarStore.columns`.
        start, end: first and last exchange date, both included.
        kind: csv or parquet.

    Raises:
        DataGap: when a symbol has no bars, or none in that time.
        ConfigError: when the place cannot be written.
        UsageError: when bar size or kind is none.
    """
    size = parse_bar_size(bar_size)
    if kind not in ("csv", "parquet"):
        raise UsageError(f"format {kind!r} is neither csv nor parquet; write one of the two")
    paths = []
    for symbol in symbols:
        bars = store.columns(symbol, bar_size, what, all_hours=all_hours, as_of=as_of)
        if bars is None:
            raise DataGap(f"{store.root}: no bars of {size.words} ({what}) of {symbol}; ./desk data ls says what is")
        panel = between(panel_from_columns([symbol], size.words, [bars]), start, end)
        if not len(panel):
            raise DataGap(f"{store.root}: no bars of {symbol} from {start} to {end}; widen the span")
        if kind == "csv":
            paths += save_bars(folder, panel)
        else:
            paths.append(replace_file(folder / f"{symbol}_{size.timeframe}.parquet", encode_bars(column_of(panel, 0))))
    return paths
