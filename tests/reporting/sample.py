"""A made-up report with every section, from a fixed seed."""

from dataclasses import replace

import numpy as np

from quant_trading.reporting.model import (
    Causality,
    Column,
    Curve,
    Figure,
    FigureGroup,
    Finding,
    Interval,
    Marker,
    PriceSeries,
    ReportData,
    SessionCurve,
    SourceFile,
    Sweep,
    Table,
    TradeColumns,
)  # fmt: skip

SYMBOLS = ("AAPL", "JPM", "NVDA", "SPY", "XOM")
CAPITAL = 100_000.0


def sample(sessions: int = 320, seed: int = 7) -> ReportData:
    """Return a report of `sessions` daily bars with every section."""
    random = np.random.default_rng(seed)
    weekdays = np.arange("2022-01-03", "2060-01-01", dtype="datetime64[D]")
    dates = weekdays[np.is_busday(weekdays)][:sessions]
    gains = random.standard_t(4, sessions) * 0.007 + 0.0006
    market = random.normal(0.0003, 0.009, sessions)
    equity = CAPITAL * np.cumprod(1.0 + gains)
    exposure = np.clip(0.6 + np.cumsum(random.normal(0, 0.03, sessions)), 0.1, 1.0)
    times = dates.astype("datetime64[s]")
    curve = Curve(
        times, equity, CAPITAL * np.cumprod(1.0 + market), "SPY",
        exposure, exposure * random.uniform(-0.2, 0.9, sessions),
        np.abs(random.normal(0.05, 0.05, sessions)), np.abs(random.normal(3.0, 2.0, sessions)),
    )  # fmt: skip
    return ReportData(
        mode="backtest", strategy="Reversal", symbols=SYMBOLS, bar_size="1 day", created="2026-01-05 16:30 EST",
        version="0.1.0", command="python trade.py --run backtest --bar-size \"1 day\" --cost-bps 5", curve=curve,
        sessions=SessionCurve(dates, np.concatenate(([CAPITAL], equity))), key_figures=key_figures(equity),
        metrics=metrics(), intervals=intervals(), symbol_table=symbol_table(random),
        trades=trades(times, random), prices=tuple(price(s, times, random) for s in SYMBOLS), costs=costs(),
        parameters=(("lookback", "5"), ("threshold", "-0.02"), ("fill", "next_open"), ("cost_bps", "5")),
        conventions=(
            ("Decision", "on the close of a bar"), ("Fill", "at the open of the next bar"),
            ("Sizing", "whole shares, rounded half to even"), ("Sharpe ratio", "session returns, x sqrt(252)"),
        ),
        sources=tuple(SourceFile(s, f"{s}_1d_bars.csv", f"{i:x}" * 64, sessions, str(dates[0]), str(dates[-1]))
                      for i, s in enumerate(SYMBOLS)),
        findings=(
            Finding("info", "SPY", "2022-11-25", "half day"),
            Finding("warning", "XOM", "2022-05-02", "volume is 0"),
            Finding("error", "NVDA", "2022-07-20", "close falls by 75.1 %: looks like an unadjusted 4:1 split"),
        ),
        causality=Causality(True, "Signals and targets did not change at 24 random cut points."),
        sweep=sweep(random),
    )  # fmt: skip


def key_figures(equity: np.ndarray) -> tuple[Figure, ...]:
    total = float(equity[-1] / CAPITAL - 1.0) if len(equity) else float("nan")
    final = float(equity[-1]) if len(equity) else None
    return (
        Figure("Total return", total, "return", "SPY +7.10%"), Figure("CAGR", 0.1234, "return"),
        Figure("Sharpe ratio", 1.21, "ratio", "95 %: 0.31 to 2.05"),
        Figure("Max drawdown", -0.1034, "return", "88 sessions"),
        Figure("Volatility", 0.1512, "percent", "a year"), Figure("Hit rate", 0.5432, "percent", "of 214 trades"),
        Figure("Costs", 2_301.12, "money", "2.30% of the capital"), Figure("Final equity", final, "money"),
    )  # fmt: skip


def metrics() -> tuple[FigureGroup, ...]:
    return (
        FigureGroup("Return", (Figure("Total return", 0.3421, "return"), Figure("CAGR", 0.1234, "return"),
                               Figure("Best session", 0.041, "return"), Figure("Sessions", 760, "count"))),
        FigureGroup("Risk", (Figure("Volatility", 0.1512, "percent"), Figure("Max drawdown", -0.1034, "return"),
                             Figure("Skew", -0.21, "ratio"), Figure("Beta", float("nan"), "ratio"))),
        FigureGroup("Trades", (Figure("Trades", 214, "count"), Figure("Average trade", 51.2, "pnl"),
                               Figure("Longest drawdown ends", "2023-04-05", "text"))),
    )  # fmt: skip


