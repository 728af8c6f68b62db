"""Bars for the simulator's tests: built by hand, or drawn by hypothesis."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from quant_trading.tws_sim.tape import TapeBars

SECOND_NS = 1_000_000_000


def bars_of(rows: Sequence[tuple[float, float, float, float, float]], step_seconds: int = 60) -> TapeBars:
    """Return bars from rows of open, high, low, close, volume; one trade per 100 shares."""
    columns = np.array(rows, dtype=np.float64).reshape(-1, 5).T
    open_, high, low, close, volume = columns
    start = np.arange(len(rows), dtype=np.int64) * step_seconds * SECOND_NS
    count = np.ceil(volume / 100).astype(np.int64)
    return TapeBars(start, open_, high, low, close, volume, (open_ + high + low + close) / 4, count)


@st.composite
def parent_bars(draw: st.DrawFn) -> TapeBars:
    """Draw up to five bars on the cent grid, untraded and one-trade bars among them."""
    rows, counts = [], []
    for _ in range(draw(st.integers(1, 5))):
        low = draw(st.integers(1, 50_000))
        high = low + draw(st.integers(0, 400))
        open_, close = draw(st.integers(low, high)), draw(st.integers(low, high))
        count = draw(st.sampled_from([0, 1, 2, 5, 60, 5_000]))
        volume = count + draw(st.integers(0, 10**6)) if count else 0
        if count == 0:
            open_ = high = low = close
        rows.append((open_ / 100, high / 100, low / 100, close / 100, volume))
        counts.append(count)
    bars = bars_of(rows, 3600)
    return TapeBars(*(getattr(bars, name) for name in TapeBars.__slots__[:-1]), np.array(counts, dtype=np.int64))
