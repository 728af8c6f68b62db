"""Closed bars on their way into the bar store: a journal of rows first, Parquet when a session is over.

    market_data/store/live/1/bars.journal      rows of one running tracker, each with its checksum
    market_data/store/1m.live/AAPL/...         where they end: the store's own kind LIVE

A hundred symbols close a hundred bars a minute; each as a Parquet file would write a year of bars anew every time.
So bars are appended to one file, flushed to the medium once a turn, and folded into the store when their session is
over, when the tracker ends, when the next one starts, and when `./desk data truth` wants to read them. Folding again
changes nothing, so it may be cut off at any point.
"""

import os
import zlib
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import numpy as np

from quant_trading.data.bar_store import BarMeta, BarStore
from quant_trading.data.bars import Bar
from quant_trading.data.store_lock import series_lock
from quant_trading.data.tracker_feed import TrackedBar
from quant_trading.domain.bars import BarColumns
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.refdata.sessions import session_at

__all__ = ["Folded", "StoreRecorder", "fold_journals"]

_FOLDER, _JOURNAL, _DAMAGED = "live", "bars.journal", "damaged.journal"
_MOST_WRITERS = 99
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# After the close late minutes still come: graces, and what history tells of an outage.
_SETTLE_NS = 60_000_000_000
_LOOK_NS = 30_000_000_000

# By symbol, minutes and whence the bars come.
_Rows = dict[tuple[str, int, str], list[Bar]]


@dataclass(frozen=True, slots=True)
class Folded:
    """What came of folding journals.

    Attributes:
        bars, series: how many were new to the store.
        problems: one line for each series that could not be stored, and for damaged rows; those stay in a journal.
    """

    bars: int = 0
    series: int = 0
    problems: tuple[str, ...] = ()

    def lines(self, root: Path) -> list[str]:
        """Return what a person should read of it."""
        stored = [f"{self.bars} bars of {self.series} series were stored in {root}"] if self.bars else []
        return [*stored, *self.problems]

    def __add__(self, other: "Folded") -> "Folded":
        return Folded(self.bars + other.bars, self.series + other.series, self.problems + other.problems)


