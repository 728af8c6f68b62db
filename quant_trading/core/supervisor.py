"""The life of a supervised session as one table, and what a person is told about it. Pure: time is an argument.

                    START            HANDSHAKE          SYNCED            TROUBLE
    disconnected ---------> connecting -----> syncing ---------> live <----------> degraded
         ^   LOST, FAILED       ^                                 |      RELIEVED
         +----------------------|---------------------------------+
                                |              LOST_BY_PLAN       v
                                +----------------------- expected restart
    refused: TWS is there, but this login may not be used as it is; only a person (RETRY) goes on from here.

Every outage is reported when it is noticed. One that is not by plan becomes an alarm when it lasts, and so does
one by plan that outlasts its window; alarms are repeated until they are over.
"""

import random
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from quant_trading.domain.errors import DeskError

__all__ = [
    "TRANSITIONS",
    "BackOff",
    "Moment",
    "Outage",
    "Report",
    "ReportKind",
    "Supervisor",
    "SupervisorEvent",
    "SupervisorPolicy",
    "SupervisorState",
    "UnexpectedEvent",
    "next_state",
]


class SupervisorState(Enum):
    """Where a session stands."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    SYNCING = "syncing"
    LIVE = "live"
    DEGRADED = "degraded"
    EXPECTED_RESTART = "expected_restart"
    REFUSED = "refused"


class SupervisorEvent(Enum):
    """What can happen to it."""

    START = "start"
    TRY = "try"  # the next attempt to connect begins
    HANDSHAKE = "handshake"  # TWS has answered and named its accounts, and they fit
    SYNCED = "synced"  # everything asked for at the start has arrived
    TROUBLE = "trouble"  # IBKR, a farm or a stream is away, the socket is not
    RELIEVED = "relieved"  # the last trouble is over
    FAILED = "failed"  # an attempt to connect has failed
    LOST = "lost"  # the open session broke
    LOST_BY_PLAN = "lost_by_plan"  # the same, inside a known window
    WINDOW_OVER = "window_over"  # the known window has ended without a session
    REFUSE = "refuse"  # this login may not be used as it is
    RETRY = "retry"  # a person has mended it
    STOP = "stop"


class UnexpectedEvent(DeskError):
    """An event came that cannot happen in that state: a mistake in this program."""


_S, _E = SupervisorState, SupervisorEvent

TRANSITIONS: dict[tuple[SupervisorState, SupervisorEvent], SupervisorState] = {
    (_S.DISCONNECTED, _E.START): _S.CONNECTING,
    (_S.DISCONNECTED, _E.TRY): _S.CONNECTING,
    (_S.CONNECTING, _E.TRY): _S.CONNECTING,  # the first attempt of all
    (_S.CONNECTING, _E.HANDSHAKE): _S.SYNCING,
    (_S.CONNECTING, _E.FAILED): _S.DISCONNECTED,
    (_S.CONNECTING, _E.LOST_BY_PLAN): _S.EXPECTED_RESTART,  # started while TWS is away
    (_S.CONNECTING, _E.REFUSE): _S.REFUSED,
    (_S.SYNCING, _E.SYNCED): _S.LIVE,
    (_S.SYNCING, _E.TROUBLE): _S.SYNCING,  # told again as trouble once the session is live
    (_S.SYNCING, _E.RELIEVED): _S.SYNCING,
    (_S.SYNCING, _E.FAILED): _S.DISCONNECTED,
    (_S.SYNCING, _E.LOST_BY_PLAN): _S.EXPECTED_RESTART,
    (_S.SYNCING, _E.REFUSE): _S.REFUSED,  # read-only is noticed when orders are asked for
    (_S.LIVE, _E.TROUBLE): _S.DEGRADED,
    (_S.LIVE, _E.LOST): _S.DISCONNECTED,
    (_S.LIVE, _E.LOST_BY_PLAN): _S.EXPECTED_RESTART,
    (_S.LIVE, _E.REFUSE): _S.REFUSED,
    (_S.DEGRADED, _E.TROUBLE): _S.DEGRADED,
    (_S.DEGRADED, _E.RELIEVED): _S.LIVE,
    (_S.DEGRADED, _E.LOST): _S.DISCONNECTED,
    (_S.DEGRADED, _E.LOST_BY_PLAN): _S.EXPECTED_RESTART,
    (_S.DEGRADED, _E.REFUSE): _S.REFUSED,
    # Attempts inside the window are nobody's news: the state stays until TWS is back or the window is over.
    (_S.EXPECTED_RESTART, _E.TRY): _S.EXPECTED_RESTART,
    (_S.EXPECTED_RESTART, _E.FAILED): _S.EXPECTED_RESTART,
    (_S.EXPECTED_RESTART, _E.LOST_BY_PLAN): _S.EXPECTED_RESTART,
    (_S.EXPECTED_RESTART, _E.HANDSHAKE): _S.SYNCING,
    (_S.EXPECTED_RESTART, _E.WINDOW_OVER): _S.DISCONNECTED,
    (_S.EXPECTED_RESTART, _E.REFUSE): _S.REFUSED,  # after the weekly login another user may be there
    # TWS hangs up on a refused session, or it is ended here: no news either.
    (_S.REFUSED, _E.LOST): _S.REFUSED,
    (_S.REFUSED, _E.FAILED): _S.REFUSED,
    (_S.REFUSED, _E.RETRY): _S.CONNECTING,
    **{(state, _E.STOP): _S.DISCONNECTED for state in _S},
}


def next_state(state: SupervisorState, event: SupervisorEvent) -> SupervisorState:
    """Return the state after `event`.

    Raises:
        UnexpectedEvent: when it cannot happen in `state`.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        known = ", ".join(sorted(one.value for at, one in TRANSITIONS if at is state))
        raise UnexpectedEvent(
            f"{event.value} cannot happen to a session that is {state.value}; expected one of {known}"
        ) from None


