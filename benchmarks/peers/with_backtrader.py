"""backtrader, one run per symbol, with the analyzers a person would add."""

from typing import Any

import backtrader as bt
import pandas as pd

from benchmarks.peers.measure import FAST, SIGNAL, SLOW, Job, Outcome, Workload, entries_of_fills, run_adapter


class _Cross(bt.Strategy):
    params = (("shares", 100.0),)

    def __init__(self) -> None:
        self.macd = bt.indicators.MACDHisto(self.data.close, period_me1=FAST, period_me2=SLOW, period_signal=SIGNAL)
        self.fills: list[tuple[int, float, float]] = []
        self.side = 0

    def notify_order(self, order: Any) -> None:
        if order.status == order.Completed:
            self.fills.append((len(self) - 1, order.executed.size, order.executed.price))

    def next(self) -> None:
        if len(self) < SLOW + SIGNAL:
            return
        before, now = self.macd.histo[-1], self.macd.histo[0]
        side = 1 if before <= 0.0 < now else -1 if before >= 0.0 > now else 0
        if side and side != self.side:
            self.order_target_size(target=side * self.p.shares)
            self.side = side


def macd_cross(job: Job) -> tuple[Any, Any]:
    """Run W1, W2: fills, equity by its broker, four analyzers."""
    bars = job.bars
    index = pd.DatetimeIndex(bars.start_ns)
    frames = [
        pd.DataFrame({"open": bars.open[:, j], "high": bars.high[:, j], "low": bars.low[:, j],
                      "close": bars.close[:, j], "volume": bars.volume[:, j]}, index=index)
        for j in range(bars.close.shape[1])
    ]  # fmt: skip

    def run(frame: Any) -> Any:
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.adddata(bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes, compression=5))
        cerebro.addstrategy(_Cross, shares=job.shares)
        cerebro.broker.setcash(job.capital)
        cerebro.broker.setcommission(commission=job.cost_rate)
        for analyzer in (bt.analyzers.TradeAnalyzer, bt.analyzers.DrawDown, bt.analyzers.Returns):
            cerebro.addanalyzer(analyzer)
        cerebro.addanalyzer(bt.analyzers.SharpeRatio, timeframe=bt.TimeFrame.Days, riskfreerate=0.0)
        strategy = cerebro.run()[0]
        return strategy.fills, cerebro.broker.getvalue()

    def call() -> Any:
        return [run(frame) for frame in frames]

    def read(found: Any) -> Outcome:
        rows = [(bar, j, size, price) for j, (fills, _) in enumerate(found) for bar, size, price in fills]
        bar, symbol, quantity, price = zip(*rows, strict=True)
        equity = job.capital + sum(value - job.capital for _, value in found)
        return Outcome(float(equity), entries_of_fills(bar, symbol, quantity, price))

    return call, read


WORKLOADS: dict[str, Workload] = {"W1": macd_cross, "W2a": macd_cross, "W2b": macd_cross}

if __name__ == "__main__":
    run_adapter({"backtrader": "backtrader"}, WORKLOADS)
