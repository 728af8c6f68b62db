"""Bar sizes and durations in IBKR's words, and our short names for files."""

import re
from dataclasses import dataclass
from datetime import date, timedelta

from quant_trading.domain.errors import UsageError

__all__ = ["BAR_SIZES", "BarSize", "Duration", "parse_bar_size", "parse_duration"]

_SECONDS = {"secs": 1, "mins": 60, "hours": 3600, "day": 86_400, "W": 604_800, "M": 2_592_000}
_SHORT = {"secs": "s", "mins": "m", "hours": "h", "day": "d", "W": "w", "M": "mo"}


@dataclass(frozen=True, slots=True)
class BarSize:
    """How long one bar is.

    Attributes:
        words: what IBKR wants to read, "5 mins".
        timeframe: the same in file names, "5m".
        seconds: its length; a day, week or month nominally 1, 7 or 30 times 86,400.
    """

    words: str
    timeframe: str
    seconds: int

    @property
    def is_intraday(self) -> bool:
        """Return whether several bars may fall into one session."""
        return self.seconds < _SECONDS["day"]


def _sizes() -> tuple[BarSize, ...]:
    counts = {"secs": (1, 5, 10, 15, 30), "mins": (1, 2, 3, 5, 10, 15, 20, 30), "hours": (1, 2, 3, 4, 8), "day": (1,)}
    sizes = []
    for unit, allowed in counts.items():
        for count in allowed:
            # TWS writes "1 secs" but "1 min" and "1 hour".
            words = f"{count} {unit if count > 1 or unit == 'secs' else unit.removesuffix('s')}"
            sizes.append(BarSize(words, f"{count}{_SHORT[unit]}", count * _SECONDS[unit]))
    return (*sizes, *(BarSize(f"1{unit}", f"1{_SHORT[unit]}", _SECONDS[unit]) for unit in ("W", "M")))


BAR_SIZES = _sizes()

# Case counts in the short names: "1m" is a minute and IBKR's "1M" a month.
_BY_NAME = {
    **{size.timeframe: size for size in BAR_SIZES},
    **{size.words: size for size in BAR_SIZES},
    **{f"1 {unit}": next(s for s in BAR_SIZES if s.words == words)
       for unit, words in (("sec", "1 secs"), ("mins", "1 min"), ("hours", "1 hour"), ("days", "1 day"),
                           ("week", "1W"), ("month", "1M"))},
}  # fmt: skip


def parse_bar_size(text: str) -> BarSize:
    """Return the bar size that `text` names, in IBKR's words ("5 mins") or as a timeframe ("5m").

    Raises:
        UsageError: when it is none, listing all there are.
    """
    given = " ".join(text.split())
    size = _BY_NAME.get(given) or (_BY_NAME.get(given.lower()) if " " in given else None)
    if size is None:
        words = ", ".join(size.words for size in BAR_SIZES)
        near = _nearest_size(given)
        cure = 'write for example "1 day" or "5 mins"' if near is None else f'did you mean "{near.words}"?'
        raise UsageError(f"bar size {text!r} is none of IBKR's: {words}; {cure}")
    return size


def _nearest_size(text: str) -> BarSize | None:
    """Return the size that "5 min", "1 hours" or "15 Minutes" mean, None when there is no such size."""
    found = re.fullmatch(_SIZE_WORDS, text.lower(), re.ASCII)
    if found is None:
        return None
    wanted = int(found[1]) * _UNIT_SECONDS[found[2]]
    return next((size for size in BAR_SIZES if size.seconds == wanted), None)


# Expressions are compiled when they are first asked for: most commands name their bars as they should.
_SIZE_WORDS = r"([0-9]{1,3}) ?(sec|min|hour|hr|day|week|month)[a-z]*"
_UNIT_SECONDS = {"sec": 1, "min": 60, "hour": 3600, "hr": 3600, "day": 86_400, "week": 604_800, "month": 2_592_000}
_LONGEST = {"S": 86_400, "D": 365, "W": 52, "M": 12, "Y": 68}
_DURATION = r"([0-9]{1,6}) ?([SDWMY])"
_DURATION_WORDS = r"([0-9]{1,6}) *(s|d|w|m|y|secs?|seconds?|days?|wks?|weeks?|mos?|months?|yrs?|years?)"


@dataclass(frozen=True, slots=True)
class Duration:
    """How far back a request reaches.

    Attributes:
        count: 1 or more.
        unit: S seconds, D sessions, W, M and Y calendar weeks, months and years.
    """

    count: int
    unit: str

    @property
    def words(self) -> str:
        """Return IBKR's words, "1 Y"."""
        return f"{self.count} {self.unit}"

    def day_before(self, last: date) -> date:
        """Return the last calendar day that a request ending on `last` leaves out.

        A month or year back from a day that the earlier month lacks is that month's last day.

        Raises:
            ValueError: for S and D, which do not count calendar days.
        """
        if self.unit == "W":
            return last - timedelta(weeks=self.count)
        if self.unit not in ("M", "Y"):
            raise ValueError(f"{self.words} does not count calendar days")
        from calendar import monthrange

        months = last.year * 12 + last.month - 1 - self.count * (12 if self.unit == "Y" else 1)
        year, month = divmod(months, 12)
        return date(year, month + 1, min(last.day, monthrange(year, month + 1)[1]))


def parse_duration(text: str) -> Duration:
    """Return the duration that `text` names in IBKR's words, "20 D" or "1 Y".

    Raises:
        UsageError: when it is none or longer than IBKR serves in that unit, listing the forms.
    """
    found = re.fullmatch(_DURATION, text.strip(), re.ASCII)
    if found is None or int(found[1]) < 1:
        meant = re.fullmatch(_DURATION_WORDS, " ".join(text.lower().split()), re.ASCII)
        cure = 'write for example "1 Y"'
        if meant is not None and 1 <= int(meant[1]) <= _LONGEST[meant[2][0].upper()]:
            cure = f'did you mean "{int(meant[1])} {meant[2][0].upper()}"?'
        raise UsageError(f"duration {text!r} is not a number and a unit of IBKR's: {_forms()}; {cure}")
    count, unit = int(found[1]), found[2]
    if count > _LONGEST[unit]:
        raise UsageError(f"duration {text!r} is longer than IBKR serves in {unit}: {_forms()}; use a larger unit")
    return Duration(count, unit)


def _forms() -> str:
    names = {"S": "seconds", "D": "days", "W": "weeks", "M": "months", "Y": "years"}
    return ", ".join(f"1..{longest} {unit} ({names[unit]})" for unit, longest in _LONGEST.items())
