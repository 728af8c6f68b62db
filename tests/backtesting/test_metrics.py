"""The figures of a run against published values, an independent library and sums done by hand."""

import json
import math
import warnings
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from quant_trading.backtesting.metrics import (
    Costs,
    Exposure,
    Metrics,
    SharpeBasis,
    annual_volatility,
    cagr,
    calmar_ratio,
    drawdown_of,
    max_drawdown,
    measure,
    returns_of,
    sharpe_ratio,
    sortino_ratio,
    total_return,
)
from quant_trading.backtesting.trades import Trades

# Returns in whole basis points: ties, zeros and long runs occur, and no deviation is rounding only.
RETURNS = st.integers(-2000, 2000).map(lambda points: points / 1e4)


def curve_of(returns):
    return np.concatenate(([1.0], np.cumprod(1.0 + np.asarray(returns))))


def test_by_hand():
    curve = np.array([100.0, 90.0, 99.0, 110.0])
    assert returns_of(curve) == pytest.approx([-0.1, 0.1, 1 / 9])
    assert total_return(curve) == pytest.approx(0.1)
    assert cagr(curve) == pytest.approx(1.1**84 - 1)  # 252 / 3 sessions
    assert max_drawdown(curve) == pytest.approx(-0.1)  # from the initial capital: a loss on day one counts
    assert calmar_ratio(0.2, -0.1) == pytest.approx(2.0)
    figures = measure(curve, total_turnover=1.5, total_cost=3.0, orders=4)
    assert (figures.sessions, figures.orders, figures.total_cost) == (3, 4, 3.0)
    assert figures.annual_turnover == pytest.approx(126.0)  # 1.5 x 252 / 3
    assert figures.annual_mean_return == pytest.approx(252 * (1 / 9) / 3)
    assert (figures.best_session, figures.worst_session) == pytest.approx((1 / 9, -0.1))
    assert figures.positive_sessions == pytest.approx(2 / 3)
    assert figures.session_payoff_ratio == pytest.approx((0.1 + 1 / 9) / 2 / 0.1)
    assert figures.session_profit_factor == figures.omega == pytest.approx((0.1 + 1 / 9) / 0.1)
    assert (figures.net_pnl, figures.gross_pnl) == (10.0, 13.0)
    assert figures.cost_share == pytest.approx(3 / 13)


@pytest.mark.parametrize(("n", "worst"), [(20, 1), (21, 2), (40, 2), (41, 3)])
def test_the_tail_holds_the_twentieth_part(n, worst):
    returns = np.random.default_rng(0).permutation(n) / 1000 - 0.01  # -10, -9, -8 ... thousandths
    figures = measure(curve_of(returns))
    assert figures.cvar_5pct == pytest.approx(-0.01 + (worst - 1) / 2000)
    assert figures.var_5pct == pytest.approx(-0.01 + 0.05 * (n - 1) / 1000)


def test_a_flat_session_is_neither_won_nor_lost():
    figures = measure(np.array([100.0, 101.0, 101.0, 101.0, 100.0]))
    assert figures.positive_sessions == 0.25
    assert figures.session_hit_rate == 0.5


def test_the_deepest_drawdown_by_hand():
    #                  0      1     2      3     4      5     6     7      8
    curve = np.array([100.0, 110.0, 99.0, 105.0, 88.0, 110.0, 120.0, 114.0, 117.0])
    figures = measure(curve)
    assert figures.max_drawdown == pytest.approx(88 / 110 - 1)
    assert (figures.max_drawdown_start, figures.max_drawdown_trough, figures.max_drawdown_recovery) == (1, 4, 5)
    assert figures.max_drawdown_sessions == figures.longest_drawdown_sessions == 4
    assert figures.drawdowns == 2
    assert figures.average_drawdown == pytest.approx((-0.2 + 114 / 120 - 1) / 2)
    assert figures.time_under_water == pytest.approx(5 / 8)  # sessions 2, 3, 4, 7, 8
    squares = sum((value / high - 1) ** 2 for value, high in ((99, 110), (105, 110), (88, 110), (114, 120), (117, 120)))
    assert figures.ulcer_index == pytest.approx(math.sqrt(squares / 7))  # one less than the 8 sessions
    assert drawdown_of(curve)[2] == pytest.approx(-0.1)


