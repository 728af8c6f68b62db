"""One strategy with many parameters over the same bars: what each comes to, and what the best is worth."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from threading import local
from typing import Any

import numpy as np

from quant_trading.backtesting.engine import run_backtest
from quant_trading.backtesting.kernel import NEXT_CLOSE, NEXT_OPEN, SAME_CLOSE
from quant_trading.backtesting.order_fills import rounded
from quant_trading.backtesting.settings import (
    Accounting,
    BacktestSettings,
    CloseLast,
    CommissionPlan,
    FillConvention,
    MarginRule,
    ReversalOrders,
    Rounding,
    SharpeConvention,
    Sizing,
)
from quant_trading.backtesting.significance import deflated_sharpe
from quant_trading.backtesting.sweep_figures import FIGURES, figures_of
from quant_trading.backtesting.sweep_grid import Combinations, Value
from quant_trading.backtesting.sweep_lanes import LANES, Averages, Part, SeriesTerms, parts_of, run_part, table_of
from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.errors import DataGap
from quant_trading.domain.limits import Limits
from quant_trading.refdata.sessions import exchange_days
from quant_trading.strategy.macd import Macd

__all__ = ["FIGURES", "Heatmap", "SweepResult", "is_covered", "run_sweep"]

# Of every other figure the highest is the best; a drawdown is negative, so the highest is the least deep.
_LOWEST_IS_BEST = frozenset({"annual_volatility", "orders", "total_cost"})
_SESSIONS_PER_YEAR = 252
_ROUNDING = {Rounding.HALF_EVEN: 0, Rounding.DOWN: 1, Rounding.NONE: 2}

Runner = Callable[..., Any]
Progress = Callable[[int, int], None]
_Rows = tuple[Part, FloatArray, FloatArray]


@dataclass(frozen=True, slots=True)
class Heatmap:
    """One figure over two parameters, the others as in the best run.

    Attributes:
        x_name, y_name, figure: what is shown.
        x, y: the values of the two parameters, rising.
        values: float64[len(y), len(x)], NaN where there is no run.
    """

    x_name: str
    y_name: str
    figure: str
    x: tuple[Value, ...]
    y: tuple[Value, ...]
    values: FloatArray


@dataclass(frozen=True)
class SweepResult:
    """Every run of a sweep, one row each.

    Attributes:
        strategy: its registered name.
        names: the parameters that varied; values: their values, one row per run.
        figures: float64[M] by the names of `FIGURES`, as `Metrics` has them; NaN where a figure is not defined.
        best_curve: float64[S + 1], money, of the run with the highest Sharpe ratio.
        left_out: combinations the strategy refused or whose warm-up the bars do not cover; they were not tried.
    """

    strategy: str
    names: tuple[str, ...]
    values: tuple[tuple[Value, ...], ...]
    figures: dict[str, FloatArray]
    best_curve: FloatArray
    left_out: int

    @property
    def trials(self) -> int:
        """Return how many runs there were."""
        return len(self.values)

    def order(self, figure: str = "sharpe") -> list[int]:
        """Return the rows from the best to the worst; what is not defined comes last, equals keep their order.

        The best has the lowest volatility, orders or costs, and the highest of any other figure.
        """
        values = self.figures[figure] if figure in _LOWEST_IS_BEST else -self.figures[figure]
        return [int(i) for i in np.argsort(np.where(np.isnan(values), np.inf, values), kind="stable")]

    def best(self, figure: str = "sharpe") -> dict[str, Value]:
        """Return the parameters of the best run."""
        return self.parameters(self.order(figure)[0])

    def parameters(self, row: int) -> dict[str, Value]:
        """Return the varied parameters of a run."""
        return dict(zip(self.names, self.values[row], strict=True))

    def top(self, count: int = 10, figure: str = "sharpe") -> list[dict[str, Value]]:
        """Return the parameters and figures of the `count` best runs."""
        return [
            {**self.parameters(row), **{name: float(column[row]) for name, column in self.figures.items()}}
            for row in self.order(figure)[:count]
        ]

    def heatmap(self, x_name: str, y_name: str, figure: str = "sharpe") -> Heatmap:
        """Return `figure` over two parameters, the others at their values in the best run by it."""
        best = self.best(figure)
        places = {name: self.names.index(name) for name in self.names}
        x = tuple(sorted({row[places[x_name]] for row in self.values}, key=_sort_key))
        y = tuple(sorted({row[places[y_name]] for row in self.values}, key=_sort_key))
        values = np.full((len(y), len(x)), np.nan)
        others = [name for name in self.names if name not in (x_name, y_name)]
        for row, of_row in enumerate(self.values):
            if all(of_row[places[name]] == best[name] for name in others):
                at = y.index(of_row[places[y_name]]), x.index(of_row[places[x_name]])
                values[at] = self.figures[figure][row]
        return Heatmap(x_name, y_name, figure, x, y, values)

    @cached_property
    def deflated_sharpe(self) -> float:
        """Return the probability that the best Sharpe ratio is more than the luck of so many trials."""
        sharpes = self.figures["sharpe"] / math.sqrt(_SESSIONS_PER_YEAR)
        known = sharpes[~np.isnan(sharpes)]
        returns = self.best_curve[1:] / self.best_curve[:-1] - 1.0
        variance = float(np.var(known, ddof=1)) if len(known) > 1 else 0.0
        return deflated_sharpe(returns, self.trials, variance)


def run_sweep(
    panel: BarPanel,
    strategy: str,
    combinations: Combinations,
    limits: Limits,
    settings: BacktestSettings,
    first_bar: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
    runner: Runner = run_backtest,
) -> SweepResult:
    """Return what each of `combinations` would have earned on `panel`.

    MACD with plain settings on one symbol runs 32 combinations at a time; all else runs `runner` once each.

    Args:
        panel, limits, settings, first_bar: as for `run_backtest`.
        strategy: its registered name.
        workers: threads.
        progress: called with (runs done, runs in all), from this thread.
        runner: what runs a single combination; another than `run_backtest` runs all of them.

    Raises:
        DataGap: when the bars do not cover the warm-up of a single combination.
        ConfigError: as `run_backtest`.
    """
    long_enough = [i for i, one in enumerate(combinations.strategies) if one.warmup <= len(panel)]
    if not long_enough:
        least = min((one.warmup for one in combinations.strategies), default=0)
        raise DataGap(f"sweep of {strategy}: {len(panel)} bars are fewer than the {least} that the shortest "
                      "combination needs to warm up; ask for a longer duration")  # fmt: skip
    chosen = [combinations.strategies[i] for i in long_enough]
    is_plain = runner is run_backtest and is_covered(panel, chosen, settings)
    series = _Series(panel, settings, first_bar, chosen) if is_plain else None
    parts = [Part(np.array([i]), 0) for i in range(len(chosen))] if series is None else parts_of(series.table)

    def run_one(part: Part) -> _Rows:
        """Return the figures of a part and the curve of the best of it."""
        if series is not None:
            return _lanes(series, part, lambda k: runner(panel, chosen[k], limits, settings, first_bar))
        result = runner(panel, chosen[int(part.places[0])], limits, settings, first_bar, strategy)
        cost, orders = float(np.sum(result.ledger.cost)), float(np.sum(result.ledger.trades))
        table, _ = figures_of(result.session_curve[:, np.newaxis], np.array([orders]), np.array([cost]))
        return part, table, result.session_curve

    table = np.full((len(chosen), len(FIGURES)), np.nan)
    best_sharpe, best_curve, done = -math.inf, np.zeros(0), 0
    at_sharpe = FIGURES.index("sharpe")
    for part, rows, curve in _in_order(run_one, parts, workers):
        table[part.places] = rows
        sharpes = rows[:, at_sharpe]
        highest = float(np.nanmax(sharpes)) if not np.isnan(sharpes).all() else -math.inf
        if highest > best_sharpe or len(best_curve) == 0:
            best_sharpe, best_curve = highest, curve
        done += len(part.places)
        if progress is not None:
            progress(done, len(chosen))
    return SweepResult(
        strategy, combinations.names, tuple(combinations.values[i] for i in long_enough),
        {name: np.ascontiguousarray(table[:, k]) for k, name in enumerate(FIGURES)}, best_curve,
        combinations.left_out + len(combinations.strategies) - len(chosen),
    )  # fmt: skip


def is_covered(panel: BarPanel, strategies: Sequence[object], settings: BacktestSettings) -> bool:
    """Return True when the lanes know all there is: MACD, one symbol without gaps, plain settings."""
    plain = (
        settings.accounting is Accounting.SHARES and settings.sizing is Sizing.SHARES and settings.is_on_change
        and settings.plan is CommissionPlan.NONE and not settings.regulatory_fees
        and settings.reversal is ReversalOrders.ONE and settings.slippage_bps == settings.slippage_ticks == 0.0
        and settings.margin is MarginRule.NONE and settings.max_volume_fraction == 0.0
        and settings.borrow_rate == 0.0 and not settings.exits and settings.close_last is CloseLast.LEAVE
        and settings.sharpe is SharpeConvention.DAILY
    )  # fmt: skip
    prices = (panel.open, panel.close)
    return (
        plain
        and all(type(one) is Macd for one in strategies)
        and len(panel.symbols) == 1
        and all(bool(np.all(np.isfinite(column) & (column > 0.0))) for column in prices)
    )


def _in_order(run_one: Callable[[Part], _Rows], parts: Sequence[Part], workers: int) -> Iterator[_Rows]:
    if workers <= 1 or len(parts) == 1:
        yield from map(run_one, parts)
        return
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(run_one, parts)


class _Series:
    """What all parts of a sweep in lanes share."""

    def __init__(self, panel: BarPanel, settings: BacktestSettings, first_bar: int, strategies: Sequence[Any]) -> None:
        self.settings = settings
        self.terms = _series_terms(panel, settings, first_bar)
        self.table = table_of([(one.fast, one.slow, one.signal_span, one.seed) for one in strategies])
        self.shares = rounded(settings.shares, _ROUNDING[settings.rounding])
        self.worst = _worst_of_sessions(self.terms, self.shares, settings.commission_per_trade)
        self.averages: Averages = {}
        self._of_thread = local()

    def room(self, width: int) -> FloatArray:
        """Return this thread's float64[3, S + 1, width], the same for every part: new pages cost more than sums."""
        kept: FloatArray | None = getattr(self._of_thread, "room", None)
        shape = (3, len(self.terms.session_ends) + 1, width)
        if kept is None or kept.size < math.prod(shape):
            kept = self._of_thread.room = np.empty(math.prod(shape))
        return kept[: math.prod(shape)].reshape(shape)


