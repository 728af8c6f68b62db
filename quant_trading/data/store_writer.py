"""Merging bars into a series of the store: what is new is added, what had changed is noted with both values."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from io import StringIO
from pathlib import Path

import numpy as np

from quant_trading.data.files import put_in_place
from quant_trading.data.store_manifest import (
    MANIFEST,
    BarMeta,
    Manifest,
    YearFile,
    read_manifest,
    read_year,
    stamp,
    write_year,
)
from quant_trading.data.store_views import split_between
from quant_trading.domain.bars import BarColumns, IntArray
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.refdata.sessions import exchange_days

__all__ = ["CHANGED_FILE", "Appended", "ChangedBar", "append_bars", "read_changed"]

CHANGED_FILE = "changed.csv"
_NUMBERS = ("open", "high", "low", "close", "volume")
_VALUES = tuple(f"{side}_{name}" for side in ("stored", "received") for name in _NUMBERS)
_HEADING = ("timestamp", "kept", "source", "fetched_at", *_VALUES)


@dataclass(frozen=True, slots=True)
class ChangedBar:
    """A bar that was served again with other values.

    Attributes:
        start_ns: which one.
        stored, received: open, high, low, close, volume as they were and as they came now.
    """

    start_ns: int
    stored: tuple[float, ...]
    received: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did.

    Attributes:
        added: bars that were not there.
        same: bars that were there with the same values.
        changed: bars that were there with others.
    """

    added: int
    same: int
    changed: tuple[ChangedBar, ...] = ()


def append_bars(folder: Path, empty: Manifest, bars: BarColumns, meta: BarMeta, replace: bool) -> Appended:
    """Merge `bars` into the series in `folder`; the caller holds its lock.

    Args:
        folder: of the series.
        empty: its manifest when there is none yet.
        bars, meta, replace: as in `BarStore.append`.
    """
    check_bars(empty.symbol, bars)
    found = read_manifest(folder)
    manifest = found[0] if found is not None else empty
    if (manifest.symbol, manifest.bar_size, manifest.what, manifest.all_hours) != (
        empty.symbol, empty.bar_size, empty.what, empty.all_hours,
    ):  # fmt: skip
        raise DataGap(
            f"{folder / MANIFEST} is about {manifest.symbol}, {manifest.bar_size} {manifest.what}, not {empty.symbol}, "
            f"{empty.bar_size} {empty.what}; remove the folder {folder} and fetch the bars again"
        )
    years = exchange_days(bars.start_ns).astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    merged: dict[int, BarColumns] = {}
    changed: list[ChangedBar] = []
    same = added = 0
    for year in years[np.diff(years, prepend=0) != 0].tolist():  # they rise; np.unique would load masked arrays
        new = _rows(bars, np.flatnonzero(years == year))
        entry = manifest.years.get(year)
        old = None if entry is None else _old(folder, entry)
        both = _merge(old, new, replace)
        changed += both.changed
        same += both.same
        added += both.added
        if both.added or (replace and both.changed):
            merged[year] = both.bars
    _refuse_split(folder, manifest, bars, changed, same)
    try:
        if changed:
            _note(folder, changed, meta, replace)
        entries = {
            year: write_year(folder, year, part, _sources(manifest.years.get(year), meta.source), meta.fetched_at)
            for year, part in merged.items()
        }
        if entries:
            after = manifest.with_years(entries)
            put_in_place(folder / MANIFEST, after.encode())
            _sweep(folder, after)
    except OSError as error:
        _give_back(folder, empty)
        raise ConfigError(
            f"{folder} cannot be written ({error.strerror}); choose another place or free this one"
        ) from error
    return Appended(added, same, tuple(changed))


def check_bars(symbol: str, bars: BarColumns) -> None:
    """Raise DataGap unless the bars rise in time, end after they start and have prices that are some."""
    if not len(bars.start_ns):
        raise DataGap(f"{symbol}: there are no bars to store; fetch them again")
    lengths = {len(getattr(bars, name)) for name in BarColumns.__slots__}
    if len(lengths) > 1:
        raise DataGap(f"{symbol}: its columns have {sorted(lengths)} rows; write one value in each for every bar")
    rising = np.diff(bars.start_ns) > 0
    if not rising.all():
        raise DataGap(
            f"{symbol}: bar {stamp(int(bars.start_ns[int(np.argmin(rising)) + 1]))} is out of order; sort them"
        )
    prices = np.column_stack([bars.open, bars.high, bars.low, bars.close])
    good = np.isfinite(prices).all(axis=1) & (prices > 0.0).all(axis=1) & (bars.high >= bars.low)
    good &= ~(bars.volume < 0.0) & ~np.isinf(bars.volume) & (bars.end_ns > bars.start_ns)
    if not good.all():
        row = int(np.argmin(good))
        shown = ", ".join(f"{value:g}" for value in (*prices[row], bars.volume[row]))
        raise DataGap(
            f"{symbol}: bar {stamp(int(bars.start_ns[row]))} has open, high, low, close, volume {shown}; expected "
            "prices above 0, high not below low and an end after the start; fetch it again"
        )


