"""From what one look at TWS showed to the findings of `./desk doctor`: pure, so that each can be tested by itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from quant_trading.core.account_guard import LIVE_PORTS, PAPER_PORTS, is_paper_account
from quant_trading.core.diagnose_table import Finding, found, is_fine
from quant_trading.core.troubleshooting import WELL_KNOWN_PORTS, Evidence
from quant_trading.refdata.restart_windows import RestartSchedule
from quant_trading.refdata.sessions import SessionRangeError, next_session, session_at

__all__ = ["CONNECT_SECONDS", "Answer", "Facts", "Said", "Target", "judge_failure", "judge_session"]

CONNECT_SECONDS = 7.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEW_YORK = ZoneInfo("America/New_York")
_LIVE, _FROZEN, _DELAYED, _DELAYED_FROZEN = 1, 2, 3, 4  # TWS's market data types
_SKEW_SECONDS = 2.0  # TWS tells whole seconds, and its answer takes a moment
_HOUR = 3600.0
_QUARTER = 900.0  # zones differ by quarters of an hour
_NEAR_QUARTER = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """What to look at.

    Attributes:
        mode: "paper" or "live".
        account: the account the settings name, empty when none is.
        allow_port_mismatch: the settings allow a port that looks like the other mode.
        symbol: of the market data, history and what-if order asked for.
        connect_seconds, answer_seconds: for the connection, and for all answers together.
        schedule: which absences of TWS are by plan.
    """

    host: str
    port: int
    client_id: int
    mode: str = "paper"
    account: str = ""
    allow_port_mismatch: bool = False
    symbol: str = "SPY"
    connect_seconds: float = CONNECT_SECONDS
    answer_seconds: float = 5.0
    schedule: RestartSchedule = field(default_factory=RestartSchedule)

    @property
    def where(self) -> str:
        """Return host and port as text."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Said:
    """One error message of TWS; its request is -1 when it belongs to none."""

    request: int
    code: int
    text: str

    @property
    def words(self) -> str:
        """Return code and text in one line."""
        return f"TWS {self.code}: {' '.join(self.text.split())}"


@dataclass(slots=True)
class Answer:
    """What became of one question.

    Attributes:
        state: "" when it was not asked, "asked", "complete", or "refused".
        request: its id, -1 when it has none.
    """

    state: str = ""
    request: int = -1


@dataclass(slots=True)
class Facts:
    """What an open session showed.

    Attributes:
        now_ns: this machine's clock, UTC ns.
        newest: the newest server version the client speaks.
        said: every error message, in order.
        lost: why the session broke, empty while it stands.
        clock, account_data, open_orders, contract, quote, history, order: the questions asked.
        missing: which of the first data did not come.
        skew_seconds: how far TWS's clock is ahead.
        data_type: TWS's market data type of the quote, 0 when it was not told.
        live_ports: usual ports of live accounts on this host that accept, the one looked at not among them.
    """

    now_ns: int
    server_version: int = 0
    newest: int = 0
    accounts: tuple[str, ...] = ()
    said: list[Said] = field(default_factory=list)
    lost: str = ""
    clock: Answer = field(default_factory=Answer)
    account_data: Answer = field(default_factory=Answer)
    open_orders: Answer = field(default_factory=Answer)
    contract: Answer = field(default_factory=Answer)
    quote: Answer = field(default_factory=Answer)
    history: Answer = field(default_factory=Answer)
    order: Answer = field(default_factory=Answer)
    missing: tuple[str, ...] = ()
    skew_seconds: float | None = None
    data_type: int = 0
    unread_messages: int = 0
    live_ports: tuple[int, ...] = ()

    def about(self, answer: Answer) -> Iterator[Said]:
        """Yield the errors that carry the id of a question."""
        return (one for one in self.said if one.request == answer.request and answer.request != -1)


# No session.


