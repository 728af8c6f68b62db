"""A supervised session against the public failures and the rules of the issue, in virtual time."""

from typing import Any

import pytest

from quant_trading.core.session_runner import SessionSettings
from quant_trading.core.streams import NoteKind, StreamKind, StreamRequest, StreamState, Tick
from quant_trading.core.supervisor import ReportKind, SupervisorState
from quant_trading.domain.errors import AccountRefused, ConnectionFailed, ConnectionLost
from quant_trading.refdata.restart_windows import RestartSchedule
from quant_trading.tws_sim.scenario import moment_ns
from tests.core.supervised import MINUTE_NS, Play, assert_complete, here, history_of, ours, play

pytestmark = pytest.mark.expects_client_errors

RUNNING = StreamRequest("AAPL", StreamKind.RUNNING_BARS)
QUOTES = StreamRequest("AAPL")


def ticks_between(on: Play, begin: float, end: float, stream: int = 1) -> int:
    zero = on.session.now_ns() - round(on.loop.time() * 1e9)
    return sum(
        isinstance(one, Tick) and one.stream == stream and begin <= (one.time_ns - zero) / 1e9 < end
        for one in on.events
    )


# --- the public failures: the naive script of tests/scenarios fails, the session does not ---------


def test_subscriptions_after_1101() -> None:
    """erdewit/ib_insync#256, nautilus_trader#3001 (0 of 24 recoveries), Lean.Brokerages.InteractiveBrokers#249."""
    with play("F01_subscriptions_dead_after_1101", RUNNING, QUOTES) as on:
        on.run(420)
        assert ticks_between(on, 92, 300, stream=2) > 100
        assert [at for at, _ in on.told(ReportKind.OUTAGE)] == [pytest.approx(60, abs=0.1)]
        assert_complete(on)


@pytest.mark.slow
def test_bars_resume_after_1102() -> None:
    """nautilus_trader#3001: bars never resume after 1100/1102, 96 % lost."""
    outages = [{"when": f"t=+{at}", "do": "lose_link", "seconds": 75, "restore": 1102} for at in (100, 400, 700)]
    with play(here(*outages), RUNNING) as on:
        on.run(1000)
        assert len(on.session.outages) == 3
        assert_complete(on)


@pytest.mark.slow
def test_a_farm_blip() -> None:
    """nautilus_trader#3968: 2103, then 2104, and the bars are dead for eight hours."""
    with play("F02_farm_blip_kills_bars", RUNNING) as on:
        on.run(600)
        assert on.session.state is SupervisorState.LIVE
        [handle] = on.session._handles.values()
        assert handle.state is StreamState.LIVE
        assert on.session.now_ns() - handle.heard_ns < 5e9
        assert_complete(on)


def test_a_stream_that_goes_silent_without_a_word() -> None:
    """nautilus_trader#4949: the stream is open and silent. Bars still come, from history."""
    with play("F17_running_bars_stop", RUNNING) as on:
        on.run(600)
        silent = [note for note in on.notes() if note.kind is NoteKind.SILENT]
        alarms = on.told(ReportKind.ALARM)
        assert len(silent) == 1
        assert alarms[0][0] <= 66  # the last update came at 6 s
        assert "no running_bars for" in alarms[0][1]
        assert on.session.state is SupervisorState.DEGRADED
        assert_complete(on)


@pytest.mark.parametrize(
    "scenario", ["W19_silent_streams", pytest.param("W16_silent_after_1102", marks=pytest.mark.slow)]
)
def test_streams_that_die_without_a_code(scenario: str) -> None:
    """nautilus_trader#4949, #3001: found by their silence, told within a minute, asked for again, nothing missing."""
    with play(scenario, RUNNING, QUOTES) as on:
        on.run(400)
        silent = [note for stream in (1, 2) for note in on.notes(stream) if note.kind is NoteKind.SILENT]
        assert {note.stream for note in silent} == {1, 2}
        assert on.told(ReportKind.ALARM)[0][0] <= 60 + 60
        assert ticks_between(on, 200, 400, stream=2) > 100
        assert on.session.state is SupervisorState.LIVE
        assert_complete(on)


@pytest.mark.slow
def test_a_silent_stream_is_asked_for_again_and_lives() -> None:
    with play(here({"when": "send:historicalDataUpdate#100-160", "do": "swallow"}), RUNNING) as on:
        on.run(600)
        assert [note.kind for note in on.notes()].count(NoteKind.SILENT) == 1
        assert on.session.state is SupervisorState.LIVE
        assert_complete(on)


