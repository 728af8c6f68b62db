"""When a fault happens: steps with their counts, and moments."""

import re
from datetime import date

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.steps import At, Place, Step, parse_when

DAY = date(2026, 11, 19)
MORNING = at(DAY, "10:00")


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("recv:placeOrder#3", Step(Place.RECEIVE, "placeOrder", "", 3, 3)),
        ("recv:placeOrder/AAPL", Step(Place.RECEIVE, "placeOrder", "AAPL", 1, 1)),
        ("send:orderStatus/Filled#2", Step(Place.SEND, "orderStatus", "Filled", 2, 2)),
        ("send:*#40", Step(Place.SEND, "*", "", 40, 40)),
        ("send:byte#4096", Step(Place.SEND, "byte", "", 4096, 4096)),
        ("recv:hello", Step(Place.RECEIVE, "hello")),
        ("send:serverVersion", Step(Place.SEND, "serverVersion")),
        ("connect#2", Step(Place.CONNECT, "", "", 2, 2)),
        ("disconnect", Step(Place.DISCONNECT)),
        ("send:tickPrice#2-4", Step(Place.SEND, "tickPrice", "", 2, 4)),
    ],
)
def test_steps(text: str, step: Step) -> None:
    assert parse_when(text) == step


def test_open_ranges() -> None:
    third_on, every = parse_when("connect#3+"), parse_when("connect#*")
    assert isinstance(third_on, Step)
    assert isinstance(every, Step)
    assert [third_on.is_due(n) for n in (1, 2, 3, 4, 10**9)] == [False, False, True, True, True]
    assert all(every.is_due(n) for n in (1, 2, 10**9))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("t=10:00:01", at(DAY, "10:00:01")),
        ("t=15:59", at(DAY, "15:59")),
        ("t=09:31:04", at(date(2026, 11, 20), "09:31:04")),  # has passed today
        ("t=2026-12-01 09:31:04", at(date(2026, 12, 1), "09:31:04")),
        ("t=+90", MORNING + 90_000_000_000),
        ("t=+0.25", MORNING + 250_000_000),
    ],
)
def test_moments(text: str, moment: int) -> None:
    when = parse_when(text)
    assert isinstance(when, At)
    assert when.moment_ns(MORNING) == moment


def test_the_night_the_clocks_go_back_has_one_four_oclock() -> None:
    when = parse_when("t=04:00")
    assert isinstance(when, At)
    assert when.moment_ns(at(date(2026, 11, 1), "00:30")) == at(date(2026, 11, 1), "00:30") + 4.5 * 3600e9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("placeOrder", "is no step; write recv:placeOrder#3"),
        ("recv:placeorder", "a client sends no message 'placeorder'; did you mean recv:placeOrder?"),
        ("send:placeOrder", "TWS sends no message 'placeOrder'"),
        ("recv:placeOrder#0", "counts from 0 to 0"),
        ("recv:placeOrder#4-2", "counts from 4 to 2"),
        ("send:*/202", "names a detail of no particular message"),
        ("t=25:00", "is no moment"),
        ("t=soon", "is no moment"),
        ("", "is no step"),
    ],
)
def test_mistakes_are_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        parse_when(text)
    assert "\n" not in str(error.value)
