"""Sessions written down so that a person can read them and a program can play them again.

One line per message, in the order in which it passed:

    0.000000 * 1 opened
    0.000214 > 1 hello text=v157..178
    0.000391 < 1 version serverVersion=178 time="20261119 10:00:00 EST"
    0.000702 > 1 startApi version=2 clientId=1 optionalCapabilities=""
    0.000958 < 1 managedAccounts version=1 accounts=DU0000001
    0.004100 < 1 historicalData reqId=3 start="" end="" bars=1 [date=20261118 open=180.1 ... count=412]

that is: seconds since the start, direction (`>` from the client, `<` from the server, `*` the connection
itself), connection number, message, and every field of the wire with its name at the negotiated version.
The values are the wire's own texts, so nothing is lost: `wire_bytes` gives back what was sent. A field
without a known name is `?n`, a message without one `#id`, bytes that are no message are hexadecimal.
A protobuf message (server versions from 201 on) is shown decoded where its fields are known; its bytes
stand at the end of the line as `pb=`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

from quant_trading.tws_sim.fields import (
    Field,
    FieldError,
    Fixed,
    Item,
    Layout,
    Many,
    Values,
    When,
    decode,
    format_number,
)
from quant_trading.tws_sim.protobuf import decode as decode_protobuf
from quant_trading.tws_sim.protobuf_requests import REQUEST_TABLES
from quant_trading.tws_sim.protobuf_responses import RESPONSE_TABLES
from quant_trading.tws_sim.requests import REQUEST_NAMES, REQUESTS
from quant_trading.tws_sim.responses import RESPONSE_NAMES, RESPONSES

__all__ = [
    "FIRST_RAW_ID_VERSION", "PROTOBUF_OFFSET", "Direction", "Kind", "Named", "Record", "Transcript", "TranscriptError",
    "format_record", "format_transcript", "name_fields", "name_protobuf", "parse_record", "parse_transcript",
    "wire_bytes",
]  # fmt: skip

FIRST_RAW_ID_VERSION = 201
"""From this server version on a message begins with its id as four raw bytes (documented)."""

PROTOBUF_OFFSET = 200
"""A raw id above this is that of a protobuf message, by so much higher (documented)."""

_HEAD = "# tws-transcript 1"
_PREFIX = b"API\0"
_US = 1_000_000

Named = tuple[str, str]
"""A field: its path ("bars[3].close") and its text on the wire."""


class TranscriptError(ValueError):
    """A transcript cannot be read; the message names the line and what was expected there."""


class Direction(Enum):
    """Who speaks; the values are what stands in the line."""

    CLIENT = ">"
    SERVER = "<"
    LINK = "*"


class Kind(Enum):
    """What a line holds."""

    LINK = "an event of the connection: opened, closed"
    HELLO = "the client's first message"
    VERSION = "the server's first message"
    TEXT = "a message of text fields"
    PROTOBUF = "a message of protobuf fields"
    BYTES = "bytes that are no message"


@dataclass(frozen=True, slots=True)
class Record:
    """One line.

    Attributes:
        at_us: microseconds since the start of the transcript.
        connection: 1 for the first one opened, and so on.
        name: the message's name in the API's own words, "#123" when it has none.
        fields: in the order of the wire; empty for bytes.
        payload: a protobuf message without its id, or the bytes as they are.
    """

    at_us: int
    connection: int
    direction: Direction
    kind: Kind
    name: str
    fields: tuple[Named, ...] = ()
    payload: bytes = b""

    def get(self, path: str, default: str = "") -> str:
        """Return the text of the first field of that path."""
        return next((text for name, text in self.fields if name == path), default)


@dataclass(frozen=True, slots=True)
class Transcript:
    """The lines in order, and what was noted about their origin."""

    records: tuple[Record, ...]
    notes: Mapping[str, str] = field(default_factory=dict)

    def connections(self) -> dict[int, tuple[Record, ...]]:
        """Return the lines by connection."""
        found: dict[int, list[Record]] = {}
        for record in self.records:
            found.setdefault(record.connection, []).append(record)
        return {number: tuple(records) for number, records in found.items()}


# Names of fields


def name_fields(texts: tuple[str, ...], direction: Direction, version: int) -> tuple[str, tuple[Named, ...]]:
    """Return the name of a text message and its fields with their names.

    Args:
        texts: the wire's fields, the message id first.
    """
    layout = _layout_of(texts[0], direction)
    if layout is None:
        return f"#{texts[0]}", _positional(texts[1:], 1)
    body = texts[1:]
    try:
        values = decode(layout, body, version).values
    except FieldError:
        return layout.name, _positional(body, 1)
    paths = list(_paths(layout.items, values, version, ""))[: len(body)]
    return layout.name, (*zip(paths, body, strict=False), *_positional(body[len(paths) :], len(paths) + 1))


def name_protobuf(name: str, direction: Direction, payload: bytes) -> tuple[Named, ...]:
    """Return the fields of a protobuf message that are set, by the names of the text layouts; none when unknown."""
    table = REQUEST_TABLES.get(name)
    if direction is Direction.SERVER:
        answer = RESPONSE_TABLES.get(name)
        table = answer.table if answer is not None else None
    if table is None:
        return ()
    try:
        return tuple(_flattened(decode_protobuf(name, table, payload), ""))
    except FieldError:
        return ()


def _flattened(values: Mapping[str, Any], prefix: str) -> Iterator[Named]:
    for name, value in values.items():
        if isinstance(value, list):
            yield prefix + name, str(len(value))
            for place, row in enumerate(value):
                yield from _flattened(row, f"{prefix}{name}[{place}].")
        elif isinstance(value, bool):
            yield prefix + name, str(int(value))
        elif value is not None:
            yield prefix + name, format_number(value) if isinstance(value, Decimal) else str(value)


def _layout_of(text: str, direction: Direction) -> Layout | None:
    # Only the plain spelling of a number has a name, so that the name gives the same bytes back.
    if not (text.isascii() and text.isdigit() and len(text) < 6 and str(int(text)) == text):
        return None
    return (REQUESTS if direction is Direction.CLIENT else RESPONSES).get(int(text))


def _positional(texts: Iterable[str], start: int) -> tuple[Named, ...]:
    return tuple((f"?{place}", text) for place, text in enumerate(texts, start=start))


def _paths(items: tuple[Item, ...], values: Values, version: int, prefix: str) -> Iterator[str]:
    """Yield the path of each wire field of a message that was decoded to `values`."""
    for item in items:
        if not item.since <= version < item.until:
            continue
        if isinstance(item, Field):
            yield prefix + item.name
        elif isinstance(item, Fixed):
            yield f"{prefix}version"
        elif isinstance(item, Many):
            yield prefix + item.name
            for place, row in enumerate(values.get(item.name) or ()):
                yield from _paths(item.items, row, version, f"{prefix}{item.name}[{place}].")
        elif isinstance(item, When):
            if item.test(values):
                yield from _paths(item.items, values, version, prefix)
        else:
            # The rest of the message, whatever it is: its fields have places, not names.
            return


# Lines

_BARE = re.compile(r"[^\s\"\[\]=\x00-\x20\x7f-\U0010ffff]+")
_TOKEN = re.compile(r"(?P<open>\[)|(?P<close>\])|(?P<name>[^\s\"\[\]=]+)=(?:(?P<quoted>\"(?:[^\"\\]|\\.)*\")|(?P<bare>[^\s\"\[\]=]+))")  # fmt: skip  # noqa: E501
_LINE = re.compile(r"(?P<at>[0-9]+\.[0-9]{6}) (?P<direction>[<>*]) (?P<connection>[0-9]+) (?P<name>\S+)(?: (?P<rest>.*))?")  # fmt: skip  # noqa: E501
_LINKS = ("opened", "closed")
_BYTES, _HELLO, _VERSION, _PAYLOAD = "bytes", "hello", "version", "pb"


def format_record(record: Record) -> str:
    """Return the line of a record, without its end."""
    at = f"{record.at_us // _US}.{record.at_us % _US:06d}"
    parts = [at, record.direction.value, str(record.connection), record.name, *_format_fields(record.fields)]
    if record.kind is Kind.PROTOBUF:
        parts.append(f"{_PAYLOAD}={record.payload.hex() or '-'}")
    elif record.kind is Kind.BYTES:
        parts.append(f"hex={record.payload.hex() or '-'}")
    return " ".join(parts)


def _format_fields(fields: tuple[Named, ...]) -> Iterator[str]:
    """Yield the tokens of a line; rows of a group stand in brackets behind its count."""
    level: list[str] = []
    opened = ""
    for path, text in fields:
        *rows, name = path.split(".")
        shared = 0
        while shared < min(len(level), len(rows)) and level[shared] == rows[shared]:
            shared += 1
        closing, opening = "]" * (len(level) - shared), "[" * (len(rows) - shared)
        if closing:
            yield opened + closing
            opened = ""
        elif opened:
            yield opened
        level = rows
        opened = f"{opening}{name}={_quote(text)}"
    if opened:
        yield opened + "]" * len(level)


def _quote(text: str) -> str:
    return text if _BARE.fullmatch(text) else json.dumps(text)


def parse_record(line: str) -> Record:
    """Return the record of a line.

    Raises:
        TranscriptError: when it is none.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise TranscriptError(f"expected 'seconds direction connection message fields', received {line[:60]!r}")
    seconds, _, fraction = match["at"].partition(".")
    direction, name = Direction(match["direction"]), match["name"]
    kind = _kind_of(direction, name)
    fields = _parse_fields(match["rest"] or "")
    payload = b""
    last = fields[-1] if fields else ("", "")
    if kind is not Kind.LINK and last[0] == _PAYLOAD:
        kind = Kind.PROTOBUF
    if kind in (Kind.PROTOBUF, Kind.BYTES):
        fields, payload = fields[:-1], _parse_hex(last[1])
    elif kind is Kind.TEXT and not name.startswith("#") and name not in _names(direction):
        raise TranscriptError(f"{name} is no message {_speaker(direction)} sends; write #id for one without a name")
    return Record(int(seconds) * _US + int(fraction), int(match["connection"]), direction, kind, name, fields, payload)


