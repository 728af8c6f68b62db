"""The append-only truth: what was asked, what was sent, what the broker did.

One folder per account, one segment file per session, one record per line:

    crc32 seq prevhash json\\n

`crc32` covers the rest of the line. `seq` counts on through all segments. `prevhash` is the start of the SHA-256 of the
line before, across segments, so a record cannot be changed, taken out or moved without breaking the chain. A record
is durable when `append` returns: nothing may be sent before that.

A crash can leave a last record half written. Its `append` never returned, so nothing was done on the strength of it:
it is cut off, kept aside in a `.torn` file and noted. An unreadable record with a readable one after it cannot come
from a crash: the journal refuses to be used.
"""

import json
import logging
import math
import operator
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from quant_trading.desk.disk import Disk, DiskFile, RealDisk
from quant_trading.domain.errors import JournalError
from quant_trading.ports import Clock

__all__ = ["Disk", "FileJournal", "Kind", "RealDisk", "Record", "read_journal"]

_log = logging.getLogger(__name__)
_FORMAT = 1
_NO_HASH = "0" * 64
_SHORT = 8
_MAX_LINE_BYTES = 4 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LINE = re.compile(rb"([0-9a-f]{8}) ([0-9]{1,15}) ([0-9a-f]{8}) (\{.*\})", re.DOTALL)
_LINE_START = re.compile(rb"[0-9a-f]{8} [0-9]{1,15} [0-9a-f]{8} \{")
_SEGMENT_NAME = re.compile(r"([0-9]{6})-([0-9]{4}-[0-9]{2}-[0-9]{2})\.journal")


