"""The sweep and the walk-forward of the command line: what is tried, what is shown, what the report is given."""

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from quant_trading.backtesting.sweep import FIGURES, SweepResult, run_sweep
from quant_trading.backtesting.sweep_grid import Combinations, combine, parse_grid
from quant_trading.backtesting.walk_forward import WalkForward, folds_of, walk_forward
from quant_trading.domain.errors import UsageError
from quant_trading.reporting.model import Column, Sweep, Table, Value
from quant_trading.reporting.text import sparkline, table_lines

if TYPE_CHECKING:
    from argparse import Namespace

    from quant_trading.backtesting.settings import BacktestSettings
    from quant_trading.domain.bars import BarPanel
    from quant_trading.domain.limits import Limits

__all__ = ["Searched", "search"]

_TOP = 10
_KINDS = {
    "total_return": "return", "cagr": "return", "annual_volatility": "percent", "sharpe": "ratio", "sortino": "ratio",
    "max_drawdown": "percent", "calmar": "ratio", "final_equity": "money", "orders": "count", "total_cost": "money",
}  # fmt: skip
_SHOWN = ("sharpe", "total_return", "max_drawdown", "orders", "total_cost")
_NAMES = {
    "total_return": "Total return", "cagr": "CAGR", "annual_volatility": "Volatility", "sharpe": "Sharpe",
    "sortino": "Sortino", "max_drawdown": "Max drawdown", "calmar": "Calmar", "final_equity": "Final equity",
    "orders": "Orders", "total_cost": "Costs",
}  # fmt: skip
Say = Callable[[str], None]


class Searched(Protocol):
    """What a search needs of the command line."""

    options: "Namespace"
    name: str
    fixed: Mapping[str, Any]
    limits: "Limits"
    settings: "BacktestSettings"

    @property
    def panel(self) -> "BarPanel": ...
    @property
    def first_bar(self) -> int: ...


def search(run: Searched, say: Say) -> Sweep:
    """Try every combination, say what was best and return it for the report.

    Raises:
        UsageError: for an objective or lengths that are none.
        ConfigError: for a grid that cannot be read or leaves no combination.
    """
    options = run.options
    if options.objective not in FIGURES:
        raise UsageError(f"--objective {options.objective} is not one of {', '.join(FIGURES)}")
    grid = parse_grid(options.sweep)
    fixed = {name: value for name, value in run.fixed.items() if name not in grid}
    combinations = combine(run.name, grid, fixed)
    workers = options.workers or os.cpu_count() or 1
    found = run_sweep(
        run.panel, run.name, combinations, run.limits, run.settings, run.first_bar, workers, _progress("runs")
    )
    for line in _sweep_lines(found, options.objective):
        say(line)
    note = _luck(found)
    if options.walk_forward is not None:
        for line in _forward(run, combinations, workers):
            say(line)
    say("")
    return _for_report(found, options.objective, note)


def _progress(what: str) -> Callable[[int, int], None] | None:
    """Return what shows progress on a terminal, None elsewhere."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{done:,} of {total:,} {what}{end}")
        sys.stderr.flush()

    return show


def _table(found: SweepResult, objective: str) -> Table:
    shown = tuple(dict.fromkeys((objective, *_SHOWN)))
    columns = [Column(name, "text") for name in found.names] + [Column(_NAMES[name], _KINDS[name]) for name in shown]
    rows: list[tuple[Value, ...]] = [
        (*(str(row[name]) for name in found.names), *(float(row[name]) for name in shown))
        for row in found.top(_TOP, objective)
    ]
    return Table(tuple(columns), tuple(rows))


def _sweep_lines(found: SweepResult, objective: str) -> list[str]:
    title = f"SWEEP: {found.strategy}, {found.trials:,} runs, best by {_NAMES[objective]}"
    left_out = f"{found.left_out:,} combinations were refused or need more bars; they were not tried"
    return [
        title,
        "=" * len(title),
        *table_lines(_table(found, objective)),
        *([left_out] if found.left_out else []),
        _luck(found),
    ]


def _luck(found: SweepResult) -> str:
    """Return what the best Sharpe ratio is worth after so many trials."""
    probability = found.deflated_sharpe
    if math.isnan(probability):
        return f"Deflated Sharpe: not defined with {found.trials} trials"
    return f"Deflated Sharpe {probability:.3f}: the chance that the best is more than the luck of so many trials"


def _for_report(found: SweepResult, objective: str, note: str) -> Sweep:
    top = _table(found, objective)
    varied = [name for i, name in enumerate(found.names) if len({row[i] for row in found.values}) > 1]
    if len(varied) < 2:
        return Sweep(_NAMES[objective], _KINDS[objective], found.trials, top, note=note)
    y_name, x_name = varied[:2]
    map_ = found.heatmap(x_name, y_name, objective)
    x, y = _texts(map_.x), _texts(map_.y)
    return Sweep(_NAMES[objective], _KINDS[objective], found.trials, top, x_name, x, y_name, y, map_.values, note)


def _texts(values: Sequence[object]) -> tuple[str, ...]:
    return tuple(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def _forward(run: Searched, combinations: Combinations, workers: int) -> list[str]:
    """Run the walk-forward and return its lines."""
    options, sessions = run.options, run.panel.sessions
    train, test = _lengths(options.walk_forward)
    purge = options.purge
    if purge is None:  # a position decided on the last bars of a session is held into the next one
        purge = max(1, round(len(sessions) / max(len(set(sessions.tolist())), 1)))
    folds = folds_of(sessions, train, test, options.anchored, purge, 0, run.first_bar)
    walked = walk_forward(
        run.panel, run.name, combinations, run.limits, run.settings, folds, options.objective, workers,
        _progress("folds"),
    )  # fmt: skip
    return _forward_lines(walked, purge)


def _lengths(text: str) -> tuple[int, int]:
    parts = text.split(":")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(f"--walk-forward {text} is not TRAIN:TEST in sessions; write 120:20")
    return int(parts[0]), int(parts[1])


def _forward_lines(walked: WalkForward, purge: int) -> list[str]:
    title = f"WALK-FORWARD: {len(walked.folds)} folds, best by {_NAMES[walked.figure]}, {purge} bars purged"
    names = tuple(walked.folds[0].parameters)
    columns = [*(Column(name, "text") for name in names), Column("in training", _KINDS[walked.figure]),
               Column("on unseen bars", _KINDS[walked.figure]), Column("return", "return")]  # fmt: skip
    rows: list[tuple[Value, ...]] = [
        (*(str(fold.parameters[name]) for name in names), fold.train_figure, fold.test_figure, fold.test_return)
        for fold in walked.folds
    ]
    growth = float(walked.curve[-1] / walked.curve[0] - 1.0)
    return ["", title, "=" * len(title), *table_lines(Table(tuple(columns), tuple(rows))), sparkline(walked.curve, 80),
            f"on unseen bars together {growth:+.2%}"]  # fmt: skip
