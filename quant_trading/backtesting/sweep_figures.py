"""What many equity curves come to, side by side: the figures of a sweep."""

import math
from collections.abc import Callable, MutableSequence, Sequence
from typing import Any

import numpy as np

from quant_trading.backtesting.compiling import compile_functions, is_worth_compiling
from quant_trading.domain.bars import FloatArray

__all__ = ["FIGURES", "figures_of", "sum_curves"]

FIGURES = (
    "total_return", "cagr", "annual_volatility", "sharpe", "sortino", "max_drawdown", "calmar", "final_equity",
    "orders", "total_cost",
)  # fmt: skip
_SESSIONS_PER_YEAR = 252
_NOISE = 1e-12  # a mean this many times its deviation is the rounding of a constant series

_Numbers = Sequence[float]
_Out = MutableSequence[float]


def sum_curves(
    width: int, curves: _Numbers, returns: _Out, total: _Out, squares: _Out, shortfall: _Out, highest: _Out,
    deepest: _Out, least: _Out, worst: _Numbers,
) -> None:  # fmt: skip
    """Fill what the figures are made of, float64[K] each but `returns`, float64[S x K].

    Args:
        width: K. curves: float64[(S + 1) x K], money.
        total, squares, shortfall: sums of the returns, of their squares about the mean, of the squared losses; zeros.
        highest, deepest: the peak so far, and the least point over it; `highest` is the first point, `deepest` 1.
        least: the least of a point less `worst`, float64[S], of the session after it; infinite.
    """
    sessions = len(worst)
    for s in range(sessions):
        before, after = curves[s * width : (s + 1) * width], curves[(s + 1) * width : (s + 2) * width]
        row, risk = returns[s * width : (s + 1) * width], worst[s]
        for k in range(width):
            change = after[k] / before[k] - 1.0
            row[k] = change if before[k] > 0.0 else 0.0
        for k in range(width):
            total[k] += row[k]
            loss = row[k] if row[k] < 0.0 else 0.0
            shortfall[k] += loss * loss
        for k in range(width):
            high = after[k] if after[k] > highest[k] else highest[k]
            highest[k] = high
            depth = after[k] / high
            deepest[k] = depth if depth < deepest[k] else deepest[k]
            room = before[k] - risk
            least[k] = room if room < least[k] else least[k]
    for s in range(sessions):
        row = returns[s * width : (s + 1) * width]
        for k in range(width):
            off = row[k] - total[k] / sessions
            squares[k] += off * off


def figures_of(
    curves: FloatArray,
    orders: FloatArray,
    cost: FloatArray,
    worst: FloatArray | None = None,
    room: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return float64[K, figures] by `FIGURES`, with the definitions of `metrics`, and float64[K], the least room.

    Args:
        curves: float64[S + 1, K], money: the initial capital, then the equity after each session.
        orders, cost: float64[K].
        worst: float64[S], the most that could be lost within each session; the room is what equity leaves above it.
        room: float64 of at least S x K to work in.
    """
    sessions, width = len(curves) - 1, curves.shape[1]
    risk = np.zeros(sessions) if worst is None else worst
    sums = np.zeros((6, width))
    sums[3], sums[4], sums[5] = curves[0], 1.0, np.inf
    flat = np.ascontiguousarray(curves).reshape(-1)
    returns = np.empty(sessions * width) if room is None else room[: sessions * width]
    walk: Callable[..., Any] = sum_curves
    if is_worth_compiling(curves.size):
        walk = compile_functions((sum_curves,), counts_references=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        walk(width, flat, returns, *sums, risk)
        return _table(curves, orders, cost, sums), sums[5]


def _table(curves: FloatArray, orders: FloatArray, cost: FloatArray, sums: FloatArray) -> FloatArray:
    sessions = len(curves) - 1
    total, squares, shortfall, _, low, _ = sums
    table = np.full((curves.shape[1], len(FIGURES)), np.nan)
    growth, deepest = curves[-1] / curves[0], low - 1.0
    cagr = np.where(growth > 0.0, np.abs(growth) ** (_SESSIONS_PER_YEAR / max(sessions, 1)) - 1.0, -1.0)
    if sessions > 1:
        mean, year = total / sessions, math.sqrt(_SESSIONS_PER_YEAR)
        deviation, downside = np.sqrt(squares / (sessions - 1)), np.sqrt(shortfall / sessions)
        table[:, 2] = deviation * year
        table[:, 3] = np.where(deviation > _NOISE * np.abs(mean), mean / deviation * year, np.nan)
        table[:, 4] = np.where(downside > 0.0, mean / downside * year, np.nan)
    if sessions > 0:
        table[:, 1] = cagr
        table[:, 6] = np.where(deepest < 0.0, cagr / -deepest, np.nan)
    table[:, 0], table[:, 5], table[:, 7], table[:, 8], table[:, 9] = growth - 1.0, deepest, curves[-1], orders, cost
    return table
