"""The figures of a run: more than sixty metrics from session returns, the equity curve, trades and costs.

A year has 252 sessions, sample deviations have ddof 1, the risk-free rate is 0 unless given, drawdowns start from
the initial capital. A figure that is not defined (no session, no loss, no movement) is NaN, never 0 and never
infinite. docs/metrics.md states each formula and what other libraries call it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum

from quant_trading.backtesting.metric_table import COST_LINES, METRIC_TABLE, MetricRow
from quant_trading.backtesting.return_metrics import (
    NO_BENCHMARK,
    SESSIONS_PER_YEAR,
    annual_volatility,
    benchmark_figures,
    cagr,
    calmar_ratio,
    drawdown_figures,
    drawdown_of,
    max_drawdown,
    returns_of,
    session_figures,
    sharpe_ratio,
    sortino_ratio,
    total_return,
    yearly_growth,
)
from quant_trading.backtesting.trade_metrics import TradeFigures, trade_figures
from quant_trading.backtesting.trades import Trades
from quant_trading.domain.bars import FloatArray, IntArray

__all__ = [
    "DAYS_PER_YEAR", "SESSIONS_PER_YEAR", "Costs", "Exposure", "Metrics", "SharpeBasis", "annual_volatility", "cagr",
    "calmar_ratio", "drawdown_of", "max_drawdown", "measure", "returns_of", "sharpe_ratio",
    "sortino_ratio", "total_return",
]  # fmt: skip

DAYS_PER_YEAR = 365.25
_NAN = float("nan")
_EPOCH = date(1970, 1, 1).toordinal()


class SharpeBasis(Enum):
    """Which returns Sharpe, Sortino and the two deviations are made of: of sessions, or of bars."""

    DAILY = "daily"
    BAR = "bar"


@dataclass(frozen=True, slots=True)
class Costs:
    """Where the money went, each a sum over the run and positive when it was paid.

    Attributes:
        bps, commission, plan, regulatory: the fees of the orders.
        slippage: what fills were worse than the price; already inside the P&L.
        borrow: what shorts paid for their shares.
        dividends: received less paid; positive when received.
    """

    bps: float = 0.0
    commission: float = 0.0
    plan: float = 0.0
    regulatory: float = 0.0
    slippage: float = 0.0
    borrow: float = 0.0
    dividends: float = 0.0


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much was held.

    Attributes:
        time_in_market: share of bars that end with a position.
        gross, net: means over all bars of the sum of abs(value) and of value, over equity.
    """

    time_in_market: float
    gross: float
    net: float


