"""Strategies that read the future, each in a way that happens in real research."""

from dataclasses import dataclass, field

import numpy as np

from quant_trading.refdata.sessions import exchange_days
from quant_trading.strategy.base import equal_weights

__all__ = ["PLANTED"]

PLANTED = {}


def planted(function):
    """Make a strategy of a signal function of the bars."""

    @dataclass(frozen=True, slots=True)
    class Leaking:
        warmup: int = 20

        def signal(self, bars):
            with np.errstate(all="ignore"):
                return np.asarray(function(bars), dtype=np.float64)

        def target(self, signal, limits):
            return equal_weights(signal, limits)

    Leaking.__name__ = Leaking.__qualname__ = function.__name__
    PLANTED[function.__name__] = Leaking
    return Leaking


def planted_class(cls):
    PLANTED[cls.__name__] = cls
    return cls


def returns(close, lookback=1):
    change = np.full_like(close, np.nan)
    change[lookback:] = close[lookback:] / close[:-lookback] - 1.0
    return change


def shifted(values, by=-1):
    """Return values[t - by] on row t: by = -1 is tomorrow's."""
    out = np.full_like(values, np.nan)
    out[:by] = values[-by:]
    return out


@planted
def tomorrows_return(bars):
    """shift(-1), the classic."""
    return np.sign(shifted(returns(bars.close)))


@planted
def z_score_of_the_whole_sample(bars):
    return (bars.close - np.nanmean(bars.close, axis=0)) / np.nanstd(bars.close, axis=0)


@planted
def deviation_of_the_whole_sample(bars):
    """Only the scale is of the whole sample: a return counts when it is beyond one deviation."""
    change = returns(bars.close)
    return (change < -0.5 * np.nanstd(change, axis=0)).astype(float)


@planted
def share_of_the_largest_price(bars):
    return bars.close / np.nanmax(bars.close, axis=0)


@planted
def centred_average(bars):
    """A window of five with today in its middle."""
    padded = np.pad(bars.close, ((2, 2), (0, 0)), mode="edge")
    mean = np.mean([padded[k : k + len(bars.close)] for k in range(5)], axis=0)
    return np.sign(bars.close - mean)


@planted
def filled_backwards(bars):
    """bfill: a missing close is taken from the next bar that has one."""
    close = bars.close.copy()
    for t in range(len(close) - 2, -1, -1):
        close[t] = np.where(np.isnan(close[t]), close[t + 1], close[t])
    return np.sign(returns(close))


@planted
def interpolated_holes(bars):
    """interpolate(): a missing close lies on the line to the next one."""
    out = bars.close.copy()
    rows = np.arange(len(out))
    for j in range(out.shape[1]):
        there = ~np.isnan(out[:, j])
        if there.any():
            out[:, j] = np.interp(rows, rows[there], out[there, j])
    return out / np.roll(out, 1, axis=0) - 1.0


@planted
def week_labelled_at_its_start(bars):
    """resample("W"): the close of the week stands on its Monday."""
    weeks = (exchange_days(bars.start_ns) + 3) // 7
    last = np.searchsorted(weeks, weeks, side="right") - 1
    return np.sign(bars.close[last] - bars.open)


@planted
def tomorrows_volume(bars):
    return (shifted(bars.volume) > bars.volume).astype(float)


@planted
def rank_in_the_whole_sample(bars):
    return np.argsort(np.argsort(bars.close, axis=0), axis=0) / len(bars.close)


@planted
def high_and_low_known_at_the_open(bars):
    """Buys at the next open when that day closes near its high."""
    place = (bars.close - bars.low) / (bars.high - bars.low + 1e-9)
    return (shifted(place) > 0.5).astype(float)


@planted
def line_fitted_to_everything(bars):
    """A trend fitted to all closes at once."""
    rows = np.arange(len(bars.close)) - (len(bars.close) - 1) / 2
    close = np.nan_to_num(bars.close, nan=100.0)
    slope = rows @ close / max(float(rows @ rows), 1.0)
    return close - close.mean(axis=0) - rows[:, None] * slope


