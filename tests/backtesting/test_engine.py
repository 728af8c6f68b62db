"""The engine: what it refuses, what it hands to the kernel, and what it does not import."""

import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quant_trading.backtesting.engine import (
    Accounting,
    BacktestSettings,
    CommissionPlan,
    Delisting,
    FillConvention,
    Rounding,
    Sizing,
    run_backtest,
)
from quant_trading.backtesting.kernel import Reason
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.domain.exits import StopLoss, TimeExit
from quant_trading.domain.limits import Limits
from quant_trading.strategy.reversal import Reversal
from quant_trading.strategy.static import Static
from tests.backtesting.panels import panel_of, random_panel

ROOT = Path(__file__).resolve().parents[2]
WIDE = Limits(max_position_pct=1.0, max_gross_exposure=1.0)


@dataclass(frozen=True)
class Given:
    """A strategy that returns what it was given."""

    rows: object

    @property
    def warmup(self):
        return 1

    def signal(self, bars):
        return np.asarray(self.rows, dtype=np.float64)

    def target(self, signal, limits):
        return signal


def test_static_weights_buy_whole_shares_at_the_next_open():
    panel = panel_of([[10.0], [11.0]], [[10.0], [10.5]])
    result = run_backtest(panel, Static({"S00": 0.2}), Limits(), BacktestSettings(1000.0, cost_bps=10.0))
    assert result.ledger.holdings[:, 0].tolist() == [0, 20]  # 200 / 10
    assert result.ledger.cost[1] == pytest.approx(20 * 10.5 * 0.001, abs=1e-12)
    assert result.equity[1] == pytest.approx(1000 + 20 * 0.5 - 0.21, abs=1e-12)
    assert result.dates == ("2018-01-02", "2018-01-03")


def test_fractional_shares_on_request():
    panel = panel_of([[30.0], [30.0]])
    settings = BacktestSettings(1000.0, cost_bps=0.0, rounding=Rounding.NONE)
    result = run_backtest(panel, Static({"S00": 0.1}), Limits(), settings)
    assert result.ledger.holdings[1, 0] == pytest.approx(100 / 30)


def test_bars_before_the_first_bar_feed_the_strategy_only():
    panel = random_panel(5, 40, 4)
    settings = BacktestSettings(fill=FillConvention.SAME_CLOSE)
    result = run_backtest(panel, Reversal(lookback=5), Limits(), settings, first_bar=10)
    strategy = Reversal(lookback=5)
    assert len(result.equity) == 30
    assert result.dates[0] == run_backtest(panel, strategy, Limits(), settings).dates[10]
    assert np.array_equal(result.signal, strategy.signal(panel)[10:])
    assert np.array_equal(result.target, strategy.target(strategy.signal(panel), Limits())[10:])
    assert not np.isnan(result.signal[0]).any()


def test_accounting_and_fill_reach_the_kernel():
    panel = random_panel(6, 60, 5)
    finals = {
        run_backtest(panel, Reversal(1), Limits(), BacktestSettings(fill=fill, accounting=accounting)).equity[-1]
        for fill in FillConvention
        for accounting in Accounting
    }
    assert len(finals) == 6


@pytest.mark.parametrize(
    ("rows", "limits", "words"),
    [
        ([[0.1, 0.21]], Limits(), ["S01", "2018-01-02", "0.21", "risk.max_position_pct = 0.2", "lower the weight"]),
        ([[0.1, -0.21]], Limits(), ["S01", "2018-01-02", "-0.21", "risk.max_position_pct = 0.2"]),
        ([[0.6, -0.6]], WIDE, ["2018-01-02", "1.2", "risk.max_gross_exposure = 1", "raise the limit"]),
        ([[0.1, np.nan]], Limits(), ["S01", "2018-01-02", "NaN"]),
    ],
)
def test_targets_beyond_the_limits_are_refused(rows, limits, words):
    with pytest.raises(ConfigError) as caught:
        run_backtest(panel_of([[10.0, 20.0]]), Given(rows), limits, BacktestSettings(), strategy_name="MINE")
    assert all(word in str(caught.value) for word in ["MINE", *words])
    assert "\n" not in str(caught.value)


def test_targets_on_the_limits_pass():
    panel = panel_of([[10.0, 20.0]])
    run_backtest(panel, Given([[0.2, -0.2]]), Limits(0.2, 0.4), BacktestSettings())
    run_backtest(panel, Given([[0.2 + 5e-10, 0.0]]), Limits(0.2, 0.4), BacktestSettings())
    with pytest.raises(ConfigError):
        run_backtest(panel, Given([[0.2 + 2e-9, 0.0]]), Limits(0.2, 0.4), BacktestSettings())


