"""The SMA cross on daily GOOG bars against backtesting.py: its unit-test case, and the case with a commission.

backtesting.py puts 99.99 % of its equity into each position at the open that fills, whole shares rounded down, after
the old position was closed and paid for: `fraction`, `size_at = fill`, `rounding = down`, `reversal = two`.
"""

import csv
import json
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pytest

from quant_trading.backtesting.engine import (
    BacktestSettings,
    CloseLast,
    ReversalOrders,
    Rounding,
    SizeAt,
    Sizing,
    rules_of,
    run_backtest,
)
from quant_trading.backtesting.kernel import simulate
from quant_trading.backtesting.trades import trades_of
from quant_trading.domain.bars import BarPanel
from quant_trading.domain.limits import Limits
from quant_trading.refdata.sessions import at
from tests.shared_data import golden, needs_shared

pytestmark = needs_shared
WHOLE = Limits(1.0, 1.0)


@dataclass(frozen=True)
class SmaCross:
    """Long after the fast average crossed above the slow one, short after it crossed below."""

    fast: int
    slow: int

    @property
    def warmup(self):
        return self.slow

    def signal(self, bars):
        close = pd.Series(bars.close[:, 0])
        fast, slow = (close.rolling(n).mean().to_numpy() for n in (self.fast, self.slow))
        side = np.full(len(close), np.nan)
        side[1:][(fast[:-1] < slow[:-1]) & (fast[1:] > slow[1:])] = 1.0
        side[1:][(fast[:-1] > slow[:-1]) & (fast[1:] < slow[1:])] = -1.0
        return side.reshape(-1, 1)


def goog():
    with golden("goog_daily_2004_2013.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    days = [date.fromisoformat(row["date"]) for row in rows]
    columns = [np.array([[float(row[name])] for row in rows]) for name in ("open", "high", "low", "close", "volume")]
    starts, ends = (np.array([at(day, clock) for day in days]) for clock in ("09:30", "16:00"))
    return BarPanel(("GOOG",), "1 day", starts, ends, *columns)


def settings(**other):
    return BacktestSettings(
        10_000.0, sizing=Sizing.FRACTION, size_at=SizeAt.FILL, rounding=Rounding.DOWN, reversal=ReversalOrders.TWO,
        **{"cost_bps": 0.0, "fraction": 0.9999, **other},
    )  # fmt: skip


def expected_trades(name):
    with golden(name).open(newline="") as file:
        return list(csv.DictReader(file))


def figures():
    return json.loads(golden("goog_smacross_backtesting_py.json").read_text())


def check(run, rows):
    trades = run.trades
    assert trades.quantity.tolist() == [float(row["Size"]) for row in rows]
    assert trades.entry_bar.tolist() == [int(row["EntryBar"]) for row in rows]
    assert trades.exit_bar.tolist() == [int(row["ExitBar"]) for row in rows]
    assert trades.entry_price == pytest.approx([float(row["EntryPrice"]) for row in rows], rel=1e-9)
    assert trades.exit_price == pytest.approx([float(row["ExitPrice"]) for row in rows], rel=1e-9)


def test_the_unit_test_case_trade_by_trade():
    run = run_backtest(goog(), SmaCross(10, 30), WHOLE, settings(close_last=CloseLast.OPEN))
    rows = expected_trades("goog_smacross_trades_unit_test_case.csv")
    check(run, rows)
    assert run.trades.pnl == pytest.approx([float(row["PnL"]) for row in rows], abs=1e-6)
    published = figures()["published_in_unit_test"]
    assert len(run.trades) == published["# Trades"]
    assert run.equity[-1] == pytest.approx(published["Equity Final [$]"], rel=1e-6)
    assert run.metrics.hit_rate * 100 == pytest.approx(published["Win Rate [%]"], rel=1e-9)
    assert run.metrics.max_drawdown * 100 == pytest.approx(published["Max. Drawdown [%]"], rel=1e-6)
    assert run.metrics.sqn == pytest.approx(published["SQN"], rel=1e-6)


def test_a_commission_of_the_value_at_the_sizes_of_the_golden_run():
    # backtesting.py's own size is what 99.99 % of the money pays for, commission included; as a fraction that gives 92
    # of the 93 sizes (one short of 27 would be 26.999 shares), so the sizes are given here and the money is checked.
    bars, rows = goog(), expected_trades("goog_smacross_trades.csv")
    target = np.full(bars.close.shape, np.nan)
    for row in rows:
        target[int(row["EntryBar"]) - 1, 0] = float(row["Size"])
    target[int(rows[-1]["ExitBar"]) - 1, 0] = 0.0
    chosen = BacktestSettings(10_000.0, cost_bps=20.0, sizing=Sizing.SHARES, reversal=ReversalOrders.TWO)
    account = simulate((bars.open, bars.high, bars.low, bars.close, bars.volume), target, rules_of(chosen))
    trades = trades_of(account.fills, 1)
    assert trades.quantity.tolist() == [float(row["Size"]) for row in rows]
    assert trades.cost == pytest.approx([float(row["Commission"]) for row in rows], rel=1e-9)
    assert trades.pnl == pytest.approx([float(row["PnL"]) for row in rows], abs=1e-6)
    assert account.ledger.equity[-1] == pytest.approx(10_000.0 + sum(float(row["PnL"]) for row in rows), rel=1e-6)
