"""Honest strategies of many kinds, some of which look suspicious at first sight."""

from dataclasses import dataclass, field

import numpy as np

from quant_trading.refdata.sessions import exchange_days
from quant_trading.strategy.base import equal_weights

__all__ = ["CLEAN"]

CLEAN = {}


def clean(function):
    """Make a strategy of a signal function of the bars."""

    @dataclass(frozen=True, slots=True)
    class Honest:
        warmup: int = 21

        def signal(self, bars):
            with np.errstate(all="ignore"):
                return np.asarray(function(bars), dtype=np.float64)

        def target(self, signal, limits):
            return equal_weights(signal, limits)

    Honest.__name__ = Honest.__qualname__ = function.__name__
    CLEAN[function.__name__] = Honest
    return Honest


def clean_class(cls):
    CLEAN[cls.__name__] = cls
    return cls


def returns(close, lookback=1):
    change = np.full_like(close, np.nan)
    change[lookback:] = close[lookback:] / close[:-lookback] - 1.0
    return change


def windows(values, length):
    """Return [T, N, length]: the last `length` rows of each row, NaN before the first."""
    padded = np.concatenate([np.full((length - 1, values.shape[1]), np.nan), values])
    return np.lib.stride_tricks.sliding_window_view(padded, length, axis=0)


@clean
def rolling_mean(bars):
    return np.sign(bars.close - windows(bars.close, 20).mean(axis=-1))


@clean
def rolling_z_score(bars):
    past = windows(bars.close, 20)
    return (bars.close - past.mean(axis=-1)) / past.std(axis=-1)


@clean
def rolling_rank(bars):
    return (windows(bars.close, 20) < bars.close[..., None]).sum(axis=-1) / 20.0


@clean
def expanding_mean(bars):
    total = np.nancumsum(bars.close, axis=0)
    return np.sign(bars.close - total / np.arange(1, len(total) + 1)[:, None])


@clean
def expanding_maximum(bars):
    return bars.close / np.fmax.accumulate(bars.close, axis=0)


@clean
def volatility_scaled(bars):
    change = returns(bars.close)
    return np.clip(returns(bars.close, 5) / (windows(change, 20).std(axis=-1) * np.sqrt(5.0)), -3.0, 3.0)


@clean
def filled_forwards(bars):
    close = bars.close.copy()
    for t in range(1, len(close)):
        close[t] = np.where(np.isnan(close[t]), close[t - 1], close[t])
    return np.sign(returns(close, 3))


@clean
def cross_sectional_rank(bars):
    change = returns(bars.close, 5)
    order = np.argsort(np.argsort(np.nan_to_num(change), axis=1), axis=1)
    return np.where(order == 0, 1.0, np.where(order == change.shape[1] - 1, -1.0, 0.0))


@clean
def cross_sectional_demeaned(bars):
    change = returns(bars.close)
    return -(change - np.nanmean(np.nan_to_num(change), axis=1, keepdims=True))


@clean
def first_leads_the_others(bars):
    """All symbols follow yesterday's move of the first column."""
    lead = returns(bars.close)[:, :1]
    lagged = np.concatenate([np.full((1, 1), np.nan), lead[:-1]])
    return np.sign(np.broadcast_to(lagged, bars.close.shape))


@clean
def common_factor(bars):
    """Residuals to a fixed mix of the symbols, by a matrix product."""
    change = np.nan_to_num(returns(bars.close))
    count = change.shape[1]
    mix = np.eye(count) - np.full((count, count), 1.0 / count)
    return change @ mix


@clean
def yesterdays_range(bars):
    """Breakout of the bar before: a shift the right way."""
    signal = np.zeros_like(bars.close)
    signal[1:] = (bars.close[1:] > bars.high[:-1]).astype(float) - (bars.close[1:] < bars.low[:-1]).astype(float)
    return signal


@clean
def close_within_the_bar(bars):
    """High and low of the bar itself: known at its close, when the row is decided."""
    return (bars.close - bars.low) / (bars.high - bars.low + 1e-9)


@clean
def volume_spike(bars):
    return (bars.volume > 1.5 * windows(bars.volume, 20).mean(axis=-1)).astype(float)


@clean
def turn_of_the_month(bars):
    """The calendar is known beforehand."""
    days = exchange_days(bars.start_ns).astype("datetime64[D]")
    day = (days - days.astype("datetime64[M]")).astype(int) + 1
    return np.broadcast_to(((day <= 4) | (day >= 27))[:, None], bars.close.shape).astype(float)


@clean
def dice_of_the_bar(bars):
    """Random, by a seed made of the bar's own time."""
    rows = [np.random.default_rng(int(ns)).choice([-1.0, 0.0, 1.0], bars.close.shape[1]) for ns in bars.start_ns]
    return np.array(rows).reshape(bars.close.shape)


@clean
def stateful_step(bars):
    """A position that is held until its trailing stop is met, bar by bar."""
    signal = np.zeros_like(bars.close)
    for j in range(signal.shape[1]):
        held, best = 0.0, 0.0
        for t, price in enumerate(bars.close[:, j].tolist()):
            if price == price:
                best = max(best, price) if held else price
                if held and price < 0.97 * best:
                    held, best = 0.0, price
                elif not held and t % 10 == 9:
                    held, best = 1.0, price
            signal[t, j] = held
    return signal


@clean
def weekly_close(bars):
    """The close of the last finished week."""
    weeks = (exchange_days(bars.start_ns) + 3) // 7
    before = np.searchsorted(weeks, weeks, side="left") - 1
    return np.where(before[:, None] >= 0, np.sign(bars.close - bars.close[np.maximum(before, 0)]), np.nan)


@clean
def never_an_opinion(bars):
    return np.full_like(bars.close, np.nan)


@clean
def rolling_regression(bars):
    """The slope of the last 20 closes."""
    steps = np.arange(20) - 9.5
    return np.sign(windows(bars.close, 20) @ steps)


@clean_class
@dataclass(frozen=True, slots=True)
class TargetSmoothedOverTime:
    """The weights follow the signal slowly."""

    warmup: int = 40

    def signal(self, bars):
        return np.sign(returns(bars.close, 5))

    def target(self, signal, limits):
        wished = equal_weights(signal, limits)
        out = np.zeros_like(wished)
        for t in range(1, len(out)):
            out[t] = 0.8 * out[t - 1] + 0.2 * wished[t]
        return out


@clean_class
@dataclass
class KeepsACount:
    """An object with a state of its own, which does not matter."""

    warmup: int = 6
    calls: list = field(default_factory=list)

    def signal(self, bars):
        self.calls.append(len(bars))
        return np.sign(-returns(bars.close, 5))

    def target(self, signal, limits):
        return equal_weights(signal, limits)