def test_targets_of_the_wrong_shape_are_refused():
    with pytest.raises(ConfigError, match=r"shape \(1, 1\).*\(1, 2\)"):
        run_backtest(panel_of([[10.0, 20.0]]), Given([[0.1]]), Limits(), BacktestSettings())


def test_too_few_bars_are_a_gap_with_its_cure():
    with pytest.raises(DataGap, match=r"5 bars are fewer than the 6 .* longer duration"):
        run_backtest(random_panel(1, 5, 2), Reversal(5), Limits(), BacktestSettings())
    with pytest.raises(DataGap, match="there are no bars"):
        run_backtest(random_panel(1, 5, 2).rows(0, 0), Reversal(5), Limits(), BacktestSettings())
    with pytest.raises(DataGap, match="starts at bar 9 but there are 9"):
        run_backtest(random_panel(1, 9, 2), Reversal(5), Limits(), BacktestSettings(), first_bar=9)


@pytest.mark.parametrize("price", [0.0, -1.0, float("inf")])
def test_a_price_that_is_none_is_named(price):
    panel = panel_of([[10.0, 20.0], [10.0, price]])
    with pytest.raises(DataGap, match="S01 2018-01-03: open"):
        run_backtest(panel, Given(np.zeros((2, 2))), Limits(), BacktestSettings())


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"initial_capital": 0.0}, "initial_capital"),
        ({"initial_capital": float("nan")}, "initial_capital"),
        ({"cost_bps": -1.0}, "cost_bps"),
        ({"cost_bps": float("nan")}, "cost_bps"),
        ({"cost_bps": 10_000.0}, "cost_bps"),
        ({"commission_per_trade": -0.01}, "commission_per_trade"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, name):
    with pytest.raises(ConfigError, match=name):
        replace(BacktestSettings(), **values)


