"""The lines of the market data tracker."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from quant_trading.core.streams import Tick
from quant_trading.data.tracker_feed import WARMUP_BARS, TrackedBar
from quant_trading.refdata.sessions import EXCHANGE_ZONE

__all__ = ["TickLines", "bar_lines", "exchange_time", "price_text", "size_text", "utc_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIZE_OF = {f"{kind}{name}": f"{kind}{name}_SIZE" for kind in ("", "DELAYED_") for name in ("LAST", "BID", "ASK")}
_NO_SIZE = "DELAYED_LAST_TIMESTAMP"


class TickLines:
    """Writes ticks as lines; remembers which sizes came with a price, for TWS tells those twice."""

    def __init__(self) -> None:
        self._told: dict[tuple[int, str], float] = {}

    def of(self, tick: Tick) -> Iterator[str]:
        """Yield the lines of one tick: its price, then its size unless that was told already."""
        number, _, field, price, size = tick
        if price == price:
            yield f"Price Update - ReqID: {number}, {field}: {price_text(price)}"
            name = _SIZE_OF.get(field)
            if name is not None and size == size:
                self._told[(number, name)] = size
                yield f"Size Update - ReqID: {number}, {name}: {size_text(size)}"
        elif size == size and field != _NO_SIZE and self._told.pop((number, field), None) != size:
            yield f"Size Update - ReqID: {number}, {field}: {size_text(size)}"


def price_text(price: float) -> str:
    """Return a price with cents, with four digits where there are parts of a cent."""
    cents = f"{price:.2f}"
    return cents if abs(float(cents) - price) < 5e-5 else f"{price:.4f}"


def size_text(size: float) -> str:
    """Return a size, without a point when it is whole."""
    return str(int(size)) if size == int(size) else f"{size:.8f}".rstrip("0")


def exchange_time(ns: int) -> str:
    """Return the New York date and time of UTC ns."""
    moment = (_EPOCH + timedelta(microseconds=ns // 1000)).astimezone(EXCHANGE_ZONE)
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def utc_time(ns: int) -> str:
    """Return UTC ns as the bar files write it, "2025-05-12T13:30:00Z"."""
    return f"{_EPOCH + timedelta(microseconds=ns // 1000):%Y-%m-%dT%H:%M:%SZ}"


def bar_lines(told: TrackedBar) -> Iterator[str]:
    """Yield the line of a closed bar and, when its histogram crossed 0, one of the crossing."""
    bar = told.bar
    delayed = " delayed" if told.is_delayed else ""
    name = f"{told.symbol} {bar.minutes}m {exchange_time(bar.start_ns)}{delayed}"
    prices = " ".join(
        f"{letter} {price_text(price)}"
        for letter, price in (("O", bar.open), ("H", bar.high), ("L", bar.low), ("C", bar.close))
    )
    warming = "" if told.is_warm else f", warming up {told.bars_seen}/{WARMUP_BARS}"
    yield (
        f"Bar - {name}, {prices} V {size_text(bar.volume)}, MACD {told.macd:.4f} Signal {told.signal:.4f} "
        f"Hist {told.histogram:.4f}, known {exchange_time(bar.known_ns)[11:]}{warming}"
    )
    if told.crossing:
        way = "up: MACD rose above its signal" if told.crossing > 0 else "down: MACD fell below its signal"
        yield f"Crossing - {name}, {way}, Hist {told.histogram:.4f}"
