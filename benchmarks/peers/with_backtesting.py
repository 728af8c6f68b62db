"""backtesting.py: one symbol at a time."""

from typing import Any

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

from benchmarks.peers.crossings import histogram
from benchmarks.peers.measure import FAST, SIGNAL, SLOW, Entries, Job, Outcome, Workload, run_adapter


class _Cross(Strategy):
    fast, slow, signal, shares = FAST, SLOW, SIGNAL, 100

    def init(self) -> None:
        close = pd.Series(np.asarray(self.data.Close))
        self.histogram = self.I(lambda: histogram(close, self.fast, self.slow, self.signal).to_numpy(), plot=False)
        self.first_valid = self.slow + self.signal - 1

    def next(self) -> None:
        if len(self.data) <= self.first_valid:
            return
        before, now = self.histogram[-2], self.histogram[-1]
        if before <= 0.0 < now and not self.position.is_long:
            self.buy(size=self.shares)
        elif before >= 0.0 > now and not self.position.is_short:
            self.sell(size=self.shares)


def _backtests(job: Job) -> list[Any]:
    bars = job.bars
    index = pd.DatetimeIndex(bars.start_ns)
    _Cross.shares = int(job.shares)
    made = []
    for j in range(bars.close.shape[1]):
        frame = pd.DataFrame(
            {"Open": bars.open[:, j], "High": bars.high[:, j], "Low": bars.low[:, j], "Close": bars.close[:, j],
             "Volume": bars.volume[:, j]}, index=index,
        )  # fmt: skip
        made.append(
            Backtest(
                frame, _Cross, cash=job.capital, commission=job.cost_rate, exclusive_orders=True, finalize_trades=True
            )
        )
    return made


def macd_cross(job: Job) -> tuple[Any, Any]:
    """Run W1, W2: trades, equity and its table of figures."""
    backtests = _backtests(job)

    def call() -> Any:
        return [one.run() for one in backtests]

    def read(found: Any) -> Outcome:
        trades = [table.assign(symbol=j) for j, stats in enumerate(found) for table in [stats["_trades"]]]
        table = pd.concat(trades)
        entries = Entries.of(table["EntryBar"], table["symbol"], np.sign(table["Size"]), table["EntryPrice"])
        gained = sum(stats["Equity Final [$]"] - job.capital for stats in found)
        return Outcome(float(job.capital + gained), entries)

    return call, read


def sweep(job: Job) -> tuple[Any, Any]:
    """Run W4 by its own search over a grid."""
    backtest = _backtests(job)[0]
    grid = {name: [int(x) for x in job.settings[key]] for name, key in
            (("fast", "fast"), ("slow", "slow"), ("signal", "signal_span"))}  # fmt: skip

    def call() -> Any:
        return backtest.optimize(**grid, maximize="Equity Final [$]", return_heatmap=True)[1]

    def read(heatmap: Any) -> Outcome:
        finals = heatmap.sort_index().to_numpy(dtype=np.float64)
        return Outcome(float(finals[0]), curve=finals, trades=0)

    return call, read


WORKLOADS: dict[str, Workload] = {"W1": macd_cross, "W2a": macd_cross, "W2b": macd_cross, "W4": sweep}

if __name__ == "__main__":
    run_adapter({"backtesting": "backtesting", "pandas": "pandas"}, WORKLOADS)
