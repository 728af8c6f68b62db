"""From the fields of TWS's messages to events: one function for each stream, called once a message."""

import math
from collections.abc import Callable
from typing import Protocol

from quant_trading.core.stream_bars import BarRow
from quant_trading.core.stream_item import Stream
from quant_trading.core.streams import StreamEvent, StreamKind, Tick

__all__ = ["history_rows", "sink_for"]

_SECOND_NS = 1_000_000_000
_NAN = math.nan

# Tick types of live (1..14) and delayed (66..76) data. Both have names of their own: TWS may send delayed data to who
# has not asked for them (10090), and nobody should take them for live ones.
_PRICES = {
    "1": "BID", "2": "ASK", "4": "LAST", "6": "HIGH", "7": "LOW", "9": "CLOSE", "14": "OPEN",
    "66": "DELAYED_BID", "67": "DELAYED_ASK", "68": "DELAYED_LAST", "72": "DELAYED_HIGH", "73": "DELAYED_LOW",
    "75": "DELAYED_CLOSE", "76": "DELAYED_OPEN",
}  # fmt: skip
_SIZES = {
    "0": "BID_SIZE", "3": "ASK_SIZE", "5": "LAST_SIZE", "8": "VOLUME",
    "69": "DELAYED_BID_SIZE", "70": "DELAYED_ASK_SIZE", "71": "DELAYED_LAST_SIZE", "74": "DELAYED_VOLUME",
}  # fmt: skip
_DELAYED_STAMP = "88"
_UNREPORTED = 2  # a bit of the mask: the exchange does not count it for prices


class _Desk(Protocol):
    """What a sink needs of the desk of streams."""

    emit: Callable[[StreamEvent], None]

    def heard(self, stream: Stream) -> int:
        """Note a message; return its time."""

    def answered(self, stream: Stream, rows: list[BarRow]) -> None:
        """Take the history at the head of running bars."""


def sink_for(stream: Stream, desk: _Desk) -> Callable[[list[str]], None]:
    """Return the function that takes the messages of a stream."""
    makers = {
        StreamKind.QUOTES: _quotes,
        StreamKind.TRADES: _trades,
        StreamKind.FIVE_SECOND_BARS: _five_seconds,
        StreamKind.RUNNING_BARS: _running,
    }
    return makers[stream.request.kind](stream, desk)


def _quotes(stream: Stream, desk: _Desk) -> Callable[[list[str]], None]:
    number, emit, heard = stream.number, desk.emit, desk.heard
    price_of, size_of = _PRICES.get, _SIZES.get

    def take(fields: list[str]) -> None:
        if fields[0] == "1":
            field = price_of(fields[3])
            if field is not None:
                price = float(fields[4] or _NAN)
                # -1 is TWS's word for "no quote"; what is quoted at 0 or below is no stock.
                emit(Tick(number, heard(stream), field, price if price > 0 else _NAN, float(fields[5] or _NAN)))
        elif fields[0] == "2":
            field = size_of(fields[3])
            if field is not None:
                emit(Tick(number, heard(stream), field, _NAN, float(fields[4] or _NAN)))
        elif fields[0] == "46" and fields[3] == _DELAYED_STAMP:
            emit(Tick(number, heard(stream), "DELAYED_LAST_TIMESTAMP", _NAN, float(fields[4] or _NAN)))

    return take


def _trades(stream: Stream, desk: _Desk) -> Callable[[list[str]], None]:
    number, emit, heard = stream.number, desk.emit, desk.heard

    def take(fields: list[str]) -> None:
        # 99, request id, 1 or 2 (last or all), seconds since 1970, price, size, mask, exchange, conditions
        if fields[0] == "99":
            heard(stream)
            field = "UNREPORTED" if int(fields[6] or 0) & _UNREPORTED else "LAST"
            emit(Tick(number, int(fields[3]) * _SECOND_NS, field, float(fields[4]), float(fields[5])))

    return take


def _five_seconds(stream: Stream, desk: _Desk) -> Callable[[list[str]], None]:
    def take(fields: list[str]) -> None:
        # 50, version, request id, seconds since 1970, open, high, low, close, volume, average, count
        if fields[0] != "50" or stream.book is None:
            return
        numbers = [float(text or 0) for text in fields[4:9]]
        row = BarRow(int(fields[3]) * _SECOND_NS, *numbers)
        for bar in stream.book.complete(row, desk.heard(stream)):
            desk.emit(bar)

    return take


def _running(stream: Stream, desk: _Desk) -> Callable[[list[str]], None]:
    def take(fields: list[str]) -> None:
        if fields[0] == "17":
            desk.answered(stream, history_rows(fields))
        elif fields[0] == "90" and stream.book is not None:
            # 90, request id, count, date, open, close, high, low, average, volume: not the order of the history
            opened, close, high, low = (float(text or 0) for text in fields[4:8])
            row = BarRow(int(fields[3]) * _SECOND_NS, opened, high, low, close, float(fields[9] or 0))
            for bar in stream.book.update(row, desk.heard(stream)):
                desk.emit(bar)

    return take


def history_rows(fields: list[str]) -> list[BarRow]:
    """Return the bars of a historicalData message whose dates were asked for as seconds since 1970."""
    # 17, request id, start, end, count, then date, open, high, low, close, volume, average, count for each
    rows = []
    for at in range(5, 5 + 8 * int(fields[4]), 8):
        numbers = [float(text) for text in fields[at + 1 : at + 6]]
        rows.append(BarRow(int(fields[at]) * _SECOND_NS, *numbers))
    return rows
