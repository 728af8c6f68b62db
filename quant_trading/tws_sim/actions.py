"""Splits and dividends: what they do to the prices of the past.

TRADES is adjusted for the splits known at the moment of the request, ADJUSTED_LAST for dividends as well
(documented). A dividend takes (1 - amount / close before the ex-date) off every earlier price, as data vendors do
it (assumed of IBKR).
"""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

import numpy as np

from quant_trading.refdata.sessions import exchange_date
from quant_trading.tws_sim.aggregate import scaled
from quant_trading.tws_sim.tape import FloatArray, IntArray, SourceError, TapeBars

__all__ = ["Action", "Actions", "date_ns", "read_actions"]

_DAY_NS = 86_400_000_000_000
_KINDS = ("split", "dividend")
# Most names have no split; nobody writes into these.
_ONE, _NONE = np.ones(1), np.empty(0, dtype=np.int64)


class Closes(Protocol):
    """The closes of days, as traded."""

    @property
    def start_ns(self) -> IntArray:
        """Midnight UTC of each session's date."""

    @property
    def close(self) -> FloatArray:
        """The close of each day."""


@dataclass(frozen=True, slots=True)
class Action:
    """One event of a company.

    Attributes:
        day: ex-date: who holds the share when it begins is concerned, prices from it on are without it.
        kind: "split" (value = new shares for an old one) or "dividend" (value = cash a share).
    """

    day: date
    kind: str
    value: float


def date_ns(day: date) -> int:
    """Return the stamp of a day bar: midnight UTC of its date."""
    return (day.toordinal() - 719_163) * _DAY_NS


class Actions:
    """The events of one contract, by date.

    Attributes:
        has_splits: True when there is one at all.
    """

    def __init__(self, events: Iterable[Action], dividends: Callable[[], Iterable[Action]] | None = None) -> None:
        """Take the events; dividends may be left to a function, for most prices are asked for with them left in."""
        self._given = tuple(events)
        self._load_dividends = dividends
        self._events: tuple[Action, ...] | None = None
        splits = sorted((event for event in self._given if event.kind == "split"), key=lambda event: event.day)
        self.has_splits = bool(splits)
        self._split_ns = np.array([date_ns(event.day) for event in splits], dtype=np.int64) if splits else _NONE
        self._product = np.cumprod([1.0, *(event.value for event in splits)]) if splits else _ONE
        self._paid_ns = _NONE
        self._kept: FloatArray | None = None

    @property
    def events(self) -> tuple[Action, ...]:
        """All of them, by date."""
        if self._events is None:
            more = self._load_dividends() if self._load_dividends is not None else ()
            self._events = tuple(sorted((*self._given, *more), key=lambda event: (event.day, event.kind)))
        return self._events

    def on(self, day: date) -> tuple[Action, ...]:
        """Return the events whose ex-date is `day`."""
        return tuple(event for event in self.events if event.day == day)

    def split_factor(self, stamps: IntArray, as_of_stamp: int) -> FloatArray:
        """Return how many shares of `as_of_stamp` one share of each date has become, float64[T]."""
        known = self._product[np.searchsorted(self._split_ns, as_of_stamp, side="right")]
        return np.asarray(known / self._product[np.searchsorted(self._split_ns, stamps, side="right")])

    def split_between(self, stamp: int, as_of_stamp: int) -> float:
        """Return the same for one date."""
        return float(self.split_factor(np.array([stamp], dtype=np.int64), as_of_stamp)[0])

    def dividend_factor(self, stamps: IntArray, as_of_stamp: int, days: "Closes") -> FloatArray:
        """Return the share of each date's price that later dividends have left.

        Args:
            days: daily bars as traded, for the close before each ex-date.
        """
        if self._kept is None:
            dividends = [event for event in self.events if event.kind == "dividend"]
            self._paid_ns = np.array([date_ns(event.day) for event in dividends], dtype=np.int64)
            paid = np.array([event.value for event in dividends])
            row = np.searchsorted(days.start_ns, self._paid_ns) - 1
            close = np.where(row >= 0, days.close[np.maximum(row, 0)], np.inf)
            # A dividend of a day that is also a split's is paid on the new shares.
            before = days.start_ns[np.maximum(row, 0)] if len(days.start_ns) else self._paid_ns
            ratio = self._product[np.searchsorted(self._split_ns, self._paid_ns, side="right")]
            ratio = ratio / self._product[np.searchsorted(self._split_ns, before, side="right")]
            self._kept = np.cumprod(np.concatenate([[1.0], 1.0 - paid * ratio / close]))
        known = self._kept[np.searchsorted(self._paid_ns, as_of_stamp, side="right")]
        return np.asarray(known / self._kept[np.searchsorted(self._paid_ns, stamps, side="right")])

    def adjusted(self, bars: TapeBars, stamps: IntArray, as_of_ns: int, days: "Closes | None") -> TapeBars:
        """Return bars as traded, seen from `as_of_ns`.

        Args:
            stamps: int64[T], date of each bar.
            days: daily bars as traded to take dividends out too, None to leave them in.
        """
        if len(bars) == 0 or (days is None and not self.has_splits):
            return bars
        as_of = date_ns(exchange_date(as_of_ns))
        shares = self.split_factor(stamps, as_of)
        factor = 1.0 / shares
        if days is not None:
            factor = factor * self.dividend_factor(stamps, as_of, days)
        if (factor == 1.0).all():
            return bars
        return scaled(bars, factor, shares)


def read_actions(path: Path) -> Callable[[str], Actions]:
    """Return the events of each symbol of a CSV file with the columns symbol, ex_date, kind, value.

    Raises:
        SourceError: the file cannot be read or has a row that is no event.
    """
    found: dict[str, list[Action]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                try:
                    event = Action(date.fromisoformat(row["ex_date"]), row["kind"], float(row["value"]))
                    if event.kind not in _KINDS or not 0 < event.value < 1e6:
                        raise ValueError(f"{event.kind} {event.value}")
                except (KeyError, TypeError, ValueError) as problem:
                    raise SourceError(
                        f"{path}: row {number} is no corporate action ({problem}); write symbol,ex_date,kind,value as "
                        "in AAPL,2014-06-09,split,7 or AAPL,2014-05-08,dividend,3.29"
                    ) from problem
                found.setdefault(row["symbol"], []).append(event)
    except (OSError, UnicodeDecodeError) as problem:
        raise SourceError(f"{path}: cannot be read ({problem}); name a CSV file of corporate actions") from problem
    known = {symbol: Actions(events) for symbol, events in found.items()}
    nothing = Actions(())
    return lambda symbol: known.get(symbol, nothing)