def judge_failure(
    target: Target,
    evidence: Evidence,
    cause: str,
    now_ns: int,
    versions: tuple[int, int] = (0, 1 << 30),
    *,
    timed_out: bool = False,
) -> Finding:
    """Return why no session was opened.

    Args:
        cause: first line of the error, its cure after a semicolon.
        versions: oldest and newest server version the client speaks.
        timed_out: nothing went wrong but that the session was not open in time.
    """
    seen = cause.rpartition("; ")[0] or cause
    values = {"host": target.host, "port": target.port}
    oldest, newest = versions
    if evidence.client_id_in_use:
        return found("client-id-in-use", seen)
    if evidence.handshake == "not_tws":
        return found("tws-other-program", seen, **values)
    if evidence.server_version and evidence.server_version < oldest:
        return found("tws-too-old", f"TWS speaks server version {evidence.server_version}", oldest=oldest)
    if evidence.server_version > newest:
        return found("tws-other-protocol", f"TWS speaks server version {evidence.server_version}", newest=newest)
    if evidence.tcp == "refused":
        return _nobody_there(target, evidence, seen, now_ns)
    if evidence.handshake == "answered":
        is_waiting = timed_out and not evidence.accounts
        return found("tws-login-unfinished" if is_waiting else "tws-failed", seen)
    if evidence.handshake in ("closed", "silent"):
        return found("tws-untrusted" if evidence.handshake == "closed" else "tws-silent", seen)
    if evidence.tcp == "unresolved":
        return found("tws-host-unknown", seen)
    return found("tws-unreachable" if evidence.tcp == "timeout" else "tws-failed", seen, **values)


def _nobody_there(target: Target, evidence: Evidence, seen: str, now_ns: int) -> Finding:
    values = {"host": target.host, "port": target.port}
    live = target.mode == "live"
    others = evidence.other_ports or ()
    fitting = [port for port in others if port in (LIVE_PORTS if live else PAPER_PORTS)]
    if fitting:
        named = ", ".join(f"{port} ({WELL_KNOWN_PORTS[port]})" for port in fitting)
        variable = "IBKR_LIVE_PORT" if live else "IBKR_PAPER_PORT"
        return found("tws-wrong-port", f"{seen}; {named} accepts", variable=variable, other=fitting[0], **values)
    if target.schedule.is_login_due(now_ns):
        return found("tws-login-due", seen, **values)
    # A reset of IBKR's servers leaves TWS's port as it is.
    until_ns = replace(target.schedule, regions=()).away_until(now_ns)
    if until_ns is not None:
        return found("tws-restarting", f"{seen}, within TWS's daily restart", until=_clock(until_ns), **values)
    if others:
        named = ", ".join(f"{port} ({WELL_KNOWN_PORTS[port]})" for port in others)
        other_mode = "paper" if live else "live"
        return found(
            "tws-of-other-mode", f"{seen}; {named} accepts",
            other=others[0], mode=target.mode, other_mode=other_mode, **values,
        )  # fmt: skip
    return found("tws-not-running", seen, **values)


# An open session.


def judge_session(target: Target, facts: Facts) -> list[Finding]:
    """Return what an open session showed, what everything else rests on first."""
    findings = [
        is_fine("TWS", f"server version {facts.server_version} at {target.where}, client id {target.client_id}")
    ]
    if facts.server_version < facts.newest:
        findings = [found("tws-old", f"TWS speaks server version {facts.server_version}", newest=facts.newest)]
    findings += _accounts(target, facts)
    findings += _ports(target, facts)
    if facts.lost:
        return [*findings, found("tws-failed", f"the session broke while it was looked at: {facts.lost}")]
    if facts.clock.state != "complete":
        seen = f"TWS at {target.where} accepted the session, but did not tell its time"
        return [*findings, found("tws-half-open", seen, seconds=f"{target.answer_seconds:g}")]
    link = _link(target, facts)
    farms = _farms(facts)
    findings += [*_time(facts), *link, *farms]
    if facts.missing and not link:
        seen = f"TWS never finished sending {', '.join(facts.missing)}"
        findings.append(found("account-data-missing", seen, seconds=f"{target.answer_seconds:g}"))
    findings += _orders(target, facts, is_cut_off=bool(link))
    findings += _market(target, facts, is_cut_off=bool(link) or any(one.check == "market data" for one in farms))
    findings += _history(target, facts, is_cut_off=bool(link) or any(one.check == "history" for one in farms))
    if facts.unread_messages:
        findings.append(found("messages-unread", f"{facts.unread_messages} messages of TWS could not be read"))
    return findings


