"""Run the simulated TWS on a port: `python -m quant_trading.tools.sim --source seed:7`.

`... sim ctl status` speaks to one that runs (see `sim_ctl`).

Any IBKR client connects to it as to a real TWS. It prints one block when it is ready, one line per client
and order, and the counts of received messages when it is stopped with Ctrl-C.

Exit codes: 0 stopped, 2 the source or an option cannot be used, 3 the address cannot be had.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quant_trading.tws_sim.gateway import Gateway
    from quant_trading.tws_sim.scenario import Scenario
    from quant_trading.tws_sim.simulator import Simulator
    from quant_trading.tws_sim.tape import Tape

__all__ = ["main"]

_OK, _USAGE, _ADDRESS = 0, 2, 3
_SECOND_NS = 1_000_000_000
_CAPTURE = ("record", "replay", "diff")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulator until it is stopped; return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] and arguments[0] in _CAPTURE:
        from quant_trading.tools import capture

        return capture.main(arguments)
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["ctl"]:
        from quant_trading.tools.sim_ctl import main as ctl

        return ctl(given[1:])
    options = _parser().parse_args(given)
    # Everything heavy is imported from here on, so that --help answers at once.
    from quant_trading.tws_sim.simulator import Simulator
    from quant_trading.tws_sim.sources import open_source

    if options.scenario == "list":
        return _list_scenarios()
    try:
        scenario = _scenario(options)
        options.source = options.source or scenario.source
        tape = open_source(options.source)
        words = options.now or scenario.now
        settings = {**_settings(options), **scenario.settings}
        simulator = Simulator(tape, scenario.config(**settings), _start_ns(words, options.source, tape))
        gateway = scenario.behind(simulator)
    except ValueError as error:
        return _fail(_USAGE, str(error))
    return _serve(options, gateway)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="desk sim", description="A TWS in a box: serves real IBKR clients on a port of this machine."
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    add("--port", type=int, default=7497, help="port, 0 takes a free one (default: %(default)s)")
    add("--port-file", metavar="FILE", help="write the port there when clients may connect, for scripts")
    add("--source", help="seed:N, or a file or folder of bars (default: that of the scenario, else seed:7)")
    add("--speed", type=float, default=1.0, help="simulated seconds per second, 0 stands still (default: 1)")
    add("--now", metavar='"YYYY-MM-DD HH:MM"', help="simulated start in New York time (default: the wall clock "
        "for seed:N, the close of the last session for files)")  # fmt: skip
    add("--cash", default="1000000", help="starting cash in USD (default: %(default)s)")
    add("--account", action="append", metavar="ID", help="account id, may be repeated (default: DU1234567)")
    add("--commissions", default="ibkr_fixed", help="ibkr_fixed, none or bps:5 (default: %(default)s)")
    add("--pacing", choices=("strict", "lenient", "off"), default="lenient", help="enforce TWS's limits, count what "
        "breaks them, or neither (default: %(default)s)")  # fmt: skip
    add("--scenario", metavar="FILE|NAME", help="what goes wrong, from a file or shipped; 'list' shows those shipped")
    add("--chaos", type=int, metavar="SEED", help="a bad day made from a number; its faults are printed")
    add("--control-file", metavar="FILE", help="where 'desk sim ctl' finds port and token (default: by the port, in "
        "the folder for temporary files)")  # fmt: skip
    add("--no-control", action="store_true", help="take no commands from 'desk sim ctl'")
    add("--read-only", action="store_true", help="refuse every order, as TWS with the Read-Only API box ticked")
    add("--reject", action="append", default=[], metavar="SYM:CODE", help="refuse orders in SYM with error CODE")
    return parser


def _list_scenarios() -> int:
    from quant_trading.tws_sim.scenario import load_scenario, shipped_scenarios

    for name in shipped_scenarios():
        _say(f"{name:<44} {load_scenario(name).about}")
    return _OK


def _scenario(options: argparse.Namespace) -> "Scenario":
    """Return what goes wrong: from a file, from a number, or nothing at all.

    Raises:
        ValueError: when there is no such scenario, or two are asked for.
    """
    import json

    from quant_trading.tws_sim.chaos import chaos_scenario
    from quant_trading.tws_sim.scenario import load_scenario, read_scenario

    if options.scenario is not None and options.chaos is not None:
        raise ValueError("--scenario and --chaos are both given; write one of them")
    if options.chaos is not None:
        if options.chaos < 0:
            raise ValueError(f"--chaos {options.chaos} is negative; write a number from 0 on")
        data = chaos_scenario(options.chaos)
        _say(json.dumps(data, indent=2))
        return read_scenario(data, f"chaos-{options.chaos}")
    if options.scenario is not None:
        return load_scenario(options.scenario)
    return read_scenario({"about": "Nothing goes wrong.", "faults": []}, "none")


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    from decimal import Decimal, InvalidOperation

    try:
        cash = Decimal(options.cash)
    except InvalidOperation:
        raise ValueError(f"--cash {options.cash!r} is not an amount; write 1000000") from None
    reject: dict[str, tuple[int, str]] = {}
    for rule in options.reject:
        symbol, _, rest = rule.partition(":")
        code, _, text = rest.partition(":")
        if not symbol or not code.isascii() or not code.isdigit():
            raise ValueError(f"--reject {rule!r} is not SYM:CODE; write AAPL:201 or AAPL:201:text")
        reject[symbol.upper()] = (int(code), text)
    return {
        "accounts": tuple(options.account or ("DU1234567",)),
        "cash": cash,
        "commissions": options.commissions,
        "reject": reject,
        "read_only": options.read_only,
        "pacing": options.pacing,
    }


def _start_ns(words: str | None, source: str, tape: "Tape") -> int:
    """Return the simulated start, UTC ns.

    Raises:
        ValueError: when the words are no moment, or lie outside the table of sessions.
    """
    from datetime import UTC, datetime, timedelta

    from quant_trading.refdata.sessions import EXCHANGE_ZONE, next_session

    last_ns = tape.last_ns()
    if words is not None:
        try:
            moment = datetime.fromisoformat(words)
        except ValueError:
            raise ValueError(f'--now {words!r} is no moment; write "2026-11-19 10:00", New York time') from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=EXCHANGE_ZONE)
    elif last_ns is not None:
        # One second after the close: the last bar is complete and the market is shut.
        return last_ns + _SECOND_NS
    else:
        # The only place of the simulator that looks at the wall clock: a person runs it now.
        moment = datetime.now(UTC)  # noqa: TID251
    start_ns = round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000
    next_session(start_ns)
    return start_ns


def _serve(options: argparse.Namespace, gateway: "Gateway") -> int:
    from functools import partial

    from quant_trading.tws_sim.clock import SimClock
    from quant_trading.tws_sim.control import control_beside
    from quant_trading.tws_sim.server import serve_until_stopped
    from quant_trading.tws_sim.times import exchange_time

    simulator = gateway.simulator
    try:
        clock = SimClock(simulator.now_ns, options.speed)
    except ValueError as error:
        return _fail(_USAGE, f"--speed: {error}")
    simulator.observer = lambda line: _say(f"{exchange_time(simulator.now_ns)}  {line}")

    def on_ready(port: int) -> None:
        if options.port_file:
            _write_port(Path(options.port_file), port)
        _say(_banner(options, simulator, port))

    path = Path(options.control_file) if options.control_file else None
    beside = None if options.no_control else partial(control_beside, gateway=gateway, path=path)
    try:
        serve_until_stopped(gateway, clock, options.host, options.port, on_ready, beside)
    except OverflowError:
        return _fail(_USAGE, f"--port {options.port} is not within 0..65535")
    except OSError as error:
        return _fail(
            _ADDRESS,
            f"{options.host}:{options.port} cannot be used: {error.strerror or error}; "
            "stop what runs there (a TWS or another simulator), or choose another --port or --host",
        )
    counts = ", ".join(f"{name} {count}" for name, count in sorted(simulator.counters.items())) or "none"
    _say(f"stopped; messages received: {counts}")
    return _OK


def _write_port(path: Path, port: int) -> None:
    """Write the number whole or not at all: who waits for the file may read it the moment it is there."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(f"{port}\n", encoding="utf-8")
    new.replace(path)


def _banner(options: argparse.Namespace, simulator: "Simulator", port: int) -> str:
    from quant_trading.tws_sim.times import exchange_time

    config = simulator.config
    trouble = options.scenario or ("" if options.chaos is None else f"chaos {options.chaos}")
    lines = [
        "TWS in a box: simulated market, simulated money",
        f"  address     {options.host}:{port}",
        f"  source      {options.source}",
        f"  simulated   {exchange_time(simulator.now_ns)}, speed {options.speed:g}",
        f"  accounts    {', '.join(config.accounts)}, {config.cash:,f} USD each{', read-only' * config.read_only}",
        f"  connect     ib.connect('{options.host}', {port}, clientId=1)",
        *([f"  trouble     {trouble}"] if trouble else []),
        "  control     " + ("off" if options.no_control else f"./desk sim ctl --port {port} status"),
        "  stop        Ctrl-C",
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, flush=True)


def _fail(code: int, text: str) -> int:
    print(f"error: {text}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
