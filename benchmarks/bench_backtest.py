"""How fast the backtester is on one core: the workloads W1 to W4 and W6 of docs/performance.md, a CSV, a cold process.

Prints figures with goals beside them and never fails on a time: the machine decides that. Before anything is timed
its fills are compared with those of the plain kernel. Warm figures are processor time, the best of some runs; the
cold one is a whole process by the wall clock.

    ./desk bench backtest
    python -m benchmarks.bench_backtest --only w1 w4
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.front_doors import ROOT
from benchmarks.plain_c import plain_macd
from quant_trading.backtesting import kernel
from quant_trading.backtesting.engine import rules_of, run_backtest
from quant_trading.backtesting.metrics import measure
from quant_trading.backtesting.settings import Accounting, BacktestSettings, FillConvention, Sizing
from quant_trading.backtesting.sweep import run_sweep
from quant_trading.backtesting.sweep_grid import combine, parse_grid
from quant_trading.data.store import load_panel, save_bars
from quant_trading.domain.bars import BarPanel
from quant_trading.domain.limits import Limits
from quant_trading.indicators.compiled import use_wide_registers
from quant_trading.strategy.macd import Macd
from quant_trading.strategy.reversal import ReversalDecile

DAY_NS = 86_400_000_000_000
BARS_A_DAY = 78
FIXED = BacktestSettings(initial_capital=1e8, sizing=Sizing.SHARES, shares=100.0, cost_bps=5.0)
TEXTBOOK = BacktestSettings(accounting=Accounting.WEIGHTS, cost_bps=5.0, fill=FillConvention.SAME_CLOSE)
LIMITS = Limits(0.2, 1.0)


def walk(bars: int, columns: int, daily: bool = False, seed: int = 7) -> BarPanel:
    """Return a random walk on weekdays, 78 bars of five minutes a day unless `daily`."""
    rng = np.random.default_rng(seed)
    spread = 0.02 if daily else 0.0005
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, spread, (bars, columns)), axis=0))
    opens = np.vstack((close[:1], close[:-1])) * np.exp(rng.normal(0.0, spread / 10, (bars, columns)))
    a_day = 1 if daily else BARS_A_DAY
    day = np.arange(bars, dtype=np.int64) // a_day
    first = np.int64(16_072) * DAY_NS + 15 * 3_600_000_000_000  # 2014-01-02 10:00 in New York
    start = first + (day + 2 * (day // 5)) * DAY_NS + (np.arange(bars) % a_day) * 300_000_000_000
    end = start + (6 * 3_600_000_000_000 if daily else 300_000_000_000)
    names = tuple(f"S{j:04d}" for j in range(columns))
    return BarPanel(names, "1 day" if daily else "5 mins", start, end, opens, np.maximum(opens, close),
                    np.minimum(opens, close), close, np.full(close.shape, 1e6))  # fmt: skip


def minutes(bars: int) -> BarPanel:
    """Return one-minute bars, 300 a day, so that a million of them end within the calendar."""
    panel = walk(bars, 1)
    count = np.arange(bars, dtype=np.int64)
    day = count // 300
    start = panel.start_ns[0] + (day + 2 * (day // 5)) * DAY_NS + (count % 300) * 60_000_000_000
    return replace(panel, bar_size="1 min", start_ns=start, end_ns=start + 60_000_000_000)


def best(work: Callable[[], object], runs: int) -> float:
    """Return the least processor time of `work` after one run to warm up, in seconds."""
    return best_of([work], runs)[0]


def best_of(works: Sequence[Callable[[], object]], runs: int) -> list[float]:
    """Return the least processor time of each, in turns of ten: what else the machine does, it does to all of them.

    Ten at a time, for the first after another work finds the caches full of that one's data.
    """
    least = [float("inf")] * len(works)
    for begin in range(0, runs, 10):
        for k, work in enumerate(works):
            work()
            for _ in range(min(10, runs - begin)):
                begun = time.process_time()
                work()
                least[k] = min(least[k], time.process_time() - begun)
    return least


def calibrate() -> float:
    """Return ns a bar of an average that waits for itself: four cycles, whatever else the machine does.

    Where a multiplication and an addition are one instruction of four cycles it tells the clock: 1 ns is 4 GHz. A
    strict average, which rounds in between, takes three times as long, and no compiler may change that.
    """
    import numba

    use_wide_registers()  # before the first function is compiled

    def chain(values: Sequence[float], alpha: float, rest: float) -> float:
        average = 0.0
        for i in range(len(values)):
            average = alpha * values[i] + rest * average
        return average

    walk, values = numba.njit(fastmath={"contract"})(chain), np.random.default_rng(1).random(200_000)
    return 1e9 * best(lambda: walk(values, 0.1, 0.9), 40) / len(values)


def show(name: str, seconds: float, goal: float, note: str = "") -> None:
    """Print one line; NaN is no goal."""
    met = "met" if seconds <= goal else f"{seconds / goal:.1f} x"
    against = "" if goal != goal else f"  goal {1e3 * goal:>8g} ms  {met:<7}"
    print(f"{name:<46} {1e3 * seconds:>10.3f} ms{against} {note}".rstrip(), flush=True)


def check_fills(panel: BarPanel) -> int:
    """Compare a run with the plain kernel, fill by fill; return how many fills."""
    result = run_backtest(panel, Macd(), LIMITS, FIXED)
    prices = (panel.open, panel.high, panel.low, panel.close, panel.volume)
    plain = kernel.simulate(prices, Macd().signal(panel) * FIXED.shares, rules_of(FIXED))
    account = result.account
    assert account is not None
    for name in ("bar", "symbol", "quantity", "price", "cost"):
        if not np.array_equal(getattr(account.fills, name), getattr(plain.fills, name)):
            raise SystemExit(f"bench backtest: {name} of the fills differs from the plain kernel; no time counts")
    if not np.allclose(result.equity, plain.ledger.equity, rtol=1e-9):
        raise SystemExit("bench backtest: equity differs from the plain kernel; no time counts")
    return len(plain.fills)


def bench_macd(name: str, bars: int, columns: int, goal: float, runs: int) -> None:
    """Trades, equity and metrics of one MACD run."""
    import numba  # noqa: F401  (warm: small runs are compiled only where it is loaded already)

    panel = walk(bars, columns)
    fills = check_fills(panel)
    run = lambda: run_backtest(panel, Macd(), LIMITS, FIXED)  # noqa: E731  (the thing that is timed)
    label = f"{name} {columns} x {bars:,} bars"
    works: list[Callable[[], object]] = [run, lambda: run().metrics]
    plain = plain_macd(panel, Macd(), FIXED)
    if plain is None:
        print(f"{label}: no C compiler, so nothing tells what this machine can do")
    else:
        count, equity = plain()
        if count != fills or abs(equity / run().equity[-1] - 1.0) > 1e-9:
            raise SystemExit(f"bench backtest: plain C has {count:,} fills and ends with {equity}, the desk differs")
        works.append(plain)
    seconds = best_of(works, runs)
    limit = seconds[2] if plain is not None else float("nan")
    if plain is not None:
        print(f"{label + ': a plain C loop':<46} {1e3 * limit:>10.3f} ms")
    show(f"{label}: fills, equity", seconds[0], goal, f"{fills:,} fills, {seconds[0] / limit:.1f} x C")
    show(f"{label}: and metrics", seconds[1], goal, f"{seconds[1] / limit:.1f} x C")


def bench_reversal(columns: int, bars: int, goal: float, runs: int) -> None:
    """The textbook account of the lowest tenth by five-day return."""
    panel = walk(bars, columns, daily=True)
    strategy = ReversalDecile(5, 0.1)
    run = lambda: run_backtest(panel, strategy, LIMITS, TEXTBOOK).equity[-1]  # noqa: E731
    weights = strategy.target(strategy.signal(panel), LIMITS)[: min(bars, 300)]
    close = panel.close[: len(weights)]
    moved, before = np.abs(np.diff(weights, axis=0)).sum(axis=1), weights[:-1]
    by_hand = np.cumprod(1.0 + (before * (close[1:] / close[:-1] - 1.0)).sum(axis=1) - 5e-4 * moved)
    ours = run_backtest(panel, strategy, LIMITS, TEXTBOOK).equity[1 : len(weights)] / TEXTBOOK.initial_capital
    if not np.allclose(ours, by_hand, rtol=1e-9):
        raise SystemExit("bench backtest: the reversal differs from the formula; no time counts")
    show(f"W3 reversal {columns:,} x {bars:,}", best(run, runs), goal)


def bench_sweep(runs: int) -> None:
    """10,000 MACD combinations over a symbol-year."""
    panel = walk(19_656, 1)
    runs_of = combine("MACD", parse_grid(["fast=4:13", "slow=20:44", "signal_span=3:42"]), {})
    few = combine("MACD", parse_grid(["fast=4:13:3", "slow=20:44:12", "signal_span=3:42:13"]), {})
    swept = run_sweep(panel, "MACD", few, LIMITS, FIXED)
    for row, one in enumerate(few.strategies):
        plain = run_backtest(panel, one, LIMITS, FIXED)
        same = abs(swept.figures["final_equity"][row] / plain.equity[-1] - 1.0) < 1e-9
        if not same or swept.figures["orders"][row] != np.sum(plain.ledger.trades):
            raise SystemExit(f"bench backtest: combination {few.values[row]} differs from its own run; no time counts")
    seconds = best(lambda: run_sweep(panel, "MACD", runs_of, LIMITS, FIXED), runs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    show(f"W4 {len(runs_of.values):,} MACD combinations", seconds, 0.13, f"process {peak:.0f} MB, goal 150")


def bench_metrics(runs: int) -> None:
    """All figures of 20 years of sessions."""
    curve = 1e6 * np.cumprod(1.0 + np.random.default_rng(3).normal(3e-4, 0.01, 5_041))
    show("W6 metrics of 5,040 sessions", best(lambda: measure(curve), runs), 8e-4)


def bench_csv(runs: int) -> None:
    """A CSV of a million bars: prices of four decimals, as exchanges make them, and of every digit there is."""
    exact = minutes(1_000_000)
    rounded = {name: np.round(getattr(exact, name), 4) for name in ("open", "high", "low", "close")}
    for panel, goal in ((replace(exact, **rounded), 0.35), (exact, float("nan"))):
        with tempfile.TemporaryDirectory() as folder:
            save_bars(Path(folder), panel)
            size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
            seconds = best(lambda place=Path(folder): load_panel(place, ["S0000"], "1 min"), runs)
            show(f"CSV of 1,000,000 bars, {size:.0f} MB", seconds, goal)


def bench_cold(runs: int) -> None:
    """A whole process: CSV to console and JSON."""
    with tempfile.TemporaryDirectory() as folder:
        save_bars(Path(folder), walk(19_656, 1))
        command = [sys.executable, "-m", "quant_trading.backtesting.run_backtest", "--timeframe", "5m", "--data-dir",
                   folder, "--strategy", "MACD", "--cache-dir", str(Path(folder) / "results")]  # fmt: skip
        # As a user's second run: compiled modules are there, which this variable would keep from being written.
        surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        least = float("inf")
        for run in range(runs + 1):
            begun = time.perf_counter()
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=surroundings)
            took = time.perf_counter() - begun
            least = min(least, took) if run else least
            if done.returncode != 0:
                print(f"cold W1: not measured, the command ended with {done.returncode}: {done.stderr.strip()[-200:]}")
                return
        show("W1 whole process, CSV to console and JSON", least, 0.35, "wall clock")


BENCHES: dict[str, Callable[[], None]] = {
    "w4": lambda: bench_sweep(5),  # first: the peak of its memory is that of the process
    "w1": lambda: bench_macd("W1", 19_656, 1, 1.5e-4, 200),
    "w2a": lambda: bench_macd("W2a", 39_312, 50, 8e-3, 9),
    "w2b": lambda: bench_macd("W2b", 5_000_000, 1, 2e-2, 5),
    "w3a": lambda: bench_reversal(500, 2_520, 4e-3, 7),
    "w3b": lambda: bench_reversal(3_000, 5_040, 4e-2, 3),
    "w6": lambda: bench_metrics(60),
    "csv": lambda: bench_csv(3),
    "cold": lambda: bench_cold(15),
}


def main(arguments: list[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="./desk bench backtest", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=sorted(BENCHES), help="some of the workloads")
    chosen = parser.parse_args(arguments).only or list(BENCHES)
    print(f"{processor()}; Python {platform.python_version()}, numpy {version('numpy')}, numba {version('numba')}; "
          f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")  # fmt: skip
    if any(name in chosen for name in BENCHES if name.startswith("w")):
        print(f"calibration: an average that waits for itself, {calibrate():.2f} ns a bar; the goals are of a machine "
              "with 0.95 to 1.00")  # fmt: skip
    for name, bench in BENCHES.items():
        if name in chosen:
            bench()
    return 0


def processor() -> str:
    """Return the name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


if __name__ == "__main__":
    sys.exit(main())
