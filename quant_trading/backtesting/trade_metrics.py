"""The figures of the closed trades of a run."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from quant_trading.backtesting.figure_loops import TRADE_SUMS, run_trades, sums_of
from quant_trading.domain.bars import FloatArray, IntArray

__all__ = ["TradeFigures", "TradeSample", "trade_figures"]

_NAN = float("nan")

# A deviation this much smaller than its mean is the rounding of equal trades, not a spread.
_NOISE = 1e-12

_NOTHING = np.zeros(0)


@dataclass(frozen=True, slots=True)
class TradeSample:
    """The closed trades of a run in the order they were closed.

    Attributes:
        pnl: float64[K], money, after costs.
        bars_held: number[K], bars from entry to exit.
        returns: float64[K], pnl over the value at entry; None when not known.
        sides: number[K], above 0 for a long trade, below 0 for a short one; None when not known.
    """

    pnl: FloatArray
    bars_held: FloatArray | IntArray
    returns: FloatArray | None = None
    sides: FloatArray | IntArray | None = None


class TradeFigures(NamedTuple):
    """What the closed trades say; docs/metrics.md has the formulas.

    Attributes:
        average, average_win, average_loss, best, worst: money; losses are negative.
        hit_rate, average_return, kelly: fractions.
        payoff: average win over average loss; expectancy: average trade over average loss.
        bars_held: mean.
    """

    trades: int = 0
    long_trades: int = 0
    short_trades: int = 0
    hit_rate: float = _NAN
    profit_factor: float = _NAN
    average: float = _NAN
    average_return: float = _NAN
    average_win: float = _NAN
    average_loss: float = _NAN
    payoff: float = _NAN
    expectancy: float = _NAN
    best: float = _NAN
    worst: float = _NAN
    losing_streak: int = 0
    bars_held: float = _NAN
    sqn: float = _NAN
    kelly: float = _NAN


def trade_figures(sample: TradeSample) -> TradeFigures:
    """Return the figures of the closed trades; no trade has none.

    Raises:
        ValueError: when the arrays differ in length.
    """
    pnl = sample.pnl
    n = len(pnl)
    for name, column in (("bars_held", sample.bars_held), ("returns", sample.returns), ("sides", sample.sides)):
        if column is not None and len(column) != n:
            raise ValueError(f"{name} has {len(column)} entries, pnl {n}; give one for each trade")
    if n == 0:
        return TradeFigures()
    columns = [_floats(c) for c in (pnl, sample.bars_held, sample.returns, sample.sides)]
    winners, losers, won, lost, total, squares, best, worst, streak, longs, returned, bars = sums_of(
        run_trades, TRADE_SUMS, columns
    )
    mean = total / n
    deviation = math.sqrt(squares / (n - 1)) if n > 1 else _NAN
    average_win = won / winners if winners else _NAN
    average_loss = -lost / losers if losers else _NAN
    hit_rate = winners / n
    payoff = _over(average_win, -average_loss)
    return TradeFigures(
        trades=n, long_trades=int(longs), short_trades=n - int(longs) if sample.sides is not None else 0,
        hit_rate=hit_rate, profit_factor=_over(won, lost), average=mean,
        average_return=returned / n if sample.returns is not None else _NAN,
        average_win=average_win, average_loss=average_loss, payoff=payoff, expectancy=_over(mean, -average_loss),
        best=best, worst=worst, losing_streak=int(streak), bars_held=bars / n,
        sqn=math.sqrt(n) * mean / deviation if deviation > _NOISE * abs(mean) else _NAN,
        kelly=hit_rate - _over(1.0 - hit_rate, payoff),
    )  # fmt: skip


def _floats(column: FloatArray | IntArray | None) -> FloatArray:
    return _NOTHING if column is None else column.astype(np.float64, copy=False)


def _over(above: float, below: float) -> float:
    return above / below if below > 0.0 else _NAN
