"""Everything `./desk doctor` can say, in one table: how much it matters, what is expected, and the cure in one line.

The table is the one home of a cure: `docs/troubleshooting.md` is checked against it. Only the standard library is
imported, since the doctor has to speak when nothing else works.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

__all__ = [
    "ACCOUNT_REFUSED",
    "CONNECTION",
    "DESK",
    "DIAGNOSES",
    "MACHINE",
    "NO_SESSION",
    "SESSION",
    "Diagnosis",
    "Finding",
    "Severity",
    "cure_of",
    "found",
    "is_fine",
]


class Severity(Enum):
    """How much a finding matters; the value is what the screen and the JSON show."""

    OK = "ok"
    NOTE = "note"  # something optional is absent, or could not be looked at
    WARN = "warn"  # the desk runs, but not as it should
    BAD = "bad"  # the desk or its tests cannot run


class Diagnosis(NamedTuple):
    """One row of the table; the braces of its texts are filled by `found`.

    Attributes:
        check: which check finds it, in two or three words.
        severity: how much it matters.
        expected: what should have been seen.
        cure: what to do, in one line.
    """

    check: str
    severity: Severity
    expected: str
    cure: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        check: the thing, in two or three words.
        severity: how much it matters.
        seen: what was found.
        id: its row in DIAGNOSES, empty when all is well.
        expected, cure: of that row, filled in; empty when all is well.
    """

    check: str
    severity: Severity
    seen: str
    id: str = ""
    expected: str = ""
    cure: str = ""


def is_fine(check: str, seen: str) -> Finding:
    """Return the finding that all is well with `check`."""
    return Finding(check, Severity.OK, seen)


def found(id: str, seen: str, **values: object) -> Finding:
    """Return the finding of a row of the table.

    Args:
        id: of the row.
        seen: what was found, in one line.
        values: what the braces of the row's texts stand for; `check` takes the place of the row's check.
    """
    row = DIAGNOSES[id]
    check = str(values.get("check", row.check))
    one_line = " ".join(seen.split())
    return Finding(check, row.severity, one_line, id, row.expected.format(**values), row.cure.format(**values))


def cure_of(id: str, **values: object) -> str:
    """Return the cure of a row with its braces filled in, for errors that end with it."""
    return DIAGNOSES[id].cure.format(**values)


_NOTE, _WARN, _BAD = Severity.NOTE, Severity.WARN, Severity.BAD

_SETTINGS = "Global Configuration > API > Settings"
_PRESETS = "Global Configuration > Presets > Stocks"
_SUBSCRIBE = "subscribe under Client Portal > Settings > Market Data Subscriptions"
_STABLE = "https://www.interactivebrokers.com/en/trading/download-tws.php?p=stable"
_ZONES = "update the database: apt-get install -y tzdata, or pip install --upgrade tzdata"
_NEXT_START = "start any ./desk command, such as ./desk demo: it makes the environment anew"

MACHINE = {
    "python-old": Diagnosis(
        "python",
        _BAD,
        "Python 3.11 or newer",
        "install it (Debian, Ubuntu: apt-get install python3.11 python3.11-venv) and run: python3.11 desk",
    ),
    "environment-missing": Diagnosis(
        ".venv", _NOTE, "an environment made by ./desk", "start any ./desk command, such as ./desk demo: it makes it"
    ),
    "environment-outdated": Diagnosis(
        ".venv",
        _NOTE,
        "the packages of the lock",
        "start any ./desk command, such as ./desk demo: it brings it in line",
    ),
    "environment-unfinished": Diagnosis(".venv", _WARN, "a finished environment", _NEXT_START),
    "environment-broken": Diagnosis(".venv", _WARN, "an environment whose Python exists", _NEXT_START),
    "environment-moved": Diagnosis(".venv", _WARN, "an environment made for this folder and Python", _NEXT_START),
    "packages-none": Diagnosis(
        "packages", _NOTE, "the packages of the lock", "start any ./desk command, such as ./desk demo: it installs them"
    ),
    "package-missing": Diagnosis(
        "packages", _BAD, "every package of pyproject.toml", "install what is missing: pip install -r requirements.txt"
    ),
    "packages-differ": Diagnosis(
        "packages", _NOTE, "the versions of constraints.txt", "bring them in line: pip install -r requirements.txt"
    ),
    "hooks-off": Diagnosis(
        "git hooks",
        _NOTE,
        "a push to main is refused here",
        "in a git checkout, switch the hooks on: git config core.hooksPath .githooks",
    ),
    "client-none": Diagnosis(
        "test client", _NOTE, "clients of other makers for the tests", "make them: .ci/run --clients"
    ),
    "client-gone": Diagnosis("test client", _BAD, "a Python that exists", "make it again: .ci/run --clients"),
    "test-data-none": Diagnosis(
        "test data",
        _NOTE,
        "the shared market data",
        "set QT_SHARED to their folder; without them their tests are skipped",
    ),
    "chromium-none": Diagnosis(
        "chromium", _NOTE, "a browser for the tests of pages", "install it: apt-get install -y chromium"
    ),
    "qt-libraries-none": Diagnosis(
        "Qt libraries", _NOTE, "the libraries Qt loads from the system", "install them: apt-get install -y {packages}"
    ),
    "tzdata-none": Diagnosis(
        "time zones", _BAD, "a database of time zones", "install one: pip install -r requirements.txt"
    ),
    "tzdata-wrong": Diagnosis(
        "time zones",
        _BAD,
        "the clocks of the exchanges",
        _ZONES,
    ),
    "tzdata-old": Diagnosis(
        "time zones",
        _WARN,
        "rules of 2024 or newer",
        _ZONES,
    ),
    "zone-unknown": Diagnosis(
        "machine's zone",
        _WARN,
        "the name of a zone, such as Europe/Zurich",
        "correct the environment's TZ, or unset it: an unknown name counts as UTC without a word",
    ),
    "disk-full": Diagnosis(
        "disk", _BAD, "{least} free", "free space, or point paths.state, paths.logs and paths.data to a larger disk"
    ),
    "disk-low": Diagnosis(
        "disk", _WARN, "{least} free", "free space, or point paths.data to a larger disk: bars and logs grow"
    ),
    "folder-not-writable": Diagnosis(
        "folders",
        _BAD,
        "a folder this user may write to",
        "make it a folder of this user (chown, chmod), or set paths.{name} in configs/paper.yaml to another",
    ),
}

