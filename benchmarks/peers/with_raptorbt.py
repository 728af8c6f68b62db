"""raptorbt: its array runners, which hold one side and a share of the cash, and its class of strategies.

The array runners are run long only: in version 0.13.4 the equity of a short run is that of the same trades held long,
whatever the trades themselves say they lost, so there is nothing to be equal to.
"""

import os
from itertools import product
from typing import Any

import numpy as np

os.environ["RAPTORBT_NO_VERSION_CHECK"] = "1"  # it would ask the network for a newer version
import raptorbt
from raptorbt.strategy import orders

from benchmarks.peers.crossings import marks
from benchmarks.peers.measure import FAST, SIGNAL, SLOW, Entries, Job, Outcome, Workload, run_adapter


def _columns(job: Job, symbol: int) -> tuple[Any, ...]:
    bars = job.bars
    prices = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return (bars.start_ns, *(np.ascontiguousarray(column[:, symbol]) for column in prices))


def _config(job: Job) -> Any:
    return raptorbt.BacktestConfig(
        initial_capital=job.capital, fees=job.cost_rate, slippage=0.0, fill_timing="next_bar_open"
    )


def _flags(close: Any, fast: int = FAST, slow: int = SLOW, signal: int = SIGNAL) -> tuple[Any, Any]:
    return marks(raptorbt.macd(close, fast, slow, signal)[2], slow + signal - 1)


def _entries(runs: Any) -> Entries:
    found = [(t.entry_idx, j, t.direction, t.entry_price) for j, run in enumerate(runs) for t in run[1]]
    return Entries.of(*zip(*found, strict=True)) if found else Entries.of([], [], [], [])


def _read(runs: Any) -> Outcome:
    start = runs[0][0].equity_curve()[0]
    return Outcome(float(start + sum(curve[-1] - start for _, _, curve in runs)), _entries([r[:2] for r in runs]))


def long_only(job: Job) -> tuple[Any, Any]:
    """Run W1, W2 by arrays, symbol after symbol."""
    columns = [_columns(job, j) for j in range(job.bars.close.shape[1])]
    config = _config(job)

    def call() -> Any:
        runs = []
        for column in columns:
            up, down = _flags(column[4])
            result = raptorbt.run_single_backtest(*column, up, down, 1, 1.0, "A", config)
            runs.append((result, result.trades(), result.equity_curve()))
        return runs

    return call, _read


class _Cross(raptorbt.Strategy):
    """Turn by two orders: the first closes, the second opens."""

    def __init__(self, shares: float) -> None:
        super().__init__()
        self.shares = shares

    def on_start(self, ctx: Any) -> None:
        up, down = _flags(np.asarray(ctx.close))
        self.turns = (up.astype(np.int64) - down).tolist()
        self.held = 0

    def on_bar(self, ctx: Any) -> None:
        turn = self.turns[ctx.idx]
        if turn and turn != self.held:
            side = "buy" if turn > 0 else "sell"
            for _ in range(2 if self.held else 1):
                self.submit_order(orders.Market(side=side, units=self.shares))
            self.held = turn


def by_class(job: Job) -> tuple[Any, Any]:
    """Run W1, W2 by its class of strategies, long and short, on margin."""
    columns = [_columns(job, j) for j in range(job.bars.close.shape[1])]
    config = _config(job)

    def call() -> Any:
        runs = []
        for column in columns:
            result = raptorbt.run_strategy_backtest(
                _Cross(job.shares), *column, config=config, account_type="margin", leverage=10.0
            )
            runs.append((result, result.trades(), result.equity_curve()))
        return runs

    return call, _read


def macd_cross(job: Job) -> tuple[Any, Any]:
    """Run W1, W2 as the settings say."""
    return by_class(job) if job.settings["path"] == "class" else long_only(job)


def sweep(job: Job) -> tuple[Any, Any]:
    """Run W4 by its batch runner, which spreads over all cores, long only."""
    column = _columns(job, 0)
    grid = list(product(job.settings["fast"], job.settings["slow"], job.settings["signal_span"]))
    config = _config(job)

    def call() -> Any:
        items = [raptorbt.BatchSingleItem(str(k), *_flags(column[4], *one)) for k, one in enumerate(grid)]
        found = raptorbt.batch_single_backtest(*column, items, config)
        return [(run.equity_curve()[-1], run.metrics.max_drawdown_pct, run.metrics.total_trades) for _, run in found]

    def read(rows: Any) -> Outcome:
        return Outcome(float(rows[0][0]), curve=np.array([row[0] for row in rows]), trades=sum(row[2] for row in rows))

    return call, read


WORKLOADS: dict[str, Workload] = {"W1": macd_cross, "W2a": macd_cross, "W2b": macd_cross, "W4": sweep}

if __name__ == "__main__":
    run_adapter({"raptorbt": "raptorbt"}, WORKLOADS)
