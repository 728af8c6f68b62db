"""How long the bar store takes: a panel of 500 symbols and ten years of daily bars, warm, cold and written.

./desk bench store
python -m benchmarks.bench_store --symbols 500 --runs 9
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from quant_trading.data.bar_store import BarMeta, BarStore
from quant_trading.domain.bars import BarColumns
from quant_trading.refdata.sessions import session_arrays

WARM_GOAL_SECONDS = 0.15


def fill(store: BarStore, symbols: list[str]) -> int:
    """Write a random walk of ten years for each symbol; return how many bars."""
    _, start, end = session_arrays(date(2009, 1, 1), date(2018, 12, 31))
    rng = np.random.default_rng(7)
    for symbol in symbols:
        close = np.round(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, len(start)))), 4) + 0.01
        bars = BarColumns(start, end, close, close * 1.01, close * 0.99, close, np.full(len(close), 1e6))
        store.append(symbol, "1 day", bars, BarMeta("benchmark", datetime(2019, 1, 1, tzinfo=UTC)))
    return len(start) * len(symbols)


def took(store: BarStore, symbols: list[str]) -> tuple[float, float]:
    """Return wall and processor seconds of one read that touches every price."""
    wall, cpu = time.perf_counter(), time.process_time()
    panel = BarStore(store.root).panel(symbols, "1 day")
    float(panel.close.sum())
    return time.perf_counter() - wall, time.process_time() - cpu


def show(name: str, seconds: list[tuple[float, float]], note: str = "") -> None:
    """Print one line: median and best wall time, best processor time."""
    walls, cpus = zip(*seconds, strict=True)
    print(
        f"{name:<44} {statistics.median(walls):8.3f} {min(walls):8.3f} {min(cpus):8.3f}   {note}".rstrip(), flush=True
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=500, help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=9, help="warm reads (default: %(default)s)")
    options = parser.parse_args()
    symbols = [f"S{k:03d}" for k in range(options.symbols)]
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"bar store, {options.symbols} symbols x 10 years of daily bars{load}; seconds")
    print(f"{'':<44} {'median':>8} {'best':>8} {'best cpu':>8}")
    with tempfile.TemporaryDirectory() as folder:
        store = BarStore(Path(folder) / "store")
        wall, cpu = time.perf_counter(), time.process_time()
        bars = fill(store, symbols)
        show("written, every file flushed to the medium", [(time.perf_counter() - wall, time.process_time() - cpu)])
        show("first read: every file and hash", [took(store, symbols)])
        warm = [took(store, symbols) for _ in range(options.runs)]
        met = "met" if statistics.median(w for w, _ in warm) <= WARM_GOAL_SECONDS else "missed"
        show("panel, warm", warm, f"goal {WARM_GOAL_SECONDS:g} s {met}")
        for path in store.root.rglob("*.panel"):
            path.unlink()
        show("panel of other symbols, columns warm", [took(store, symbols)])
        size = sum(path.stat().st_size for path in store.root.rglob("*.parquet"))
        print(f"{bars:,} bars, {size / bars:.1f} bytes each as Parquet")
    return 0


if __name__ == "__main__":
    sys.exit(main())
