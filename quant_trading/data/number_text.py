"""Decimal texts of many floats at once, both ways: several times faster than one by one, and the same to the last bit.

Reading: digits and decimals of a number are two whole numbers; `quotients` divides them and rounds once.
Writing: `joined` gives the shortest text that reads back as the very float, as `repr()` does.

Both compute with pairs of doubles that hold a product exactly (Dekker), and know when that is not enough to decide:
those few numbers are left to Python.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from quant_trading.domain.bars import FloatArray, IntArray

__all__ = ["MOST_DIGITS", "joined", "joined_whole", "quotients"]

MOST_DIGITS = 18  # of a number that is read: they fit into 64 bits
_EXACT = 2**53  # up to here a double holds every whole number
_SPLIT = 134_217_729.0  # 2**27 + 1 cuts a double into two halves whose products are exact
_POWERS = np.array([10.0**k for k in range(23)])  # all of them exact
_SURE = 2.0**-50  # relative; the error of a correction is less than half of it

_LOWEST, _HIGHEST = -4, 8  # exponents of the first digit of what is written here: 0.0001 up to 10**9
_BOUNDS = np.array([1e-4, 1e-3, 1e-2, 1e-1, *(10.0**k for k in range(_HIGHEST + 2))])
_TEN = np.array([10**k for k in range(19)])
_GROUP = 10_000  # digits are written four at a time
_CHUNK = 1 << 13  # work arrays that fit into the cache, and below the size for which memory is asked of the system
_POWER_BITS, _FRACTION_BITS = 0x7FF << 52, (1 << 52) - 1  # of a float: 2**exponent, and what is beside it
_FEW = 48  # so many are written sooner one by one
_ROOM = 7  # words of four characters that hold any number and its comma


def quotients(digits: IntArray, places: IntArray | None) -> FloatArray:
    """Return `digits` / 10**`places`, rounded once, to the nearest float.

    Args:
        digits: int64[T], 0 or more, less than 10**18.
        places: int64[T], 0..18; None = none has decimals.
    """
    high = digits.astype(np.float64)  # rounded above 2**53
    if places is None:
        return high
    divisor = _POWERS[places]
    quotient = high / divisor
    if not len(digits) or int(digits.max()) < _EXACT:
        return np.asarray(quotient)
    product, error = _product(quotient, divisor)
    rest = (high - product) - error + (digits - high.astype(np.int64))
    correction = rest / divisor
    found = quotient + correction * (1.0 + _SURE)
    for i in np.flatnonzero(found != quotient + correction * (1.0 - _SURE)).tolist():
        found[i] = int(digits[i]) / 10 ** int(places[i])
    return np.asarray(found)


def _product(left: FloatArray, right: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the rounded product and what it lacks: both together are exact."""
    product = left * right
    whole = left * _SPLIT
    left_high = whole - (whole - left)
    left_low = left - left_high
    whole = right * _SPLIT
    right_high = whole - (whole - right)
    right_low = right - right_high
    error = ((left_high * right_high - product) + left_high * right_low + left_low * right_high) + left_low * right_low
    return product, error


def joined(values: FloatArray) -> bytes:
    """Return the numbers as JSON has them, with commas between: `repr()` of each, null for what is not finite."""
    if len(values) <= _FEW:
        return ",".join([_one(value) for value in values.tolist()]).encode()
    return _without_first_comma(_written(np.ascontiguousarray(chunk)) for chunk in _chunks(values))


def joined_whole(values: IntArray) -> bytes:
    """Return whole numbers with commas between; int64[T]."""
    if len(values) <= _FEW or int(values.min()) < 0 or int(values.max()) >= _GROUP**3:
        return ",".join(map(str, values.tolist())).encode()
    return _without_first_comma(_text(_rows([_word(","), *_whole_words(part)], len(part))) for part in _chunks(values))


def _chunks(values: Any) -> Iterator[Any]:
    return (values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK))


def _without_first_comma(texts: Iterator[bytes]) -> bytes:
    first = next(texts)
    return b"".join([first[1:], *texts])


def _one(value: float) -> str:
    return repr(value) if value - value == 0.0 else "null"


def _rows(words: list[Any], count: int, room: int = 0) -> Any:
    """Return uint32[count, at least `room`], the words of each number side by side, then zeros."""
    rows = np.zeros((count, max(len(words), room)), dtype=np.uint32)
    for k, word in enumerate(words):
        rows[:, k] = word
    return rows


def _text(rows: Any) -> bytes:
    without: bytes = rows.tobytes().translate(None, b"\0")
    return without


def _are_whole(values: FloatArray) -> bool:
    """Return whether all are whole numbers that `_whole_words` knows, as volumes are; -0.0 is none of them."""
    if not np.isfinite(values).all() or np.signbit(values).any():
        return False
    return bool((values == np.floor(values)).all()) and float(values.max()) < _GROUP**3


def _written(values: FloatArray) -> bytes:
    """Return the texts of a chunk, a comma before each."""
    if _are_whole(values):
        return _text(_rows([_word(","), *_whole_words(values.astype(np.int64)), _word(".0")], len(values)))
    size = np.abs(values)
    is_plain = (size >= _BOUNDS[0]) & (size < _BOUNDS[-1])
    given = np.where(is_plain, size, 1.0)
    exponent = ((given.view(np.int64) >> 52) - 1023) * 1233 >> 12  # log10(2) is 1233 / 4096: this one or the next
    exponent += given >= _BOUNDS[exponent + 1 - _LOWEST]
    digits, is_sure = _shortest(given, exponent)
    # The text reads back as the number, so no whole number lies between them.
    whole = given.astype(np.int64)
    rest = digits - whole * _TEN[np.minimum(16 - exponent, 16)]
    is_zero = size == 0.0
    if is_zero.any():
        whole[is_zero], rest[is_zero] = 0, 0
    others = np.flatnonzero(~(is_plain & is_sure | is_zero))
    if 2 * len(others) > len(values):
        return "".join([f",{_one(value)}" for value in values.tolist()]).encode()
    sign = _SIGNS[np.signbit(values).view(np.uint8)]
    words = [sign, *_whole_words(whole), _word("."), *_decimal_words(rest, exponent)]
    rows = _rows(words, len(values), _ROOM if len(others) else 0)
    if len(others):
        width = 4 * rows.shape[1]
        texts = [f",{_one(value)}".encode().ljust(width, b"\0") for value in values[others].tolist()]
        rows[others] = np.frombuffer(b"".join(texts), dtype=np.uint32).reshape(len(others), -1)
    return _text(rows)