def test_a_drawdown_that_lasts_has_no_recovery():
    figures = measure(np.array([100.0, 80.0, 90.0]))
    assert (figures.max_drawdown_start, figures.max_drawdown_trough, figures.max_drawdown_recovery) == (0, 1, None)
    assert figures.max_drawdown_sessions == 2
    rising = measure(np.array([100.0, 101.0, 102.0]))
    assert (rising.max_drawdown, rising.max_drawdown_start, rising.drawdowns) == (0.0, None, 0)
    assert math.isnan(rising.average_drawdown) and math.isnan(rising.calmar)
    assert rising.ulcer_index == rising.time_under_water == 0.0


@given(st.lists(st.integers(50, 150), min_size=2, max_size=40))
def test_drawdowns_are_those_of_a_walk_along_the_curve(points):
    figures = measure(np.array(points, dtype=float))
    high, start, falls, under, spells = points[0], 0, [], 0, []
    for i, point in enumerate(points):
        if point >= high:
            if falls and falls[-1][0] == start:
                spells.append((start, i))
            high, start = point, i
            continue
        under += 1
        depth = point / high - 1.0
        if falls and falls[-1][0] == start:
            falls[-1][1] = min(falls[-1][1], depth)
        else:
            falls.append([start, depth])
    if falls and falls[-1][0] == start:
        spells.append((start, len(points) - 1))
    assert figures.drawdowns == len(falls)
    assert figures.time_under_water == pytest.approx(under / (len(points) - 1))
    assert figures.longest_drawdown_sessions == max((end - begin for begin, end in spells), default=0)
    if falls:
        assert figures.average_drawdown == pytest.approx(sum(depth for _, depth in falls) / len(falls))
        deepest = min(range(len(falls)), key=lambda i: falls[i][1])
        assert figures.max_drawdown == pytest.approx(falls[deepest][1])
        assert figures.max_drawdown_start == spells[deepest][0]
        assert figures.max_drawdown_sessions == spells[deepest][1] - spells[deepest][0]


def test_figures_published_by_an_independent_project():
    # empyrical's own test case; its first return is NaN and left out here.
    returns = [0.01, 0.1, -0.04, 0.02, 0.03, 0.02, 0.01, -0.1]
    assert sharpe_ratio(np.array(returns)) == pytest.approx(1.7238613961706866, rel=1e-9)
    assert annual_volatility(np.array(returns)) == pytest.approx(0.9136465399704637, rel=1e-9)
    # Its yearly growth counts the NaN as a ninth session.
    curve = np.concatenate(([1.0], curve_of(returns)))
    assert cagr(curve) == pytest.approx(1.9135925373194231, rel=1e-9)
    assert calmar_ratio(cagr(curve), max_drawdown(curve)) == pytest.approx(19.135925373194233, rel=1e-9)


def test_what_is_not_defined_is_nan():
    flat = np.zeros(5)
    assert math.isnan(sharpe_ratio(flat))
    assert math.isnan(sharpe_ratio(np.full(5, 0.01)))  # no movement: its deviation is rounding only
    assert math.isnan(sortino_ratio(np.full(5, 0.01)))
    assert math.isnan(calmar_ratio(0.1, 0.0))
    assert math.isnan(sharpe_ratio(np.array([0.01])))
    assert math.isnan(cagr(np.array([1.0])))
    still = measure(np.full(6, 100.0), benchmark=flat)
    for name in ("sharpe", "sortino", "calmar", "omega", "stability", "tail_ratio", "skew", "kurtosis", "beta",
                 "correlation", "information_ratio", "up_capture", "down_capture", "session_hit_rate",
                 "session_payoff_ratio", "session_profit_factor", "average_drawdown", "profit_factor", "hit_rate",
                 "cost_share", "cagr_calendar", "time_in_market", "bps_cost"):  # fmt: skip
        assert math.isnan(getattr(still, name)), name
    assert (still.total_return, still.cagr, still.annual_volatility, still.max_drawdown) == (0.0, 0.0, 0.0, 0.0)