def _lanes(series: _Series, part: Part, run_alone: Callable[[int], Any]) -> _Rows:
    """Return float64[K, figures] of the MACD runs of a part, and the curve of that with the highest Sharpe ratio."""
    settings, shares, terms = series.settings, series.shares, series.terms
    commission = settings.commission_per_trade
    kept = len(part.places)
    curves, returns, sides = series.room(-(-kept // LANES) * LANES)
    outcome = run_part(terms, series.table[part.places], part.shared, known=series.averages,
                       room=(curves[1:].reshape(-1), sides[1:].reshape(-1)))  # fmt: skip
    # The profits become equity where they stand.
    curves[0] = settings.initial_capital
    equity = outcome.profit
    equity *= shares
    equity += settings.initial_capital
    if commission:
        equity -= commission * np.ceil(outcome.sides / 2.0)
    curves = curves[:, :kept]
    orders, cost = outcome.orders * (shares > 0.0), shares * outcome.paid + commission * outcome.orders
    table, room = figures_of(curves, orders, cost, series.worst, returns.reshape(-1))
    at_risk = np.flatnonzero(~(room > 0.0))
    for k in at_risk.tolist():
        # This account may be ruined within a session: it is run bar by bar.
        result = run_alone(int(part.places[k]))
        curves[:, k] = result.session_curve
        orders[k], cost[k] = np.sum(result.ledger.trades), np.sum(result.ledger.cost)
    if len(at_risk):
        table, _ = figures_of(curves, orders, cost)
    sharpes = table[:, FIGURES.index("sharpe")]
    return part, table, curves[:, int(np.argmax(np.where(np.isnan(sharpes), -math.inf, sharpes)))].copy()


def _series_terms(panel: BarPanel, settings: BacktestSettings, first_bar: int) -> SeriesTerms:
    opens, close = panel.open[:, 0], np.ascontiguousarray(panel.close[:, 0])
    fill = {FillConvention.NEXT_OPEN: NEXT_OPEN, FillConvention.SAME_CLOSE: SAME_CLOSE,
            FillConvention.NEXT_CLOSE: NEXT_CLOSE}[settings.fill]  # fmt: skip
    late = close if fill == NEXT_CLOSE else opens
    price = close if fill == SAME_CLOSE else np.append(late[1:], close[-1:])
    days = exchange_days(panel.start_ns[first_bar + 1 :])
    ends = np.flatnonzero(np.append(days[1:] != days[:-1], True)) if len(days) else np.zeros(0, dtype=np.int64)
    return SeriesTerms(close, price, fill == SAME_CLOSE, ends + first_bar + 1, first_bar, settings.cost_bps / 1e4)


def _worst_of_sessions(terms: SeriesTerms, shares: float, commission: float) -> FloatArray:
    """Return float64[S]: more than any side that turns on every bar could lose within each session."""
    moved = np.abs(np.diff(terms.close, prepend=terms.close[:1])) + np.abs(terms.fill_price - terms.close)
    each = shares * (2.0 * moved + 2.0 * terms.cost_rate * terms.fill_price) + 2.0 * commission
    starts = np.append(terms.first_bar, terms.session_ends[:-1] + 1)
    return np.asarray(np.add.reduceat(each, starts)) if len(terms.session_ends) else np.zeros(0)


def _sort_key(value: Value) -> tuple[int, float, str]:
    return (1, 0.0, value) if isinstance(value, str) else (0, float(value), "")
