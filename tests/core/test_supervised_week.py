"""A week in virtual time in which everything that can disconnect does: nothing is lost, nothing comes twice."""

import asyncio
from typing import Any

import pytest

from quant_trading.core.streams import StreamBar, StreamKind, StreamRequest
from quant_trading.core.supervisor import ReportKind, SupervisorState
from quant_trading.tws_sim.scenario import load_scenario, moment_ns
from tests.core.supervised import Play, play

# First of all: they share one week, which another process that took some of them would have to play as well.
pytestmark = [pytest.mark.slow(early=3), pytest.mark.expects_client_errors]

_MINUTE_NS = 60_000_000_000

WEEK = load_scenario("W17_week_of_outages")
# When (New York) something goes wrong beside the nightly restarts and the weekly login.
OUTAGES = sorted({str(fault.entry["when"]).removeprefix("t=") for fault in WEEK.faults})
NIGHTLY = [f"2026-11-{day} 23:45:00" for day in range(16, 22)]
WEEKLY = "2026-11-22 01:00:00"
BEGIN, END = "2026-11-16 09:00", "2026-11-23 10:05"


def _seconds(when: str) -> float:
    return (moment_ns(when) - moment_ns(BEGIN)) / 1e9


@pytest.fixture(scope="module")
def week() -> Any:
    wishes = [StreamRequest("SPY", StreamKind.RUNNING_BARS), StreamRequest("SPY", StreamKind.FIVE_SECOND_BARS)]
    # Running bars every ten seconds instead of every one: the week takes a third of the time.
    with play(WEEK.name, *wishes, build={"stream_interval_ns": 10_000_000_000}) as on:
        on.run(_seconds(END))
        yield on, _history(on, "1 min", "10 D")


def _history(on: Play, size: str, duration: str) -> list[StreamBar]:
    """Return TWS's own bars, asked for in one plain request at the end."""
    from ib_async import Stock

    async def ask(connection: Any) -> Any:
        [contract] = await connection.ib.qualifyContractsAsync(Stock("SPY", "SMART", "USD"))
        return await connection.ib.reqHistoricalDataAsync(contract, "", duration, size, "TRADES", True, 2)

    bars = on.session.call(ask, 120)
    return [(round(bar.date.timestamp()) * 10**9, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars]


def test_there_are_24_outages_and_more() -> None:
    assert len(OUTAGES) + len(NIGHTLY) + 1 >= 24


@pytest.mark.parametrize("when", OUTAGES + NIGHTLY + [WEEKLY])
def test_every_outage_is_reported_within_a_minute(week: Any, when: str) -> None:
    on, _ = week
    begin = _seconds(when)
    near = [at for at, _ in on.told(ReportKind.OUTAGE) if begin - 0.001 <= at <= begin + 60]
    assert near, f"nothing was told within 60 s of {when}"


def test_what_is_by_plan_is_no_alarm_and_what_lasts_is_one(week: Any) -> None:
    on, _ = week
    alarms = [at for at, _ in on.told(ReportKind.ALARM)]
    for when in [*NIGHTLY, WEEKLY, "2026-11-17 00:30:00"]:
        assert not [at for at in alarms if _seconds(when) <= at <= _seconds(when) + 600]
    for when in ["2026-11-18 14:00:00", "2026-11-19 12:10:45", "2026-11-17 12:34:20"]:
        assert [at for at in alarms if _seconds(when) <= at <= _seconds(when) + 60]


def test_at_the_end_everything_is_live(week: Any) -> None:
    on, _ = week
    assert on.session.state is SupervisorState.LIVE
    assert [handle.state.value for handle in on.session._handles.values()] == ["live", "live"]


def test_no_minute_that_tws_had_is_lost_and_none_comes_twice(week: Any) -> None:
    on, theirs = week
    ours = [(bar.start_ns, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in on.finals(1)]
    assert [one[0] for one in ours] == sorted({one[0] for one in ours})
    expected = [one for one in theirs if ours[0][0] <= one[0] <= ours[-1][0]]
    assert len(expected) >= 6 * 390  # Friday before, for the first answer begins with a day, to Friday
    assert ours == expected


def test_five_second_bars_are_complete_too(week: Any) -> None:
    on, theirs = week
    ours = on.finals(2)
    assert [one.start_ns for one in ours] == sorted({one.start_ns for one in ours})
    volume: dict[int, float] = {}
    count: dict[int, int] = {}
    for one in ours:
        minute = one.start_ns - one.start_ns % _MINUTE_NS
        volume[minute] = volume.get(minute, 0) + one.volume
        count[minute] = count.get(minute, 0) + 1
    whole = [one for one in theirs if min(volume) < one[0] < max(volume)]
    assert len(whole) >= 5 * 390 - 2
    assert {count[one[0]] for one in whole} == {12}
    assert [volume[one[0]] for one in whole] == [one[5] for one in whole]


def test_nothing_is_subscribed_twice(week: Any) -> None:
    on, _ = week

    async def settle() -> None:
        await asyncio.sleep(1)

    on.loop.run_until_complete(settle())
    [session] = on.gateway.sessions
    subscribed = sorted(name for name, _ in session.subscribed.values())
    assert subscribed == ["reqHistoricalData", "reqRealTimeBars"]
