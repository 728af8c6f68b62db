"""The figures of a run against published values and an independent library."""

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.backtesting.metrics import (
    annual_volatility,
    cagr,
    calmar_ratio,
    max_drawdown,
    measure,
    returns_of,
    sharpe_ratio,
    sortino_ratio,
    total_return,
)
from tests.shared_data import golden, market_data, needs_shared


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
    assert figures.annual_turnover == pytest.approx(126.0)


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
    assert math.isnan(measure(np.array([1.0]), 0.0, 0.0, 0).annual_turnover)


def test_a_ruined_account_has_no_growth_left():
    curve = np.array([100.0, -50.0, -50.0])
    assert cagr(curve) == -1.0
    assert returns_of(curve).tolist() == [-1.5, 0.0]
    assert max_drawdown(curve) == pytest.approx(-1.5)


@given(st.lists(st.floats(-0.2, 0.2).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=3, max_size=60))
def test_equal_to_empyrical(values):
    empyrical = pytest.importorskip("empyrical")
    returns = np.array(values)
    curve = curve_of(returns)
    pairs = (
        (total_return(curve), empyrical.cum_returns_final(returns)),
        (cagr(curve), empyrical.annual_return(returns)),
        (annual_volatility(returns), empyrical.annual_volatility(returns)),
        (max_drawdown(curve), empyrical.max_drawdown(returns)),
    )
    for ours, theirs in pairs:
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)
    if np.std(returns) > 1e-9:
        assert sharpe_ratio(returns) == pytest.approx(empyrical.sharpe_ratio(returns), rel=1e-9, abs=1e-9)
    if returns.min() < 0:
        assert sortino_ratio(returns) == pytest.approx(empyrical.sortino_ratio(returns), rel=1e-9, abs=1e-9)


def golden_returns(case):
    if case.endswith("adj_close_returns_2012_2018"):
        table = pq.read_table(market_data("daily/daily_raw.parquet"), columns=["symbol", "adj_close"])
        symbol = np.array(table["symbol"].to_pylist())
        close = np.array(table["adj_close"].to_pylist())[symbol == case.split("_")[0]]
        return close[1:] / close[:-1] - 1.0
    name = "equal_weight_returns_2012_2018" if case.startswith("equal") else case
    lines = golden(f"{name}.csv").read_text().splitlines()[1:]
    return np.array([float(line.split(",")[1]) for line in lines if line.split(",")[1]])


@needs_shared
@pytest.mark.parametrize(
    "case",
    [
        "AAPL_adj_close_returns_2012_2018",
        "GE_adj_close_returns_2012_2018",
        "NFLX_adj_close_returns_2012_2018",
        "equal_weight_all_dev_symbols",
        "pyfolio_test_returns",
    ],
)
def test_equal_to_three_libraries_on_real_returns(case):
    expected = json.loads(golden("metrics.json").read_text())["cases"][case]
    returns = golden_returns(case)
    assert len(returns) == expected["n"]
    figures = measure(curve_of(returns), 0.0, 0.0, 0)
    libraries = expected["empyrical"], expected["quantstats"], expected["ffn"]
    for library in libraries:
        assert figures.sharpe == pytest.approx(library["sharpe"], rel=1e-9)
        assert figures.sortino == pytest.approx(library["sortino"], rel=1e-9)
        assert figures.max_drawdown == pytest.approx(library["max_drawdown"], rel=1e-9)
    first = expected["empyrical"]
    assert figures.total_return == pytest.approx(first["total_return"], rel=1e-9)
    assert figures.cagr == pytest.approx(first["annual_return"], rel=1e-9)
    assert figures.annual_volatility == pytest.approx(first["annual_volatility"], rel=1e-9)
    assert figures.calmar == pytest.approx(first["calmar"], rel=1e-9)
