"""Outages of random kinds at random times, on top of each other: in the end every bar is there, once."""

import random
from typing import Any

import pytest

from quant_trading.core.streams import StreamBar, StreamKind, StreamRequest, Tick
from quant_trading.core.supervisor import SupervisorState
from quant_trading.tws_sim.scenario import moment_ns
from tests.core.supervised import MINUTE_NS, Play, assert_complete, here, history_of, ours, play

pytestmark = [pytest.mark.slow, pytest.mark.expects_client_errors]

_MINUTES = 25
_QUIET_SECONDS = 700  # longer than the longest wait of any cure


def _fault(dice: random.Random) -> list[dict[str, Any]]:
    at = f"t=+{dice.uniform(5, _MINUTES * 60):.3f}"
    seconds = round(dice.choice([dice.uniform(0.1, 5), dice.uniform(5, 90), dice.uniform(90, 400)]), 3)
    kind = dice.randrange(9)
    if kind <= 1:
        return [{"when": at, "do": "lose_link", "seconds": seconds, "restore": (1101, 1102)[kind]}]
    if kind == 2:
        farm = {"name": dice.choice(["usfarm", "ushmds"]), "resumes": dice.random() < 0.5}
        return [{"when": at, "do": "farm", "seconds": seconds, **farm}]
    if kind == 3:
        return [{"when": at, "do": "refuse", "seconds": seconds}, {"when": at, "do": "drop", "everyone": True}]
    if kind == 4:
        return [{"when": at, "do": "linger", "seconds": seconds}, {"when": at, "do": "drop", "everyone": True}]
    if kind == 5:
        return [{"when": at, "do": "restart", "seconds": seconds}]
    if kind == 6:
        return [{"when": at, "do": "compete", "seconds": seconds}]
    return [{"when": at, "do": dice.choice(["freeze", "half_open", "stall"]), "everyone": True}]


def storm(seed: int) -> Play:
    """Play a storm and return what came of it, after a quiet while."""
    dice = random.Random(seed)
    faults = [one for _ in range(dice.randint(2, 9)) for one in _fault(dice)]
    faults.append({"when": f"t=+{_MINUTES * 60 + 401}", "do": "linger", "seconds": 0})
    wishes = [
        StreamRequest("AAPL", StreamKind.RUNNING_BARS),
        StreamRequest("AAPL", StreamKind.FIVE_SECOND_BARS),
    ]
    with play(here(*faults), *wishes, build={"stream_interval_ns": 5_000_000_000}) as on:
        on.run(_MINUTES * 60 + 400 + _QUIET_SECONDS)
        assert on.session.state is SupervisorState.LIVE, faults
        [wire] = on.gateway.sessions
        assert sorted(name for name, _ in wire.subscribed.values()) == ["reqHistoricalData", "reqRealTimeBars"], faults
        assert_complete(on)
        small = [one.start_ns for one in on.events if isinstance(one, StreamBar) and one.stream == 2 and one.is_final]
        assert small == list(range(small[0], small[-1] + 1, 5 * 10**9)), faults
        assert on.session.now_ns() - small[-1] < 15e9
    return on


@pytest.mark.parametrize("seed", range(8))
def test_a_storm_loses_nothing(seed: int) -> None:
    storm(seed)


@pytest.mark.parametrize("seed", [2, 9, 0])
def test_trades_with_what_stands_in_for_them_are_complete(seed: int) -> None:
    """In seeds 2 and 9 another session takes the data for so short a while that they come back by themselves."""
    dice = random.Random(seed)
    faults = [one for _ in range(dice.randint(2, 7)) for one in _fault(dice)]
    with play(here(*faults), StreamRequest("AAPL", StreamKind.TRADES)) as on:
        on.run(_MINUTES * 60 + 400 + _QUIET_SECONDS)
        sums: dict[int, float] = {}
        for one in on.events:
            if isinstance(one, Tick) and one.field == "LAST":
                minute = one.time_ns - one.time_ns % MINUTE_NS
                sums[minute] = sums.get(minute, 0.0) + one.size
        sums |= {start: bar[4] for start, bar in ours(on.finals()).items()}
        theirs = history_of(on)
        begin = moment_ns("2026-11-19 10:01")
        minutes = [begin + k * MINUTE_NS for k in range(_MINUTES + 15)]
        assert [sums.get(one) for one in minutes] == [theirs[one][4] for one in minutes], faults
