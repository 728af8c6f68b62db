"""Decimal texts of many floats at once, both ways: several times faster than one by one, and the same to the last bit.

Reading: digits and decimals of a number are two whole numbers; `quotients` divides them and rounds once.
Writing: `joined` gives the shortest text that reads back as the very float, as `repr()` does.

Both compute with pairs of doubles that hold a product exactly (Dekker), and know when that is not enough to decide:
those few numbers are left to Python.
"""

from typing import Any

import numpy as np

from quant_trading.domain.bars import FloatArray, IntArray

__all__ = ["MOST_DIGITS", "joined", "quotients"]

MOST_DIGITS = 18  # of a number that is read: they fit into 64 bits
_EXACT = 2**53  # up to here a double holds every whole number
_SPLIT = 134_217_729.0  # 2**27 + 1 cuts a double into two halves whose products are exact
_POWERS = np.array([10.0**k for k in range(23)])  # all of them exact
_SURE = 2.0**-50  # relative; the error of a correction is less than half of it

# Bounds of the exponents that repr() writes without "e": the places of the first digit.
_BOUNDS = np.array([1e-4, 1e-3, 1e-2, 1e-1, *(10.0**k for k in range(17))])
_LOWEST = -4
_CHUNK = 1 << 12  # the work arrays of a chunk stay within the cache
_FEW = 48  # so many are written sooner one by one
_LEAD = 7  # zeros before the 17 digits of a number in its row of characters
_WIDTH = _LEAD + 17
_ZERO, _POINT, _MINUS, _COMMA = (ord(c) for c in "0.-,")


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


def joined(values: FloatArray) -> str:
    """Return the numbers as JSON has them, with commas between: `repr()` of each, null for what is not finite."""
    if len(values) <= _FEW:
        return ",".join([_one(value) for value in values.tolist()])
    parts = [_written(np.ascontiguousarray(values[i : i + _CHUNK])) for i in range(0, len(values), _CHUNK)]
    return b"".join(parts).decode()[:-1]


def _one(value: float) -> str:
    return repr(value) if value - value == 0.0 else "null"


def _written(values: FloatArray) -> bytes:
    """Return the texts of a chunk, a comma after each."""
    size = np.abs(values)
    is_plain = (size >= _BOUNDS[0]) & (size < 1e16)
    size = np.where(is_plain, size, 1.0)
    fraction, binary = np.frexp(size)
    exponent = ((binary.astype(np.int64) - 1) * 1233) >> 12  # log10(2) is 1233 / 4096: this exponent or the next
    exponent += size >= _BOUNDS[exponent + 1 - _LOWEST]
    digits, is_sure = _shortest(size, exponent, fraction == 0.5)
    is_plain &= is_sure
    groups, trailing = _groups(digits)
    # Row: zeros, digits. The point comes after the digit of the ones, at least one digit after the point.
    point = exponent + _LEAD + 1
    first = np.minimum(point - 1, _LEAD)
    last = np.maximum(_WIDTH - trailing, point + 1)
    return _laid_out(values, groups, (first, point, last), np.flatnonzero(~is_plain))


def _shortest(size: FloatArray, exponent: IntArray, is_power: Any) -> tuple[IntArray, Any]:
    """Return the digits of the shortest text, zeros added up to 17, and whether they are known for sure.

    Of 15, 16 and 17 digits the fewest that read back: the nearest decimal of so many digits must be nearer than
    half the distance to the next float. Any text of up to 15 digits is the nearest of 15 to the float it stands for.
    """
    scale = _POWERS[16 - exponent]
    product, error = _product(size, scale)  # 10**16 .. 10**17, where the product is a whole number
    whole = np.rint(error)
    rest = error - whole  # -0.5 .. 0.5
    exact = product.astype(np.int64) + whole.astype(np.int64)
    half = 0.5 * np.spacing(size) * scale
    found, is_sure = exact, np.abs(rest) < 0.5
    for step in (10, 100):  # the shorter one is taken where both read back
        digits = exact // step * step
        over = (exact - digits) + rest
        digits += np.where(over > 0.5 * step, step, 0)
        away = np.minimum(over, step - over)
        reads_back = away < half * (1.0 - 1e-12)
        found = np.where(reads_back, digits, found)
        # Between the two bounds, or halfway between two texts, only exact arithmetic tells.
        is_sure = np.where(reads_back, over != 0.5 * step, is_sure & (away > half * (1.0 + 1e-12)))
    # Below a power of two the floats are twice as dense.
    is_sure &= ~(is_power & ((found != exact) | (rest != 0.0)))
    return found, is_sure & (exact >= 10**16) & (found < 10**17)


