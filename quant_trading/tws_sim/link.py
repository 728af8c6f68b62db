"""The line from TWS to IBKR's servers, and what clients see when it fails.

The socket between client and TWS stays open all the while. A lost link is told by 1100 and its return by 1102
(subscriptions kept) or 1101 (subscriptions lost: they stay silent until they are asked for again); farms have
codes of their own (2103/2104, 2105/2106). All of that is documented. That requests about orders wait for the
link, and that reports which arise meanwhile come when it is back, is reported; both can also be lost.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from quant_trading.tws_sim.faulty_session import FaultySession
from quant_trading.tws_sim.framing import WireMessage, edited, values_of
from quant_trading.tws_sim.requests import REQUESTS
from quant_trading.tws_sim.responses import RESPONSES
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["FARMS", "Link"]

FARMS = {"usfarm": (2103, 2104), "ushmds": (2105, 2106)}
"""Codes for a farm that is lost and that is back."""

_SECOND_NS = 1_000_000_000
_LOST, _BACK_WITHOUT_DATA, _BACK = 1100, 1101, 1102
_COMPETING = 10197
_HMDS_AWAY = "HMDS server disconnect occurred.  Attempting reconnection...."


def _names(table: Mapping[int, Any], *ids: int) -> frozenset[str]:
    return frozenset(table[one].name for one in ids if one in table)


# By message id, which never changes; the names are those of the tables.
_TICKS = _names(RESPONSES, 1, 2, 12, 13, 21, 45, 46, 50, 99)
_RUNNING_BARS = _names(RESPONSES, 90, 108)
_REPORTS = _names(RESPONSES, 3, 5, 11, 59)
_CLOCKS = {"currentTime": 1, "currentTimeInMillis": 1000}
_SUBSCRIBES = _names(REQUESTS, 1, 10, 20, 50, 97)
_TO_MARKET = _names(REQUESTS, 1, 10, 50, 97)
_UNSUBSCRIBES = _names(REQUESTS, 2, 11, 25, 51, 98)
_ASKS_HISTORY = _names(REQUESTS, 20, 87, 88, 96)
_ORDERS = _names(REQUESTS, 3, 4, 58)


class Owner(Protocol):
    """What the link needs from the gateway around it."""

    timeline: Timeline
    sessions: list[FaultySession]


class Link:
    """The state of the line and of the farms behind it."""

    ACTIONS = frozenset({"lose_link", "restore_link", "farm", "compete", "skew"})

    def __init__(self, gateway: Owner) -> None:
        self._gateway = gateway
        self.is_lost = False
        self.farms_lost: set[str] = set()
        self.is_competing = False
        self.skew_seconds = 0
        self._restore_code = _BACK
        self._are_reports_lost = False
        self._outage = 0
        self._kept_requests: list[tuple[FaultySession, WireMessage]] = []
        self._kept_reports: list[tuple[FaultySession, WireMessage]] = []

    @property
    def is_disturbed(self) -> bool:
        """True when answers have to be looked at before they may pass."""
        return bool(
            self.is_lost
            or self.farms_lost
            or self.is_competing
            or self.skew_seconds
            or any(session.dead for session in self._gateway.sessions)
        )

    def perform(self, action: str, values: Mapping[str, Any]) -> None:
        """Do one of `ACTIONS`."""
        if action == "lose_link":
            self.lose(values["seconds"], values["restore"], values["reports"])
        elif action == "restore_link":
            self.restore()
        elif action == "farm":
            self.lose_farm(values["name"], values["seconds"], resumes=values["resumes"])
        elif action == "compete":
            self._compete(values["seconds"])
        else:
            self.skew_seconds = round(values["seconds"])

    def lose(self, seconds: float | None, code: int = _BACK, reports: str = "delayed") -> None:
        """Lose IBKR's servers; be back with `code` after so long, or when told."""
        self._restore_code = code
        self._are_reports_lost = reports == "lost"
        if not self.is_lost:
            self.is_lost = True
            self._outage += 1
            self._tell(_LOST)
        if seconds is not None:
            outage = self._outage
            self._later(seconds, lambda: self.restore() if outage == self._outage else None)

    def restore(self) -> None:
        """Be back: tell the clients, let what was kept pass."""
        if not self.is_lost:
            return
        self.is_lost = False
        self._outage += 1
        self._tell(self._restore_code)
        if self._restore_code == _BACK_WITHOUT_DATA:
            for session in self._gateway.sessions:
                session.dead.update(session.subscribed)
        reports, self._kept_reports = self._kept_reports, []
        requests, self._kept_requests = self._kept_requests, []
        for session, message in reports:
            session.enqueue(message)
        for session, message in requests:
            session.serve(message)

    def lose_farm(self, farm: str, seconds: float | None, *, resumes: bool = True) -> None:
        """Lose one farm; its streams go on after it is back, or stay silent without a word."""
        lost_code, back_code = FARMS[farm]
        self.farms_lost.add(farm)
        self._tell(lost_code, farm=farm)

        def back() -> None:
            if farm not in self.farms_lost:
                return
            self.farms_lost.discard(farm)
            if not resumes:
                for session in self._gateway.sessions:
                    session.dead.update(session.subscribed)
            self._tell(back_code, farm=farm)

        if seconds is not None:
            self._later(seconds, back)

    def _compete(self, seconds: float | None) -> None:
        self.is_competing = True
        for session in self._gateway.sessions:
            for req_id, (name, _) in session.subscribed.items():
                if name in _TO_MARKET:
                    session.inner.send_error(req_id, _COMPETING)
        if seconds is not None:
            self._later(seconds, self._stop_competing)

    def _stop_competing(self) -> None:
        self.is_competing = False

    def forget_outages(self) -> None:
        """Begin anew, as a TWS that was restarted."""
        self.is_lost = False
        self.is_competing = False
        self.farms_lost.clear()
        self._outage += 1
        self._kept_reports.clear()
        self._kept_requests.clear()

    def _tell(self, code: int, **parts: object) -> None:
        for session in list(self._gateway.sessions):
            session.inner.send_error(-1, code, **parts)

    def _later(self, seconds: float, action: Any) -> None:
        timeline = self._gateway.timeline
        timeline.call_at(timeline.now_ns + round(seconds * _SECOND_NS), action)

    # Messages

    def admits(self, session: FaultySession, message: WireMessage) -> bool:
        """Say whether a request reaches TWS now; one that does not is kept, or answered by an error."""
        name = message.name
        if name in _SUBSCRIBES or name in _UNSUBSCRIBES:
            _follow(session, message)
        if name in _ASKS_HISTORY and (self.is_lost or "ushmds" in self.farms_lost):
            req_id = values_of(message).get("reqId")
            session.inner.send_error(-1 if req_id is None else req_id, 162, cause=_HMDS_AWAY)
            return False
        if self.is_lost and name in _ORDERS:
            self._kept_requests.append((session, message))
            return False
        if self.is_competing and name in _TO_MARKET:
            req_id = values_of(message).get("reqId")
            session.inner.send_error(-1 if req_id is None else req_id, _COMPETING)
        return True

    def passes(self, session: FaultySession, message: WireMessage) -> WireMessage | None:
        """Return an answer as it reaches the client, None when it does not, or not yet."""
        name = message.name
        if name in _TICKS or name in _RUNNING_BARS:
            is_away = self.is_lost or bool(self.farms_lost) if name in _RUNNING_BARS else self._is_market_away
            if is_away or (session.dead and values_of(message).get("reqId") in session.dead):
                return None
        elif self.is_lost and name in _REPORTS:
            if not self._are_reports_lost:
                self._kept_reports.append((session, message))
            return None
        elif self.skew_seconds and name in _CLOCKS:
            return edited(message, {}, {"time": self.skew_seconds * _CLOCKS[name]}, {}) or message
        return message

    @property
    def _is_market_away(self) -> bool:
        return self.is_lost or self.is_competing or "usfarm" in self.farms_lost


def _follow(session: FaultySession, message: WireMessage) -> None:
    """Note what a client has subscribed to."""
    values = values_of(message)
    req_id = values.get("reqId")
    if req_id is None:
        return
    session.dead.discard(req_id)
    if message.name in _UNSUBSCRIBES:
        session.subscribed.pop(req_id, None)
    elif message.name not in _ASKS_HISTORY or values.get("keepUpToDate"):
        session.subscribed[req_id] = (message.name, str(values.get("symbol") or ""))