def test_growth_beyond_the_largest_number_is_not_defined():
    assert math.isnan(cagr(np.array([1.0, 1e6])))  # a million to the power of 252


@given(st.lists(st.floats(0.01, 1e9), min_size=1, max_size=5), st.integers(0, 4))
def test_no_figure_is_ever_infinite(points, losses):
    pnl = np.array([-1.0] * losses + [2.0] * (len(points) - 1))
    bars, ones = np.arange(len(pnl)), np.ones(len(pnl))
    trades = Trades(bars * 0, bars, bars + 1, ones, ones, ones, pnl, ones * 0.0, np.zeros(len(pnl), dtype=np.int8))
    figures = measure(np.array(points), 1.0, 1.0, 1, trades=trades)
    for name, value in vars(figures).items():
        assert value is None or isinstance(value, str) or math.isnan(value) or math.isfinite(value), name


def test_a_ruined_account_has_no_growth_left():
    curve = np.array([100.0, -50.0, -50.0])
    assert cagr(curve) == -1.0
    assert returns_of(curve).tolist() == [-1.5, 0.0]
    assert max_drawdown(curve) == pytest.approx(-1.5)
    assert math.isnan(measure(curve).stability)


# --- against an independent library ------------------------------------------------------------


def same(ours, theirs):
    return ours == pytest.approx(theirs, rel=1e-9, abs=1e-11)


@pytest.mark.slow
@given(st.lists(RETURNS, min_size=5, max_size=120))
def test_equal_to_empyrical(values):
    empyrical = pytest.importorskip("empyrical")
    returns = np.array(values)
    assume(np.unique(returns).size > 1)
    figures = measure(curve_of(returns))
    assert same(figures.total_return, empyrical.cum_returns_final(returns))
    assert same(figures.cagr, empyrical.annual_return(returns))
    assert same(figures.annual_volatility, empyrical.annual_volatility(returns))
    assert same(figures.sharpe, empyrical.sharpe_ratio(returns))
    assert same(figures.max_drawdown, empyrical.max_drawdown(returns))
    assert same(figures.downside_risk, empyrical.downside_risk(returns))
    assert same(figures.var_5pct, empyrical.value_at_risk(returns))
    assert same(figures.cvar_5pct, empyrical.conditional_value_at_risk(returns))
    if returns[1:].any():  # a level line has no slope to explain: NaN here, 0 there
        assert same(figures.stability, empyrical.stability_of_timeseries(returns))
    if returns.min() < 0:
        assert same(figures.sortino, empyrical.sortino_ratio(returns))
        assert same(figures.calmar, empyrical.calmar_ratio(returns))
        assert same(figures.omega, empyrical.omega_ratio(returns))
    if abs(figures.var_5pct) > 1e-9:
        assert same(figures.tail_ratio, empyrical.tail_ratio(returns))


@given(st.lists(RETURNS, min_size=5, max_size=60), st.floats(0.0, 0.2))
def test_the_risk_free_rate_is_taken_from_every_session(values, yearly):
    empyrical = pytest.importorskip("empyrical")
    returns = np.array(values)
    assume(np.unique(returns).size > 1 and returns.min() < 0)
    figures = measure(curve_of(returns), risk_free=yearly)
    free = (1.0 + yearly) ** (1.0 / 252.0) - 1.0
    assert same(figures.sharpe, empyrical.sharpe_ratio(returns, risk_free=free))
    assert same(figures.sortino, empyrical.sortino_ratio(returns, required_return=free))
    assert same(figures.downside_risk, empyrical.downside_risk(returns, required_return=free))
    assert same(figures.omega, empyrical.omega_ratio(returns, risk_free=free))


