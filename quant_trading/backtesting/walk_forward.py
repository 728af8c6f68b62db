"""Choose on the past, trade the future, move on: what a sweep's choice earned on bars it has not seen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from quant_trading.backtesting.engine import run_backtest
from quant_trading.backtesting.settings import BacktestSettings
from quant_trading.backtesting.sweep import FIGURES, run_sweep
from quant_trading.backtesting.sweep_grid import Combinations, Value
from quant_trading.domain.bars import BarPanel, FloatArray, IntArray
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.domain.limits import Limits
from quant_trading.refdata.sessions import exchange_days

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
        train_figure, test_figure: the figure it was chosen by, in training and on the unseen bars.
        test_return: over the unseen bars, 0.1 = 10 %.
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
        curve: float64[S + 1], money: the initial capital, then after each unseen session; returns are chained.
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

    A training sees the bars before its end only. A test begins flat and is fed all earlier bars, as the desk is.

    Args:
        panel, limits, settings: as for `run_backtest`.
        strategy, combinations, workers, runner: as for `run_sweep`.
        figure: one of `FIGURES`; the highest is the best.
        folds: from `folds_of`.
        progress: called with (folds done, folds in all).

    Raises:
        ConfigError: when `figure` is unknown.
        DataGap: as `run_sweep`.
    """
    if figure not in FIGURES:
        raise ConfigError(f"figure = {figure!r} is not among {', '.join(FIGURES)}")
    capital = settings.initial_capital
    curve, days, results = [np.array([capital])], [], []
    for done, fold in enumerate(folds, 1):
        swept = run_sweep(
            panel.rows(0, fold.train_end), strategy, combinations, limits, settings, fold.train_begin, workers,
            runner=runner,
        )  # fmt: skip
        row = swept.order(figure)[0]
        parameters = swept.parameters(row)
        chosen = combinations.strategies[combinations.values.index(swept.values[row])]
        seen = panel.rows(0, fold.test_end)
        tested = run_sweep(
            seen, strategy, Combinations(swept.names, (swept.values[row],), (chosen,), 0), limits, settings,
            fold.test_begin, runner=runner,
        )  # fmt: skip
        of_test = tested.best_curve
        curve.append(curve[-1][-1] * of_test[1:] / of_test[0])
        days.append(np.unique(exchange_days(panel.start_ns[fold.test_begin + 1 : fold.test_end])))
        results.append(
            FoldResult(
                fold,
                parameters,
                float(swept.figures[figure][row]),
                float(tested.figures[figure][0]),
                float(of_test[-1] / of_test[0] - 1.0),
                swept.trials,
            )
        )
        if progress is not None:
            progress(done, len(folds))
    return WalkForward(strategy, figure, tuple(results), np.concatenate(curve), np.concatenate(days))
