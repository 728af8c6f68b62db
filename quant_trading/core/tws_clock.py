"""TWS's clock, for programs whose times must be those of the market: a machine that is off gets the bars right too.

TWS tells whole seconds, cut off, so a clock that agrees to within two seconds is left as it is: a machine set by a
time server is nearer to the exchange than such an answer.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from quant_trading.settings.system_clock import SystemClock

if TYPE_CHECKING:
    from quant_trading.core.ibkr_connection import IBKRConnection
    from quant_trading.ports import Clock

__all__ = ["TwsClock"]

_TOLERANCE = timedelta(seconds=2)
_HALF = timedelta(seconds=0.5)


class TwsClock:
    """A `ports.Clock` that goes by TWS once it has been set.

    Args:
        machine: the clock beneath; None is the machine's.
    """

    def __init__(self, machine: "Clock | None" = None) -> None:
        self._machine: Clock = machine or SystemClock()
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """Return the moment, aware UTC."""
        return self._machine.now() + self.offset

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return self._machine.monotonic()

    async def set_by(self, connection: "IBKRConnection") -> timedelta:
        """Ask TWS for its time and go by it; return how far it is ahead of the machine, 0 within two seconds."""
        before = self._machine.now()
        said = (await connection.ib.reqCurrentTimeAsync()).astimezone(UTC)
        middle = before + (self._machine.now() - before) / 2
        ahead = said + _HALF - middle
        self.offset = ahead if abs(ahead) > _TOLERANCE else timedelta(0)
        return self.offset
