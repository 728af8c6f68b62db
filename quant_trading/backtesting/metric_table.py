"""The order, the words and the form in which screens and reports show the figures of a run."""

from datetime import date
from typing import Literal, NamedTuple

__all__ = ["COST_LINES", "METRIC_TABLE", "Kind", "MetricRow", "Value"]

Kind = Literal["percent", "ratio", "money", "count", "sessions", "date"]
Value = float | int | date | None


class MetricRow(NamedTuple):
    """One line of a table: NaN and None are "not defined"; percents are fractions, 0.1 = 10 %."""

    name: str
    value: Value
    kind: Kind


# (name, field, kind); those between the total and the dividends are the parts of the total.
COST_LINES: tuple[tuple[str, str, Kind], ...] = (
    ("Net P&L", "net_pnl", "money"), ("Gross P&L", "gross_pnl", "money"), ("Total cost", "total_cost", "money"),
    ("Bps of traded value", "bps_cost", "money"), ("Commission", "commission_cost", "money"),
    ("Commission plan", "plan_cost", "money"), ("Regulatory fees", "regulatory_cost", "money"),
    ("Slippage", "slippage_cost", "money"), ("Borrow", "borrow_cost", "money"),
    ("Dividends", "dividends", "money"), ("Costs / gross P&L", "cost_share", "percent"),
)  # fmt: skip

# The order and the words of every table on screens and in reports: (title, ((name, field, kind), ...)).
METRIC_TABLE: tuple[tuple[str, tuple[tuple[str, str, Kind], ...]], ...] = (
    ("Return", (
        ("Sessions", "sessions", "count"), ("Total return", "total_return", "percent"), ("CAGR", "cagr", "percent"),
        ("CAGR, calendar", "cagr_calendar", "percent"), ("Mean return a year", "annual_mean_return", "percent"),
        ("Volatility a year", "annual_volatility", "percent"), ("Best session", "best_session", "percent"),
        ("Worst session", "worst_session", "percent"), ("Positive sessions", "positive_sessions", "percent"),
        ("Session hit rate", "session_hit_rate", "percent"), ("Session payoff", "session_payoff_ratio", "ratio"),
        ("Session profit factor", "session_profit_factor", "ratio"),
    )),
    ("Risk", (
        ("Sharpe", "sharpe", "ratio"), ("Sortino", "sortino", "ratio"), ("Calmar", "calmar", "ratio"),
        ("Omega", "omega", "ratio"), ("Stability", "stability", "ratio"), ("Tail ratio", "tail_ratio", "ratio"),
        ("Downside risk a year", "downside_risk", "percent"), ("VaR 5 %", "var_5pct", "percent"),
        ("CVaR 5 %", "cvar_5pct", "percent"), ("Skew", "skew", "ratio"), ("Excess kurtosis", "kurtosis", "ratio"),
    )),
    ("Drawdown", (
        ("Max drawdown", "max_drawdown", "percent"), ("Drawdown start", "max_drawdown_start", "date"),
        ("Drawdown trough", "max_drawdown_trough", "date"), ("Drawdown recovery", "max_drawdown_recovery", "date"),
        ("Drawdown length", "max_drawdown_sessions", "sessions"),
        ("Longest drawdown", "longest_drawdown_sessions", "sessions"),
        ("Average drawdown", "average_drawdown", "percent"), ("Drawdowns", "drawdowns", "count"),
        ("Ulcer index", "ulcer_index", "percent"), ("Time under water", "time_under_water", "percent"),
    )),
    ("Trades", (
        ("Orders", "orders", "count"), ("Trades", "trades", "count"), ("Long trades", "long_trades", "count"),
        ("Short trades", "short_trades", "count"), ("Hit rate", "hit_rate", "percent"),
        ("Profit factor", "profit_factor", "ratio"), ("Average trade", "average_trade", "money"),
        ("Average trade return", "average_trade_return", "percent"), ("Average win", "average_win", "money"),
        ("Average loss", "average_loss", "money"), ("Payoff ratio", "payoff_ratio", "ratio"),
        ("Expectancy", "expectancy", "ratio"), ("Best trade", "best_trade", "money"),
        ("Worst trade", "worst_trade", "money"), ("Losing streak", "longest_losing_streak", "count"),
        ("Average bars held", "average_bars_held", "count"), ("SQN", "sqn", "ratio"), ("Kelly", "kelly", "percent"),
    )),
    ("Exposure", (
        ("Turnover a year", "annual_turnover", "ratio"), ("Time in market", "time_in_market", "percent"),
        ("Average gross", "average_gross_exposure", "percent"), ("Average net", "average_net_exposure", "percent"),
    )),
    ("Costs", COST_LINES),
    ("Benchmark", (
        ("Alpha", "alpha", "percent"), ("Beta", "beta", "ratio"), ("Correlation", "correlation", "ratio"),
        ("Tracking error", "tracking_error", "percent"), ("Information ratio", "information_ratio", "ratio"),
        ("Up capture", "up_capture", "percent"), ("Down capture", "down_capture", "percent"),
    )),
)  # fmt: skip
