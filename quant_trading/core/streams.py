"""The words of streams: what a program wishes to hear, what it hears, and when silence is too long.

A `StreamRequest` is a wish that outlives connections: `core.stream_desk` asks TWS for it, asks again after
whatever TWS forgets, and watches that it speaks. Nothing here knows a socket, a loop or a clock.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from quant_trading.refdata.sessions import next_session, session_at

__all__ = [
    "Liveness",
    "NoteKind",
    "StreamBar",
    "StreamEvent",
    "StreamKind",
    "StreamNote",
    "StreamRequest",
    "StreamState",
    "Tick",
    "session_opened",
]


class StreamKind(Enum):
    """What a stream brings."""

    QUOTES = "quotes"  # LAST, BID, ASK, sizes, VOLUME ... as TWS samples them (market data)
    TRADES = "trades"  # every trade, with the exchange's own second (tick by tick)
    FIVE_SECOND_BARS = "five_second_bars"
    RUNNING_BARS = "running_bars"  # bars of any size, the running one about once a second


class StreamState(Enum):
    """How a stream is."""

    WANTED = "wanted"  # to be asked for as soon as there is a session
    ASKED = "asked"  # asked for, nothing has come yet
    LIVE = "live"
    SILENT = "silent"  # has missed its deadline and was asked for again
    DEGRADED = "degraded"  # still silent, or taken by another session: bars come from history alone
    REFUSED = "refused"  # TWS will not serve it; asked for again with the next session only
    ENDED = "ended"  # cancelled by its owner


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """One stream a program wishes to hear for as long as it does not cancel it.

    Attributes:
        symbol: ticker as users write it, "BRK.B".
        what: "TRADES", "BID", "ASK" or "MIDPOINT"; for bars only.
        bar_size: in IBKR's words, for RUNNING_BARS: "1 min".
        duration: how much history precedes RUNNING_BARS, in IBKR's words: "1 D".
        regular_hours: False brings what happens before the open and after the close too; for bars.
        all_trades: True adds average-price and other reports that no chart shows; for TRADES.
        deadline_seconds: longest silence inside the session; None learns it from the usual rate.
        takes_delayed: take delayed data where there is no subscription to live ones; for QUOTES.
        backfill_bar_size: size of the bars that stand in for what QUOTES and TRADES have missed; "" for none.
        exchange, currency, sec_type, primary_exchange, con_id: as in `domain.Instrument`.
    """

    symbol: str
    kind: StreamKind = StreamKind.QUOTES
    what: str = "TRADES"
    bar_size: str = "1 min"
    duration: str = "1 D"
    regular_hours: bool = True
    all_trades: bool = False
    deadline_seconds: float | None = None
    takes_delayed: bool = False
    backfill_bar_size: str = "1 min"
    exchange: str = "SMART"
    currency: str = "USD"
    sec_type: str = "STK"
    primary_exchange: str = ""
    con_id: int = 0


class Tick(NamedTuple):
    """One price or size.

    Attributes:
        stream: number of the stream, from 1 on; `StreamHandle.number`.
        time_ns: UTC ns; when it came in for QUOTES, the exchange's second for TRADES.
        field: "LAST", "BID", "ASK", "HIGH", "LOW", "OPEN", "CLOSE" (with price and size), or "LAST_SIZE",
            "BID_SIZE", "ASK_SIZE", "VOLUME" (price is nan). Delayed data, which are 15 to 20 minutes old when they
            come in, are named "DELAYED_LAST" and so on; "DELAYED_LAST_TIMESTAMP" has as its size the second (since
            1970) of the last delayed trade.
        price, size: nan where the tick has none.
    """

    stream: int
    time_ns: int
    field: str
    price: float
    size: float


class StreamBar(NamedTuple):
    """One bar over [start_ns, end_ns).

    Final bars of a stream come in order, each once. A backfilled bar says what TWS had while the stream did not
    flow; for QUOTES and TRADES it replaces whatever was built from their ticks in its span.

    Attributes:
        stream: number of the stream.
        known_ns: when it was known to this program, UTC ns.
    """

    stream: int
    start_ns: int
    end_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    is_final: bool
    is_backfill: bool
    known_ns: int


class NoteKind(Enum):
    """What happened to a stream besides data."""

    LIVE = "live"  # the first datum after it was asked for
    GAP = "gap"  # its data are not to be trusted from `time_ns` on
    FILLED = "filled"  # the gap up to `time_ns` is closed: every bar TWS had in it has been told
    SILENT = "silent"
    DEGRADED = "degraded"
    REFUSED = "refused"
    ADVICE = "advice"  # TWS remarks something, such as delayed data
    DROPPED = "dropped"  # the consumer was too slow: `text` says how many events were thrown away


class StreamNote(NamedTuple):
    """A remark about one stream; stream 0 is about all.

    Attributes:
        code: TWS's number when it is TWS that remarks, else 0.
    """

    stream: int
    time_ns: int
    kind: NoteKind
    text: str
    code: int = 0


StreamEvent = Tick | StreamBar | StreamNote

_FIRST_DATUM_SECONDS = 40.0  # the first tick of a quiet stock may take 12 s and more (reported)
_SHORTEST, _LONGEST = 20.0, 900.0
_USUAL_GAPS = 12.0  # so many usual gaps without a datum are no accident
_MEMORY = 0.05  # weight of the newest gap in the usual one


class Liveness:
    """When a stream should have spoken: learned from its usual rate, within its session.

    Args:
        fixed_seconds: the longest silence, when the owner of the stream says so.
    """

    __slots__ = ("_fixed", "_last", "_patience", "_usual")

    def __init__(self, fixed_seconds: float | None = None) -> None:
        self._fixed = fixed_seconds
        self._usual: float | None = None
        self._last: float | None = None
        self._patience = 1.0

    def heard(self, now: float) -> None:
        """Note that data came at `now`, seconds of a clock that never runs backwards."""
        last, self._last = self._last, now
        if last is None:
            return
        self._patience = max(1.0, self._patience * 0.99)
        gap = now - last
        if gap > 0:
            self._usual = gap if self._usual is None else self._usual + _MEMORY * (gap - self._usual)

    def pause(self) -> None:
        """Forget the last datum: the time until the next one (a night, an outage) says nothing about the rate."""
        self._last = None

    def was_only_quiet(self) -> None:
        """Be more patient: the stream was asked for again and is as quiet as before."""
        self._patience = min(self._patience * 2, _LONGEST / _SHORTEST)

    @property
    def seconds(self) -> float:
        """Return the longest silence that is still usual."""
        if self._fixed is not None:
            return self._fixed
        if self._usual is None:
            return min(_FIRST_DATUM_SECONDS * self._patience, _LONGEST)
        return min(max(self._usual * _USUAL_GAPS, _SHORTEST) * self._patience, _LONGEST)


def session_opened(now_ns: int) -> int:
    """Return the open (UTC ns) of the session at `now_ns`, or of the next one when the exchange is closed.

    Only US stocks and ETFs have a session table here; other instruments are expected to speak when those do.
    """
    session = session_at(now_ns)
    return (session or next_session(now_ns)).open_ns
