"""Says what this machine has and lacks for the desk, each lack with its cure; changes nothing.

Only the standard library is used, since this has to work when nothing else does; where the desk's packages are
installed, the settings are read as the desk reads them.

    ./desk doctor
    python -m quant_trading.tools.doctor
"""

import argparse
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

__all__ = ["Finding", "Verdict", "examine", "main"]

CHECKOUT = Path(__file__).resolve().parents[2]

ENVIRONMENT = {
    "ready": "made by ./desk and up to date",
    "unstamped": "made by hand; the next ./desk start completes it",
    "outdated": "the lock has changed or an extra is missing; the next ./desk start brings it up to date",
    "missing": "not made yet; the next ./desk start makes it",
    "unfinished": "its making was interrupted; the next ./desk start makes it anew",
    "broken": "its Python does not exist any more; the next ./desk start makes it anew",
    "moved": "made for another folder or Python; the next ./desk start makes it anew",
}


class Verdict(Enum):
    """How much a finding matters; the value is what the screen shows."""

    OK = "ok"
    NOTE = "note"  # something optional is absent
    BAD = "bad"  # the desk or its tests cannot run


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        what: the thing, in two or three words.
        verdict: how much it matters.
        text: what was found and, unless all is well, the cure.
    """

    what: str
    verdict: Verdict
    text: str


def examine(checkout: Path, environment: str = "") -> Iterator[Finding]:
    """Yield the findings, what everything else rests on first.

    Args:
        checkout: the folder that holds `pyproject.toml` and `.venv`.
        environment: what `./desk` knows about `.venv`, a key of ENVIRONMENT; empty when nobody said.
    """
    yield _python()
    yield Finding("platform", Verdict.OK, f"{platform.platform()}, {os.cpu_count()} cores")
    yield _environment(checkout, environment)
    yield from _packages(checkout)
    yield _hooks(checkout)
    yield from _clients(checkout)
    yield _shared_data(checkout)
    settings, host, port = _link(checkout)
    yield settings
    yield _tws(host, port)


def _python() -> Finding:
    return Finding("python", Verdict.OK, f"{platform.python_version()} at {sys.executable}")


def _environment(checkout: Path, environment: str) -> Finding:
    known = environment or ("unstamped" if _site_packages(checkout) else "missing")
    fine = known in ("ready", "unstamped")
    return Finding(".venv", Verdict.OK if fine else Verdict.NOTE, ENVIRONMENT[known])


def _site_packages(checkout: Path) -> Path | None:
    """Return the folder of installed packages of the checkout's environment, None when there is none."""
    venv = checkout / ".venv"
    return next(
        (path for path in [*venv.glob("lib/python3*/site-packages"), venv / "Lib/site-packages"] if path.is_dir()), None
    )


