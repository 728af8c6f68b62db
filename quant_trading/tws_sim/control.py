"""The hand on a running simulator: commands as JSON lines on a port of this machine.

A request is one line, `{"token": "...", "command": "halt", "arguments": {"symbol": "AAPL"}}`, and so is its
answer, `{"ok": true, ...}` or `{"ok": false, "error": "..."}`. Who may command is who can read the control
file, which holds port and token and which only its owner can read. Nothing but 127.0.0.1 is listened on.

| command | arguments | does |
| --- | --- | --- |
| status | | clock, clients, counters, faults done |
| step | count | moves time to the next thing that happens, so many times |
| advance | seconds, or to ("15:59") | moves time ahead at once |
| speed | speed | simulated seconds a second, 0 stands still |
| fault | an entry of a scenario | waits for its "when", then does it |
| chaos | seed | the same with a generated list, which is returned |
| scenario | name | the same with the faults of a scenario |
| faults | | lists what waits and what was done |
| clear | | forgets what waits |
| log | count | the last things done |
| kill-client | client | closes the connection of a client id |
| open-port, login | | lets clients in again after a restart or a login that never came |
| any action | its parameters | does it now |
"""

import asyncio
import contextlib
import json
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from getpass import getuser
from pathlib import Path
from tempfile import gettempdir
from types import TracebackType
from typing import Any, Self

from quant_trading.refdata.sessions import at, exchange_date
from quant_trading.tws_sim.chaos import chaos_faults
from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.faults import ACTIONS, read_fault
from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.scenario import load_scenario
from quant_trading.tws_sim.server import TwsServer
from quant_trading.tws_sim.times import exchange_time

__all__ = [
    "COMMANDS",
    "Control",
    "ControlServer",
    "ask",
    "control_beside",
    "control_file",
    "default_file",
    "read_control_file",
]

_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS
_MAX_LINE = 65_536
_MAX_STEPS = 100_000
_TIMEOUT_SECONDS = 60.0


