"""Pacing: no window of any rule ever holds more than the rule allows."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from quant_trading.core.pacing import HistoryKey, Pacer, PacingRules

REQUESTS = st.lists(
    st.tuples(
        st.floats(min_value=0.0, max_value=3.0),  # idle time before the next wish
        st.sampled_from(["message", "history"]),
        st.sampled_from(["AAPL", "SPY"]),
        st.sampled_from(["TRADES", "BID_ASK"]),
        st.sampled_from([5.0, 30.0, 60.0]),
        st.integers(min_value=0, max_value=2),  # which of three requests: repeats are likely
    ),
    max_size=150,
)

# A small copy of the rules, so that a short list of requests runs into each of them.
TIGHT = PacingRules(
    messages_per_second=5, identical_seconds=7.0, same_contract_count=3, same_contract_seconds=2.0,
    small_bar_count=8, small_bar_seconds=40.0, open_history=4,
)  # fmt: skip


def _send_all(
    requests: list[tuple[float, str, str, str, float, int]], pacer: Pacer
) -> list[tuple[float, str, HistoryKey]]:
    """Send each wish as early as the pacer allows; open requests end when room is needed."""
    now, sent = 0.0, []
    for idle, kind, contract, what, bar, which in requests:
        now += idle
        key = HistoryKey(contract, "SMART", what, bar, which)
        while (delay := pacer.delay_before(kind, key, now)) > 0:
            if math.isinf(delay):
                pacer.note_done()
            else:
                now += delay
        pacer.note_sent(kind, key, now)
        assert pacer.open_history <= pacer.rules.open_history
        sent.append((now, kind, key))
    return sent


def _most_in_window(moments: list[tuple[float, int]], seconds: float) -> int:
    """Return the largest weight in any half-open window of `seconds`; float sums may be a hair early."""
    most = 0
    for start, _ in moments:
        most = max(most, sum(w for t, w in moments if start <= t < start + seconds - 1e-6))
    return most


@given(REQUESTS)
def test_no_window_breaks_a_rule(requests: list[tuple[float, str, str, str, float, int]]) -> None:
    sent = _send_all(requests, Pacer(TIGHT))
    assert _most_in_window([(t, 1) for t, _, _ in sent], 1.0) <= 5
    small = [(t, key) for t, kind, key in sent if kind == "history" and key.bar_seconds <= 30]
    assert _most_in_window([(t, 2 if k.what == "BID_ASK" else 1) for t, k in small], 40.0) <= 8
    for contract in ("AAPL", "SPY"):
        for what, weight in (("TRADES", 1), ("BID_ASK", 2)):
            same = [(t, weight) for t, k in small if (k.contract, k.what) == (contract, what)]
            assert _most_in_window(same, 2.0) <= 3
    for key in {k for _, k in small}:
        times = [t for t, k in small if k == key]
        assert all(later - earlier >= 7.0 - 1e-6 for earlier, later in itertools.pairwise(times))


def test_forty_messages_go_at_once_and_the_next_waits_a_second() -> None:
    pacer = Pacer()
    for _ in range(40):
        assert pacer.delay_before("message", None, 10.0) == 0.0
        pacer.note_sent("message", None, 10.0)
    assert pacer.delay_before("message", None, 10.25) == 0.75
    assert pacer.delay_before("message", None, 11.0) == 0.0


def test_bars_above_thirty_seconds_are_bound_by_the_open_count_only() -> None:
    pacer = Pacer(PacingRules(messages_per_second=1000))
    key = HistoryKey("AAPL", "SMART", "TRADES", 86_400, "1 Y")
    for _ in range(50):
        assert pacer.delay_before("history", key, 0.0) == 0.0
        pacer.note_sent("history", key, 0.0)
    assert pacer.delay_before("history", key, 0.0) == math.inf
    pacer.note_done()
    assert pacer.delay_before("history", key, 0.0) == 0.0


def test_the_same_small_bar_request_waits_fifteen_seconds() -> None:
    pacer = Pacer()
    key = HistoryKey("AAPL", "SMART", "TRADES", 30, "1800 S")
    pacer.note_sent("history", key, 100.0)
    assert pacer.delay_before("history", key, 104.0) == 11.0
    assert pacer.delay_before("history", HistoryKey("AAPL", "SMART", "TRADES", 30, "60 S"), 104.0) == 0.0


def test_a_lost_connection_frees_the_open_requests() -> None:
    pacer = Pacer(PacingRules(open_history=1))
    key = HistoryKey("AAPL", "SMART", "TRADES", 86_400)
    pacer.note_sent("history", key, 0.0)
    pacer.reset_open()
    assert pacer.delay_before("history", key, 5.0) == 0.0
