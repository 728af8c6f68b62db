"""When a stream should have spoken."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.core.stream_item import new_stream
from quant_trading.core.streams import Liveness, StreamKind, StreamRequest, session_opened
from quant_trading.domain.errors import UsageError


def test_before_the_first_data_there_is_time_for_a_slow_first_tick() -> None:
    assert Liveness().seconds == 40


def test_the_deadline_follows_the_usual_rate_between_its_bounds() -> None:
    quick, slow = Liveness(), Liveness()
    for second in range(100):
        quick.heard(second / 4)
        slow.heard(second * 10.0)
    assert quick.seconds == 20  # 12 gaps of a quarter second are 3 s: the shortest deadline holds
    assert slow.seconds == pytest.approx(120)
    for second in range(300):  # the quick one becomes slow; what comes at one moment is one sign of life
        quick.heard(100.0 + second * 10.0)
        quick.heard(100.0 + second * 10.0)
    assert quick.seconds == pytest.approx(120, rel=0.01)


def test_an_owner_may_fix_the_deadline() -> None:
    liveness = Liveness(7.5)
    for second in range(100):
        liveness.heard(float(second * 60))
    assert liveness.seconds == 7.5


def test_a_night_says_nothing_about_the_rate() -> None:
    liveness = Liveness()
    for second in range(50):
        liveness.heard(float(second))
    before = liveness.seconds
    liveness.pause()
    liveness.heard(63_000.0)
    assert liveness.seconds == before


def test_a_stream_that_is_only_quiet_gets_more_patience_and_loses_it_again() -> None:
    liveness = Liveness()
    for second in range(10):
        liveness.heard(float(second))
    liveness.was_only_quiet()
    assert liveness.seconds == 40
    for second in range(10, 100):
        liveness.heard(float(second))
    assert liveness.seconds == 20


@given(st.lists(st.floats(0, 1e5), max_size=50), st.integers(0, 40))
def test_a_deadline_is_never_beyond_a_quarter_of_an_hour(times: list[float], quiet: int) -> None:
    liveness = Liveness()
    for now in sorted(times):
        liveness.heard(now)
    for _ in range(quiet):
        liveness.was_only_quiet()
    assert 20 <= liveness.seconds <= 900


def _ns(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("now", "opened"),
    [
        ("2026-11-19 15:00", "2026-11-19 14:30"),  # Thursday 10:00 New York, the open was at 09:30
        ("2026-11-19 12:00", "2026-11-19 14:30"),
        ("2026-11-20 22:00", "2026-11-23 14:30"),  # Friday evening: Monday
        ("2026-11-25 22:00", "2026-11-27 14:30"),  # before Thanksgiving: the half day after it
    ],
)
def test_streams_speak_from_the_open_on(now: str, opened: str) -> None:
    assert session_opened(_ns(now)) == _ns(opened)


@pytest.mark.parametrize(("kind", "size"), [(StreamKind.RUNNING_BARS, "1 day"), (StreamKind.RUNNING_BARS, "1 secs")])
def test_bars_tws_does_not_keep_up_are_refused_at_once(kind: StreamKind, size: str) -> None:
    with pytest.raises(UsageError, match="AAPL"):
        new_stream(1, StreamRequest("AAPL", kind, bar_size=size))
