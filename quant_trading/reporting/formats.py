"""One way to write each kind of number: money, percent, ratio, count and their signed forms."""

import math
from collections.abc import Callable

import numpy as np

from quant_trading.reporting.model import Value

__all__ = ["FORMATS", "MINUS", "axis_text", "date_text", "is_number", "is_signed", "shown", "time_text"]

MINUS = "\u2212"  # as wide as a plus sign and a figure, so that columns stay aligned
NOT_KNOWN = "n/a"


def _signed(text: str, value: float) -> str:
    """Return `text` of the size of `value` with its sign; what rounds to zero has none."""
    if not any(c in "123456789" for c in text):
        return text
    return (MINUS if value < 0.0 else "+") + text


def _plain(text: str) -> str:
    """Return `text` with a true minus, and without one before what rounds to zero."""
    if text.startswith("-"):
        return MINUS + text[1:] if any(c in "123456789" for c in text) else text[1:]
    return text


def _money(value: float) -> str:
    return _plain(f"{value:,.2f}")


def _pnl(value: float) -> str:
    return _signed(f"{abs(value):,.2f}", value)


def _percent(value: float) -> str:
    return _plain(f"{value:,.2%}")


def _return(value: float) -> str:
    return _signed(f"{abs(value):,.2%}", value)


def _ratio(value: float) -> str:
    return _plain(f"{value:,.2f}")


def _count(value: float) -> str:
    return _plain(f"{value:,.0f}")


def _quantity(value: float) -> str:
    """Return whole shares without decimals, fractions of shares with up to four."""
    text = f"{value:,.4f}".rstrip("0").rstrip(".")
    return _plain(text)


def _price(value: float) -> str:
    return _plain(f"{value:,.2f}" if abs(value) >= 10.0 else f"{value:,.4f}")


def _number(value: float) -> str:
    return _plain(f"{value:.6g}")


FORMATS: dict[str, Callable[[float], str]] = {
    "money": _money, "pnl": _pnl, "percent": _percent, "return": _return, "ratio": _ratio, "count": _count,
    "quantity": _quantity, "price": _price, "number": _number,
}  # fmt: skip


def is_number(kind: str) -> bool:
    """Return True for a kind that is shown right aligned."""
    return kind in FORMATS


def is_signed(kind: str) -> bool:
    """Return True for a kind that is coloured by its sign, which is always written too."""
    return kind in ("pnl", "return")


def shown(value: Value, kind: str) -> str:
    """Return `value` as people read it; "n/a" for what is not known.

    Raises:
        ValueError: for a kind that does not exist.
    """
    if kind != "text" and kind not in FORMATS:
        raise ValueError(f"kind = {kind!r} is not one of text, {', '.join(FORMATS)}")
    if value is None or value == "":
        return NOT_KNOWN
    if kind == "text" or isinstance(value, str):
        return str(value)
    if math.isnan(value):
        return NOT_KNOWN
    if math.isinf(value):
        return f"{MINUS if value < 0 else ''}\u221e"
    return FORMATS[kind](value)


def axis_text(value: float, step: float, kind: str) -> str:
    """Return the label of a tick: as many decimals as the distance of the ticks needs, thousands as k, M, B."""
    scale, suffix = (100.0, "%") if kind in ("percent", "return") else (1.0, "")
    if kind in ("money", "pnl", "count") or (kind == "price" and step >= 1_000.0):
        # One suffix for the whole axis would need its range; a step of 2,500 at 1,000,000 still reads as 1.0025M.
        for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= size:
                scale, suffix = 1.0 / size, letter
                break
    decimals = min(max(0, math.ceil(-math.log10(step * scale) - 1e-9)), 8) if step > 0.0 else 2
    # 2.5 as a step needs one decimal more than its power of ten says.
    if step > 0.0 and not math.isclose(round(step * scale, decimals), step * scale, rel_tol=1e-9):
        decimals += 1
    text = f"{value * scale:,.{decimals}f}"
    if suffix in ("k", "M", "B") and "." in text:
        text = text.rstrip("0").rstrip(".")
    return _plain(text) + suffix


def date_text(moment: np.datetime64) -> str:
    """Return the day as 2024-03-01; empty for an unknown one."""
    return "" if np.isnat(moment) else str(moment.astype("datetime64[D]"))


def time_text(moment: np.datetime64) -> str:
    """Return the day, and the time of day when it is not midnight."""
    if np.isnat(moment):
        return ""
    day, clock = str(moment.astype("datetime64[m]")).split("T")
    return day if clock == "00:00" else f"{day} {clock}"