def test_a_small_run_imports_neither_pandas_nor_numba_nor_the_client(tmp_path):
    program = """
import sys
from pathlib import Path
import quant_trading.backtesting.engine as engine
heavy = {"pandas", "numba", "ib_async", "asyncio", "pyarrow"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
from quant_trading.data.store import LocalBars, save_bars
from quant_trading.domain.limits import Limits
from quant_trading.strategy.reversal import Reversal
from tests.backtesting.panels import random_panel
folder = Path(sys.argv[1])
save_bars(folder, random_panel(1, 252, 20))
panel = LocalBars(folder).bars([f"S{j:02d}" for j in range(20)], "1 day", "1 Y")
LocalBars(Path(sys.argv[2])).bars(["A", "B"], "1 day", "1 Y")
engine.run_backtest(panel, Reversal(), Limits(), engine.BacktestSettings()).write_csv(folder / "out.csv")
heavy.discard("pyarrow")
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    long_file = tmp_path / "long.parquet"
    columns = {name: [1.0, 1.0] for name in ("open", "high", "low", "close", "volume")}
    pq.write_table(pa.table({"symbol": ["A", "B"], "date": [date(2018, 1, 2)] * 2, **columns}), long_file)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "bars"), str(long_file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Signals(Given):
    """The same as signals, sized by the settings."""

    exits: tuple = ()

    def target(self, signal, limits):
        raise AssertionError("sizing by signals asks for no target")


def by_signal(close, signal, opens=None, actions=None, exits=(), limits=WIDE, **settings):
    panel = panel_of(close, opens)
    chosen = BacktestSettings(**{"initial_capital": 10_000.0, "cost_bps": 0.0, **settings})
    return run_backtest(panel, Signals(signal, exits), limits, chosen, actions=actions)


def test_sizing_in_shares_has_no_limit_of_weights():
    result = by_signal([[10.0]] * 3, [[1.0], [np.nan], [-1.0]], sizing=Sizing.SHARES, shares=1500.0)
    assert result.ledger.holdings[:, 0].tolist() == [0, 1500, 1500]
    assert result.target[:, 0].tolist() == pytest.approx([1500, np.nan, -1500], nan_ok=True)


def test_sizing_by_fraction_is_held_to_the_limits_even_while_it_holds():
    result = by_signal([[10.0]] * 3, [[1.0], [np.nan], [0.0]], sizing=Sizing.FRACTION, fraction=0.5)
    assert result.ledger.holdings[:, 0].tolist() == [0, 500, 500]
    with pytest.raises(ConfigError, match=r"S00 on 2018-01-02 is 0.5, beyond risk.max_position_pct = 0.2"):
        by_signal([[10.0]], [[1.0]], sizing=Sizing.FRACTION, fraction=0.5, limits=Limits())
    signal = [[1.0, np.nan], [np.nan, 1.0]]  # the first is still held when the second comes
    with pytest.raises(ConfigError, match=r"on 2018-01-03 add up to 1.2"):
        by_signal([[10.0, 10.0]] * 2, signal, sizing=Sizing.FRACTION, fraction=0.6)


def test_exits_are_the_strategy_s_unless_the_settings_have_some():
    close, opens = [[100.0], [100.0], [90.0], [90.0]], [[100.0], [100.0], [100.0], [90.0]]
    hold = [[1.0], [np.nan], [np.nan], [np.nan]]
    own = by_signal(close, hold, opens, exits=(StopLoss(0.05),), sizing=Sizing.SHARES)
    assert own.trades.exit_price.tolist() == [95.0]
    assert own.conventions.exits == (StopLoss(0.05),)
    close, opens = [*close, [90.0]], [*opens, [90.0]]
    panel = panel_of(close, opens)
    chosen = BacktestSettings(10_000.0, 0.0, sizing=Sizing.SHARES, exits=(TimeExit(1),))
    other = run_backtest(panel, Signals([*hold, [np.nan]], (StopLoss(0.05),)), WIDE, chosen)
    assert other.conventions.exits == (TimeExit(1),)
    assert other.trades.exit_bar.tolist() == [2]  # held on bar 1, closed at the open of bar 2


def test_exits_that_are_none_are_refused():
    with pytest.raises(ConfigError, match=r"exits = \(0.05,\) is not a tuple of StopLoss"):
        by_signal([[10.0]], [[1.0]], exits=(0.05,), sizing=Sizing.SHARES)


def test_splits_and_dividends_reach_the_account_and_its_trades():
    actions = [
        CorporateAction("S00", date(2018, 1, 4), "split", 2.0),
        CorporateAction("S00", date(2018, 1, 5), "dividend", 0.5),
    ]
    close = [[100.0], [100.0], [50.0], [50.0], [50.0], [50.0]]
    signal = [[1.0], [np.nan], [np.nan], [0.0], [np.nan], [np.nan]]
    result = by_signal(close, signal, actions=actions, sizing=Sizing.SHARES)
    assert result.ledger.holdings[:, 0].tolist() == [0, 100, 200, 200, 0, 0]
    assert result.ledger.equity[-1] == 10_000 + 200 * 0.5
    assert result.trades.quantity.tolist() == [200.0]
    assert result.trades.entry_price.tolist() == [50.0]
    assert result.costs.dividends == 100.0
    row = result.by_symbol()[0]
    assert (row.net_pnl, row.dividends, row.orders, row.trades) == (100.0, 100.0, 2, 1)
    with pytest.raises(ConfigError, match="knows no splits"):
        weights = BacktestSettings(accounting=Accounting.WEIGHTS)
        run_backtest(panel_of([[10.0]]), Given([[0.0]]), WIDE, weights, actions=actions)


def test_a_delisted_position_is_kept_or_paid():
    close = [[10.0, 20.0], [10.0, 20.0], [np.nan, 20.0], [np.nan, 20.0]]
    signal = [[1.0, 0.0]] * 4
    kept = by_signal(close, signal, sizing=Sizing.SHARES)
    paid = by_signal(close, signal, sizing=Sizing.SHARES, delisting=Delisting.CLOSE)
    assert kept.ledger.holdings[:, 0].tolist() == [0, 100, 100, 100]
    assert paid.ledger.holdings[:, 0].tolist() == [0, 100, 0, 0]
    assert paid.equity.tolist() == kept.equity.tolist() == [10_000.0] * 4
    assert [Reason(r).name for r in paid.trades.reason] == ["DELISTED"]
    assert paid.order_count == 1
    assert kept.by_symbol()[0].value == 1000.0


def test_the_parts_of_the_costs_add_up():
    panel = random_panel(11, 120, 4)
    chosen = BacktestSettings(
        cost_bps=3.0, commission_per_trade=0.5, plan=CommissionPlan.IBKR_TIERED, regulatory_fees=True, borrow_rate=0.05,
        slippage_bps=2.0, sizing=Sizing.SHARES,
    )  # fmt: skip
    result = run_backtest(panel, Signals(np.sign(np.sin(np.arange(480.0))).reshape(120, 4)), WIDE, chosen)
    costs = result.costs
    paid = costs.bps + costs.commission + costs.plan + costs.regulatory
    assert paid == pytest.approx(result.ledger.cost.sum(), rel=1e-12)
    assert paid == pytest.approx(result.fills.cost.sum(), rel=1e-12)
    assert min(costs.bps, costs.commission, costs.plan, costs.regulatory, costs.slippage, costs.borrow) > 0.0
    total = sum(row.net_pnl for row in result.by_symbol())
    assert total == pytest.approx(result.equity[-1] - chosen.initial_capital, abs=1e-6)
    assert sum(row.borrow for row in result.by_symbol()) == pytest.approx(costs.borrow)
