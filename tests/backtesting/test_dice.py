"""Seeded draws: the same for a seed, within their bounds, of the moments that their laws have."""

import numpy as np
import pytest

from quant_trading.backtesting.dice import Dice

MANY = 40_000


def test_the_same_seed_gives_the_same_draws_and_another_one_others():
    def draw(seed):
        dice = Dice(seed)
        return [dice.below(0, 1000), *dice.even(3), *dice.normal(3), *dice.mixed(np.arange(9)).tolist()]

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_even_draws_have_the_moments_of_their_law():
    values = Dice(1).even(MANY // 4, 4)
    assert values.shape == (MANY // 4, 4)
    assert 0.0 <= values.min() < 0.001
    assert 0.999 < values.max() < 1.0
    # Mean 1/2, variance 1/12; four standard errors of each.
    assert values.mean() == pytest.approx(0.5, abs=4 * (1 / 12 / MANY) ** 0.5)
    assert values.var() == pytest.approx(1 / 12, abs=4 * (1 / 180 / MANY) ** 0.5)


def test_normal_draws_have_the_moments_of_their_law():
    values = Dice(2).normal(MANY)
    # Variance of the mean 1/n, of the variance 2/n, of the third moment 15/n, of the fourth (105 - 9)/n.
    for power, expected, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert (values**power).mean() == pytest.approx(expected, abs=4 * (variance / MANY) ** 0.5)
    assert np.isfinite(values).all()


def test_orders_and_choices_take_each_value():
    dice = Dice(3)
    mixed = dice.mixed(np.arange(500))
    assert sorted(mixed.tolist()) == list(range(500))
    assert mixed.tolist() != list(range(500))
    counts = np.bincount(dice.among(np.array([0, 1, 2, 3]), MANY // 4, 4).ravel())
    assert counts == pytest.approx(MANY / 4, abs=4 * (MANY * 3 / 16) ** 0.5)
    assert {dice.below(2, 5) for _ in range(200)} == {2, 3, 4}
    assert dice.mixed(np.empty(0, dtype=np.int64)).tolist() == []