def test_a_competing_session() -> None:
    """nautilus_trader#4949, Lean.Brokerages.InteractiveBrokers#140, #212, #219: 10197, then nothing for ever."""
    with play(here({"when": "t=+60", "do": "compete", "seconds": 200}), QUOTES) as on:
        on.run(600)
        assert on.told(ReportKind.OUTAGE)[0][0] == pytest.approx(60, abs=1)
        assert "10197" in on.told(ReportKind.ALARM)[0][1]
        assert ticks_between(on, 65, 255) == 0
        assert ticks_between(on, 330, 600) > 100
        assert on.session.state is SupervisorState.LIVE
        # What was missed came from history, minute by minute.
        mine, theirs = ours(on.finals()), history_of(on)
        first = moment_ns("2026-11-19 10:01")
        assert [theirs[first + k * MINUTE_NS] for k in range(4)] == [mine[first + k * MINUTE_NS] for k in range(4)]


def test_the_restart_that_was_never_noticed() -> None:
    """Lean.Brokerages.InteractiveBrokers#246, #227: the nightly restart ends the algorithm, or nobody notices."""
    with play("F05_nightly_reset", RUNNING) as on:
        on.run(600)
        states = [report.state for _, report in on.reports if report.kind is ReportKind.STATE]
        assert states[3:5] == [SupervisorState.EXPECTED_RESTART, SupervisorState.SYNCING]
        assert on.told(ReportKind.ALARM) == []
        assert on.session.state is SupervisorState.LIVE


def test_a_restart_out_of_its_time_is_an_alarm() -> None:
    with play(here({"when": "t=+60", "do": "restart", "seconds": 200}), RUNNING) as on:
        on.run(400)
        assert on.told(ReportKind.OUTAGE)[0][0] == pytest.approx(60, abs=0.1)
        assert on.told(ReportKind.ALARM)[0][0] == pytest.approx(105, abs=0.1)
        assert on.session.state is SupervisorState.LIVE
        assert_complete(on)


def test_a_restart_that_outlasts_its_window_becomes_an_alarm() -> None:
    night = here(now="2026-11-19 23:44", resets={"restart": "23:45", "restart_seconds": 7200})
    schedule = SessionSettings(schedule=RestartSchedule(regions=()))
    with play(night, settings=schedule) as on:
        on.run(3000)
        [(first, _), *_] = on.told(ReportKind.ALARM)
        assert first == pytest.approx(16 * 60, abs=60)  # the window of 23:45 ends at midnight
        on.run(5000)
        assert on.session.state is SupervisorState.LIVE


@pytest.mark.slow
def test_the_weekly_login_waits_for_a_person() -> None:
    with play(here(now="2026-11-22 00:55", resets={"login": True, "login_seconds": 30_000})) as on:
        on.run(20_000)
        assert on.session.state is SupervisorState.EXPECTED_RESTART
        assert on.told(ReportKind.ALARM) == []
        on.run(11_000)
        assert on.session.state is SupervisorState.LIVE


def test_the_client_id_is_free_late_and_never_changed() -> None:
    """nautilus_trader#3796: 326 on the reconnect, because the old session lingers."""
    with play("F03_client_id_lingers", RUNNING) as on:
        on.run(200)
        assert on.session.state is SupervisorState.LIVE
        assert on.gateway.sessions[-1].client_id == 31
        assert any("326" in text for _, text in on.told(ReportKind.ALARM))
        assert_complete(on)


@pytest.mark.parametrize(
    "action", ["half_open", *(pytest.param(action, marks=pytest.mark.slow) for action in ("freeze", "stall"))]
)
def test_a_dead_socket_that_looks_alive(action: str) -> None:
    """No end of the connection is told; the heartbeat finds it within its deadline."""
    with play(here({"when": "t=+60", "do": action, "everyone": True}), RUNNING) as on:
        on.run(400)
        at, text = on.told(ReportKind.OUTAGE)[0]
        assert 60 < at <= 60 + 20 + 15 + 1
        assert "did not tell its time within 15 s" in text
        assert on.session.state is SupervisorState.LIVE
        assert_complete(on)


@pytest.mark.slow
def test_a_machine_that_slept_reconnects() -> None:
    with play(here({"when": "t=+65", "do": "sleep", "seconds": 300}), RUNNING) as on:
        on.run(200)
        assert any("the clock jumped by" in text for _, text in on.told(ReportKind.OUTAGE))
        assert on.session.state is SupervisorState.LIVE
        assert_complete(on)


