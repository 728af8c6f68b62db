"""A finished backtest as the plain data of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from quant_trading.backtesting.kernel import Fills, Ledger, Reason
from quant_trading.backtesting.metric_table import MetricRow
from quant_trading.backtesting.metrics import Metrics
from quant_trading.backtesting.report_words import conventions_of
from quant_trading.backtesting.settings import BacktestSettings
from quant_trading.backtesting.significance import Bootstrap
from quant_trading.backtesting.trades import Splits, Trades
from quant_trading.data import findings as data_findings
from quant_trading.data.store import SourceFile
from quant_trading.domain.bars import BarPanel, FloatArray, IntArray
from quant_trading.domain.exits import Exit
from quant_trading.reporting import model
from quant_trading.reporting.formats import shown, time_text

__all__ = ["MOST_PRICES", "Background", "FinishedRun", "markers_of", "report_data"]

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


class FinishedRun(Protocol):
    """What a report needs of a `BacktestResult`."""

    @property
    def symbols(self) -> tuple[str, ...]: ...
    @property
    def dates(self) -> Sequence[str]: ...
    @property
    def sessions(self) -> IntArray: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def session_curve(self) -> FloatArray: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def fills(self) -> Fills | None: ...
    @property
    def trades(self) -> Trades | None: ...


@dataclass(frozen=True, slots=True)
class Background:
    """What a report says besides the run itself.

    Attributes:
        strategy: its name; parameters: its fields and whatever else the run was given, as text.
        created: when the report is made, as text; version, command: of the program.
        benchmark: its name and float64[T] prices on the bars of the run, NaN where it has none.
        sources: the files that were read; findings: of the data checker; causality: the verdict.
        bootstrap, sweep: when they were made; splits: of the run; exits: the strategy's own.
        symbol_pnl: float64[T, N], what each symbol earned so far (`attribution.symbol_pnl`).
    """

    strategy: str
    created: str
    version: str
    command: str = ""
    currency: str = "USD"
    parameters: Mapping[str, str] | None = None
    benchmark: tuple[str, FloatArray] | None = None
    sources: Sequence[SourceFile] = ()
    findings: Sequence[data_findings.Finding] = ()
    causality: model.Causality | None = None
    bootstrap: Bootstrap | None = None
    sweep: model.Sweep | None = None
    splits: Splits | None = None
    exits: Sequence[Exit] = ()
    symbol_pnl: FloatArray | None = None


def report_data(
    run: FinishedRun, panel: BarPanel, settings: BacktestSettings, background: Background
) -> model.ReportData:
    """Return everything the report of `run` shows.

    Args:
        panel: the bars the run read; its last T rows are the bars of the run.
        settings: its conventions.
    """
    times = np.array([label[:19] for label in run.dates], dtype="datetime64[s]")
    traded = panel.rows(len(panel) - len(times), len(panel))
    days = _session_days(run.sessions)
    return model.ReportData(
        mode="backtest", strategy=background.strategy, symbols=run.symbols, bar_size=panel.bar_size,
        created=background.created, version=background.version, currency=background.currency,
        command=background.command, curve=_curve(run, times, settings, background),
        sessions=model.SessionCurve(days.astype("datetime64[D]"), run.session_curve),
        key_figures=_key_figures(run, settings, background), metrics=_metrics(run.metrics, run.sessions[:1], days),
        intervals=_intervals(background.bootstrap), symbol_table=_symbol_table(run, background.symbol_pnl),
        trades=_trades(run.trades, run.symbols, times), prices=_prices(run, traded, times, background.splits),
        costs=_costs(run.metrics), parameters=tuple((background.parameters or {}).items()),
        conventions=conventions_of(settings, background.exits), sources=_sources(background.sources, traded, times),
        findings=tuple(_finding(item) for item in background.findings), causality=background.causality,
        sweep=background.sweep,
        interval_note=background.bootstrap.in_words() if background.bootstrap is not None else "",
    )  # fmt: skip


def _session_days(sessions: IntArray) -> IntArray:
    """Return int64[S], the day of each session return: the first bar is where the capital starts."""
    days = sessions[1:]
    return days[np.append(days[1:] != days[:-1], True)] if len(days) else days


def _curve(run: FinishedRun, times: model.TimeArray, settings: BacktestSettings, background: Background) -> model.Curve:
    """Return the account bar by bar, and the same capital in the benchmark from its first price on."""
    book, compared, name = run.ledger, None, ""
    if background.benchmark is not None:
        name, prices = background.benchmark
        known = prices[~np.isnan(prices)]
        compared = settings.initial_capital * prices / known[0] if len(known) else None
    return model.Curve(
        times, book.equity, compared, name, book.gross_exposure, book.net_exposure, book.turnover, book.cost
    )


def _key_figures(run: FinishedRun, settings: BacktestSettings, background: Background) -> tuple[model.Figure, ...]:
    """Return the eight figures at the top."""
    m, sure = run.metrics, background.bootstrap
    spread = (
        f"{sure.confidence:.0%}: {shown(sure.sharpe.low, 'ratio')} to {shown(sure.sharpe.high, 'ratio')}"
        if sure
        else ""
    )
    compared = _curve(run, np.zeros(len(run.dates), dtype="datetime64[s]"), settings, background).benchmark
    known = compared[~np.isnan(compared)] if compared is not None else np.zeros(0)
    beside = (
        f"{background.benchmark[0]} {shown(float(known[-1] / known[0]) - 1.0, 'return')}"
        if background.benchmark and len(known)
        else ""
    )
    share = m.total_cost / settings.initial_capital
    final = float(run.ledger.equity[-1]) if len(run.ledger.equity) else settings.initial_capital
    return (
        model.Figure("Total return", m.total_return, "return", beside),
        model.Figure("CAGR", m.cagr, "return"),
        model.Figure("Sharpe ratio", m.sharpe, "ratio", spread),
        model.Figure("Max drawdown", m.max_drawdown, "return", f"{m.max_drawdown_sessions:,} sessions"),
        model.Figure("Volatility", m.annual_volatility, "percent", "a year"),
        model.Figure("Hit rate", m.hit_rate, "percent", f"of {m.trades:,} trades"),
        model.Figure("Costs", m.total_cost, "money", f"{share:.2%} of the capital"),
        model.Figure("Final equity", final, "money", f"from {settings.initial_capital:,.2f}"),
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


def _intervals(bootstrap: Bootstrap | None) -> tuple[model.Interval, ...]:
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
    return model.TradeColumns(
        symbols, trades.symbol, trades.quantity, times[trades.entry_bar], trades.entry_price, times[trades.exit_bar],
        trades.exit_price, trades.pnl, trades.returns, trades.cost, trades.bars_held,
        tuple(Reason(code).name.lower() for code in trades.reason.tolist()),
    )  # fmt: skip


def _symbol_table(run: FinishedRun, earned: FloatArray | None) -> model.Table | None:
    """Return a line per symbol that was traded."""
    trades, fills = run.trades, run.fills
    if trades is None or fills is None:
        return None
    count = len(run.symbols)
    closed = np.bincount(trades.symbol, minlength=count)
    won = np.bincount(trades.symbol[trades.pnl > 0.0], minlength=count)
    pnl = np.bincount(trades.symbol, weights=trades.pnl, minlength=count)
    orders = np.bincount(fills.symbol, minlength=count)
    cost = np.bincount(fills.symbol, weights=fills.cost, minlength=count)
    held = run.ledger.holdings[-1] if len(run.ledger.holdings) else np.zeros(count)
    columns = [
        model.Column("Symbol", "text"), model.Column("Fills", "count"), model.Column("Trades", "count", "closed"),
        model.Column("Hit rate", "percent", "share of trades with a gain"),
        model.Column("P&L of trades", "pnl", "of closed trades, after costs"), model.Column("Average trade", "pnl"),
        model.Column("Costs", "money", "of all fills"), model.Column("Held at the end", "quantity", "shares"),
    ]  # fmt: skip
    rows: list[tuple[model.Value, ...]] = [
        (
            run.symbols[j], int(orders[j]), int(closed[j]), float(won[j] / closed[j]) if closed[j] else None,
            float(pnl[j]), float(pnl[j] / closed[j]) if closed[j] else None, float(cost[j]), float(held[j]),
        )
        for j in np.flatnonzero(orders).tolist()
    ]  # fmt: skip
    if earned is not None and len(earned):
        columns.append(model.Column("P&L", "pnl", "of everything, open positions at their last price, after costs"))
        rows = [(*row, float(earned[-1, j])) for row, j in zip(rows, np.flatnonzero(orders).tolist(), strict=True)]
    return model.Table(tuple(columns), tuple(rows))


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


def _prices(
    run: FinishedRun, traded: BarPanel, times: model.TimeArray, splits: Splits | None
) -> tuple[model.PriceSeries, ...]:
    """Return the bars and fills of the symbols that were traded most, each without the rows it has no bar on."""
    if run.fills is None:
        return ()
    by_symbol: dict[int, list[model.Marker]] = {}
    for symbol, marker in markers_of(run.fills, splits):
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
