"""vnpy_ctastrategy: one engine per symbol, orders of its CTA template."""

import logging
from datetime import UTC, datetime
from typing import Any

from vnpy.trader.constant import Direction, Exchange, Interval
from vnpy.trader.object import BarData
from vnpy_ctastrategy import CtaTemplate
from vnpy_ctastrategy.backtesting import BacktestingEngine

from benchmarks.peers.measure import (
    FAST,
    FIRST_VALID,
    SIGNAL,
    SLOW,
    Job,
    Outcome,
    Workload,
    entries_of_fills,
    run_adapter,
)

_FAR = 0.5  # a limit this share away is filled at the next open


class _Cross(CtaTemplate):
    """The averages are carried along: its own array of bars keeps a hundred, too few for pandas' seeding."""

    shares = 100.0
    parameters = ("shares",)

    def on_init(self) -> None:
        self.seen, self.fast, self.slow, self.signal, self.before = -1, 0.0, 0.0, 0.0, 0.0

    def on_bar(self, bar: BarData) -> None:
        close = bar.close_price
        self.seen += 1
        if self.seen == 0:
            self.fast = self.slow = close
            return
        self.fast += 2.0 / (FAST + 1) * (close - self.fast)
        self.slow += 2.0 / (SLOW + 1) * (close - self.slow)
        line = self.fast - self.slow
        self.signal += 2.0 / (SIGNAL + 1) * (line - self.signal)
        before, self.before = self.before, line - self.signal
        if self.seen < FIRST_VALID:
            return
        if before <= 0.0 < self.before and self.pos <= 0:
            self.buy(close * (1.0 + _FAR), self.shares - self.pos)
        elif before >= 0.0 > self.before and self.pos >= 0:
            self.short(close * (1.0 - _FAR), self.shares + self.pos)


def macd_cross(job: Job) -> tuple[Any, Any]:
    """Run W1, W2: trades, its daily table and statistics."""
    bars = job.bars
    stamps = [datetime.fromtimestamp(ns / 1e9, tz=UTC) for ns in bars.start_ns.tolist()]
    at = {stamp: t for t, stamp in enumerate(stamps)}
    series = []
    for j in range(bars.close.shape[1]):
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        rows = zip(stamps, *(column[:, j].tolist() for column in columns), strict=True)
        series.append([
            BarData(symbol="A", exchange=Exchange.LOCAL, datetime=stamp, interval=Interval.MINUTE, open_price=o,
                    high_price=h, low_price=low, close_price=c, volume=v, gateway_name="B")
            for stamp, o, h, low, c, v in rows
        ])  # fmt: skip

    def run(history: list[BarData]) -> Any:
        engine = BacktestingEngine()
        engine.output = lambda _: None
        engine.set_parameters("A.LOCAL", Interval.MINUTE, stamps[0], job.cost_rate, 0.0, 1.0, 0.01, int(job.capital),
                              end=stamps[-1], annual_days=252)  # fmt: skip
        engine.add_strategy(_Cross, {"shares": job.shares})
        engine.history_data = history
        engine.run_backtesting()
        table = engine.calculate_result()
        return engine.get_all_trades(), table, engine.calculate_statistics(output=False)

    def call() -> Any:
        return [run(history) for history in series]

    def read(found: Any) -> Outcome:
        rows = [
            (at[trade.datetime], j, trade.volume if trade.direction == Direction.LONG else -trade.volume, trade.price)
            for j, (trades, _, _) in enumerate(found)
            for trade in trades
        ]
        bar, symbol, quantity, price = zip(*rows, strict=True)
        gained = sum(float(table["net_pnl"].sum()) for _, table, _ in found)
        return Outcome(job.capital + gained, entries_of_fills(bar, symbol, quantity, price))

    return call, read


WORKLOADS: dict[str, Workload] = {"W1": macd_cross, "W2a": macd_cross, "W2b": macd_cross}

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    run_adapter({"vnpy_ctastrategy": "vnpy_ctastrategy", "vnpy": "vnpy", "pandas": "pandas"}, WORKLOADS)