def _kind_of(direction: Direction, name: str) -> Kind:
    if direction is Direction.LINK:
        if name not in _LINKS:
            raise TranscriptError(f"a connection is {' or '.join(_LINKS)}, received {name!r}")
        return Kind.LINK
    if name == _BYTES:
        return Kind.BYTES
    if (direction, name) == (Direction.CLIENT, _HELLO):
        return Kind.HELLO
    return Kind.VERSION if (direction, name) == (Direction.SERVER, _VERSION) else Kind.TEXT


def _names(direction: Direction) -> Mapping[str, Layout]:
    return REQUEST_NAMES if direction is Direction.CLIENT else RESPONSE_NAMES


def _speaker(direction: Direction) -> str:
    return "a client" if direction is Direction.CLIENT else "a server"


def _parse_hex(text: str) -> bytes:
    try:
        return b"" if text == "-" else bytes.fromhex(text)
    except ValueError:
        raise TranscriptError(f"expected hexadecimal bytes, received {text[:40]!r}") from None


def _parse_fields(rest: str) -> tuple[Named, ...]:
    fields: list[Named] = []
    # One entry per open bracket: the prefix of its row; and per level the group the next bracket belongs to.
    prefixes, groups, rows = [""], [""], [0]
    at = 0
    while at < len(rest):
        if rest[at] == " ":
            at += 1
            continue
        match = _TOKEN.match(rest, at)
        if match is None:
            raise TranscriptError(f"expected name=value, received {rest[at : at + 40]!r}")
        at = match.end()
        if match["open"]:
            if not groups[-1]:
                raise TranscriptError("a row in brackets has to follow the count of its group")
            prefixes.append(f"{prefixes[-1]}{groups[-1]}[{rows[-1]}].")
            rows[-1] += 1
            groups.append("")
            rows.append(0)
        elif match["close"]:
            if len(prefixes) == 1:
                raise TranscriptError("a bracket is closed that was not opened")
            del prefixes[-1], groups[-1], rows[-1]
        else:
            text = json.loads(match["quoted"], strict=False) if match["quoted"] is not None else match["bare"]
            fields.append((prefixes[-1] + match["name"], text))
            groups[-1], rows[-1] = match["name"], 0
    if len(prefixes) > 1:
        raise TranscriptError("a bracket is not closed")
    return tuple(fields)


