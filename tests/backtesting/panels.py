"""Panels for the tests of the backtest."""

from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from quant_trading.domain.bars import BarPanel
from quant_trading.refdata.sessions import sessions_between

__all__ = ["panel_of", "random_panel"]

FloatArray = npt.NDArray[np.float64]


def panel_of(close: FloatArray, open_price: FloatArray | None = None, symbols: tuple[str, ...] = ()) -> BarPanel:
    """Return daily bars from 2018-01-02 on with these prices; opens are the closes unless given."""
    close = np.array(close, dtype=np.float64)
    bars, columns = close.shape
    first = date(2018, 1, 2)
    sessions = sessions_between(first, first + timedelta(days=2 * bars + 10))[:bars]
    opens = close.copy() if open_price is None else np.array(open_price, dtype=np.float64)
    return BarPanel(
        symbols or tuple(f"S{j:02d}" for j in range(columns)),
        "1 day",
        np.array([s.open_ns for s in sessions], dtype=np.int64),
        np.array([s.close_ns for s in sessions], dtype=np.int64),
        opens,
        np.fmax(opens, close),
        np.fmin(opens, close),
        close,
        np.where(np.isnan(close), np.nan, 1000.0),
    )


def random_panel(seed: int, bars: int, columns: int, missing: float = 0.0) -> BarPanel:
    """Return a random walk in cents, a share `missing` of whose bars is lacking."""
    rng = np.random.default_rng(seed)
    close = np.round(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, (bars, columns)), axis=0)), 2)
    opens = np.round(close * np.exp(rng.normal(0.0, 0.005, (bars, columns))), 2)
    lacking = rng.random((bars, columns)) < missing
    close[lacking] = np.nan
    opens[lacking] = np.nan
    return panel_of(close, opens)