def _accounts(target: Target, facts: Facts) -> Iterator[Finding]:
    named = ", ".join(facts.accounts)
    wanted = target.account
    live = [one for one in facts.accounts if not is_paper_account(one)]
    if wanted and wanted not in facts.accounts:
        yield found("account-not-managed", f"this login manages {named or 'no account'}", account=wanted)
    elif target.mode == "paper" and live:
        yield found("account-live", f"mode paper, but TWS is logged in to {', '.join(live)}")
    elif target.mode == "live" and is_paper_account(wanted or facts.accounts[0]):
        yield found("account-paper", f"mode live, but TWS is logged in to {wanted or facts.accounts[0]}")
    elif not wanted and len(facts.accounts) > 1:
        yield found("account-several", f"this login manages several accounts ({named}), and none is named")
    else:
        yield is_fine("account", f"{wanted or named} ({target.mode})")


def _ports(target: Target, facts: Facts) -> Iterator[Finding]:
    live = target.mode == "live"
    usual, others = (LIVE_PORTS, PAPER_PORTS) if live else (PAPER_PORTS, LIVE_PORTS)
    if target.port in others and not target.allow_port_mismatch:
        seen = f"mode {target.mode} on port {target.port} ({WELL_KNOWN_PORTS[target.port]})"
        yield found("port-of-other-mode", seen, usual=usual[0], gateway=usual[1])
    if facts.live_ports and not live:
        named = ", ".join(f"{port} ({WELL_KNOWN_PORTS[port]})" for port in facts.live_ports)
        yield found("live-port-open", f"{named} accepts connections on {target.host}")


def _time(facts: Facts) -> Iterator[Finding]:
    skew = facts.skew_seconds
    if skew is None:
        return
    off = abs(skew)
    quarters = round(off / _QUARTER)
    if quarters and abs(off - quarters * _QUARTER) < _NEAR_QUARTER:
        seen = f"TWS's clock is {quarters * _QUARTER / _HOUR * (1 if skew > 0 else -1):+g} h from this machine's"
        yield found("clock-zone", seen)
    elif off > _SKEW_SECONDS:
        far = f"{skew:+.1f} s" if off < _HOUR else f"{skew / _HOUR:+.1f} h"
        yield found("clock-skew", f"TWS's clock is {far} from this machine's")
    else:
        yield is_fine("clock", "within 2 s of TWS's")


def _link(target: Target, facts: Facts) -> list[Finding]:
    name, words = "", ""
    for one in facts.said:
        if one.code in (1100, 2110):
            name, words = ("link-lost" if one.code == 1100 else "link-broken"), one.words
        elif one.code in (1101, 1102):
            name = ""
    # Who connects after the link was lost may be told nothing: then only what comes from IBKR itself is missing.
    cut = next((one for one in facts.about(facts.history) if "disconnect" in one.text.lower()), None)
    if not name and cut and "complete" not in (facts.quote.state, facts.order.state):
        name, words = "link-lost", f"TWS answers, but nothing comes from IBKR's servers; {cut.words}"
    if not name:
        return []
    until_ns = target.schedule.reset_until(facts.now_ns)
    if until_ns is not None:
        return [found("server-reset", f"{words}, within a planned reset", until=_clock(until_ns))]
    return [found(name, words)]


# Codes of a farm: its name in the table by the code that tells its loss, and the codes that tell it is back.
_FARM_LOST = {2103: "market-farm-down", 2105: "history-farm-down", 2157: "contract-farm-down"}
_FARM_BACK = {2104: 2103, 2108: 2103, 2106: 2105, 2107: 2105, 2158: 2157}


def _farms(facts: Facts) -> list[Finding]:
    lost: dict[tuple[int, str], Said] = {}
    for one in facts.said:
        farm = one.text.rstrip(". ").rsplit(":", 1)[-1].strip()
        if one.code in _FARM_LOST:
            lost[one.code, farm] = one
        elif one.code in _FARM_BACK:
            lost.pop((_FARM_BACK[one.code], farm), None)
    return [found(_FARM_LOST[one.code], one.words) for one in lost.values()]


# TWS's limits in its presets; the same codes also answer a what-if order.
_PRESET_LIMITS = frozenset({109, 382, 383})
_REMARKS = frozenset({399, 404, 2109, 2137, 2161, 10349})  # the order would live