def _normal(name: str) -> str:
    """Return a package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins(checkout: Path) -> dict[str, set[str]]:
    """Return for each package of the lock the versions it may have, one for each marker."""
    pins: dict[str, set[str]] = {}
    for line in (checkout / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, equals, rest = line.partition("==")
        if equals and not line.startswith("#"):
            pins.setdefault(_normal(name), set()).add(rest.partition(";")[0].strip())
    return pins


def _packages(checkout: Path) -> Iterator[Finding]:
    folder = _site_packages(checkout)
    if folder is None:
        yield Finding("packages", Verdict.NOTE, "none yet")
        return
    from importlib.metadata import distributions  # half of the start-up time, which --help does not need

    pins = _pins(checkout)
    installed = {_normal(dist.metadata["Name"]): dist.version for dist in distributions(path=[str(folder)])}
    locked = {name: version for name, version in installed.items() if name in pins}
    other = [
        f"{name} {version} (locked: {' or '.join(sorted(pins[name]))})"
        for name, version in sorted(locked.items())
        if version not in pins[name]
    ]
    if other:
        cure = "bring them in line: pip install -r requirements.txt"
        yield Finding("packages", Verdict.NOTE, f"not as tested: {', '.join(other)}; {cure}")
    else:
        yield Finding("packages", Verdict.OK, f"{len(locked)} installed, each in the locked version")


def _hooks(checkout: Path) -> Finding:
    switch = "git config core.hooksPath .githooks"
    git = shutil.which("git")
    if git is None or not (checkout / ".git").exists():
        return Finding("git hooks", Verdict.NOTE, f"no git checkout here; in one, switch the hooks on: {switch}")
    command = [git, "-C", str(checkout), "config", "core.hooksPath"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.stdout.strip() == ".githooks":
        return Finding("git hooks", Verdict.OK, "switched on: a push to main is refused")
    return Finding("git hooks", Verdict.NOTE, f"off: nothing here refuses a push to main; switch them on: {switch}")


def _clients(checkout: Path) -> Iterator[Finding]:
    """The clients of other makers that the tests run against the simulator, each in its own environment."""
    for name in _TEST_CLIENTS:
        variable = f"QT_PYTHON_{name.upper()}"
        named = os.environ.get(variable)
        places = [Path(named)] if named else [checkout / ".venvs" / name / part for part in _PYTHONS]
        found = next((place for place in places if place.exists()), None)
        what = f"test client {name}"
        if found is not None:
            yield Finding(what, Verdict.OK, str(found))
        elif named:
            yield Finding(what, Verdict.BAD, f"{variable}={named} does not exist; make it again: .ci/run --clients")
        else:
            yield Finding(what, Verdict.NOTE, "not here, its tests are skipped; make it: .ci/run --clients")


_TEST_CLIENTS = (
    "ib_insync", "ibapi", "nautilus_ibapi_1019", "nautilus_ibapi_1030", "nautilus_ibapi_1037", "nautilus_ibapi_1046",
)  # fmt: skip
_PYTHONS = ("bin/python", "Scripts/python.exe")


def _shared_data(checkout: Path) -> Finding:
    named = os.environ.get("QT_SHARED")
    folder = Path(named) if named else checkout.parent / "shared"
    if (folder / "market_data").is_dir():
        return Finding("test data", Verdict.OK, str(folder))
    return Finding("test data", Verdict.NOTE, f"none at {folder}, its tests are skipped; set QT_SHARED to the folder")


def _link(checkout: Path) -> tuple[Finding, str, int]:
    """Return the finding about the settings, and where they say the paper account is, port 0 when they do not."""
    try:
        from quant_trading.domain.errors import ConfigError
        from quant_trading.settings import load_settings
    except ImportError as error:
        text = f"not read, {error.name} is not installed: the next ./desk start installs it"
        return Finding("settings", Verdict.NOTE, text), "", 0
    root = Path(os.environ.get("QT_HOME") or checkout)
    try:
        settings = load_settings(checkout / "configs" / "paper.yaml", environ=os.environ, root=root)
    except ConfigError as error:
        return Finding("settings", Verdict.BAD, str(error)), "", 0
    if (root / ".env").is_file():
        finding = Finding("settings", Verdict.OK, ".env is there and overrides configs/paper.yaml")
    else:
        text = "no .env, configs/paper.yaml holds; for your own ports: cp .env.example .env"
        finding = Finding("settings", Verdict.NOTE, text)
    return finding, settings.ibkr.host, settings.port("paper")


def _tws(host: str, port: int) -> Finding:
    """Whether anything listens where the paper account is expected; says no word to it."""
    cure = (
        "start TWS (paper) with Global Configuration -> API -> Settings -> Enable ActiveX and Socket Clients, "
        "or the simulator: ./desk sim"
    )
    if not port:
        return Finding("TWS", Verdict.NOTE, "not looked for: the settings do not say where it is")
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError as error:
        return Finding("TWS", Verdict.NOTE, f"nothing answers at {host}:{port} ({error}); {cure}")
    return Finding("TWS", Verdict.OK, f"something listens at {host}:{port}")


def main(arguments: list[str] | None = None) -> int:
    """Print the findings; return 1 when one of them keeps the desk from running, else 0."""
    parser = argparse.ArgumentParser(prog="desk doctor", description="Say what is here, what is missing and the cure.")
    parser.add_argument("--environment", choices=sorted(ENVIRONMENT), default="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    bad = 0
    for finding in examine(CHECKOUT, options.environment):
        bad += finding.verdict is Verdict.BAD
        print(f"{finding.verdict.value:<5} {finding.what:<22} {finding.text}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