def _shortest(size: FloatArray, exponent: IntArray) -> tuple[IntArray, Any]:
    """Return the digits of the shortest text, zeros added up to 17, and whether they are known for sure.

    Of 15, 16 and 17 digits the fewest that read back: the nearest decimal of so many digits must be nearer than
    half the distance to the next float. Any text of up to 15 digits is the nearest of 15 to the float it stands for.
    """
    scale = _POWERS[16 - exponent]
    product, error = _product(size, scale)  # 10**16 .. 10**17, where the product is a whole number
    whole = np.rint(error)
    rest = error - whole  # -0.5 .. 0.5
    exact = product.astype(np.int64) + whole.astype(np.int64)
    bits = size.view(np.int64)
    half = (bits & _POWER_BITS).view(np.float64) * 2.0**-53 * scale
    doubt = 1e-12 * half
    tail = (exact - exact // 100 * 100).astype(np.float64)
    last = tail - 10.0 * np.floor(0.1 * tail)
    change = np.zeros(len(size))
    is_sure = np.abs(rest) < 0.5
    for step, end in ((10.0, last), (100.0, tail)):  # the shorter one is taken where both read back
        over = end + rest
        up = step - over
        away = np.minimum(over, up) - half
        change += ((over > up) * step - end - change) * (away < 0.0)  # all whole: exact, and faster than a choice
        # Where a text just reads back, or just does not, or is halfway between two, only exact arithmetic tells.
        is_sure &= (np.abs(away) > doubt) & (over != up)
    # Below a power of two the floats are twice as dense.
    is_sure &= (bits & _FRACTION_BITS != 0) | (change == 0.0) & (rest == 0.0)
    found = exact + change.astype(np.int64)
    return found, is_sure & (exact >= 10**16) & (found < 10**17)


def _whole_words(whole: IntArray) -> list[Any]:
    """Return the digits before the point, four to a word, without zeros before the first."""
    full, begin, _ = _tables()
    most = int(whole.max())
    if most < _GROUP:
        return [np.where(whole > 0, begin[whole], _word("0"))]
    above = whole // _GROUP
    group = whole - above * _GROUP
    last = np.where(above > 0, full[group], np.where(group > 0, begin[group], _word("0")))
    if most < _GROUP**2:
        return [begin[above], last]
    first = above // _GROUP
    group = above - first * _GROUP
    return [begin[first], np.where(first > 0, full[group], begin[group]), last]


def _decimal_words(rest: IntArray, exponent: IntArray) -> list[Any]:
    """Return the digits after the point, four to a word, without zeros at the end but for one that stands alone.

    Args:
        rest: what stands after the point, in units of 10**(exponent - 16).
    """
    _, _, both = _tables()
    unit = _TEN[8 - exponent]
    upper = rest // unit
    lower = (rest - upper * unit) * _TEN[exponent - _LOWEST]  # 12 digits after the 8 of `upper`
    groups = []
    if lower.any():
        above = lower // _GROUP
        first = above // _GROUP
        groups = [lower - above * _GROUP, above - first * _GROUP, first]
    above = upper // _GROUP
    groups += [upper - above * _GROUP, above]
    words: list[Any] = []
    table = np.full(len(rest), _GROUP)  # the table of ends stands behind that of all digits
    for k, group in enumerate(groups):  # from the end on
        if not words and not group.any():
            if k < len(groups) - 1:
                continue
            return [_word("0")]
        words.append(both[group + table])
        np.copyto(table, 0, where=group > 0)
    words[-1] = np.where(table > 0, _word("0"), words[-1])
    return words[::-1]


_SIGNS = np.frombuffer(b",\0\0\0,-\0\0", dtype=np.uint32)  # by whether a number is below 0
_made: list[tuple[Any, Any, Any]] = []


def _word(text: str) -> Any:
    """Return up to four characters as uint32."""
    return np.frombuffer(text.encode().ljust(4, b"\0"), dtype=np.uint32)[0]


def _tables() -> tuple[Any, Any, Any]:
    """Return four characters of each number as uint32[10000]: all of them; without zeros before it; and in one table
    of twice the length all of them and then those without zeros at its end.

    Characters that are left out are zero bytes; nothing is left of 0 itself.
    """
    if not _made:
        digit = np.arange(ord("0"), ord("9") + 1, dtype=np.uint8)
        text = np.empty((10, 10, 10, 10, 4), dtype=np.uint8)  # by the four digits of the number
        for k in range(4):
            text[..., k] = digit.reshape((10,) + (1,) * (3 - k))
        begin, end = text.copy(), text.copy()
        for k in range(4):
            begin[..., k][(0,) * (k + 1)] = 0
            end[..., k].T[(0,) * (4 - k)] = 0
        full, first, last = (table.reshape(-1).view(np.uint32) for table in (text, begin, end))
        _made.append((full, first, np.concatenate((full, last))))
    return _made[0]
