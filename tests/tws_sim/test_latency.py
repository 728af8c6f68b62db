"""Latency models: which time, for which message, and always the same for the same seed."""

import pytest

from quant_trading.tws_sim.latency import Latency, read_latency


def test_the_most_particular_model_counts() -> None:
    model = read_latency({"default": 0.002, "history": 5, "messages": {"execDetails": 0.25}})
    assert model.delay_ns("orderStatus", 1) == 2_000_000
    assert model.delay_ns("historicalData", 1) == 5_000_000_000
    assert model.delay_ns("execDetails", 1) == 250_000_000


def test_a_range_is_filled_evenly_and_by_seed() -> None:
    model, same, other = (read_latency({"history": [0.3, 60]}, seed) for seed in (1, 1, 2))
    delays = [model.delay_ns("historicalData", n) for n in range(1000)]
    assert delays == [same.delay_ns("historicalData", n) for n in range(1000)]
    assert delays != [other.delay_ns("historicalData", n) for n in range(1000)]
    assert 0.3e9 <= min(delays) < 0.6e9
    assert 59.5e9 < max(delays) <= 60e9
    # The mean of 1000 even numbers is within four standard errors (59.7 / sqrt(12000) = 0.55 s) of the middle.
    assert sum(delays) / 1e12 == pytest.approx(30.15, abs=2.2)


def test_answers_of_the_history_farm_are_queued_by_request() -> None:
    assert Latency.lane("historicalData", 7) == 7
    assert Latency.lane("orderStatus", 7) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"defaults": 1}, "latency.defaults is unknown"),
        ({"default": "fast"}, "latency.default = 'fast' is no time"),
        ({"default": [2, 1]}, "lower end first"),
        ({"history": [1, 2, 3]}, "latency.history = "),
        ({"messages": {"openOrder": -1}}, "latency.messages.openOrder = -1"),
        ({"messages": 3}, "is no table"),
        ({"default": True}, "is no time"),
    ],
)
def test_mistakes_are_named(data: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match="latency") as error:
        read_latency(data)
    assert words in str(error.value)