def _orders(target: Target, facts: Facts, *, is_cut_off: bool) -> Iterator[Finding]:
    read_only = next((one for one in facts.said if one.code == 321 and "read-only" in one.text.lower()), None)
    if read_only is not None:
        yield found("api-read-only", read_only.words)
        return
    if is_cut_off:
        return
    preset = next((one for one in facts.about(facts.order) if one.code == 10349), None)
    if preset is not None:
        yield found("preset-tif", preset.words)
    refusal = next((one for one in facts.about(facts.order) if one.code not in _REMARKS), None)
    if refusal is not None:
        yield found("preset-limits" if refusal.code in _PRESET_LIMITS else "orders-refused", refusal.words)
    elif facts.order.state == "asked":
        seen = "TWS did not answer a what-if order"
        yield found("order-unanswered", seen, seconds=f"{target.answer_seconds:g}")
    elif facts.order.state == "" and any(not is_paper_account(one) for one in facts.accounts):
        yield found("orders-not-tried", "a live account: presets and limits of TWS were not looked at")
    elif preset is None and facts.order.state == "complete":
        yield is_fine("orders", f"a what-if order of one share of {target.symbol} passes; none was sent")


_DATA_CODES: Mapping[int, str] = {
    10197: "data-competing",
    354: "data-not-subscribed",
    10089: "data-not-for-api",
    10168: "data-delayed-off",
    10186: "data-delayed-off",
    10167: "data-delayed",
    10090: "data-in-part",
}


def _market(target: Target, facts: Facts, *, is_cut_off: bool) -> Iterator[Finding]:
    symbol = target.symbol
    unknown = next((one for one in facts.about(facts.contract) if one.code == 200), None)
    if unknown is not None:
        yield found("contract-unknown", unknown.words, symbol=symbol)
        return
    about = [one for one in facts.said if one.request in (facts.quote.request, -1)]
    told = [next((one for one in about if one.code == code), None) for code in _DATA_CODES]
    first = next((one for one in told if one is not None), None)
    if first is not None:
        yield found(_DATA_CODES[first.code], first.words, symbol=symbol)
        return
    if is_cut_off or not facts.quote.state:
        return
    kind = {_FROZEN: "frozen", _DELAYED: "delayed", _DELAYED_FROZEN: "delayed and frozen"}.get(facts.data_type, "live")
    if facts.data_type in (_DELAYED, _DELAYED_FROZEN):
        yield found("data-delayed", f"TWS sends {kind} data of {symbol}", symbol=symbol)
        return
    try:
        is_open = session_at(facts.now_ns) is not None
        opens_ns = next_session(facts.now_ns).open_ns
    except SessionRangeError:
        return
    if not is_open:
        seen = f"the New York session is closed: prices of {symbol} need not come"
        yield found("data-not-judged", seen, next=_clock(opens_ns, "%Y-%m-%d %H:%M"))
    elif facts.data_type == _FROZEN:
        yield found("data-frozen", f"TWS sends {kind} data of {symbol}", symbol=symbol)
    elif facts.quote.state != "complete":
        seen = f"no price of {symbol} has come, and TWS does not say why"
        yield found("data-silent", seen, symbol=symbol, seconds=f"{target.answer_seconds:g}")
    else:
        yield is_fine("market data", f"{kind} prices of {symbol}")


def _history(target: Target, facts: Facts, *, is_cut_off: bool) -> Iterator[Finding]:
    if is_cut_off or not facts.history.state:
        return
    refusal = next(iter(facts.about(facts.history)), None)
    if refusal is not None and facts.history.state != "complete":
        yield found("history-refused", refusal.words, symbol=target.symbol)
    elif facts.history.state != "complete":
        seen = f"no daily bars of {target.symbol} have come"
        yield found("history-slow", seen, symbol=target.symbol, seconds=f"{target.answer_seconds:g}")
    else:
        yield is_fine("history", f"daily bars of {target.symbol}")


def _clock(ns: int, form: str = "%H:%M") -> str:
    moment = _EPOCH + timedelta(microseconds=ns // 1000)
    return moment.astimezone(_NEW_YORK).strftime(form) + " New York"
