"""Sweeps: grids as they are written, lanes against plain runs, and what is read off a result."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quant_trading.strategy.reversal  # noqa: F401  (importing registers)
from quant_trading.backtesting import kernel, metrics
from quant_trading.backtesting.settings import BacktestSettings, CommissionPlan, FillConvention, Sizing
from quant_trading.backtesting.significance import deflated_sharpe
from quant_trading.backtesting.sweep import FIGURES, SweepResult, is_covered, run_sweep
from quant_trading.backtesting.sweep_grid import combine, parse_grid
from quant_trading.backtesting.sweep_lanes import SeriesTerms, parts_of, run_part, table_of
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.domain.limits import Limits
from quant_trading.refdata.sessions import exchange_days
from tests.backtesting.panels import random_panel
from tests.examples import examples

FILLS = {FillConvention.NEXT_OPEN: kernel.NEXT_OPEN, FillConvention.SAME_CLOSE: kernel.SAME_CLOSE,
         FillConvention.NEXT_CLOSE: kernel.NEXT_CLOSE}  # fmt: skip


def plain_run(panel, strategy, limits, how, first_bar=0, name=""):
    """One run by the kernel alone: what the lanes have to equal."""
    bars = panel.rows(first_bar, len(panel))
    terms = kernel.Terms(
        FILLS[how.fill], how.initial_capital, how.cost_bps / 1e4, how.commission_per_trade, True, False
    )
    rules = kernel.plain_rules(terms)._replace(by_weight=0, on_change=1)
    prices = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    target = strategy.signal(panel)[first_bar:] * how.shares
    ledger = kernel.simulate(prices, target, rules, compiled=True).ledger
    days = exchange_days(bars.start_ns)[1:]
    ends = np.append(days[1:] != days[:-1], True) if len(days) else np.zeros(0, dtype=bool)
    return SimpleNamespace(
        ledger=ledger, session_curve=np.concatenate(([how.initial_capital], ledger.equity[1:][ends]))
    )


def fixed_shares(**changes):
    return BacktestSettings(sizing=Sizing.SHARES, **changes)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("fast=5:15", tuple(range(5, 16))),
        ("fast=5:15:4", (5, 9, 13)),
        ("threshold=-0.05:-0.01:0.01", (-0.05, -0.04, -0.03, -0.02, -0.01)),
        ("x=1,2,5", (1, 2, 5)),
        ("x=0.5:2", (0.5, 1.5)),
        ("seed=first, sma", ("first", "sma")),
    ],
)
def test_grids_as_they_are_written(text, values):
    (name, read), *others = parse_grid([text]).items()
    assert not others
    assert name == text.split("=")[0]
    assert read == values
    assert [type(v) for v in read] == [type(v) for v in values]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["fast"], "not name=values; write fast=5:15"),
        (["fast="], "not name=values"),
        (["fast=5:a"], "not first:last or first:last:step"),
        (["fast=1:2:3:4"], "not first:last or first:last:step"),
        (["fast=5:15:0"], "the step 0 is not above 0"),
        (["fast=15:5"], "5 is below 15"),
        (["fast=5,,6"], "a value is missing"),
        (["fast=5,5"], "stands there twice"),
        (["fast=1,nan"], "nan is not a number one can try"),
        (["fast=1:2", "fast=3:4"], "fast is given twice"),
        (["x=0:1:1e-9"], "take a larger step"),
    ],
)
def test_grids_that_cannot_be_read_are_refused_in_one_line(texts, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_grid(texts)
    assert "\n" not in str(caught.value)


def test_combinations_the_strategy_refuses_are_left_out_and_counted():
    # fast 5..8 x slow 6..8: refused are 6-6, 7-6, 7-7, 8-6, 8-7, 8-8.
    both = combine("MACD", parse_grid(["fast=5:8", "slow=6:8"]), {"signal_span": 4})
    assert both.left_out == 6
    assert both.values == ((5, 6), (5, 7), (5, 8), (6, 7), (6, 8), (7, 8))
    assert {one.signal_span for one in both.strategies} == {4}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"fats": (1, 2)}, "MACD has no parameter 'fats'; it has fast, slow"),
        ({}, "no parameter varies"),
        ({"fast": (30, 40)}, "none of 2 combinations is accepted: .*not below slow"),
    ],
)
def test_grids_without_a_run_are_refused(grid, message):
    with pytest.raises(ConfigError, match=message):
        combine("MACD", grid, {})


@settings(max_examples=examples(25))
@given(
    seed=st.integers(0, 2**32 - 1), bars=st.integers(1, 420), first_bar=st.sampled_from([0, 3, 60, 300]),
    fill=st.sampled_from(list(FillConvention)), commission=st.sampled_from([0.0, 1.0]),
    capital=st.sampled_from([1e6, 30_000.0, 9_000.0]),
)  # fmt: skip
def test_lanes_equal_plain_runs(seed, bars, first_bar, fill, commission, capital):
    panel = random_panel(seed, bars, 1)
    first_bar = min(first_bar, bars - 1)
    how = fixed_shares(fill=fill, commission_per_trade=commission, initial_capital=capital)
    grid = {"fast": (2, 3, 12), "slow": (5, 26), "signal_span": (1, 4), "seed": ("first", "sma", "delayed")}
    runs = combine("MACD", grid, {})
    assert is_covered(panel, runs.strategies, how)
    if all(one.warmup > bars for one in runs.strategies):
        with pytest.raises(DataGap, match="fewer than the"):
            run_sweep(panel, "MACD", runs, Limits(), how, first_bar)
        return
    swept = run_sweep(panel, "MACD", runs, Limits(), how, first_bar)
    kept = [one for one in runs.strategies if one.warmup <= bars]
    assert swept.trials == len(kept)
    assert swept.left_out == runs.left_out + len(runs.strategies) - len(kept)
    for row, one in enumerate(kept):
        run = plain_run(panel, one, Limits(), how, first_bar)
        curve = run.session_curve
        expected = metrics.measure(curve)
        assert swept.figures["orders"][row] == run.ledger.trades.sum()
        assert swept.figures["final_equity"][row] == pytest.approx(curve[-1], rel=1e-9)
        assert swept.figures["total_cost"][row] == pytest.approx(run.ledger.cost.sum(), rel=1e-9, abs=1e-9)
        for name in ("total_return", "cagr", "annual_volatility", "sharpe", "sortino", "max_drawdown", "calmar"):
            theirs = getattr(expected, name)
            assert swept.figures[name][row] == pytest.approx(theirs, rel=1e-6, abs=1e-9, nan_ok=True), name
    row = swept.order()[0]
    best = plain_run(panel, kept[row], Limits(), how, first_bar)
    assert swept.best_curve == pytest.approx(best.session_curve, rel=1e-9)


def test_lanes_interpreted_equal_lanes_compiled():
    panel = random_panel(3, 150, 1)
    close = np.ascontiguousarray(panel.close[:, 0])
    terms = SeriesTerms(close, np.append(panel.open[1:, 0], 0.0), False, np.arange(1, 150), 40, 5e-4)
    combinations = [(3, 8, 4, "first"), (4, 9, 3, "sma"), (5, 20, 6, "delayed")]
    fast, slow = (run_part(terms, table_of(combinations), 0, compiled) for compiled in (True, False))
    assert fast.profit.tobytes() == slow.profit.tobytes()
    assert fast.sides.tobytes() == slow.sides.tobytes()


@pytest.mark.parametrize("first_bar", [0, 40, 300])
@pytest.mark.parametrize("seed", ["first", "delayed"])
def test_blocks_with_one_pair_of_averages_equal_plain_runs_and_the_interpreted_loop(first_bar, seed):
    # 35 signal spans of each pair: a block of 32 that shares its MACD line, and three of each left over.
    panel = random_panel(8, 420, 1)
    how = fixed_shares(commission_per_trade=1.0)
    runs = combine("MACD", {"fast": (3, 5), "slow": (9, 14), "signal_span": tuple(range(2, 37)), "seed": (seed,)}, {})
    swept = run_sweep(panel, "MACD", runs, Limits(), how, first_bar)
    for row in (0, 31, 34, 35, 70, 101, 139):
        run = plain_run(panel, runs.strategies[row], Limits(), how, first_bar)
        assert swept.figures["orders"][row] == run.ledger.trades.sum()
        assert swept.figures["final_equity"][row] == pytest.approx(run.session_curve[-1], rel=1e-9)
        assert swept.figures["sharpe"][row] == pytest.approx(metrics.measure(run.session_curve).sharpe, rel=1e-6)
    close = np.ascontiguousarray(panel.close[:100, 0])
    terms = SeriesTerms(close, np.append(panel.open[1:100, 0], 0.0), False, np.arange(1, 100), 40, 5e-4)
    lanes = [(3, 9, 2 + k, seed) for k in range(32)] + [(4, 8, 3, seed)]
    fast, slow = (run_part(terms, table_of(lanes), 1, compiled) for compiled in (True, False))
    assert fast.profit.tobytes() == slow.profit.tobytes()
    assert fast.sides.tobytes() == slow.sides.tobytes()
    assert (fast.paid > 0.0).all()


@given(st.lists(st.tuples(st.integers(2, 4), st.integers(5, 6), st.integers(1, 99), st.just("first")), min_size=1))
def test_parts_hold_each_combination_once_and_share_what_they_say(combinations):
    parts = parts_of(table_of(combinations * 9))
    places = np.concatenate([part.places for part in parts])
    assert sorted(places.tolist()) == list(range(9 * len(combinations)))
    for part in parts:
        for begin in range(0, 32 * part.shared, 32):
            assert len({(combinations * 9)[i][:2] for i in part.places[begin : begin + 32]}) == 1
    assert sum(part.shared for part in parts) == sum(
        sum(c[:2] == pair for c in combinations * 9) // 32 for pair in {c[:2] for c in combinations}
    )


def test_threads_progress_and_other_strategies():
    panel = random_panel(5, 120, 3)
    runs = combine("REVERSAL", {"lookback": (1, 2, 3), "threshold": (-0.03, -0.01)}, {})
    said = []
    one, two = (
        run_sweep(panel, "REVERSAL", runs, Limits(), fixed_shares(), 5, workers, progress, plain_run)
        for workers, progress in ((1, None), (2, lambda done, total: said.append((done, total))))
    )
    assert said == [(n, 6) for n in range(1, 7)]
    assert all(np.array_equal(one.figures[name], two.figures[name], equal_nan=True) for name in FIGURES)
    assert not is_covered(panel, runs.strategies, fixed_shares())


@pytest.mark.parametrize("change", [{"plan": CommissionPlan.IBKR_FIXED}, {"borrow_rate": 0.1}, {"slippage_bps": 1.0}])
def test_settings_beyond_the_lanes_are_not_covered(change):
    panel = random_panel(5, 60, 1)
    runs = combine("MACD", {"fast": (3, 4)}, {})
    assert is_covered(panel, runs.strategies, fixed_shares())
    assert not is_covered(panel, runs.strategies, fixed_shares(**change))
    assert not is_covered(panel, runs.strategies, BacktestSettings())


def result_of(sharpe):
    values = ((1, 10, "a"), (2, 10, "a"), (1, 20, "a"), (1, 10, "b"), (2, 20, "b"))
    figures = {name: np.arange(5.0) for name in FIGURES} | {"sharpe": np.array(sharpe)}
    curve = 100.0 * np.cumprod(np.concatenate(([1.0], 1.0 + np.random.default_rng(1).normal(0.001, 0.01, 250))))
    return SweepResult("X", ("p", "q", "s"), values, figures, curve, 3)


def test_best_top_and_heatmap_by_hand():
    swept = result_of([0.5, 2.0, 1.0, math.nan, 1.5])
    assert swept.best() == {"p": 2, "q": 10, "s": "a"}
    assert [(row["p"], row["q"], row["sharpe"]) for row in swept.top(3)] == [(2, 10, 2.0), (2, 20, 1.5), (1, 20, 1.0)]
    assert swept.order()[-1] == 3  # a Sharpe ratio that is not defined comes last
    # s = "a" as in the best run: (1, 10) 0.5, (2, 10) 2.0, (1, 20) 1.0, and nothing at (2, 20).
    shown = swept.heatmap("p", "q")
    assert (shown.x, shown.y) == ((1, 2), (10, 20))
    assert shown.values[0].tolist() == [0.5, 2.0]
    assert shown.values[1, 0] == 1.0
    assert np.isnan(shown.values[1, 1])


def test_the_deflated_sharpe_ratio_counts_the_trials():
    swept = result_of([0.5, 2.0, 1.0, 0.1, 1.5])
    returns = swept.best_curve[1:] / swept.best_curve[:-1] - 1.0
    variance = np.var(np.array([0.5, 2.0, 1.0, 0.1, 1.5]) / math.sqrt(252), ddof=1)
    assert swept.trials == 5
    assert swept.deflated_sharpe == deflated_sharpe(returns, 5, variance)
    assert swept.deflated_sharpe < deflated_sharpe(returns, 1, variance)
