"""Bars from ticks by brute force: every bar is computed from the raw ticks of its span, nothing is carried along."""

from collections.abc import Sequence
from typing import NamedTuple

MINUTE_NS = 60_000_000_000
Trade = tuple[int, float, float]


class Told(NamedTuple):
    """One bar: minutes, start, end, then prices, volume and trades."""

    minutes: int
    start_ns: int
    end_ns: int
    prices: tuple[float, float, float, float]
    volume: float
    ticks: int


def brute_bars(
    trades: Sequence[Trade], now_ns: int, sessions: Sequence[tuple[int, int]], timeframes: Sequence[int],
    start_ns: int, grace_ns: int,
) -> tuple[list[Told], int]:  # fmt: skip
    """Return the bars known at `now_ns` in order of end and timeframe, and the number of late ticks.

    Args:
        trades: time, price, size, in the order they came in.
        sessions: open and close of each.
        start_ns: a whole minute; everything from it on came in.
    """
    kept: list[Trade] = []
    late, newest = 0, start_ns
    for trade in trades:
        ns, _, size = trade
        home = next(((opened, closes) for opened, closes in sessions if opened <= ns < closes), None)
        if home is not None and size > 0:
            minute = home[0] + (ns - home[0]) // MINUTE_NS * MINUTE_NS
            if minute >= start_ns:
                if newest >= minute + MINUTE_NS + grace_ns:
                    late += 1
                else:
                    kept.append(trade)
        newest = max(newest, ns)
    newest = max(newest, now_ns)
    bars = []
    for minutes in timeframes:
        for opened, closes in sessions:
            for start in range(opened, closes, minutes * MINUTE_NS):
                end = min(start + minutes * MINUTE_NS, closes)
                if start >= start_ns and end + grace_ns <= newest:
                    bars += _bar(kept, minutes, start, end)
    return sorted(bars, key=lambda bar: (bar.end_ns, bar.minutes)), late


def _bar(kept: Sequence[Trade], minutes: int, start: int, end: int) -> list[Told]:
    # Python's sort is stable: of two trades at the same moment the earlier arrival stays first.
    own = sorted((trade for trade in kept if start <= trade[0] < end), key=lambda trade: trade[0])
    if own:
        prices = [price for _, price, _ in own]
        four = (prices[0], max(prices), min(prices), prices[-1])
        return [Told(minutes, start, end, four, sum(size for *_, size in own), len(own))]
    before = sorted((trade for trade in kept if trade[0] < start), key=lambda trade: trade[0])
    if not before:
        return []  # there has been no price yet
    return [Told(minutes, start, end, (before[-1][1],) * 4, 0.0, 0)]
