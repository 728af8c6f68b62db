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
from typing import NamedTuple

import numpy as np

from quant_trading.backtesting.metric_table import COST_LINES, METRIC_TABLE, MetricRow
from quant_trading.backtesting.trade_metrics import TradeFigures, TradeSample, trade_figures
from quant_trading.domain.bars import FloatArray, IntArray

__all__ = [
    "DAYS_PER_YEAR", "SESSIONS_PER_YEAR", "Costs", "Exposure", "Metrics", "SharpeBasis", "annual_volatility", "cagr",
    "calmar_ratio", "drawdown_of", "exposure_of", "max_drawdown", "measure", "returns_of", "sharpe_ratio",
    "sortino_ratio", "total_return",
]  # fmt: skip

SESSIONS_PER_YEAR = 252
DAYS_PER_YEAR = 365.25
_NAN = float("nan")
_EPOCH = date(1970, 1, 1).toordinal()

# A deviation this much smaller than its mean is the rounding of a constant series, not a risk.
_NOISE = 1e-12

# The ufunc's own reduction: the methods of arrays pass through Python first, which costs as much as the sum.
_sum = np.add.reduce


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
        """Return the figures by field name; None stands for what is not defined, since JSON has no NaN."""
        return {name: None if value != value else value for name, value in vars(self).items()}


