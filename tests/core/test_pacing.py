"""Pacing: no window of any rule ever holds more than the rule allows."""

import itertools
import math
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from quant_trading.core.pacing import HistoryKey, Pacer, PacingRules, PastRequest, next_legal
from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.pacing import Pacing
from quant_trading.tws_sim.simulator import Simulator
from tests.tws_sim.step_tape import StepTape

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


def test_claiming_is_asking_and_counting() -> None:
    pacer = Pacer(PacingRules(messages_per_second=1))
    assert pacer.claim("message", None, 5.0) == 0.0
    assert pacer.claim("message", None, 5.25) == 0.75


# The next legal moment, beside the simulator's own reading of the rules.

EXACT = PacingRules(
    identical_seconds=15.0,
    same_contract_count=5,
    same_contract_seconds=2.0,
    small_bar_count=60,
    small_bar_seconds=600.0,
)
SMALL_REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([0.05, 0.05, 0.3, 1.0, 40.0]),  # idle time before the next wish
        st.sampled_from(["AAPL", "SPY"]),
        st.sampled_from(["TRADES", "TRADES", "BID_ASK"]),
        st.integers(min_value=0, max_value=15),
    ),
    max_size=200,
)


class Clerk:
    """TWS's side: the simulator's strict rules, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._pacing = Pacing("strict", lambda: self.now_ns)
        self._session = Session(Simulator(StepTape({}), SimConfig(), at(date(2026, 11, 19), "10:00")))

    def takes(self, seconds: float, contract: str, what: str, end: object) -> bool:
        """Return whether a request for 30 second bars breaks no rule at this moment; if so it counts."""
        self.now_ns = round(seconds * 1e9)
        wanted = {"symbol": contract, "exchange": "SMART", "whatToShow": what, "barSize": "30 secs", "endDateTime": end}
        try:
            self._pacing.admit(self._session, Message("reqHistoricalData", wanted | {"reqId": 1}))
        except RequestRefused:
            return False
        return True


@given(SMALL_REQUESTS)
def test_the_next_legal_moment_is_legal_to_the_simulator_and_no_earlier_one_is(
    wishes: list[tuple[float, str, str, int]],
) -> None:
    clerk, past, now = Clerk(), [], 0.0
    for idle, contract, what, end in wishes:
        now += idle
        wish = PastRequest(now, f"{contract} {what}", str(end), 2 if what == "BID_ASK" else 1)
        moment = next_legal(past, wish, EXACT)
        # BID_ASK counts double for us in the rule of one contract as well, which IBKR does not say: too careful.
        if moment > now and what == "TRADES":
            assert not clerk.takes(moment - 1e-3, contract, what, end)
        now = moment + 1e-6  # the clerk counts whole nanoseconds
        assert clerk.takes(now, contract, what, end)
        past.append(PastRequest(now, wish.contract, wish.request, wish.weight))


def test_a_wish_that_weighs_more_than_a_rule_allows_waits_for_an_empty_window_only() -> None:
    rules = PacingRules(small_bar_count=1, small_bar_seconds=10.0)
    wish = PastRequest(0.0, "AAPL", "x", 2)
    assert next_legal([], wish, rules) == 0.0
    assert next_legal([PastRequest(-4.0, "SPY", "y")], wish, rules) == 6.0