@dataclass(frozen=True, slots=True)
class SupervisorPolicy:
    """How patient a supervisor is; all in seconds.

    Attributes:
        heartbeat_seconds: between two questions for TWS's time.
        heartbeat_timeout_seconds: within which TWS answers one; both together bound how long a frozen or half-open
            socket goes unnoticed.
        connect_timeout_seconds: for socket, handshake and first data together.
        first_delay_seconds, longest_delay_seconds: between two attempts to connect; it doubles from one to the other.
        window_delay_seconds: the longest delay inside a known window, where TWS may be back any moment.
        jitter: share of each delay that is left to chance, so that many programs do not come back as one.
        steady_seconds: a session that lived so long begins its next reconnection without delay.
        alarm_seconds: an outage that is not by plan and lasts so long is an alarm.
        reminder_seconds: between two alarms about the same outage.
        skew_seconds: difference of TWS's clock and ours that is worth a notice.
        order_gate_seconds: how long before a planned restart no order should be sent.
        jump_seconds: gap between wall clock and running time that means the machine slept.
    """

    heartbeat_seconds: float = 20.0
    heartbeat_timeout_seconds: float = 15.0
    connect_timeout_seconds: float = 30.0
    first_delay_seconds: float = 1.0
    longest_delay_seconds: float = 60.0
    window_delay_seconds: float = 15.0
    jitter: float = 0.25
    steady_seconds: float = 60.0
    alarm_seconds: float = 45.0
    reminder_seconds: float = 900.0
    skew_seconds: float = 2.0
    order_gate_seconds: float = 120.0
    jump_seconds: float = 5.0


class BackOff:
    """The delays between attempts to connect: doubling, with jitter, for ever.

    Args:
        seed: the same seed gives the same delays.
    """

    def __init__(self, policy: SupervisorPolicy, seed: int = 0) -> None:
        self._policy = policy
        self._random = random.Random(seed)
        self._attempts = 0

    def reset(self) -> None:
        """Begin anew: a session has lived for a while."""
        self._attempts = 0

    def next_delay(self, *, in_window: bool = False) -> float:
        """Return the seconds to wait before the next attempt."""
        policy = self._policy
        longest = policy.window_delay_seconds if in_window else policy.longest_delay_seconds
        delay = min(policy.first_delay_seconds * 2.0 ** min(self._attempts, 32), longest)
        self._attempts += 1
        return float(delay * (1.0 - policy.jitter * self._random.random()))


class Moment(NamedTuple):
    """A point in time: running seconds for what lasts, UTC ns for the record."""

    seconds: float
    ns: int


