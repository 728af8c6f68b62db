"""Where the labels of an axis stand: round numbers, and the beginnings of days, months and years."""

import math

import numpy as np

from quant_trading.domain.bars import IntArray
from quant_trading.reporting.model import TimeArray

__all__ = ["TimeTick", "number_ticks", "time_ticks"]

TimeTick = tuple[int, str]
MOST_TIMES = 9
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# (numpy's unit, how many of it, how it is written), finest first
STEPS: tuple[tuple[str, int, str], ...] = (
    ("m", 1, "clock"), ("m", 5, "clock"), ("m", 15, "clock"), ("m", 30, "clock"), ("h", 1, "clock"),
    ("h", 2, "clock"), ("D", 1, "day"), ("W", 1, "day"), ("M", 1, "month"), ("M", 3, "month"), ("M", 6, "month"),
    ("Y", 1, "year"), ("Y", 2, "year"), ("Y", 5, "year"), ("Y", 10, "year"), ("Y", 25, "year"), ("Y", 100, "year"),
)  # fmt: skip


def number_ticks(low: float, high: float, wished: int = 5) -> tuple[list[float], float]:
    """Return round numbers (steps of 1, 2, 2.5 or 5) that cover [low, high], first to last, and their step."""
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = 0.0, 1.0
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        room = abs(low) * 0.01 or 1.0
        low, high = low - room, high + room
    raw = (high - low) / wished
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= raw * (1.0 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)], step


def time_ticks(times: TimeArray) -> list[TimeTick]:
    """Return (row, label) where a new day, month or year begins: the finest steps that give at most nine labels.

    The first row has a label of its own only when nothing else is near.
    """
    rows = len(times)
    if rows == 0:
        return []
    begins, style = _begins(times)
    at = begins.tolist()
    if not at or at[0] > rows * 0.09:
        at.insert(0, 0)
    kept: list[int] = []
    for row in at:
        if not kept or row - kept[-1] >= rows * 0.06:
            kept.append(row)
    labels = []
    for place, row in enumerate(kept):
        above = "datetime64[D]" if style == "clock" else "datetime64[Y]"
        is_new = place == 0 or times[row].astype(above) != times[kept[place - 1]].astype(above)
        labels.append((row, _label(times[row], style, is_new)))
    return labels


def _begins(times: TimeArray) -> tuple[IntArray, str]:
    """Return the rows at which a new step begins, for the finest step that has at most nine, and how it is written."""
    begins = np.zeros(0, dtype=np.int64)
    is_daily = not bool(np.any(times != times.astype("datetime64[D]")))
    for unit, many, written in STEPS:
        if is_daily and written == "clock":
            continue
        keys = times.astype(f"datetime64[{unit}]").astype(np.int64) // many
        begins = np.flatnonzero(np.diff(keys) != 0) + 1
        if len(begins) <= MOST_TIMES:
            return begins, written
    return begins[:: len(begins) // MOST_TIMES + 1], "year"


def _label(moment: np.datetime64, style: str, is_new: bool) -> str:
    """Return the words for a moment; months and days name the year where it is new, times of day the day."""
    year, month, day = str(moment.astype("datetime64[D]")).split("-")
    if style == "year":
        return year
    name = MONTHS[int(month) - 1]
    if style == "month":
        return f"{name} {year}" if is_new else name
    if style == "day":
        return f"{int(day)} {name} {year}" if is_new else f"{int(day)} {name}"
    clock = str(moment.astype("datetime64[m]")).split("T")[1]
    return f"{int(day)} {name} {clock}" if is_new else clock
