"""IBKR's pacing rules, told the time by the caller.

TWS takes 50 messages a second from one client and closes the connection of one that keeps sending
more; historical requests have rules of their own. A request that breaks one is lost (error 162) or
costs the connection (error 100), so the desk waits in front of the rule instead of running into it.
Every rule here is a count in a sliding window: a bucket that refills would let twice its size
through in the second after a pause.
"""

import math
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

__all__ = ["HistoryKey", "Pacer", "PacingRules", "PastRequest", "next_legal"]


@dataclass(frozen=True, slots=True)
class PacingRules:
    """The figures; the defaults keep below IBKR's published limits.

    Attributes:
        messages_per_second: of all kinds together (IBKR: 50).
        identical_seconds: how long an identical historical request must not be repeated.
        same_contract_count, same_contract_seconds: requests for one contract, exchange and tick type
            that may lie in one window (IBKR calls 6 in 2 s a violation).
        small_bar_count, small_bar_seconds: all requests for small bars in one window.
        small_bar_limit_seconds: the three rules above bind bars up to this size only.
        open_history: historical requests open at once, of any bar size.
    """

    messages_per_second: int = 40
    identical_seconds: float = 15.0
    same_contract_count: int = 5
    same_contract_seconds: float = 2.0
    small_bar_count: int = 60
    small_bar_seconds: float = 600.0
    small_bar_limit_seconds: float = 30.0
    open_history: int = 50


@dataclass(frozen=True, slots=True)
class HistoryKey:
    """What the historical rules look at.

    Attributes:
        contract: conId or symbol.
        exchange: routing exchange of the request.
        what: tick type, "TRADES"; "BID_ASK" counts double.
        bar_seconds: size of one bar.
        request: everything else that makes two requests identical (end, duration, hours).
    """

    contract: Hashable
    exchange: str
    what: str
    bar_seconds: float
    request: Hashable = None


class PastRequest(NamedTuple):
    """A historical request for small bars that was sent.

    Attributes:
        at: seconds, on the clock that `next_legal` is told `now` by.
        contract: what the rule of one contract looks at: id, exchange and tick type in one text.
        request: all that makes two requests identical, in one text.
        weight: 1, or 2 for BID_ASK.
    """

    at: float
    contract: str
    request: str
    weight: int = 1


def next_legal(past: Iterable[PastRequest], wish: PastRequest, rules: PacingRules) -> float:
    """Return the first moment, `wish.at` or later, at which `wish` breaks no rule of small bars after `past`.

    A request leaves a window when it is a full window old. One that weighs more than a rule allows at all may go when
    that rule's window is empty: to wait would be to wait for ever.
    """
    sent = sorted(past, key=attrgetter("at"))
    same = [one for one in sent if one.contract == wish.contract]
    again = [one for one in same if one.request == wish.request]
    return max(
        _first_room(sent, wish.at, rules.small_bar_seconds, rules.small_bar_count, wish.weight),
        _first_room(same, wish.at, rules.same_contract_seconds, rules.same_contract_count, wish.weight),
        _first_room(again, wish.at, rules.identical_seconds, 0, 0),
    )


def _first_room(requests: list[PastRequest], now: float, seconds: float, limit: int, weight: int) -> float:
    inside = [one for one in requests if one.at + seconds > now]
    total = sum(one.weight for one in inside) + weight
    moment = now
    for one in inside:
        if total <= limit:
            break
        total -= one.weight
        moment = max(moment, one.at + seconds)
    return moment


