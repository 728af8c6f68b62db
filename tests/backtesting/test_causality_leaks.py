"""Every planted leak is caught on panels of many shapes and seeds, every honest strategy passes."""

import gc
import time
from dataclasses import dataclass

import numpy as np
import pytest

import quant_trading.strategy.reversal
import quant_trading.strategy.static  # noqa: F401  (importing registers)
from quant_trading.backtesting.causality import FutureLeak, Verdict, check_causality, refuse_leaks
from quant_trading.domain.bars import BarPanel
from quant_trading.domain.limits import Limits
from quant_trading.refdata.sessions import exchange_date
from quant_trading.strategy.base import build_strategy
from quant_trading.strategy.macd import Macd
from tests.backtesting.leaks.clean import CLEAN
from tests.backtesting.leaks.planted import PLANTED
from tests.backtesting.panels import random_panel
from tests.examples import is_fast

LIMITS = Limits()
# bars, symbols, share of missing bars
SHAPES = [(500, 6, 0.03), (120, 3, 0.1), (1500, 1, 0.02), (400, 30, 0.05)]
OURS = [
    ("MACD", {}),
    ("MACD", {"fast": 3, "slow": 8, "signal_span": 4}),
    ("REVERSAL", {}),
    ("REVERSAL_RANK", {"lookback": 3, "count": 2}),
    ("STATIC", {"weights": {"S00": 0.2, "S02": -0.1}}),
]


def verdict_of(strategy, panel, seed):
    return check_causality(strategy, panel, LIMITS, seed=seed)


@dataclass(frozen=True)
class NeedsItsWarmup:
    """A strategy that refuses fewer bars than it asks for."""

    warmup: int = 250

    def signal(self, bars):
        if len(bars) < self.warmup:
            raise ValueError(f"{len(bars)} bars, {self.warmup} needed")
        return np.sign(np.diff(bars.close, axis=0, prepend=bars.close[:1]))

    def target(self, signal, limits):
        return signal * 0.0


@dataclass(frozen=True)
class LeaksWithAYearOfBars:
    """The sign of the week, and once 200 bars are known a low that the next bar confirms."""

    warmup: int = 252

    def signal(self, bars):
        close = bars.close
        signal = np.zeros(close.shape)
        signal[5:] = np.sign(close[5:] - close[:-5])
        if len(close) > 200:
            lows = np.lib.stride_tricks.sliding_window_view(close, 200, axis=0).min(axis=-1)
            is_low = close[199:-1] <= lows[:-1] * 1.01
            signal[199:-1] = np.where(is_low, np.where(close[200:] > close[199:-1], 1.0, -1.0), signal[199:-1])
        return signal

    def target(self, signal, limits):
        return signal * 0.0


@dataclass(frozen=True)
class Peeks(Macd):
    """MACD that looks some bars ahead; by default it does not."""

    ahead: int = 0

    def sides(self, bars):
        sides = super().sides(bars)
        return np.concatenate([sides[self.ahead :], sides[len(sides) - self.ahead :]])


def test_a_strategy_is_shown_no_fewer_bars_than_it_needs():
    assert verdict_of(NeedsItsWarmup(), random_panel(1, 900, 3), 1).passed


def test_what_leaks_after_many_bars_only_is_caught():
    caught = [not verdict_of(LeaksWithAYearOfBars(), random_panel(seed, 900, 4), seed).passed for seed in range(12)]
    assert sum(caught) >= 11  # of 120 seeds 117


def test_it_is_the_strategy_with_its_own_parameters_that_is_tried():
    panel = random_panel(1, 600, 3)
    assert verdict_of(Peeks(fast=3, slow=8, signal_span=4), panel, 0).passed
    assert not verdict_of(Peeks(fast=3, slow=8, signal_span=4, ahead=1), panel, 0).passed


def test_there_are_twenty_of_each():
    assert len(PLANTED) >= 20
    assert len(CLEAN) >= 20


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_leak_is_caught(name):
    for seed in range(1 if is_fast() else 2):
        for shape in SHAPES[:2] if is_fast() else SHAPES:
            if name == "one_column_only" and shape[1] == 1:
                continue  # the column is not there
            verdict = verdict_of(PLANTED[name](), random_panel(seed, *shape), seed)
            assert not verdict.passed, (seed, shape)
            assert verdict.leak.start_ns < verdict.leak.cut_ns or verdict.leak.cut_ns == verdict.leak.start_ns


@pytest.mark.parametrize("shape", [(900, 1, 0.15), (900, 2, 0.1)])
def test_a_planted_leak_is_caught_in_screens_cut_short(shape):
    # The declared warm-up makes the slices long; an opinion from the first bars on makes their screens short.
    for seed, name in enumerate(PLANTED):
        if name != "one_column_only" or shape[1] > 1:
            verdict = verdict_of(PLANTED[name](warmup=500), random_panel(seed, *shape), seed)
            assert not verdict.passed, (seed, name)


def test_screens_are_cut_short_and_no_more_of_them_are_made_for_it():
    panel = random_panel(1, 1500, 1)
    verdict = verdict_of(Macd(), panel, 1)
    assert verdict.passed
    assert verdict.cells < 40_000  # slices of 575 rows throughout took 100,000, the floor
    assert 100 < verdict.bars < 200


@pytest.mark.parametrize("name", CLEAN)
def test_an_honest_strategy_passes(name):
    for seed, shape in enumerate(SHAPES[:2] if is_fast() else SHAPES):
        if name != "dice_of_the_bar" or seed == 1:  # a generator for each bar is slow
            assert verdict_of(CLEAN[name](), random_panel(seed, *shape), seed).text.startswith("no row changed")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PLANTED, *CLEAN])
