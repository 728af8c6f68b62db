"""Fixtures for the tests of any IBKR software: a simulated TWS for each test, on a port or in virtual time.

    def test_my_bot(tws):                       # a TWS on 127.0.0.1, tws.port
        run_my_bot("127.0.0.1", tws.port)
        assert tws.call(lambda simulator: len(simulator.executions)) == 1

    @pytest.mark.tws(now="2026-11-19 15:59", config={"cash": 5000})
    def test_a_day_in_a_moment(tws_virtual):    # a TWS in an event loop in which waiting takes no time
        tws_virtual.run(my_coroutine(tws_virtual.host, tws_virtual.port))

The market is seeded and time stands still unless the marker says otherwise, so a test sees the same prices
on every run. pytest loads this module in every run of an environment that has the package: it imports
nothing but pytest until one of its fixtures is asked for.
"""

from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from quant_trading.tws_sim.server import ThreadedTwsServer
    from quant_trading.tws_sim.simulator import Simulator
    from quant_trading.tws_sim.virtual import VirtualLoop

__all__ = ["VirtualTws", "pytest_configure", "tws", "tws_virtual"]

T = TypeVar("T")

_SOURCE = "seed:7"
# A Thursday in the regular session: there are quotes, and orders at the market are filled.
_NOW = "2026-11-19 10:00"
_HOST, _PORT = "127.0.0.1", 7497
_OPTIONS = ("source", "now", "config", "speed")


@dataclass(frozen=True, slots=True)
class VirtualTws:
    """A simulator at an address of an event loop in virtual time.

    Attributes:
        loop: it is the current loop of this thread while the test runs.
    """

    loop: "VirtualLoop"
    simulator: "Simulator"
    host: str = _HOST
    port: int = _PORT

    def run(self, program: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns; its waiting takes no time.

        Raises:
            DeadlockError: when it waits for something that cannot come.
        """
        return self.loop.run_until_complete(program)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "tws(source='seed:7', now='2026-11-19 10:00', config={}, speed=0): the market, the New York time of its "
        "start, the SimConfig and the clock of the simulated TWS behind the fixtures `tws` and `tws_virtual`",
    )


@pytest.fixture
def tws(request: pytest.FixtureRequest) -> "Iterator[ThreadedTwsServer]":
    """A simulated TWS on a free port of 127.0.0.1, in a thread of its own: `.port`, `.call`, `.advance_to`."""
    from quant_trading.tws_sim.clock import SimClock
    from quant_trading.tws_sim.server import ThreadedTwsServer

    options = _options(request)
    simulator = _simulator(options)
    with ThreadedTwsServer(simulator, SimClock(simulator.now_ns, float(options.get("speed", 0)))) as server:
        yield server


@pytest.fixture
def tws_virtual(request: pytest.FixtureRequest) -> Iterator[VirtualTws]:
    """A simulated TWS in virtual time: `.run(coroutine)`, `.host`, `.port`, `.simulator`, `.loop`."""
    import asyncio

    from quant_trading.tws_sim.virtual import VirtualLoop

    options = _options(request)
    if "speed" in options:
        raise pytest.UsageError("@pytest.mark.tws: virtual time has no speed; leave it out or use the fixture tws")
    simulator = _simulator(options)
    loop = VirtualLoop()
    loop.listen(_HOST, _PORT, simulator)
    asyncio.set_event_loop(loop)
    try:
        yield VirtualTws(loop, simulator)
        # Clients close their connections in later turns of the loop.
        loop.run_until_complete(asyncio.sleep(1))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the arguments of the markers; the one nearest to the test wins, argument by argument."""
    found: dict[str, Any] = {}
    for marker in request.node.iter_markers("tws"):
        unknown = sorted(set(marker.kwargs) - set(_OPTIONS))
        if marker.args or unknown:
            what = ", ".join([*map(repr, marker.args), *unknown])
            raise pytest.UsageError(f"@pytest.mark.tws does not take {what}; it takes {', '.join(_OPTIONS)} by name")
        found = marker.kwargs | found
    return found


def _simulator(options: dict[str, Any]) -> "Simulator":
    from quant_trading.tws_sim.config import SimConfig
    from quant_trading.tws_sim.simulator import Simulator
    from quant_trading.tws_sim.sources import open_source

    try:
        config = options.get("config", {})
        if not isinstance(config, SimConfig):
            config = SimConfig(**_settings(config))
        source = options.get("source", _SOURCE)
        tape = open_source(source) if isinstance(source, str) else source
        last_ns = tape.last_ns()
        if "now" not in options and last_ns is not None:
            # Bars of a file end somewhere: one second later they are all known.
            return Simulator(tape, config, last_ns + 1_000_000_000)
        return Simulator(tape, config, _moment(options.get("now", _NOW)))
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"@pytest.mark.tws: {error}") from error


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return keyword arguments of SimConfig, amounts of money in whatever number they were written."""
    from decimal import Decimal

    settings = dict(config)
    if "cash" in settings:
        settings["cash"] = Decimal(str(settings["cash"]))
    if "positions" in settings:
        settings["positions"] = {
            symbol: (Decimal(str(quantity)), Decimal(str(cost)))
            for symbol, (quantity, cost) in settings["positions"].items()
        }
    return settings


def _moment(words: object) -> int:
    """Return UTC ns of "2026-11-19 10:00", New York time unless it names a zone, or of a datetime."""
    from datetime import UTC, datetime, timedelta

    from quant_trading.refdata.sessions import EXCHANGE_ZONE

    try:
        moment = words if isinstance(words, datetime) else datetime.fromisoformat(str(words))
    except ValueError:
        raise ValueError(f'now = {words!r} is no moment; write "2026-11-19 10:00", New York time') from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=EXCHANGE_ZONE)
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000