class _Window:
    """Moments of the last `seconds`, weighted; says when one more may follow."""

    __slots__ = ("_moments", "_seconds", "_total")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._moments: deque[tuple[float, int]] = deque()
        self._total = 0

    def add(self, now: float, weight: int = 1) -> None:
        self._moments.append((now, weight))
        self._total += weight

    def delay(self, now: float, limit: int, weight: int = 1) -> float:
        """Return the seconds until `weight` more fit under `limit`.

        A moment leaves the window when it is a full window old; exactly that old no longer counts.
        """
        while self._moments and self._moments[0][0] + self._seconds <= now:
            self._total -= self._moments.popleft()[1]
        if not self._moments:
            return 0.0  # an empty window never blocks, or a weight above the limit would wait for ever
        excess = self._total + weight - limit
        for moment, its_weight in self._moments:
            if excess <= 0:
                return 0.0
            excess -= its_weight
            if excess <= 0:
                return moment + self._seconds - now
        return self._moments[-1][0] + self._seconds - now


class Pacer:
    """Says how long to wait before a message; the caller waits, sends and notes it.

    Usage: `claim` until it returns 0, then send; for a historical request `note_done` when it has ended, well or
    badly. `claim` is `delay_before` and, when that is 0, `note_sent`.
    """

    def __init__(self, rules: PacingRules | None = None) -> None:
        self.rules = rules or PacingRules()
        self._messages = _Window(1.0)
        self._small_bars = _Window(self.rules.small_bar_seconds)
        self._contracts: dict[Hashable, _Window] = {}
        self._identical: dict[HistoryKey, float] = {}
        self._open_history = 0

    @property
    def open_history(self) -> int:
        """Return the number of historical requests that have not ended."""
        return self._open_history

    def delay_before(self, kind: str, key: HistoryKey | None, now: float) -> float:
        """Return the seconds to wait before sending; 0 = send now.

        Args:
            kind: "history" for a historical request, anything else for other messages.
            key: what the request asks, for "history" only.
            now: seconds of a clock that never runs backwards, the same for every call.

        Returns:
            seconds; infinite when only the end of another historical request can make room.
        """
        delay = self._messages.delay(now, self.rules.messages_per_second)
        if kind != "history" or key is None:
            return delay
        if self._open_history >= self.rules.open_history:
            return math.inf
        if key.bar_seconds > self.rules.small_bar_limit_seconds:
            return delay
        weight = _weight(key)
        delay = max(delay, self._small_bars.delay(now, self.rules.small_bar_count, weight))
        window = self._contracts.get(_contract_of(key))
        if window is not None:
            delay = max(delay, window.delay(now, self.rules.same_contract_count, weight))
        last = self._identical.get(key)
        if last is not None:
            delay = max(delay, last + self.rules.identical_seconds - now)
        return delay

    def claim(self, kind: str, key: HistoryKey | None, now: float) -> float:
        """Return the seconds to wait before sending; 0 = send now, the message is counted as sent.

        Args as in `delay_before`.
        """
        delay = self.delay_before(kind, key, now)
        if delay <= 0.0:
            self.note_sent(kind, key, now)
        return delay

    def note_sent(self, kind: str, key: HistoryKey | None, now: float) -> None:
        """Count a message that was sent at `now`."""
        self._messages.add(now)
        if kind != "history" or key is None:
            return
        self._open_history += 1
        if key.bar_seconds > self.rules.small_bar_limit_seconds:
            return
        self._small_bars.add(now, _weight(key))
        self._contracts.setdefault(_contract_of(key), _Window(self.rules.same_contract_seconds)).add(now, _weight(key))
        # What is older than its rule can never block again; forgetting it bounds the table.
        self._identical = {k: t for k, t in self._identical.items() if t + self.rules.identical_seconds > now}
        self._identical[key] = now

    def note_done(self) -> None:
        """Count the end of one historical request."""
        self._open_history = max(0, self._open_history - 1)

    def reset_open(self) -> None:
        """Forget open requests: the connection they belonged to is gone."""
        self._open_history = 0


def _weight(key: HistoryKey) -> int:
    return 2 if key.what == "BID_ASK" else 1


def _contract_of(key: HistoryKey) -> Hashable:
    return (key.contract, key.exchange, key.what)
