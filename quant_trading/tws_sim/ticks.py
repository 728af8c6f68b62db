"""The trades and quotes inside the seconds of a series.

The second is the resolution of the tape: all its trades bear its stamp and keep their order; quote sizes move
four times a second, quote prices with the last trade of a second. What is made here adds up: the trades of a second
are its bar (open, high, low, close, volume, and the count wherever the bar's count allows its four prices), the last
of them is what a quote shows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_trading.tws_sim.aggregate import rows
from quant_trading.tws_sim.noise import keys_at, mix, uniforms
from quant_trading.tws_sim.refine import prints_needed
from quant_trading.tws_sim.tape import FloatArray, IntArray, QuoteTicks, TapeBars, TradeTicks

__all__ = ["QUARTER_NS", "TopRows", "no_quotes", "no_trades", "quotes_of", "top_rows", "trades_of"]

SECOND_NS = 1_000_000_000
QUARTER_NS = SECOND_NS // 4
_STREAM_PRINTS, _STREAM_SIZES = 88, 501


@dataclass(frozen=True, slots=True)
class TopRows:
    """The top of the book at each quarter of a second, kept small: hundreds of these may be in use at once.

    A row is bid, ask, last, bid size, ask size, last size, open, high, low, volume; prices in ticks; last is 0 before
    the first trade ever, open, high and low while volume is 0.

    Attributes:
        start_ns: of the first row.
        seconds: int32[T, 8], int64 where that is too small: what moves once a second, a row without the two sizes.
        lots: uint8[4 T, 2], the sizes of bid and ask in hundreds.
    """

    start_ns: int
    seconds: npt.NDArray[np.signedinteger[Any]]
    lots: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.lots)

    def index(self, at_ns: int) -> int:
        """Return the number of the row of a moment, of the last one for later moments."""
        return min((at_ns - self.start_ns) // QUARTER_NS, len(self) - 1)

    def rows(self, first: int, last: int) -> list[list[int]]:
        """Return the rows first <= number < last, or the last one when there are none."""
        if first >= len(self):
            first, last = len(self) - 1, len(self)
        begin = first // 4
        seconds = self.seconds[begin : -(-last // 4)].tolist()
        rows = []
        for place, (bid_lots, ask_lots) in enumerate(self.lots[first:last].tolist(), start=first - 4 * begin):
            bid, ask, price, *rest = seconds[place // 4]
            rows.append([bid, ask, price, 100 * bid_lots, 100 * ask_lots, *rest])
        return rows

    def row(self, number: int) -> list[int]:
        """Return one row."""
        return self.rows(number, number + 1)[0]


def no_trades() -> TradeTicks:
    """Return trades without a row."""
    ints = np.empty(0, dtype=np.int64)
    return TradeTicks(ints, np.empty(0, dtype=np.float64), ints, ints)


def no_quotes() -> QuoteTicks:
    """Return quotes without a row."""
    ints, floats = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
    return QuoteTicks(ints, floats, floats, ints, ints)


def trades_of(seconds: TapeBars, key: int, scale: int) -> TradeTicks:
    """Return the trades of the seconds, in order.

    Args:
        seconds: bars of one second, those without volume have no trade.
        key: stream of random numbers of the series.
        scale: ticks per unit of currency.
    """
    bars = rows(seconds, seconds.volume > 0)
    if len(bars) == 0:
        return no_trades()
    prices = (bars.open, bars.high, bars.low, bars.close)
    open_, high, low, close = (np.rint(price * scale).astype(np.int64) for price in prices)
    count = np.maximum(bars.count, prints_needed(open_, high, low, close))
    first = np.cumsum(count) - count
    row = np.repeat(np.arange(len(bars)), count)
    place = np.arange(len(row)) - first[row]
    drawn = uniforms(keys_at(mix(key, _STREAM_PRINTS), bars.start_ns[row] // SECOND_NS * 4096 + place), 0, 3)
    price = low[row] + (drawn[:, 0] * (high - low + 1)[row]).astype(np.int64)
    # One of the trades between the first and the last reaches each extreme that these two do not.
    inner = count - 2
    lead = drawn[first]
    top = 1 + np.floor(lead[:, 1] * np.maximum(inner, 1)).astype(np.int64)
    step = 1 + np.floor(lead[:, 2] * np.maximum(inner - 1, 1)).astype(np.int64)
    bottom = 1 + (top - 1 + np.where(inner > 1, step, 0)) % np.maximum(inner, 1)
    has_top = high > np.maximum(open_, close)
    has_bottom = low < np.minimum(open_, close)
    price[(first + top)[has_top]] = high[has_top]
    price[(first + bottom)[has_bottom]] = low[has_bottom]
    price[first] = open_
    price[first + count - 1] = close
    size = _sizes(bars.volume.astype(np.int64), count, first, row, drawn[:, 1])
    return TradeTicks(bars.start_ns[row], price / scale, size, (drawn[:, 2] * 7).astype(np.int64))


def _sizes(volume: IntArray, count: IntArray, first: IntArray, row: IntArray, chance: FloatArray) -> IntArray:
    """Return sizes that add up to the volumes; every trade has a share where there are shares enough."""
    weight = 0.2 + chance
    running = np.cumsum(weight)
    before = (running - weight)[first]
    share = (running - before[row]) / (running[first + count - 1] - before)[row]
    one = np.where(volume >= count, 1, 0)[row]
    loose = np.where(volume >= count, volume - count, volume)[row]
    reached = np.floor(loose * np.minimum(share, 1.0)).astype(np.int64)
    last = first + count - 1
    reached[last] = loose[last]
    size = reached.copy()
    size[1:] -= reached[:-1]
    size[first] = reached[first]
    return np.asarray(size + one)


def quotes_of(top: TopRows, scale: int) -> QuoteTicks:
    """Return the quotes of the rows, one for each change of a price or a size; the first row counts as one."""
    sides = np.empty((len(top), 4), dtype=np.int64)
    sides[:, :2] = np.repeat(top.seconds[:, :2], 4, axis=0)
    sides[:, 2:] = 100 * top.lots.astype(np.int64)
    changed = np.ones(len(sides), dtype=np.bool_)
    changed[1:] = (sides[1:] != sides[:-1]).any(axis=1)
    at = np.flatnonzero(changed)
    bid, ask, bid_size, ask_size = sides[at].T
    return QuoteTicks(top.start_ns + at * QUARTER_NS, bid / scale, ask / scale, bid_size, ask_size)


def top_rows(
    seconds: TapeBars,
    trades: TradeTicks,
    key: int,
    scale: int,
    spread: int,
    before: tuple[int, int, int, int, int, int],
) -> TopRows:
    """Return the top of the book over one block of consecutive seconds.

    Args:
        seconds: the T seconds of the block.
        trades: their trades.
        spread: bid-ask spread in ticks; 0 when there are no quotes (an index).
        before: last, last size, open, high, low, volume when the block began, prices in ticks.
    """
    size = len(seconds)
    traded = seconds.volume > 0
    last, last_size, open_, high, low, volume = before
    final = np.searchsorted(trades.at_ns, seconds.start_ns[traded], side="right") - 1
    # Row 0 of these is the state before the block; `latest` says which traded second a second stands on.
    latest = np.cumsum(traded)
    lasts = np.concatenate([[last], np.rint(seconds.close[traded] * scale).astype(np.int64)])[latest]
    sizes = np.concatenate([[last_size], trades.size[final]])[latest]
    volumes = volume + np.cumsum(seconds.volume).astype(np.int64)
    first_open = round(float(seconds.open[traded][0]) * scale) if traded.any() else 0
    opens = np.where(volumes > 0, open_ if volume else first_open, 0)
    highs = np.concatenate([[high if volume else -(1 << 62)], np.rint(seconds.high[traded] * scale).astype(np.int64)])
    lows = np.concatenate([[low if volume else 1 << 62], np.rint(seconds.low[traded] * scale).astype(np.int64)])
    highs = np.where(volumes > 0, np.maximum.accumulate(highs)[latest], 0)
    lows = np.where(volumes > 0, np.minimum.accumulate(lows)[latest], 0)
    bids = np.maximum(1, lasts - spread // 2)
    is_small = max(int(volumes[-1]), int(lasts.max()) + spread, int(highs.max()), int(sizes.max())) < 2**31
    table = np.empty((size, 8), dtype=np.int32 if is_small else np.int64)
    for number, column in enumerate((bids, bids + spread, lasts, sizes, opens, highs, lows, volumes)):
        table[:, number] = column
    start = int(seconds.start_ns[0])
    quarter = start // QUARTER_NS + np.arange(4 * size, dtype=np.int64)
    drawn = keys_at(mix(key, _STREAM_SIZES), quarter)
    lots = np.empty((4 * size, 2), dtype=np.uint8)
    lots[:, 0] = 1 + drawn % np.uint64(9)
    lots[:, 1] = 1 + (drawn >> np.uint64(8)) % np.uint64(9)
    return TopRows(start, table, lots)


def concat_trades(parts: list[TradeTicks]) -> TradeTicks:
    """Return the parts one after the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return no_trades()
    columns = ([getattr(part, name) for part in parts] for name in ("at_ns", "price", "size", "venue"))
    return TradeTicks(*(np.concatenate(column) for column in columns))


def concat_quotes(parts: list[QuoteTicks]) -> QuoteTicks:
    """Return the parts one after the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return no_quotes()
    columns = ([getattr(part, name) for part in parts] for name in ("at_ns", "bid", "ask", "bid_size", "ask_size"))
    return QuoteTicks(*(np.concatenate(column) for column in columns))


def cut_trades(trades: TradeTicks, start_ns: int, end_ns: int) -> TradeTicks:
    """Return the trades of [start_ns, end_ns)."""
    a, b = np.searchsorted(trades.at_ns, (start_ns, end_ns))
    return TradeTicks(trades.at_ns[a:b], trades.price[a:b], trades.size[a:b], trades.venue[a:b])


def cut_quotes(quotes: QuoteTicks, start_ns: int, end_ns: int) -> QuoteTicks:
    """Return the quotes of [start_ns, end_ns)."""
    a, b = np.searchsorted(quotes.at_ns, (start_ns, end_ns))
    return QuoteTicks(quotes.at_ns[a:b], quotes.bid[a:b], quotes.ask[a:b], quotes.bid_size[a:b], quotes.ask_size[a:b])
