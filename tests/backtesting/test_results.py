"""The result file, the summary and the session curve."""

import csv
import hashlib
import io
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.backtesting.engine import (
    Accounting,
    BacktestSettings,
    CloseLast,
    FillConvention,
    Rounding,
    run_backtest,
)
from quant_trading.backtesting.results import COLUMNS
from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.errors import ConfigError
from quant_trading.domain.limits import Limits
from quant_trading.refdata.sessions import sessions_between
from quant_trading.strategy.macd import Macd
from quant_trading.strategy.reversal import Reversal
from quant_trading.strategy.static import Static
from tests.backtesting.panels import panel_of, random_panel


def rows_of(result):
    return list(csv.DictReader(io.StringIO(result.csv_text())))


def intraday_panel():
    """Return hourly bars of two sessions, the first of them a half day: 09:30, 10:30, ... New York."""
    starts, ends = [], []
    for session in sessions_between(*map(np.datetime64.item, np.array(["2018-07-03", "2018-07-05"], "datetime64[D]"))):
        for start in range(session.open_ns, session.close_ns, 3_600 * 10**9):
            starts.append(start)
            ends.append(min(start + 3_600 * 10**9, session.close_ns))
    close = np.round(100 + np.cumsum(np.sin(np.arange(len(starts)))), 2).reshape(-1, 1)
    columns = (close, close, close, close, np.ones_like(close))
    return BarPanel(("A",), "1 hour", np.array(starts), np.array(ends), *(column.copy() for column in columns))


def test_columns_and_one_row_by_hand():
    panel = panel_of([[10.0], [11.0]], [[10.0], [10.5]])
    result = run_backtest(panel, Static({"S00": 0.2}), Limits(), BacktestSettings(1000.0, cost_bps=10.0))
    row = rows_of(result)[1]
    assert tuple(row) == COLUMNS
    assert row["date"] == "2018-01-03"
    assert [row[name] for name in ("strategy", "fill", "accounting", "cost_bps")] == [
        "STATIC", "next_open", "shares", "10.0",
    ]  # fmt: skip
    assert (row["n_long"], row["n_short"]) == ("1", "0")
    assert float(row["signal"]) == 0.2
    assert float(row["turnover"]) == pytest.approx(0.21)  # 20 x 10.5 over 1000
    assert float(row["gross_pnl"]) == pytest.approx(10.0)
    assert float(row["net_return"]) == pytest.approx(0.01 - 0.00021)
    assert float(row["gross_exposure"]) == pytest.approx(220 / 1009.79)


@given(st.integers(0, 10_000), st.sampled_from(FillConvention), st.sampled_from(Accounting), st.booleans())
def test_gross_minus_cost_is_net_and_the_steps_of_the_equity(seed, fill, accounting, close_last):
    settings = BacktestSettings(
        fill=fill,
        accounting=accounting,
        close_last=CloseLast.CLOSE if close_last else CloseLast.LEAVE,
        commission_per_trade=0.5,
    )
    rows = rows_of(run_backtest(random_panel(seed, 25, 4, missing=0.05), Reversal(2), Limits(), settings))
    before = settings.initial_capital
    for row in rows:
        number = {name: float(row[name]) for name in COLUMNS[1:13]}
        assert number["net_pnl"] == pytest.approx(number["gross_pnl"] - number["cost"], abs=1e-9)
        assert number["equity"] - before == pytest.approx(number["net_pnl"], abs=1e-9)
        assert number["net_return"] == pytest.approx(number["net_pnl"] / before, abs=1e-15)
        assert number["gross_return"] == pytest.approx(number["gross_pnl"] / before, abs=1e-15)
        before = number["equity"]


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    def run(path):
        return run_backtest(random_panel(3, 60, 5), Reversal(), Limits(), BacktestSettings()).write_csv(path)

    first, second = run(tmp_path / "deep" / "a.csv"), run(tmp_path / "b.csv")
    assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()
    assert b"\r" not in first.read_bytes()
    assert first.read_bytes().endswith(b"\n")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.csv", "b.csv", "deep"]


def test_numbers_read_back_as_they_were():
    result = run_backtest(random_panel(3, 60, 5), Reversal(), Limits(), BacktestSettings())
    assert [float(row["equity"]) for row in rows_of(result)] == result.equity.tolist()
    assert "-0.0," not in result.csv_text()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    result = run_backtest(random_panel(3, 20, 2), Reversal(), Limits(), BacktestSettings())
    with pytest.raises(ConfigError, match=r"file.*cannot be written"):
        result.write_csv(tmp_path / "file" / "out.csv")


def test_intraday_rows_carry_exchange_time_and_sessions_make_the_curve():
    panel = intraday_panel()
    settings = BacktestSettings(fill=FillConvention.SAME_CLOSE, cost_bps=5.0)
    result = run_backtest(panel, Static({"A": 0.2}), Limits(), settings)
    assert result.dates[0] == "2018-07-03T09:30:00-04:00"
    assert result.dates[4] == "2018-07-05T09:30:00-04:00"  # 09:30 to 13:00 on the half day: four bars
    # Two sessions, their last bars; the cost of the first bar falls into the first session.
    assert result.session_curve.tolist() == [1_000_000.0, result.equity[3], result.equity[-1]]
    assert result.metrics.sessions == 2