def intervals() -> tuple[Interval, ...]:
    return (
        Interval("Sharpe ratio", 1.21, 0.31, 2.05, 0.95, "ratio"),
        Interval("CAGR", 0.1234, -0.021, 0.251, 0.95, "return"),
        Interval("Max drawdown", -0.1034, -0.241, -0.071, 0.95, "return"),
    )


def costs() -> tuple[Figure, ...]:
    return (Figure("Commission", 812.5, "money"), Figure("Slippage", 1_301.12, "money"),
            Figure("Regulatory fees", 31.4, "money"), Figure("Borrow", 156.1, "money"))  # fmt: skip


def symbol_table(random: np.random.Generator) -> Table:
    columns = (Column("Symbol", "text"), Column("Trades", "count"), Column("Hit rate", "percent"),
               Column("P&L", "pnl", "after costs"), Column("Costs", "money"),
               Column("Share of P&L", "return"))  # fmt: skip
    rows = tuple(
        (s, int(random.integers(10, 80)), float(random.uniform(0.3, 0.7)), float(random.normal(3_000, 5_000)),
         float(random.uniform(50, 900)), float(random.normal(0.2, 0.3)))
        for s in SYMBOLS
    )  # fmt: skip
    return Table(columns, rows)


def trades(times: np.ndarray, random: np.random.Generator, count: int = 214) -> TradeColumns | None:
    if len(times) < 2:
        return None
    entry = np.sort(random.integers(0, len(times) - 1, count))
    leave = np.minimum(entry + random.integers(1, 10, count), len(times) - 1)
    price_in = random.uniform(20, 400, count).round(2)
    gain = random.normal(0.003, 0.03, count)
    quantity = np.where(random.random(count) < 0.7, 1.0, -1.0) * random.integers(1, 200, count)
    return TradeColumns(
        SYMBOLS, random.integers(0, len(SYMBOLS), count), quantity, times[entry], price_in, times[leave],
        price_in * (1.0 + gain * np.sign(quantity)), np.abs(quantity) * price_in * gain, gain,
        random.uniform(0.3, 4.0, count),
        leave - entry, tuple(random.choice(["signal", "stop_loss", "time_exit"], count).tolist()),
    )  # fmt: skip


def price(symbol: str, times: np.ndarray, random: np.random.Generator) -> PriceSeries:
    rows = len(times)
    close = 100.0 * np.cumprod(1.0 + random.normal(0.0004, 0.015, rows))
    opening = close * (1.0 + random.normal(0, 0.004, rows))
    high = np.maximum(opening, close) * (1.0 + np.abs(random.normal(0, 0.005, rows)))
    low = np.minimum(opening, close) * (1.0 - np.abs(random.normal(0, 0.005, rows)))
    kinds = ("long_entry", "long_exit", "short_entry", "short_exit")
    bars = np.linspace(0, rows - 1, min(rows, 40)).astype(int).tolist()
    return PriceSeries(
        symbol, times, opening, high, low, close,
        tuple(Marker(bar, float(opening[bar]), 40.0 + i, kinds[i % 4]) for i, bar in enumerate(bars)),
    )  # fmt: skip


def sweep(random: np.random.Generator) -> Sweep:
    fast, slow = tuple(str(v) for v in range(5, 16)), tuple(str(v) for v in range(26, 38))
    values = random.normal(0.5, 0.3, (len(slow), len(fast)))
    columns = (
        Column("fast", "text"),
        Column("slow", "text"),
        Column("Sharpe ratio", "ratio"),
        Column("CAGR", "return"),
    )
    rows = tuple((fast[i], slow[i], 1.5 - 0.1 * i, 0.2 - 0.01 * i) for i in range(8))
    return Sweep("Sharpe ratio", "ratio", values.size, Table(columns, rows), "fast", fast, "slow", slow, values,
                 "Deflated Sharpe ratio: 61 % that the best is more than luck.")  # fmt: skip


def without_trading(data: ReportData) -> ReportData:
    """Return `data` with the account alone, as the first day of a paper desk has it."""
    return replace(
        data, mode="paper", trades=None, prices=(), symbol_table=None, sweep=None, findings=(), causality=None,
        sources=(), costs=(), intervals=(), metrics=(), key_figures=(), parameters=(), conventions=(), command="",
    )  # fmt: skip
