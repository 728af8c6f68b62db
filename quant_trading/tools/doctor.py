"""Says what keeps the desk from working, on this machine and at TWS: what was seen, what was expected, the cure.

Changes nothing and sends no order that could trade: on paper logins one what-if order of a single share asks TWS for a
preview, on live logins not even that. What concerns the machine needs only the standard library, since it has to work
when nothing else does. docs/troubleshooting.md lists every diagnosis.

    ./desk doctor
    ./desk doctor --port 4002 --json
    python -m quant_trading.tools.doctor --no-tws

Exit codes: 0 nothing to mend (notes do not count), 1 findings, 2 wrong arguments, 3 no session with TWS, 4 the account
or the port does not fit the mode.
"""

import argparse
import json
import logging
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from quant_trading.core.connect_options import add_connect_options
from quant_trading.core.diagnose_table import ACCOUNT_REFUSED, NO_SESSION, Finding, Severity, found, is_fine
from quant_trading.tools.doctor_desk import (
    check_restart,
    check_settings,
    check_strategy,
    journals,
    local_zone,
    pacing,
)
from quant_trading.tools.doctor_machine import ENVIRONMENT, disk, examine_machine, folders

if TYPE_CHECKING:
    from quant_trading.settings import Settings

__all__ = ["FORMAT", "examine", "exit_code", "main", "parse"]

CHECKOUT = Path(__file__).resolve().parents[2]
FORMAT = 1  # of --json; raised when a field changes its meaning or goes
_HERE = ("127.0.0.1", "localhost", "::1")
_PORT_SECONDS = 2.0


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="desk doctor", description="Say what keeps the desk from working, each with the cure in one line."
    )
    add_connect_options(parser, "doctor")
    add = parser.add_argument
    add("--mode", choices=("paper", "live"), default="paper", help="what the login should be (default: %(default)s)")
    add("--symbol", default="SPY", help="whose contract, price and bars are asked for (default: %(default)s)")
    add("--no-tws", action="store_true", help="leave TWS out: look at the machine and the desk's files only")
    add("--json", action="store_true", help="print one JSON object, described in docs/troubleshooting.md")
    add("--environment", choices=sorted(ENVIRONMENT), default="", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def examine(checkout: Path, options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Yield the findings, what everything else rests on first.

    Args:
        checkout: the folder that holds `pyproject.toml` and `.venv`.
        options: of `parse`.
        environ: the environment of the process.
    """
    root, config = Path(environ.get("QT_HOME") or checkout).absolute(), Path(options.config)
    for finding in examine_machine(checkout, options.environment, environ):
        yield finding
        if finding.id == "tzdata-none":  # neither the settings nor anything about sessions can be read
            yield from _files(root, None, environ)
            yield found("tws-not-looked-for", "not looked for: no time zone is known here")
            return
    config = config.absolute() if config.is_file() else checkout / config
    finding, settings = check_settings(config, root, environ, _overrides(options))
    yield finding
    yield from _files(root, settings, environ)
    if options.no_tws:
        return
    if settings is None:
        yield found("tws-not-looked-for", "not looked for: the settings do not say where it is")
        return
    yield from _tws(settings, options, environ)


def _overrides(options: argparse.Namespace) -> dict[str, object]:
    return {
        "ibkr.host": options.host,
        "ibkr.live_port" if options.mode == "live" else "ibkr.port": options.port,
        "ibkr.client_id": options.client_id,
        "ibkr.account": options.account,
    }


def _files(root: Path, settings: "Settings | None", environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what the folders of the desk show; those of the checkout when the settings name none."""
    if settings is None:
        places = {name: root / name for name in ("logs", "outputs", "state")}
    else:
        paths = settings.paths
        places = {"logs": paths.logs, "outputs": paths.outputs, "state": paths.state, "data": paths.data}
    yield disk(places.values())
    yield from folders(places)
    if settings is None:
        return
    from quant_trading.settings.system_clock import SystemClock

    yield check_strategy(root, environ)
    yield from journals(places["state"])
    yield from pacing(root / "state" / "pacing", SystemClock())


def _tws(settings: "Settings", options: argparse.Namespace, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what a look at TWS shows."""
    from quant_trading.settings.system_clock import SystemClock

    ibkr, clock = settings.ibkr, SystemClock()
    schedule = settings.restart.schedule
    yield check_restart(schedule, local_zone(environ) if ibkr.host in _HERE else None, clock.now())
    try:
        from quant_trading.core.diagnose import CONNECT_SECONDS, Target, diagnose
    except ImportError as error:
        yield _listens(ibkr.host, settings.port(options.mode), str(error.name))
        return
    assert ibkr.client_id is not None, "--client-id has a default"
    target = Target(
        ibkr.host,
        settings.port(options.mode),
        ibkr.client_id,
        mode=options.mode,
        account=ibkr.account or "",
        allow_port_mismatch=ibkr.allow_port_mismatch,
        symbol=options.symbol.upper(),
        connect_seconds=min(CONNECT_SECONDS, ibkr.connect_timeout_seconds),
        schedule=schedule,
    )
    yield from diagnose(target, clock)


def _listens(host: str, port: int, missing: str) -> Finding:
    """Whether anything listens where TWS is expected, when the client library is not there; says no word to it."""
    try:
        socket.create_connection((host, port), timeout=_PORT_SECONDS).close()
    except OSError as error:
        return found("tws-not-running", f"nothing answers at {host}:{port} ({error})", host=host, port=port)
    return is_fine("TWS", f"something listens at {host}:{port}; more is not known, {missing} is not installed")


# What is shown.


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 0 when there is nothing to mend, 3 without a session, 4 for a wrong account, else 1."""
    ids = {finding.id for finding in findings if finding.severity in (Severity.WARN, Severity.BAD)}
    if ids & NO_SESSION:
        return 3
    if ids & ACCOUNT_REFUSED:
        return 4
    return 1 if ids else 0


def _lines(finding: Finding) -> Iterator[str]:
    """Yield a finding as it is shown: one line when all is well or little is amiss, three when it has to be mended."""
    head = f"{finding.severity.value:<5} {finding.check:<16} "
    if finding.severity is Severity.OK:
        yield head + finding.seen
    elif finding.severity is Severity.NOTE:
        yield f"{head}{finding.seen}; {finding.cure}"
    else:
        yield head + finding.seen
        yield f"      {'expected':<16} {finding.expected}"
        yield f"      {'cure':<16} {finding.cure}"


def _as_json(findings: list[Finding]) -> str:
    rows = [
        {
            "check": one.check,
            "severity": one.severity.value,
            "id": one.id or None,
            "seen": one.seen,
            "expected": one.expected or None,
            "cure": one.cure or None,
        }
        for one in findings
    ]
    return json.dumps({"format": FORMAT, "exit_code": exit_code(findings), "findings": rows}, indent=1)


def main(arguments: list[str] | None = None) -> int:
    """Print the findings and return the exit code."""
    options = parse(arguments)
    logging.basicConfig(level=logging.CRITICAL)  # what matters is printed below, once
    findings = []
    try:
        for finding in examine(CHECKOUT, options):
            findings.append(finding)
            if not options.json:
                print("\n".join(_lines(finding)), flush=True)
        if options.json:
            print(_as_json(findings), flush=True)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exit_code(findings)


if __name__ == "__main__":
    sys.exit(main())
