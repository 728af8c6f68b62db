"""The bar store: bars of any size as Parquet, by series and year, each with its origin and its hash.

    market_data/store/bar_store.json                        makes the folder a store
    market_data/store/5m/AAPL/manifest.json                 what there is: whence, when fetched, hash, first and last
    market_data/store/5m/AAPL/2025-1a2b3c4d5e6f.parquet     the bars of 2025
    market_data/store/5m/AAPL/changed.csv                   bars that were served again with other values, both values
    market_data/store/1d.raw/AAPL/                          another kind of bars: as traded, adjusted when read
    market_data/store/actions.csv                           splits and dividends

One process may write while others read: readers see all of an `append` or nothing of it.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from quant_trading.data import store_cache as cache
from quant_trading.data.actions import read_actions
from quant_trading.data.files import replace_file
from quant_trading.data.store_lock import series_lock
from quant_trading.data.store_manifest import (
    MANIFEST,
    BarMeta,
    Manifest,
    check_what,
    read_manifest,
    read_year,
    state_of,
)
from quant_trading.data.store_places import ACTIONS_FILE, STORE_FILE
from quant_trading.data.store_views import VIEWS, adjusted
from quant_trading.data.store_writer import Appended, append_bars
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bar_sizes import BAR_SIZES, BarSize, parse_bar_size
from quant_trading.domain.bars import BarColumns, BarPanel
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.refdata.sessions import exchange_days

__all__ = ["ACTIONS_FILE", "STORE_FILE", "Appended", "BarMeta", "BarStore", "Series", "between", "is_store"]

_MARK = b'{"format": 1, "holds": "bars; see docs/store.md"}\n'
_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .^=-]*")
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_COLUMNS = "columns.cache"
# Panels kept ready, and the largest one that is: beyond it the disk would fill up with copies.
_PANELS, _PANEL_BYTES = 8, 1 << 30
_TRIES = 5

OnError = Callable[[str, DataGap], None]


def is_store(folder: Path) -> bool:
    """Return whether a folder is a bar store."""
    return (folder / STORE_FILE).is_file()


@dataclass(frozen=True, slots=True)
class Series:
    """One series of the store, as its manifest describes it."""

    manifest: Manifest
    folder: Path

    @property
    def size_bytes(self) -> int:
        """Return the bytes of its Parquet files."""
        return sum((self.folder / name).stat().st_size for name in self.manifest.files)


class BarStore:
    """Bars in a folder; the folder is made with the first `append`.

    Args:
        root: the folder. Another one's files are never written over: a new store wants an empty place.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known_actions: tuple[bytes, dict[str, list[CorporateAction]]] | None = None

    # Writing.

    def append(
        self, symbol: str, bar_size: str, columns: BarColumns, meta: BarMeta, *, replace: bool = False
    ) -> Appended:
        """Merge bars into a series; return what was new, what was there already and what had changed.

        A bar that is there with other values is a finding: it is noted in `changed.csv` with both values. The store
        goes on to serve the one it had, so that results stay what they were, unless `replace` is set.

        Args:
            symbol, bar_size: whose, and IBKR's words or a timeframe.
            columns: rising in time, at least one.
            meta: whence they come; other kinds of bars (`what`, `all_hours`) are series of their own.
            replace: True takes the values that come now.

        Raises:
            DataGap: when the bars are unsound, or all prices differ by one ratio: there was a split in between, and
                bars from before and after it must not be mixed.
            ConfigError: when the place cannot be written.
            UsageError: when the bar size is none.
        """
        size = parse_bar_size(bar_size)
        self.make()
        folder = self._folder(symbol, size, meta.what, meta.all_hours)
        with series_lock(folder):
            return append_bars(folder, Manifest(symbol, size.words, meta.what, meta.all_hours), columns, meta, replace)

    def make(self) -> None:
        """Make the folder a store; raise ConfigError when it holds other files of bars or cannot be written."""
        if is_store(self.root):
            return
        if self.root.is_dir() and any(path.suffix in (".csv", ".parquet") for path in self.root.iterdir()):
            raise ConfigError(
                f"{self.root} holds files of bars and is no store; name an empty folder, and bring the files in with "
                f"`./desk data import {self.root}`"
            )
        replace_file(self.root / STORE_FILE, _MARK)

    def write_actions(self, actions: Sequence[CorporateAction]) -> Path:
        """Replace the splits and dividends of the store; return the path."""
        self.make()
        lines = ["symbol,ex_date,kind,value"]
        ordered = sorted(actions, key=lambda a: (a.symbol, a.ex_date, a.kind, a.value))
        lines += [f"{a.symbol},{a.ex_date},{a.kind},{a.value!r}" for a in ordered]
        return replace_file(self.root / ACTIONS_FILE, "\n".join((*lines, "")).encode())

    # What there is.

    def check_is_store(self) -> None:
        """Raise ConfigError unless the folder is a store."""
        if not is_store(self.root):
            found = "holds no bar store" if self.root.is_dir() else "does not exist"
            raise ConfigError(f"store {self.root} {found}; make one with `./desk data import`, or name another")

    def actions(self, symbols: Sequence[str] | None = None) -> list[CorporateAction]:
        """Return the splits and dividends of the store, of all symbols or of some; raises as `read_actions`."""
        path = self.root / ACTIONS_FILE
        return read_actions(path, symbols) if path.is_file() else []

    def series(self) -> Iterator[Series]:
        """Yield every series, by kind, bar size and symbol; raises as `read_manifest`."""
        self.check_is_store()
        order = {size.timeframe: k for k, size in enumerate(BAR_SIZES)}
        kinds = [path for path in self.root.iterdir() if path.is_dir() and path.name.split(".")[0] in order]
        for kind in sorted(kinds, key=lambda path: (path.name.split(".")[1:], order[path.name.split(".")[0]])):
            for folder in sorted(kind.iterdir()):
                found = read_manifest(folder) if folder.is_dir() else None
                if found is not None:
                    yield Series(found[0], folder)

    def symbols(self, bar_size: str) -> list[str]:
        """Return the symbols of which `panel` can serve TRADES of this size, in alphabetical order."""
        self.check_is_store()
        size = parse_bar_size(bar_size)
        found: set[str] = set()
        for what in ("TRADES", "RAW"):
            kind = self.root / _kind(size, what, False)
            if kind.is_dir():
                found.update(folder.name for folder in kind.iterdir() if (folder / MANIFEST).is_file())
        return sorted(found)

    def manifest(self, symbol: str, bar_size: str, what: str = "TRADES", *, all_hours: bool = False) -> Manifest | None:
        """Return what is stored of a series, None when there is none; raises as `read_manifest`."""
        found = read_manifest(self._folder(symbol, parse_bar_size(bar_size), what, all_hours))
        return None if found is None else found[0]

    def folder_of(self, symbol: str, bar_size: str, what: str = "TRADES", *, all_hours: bool = False) -> Path:
        """Return where a series lies, or would; raises UsageError when bar size or kind is none."""
        check_what(what)
        return self._folder(symbol, parse_bar_size(bar_size), what, all_hours)

    def files(self, symbol: str, bar_size: str, what: str = "TRADES", *, all_hours: bool = False) -> list[Path]:
        """Return the Parquet files that a read of the symbol rests on; none when it has no bars."""
        folder, _ = self._origin(symbol, parse_bar_size(bar_size), what, all_hours)
        found = None if folder is None else read_manifest(folder)
        return [] if found is None or folder is None else [folder / name for name in found[0].files]

    # Reading.

    def columns(
        self, symbol: str, bar_size: str, what: str = "TRADES", *, all_hours: bool = False, as_of: date | None = None
    ) -> BarColumns | None:
        """Return all bars of a symbol, None when there are none.

        TRADES of a symbol that is stored as RAW only, and ADJUSTED_LAST of one that is stored as RAW or TRADES, are
        computed from these and from the splits and dividends of the store.

        Args:
            symbol, bar_size, what, all_hours: which bars.
            as_of: leaves out later splits and dividends.

        Raises:
            DataGap: when a file is not the one that was written.
            ConfigError: when the place is no store.
            UsageError: when bar size or kind is none.
        """
        self.check_is_store()
        size = parse_bar_size(bar_size)
        folder, is_own = self._origin(symbol, size, what, all_hours)
        if folder is None:
            return None
        block = self._block(folder)
        bars = BarColumns(block.start_ns, block.end_ns, *(values[:, 0] for values in block.values))
        if what not in VIEWS or (is_own and what == "ADJUSTED_LAST"):
            return bars
        actions = self._actions_of(symbol)
        return self._viewed(folder, bars, actions, what, as_of) if actions else bars

    def panel(
        self,
        symbols: Sequence[str],
        bar_size: str,
        start: date | None = None,
        end: date | None = None,
        *,
        what: str = "TRADES",
        all_hours: bool = False,
        skip_missing: bool = False,
        on_error: OnError | None = None,
    ) -> BarPanel:
        """Return the bars of `symbols` on one clock; a bar that one symbol lacks is NaN.

        The arrays of a panel that was read before are mapped from a file beside the series, which is made again when
        a manifest, a Parquet file or the actions have changed.

        Args:
            symbols: the columns, in this order.
            bar_size: IBKR's words or a timeframe.
            start, end: first and last exchange date, both included.
            what, all_hours: which bars; see `columns`.
            skip_missing: True makes a symbol without bars a column of NaN, as long as another has some.
            on_error: called with a symbol and what is wrong with its bars; it is then left out of the panel.

        Raises:
            DataGap: when bars are missing or a file is unsound.
            ConfigError: when the place is no store.
            UsageError: when bar size or kind is none.
        """
        self.check_is_store()
        size = parse_bar_size(bar_size)
        kinds = _kinds(size, what, all_hours)
        prints = [self._fingerprint(symbol, kinds) for symbol in symbols]
        lacking = [symbol for symbol, found in zip(symbols, prints, strict=True) if not found]
        names = list(symbols)
        if lacking and (not skip_missing or len(lacking) == len(symbols)):
            hole = self._missing(lacking, size, what, all_hours)
            if on_error is None or len(lacking) == len(symbols):
                raise hole
            for symbol in lacking:
                on_error(symbol, hole)
            names = [symbol for symbol in symbols if symbol not in lacking]
            prints = [found for found in prints if found]
        path = self.root / kinds[0] / ".panels" / f"{_digest(names)}.panel"
        whole = cache.read_block(path, self._whole_print(prints))
        if whole is None:
            blocks = self._blocks(names, size, what, all_hours, on_error)
            whole = cache.join(list(blocks.values()))
            if len(blocks) == len(names):
                self._keep_panel(path, names, kinds, prints, whole)
            names = list(blocks)
        panel = BarPanel(tuple(names), size.words, whole.start_ns, whole.end_ns, *whole.values)
        return between(panel, start, end)

    def read(self, series: Series) -> BarColumns:
        """Return the bars of a series from its files, every hash compared; raises as `columns`."""
        return _from_files(series.folder)

    # Inside.

    def _folder(self, symbol: str, size: BarSize, what: str, all_hours: bool) -> Path:
        if not _SYMBOL.fullmatch(symbol):
            raise _no_folder(symbol)
        return self.root / _kind(size, what, all_hours) / symbol

    def _origin(self, symbol: str, size: BarSize, what: str, all_hours: bool) -> tuple[Path | None, bool]:
        """Return the folder that bars are read from, and whether they are of the wished kind already."""
        if not _SYMBOL.fullmatch(symbol):
            raise _no_folder(symbol)
        for k, kind in enumerate(_kinds(size, what, all_hours)):
            if (self.root / kind / symbol / MANIFEST).is_file():
                return self.root / kind / symbol, k == 0
        return None, False

    def _viewed(
        self, folder: Path, bars: BarColumns, actions: Sequence[CorporateAction], what: str, as_of: date | None
    ) -> BarColumns:
        found = read_manifest(folder)
        if found is None:
            raise DataGap(f"{folder}: has no {MANIFEST}; fetch the bars again")
        known_to = None if found[0].what == "RAW" else found[0].fetched_at.date()
        return adjusted(bars, actions, what, known_to, as_of)

    def _actions_of(self, symbol: str) -> Sequence[CorporateAction]:
        """Return the actions of one symbol; the file is read once for as long as it stays the same."""
        path = self.root / ACTIONS_FILE
        content = path.read_bytes() if path.is_file() else b""
        if self._known_actions is None or self._known_actions[0] != content:
            by_symbol: dict[str, list[CorporateAction]] = {}
            for action in self.actions():
                by_symbol.setdefault(action.symbol, []).append(action)
            self._known_actions = content, by_symbol
        return self._known_actions[1].get(symbol, ())

    def _block(self, folder: Path) -> cache.Block:
        """Return the bars of a folder, from its cache when that is of the present files."""
        state = state_of(str(folder))
        known = None if state is None else cache.read_block(folder / _COLUMNS, state)
        if known is not None:
            return known
        bars = _from_files(folder)
        values = tuple(column.reshape(-1, 1) for column in (bars.open, bars.high, bars.low, bars.close, bars.volume))
        block = cache.Block(bars.start_ns, bars.end_ns, values)
        # The files may have moved on meanwhile: then this cache is of neither state, and is not written.
        if state is not None and state_of(str(folder)) == state:
            cache.write_block(folder / _COLUMNS, state, block)
        return block

    def _missing(self, symbols: Sequence[str], size: BarSize, what: str, all_hours: bool) -> DataGap:
        kind = f"{what}{' of all hours' if all_hours else ''}"
        return DataGap(
            f"{self.root}: no bars of {size.words} ({kind}) of {', '.join(symbols)}; fetch them with `python -m "
            "quant_trading.tools.fetch_historical_data`, or leave them out"
        )

    def _fingerprint(self, symbol: str, kinds: Sequence[str]) -> str:
        """Return what the bars of a symbol rest on, empty when there are none; `kinds` are folders in order."""
        if not _SYMBOL.fullmatch(symbol):
            raise _no_folder(symbol)
        for kind in kinds:
            state = state_of(f"{self.root}/{kind}/{symbol}")
            if state is not None:
                return f"{kind} {state}"
        return ""

    def _blocks(
        self, symbols: Sequence[str], size: BarSize, what: str, all_hours: bool, on_error: OnError | None
    ) -> dict[str, cache.Block]:
        """Return the bars of each symbol whose files are sound, an empty block where there are none."""
        blocks: dict[str, cache.Block] = {}
        last: DataGap | None = None
        for symbol in symbols:
            try:
                blocks[symbol] = _as_block(self.columns(symbol, size.words, what, all_hours=all_hours))
            except DataGap as error:
                if on_error is None:
                    raise
                last = error
                on_error(symbol, error)
        if last is not None and not any(len(block.start_ns) for block in blocks.values()):
            raise last
        return blocks

    def _whole_print(self, prints: Sequence[str]) -> str:
        path = self.root / ACTIONS_FILE
        actions = path.read_bytes().decode(errors="replace") if path.is_file() else ""
        return _digest([*prints, actions])

    def _keep_panel(
        self, path: Path, symbols: Sequence[str], kinds: Sequence[str], prints: Sequence[str], block: cache.Block
    ) -> None:
        if len(symbols) < 2 or block.values[0].nbytes * len(block.values) > _PANEL_BYTES:
            return
        # Only what was there before and after the reading is known to be what was read.
        if [self._fingerprint(symbol, kinds) for symbol in symbols] == list(prints):
            cache.write_block(path, self._whole_print(prints), block)
            cache.forget_old(path.parent, _PANELS)