@given(st.lists(RETURNS, min_size=5, max_size=60))
def test_skew_and_kurtosis_are_those_of_pandas(values):
    pandas = pytest.importorskip("pandas")
    assume(np.unique(np.array(values)).size > 1)
    figures = measure(curve_of(values))
    series = pandas.Series(values)
    assert same(figures.skew, series.skew())
    assert same(figures.kurtosis, series.kurt())


@given(st.lists(st.tuples(RETURNS, RETURNS), min_size=5, max_size=60))
def test_a_benchmark_explains_what_empyrical_says(pairs):
    empyrical = pytest.importorskip("empyrical")
    returns, benchmark = np.array(pairs).T
    assume(min(np.unique(column).size for column in (returns, benchmark, returns - benchmark)) > 1)
    assume(np.std(returns - benchmark) > 1e-6)
    figures = measure(curve_of(returns), benchmark=benchmark)
    assert same(figures.beta, empyrical.beta_aligned(returns, benchmark))
    assert same(figures.alpha, empyrical.alpha_aligned(returns, benchmark))
    assert same(figures.correlation, np.corrcoef(returns, benchmark)[0, 1])
    assert same(figures.tracking_error, empyrical.annual_volatility(returns - benchmark))
    assert same(figures.information_ratio, empyrical.excess_sharpe(returns, benchmark) * math.sqrt(252))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if (benchmark > 0).any():
            assert same(figures.up_capture, empyrical.up_capture(returns, benchmark))
        if (benchmark < 0).any():
            assert same(figures.down_capture, empyrical.down_capture(returns, benchmark))


def test_a_strategy_that_is_its_benchmark():
    returns = np.array([0.01, -0.02, 0.03, 0.0])
    figures = measure(curve_of(returns), benchmark=returns_of(curve_of(returns)))
    assert (figures.beta, figures.correlation) == pytest.approx((1.0, 1.0))
    assert (figures.alpha, figures.tracking_error) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert (figures.up_capture, figures.down_capture) == pytest.approx((1.0, 1.0))
    assert math.isnan(figures.information_ratio)


# --- conventions -------------------------------------------------------------------------------


def test_sharpe_by_bars_uses_the_bars_of_a_year_the_data_have():
    empyrical = pytest.importorskip("empyrical")
    random = np.random.default_rng(3)
    returns = random.normal(1e-5, 1e-3, 10 * 78)  # ten sessions of 78 five-minute bars
    bars = curve_of(returns)
    daily, by_bar = measure(bars[::78]), measure(bars[::78], basis=SharpeBasis.BAR, bar_curve=bars)
    assert by_bar.periods_per_year == 252 * 78
    assert by_bar.sharpe == pytest.approx(empyrical.sharpe_ratio(returns, annualization=252 * 78), rel=1e-9)
    assert by_bar.sortino == pytest.approx(empyrical.sortino_ratio(returns, annualization=252 * 78), rel=1e-9)
    assert by_bar.annual_volatility == pytest.approx(
        empyrical.annual_volatility(returns, annualization=252 * 78), rel=1e-9
    )
    # A year of 5-minute bars around the clock, as vectorbt counts.
    assert sharpe_ratio(returns, periods_per_year=105_120) == pytest.approx(
        empyrical.sharpe_ratio(returns, annualization=105_120), rel=1e-9
    )
    assert (daily.sharpe_basis, by_bar.sharpe_basis) == ("daily", "bar")
    changed = {name for name, value in daily.to_json().items() if by_bar.to_json()[name] != value}
    assert changed == {"sharpe", "sortino", "annual_volatility", "downside_risk", "periods_per_year", "sharpe_basis"}