@dataclass(frozen=True, slots=True)
class _Both:
    bars: BarColumns
    added: int
    same: int
    changed: list[ChangedBar]


def _merge(old: BarColumns | None, new: BarColumns, replace: bool) -> _Both:
    if old is None:
        return _Both(new, len(new.start_ns), 0, [])
    at = np.searchsorted(old.start_ns, new.start_ns)
    there = old.start_ns[np.minimum(at, len(old.start_ns) - 1)] == new.start_ns
    fresh, again, where = np.flatnonzero(~there), np.flatnonzero(there), at[there]
    equal = old.end_ns[where] == new.end_ns[again]
    for name in _NUMBERS:
        left, right = getattr(old, name)[where], getattr(new, name)[again]
        equal &= (left == right) | (np.isnan(left) & np.isnan(right))
    differing = np.flatnonzero(~equal)
    changed = [
        ChangedBar(int(new.start_ns[j]), _values(old, i), _values(new, j))
        for i, j in zip(where[differing].tolist(), again[differing].tolist(), strict=True)
    ]
    order = np.argsort(np.concatenate([old.start_ns, new.start_ns[fresh]]), kind="stable")
    columns = []
    for name in BarColumns.__slots__:
        stored = getattr(old, name).copy()
        if replace:
            stored[where] = getattr(new, name)[again]
        columns.append(np.concatenate([stored, getattr(new, name)[fresh]])[order])
    return _Both(BarColumns(*columns), len(fresh), int(equal.sum()), changed)


def _refuse_split(folder: Path, manifest: Manifest, bars: BarColumns, changed: Sequence[ChangedBar], same: int) -> None:
    """Raise DataGap when every bar that is there already has moved by one ratio, or most have."""
    if len(changed) < 2 or same > len(changed):
        return
    stored, received = (np.array([getattr(bar, side)[3] for bar in changed]) for side in ("stored", "received"))
    ratio = split_between(stored, received)
    if ratio is not None:
        raise DataGap(
            f"{folder}: {len(changed)} bars of {manifest.symbol} come with prices {1 / ratio:.4g} times those that are "
            f"stored, as after a split of {ratio:.4g} for 1; nothing was written: remove the folder and fetch all of "
            "them again"
        )


def _old(folder: Path, entry: YearFile) -> BarColumns:
    try:
        return read_year(folder, entry)
    except FileNotFoundError as error:
        raise DataGap(
            f"{folder / entry.file}: the file is gone though {MANIFEST} names it; put it back, or remove the folder "
            f"and fetch {folder.name} again"
        ) from error


def _note(folder: Path, changed: Sequence[ChangedBar], meta: BarMeta, replace: bool) -> None:
    """Add changed bars to the side file; the same change is noted once."""
    path = folder / CHANGED_FILE
    rows = read_changed(folder)
    known = {(row[0], *row[4:]) for row in rows}
    fetched = meta.fetched_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    for bar in changed:
        row = [stamp(bar.start_ns), "received" if replace else "stored", meta.source, fetched]
        row += [repr(value) for value in (*bar.stored, *bar.received)]
        if (row[0], *row[4:]) not in known:
            rows.append(row)
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([_HEADING, *rows])
    put_in_place(path, text.getvalue().encode())


def read_changed(folder: Path) -> list[list[str]]:
    """Return the rows of the side file of a series: timestamp, kept, source, fetched_at, five old, five new values."""
    path = folder / CHANGED_FILE
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for k, row in enumerate(csv.reader(file)) if k and row]


def _sources(entry: YearFile | None, source: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*(entry.sources if entry is not None else ()), source]))


def _sweep(folder: Path, manifest: Manifest) -> None:
    """Delete what neither this manifest nor the one before names; readers of that one may still be at work."""
    named = {*manifest.files, *manifest.previous}
    for path in (*folder.glob("*.parquet"), *folder.glob(".*.new")):
        if path.name not in named:
            path.unlink(missing_ok=True)


def _give_back(folder: Path, empty: Manifest) -> None:
    """Delete the year files that an append wrote before it failed: on a full disk their room is needed."""
    with suppress(OSError):
        found = read_manifest(folder)
        _sweep(folder, empty if found is None else found[0])


def _rows(bars: BarColumns, rows: IntArray) -> BarColumns:
    return BarColumns(*(getattr(bars, name)[rows] for name in BarColumns.__slots__))


def _values(bars: BarColumns, row: int) -> tuple[float, ...]:
    return tuple(float(getattr(bars, name)[row]) for name in _NUMBERS)
