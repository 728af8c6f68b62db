"""How simulated time follows real time.

    simulated now = start + speed x (loop time - loop time at the start)

Real time is speed 1 from the wall clock, accelerated is any other speed, stepped is speed 0: time then
moves only when the simulator is told to. Virtual time has no clock at all (see `virtual.py`).
"""

from collections.abc import Callable
from math import inf, isfinite

__all__ = ["SimClock"]

_SECOND_NS = 1_000_000_000


class SimClock:
    """Simulated now as a function of a monotonic time that is passed in."""

    def __init__(self, start_ns: int, speed: float = 1.0) -> None:
        """Begin at `start_ns`, UTC; `speed` simulated seconds pass in a real one.

        Raises:
            ValueError: when the speed is negative or not finite.
        """
        _check(speed)
        self._start_ns = start_ns
        self._speed = speed
        self._time: Callable[[], float] | None = None
        self._origin = 0.0

    @property
    def speed(self) -> float:
        """Simulated seconds per real second."""
        return self._speed

    def set_speed(self, speed: float) -> None:
        """Run at another speed from now on.

        Raises:
            ValueError: when the speed is negative or not finite.
        """
        _check(speed)
        self._start_ns = self.now_ns()
        self._origin = self._time() if self._time is not None else 0.0
        self._speed = speed

    def leap(self, ahead_ns: int) -> None:
        """Be so much later at once."""
        self._start_ns += ahead_ns

    def start(self, time: Callable[[], float]) -> None:
        """Begin to run on `time`, a monotonic clock in seconds; a second start changes nothing."""
        if self._time is None:
            self._time = time
            self._origin = time()

    def now_ns(self) -> int:
        """Return the simulated moment, UTC ns; the start until the clock runs."""
        if self._time is None:
            return self._start_ns
        return self._start_ns + round((self._time() - self._origin) * self._speed * _SECOND_NS)

    def seconds_until(self, ns: int) -> float:
        """Return the real seconds until a simulated moment, infinite when time stands still."""
        ahead = max(0, ns - self.now_ns())
        if ahead == 0:
            return 0.0
        return ahead / _SECOND_NS / self._speed if self._speed else inf


def _check(speed: float) -> None:
    if not isfinite(speed) or speed < 0:
        raise ValueError(f"speed = {speed} is not 0 or above; write 1 for real time, 60 for a minute a second")