def _digest(texts: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=16).hexdigest()


def _no_folder(symbol: str) -> ConfigError:
    return ConfigError(f"symbol {symbol!r} makes no folder name; write letters, digits, dots, dashes and spaces only")


def _kinds(size: BarSize, what: str, all_hours: bool) -> list[str]:
    """Return the folders that bars may be read from: their own kind, then those it can be computed from."""
    check_what(what)
    others = {"TRADES": ("RAW",), "ADJUSTED_LAST": ("RAW", "TRADES")}.get(what, ())
    return [_kind(size, kind, all_hours) for kind in (what, *others)]


def _kind(size: BarSize, what: str, all_hours: bool) -> str:
    """Return the folder name of a kind of bars, "5m", "1d.raw", "1m.trades.all"."""
    if what == "TRADES" and not all_hours:
        return size.timeframe
    return f"{size.timeframe}.{what.lower()}{'.all' if all_hours else ''}"


def _from_files(folder: Path) -> BarColumns:
    """Return the bars of a series; a writer that replaces files meanwhile makes it look again."""
    gone = ""
    for _ in range(_TRIES):
        found = read_manifest(folder)
        if found is None:
            raise DataGap(f"{folder}: has no {MANIFEST}; fetch the bars again")
        manifest = found[0]
        try:
            parts = [read_year(folder, manifest.years[year]) for year in sorted(manifest.years)]
        except FileNotFoundError as error:
            gone = str(error.filename)
            continue
        names = BarColumns.__slots__
        return BarColumns(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    raise DataGap(f"{gone}: the file is gone though {MANIFEST} names it; put it back, or fetch {folder.name} again")


def _as_block(bars: BarColumns | None) -> cache.Block:
    if bars is None:
        times, none = np.empty(0, dtype=np.int64), np.empty((0, 1))
        return cache.Block(times, times, (none,) * 5)
    values = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return cache.Block(bars.start_ns, bars.end_ns, tuple(column.reshape(-1, 1) for column in values))


def between(panel: BarPanel, start: date | None, end: date | None) -> BarPanel:
    """Return the bars of the exchange dates from `start` to `end`, both included; None leaves a side open."""
    if start is None and end is None:
        return panel
    days = exchange_days(panel.start_ns) + _EPOCH_DAY
    first = 0 if start is None else int(np.searchsorted(days, start.toordinal(), side="left"))
    stop = len(days) if end is None else int(np.searchsorted(days, end.toordinal(), side="right"))
    return panel.rows(first, max(first, stop))