@dataclass(frozen=True)  # no slots: see `_metrics_of`
class Metrics:
    """What one run amounts to; fractions, 0.1 = 10 %; losses and drawdowns are negative.

    The formulas stand in docs/metrics.md. What was not given to `measure` (trades, costs, exposure, benchmark, days)
    is NaN, counts of trades are 0 and positions in the curve are None.
    """

    sessions: int
    total_return: float
    cagr: float
    cagr_calendar: float
    annual_mean_return: float
    annual_volatility: float
    best_session: float
    worst_session: float
    positive_sessions: float
    session_hit_rate: float
    session_payoff_ratio: float
    session_profit_factor: float
    sharpe: float
    sortino: float
    calmar: float
    omega: float
    stability: float
    tail_ratio: float
    downside_risk: float
    var_5pct: float
    cvar_5pct: float
    skew: float
    kurtosis: float
    max_drawdown: float
    max_drawdown_start: int | None
    max_drawdown_trough: int | None
    max_drawdown_recovery: int | None
    max_drawdown_sessions: int
    longest_drawdown_sessions: int
    average_drawdown: float
    drawdowns: int
    ulcer_index: float
    time_under_water: float
    orders: int
    trades: int
    long_trades: int
    short_trades: int
    hit_rate: float
    profit_factor: float
    average_trade: float
    average_trade_return: float
    average_win: float
    average_loss: float
    payoff_ratio: float
    expectancy: float
    best_trade: float
    worst_trade: float
    longest_losing_streak: int
    average_bars_held: float
    sqn: float
    kelly: float
    annual_turnover: float
    time_in_market: float
    average_gross_exposure: float
    average_net_exposure: float
    net_pnl: float
    gross_pnl: float
    total_cost: float
    bps_cost: float
    commission_cost: float
    plan_cost: float
    regulatory_cost: float
    slippage_cost: float
    borrow_cost: float
    dividends: float
    cost_share: float
    alpha: float
    beta: float
    correlation: float
    tracking_error: float
    information_ratio: float
    up_capture: float
    down_capture: float
    risk_free: float
    periods_per_year: float
    sharpe_basis: str

    def rows(self, days: IntArray | None = None) -> list[MetricRow]:
        """Return (name, value, kind) of every metric in the order of tables; see `sections`."""
        return [row for _, rows in self.sections(days) for row in rows]

    def sections(self, days: IntArray | None = None) -> Iterator[tuple[str, list[MetricRow]]]:
        """Yield the title and the rows of each part of the table.

        Args:
            days: int64[S + 1], the day of each point of the curve since 1970-01-01; with it the start, trough and
                recovery of the deepest drawdown are dates, else positions in the curve (0 = the initial capital).
        """
        for title, lines in METRIC_TABLE:
            rows = []
            for name, field, kind in lines:
                value = getattr(self, field)
                if kind == "date":
                    if days is not None and value is not None:
                        value = date.fromordinal(_EPOCH + int(days[value]))
                    elif days is None:
                        kind = "sessions"
                rows.append(MetricRow(name, value, kind))
            yield title, rows

    def cost_rows(self) -> list[tuple[str, float, float]]:
        """Return (name, money, share of the gross P&L) of each cost; the share is NaN without a gross profit."""
        rows = []
        for name, field, _ in COST_LINES[3:-2]:
            money = getattr(self, field)
            rows.append((name, money, money / self.gross_pnl if self.gross_pnl > 0.0 else _NAN))
        return rows

    def to_json(self) -> dict[str, float | int | str | None]:
        """Return the figures by field name; None stands for what is not finite, since JSON has no NaN."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in vars(self).items()
        }


def measure(
    curve: FloatArray,
    total_turnover: float = 0.0,
    total_cost: float = 0.0,
    orders: int = 0,
    *,
    trades: Trades | None = None,
    costs: Costs | None = None,
    exposure: Exposure | None = None,
    benchmark: FloatArray | None = None,
    days: IntArray | None = None,
    risk_free: float = 0.0,
    basis: SharpeBasis = SharpeBasis.DAILY,
    bar_curve: FloatArray | None = None,
) -> Metrics:
    """Return the figures of an equity curve.

    Args:
        curve: float64[S + 1], money: the initial capital, then the equity after each session.
        total_turnover: sum over the run of traded value over equity.
        total_cost, orders: the fees of all filled orders, money, and how many there were.
        trades, costs, exposure: what else is known of the run.
        benchmark: float64[S], returns of the same sessions.
        days: int64[S + 1], the day of each point of the curve since 1970-01-01, for the calendar CAGR.
        risk_free: a year, 0.02 = 2 %.
        basis: what Sharpe, Sortino, volatility and downside risk are made of.
        bar_curve: float64[T + 1], the equity bar by bar; needed for `SharpeBasis.BAR` only. The bars of a year are
            measured: 252 x T / S.

    Raises:
        ValueError: when an array has the wrong length or `bar_curve` is missing.
    """
    sessions = len(curve) - 1
    _check_lengths(sessions, benchmark, days, basis, bar_curve)
    returns = returns_of(curve)
    session = session_figures(returns, risk_free, float(SESSIONS_PER_YEAR))
    ratios = session
    if basis is SharpeBasis.BAR and bar_curve is not None and sessions > 0:
        yearly = SESSIONS_PER_YEAR * (len(bar_curve) - 1) / sessions
        ratios = session_figures(returns_of(bar_curve), risk_free, yearly)
    growth = float(curve[-1] / curve[0])
    compound = yearly_growth(growth, SESSIONS_PER_YEAR / sessions) if sessions > 0 else _NAN
    span = (float(days[-1]) - float(days[0])) / DAYS_PER_YEAR if days is not None else 0.0
    fall = drawdown_figures(curve)
    lot = trade_figures(trades) if trades is not None else _NO_TRADES
    versus = benchmark_figures(returns, benchmark, session, risk_free) if benchmark is not None else NO_BENCHMARK
    held = exposure or _NO_EXPOSURE
    return _metrics_of(
        sessions=sessions, total_return=growth - 1.0, cagr=compound,
        cagr_calendar=yearly_growth(growth, 1.0 / span) if span > 0.0 else _NAN,
        annual_mean_return=session.mean * SESSIONS_PER_YEAR, annual_volatility=ratios.volatility,
        best_session=session.best, worst_session=session.worst, positive_sessions=session.positive,
        session_hit_rate=session.hit_rate, session_payoff_ratio=session.payoff,
        session_profit_factor=session.profit_factor, sharpe=ratios.sharpe, sortino=ratios.sortino,
        calmar=calmar_ratio(compound, fall.deepest), omega=session.omega, stability=fall.stability,
        tail_ratio=session.tail_ratio, downside_risk=ratios.downside_risk, var_5pct=session.var_5pct,
        cvar_5pct=session.cvar_5pct, skew=session.skew, kurtosis=session.kurtosis, max_drawdown=fall.deepest,
        max_drawdown_start=fall.start, max_drawdown_trough=fall.trough, max_drawdown_recovery=fall.recovery,
        max_drawdown_sessions=fall.length, longest_drawdown_sessions=fall.longest, average_drawdown=fall.average,
        drawdowns=fall.falls, ulcer_index=fall.ulcer_index, time_under_water=fall.under_water, orders=orders,
        trades=lot.trades, long_trades=lot.long_trades, short_trades=lot.short_trades, hit_rate=lot.hit_rate,
        profit_factor=lot.profit_factor, average_trade=lot.average, average_trade_return=lot.average_return,
        average_win=lot.average_win, average_loss=lot.average_loss, payoff_ratio=lot.payoff,
        expectancy=lot.expectancy, best_trade=lot.best, worst_trade=lot.worst,
        longest_losing_streak=lot.losing_streak, average_bars_held=lot.bars_held, sqn=lot.sqn, kelly=lot.kelly,
        annual_turnover=total_turnover * SESSIONS_PER_YEAR / sessions if sessions > 0 else _NAN,
        time_in_market=held.time_in_market, average_gross_exposure=held.gross, average_net_exposure=held.net,
        **_cost_figures(float(curve[-1] - curve[0]), total_cost, costs), **versus._asdict(), risk_free=risk_free,
        periods_per_year=ratios.yearly, sharpe_basis=basis.value,
    )  # fmt: skip


def _metrics_of(**figures: float | int | str | None) -> Metrics:
    """Return the metrics of these names.

    Seventy-five assignments through the frozen `__init__` take as long as the statistics of a year of sessions, so
    the dictionary is handed over whole; a test holds its names against the fields.
    """
    made = object.__new__(Metrics)
    vars(made).update(figures)
    return made


def _check_lengths(
    sessions: int, benchmark: FloatArray | None, days: IntArray | None, basis: SharpeBasis, bars: FloatArray | None
) -> None:
    if sessions < 0:
        raise ValueError("the curve is empty; it begins with the initial capital")
    if benchmark is not None and len(benchmark) != sessions:
        raise ValueError(f"benchmark has {len(benchmark)} returns, the curve {sessions}; give those of its sessions")
    if days is not None and len(days) != sessions + 1:
        raise ValueError(f"days has {len(days)} entries, the curve {sessions + 1} points; give one for each point")
    if basis is SharpeBasis.BAR and bars is None:
        raise ValueError("a Sharpe ratio by bars needs bar_curve, the equity bar by bar")


def _cost_figures(net: float, total_cost: float, costs: Costs | None) -> dict[str, float]:
    """Return the money of a run and where it went, by the names of `Metrics`."""
    paid = costs or _NO_COSTS
    all_costs = total_cost + (paid.slippage + paid.borrow if costs is not None else 0.0)
    gross = net + all_costs
    return {
        "net_pnl": net, "gross_pnl": gross, "total_cost": total_cost, "bps_cost": paid.bps,
        "commission_cost": paid.commission, "plan_cost": paid.plan, "regulatory_cost": paid.regulatory,
        "slippage_cost": paid.slippage, "borrow_cost": paid.borrow, "dividends": paid.dividends,
        "cost_share": all_costs / gross if gross > 0.0 else _NAN,
    }  # fmt: skip


_NO_TRADES = TradeFigures()
_NO_EXPOSURE = Exposure(_NAN, _NAN, _NAN)
_NO_COSTS = Costs(_NAN, _NAN, _NAN, _NAN, _NAN, _NAN, _NAN)
