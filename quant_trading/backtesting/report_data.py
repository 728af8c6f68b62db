"""A finished backtest as the plain data of a report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quant_trading.backtesting.kernel import Fills, Reason
from quant_trading.backtesting.metric_table import MetricRow
from quant_trading.backtesting.metrics import Metrics
from quant_trading.backtesting.report_words import conventions_of
from quant_trading.backtesting.results import BacktestResult, SymbolRow
from quant_trading.backtesting.trades import Splits, Trades
from quant_trading.data import findings as data_findings
from quant_trading.data.store import SourceFile
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.bars import BarPanel, FloatArray, IntArray
from quant_trading.refdata.sessions import exchange_clock_ns
from quant_trading.reporting import model
from quant_trading.reporting.formats import shown, time_text

if TYPE_CHECKING:
    from quant_trading.backtesting.significance import Bootstrap

__all__ = ["MOST_PRICES", "Background", "markers_of", "report_data"]

MOST_PRICES = 12  # symbols whose prices go into the report, those with the most fills first

# Figures that are gains or losses: their sign is always written. All others are sizes.
SIGNED = frozenset({
    "Total return", "CAGR", "CAGR, calendar", "Mean return a year", "Best session", "Worst session", "VaR 5 %",
    "CVaR 5 %", "Max drawdown", "Average drawdown", "Average trade", "Average trade return", "Average win",
    "Average loss", "Best trade", "Worst trade", "Net P&L", "Gross P&L", "Dividends", "Alpha",
})  # fmt: skip

COST_PARTS = (
    ("Bps of traded value", "bps_cost", ""), ("Commission", "commission_cost", ""),
    ("Commission plan", "plan_cost", ""), ("Regulatory fees", "regulatory_cost", ""),
    ("Borrow", "borrow_cost", "paid for shares sold short"),
    ("Slippage", "slippage_cost", "already inside the prices of the fills, not in the total"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Background:
    """What a report says besides the run itself.

    Attributes:
        created: when the report is made, as text; version, command: of the program.
        parameters: what the run was given besides the fields of the strategy, as text.
        benchmark: its name and float64[T] prices on the bars of the run, NaN where it has none.
        sources: the files that were read; findings: of the data checker; causality: the verdict.
        bootstrap, sweep: when they were made.
        with_prices: whether the report shows bars and fills; a console does not.
    """

    created: str
    version: str
    command: str = ""
    currency: str = "USD"
    parameters: Mapping[str, str] | None = None
    benchmark: tuple[str, FloatArray] | None = None
    sources: Sequence[SourceFile] = ()
    findings: Sequence[data_findings.Finding] = ()
    causality: model.Causality | None = None
    bootstrap: "Bootstrap | None" = None
    sweep: model.Sweep | None = None
    with_prices: bool = True


def report_data(run: BacktestResult, background: Background) -> model.ReportData:
    """Return everything the report of `run` shows."""
    how, bars = run.conventions, run.bars
    times = _times(run)
    days = run.sessions[run.session_rows]
    return model.ReportData(
        mode="backtest", strategy=how.strategy, symbols=run.symbols, bar_size=bars.bar_size,
        created=background.created, version=background.version, currency=background.currency,
        command=background.command, curve=_curve(run, times, background.benchmark),
        sessions=model.SessionCurve(days.astype("datetime64[D]"), run.session_curve),
        key_figures=_key_figures(run, background), metrics=_metrics(_figures(run, background), run.sessions[:1], days),
        intervals=_intervals(background.bootstrap), symbol_table=_symbol_table(run.by_symbol()),
        trades=_trades(run.trades, run.symbols, times), prices=_prices(run, times) if background.with_prices else (),
        costs=_costs(run.metrics),
        parameters=(*how.parameters.items(), *(background.parameters or {}).items()),
        conventions=conventions_of(how.settings, how.exits), sources=_sources(background.sources, bars, times),
        findings=tuple(_finding(item) for item in background.findings), causality=background.causality,
        sweep=background.sweep,
        interval_note=background.bootstrap.in_words() if background.bootstrap is not None else "",
    )  # fmt: skip


def _figures(run: BacktestResult, background: Background) -> Metrics:
    """Return the figures, those against the benchmark too when there is one."""
    return run.metrics if background.benchmark is None else run.metrics_beside(background.benchmark[1])


def _times(run: BacktestResult) -> model.TimeArray:
    """Return each bar's start on the exchange's clock, or its date: a report is read in exchange time."""
    if not parse_bar_size(run.bars.bar_size).is_intraday:
        return run.sessions.astype("datetime64[D]").astype("datetime64[s]")
    return (exchange_clock_ns(run.start_ns) // 1_000_000_000).astype("datetime64[s]")


def _curve(run: BacktestResult, times: model.TimeArray, benchmark: tuple[str, FloatArray] | None) -> model.Curve:
    """Return the account bar by bar, and the same capital in the benchmark from its first price on."""
    book, compared, name = run.ledger, None, ""
    if benchmark is not None:
        name, prices = benchmark
        known = prices[~np.isnan(prices)]
        compared = run.conventions.initial_capital * prices / known[0] if len(known) else None
    return model.Curve(
        times, book.equity, compared, name, book.gross_exposure, book.net_exposure, book.turnover, book.cost
    )


def _key_figures(run: BacktestResult, background: Background) -> tuple[model.Figure, ...]:
    """Return the eight figures at the top."""
    m, sure, capital = run.metrics, background.bootstrap, run.conventions.initial_capital
    spread = beside = ""
    if sure is not None:
        bounds = (shown(sure.sharpe.low, "ratio"), shown(sure.sharpe.high, "ratio"))
        spread = f"{sure.confidence:.0%}: {bounds[0]} to {bounds[1]}"
    if background.benchmark is not None:
        name, prices = background.benchmark
        known = prices[~np.isnan(prices)]
        beside = f"{name} {shown(float(known[-1] / known[0]) - 1.0, 'return')}" if len(known) else ""
    final = float(run.equity[-1]) if len(run.equity) else capital
    return (
        model.Figure("Total return", m.total_return, "return", beside),
        model.Figure("CAGR", m.cagr, "return"),
        model.Figure("Sharpe ratio", m.sharpe, "ratio", spread),
        model.Figure("Max drawdown", m.max_drawdown, "return", f"{m.max_drawdown_sessions:,} sessions"),
        model.Figure("Volatility", m.annual_volatility, "percent", "a year"),
        model.Figure("Hit rate", m.hit_rate, "percent", f"of {m.trades:,} trades"),
        model.Figure("Costs", m.total_cost, "money", f"{m.total_cost / capital:.2%} of the capital"),
        model.Figure("Final equity", final, "money", f"from {capital:,.2f}"),
    )


def _metrics(metrics: Metrics, first: IntArray, days: IntArray) -> tuple[model.FigureGroup, ...]:
    """Return all metrics in their order; parts of which nothing is known are left out."""
    groups = []
    for title, rows in metrics.sections(np.concatenate((first, days))):
        figures = tuple(_figure(row) for row in rows)
        if any(f.value is not None and f.value == f.value for f in figures):
            groups.append(model.FigureGroup(title, figures))
    return tuple(groups)


def _figure(row: MetricRow) -> model.Figure:
    """Return one metric as the report shows it."""
    kinds = {"percent": ("percent", "return"), "money": ("money", "pnl"), "sessions": ("count", "count"),
             "date": ("text", "text")}  # fmt: skip
    kind = kinds.get(row.kind, (row.kind, row.kind))[row.name in SIGNED]
    value = row.value if row.value is None or isinstance(row.value, int | float) else row.value.isoformat()
    if row.kind == "count" and isinstance(value, float) and not value.is_integer():
        kind = "ratio"  # a mean of counts
    return model.Figure(row.name, value, kind)


def _intervals(bootstrap: "Bootstrap | None") -> tuple[model.Interval, ...]:
    """Return the bootstrap's intervals."""
    if bootstrap is None:
        return ()
    rows = (
        ("Sharpe ratio", bootstrap.sharpe, "ratio"), ("CAGR", bootstrap.cagr, "return"),
        ("Max drawdown", bootstrap.max_drawdown, "return"),
    )  # fmt: skip
    return tuple(
        model.Interval(name, one.estimate, one.low, one.high, bootstrap.confidence, kind) for name, one, kind in rows
    )


