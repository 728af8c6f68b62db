"""The least time an order can take: a server that has its answers ready, and sends them at once.

It greets clients as the simulator does, answers everything but orders with a simulator, and orders with the bytes a
simulator has made for the same orders before. What is left is the client's own work and the wake-ups of two processes.

    python -m benchmarks.order_floor PORT_FILE
"""

import asyncio
import sys
from collections import deque
from pathlib import Path

from benchmarks.client_work import own_work
from benchmarks.simulated import HOST, logged_on, market, send
from quant_trading.tws_sim.simulator import Simulator

__all__ = ["FLOOR_ORDERS"]

FLOOR_ORDERS = 1100
"""So many orders are answered, of a client with id 1, from order id `FIRST_ORDER` on."""

_PLACE_ORDER, _EXECUTION = b"3\0", b"11\0"


class _Ready(asyncio.Protocol):
    """One client, answered by a simulator and, where it places orders, from memory."""

    def __init__(self, simulator: Simulator, answers: "deque[tuple[bytes, bytes]]") -> None:
        self._session = simulator.connect()
        self._answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data[4:].startswith(_PLACE_ORDER):
            until_fill, rest = self._answers.popleft()
            self._transport.write(until_fill)
            self._transport.write(rest)
            return
        self._session.receive(data)
        self._transport.write(self._session.data_to_send())


def _parts(answer: bytes) -> tuple[bytes, bytes]:
    """Return the messages up to the execution, which is what a client waits for, and those after it."""
    at, is_told = 0, False
    while not is_told:
        is_told = answer[at + 4 :].startswith(_EXECUTION)
        at += 4 + int.from_bytes(answer[at : at + 4], "big")
    return answer[:at], answer[at:]


async def _answers() -> "deque[tuple[bytes, bytes]]":
    """Return what a simulator says to orders of a client that follows its account, as ib_async does."""
    session = logged_on(market())
    send(session, "reqPositions")
    send(session, "reqAccountUpdates", subscribe=True, account="DU1234567")
    session.data_to_send()
    made: list[bytes] = []
    await own_work(session, FLOOR_ORDERS, made)
    return deque(map(_parts, made))


async def _serve(port_file: Path) -> None:
    simulator, answers = market(), await _answers()
    server = await asyncio.get_running_loop().create_server(lambda: _Ready(simulator, answers), HOST, 0)
    new = port_file.with_suffix(".new")
    new.write_text(str(server.sockets[0].getsockname()[1]), encoding="utf-8")
    new.replace(port_file)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
