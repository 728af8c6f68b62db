"""When IBKR's servers and TWS itself are away by plan.

| event | when | what a program sees |
| --- | --- | --- |
| server reset | once in a region's window (documented) | 1100, broken farms, then 1102 or 1101; the socket stays |
| restart of TWS | daily at the time set in TWS, "Auto restart" (documented) | the socket closes, the port is refused |
| login | the week's token ends on Sunday 01:00 New York (documented) | a restart that waits for a person |

An outage inside its window is no alarm, but it is reported like any other; one that outlasts it is an alarm.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

__all__ = ["RESET_WINDOWS", "ResetWindow", "RestartSchedule"]

_SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEW_YORK = ZoneInfo("America/New_York")
_SUNDAY, _FRIDAY = 6, 4


@dataclass(frozen=True, slots=True)
class ResetWindow:
    """A span of local time in which servers may be reset.

    Attributes:
        zone: whose wall clock it is.
        weekdays: on which it begins, 0 = Monday.
        begins, minutes: when, and how long it is.
    """

    zone: ZoneInfo
    weekdays: frozenset[int]
    begins: time
    minutes: int

    def ends_after(self, ns: int) -> int | None:
        """Return the end (UTC ns) of the window that holds the moment `ns`, None when it is outside."""
        today = (_EPOCH + timedelta(seconds=ns // _SECOND_NS)).astimezone(self.zone).date()
        for back in range(self.minutes // 1440 + 2):
            day = today - timedelta(days=back)
            begin_ns = _moment_ns(day, self.begins, self.zone)
            end_ns = begin_ns + self.minutes * 60 * _SECOND_NS
            if day.weekday() in self.weekdays and begin_ns <= ns < end_ns:
                return end_ns
        return None


_EVERY_DAY = frozenset(range(7))
_WEEKDAYS = frozenset(range(5))
_ZURICH, _HONG_KONG = ZoneInfo("Europe/Zurich"), ZoneInfo("Asia/Hong_Kong")

# IBKR's page of system status and resets, as of 2024; for Europe and Asia it names no days, working days are assumed.
RESET_WINDOWS: dict[str, ResetWindow] = {
    "north-america": ResetWindow(_NEW_YORK, _EVERY_DAY - {5}, time(0, 15), 90),
    "europe": ResetWindow(_ZURICH, _WEEKDAYS, time(6, 25), 80),
    "asia-morning": ResetWindow(_HONG_KONG, _WEEKDAYS, time(4, 45), 80),
    "asia-evening": ResetWindow(_HONG_KONG, _WEEKDAYS, time(20, 15), 60),
    "weekend": ResetWindow(_NEW_YORK, frozenset({_FRIDAY}), time(23, 0), 240),
}


@dataclass(frozen=True, slots=True)
class RestartSchedule:
    """Which absences of one TWS are by plan.

    Attributes:
        regions: names of RESET_WINDOWS whose servers this login uses.
        restart: TWS's daily restart on `zone`'s wall clock; None when it never restarts by itself.
        restart_minutes: how long TWS may be away for it; logins are slow, so more than the usual three.
        login_hours: how long after Sunday 01:00 New York a person may take to log in again; 0 for no weekly login.
    """

    regions: tuple[str, ...] = ("north-america", "weekend")
    restart: time | None = time(23, 45)
    restart_minutes: int = 15
    login_hours: float = 16.0
    zone: ZoneInfo = _NEW_YORK

    def __post_init__(self) -> None:
        """Refuse regions nobody knows.

        Raises:
            ValueError: naming those that are known.
        """
        unknown = [name for name in self.regions if name not in RESET_WINDOWS]
        if unknown:
            raise ValueError(f"region {unknown[0]!r} is unknown; write some of {', '.join(RESET_WINDOWS)}")

    def away_until(self, ns: int) -> int | None:
        """Return until when (UTC ns) TWS may be away altogether at the moment `ns`, None when it should be there.

        A reset of the servers counts too: some end the connection although they should not.
        """
        ends = [self._restart_window().ends_after(ns), self._login_window().ends_after(ns), self.reset_until(ns)]
        return max((end for end in ends if end is not None), default=None)

    def reset_until(self, ns: int) -> int | None:
        """Return until when (UTC ns) servers may be away at the moment `ns`, None when they should be there."""
        ends = [RESET_WINDOWS[name].ends_after(ns) for name in self.regions]
        return max((end for end in ends if end is not None), default=None)

    def restarts_within(self, ns: int, seconds: float) -> bool:
        """Return True when TWS is restarting at the moment `ns` (UTC ns), or may begin to within so many seconds."""
        later_ns = ns + round(seconds * _SECOND_NS)
        return any(
            window.ends_after(moment) is not None
            for window in (self._restart_window(), self._login_window())
            for moment in (ns, later_ns)
        )

    def words(self) -> str:
        """Return TWS's own absences in words."""
        daily = "never by itself" if self.restart is None else f"daily at {self.restart:%H:%M} {self.zone.key}"
        return f"{daily}, login Sunday 01:00 America/New_York" if self.login_hours else daily

    def is_login_due(self, ns: int) -> bool:
        """Return True while TWS may be waiting for its weekly login."""
        return self._login_window().ends_after(ns) is not None

    def _restart_window(self) -> ResetWindow:
        if self.restart is None:
            return ResetWindow(self.zone, frozenset(), time(0), 0)
        # Clocks differ by a little: it may begin a minute early.
        begins = (datetime.combine(date(2000, 1, 2), self.restart) - timedelta(minutes=1)).time()
        return ResetWindow(self.zone, _EVERY_DAY, begins, self.restart_minutes + 1)

    def _login_window(self) -> ResetWindow:
        return ResetWindow(_NEW_YORK, frozenset({_SUNDAY}), time(0, 59), round(self.login_hours * 60) + 1)


def _moment_ns(day: date, clock: time, zone: ZoneInfo) -> int:
    since = datetime.combine(day, clock, tzinfo=zone).astimezone(UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * _SECOND_NS