def _costs(metrics: Metrics) -> tuple[model.Figure, ...]:
    """Return the parts of the costs that were paid, and their total."""
    parts = [(name, float(getattr(metrics, field)), note) for name, field, note in COST_PARTS]
    paid = [model.Figure(name, value, "money", note) for name, value, note in parts if value == value and value != 0.0]
    total = model.Figure("Total", metrics.total_cost, "money", "without slippage, which is inside the prices")
    return (*paid, total) if metrics.total_cost or paid else ()


def _trades(trades: Trades | None, symbols: tuple[str, ...], times: model.TimeArray) -> model.TradeColumns | None:
    """Return the closed trades with times for rows."""
    if trades is None:
        return None
    names = {reason.value: reason.name.lower() for reason in Reason}
    return model.TradeColumns(
        symbols, trades.symbol, trades.quantity, times[trades.entry_bar], trades.entry_price, times[trades.exit_bar],
        trades.exit_price, trades.pnl, trades.returns, trades.cost, trades.bars_held,
        tuple([names[code] for code in trades.reason.tolist()]),
    )  # fmt: skip


def _symbol_table(symbols: Sequence[SymbolRow]) -> model.Table | None:
    """Return a line per symbol that was traded; the columns nothing is in are left out."""
    traded = [row for row in symbols if row.orders]
    columns: list[tuple[model.Column, Callable[[SymbolRow], float]]] = [
        (model.Column("Orders", "count", "filled"), lambda row: row.orders),
        (model.Column("Trades", "count", "closed lots"), lambda row: row.trades),
        (model.Column("Hit rate", "percent", "share of trades with a gain"), lambda row: row.hit_rate),
        (model.Column("P&L", "pnl", "open positions at their last price, after costs"), lambda row: row.net_pnl),
        (model.Column("of trades", "pnl", "P&L of closed trades, after costs"), lambda row: row.closed_pnl),
        (model.Column("Costs", "money", "of all orders"), lambda row: row.cost),
    ]
    if any(row.dividends for row in traded):
        columns.append((model.Column("Dividends", "pnl", "received less paid"), lambda row: row.dividends))
    if any(row.borrow for row in traded):
        columns.append((model.Column("Borrow", "money", "paid for shares sold short"), lambda row: row.borrow))
    if any(row.quantity for row in traded):
        columns.append((model.Column("Held", "quantity", "shares at the end"), lambda row: row.quantity))
        columns.append((model.Column("Value", "money", "of what is held, at the last price"), lambda row: row.value))
    rows: tuple[tuple[model.Value, ...], ...] = tuple(
        (row.symbol, *(value(row) for _, value in columns)) for row in traded
    )
    return model.Table((model.Column("Symbol", "text"), *(column for column, _ in columns)), rows) if rows else None


