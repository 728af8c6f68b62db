"""The life of a session as a table: what follows from what, what is told, and when it is an alarm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.core.supervisor import (
    TRANSITIONS,
    BackOff,
    Moment,
    ReportKind,
    Supervisor,
    SupervisorEvent,
    SupervisorPolicy,
    SupervisorState,
    UnexpectedEvent,
    next_state,
)

S, E = SupervisorState, SupervisorEvent
_START_NS = 1_800_000_000_000_000_000


def at(seconds: float) -> Moment:
    return Moment(seconds, _START_NS + round(seconds * 1e9))


def live() -> Supervisor:
    supervisor = Supervisor()
    for event in (E.START, E.TRY, E.HANDSHAKE, E.SYNCED):
        supervisor.handle(event, at(0), event.value)
    return supervisor


# --- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "event", "after"),
    [
        (S.DISCONNECTED, E.START, S.CONNECTING),
        (S.CONNECTING, E.HANDSHAKE, S.SYNCING),
        (S.SYNCING, E.SYNCED, S.LIVE),
        (S.LIVE, E.TROUBLE, S.DEGRADED),
        (S.DEGRADED, E.RELIEVED, S.LIVE),
        (S.LIVE, E.LOST, S.DISCONNECTED),
        (S.DEGRADED, E.LOST_BY_PLAN, S.EXPECTED_RESTART),
        (S.EXPECTED_RESTART, E.FAILED, S.EXPECTED_RESTART),
        (S.EXPECTED_RESTART, E.WINDOW_OVER, S.DISCONNECTED),
        (S.CONNECTING, E.REFUSE, S.REFUSED),
        (S.REFUSED, E.RETRY, S.CONNECTING),
    ],
)
def test_what_follows(state: S, event: E, after: S) -> None:
    assert next_state(state, event) is after


def test_what_cannot_happen_is_refused_by_name() -> None:
    with pytest.raises(UnexpectedEvent, match="synced cannot happen to a session that is refused; expected one of"):
        next_state(S.REFUSED, E.SYNCED)


@pytest.mark.parametrize("state", list(S))
def test_every_state_can_be_stopped_and_left(state: S) -> None:
    assert next_state(state, E.STOP) is S.DISCONNECTED
    assert {after for (before, _), after in TRANSITIONS.items() if before is state} - {state}


def test_a_refused_session_goes_on_by_a_person_only() -> None:
    leaving = {
        event for (before, event), after in TRANSITIONS.items() if before is S.REFUSED and after is not S.REFUSED
    }
    assert leaving == {E.RETRY, E.STOP}


def test_every_state_is_reached_from_the_start() -> None:
    reached, grows = {S.DISCONNECTED}, True
    while grows:
        more = {after for (before, _), after in TRANSITIONS.items() if before in reached} - reached
        reached, grows = reached | more, bool(more)
    assert reached == set(S)


# --- what is told --------------------------------------------------------------------------------


def kinds(reports: list) -> list[ReportKind]:
    return [report.kind for report in reports]


def test_a_lost_session_is_told_at_once_and_is_an_alarm_when_it_lasts() -> None:
    supervisor = live()
    assert kinds(supervisor.handle(E.LOST, at(100), "the socket closed")) == [ReportKind.STATE, ReportKind.OUTAGE]
    assert supervisor.alarm_due == 145
    assert supervisor.look(at(144.9)) == []
    [alarm] = supervisor.look(at(145))
    assert (alarm.kind, alarm.text) == (ReportKind.ALARM, "disconnected for 45 s: the socket closed")
    assert supervisor.look(at(146)) == []
    assert supervisor.alarm_due == 145 + 900  # and again, until it is over


def test_a_session_that_comes_back_in_time_is_no_alarm() -> None:
    supervisor = live()
    supervisor.handle(E.LOST, at(100), "the socket closed")
    for event in (E.TRY, E.HANDSHAKE):
        supervisor.handle(event, at(110))
    reports = supervisor.handle(E.SYNCED, at(110), "connected")
    assert kinds(reports) == [ReportKind.STATE, ReportKind.RECOVERED]
    assert supervisor.alarm_due is None
    [outage] = supervisor.outages
    assert (outage.cause, (outage.ended_ns - outage.began_ns) / 1e9) == ("the socket closed", 10)


def test_a_session_that_never_comes_up_is_an_alarm() -> None:
    supervisor = Supervisor()
    supervisor.handle(E.START, at(0))
    supervisor.handle(E.TRY, at(0))
    assert ReportKind.OUTAGE in kinds(supervisor.handle(E.FAILED, at(1), "refused the connection"))
    assert kinds(supervisor.look(at(46))) == [ReportKind.ALARM]


def test_an_expected_restart_is_no_alarm_until_its_window_is_over() -> None:
    supervisor = live()
    reports = supervisor.handle(E.LOST_BY_PLAN, at(100), "the socket closed", until_ns=at(1000).ns)
    assert supervisor.state is S.EXPECTED_RESTART
    assert all(report.is_expected for report in reports)
    for seconds in range(101, 1000, 7):
        supervisor.handle(E.TRY, at(seconds))
        assert supervisor.handle(E.FAILED, at(seconds), "refused") == []
        assert supervisor.look(at(seconds)) == []
    assert supervisor.alarm_due is not None and supervisor.alarm_due <= 1000
    reports = supervisor.look(at(1000))
    assert kinds(reports) == [ReportKind.STATE, ReportKind.ALARM]
    assert supervisor.state is S.DISCONNECTED


def test_trouble_degrades_and_the_last_relief_ends_it() -> None:
    supervisor = live()
    assert kinds(supervisor.trouble("link", at(10), "1100")) == [ReportKind.STATE, ReportKind.OUTAGE]
    assert kinds(supervisor.trouble("farm usfarm", at(11), "2103")) == [ReportKind.OUTAGE]
    assert supervisor.trouble("link", at(12), "1100 again") == []
    assert supervisor.relieve("link", at(13)) == []
    assert supervisor.state is S.DEGRADED
    assert kinds(supervisor.relieve("farm usfarm", at(14))) == [ReportKind.STATE, ReportKind.RECOVERED]
    assert supervisor.state is S.LIVE
    assert supervisor.relieve("farm usfarm", at(15)) == []


def test_trouble_by_plan_waits_for_its_window() -> None:
    supervisor = live()
    supervisor.trouble("link", at(10), "1100", until_ns=at(500).ns)
    for seconds in range(10, 500, 10):
        assert supervisor.look(at(seconds)) == []
    assert kinds(supervisor.look(at(501))) == [ReportKind.ALARM]


def test_unplanned_trouble_during_trouble_by_plan_is_an_alarm_in_its_own_time() -> None:
    supervisor = live()
    supervisor.trouble("link", at(10), "1100", until_ns=at(5000).ns)
    supervisor.trouble("farm ushmds", at(100), "2105")
    assert supervisor.alarm_due == 145
    assert kinds(supervisor.look(at(145))) == [ReportKind.ALARM]


def test_what_is_away_by_plan_is_no_alarm_after_unplanned_trouble_has_ended() -> None:
    supervisor = live()
    supervisor.trouble("link", at(10), "1100", until_ns=at(5000).ns)
    supervisor.trouble("farm ushmds", at(100), "2105")
    assert supervisor.relieve("farm ushmds", at(120)) == []
    assert supervisor.look(at(145)) == []
    assert supervisor.alarm_due == 5000
    assert kinds(supervisor.look(at(5000))) == [ReportKind.ALARM]


def test_a_restart_by_plan_during_trouble_has_its_window() -> None:
    supervisor = live()
    supervisor.trouble("farm ushmds", at(10), "2105")
    supervisor.handle(E.LOST_BY_PLAN, at(20), "the socket closed", until_ns=at(1000).ns)
    assert supervisor.look(at(55)) == []
    assert (supervisor.state, supervisor.alarm_due) == (S.EXPECTED_RESTART, 1000)


def test_a_silent_stream_is_an_alarm_at_once() -> None:
    supervisor = live()
    reports = supervisor.trouble("stream 1", at(10), "no quotes for 20 s", is_alarm=True)
    assert kinds(reports) == [ReportKind.STATE, ReportKind.OUTAGE, ReportKind.ALARM]


def test_trouble_told_while_syncing_degrades_the_new_session() -> None:
    supervisor = Supervisor()
    for event in (E.START, E.TRY, E.HANDSHAKE):
        supervisor.handle(event, at(0))
    supervisor.trouble("link", at(1), "1100")
    supervisor.handle(E.SYNCED, at(2))
    assert supervisor.state is S.DEGRADED


def test_a_refusal_is_told_and_ends_the_alarms() -> None:
    supervisor = live()
    reports = supervisor.handle(E.REFUSE, at(5), "account U1 is not managed\nsecond line")
    assert reports[-1].kind is ReportKind.REFUSED
    assert reports[-1].text == "account U1 is not managed"
    assert supervisor.alarm_due is None


def test_what_was_away_before_a_refusal_is_not_away_for_ever() -> None:
    supervisor = live()
    supervisor.trouble("link", at(1), "1100")
    for event in (E.REFUSE, E.RETRY, E.TRY, E.HANDSHAKE, E.SYNCED):
        supervisor.handle(event, at(5))
    assert supervisor.state is S.LIVE


@given(st.lists(st.tuples(st.sampled_from(list(E)), st.floats(0, 2000)), max_size=60))
def test_no_order_of_events_loses_the_watch_over_an_outage(events: list[tuple[E, float]]) -> None:
    """Whenever a started session is not live, it is refused, or something is due: nobody waits in silence."""
    supervisor, now = Supervisor(), 0.0
    supervisor.handle(E.START, at(now))
    for event, later in events:
        now += later
        if (supervisor.state, event) not in TRANSITIONS or event is E.WINDOW_OVER:
            continue
        if event is E.TROUBLE:
            supervisor.trouble("link", at(now), "1100")
        elif event is E.RELIEVED:
            supervisor.relieve("link", at(now))
        else:
            supervisor.handle(event, at(now), event.value, until_ns=at(now + 300).ns)
        supervisor.look(at(now))
        if event is E.STOP:
            supervisor.handle(E.START, at(now))
        if supervisor.state not in (S.LIVE, S.REFUSED):
            assert supervisor.alarm_due is not None


# --- back-off ------------------------------------------------------------------------------------


def test_delays_double_up_to_a_minute_for_ever_within_the_jitter() -> None:
    delays = [BackOff(SupervisorPolicy(), 3).next_delay() for _ in range(1)]
    back_off = BackOff(SupervisorPolicy(), 3)
    delays = [back_off.next_delay() for _ in range(200)]
    for attempt, delay in enumerate(delays):
        full = min(2.0**attempt, 60.0)
        assert 0.75 * full <= delay <= full
    assert len(set(delays[10:])) > 100  # the jitter is there


def test_inside_a_window_delays_stay_short_and_a_steady_session_begins_anew() -> None:
    back_off = BackOff(SupervisorPolicy(jitter=0), 0)
    assert [back_off.next_delay(in_window=True) for _ in range(6)] == [1, 2, 4, 8, 15, 15]
    back_off.reset()
    assert back_off.next_delay() == 1


def test_the_same_seed_gives_the_same_delays() -> None:
    one, two, other = (BackOff(SupervisorPolicy(), seed) for seed in (7, 7, 8))
    first = [one.next_delay() for _ in range(9)]
    assert first == [two.next_delay() for _ in range(9)]
    assert first != [other.next_delay() for _ in range(9)]
