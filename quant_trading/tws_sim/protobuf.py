"""The part of protobuf that TWS speaks: one table of field numbers per message, read and written alike.

A table is a tuple of items, each with the number its field has on the wire and the name the same value
has in the text layouts. So a request means the same `Message` whichever way it came, and an answer is
given by the same values whichever way it leaves.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

from quant_trading.tws_sim.fields import FieldError, Values, format_number

__all__ = [
    "Answer", "Form", "Inline", "Item", "List", "Options", "Pairs", "Rows", "Scalar", "Table", "decode", "encode",
]  # fmt: skip

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_DOUBLE = struct.Struct("<d")
_UNSET_DOUBLE = 1.79e308
_UNSET_INTEGERS = frozenset({2147483647, 9223372036854775807})
_LONGEST_NUMBER = 400
# A text of the client's own, echoed: when it is no number, the field for a number has no room for it.
_NUMERAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{0,15})?")


class Form(Enum):
    """How one value travels."""

    INT = "an integer"
    FLAG = "a truth value"
    NUMBER = "a double"
    SIZE = "a number in words"  # quantities travel as text, prices as doubles (read)
    TEXT = "text"
    NUMBER_TEXT = "a double that the text layouts have as text"
    INT_TEXT = "an integer that the text layouts have as text"

    # By identity: Enum's own hash is a Python call, and every field looks up how it is read.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value."""

    number: int
    name: str
    form: Form


@dataclass(frozen=True, slots=True)
class Inline:
    """A message within, whose values stand among those around it; `flag` names the value that says it is there."""

    number: int
    table: "Table"
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """A repeated message: a list of `Values`."""

    number: int
    name: str
    table: "Table"


@dataclass(frozen=True, slots=True)
class List:
    """A repeated scalar: a list of `Values` with the one key `key`, as the text layouts have it."""

    number: int
    name: str
    key: str
    form: Form


@dataclass(frozen=True, slots=True)
class Pairs:
    """A map of texts: a list of `Values` with `tag` and `value`."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class Options:
    """A map of texts that the text layouts have as one text, "tag=value;"."""

    number: int
    name: str


Item = Scalar | Inline | Rows | List | Pairs | Options
Table = tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer's table.

    Attributes:
        since: the first version that has it in protobuf.
        prepare: turns the values of the text form into those of this one.
    """

    since: int
    table: Table
    prepare: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None


_PAIR: Table = (Scalar(1, "tag", Form.TEXT), Scalar(2, "value", Form.TEXT))


# Reading


def decode(where: str, table: Table, payload: bytes) -> Values:
    """Return the values of a message; fields the table does not know are skipped, as protobuf wants it.

    Raises:
        FieldError: when the bytes are no protobuf or a value is not of its form; it carries what was read so far.
    """
    values: Values = {}
    _decode_into(where, table, payload, values, values)
    return values


# By identity: tables are constants, and to hash one is to hash everything within it. Each entry keeps its table.
_INDEXES: dict[int, tuple[Table, dict[int, Item]]] = {}


def _by_number(table: Table) -> dict[int, Item]:
    entry = _INDEXES.get(id(table))
    if entry is None:
        entry = _INDEXES[id(table)] = (table, {item.number: item for item in table})
    return entry[1]


def _decode_into(where: str, table: Table, payload: bytes, values: Values, top: Values) -> None:
    items = _by_number(table)
    for number, content in _split(where, payload, top):
        item = items.get(number)
        if item is None:
            continue
        if isinstance(item, Scalar):
            value = _read(where, item.name, item.form, content, top)
            if value is not None:
                values[item.name] = value
            continue
        if not isinstance(content, bytes):
            if isinstance(item, List):
                _append(where, item, content, values, top)
            continue
        if isinstance(item, Inline):
            if item.flag:
                values[item.flag] = True
            _decode_into(where, item.table, content, values, top)
        elif isinstance(item, Rows):
            row: Values = {}
            _decode_into(f"{where}.{item.name}", item.table, content, row, top)
            values.setdefault(item.name, []).append(row)
        elif isinstance(item, List):
            _append(where, item, content, values, top)
        else:
            pair = {"tag": "", "value": ""}
            _decode_into(f"{where}.{item.name}", _PAIR, content, pair, top)
            if isinstance(item, Pairs):
                values.setdefault(item.name, []).append(pair)
            else:
                values[item.name] = f"{values.get(item.name, '')}{pair['tag']}={pair['value']};"


