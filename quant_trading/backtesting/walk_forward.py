"""Choose on the past, trade the future, move on: what a sweep's choice earned on bars it has not seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from quant_trading.backtesting.engine import run_backtest
from quant_trading.backtesting.settings import BacktestSettings
from quant_trading.backtesting.sweep import FIGURES, run_sweep
from quant_trading.backtesting.sweep_figures import figures_of
from quant_trading.backtesting.sweep_grid import Combinations, Value
from quant_trading.domain.bars import BarPanel, FloatArray, IntArray
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.domain.limits import Limits
from quant_trading.refdata.sessions import exchange_days
from quant_trading.strategy.base import Strategy

__all__ = ["Fold", "FoldResult", "WalkForward", "folds_of", "walk_forward"]


@dataclass(frozen=True, slots=True)
class Fold:
    """Half-open ranges of bars: chosen on train_begin..train_end-1, traded on test_begin..test_end-1."""

    train_begin: int
    train_end: int
    test_begin: int
    test_end: int


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What one fold chose and earned.

    Attributes:
        parameters: of the run that was best in training.
        train_figure, test_figure: the figure it was chosen by, in training and on the unseen bars; the latter of the
            account as it stands there.
        test_return: over the unseen bars, 0.1 = 10 %; NaN when nothing was left to earn it on.
        trials: runs in training.
    """

    fold: Fold
    parameters: dict[str, Value]
    train_figure: float
    test_figure: float
    test_return: float
    trials: int


@dataclass(frozen=True)
class WalkForward:
    """The folds in order of time, and their unseen sessions put together.

    Attributes:
        curve: float64[S + 1], money: the initial capital, then after each unseen session.
        days: int64[S], exchange date of each unseen session, days since 1970-01-01.
        figure: what the choice was made by.
    """

    strategy: str
    figure: str
    folds: tuple[FoldResult, ...]
    curve: FloatArray
    days: IntArray


def folds_of(
    sessions: IntArray, train_sessions: int, test_sessions: int, anchored: bool = False, purge_bars: int = 0,
    embargo_bars: int = 0, first_bar: int = 0,
) -> list[Fold]:  # fmt: skip
    """Return the folds over the bars of a panel; a last test of fewer sessions is kept.

    The last `purge_bars + embargo_bars` bars before a test are not trained on: what a training decision there
    earns lies in the test (purge), or hangs together with it (embargo).

    Args:
        sessions: int64[T], the exchange date of each bar, rising.
        train_sessions, test_sessions: lengths, at least 1; tests follow each other without a gap.
        anchored: training always begins at `first_bar`; otherwise it moves along with the test.
        purge_bars, embargo_bars: 0 or more.
        first_bar: the first bar that may be trained on; those before only feed the strategy.

    Raises:
        ConfigError: when a length is not allowed or nothing is left to train on.
        DataGap: when there are fewer sessions than one fold needs.
    """
    for name, value, least in (
        ("train_sessions", train_sessions, 1), ("test_sessions", test_sessions, 1), ("purge_bars", purge_bars, 0),
        ("embargo_bars", embargo_bars, 0),
    ):  # fmt: skip
        if value < least:
            raise ConfigError(f"{name} = {value} is below {least}; write a whole number of at least {least}")
    starts = first_bar + np.flatnonzero(np.diff(sessions[first_bar:], prepend=np.int64(-(2**62))))
    edges = np.append(starts, len(sessions)).tolist()
    if len(starts) <= train_sessions:
        raise DataGap(
            f"walk forward: {len(starts)} sessions are not more than the {train_sessions} of one training; ask for a "
            "longer duration or train on fewer"
        )
    folds = []
    for at in range(train_sessions, len(starts), test_sessions):
        begin, end = edges[at], edges[min(at + test_sessions, len(starts))]
        train_begin = edges[0] if anchored else edges[at - train_sessions]
        train_end = begin - purge_bars - embargo_bars
        if train_end - train_begin < 2:
            raise ConfigError(
                f"walk forward: purge_bars + embargo_bars = {purge_bars + embargo_bars} leave nothing of "
                f"{begin - train_begin} bars to train on; take fewer, or a longer training"
            )
        folds.append(Fold(train_begin, train_end, begin, end))
    return folds


