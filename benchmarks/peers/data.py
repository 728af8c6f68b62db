"""The bars every engine of the comparison reads: one seeded random walk per workload, written once.

The walk: normal steps of the logarithm with the generator PCG64, reflected between half and twice the first price,
so that five million bars neither end at zero nor at infinity; prices rounded to the cent, as on an exchange. Only
numpy is imported, for this file runs in the environments of all peers.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["COLUMNS", "SHAPES", "Bars", "Shape", "daily_returns", "read_bars", "walk", "write_bars"]

COLUMNS = ("open", "high", "low", "close", "volume")
BAR_NS = 300 * 1_000_000_000
DAY_NS = 86_400 * 1_000_000_000
BARS_A_DAY = 78

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a workload is run on.

    Attributes:
        bars, symbols: how many.
        clock: "session" = 78 bars of 5 minutes on each weekday from 14:30 UTC, "always" = 5 minutes without a pause,
            "daily" = one bar a weekday, 14:30 to 21:00 UTC.
        step: deviation of the logarithm from bar to bar.
        seed: of the generator.
    """

    bars: int
    symbols: int
    clock: str
    step: float
    seed: int


# W2b lasts 47 years around the clock, for nanoseconds since 1970 hold no five million bars of sessions.
SHAPES = {
    "W1": Shape(252 * BARS_A_DAY, 1, "session", 0.001, 11),
    "W2a": Shape(2 * 252 * BARS_A_DAY, 50, "session", 0.001, 12),
    "W2b": Shape(5_000_000, 1, "always", 0.001, 13),
    "W3": Shape(2520, 500, "daily", 0.015, 14),
    "W3L": Shape(5040, 3000, "daily", 0.015, 15),
    "W4": Shape(252 * BARS_A_DAY, 1, "session", 0.001, 11),
    "W6": Shape(5040, 1, "daily", 0.012, 16),
}


@dataclass(frozen=True, slots=True)
class Bars:
    """One workload's bars.

    Attributes:
        start_ns, end_ns: int64[T], UTC nanoseconds.
        open, high, low, close, volume: float64[T, N], C order.
    """

    start_ns: IntArray
    end_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    @property
    def names(self) -> tuple[str, ...]:
        """Return a name per column, in the order of the alphabet."""
        return tuple(f"S{j:04d}" for j in range(self.close.shape[1]))


def walk(shape: Shape) -> Bars:
    """Return the bars of `shape`; the same ones each time."""
    random = np.random.Generator(np.random.PCG64(shape.seed))
    size = (shape.bars, shape.symbols)
    width = np.log(2.0)
    path = np.cumsum(random.normal(0.0, shape.step, size), axis=0)
    # A triangle wave folds the path back at both borders: the walk is reflected.
    path = width - np.abs(np.mod(path + width, 4.0 * width) - 2.0 * width)
    close = np.round(100.0 * np.exp(path), 2)
    open_price = np.vstack((np.full((1, shape.symbols), 100.0), close[:-1]))
    open_price = np.round(open_price * np.exp(random.normal(0.0, shape.step / 5.0, size)), 2)
    reach = np.abs(random.normal(0.0, shape.step / 2.0, size))
    high = np.round(np.maximum(open_price, close) * (1.0 + reach), 2)
    low = np.round(np.minimum(open_price, close) * (1.0 - reach), 2)
    volume = random.integers(1_000, 100_000, size).astype(np.float64)
    start, end = _clock(shape)
    return Bars(start, end, open_price, high, low, close, volume)


def daily_returns(bars: Bars) -> FloatArray:
    """Return float64[T - 1], the returns of the first symbol."""
    close = bars.close[:, 0]
    return close[1:] / close[:-1] - 1.0


def write_bars(folder: Path, shape: Shape) -> None:
    """Write the bars of `shape` into `folder`, a file per column, unless they stand there already."""
    stamp = folder / "complete.json"
    if stamp.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    bars = walk(shape)
    for name in ("start_ns", "end_ns", *COLUMNS):
        np.save(folder / f"{name}.npy", getattr(bars, name))
    stamp.write_text(json.dumps({"bars": shape.bars, "symbols": shape.symbols, "seed": shape.seed}), encoding="utf-8")


def read_bars(folder: Path, n_bars: int = 0, n_symbols: int = 0) -> Bars:
    """Return the bars of `folder`, the first `n_bars` of the first `n_symbols`; 0 = all."""
    bars = slice(0, n_bars or None)
    symbols = slice(0, n_symbols or None)
    times = (np.load(folder / f"{name}.npy")[bars] for name in ("start_ns", "end_ns"))
    return Bars(*times, *(np.ascontiguousarray(np.load(folder / f"{name}.npy")[bars, symbols]) for name in COLUMNS))


def _clock(shape: Shape) -> tuple[IntArray, IntArray]:
    opening = 14 * 3_600 * 1_000_000_000 + 30 * 60 * 1_000_000_000
    if shape.clock == "always":
        start = np.int64(5 * 365 * DAY_NS) + np.arange(shape.bars, dtype=np.int64) * BAR_NS
        return start, start + BAR_NS
    per_day = BARS_A_DAY if shape.clock == "session" else 1
    days = -(-shape.bars // per_day)
    # 1999-01-04 was a Monday: five days of each seven.
    weekdays = np.arange(days, dtype=np.int64) // 5 * 7 + np.arange(days, dtype=np.int64) % 5
    first = np.datetime64("1999-01-04").astype(np.int64)
    opens = (first + weekdays) * DAY_NS + opening
    if shape.clock == "daily":
        return opens, opens + np.int64(6.5 * 3_600) * 1_000_000_000
    start = (opens[:, np.newaxis] + np.arange(per_day, dtype=np.int64) * BAR_NS).reshape(-1)[: shape.bars]
    return start, start + BAR_NS
