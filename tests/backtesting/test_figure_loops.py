"""The loops, compiled and as they stand, and numpy give the same sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.backtesting import figure_loops as loops
from quant_trading.backtesting.compiling import compile_functions

SIZES = {loops.run_returns: loops.RETURN_SUMS, loops.run_curve: loops.CURVE_SUMS, loops.run_trades: loops.TRADE_SUMS}


def three_ways(loop, columns, *numbers):
    plain = [0.0] * SIZES[loop]
    loop(*(column.tolist() for column in columns), *numbers, plain)
    compiled = np.zeros(SIZES[loop])
    compile_functions((loop,), counts_references=False)(*columns, *numbers, compiled)
    return plain, compiled.tolist(), [float(value) for value in loops._BY_NUMPY[loop](*columns, *numbers)]


def assert_same(loop, columns, *numbers):
    plain, compiled, by_numpy = three_ways(loop, columns, *numbers)
    assert compiled == pytest.approx(plain, rel=1e-12, abs=1e-15)
    assert by_numpy == pytest.approx(plain, rel=1e-9, abs=1e-12)


MOVES = st.lists(st.integers(-500, 500).map(lambda points: points / 1e4), min_size=1, max_size=60)


@given(moves=MOVES, free=st.sampled_from([0.0, 1e-4, -2e-4]))
def test_returns(moves, free):
    returns = np.array(moves)
    assert_same(loops.run_returns, (returns, np.sort(returns)), free)


@given(moves=MOVES)
def test_curves(moves):
    curve = np.concatenate(([1.0], np.cumprod(1.0 + np.array(moves))))
    assert_same(loops.run_curve, (curve, np.log(curve[1:])))
    assert_same(loops.run_curve, (curve, np.zeros(0)))


@given(moves=MOVES)
def test_trades(moves):
    pnl, count = np.array(moves), np.arange(len(moves))
    cost, price = (count % 3) / 1e5, 10.0 + count
    sides = np.where(pnl > 0.001, 1.0, -1.0)
    assert_same(loops.run_trades, (pnl + cost, cost, sides * (1.0 + count), price, count, 2 * count + 1))
