"""The virtual loop: waiting takes no time, simulators run along, and a wait for nothing is named."""

import asyncio
from collections.abc import Iterator
from datetime import date

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.virtual import DeadlockError, VirtualLoop
from quant_trading.tws_sim.wire import encode_frame
from tests.tws_sim.raw_client import hello, split_answers
from tests.tws_sim.step_tape import StepTape

THURSDAY = date(2026, 11, 19)
START = at(THURSDAY, "10:00")


class Client(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = bytearray()
        self.events: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")

    def ids(self) -> list[str]:
        fields = [answer[0] for answer in split_answers(bytes(self.data))]
        self.data.clear()
        return fields


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


def market() -> Simulator:
    return Simulator(StepTape({"ACME": [(at(THURSDAY, "09:30"), "10.00")]}), SimConfig(), START)


async def connect(loop: VirtualLoop, port: int = 7497, client_id: int = 1) -> tuple[asyncio.Transport, Client]:
    transport, client = await loop.create_connection(Client, "127.0.0.1", port)
    assert isinstance(client, Client)
    transport.write(hello())
    await asyncio.sleep(0.01)
    transport.write(encode_frame(["71", "2", str(client_id), ""]))
    await asyncio.sleep(0.01)
    assert client.ids() == ["178", "15", "9", "4", "4", "4"]
    return transport, client


def test_a_year_of_waiting_takes_no_time(loop: VirtualLoop) -> None:
    simulator = market()
    loop.listen("127.0.0.1", 7497, simulator)

    loop.run_until_complete(asyncio.sleep(365 * 86_400))
    loop.run_until_complete(asyncio.sleep(0.001))

    assert loop.time() == pytest.approx(365 * 86_400 + 0.001, abs=1e-5)
    assert loop.simulated_now_ns() == simulator.now_ns
    assert (simulator.now_ns - START) / 1e9 == pytest.approx(loop.time(), abs=1e-8)


def test_timers_run_in_order(loop: VirtualLoop) -> None:
    seen: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, loop.time()))

    async def both() -> None:
        await asyncio.gather(wait("b", 2), wait("a", 1.5))

    loop.run_until_complete(both())

    assert [(name, round(time, 4)) for name, time in seen] == [("a", 1.5), ("b", 2.0)]


def test_nothing_listens_means_refused(loop: VirtualLoop) -> None:
    loop.listen("127.0.0.1", 7497, market())

    with pytest.raises(ConnectionRefusedError):
        loop.run_until_complete(connect(loop, 7496))
    loop.stop_listening("127.0.0.1", 7497)
    with pytest.raises(ConnectionRefusedError):
        loop.run_until_complete(connect(loop))


def test_answers_come_in_a_later_turn_and_ends_are_told(loop: VirtualLoop) -> None:
    loop.listen("127.0.0.1", 7497, market())

    async def session() -> list[str]:
        transport, client = await connect(loop)
        transport.write(encode_frame(["49", "1"]))
        assert not client.data
        await asyncio.sleep(0.01)
        assert client.ids() == ["49"]
        transport.close()
        assert transport.is_closing()
        await asyncio.sleep(0.01)
        return client.events

    assert loop.run_until_complete(session()) == ["made", "lost"]
    # The client id is free again.
    loop.run_until_complete(connect(loop))


def test_a_session_the_server_ends_is_lost(loop: VirtualLoop) -> None:
    loop.listen("127.0.0.1", 7497, market())

    async def session() -> list[str]:
        transport, client = await connect(loop)
        transport.write(b"\xff\xff\xff\xff")
        await asyncio.sleep(0.01)
        return client.events

    assert loop.run_until_complete(session()) == ["made", "lost"]


def test_a_wait_for_nothing_is_a_deadlock(loop: VirtualLoop) -> None:
    loop.listen("127.0.0.1", 7497, market())

    with pytest.raises(DeadlockError, match="no timer and no market event is to come"):
        loop.run_until_complete(asyncio.Event().wait())


def test_a_wait_beside_endless_streams_is_a_deadlock_too(loop: VirtualLoop) -> None:
    loop.listen("127.0.0.1", 7497, market())
    transport, _ = loop.run_until_complete(connect(loop))
    transport.write(encode_frame(["92", "1", "DU1234567", ""]))

    with pytest.raises(DeadlockError, match="while only account and market data streams went on"):
        loop.run_until_complete(asyncio.Event().wait())
    assert 3600 < loop.time() < 3700


def test_two_simulators_share_the_time(loop: VirtualLoop) -> None:
    one = market()
    loop.listen("127.0.0.1", 7497, one)
    loop.run_until_complete(asyncio.sleep(60))
    other = market()
    loop.listen("127.0.0.1", 7496, other)
    loop.run_until_complete(asyncio.sleep(5))

    # Each turn of the loop takes a microsecond, nothing else does.
    assert [round((each.now_ns - START) / 1e9, 4) for each in (one, other)] == [65, 5]
    assert loop.simulated_now_ns(port=7496) == other.now_ns
    with pytest.raises(LookupError, match="2 simulators fit"):
        loop.simulated_now_ns()
