"""Runs the scenario with one client at one server version and keeps what both sides know.

The simulated clock stands still but for what the steps advance it, so every client trades at the same moments
and the same prices, however slow it is.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.tape import Tape
from tests.clients.steps import Step

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
# Half a second off the full one, between two trades of the tape.
START = at(date(2026, 11, 19), "10:00") + 500_000_000
SECOND = 1_000_000_000
ANSWER_SECONDS = 60
ACCOUNT = "DU1234567"

Fact = list[Any]


@dataclass(frozen=True)
class Client:
    """One library in an environment of its own.

    Attributes:
        highest: the highest server version it offers.
        deaf_to: kinds of facts it has no callback for, because it is older than they are.
    """

    name: str
    driver: tuple[str, ...]
    highest: int
    deaf_to: frozenset[str] = frozenset()

    @property
    def variable(self) -> str:
        """The environment variable that names its interpreter."""
        return f"QT_PYTHON_{self.name.upper()}"

    def python(self) -> str:
        """Return its interpreter, or skip the test."""
        if self.name == "ib_async":
            return sys.executable
        inside = "Scripts/python.exe" if os.name == "nt" else "bin/python"
        default = ROOT / ".venvs" / self.name / inside
        found = os.environ.get(self.variable) or (str(default) if default.exists() else "")
        if not found:
            pytest.skip(f"no {self.name}: make it by .ci/run --clients or set {self.variable} to a Python that has it")
        return found


CLIENTS = {
    client.name: client
    for client in (
        Client("ib_async", ("driver_ib_async.py", "ib_async"), 178),
        Client("ib_insync", ("driver_ib_async.py", "ib_insync"), 176),
        Client("ibapi", ("driver_ibapi.py",), 157, frozenset({"schedule"})),
        Client("nautilus_ibapi_1019", ("driver_ibapi.py",), 176),
        Client("nautilus_ibapi_1030", ("driver_ibapi.py",), 187),
        Client("nautilus_ibapi_1037", ("driver_ibapi.py",), 203),
        Client("nautilus_ibapi_1046", ("driver_ibapi.py",), 225),
    )
}


class Driver:
    """A client in a process of its own, told what to do line by line."""

    def __init__(self, client: Client) -> None:
        command = [client.python(), "-X", "utf8", str(FOLDER / client.driver[0]), *client.driver[1:]]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._words: list[str] = []
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._read_answers, self._read_words)]
        for thread in self._threads:
            thread.start()

    def _read_answers(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _read_words(self) -> None:
        assert self._process.stderr is not None
        self._words.extend(self._process.stderr)

    def ask(self, step: Step) -> dict[str, Any]:
        """Have a step done; return the facts it brought."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(step) + "\n")
        self._process.stdin.flush()
        try:
            line = self._lines.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            line = ""
        if not line:
            self.stop()
            pytest.fail(f"the client ended or hung at {step}:\n{''.join(self._words)[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        """End the process; it is one of ours and holds nothing."""
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


_IDLE: dict[str, Driver] = {}


@contextmanager
def driving(client: Client) -> Iterator[Driver]:
    """Lend the process of a client, which begins anew; one that failed is not lent again."""
    driver = _IDLE.pop(client.name, None) or Driver(client)
    try:
        driver.ask({"do": "begin"})
        yield driver
    except BaseException:
        driver.stop()
        raise
    _IDLE[client.name] = driver


def stop_all() -> None:
    """End every process; to be called when the last test is over."""
    while _IDLE:
        _IDLE.popitem()[1].stop()


@cache
def _tape() -> Tape:
    """Return the market, which no step changes: what a scan of it ranks is made once, not in every run."""
    return open_source("seed:7")


def simulator(version: int, **settings: Any) -> Simulator:
    """Return the market every client meets, capped at `version`."""
    held = {"MSFT": (Decimal(10), Decimal("150.00"))}
    settings = {"positions": held, "reject": {"TSLA": (201, "")}, "fill_volume_share": Decimal("0.2")} | settings
    config = SimConfig(max_server_version=version, **settings)
    return Simulator(_tape(), config, START)


@dataclass
class Run:
    """What one client saw, and what the simulator knew.

    Attributes:
        steps: each step with the facts it brought.
        truths: what `look` returned after each step.
        log: what the library logged that it should not.
        ledger, orders, executions: the simulator's own, at the end.
    """

    client: Client
    version: int
    steps: list[tuple[Step, list[Fact]]] = field(default_factory=list)
    truths: list[Any] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)
    orders: list[Any] = field(default_factory=list)
    executions: list[Any] = field(default_factory=list)

    def facts(self, name: str) -> list[Fact]:
        """Return the facts of the step or steps of that name."""
        return [fact for step, facts in self.steps if step.get("name") == name for fact in facts]


def perform(client: Client, version: int, steps: list[Step], look: Callable[[Simulator, Step], Any]) -> Run:
    """Run steps; `look` is asked for the truth after each of them."""
    run = Run(client, version)
    market = simulator(version)
    gone = threading.Event()
    market.observer = lambda line: gone.set() if "disconnected" in line else None
    with ThreadedTwsServer(market) as server, driving(client) as driver:
        now = START
        for step in steps:
            now += step.get("advance", 0) * SECOND
            if "advance" in step:
                server.advance_to(now)
            words = step | ({"port": server.port} if step["do"] == "connect" else {})
            answer = driver.ask(words)
            run.steps.append((step, answer["facts"]))
            run.log += [f"{step['do']} {step.get('name', '')}: {text}" for text in answer["log"]]
            if step["do"] == "disconnect" and step is not steps[-1]:
                # An official client that closes its socket goes on reading from it until something arrives or a
                # second has passed, and only then does the server see it go (with 326 for who is too quick).
                now += SECOND
                server.advance_to(now)
                assert gone.wait(ANSWER_SECONDS), "the server has not seen the client go"
                gone.clear()
            run.truths.append(server.call(lambda market, step=step: look(market, step)))
        run.ledger, run.orders, run.executions = server.call(lambda m: (books(m), order_list(m), execution_list(m)))
    return run


def text_of(value: Decimal) -> str:
    """Return a number in its shortest form."""
    return format(value.normalize() + 0, "f") if value else "0"


def books(market: Simulator) -> dict[str, Any]:
    """Return cash and positions of every account."""
    return {
        account: {
            "cash": {currency: text_of(ledger.cash_in(currency)) for currency in ledger.currencies()},
            "positions": {
                (held.contract.local_symbol or held.contract.symbol): [
                    text_of(held.quantity),
                    str(held.average_cost),
                    str(held.realized_today),
                ]
                for held in sorted(ledger.positions.values(), key=lambda held: held.contract.con_id)
            },
        }
        for account, ledger in market.ledgers.items()
    }


def order_list(market: Simulator) -> list[Any]:
    """Return every order as it ended."""
    return [
        [
            order.terms.order_ref, order.perm_id, order.contract.symbol, order.terms.action,
            text_of(order.terms.quantity), order.terms.order_type, order.status.value, text_of(order.filled),
            text_of(order.average_price),
        ]
        for order in market.orders
    ]  # fmt: skip


def execution_list(market: Simulator) -> list[Any]:
    """Return every fill."""
    return [
        [e.exec_id, e.at_ns, e.order_ref, e.contract.symbol, e.is_buy, text_of(e.shares), text_of(e.price),
         text_of(e.commission)]
        for e in market.executions
    ]  # fmt: skip