def _append(where: str, item: List, content: int | float | bytes, values: Values, top: Values) -> None:
    rows = values.setdefault(item.name, [])
    contents: Iterator[int | float | bytes] = iter((content,))
    if isinstance(content, bytes) and item.form in (Form.INT, Form.INT_TEXT):
        contents = _unpack(where, content, top)
    elif isinstance(content, bytes) and item.form is Form.NUMBER:
        contents = (_DOUBLE.unpack_from(content, at)[0] for at in range(0, len(content) - len(content) % 8, 8))
    for one in contents:
        rows.append({item.key: _read(where, item.name, item.form, one, top)})


def _unpack(where: str, content: bytes, top: Values) -> Iterator[int]:
    at = 0
    while at < len(content):
        value, at = _varint(where, content, at, top)
        yield value


def _split(where: str, payload: bytes, top: Values) -> Iterator[tuple[int, int | float | bytes]]:
    """Give (field number, content) of each field in `payload`."""
    at, end = 0, len(payload)
    while at < end:
        tag, at = _varint(where, payload, at, top)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, at = _varint(where, payload, at, top)
            yield number, value
            continue
        if wire_type == _BYTES:
            size, at = _varint(where, payload, at, top)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise FieldError(f"{where}: field {number} has the unknown wire type {wire_type}", top)
        if not 0 <= size <= end - at:
            raise FieldError(f"{where}: field {number} announces {size} bytes, {end - at} are left", top)
        content = payload[at : at + size]
        at += size
        if wire_type == _FIXED64:
            yield number, _DOUBLE.unpack(content)[0]
        elif wire_type == _BYTES:
            yield number, content


