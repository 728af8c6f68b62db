"""Our own engine, measured like every other."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.peers.measure import Job, Outcome, Workload, entries_of_fills, run_adapter
from quant_trading.backtesting.engine import (
    Accounting,
    BacktestSettings,
    CloseLast,
    FillConvention,
    MarginRule,
    ReversalOrders,
    Rounding,
    SizeAt,
    Sizing,
    run_backtest,
)
from quant_trading.backtesting.metrics import measure
from quant_trading.backtesting.sweep import run_sweep
from quant_trading.backtesting.sweep_grid import combine
from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.limits import Limits
from quant_trading.indicators.sides import FLAT, SHORT, SideArray
from quant_trading.strategy.macd import Macd
from quant_trading.strategy.reversal import ReversalDecile

_LIMITS = Limits(max_position_pct=10.0, max_gross_exposure=100.0)


def panel_of(job: Job, bar_size: str) -> BarPanel:
    """Return the job's bars as a panel.

    A warm call is one where numba is loaded, as after the first large run of a process; a single small run
    (`--once`) does without, as on the command line.
    """
    if not job.is_once:
        import numba  # noqa: F401 - its presence is what the engine looks at
    bars = job.bars
    return BarPanel(
        bars.names, bar_size, bars.start_ns, bars.end_ns, bars.open, bars.high, bars.low, bars.close, bars.volume
    )  # fmt: skip


def settings_of(job: Job) -> BacktestSettings:
    """Return the conventions the parent asks for."""
    said = job.settings
    return BacktestSettings(
        initial_capital=job.capital,
        cost_bps=job.cost_rate * 1e4,
        fill=FillConvention(said.get("fill", "next_open")),
        sizing=Sizing.SHARES,
        shares=job.shares,
        close_last=CloseLast(said.get("close_last", "leave")),
        reversal=ReversalOrders(said.get("reversal", "one")),
    )


@dataclass(frozen=True)
class _LongOnly:
    """MACD's long side with all the equity in it, flat otherwise: what the array runners of raptorbt can hold."""

    macd: Macd

    @property
    def warmup(self) -> int:
        return self.macd.warmup

    def signal(self, bars: BarPanel) -> FloatArray:
        """Return 1 for long, else 0; NaN before it can know."""
        return np.maximum(self.macd.signal(bars), 0.0)

    def sides(self, bars: BarPanel) -> SideArray:
        """Return the same in bytes."""
        sides = self.macd.sides(bars)
        sides[sides == SHORT] = FLAT
        return sides

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        """Return the signal itself."""
        return signal


def _long_only(job: Job, panel: BarPanel, macd: Macd) -> Any:
    settings = replace(
        settings_of(job), sizing=Sizing.FRACTION, fraction=1.0, size_at=SizeAt.FILL, rounding=Rounding.NONE,
        margin=MarginRule.CASH,
    )  # fmt: skip
    return run_backtest(panel, _LongOnly(macd), _LIMITS, settings, strategy_name="LONG")


def one_by_one(job: Job) -> tuple[Any, Any]:
    """Run W1, W2 long only, each symbol with the whole capital for itself, as an engine of one symbol does."""
    whole, macd = panel_of(job, "5 mins"), Macd(seed=job.settings.get("seed", "first"))
    columns = ("open", "high", "low", "close", "volume")
    panels = [
        BarPanel((name,), whole.bar_size, whole.start_ns, whole.end_ns,
                 *(np.ascontiguousarray(getattr(whole, column)[:, j : j + 1]) for column in columns))
        for j, name in enumerate(whole.symbols)
    ]  # fmt: skip

    def call() -> Any:
        return [_long_only(job, panel, macd) for panel in panels]

    def read(results: Any) -> Outcome:
        fills = [
            (r.fills.bar, np.full(len(r.fills), j), r.fills.quantity, r.fills.price) for j, r in enumerate(results)
        ]
        entries = entries_of_fills(*(np.concatenate(column) for column in zip(*fills, strict=True)))
        return Outcome(float(job.capital + sum(r.equity[-1] - job.capital for r in results)), entries)

    return call, read


def macd_cross(job: Job) -> tuple[Any, Any]:
    """Run W1, W2: trades, equity and every figure of the result."""
    if job.settings.get("only") == "long":
        return one_by_one(job)
    panel, settings = panel_of(job, "5 mins"), settings_of(job)
    strategy = Macd(seed=job.settings.get("seed", "first"))
    with_figures = job.settings.get("figures", True)

    def call() -> Any:
        result = run_backtest(panel, strategy, _LIMITS, settings, strategy_name="MACD")
        return result, result.equity, result.trades, result.metrics if with_figures else None

    def read(found: Any) -> Outcome:
        result, equity, _, _ = found
        fills = result.fills
        return Outcome(float(equity[-1]), entries_of_fills(fills.bar, fills.symbol, fills.quantity, fills.price))

    return call, read


def reversal(job: Job) -> tuple[Any, Any]:
    """Run W3: the lowest tenth by the return over five days, with weights that do not drift or with shares."""
    panel = panel_of(job, "1 day")
    said = job.settings
    settings = BacktestSettings(
        initial_capital=job.capital, cost_bps=job.cost_rate * 1e4, fill=FillConvention(said.get("fill", "same_close")),
        accounting=Accounting(said.get("accounting", "weights")), rounding=Rounding(said.get("rounding", "none")),
        margin=MarginRule(said.get("margin", "none")), size_at=SizeAt(said.get("size_at", "close")),
    )  # fmt: skip
    strategy, limits = ReversalDecile(5, 0.1), Limits(0.2, 1.0)

    def call() -> Any:
        result = run_backtest(panel, strategy, limits, settings, strategy_name="REVERSAL_DECILE")
        return result.equity

    def read(equity: Any) -> Outcome:
        return Outcome(float(equity[-1]), curve=equity, trades=0)

    return call, read


def sweep(job: Job) -> tuple[Any, Any]:
    """Run W4: every combination with its final equity, drawdown, Sharpe ratio and orders."""
    panel, settings = panel_of(job, "5 mins"), settings_of(job)
    grid = {name: tuple(job.settings[name]) for name in ("fast", "slow", "signal_span")}
    fixed = {"seed": job.settings.get("seed", "first")}
    is_long = job.settings.get("only") == "long"

    def call() -> Any:
        combinations = combine("MACD", grid, fixed)
        if is_long:
            return [_long_only(job, panel, macd).equity[-1] for macd in combinations.strategies]
        return run_sweep(panel, "MACD", combinations, _LIMITS, settings)

    def read(found: Any) -> Outcome:
        if is_long:
            return Outcome(float(found[0]), curve=np.array(found), trades=0)
        finals = found.figures["final_equity"]
        return Outcome(float(finals[0]), curve=finals, trades=int(found.figures["orders"].sum()))

    return call, read


def tearsheet(job: Job) -> tuple[Any, Any]:
    """Run W6: the figures of 5,040 daily returns."""
    close = job.bars.close[:, 0].copy()
    days = job.bars.start_ns // (86_400 * 10**9)

    def call() -> Any:
        return measure(close, days=days)

    def read(metrics: Any) -> Outcome:
        figures = {
            name: float(value)
            for name, value in vars(metrics).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        return Outcome(float(close[-1]), figures=figures, trades=0)

    return call, read


WORKLOADS: dict[str, Workload] = {
    "W1": macd_cross, "W2a": macd_cross, "W2b": macd_cross,
    "W3": reversal, "W3L": reversal, "W4": sweep, "W6": tearsheet,
}  # fmt: skip

if __name__ == "__main__":
    run_adapter({}, WORKLOADS)
