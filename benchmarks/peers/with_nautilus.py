"""nautilus_trader: its full engine with a simulated venue, bars as data, reports as results."""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.indicators import ExponentialMovingAverage
from nautilus_trader.model import Bar, BarType, Money, Price, Quantity, Venue
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import Equity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

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

_VENUE = Venue("SIM")


class _CrossConfig(StrategyConfig, frozen=True):
    bar_type: BarType
    shares: int


class _Cross(Strategy):
    def __init__(self, config: _CrossConfig) -> None:
        super().__init__(config)
        self.averages = tuple(ExponentialMovingAverage(span) for span in (FAST, SLOW, SIGNAL))
        self.seen, self.before, self.side = -1, 0.0, 0

    def on_start(self) -> None:
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar: Bar) -> None:
        fast, slow, signal = self.averages
        close = bar.close.as_double()
        fast.update_raw(close)
        slow.update_raw(close)
        line = fast.value - slow.value
        signal.update_raw(line)
        self.seen += 1
        before, self.before = self.before, line - signal.value
        if self.seen < FIRST_VALID:
            return
        side = 1 if before <= 0.0 < self.before else -1 if before >= 0.0 > self.before else 0
        if side and side != self.side:
            quantity = Quantity.from_int(self.config.shares * (2 if self.side else 1))
            action = OrderSide.BUY if side > 0 else OrderSide.SELL
            self.submit_order(self.order_factory.market(bar.bar_type.instrument_id, action, quantity))
            self.side = side


def _instrument(name: str, rate: float) -> Equity:
    return Equity(
        instrument_id=InstrumentId(Symbol(name), _VENUE), raw_symbol=Symbol(name), currency=USD, price_precision=2,
        price_increment=Price.from_str("0.01"), lot_size=Quantity.from_int(1), ts_event=0, ts_init=0,
        maker_fee=Decimal(str(rate)), taker_fee=Decimal(str(rate)), margin_init=Decimal(0), margin_maint=Decimal(0),
    )  # fmt: skip


def macd_cross(job: Job) -> tuple[Any, Any]:
    """Run W1, W2: the engine's run and its reports of fills and positions."""
    bars = job.bars
    index = pd.DatetimeIndex(bars.end_ns, tz="UTC")
    at = {int(ns): t for t, ns in enumerate(bars.end_ns)}
    loaded = []
    for j, name in enumerate(bars.names):
        instrument = _instrument(name, job.cost_rate)
        bar_type = BarType.from_str(f"{instrument.id}-5-MINUTE-LAST-EXTERNAL")
        frame = pd.DataFrame({column: getattr(bars, column)[:, j] for column in
                              ("open", "high", "low", "close", "volume")}, index=index)  # fmt: skip
        loaded.append((instrument, bar_type, BarDataWrangler(bar_type, instrument).process(frame)))

    def call() -> Any:
        engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
        engine.add_venue(_VENUE, OmsType.NETTING, AccountType.MARGIN, [Money(job.capital, USD)], base_currency=USD,
                         bar_execution=True)  # fmt: skip
        for instrument, bar_type, data in loaded:
            engine.add_instrument(instrument)
            engine.add_data(data)
            engine.add_strategy(_Cross(_CrossConfig(strategy_id=f"C-{instrument.id.symbol}", bar_type=bar_type,
                                                    shares=int(job.shares))))  # fmt: skip
        engine.run()
        fills = engine.trader.generate_order_fills_report()
        positions = engine.trader.generate_positions_report()
        cash = float(engine.cache.account_for_venue(_VENUE).balance_total(USD))
        engine.dispose()
        return fills, positions, cash

    def read(found: Any) -> Outcome:
        fills, _, cash = found
        names = {f"{name}.SIM": j for j, name in enumerate(bars.names)}
        column = fills["instrument_id"].map(names).to_numpy()
        when = np.array([at[int(pd.Timestamp(stamp).value)] for stamp in fills["ts_last"]])
        sign = np.where(fills["side"] == "BUY", 1.0, -1.0)
        quantity = sign * fills["filled_qty"].astype(float).to_numpy()
        price = fills["avg_px"].astype(float).to_numpy()
        entries = entries_of_fills(when, column, quantity, price)
        # The margin account books what is realised; the open position is marked here.
        order = np.lexsort((when, column))
        open_gain = 0.0
        for j in range(len(bars.names)):
            mine = order[column[order] == j]
            if len(mine):
                held = quantity[mine].sum()
                open_gain += held * (bars.close[-1, j] - price[mine[-1]])
        return Outcome(cash + open_gain, entries)

    return call, read


WORKLOADS: dict[str, Workload] = {"W1": macd_cross, "W2a": macd_cross, "W2b": macd_cross}

if __name__ == "__main__":
    run_adapter({"nautilus_trader": "nautilus_trader", "pandas": "pandas"}, WORKLOADS)
