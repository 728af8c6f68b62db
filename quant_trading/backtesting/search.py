"""The sweep and the walk-forward of the command line: what is tried, what is shown, what the report is given."""

import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from quant_trading.backtesting.causality import FutureLeak
from quant_trading.backtesting.engine import run_backtest
from quant_trading.backtesting.sweep import FIGURES, SweepResult, run_sweep
from quant_trading.backtesting.sweep_grid import Combinations, combine, parse_grid
from quant_trading.backtesting.walk_forward import WalkForward, folds_of, walk_forward
from quant_trading.data.files import replace_file
from quant_trading.data.findings import JUMP_KINDS
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.errors import UsageError
from quant_trading.reporting.model import Column, Sweep, Table, Value
from quant_trading.reporting.text import sparkline, table_lines

if TYPE_CHECKING:
    from argparse import Namespace

    from quant_trading.backtesting.causality import Verdict
    from quant_trading.backtesting.results import BacktestResult
    from quant_trading.backtesting.settings import BacktestSettings
    from quant_trading.data.findings import Finding
    from quant_trading.domain.actions import CorporateAction
    from quant_trading.domain.bars import BarPanel
    from quant_trading.domain.limits import Limits
    from quant_trading.strategy.base import Strategy

__all__ = ["Searched", "search"]

_TOP = 10
_EPOCH = date(1970, 1, 1).toordinal()
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
    actions: "list[CorporateAction]"
    findings: "list[Finding]"

    def run_one(self, *arguments: Any) -> "BacktestResult": ...
    def check_causality(self, strategy: "Strategy") -> "Verdict | None": ...
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
    runner = _runner(run)
    found = run_sweep(
        run.panel, run.name, combinations, run.limits, run.settings, run.first_bar, workers, _progress("runs"), runner
    )
    _check(run, combinations, found.top(_TOP, options.objective))
    walked = None if options.walk_forward is None else _forward(run, combinations, workers, runner)
    for line in _sweep_lines(found, options.objective):
        say(line)
    if walked is not None:
        _check(run, combinations, [fold.parameters for fold in walked.folds])
        for line in _forward_lines(run, walked):
            say(line)
    say("")
    if not options.no_cache:
        _write(run, found, walked)
    return _for_report(found, options.objective, _luck(found))


def _runner(run: Searched) -> Callable[..., Any]:
    """Return what runs one combination: with events or jumps each is guarded like the run itself."""
    is_special = bool(run.actions) or any(finding.kind in JUMP_KINDS for finding in run.findings)
    return run.run_one if is_special else run_backtest


def _check(run: Searched, combinations: Combinations, chosen: Sequence[Mapping[str, Any]]) -> None:
    """Put each chosen combination to the causality test: with other parameters a strategy may read the future.

    Raises:
        FutureLeak: naming the parameters too.
    """
    wanted = {tuple(row[name] for name in combinations.names) for row in chosen}
    for values, strategy in zip(combinations.values, combinations.strategies, strict=True):
        if values not in wanted:
            continue
        wanted.discard(values)
        try:
            run.check_causality(strategy)
        except FutureLeak as leak:
            said = ", ".join(f"{n} = {v}" for n, v in zip(combinations.names, values, strict=True))
            raise FutureLeak(replace(leak.verdict, text=f"with {said}: {leak.verdict.text}")) from None


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


def _forward(run: Searched, combinations: Combinations, workers: int, runner: Callable[..., Any]) -> WalkForward:
    """Return the walk-forward the command line asks for."""
    options = run.options
    train, test = _lengths(options.walk_forward)
    folds = folds_of(run.panel.sessions, train, test, options.anchored, _purge(run), 0, run.first_bar)
    return walk_forward(
        run.panel, run.name, combinations, run.limits, run.settings, folds, options.objective, workers,
        _progress("folds"), runner,
    )  # fmt: skip


def _purge(run: Searched) -> int:
    """Return the bars before a test that are not trained on; by default a session's."""
    if run.options.purge is not None:
        return int(run.options.purge)
    return max(1, round(len(run.panel) / max(len(run.panel.session_ends), 1)))


def _lengths(text: str) -> tuple[int, int]:
    parts = text.split(":")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(f"--walk-forward {text} is not TRAIN:TEST in sessions; write 120:20")
    return int(parts[0]), int(parts[1])


def _forward_lines(run: Searched, walked: WalkForward) -> list[str]:
    title = f"WALK-FORWARD: {len(walked.folds)} folds, best by {_NAMES[walked.figure]}, {_purge(run)} bars purged"
    names = tuple(walked.folds[0].parameters)
    columns = [Column("test from", "text"), *(Column(name, "text") for name in names),
               Column("in training", _KINDS[walked.figure]), Column("on unseen bars", _KINDS[walked.figure]),
               Column("return", "return")]  # fmt: skip
    rows: list[tuple[Value, ...]] = [
        (_day(run, fold.fold.test_begin), *(str(fold.parameters[name]) for name in names), fold.train_figure,
         fold.test_figure, fold.test_return)
        for fold in walked.folds
    ]  # fmt: skip
    growth = float(walked.curve[-1] / walked.curve[0] - 1.0)
    return ["", title, "=" * len(title), *table_lines(Table(tuple(columns), tuple(rows))), sparkline(walked.curve, 80),
            f"on unseen bars together {growth:+.2%}"]  # fmt: skip


def _day(run: Searched, bar: int) -> str:
    return date.fromordinal(int(run.panel.sessions[bar]) + _EPOCH).isoformat()


def _write(run: Searched, found: SweepResult, walked: WalkForward | None) -> Path:
    """Write `sweep.json` beside the results: every run with its parameters and figures, and the folds."""
    size = parse_bar_size(run.options.timeframe)
    document = {
        "schema": "quant-trading/sweep",
        "version": 1,
        "strategy": found.strategy,
        "objective": run.options.objective,
        "trials": found.trials,
        "left_out": found.left_out,
        "deflated_sharpe": _known(found.deflated_sharpe),
        "parameters": {name: [row[i] for row in found.values] for i, name in enumerate(found.names)},
        "figures": {name: [_known(value) for value in column.tolist()] for name, column in found.figures.items()},
        "walk_forward": None if walked is None else [
            {"train_from": _day(run, fold.fold.train_begin), "test_from": _day(run, fold.fold.test_begin),
             "test_to": _day(run, fold.fold.test_end - 1), "parameters": dict(fold.parameters),
             "train_figure": _known(fold.train_figure), "test_figure": _known(fold.test_figure),
             "test_return": _known(fold.test_return)}
            for fold in walked.folds
        ],
    }  # fmt: skip
    content = json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n"
    return replace_file(Path(run.options.cache_dir) / size.timeframe / "sweep.json", content.encode())


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
