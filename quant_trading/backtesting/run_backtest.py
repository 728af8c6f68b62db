"""Backtest a strategy over local bars: `python -m quant_trading.backtesting.run_backtest --timeframe 5m`.

Prints the trade blotter, the equity curve and a summary per symbol, and writes `backtest_results/<timeframe>/
<SYMBOL>_backtest.json` (docs/backtest-results.md). `docs/backtest.md` is the guide.
"""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant_trading.backtesting.options import parser_of, period_of, settings_of, symbols_of
from quant_trading.domain.errors import ConfigError, DeskError, UsageError
from quant_trading.process import run_command

if TYPE_CHECKING:
    from quant_trading.backtesting.cache import Record
    from quant_trading.backtesting.causality import Verdict
    from quant_trading.backtesting.inputs import Inputs
    from quant_trading.backtesting.results import BacktestResult
    from quant_trading.backtesting.settings import BacktestSettings
    from quant_trading.backtesting.significance import Bootstrap
    from quant_trading.data.findings import Finding
    from quant_trading.domain.actions import CorporateAction
    from quant_trading.domain.bars import BarPanel, FloatArray
    from quant_trading.domain.limits import Limits
    from quant_trading.reporting.model import ReportData, Sweep
    from quant_trading.settings.active import ActiveChoice
    from quant_trading.strategy.base import Strategy

__all__ = ["main"]

