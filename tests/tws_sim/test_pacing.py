"""Pacing: each rule on both sides of its limit, strict, lenient and off."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.pacing import Pacing
from quant_trading.tws_sim.simulator import Simulator
from tests.tws_sim.raw_client import RawClient
from tests.tws_sim.step_tape import StepTape

START = at(date(2026, 11, 19), "10:00")
SECOND_NS = 1_000_000_000


class Desk:
    """One client in front of the rules, with a clock that is set by hand."""

    def __init__(self, mode: str = "strict", lines: int = 100) -> None:
        self.now_ns = 0
        self.pacing = Pacing(mode, lambda: self.now_ns, lines)
        self.session = Session(Simulator(StepTape({}), SimConfig(), START))

    def ask(self, name: str, **values: Any) -> int:
        """Return the code of the refusal, 0 when the request is served."""
        request = Message(name, values)
        try:
            self.pacing.admit(self.session, request)
        except RequestRefused as refusal:
            return refusal.code
        self.pacing.opened(self.session, request)
        return 0

    def bars(self, symbol: str = "ACME", after_seconds: float = 60.0, **values: Any) -> int:
        """Ask for small bars after a while."""
        self.now_ns += round(after_seconds * SECOND_NS)
        wanted = {"symbol": symbol, "exchange": "SMART", "whatToShow": "TRADES", "barSize": "30 secs", "reqId": 1}
        return self.ask("reqHistoricalData", **(wanted | values))


def clients() -> Iterator[RawClient]:
    simulator = Simulator(StepTape({"ACME": [(START, "10.00")]}), SimConfig(pacing="strict"), START)
    while True:
        yield RawClient(simulator, client_id=1)


def test_fifty_messages_a_second_pass_and_the_next_is_told_of() -> None:
    client = next(clients())
    # START_API is no request and not counted.
    answers = [client.ask("reqCurrentTime") for _ in range(50)]
    assert [len(answer) for answer in answers] == [1] * 50

    [error, time] = client.ask("reqCurrentTime")
    assert (error.integer("reqId"), error.integer("code")) == (-1, 100)
    assert error.text("text") == "Max rate of messages per second has been exceeded:max=50 rec=51 (1)"
    assert time.name == "currentTime"


def test_the_third_second_of_excess_is_the_last() -> None:
    desk = Desk()
    for second in range(3):
        assert not desk.session.is_closed, second
        for _ in range(101):
            desk.ask("reqCurrentTime")
        desk.now_ns += SECOND_NS
    assert desk.session.is_closed
    assert "50 messages a second" in desk.session.close_reason
    assert desk.pacing.violations["messages"] == 3


def test_a_quiet_second_forgives() -> None:
    desk = Desk()
    for _ in range(10):
        for _ in range(60):
            desk.ask("reqCurrentTime")
        desk.now_ns += 3 * SECOND_NS
    assert not desk.session.is_closed
    assert desk.pacing.violations["messages"] == 10


@pytest.mark.parametrize(("seconds", "code"), [(14.9, 162), (15.0, 0)])
def test_the_same_history_within_fifteen_seconds(seconds: float, code: int) -> None:
    desk = Desk()
    assert desk.bars() == 0
    assert desk.bars(after_seconds=seconds) == code


def test_another_question_is_not_the_same() -> None:
    desk = Desk()
    assert [desk.bars(after_seconds=1, endDateTime=end) for end in ("a", "b")] == [0, 0]


@pytest.mark.parametrize(("spread_seconds", "last"), [(0.39, 162), (0.41, 0)])
def test_six_of_a_kind_within_two_seconds(spread_seconds: float, last: int) -> None:
    desk = Desk()
    codes = [desk.bars(after_seconds=spread_seconds, endDateTime=str(n)) for n in range(6)]
    assert codes == [0, 0, 0, 0, 0, last]


def test_six_of_different_kinds_are_fine() -> None:
    desk = Desk()
    assert {desk.bars(symbol, 0.1, endDateTime=str(n)) for n in range(5) for symbol in "AB"} == {0}


def test_sixty_in_ten_minutes() -> None:
    desk = Desk()
    codes = [desk.bars(f"S{n}", 1) for n in range(61)]
    assert codes == [0] * 60 + [162]
    assert desk.bars("LATER", 541) == 0


def test_bid_and_ask_count_double() -> None:
    desk = Desk()
    assert [desk.bars(f"S{n}", 1, whatToShow="BID_ASK") for n in range(31)] == [0] * 30 + [162]


def test_minutes_are_not_paced() -> None:
    desk = Desk()
    assert {desk.bars(after_seconds=0.01, barSize="1 min") for _ in range(200)} == {0}


def test_fifty_histories_stay_open_and_a_cancelled_one_makes_room() -> None:
    desk = Desk()
    keep: dict[str, Any] = {"barSize": "1 day", "keepUpToDate": True, "after_seconds": 1}
    assert {desk.bars(**keep, reqId=n) for n in range(50)} == {0}
    assert desk.bars(**keep, reqId=50) == 322
    assert desk.ask("cancelHistoricalData", reqId=7) == 0
    assert desk.bars(**keep, reqId=50) == 0


def test_lines_ticks_and_real_time_bars() -> None:
    desk = Desk(lines=5)
    assert [desk.ask("reqMktData", reqId=n) for n in range(6)] == [0, 0, 0, 0, 0, 101]
    assert desk.ask("reqMktData", reqId=9, snapshot=True) == 0
    assert desk.ask("cancelMktData", reqId=2) == 0
    assert desk.ask("reqRealTimeBars", reqId=20) == 0
    assert desk.ask("reqMktData", reqId=6) == 101
    assert [desk.ask("reqTickByTickData", reqId=30 + n) for n in range(4)] == [0, 0, 0, 10190]


def test_sixty_new_real_time_bars_in_ten_minutes() -> None:
    desk = Desk(lines=1000)
    codes = []
    for n in range(61):
        codes.append(desk.ask("reqRealTimeBars", reqId=n))
        desk.ask("cancelRealTimeBars", reqId=n)
        desk.now_ns += SECOND_NS
    assert codes == [0] * 60 + [420]


def test_lenient_counts_and_serves_and_off_does_neither() -> None:
    broken = {"messages": 1, "identical history": 69, "burst of history": 65, "history budget": 10}
    for mode, counted in (("lenient", broken), ("off", {})):
        desk = Desk(mode)
        assert {desk.bars(after_seconds=0.0) for _ in range(70)} == {0}
        assert dict(desk.pacing.violations) == counted
        assert not desk.session.is_closed


def test_a_client_that_left_starts_anew() -> None:
    desk = Desk()
    assert desk.bars() == 0
    desk.pacing.forget(desk.session)
    assert desk.bars(after_seconds=0) == 0


def test_an_unknown_mode_is_named() -> None:
    with pytest.raises(ValueError, match="pacing = 'soft' is unknown; write strict, lenient, off"):
        Desk("soft")