class Kind(StrEnum):
    """What a record says."""

    SEGMENT = "SEGMENT"  # first record of each file: format, account, link to the file before
    RUN_START = "RUN_START"
    PLAN = "PLAN"
    RISK = "RISK"
    SUBMIT = "SUBMIT"
    ACK = "ACK"
    STATUS = "STATUS"
    FILL = "FILL"
    COMM = "COMM"
    CANCEL_REQ = "CANCEL_REQ"
    END = "END"
    LOST = "LOST"
    RECON = "RECON"
    LOCK = "LOCK"
    UNLOCK = "UNLOCK"
    HALT = "HALT"
    ARM = "ARM"
    NOTE = "NOTE"
    RUN_END = "RUN_END"


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the journal.

    Attributes:
        kind: what it says.
        seq: its number, rising by 1 through all segments.
        ts_ns: UTC nanoseconds of our clock when it was written.
        session: exchange date of the session it belongs to.
        run_id: the run that wrote it.
        payload: JSON values; amounts are decimal strings.
    """

    kind: Kind
    seq: int
    ts_ns: int
    session: date
    run_id: str
    payload: Mapping[str, Any]


@dataclass(slots=True)
class _Chain:
    """Where the next record must link to."""

    seq: int = 0
    last_hash: str = _NO_HASH


@dataclass(frozen=True, slots=True)
class _Segment:
    path: Path
    ordinal: int
    session: date


class FileJournal:
    """The journal of one account, open for one run; made by `FileJournal.open`."""

    def __init__(
        self,
        folder: Path,
        account: str,
        session: date,
        run_id: str,
        clock: Clock,
        disk: Disk,
        release: Callable[[], None],
    ) -> None:
        self._folder, self._account, self._session, self._run_id = folder, account, session, run_id
        self._clock, self._disk, self._release = clock, disk, release
        self._chain = _Chain()
        self._own: list[Record] = []
        self._file: DiskFile | None = None
        self._failure = "it is not open"
        self._is_closed = False

    @classmethod
    def open(
        cls, directory: Path, account: str, session_date: date, run_id: str, clock: Clock, disk: Disk | None = None
    ) -> "FileJournal":
        """Lock the journal in `directory`, verify all of it, and begin or continue the session's segment.

        Args:
            directory: the account's journal folder; created when missing.
            account: bound to the folder by its first record.
            session_date: exchange date of the session.
            run_id: written into every record.
            clock: stamps the records.
            disk: where it is kept; the machine's own by default.

        Raises:
            JournalError: when another run holds it, it belongs to another account, a record is unreadable in the
                middle, or the disk refuses.
        """
        disk = RealDisk() if disk is None else disk
        try:
            disk.make_folder(directory)
            release = disk.lock(directory / "lock")
        except BlockingIOError as error:
            raise JournalError(f"{directory}: another run is active on this account; wait until it has ended, then "
                               "start again") from error  # fmt: skip
        except OSError as error:
            raise JournalError(f"{directory}: the journal cannot be opened: {error}; nothing was sent") from error
        journal = cls(directory, account, session_date, run_id, clock, disk, release)
        try:
            journal._load()
        except OSError as error:
            journal.close()
            raise JournalError(f"{directory}: the journal cannot be read: {error}; nothing was sent") from error
        except JournalError:
            journal.close()
            raise
        return journal

    def append(self, kind: str, payload: Mapping[str, object]) -> int:
        """Write one record and return its number once it is durable.

        Args:
            kind: one of `Kind`.
            payload: text, numbers, None, lists and mappings; Decimal, Enum and dates become text.

        Raises:
            JournalError: when it could not be made durable; nothing may be sent after that, and every later append
                fails too.
        """
        if self._file is None:
            raise JournalError(f"{self._folder}: the journal takes no more records: {self._failure}")
        known = Kind(kind)
        seq = self._chain.seq + 1
        ts_ns = (self._clock.now() - _EPOCH) // timedelta(microseconds=1) * 1000
        body = {"t": known.value, "ts_ns": ts_ns, "sess": self._session.isoformat(), "run_id": self._run_id,
                "payload": _plain(payload, known.value)}  # fmt: skip
        line = _encode(seq, self._chain.last_hash, body)
        try:
            self._file.write(line + b"\n")
            self._file.sync()
        except BaseException as error:  # Ctrl-C too may leave half a line, which the next record must not follow
            # Never tried again: after a failed sync the system may have dropped the pages and report success.
            self._fail(f"record {seq} ({known.value}) could not be made durable: {error}")
            if not isinstance(error, OSError):
                raise
            raise JournalError(f"{self._folder}: {self._failure}; stop, look at the disk, start again") from error
        self._chain = _Chain(seq, sha256(line).hexdigest())
        parts = _whole(line)
        assert parts is not None
        self._own.append(_decode(parts))
        return seq

    def records(self) -> Iterator[Record]:
        """Return this session's records in order, those of earlier runs and of this one."""
        return iter(tuple(self._own))

    def all_records(self) -> Iterator[Record]:
        """Yield the records of every session of this account in order, this one's included."""
        return read_journal(self._folder, self._disk)

    @property
    def last_hash(self) -> str:
        """Return the SHA-256 of the last record's line: it seals everything before it."""
        return self._chain.last_hash

    def close(self) -> None:
        """Give the journal free; safe to call twice."""
        if not self._is_closed:
            self._is_closed = True
            self._fail("it was closed")
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fail(self, reason: str) -> None:
        self._failure = reason
        if self._file is not None:
            self._file.close()
            self._file = None

    def _load(self) -> None:
        segments = _list_segments(self._folder, self._disk)
        torn = ""
        for segment in segments:
            is_newest = segment is segments[-1]
            data = self._disk.read(segment.path)
            records, good_bytes = _scan(data, segment, self._chain, self._account, may_be_torn=is_newest)
            if good_bytes < len(data):
                torn = self._set_aside(segment, data[good_bytes:], good_bytes)
            if not records and is_newest:
                self._begin_segment(segment)
            self._own += [r for r in records if r.session == self._session]
        newest = segments[-1] if segments else None
        if newest is None or newest.session != self._session:
            newest = self._next_segment(newest)
            self._begin_segment(newest)
        self._file = self._disk.open_append(newest.path)
        if torn:
            _log.warning("%s", torn)
            self.append(Kind.NOTE, {"text": torn})

    def _next_segment(self, newest: _Segment | None) -> _Segment:
        ordinal = 1 if newest is None else newest.ordinal + 1
        return _Segment(self._folder / f"{ordinal:06d}-{self._session.isoformat()}.journal", ordinal, self._session)

    def _begin_segment(self, segment: _Segment) -> None:
        """Write the first record of `segment`, which is empty or does not exist yet."""
        session, self._session = self._session, segment.session
        self._file = self._disk.open_append(segment.path)
        self._disk.sync_folder(self._folder)
        self.append(Kind.SEGMENT, {"format": _FORMAT, "account": self._account, "segment": segment.ordinal,
                                   "previous_hash": self._chain.last_hash})  # fmt: skip
        self._file.close()
        self._session = session
        if segment.session != session:
            self._own.pop()

    def _set_aside(self, segment: _Segment, tail: bytes, good_bytes: int) -> str:
        aside = segment.path.with_suffix(".torn")
        copy = self._disk.open_append(aside)
        try:
            copy.write(tail)
            copy.sync()
        finally:
            copy.close()
        self._disk.sync_folder(self._folder)
        self._disk.cut(segment.path, good_bytes)
        return (f"{segment.path.name}: the last record was half written ({len(tail)} bytes after byte {good_bytes}); "
                f"it was cut off and kept in {aside.name}")  # fmt: skip


def read_journal(directory: Path, disk: Disk | None = None) -> Iterator[Record]:
    """Yield every record of every session in order, without locking or changing anything.

    A half written last record is left out; so a reader can look on while a run writes.

    Raises:
        JournalError: at the first record that is unreadable in the middle or breaks the chain.
    """
    disk = RealDisk() if disk is None else disk
    chain = _Chain()
    segments = _list_segments(directory, disk)
    for segment in segments:
        records, _ = _scan(disk.read(segment.path), segment, chain, None, may_be_torn=segment is segments[-1])
        yield from records


