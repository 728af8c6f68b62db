"""What a folder of the bar store says about itself: one manifest per series, one Parquet file per year.

The manifest is the truth: a file that it does not name does not exist, and a file whose hash is another is refused.
Year files are named by their content and never written to again, so a reader holds a sound set of files for as long
as it likes, whatever a writer does meanwhile.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from quant_trading.data.files import put_in_place
from quant_trading.domain.bars import BarColumns
from quant_trading.domain.errors import ConfigError, DataGap, UsageError

__all__ = [
    "MANIFEST",
    "WHATS",
    "BarMeta",
    "Manifest",
    "YearFile",
    "encode_bars",
    "read_manifest",
    "read_year",
    "stamp",
    "state_of",
    "write_year",
]

MANIFEST = "manifest.json"
# IBKR's words, RAW for bars as they were traded, unadjusted, and LIVE for those recorded while they happened.
WHATS = ("TRADES", "ADJUSTED_LAST", "MIDPOINT", "BID", "ASK", "BID_ASK", "RAW", "LIVE")
_FORMAT = 1
_FILES = re.compile(r'"file": "([^"]+)"')
_NUMBERS = ("open", "high", "low", "close", "volume")
_LOOKS_UP_FROM_FOLDERS = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd


@dataclass(frozen=True, slots=True)
class BarMeta:
    """Where bars come from.

    Attributes:
        source: in the reader's words, "ibkr" or the name of a file.
        fetched_at: aware moment at which they were served; TRADES know all splits up to then.
        what: one of `WHATS`.
        all_hours: with pre-market and after-hours trading.
    """

    source: str
    fetched_at: datetime
    what: str = "TRADES"
    all_hours: bool = False

    def __post_init__(self) -> None:
        check_what(self.what)
        if self.fetched_at.tzinfo is None:
            raise ValueError(f"fetched_at = {self.fetched_at} names no zone; pass an aware datetime")


def check_what(what: str) -> None:
    """Raise UsageError unless `what` is one of `WHATS`."""
    if what not in WHATS:
        raise UsageError(f"kind of bars {what!r} is none of {', '.join(WHATS)}; write for example TRADES")


@dataclass(frozen=True, slots=True)
class YearFile:
    """The bars of one year of exchange dates.

    Attributes:
        file: its name, with the beginning of its hash.
        sha256: of its bytes, hexadecimal.
        rows: how many bars.
        first, last: start of the first and the last bar, "2018-01-02T14:30:00Z".
        sources: whence the bars came, oldest first.
        fetched_at: when the last of them were served.
    """

    file: str
    sha256: str
    rows: int
    first: str
    last: str
    sources: tuple[str, ...]
    fetched_at: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One series of the store.

    Attributes:
        symbol, bar_size, what, all_hours: which bars these are.
        years: by year of the exchange date.
        previous: files of the manifest before, kept for its readers.
        zone: of every stamp in the files.
    """

    symbol: str
    bar_size: str
    what: str
    all_hours: bool
    years: Mapping[int, YearFile] = field(default_factory=dict)
    previous: tuple[str, ...] = ()
    zone: str = "UTC"

    @property
    def rows(self) -> int:
        """Return how many bars there are."""
        return sum(year.rows for year in self.years.values())

    @property
    def fetched_at(self) -> datetime:
        """Return when the newest bars were served; the epoch when there are none."""
        return max((_moment(year.fetched_at) for year in self.years.values()), default=datetime.fromtimestamp(0, UTC))

    @property
    def files(self) -> tuple[str, ...]:
        """Return the names of the year files, oldest first."""
        return tuple(self.years[year].file for year in sorted(self.years))

    def with_years(self, changed: Mapping[int, YearFile]) -> "Manifest":
        """Return the manifest with `changed` years; the files they replace are kept as `previous`."""
        years = {**self.years, **changed}
        kept = {year.file for year in years.values()}
        return replace(self, years=years, previous=tuple(name for name in self.files if name not in kept))

    def encode(self) -> bytes:
        """Return it as JSON."""
        years = {
            str(number): {name: getattr(year, name) for name in YearFile.__slots__}
            for number, year in sorted(self.years.items())
        }
        content = {
            "format": _FORMAT, "symbol": self.symbol, "bar_size": self.bar_size, "what": self.what,
            "all_hours": self.all_hours, "zone": self.zone, "years": years, "previous": self.previous,
        }  # fmt: skip
        return (json.dumps(content, indent=1) + "\n").encode()