def _varint(where: str, payload: bytes, at: int, top: Values) -> tuple[int, int]:
    """Return the integer at `at`, signed as an int64, and where the next thing stands."""
    value = shift = 0
    for place in range(at, min(at + _LONGEST_VARINT, len(payload))):
        byte = payload[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            value &= 0xFFFFFFFFFFFFFFFF
            return (value - (1 << 64) if value >> 63 else value), place + 1
        shift += 7
    raise FieldError(f"{where}: an integer at byte {at} does not end", top)


def _read(where: str, name: str, form: Form, content: int | float | bytes, top: Values) -> Any:
    try:
        return _READERS[form](content)
    except ValueError as error:
        raise FieldError(f"{where}.{name} = {str(content)[:40]} is not {form.value}", top) from error


def _read_integer(content: int | float | bytes) -> int | None:
    if not isinstance(content, int):
        raise ValueError(content)
    return None if content in _UNSET_INTEGERS else content


def _read_flag(content: int | float | bytes) -> bool:
    return bool(_read_integer(content))


def _read_number(content: int | float | bytes) -> Decimal | None:
    if not isinstance(content, float) or content != content:
        raise ValueError(content)
    if content == float("inf"):
        return Decimal("Infinity")
    return None if content >= _UNSET_DOUBLE else Decimal(repr(content))


def _read_text(content: int | float | bytes) -> str:
    if not isinstance(content, bytes):
        raise ValueError(content)
    # A NUL cannot be part of a text anywhere else in the protocol, and must not come back in a text answer.
    return content.decode("utf-8", errors="backslashreplace").replace("\0", "\\0")


def _read_size(content: int | float | bytes) -> Decimal | None:
    text = _read_text(content)
    if not text:
        return None
    if len(text) > _LONGEST_NUMBER or not text.isascii() or "_" in text:
        raise ValueError(text)
    try:
        value = Decimal(text)
    except ArithmeticError as error:
        raise ValueError(text) from error
    if value.is_nan() or (value.is_finite() and abs(value.adjusted()) > _LONGEST_NUMBER):
        raise ValueError(text)
    return value


def _read_number_text(content: int | float | bytes) -> str:
    value = _read_number(content)
    return "" if value is None else format_number(value)


def _read_integer_text(content: int | float | bytes) -> str:
    value = _read_integer(content)
    return "" if value is None else str(value)


_READERS: dict[Form, Callable[[int | float | bytes], Any]] = {
    Form.INT: _read_integer,
    Form.FLAG: _read_flag,
    Form.NUMBER: _read_number,
    Form.SIZE: _read_size,
    Form.TEXT: _read_text,
    Form.NUMBER_TEXT: _read_number_text,
    Form.INT_TEXT: _read_integer_text,
}


# Writing


def encode(where: str, table: Table, values: Mapping[str, Any]) -> bytes:
    """Return the bytes of a message; a value that is None or missing is left out.

    Raises:
        FieldError: when a value does not fit its form, which is a mistake of ours.
    """
    output = bytearray()
    _encode_into(where, table, values, output)
    return bytes(output)


def _encode_into(where: str, table: Table, values: Mapping[str, Any], output: bytearray) -> None:
    for item in table:
        if isinstance(item, Inline):
            if not item.flag or values.get(item.flag):
                _put_message(item.number, encode(where, item.table, values), output)
            continue
        value = values.get(item.name)
        if value is None or value == "":
            continue
        if isinstance(item, Scalar):
            _put(where, item.name, item.form, item.number, value, output)
        elif isinstance(item, Rows):
            for row in value:
                _put_message(item.number, encode(f"{where}.{item.name}", item.table, row), output)
        elif isinstance(item, List):
            for row in value:
                _put(where, item.name, item.form, item.number, row[item.key], output)
        else:
            pairs = value if isinstance(item, Pairs) else _pairs_of(value)
            for pair in pairs:
                _put_message(item.number, encode(f"{where}.{item.name}", _PAIR, pair), output)


def _pairs_of(text: str) -> list[Values]:
    parts = (part.partition("=") for part in text.split(";") if part)
    return [{"tag": tag, "value": value} for tag, _, value in parts]


def _put(where: str, name: str, form: Form, number: int, value: Any, output: bytearray) -> None:
    try:
        _WRITERS[form](number, value, output)
    except (TypeError, ValueError, AttributeError) as error:
        raise FieldError(f"{where}.{name} = {value!r} is not {form.value}", {}) from error


def _put_varint(value: int, output: bytearray) -> None:
    value &= 0xFFFFFFFFFFFFFFFF
    while value > 0x7F:
        output.append(value & 0x7F | 0x80)
        value >>= 7
    output.append(value)


def _put_message(number: int, content: bytes, output: bytearray) -> None:
    _put_varint(number << 3 | _BYTES, output)
    _put_varint(len(content), output)
    output += content


def _put_integer(number: int, value: Any, output: bytearray) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(value)
    _put_varint(number << 3 | _VARINT, output)
    _put_varint(value, output)


def _put_flag(number: int, value: Any, output: bytearray) -> None:
    _put_varint(number << 3 | _VARINT, output)
    output.append(1 if value else 0)


def _put_number(number: int, value: Any, output: bytearray) -> None:
    if isinstance(value, str):
        raise TypeError(value)
    _put_varint(number << 3 | _FIXED64, output)
    output += _DOUBLE.pack(float(value))


def _put_text(number: int, value: Any, output: bytearray) -> None:
    _put_message(number, value.encode("utf-8", errors="backslashreplace"), output)


def _put_size(number: int, value: Any, output: bytearray) -> None:
    _put_message(number, format_number(value).encode("ascii"), output)


def _put_number_text(number: int, value: Any, output: bytearray) -> None:
    if _NUMERAL.fullmatch(value):
        _put_number(number, float(value), output)


def _put_integer_text(number: int, value: Any, output: bytearray) -> None:
    if _NUMERAL.fullmatch(value):
        _put_integer(number, int(float(value)), output)


_WRITERS: dict[Form, Callable[[int, Any, bytearray], None]] = {
    Form.INT: _put_integer,
    Form.FLAG: _put_flag,
    Form.NUMBER: _put_number,
    Form.SIZE: _put_size,
    Form.TEXT: _put_text,
    Form.NUMBER_TEXT: _put_number_text,
    Form.INT_TEXT: _put_integer_text,
}