class Control:
    """What the commands do; without a socket, for whoever has the gateway at hand."""

    def __init__(self, gateway: Gateway, clock: SimClock | None = None) -> None:
        """Command a gateway, and the clock that drives it if there is one."""
        self._gateway = gateway
        self._clock = clock

    def run(self, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to one command.

        Raises:
            ValueError: when there is no such command, or an argument is wrong; one line with the cure.
        """
        name = command.replace("_", "-")
        if name in COMMANDS:
            known = COMMANDS[name][1]
            unknown = sorted(set(arguments) - set(known)) if known is not None else []
            if unknown:
                raise ValueError(f"{name} knows no {unknown[0]}; it takes {', '.join(known or ()) or 'nothing'}")
            return COMMANDS[name][0](self, arguments) or {}
        action = command.replace("-", "_")
        if action not in ACTIONS:
            raise ValueError(
                f"{command!r} is no command; write {', '.join(COMMANDS)}, or an action: {', '.join(sorted(ACTIONS))}"
            )
        self._gateway.do({**arguments, "do": action})
        return {}

    def _status(self, _: Mapping[str, Any]) -> dict[str, Any]:
        gateway = self._gateway
        simulator = gateway.simulator
        due_ns = gateway.next_event_ns()
        return {
            "now": exchange_time(gateway.now_ns),
            "speed": None if self._clock is None else self._clock.speed,
            "next_event": None if due_ns is None else exchange_time(due_ns),
            "is_listening": gateway.is_listening,
            "clients": [
                {"connection": one.number, "client": one.client_id, "version": one.version} for one in gateway.sessions
            ],
            "received": dict(sorted(simulator.counters.items())),
            "orders": sum(not order.status.is_done for order in simulator.orders),
            "executions": len(simulator.executions),
            "pacing_violations": dict(sorted(simulator.pacing.violations.items())),
            "faults_done": dict(sorted(gateway.fired.items())),
        }

    def _step(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        count = arguments.get("count", 1)
        if not isinstance(count, int) or not 1 <= count <= _MAX_STEPS:
            raise ValueError(f"count = {count!r} is not within 1..{_MAX_STEPS}")
        for _ in range(count):
            due_ns = self._gateway.next_event_ns()
            if due_ns is None:
                break
            self._gateway.leap(max(0, due_ns - self._gateway.now_ns))
        return {"now": exchange_time(self._gateway.now_ns)}

    def _advance(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        now = self._gateway.now_ns
        if "to" in arguments:
            try:
                target = at(exchange_date(now), str(arguments["to"]))
            except ValueError:
                raise ValueError(f'to = {arguments["to"]!r} is no time; write "15:59", New York time') from None
            target += _DAY_NS if target <= now else 0
        else:
            seconds = arguments.get("seconds")
            if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds <= 1e9:
                raise ValueError(f"seconds = {seconds!r} is not within 0..1e9")
            target = now + round(seconds * _SECOND_NS)
        self._gateway.leap(target - now)
        return {"now": exchange_time(self._gateway.now_ns)}

    def _speed(self, arguments: Mapping[str, Any]) -> None:
        speed = arguments.get("speed")
        if self._clock is None:
            raise ValueError("speed cannot be set: time is moved by whoever runs the simulator")
        if not isinstance(speed, int | float) or isinstance(speed, bool):
            raise ValueError(f"speed = {speed!r} is no number; write 0 to stand still, 60 for a minute a second")
        self._clock.set_speed(float(speed))

    def _fault(self, arguments: Mapping[str, Any]) -> None:
        self._gateway.arm(read_fault(arguments))

    def _chaos(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        seed = arguments.get("seed")
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ValueError(f"seed = {seed!r} is no number; write 0 or above")
        entries = chaos_faults(seed)
        for entry in entries:
            self._gateway.arm(read_fault(entry))
        return {"faults": entries}

    def _scenario(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        scenario = load_scenario(str(arguments.get("name", "")))
        for fault in scenario.faults:
            self._gateway.arm(fault)
        return {"about": scenario.about, "faults": [dict(fault.entry) for fault in scenario.faults]}

    def _faults(self, _: Mapping[str, Any]) -> dict[str, Any]:
        entries = [dict(fault.entry) for fault in self._gateway.faults]
        return {"faults": entries, "done": dict(sorted(self._gateway.fired.items()))}

    def _clear(self, _: Mapping[str, Any]) -> None:
        self._gateway.disarm()

    def _log(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        count = arguments.get("count", 20)
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"count = {count!r} is not a number from 1 on")
        return {"log": [f"{exchange_time(ns)}  {line}" for ns, line in list(self._gateway.log)[-count:]]}

    def _kill_client(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        client = arguments.get("client")
        known = sorted(one.client_id for one in self._gateway.sessions)
        if client not in known:
            raise ValueError(f"client = {client!r} is not connected; connected are {known}")
        self._gateway.do({"do": "drop", "client": client})
        return {}

    def _open_port(self, _: Mapping[str, Any]) -> None:
        self._gateway.open_port()


COMMANDS: dict[str, tuple[Callable[[Control, Mapping[str, Any]], dict[str, Any] | None], tuple[str, ...] | None]] = {
    "status": (Control._status, ()),
    "step": (Control._step, ("count",)),
    "advance": (Control._advance, ("seconds", "to")),
    "speed": (Control._speed, ("speed",)),
    "fault": (Control._fault, None),
    "chaos": (Control._chaos, ("seed",)),
    "scenario": (Control._scenario, ("name",)),
    "faults": (Control._faults, ()),
    "clear": (Control._clear, ()),
    "log": (Control._log, ("count",)),
    "kill-client": (Control._kill_client, ("client",)),
    "open-port": (Control._open_port, ()),
    "login": (Control._open_port, ()),
}
"""Commands with what they do and the arguments they take (None: the reader checks them)."""


class ControlServer:
    """`async with ControlServer(control, on_command):` takes commands on `port` from who knows the token."""

    def __init__(self, control: Control, on_command: Callable[[], None], before: Callable[[], None]) -> None:
        """Prepare; `before` brings the simulator's time up to now, `on_command` is told after each command."""
        self.token = secrets.token_hex(16)
        self.port = 0
        self._control = control
        self._on_command = on_command
        self._before = before
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        """Start to listen on a free port of this machine."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MAX_LINE)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up and free the port."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                answer, is_trusted = self._answer(line)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
                if not is_trusted:
                    return
        except (ConnectionError, ValueError):
            # Too long a line, or the other end is gone: there is nobody to tell.
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, line: bytes) -> tuple[dict[str, Any], bool]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, Mapping) or not secrets.compare_digest(str(request.get("token", "")), self.token):
            return {"ok": False, "error": "the token is wrong; it stands in the control file"}, False
        command, arguments = request.get("command"), request.get("arguments", {})
        if not isinstance(command, str) or not isinstance(arguments, Mapping):
            return {"ok": False, "error": 'write {"token": ..., "command": "status", "arguments": {}}'}, True
        self._before()
        try:
            return {"ok": True, **self._control.run(command, arguments)}, True
        except (ValueError, RequestRefused) as error:
            return {"ok": False, "error": str(error)}, True
        finally:
            self._on_command()


# The control file


def default_file(port: int) -> Path:
    """Return where the control file of the simulator on a port is, readable by this user only."""
    return Path(gettempdir()) / f"desk-sim-{getuser()}" / f"{port}.json"


@contextlib.contextmanager
def control_file(path: Path, port: int, token: str) -> Iterator[None]:
    """Keep port and token in a file that only its owner can read, as long as the simulator runs.

    Raises:
        OSError: when it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"port": port, "token": token}, file)
    new.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def control_beside(server: TwsServer, gateway: Gateway, path: Path | None) -> AsyncIterator[None]:
    """Take commands as long as a server runs; `path` is the control file, None for the default one.

    Raises:
        OSError: when the control file cannot be written.
    """
    control = Control(gateway, server.clock)
    async with ControlServer(control, server.schedule, server.catch_up) as commands:
        with control_file(path or default_file(server.port), commands.port, commands.token):
            yield


def read_control_file(path: Path) -> tuple[int, str]:
    """Return port and token.

    Raises:
        ValueError: when there is no such file or it holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return int(data["port"]), str(data["token"])
    except FileNotFoundError:
        raise ValueError(
            f"{path}: no such control file; is a simulator running there? Name its port with --port, "
            "or its file with --control-file"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: cannot be used ({error}); it should hold port and token") from None


def ask(port: int, token: str, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer of a running simulator to one command.

    Raises:
        OSError: when nobody listens, or hangs up.
        ValueError: when the command is refused; its words.
    """
    request = json.dumps({"token": token, "command": command, "arguments": dict(arguments)}).encode() + b"\n"
    with (
        socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS) as sock,
        sock.makefile("rwb") as stream,
    ):
        stream.write(request)
        stream.flush()
        line = stream.readline()
    if not line:
        raise ConnectionResetError(f"the simulator hung up on {command!r}")
    answer: dict[str, Any] = json.loads(line)
    if not answer.pop("ok", False):
        raise ValueError(str(answer.get("error", "refused")))
    return answer
