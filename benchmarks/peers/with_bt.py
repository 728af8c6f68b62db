"""bt: the daily reversal as given weights, fractions of shares."""

from typing import Any

import bt
import numpy as np
import pandas as pd

from benchmarks.peers.measure import Job, Outcome, Workload, run_adapter
from benchmarks.peers.with_pandas import lowest_tenth


def reversal(job: Job) -> tuple[Any, Any]:
    """Run W3: equity by day."""
    bars = job.bars
    close = pd.DataFrame(bars.close, index=pd.DatetimeIndex(bars.start_ns).normalize(), columns=bars.names)

    def fee(quantity: float, price: float) -> float:
        return abs(quantity * price) * job.cost_rate

    def call() -> Any:
        strategy = bt.Strategy("R", [bt.algos.WeighTarget(lowest_tenth(close)), bt.algos.Rebalance()])
        backtest = bt.Backtest(strategy, close, initial_capital=job.capital, commissions=fee, integer_positions=False,
                               progress_bar=False)  # fmt: skip
        backtest.run()
        return backtest.strategy.values

    def read(values: Any) -> Outcome:
        curve = np.asarray(values, dtype=np.float64)[-len(close) :]
        return Outcome(float(curve[-1]), curve=curve, trades=0)

    return call, read


WORKLOADS: dict[str, Workload] = {"W3": reversal}

if __name__ == "__main__":
    run_adapter({"bt": "bt", "pandas": "pandas"}, WORKLOADS)
