"""Walk forward: no unseen bar is trained on, and the curve is that of the chosen parameters."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.backtesting.engine import run_backtest
from quant_trading.backtesting.settings import BacktestSettings, FillConvention, Rebalance, Rounding, Sizing
from quant_trading.backtesting.sweep_grid import Combinations, combine
from quant_trading.backtesting.walk_forward import folds_of, walk_forward
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.domain.exits import StopLoss
from quant_trading.domain.limits import Limits
from tests.backtesting.panels import random_panel
from tests.backtesting.test_sweep import fixed_shares, plain_run
from tests.examples import examples


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
    signal = np.full(panel.close.shape, np.nan)
    for one in walked.folds:
        # The same choice from a panel that ends where the training ends.
        short = panel.rows(0, one.fold.train_end)
        best = max(runs.strategies, key=lambda s: _sharpe(plain_run(short, s, None, how, one.fold.train_begin)))
        assert one.parameters == {"fast": best.fast, "slow": best.slow}
        decided = slice(one.fold.test_begin - 1, one.fold.test_end)
        signal[decided] = best.signal(panel.rows(0, one.fold.test_end))[decided]
    # One account that follows what was chosen, begun on the bar before the first test.
    held = plain_run(panel, Given(signal), None, how, 199)
    np.testing.assert_allclose(walked.curve, held.session_curve, rtol=1e-12)
    assert len(walked.curve) == len(walked.days) + 1 == 201
    growth = [one.test_return for one in walked.folds]
    assert np.prod(np.add(growth, 1.0)) == pytest.approx(walked.curve[-1] / walked.curve[0], rel=1e-12)
    assert walked.folds[1].test_return == pytest.approx(walked.curve[120] / walked.curve[60] - 1.0, rel=1e-12)


@dataclass(frozen=True)
class Given:
    """A strategy that says what it was given."""

    whole: np.ndarray
    warmup = 1

    def signal(self, bars):
        return self.whole[: len(bars)]


@dataclass(frozen=True)
class AlwaysLong:
    """Long from the first bar to the last; `number` tells the combinations apart."""

    number: int
    exits: tuple = ()
    warmup = 1

    def signal(self, bars):
        return np.ones(bars.close.shape)

    def target(self, signal, limits):
        return np.where(np.isnan(signal), 0.0, limits.max_position_pct * np.sign(signal))


def always_long(*exits):
    runs = tuple(AlwaysLong(k, exits[k : k + 1]) for k in range(2))
    return Combinations(("number",), ((0,), (1,)), runs, 0)


def in_sessions(panel, bars):
    """The same prices, `bars` to the session."""
    days = panel.start_ns[np.arange(len(panel)) // bars]
    start = days + np.arange(len(panel)) % bars * 300_000_000_000
    return replace(panel, bar_size="5 mins", start_ns=start, end_ns=start + 300_000_000_000)


@settings(max_examples=examples(40), deadline=None)
@given(
    seed=st.integers(0, 99), bars=st.integers(1, 4), sessions=st.integers(6, 40), train=st.integers(3, 20),
    test=st.integers(1, 9), fill=st.sampled_from(list(FillConvention)),
)  # fmt: skip
def test_who_is_always_long_earns_what_holding_earns(seed, bars, sessions, train, test, fill):
    panel = in_sessions(random_panel(seed, bars * sessions, 1), bars) if bars > 1 else random_panel(seed, sessions, 1)
    if sessions <= train:
        return
    how = BacktestSettings(sizing=Sizing.SHARES, shares=100.0, cost_bps=0.0, fill=fill, rebalance=Rebalance.ON_CHANGE)
    walked = walk_forward(
        panel, "LONG", always_long(), Limits(), how, folds_of(panel.sessions, train, test), "total_return"
    )
    at = train * bars  # the first bar of the first test
    close, opened = panel.close[:, 0], panel.open[:, 0]
    paid = {"next_open": opened[at], "same_close": close[at - 1], "next_close": close[at]}[fill.value]
    held = how.initial_capital + 100.0 * (close[at + bars - 1 :: bars] - paid)
    # Every session of every test is there, the nights between them too.
    np.testing.assert_allclose(walked.curve, [how.initial_capital, *held], rtol=1e-12)
    assert walked.days.tolist() == np.unique(panel.sessions[at:]).tolist()


def test_weights_are_held_through_too():
    # All of the equity in one symbol, fractions of shares, no costs: the equity goes as the close does.
    panel = random_panel(3, 60, 1)
    how = BacktestSettings(cost_bps=0.0, fill=FillConvention.SAME_CLOSE, rounding=Rounding.NONE)
    walked = walk_forward(
        panel, "LONG", always_long(), Limits(1.0, 1.0), how, folds_of(panel.sessions, 20, 7), "total_return"
    )
    close = panel.close[19:, 0]
    np.testing.assert_allclose(walked.curve / walked.curve[0], close / close[0], rtol=1e-9)


def test_other_exits_are_another_account_that_begins_with_what_was_left():
    panel = random_panel(5, 120, 1)
    how = BacktestSettings(sizing=Sizing.SHARES, shares=1_000.0, cost_bps=5.0)
    runs = always_long(StopLoss(0.01), StopLoss(0.3))
    walked = walk_forward(panel, "LONG", runs, Limits(), how, folds_of(panel.sessions, 20, 10), "total_return")
    numbers = [one.parameters["number"] for one in walked.folds]
    assert set(numbers) == {0, 1}
    changes = [k for k in range(len(numbers)) if k == 0 or numbers[k] != numbers[k - 1]]
    money = 1.0
    for begin, end in zip(changes, [*changes[1:], len(numbers)], strict=True):
        first, last = walked.folds[begin].fold.test_begin - 1, walked.folds[end - 1].fold.test_end
        run = run_backtest(panel.rows(0, last), runs.strategies[numbers[begin]], Limits(), how, first, "LONG")
        money *= run.session_curve[-1] / run.session_curve[0]
    assert walked.curve[-1] / walked.curve[0] == pytest.approx(money, rel=1e-12)


def _sharpe(run):
    returns = run.session_curve[1:] / run.session_curve[:-1] - 1.0
    return returns.mean() / returns.std(ddof=1)


def test_an_unknown_figure_is_refused():
    with pytest.raises(ConfigError, match="'sharp' is not among total_return"):
        walk_forward(random_panel(1, 5, 1), "MACD", None, Limits(), fixed_shares(), [], "sharp")