def _groups(digits: IntArray) -> tuple[Any, IntArray]:
    """Return uint8[T, 24], the digits of each number after seven zeros, and int64[T], how many zeros they end with."""
    texts, zeros, _ = _tables()
    groups = np.empty((len(digits), 6), dtype=np.uint32)
    groups[:, 0] = texts[0]
    trailing = np.zeros(len(digits), dtype=np.int64)
    is_zero: Any = True
    for k in range(5, 0, -1):
        above = digits // 10_000
        group = digits - above * 10_000
        groups[:, k] = texts[group]
        trailing += np.where(is_zero, zeros[group], 0)
        is_zero = is_zero & (group == 0)
        digits = above
    return groups.view(np.uint8), trailing


_made: list[tuple[Any, Any, Any]] = []


def _tables() -> tuple[Any, Any, Any]:
    """Return what is looked up: the characters of 0..9999, their zeros at the end, the places that are shown of a row.

    Returns:
        uint32[10000], four characters each; int64[10000]; uint8[2 * 8 * 25, 27], 255 or 0, by sign, first, last place.
    """
    if not _made:
        number = np.arange(10_000)
        text = np.empty((10_000, 4), dtype=np.uint8)
        for k in range(4):
            text[:, k] = number // 10 ** (3 - k) % 10 + _ZERO
        zeros = np.sum([number % 10**k == 0 for k in range(1, 5)], axis=0)
        is_negative, first, last, column = np.ix_(range(2), range(_LEAD + 1), range(_WIDTH + 1), range(_WIDTH + 3))
        shown: Any = np.where(column == 0, is_negative == 1, (column > first) & (column <= last + 1))
        shown |= column == _WIDTH + 2  # the comma
        mask = np.where(shown, 0xFF, 0).astype(np.uint8)
        _made.append((text.view(np.uint32).ravel(), zeros, mask.reshape(-1, _WIDTH + 3)))
    return _made[0]


def _laid_out(values: FloatArray, digits: Any, places: tuple[IntArray, IntArray, IntArray], others: IntArray) -> bytes:
    """Return the characters of all rows from sign to comma; `others` are the rows that Python writes."""
    first, point, last = places
    rows = np.empty((len(values), _WIDTH + 3), dtype=np.uint8)
    rows[:, 0] = _MINUS
    rows[:, -1] = _COMMA
    for k in np.flatnonzero(np.bincount(point)).tolist():  # few: the prices of a symbol are of one or two magnitudes
        here: Any = np.flatnonzero(point == k)
        here = slice(None) if len(here) == len(point) else here
        rows[here, 1 : k + 1] = digits[here, :k]
        rows[here, k + 1] = _POINT
        rows[here, k + 2 : -1] = digits[here, k:]
    _, _, masks = _tables()
    rows &= masks.take(((values < 0.0) * (_LEAD + 1) + first) * (_WIDTH + 1) + last, axis=0)
    for i in others.tolist():
        rows[i, : _WIDTH + 2] = np.frombuffer(_one(float(values[i])).encode().ljust(_WIDTH + 2, b"\0"), dtype=np.uint8)
    return rows.tobytes().translate(None, b"\0")