@planted
def length_of_the_sample(bars):
    """The window is a tenth of the bars there are."""
    lookback = max(1, len(bars.close) // 10)
    return np.sign(returns(bars.close, lookback))


@planted
def flag_on_the_last_bar(bars):
    """Closes everything on the last bar, whenever that is."""
    signal = np.ones_like(bars.close)
    signal[-1] = 0.0
    return signal


@planted
def scaled_by_the_panel(bars):
    """min-max over all symbols and bars."""
    low, high = np.nanmin(bars.close), np.nanmax(bars.close)
    return (bars.close - low) / max(high - low, 1e-9)


@planted
def sum_from_the_end(bars):
    return np.nancumsum(returns(bars.close)[::-1], axis=0)[::-1]


@planted
def smoothed_by_fourier(bars):
    spectrum = np.fft.rfft(np.nan_to_num(bars.close, nan=100.0), axis=0)
    spectrum[max(2, len(spectrum) // 8) :] = 0.0
    smooth = np.fft.irfft(spectrum, n=len(bars.close), axis=0)
    return np.sign(np.diff(smooth, axis=0, prepend=smooth[:1]))


@planted
def percentile_of_the_whole_sample(bars):
    change = returns(bars.close)
    return (change < np.nanpercentile(change, 20, axis=0)).astype(float)


@planted
def now_and_then(bars):
    """Tomorrow's return, but on every 50th bar only: counted by the day, so no place in a slice gives it away."""
    honest = np.sign(returns(bars.close))
    now = (exchange_days(bars.start_ns) * 78 + bars.start_ns // 300_000_000_000) % 50 == 0
    now |= np.arange(len(honest)) % 50 == 49
    return np.where(now[:, None], np.sign(shifted(returns(bars.close))), honest)


@planted
def one_column_only(bars):
    """Honest for all symbols but one."""
    signal = np.sign(returns(bars.close))
    for j, symbol in enumerate(bars.symbols):
        if symbol == "S01":
            signal[:, j] = np.sign(shifted(returns(bars.close)))[:, j]
    return signal


@planted
def only_at_crossings(bars):
    """A crossing counts when the next bar confirms it."""
    mean = np.full_like(bars.close, np.nan)
    for t in range(9, len(mean)):
        mean[t] = bars.close[t - 9 : t + 1].mean(axis=0)
    above = bars.close > mean
    crossed = above & ~np.roll(above, 1, axis=0)
    return (crossed & (shifted(bars.close) > bars.close)).astype(float)


@planted
def sorted_prices(bars):
    """Sorted somewhere, and never put back."""
    return bars.close - np.sort(bars.close, axis=0)


@planted
def pivots(bars):
    """A low is called when the three bars after it are higher."""
    low = np.ones(bars.low.shape, dtype=bool)
    for k in (1, 2, 3):
        low &= (
            bars.low
            < np.concatenate([bars.low[k:], np.full((min(k, len(low)), bars.low.shape[1]), np.inf)])[: len(low)]
        )
    return low.astype(float)


@planted_class
@dataclass(frozen=True, slots=True)
class TargetReadsTheNextSignal:
    """The signal is clean, the weights are not."""

    warmup: int = 5

    def signal(self, bars):
        return np.sign(np.nan_to_num(returns(bars.close)))

    def target(self, signal, limits):
        return equal_weights(np.concatenate([signal[1:], signal[-1:]]), limits)


@planted_class
@dataclass(frozen=True, slots=True)
class TargetScaledByTheWholeSample:
    """Weights are scaled so that the average exposure is even over all bars."""

    warmup: int = 5

    def signal(self, bars):
        return (returns(bars.close) < -0.01).astype(float)

    def target(self, signal, limits):
        weights = equal_weights(signal, limits)
        return weights * min(1.0, 0.1 / max(float(np.abs(weights).sum(axis=1).mean()), 1e-9))


@planted_class
@dataclass
class FittedOnceOnAllData:
    """Remembers the mean of the first bars it saw: of the whole sample in a backtest."""

    warmup: int = 5
    fitted: list = field(default_factory=list)

    def signal(self, bars):
        if not self.fitted:
            self.fitted.append(np.nanmean(bars.close))
        return np.sign(bars.close - self.fitted[0])

    def target(self, signal, limits):
        return equal_weights(signal, limits)


@planted_class
@dataclass(frozen=True, slots=True)
class SidesReadTheFuture:
    """What the fast path is given differs from the signal: it is tomorrow's."""

    warmup: int = 5

    def signal(self, bars):
        return np.sign(returns(bars.close))

    def sides(self, bars):
        return np.nan_to_num(np.sign(shifted(returns(bars.close)))).astype(np.int8)

    def target(self, signal, limits):
        return equal_weights(signal, limits)
