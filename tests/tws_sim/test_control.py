"""The control port: who may command, what commands do, and what is refused."""

import asyncio
import json
import re
import socket
import stat
import sys
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.control import COMMANDS, Control, ask, control_beside, read_control_file
from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.scenario import read_scenario
from quant_trading.tws_sim.server import TwsServer
from tests.tws_sim.raw_client import RawClient, names

DAY = date(2026, 11, 19)
START = at(DAY, "10:00")


def gateway() -> Gateway:
    return read_scenario({"about": "x", "now": "2026-11-19 10:00", "faults": []}, "x").build()


def test_status_tells_clock_clients_counters_and_faults() -> None:
    tws = gateway()
    control = Control(tws, SimClock(START, 2.0))
    client = RawClient(tws, 5)
    client.order(1, symbol="AAPL")
    control.run("halt", {"symbol": "AAPL", "seconds": 60})
    status = control.run("status", {})
    assert status["now"] == "20261119 10:00:00 US/Eastern"
    assert status["speed"] == 2.0
    assert status["clients"] == [{"connection": 1, "client": 5, "version": 178}]
    assert status["received"] == {"placeOrder": 1, "startApi": 1}
    assert (status["executions"], status["faults_done"]) == (1, {"halt": 1})


def test_time_is_moved_by_seconds_to_a_time_and_by_events() -> None:
    tws = gateway()
    control = Control(tws)
    assert control.run("advance", {"seconds": 90}) == {"now": "20261119 10:01:30 US/Eastern"}
    assert control.run("advance", {"to": "15:59"}) == {"now": "20261119 15:59:00 US/Eastern"}
    assert control.run("advance", {"to": "09:30"}) == {"now": "20261120 09:30:00 US/Eastern"}
    control.run("fault", {"when": "t=2026-11-20 11:00", "do": "drop"})
    assert control.run("step", {}) == {"now": "20261120 11:00:00 US/Eastern"}
    assert control.run("log", {"count": 1}) == {"log": ["20261120 11:00:00 US/Eastern  fault drop"]}


def test_a_clock_leaps_along_and_changes_its_speed() -> None:
    tws, seconds = gateway(), [0.0]
    clock = SimClock(START, 1.0)
    clock.start(lambda: seconds[0])
    tws.on_leap = clock.leap
    control = Control(tws, clock)
    seconds[0] = 10.0
    tws.advance_to(clock.now_ns())
    control.run("advance", {"seconds": 3600})
    assert clock.now_ns() == tws.now_ns == START + 3610 * 10**9
    control.run("speed", {"speed": 60})
    seconds[0] = 11.0
    assert clock.now_ns() == START + 3670 * 10**9


def test_faults_are_armed_listed_and_forgotten() -> None:
    tws = gateway()
    control = Control(tws)
    entry = {"when": "recv:reqCurrentTime#2", "do": "swallow"}
    control.run("fault", entry)
    assert control.run("faults", {}) == {"faults": [entry], "done": {}}
    client = RawClient(tws)
    assert [len(client.ask("reqCurrentTime")) for _ in range(2)] == [1, 0]
    control.run("fault", {"when": "recv:reqCurrentTime#1", "do": "swallow"})
    control.run("clear", {})
    assert len(client.ask("reqCurrentTime")) == 1
    found = control.run("chaos", {"seed": 7})["faults"]
    assert control.run("faults", {})["faults"] == found
    assert control.run("scenario", {"name": "F07"})["faults"][0]["code"] == 10349


def test_clients_are_killed_and_let_in_again() -> None:
    tws = gateway()
    control = Control(tws)
    one, two = RawClient(tws, 1), RawClient(tws, 2)
    control.run("kill-client", {"client": 1})
    assert (one.session.is_closed, two.session.is_closed) == (True, False)
    control.run("restart", {"seconds": 600})
    control.run("open-port", {})
    assert names(RawClient(tws, 2).greeting)[0] == "managedAccounts"


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("explode", {}, "'explode' is no command; write status"),
        ("halt", {"symbol": "NONE"}, "symbol = 'NONE' is not in this market"),
        ("halt", {}, "symbol is missing"),
        ("status", {"all": 1}, "status knows no all"),
        ("step", {"count": 0}, "count = 0 is not within"),
        ("advance", {}, "seconds = None is not within"),
        ("advance", {"to": "noon"}, "to = 'noon' is no time"),
        ("speed", {"speed": 1}, "speed cannot be set"),
        ("chaos", {"seed": "x"}, "seed = 'x' is no number"),
        ("kill-client", {"client": 9}, "client = 9 is not connected; connected are []"),
        ("scenario", {"name": "nonsense"}, "no such file"),
        ("fault", {"do": "drop"}, "when = None is no text"),
        ("log", {"count": 0}, "count = 0 is not a number"),
    ],
)
def test_mistakes_are_named(command: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Control(gateway()).run(command, arguments)


def test_every_command_answers() -> None:
    for name in COMMANDS:
        given = {"fault": {"when": "connect", "do": "drop"}, "chaos": {"seed": 1}, "scenario": {"name": "W01"},
                 "advance": {"seconds": 1}, "speed": {"speed": 2}}.get(name, {})  # fmt: skip
        if name != "kill-client":
            answer = Control(gateway(), SimClock(START)).run(name, given)
            assert json.loads(json.dumps(answer)) == answer


# The port


def serve(path: Path, then: Callable[[Gateway], Awaitable[None]]) -> None:
    async def run() -> None:
        tws = gateway()
        async with TwsServer(tws, SimClock(START, 0.0)) as server, control_beside(server, tws, path):
            await then(tws)

    asyncio.run(run())


def test_commands_come_in_by_who_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "control" / "7497.json"

    async def command(tws: Gateway) -> None:
        port, token = read_control_file(path)
        if sys.platform != "win32":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        await asyncio.to_thread(ask, port, token, "advance", {"seconds": 60})
        assert tws.now_ns == START + 60 * 10**9
        with pytest.raises(ValueError, match="'explode' is no command"):
            await asyncio.to_thread(ask, port, token, "explode", {})
        with pytest.raises(ValueError, match="the token is wrong"):
            await asyncio.to_thread(ask, port, "0" * 32, "advance", {"seconds": 60})
        assert tws.now_ns == START + 60 * 10**9

    serve(path, command)
    assert not path.exists()


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1\r\n", b"[]\n", b"{}\n", b"[" * 5000 + b"\n", b"\xff\xfe\n", b"x" * 100_000 + b"\n"]
)
def test_strangers_are_hung_up_on(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "control.json"

    def knock(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(line)
            received = b""
            try:
                while chunk := sock.recv(65536):
                    received += chunk
            except ConnectionResetError:
                pass
            return received

    async def command(tws: Gateway) -> None:
        port, token = read_control_file(path)
        received = await asyncio.to_thread(knock, port)
        assert b"token is wrong" in received or received == b""
        assert (await asyncio.to_thread(ask, port, token, "status", {}))["orders"] == 0

    serve(path, command)


def test_a_missing_or_broken_control_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such control file; is a simulator running there"):
        read_control_file(tmp_path / "none.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="it should hold port and token"):
        read_control_file(broken)
