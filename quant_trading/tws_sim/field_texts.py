"""One field of a TWS message as text: numbers, flags and words as TWS writes them, and how they are read back."""

import re
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Any

__all__ = ["READERS", "UNSET_DOUBLE", "WRITERS", "Kind", "format_number", "read_integer"]

UNSET_DOUBLE = "1.7976931348623157E308"
"""The largest double, which TWS writes where a number is absent and may not be left empty."""

_UNSET_INTEGER = 2147483647
_FLAGS = ("0", "", "1")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_LARGEST = Decimal("1.79e308")


class Kind(Enum):
    """How one field is written."""

    INT = "an integer"
    NUMBER = "a number"
    FLAG = "0 or 1"
    TEXT = "text"
    # Since version 153 TWS sends a few texts as ASCII with escapes, which the official clients undo (read).
    ESCAPED = "text, written in ASCII"

    # By identity: Enum's own hash is a Python call, and every field looks up how it is written.
    __hash__ = object.__hash__


def read_integer(text: str) -> int | None:
    """Return an integer, None when it is unset.

    Raises:
        ValueError: it is none.
    """
    if not text:
        return None
    if len(text) < 10 and text.isdigit() and text.isascii():
        return int(text)
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    value = int(text.partition(".")[0])
    return None if value == _UNSET_INTEGER else value


def _read_number(text: str) -> Decimal | None:
    if not text:
        return None
    if text in ("Infinity", "Infinite"):  # the second is how ib_async and ib_insync write it (read)
        return Decimal("Infinity")
    if len(text) > 400 or not _NUMBER.fullmatch(text):
        raise ValueError(text)
    value = Decimal(text)
    return None if value >= _LARGEST else value


def _read_flag(text: str) -> bool:
    if text in _FLAGS:
        return text == "1"
    lowered = text.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    return bool(read_integer(text))


def format_number(value: Decimal | float | int) -> str:
    """Return a number without exponent and without needless zeros, so that 100 shares are "100".

    The official 9.81 client reads sizes with `int`, which refuses "100.0" (measured).
    """
    if type(value) is int:
        return str(value)
    if type(value) is Decimal:
        # As usual: prices have a few digits and no exponent, shares are whole.
        text = str(value)
        if text.isdigit() or (text[-1] in "123456789" and "E" not in text):
            return text
    elif isinstance(value, float) and abs(value) < 1e15:
        # The usual case, and much cheaper than a detour through Decimal: thousands of bars are written so.
        text = repr(value)
        if "e" not in text and text != "-0.0":
            return text.removesuffix(".0")
    number = value if isinstance(value, Decimal) else Decimal(repr(value))
    if not number.is_finite():
        if number.is_infinite() and number > 0:
            return "Infinity"
        raise ValueError(f"{value!r} is not a finite number")
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _write_integer(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(value)
    return str(value)


def _write_flag(value: Any) -> str:
    return "1" if value else "0"


def _write_text(value: Any) -> str:
    text = str(value)
    if "\0" in text:
        raise ValueError(text)
    return text


def _write_escaped(value: Any) -> str:
    return _write_text(value).encode("unicode-escape").decode("ascii")


def _read_escaped(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("unicode-escape", "backslashreplace")


WRITERS: dict[Kind, Callable[[Any], str]] = {
    Kind.INT: _write_integer,
    Kind.NUMBER: format_number,
    Kind.FLAG: _write_flag,
    Kind.TEXT: _write_text,
    Kind.ESCAPED: _write_escaped,
}
"""How a value that is not None is written; each raises `TypeError` or `ValueError` for what is not of its kind."""

READERS: dict[Kind, Callable[[str], Any]] = {
    Kind.INT: read_integer,
    Kind.NUMBER: _read_number,
    Kind.FLAG: _read_flag,
    Kind.TEXT: str,
    Kind.ESCAPED: _read_escaped,
}
"""How a text is read; each raises `ValueError` for what is not of its kind."""
