"""A store of the latest results."""

import gc
import weakref

from quant_trading.tws_sim.days import Days
from quant_trading.tws_sim.recent import Recent
from quant_trading.tws_sim.sources import open_source


def test_what_was_not_asked_for_longest_goes_first() -> None:
    kept: Recent[str, int] = Recent(2)
    kept.keep("a", 1)
    kept.keep("b", 2)
    assert kept.find("a") == 1

    kept.keep("c", 3)

    assert [kept.find(key) for key in "abc"] == [1, None, 3]


def test_a_value_kept_again_takes_no_second_place() -> None:
    kept: Recent[str, int] = Recent(2)
    kept.keep("a", 1)
    kept.keep("b", 2)

    assert kept.keep("b", 5) == 5

    assert [kept.find(key) for key in "ab"] == [1, 5]


def test_a_series_nobody_holds_is_gone_at_once() -> None:
    tape = open_source("seed:7")
    [series] = tape._load_series(tape.contracts()[0])
    series.blocks(6000, 6001, True)
    series.top(6000, 0)
    assert isinstance(series.days, Days)
    gone = weakref.ref(series)
    gc.disable()
    try:
        del series
        assert gone() is None
    finally:
        gc.enable()
