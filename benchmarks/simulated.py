"""What the benches of the simulator share: a market, sessions, servers in processes of their own, a client, a line."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.front_doors import ROOT
from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.fields import encode
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.tape import Contract
from quant_trading.tws_sim.wire import encode_frame

VERSION = 178
START = at(date(2026, 11, 19), "10:00") + 500_000_000
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `goal` is reached at or above it, at or below it when `is_ceiling`."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    is_ceiling: bool = False

    def __str__(self) -> str:
        """Return the line."""
        shown = f"{self.value:,.0f}" if self.value >= 100 else f"{self.value:.3g}"
        line = f"{self.name:<58} {shown:>12} {self.unit:<8}"
        if self.goal is None:
            return line.rstrip()
        is_met = self.value <= self.goal if self.is_ceiling else self.value >= self.goal
        sign = "<=" if self.is_ceiling else ">="
        return f"{line} goal {sign} {self.goal:,g}: {'met' if is_met else 'missed'}"


def market(**settings: Any) -> Simulator:
    """Return the built-in market on a Thursday morning."""
    return Simulator(open_source("seed:7"), SimConfig(**settings), START)


def logged_on(simulator: Simulator, client_id: int = 1) -> Session:
    """Return a ready session of a client without a library."""
    session = simulator.connect()
    words = f"v{VERSION}..{VERSION}".encode()
    session.receive(b"API\0" + len(words).to_bytes(4, "big") + words)
    send(session, "startApi", clientId=client_id)
    session.data_to_send()
    return session


def send(session: Session, name: str, **values: Any) -> None:
    """Give the session one request."""
    session.receive(encode_frame(encode(REQUEST_NAMES[name], values, VERSION)))


def stocks(simulator_tape: Any, count: int) -> list[Contract]:
    """Return `count` dollar stocks of the market, over again when it has fewer."""
    found = [c for c in simulator_tape.contracts() if (c.sec_type, c.currency) == ("STK", "USD")]
    return [found[place % len(found)] for place in range(count)]


def frames(data: bytes) -> int:
    """Return how many messages are in a server's bytes."""
    count = place = 0
    while place < len(data):
        place += 4 + int.from_bytes(data[place : place + 4], "big")
        count += 1
    return count


async def connected(port: int, client_id: int = 1) -> Any:
    """Return an ib_async client without its limit of 45 messages a second."""
    from ib_async import IB

    ib = IB()
    ib.client.MaxRequests = 0
    await ib.connectAsync(HOST, port, clientId=client_id, timeout=20)
    return ib


@contextmanager
def running(command: list[str], port_file: Path) -> Iterator[int]:
    """Run a server in a process of its own, so that it shares no lock with the client; yield its port."""
    with subprocess.Popen(
        [sys.executable, "-m", *command, str(port_file)], cwd=ROOT, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as server:
        try:
            while not port_file.exists() and server.poll() is None:
                time.sleep(0.05)
            yield int(port_file.read_text(encoding="utf-8"))
        finally:
            server.terminate()


@contextmanager
def simulator_process() -> Iterator[int]:
    """Run `desk sim` with the built-in market standing still; yield its port."""
    command = ["quant_trading.tools.sim", "--port", "0", "--source", "seed:7", "--speed", "0"]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--now", "2026-11-19 10:00", "--port-file"]
        with running([*command, *options], Path(folder, "port")) as port:
            yield port


async def with_client(port: int, program: Callable[[Any], Awaitable[list[Figure]]]) -> list[Figure]:
    """Run a program with an ib_async client."""
    ib = await connected(port)
    try:
        return await program(ib)
    finally:
        ib.disconnect()
