"""pybroker: its own loop over bars, positions of all symbols in one portfolio."""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pybroker
from pybroker.common import FeeMode, PriceType

from benchmarks.peers.crossings import crossings
from benchmarks.peers.measure import FIRST_VALID, Job, Outcome, Workload, entries_of_fills, run_adapter


def macd_cross(job: Job) -> tuple[Any, Any]:
    """Run W1, W2: orders, equity and its table of figures (without the bootstrap)."""
    bars = job.bars
    index = pd.DatetimeIndex(bars.start_ns)
    frame = pd.concat([
        pd.DataFrame({"date": index, "symbol": name, "open": bars.open[:, j], "high": bars.high[:, j],
                      "low": bars.low[:, j], "close": bars.close[:, j], "volume": bars.volume[:, j]})
        for j, name in enumerate(bars.names)
    ])  # fmt: skip
    shares = int(job.shares)
    config = pybroker.StrategyConfig(
        initial_cash=job.capital, fee_mode=FeeMode.ORDER_PERCENT, fee_amount=job.cost_rate * 100.0, buy_delay=1,
        sell_delay=1, round_test_result=False, bars_per_year=252 * 78,
    )  # fmt: skip

    def call() -> Any:
        turns = {}
        for j, name in enumerate(bars.names):
            up, down = crossings(pd.Series(bars.close[:, j]))
            turns[name] = (up.astype(np.int64) - down).tolist()
        held: dict[str, int] = dict.fromkeys(bars.names, 0)

        def decide(ctx: Any) -> None:
            t = ctx.bars - 1
            turn = turns[ctx.symbol][t] if t >= FIRST_VALID else 0
            if turn == 0 or turn == held[ctx.symbol]:
                return
            size = shares * (2 if held[ctx.symbol] else 1)
            if turn > 0:
                ctx.buy_fill_price, ctx.buy_shares = PriceType.OPEN, size
            else:
                ctx.sell_fill_price, ctx.sell_shares = PriceType.OPEN, size
            held[ctx.symbol] = turn

        strategy = pybroker.Strategy(frame, index[0], index[-1] + pd.Timedelta(days=1), config)
        strategy.add_execution(decide, list(bars.names))
        return strategy.backtest(calc_bootstrap=False)

    def read(result: Any) -> Outcome:
        table = result.orders
        sign = np.where(table["type"].str.startswith("buy"), 1.0, -1.0)
        at = index.get_indexer(pd.DatetimeIndex(table["date"]))
        column = pd.Index(bars.names).get_indexer(table["symbol"])
        quantity = sign * table["shares"].astype(float).to_numpy()
        entries = entries_of_fills(at, column, quantity, table["fill_price"].astype(float).to_numpy())
        return Outcome(float(Decimal(str(result.portfolio["market_value"].iloc[-1]))), entries)

    return call, read


WORKLOADS: dict[str, Workload] = {"W1": macd_cross, "W2a": macd_cross, "W2b": macd_cross}

if __name__ == "__main__":
    pybroker.disable_logging()
    pybroker.disable_progress_bar()
    run_adapter({"pybroker": "lib-pybroker", "pandas": "pandas"}, WORKLOADS)
