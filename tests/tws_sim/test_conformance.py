"""The conformance table is what the simulator does, today."""

import difflib

import pytest

from quant_trading.tws_sim.requests import REQUEST_NAMES
from tests.tws_sim.conformance import COMMAND, PAGE, VALUES, Prober, page, ranges


@pytest.mark.slow(early=1)
def test_the_page_says_what_the_simulator_does() -> None:
    written, made = PAGE.read_text(encoding="utf-8").splitlines(), page().splitlines()
    changed = list(difflib.unified_diff(written, made, "docs", "now", lineterm="", n=0))
    assert changed == [], f"run {COMMAND} and look at what has changed"


def test_every_example_is_of_a_request_that_exists() -> None:
    assert sorted(set(VALUES) - set(REQUEST_NAMES)) == []


def test_an_answer_a_refusal_and_silence_are_told_apart() -> None:
    prober = Prober(178)
    assert prober.ask("reqCurrentTime", in_protobuf=False) == "currentTime"
    assert prober.ask("requestFA", in_protobuf=False) == "refused 321"
    assert prober.ask("setServerLogLevel", in_protobuf=False) == "accepted"
    assert prober.ask("cancelOrder", in_protobuf=False) == "orderStatus"


def test_both_forms_of_a_request_are_sent() -> None:
    prober = Prober(225)
    assert prober.ask("reqPnL", in_protobuf=False) == prober.ask("reqPnL", in_protobuf=True) == "pnl"


def test_equal_neighbours_make_one_row() -> None:
    assert list(ranges({157: "a", 164: "a", 178: "b", 201: "a"})) == [(157, 177, "a"), (178, 200, "b"), (201, 225, "a")]
