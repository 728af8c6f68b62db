"""History read beside the streams: who got nothing is asked again after pauses that grow."""

from typing import Any

import pytest

from quant_trading.core.history_reader import Answer, HistoryReader
from quant_trading.domain.errors import ConnectionLost

NOTHING = Answer("SPY", 0, None, "TWS sent none")


class Away:
    """A session that is not there."""

    seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def call(self, request: Any, timeout_seconds: float) -> None:
        raise ConnectionLost("127.0.0.1:7497: no session (waiting); wait until it is live")


@pytest.fixture
def session() -> Any:
    return Away()


def test_who_got_nothing_is_asked_again_after_pauses_that_grow_to_ten_minutes(session: Any) -> None:
    reader = HistoryReader(session)
    pauses = []
    for _ in range(8):
        assert reader.may_ask("SPY")
        pauses.append(reader.settle(NOTHING, is_enough=False))
        session.seconds += pauses[-1] - 0.1
        assert not reader.may_ask("SPY")
        assert reader.may_ask("AAPL")
        session.seconds += 0.2
    assert pauses == [15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0]


def test_the_pauses_begin_anew_with_an_answer_that_is_enough(session: Any) -> None:
    reader = HistoryReader(session)
    assert [reader.settle(NOTHING, is_enough=enough) for enough in (False, False, True)] == [15.0, 30.0, 0.0]
    assert reader.may_ask("SPY")
    assert reader.settle(NOTHING, is_enough=False) == 15.0


def test_a_lost_session_says_nothing_of_the_symbol(session: Any) -> None:
    reader = HistoryReader(session)
    lost = NOTHING._replace(is_lost=True)
    assert [reader.settle(one, is_enough=False) for one in (lost, lost, NOTHING)] == [15.0, 15.0, 15.0]


def test_without_a_session_it_says_why_and_pauses(session: Any) -> None:
    reader = HistoryReader(session)
    assert reader.ask({"SPY": "1800 S"}, 0) == "127.0.0.1:7497: no session (waiting); wait until it is live"
    assert (reader.may_ask("SPY"), reader.may_ask("AAPL"), reader.answers()) == (False, True, [])
    session.seconds += 15.0
    assert reader.may_ask("SPY")