def test_the_same_for_many_seeds(name):
    for seed in range(100, 106):
        for shape in SHAPES:
            if name == "one_column_only" and shape[1] == 1:
                continue
            cls = PLANTED.get(name) or CLEAN[name]
            assert verdict_of(cls(), random_panel(seed, *shape), seed).passed == (name in CLEAN), (seed, shape)


@pytest.mark.parametrize(("name", "params"), OURS)
def test_our_own_strategies_pass(name, params):
    for seed, shape in enumerate(((900, 4, 0.05), (1300, 1, 0.0), (700, 90, 0.01))):
        assert verdict_of(build_strategy(name, params), random_panel(seed, *shape), seed).passed


def test_the_error_names_strategy_bar_and_column():
    panel = random_panel(1, 300, 4)
    with pytest.raises(FutureLeak) as caught:
        refuse_leaks(PLANTED["one_column_only"](), panel, LIMITS, seed=4)
    leak = caught.value.verdict.leak
    message = str(caught.value)
    assert (leak.what, leak.symbol) == ("signal", "S01")
    assert f"one_column_only reads the future: signal of S01 at {exchange_date(leak.start_ns)} is " in message
    assert "row t may use bars 0..t only" in message
    assert "\n" not in message
    assert leak.start_ns in panel.start_ns
    # The accusation can be repeated by hand: the row changes when the bars after it are cut off.
    row = int(np.searchsorted(panel.start_ns, leak.start_ns))
    strategy = PLANTED["one_column_only"]()
    assert strategy.signal(panel)[row, 1] == leak.with_future
    assert np.isnan(strategy.signal(panel.rows(0, row + 1))[row, 1])


def test_the_error_tells_a_target_and_a_time_of_day():
    start = 1_747_056_600_000_000_000 + 300_000_000_000 * np.arange(70)  # 2025-05-12 09:30 New York
    close = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, (70, 2)), axis=0))
    panel = BarPanel(("A", "B"), "5 mins", start, start + 300 * 10**9, *(close.copy() for _ in range(4)), close + 1)
    with pytest.raises(FutureLeak, match=r"target of [AB] at 2025-05-12T\d\d:\d[05]:00-04:00 is"):
        refuse_leaks(PLANTED["TargetReadsTheNextSignal"](), panel, LIMITS)
    with pytest.raises(FutureLeak, match=r"sides of [AB] at 2025-05-12T"):
        refuse_leaks(PLANTED["SidesReadTheFuture"](), panel, LIMITS)


def test_the_same_seed_gives_the_same_verdict_and_the_same_objects_are_free():
    panel = random_panel(1, 600, 5)
    strategy = CLEAN["rolling_mean"]()
    verdict = verdict_of(strategy, panel, 3)
    assert verdict_of(strategy, panel, 3) is verdict
    again = verdict_of(CLEAN["rolling_mean"](), panel, 3)
    assert again is not verdict
    assert again == verdict
    assert verdict_of(strategy, panel, 4) is not verdict
    # Another panel in the same place of memory is another panel.
    del panel
    gc.collect()
    assert verdict_of(strategy, random_panel(2, 600, 5), 3) is not verdict


@pytest.mark.parametrize("bars", [0, 1, 2, 3, 10])
def test_panels_too_short_to_tell_much(bars):
    for cls in (CLEAN["rolling_mean"], CLEAN["yesterdays_range"]):
        assert isinstance(verdict_of(cls(), random_panel(0, 11, 2).rows(0, bars), 0), Verdict)
    if bars > 2:
        assert not verdict_of(PLANTED["flag_on_the_last_bar"](), random_panel(0, 11, 2).rows(0, bars), 0).passed


def test_the_bars_of_the_run_are_left_as_they_are():
    panel = random_panel(3, 400, 3)
    before = {name: getattr(panel, name).tobytes() for name in ("open", "high", "low", "close", "volume")}
    verdict_of(Macd(), panel, 0)
    assert before == {name: getattr(panel, name).tobytes() for name in before}


def test_what_is_evaluated_again_is_a_small_share_of_a_large_panel():
    rng = np.random.default_rng(0)
    close = np.exp(np.cumsum(rng.normal(0.0, 0.01, (20_000, 50)), axis=0))
    start = 1_500_000_000_000_000_000 + 300_000_000_000 * np.arange(20_000)
    panel = BarPanel(
        tuple(f"S{j}" for j in range(50)),
        "5 mins",
        start,
        start + 300 * 10**9,
        *(close.copy() for _ in range(4)),
        close,
    )
    verdict = verdict_of(Macd(), panel, 0)
    assert verdict.passed
    assert verdict.cells < 0.10 * close.size


@pytest.mark.slow
def test_the_cost_is_below_a_fifth_of_the_run():
    from quant_trading.backtesting.engine import run_backtest
    from quant_trading.backtesting.settings import BacktestSettings

    panel = random_panel(0, 1600, 500)
    strategy, limits = build_strategy("REVERSAL", {}), Limits(max_position_pct=1.0, max_gross_exposure=1.0)

    def best_of(action):
        spent = []
        for attempt in range(5):
            begin = time.process_time()
            action(attempt)
            spent.append(time.process_time() - begin)
        return min(spent)

    run = best_of(lambda _: run_backtest(panel, strategy, limits, BacktestSettings()))
    test = best_of(lambda seed: check_causality(strategy, panel, limits, seed=seed))
    assert test < 0.3 * run  # measured 0.15-0.19; the rest is for a machine that is busy
