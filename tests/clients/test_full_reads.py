"""What official clients do with exactly 4096 bytes, and that the server does not give them the occasion.

They read 4096 bytes at a time until they get fewer; when then nothing comes for a second, they throw away what
they have (measured). It is their fault and TWS does run into it, but whoever tests with the simulator shall
not search for it in vain.
"""

import pytest

from quant_trading.tws_sim.bursts import READ_SIZE
from quant_trading.tws_sim.connection import NO_ID
from quant_trading.tws_sim.fields import encode
from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.responses import RESPONSE_NAMES
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.wire import encode_frame
from tests.clients.runner import CLIENTS, Client, Fact, driving, simulator

pytestmark = [pytest.mark.clients, pytest.mark.slow]

OFFICIAL = ("ibapi", "nautilus_ibapi_1019", "nautilus_ibapi_1046")
PYTHONIC = ("ib_async", "ib_insync")
# The client gives up on the rest after one second.
LISTEN_SECONDS = 1.5
VERSION = 157


def say(market: Simulator, size: int) -> None:
    """Send client 1 one message of `size` bytes, and nothing after it."""
    [session] = market._hub
    words = {"reqId": NO_ID, "code": 2107, "text": "", "rejectJson": ""}
    empty = len(encode_frame(encode(RESPONSE_NAMES["error"], words, VERSION)))
    session.send("error", **(words | {"text": "." * (size - empty)}))


def heard(name: str, size: int, *, disturbed: bool = False) -> list[Fact]:
    """Return what a client hears of one message of `size` bytes and the silence after it.

    Args:
        disturbed: the simulator writes in exact multiples of 4096, as a scenario can make it.
    """
    client: Client = CLIENTS[name]
    gateway = Gateway(simulator(VERSION))
    with ThreadedTwsServer(gateway) as server, driving(client) as driver:
        driver.ask({"do": "connect", "client": 1, "port": server.port})
        if disturbed:
            server.call(lambda _: gateway.do({"do": "chunk", "bytes": READ_SIZE}))
        server.call(lambda market: say(market, size))
        facts: list[Fact] = driver.ask({"do": "listen", "seconds": LISTEN_SECONDS})["facts"]
        if disturbed:
            server.call(lambda _: gateway.do({"do": "chunk", "bytes": 0}))
        return facts + driver.ask({"do": "wait"})["facts"]


@pytest.mark.parametrize("size", [READ_SIZE, 2 * READ_SIZE])
@pytest.mark.parametrize("name", OFFICIAL + PYTHONIC)
def test_an_answer_of_full_reads_arrives(name: str, size: int) -> None:
    [fact] = heard(name, size)

    assert fact[2] == 2107


@pytest.mark.parametrize("name", OFFICIAL)
def test_exact_multiples_are_lost_by_official_clients(name: str) -> None:
    assert heard(name, 2 * READ_SIZE, disturbed=True) == []


@pytest.mark.parametrize("name", PYTHONIC)
def test_exact_multiples_are_nothing_to_others(name: str) -> None:
    assert len(heard(name, 2 * READ_SIZE, disturbed=True)) == 1
