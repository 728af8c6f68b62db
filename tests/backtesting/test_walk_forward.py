"""Walk forward: no unseen bar is trained on, and the curve is that of the chosen parameters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.backtesting.sweep_grid import combine
from quant_trading.backtesting.walk_forward import folds_of, walk_forward
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.domain.limits import Limits
from tests.backtesting.panels import random_panel
from tests.backtesting.test_sweep import fixed_shares, plain_run


@given(
    lengths=st.lists(st.integers(1, 9), min_size=2, max_size=60), train=st.integers(1, 20), test=st.integers(1, 9),
    anchored=st.booleans(), purge=st.integers(0, 8), embargo=st.integers(0, 8), first=st.integers(0, 30),
)  # fmt: skip
def test_no_test_bar_nor_one_near_it_is_trained_on(lengths, train, test, anchored, purge, embargo, first):
    sessions = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    first = min(first, len(sessions) - 1)
    try:
        folds = folds_of(sessions, train, test, anchored, purge, embargo, first)
    except (ConfigError, DataGap):
        return
    tested = []
    for fold in folds:
        trained, unseen = range(fold.train_begin, fold.train_end), range(fold.test_begin, fold.test_end)
        assert len(trained) >= 2
        assert len(unseen) >= 1
        near = set(range(fold.test_begin - purge - embargo, fold.test_end))
        assert not near & set(trained)
        assert fold.train_begin >= first
        assert fold.train_begin == first or not anchored
        # Whole sessions: no session is torn between two tests.
        assert sessions[fold.test_begin] != sessions[fold.test_begin - 1]
        assert fold.test_end == len(sessions) or sessions[fold.test_end] != sessions[fold.test_end - 1]
        tested += unseen
    # Every bar after the first training is tested exactly once, in order.
    assert tested == list(range(folds[0].test_begin, len(sessions)))


def test_folds_by_hand():
    # 6 sessions of 2 bars, training on 3, testing on 2, one bar purged: the last test has one session.
    sessions = np.repeat(np.arange(6, dtype=np.int64), 2)
    rolling = [(f.train_begin, f.train_end, f.test_begin, f.test_end) for f in folds_of(sessions, 3, 2, purge_bars=1)]
    assert rolling == [(0, 5, 6, 10), (4, 9, 10, 12)]
    anchored = [f.train_begin for f in folds_of(sessions, 3, 2, anchored=True)]
    assert anchored == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1), ConfigError, "train_sessions = 0 is below 1"),
        ((1, 0), ConfigError, "test_sessions = 0 is below 1"),
        ((6, 1), DataGap, "6 sessions are not more than the 6 of one training"),
        ((2, 1, False, 5), ConfigError, "leave nothing of 4 bars to train on"),
    ],
)
def test_what_cannot_be_split_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        folds_of(np.repeat(np.arange(6, dtype=np.int64), 2), *arguments)


def test_the_choice_does_not_depend_on_what_comes_after_and_the_curve_is_its_own():
    panel = random_panel(11, 400, 1)
    runs = combine("MACD", {"fast": (2, 3, 4), "slow": (6, 9)}, {"signal_span": 3})
    folds = folds_of(np.arange(400, dtype=np.int64), 200, 60, purge_bars=2)
    how = fixed_shares()
    walked = walk_forward(panel, "MACD", runs, Limits(), how, folds, runner=plain_run)
    assert len(walked.folds) == 4
    money = how.initial_capital
    for one in walked.folds:
        # The same choice from a panel that ends where the training ends.
        short = panel.rows(0, one.fold.test_begin)

        best = max(
            runs.strategies,
            key=lambda s: _sharpe(plain_run(short.rows(0, one.fold.train_end), s, None, how, one.fold.train_begin)),
        )
        assert one.parameters == {"fast": best.fast, "slow": best.slow}
        tested = plain_run(panel.rows(0, one.fold.test_end), best, None, how, one.fold.test_begin).session_curve
        assert one.test_return == pytest.approx(tested[-1] / tested[0] - 1.0, rel=1e-9)
        money *= tested[-1] / tested[0]
    assert walked.curve[0] == how.initial_capital
    assert walked.curve[-1] == pytest.approx(money, rel=1e-12)
    assert len(walked.curve) == len(walked.days) + 1


def _sharpe(run):
    returns = run.session_curve[1:] / run.session_curve[:-1] - 1.0
    return returns.mean() / returns.std(ddof=1)


def test_an_unknown_figure_is_refused():
    with pytest.raises(ConfigError, match="'sharp' is not among total_return"):
        walk_forward(random_panel(1, 5, 1), "MACD", None, Limits(), fixed_shares(), [], "sharp")