class ReportKind(Enum):
    """Why a person is told something."""

    STATE = "state"  # the session has another state
    OUTAGE = "outage"  # something is away
    ALARM = "alarm"  # a person should look
    RECOVERED = "recovered"  # everything is there again
    REFUSED = "refused"  # nothing goes on without a person
    NOTICE = "notice"  # worth knowing


@dataclass(frozen=True, slots=True)
class Report:
    """One thing a person, or a log, is told.

    Attributes:
        at_ns: when, UTC ns.
        state: after it.
        is_expected: it is by plan.
        text: one line.
    """

    kind: ReportKind
    at_ns: int
    state: SupervisorState
    text: str
    is_expected: bool = False


@dataclass(frozen=True, slots=True)
class Outage:
    """A span in which not everything was there.

    Attributes:
        began, ended: UTC ns; `ended` is None while it lasts.
        cause: the first thing that went away.
    """

    began_ns: int
    cause: str
    is_expected: bool
    ended_ns: int | None = None


@dataclass(slots=True)
class _Trouble:
    text: str
    until_ns: int | None  # by plan until then
    is_alarm: bool  # it was waited for already: no further patience


_KEPT_OUTAGES = 1000


class Supervisor:
    """Follows one session through `TRANSITIONS` and says what there is to tell.

    Every method returns the reports that follow from it; the caller hands them on. `alarm_due` is when `look`
    should be called next.
    """

    def __init__(self, policy: SupervisorPolicy | None = None) -> None:
        self.policy = policy or SupervisorPolicy()
        self.state = SupervisorState.DISCONNECTED
        self.outages: list[Outage] = []
        self._troubles: dict[str, _Trouble] = {}
        self._outage: Outage | None = None
        self._began_seconds = 0.0
        self._by_plan_until_ns: int | None = None  # of the lost session itself
        self._alarm_at: float | None = None
        self._cause = ""

    @property
    def troubles(self) -> dict[str, str]:
        """Return what is away at present, by name, while the session itself is there."""
        return {name: one.text for name, one in self._troubles.items()}

    @property
    def alarm_due(self) -> float | None:
        """Return the running seconds at which `look` has something to tell, None for never."""
        return self._alarm_at

    def handle(
        self, event: SupervisorEvent, now: Moment, text: str = "", *, until_ns: int | None = None
    ) -> list[Report]:
        """Take note of an event of the session as a whole.

        Args:
            text: its cause, for people.
            until_ns: end of the window in which LOST_BY_PLAN is by plan.

        Raises:
            UnexpectedEvent: when it cannot happen now.
        """
        before, self.state = self.state, next_state(self.state, event)
        reports: list[Report] = []
        if event in (_E.LOST, _E.LOST_BY_PLAN, _E.FAILED):
            self._cause = text or self._cause
            self._troubles.clear()
            if event is _E.LOST_BY_PLAN:
                self._by_plan_until_ns = until_ns
            if event is not _E.FAILED:
                reports += self._begin(now, text, is_expected=event is _E.LOST_BY_PLAN, again=before is not self.state)
            elif self._outage is None:
                reports += self._begin(now, text, is_expected=False, again=False)
        elif event is _E.START:
            self._plan_alarm(now)
        elif event is _E.SYNCED:
            self._by_plan_until_ns = None
            if self._troubles:
                self.state = next_state(self.state, _E.TROUBLE)
            else:
                reports += self._recover(now)
        elif event is _E.WINDOW_OVER:
            self._by_plan_until_ns = None
            reports += self._alarm(now)
        elif event is _E.REFUSE:
            self._troubles.clear()
            self._alarm_at = None
            reports.append(self._report(ReportKind.REFUSED, now, text))
        elif event is _E.RETRY:
            self._plan_alarm(now)
        elif event is _E.STOP:
            self._end(now)
            self._troubles.clear()
        if before is not self.state:
            reports.insert(0, self._report(ReportKind.STATE, now, text or event.value, event is _E.LOST_BY_PLAN))
        return reports

    def trouble(
        self, name: str, now: Moment, text: str, *, until_ns: int | None = None, is_alarm: bool = False
    ) -> list[Report]:
        """Take note that something is away while the session is there.

        Args:
            name: what; the same name ends it.
            until_ns: it is by plan until then.
            is_alarm: it was waited for long enough already.
        """
        if self.state not in (_S.SYNCING, _S.LIVE, _S.DEGRADED):
            return []
        is_new = name not in self._troubles
        self._troubles[name] = _Trouble(text, until_ns, is_alarm)
        if not is_new:
            return []
        before, self.state = self.state, next_state(self.state, _E.TROUBLE)
        is_expected = until_ns is not None
        reports = [self._report(ReportKind.STATE, now, text, is_expected)] if before is not self.state else []
        reports += self._begin(now, text, is_expected=is_expected, again=True)
        if is_alarm:
            reports += self._alarm(now)
        return reports

    def relieve(self, name: str, now: Moment) -> list[Report]:
        """Take note that what was away is back; nothing when it was not away."""
        if self._troubles.pop(name, None) is None or self._troubles:
            return []
        before, self.state = self.state, next_state(self.state, _E.RELIEVED)
        if before is self.state:
            return []
        return [self._report(ReportKind.STATE, now, f"{name} is back"), *self._recover(now)]

    def notice(self, now: Moment, text: str, *, is_alarm: bool = False) -> Report:
        """Return a report about something that changes no state."""
        return self._report(ReportKind.ALARM if is_alarm else ReportKind.NOTICE, now, text)

    def look(self, now: Moment) -> list[Report]:
        """Tell what has become due: an outage that lasts, or one that has outlasted its window."""
        if self._alarm_at is None or now.seconds < self._alarm_at:
            return []
        if self._outage is not None and self._is_by_plan(now):
            self._plan_alarm(now, within=self._window_left(now))
            return []
        if self.state is _S.EXPECTED_RESTART:
            return self.handle(_E.WINDOW_OVER, now, f"the window is over and TWS is not back: {self._cause}")
        return self._alarm(now)

    # Outages

    def _begin(self, now: Moment, text: str, *, is_expected: bool, again: bool) -> list[Report]:
        if self._outage is None:
            self._outage = Outage(now.ns, text, is_expected)
            self._began_seconds = now.seconds
            self._plan_alarm(now, within=self._window_left(now) if is_expected else None)
            again = True
        elif not is_expected and self._alarm_at is not None:
            self._alarm_at = min(self._alarm_at, now.seconds + self.policy.alarm_seconds)
        return [self._report(ReportKind.OUTAGE, now, text, is_expected)] if again else []

    def _recover(self, now: Moment) -> list[Report]:
        outage = self._outage
        seconds = now.seconds - self._began_seconds
        self._end(now)
        if outage is None:
            return []
        return [self._report(ReportKind.RECOVERED, now, f"back after {seconds:.0f} s: {outage.cause}")]

    def _end(self, now: Moment) -> None:
        outage, self._outage = self._outage, None
        self._alarm_at = None
        if outage is not None:
            self.outages.append(Outage(outage.began_ns, outage.cause, outage.is_expected, now.ns))
            del self.outages[:-_KEPT_OUTAGES]

    def _plan_alarm(self, now: Moment, within: float | None = None) -> None:
        self._alarm_at = now.seconds + (self.policy.alarm_seconds if within is None else within)

    def _is_by_plan(self, now: Moment) -> bool:
        if self.state is _S.EXPECTED_RESTART:
            return self._by_plan_until_ns is not None and now.ns < self._by_plan_until_ns
        return bool(self._troubles) and all(
            one.until_ns is not None and now.ns < one.until_ns for one in self._troubles.values()
        )

    def _window_left(self, now: Moment) -> float:
        ends = [self._by_plan_until_ns, *(one.until_ns for one in self._troubles.values())]
        left = min((end - now.ns for end in ends if end is not None and end > now.ns), default=0) / 1e9
        return max(left, self.policy.alarm_seconds)

    def _alarm(self, now: Moment) -> list[Report]:
        self._alarm_at = now.seconds + self.policy.reminder_seconds
        lasted = now.seconds - self._began_seconds if self._outage is not None else 0.0
        what = "; ".join(one.text for one in self._troubles.values()) or self._cause or "no session"
        for_long = f" for {lasted:.0f} s" if lasted >= 1 else ""
        return [self._report(ReportKind.ALARM, now, f"{self.state.value}{for_long}: {what}")]

    def _report(self, kind: ReportKind, now: Moment, text: str, is_expected: bool = False) -> Report:
        return Report(kind, now.ns, self.state, text.split("\n", 1)[0], is_expected)