def test_calendar_growth_counts_days():
    curve = np.array([100.0, 105.0, 121.0])
    figures = measure(curve, days=np.array([0, 400, 731]))  # two years of 365.25 days, and half a day
    assert figures.cagr_calendar == pytest.approx(1.21 ** (365.25 / 731) - 1)


def test_wrong_lengths_are_refused():
    curve = np.array([1.0, 1.1, 1.2])
    with pytest.raises(ValueError, match="benchmark has 3 returns, the curve 2"):
        measure(curve, benchmark=np.zeros(3))
    with pytest.raises(ValueError, match="days has 2 entries, the curve 3 points"):
        measure(curve, days=np.zeros(2, dtype=np.int64))
    with pytest.raises(ValueError, match="needs bar_curve"):
        measure(curve, basis=SharpeBasis.BAR)
    with pytest.raises(ValueError, match="the curve is empty"):
        measure(np.zeros(0))


# --- costs and exposure ------------------------------------------------------------------------


def test_costs_are_broken_down_and_compared_with_the_gross_profit():
    # 1,000 gained after 60 of fees, 30 of slippage and 10 of borrow: 1,100 without them.
    costs = Costs(bps=40, commission=10, plan=6, regulatory=4, slippage=30, borrow=10, dividends=7)
    figures = measure(np.array([10_000.0, 11_000.0]), total_cost=60.0, costs=costs)
    assert (figures.net_pnl, figures.gross_pnl) == (1000.0, 1100.0)
    assert figures.cost_share == pytest.approx(100 / 1100)
    assert [(name, money) for name, money, _ in figures.cost_rows()] == [
        ("Bps of traded value", 40), ("Commission", 10), ("Commission plan", 6), ("Regulatory fees", 4),
        ("Slippage", 30), ("Borrow", 10),
    ]  # fmt: skip
    assert sum(share for _, _, share in figures.cost_rows()) == pytest.approx(figures.cost_share)
    assert figures.dividends == 7
    losing = measure(np.array([10_000.0, 9_000.0]), total_cost=60.0, costs=costs)
    assert math.isnan(losing.cost_share) and all(math.isnan(share) for _, _, share in losing.cost_rows())


def test_exposure_is_told_as_it_was_given():
    held = Exposure(time_in_market=0.5, gross=0.375, net=-0.125)
    figures = measure(np.array([1.0, 1.1]), exposure=held)
    assert (figures.time_in_market, figures.average_gross_exposure, figures.average_net_exposure) == (
        0.5, 0.375, -0.125,
    )  # fmt: skip


# --- the type ----------------------------------------------------------------------------------


def test_every_field_is_there_and_frozen():
    figures = measure(np.array([1.0, 1.1, 1.05]))
    assert list(vars(figures)) == [field.name for field in fields(Metrics)]
    assert len(vars(figures)) > 60
    with pytest.raises(AttributeError):
        figures.sharpe = 9.0


@pytest.mark.parametrize("capital", [123_456.78, 25_000.0, 3_000_000.0])
@pytest.mark.parametrize("sessions", [5_040, 7_560, 12_600])
def test_an_account_that_stands_still_is_not_stable(capital, sessions):
    import numba  # noqa: F401  (where it is loaded, another walk adds up)

    assert math.isnan(measure(np.full(sessions + 1, capital)).stability)


def test_json_has_null_for_what_is_not_finite():
    figures = replace(measure(np.array([1.0, 1.1, 1.0])), sharpe=math.inf, calmar=-math.inf)
    read = json.loads(json.dumps(figures.to_json(), allow_nan=False))
    assert (read["sharpe"], read["calmar"], read["sessions"]) == (None, None, 2)


def test_json_has_null_for_what_is_not_defined():
    figures = measure(np.array([1.0, 1.1]))
    text = json.dumps(figures.to_json(), allow_nan=False)
    read = json.loads(text)
    assert (read["sessions"], read["sharpe"], read["max_drawdown_start"]) == (1, None, None)
    assert list(read) == [field.name for field in fields(Metrics)]