def _list_segments(folder: Path, disk: Disk) -> list[_Segment]:
    found = []
    for name in disk.names(folder):
        match = _SEGMENT_NAME.fullmatch(name)
        if match:
            found.append(_Segment(folder / name, int(match[1]), date.fromisoformat(match[2])))
    return sorted(found, key=lambda segment: segment.ordinal)


def _scan(
    data: bytes, segment: _Segment, chain: _Chain, account: str | None, *, may_be_torn: bool
) -> tuple[list[Record], int]:
    """Return the records of one segment and how many bytes they fill; `chain` is moved along.

    Args:
        data: the file.
        segment: which file it is.
        chain: where the record before it ended.
        account: what the segment must be bound to; None takes any.
        may_be_torn: an unreadable end is a half written record, not damage.
    """
    records: list[Record] = []
    offset = 0
    while (end := data.find(b"\n", offset)) >= 0:
        line = data[offset:end]
        parts = _whole(line)
        if parts is None:
            break
        number = len(records) + 1
        try:
            record = _decode(parts)
        except (KeyError, ValueError) as error:
            raise JournalError(f"{segment.path}: line {number} is of a form this version does not know ({error}); "
                               "use the version of the desk that wrote it") from error  # fmt: skip
        _check_link(parts, record, segment, chain, number)
        if number == 1:
            _check_header(record, segment, account)
        chain.seq, chain.last_hash = record.seq, sha256(line).hexdigest()
        records.append(record)
        offset = end + 1
    tail = data[offset:]
    if tail and (not may_be_torn or _holds_whole_record(tail)):
        raise JournalError(f"{segment.path}: line {len(records) + 1} is unreadable and records follow it; this is no "
                           "crash but damage: keep a copy, restore the file from a backup and compare with TWS "
                           "before trading")  # fmt: skip
    return records, offset


def _check_link(parts: re.Match[bytes], record: Record, segment: _Segment, chain: _Chain, number: int) -> None:
    if record.seq != chain.seq + 1 or parts[3].decode() != chain.last_hash[:_SHORT]:
        raise JournalError(f"{segment.path}: line {number} (record {record.seq}) does not follow record {chain.seq}: "
                           "a record or a file before it is missing or was changed; restore the folder from a "
                           "backup and compare with TWS before trading")  # fmt: skip


def _check_header(record: Record, segment: _Segment, account: str | None) -> None:
    if record.kind is not Kind.SEGMENT:
        raise JournalError(f"{segment.path}: line 1 is a {record.kind.value} record, a SEGMENT record is expected; "
                           "restore the file from a backup")  # fmt: skip
    if record.payload.get("format") != _FORMAT:
        raise JournalError(f"{segment.path}: format {record.payload.get('format')} is not {_FORMAT}; "
                           "use the version of the desk that wrote it")  # fmt: skip
    bound = record.payload.get("account")
    if account is not None and bound != account:
        raise JournalError(f"{segment.path}: belongs to account {bound}, this run uses {account}; "
                           "give each account its own folder")  # fmt: skip


def _encode(seq: int, last_hash: str, body: Mapping[str, object]) -> bytes:
    text = json.dumps(body, separators=(",", ":"), allow_nan=False)
    rest = f"{seq} {last_hash[:_SHORT]} {text}".encode("ascii")
    if len(rest) > _MAX_LINE_BYTES:
        raise JournalError(
            f"record {seq} has {len(rest)} bytes, at most {_MAX_LINE_BYTES} are written; nothing was sent"
        )
    return b"%08x %b" % (zlib.crc32(rest), rest)


def _whole(line: bytes) -> re.Match[bytes] | None:
    """Return the parts of a line that is complete and unchanged, else None."""
    parts = _LINE.fullmatch(line)
    return parts if parts is not None and zlib.crc32(line[_SHORT + 1 :]) == int(parts[1], 16) else None


def _holds_whole_record(tail: bytes) -> bool:
    """Return whether a complete record stands anywhere in `tail`, also where a line break before it was lost."""
    for match in _LINE_START.finditer(tail):
        end = tail.find(b"\n", match.start())
        if end >= 0 and _whole(tail[match.start() : end]):
            return True
    return False


def _decode(parts: re.Match[bytes]) -> Record:
    body = json.loads(parts[4].decode())  # a desk that has run for a year reads ten thousand of them at each start
    return Record(Kind(body["t"]), int(parts[2]), body["ts_ns"], date.fromisoformat(body["sess"]), body["run_id"],
                  body["payload"])  # fmt: skip


def _plain(value: object, where: str) -> object:
    """Return `value` in JSON's own types, so that what is read back equals what was written."""
    if value is None or (isinstance(value, bool | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return _plain(value.value, where)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    try:
        return operator.index(value)  # type: ignore[arg-type]  # numpy's whole numbers have it, others raise
    except TypeError:
        raise JournalError(f"{where}: a {type(value).__name__} cannot be journalled; give text, numbers, lists or "
                           "mappings") from None  # fmt: skip
