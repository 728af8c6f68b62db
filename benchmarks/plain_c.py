"""The same work as a plain C loop, made by the machine's own compiler: how near to the machine a figure is.

A clock says little about a virtual processor that shares its caches and its vector units. This loop feels all of that
as the backtester does, so a ratio to it means the same on every machine.
"""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from quant_trading.backtesting.settings import BacktestSettings
from quant_trading.domain.bars import BarPanel
from quant_trading.strategy.macd import Macd

__all__ = ["plain_macd"]

_SOURCE = Path(__file__).with_name("plain_loop.c")
_FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")


@cache
def _loop() -> Callable[..., int] | None:
    """Return the compiled loop; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "plain_loop.so"
        done = subprocess.run(
            [compiler, *_FLAGS, "-o", str(made), str(_SOURCE)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            print(f"plain C: {compiler} cannot compile it: {done.stderr.strip()[-200:]}")
            return None
        loop: Callable[..., int] = ctypes.CDLL(str(made)).run_series
    loop.restype = ctypes.c_int64  # type: ignore[attr-defined]
    return loop


def plain_macd(panel: BarPanel, strategy: Macd, settings: BacktestSettings) -> Callable[[], tuple[int, float]] | None:
    """Return the work: fills and equity of fixed shares, each symbol's own bars in a row; None without a compiler.

    The work returns how many fills there are and the final equity.
    """
    loop = _loop()
    if loop is None:
        return None
    bars, symbols = panel.close.shape
    opens, closes = (np.ascontiguousarray(column.T) for column in (panel.open, panel.close))
    weights = np.array([2.0 / (span + 1) for span in (strategy.fast, strategy.slow, strategy.signal_span)])
    capital = ctypes.c_double(settings.initial_capital / symbols)
    shares, rate = ctypes.c_double(settings.shares), ctypes.c_double(settings.cost_bps / 1e4)
    first, length = ctypes.c_int64(strategy.first_valid), ctypes.c_int64(bars)

    def at(array: np.ndarray) -> ctypes.c_void_p:
        return ctypes.c_void_p(array.ctypes.data)

    def work() -> tuple[int, float]:
        equity, count, fills = np.zeros(bars), 0, []
        for j in range(symbols):
            out = (np.empty(bars, dtype=np.int64), *np.empty((3, bars)))
            done = loop(
                length,
                first,
                at(opens[j]),
                at(closes[j]),
                at(weights),
                shares,
                rate,
                capital,
                at(equity),
                *map(at, out),
            )
            fills.append([column[:done] for column in out])
            count += done
        return count, float(equity[-1])

    return work
