"""The figures of the closed trades of a run."""

import math
from typing import NamedTuple

from quant_trading.backtesting.figure_loops import TRADE_SUMS, run_trades, sums_of
from quant_trading.backtesting.trades import Trades

__all__ = ["TradeFigures", "trade_figures"]

_NAN = float("nan")

# A deviation this much smaller than its mean is the rounding of equal trades, not a spread.
_NOISE = 1e-12


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


def trade_figures(trades: Trades) -> TradeFigures:
    """Return the figures of the closed trades; no trade has none."""
    n = len(trades)
    if n == 0:
        return TradeFigures()
    columns = (
        trades.gross_pnl, trades.cost, trades.quantity, trades.entry_price, trades.entry_bar, trades.exit_bar
    )  # fmt: skip
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
        trades=n, long_trades=int(longs), short_trades=n - int(longs),
        hit_rate=hit_rate, profit_factor=_over(won, lost), average=mean,
        average_return=returned / n,
        average_win=average_win, average_loss=average_loss, payoff=payoff, expectancy=_over(mean, -average_loss),
        best=best, worst=worst, losing_streak=int(streak), bars_held=bars / n,
        sqn=math.sqrt(n) * mean / deviation if deviation > _NOISE * abs(mean) else _NAN,
        kelly=hit_rate - _over(1.0 - hit_rate, payoff),
    )  # fmt: skip


def _over(above: float, below: float) -> float:
    return above / below if below > 0.0 else _NAN