def test_after_2110_the_greeting_of_a_farm_means_that_ibkr_is_back() -> None:
    faults = [
        {"when": "t=+60", "do": "error", "code": 2110, "id": -1},
        {"when": "t=+90", "do": "error", "code": 2104, "id": -1, "text": "Market data farm connection is OK:usfarm"},
    ]
    with play(here(*faults), RUNNING) as on:
        on.run(80)
        assert on.session.state is SupervisorState.DEGRADED
        assert "no connection to IBKR (2110)" in on.session.orders_wait_for()
        on.run(200)
        assert on.session.state is SupervisorState.LIVE
        assert_complete(on)


def test_no_order_is_sent_into_a_restart() -> None:
    """Lean.Brokerages.InteractiveBrokers#242: orders sent in the second of the scheduled restart vanish."""
    with play("W17_nightly_restart") as on:  # 23:40, the restart is at 23:45
        on.run(100)
        assert on.session.orders_wait_for() == ""
        on.run(60)  # 23:42:40: within two minutes of 23:44, a minute of doubt before the restart
        assert on.session.orders_wait_for() == "TWS restarts within 120 s"
        on.run(200)
        assert "no session (expected_restart)" in on.session.orders_wait_for()


def test_a_description_that_never_comes_holds_up_no_other_stream() -> None:
    with play(here({"when": "recv:reqContractDetails#1", "do": "swallow"}), RUNNING, StreamRequest("SPY")) as on:
        on.run(120)
        assert ticks_between(on, 0, 120, stream=2) > 50
        assert "did not describe it within 30 s" in on.told(ReportKind.ALARM)[0][1]
        assert on.session.state is SupervisorState.LIVE
        assert on.finals(1)


@pytest.mark.slow
def test_trades_and_what_stands_in_for_missed_ones_make_every_minute() -> None:
    faults = [
        {"when": "t=+130", "do": "lose_link", "seconds": 95, "restore": 1101},
        {"when": "t=+400", "do": "drop", "everyone": True},
    ]
    with play(here(*faults), StreamRequest("AAPL", StreamKind.TRADES)) as on:
        on.run(640)
        sums: dict[int, float] = {}
        for one in on.events:
            if isinstance(one, Tick) and one.field == "LAST":
                minute = one.time_ns - one.time_ns % MINUTE_NS
                sums[minute] = sums.get(minute, 0.0) + one.size
        begin = moment_ns("2026-11-19 10:00")
        sums |= {start: bar[4] for start, bar in ours(on.finals()).items()}
        theirs = history_of(on)
        assert {sums[begin + k * MINUTE_NS] for k in (2, 3, 6)} == {theirs[begin + k * MINUTE_NS][4] for k in (2, 3, 6)}
        assert [sums[begin + k * MINUTE_NS] for k in range(1, 10)] == [
            theirs[begin + k * MINUTE_NS][4] for k in range(1, 10)
        ]


# --- streams -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nothing_is_subscribed_twice_whatever_came_between() -> None:
    faults = [
        {"when": "t=+50", "do": "lose_link", "seconds": 20, "restore": 1102},
        {"when": "t=+150", "do": "lose_link", "seconds": 20, "restore": 1101},
        {"when": "t=+250", "do": "farm", "name": "usfarm", "seconds": 5, "resumes": False},
        {"when": "t=+350", "do": "drop", "everyone": True},
    ]
    with play(here(*faults), RUNNING, QUOTES) as on:
        on.run(500)
        [wire] = on.gateway.sessions
        assert sorted(name for name, _ in wire.subscribed.values()) == ["reqHistoricalData", "reqMktData"]
        assert_complete(on)


def test_10225_is_asked_for_again_at_once() -> None:
    wish = StreamRequest("AAPL", StreamKind.FIVE_SECOND_BARS)
    with play(
        here({"when": "send:realtimeBar#10", "do": "error", "code": 10225, "text": "Bust event occurred"}), wish
    ) as on:
        on.run(120)
        starts = [bar.start_ns for bar in on.finals()]
        assert starts == list(range(starts[0], starts[-1] + 1, 5 * 10**9))
        assert on.gateway.simulator.counters["reqRealTimeBars"] == 2


def test_a_symbol_nobody_knows_is_refused_with_its_cure_and_harms_nothing() -> None:
    with play(here(), StreamRequest("NOSUCHX"), QUOTES) as on:
        on.run(60)
        assert [note.kind for note in on.notes(1)] == [NoteKind.REFUSED]
        assert "correct the symbol" in on.notes(1)[0].text
        assert ticks_between(on, 0, 60, stream=2) > 20
        assert on.session.state is SupervisorState.LIVE


