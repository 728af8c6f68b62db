"""From the text of one value to a Python value, refusing everything that could be read in two ways.

YAML 1.1 reads `NO` as false, `010` as 8, `16:00` as 960 and `1e5` as text; a trading desk may not. Values therefore
stay text until the setting they belong to says what it wants, and are converted here. Every function raises
ValueError with the end of a sentence that begins `<file>: <key> = <value> `.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["Quoted", "Within", "is_secret", "nearest", "one_of", "show", "to_flag", "to_free", "to_number", "to_text",
           "to_whole"]  # fmt: skip

_NUMBER = re.compile(r"[+-]?(?:(?P<whole>[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?\.?(?:inf|infinity|nan)", re.IGNORECASE)
_SECRET_WORDS = ("secret", "token", "password", "passwd", "credential")
_SHOWN_CHARACTERS = 60
_LARGEST_EXACT = 2**53


class Quoted(str):
    """Text that stood in quotes: it is meant as text and never becomes a number or a flag."""


def to_number(value: object) -> float:
    """Return a finite float; text must be a plain decimal number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("is not a number")
    if isinstance(value, str):
        _check_number_text(value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("is not a finite number; write a decimal number")
    return number


def to_whole(value: object) -> int:
    """Return an int; text may be a decimal number without a fraction, such as 1e5."""
    try:
        number = to_number(value)
    except ValueError as error:
        raise ValueError(str(error).replace("is not a number", "is not a whole number")) from None
    if number != math.floor(number) or abs(number) > _LARGEST_EXACT:
        raise ValueError("is not a whole number")
    return int(number)


def to_flag(value: object) -> bool:
    """Return a bool; text must be exactly `true` or `false`."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and not isinstance(value, Quoted) and value in ("true", "false"):
        return value == "true"
    raise ValueError("is not true or false; write true or false, in small letters and without quotes")


def to_text(value: object) -> str:
    """Return one line of text without spaces around it."""
    if not isinstance(value, str):
        raise ValueError("is not text")
    if not value.strip():
        raise ValueError("is empty; write a value or take the line out")
    if value != value.strip() or not value.isprintable():
        raise ValueError("has spaces around it or characters that cannot be printed; write it on one line")
    return str(value)


def to_free(value: object) -> bool | int | float | str:
    """Return a strategy's parameter in the type its text shows: true/false, whole number, number, else text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if isinstance(value, int) else to_number(value)
    text = to_text(value)
    if isinstance(value, Quoted):
        return text
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        number = to_number(text)
        return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else number
    return text


@dataclass(frozen=True, slots=True)
class Within:
    """A check that a number lies between two bounds.

    Attributes:
        low, high: the bounds.
        low_open: the low bound itself is refused.
        is_share: the number is a share, so 20 was probably meant as 20 %.
    """

    low: float
    high: float
    low_open: bool = False
    is_share: bool = False

    def __call__(self, value: float) -> float:
        above = value > self.low if self.low_open else value >= self.low
        if above and value <= self.high:
            return value
        span = f"{'(' if self.low_open else '['}{self.low:.12g}, {self.high:.12g}]"
        if self.is_share and abs(value) > self.high:
            raise ValueError(f"is not within {span}; write {value / 100:.12g} for {value:.12g} %")
        raise ValueError(f"is not within {span}")


def one_of(*names: str) -> Callable[[object], str]:
    """Return a check that a text is one of `names`, which proposes the nearest."""

    def check(value: object) -> str:
        text = to_text(value)
        if text not in names:
            near = nearest(text, names)
            raise ValueError(
                f"is not one of {', '.join(names)}" + (f"; did you mean {near}?" if near else "; write one of them")
            )
        return text

    return check


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` was probably meant to be, else None."""
    import difflib  # for those who mistype

    by_small = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower(), list(by_small), n=1, cutoff=0.6)
    return by_small[found[0]] if found else None


def show(value: object) -> str:
    """Return `value` as it may stand in a one-line message: printable and short."""
    text = "nothing" if value is None else str(value)
    if not text.isprintable():
        text = text.encode("unicode_escape").decode("ascii")
    if isinstance(value, Quoted):
        text = f'"{text}"'
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def is_secret(name: str) -> bool:
    """Return whether a value of this name is masked wherever it is shown."""
    small = name.lower()
    return any(word in small for word in _SECRET_WORDS) or re.search(r"(?:^|[_.-])(?:api)?key$", small) is not None


def _check_number_text(text: str) -> None:
    if isinstance(text, Quoted):
        raise ValueError("is text in quotes, a number is expected; take the quotes off")
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("is not a finite number; write a decimal number")
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError("is not a number")
    whole = found["whole"] or "0"
    if len(whole) > 1 and whole.startswith("0"):
        raise ValueError(f"has a leading zero, which could mean base 8; write {whole.lstrip('0') or '0'}")