DESK = {
    "settings-unread": Diagnosis(
        "settings",
        _NOTE,
        "the packages that read them",
        "start any ./desk command, such as ./desk demo: it installs them",
    ),
    "settings-wrong": Diagnosis("settings", _BAD, "settings that can be read", "correct the line that is named"),
    "settings-shared": Diagnosis(
        "settings", _NOTE, "a file .env of your own", "for your own ports and account: cp .env.example .env"
    ),
    "strategy-wrong": Diagnosis(
        "strategy.env", _BAD, "a strategy that exists, with its parameters", "correct the line that is named"
    ),
    "journal-broken": Diagnosis(
        "journal",
        _BAD,
        "records that can be read, each linked to the one before",
        "set the folder aside, compare orders and positions with TWS by hand, and begin a new journal",
    ),
    "journal-in-use": Diagnosis(
        "journal",
        _NOTE,
        "no run going on",
        "wait for that run to end; when none is meant to be there, look for it: ps aux",
    ),
    "pacing-broken": Diagnosis(
        "pacing",
        _WARN,
        "a record of the requests of the last ten minutes",
        "wait ten minutes: IBKR has forgotten those requests then, and the next download writes the file anew",
    ),
    "pacing-full": Diagnosis(
        "pacing",
        _NOTE,
        "room for requests for small bars",
        "wait ten minutes, or let the downloader wait: it keeps to the rules",
    ),
    "clock-beyond": Diagnosis(
        "clock",
        _BAD,
        "a day in the table of sessions",
        "set this machine's clock: timedatectl set-ntp true; if it is right, this version is too old: take a newer one",
    ),
    "restart-unsure": Diagnosis(
        "TWS restart",
        _NOTE,
        "the time of TWS's restart, which is by its machine's clock",
        "set restart.time and restart.zone in configs/paper.yaml to what Global Configuration > Lock and Exit shows",
    ),
    "restart-in-session": Diagnosis(
        "TWS restart",
        _WARN,
        "a restart outside the session",
        "set Auto restart under Global Configuration > Lock and Exit to a time outside {session}",
    ),
}