def test_daily_curve_starts_with_the_capital_on_the_first_bar():
    result = run_backtest(random_panel(3, 20, 2), Reversal(2), Limits(), BacktestSettings())
    assert result.metrics.sessions == 19
    assert result.session_curve[1:].tolist() == result.equity[1:].tolist()


def test_one_bar_has_no_figures_and_says_so():
    result = run_backtest(panel_of([[10.0]]), Static({"S00": 0.2}), Limits(), BacktestSettings())
    assert any("Sharpe        n/a" in line for line in result.summary())


def test_summary_names_the_figures_and_the_conventions():
    panel = random_panel(3, 60, 5)
    settings = BacktestSettings(cost_bps=7.5, commission_per_trade=1.0, close_last=CloseLast.CLOSE)
    result = run_backtest(panel, Reversal(3, -0.01), Limits(), settings)
    assert max(map(len, result.summary())) <= 80
    text = " ".join(" ".join(result.summary()).split())  # as if the lines had not been wrapped
    for words in (
        "REVERSAL (lookback = 3, threshold = -0.01)",
        f"{result.dates[0]} to {result.dates[-1]}, 60 bars of 1 day",
        "5: S00 S01",
        f"{result.metrics.total_return:+.2%}",
        f"{result.metrics.max_drawdown:.2%}",
        f"{result.equity[-1]:,.2f}",
        "decided on the close, filled at the open of the next bar; whole shares, drifting with prices; "
        "costs 7.5 bps of traded value + 1 per order; last positions closed at the last close",
    ):
        assert words in text
    other = BacktestSettings(fill=FillConvention.NEXT_CLOSE, accounting=Accounting.WEIGHTS, rounding=Rounding.NONE)
    line = " ".join(" ".join(run_backtest(panel, Reversal(3), Limits(), other).summary()).split())
    assert "filled at the close of the next bar; fixed weights (textbook formula)" in line
    assert "last positions left open and marked" in line


def test_dropped_orders_are_told():
    close = np.full((3, 1), 10.0)
    opens = np.array([[10.0], [np.nan], [10.0]])
    result = run_backtest(panel_of(close, opens), Static({"S00": 0.2}), Limits(), BacktestSettings())
    assert result.ledger.dropped_orders == 1
    assert any(line.startswith("dropped") for line in result.summary())


def test_orders_add_up_to_the_holdings():
    result = run_backtest(random_panel(9, 50, 4), Reversal(1), Limits(), BacktestSettings())
    orders = result.orders()
    assert len(orders) == result.metrics.orders
    held = dict.fromkeys(result.symbols, 0.0)
    for order in orders:
        held[order.symbol] += order.change
        assert held[order.symbol] == order.holding
    assert list(held.values()) == result.ledger.holdings[-1].tolist()


def test_the_signal_column_counts_longs_minus_shorts():
    panel = random_panel(4, 200, 3)
    result = run_backtest(panel, Macd(3, 6, 3), Limits(), BacktestSettings())
    assert [float(row["signal"]) for row in rows_of(result)] == np.nansum(result.signal, axis=1).tolist()
    assert {float(row["n_short"]) for row in rows_of(result)} > {0.0}


def test_the_figures_beside_a_benchmark_are_those_of_its_session_returns() -> None:
    """One share of the benchmark itself held with all the money: beta 1, alpha 0, correlation 1."""
    panel = random_panel(4, 120, 1)

    @dataclass(frozen=True)
    class Everything:
        warmup: int = 1

        def signal(self, bars: BarPanel) -> FloatArray:
            return np.ones_like(bars.close)

        def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
            return np.ones_like(signal)

    settings = BacktestSettings(cost_bps=0.0, fill=FillConvention.SAME_CLOSE, rounding=Rounding.NONE)
    result = run_backtest(panel, Everything(), Limits(max_position_pct=1.0), settings)
    beside = result.metrics_beside(panel.close[:, 0])
    assert (beside.beta, beside.correlation) == pytest.approx((1.0, 1.0), abs=1e-9)
    assert beside.alpha == pytest.approx(0.0, abs=1e-9)
    assert beside.sharpe == result.metrics.sharpe
    assert math.isnan(result.metrics.beta)
    nothing = result.metrics_beside(np.full(120, np.nan))
    assert math.isnan(nothing.beta)


def test_the_exposure_of_a_run_is_a_mean_over_its_bars() -> None:
    """Two of four bars hold 20 %: decided on the first and third close, filled there, sold on the second and fourth."""
    targets = np.array([[0.2], [0.0], [0.2], [0.0]])
    panel = panel_of(np.full((4, 1), 100.0))

    @dataclass(frozen=True)
    class InAndOut:
        warmup: int = 1

        def signal(self, bars: BarPanel) -> FloatArray:
            return targets[: len(bars)]

        def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
            return signal

    settings = BacktestSettings(cost_bps=0.0, fill=FillConvention.SAME_CLOSE)
    figures = run_backtest(panel, InAndOut(), Limits(), settings).metrics
    assert (figures.time_in_market, figures.average_gross_exposure) == pytest.approx((0.5, 0.1))