def test_a_cancelled_stream_is_silent_and_no_trouble() -> None:
    with play(here(), RUNNING, QUOTES) as on:
        on.run(30)
        on.session._handles[2].cancel()
        on.run(1)
        before = len(on.events)
        on.run(200)
        assert all(one.stream == 1 for one in on.events[before:])
        assert on.told(ReportKind.ALARM) == []


@pytest.mark.slow
def test_outside_the_session_silence_is_no_alarm() -> None:
    with play(here(now="2026-11-19 15:59"), RUNNING, QUOTES) as on:
        on.run(6 * 3600)
        assert on.told(ReportKind.ALARM) == []
        assert on.finals()[-1].end_ns == moment_ns("2026-11-19 16:00")


def test_a_stream_wished_for_while_tws_is_away_begins_when_it_is_back() -> None:
    with play(here({"when": "connect#1", "do": "refuse", "seconds": 100}, {"when": "connect#1", "do": "drop"})) as on:
        on.session.subscribe(QUOTES)
        on.run(60)
        assert on.events == []
        on.run(200)
        assert ticks_between(on, 100, 260) > 50


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "settings", "words"),
    [
        (here(), SessionSettings(account="DU7654321"), "DU7654321 is not managed by this login"),
        (here(), SessionSettings(mode="live", live_accounts=("U1",)), "mode live, but TWS is logged in to the paper"),
        ("A01_live_account", SessionSettings(mode="paper"), "no paper account"),
    ],
)
def test_a_login_that_does_not_fit_is_refused_and_not_tried_again(
    scenario: Any, settings: SessionSettings, words: str
) -> None:
    with play(scenario, settings=settings) as on:
        on.run(2000)
        assert on.session.state is SupervisorState.REFUSED
        assert on.gateway.simulator.counters["startApi"] == 1
        assert [words in text for _, text in on.told(ReportKind.REFUSED)] == [True]
        with pytest.raises(AccountRefused, match=words):
            on.session.wait_until_live(1)


def test_read_only_is_refused_where_orders_are_needed_only() -> None:
    words = "Error validating request: the API interface is currently in Read-Only mode."
    read_only = here({"when": "recv:reqAllOpenOrders#*", "do": "reject", "code": 321, "text": words})
    with play(read_only, settings=SessionSettings(needs_orders=True), read_only=False) as on:
        on.run(600)
        assert on.session.state is SupervisorState.REFUSED
        assert "switch off Read-Only API" in on.told(ReportKind.REFUSED)[0][1]
        assert on.gateway.simulator.counters["startApi"] == 1
        on.session.retry()
        on.run(60)
        assert on.gateway.simulator.counters["startApi"] == 2
    with play(read_only) as on:
        on.run(60)
        assert on.session.state is SupervisorState.LIVE


# --- the face ------------------------------------------------------------------------------------


def test_waiting_for_a_tws_that_is_not_there_says_why() -> None:
    with play(here({"when": "connect#1", "do": "refuse", "seconds": 1e6}, {"when": "connect#1", "do": "drop"})) as on:
        with pytest.raises(ConnectionFailed, match="refused the connection; start TWS"):
            on.session.wait_until_live(30)
        with pytest.raises(ConnectionLost, match="no session"):
            on.session.call(lambda connection: connection.ib.reqCurrentTimeAsync())


def test_a_call_that_is_never_answered_ends_in_time() -> None:
    with play(here({"when": "recv:reqPositions#*", "do": "swallow"})) as on:
        on.session.wait_until_live(10)
        began = on.loop.time()
        with pytest.raises(ConnectionLost, match="within 5 s"):
            on.session.call(lambda connection: connection.ib.reqPositionsAsync(), 5)
        assert on.loop.time() - began == pytest.approx(5, abs=0.1)


def test_a_slow_program_loses_events_but_never_unseen() -> None:
    with play(here(), QUOTES, queue_limit=50) as on:
        on.loop.run_until_complete(_pass(300))
        events = on.session.events()
        assert len(events) == 50
        assert on.session.dropped_events > 0
        on.run(2)
        assert any("events were dropped" in text for _, text in on.told(ReportKind.ALARM))


async def _pass(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_session() -> None:
    def once() -> list[tuple[float, str]]:
        with play("F03_client_id_lingers", QUOTES) as on:
            on.run(200)
            return [(at, report.text) for at, report in on.reports]

    assert once() == once()
