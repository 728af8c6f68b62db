"""The figures of a run, from session returns: x sqrt(252), risk-free rate 0, ddof 1.

A figure that is not defined (no session, no loss, no movement) is NaN, never 0 and never infinite.
"""

from dataclasses import dataclass

import numpy as np

from quant_trading.domain.bars import FloatArray

__all__ = [
    "SESSIONS_PER_YEAR", "Metrics", "annual_volatility", "cagr", "calmar_ratio", "max_drawdown", "measure",
    "returns_of", "sharpe_ratio", "sortino_ratio", "total_return",
]  # fmt: skip

SESSIONS_PER_YEAR = 252
_NAN = float("nan")

# A mean this many times its deviation is the rounding of a constant series, not a Sharpe ratio.
_NOISE = 1e-12


@dataclass(frozen=True, slots=True)
class Metrics:
    """What one run amounts to; fractions, 0.1 = 10 %.

    Attributes:
        sessions: returns measured; the first bar is where the capital starts and has none.
        total_return, cagr: over the whole run; a year has 252 sessions.
        annual_volatility, sharpe, sortino: from session returns.
        max_drawdown: deepest fall from an earlier high, the initial capital included; 0 or negative.
        calmar: cagr over the size of max_drawdown.
        annual_turnover: traded value over equity per 252 sessions; 1.0 = the equity once.
        total_cost: money.
        trades: orders filled.
    """

    sessions: int
    total_return: float
    cagr: float
    annual_volatility: float
    sharpe: float
    sortino: float
    max_drawdown: float
    calmar: float
    annual_turnover: float
    total_cost: float
    trades: int


def measure(curve: FloatArray, total_turnover: float, total_cost: float, trades: int) -> Metrics:
    """Return the figures of an equity curve.

    Args:
        curve: float64[S + 1], money: the initial capital, then the equity after each session.
        total_turnover: sum over the run of traded value over equity.
        total_cost: money.
        trades: orders filled.
    """
    returns = returns_of(curve)
    drawdown = max_drawdown(curve)
    growth = cagr(curve)
    return Metrics(
        sessions=len(returns),
        total_return=total_return(curve),
        cagr=growth,
        annual_volatility=annual_volatility(returns),
        sharpe=sharpe_ratio(returns),
        sortino=sortino_ratio(returns),
        max_drawdown=drawdown,
        calmar=calmar_ratio(growth, drawdown),
        annual_turnover=total_turnover * SESSIONS_PER_YEAR / len(returns) if len(returns) else _NAN,
        total_cost=total_cost,
        trades=trades,
    )


def returns_of(curve: FloatArray) -> FloatArray:
    """Return curve[i + 1] / curve[i] - 1; 0 from a point that is 0 or below, where nothing can be earned."""
    start, end = curve[:-1], curve[1:]
    alive = start > 0.0
    return np.where(alive, end / np.where(alive, start, 1.0) - 1.0, 0.0)


def total_return(curve: FloatArray) -> float:
    """Return the last point over the first, minus 1."""
    return float(curve[-1] / curve[0] - 1.0)


def cagr(curve: FloatArray) -> float:
    """Return the yearly growth that compounds to the total return; -1 when nothing is left."""
    sessions = len(curve) - 1
    if sessions < 1:
        return _NAN
    growth = float(curve[-1] / curve[0])
    return growth ** (SESSIONS_PER_YEAR / sessions) - 1.0 if growth > 0.0 else -1.0


def annual_volatility(returns: FloatArray) -> float:
    """Return the sample deviation (ddof 1) times sqrt(252); NaN for fewer than two returns."""
    return float(np.std(returns, ddof=1) * np.sqrt(SESSIONS_PER_YEAR)) if len(returns) > 1 else _NAN


def sharpe_ratio(returns: FloatArray) -> float:
    """Return mean over sample deviation times sqrt(252), risk-free rate 0."""
    if len(returns) < 2:
        return _NAN
    mean, deviation = float(np.mean(returns)), float(np.std(returns, ddof=1))
    return mean / deviation * float(np.sqrt(SESSIONS_PER_YEAR)) if deviation > _NOISE * abs(mean) else _NAN


def sortino_ratio(returns: FloatArray) -> float:
    """Return mean over the root mean square of the losses (gains count as 0), times sqrt(252)."""
    if len(returns) < 2:
        return _NAN
    downside = float(np.sqrt(np.mean(np.square(np.minimum(returns, 0.0)))))
    return float(np.mean(returns)) / downside * float(np.sqrt(SESSIONS_PER_YEAR)) if downside > 0.0 else _NAN


def max_drawdown(curve: FloatArray) -> float:
    """Return the deepest point of curve over its running maximum, minus 1."""
    return float(np.min(curve / np.maximum.accumulate(curve) - 1.0))


def calmar_ratio(growth: float, drawdown: float) -> float:
    """Return yearly growth over the size of the deepest drawdown; NaN without a drawdown."""
    return growth / -drawdown if drawdown < 0.0 else _NAN
