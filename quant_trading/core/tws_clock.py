"""TWS's clock, for programs whose times must be those of the market: a machine that is off gets the bars right too.

TWS tells whole seconds, cut off, so a clock that agrees to within two seconds is left as it is: a machine set by a
time server is nearer to the exchange than such an answer.

A session sets the clock when it connects and compares it with each heartbeat. A difference beyond two seconds is asked
for once more, five seconds later: one that stays is followed, for a clock was set. One that grows meanwhile, or again
within a minute, is another speed, which no machine's clock can follow.
"""

from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from quant_trading.settings.system_clock import SystemClock

if TYPE_CHECKING:
    from quant_trading.core.ibkr_connection import IBKRConnection
    from quant_trading.ports import Clock

__all__ = ["Course", "Reading", "TwsClock"]

_TOLERANCE = timedelta(seconds=2)
_CUT = timedelta(seconds=1)
_HALF = timedelta(seconds=0.5)
_ZERO = timedelta(0)
# Two seconds more within a minute are 3 %: no clock of a machine is as wrong as that.
_SOON = timedelta(seconds=60)
_STANDING = 0.05


class Course(Enum):
    """How TWS's clock goes beside ours."""

    STEADY = "steady"  # both agree
    SUSPECT = "suspect"  # they differ: ask once more, soon
    MOVED = "moved"  # TWS's clock was set, or drifts slowly: ours follows it now
    RUNS = "runs"  # TWS's clock has another speed


class Reading(NamedTuple):
    """What TWS said of its time.

    Attributes:
        machine: the machine's time half way between question and answer.
        ahead: how far TWS was ahead of the machine.
        slack: half the time from question to answer: by so much `ahead` may be wrong.
    """

    machine: datetime
    ahead: timedelta
    slack: timedelta


class TwsClock:
    """A `ports.Clock` that goes by TWS once it has been set.

    Args:
        machine: the clock beneath; None is the machine's.

    Attributes:
        offset: what is added to the machine's time.
        rate: how many times as fast as the machine's TWS's clock runs; 1 until `follow` has found otherwise.
    """

    def __init__(self, machine: "Clock | None" = None) -> None:
        self._machine: Clock = machine or SystemClock()
        self.offset = _ZERO
        self.rate = 1.0
        self._set_by: Reading | None = None
        self._before: Reading | None = None  # what it was set by before, where that was soon before
        self._suspect: Reading | None = None

    def now(self) -> datetime:
        """Return the moment, aware UTC."""
        return self.machine_now() + self.offset

    def machine_now(self) -> datetime:
        """Return the machine's own time, aware UTC: it jumps when the machine slept, and never by what TWS says."""
        return self._machine.now()

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return self._machine.monotonic()

    async def set_by(self, connection: "IBKRConnection") -> timedelta:
        """Ask TWS for its time and go by it; return how far it is ahead of the machine, 0 within two seconds."""
        self._go_by(await self.read(connection))
        return self.offset

    async def read(self, connection: "IBKRConnection") -> Reading:
        """Ask TWS for its time."""
        before = self.machine_now()
        said = (await connection.ib.reqCurrentTimeAsync()).astimezone(UTC)
        slack = (self.machine_now() - before) / 2
        return Reading(before + slack, said + _HALF - (before + slack), slack)

    def follow(self, reading: Reading) -> Course:
        """Compare, and go by TWS where its clock has moved; `Course.RUNS` leaves this clock as it was."""
        if abs(reading.ahead - self.offset) <= _TOLERANCE + reading.slack:
            self._suspect = None
            return Course.STEADY
        if self._suspect is None:
            self._suspect = reading
            return Course.SUSPECT
        suspect, self._suspect = self._suspect, None
        last = self._set_by
        if last is not None and reading.machine - last.machine > _SOON:
            last = None
        # A clock that was set stands still after it: what it says then differs by less than the second cut off.
        allowed = _TOLERANCE if last is None else _CUT
        if not _differ(suspect, reading, allowed):
            before, self._before = self._before, None
            if last is None or before is None or _is_ahead(before, last) is not _is_ahead(last, reading):
                self._go_by(reading)
                self._before = last
                return Course.MOVED
            last = before  # moved twice the same way: no hand does that within two minutes
        first = suspect if last is None else last  # the longer the time, the better is the rate
        self.rate = 1.0 + (reading.ahead - first.ahead) / max(reading.machine - first.machine, _HALF)
        return Course.RUNS

    def fault(self) -> str:
        """Return what a person should read of a rate that cannot be followed."""
        speed = "stands still" if abs(self.rate) < _STANDING else f"runs about {self.rate:.1f} times as fast as ours"
        return (
            f"TWS's clock {speed}: bars cannot be closed by it; start the simulator with --speed 1, or, if this is no "
            f"simulator, set the clocks of this machine and of TWS's by a time server"
        )

    def _go_by(self, reading: Reading) -> None:
        self.offset = reading.ahead if abs(reading.ahead) > _TOLERANCE else _ZERO
        self._set_by, self._suspect, self._before = reading, None, None


def _differ(one: Reading, other: Reading, allowed: timedelta) -> bool:
    return abs(other.ahead - one.ahead) > allowed + one.slack + other.slack


def _is_ahead(one: Reading, other: Reading) -> bool:
    """Return whether TWS was further ahead in the second reading."""
    return other.ahead > one.ahead
