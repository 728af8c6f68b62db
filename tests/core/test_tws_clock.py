"""TWS's clock: used when the machine's is off, left alone when it is near."""

from datetime import UTC, datetime, timedelta

import pytest

from quant_trading.core.ibkr_connection import IBKRConnection
from quant_trading.core.tws_clock import TwsClock
from tests.core.meddler import PORT, simulator, virtual

TWS_TIME = datetime(2026, 11, 19, 15, 0, tzinfo=UTC)  # 10:00 in New York, where the simulator begins


class _Machine:
    """A machine's clock that stands still."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 1.0


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (timedelta(0), timedelta(0)),
        (timedelta(seconds=1), timedelta(0)),
        (timedelta(seconds=-1), timedelta(0)),
        # TWS cuts its second off: half a second later is the likeliest moment.
        (timedelta(seconds=60), timedelta(seconds=-59.5)),
        (timedelta(hours=-36), timedelta(hours=36, seconds=0.5)),
    ],
)
def test_it_goes_by_tws_beyond_two_seconds(ahead: timedelta, expected: timedelta) -> None:
    machine = _Machine(TWS_TIME + ahead)
    clock = TwsClock(machine)
    assert clock.now() == machine.moment
    with virtual(simulator()) as loop:
        connection = IBKRConnection(16, "127.0.0.1", PORT, loop=loop, fetch=(), read_only=True, environ={})
        with connection:
            assert connection.call(clock.set_by(connection)) == expected
    assert clock.now() == machine.moment + expected
    assert clock.monotonic() == 1.0
