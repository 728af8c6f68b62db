"""What TWS lets a client ask for, and how fast: every documented limit, enforced or only counted.

| rule | limit | answer when strict |
| --- | --- | --- |
| messages | 50 a second from one client, all kinds together | 100; hung up in the third second of excess |
| identical history | the same request again within 15 s, bars of 30 s or less | 162 pacing violation |
| burst of history | 6 or more of one contract, exchange and tick type within 2 s, bars of 30 s or less | 162 |
| history budget | 60 in 10 minutes, bars of 30 s or less, BID_ASK counts double | 162 pacing violation |
| open history | 50 at once, running bars included | 322 |
| real-time bars | 60 new subscriptions in 10 minutes | 420 |
| lines | 100 streams of quotes and real-time bars | 101 |
| tick-by-tick | 3 at once with 100 lines, one more for every further 100 (assumed) | 10190 |

The limits are documented except where said. That the third second of excess is the last one, and that a
refused request does not count towards later ones, is assumed. Historical ticks are subject to the rules of
small bars (documented). The limit on account summaries (322) is kept where summaries are served.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message

__all__ = ["MODES", "Pacing"]

MODES = ("strict", "lenient", "off")
"""Enforce, count only, do neither."""

_SECOND_NS = 1_000_000_000
_MESSAGES = 50
_STRIKES = 3
_IDENTICAL_NS, _BURST_NS, _BUDGET_NS = 15 * _SECOND_NS, 2 * _SECOND_NS, 600 * _SECOND_NS
_BURST, _BUDGET, _OPEN_HISTORY, _REAL_TIME_BARS = 6, 60, 50, 60
_SMALL_BARS = frozenset(f"{n} {unit}" for n in (1, 5, 10, 15, 30) for unit in ("sec", "secs"))
_PACING_VIOLATION = "Historical data request pacing violation"

_CONTRACT = ("conId", "symbol", "secType", "lastTradeDate", "strike", "right", "currency", "localSymbol")
_WHEN = ("startDateTime", "endDateTime", "barSize", "duration", "useRth", "numberOfTicks")
_LINES = {"reqMktData": "cancelMktData", "reqRealTimeBars": "cancelRealTimeBars"}
_TICKS = {"reqTickByTickData": "cancelTickByTickData"}
_HISTORY = {"reqHistoricalData": "cancelHistoricalData"}
_CANCELS = {cancel: name for table in (_LINES, _TICKS, _HISTORY) for name, cancel in table.items()}


@dataclass(slots=True)
class _Usage:
    """What one client has asked for lately, and what it keeps open."""

    messages: deque[int] = field(default_factory=deque)
    excess_seconds: list[int] = field(default_factory=list)
    history: deque[tuple[int, tuple[str, ...], tuple[str, ...], int]] = field(default_factory=deque)
    real_time_bars: deque[int] = field(default_factory=deque)
    is_open: dict[tuple[str, int], None] = field(default_factory=dict)


class Pacing:
    """Judges every request before it is served.

    Attributes:
        violations: how often each rule was broken, by its name in the table above.
    """

    def __init__(self, mode: str, now_ns: Callable[[], int], lines: int = 100) -> None:
        """Judge by the clock `now_ns`, UTC ns; `lines` is the account's number of market data lines.

        Raises:
            ValueError: when the mode is unknown.
        """
        self.violations: Counter[str] = Counter()
        self.set_mode(mode)
        self._now_ns = now_ns
        self._lines = lines
        self._usage: dict[Session, _Usage] = {}

    def set_mode(self, mode: str) -> None:
        """Enforce, count or ignore from now on.

        Raises:
            ValueError: when the mode is unknown.
        """
        if mode not in MODES:
            raise ValueError(f"pacing = {mode!r} is unknown; write {', '.join(MODES)}")
        self._mode = mode

    def admit(self, session: Session, request: Message) -> None:
        """Count one request.

        Raises:
            RequestRefused: when it breaks a rule and the rules are strict.
        """
        if self._mode == "off":
            return
        usage = self._usage.setdefault(session, _Usage())
        now = self._now_ns()
        self._count_message(session, usage, now)
        name = request.name
        if name in ("reqHistoricalData", "reqHistoricalTicks"):
            self._judge_history(usage, request, now)
        elif name in _LINES or name in _TICKS:
            self._judge_stream(usage, request, now)
        elif name in _CANCELS:
            usage.is_open.pop((_CANCELS[name], request.integer("reqId")), None)

    def opened(self, session: Session, request: Message) -> None:
        """Note that a request was served and goes on: a stream, or history that is kept up to date."""
        usage = self._usage.get(session)
        if usage is None or request.name not in _CANCELS.values():
            return
        if request.name == "reqHistoricalData" and not request.flag("keepUpToDate"):
            return
        if request.flag("snapshot") or request.flag("regulatorySnapshot"):
            return
        usage.is_open[request.name, request.integer("reqId")] = None

    def forget(self, session: Session) -> None:
        """Forget a client that has left."""
        self._usage.pop(session, None)

    def _broken(self, rule: str, code: int, **parts: str) -> None:
        self.violations[rule] += 1
        if self._mode == "strict":
            raise RequestRefused(code, None, **parts)

    def _count_message(self, session: Session, usage: _Usage, now: int) -> None:
        messages = usage.messages
        while messages and messages[0] <= now - _SECOND_NS:
            messages.popleft()
        if len(messages) < _MESSAGES:
            messages.append(now)
            return
        # Told once for each second of excess; the message itself is served (assumed).
        strikes = usage.excess_seconds
        if strikes and now - strikes[-1] < _SECOND_NS:
            return
        if strikes and now - strikes[-1] >= 2 * _SECOND_NS:
            strikes.clear()
        strikes.append(now)
        self.violations["messages"] += 1
        if self._mode == "strict":
            session.send_error(-1, 100, received=len(messages) + 1, strike=len(strikes))
            if len(strikes) >= _STRIKES:
                session.close("more than 50 messages a second for three seconds")

    def _judge_history(self, usage: _Usage, request: Message, now: int) -> None:
        is_ticks = request.name == "reqHistoricalTicks"
        open_now = sum(1 for name, _ in usage.is_open if name in _HISTORY)
        if open_now >= _OPEN_HISTORY and ("reqHistoricalData", request.integer("reqId")) not in usage.is_open:
            text = "Error processing request:Only 50 simultaneous API historical data requests allowed."
            self._broken("open history", 322, text=text)
        if not is_ticks and request.text("barSize").lower() not in _SMALL_BARS:
            return
        what = request.text("whatToShow").upper()
        kind = (*_texts(request, _CONTRACT), request.text("exchange"), what)
        whole = (*kind, *_texts(request, _WHEN))
        weight = 2 if what == "BID_ASK" else 1
        recent = usage.history
        while recent and recent[0][0] <= now - _BUDGET_NS:
            recent.popleft()
        if any(at > now - _IDENTICAL_NS and seen == whole for at, _, seen, _ in recent):
            self._broken("identical history", 162, cause=_PACING_VIOLATION)
        if 1 + sum(at > now - _BURST_NS and seen == kind for at, seen, _, _ in recent) >= _BURST:
            self._broken("burst of history", 162, cause=_PACING_VIOLATION)
        if weight + sum(cost for _, _, _, cost in recent) > _BUDGET:
            self._broken("history budget", 162, cause=_PACING_VIOLATION)
        recent.append((now, kind, whole, weight))

    def _judge_stream(self, usage: _Usage, request: Message, now: int) -> None:
        key = (request.name, request.integer("reqId"))
        if key in usage.is_open:
            return
        if request.name in _TICKS:
            allowed = 3 + max(0, self._lines - 100) // 100
            if sum(1 for name, _ in usage.is_open if name in _TICKS) >= allowed:
                self._broken("tick-by-tick", 10190)
            return
        is_snapshot = request.flag("snapshot") or request.flag("regulatorySnapshot")
        if not is_snapshot and sum(1 for name, _ in usage.is_open if name in _LINES) >= self._lines:
            self._broken("lines", 101)
        if request.name == "reqRealTimeBars":
            recent = usage.real_time_bars
            while recent and recent[0] <= now - _BUDGET_NS:
                recent.popleft()
            if len(recent) >= _REAL_TIME_BARS:
                self._broken("real-time bars", 420, cause=_PACING_VIOLATION)
            recent.append(now)


def _texts(request: Message, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(request.values.get(name, "")) for name in names)
