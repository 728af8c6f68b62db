"""Hypothesis strategies for the agreement tests: markets full of holes and events, and every setting of the page.

A market is made from a drawn seed and a few drawn traits, always on the same grid of the largest size, of which the
drawn number of bars and symbols is cut: a failure shrinks to fewer bars without the others changing.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from quant_trading.refdata.sessions import sessions_between
from tests.backtesting.reference_nouns import Bar, Market, Rules

__all__ = [
    "MOST_BARS",
    "MOST_SYMBOLS",
    "Traits",
    "changed_markets",
    "make_market",
    "markets",
    "rules",
    "rules_with_everything",
]

FloatArray = npt.NDArray[np.float64]

MOST_BARS, MOST_SYMBOLS = 60, 5

# Sessions around holidays, month ends and the days on which the rates of the regulatory fees change.
STARTS = (
    date(2018, 1, 25), date(2018, 8, 29), date(2020, 2, 26), date(2023, 2, 22), date(2024, 5, 17), date(2025, 5, 9),
)  # fmt: skip

SPLIT_RATIOS = (2.0, 3.0, 4.0, 0.5, 0.1, 1.5, 1 / 3, 7 / 3, 0.04, 20.0)

WEIGHTS = (0.0, 0.0, 0.1, -0.1, 0.25, 0.5, -0.5, 1.0, -1.0, 0.333, 1.7, -1.4)
SHARES = (0.0, 0.0, 1.0, -1.0, 7.0, 100.0, -100.0, 99.5, -0.5, 2.5, 350.0, -350.0, 12.25)


@dataclass(frozen=True)
class Traits:
    """What kind of market it is; chances are per bar and symbol.

    Attributes:
        prices: "walk" in cents; "grid" of a few round prices, so that levels are met exactly; "wild" with jumps that
            ruin accounts; "cheap", fractions of a dollar that ticks of slippage exceed.
        holes: chance of no bar; scraps: chance that a single field of a bar is missing.
        quiet: chance of no volume.
        opinions: chance of a target that is not the one of the bar before; silence: chance of none.
        ends: some symbols start late or end early.
        events: number of splits and of dividends.
    """

    seed: int
    start: date
    bars: int
    symbols: int
    bars_a_session: int
    prices: str
    holes: float
    scraps: float
    quiet: float
    opinions: float
    silence: float
    ends: bool
    events: int


def _bars(rng: np.random.Generator, traits: Traits) -> FloatArray:
    """Return open, high, low, close and volume, float64[T, N, 5]."""
    shape = (MOST_BARS, MOST_SYMBOLS)
    if traits.prices == "grid":
        steps = rng.choice([9.0, 9.5, 10.0, 10.5, 11.0, 12.0], size=(*shape, 4))
        opens, close = steps[..., 0], steps[..., 1]
        high, low = steps.max(axis=2), steps.min(axis=2)
    else:
        level, size = {"walk": (80.0, 0.03), "wild": (30.0, 0.35), "cheap": (0.4, 0.1)}[traits.prices]
        moves = rng.normal(0.0, size, (*shape, 4))
        close = level * np.exp(np.cumsum(moves[..., 0], axis=0))
        opens = np.vstack([close[:1], close[:-1]]) * np.exp(moves[..., 1] / 2)
        high = np.maximum(opens, close) * np.exp(np.abs(moves[..., 2]) / 2)
        low = np.minimum(opens, close) * np.exp(-np.abs(moves[..., 3]) / 2)
        opens, high, low, close = (np.maximum(np.round(x, 2), 0.01) for x in (opens, high, low, close))
    volume = np.where(rng.random(shape) < traits.quiet, 0.0, np.round(rng.exponential(400.0, shape)))
    bars = np.stack([opens, high, low, close, volume], axis=2)
    bars[rng.random(bars.shape) < traits.scraps] = np.nan
    bars[rng.random(shape) < traits.holes] = np.nan
    return bars


def _cut_ends(rng: np.random.Generator, bars: FloatArray) -> None:
    """Let some symbols begin late and some end early."""
    for j in range(bars.shape[1]):
        first, last = sorted(rng.integers(0, len(bars), 2).tolist())
        kind = int(rng.integers(0, 4))
        if kind in (1, 3):
            bars[: first // 2, j] = np.nan
        if kind in (2, 3):
            bars[last:, j] = np.nan


def _targets(rng: np.random.Generator, traits: Traits, values: tuple[float, ...]) -> FloatArray:
    """Return targets that stay for a while, float64[T, N], NaN = no opinion."""
    shape = (MOST_BARS, MOST_SYMBOLS)
    drawn = rng.choice(values, size=shape)
    is_new = rng.random(shape) < traits.opinions
    for t in range(1, MOST_BARS):
        drawn[t] = np.where(is_new[t], drawn[t], drawn[t - 1])
    drawn[rng.random(shape) < traits.silence] = np.nan
    return drawn


@cache
def _sessions_from(start: date) -> tuple[date, ...]:
    return tuple(session.day for session in sessions_between(start, start + timedelta(days=100)))


def _days(traits: Traits) -> list[date]:
    return [day for day in _sessions_from(traits.start) for _ in range(traits.bars_a_session)][:MOST_BARS]


def _events(
    rng: np.random.Generator, days: list[date], values: tuple[float, ...], count: int
) -> dict[tuple[date, int], float]:
    """Return values on any days of the calendar, some of them before the first bar and after the last."""
    span = (days[-1] - days[0]).days
    events = {}
    for _ in range(count):
        day = days[0] + timedelta(days=int(rng.integers(-3, span + 4)))
        events[day, int(rng.integers(0, MOST_SYMBOLS))] = float(rng.choice(values))
    return events


def make_market(traits: Traits, unit: str) -> Market:
    """Return the market of these traits with targets in `unit`."""
    rng = np.random.default_rng(traits.seed)
    bars = _bars(rng, traits)
    target = _targets(rng, traits, WEIGHTS if unit == "weight" else SHARES)
    days = _days(traits)
    if traits.ends:
        _cut_ends(rng, bars[: traits.bars])
    days = days[: traits.bars]
    splits = _events(rng, days, SPLIT_RATIOS, traits.events)
    dividends = _events(rng, days, (0.01, 0.25, 1.0, 3.37), traits.events)
    columns = range(traits.symbols)
    return Market(
        days=days,
        bars=[[Bar(*bars[t, j].tolist()) for j in columns] for t in range(traits.bars)],
        target=[[None if np.isnan(x) else x for x in target[t, : traits.symbols].tolist()] for t in range(traits.bars)],
        splits={key: value for key, value in splits.items() if key[1] in columns},
        dividends={key: value for key, value in dividends.items() if key[1] in columns},
    )


# A strategy that is made anew for every example is also checked and prepared anew, a tenth of the time of a property.


@cache
def _traits() -> st.SearchStrategy[Traits]:
    return st.builds(
        Traits,
        seed=st.integers(0, 2**32 - 1),
        start=st.sampled_from(STARTS),
        bars=st.one_of(st.integers(2, MOST_BARS), st.integers(30, MOST_BARS)),
        symbols=st.integers(1, MOST_SYMBOLS),
        bars_a_session=st.sampled_from([1, 2, 5]),
        prices=st.sampled_from(["walk", "grid", "wild", "cheap"]),
        holes=st.sampled_from([0.0, 0.1, 0.4]),
        scraps=st.sampled_from([0.0, 0.0, 0.02, 0.15]),
        quiet=st.sampled_from([0.0, 0.2]),
        opinions=st.sampled_from([0.2, 0.5, 1.0]),
        silence=st.sampled_from([0.0, 0.1, 0.6]),
        ends=st.booleans(),
        events=st.sampled_from([0, 0, 2, 8]),
    )


@cache
def markets(unit: str) -> st.SearchStrategy[Market]:
    """Draw markets with targets in weights or shares."""
    return _traits().map(lambda traits: make_market(traits, unit))


@cache
def changed_markets(unit: str) -> st.SearchStrategy[tuple[Market, Market, int]]:
    """Draw a market, the same one with other bars and targets from bar t on, and t."""

    def change(traits: Traits, seed: int, place: int) -> tuple[Market, Market, int]:
        market, other = make_market(traits, unit), make_market(replace(traits, seed=seed), unit)
        t = place % traits.bars
        bars, target = market.bars[:t] + other.bars[t:], market.target[:t] + other.target[t:]
        return market, replace(market, bars=bars, target=target), t

    return st.builds(change, _traits(), st.integers(0, 2**32 - 1), st.integers(0, MOST_BARS))


# The values of each setting, the least interesting one first: that is the way hypothesis shrinks.
_VALUES: dict[str, tuple[Any, ...]] = {
    "initial_capital": (100_000.0, 1_000_000.0, 12_345.67, 1_000.0),
    "unit": ("weight", "shares"),
    "rebalance": ("always", "on_change"),
    "fill": ("next_open", "same_close", "next_close"),
    "size_at": ("close", "fill"),
    "rounding": ("half_even", "down", "none"),
    "cost_bps": (0.0, 5.0, 33.3, 900.0),
    "commission": (0.0, 1.0, 7.77),
    "plan": ("none", "ibkr_fixed", "ibkr_tiered"),
    "regulatory_fees": (False, True),
    "reversal": ("one", "two"),
    "slippage_bps": (0.0, 5.0, 250.0),
    "slippage_ticks": (0.0, 1.0, 30.0),
    "tick_size": (0.01, 0.05),
    "margin": ("none", "cash", "margin"),
    "leverage": (2.0, 1.0, 0.5, 4.0),
    "maintenance": (0.0, 0.25, 0.6, 0.95),
    "max_volume_fraction": (0.0, 0.1, 0.33, 1.0),
    "borrow_rate": (0.0, 0.03, 4.0),
    "stop_loss": (0.0, 0.02, 0.05, 0.3),
    "take_profit": (0.0, 0.03, 0.05, 0.4),
    "trailing_stop": (0.0, 0.02, 0.05, 0.25),
    "time_exit_bars": (0, 1, 2, 5),
    "delisting": ("keep", "close"),
    "close_last": ("leave", "close", "open"),
}  # fmt: skip


@cache
def rules(**fixed: Any) -> st.SearchStrategy[Rules]:
    """Draw settings, each on its own; `fixed` ones stay."""
    drawn = {name: st.sampled_from(values) for name, values in _VALUES.items() if name not in fixed}
    return st.builds(Rules, **drawn, **{name: st.just(value) for name, value in fixed.items()})


@cache
def rules_with_everything(**fixed: Any) -> st.SearchStrategy[Rules]:
    """Draw settings that leave nothing off: costs, a plan, slippage, a margin rule, volume, exits, delisting."""
    kept = (
        "initial_capital",
        "unit",
        "rebalance",
        "fill",
        "size_at",
        "rounding",
        "tick_size",
        "leverage",
        "close_last",
    )
    drawn = {
        name: st.sampled_from(values if name in kept else values[1:])
        for name, values in _VALUES.items()
        if name not in fixed
    }
    return st.builds(Rules, **drawn, **{name: st.just(value) for name, value in fixed.items()})
