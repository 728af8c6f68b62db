"""Which run of a sweep is the best: the direction of each figure."""

import numpy as np
import pytest

from quant_trading.backtesting.sweep import FIGURES, SweepResult

LOWEST = {"annual_volatility", "orders", "total_cost"}


def result_of(figure, values):
    column = np.array(values, dtype=np.float64)
    rows = tuple((k,) for k in range(len(values)))
    return SweepResult("MACD", ("fast",), rows, {figure: column}, np.ones(2), 0)


@pytest.mark.parametrize("figure", FIGURES)
def test_each_figure_has_its_direction(figure):
    found = result_of(figure, [2.0, float("nan"), 1.0, 3.0, 1.0])
    # Undefined comes last, equals keep their order.
    assert found.order(figure) == ([2, 4, 0, 3, 1] if figure in LOWEST else [3, 0, 2, 4, 1])
    assert found.best(figure) == {"fast": 2 if figure in LOWEST else 3}
    assert found.top(1, figure)[0][figure] == (1.0 if figure in LOWEST else 3.0)


def test_the_shallowest_fall_is_the_best():
    assert result_of("max_drawdown", [-0.3, -0.1, -0.2]).order("max_drawdown") == [1, 2, 0]