CONNECTION = {
    "tws-not-looked-for": Diagnosis("TWS", _NOTE, "an address of TWS", "correct what is named above, then ask again"),
    "tws-not-running": Diagnosis(
        "TWS",
        _BAD,
        "TWS or IB Gateway at {host}:{port}",
        "start TWS, log in, and switch on Enable ActiveX and Socket Clients with Socket port {port}, or run ./desk sim",
    ),
    "tws-wrong-port": Diagnosis(
        "TWS",
        _BAD,
        "TWS at {host}:{port}",
        f"set {{variable}}={{other}} in .env, or Socket port {{port}} under {_SETTINGS}",
    ),
    "tws-of-other-mode": Diagnosis(
        "TWS",
        _BAD,
        "TWS for {mode} at {host}:{port}",
        "log in to TWS with the {mode} user: the one that runs (port {other}) is for {other_mode}",
    ),
    "tws-other-program": Diagnosis("TWS", _BAD, "TWS at {host}:{port}", f"find the port under {_SETTINGS}"),
    "tws-untrusted": Diagnosis(
        "TWS", _BAD, "an answer to the handshake", f"allow this machine under {_SETTINGS} > Trusted IPs"
    ),
    "tws-silent": Diagnosis(
        "TWS",
        _BAD,
        "an answer to the handshake",
        "TWS may be waiting at its login or at a question window: answer it and connect again",
    ),
    "tws-unreachable": Diagnosis(
        "TWS", _BAD, "an answer from {host}:{port}", "check the host name and that the firewall allows TWS"
    ),
    "tws-host-unknown": Diagnosis("TWS", _BAD, "the name of a machine", "set IBKR_HOST to 127.0.0.1 or the right name"),
    "tws-login-unfinished": Diagnosis(
        "TWS", _BAD, "the login's accounts and next order id", "wait until its login has finished and connect again"
    ),
    "tws-too-old": Diagnosis("TWS", _BAD, "server version {oldest} or newer", f"install the stable TWS: {_STABLE}"),
    "tws-old": Diagnosis(
        "TWS", _WARN, "server version {newest}, the newest the desk speaks", f"install the stable TWS: {_STABLE}"
    ),
    "tws-other-protocol": Diagnosis(
        "TWS", _BAD, "a server version up to {newest}, which was offered", f"install the stable TWS: {_STABLE}"
    ),
    "tws-restarting": Diagnosis(
        "TWS",
        _WARN,
        "TWS at {host}:{port}",
        "wait until {until}: TWS restarts; when it is not back then, start it and log in",
    ),
    "tws-login-due": Diagnosis(
        "TWS", _WARN, "TWS at {host}:{port}", "log in to TWS: its weekly login ended on Sunday at 01:00 New York"
    ),
    "tws-failed": Diagnosis("TWS", _BAD, "an open session", "connect again, and look for the reason in TWS"),
    "tws-half-open": Diagnosis(
        "TWS", _BAD, "TWS's time within {seconds} s", "restart TWS, then connect again: the socket is open, but dead"
    ),
    "client-id-in-use": Diagnosis(
        "client id",
        _BAD,
        "a client id nobody else uses",
        "end the other program or give this one another id (--client-id)",
    ),
    "account-data-missing": Diagnosis(
        "account",
        _BAD,
        "account values and positions within {seconds} s",
        "restart TWS or wait for IBKR's reset to pass, then connect again",
    ),
    "account-not-managed": Diagnosis(
        "account", _BAD, "account {account}", "correct IBKR_ACCOUNT or log in to TWS as its owner"
    ),
    "account-several": Diagnosis("account", _BAD, "one account, or its name", "set IBKR_ACCOUNT to the one to use"),
    "account-live": Diagnosis(
        "account",
        _BAD,
        "a paper account (their ids start with D)",
        "log in to TWS with the paper user, or ask for --mode live",
    ),
    "account-paper": Diagnosis("account", _BAD, "a live account", "log in with the live user, or ask for --mode paper"),
    "port-of-other-mode": Diagnosis(
        "port",
        _BAD,
        "a port that is not the usual one of the other mode",
        "use {usual} (TWS) or {gateway} (Gateway), or set allow_port_mismatch: true",
    ),
    "live-port-open": Diagnosis(
        "live port",
        _WARN,
        "no API for a live account while working on paper",
        f"tick Read-Only API under {_SETTINGS} of that TWS, or close it: one wrong port would trade real money",
    ),
}

