"""Every trouble a TWS can make is staged in the simulator, told by its name, and told with its cure.

The cures are written out here once more on purpose: a person acts on them, so no word of them changes by accident.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import pytest

from quant_trading.core import diagnose as diagnose_module
from quant_trading.core.diagnose import Target, diagnose, look_at_tws
from quant_trading.core.diagnose_table import Finding, Severity
from quant_trading.core.ib_client import ORDER_MESSAGES
from quant_trading.core.ibkr_connection import IBKRConnection
from quant_trading.domain.errors import AccountRefused
from quant_trading.refdata.restart_windows import RestartSchedule
from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.scenario import load_scenario, read_scenario
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.virtual import VirtualLoop
from tests.core.meddler import Meddler, Mute, simulator
from tests.core.supervised import here

PORT = 7497
STABLE = "install the stable TWS: https://www.interactivebrokers.com/en/trading/download-tws.php?p=stable"
SUBSCRIBE = "subscribe under Client Portal > Settings > Market Data Subscriptions"
READ_ONLY = "Error validating request.-'bN' : cause - The API interface is currently in Read-Only mode."
MORNING_NS = at(date(2026, 11, 19), "10:00")

pytestmark = pytest.mark.expects_client_errors


def built(scenario: str | dict[str, Any]) -> Gateway:
    found = load_scenario(scenario) if isinstance(scenario, str) else read_scenario(scenario, "here")
    return found.build()


class FixedClock:
    """A wall clock that stands."""

    def __init__(self, ns: int) -> None:
        self._ns = ns

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self._ns // 1000)

    def monotonic(self) -> float:
        return 0.0


class ClockAt(FixedClock):
    """The wall clock of the simulator at a port."""

    def __init__(self, loop: VirtualLoop, port: int) -> None:
        self._loop, self._port = loop, port

    def now(self) -> datetime:
        self._ns = self._loop.simulated_now_ns(port=self._port)
        return super().now()


class Unreachable(VirtualLoop):
    """A network in which packets vanish."""

    async def create_connection(self, *_: Any, **__: Any) -> NoReturn:
        await asyncio.sleep(1e6)
        raise AssertionError


class Nameless(VirtualLoop):
    """A network that does not know the name of the host."""

    async def create_connection(self, *_: Any, **__: Any) -> NoReturn:
        raise socket.gaierror(-2, "Name or service not known")


@contextmanager
def world(peer: Any = None, port: int = PORT, loop_class: type[VirtualLoop] = VirtualLoop) -> Iterator[VirtualLoop]:
    """Give a loop in virtual time with `peer` at a port of 127.0.0.1, or with nobody there."""
    loop = loop_class()
    if peer is not None:
        loop.listen("127.0.0.1", port, peer)
    try:
        yield loop
    finally:
        loop.close()


def look(loop: VirtualLoop, clock_ns: int | None = None, **target: Any) -> list[Finding]:
    """Look once, and hold that it took no longer than promised."""
    clock = ClockAt(loop, PORT) if clock_ns is None else FixedClock(clock_ns)
    begun = loop.time()
    findings = loop.run_until_complete(look_at_tws(Target("127.0.0.1", PORT, 18, **target), clock))
    assert loop.time() - begun < 14.5
    return findings


def amiss(findings: list[Finding]) -> dict[str, Finding]:
    """Return the findings that are not fine, by id."""
    return {one.id: one for one in findings if one.severity is not Severity.OK}


def says(findings: list[Finding], id: str, cure: str, seen: str = "") -> None:
    """Hold that exactly one thing is amiss, and that it is told with this cure."""
    told = amiss(findings)
    assert list(told) == [id], told
    assert told[id].cure == cure
    assert seen in told[id].seen
    assert told[id].expected
    assert "\n" not in told[id].seen


# No session.


def test_nothing_runs() -> None:
    with world() as loop:
        cure = (
            "start TWS, log in, and switch on Enable ActiveX and Socket Clients with Socket port 7497, "
            "or run ./desk sim"
        )
        findings = look(loop, MORNING_NS)
    says(findings, "tws-not-running", cure)
    assert findings[0].seen == "127.0.0.1:7497 refused the connection"  # and nothing of the cure


def test_tws_is_at_another_port() -> None:
    with world(simulator(), 4002) as loop:
        cure = "set IBKR_PAPER_PORT=4002 in .env, or Socket port 7497 under Global Configuration > API > Settings"
        says(look(loop, MORNING_NS), "tws-wrong-port", cure, "4002 (Gateway paper) accepts")


def test_the_port_of_live_mode_is_named_by_its_own_variable() -> None:
    with world(simulator(), 4001) as loop:
        cure = "set IBKR_LIVE_PORT=4001 in .env, or Socket port 7497 under Global Configuration > API > Settings"
        says(look(loop, MORNING_NS, mode="live"), "tws-wrong-port", cure)


def test_only_a_live_tws_runs() -> None:
    with world(simulator(), 7496) as loop:
        cure = "log in to TWS with the paper user: the one that runs (port 7496) is for live"
        says(look(loop, MORNING_NS), "tws-of-other-mode", cure, "7496 (TWS live) accepts")


def test_another_program_is_at_the_port() -> None:
    with world(Mute(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as loop:
        cure = "find the port under Global Configuration > API > Settings"
        says(look(loop), "tws-other-program", cure, "it began with b'HTTP/1.1 400")


def test_this_machine_is_not_trusted() -> None:
    with world(Mute(closes=True)) as loop:
        cure = "allow this machine under Global Configuration > API > Settings > Trusted IPs"
        says(look(loop), "tws-untrusted", cure, "closed the connection during the handshake")


def test_tws_waits_at_a_window() -> None:
    with world(Mute()) as loop:
        cure = "TWS may be waiting at its login or at a question window: answer it and connect again"
        says(look(loop), "tws-silent", cure, "accepted the connection but said nothing within 7 s")


def test_packets_vanish() -> None:
    with world(loop_class=Unreachable) as loop:
        cure = "check the host name and that the firewall allows TWS"
        says(look(loop, MORNING_NS), "tws-unreachable", cure, "did not answer within 7 s")


def test_the_host_has_no_such_name() -> None:
    with world(loop_class=Nameless) as loop:
        says(look(loop, MORNING_NS), "tws-host-unknown", "set IBKR_HOST to 127.0.0.1 or the right name", "is not known")


def test_the_login_has_not_finished() -> None:
    with world(built(here({"when": "send:managedAccounts", "do": "swallow"}))) as loop:
        cure = "wait until its login has finished and connect again"
        says(look(loop), "tws-login-unfinished", cure, "named no account")


@pytest.mark.parametrize(("versions", "id"), [("v100..150", "tws-too-old"), ("v213..225", "tws-other-protocol")])
def test_tws_speaks_another_protocol(versions: str, id: str) -> None:
    if id == "tws-too-old":
        body = b"150\x0020261119 10:00:00 EST\x00"  # a version, and a time
        peer: Any = Mute(len(body).to_bytes(4, "big") + body)
    else:
        peer = built(here({"when": "recv:hello#*", "do": "edit", "set": {"versions": versions}}))
    with world(peer) as loop:
        says(look(loop), id, STABLE, f"server version {150 if id == 'tws-too-old' else 225}")


def test_tws_is_older_than_the_client() -> None:
    with world(simulator(max_server_version=165)) as loop:
        says(look(loop), "tws-old", STABLE, "server version 165")


def test_the_client_id_is_in_use() -> None:
    with world(simulator()) as loop, IBKRConnection(18, "127.0.0.1", PORT, loop=loop, fetch=(), environ={}):
        cure = "end the other program or give this one another id (--client-id)"
        says(look(loop), "client-id-in-use", cure, "client id 18 is in use at 127.0.0.1:7497 (TWS error 326")


def test_a_lingering_client_id_is_told_the_same_way() -> None:
    with world(built("W18_client_id_in_use")) as loop:
        assert amiss(look(loop)) == {}
        assert list(amiss(look(loop))) == ["client-id-in-use"]


@pytest.mark.parametrize(
    ("day", "clock", "id", "cure"),
    [
        # TWS restarts at 23:45, a minute early at the soonest, and is given fifteen minutes.
        (date(2026, 11, 18), "23:44", "tws-restarting", "00:00"),
        (date(2026, 11, 18), "23:59", "tws-restarting", "00:00"),
        (date(2026, 11, 18), "23:43", "tws-not-running", ""),
        # In a reset of the servers TWS's port is as ever.
        (date(2026, 11, 19), "00:30", "tws-not-running", ""),
        # Sunday
        (date(2026, 11, 22), "09:00", "tws-login-due", ""),
    ],
)
def test_an_absence_by_plan(day: date, clock: str, id: str, cure: str) -> None:
    with world() as loop:
        findings = look(loop, at(day, clock))
    if id == "tws-restarting":
        says(findings, id, f"wait until {cure} New York: TWS restarts; when it is not back then, start it and log in")
    elif id == "tws-login-due":
        says(findings, id, "log in to TWS: its weekly login ended on Sunday at 01:00 New York")
    else:
        assert list(amiss(findings)) == [id]


def test_a_restart_at_the_time_the_user_names() -> None:
    schedule = RestartSchedule(restart=time(10, 0), zone=ZoneInfo("America/New_York"))
    with world() as loop:
        assert list(amiss(look(loop, MORNING_NS, schedule=schedule))) == ["tws-restarting"]


def test_the_session_breaks_while_it_is_looked_at() -> None:
    with world(built(here({"when": "recv:reqCurrentTime", "do": "drop"}))) as loop:
        findings = look(loop)
        assert loop.time() < 1
    says(
        findings,
        "tws-failed",
        "connect again, and look for the reason in TWS",
        "the session broke while it was looked at",
    )


def test_tws_hangs_up_before_the_session_is_open() -> None:
    with world(built(here({"when": "send:managedAccounts", "do": "drop"}))) as loop:
        says(look(loop), "tws-failed", "connect again, and look for the reason in TWS", "before the session was open")


@pytest.mark.parametrize("fault", ["swallow", "half_open", "freeze"])
def test_the_socket_is_open_but_dead(fault: str) -> None:
    with world(built(here({"when": "recv:reqCurrentTime", "do": fault}))) as loop:
        cure = "restart TWS, then connect again: the socket is open, but dead"
        says(look(loop), "tws-half-open", cure, "did not tell its time")


# The account.


def test_the_account_is_not_managed() -> None:
    with world(built("A01_another_account")) as loop:
        cure = "correct IBKR_ACCOUNT or log in to TWS as its owner"
        says(look(loop, account="DU1234567"), "account-not-managed", cure, "this login manages DU7654321")


def test_one_of_several_accounts_has_to_be_named() -> None:
    config = {"accounts": ["DU1234567", "DU7654321"]}
    with world(built(here(config=config))) as loop:
        cure = "set IBKR_ACCOUNT to the one to use"
        says(look(loop), "account-several", cure, "DU1234567, DU7654321")
        assert amiss(look(loop, account="DU7654321")) == {}


@pytest.mark.parametrize("account", ["", "DU0000009"])
def test_an_account_that_is_not_the_users_gets_not_even_a_preview(account: str) -> None:
    peer = Meddler(simulator(accounts=("DU1234567", "DU7654321")))
    with world(peer) as loop:
        findings = look(loop, account=account)
    assert list(amiss(findings)) == ["account-not-managed" if account else "account-several"]
    assert not {fields[0] for _, fields in peer.received} & set(ORDER_MESSAGES)


def test_a_live_login_in_paper_mode_is_refused_and_gets_no_order() -> None:
    peer = Meddler(simulator(accounts=("U1234567",)))
    with world(peer) as loop:
        told = amiss(look(loop))
    assert list(told) == ["account-live", "orders-not-tried"]
    assert told["account-live"].cure == "log in to TWS with the paper user, or ask for --mode live"
    assert told["orders-not-tried"].cure == "nothing: on a live account the doctor sends no order"
    assert told["orders-not-tried"].severity is Severity.NOTE
    assert not {fields[0] for _, fields in peer.received} & set(ORDER_MESSAGES)


def test_a_paper_login_in_live_mode_is_refused() -> None:
    with world(simulator()) as loop:
        told = amiss(look(loop, mode="live"))
    assert told["account-paper"].cure == "log in with the live user, or ask for --mode paper"


def test_paper_at_the_port_of_live() -> None:
    with world(simulator(), 7496) as loop:
        target = Target("127.0.0.1", 7496, 18)
        findings = loop.run_until_complete(look_at_tws(target, ClockAt(loop, 7496)))
        cure = "use 7497 (TWS) or 4002 (Gateway), or set allow_port_mismatch: true"
        says(findings, "port-of-other-mode", cure, "mode paper on port 7496 (TWS live)")
        target = Target("127.0.0.1", 7496, 18, allow_port_mismatch=True)
        assert amiss(loop.run_until_complete(look_at_tws(target, ClockAt(loop, 7496)))) == {}


def test_a_live_tws_is_open_beside_the_paper_one() -> None:
    with world(simulator()) as loop:
        loop.listen("127.0.0.1", 4001, simulator(accounts=("U1234567",)))
        cure = (
            "tick Read-Only API under Global Configuration > API > Settings of that TWS, or close it: "
            "one wrong port would trade real money"
        )
        says(look(loop), "live-port-open", cure, "4001 (Gateway live) accepts connections")


# What TWS has, and what it says.


def test_all_is_well_and_nothing_but_a_preview_is_sent() -> None:
    peer = Meddler(simulator())
    with world(peer) as loop:
        findings = look(loop)
    assert amiss(findings) == {}
    checks = {one.check for one in findings}
    assert checks == {"TWS", "account", "clock", "orders", "market data", "history"}
    orders = [fields for _, fields in peer.received if fields[0] in ORDER_MESSAGES]
    assert [fields[0] for fields in orders] == ["3"]
    # ib_async writes 178 fields of text: whatIf is a lone flag deep in the tail, so the simulator's reading decides.
    assert peer.simulator.counters["placeOrder"] == 1
    assert list(peer.simulator.parts.orders.orders) == []  # none was registered, so none can be worked


def test_order_messages_are_let_out_for_the_preview_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    preview = diagnose_module._Probe._preview

    def watched(probe: Any, *words: Any) -> None:
        seen.append(probe.ib.read_only)
        preview(probe, *words)
        seen.append(probe.ib.read_only)
        with pytest.raises(AccountRefused, match="read-only"):
            probe.ib.client.reqGlobalCancel()

    monkeypatch.setattr(diagnose_module._Probe, "_preview", watched)
    with world(simulator()) as loop:
        assert amiss(look(loop)) == {}
    assert seen == [True, True]


@pytest.mark.parametrize(
    "scenario",
    ["W15_read_only", here({"when": "recv:reqAllOpenOrders", "do": "reject", "code": 321, "text": READ_ONLY})],
    ids=["at the order", "at the question for orders"],
)
def test_the_api_is_read_only(scenario: str | dict[str, Any]) -> None:
    with world(built(scenario)) as loop:
        cure = "switch off Read-Only API under Global Configuration > API > Settings, then try again"
        says(look(loop), "api-read-only", cure, "TWS 321")
        assert loop.time() < 1


def test_a_preset_sets_the_time_in_force() -> None:
    text = "Order TIF was set to GTC based on order preset."
    with world(built(here({"when": "recv:placeOrder", "do": "error", "code": 10349, "text": text}))) as loop:
        cure = (
            "set Time in Force to DAY under Global Configuration > Presets > Stocks; the desk names DAY itself, "
            "other programs may not"
        )
        says(look(loop), "preset-tif", cure, text)


@pytest.mark.parametrize(
    ("code", "id", "cure"),
    [
        (109, "preset-limits", "raise the precautionary limits under Global Configuration > Presets > Stocks"),
        (383, "preset-limits", "raise the precautionary limits under Global Configuration > Presets > Stocks"),
        (
            201,
            "orders-refused",
            "do what TWS's words say: permissions, margin or the account keep orders from passing",
        ),
        (
            460,
            "orders-refused",
            "do what TWS's words say: permissions, margin or the account keep orders from passing",
        ),
    ],
)
def test_a_what_if_order_is_refused(code: int, id: str, cure: str) -> None:
    with world(built(here({"when": "recv:placeOrder", "do": "reject", "code": code, "text": "No."}))) as loop:
        says(look(loop), id, cure, f"TWS {code}: No.")


def test_a_what_if_order_is_not_answered() -> None:
    with world(built(here({"when": "recv:placeOrder", "do": "swallow"}))) as loop:
        cure = "look for a question window in TWS and answer it; tick Bypass Order Precautions for API Orders"
        says(look(loop), "order-unanswered", cure)


LINK_LOST = "wait, TWS connects again by itself; when it lasts: this machine's network, then Ctrl-Alt-R in TWS"
LINK_BROKEN = "look at this machine's network: TWS tries again by itself, or press Ctrl-Alt-R in TWS"


@pytest.mark.parametrize(
    ("fault", "id", "cure"),
    [
        ({"do": "lose_link"}, "link-lost", LINK_LOST),
        ({"do": "error", "code": 1100}, "link-lost", LINK_LOST),
        ({"do": "error", "code": 2110}, "link-broken", LINK_BROKEN),
        ({"do": "farm", "name": "usfarm"}, "market-farm-down", "press Ctrl-Alt-F in TWS, and wait for 2104"),
        ({"do": "farm", "name": "ushmds"}, "history-farm-down", "press Ctrl-Alt-F in TWS, and wait for 2106"),
        (
            {"do": "error", "code": 2157, "text": "Sec-def data farm connection is broken:secdefil"},
            "contract-farm-down",
            "press Ctrl-Alt-F in TWS, and wait for 2158",
        ),
    ],
)
def test_ibkr_is_away(fault: dict[str, Any], id: str, cure: str) -> None:
    with world(built(here({"when": "recv:reqPositions", **fault}))) as loop:
        says(look(loop), id, cure)


def test_a_link_that_was_lost_before_is_seen_by_what_does_not_come() -> None:
    with world(built(here({"when": "t=+0", "do": "lose_link"}))) as loop:
        loop.run_until_complete(asyncio.sleep(1))  # 1100 was told to others
        says(look(loop), "link-lost", LINK_LOST, "nothing comes from IBKR's servers")


def test_a_link_lost_in_the_window_of_a_reset() -> None:
    with world(built(here({"when": "recv:reqPositions", "do": "lose_link"}, now="2026-11-19 00:30"))) as loop:
        told = amiss(look(loop))
    assert told["server-reset"].cure == "wait until 01:45 New York: IBKR resets its servers, TWS comes back by itself"
    assert "within a planned reset" in told["server-reset"].seen


def test_a_farm_that_comes_back_while_it_is_looked_at_is_fine() -> None:
    fault = {"when": "recv:reqPositions", "do": "farm", "name": "usfarm", "seconds": 0.2}
    with world(built(here(fault))) as loop:
        assert amiss(look(loop)) == {}


def config(word: str) -> dict[str, Any]:
    return here(config={"market_data": {"*": word}})


@pytest.mark.parametrize(
    ("scenario", "id", "cure"),
    [
        (
            "F19_competing_session",
            "data-competing",
            "end the other session of this user (TWS, mobile, Client Portal), or make a user of its own for the desk",
        ),
        ("M02_no_permission", "data-not-subscribed", SUBSCRIBE + ", and share it with paper"),
        (config("354"), "data-not-subscribed", SUBSCRIBE + ", and share it with paper"),
        (
            "M02_needs_subscription",
            "data-not-for-api",
            SUBSCRIBE + " to the network of SPY: what TWS shows for free is not for the API",
        ),
        (
            config("10089"),
            "data-not-for-api",
            SUBSCRIBE + " to the network of SPY: what TWS shows for free is not for the API",
        ),
        (config("10090"), "data-in-part", SUBSCRIBE + " to what TWS's words name; the rest comes"),
        (
            config("10168"),
            "data-delayed-off",
            SUBSCRIBE + "; delayed data come only to programs that ask for them (market data type 3)",
        ),
        (
            "M02_delayed",
            "data-delayed",
            SUBSCRIBE + ": delayed data are good enough to look at, not to trade",
        ),
        (
            here({"when": "send:marketDataType#*", "do": "edit", "set": {"marketDataType": 3}}),
            "data-delayed",
            SUBSCRIBE + ": delayed data are good enough to look at, not to trade",
        ),
        (
            here({"when": "send:marketDataType#*", "do": "edit", "set": {"marketDataType": 2}}),
            "data-frozen",
            "look at SPY in TWS: a halt, or a feed that stands; press Ctrl-Alt-F there",
        ),
        (
            here({"when": "send:tickPrice#*", "do": "swallow"}, {"when": "send:tickSize#*", "do": "swallow"}),
            "data-silent",
            "look at SPY in TWS; when it moves there, press Ctrl-Alt-F and ask again",
        ),
        (
            here({"when": "recv:reqHistoricalData", "do": "reject", "code": 162, "text": "pacing violation"}),
            "history-refused",
            "do what TWS's words say: wait when it is pacing, subscribe when it is a permission",
        ),
        (
            "F16_history_times_out",
            "history-slow",
            "ask again in a minute; IBKR's historical data farm is slow at times, the downloader waits for it",
        ),
        (
            "F06_connect_hangs",
            "account-data-missing",
            "restart TWS or wait for IBKR's reset to pass, then connect again",
        ),
        (
            here({"when": "send:openOrderEnd#*", "do": "swallow"}),
            "account-data-missing",
            "restart TWS or wait for IBKR's reset to pass, then connect again",
        ),
        ("T01_clock_ahead", "clock-skew", "set the machine's time by a time server: timedatectl set-ntp true"),
        ("T01_clock_behind", "clock-skew", "set the machine's time by a time server: timedatectl set-ntp true"),
        (
            here({"when": "t=+0", "do": "skew", "seconds": -18_000}),
            "clock-zone",
            "set this machine's clock and zone: timedatectl set-timezone ZONE, then timedatectl set-ntp true",
        ),
    ],
    ids=str,
)
def test_what_tws_sends(scenario: str | dict[str, Any], id: str, cure: str) -> None:
    with world(built(scenario)) as loop:
        says(look(loop), id, cure)


def test_messages_that_cannot_be_read_are_counted() -> None:
    peer = Meddler(simulator())
    peer.edit = lambda fields: [fields, ("1", "6", "x", "y", "z", "0", "0")] if fields[0] == "49" else [fields]
    with world(peer) as loop:
        says(look(loop), "messages-unread", STABLE, "1 messages of TWS could not be read")


def test_the_symbol_is_unknown() -> None:
    with world(simulator()) as loop:
        cure = "name a symbol of the exchange's: ./desk doctor --symbol SPY"
        says(look(loop, symbol="NOSUCH"), "contract-unknown", cure, "TWS 200")


def test_prices_are_not_judged_while_the_market_is_closed() -> None:
    with world(built(here(now="2026-11-21 12:00"))) as loop:
        told = amiss(look(loop))
    assert told["data-not-judged"].cure == "ask again during the session, from 2026-11-23 09:30 New York"
    assert told["data-not-judged"].severity is Severity.NOTE


# A real socket.


def test_a_real_socket(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def nobody(*_: object) -> tuple[int, ...]:
        return ()

    monkeypatch.setattr("quant_trading.core.diagnose.probe_ports", nobody)  # whatever runs on this machine
    with ThreadedTwsServer(simulator()) as server, caplog.at_level(logging.CRITICAL):
        findings = diagnose(Target("127.0.0.1", server.port, 18), FixedClock(MORNING_NS))
    assert amiss(findings) == {}