def measure(
    curve: FloatArray,
    total_turnover: float = 0.0,
    total_cost: float = 0.0,
    orders: int = 0,
    *,
    trades: TradeSample | None = None,
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
        total_cost: money, the fees of all orders.
        orders: filled orders.
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
    session = _session_figures(returns, risk_free, float(SESSIONS_PER_YEAR))
    ratios = session
    if basis is SharpeBasis.BAR and bar_curve is not None and sessions > 0:
        yearly = SESSIONS_PER_YEAR * (len(bar_curve) - 1) / sessions
        ratios = _session_figures(returns_of(bar_curve), risk_free, yearly)
    growth = float(curve[-1] / curve[0])
    yearly_growth = _yearly(growth, SESSIONS_PER_YEAR / sessions) if sessions > 0 else _NAN
    span = (float(days[-1]) - float(days[0])) / DAYS_PER_YEAR if days is not None else 0.0
    fall = _drawdown_figures(curve)
    lot = trade_figures(trades) if trades is not None else _NO_TRADES
    versus = _benchmark_figures(returns, benchmark, session, risk_free) if benchmark is not None else _NO_BENCHMARK
    held = exposure or _NO_EXPOSURE
    paid = costs or _NO_COSTS
    net = float(curve[-1] - curve[0])
    all_costs = total_cost + (costs.slippage + costs.borrow if costs is not None else 0.0)
    return _metrics_of(
        sessions=sessions, total_return=growth - 1.0, cagr=yearly_growth,
        cagr_calendar=_yearly(growth, 1.0 / span) if span > 0.0 else _NAN,
        annual_mean_return=session.mean * SESSIONS_PER_YEAR, annual_volatility=ratios.volatility,
        best_session=session.best, worst_session=session.worst, positive_sessions=session.positive,
        session_hit_rate=session.hit_rate, session_payoff_ratio=session.payoff,
        session_profit_factor=session.profit_factor, sharpe=ratios.sharpe, sortino=ratios.sortino,
        calmar=calmar_ratio(yearly_growth, fall.deepest), omega=session.omega, stability=_stability(curve),
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
        net_pnl=net, gross_pnl=net + all_costs, total_cost=total_cost, bps_cost=paid.bps,
        commission_cost=paid.commission, plan_cost=paid.plan, regulatory_cost=paid.regulatory,
        slippage_cost=paid.slippage, borrow_cost=paid.borrow, dividends=paid.dividends,
        cost_share=all_costs / (net + all_costs) if net + all_costs > 0.0 else _NAN, alpha=versus.alpha,
        beta=versus.beta, correlation=versus.correlation, tracking_error=versus.tracking_error,
        information_ratio=versus.information_ratio, up_capture=versus.up_capture,
        down_capture=versus.down_capture, risk_free=risk_free, periods_per_year=ratios.yearly,
        sharpe_basis=basis.value,
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


# --- sessions ----------------------------------------------------------------------------------


class _Sessions(NamedTuple):
    """What the returns say by themselves; the yearly ones with `yearly` returns a year."""

    yearly: float
    mean: float = _NAN
    squares: float = _NAN  # sum of squares about the mean
    volatility: float = _NAN
    sharpe: float = _NAN
    sortino: float = _NAN
    downside_risk: float = _NAN
    omega: float = _NAN
    skew: float = _NAN
    kurtosis: float = _NAN
    best: float = _NAN
    worst: float = _NAN
    positive: float = _NAN
    hit_rate: float = _NAN
    payoff: float = _NAN
    profit_factor: float = _NAN
    var_5pct: float = _NAN
    cvar_5pct: float = _NAN
    tail_ratio: float = _NAN


def _session_figures(returns: FloatArray, risk_free: float, yearly: float) -> _Sessions:
    """Return what one sorted copy, one centred copy and a few dot products tell of `returns`."""
    n = len(returns)
    if n == 0:
        return _Sessions(yearly)
    free = (1.0 + risk_free) ** (1.0 / yearly) - 1.0 if risk_free else 0.0
    ordered = returns.copy()
    ordered.sort()
    mean = float(_sum(returns)) / n
    centred = returns - mean
    squares = float(centred.dot(centred))
    deviation = math.sqrt(squares / (n - 1)) if n > 1 else _NAN
    below, above = int(ordered.searchsorted(0.0)), n - int(ordered.searchsorted(0.0, "right"))
    lost, won = -float(_sum(ordered[:below])), float(_sum(ordered[n - above :]))
    losses, short_of, over = ordered[:below], lost, won
    if free:
        excess = ordered - free
        losses = excess[: int(excess.searchsorted(0.0))]
        short_of = -float(_sum(losses))
        over = short_of + (mean - free) * n
    downside = math.sqrt(float(losses.dot(losses)) / n)
    scale = math.sqrt(yearly)
    moves = n > 1 and deviation > _NOISE * abs(mean)
    tail = int((n - 1) * 0.05) + 1
    low, high = _quantile(ordered, 0.05), _quantile(ordered, 0.95)
    skew, kurtosis = _shape(centred, squares) if moves else (_NAN, _NAN)
    return _Sessions(
        yearly=yearly, mean=mean, squares=squares, volatility=deviation * scale,
        sharpe=(mean - free) / deviation * scale if moves else _NAN,
        sortino=(mean - free) / downside * scale if n > 1 and downside > 0.0 else _NAN,
        downside_risk=downside * scale, omega=over / short_of if n > 1 and short_of > 0.0 else _NAN,
        skew=skew, kurtosis=kurtosis, best=float(ordered[-1]), worst=float(ordered[0]), positive=above / n,
        hit_rate=above / (above + below) if above + below else _NAN,
        payoff=(won / above) / (lost / below) if above and below else _NAN,
        profit_factor=won / lost if below else _NAN, var_5pct=low,
        cvar_5pct=float(_sum(ordered[:tail])) / tail, tail_ratio=abs(high / low) if low else _NAN,
    )  # fmt: skip


def _quantile(ordered: FloatArray, share: float) -> float:
    """Return the quantile between the two nearest values, linearly (type 7)."""
    place = share * (len(ordered) - 1)
    left = int(place)
    value = float(ordered[left])
    return value + (float(ordered[left + 1]) - value) * (place - left) if left + 1 < len(ordered) else value


def _shape(centred: FloatArray, squares: float) -> tuple[float, float]:
    """Return skew and excess kurtosis corrected for the size of the sample (G1 and G2)."""
    n = len(centred)
    if n < 3:
        return _NAN, _NAN
    power = centred * centred
    variance = squares / n
    skew = float(power.dot(centred)) / n / variance**1.5 * math.sqrt(n * (n - 1)) / (n - 2)
    if n < 4:
        return skew, _NAN
    tails = float(power.dot(power)) / n / (variance * variance)
    return skew, ((n + 1) * tails - 3 * (n - 1)) * (n - 1) / ((n - 2) * (n - 3))


def _stability(curve: FloatArray) -> float:
    """Return R squared of a line through the logarithm of the equity after each session."""
    n = len(curve) - 1
    if n < 2 or not curve[curve.argmin()] > 0.0:
        return _NAN
    path = np.log(curve[1:])
    path -= float(_sum(path)) / n
    # With the path centred, the places need not be: their mean drops out of the product.
    shared = float(path.dot(np.arange(float(n))))
    spread = float(path.dot(path))
    return shared * shared / (spread * (n * (n * n - 1.0) / 12.0)) if spread > _NOISE * _NOISE * n else _NAN


# --- drawdowns ---------------------------------------------------------------------------------


class _Drawdowns(NamedTuple):
    """Falls below an earlier high; `start`, `trough` and `recovery` are positions in the curve."""

    deepest: float
    start: int | None
    trough: int | None
    recovery: int | None
    length: int
    longest: int
    average: float
    falls: int
    ulcer_index: float
    under_water: float


def _drawdown_figures(curve: FloatArray) -> _Drawdowns:
    points = len(curve)
    depth = drawdown_of(curve)
    highs = (depth >= 0.0).nonzero()[0]
    trough = int(depth.argmin())
    deepest = float(depth[trough])
    ulcer = math.sqrt(float(depth.dot(depth)) / (points - 2)) if points > 2 else _NAN
    under = (points - len(highs)) / (points - 1) if points > 1 else _NAN
    if not deepest < 0.0:
        return _Drawdowns(deepest, None, None, None, 0, 0, _NAN, 0, ulcer, under)
    troughs = np.minimum.reduceat(depth, highs)
    count = int(np.count_nonzero(troughs))
    # From one high to the next; the last fall lasts to the end of the curve.
    spans = highs[1:] - highs[:-1]
    rest = points - 1 - int(highs[-1])
    longest = max(int(np.maximum.reduce(spans)) if len(spans) else 0, rest)
    after = int(highs.searchsorted(trough))
    start = int(highs[after - 1])
    recovery = int(highs[after]) if after < len(highs) else None
    length = (points - 1 if recovery is None else recovery) - start
    return _Drawdowns(
        deepest, start, trough, recovery, length, longest, float(_sum(troughs)) / count, count, ulcer, under
    )


def exposure_of(gross: FloatArray, net: FloatArray) -> Exposure:
    """Return the means of float64[T] exposures over equity, bar by bar."""
    bars = len(gross)
    if not bars:
        return _NO_EXPOSURE
    return Exposure(int(np.count_nonzero(gross)) / bars, float(_sum(gross)) / bars, float(_sum(net)) / bars)


# --- against a benchmark -----------------------------------------------------------------------


class _Benchmark(NamedTuple):
    """What a benchmark explains."""

    alpha: float = _NAN
    beta: float = _NAN
    correlation: float = _NAN
    tracking_error: float = _NAN
    information_ratio: float = _NAN
    up_capture: float = _NAN
    down_capture: float = _NAN


def _benchmark_figures(returns: FloatArray, benchmark: FloatArray, session: _Sessions, risk_free: float) -> _Benchmark:
    n = len(returns)
    if n < 2:
        return _NO_BENCHMARK
    free = (1.0 + risk_free) ** (1.0 / SESSIONS_PER_YEAR) - 1.0
    scale = math.sqrt(SESSIONS_PER_YEAR)
    mean = float(_sum(benchmark)) / n
    centred = benchmark - mean
    squares, shared = float(centred.dot(centred)), float(centred.dot(returns))
    moves = math.sqrt(squares / n) > _NOISE * abs(mean)
    beta = shared / squares if moves else _NAN
    strategy_moves = moves and math.sqrt(session.squares / n) > _NOISE * abs(session.mean)
    active = returns - benchmark
    gain = float(_sum(active)) / n
    active -= gain
    error = math.sqrt(float(active.dot(active)) / (n - 1))
    up, down = benchmark > 0.0, benchmark < 0.0
    return _Benchmark(
        alpha=_yearly(1.0 + session.mean - free - beta * (mean - free), SESSIONS_PER_YEAR),
        beta=beta,
        correlation=shared / math.sqrt(squares * session.squares) if strategy_moves else _NAN,
        tracking_error=error * scale,
        information_ratio=gain / error * scale if error > _NOISE * abs(gain) else _NAN,
        up_capture=_capture(returns.compress(up), benchmark.compress(up)),
        down_capture=_capture(returns.compress(down), benchmark.compress(down)),
    )


def _capture(returns: FloatArray, benchmark: FloatArray) -> float:
    """Return yearly growth over that of the benchmark, both over the same sessions."""
    n = len(returns)
    if not n:
        return _NAN
    ours = _yearly(float(np.multiply.reduce(returns + 1.0)), SESSIONS_PER_YEAR / n)
    theirs = _yearly(float(np.multiply.reduce(benchmark + 1.0)), SESSIONS_PER_YEAR / n)
    return ours / theirs if theirs else _NAN


# --- one figure at a time ----------------------------------------------------------------------


def _yearly(growth: float, power: float) -> float:
    """Return growth ** power - 1; -1 when nothing is left, NaN beyond the largest float."""
    if growth <= 0.0:
        return -1.0
    try:
        return float(growth**power) - 1.0
    except OverflowError:
        return _NAN


def returns_of(curve: FloatArray) -> FloatArray:
    """Return curve[i + 1] / curve[i] - 1; 0 from a point that is 0 or below, where nothing can be earned."""
    start, end = curve[:-1], curve[1:]
    if len(start) and start[start.argmin()] > 0.0:
        returns: FloatArray = end / start
        returns -= 1.0
        return returns
    alive = start > 0.0
    return np.where(alive, end / np.where(alive, start, 1.0) - 1.0, 0.0)


def drawdown_of(curve: FloatArray) -> FloatArray:
    """Return float64[S + 1]: each point over the highest so far, minus 1; 0 at a high, else negative."""
    depth: FloatArray = curve / np.maximum.accumulate(curve)
    depth -= 1.0
    return depth


def total_return(curve: FloatArray) -> float:
    """Return the last point over the first, minus 1."""
    return float(curve[-1] / curve[0] - 1.0)


def cagr(curve: FloatArray) -> float:
    """Return the yearly growth that compounds to the total return; -1 when nothing is left."""
    sessions = len(curve) - 1
    return _yearly(float(curve[-1] / curve[0]), SESSIONS_PER_YEAR / sessions) if sessions > 0 else _NAN


def annual_volatility(returns: FloatArray, periods_per_year: float = SESSIONS_PER_YEAR) -> float:
    """Return the sample deviation (ddof 1) times sqrt(periods_per_year); NaN for fewer than two returns."""
    return _session_figures(returns, 0.0, float(periods_per_year)).volatility


def sharpe_ratio(returns: FloatArray, risk_free: float = 0.0, periods_per_year: float = SESSIONS_PER_YEAR) -> float:
    """Return mean excess over sample deviation times sqrt(periods_per_year); `risk_free` is a year's."""
    return _session_figures(returns, risk_free, float(periods_per_year)).sharpe


def sortino_ratio(returns: FloatArray, risk_free: float = 0.0, periods_per_year: float = SESSIONS_PER_YEAR) -> float:
    """Return mean excess over the root mean square of the shortfalls, times sqrt(periods_per_year)."""
    return _session_figures(returns, risk_free, float(periods_per_year)).sortino


def max_drawdown(curve: FloatArray) -> float:
    """Return the deepest point of curve over its running maximum, minus 1."""
    return float(np.minimum.reduce(drawdown_of(curve)))


def calmar_ratio(growth: float, drawdown: float) -> float:
    """Return yearly growth over the size of the deepest drawdown; NaN without a drawdown."""
    return growth / -drawdown if drawdown < 0.0 else _NAN


_NO_TRADES = TradeFigures()
_NO_BENCHMARK = _Benchmark()
_NO_EXPOSURE = Exposure(_NAN, _NAN, _NAN)
_NO_COSTS = Costs(_NAN, _NAN, _NAN, _NAN, _NAN, _NAN, _NAN)
