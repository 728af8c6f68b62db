"""Rules every test obeys: no network but this machine, no hidden error of the client library, no silent skip.

QT_STRICT=1 (set by `./desk test --strict`) turns a skip into a failure unless its reason begins with
"other platform". QT_STRICT_ALLOW=shared-data additionally lets tests skip that need the shared market
data, for machines that cannot have it.
"""

import gc
import ipaddress
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

ALLOWED_SKIPS = {"": "other platform", "shared-data": "no shared market data"}

# The fast suite takes the same few examples each time, so its verdict changes only with the code; a whole run at
# home looks for new ones, a whole run in CI tries most (see examples.py for the properties with counts of their own).
settings.register_profile("fast", max_examples=10, deadline=None, derandomize=True, print_blob=True, database=None)
settings.register_profile("default", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True, print_blob=True, database=None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, or one of them would be alone at the end while the other process has nothing."""

    def early(item: pytest.Item) -> int:
        marker = item.get_closest_marker("slow")
        return marker.kwargs.get("early", 0) if marker else 0

    items.sort(key=early, reverse=True)  # stable: neighbours stay together


def pytest_collection_finish() -> None:
    """Take what stays to the end, modules and thousands of items, out of the collector's sight: it is a lot to walk."""
    gc.collect()
    gc.freeze()


# --- files in memory ------------------------------------------------------------------------------

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 2_000_000_000  # several times what a whole run leaves at once


def _keep_files_in_memory() -> None:
    """Put the tests' folders where a flush to the medium costs nothing: journals and stores do thousands of them.

    Elsewhere than on Linux, without room, or where nothing may be executed (some containers), they stay on the disk.
    """
    if "PYTEST_DEBUG_TEMPROOT" in os.environ or not _MEMORY.is_dir() or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return
    if shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES and not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_MEMORY)


# --- no network but this machine ---------------------------------------------------------------


class OutsideNetwork(OSError):
    """A test tried to reach another machine; as an OSError it looks to the code like a missing network."""


_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex
_attempts: list[str] = []


def _refuse_outside(sock: socket.socket, address: object) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    host = str(address[0]) if isinstance(address, tuple) else str(address)
    try:
        inside = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:  # a name: only this one is sure to stay here
        inside = host in ("localhost", "")
    if not inside:
        _attempts.append(f"{address}")
        raise OutsideNetwork(f"a test may connect to 127.0.0.1 only, not to {address}")


def _guarded_connect(self: socket.socket, address: object) -> None:
    _refuse_outside(self, address)
    _connect(self, address)  # type: ignore[arg-type]


def _guarded_connect_ex(self: socket.socket, address: object) -> int:
    _refuse_outside(self, address)
    return _connect_ex(self, address)  # type: ignore[arg-type]


def pytest_configure(config: pytest.Config) -> None:
    """Put the guard in place before any test module is imported, and choose how hard properties are tried."""
    fast = "not slow" in config.option.markexpr
    whole = "ci" if os.environ.get("CI") else "default"
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("fast" if fast else whole))
    # What a shell starts in the background ignores Ctrl+C, and so would every program that a test interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _keep_files_in_memory()
    socket.socket.connect = _guarded_connect  # type: ignore[method-assign]
    socket.socket.connect_ex = _guarded_connect_ex  # type: ignore[method-assign]


def pytest_unconfigure() -> None:
    """Give the sockets back."""
    socket.socket.connect = _connect  # type: ignore[method-assign]
    socket.socket.connect_ex = _connect_ex  # type: ignore[method-assign]


def _outside_attempts() -> str | None:
    """Return why a test fails that tried to reach another machine, even when the code under test swallowed it."""
    if not _attempts:
        return None
    return f"tried to connect to {', '.join(_attempts)}; tests may connect to 127.0.0.1 only"


# --- no hidden error of the client library -------------------------------------------------------


class _ErrorRecords(logging.Handler):
    """Keeps the text of every record it is given."""

    def __init__(self) -> None:
        super().__init__(level=logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.name}: {record.getMessage()}")


_records = _ErrorRecords()


def _client_errors(item: pytest.Item) -> str | None:
    """Return why a test fails in which the ib_async client logged an error: it logs what it cannot decode, goes on."""
    if not _records.texts or item.get_closest_marker("expects_client_errors") is not None:
        return None
    return "the ib_async client logged an error: " + " | ".join(_records.texts)


# --- no silent skip ------------------------------------------------------------------------------


def _forbidden_skip(reason: str) -> str | None:
    """Return why this skip is a failure, None when it may stand."""
    if os.environ.get("QT_STRICT") != "1":
        return None
    reason = reason.removeprefix("Skipped: ")
    names = ("", *os.environ.get("QT_STRICT_ALLOW", "").split(","))
    if any(reason.startswith(ALLOWED_SKIPS[name]) for name in names if name in ALLOWED_SKIPS):
        return None
    return f"skipped under QT_STRICT=1: {reason}; provide what is missing (./desk doctor names it)"


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        forbidden = _forbidden_skip(reason)
        if forbidden is not None:
            report.outcome = "failed"
            report.longrepr = forbidden


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of one test into a failure under QT_STRICT."""
    report = yield
    _judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure under QT_STRICT."""
    report = yield
    _judge(report)
    return report


# --- no strategy of one test's own is known to another -------------------------------------------


def _user_modules() -> set[str]:
    """Return the modules that came from a strategies/ folder."""
    return {name for name in sys.modules if name.startswith("quant_trading_user_strategies")}


def _newest_module() -> str:
    """Return the module that was imported last: while it stays the same, none has come."""
    return next(reversed(sys.modules))


def _forget_user_strategies(before: set[str]) -> None:
    """Forget what a test loaded from a strategies/ folder; the built-in strategies stay."""
    base = sys.modules.get("quant_trading.strategy.base")
    for module in _user_modules() - before:
        del sys.modules[module]
        for name in [name for name, kind in base._REGISTRY.items() if kind.__module__ == module] if base else ():
            del base._REGISTRY[name]


# --- around every test ---------------------------------------------------------------------------

_before: dict[str, set[str]] = {}  # the newest module before a test -> the modules from a strategies/ folder


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """Begin a test with clean records. (A fixture for each rule would cost thousands of tests several seconds.)"""
    _attempts.clear()
    _records.texts.clear()
    logging.getLogger("ib_async").addHandler(_records)
    if (newest := _newest_module()) not in _before:
        # Asked around every test, and the names of two thousand modules are much to look at.
        _before.clear()
        _before[newest] = _user_modules()
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """End a test, its fixtures included, and fail it when it broke a rule."""
    try:
        yield
    finally:
        logging.getLogger("ib_async").removeHandler(_records)
        if _newest_module() not in _before:
            _forget_user_strategies(*_before.values())
    for broken in (_outside_attempts(), _client_errors(item)):
        if broken is not None:
            pytest.fail(broken)
