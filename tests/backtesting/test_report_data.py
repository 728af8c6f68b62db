"""A run becomes a report without a number changing on the way."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from quant_trading.backtesting.kernel import Fills, Ledger, Reason
from quant_trading.backtesting.metrics import Costs, Metrics, measure
from quant_trading.backtesting.report_data import Background, markers_of, report_data
from quant_trading.backtesting.report_words import conventions_of
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
from quant_trading.backtesting.trades import Splits, Trades, trades_of
from quant_trading.data.findings import Finding
from quant_trading.data.store import SourceFile
from quant_trading.domain.exits import StopLoss, TimeExit
from quant_trading.reporting.model import Marker
from quant_trading.reporting.page import render_report
from tests.backtesting.panels import panel_of

CAPITAL = 1_000.0
NAN = float("nan")


@dataclass(frozen=True)
class Run:
    """A run written by hand: 10 shares of A bought at 10, sold at 12; 5 of B sold short at 20, bought back at 21."""

    symbols: tuple[str, ...]
    dates: tuple[str, ...]
    sessions: np.ndarray
    ledger: Ledger
    session_curve: np.ndarray
    metrics: Metrics
    fills: Fills | None
    trades: Trades | None


def fills_of(*rows: tuple[int, int, float, float, float]) -> Fills:
    """Return fills from (bar, symbol, quantity, price, cost)."""
    bar, symbol, quantity, price, cost = (np.array(c) for c in zip(*rows, strict=True))
    return Fills(bar, symbol, quantity, price, cost, np.zeros(len(rows), dtype=np.int8))


PANEL = panel_of(np.array([[9.0, NAN], [10.0, 20.0], [11.0, NAN], [12.0, 21.0], [12.0, 21.0]]), symbols=("A", "B"))
FILLS = fills_of((0, 0, 10.0, 10.0, 1.0), (0, 1, -5.0, 20.0, 0.5), (2, 0, -10.0, 12.0, 1.0), (2, 1, 5.0, 21.0, 0.5))


def run() -> Run:
    """Return the run over the last four bars of the panel; the first bar is where the capital starts."""
    equity = np.array([998.5, 1_008.5, 1_012.0, 1_012.0])
    zeros = np.zeros(4)
    cost = np.array([1.5, 0.0, 1.5, 0.0])
    holdings = np.array([[10.0, -5.0], [10.0, -5.0], [0.0, 0.0], [0.0, 3.0]])
    ledger = Ledger(
        equity, zeros, zeros, cost, np.full(4, 0.2), np.full(4, 0.3), np.full(4, 0.1), zeros, zeros, zeros, holdings, 0
    )
    curve = np.concatenate(([CAPITAL], equity[1:]))
    dates = ("2018-01-03", "2018-01-04", "2018-01-05", "2018-01-08")
    sessions = np.array(dates, dtype="datetime64[D]").astype(np.int64)
    metrics = measure(curve, 0.8, 3.0, 4, costs=Costs(bps=2.0, commission=1.0, slippage=0.4))
    return Run(("A", "B"), dates, sessions, ledger, curve, metrics, FILLS, trades_of(FILLS, 2))


SETTINGS = BacktestSettings(initial_capital=CAPITAL)
BACK = Background("Reversal", created="2026-01-05 16:30 EST", version="0.1.0")


def test_the_account_and_its_sessions() -> None:
    data = report_data(run(), PANEL, SETTINGS, BACK)
    assert data.curve.equity.tolist() == [998.5, 1_008.5, 1_012.0, 1_012.0]
    assert [str(t)[:10] for t in data.curve.times] == list(run().dates)
    assert [str(d) for d in data.sessions.dates] == ["2018-01-04", "2018-01-05", "2018-01-08"]
    assert data.sessions.equity.tolist() == [1_000.0, 1_008.5, 1_012.0, 1_012.0]


def test_intraday_bars_keep_exchange_time() -> None:
    dates = ("2018-01-03T09:30:00-05:00", "2018-01-03T09:35:00-05:00", "2018-01-04T09:30:00-05:00",
             "2018-01-04T09:35:00-05:00")  # fmt: skip
    days = np.array([d[:10] for d in dates], dtype="datetime64[D]").astype(np.int64)
    intraday = replace(run(), dates=dates, sessions=days, session_curve=np.array([CAPITAL, 1_008.5, 1_012.0]))
    data = report_data(intraday, PANEL, SETTINGS, BACK)
    assert str(data.curve.times[1]) == "2018-01-03T09:35:00"
    assert [str(d) for d in data.sessions.dates] == ["2018-01-03", "2018-01-04"]


def test_trades_and_the_line_of_each_symbol() -> None:
    data = report_data(run(), PANEL, SETTINGS, BACK)
    assert data.trades is not None
    # A: 10 x (12 - 10) - 1 - 1 = 18; B: -5 x (21 - 20) - 0.5 - 0.5 = -6.
    assert data.trades.pnl.tolist() == [18.0, -6.0]
    assert data.trades.returns.tolist() == pytest.approx([0.18, -0.06])
    assert [str(t)[:10] for t in data.trades.exit_time] == ["2018-01-05", "2018-01-05"]
    assert data.trades.reason == ("signal", "signal")
    assert data.symbol_table is not None
    assert data.symbol_table.rows == (
        ("A", 2, 1, 1.0, 18.0, 18.0, 2.0, 0.0),
        ("B", 2, 1, 0.0, -6.0, -6.0, 1.0, 3.0),
    )


def test_what_each_symbol_earned_is_added() -> None:
    earned = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [18.0, 57.0]])
    table = report_data(run(), PANEL, SETTINGS, replace(BACK, symbol_pnl=earned)).symbol_table
    assert table is not None
    assert [(row[4], row[8]) for row in table.rows] == [(18.0, 18.0), (-6.0, 57.0)]


def test_every_reason_has_a_word() -> None:
    many = replace(FILLS, reason=np.array([0, 0, int(Reason.STOP_LOSS), int(Reason.TIME_EXIT)], dtype=np.int8))
    data = report_data(replace(run(), trades=trades_of(many, 2)), PANEL, SETTINGS, BACK)
    assert data.trades is not None
    assert data.trades.reason == ("stop_loss", "time_exit")


def test_prices_leave_out_rows_without_a_bar_and_fills_stay_on_theirs() -> None:
    a, b = report_data(run(), PANEL, SETTINGS, BACK).prices
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
    costs = report_data(run(), PANEL, SETTINGS, BACK).costs
    assert [(c.name, c.value) for c in costs] == [
        ("Bps of traded value", 2.0), ("Commission", 1.0), ("Slippage", 0.4), ("Total", 3.0),
    ]  # fmt: skip


def test_key_figures_and_metrics_are_those_of_the_run() -> None:
    made = run()
    data = report_data(made, PANEL, SETTINGS, BACK)
    top = {f.name: f.value for f in data.key_figures}
    assert top["Total return"] == pytest.approx(0.012)
    assert (top["Sharpe ratio"], top["Costs"], top["Final equity"]) == (made.metrics.sharpe, 3.0, 1_012.0)
    rows = {f.name: f for group in data.metrics for f in group.figures}
    for row in made.metrics.rows(made.sessions):
        if row.name in rows and isinstance(row.value, int | float) and row.value == row.value:
            assert rows[row.name].value == row.value
    assert (rows["Total return"].kind, rows["Volatility a year"].kind) == ("return", "percent")
    assert "Benchmark" not in [group.title for group in data.metrics]


def test_a_benchmark_starts_with_the_same_capital() -> None:
    back = replace(BACK, benchmark=("SPY", np.array([NAN, 50.0, 55.0, 60.0])))
    data = report_data(run(), PANEL, SETTINGS, back)
    assert data.curve.benchmark is not None
    assert data.curve.benchmark[1:].tolist() == [1_000.0, 1_100.0, 1_200.0]
    assert data.key_figures[0].note == "SPY +20.00%"
    nothing = report_data(run(), PANEL, SETTINGS, replace(BACK, benchmark=("SPY", np.full(4, NAN))))
    assert nothing.curve.benchmark is None


def test_what_the_figures_rest_on() -> None:
    sources = (SourceFile("A_1d_bars.csv", "ab" * 32, 100, ("A",)), SourceFile("B_1d_bars.csv", "cd" * 32, 90, ("B",)))
    day = int(PANEL.start_ns[2])
    found = (
        Finding("stale", "warning", "A", day, day, 1, "stale"),
        Finding("zone", "info", "", day, int(PANEL.start_ns[4]), 2, "x"),
    )
    data = report_data(run(), PANEL, SETTINGS, replace(BACK, sources=sources, findings=found))
    assert [(s.symbol, s.rows, s.first, s.last) for s in data.sources] == [
        ("A", 4, "2018-01-03", "2018-01-08"), ("B", 3, "2018-01-03", "2018-01-08"),
    ]  # fmt: skip
    assert [(f.symbol, f.where) for f in data.findings] == [("A", "2018-01-04"), ("all", "2018-01-04 to 2018-01-08")]


def test_the_bootstrap_becomes_intervals() -> None:
    made = bootstrap(np.random.default_rng(1).normal(0.001, 0.01, 300), samples=200, seed=1)
    data = report_data(run(), PANEL, SETTINGS, replace(BACK, bootstrap=made))
    assert [(i.name, i.low, i.estimate, i.high) for i in data.intervals] == [
        (name, one.low, one.estimate, one.high)
        for name, one in (("Sharpe ratio", made.sharpe), ("CAGR", made.cagr), ("Max drawdown", made.max_drawdown))
    ]


def test_a_run_without_fills_has_a_page_too() -> None:
    textbook = replace(run(), fills=None, trades=None)
    data = report_data(textbook, PANEL, SETTINGS, BACK)
    assert (data.trades, data.symbol_table, data.prices) == (None, None, ())
    assert "1,012.00" in render_report(data)
    assert "+18.00" in render_report(report_data(run(), PANEL, SETTINGS, BACK))


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
