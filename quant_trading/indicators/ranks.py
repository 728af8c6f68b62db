"""The lowest returns of each row of a panel, without sorting the row.

The k-th lowest return of a day is near that of the day before, in units of the spread of the day. A level is
tried, the returns below it are counted (eight at a time), and the level is moved by what is missing over the
density of returns there, until exactly k are below it. A row whose returns are tied at the level or that does not
settle in two dozen counts, is sorted.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from quant_trading.domain.bars import FloatArray
from quant_trading.indicators.compiled import is_worth_compiling, machine_code
from quant_trading.indicators.returns import simple_returns
from quant_trading.indicators.sides import HOLD, SideArray

__all__ = ["lowest", "run_lowest"]


def lowest(
    close: FloatArray, lookback: int, symbols: Sequence[str], share: float, least: int, compiled: bool | None = None
) -> SideArray:
    """Return int8[T, N]: 1 for the lowest returns of each row, else 0, HOLD where the return is not known.

    Ties are taken in order of the names.

    Args:
        close: float64[T, N], prices above 0.
        lookback: bars of the return.
        symbols: N names.
        share: of the known returns of a row, rounded down; 0.1 = a tenth.
        least: the fewest to take, as far as there are so many.
        compiled: None = by the amount of work.
    """
    n_bars, n_symbols = close.shape
    sides = np.empty((n_bars, n_symbols), dtype=np.int8)
    pending = np.ones(n_bars, dtype=np.int8)
    if is_worth_compiling(close.size) if compiled is None else compiled:
        flat = np.ascontiguousarray(close, dtype=np.float64).reshape(-1).view()
        flat.flags.writeable = False
        run = machine_code(run_lowest)
        run(n_bars, n_symbols, lookback, share, least, flat, np.empty(n_symbols), sides.reshape(-1), pending)
    rows = np.flatnonzero(pending)
    if len(rows):
        sides[rows] = _by_sorting(close, lookback, symbols, share, least, rows)
    return sides


def _by_sorting(
    close: FloatArray, lookback: int, symbols: Sequence[str], share: float, least: int, rows: npt.NDArray[np.intp]
) -> SideArray:
    """Return the `rows` of `lowest` by a stable sort of the columns in order of their names."""
    by_name = sorted(range(len(symbols)), key=symbols.__getitem__)
    if len(rows) == len(close):
        change = simple_returns(close, lookback)[:, by_name]
    else:
        change = np.full((len(rows), len(symbols)), np.nan)
        late = rows >= lookback
        change[late] = (close[rows[late]] / close[rows[late] - lookback] - 1.0)[:, by_name]
    known = ~np.isnan(change)
    wanted = np.maximum(np.floor(known.sum(axis=1) * share + 1e-9), least)[:, np.newaxis]
    order = np.argsort(change, axis=1, kind="stable")  # NaN sorts last
    chosen = np.zeros(change.shape, dtype=np.int8)
    np.put_along_axis(chosen, order, (np.arange(len(symbols)) < wanted).astype(np.int8), axis=1)
    sides = np.empty_like(chosen)
    sides[:, by_name] = np.where(known, chosen, np.int8(HOLD))
    return sides


def run_lowest(
    n_bars: int, n_symbols: int, lookback: int, share: float, least: int, close: FloatArray, change: FloatArray,
    sides: SideArray, pending: SideArray,
) -> int:  # fmt: skip
    """Fill the rows of `sides` that settle, take their mark from `pending` and return how often was counted.

    Args:
        close, sides: flat, row after row. change: float64[N], room to work in. pending: int8[T] of ones.
    """
    level, counts = -1.6, 0
    apart = n_symbols // 64 + 1
    for t in range(lookback, n_bars):
        # Views of rows: numba makes vectors of loops that begin at 0.
        now = close[t * n_symbols : (t + 1) * n_symbols]
        early = close[(t - lookback) * n_symbols : (t - lookback + 1) * n_symbols]
        known = 0
        for j in range(n_symbols):
            x = now[j] / early[j] - 1.0
            change[j] = x
            known += 1 if x == x else 0
        wanted = max(int(known * share + 1e-9), least)
        if wanted >= known:
            continue
        # A sample says where the returns of the day lie and how far apart: it is only where the search begins.
        n = 0.0
        mean = spread = 0.0
        for j in range(0, n_symbols, apart):
            if change[j] == change[j]:
                mean += change[j]
                n += 1.0
        mean /= max(n, 1.0)
        for j in range(0, n_symbols, apart):
            if change[j] == change[j]:
                spread += abs(change[j] - mean)
        spread /= max(n, 1.0)
        if not spread > 0.0:
            continue
        at = mean + level * spread
        per_return = 0.14 * known / spread
        below, above = -np.inf, np.inf
        count_below, count_above, count = 0, known, -1
        for _ in range(24):
            count = 0
            for j in range(n_symbols):
                count += 1 if change[j] <= at else 0
            counts += 1
            if count == wanted:
                break
            if count < wanted:
                below, count_below = at, count
            else:
                above, count_above = at, count
            step = at + (wanted - count) / per_return
            if below > -np.inf and above < np.inf:
                if not below < step < above or above - below < 4.0 * abs(step - at):
                    share_of_gap = (wanted - count_below + 0.5) / (count_above - count_below + 1.0)
                    step = below + (above - below) * share_of_gap
                if not below < step < above:
                    break  # neighbouring numbers: returns are tied here
            at = step
        if count != wanted:
            continue
        level = (at - mean) / spread
        pending[t] = 0
        out = sides[t * n_symbols : (t + 1) * n_symbols]
        for j in range(n_symbols):
            x = change[j]
            out[j] = (1 if x <= at else 0) if x == x else -128
    return counts
