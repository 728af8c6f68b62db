"""Simulated time: one moment that only moves forward, and what is due at later moments."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

__all__ = ["Timeline", "Timer"]


@dataclass(slots=True)
class Timer:
    """A promise to run `action` at `at_ns`; `cancel` takes it back.

    Attributes:
        is_background: True for streams that go on for ever (account refresh, PnL): they run, but nobody
            can be waiting for the market's sake as long as only they are left.
        has_run: True once it has begun to run.
    """

    at_ns: int
    action: Callable[[], None]
    is_background: bool = False
    is_cancelled: bool = False
    has_run: bool = False

    def cancel(self) -> None:
        """Take the promise back; a timer that has run is not affected."""
        self.is_cancelled = True


@dataclass(slots=True)
class Timeline:
    """The simulator's clock.

    Attributes:
        now_ns: UTC ns; moved by `advance_to` only.
    """

    now_ns: int
    _queue: list[tuple[int, int, Timer]] = field(default_factory=list)
    _sequence: "count[int]" = field(default_factory=count)

    def call_at(self, at_ns: int, action: Callable[[], None], *, is_background: bool = False) -> Timer:
        """Run `action` when time reaches `at_ns`; a moment that has passed is due at the next advance."""
        timer = Timer(at_ns, action, is_background)
        heapq.heappush(self._queue, (at_ns, next(self._sequence), timer))
        return timer

    def advance_to(self, ns: int) -> None:
        """Move to `ns`, running what is due in order; each action sees its own moment as now.

        A moment before now changes nothing: time never runs backwards.
        """
        while (due := self.next_ns()) is not None and due <= ns:
            timer = heapq.heappop(self._queue)[2]
            self.now_ns = max(self.now_ns, due)
            timer.has_run = True
            timer.action()
        self.now_ns = max(self.now_ns, ns)

    def next_ns(self) -> int | None:
        """Return when the next action is due, None when nothing is."""
        while self._queue and self._queue[0][2].is_cancelled:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def has_foreground(self) -> bool:
        """Say whether anything but background streams is still to come."""
        return any(not (timer.is_cancelled or timer.is_background) for _, _, timer in self._queue)
