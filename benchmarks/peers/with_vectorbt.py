"""vectorbt, by its numba or its Rust engine."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import vectorbt as vbt

from benchmarks.peers.crossings import crossings
from benchmarks.peers.measure import Entries, Job, Outcome, Workload, entries_of_fills, run_adapter

_CHUNK = 250  # combinations at a time: each holds a dozen arrays of all bars


def _later(flags: Any) -> Any:
    """Return the flags one bar later: decided at the close, filled at the next open."""
    moved = np.zeros_like(flags)
    moved[1:] = flags[:-1]
    return moved


def _portfolio(job: Job, close: Any, open_price: Any, up: Any, down: Any) -> Any:
    return vbt.Portfolio.from_signals(
        close, _later(up), False, _later(down), False, price=open_price, size=job.shares, size_type="amount",
        upon_opposite_entry="reverse", fees=job.cost_rate, init_cash=job.capital, freq="5min",
        engine=job.settings["engine"],
    )  # fmt: skip


def macd_cross(job: Job) -> tuple[Any, Any]:
    """Run W1, W2: orders, equity, final value, drawdown and number of trades of each column."""
    bars = job.bars
    index = pd.DatetimeIndex(bars.start_ns)
    close = pd.DataFrame(bars.close, index=index, columns=bars.names)
    open_price = pd.DataFrame(bars.open, index=index, columns=bars.names)

    def call() -> Any:
        portfolio = _portfolio(job, close, open_price, *crossings(close))
        figures = portfolio.max_drawdown(), portfolio.trades.count()
        return portfolio, portfolio.value(), portfolio.orders.values, figures

    def read(found: Any) -> Outcome:
        _, value, orders, _ = found
        quantity = np.where(orders["side"] == 0, orders["size"], -orders["size"])
        entries = entries_of_fills(orders["idx"], orders["col"], quantity, orders["price"])
        last = np.asarray(value)[-1]
        return Outcome(float(np.sum(last - job.capital) + job.capital), entries)

    return call, read


def sweep(job: Job) -> tuple[Any, Any]:
    """Run W4: every combination with final value, Sharpe ratio, drawdown and trades."""
    bars = job.bars
    index = pd.DatetimeIndex(bars.start_ns)
    close, open_price = (pd.Series(column[:, 0], index=index) for column in (bars.close, bars.open))
    grid = list(product(job.settings["fast"], job.settings["slow"], job.settings["signal_span"]))

    def call() -> Any:
        finals, orders = [], 0
        for at in range(0, len(grid), _CHUNK):
            flags = [crossings(close, *one) for one in grid[at : at + _CHUNK]]
            up, down = (np.column_stack([pair[side] for pair in flags]) for side in (0, 1))
            portfolio = _portfolio(job, close, open_price, up, down)
            finals.append(np.asarray(portfolio.final_value()))
            orders += len(portfolio.orders.values)
            _ = portfolio.sharpe_ratio(), portfolio.max_drawdown(), portfolio.trades.count()
        return np.concatenate(finals), orders

    def read(found: Any) -> Outcome:
        return Outcome(float(found[0][0]), curve=found[0], trades=found[1])

    return call, read


def reversal(job: Job) -> tuple[Any, Any]:
    """Run W3: the lowest tenth of the returns over five days, as target percentages of the equity at each close."""
    from benchmarks.peers.with_pandas import lowest_tenth

    bars = job.bars
    close = pd.DataFrame(bars.close, index=pd.DatetimeIndex(bars.start_ns), columns=bars.names)

    def call() -> Any:
        portfolio = vbt.Portfolio.from_orders(
            close, lowest_tenth(close), size_type="targetpercent", group_by=True, cash_sharing=True, call_seq="auto",
            fees=job.cost_rate, init_cash=job.capital, freq="1D", engine=job.settings["engine"],
        )  # fmt: skip
        return portfolio.value()

    def read(value: Any) -> Outcome:
        curve = np.asarray(value, dtype=np.float64)
        return Outcome(float(curve[-1]), Entries.of([], [], [], []), curve, trades=0)

    return call, read


WORKLOADS: dict[str, Workload] = {
    "W1": macd_cross, "W2a": macd_cross, "W2b": macd_cross, "W3": reversal, "W4": sweep
}  # fmt: skip

if __name__ == "__main__":
    run_adapter({"vectorbt": "vectorbt", "rust": "vectorbt-rust", "pandas": "pandas"}, WORKLOADS)