def format_transcript(transcript: Transcript) -> str:
    """Return the whole file."""
    notes = [f"# {name}: {text}" for name, text in transcript.notes.items()]
    return "\n".join([_HEAD, *notes, *map(format_record, transcript.records), ""])


def parse_transcript(text: str, source: str = "transcript") -> Transcript:
    """Return what a file holds; empty lines and remarks behind `#` are allowed between the messages.

    Raises:
        TranscriptError: names `source`, the line and what is wrong with it.
    """
    lines = text.split("\n")
    if lines[0].rstrip() != _HEAD:
        raise TranscriptError(f"{source}:1: expected {_HEAD!r}, received {lines[0][:60]!r}")
    notes: dict[str, str] = {}
    records: list[Record] = []
    for number, line in enumerate(lines[1:], start=2):
        stripped = line.strip()
        if stripped.startswith("#"):
            name, colon, value = stripped[1:].strip().partition(": ")
            if colon and not records:
                notes[name] = value
        elif stripped:
            try:
                records.append(parse_record(stripped))
            except TranscriptError as error:
                raise TranscriptError(f"{source}:{number}: {error}") from None
    return Transcript(tuple(records), notes)


# Bytes


def wire_bytes(record: Record, version: int = 0) -> bytes:
    """Return the bytes that passed; none for an event of the connection.

    Args:
        version: the negotiated server version, which says how a message's id is written.
    """
    if record.kind is Kind.LINK:
        return b""
    if record.kind is Kind.BYTES:
        return record.payload
    if record.kind is Kind.HELLO:
        return _PREFIX + _framed(_encoded(record.get("text")))
    texts = [text for _, text in record.fields]
    if record.kind is Kind.VERSION:
        return _framed(_joined(texts))
    message_id = record.name[1:] if record.name.startswith("#") else str(_names(record.direction)[record.name].id)
    if record.kind is Kind.PROTOBUF:
        return _framed((int(message_id) + PROTOBUF_OFFSET).to_bytes(4, "big") + record.payload)
    if version >= FIRST_RAW_ID_VERSION:
        return _framed(int(message_id).to_bytes(4, "big") + _joined(texts))
    return _framed(_joined([message_id, *texts]))


def _framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def _encoded(text: str) -> bytes:
    # What was not UTF-8 on the wire is kept in surrogates, and becomes the same bytes again.
    return text.encode("utf-8", "surrogateescape")


def _joined(texts: Iterable[str]) -> bytes:
    return b"".join(_encoded(text) + b"\0" for text in texts)