def markers_of(fills: Fills, splits: Splits | None = None) -> list[tuple[int, model.Marker]]:
    """Return (symbol, marker) of every fill in order; a fill that turns a position is an exit and an entry."""
    held: dict[int, float] = {}
    events = (
        list(zip(splits.bar.tolist(), splits.symbol.tolist(), splits.ratio.tolist(), strict=True)) if splits else []
    )
    found, at = [], 0
    columns = (fills.bar.tolist(), fills.symbol.tolist(), fills.quantity.tolist(), fills.price.tolist())
    for bar, symbol, change, price in zip(*columns, strict=True):
        while at < len(events) and events[at][0] <= bar:
            held[events[at][1]] = held.get(events[at][1], 0.0) * events[at][2]
            at += 1
        before = held.get(symbol, 0.0)
        after = before + change
        if abs(after) <= 1e-9 * abs(change):
            after = 0.0
        held[symbol] = after
        if before * change < 0.0:
            leaving = min(abs(before), abs(change))
            found.append((symbol, model.Marker(bar, price, leaving, "long_exit" if before > 0.0 else "short_exit")))
        if before * change >= 0.0 or before * after < 0.0:
            entering = abs(change) if before * change >= 0.0 else abs(after)
            found.append((symbol, model.Marker(bar, price, entering, "long_entry" if change > 0.0 else "short_entry")))
    return found


def _prices(run: BacktestResult, times: model.TimeArray) -> tuple[model.PriceSeries, ...]:
    """Return the bars and fills of the symbols that were traded most, each without the rows it has no bar on."""
    if run.fills is None:
        return ()
    traded = run.bars
    by_symbol: dict[int, list[model.Marker]] = {}
    for symbol, marker in markers_of(run.fills, run.splits):
        by_symbol.setdefault(symbol, []).append(marker)
    out = []
    for j in sorted(by_symbol, key=lambda j: (-len(by_symbol[j]), j))[:MOST_PRICES]:
        rows = np.flatnonzero(~np.isnan(traded.close[:, j]))
        # What is paid out after the last bar (a delisting) is shown on that bar.
        places = np.minimum(np.searchsorted(rows, [m.bar for m in by_symbol[j]]), max(len(rows) - 1, 0)).tolist()
        moved = tuple(
            model.Marker(place, m.price, m.quantity, m.kind) for place, m in zip(places, by_symbol[j], strict=True)
        )
        bars = (traded.open[rows, j], traded.high[rows, j], traded.low[rows, j], traded.close[rows, j])
        out.append(model.PriceSeries(run.symbols[j], times[rows], *bars, moved))
    return tuple(out)


def _sources(sources: Sequence[SourceFile], traded: BarPanel, times: model.TimeArray) -> tuple[model.SourceFile, ...]:
    """Return a line per symbol and file, with the bars of the run that came from it."""
    out = []
    for source in sources:
        for symbol in source.symbols:
            if symbol in traded.symbols:
                rows = np.flatnonzero(~np.isnan(traded.close[:, traded.symbols.index(symbol)]))
                first, last = (time_text(times[rows[0]]), time_text(times[rows[-1]])) if len(rows) else ("", "")
                out.append(model.SourceFile(symbol, source.name, source.sha256, len(rows), first, last))
    return tuple(out)


def _finding(item: data_findings.Finding) -> model.Finding:
    """Return a finding of the data checker with its dates as text."""
    where = f"{item.first}" if item.first == item.last else f"{item.first} to {item.last}"
    return model.Finding(item.severity, item.symbol or "all", where, item.message)
