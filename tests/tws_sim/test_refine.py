"""Splitting bars: whatever the parent, the parts add up to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.tws_sim.aggregate import aggregate, rows
from quant_trading.tws_sim.noise import keys_at, mix
from quant_trading.tws_sim.refine import refine
from quant_trading.tws_sim.tape import TapeBars
from tests.examples import examples
from tests.tws_sim.bars_by_hand import SECOND_NS, bars_of, parent_bars


def split(parents: TapeBars, n: int, seed: int, *, force_first: bool = False) -> TapeBars:
    keys = keys_at(mix(seed), parents.start_ns // SECOND_NS)
    first = np.full(len(parents), force_first)
    return refine(parents, n, 60, keys, np.full(n, 1.0 / n), parents.open, first, 100)


@settings(max_examples=examples(200))
@given(parent_bars(), st.integers(1, 70), st.integers(0, 2**32), st.booleans())
def test_parts_aggregate_to_the_parent_exactly(parents: TapeBars, n: int, seed: int, force_first: bool) -> None:
    parts = split(parents, n, seed, force_first=force_first)
    whole = aggregate(parts, np.repeat(np.arange(len(parents)), n))
    for column in ("start_ns", "open", "high", "low", "close", "volume", "count"):
        assert getattr(whole, column).tolist() == getattr(parents, column).tolist(), column


@given(parent_bars(), st.integers(1, 70), st.integers(0, 2**32))
def test_parts_are_bars(parents: TapeBars, n: int, seed: int) -> None:
    parts = split(parents, n, seed)
    assert (parts.high >= np.maximum(parts.open, parts.close)).all()
    assert (parts.low <= np.minimum(parts.open, parts.close)).all()
    cents = np.stack([parts.open, parts.high, parts.low, parts.close]) * 100
    assert np.abs(cents - np.rint(cents)).max() < 1e-6
    assert ((parts.volume > 0) == (parts.count > 0)).all()
    assert (parts.volume >= parts.count).all()
    idle = rows(parts, parts.volume == 0)
    assert (idle.high == idle.low).all()


@given(parent_bars(), st.integers(2, 70), st.integers(0, 2**32))
def test_an_idle_part_is_flat_at_the_close_before_it(parents: TapeBars, n: int, seed: int) -> None:
    one = rows(parents, slice(0, 1))
    parts = split(one, n, seed)
    previous = float(one.open[0]) if one.volume[0] > 0 else float(one.close[0])
    for close, volume in zip(parts.close.tolist(), parts.volume.tolist(), strict=True):
        if volume == 0:
            assert close == previous
        previous = close


def test_an_opening_auction_trades_in_the_first_part() -> None:
    thin = bars_of([(10.0, 10.5, 9.5, 10.2, 300)])
    first = [split(thin, 60, seed, force_first=True).volume[0] > 0 for seed in range(30)]
    assert all(first)
    # Three trades among 60 parts: without the auction the first part is nearly always idle.
    assert sum(split(thin, 60, seed).volume[0] > 0 for seed in range(30)) < 15


def test_a_parent_is_split_the_same_alone_and_in_company() -> None:
    parents = bars_of([(10.0, 10.5, 9.5, 10.2, 5000), (10.2, 10.4, 10.1, 10.3, 120), (10.3, 11.0, 10.3, 11.0, 90_000)])
    together = split(parents, 60, 3)
    for number in range(3):
        alone = split(rows(parents, slice(number, number + 1)), 60, 3)
        for column in ("start_ns", "open", "high", "low", "close", "volume", "count"):
            part = getattr(together, column)[60 * number : 60 * number + 60]
            assert part.tolist() == getattr(alone, column).tolist()


@pytest.mark.parametrize(("count", "least", "most"), [(4000, 0, 0), (60, 15, 30), (6, 53, 57)])
def test_few_trades_leave_parts_empty(count: int, least: int, most: int) -> None:
    # 60 trades falling at random into 60 parts leave 60 / e = 22 of them empty.
    parent = bars_of([(10.0, 10.5, 9.5, 10.2, count * 100)])
    empty = [int((split(parent, 60, seed).volume == 0).sum()) for seed in range(20)]
    assert least <= np.mean(empty) <= most
