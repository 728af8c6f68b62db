"""From a strategy's signal to wishes: the sign of the opinion times a size."""

import math

import numpy as np

from quant_trading.backtesting.settings import BacktestSettings, Sizing
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.limits import Limits

__all__ = ["annual_deviation", "wishes_of"]

_SESSIONS_PER_YEAR = 252
_SESSION_SECONDS = 6.5 * 3_600.0


def wishes_of(
    signal: FloatArray, bars: BarPanel, settings: BacktestSettings, limits: Limits, first_bar: int = 0
) -> FloatArray:
    """Return float64[T, N]: what is wished after each close, in the unit of `settings.sizing`; NaN = hold.

    A NaN in the signal is no opinion: what is held is held on, so an account is flat before the first opinion.

    Args:
        signal: float64[T, N] of the same bars.
        limits: `max_position_pct` is the most a volatility target may reach.
        first_bar: row of the first decision: a side taken before it is sized there anew.
    """
    side = np.sign(signal)
    if settings.sizing is Sizing.SHARES:
        return np.asarray(side * settings.shares, dtype=np.float64)
    if settings.sizing is Sizing.FRACTION:
        return np.asarray(side * settings.fraction, dtype=np.float64)
    deviation = annual_deviation(bars, settings.vol_window)
    with np.errstate(divide="ignore"):
        wish = side * np.minimum(settings.vol_target / deviation, limits.max_position_pct)
    wish = np.where(side == 0.0, 0.0, wish)
    wish[:first_bar] = np.nan
    return _where_side_changes(wish) if settings.is_on_change else wish


def annual_deviation(bars: BarPanel, window: int) -> FloatArray:
    """Return float64[T, N]: sample deviation of the last `window` returns x sqrt(bars a year).

    NaN where a return is missing. A year has 252 sessions of six and a half hours.
    """
    close = bars.close
    out = np.full(close.shape, np.nan)
    if len(close) > window:
        returns = close[1:] / close[:-1] - 1.0
        windows = np.lib.stride_tricks.sliding_window_view(returns, window, axis=0)
        out[window:] = np.std(windows, axis=-1, ddof=1)
    size = parse_bar_size(bars.bar_size)
    a_session = _SESSION_SECONDS / size.seconds if size.is_intraday else 86_400.0 / size.seconds
    return out * math.sqrt(_SESSIONS_PER_YEAR * a_session)


def _where_side_changes(wish: FloatArray) -> FloatArray:
    """Return the wishes at which the side becomes another than that of the last wish known, elsewhere NaN.

    A size that follows the deviation changes on every bar; on_change sizes a position once, when it is opened.
    """
    side = np.sign(wish)
    rows = np.where(np.isnan(side), 0, np.arange(1, len(side) + 1)[:, np.newaxis])
    last = np.maximum.accumulate(rows, axis=0)
    known = np.vstack([np.zeros((1, side.shape[1])), side])  # row 0: flat before the first opinion
    before = np.take_along_axis(known, np.vstack([np.zeros((1, side.shape[1]), dtype=np.int64), last[:-1]]), axis=0)
    return np.where(side != before, wish, np.nan)