def walk_forward(
    panel: BarPanel,
    strategy: str,
    combinations: Combinations,
    limits: Limits,
    settings: BacktestSettings,
    folds: list[Fold],
    figure: str = "sharpe",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    runner: Callable[..., Any] = run_backtest,
) -> WalkForward:
    """Return what the best parameters of each training earned on the bars after it.

    A training sees the bars before its end only. The tests are traded by one account: it decides with a fold's
    parameters from the last bar before its test on, carries its positions from one test into the next, and pays for
    every change. Only where the next strategy has other exits a new account begins flat with what the last one left.

    Args:
        panel, limits, settings: as for `run_backtest`.
        strategy, combinations, workers, runner: as for `run_sweep`.
        figure: one of `FIGURES`; what is best by it is chosen, see `SweepResult.order`.
        folds: from `folds_of`.
        progress: called with (folds done, folds in all).

    Raises:
        ConfigError: when `figure` is unknown.
        DataGap: as `run_sweep`.
    """
    if figure not in FIGURES:
        raise ConfigError(f"figure = {figure!r} is not among {', '.join(FIGURES)}")
    choices = []
    for done, fold in enumerate(folds, 1):
        swept = run_sweep(
            panel.rows(0, fold.train_end), strategy, combinations, limits, settings, fold.train_begin, workers,
            runner=runner,
        )  # fmt: skip
        row = swept.order(figure)[0]
        chosen = combinations.strategies[combinations.values.index(swept.values[row])]
        choices.append(_Choice(fold, chosen, swept.parameters(row), float(swept.figures[figure][row]), swept.trials))
        if progress is not None:
            progress(done, len(folds))
    curve, results = [np.array([settings.initial_capital])], []
    for _, same in groupby(choices, key=lambda choice: getattr(choice.strategy, "exits", ())):
        group = list(same)
        first, stop = group[0].fold.test_begin - 1, group[-1].fold.test_end
        run = runner(panel.rows(0, stop), _Stitched(panel, group), limits, settings, first, strategy)
        results += _of_folds(panel, group, run, figure)
        of_group = run.session_curve
        curve.append(curve[-1][-1] * (of_group[1:] / of_group[0]))
    days = np.unique(exchange_days(panel.start_ns[folds[0].test_begin : folds[-1].test_end]))
    return WalkForward(strategy, figure, tuple(results), np.concatenate(curve), days)


@dataclass(frozen=True, slots=True)
class _Choice:
    """What the training of a fold was best with, and the figure there."""

    fold: Fold
    strategy: Strategy
    parameters: dict[str, Value]
    train_figure: float
    trials: int


class _Stitched:
    """The strategies of several folds as one: each decides from the last bar before its test to the next one's."""

    def __init__(self, panel: BarPanel, choices: Sequence[_Choice]) -> None:
        self._strategies = [choice.strategy for choice in choices]
        self._starts = panel.start_ns[[choice.fold.test_begin - 1 for choice in choices]]
        self._signals: list[FloatArray] = []
        self._rows: IntArray = np.zeros(0, dtype=np.int64)
        self.warmup = max(one.warmup for one in self._strategies)
        self.exits = getattr(self._strategies[0], "exits", ())

    def signal(self, bars: BarPanel) -> FloatArray:
        """Return each strategy's signal on its own bars; NaN before the first one's, which the account never sees."""
        known: dict[int, FloatArray] = {}  # the same parameters may be chosen again and again
        for one in self._strategies:
            if id(one) not in known:
                known[id(one)] = one.signal(bars)
        self._signals = [known[id(one)] for one in self._strategies]
        self._rows = np.searchsorted(self._starts, bars.start_ns, side="right") - 1
        return self._picked(self._signals, np.nan)

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        """Return each strategy's targets on its own bars, made of its own signal on all of them.

        Args:
            signal: the last one returned; what was made NaN in it since then is so for every strategy.
        """
        hidden = np.isnan(signal) & ~np.isnan(self._picked(self._signals, np.nan))
        known: dict[int, FloatArray] = {}
        for one, own in zip(self._strategies, self._signals, strict=True):
            if id(one) not in known:
                known[id(one)] = one.target(np.where(hidden, np.nan, own), limits)
        return self._picked([known[id(one)] for one in self._strategies], 0.0)

    def _picked(self, arrays: Sequence[FloatArray], before: float) -> FloatArray:
        out = np.full(arrays[0].shape, before)
        for k, array in enumerate(arrays):
            out[self._rows == k] = array[self._rows == k]
        return out


def _of_folds(panel: BarPanel, choices: Sequence[_Choice], run: Any, figure: str) -> list[FoldResult]:
    """Return what each of the folds that `run` traded one after the other came to."""
    start = choices[0].fold.test_begin - 1
    days = np.unique(exchange_days(panel.start_ns[start + 1 : choices[-1].fold.test_end]))
    results = []
    for choice in choices:
        fold = choice.fold
        first, last = np.searchsorted(
            days, exchange_days(panel.start_ns[[fold.test_begin, fold.test_end - 1]])
        ).tolist()
        curve = run.session_curve[first : last + 2]
        # What is traded on the bar before the first test belongs to it.
        begin = 0 if choice is choices[0] else fold.test_begin - start
        bars = slice(begin, fold.test_end - start)
        orders, cost = (np.array([float(np.sum(column[bars]))]) for column in (run.ledger.trades, run.ledger.cost))
        table, _ = figures_of(curve[:, np.newaxis], orders, cost)
        results.append(
            FoldResult(
                fold,
                choice.parameters,
                choice.train_figure,
                float(table[0, FIGURES.index(figure)]),
                float(curve[-1] / curve[0] - 1.0) if curve[0] > 0.0 else float("nan"),
                choice.trials,
            )
        )
    return results