class StoreRecorder:
    """Takes closed bars for a store; a bar that it has, or an earlier one, is left out.

    What a killed tracker left behind is folded at the start. Several trackers may record at once.

    Args:
        root: the store; made when it is not there.

    Attributes:
        rows: bars taken.
        recovered: what came of folding at the start.

    Raises:
        ConfigError: when the place cannot be written, or holds other files of bars.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root
        self.rows = 0
        self._store = BarStore(root)
        self._last: dict[tuple[str, int], int] = {}
        self._file: BinaryIO | None = None
        self._waiting = bytearray()
        self._newest_ns = 0
        self._look_ns = 0
        self._lock = ExitStack()
        self.recovered = fold_journals(root)
        self._place = _take_place(self._store, self._lock)
        # Its owner may have ended just now.
        self.recovered += _fold(self._store, self._place / _JOURNAL, is_over=True)

    def add(self, told: TrackedBar) -> bool:
        """Take a bar; return False when the store reaches as far already. It is written by `flush`."""
        bar = told.bar
        key = told.symbol, bar.minutes
        if key not in self._last:
            self._last[key] = self._stored_until(*key)
        if bar.start_ns <= self._last[key]:
            return False
        self._last[key] = bar.start_ns
        self._waiting += _line(told)
        self._newest_ns = max(self._newest_ns, bar.known_ns)
        self.rows += 1
        return True

    def flush(self, now_ns: int) -> Sequence[str]:
        """Bring what was taken onto the medium; fold it when its session is over, and say what came of that.

        Raises:
            ConfigError: when the place cannot be written.
        """
        self._write()
        if self._file is None or now_ns < self._look_ns:
            return ()
        self._look_ns = now_ns + _LOOK_NS
        if now_ns < self._newest_ns + _SETTLE_NS or session_at(now_ns) is not None:
            return ()
        return self._fold().lines(self.folder)

    def close(self) -> Sequence[str]:
        """Fold what there is and give the place free; raises as `flush`."""
        try:
            self._write()
            return self._fold().lines(self.folder)
        finally:
            if self._file is not None:
                self._file.close()
                self._file = None
            self._lock.close()

    def _write(self) -> None:
        if not self._waiting:
            return
        path = self._place / _JOURNAL
        try:
            if self._file is None:
                self._file = path.open("ab")
            self._file.write(self._waiting)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be written ({error.strerror}); free the place or name another with --record"
            ) from error
        self._waiting.clear()

    def _fold(self) -> Folded:
        if self._file is None:
            return Folded()
        self._file.close()
        self._file = None
        return _fold(self._store, self._place / _JOURNAL, is_over=True)

    def _stored_until(self, symbol: str, minutes: int) -> int:
        """Return the start (UTC ns) of the newest bar in the store, 0 when there is none."""
        manifest = self._store.manifest(symbol, f"{minutes}m", "LIVE")
        if manifest is None or not manifest.years:
            return 0
        last = manifest.years[max(manifest.years)].last
        return int(np.datetime64(last.removesuffix("Z"), "ns").astype(np.int64))


def fold_journals(root: Path) -> Folded:
    """Fold every journal of a store; one whose tracker is at work is read and left to it. Nothing to do is fine."""
    store, told = BarStore(root), Folded()
    for path in sorted((root / _FOLDER).glob(f"*/{_JOURNAL}")):
        with ExitStack() as held:
            told += _fold(store, path, is_over=_is_free(path.parent, held))
    return told


def _take_place(store: BarStore, lock: ExitStack) -> Path:
    """Return a folder that no other tracker writes in, and hold it."""
    store.make()
    refusal: ConfigError | None = None
    for number in range(1, _MOST_WRITERS + 1):
        folder = store.root / _FOLDER / str(number)
        try:
            lock.enter_context(series_lock(folder, 0.0))
        except ConfigError as error:
            refusal = error
            continue
        return folder
    assert refusal is not None, "there is at least one place to try"
    raise refusal


def _is_free(folder: Path, held: ExitStack) -> bool:
    try:
        held.enter_context(series_lock(folder, 0.0))
    except ConfigError:
        return False
    return True


def _fold(store: BarStore, path: Path, *, is_over: bool) -> Folded:
    """Merge a journal into the store and, when nobody writes to it any more, delete it."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Folded()
    rows, damaged = _read(content)
    added, series, problems = 0, 0, list[str]()
    for (symbol, minutes, source), bars in rows.items():
        known = _EPOCH + timedelta(microseconds=max(bar.known_ns for bar in bars) // 1000)
        meta = BarMeta(f"market_data_tracker, {source}", known, "LIVE")
        try:
            done = store.append(symbol, f"{minutes}m", _columns(bars), meta)
        except (ConfigError, DataGap) as error:
            problems.append(f"{symbol} {minutes}m: not stored, its rows stay in {path}: {error}")
            continue
        added += done.added
        series += bool(done.added)
    if is_over and not problems:
        if damaged:
            kept = path.with_name(_DAMAGED)
            _keep(kept, damaged)
            problems.append(f"{kept}: holds {len(damaged)} rows that are damaged; their bars are not in the store")
        with suppress(PermissionError):  # Windows, while another process reads it: folding it again changes nothing
            path.unlink(missing_ok=True)
    return Folded(added, series, tuple(problems))


def _keep(path: Path, lines: list[bytes]) -> None:
    try:
        with path.open("ab") as file:
            file.writelines(line + b"\n" for line in lines)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); free the place") from error


def _line(told: TrackedBar) -> bytes:
    """Return the row of a bar: the checksum of what follows, then its fields."""
    bar = told.bar
    fields = (told.symbol, "delayed" if told.is_delayed else "live", *bar[:4], *map(repr, bar[4:9]), bar.ticks)
    text = ",".join(map(str, fields)).encode()
    return b"%08x,%s\n" % (zlib.crc32(text), text)


def _read(content: bytes) -> tuple[_Rows, list[bytes]]:
    """Return the bars of a journal by symbol and timeframe, and the rows that are damaged.

    The end of the last row may be missing: a writer was killed within it, or is at it now.
    """
    rows: _Rows = {}
    damaged: list[bytes] = []
    for line in content.split(b"\n")[:-1]:
        found = _bar(line)
        if found is None:
            damaged.append(line)
        else:
            symbol, source, bar = found
            rows.setdefault((symbol, bar.minutes, source), []).append(bar)
    return rows, damaged


def _bar(line: bytes) -> tuple[str, str, Bar] | None:
    crc, _, text = line.partition(b",")
    if crc != b"%08x" % zlib.crc32(text):
        return None
    symbol, source, minutes, start, end, known, opened, high, low, close, volume, ticks = text.decode().split(",")
    numbers = (float(opened), float(high), float(low), float(close), float(volume))
    return symbol, source, Bar(int(minutes), int(start), int(end), int(known), *numbers, int(ticks))


def _columns(bars: list[Bar]) -> BarColumns:
    """Return bars as columns, rising in time, the first of two with one start."""
    once: dict[int, Bar] = {}
    for bar in bars:
        once.setdefault(bar.start_ns, bar)
    ordered = [once[start] for start in sorted(once)]

    start, end = (np.array([getattr(bar, name) for bar in ordered], np.int64) for name in ("start_ns", "end_ns"))
    names = ("open", "high", "low", "close", "volume")
    return BarColumns(start, end, *(np.array([getattr(bar, name) for bar in ordered], np.float64) for name in names))