SESSION = {
    "api-read-only": Diagnosis(
        "orders", _WARN, "an API that takes orders", f"switch off Read-Only API under {_SETTINGS}, then try again"
    ),
    "preset-tif": Diagnosis(
        "orders",
        _WARN,
        "time in force as the order says",
        f"set Time in Force to DAY under {_PRESETS}; the desk names DAY itself, other programs may not",
    ),
    "preset-limits": Diagnosis(
        "orders",
        _WARN,
        "a what-if order of one share that passes",
        f"raise the precautionary limits under {_PRESETS}",
    ),
    "orders-refused": Diagnosis(
        "orders",
        _WARN,
        "a what-if order of one share that passes",
        "do what TWS's words say: permissions, margin or the account keep orders from passing",
    ),
    "order-unanswered": Diagnosis(
        "orders",
        _WARN,
        "the preview of a what-if order within {seconds} s",
        "look for a question window in TWS and answer it; tick Bypass Order Precautions for API Orders",
    ),
    "orders-not-tried": Diagnosis(
        "orders",
        _NOTE,
        "a what-if order, on paper accounts only",
        "nothing: on a live account the doctor sends no order",
    ),
    "link-lost": Diagnosis(
        "IBKR's servers",
        _BAD,
        "TWS connected to IBKR",
        "wait, TWS connects again by itself; when it lasts: this machine's network, then Ctrl-Alt-R in TWS",
    ),
    "link-broken": Diagnosis(
        "IBKR's servers",
        _BAD,
        "TWS connected to IBKR",
        "look at this machine's network: TWS tries again by itself, or press Ctrl-Alt-R in TWS",
    ),
    "server-reset": Diagnosis(
        "IBKR's servers",
        _WARN,
        "TWS connected to IBKR",
        "wait until {until}: IBKR resets its servers, TWS comes back by itself",
    ),
    "market-farm-down": Diagnosis(
        "market data", _BAD, "a market data farm that is OK (2104)", "press Ctrl-Alt-F in TWS, and wait for 2104"
    ),
    "history-farm-down": Diagnosis(
        "history", _BAD, "a historical data farm that is OK (2106)", "press Ctrl-Alt-F in TWS, and wait for 2106"
    ),
    "contract-farm-down": Diagnosis(
        "contracts", _WARN, "a security definition farm that is OK (2158)", "press Ctrl-Alt-F in TWS, and wait for 2158"
    ),
    "data-competing": Diagnosis(
        "market data",
        _BAD,
        "the data of this login",
        "end the other session of this user (TWS, mobile, Client Portal), or make a user of its own for the desk",
    ),
    "data-not-subscribed": Diagnosis(
        "market data", _BAD, "live data of {symbol}", _SUBSCRIBE + ", and share it with paper"
    ),
    "data-not-for-api": Diagnosis(
        "market data",
        _BAD,
        "live data of {symbol} for the API",
        _SUBSCRIBE + " to the network of {symbol}: what TWS shows for free is not for the API",
    ),
    "data-in-part": Diagnosis(
        "market data", _WARN, "all data of {symbol}", _SUBSCRIBE + " to what TWS's words name; the rest comes"
    ),
    "data-delayed-off": Diagnosis(
        "market data",
        _BAD,
        "live data of {symbol}, or delayed ones",
        _SUBSCRIBE + "; delayed data come only to programs that ask for them (market data type 3)",
    ),
    "data-delayed": Diagnosis(
        "market data",
        _WARN,
        "live data of {symbol}",
        _SUBSCRIBE + ": delayed data are good enough to look at, not to trade",
    ),
    "data-frozen": Diagnosis(
        "market data",
        _WARN,
        "live data of {symbol} during the session",
        "look at {symbol} in TWS: a halt, or a feed that stands; press Ctrl-Alt-F there",
    ),
    "data-silent": Diagnosis(
        "market data",
        _WARN,
        "a price of {symbol} within {seconds} s during the session",
        "look at {symbol} in TWS; when it moves there, press Ctrl-Alt-F and ask again",
    ),
    "data-not-judged": Diagnosis("market data", _NOTE, "an open session", "ask again during the session, from {next}"),
    "contract-unknown": Diagnosis(
        "contracts", _WARN, "one contract of {symbol}", "name a symbol of the exchange's: ./desk doctor --symbol SPY"
    ),
    "history-refused": Diagnosis(
        "history",
        _WARN,
        "daily bars of {symbol}",
        "do what TWS's words say: wait when it is pacing, subscribe when it is a permission",
    ),
    "history-slow": Diagnosis(
        "history",
        _NOTE,
        "daily bars of {symbol} within {seconds} s",
        "ask again in a minute; IBKR's historical data farm is slow at times, the downloader waits for it",
    ),
    "clock-skew": Diagnosis(
        "clock",
        _WARN,
        "at most 2 s between TWS's clock and this machine's",
        "set the machine's time by a time server: timedatectl set-ntp true",
    ),
    "clock-zone": Diagnosis(
        "clock",
        _BAD,
        "the same moment on TWS's clock and this machine's",
        "set this machine's clock and zone: timedatectl set-timezone ZONE, then timedatectl set-ntp true",
    ),
    "messages-unread": Diagnosis("messages", _WARN, "messages that can be read", f"install the stable TWS: {_STABLE}"),
}

DIAGNOSES: dict[str, Diagnosis] = {**MACHINE, **DESK, **CONNECTION, **SESSION}

# What leaves no session to work with, and what leaves one that may not be used for the mode.
NO_SESSION = frozenset(
    {
        "tws-not-running",
        "tws-wrong-port",
        "tws-of-other-mode",
        "tws-other-program",
        "tws-untrusted",
        "tws-silent",
        "tws-unreachable",
        "tws-host-unknown",
        "tws-login-unfinished",
        "tws-too-old",
        "tws-other-protocol",
        "tws-restarting",
        "tws-login-due",
        "tws-failed",
        "tws-half-open",
        "client-id-in-use",
    }
)
ACCOUNT_REFUSED = frozenset(
    {"account-not-managed", "account-several", "account-live", "account-paper", "port-of-other-mode"}
)