# Stands in a folder of bars that nobody traded.
MADE_UP = "MADE_UP.txt"
_SOME_LEFT_OUT = 1
Say = Callable[[str], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the backtest `argv` describes and return the exit code; errors are one line on stderr."""
    options = parser_of().parse_args(argv)
    try:
        return _run(options, sys.argv[1:] if argv is None else list(argv), os.environ, _say)
    except DeskError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `| head` has seen enough; the files were written before the first line
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted: files already written are whole", file=sys.stderr)
        return 130


def _say(line: str) -> None:
    try:
        print(line)
    except UnicodeEncodeError:  # a console of an old code page
        from quant_trading.reporting.text import in_ascii

        print(in_ascii(line))


class _Run:
    """One command line, read and checked: the strategy, its bars and how they are traded."""

    def __init__(self, options: Namespace, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        from quant_trading.backtesting.inputs import read_inputs
        from quant_trading.backtesting.prepare import seen_bars
        from quant_trading.domain.limits import Limits
        from quant_trading.plugins import load_user_strategies
        from quant_trading.settings.active import read_active
        from quant_trading.settings.home import home

        root = home(environ)
        symbols, period = symbols_of(options), period_of(options)
        load_user_strategies(root / "strategies")
        choice = _on_these_bars(read_active(root, environ, options.strategy, options.param), options)
        self.options, self.arguments = options, list(arguments)
        self.name, self.fixed = choice.name, choice.params
        self.strategy: Strategy = choice.build()
        self.settings: BacktestSettings = settings_of(options, getattr(self.strategy, "sizing", "targets"))
        self.limits: Limits = _limits(options, Limits)
        self.folder = _data_dir(options, root)
        if options.sample:
            _make_sample(self.folder, options)
        self.inputs: Inputs = read_inputs(
            self.folder,
            symbols,
            options.timeframe,
            start=period.start,
            end=period.end,
            whole=period.whole,
            read_size=options.resample_from,
            convert=_converter(options),
        )
        self.actions: list[CorporateAction] = self._read_actions()
        self.seen: BarPanel = seen_bars(self.panel, self.actions)
        self.findings = self._check()

    @property
    def said(self) -> str | None:
        """Return what was done about jumps that nothing explains; None when there are none."""
        from quant_trading.backtesting.prepare import jumps_of

        jumps = jumps_of(self.findings)
        if not jumps:
            return None
        if self.options.trade_jumps:
            return f"traded as if nothing had happened (--trade-jumps): {jumps}"
        return (
            f"no opinion for the {self.strategy.warmup} bars from each on, so that none rests on prices from both "
            f"sides; a position held over one keeps its marks: {jumps}; pass splits and dividends with --actions"
        )

    @property
    def panel(self) -> "BarPanel":
        return self.inputs.panel

    @property
    def first_bar(self) -> int:
        return self.inputs.first_bar

    @property
    def command(self) -> str:
        """Return the line that repeats the run."""
        words = (f'"{word}"' if " " in word or not word else word for word in self.arguments)
        return " ".join(("python -m quant_trading.backtesting.run_backtest", *words))

    def _read_actions(self) -> "list[CorporateAction]":
        if self.options.actions is None:
            return []
        from quant_trading.data.actions import read_actions

        return read_actions(Path(self.options.actions), self.panel.symbols)

    def _check(self) -> "list[Finding]":
        from quant_trading.data.checker import check_panel

        # Bars before the strategy's warm-up touch nothing of the run.
        begin = max(self.first_bar - self.strategy.warmup, 0)
        return check_panel(self.panel.rows(begin, len(self.panel)), self.actions)

    def guard(self, strategy: "Strategy") -> "Strategy":
        """Return the strategy, without an opinion on what spans a jump that nothing explains."""
        from quant_trading.backtesting.prepare import guarded

        return strategy if self.options.trade_jumps else guarded(strategy, self.seen, self.findings)

    def run_one(
        self, panel: "BarPanel", strategy: "Strategy", limits: "Limits", settings: "BacktestSettings", first_bar: int,
        name: str = "",
    ) -> "BacktestResult":  # fmt: skip
        """Return the run of one strategy, guarded and with the events of this command line."""
        from quant_trading.backtesting.engine import run_backtest

        return run_backtest(panel, self.guard(strategy), limits, settings, first_bar, name or self.name, self.actions)

    def check_causality(self, strategy: "Strategy") -> "Verdict | None":
        """Return the verdict on a strategy that passed; None when the test was left out.

        Raises:
            FutureLeak: naming bar, column and what changed.
        """
        if self.options.no_causality:
            return None
        from quant_trading.backtesting.causality import refuse_leaks

        return refuse_leaks(strategy, self.seen, self.limits, seed=self.options.seed)


def _check_together(options: Namespace) -> None:
    """Refuse options of a search without one."""
    if options.sweep:
        return
    said = {"--walk-forward": options.walk_forward, "--anchored": options.anchored or None, "--purge": options.purge,
            "--objective": None if options.objective == "sharpe" else options.objective}  # fmt: skip
    alone = next((name for name, value in said.items() if value is not None), None)
    if alone is not None:
        raise UsageError(f"{alone} belongs to a search; say what to try, such as --sweep fast=5:15")


def _run(options: Namespace, arguments: Sequence[str], environ: Mapping[str, str], say: Say) -> int:
    _check_together(options)
    run = _Run(options, arguments, environ)
    for problem in run.inputs.problems:
        print(f"left out: {problem}", file=sys.stderr)
    try:
        return _carry_out(run, say)
    except (DeskError, OSError):
        raise
    except Exception as error:
        where = _own_line(error)
        if where is None:
            raise
        raise ConfigError(f"strategy {run.name}: {where}: {type(error).__name__}: {error}; correct it there") from error


def _own_line(error: BaseException) -> str | None:
    """Return the file and line of a strategy in which an error arose; None when it was not in one."""
    import traceback

    from quant_trading.plugins import strategy_files

    files = strategy_files()
    own = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).absolute() in files]
    return f"{own[-1].filename.rpartition('/')[2]} line {own[-1].lineno}" if own else None


def _carry_out(run: _Run, say: Say) -> int:
    verdict = run.check_causality(run.strategy)
    sweep = None
    if run.options.sweep:
        from quant_trading.backtesting.search import search

        sweep = search(run, say)
    result = run.run_one(run.panel, run.strategy, run.limits, run.settings, run.first_bar)
    record = _record(run, result, verdict)
    report = _report_data(run, record, verdict, sweep)
    written = _write(run, record, report)
    from quant_trading.reporting.text import report_lines

    for line in (*report_lines(report, run.options.blotter), "", *written):
        say(line)
    return _SOME_LEFT_OUT if run.inputs.problems else 0


def _limits(options: Namespace, kind: "type[Limits]") -> "Limits":
    for name, value in (("--max-position", options.max_position), ("--max-gross", options.max_gross)):
        if not 0.0 < value <= 4.0:
            raise ConfigError(f"{name} {value:g} is not within (0, 4]; write 0.2 for 20 %")
    return kind(options.max_position, options.max_gross)


def _on_these_bars(choice: "ActiveChoice", options: Namespace) -> "ActiveChoice":
    """Return the choice with the strategy's own `timeframe`, where it has one, as the bars of the run are.

    Raises:
        UsageError: when the command line says both, and differently.
    """
    from quant_trading.domain.bar_sizes import parse_bar_size

    minutes = parse_bar_size(options.timeframe).seconds // 60
    said = next((pair for pair in options.param if pair.lower().startswith("timeframe=")), None)
    if said is not None and said.partition("=")[2] != str(minutes):
        raise UsageError(f"--param {said} and --timeframe {options.timeframe} differ; leave the parameter out")
    on_these = replace(choice, params={**choice.params, "timeframe": minutes})
    try:
        on_these.build()
    except ConfigError:  # it has no such parameter, or trades other bars than it knows live
        return choice
    return on_these


def _data_dir(options: Namespace, root: Path) -> Path:
    """Return the folder of bars; a relative one is looked for in the current folder, then in the desk's."""
    named = Path(options.data_dir)
    return named if named.is_absolute() or named.exists() or not (root / named).exists() else root / named


def _make_sample(folder: Path, options: Namespace) -> None:
    """Fill the folder from the simulator's market, in a process of its own: a backtest never imports the simulator."""
    import subprocess

    command = [sys.executable, "-m", "quant_trading.tools.sample_data"]
    command += ["--timeframe", options.resample_from or options.timeframe, "--output-dir", str(folder)]
    names = symbols_of(options)
    if names is not None:
        command += ["--symbols", ",".join(names)]
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise ConfigError(f"--sample could not fill {folder} (its line above says why); name another place or symbol")


def _converter(options: Namespace) -> "Callable[[BarPanel], BarPanel] | None":
    if options.resample_from is None:
        return None
    from quant_trading.data.resample import resample

    return lambda panel: resample(panel, options.timeframe)


def _record(run: _Run, result: "BacktestResult", verdict: "Verdict | None") -> "Record":
    from quant_trading import __version__
    from quant_trading.backtesting.attribution import dividend_table
    from quant_trading.backtesting.cache import Record, Source

    resampled = run.options.resample_from or ""
    rows = {s: int((~(c != c)).sum()) for s, c in zip(run.panel.symbols, run.panel.close.T, strict=True)}
    sources = {
        symbol: Source(source.name, source.sha256, rows[symbol], resampled)
        for source in run.inputs.sources
        for symbol in source.symbols
        if symbol in rows
    }
    return Record(
        result=result,
        panel=result.bars,
        indicators=_indicators(run),
        sources=sources,
        findings=run.findings,
        told=_told(run),
        causality=(None, "not tested (--no-causality)") if verdict is None else (verdict.passed, verdict.text),
        dividends=dividend_table(result.ledger, result.bars, run.actions),
        version=__version__,
    )


def _told(run: _Run) -> dict[str, float | str | None]:
    """Return what the result cannot know by itself."""
    found: dict[str, float | str | None] = {
        "max_position_pct": run.limits.max_position_pct,
        "max_gross_exposure": run.limits.max_gross_exposure,
        "jumps": run.said,
        "actions_file": None,
    }
    if run.options.actions is not None:
        import hashlib

        path = Path(run.options.actions)
        found |= {"actions_file": path.name, "actions_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return found


def _indicators(run: _Run) -> "dict[str, FloatArray]":
    """Return what the strategy computes for charts, on the bars of the run."""
    offer: Any = getattr(run.strategy, "indicators", None)
    return {} if offer is None else {name: values[run.first_bar :] for name, values in offer(run.seen).items()}


def _report_data(run: _Run, record: "Record", verdict: "Verdict | None", sweep: "Sweep | None") -> "ReportData":
    from quant_trading.backtesting.report_data import Background, report_data
    from quant_trading.data.findings import grouped
    from quant_trading.reporting.model import Causality
    from quant_trading.settings.system_clock import SystemClock

    result = record.result
    needs_page = run.options.report is not None
    background = Background(
        created=f"{SystemClock().now():%Y-%m-%d %H:%M} UTC",
        version=record.version,
        command=run.command,
        benchmark=_benchmark(run),
        sources=run.inputs.sources,
        findings=grouped(run.findings),
        causality=Causality(None, record.causality[1]) if verdict is None else Causality(verdict.passed, verdict.text),
        bootstrap=_bootstrap(result, run.options.seed) if needs_page else None,
        sweep=sweep,
        with_prices=needs_page,
    )
    report = report_data(result, background)
    return replace(report, conventions=(*report.conventions, *_also_said(run, result)))


def _bootstrap(result: "BacktestResult", seed: int) -> "Bootstrap | None":
    """Return the intervals of a run of at least 20 sessions."""
    from quant_trading.backtesting.significance import bootstrap

    returns = result.session_curve[1:] / result.session_curve[:-1] - 1.0
    return bootstrap(returns, seed=seed + 1) if len(returns) >= 20 else None


def _also_said(run: _Run, result: "BacktestResult") -> "Iterator[tuple[str, str]]":
    """Yield what belongs to the conventions of this run besides its settings."""
    limits = run.limits
    if result.conventions.settings.sizing.value != "shares":
        yield (
            "Limits",
            f"a symbol up to {limits.max_position_pct:.0%} of equity, all up to {limits.max_gross_exposure:.0%}",
        )
    if run.options.actions is not None:
        yield (
            "Events",
            f"splits and dividends of {Path(run.options.actions).name}: the account trades the bars as they are, the "
            "strategy is shown them adjusted; P&L of trades is of prices only, dividends are in that of the symbols",
        )
    if run.said is not None:
        yield "Jumps", run.said
    if run.inputs.note:
        yield "Symbols", run.inputs.note
    if (run.folder / MADE_UP).is_file():
        yield (
            "Bars",
            f"made up: {run.folder.name}/{MADE_UP} says of what; they show how things work, never what is earned",
        )


def _benchmark(run: _Run) -> "tuple[str, FloatArray] | None":
    """Return the closes of the benchmark on the bars of the run."""
    if run.options.benchmark is None:
        return None
    import numpy as np

    from quant_trading.backtesting.inputs import read_inputs

    name = run.options.benchmark.upper()
    size = run.options.timeframe
    panel = read_inputs(
        run.folder, [name], size, start=None, end=None, whole=True, read_size=run.options.resample_from,
        convert=_converter(run.options),
    ).panel  # fmt: skip
    traded = run.panel.start_ns[run.first_bar :]
    closes = np.full(len(traded), np.nan)
    at = np.searchsorted(panel.start_ns, traded)
    there = at < len(panel)
    there[there] = panel.start_ns[at[there]] == traded[there]
    closes[there] = panel.close[at[there], 0]
    if not there.any():
        raise ConfigError(f"--benchmark {name}: it has no bar in the sample; name another symbol")
    return name, closes


def _write(run: _Run, record: "Record", report: "ReportData") -> list[str]:
    """Write what was asked for and return a line for each place."""
    options, lines = run.options, []
    if not options.no_cache:
        from quant_trading.backtesting.cache import write_cache

        written = write_cache(Path(options.cache_dir), record)
        lines.append(f"results   {len(written)} files in {written[0].parent}")
    if options.out is not None:
        lines.append(f"equity    {record.result.write_csv(Path(options.out))}")
    if options.report is not None:
        from quant_trading.data.files import replace_file
        from quant_trading.reporting.page import render_report

        lines.append(f"report    {replace_file(Path(options.report), render_report(report).encode())}")
    return lines


if __name__ == "__main__":
    sys.exit(run_command(main))
