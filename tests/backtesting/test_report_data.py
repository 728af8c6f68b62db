"""A run becomes a report without a number changing on the way."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from quant_trading.backtesting.kernel import Account, Fills, Ledger, Reason
from quant_trading.backtesting.report_data import Background, markers_of, report_data
from quant_trading.backtesting.report_words import conventions_of
from quant_trading.backtesting.results import BacktestResult, Conventions, Opinions
from quant_trading.backtesting.settings import (
    Accounting,
    BacktestSettings,
    CloseLast,
    CommissionPlan,
    FillConvention,
    MarginRule,
    ReversalOrders,
)
from quant_trading.backtesting.significance import bootstrap
from quant_trading.backtesting.trades import Splits
from quant_trading.data.findings import Finding
from quant_trading.data.store import SourceFile
from quant_trading.domain.exits import StopLoss, TimeExit
from quant_trading.reporting.model import Marker
from quant_trading.reporting.page import render_report
from quant_trading.strategy.reversal import Reversal
from tests.backtesting.panels import panel_of

CAPITAL = 1_000.0
NAN = float("nan")


def fills_of(*rows: tuple[int, int, float, float, float]) -> Fills:
    """Return fills from (bar, symbol, quantity, price, cost)."""
    bar, symbol, quantity, price, cost = (np.array(c) for c in zip(*rows, strict=True))
    return Fills(bar, symbol, quantity, price, cost, np.zeros(len(rows), dtype=np.int8))


PANEL = panel_of(np.array([[9.0, NAN], [10.0, 20.0], [11.0, NAN], [12.0, 21.0], [12.0, 21.0]]), symbols=("A", "B"))
FILLS = fills_of((0, 0, 10.0, 10.0, 1.0), (0, 1, -5.0, 20.0, 0.5), (2, 0, -10.0, 12.0, 1.0), (2, 1, 5.0, 21.0, 0.5))


def run(**changed: Any) -> BacktestResult:
    """Return a run written by hand over the last four bars of the panel; on the first of them the capital starts.

    10 shares of A are bought at 10 and sold at 12; 5 of B are sold short at 20 and bought back at 21.
    """
    equity = np.array([998.5, 1_008.5, 1_012.0, 1_012.0])
    zeros = np.zeros(4)
    holdings = np.array([[10.0, -5.0], [10.0, -5.0], [0.0, 0.0], [0.0, 0.0]])
    shares = (np.full(4, 0.2), np.full(4, 0.3), np.full(4, 0.1))
    ledger = Ledger(equity, zeros, zeros, np.array([1.5, 0.0, 1.5, 0.0]), *shares, zeros, zeros, zeros, holdings, 0)
    account = Account(ledger, FILLS, 425.0, 0.0, 0.0, 0.4, 0.0, 0.0, np.zeros(2), np.zeros(2))
    how = Conventions("REVERSAL", Reversal(), SETTINGS, (), "1 day")
    made = BacktestResult(PANEL.rows(1, 5), cast(Opinions, None), how, ledger, account)
    return replace(made, **changed)


def with_fills(fills: Fills) -> BacktestResult:
    made = run()
    assert made.account is not None
    return replace(made, account=replace(made.account, fills=fills))


SETTINGS = BacktestSettings(initial_capital=CAPITAL, cost_bps=20.0, commission_per_trade=0.5)
BACK = Background(created="2026-01-05 16:30 EST", version="0.1.0")


def test_the_account_and_its_sessions() -> None:
    data = report_data(run(), BACK)
    assert data.curve.equity.tolist() == [998.5, 1_008.5, 1_012.0, 1_012.0]
    assert [str(t)[:10] for t in data.curve.times] == ["2018-01-03", "2018-01-04", "2018-01-05", "2018-01-08"]
    assert [str(d) for d in data.sessions.dates] == ["2018-01-04", "2018-01-05", "2018-01-08"]
    assert data.sessions.equity.tolist() == [1_000.0, 1_008.5, 1_012.0, 1_012.0]


def test_intraday_bars_keep_exchange_time() -> None:
    # Two bars of 5 minutes on each of two days; 14:30 UTC is 9:30 in New York.
    starts = ("2018-01-03T14:30", "2018-01-03T14:35", "2018-01-04T14:30", "2018-01-04T14:35")
    ns = np.array(starts, dtype="datetime64[ns]").astype(np.int64)
    daily = PANEL.rows(1, 5)
    bars = replace(daily, bar_size="5 mins", start_ns=ns, end_ns=ns + 300_000_000_000)
    data = report_data(run(bars=bars), BACK)
    assert [str(t) for t in data.curve.times[:2]] == ["2018-01-03T09:30:00", "2018-01-03T09:35:00"]
    assert [str(d) for d in data.sessions.dates] == ["2018-01-03", "2018-01-04"]
    assert data.sessions.equity.tolist() == [1_000.0, 1_008.5, 1_012.0]


def test_trades_and_the_line_of_each_symbol() -> None:
    data = report_data(run(), BACK)
    assert data.trades is not None
    # A: 10 x (12 - 10) - 1 - 1 = 18; B: -5 x (21 - 20) - 0.5 - 0.5 = -6.
    assert data.trades.pnl.tolist() == [18.0, -6.0]
    assert data.trades.returns.tolist() == pytest.approx([0.18, -0.06])
    assert [str(t)[:10] for t in data.trades.exit_time] == ["2018-01-05", "2018-01-05"]
    assert data.trades.reason == ("signal", "signal")
    assert data.symbol_table is not None
    assert [c.name for c in data.symbol_table.columns] == [
        "Symbol", "Orders", "Trades", "Hit rate", "P&L", "of trades", "Costs",
    ]  # fmt: skip
    assert data.symbol_table.rows == (("A", 2, 1, 1.0, 18.0, 18.0, 2.0), ("B", 2, 1, 0.0, -6.0, -6.0, 1.0))


def test_what_is_held_at_the_end_is_shown() -> None:
    # 3 of B bought at 21, now at 21: the cost of 0.5 is all they have brought.
    ledger = replace(run().ledger, holdings=np.array([[0.0, 0.0]] * 3 + [[0.0, 3.0]]))
    made = with_fills(fills_of((3, 1, 3.0, 21.0, 0.5)))
    assert made.account is not None
    table = report_data(replace(made, account=replace(made.account, ledger=ledger), ledger=ledger), BACK).symbol_table
    assert table is not None
    assert [c.name for c in table.columns][-2:] == ["Held", "Value"]
    (row,) = table.rows
    assert (row[0], row[4], row[-2:]) == ("B", -0.5, (3.0, 63.0))


def test_every_reason_has_a_word() -> None:
    many = replace(FILLS, reason=np.array([0, 0, int(Reason.STOP_LOSS), int(Reason.TIME_EXIT)], dtype=np.int8))
    data = report_data(with_fills(many), BACK)
    assert data.trades is not None
    assert data.trades.reason == ("stop_loss", "time_exit")


def test_prices_leave_out_rows_without_a_bar_and_fills_stay_on_theirs() -> None:
    a, b = report_data(run(), BACK).prices
    assert a.close.tolist() == [10.0, 11.0, 12.0, 12.0]
    assert [str(t)[:10] for t in b.times] == ["2018-01-03", "2018-01-05", "2018-01-08"]
    assert a.markers == (Marker(0, 10.0, 10.0, "long_entry"), Marker(2, 12.0, 10.0, "long_exit"))
    assert b.markers == (Marker(0, 20.0, 5.0, "short_entry"), Marker(1, 21.0, 5.0, "short_exit"))


def test_a_turn_is_an_exit_and_an_entry() -> None:
    # Long 10, then -15: out of 10, short 5; +5: out of the short.
    fills = fills_of((0, 0, 10.0, 1.0, 0.0), (1, 0, -15.0, 2.0, 0.0), (2, 0, 5.0, 3.0, 0.0))
    kinds = [(m.bar, m.quantity, m.kind) for _, m in markers_of(fills)]
    assert kinds == [(0, 10.0, "long_entry"), (1, 10.0, "long_exit"), (1, 5.0, "short_entry"), (2, 5.0, "short_exit")]


def test_adding_and_reducing() -> None:
    fills = fills_of((0, 0, 10.0, 1.0, 0.0), (1, 0, 5.0, 1.0, 0.0), (2, 0, -6.0, 1.0, 0.0), (3, 0, -9.0, 1.0, 0.0))
    assert [m.kind for _, m in markers_of(fills)] == ["long_entry", "long_entry", "long_exit", "long_exit"]


def test_a_split_changes_what_is_held() -> None:
    # 10 shares become 40 on bar 1; selling 40 on bar 2 leaves nothing, not a short of 30.
    fills = fills_of((0, 0, 10.0, 100.0, 0.0), (2, 0, -40.0, 25.0, 0.0))
    splits = Splits(np.array([1]), np.array([0]), np.array([4.0]))
    assert [m.kind for _, m in markers_of(fills, splits)] == ["long_entry", "long_exit"]
    assert [m.kind for _, m in markers_of(fills)] == ["long_entry", "long_exit", "short_entry"]


def test_costs_are_those_that_were_paid() -> None:
    costs = report_data(run(), BACK).costs
    # 20 bps of 425 are 0.85, 4 orders at 0.5 are 2; the fills themselves say 3.
    assert [(c.name, c.value) for c in costs] == [
        ("Bps of traded value", pytest.approx(0.85)), ("Commission", 2.0), ("Slippage", 0.4), ("Total", 3.0),
    ]  # fmt: skip


def test_key_figures_and_metrics_are_those_of_the_run() -> None:
    made = run()
    data = report_data(made, BACK)
    top = {f.name: f.value for f in data.key_figures}
    assert top["Total return"] == pytest.approx(0.012)
    assert (top["Sharpe ratio"], top["Costs"], top["Final equity"]) == (made.metrics.sharpe, 3.0, 1_012.0)
    rows = {f.name: f for group in data.metrics for f in group.figures}
    for row in made.metrics.rows(np.concatenate((made.sessions[:1], made.sessions[made.session_rows]))):
        if row.name in rows and isinstance(row.value, int | float) and row.value == row.value:
            assert rows[row.name].value == row.value
    assert (rows["Total return"].kind, rows["Volatility a year"].kind) == ("return", "percent")
    assert "Benchmark" not in [group.title for group in data.metrics]


def test_a_benchmark_starts_with_the_same_capital() -> None:
    back = replace(BACK, benchmark=("SPY", np.array([NAN, 50.0, 55.0, 60.0])))
    data = report_data(run(), back)
    assert data.curve.benchmark is not None
    assert data.curve.benchmark[1:].tolist() == [1_000.0, 1_100.0, 1_200.0]
    assert data.key_figures[0].note == "SPY +20.00%"
    nothing = report_data(run(), replace(BACK, benchmark=("SPY", np.full(4, NAN))))
    assert nothing.curve.benchmark is None


def test_what_the_figures_rest_on() -> None:
    sources = (SourceFile("A_1d_bars.csv", "ab" * 32, 100, ("A",)), SourceFile("B_1d_bars.csv", "cd" * 32, 90, ("B",)))
    day = int(PANEL.start_ns[2])
    found = (
        Finding("stale", "warning", "A", day, day, 1, "stale"),
        Finding("zone", "info", "", day, int(PANEL.start_ns[4]), 2, "x"),
    )
    data = report_data(run(), replace(BACK, sources=sources, findings=found))
    assert [(s.symbol, s.rows, s.first, s.last) for s in data.sources] == [
        ("A", 4, "2018-01-03", "2018-01-08"), ("B", 3, "2018-01-03", "2018-01-08"),
    ]  # fmt: skip
    assert [(f.symbol, f.where) for f in data.findings] == [("A", "2018-01-04"), ("all", "2018-01-04 to 2018-01-08")]


def test_the_bootstrap_becomes_intervals() -> None:
    made = bootstrap(np.random.default_rng(1).normal(0.001, 0.01, 300), samples=200, seed=1)
    data = report_data(run(), replace(BACK, bootstrap=made))
    assert [(i.name, i.low, i.estimate, i.high) for i in data.intervals] == [
        (name, one.low, one.estimate, one.high)
        for name, one in (("Sharpe ratio", made.sharpe), ("CAGR", made.cagr), ("Max drawdown", made.max_drawdown))
    ]


def test_a_run_without_fills_has_a_page_too() -> None:
    data = report_data(run(account=None), BACK)
    assert (data.trades, data.symbol_table, data.prices) == (None, None, ())
    assert "1,012.00" in render_report(data)
    assert "+18.00" in render_report(report_data(run(), BACK))


@pytest.mark.parametrize(
    ("settings", "topic", "words"),
    [
        (BacktestSettings(), "Fill", "at the open of the next bar"),
        (BacktestSettings(fill=FillConvention.SAME_CLOSE), "Fill", "a little too good"),
        (BacktestSettings(), "Costs", "5 bps of the traded value; a reversal is one order"),
        (BacktestSettings(cost_bps=0.0), "Costs", "none"),
        (
            BacktestSettings(cost_bps=0.0, plan=CommissionPlan.IBKR_FIXED, regulatory_fees=True,
                             reversal=ReversalOrders.TWO),
            "Costs", "IBKR fixed (dated table) + SEC and FINRA fees on sales; a reversal is two orders",
        ),
        (BacktestSettings(slippage_bps=2.0, slippage_ticks=1.0), "Slippage", "2 bps + 1 ticks of 0.01"),
        (BacktestSettings(margin=MarginRule.CASH), "Margin", "cash only, no shorts"),
        (BacktestSettings(margin=MarginRule.MARGIN), "Margin", "gross exposure up to 2 x equity, closed out below 25%"),
        (BacktestSettings(exits=(StopLoss(0.03), TimeExit(20))), "Exits", "stop loss 3.00%, after 20 bars"),
        (BacktestSettings(close_last=CloseLast.CLOSE), "Last bar", "closed at the last close"),
        (BacktestSettings(accounting=Accounting.WEIGHTS), "Account", "fixed weights"),
    ],
)  # fmt: skip
def test_conventions_in_words(settings: BacktestSettings, topic: str, words: str) -> None:
    assert words in dict(conventions_of(settings))[topic]


def test_the_exits_of_the_strategy_are_said_unless_the_settings_have_their_own() -> None:
    assert "stop loss 5.00%" in dict(conventions_of(BacktestSettings(), (StopLoss(0.05),)))["Exits"]
    own = BacktestSettings(exits=(StopLoss(0.01),))
    assert "stop loss 1.00%" in dict(conventions_of(own, (StopLoss(0.05),)))["Exits"]
    assert "Exits" not in dict(conventions_of(BacktestSettings()))