def read_manifest(folder: Path) -> tuple[Manifest, bytes] | None:
    """Return the manifest of a series and its bytes, None when there is no such series.

    Raises:
        DataGap: when it cannot be understood.
        ConfigError: when a later version of the desk wrote it.
    """
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        found: dict[str, Any] = json.loads(content)
        if found["format"] > _FORMAT:
            raise ConfigError(f"{path} has format {found['format']}, this desk reads up to {_FORMAT}; update the desk")
        years = {
            int(number): YearFile(
                year["file"], year["sha256"], year["rows"], year["first"], year["last"], tuple(year["sources"]),
                year["fetched_at"],
            )
            for number, year in found["years"].items()
        }  # fmt: skip
        return Manifest(
            found["symbol"], found["bar_size"], found["what"], found["all_hours"], years, tuple(found["previous"]),
            found["zone"],
        ), content  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataGap(f"{path}: is no manifest ({error}); {_cure(folder)}") from error


def state_of(folder: str) -> str | None:
    """Return what tells whether a cache is of the manifest and the files that are there now; None without a manifest.

    It is asked for each symbol of every read: the manifest is searched for its file names, not taken apart, and files
    are looked up from their folder, not from the root of the disk.
    """
    if not _LOOKS_UP_FROM_FOLDERS:
        return _state(f"{folder}/", None)
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return _state("", place)
    finally:
        os.close(place)


def _state(prefix: str, place: int | None) -> str | None:
    """Return the state of a folder that is named by `prefix`, or open as `place`."""
    try:
        descriptor = os.open(f"{prefix}{MANIFEST}", os.O_RDONLY | getattr(os, "O_BINARY", 0), dir_fd=place)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        content = os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
    lines = [content.decode(errors="replace")]
    for name in _FILES.findall(lines[0]):
        try:
            status = os.stat(f"{prefix}{name}", dir_fd=place)
        except FileNotFoundError:
            lines.append("gone")
        else:
            lines.append(f"{status.st_size} {status.st_mtime_ns}")
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def write_year(folder: Path, year: int, bars: BarColumns, sources: tuple[str, ...], fetched_at: datetime) -> YearFile:
    """Write the bars of a year under a name of their own and return its entry; nobody sees them before the manifest.

    Raises:
        OSError: when the place cannot be written.
    """
    content = encode_bars(bars)
    digest = hashlib.sha256(content).hexdigest()
    name = f"{year}-{digest[:12]}.parquet"
    put_in_place(folder / name, content)
    first, last = stamp(int(bars.start_ns[0])), stamp(int(bars.start_ns[-1]))
    return YearFile(name, digest, len(bars.start_ns), first, last, sources, _text(fetched_at))


def encode_bars(bars: BarColumns) -> bytes:
    """Return the bars as the content of a Parquet file: timestamp (the start) and end in UTC, and the numbers."""
    from io import BytesIO

    import pyarrow as pa
    from pyarrow import parquet

    moment = pa.timestamp("ns", "UTC")
    # Under these names other readers, our own of single files included, know what they have.
    columns = {"timestamp": _arrow(bars.start_ns, moment), "end": _arrow(bars.end_ns, moment)}
    columns |= {name: _arrow(getattr(bars, name), pa.float64()) for name in _NUMBERS}
    written = BytesIO()
    parquet.write_table(pa.table(columns), written, compression="zstd", use_dictionary=False)
    return written.getvalue()


def read_year(folder: Path, entry: YearFile) -> BarColumns:
    """Return the bars of one file, after its hash was compared.

    Raises:
        DataGap: when the file is another than the manifest says.
        FileNotFoundError: when it is gone; the manifest may have moved on.
    """
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / entry.file
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise DataGap(
            f"{path}: its {len(content)} bytes are not those that were written (the hash differs from {MANIFEST}); "
            f"{_cure(folder)}"
        )
    with parquet.ParquetFile(pa.BufferReader(content)) as file:
        table = file.read()
    # Nanoseconds, as they were written; a cast to integers would import pyarrow.compute, which takes longer than this.
    start, end = (_values(table[name], np.int64) for name in ("timestamp", "end"))
    return BarColumns(start, end, *(_values(table[name], np.float64) for name in _NUMBERS))


def _arrow(values: Any, kind: Any) -> Any:
    """Return an array of 8-byte values, through its buffer: pyarrow.array() would import pandas."""
    import pyarrow as pa

    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values).data)])


def _values(column: Any, dtype: type[np.generic]) -> Any:
    """Return a column without nulls as an array, through its buffers: to_numpy() would import pandas."""
    parts = [
        np.frombuffer(chunk.buffers()[1], dtype, len(chunk), chunk.offset * 8) for chunk in column.chunks if len(chunk)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _cure(folder: Path) -> str:
    return (
        f"put the file back from a copy, or remove the folder {folder} and fetch {folder.name} again (./desk data "
        "repair says how)"
    )


def stamp(ns: int) -> str:
    """Return a moment as it stands in manifests, "2018-01-02T14:30:00Z"."""
    return f"{np.datetime64(ns, 'ns').astype('datetime64[s]')}Z"


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
