"""Level-1 subscriptions: what has changed since the last time, four times a second.

Documented: stocks are sent aggregated snapshots every 250 ms, the tick types, the market data types and their
messages. Every line is served at multiples of the interval, whatever the moment it began, so one timer serves all of
them; it sleeps while no market is open. This is the hot path of the simulator: rows of integers are compared, and a
message is bytes put together from its parts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.fields import format_number
from quant_trading.tws_sim.market import SeriesTape, TopCursor
from quant_trading.tws_sim.tape import Contract, Quote, Tape
from quant_trading.tws_sim.timeline import Timeline, Timer
from quant_trading.tws_sim.wire import RAW_IDS_SINCE

__all__ = ["DELAY_NS", "Level1", "Line", "State"]

DELAY_NS = 900_000_000_000
"""Delayed data is 15 to 20 minutes old (documented)."""

_LIVE, _FROZEN, _DELAYED, _DELAYED_FROZEN = 1, 2, 3, 4
# Tick types, live and delayed: prices of bid, ask, last, high, low, close, open, sizes of bid, ask, last, volume, time.
_LIVE_TICKS = (1, 2, 4, 6, 7, 9, 14, 0, 3, 5, 8, 45)
_DELAYED_TICKS = (66, 67, 68, 72, 73, 75, 76, 69, 70, 71, 74, 88)
_HALTED = 49
_SECOND_NS = 1_000_000_000
_MAX_TEXTS = 200_000

Row = list[int]
"""Bid, ask, last, their sizes, open, high, low, volume; prices in ticks."""

_NOTHING: Row = [-1] * 10
_PREFIXES = tuple(size.to_bytes(4, "big") for size in range(256))
_SIZES = {100 * lots: b"%d\x00" % (100 * lots) for lots in range(100)}


class _Cursor(Protocol):
    row: Row | None
    scale: int
    has_volume: bool
    has_trades: bool
    previous_close: Decimal | None
    is_open: bool
    is_halted: bool
    until_ns: int
    epoch: int

    def move_to(self, at_ns: int) -> Row | None:
        """Return the row at a moment."""


class _QuoteCursor:
    """The quotes of a tape that has no cursor of its own, in hundredths of a cent."""

    def __init__(self, tape: Tape, contract: Contract, interval_ns: int) -> None:
        self._tape = tape
        self._contract = contract
        self._interval_ns = interval_ns
        self.row: Row | None = None
        self.scale = 10_000
        self.has_volume = self.has_trades = True
        self.previous_close: Decimal | None = None
        self.is_open = self.is_halted = False
        self.until_ns = self.epoch = 0

    def move_to(self, at_ns: int) -> Row | None:
        quote = self._tape.quote(self._contract, at_ns)
        self.until_ns = at_ns + self._interval_ns
        self.epoch += 1
        self.row = None if quote is None else self._row_of(quote)
        return self.row

    def _row_of(self, quote: Quote) -> Row:
        self.previous_close, self.is_open = quote.previous_close, quote.is_open
        bid, ask, last = (int(price * self.scale) for price in (quote.bid, quote.ask, quote.last))
        seen = (int((price or 0) * self.scale) for price in (quote.open, quote.high, quote.low))
        return [bid, ask, last, quote.bid_size, quote.ask_size, quote.last_size, *seen, quote.volume]


@dataclass(slots=True)
class State:
    """What a line stands at, for the ticks that only some lines have.

    Attributes:
        row: prices in ticks of 1 / scale.
        at_ns: the moment the row is of: earlier than now for delayed data.
    """

    contract: Contract
    row: Row
    scale: int
    at_ns: int
    is_open: bool
    is_halted: bool


Extra = Callable[[State], Iterable[tuple[str, dict[str, object]]]]
"""Gives the messages of one line that are not prices, each by name and values; says nothing twice."""


@dataclass(frozen=True, slots=True)
class _Heads:
    """How the frames of one line begin, after their length: message, request and tick type are the same every time."""

    bid: bytes
    ask: bytes
    last: bytes
    high: bytes
    low: bytes
    close: bytes
    open: bytes
    bid_size: bytes
    ask_size: bytes
    last_size: bytes
    volume: bytes
    stamp: bytes


def _heads(req_id: int, kinds: tuple[int, ...]) -> _Heads:
    messages = (1,) * 7 + (2,) * 4 + (46,)
    heads = (
        b"%d\x006\x00%d\x00%d\x00" % (message, req_id, kind) for message, kind in zip(messages, kinds, strict=True)
    )
    return _Heads(**dict(zip(_Heads.__slots__, heads, strict=True)))


@dataclass(slots=True)
class Line:
    """One client's subscription.

    Attributes:
        wish: market data type the client asked for, 1 to 4.
        is_delayed: True when the account has delayed data only.
        extras: generic ticks and greeks.
    """

    session: Session
    req_id: int
    contract: Contract
    wish: int
    is_delayed: bool
    extras: tuple[Extra, ...] = ()
    lag_ns: int = field(init=False)
    heads: _Heads = field(init=False)
    cursor: _Cursor | None = field(init=False, default=None)
    sent: Row = field(init=False, default_factory=lambda: _NOTHING)
    sent_close: Decimal | None = field(init=False, default=None)
    sent_type: int = field(init=False, default=0)
    sent_halted: bool | None = field(init=False, default=None)
    epoch: int = field(init=False, default=-1)
    wake_ns: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.lag_ns = DELAY_NS if self.is_delayed else 0
        self.heads = _heads(self.req_id, _DELAYED_TICKS if self.is_delayed else _LIVE_TICKS)


class Level1:
    """All level-1 lines of the simulator."""

    def __init__(self, tape: Tape, timeline: Timeline, config: SimConfig) -> None:
        self._tape = tape
        self._timeline = timeline
        self._config = config
        self._lines: dict[tuple[Session, int], Line] = {}
        self._cursors: dict[tuple[int, bool], _Cursor] = {}
        self._texts: dict[int, dict[int, bytes]] = {}
        self._timer: Timer | None = None

    def has_data(self, line: Line) -> bool:
        """Say whether the market knows anything of the line's contract yet."""
        return self._cursor_of(line).move_to(self._timeline.now_ns - line.lag_ns) is not None

    def open(self, line: Line) -> None:
        """Send what there is now."""
        cursor = self._cursor_of(line)
        frames: list[bytes] = []
        self._serve(line, cursor, frames)
        _say(line.session, frames)
        line.wake_ns = self._next(line, cursor)

    def keep(self, line: Line) -> None:
        """Serve an open line from now on."""
        self._cursors[line.contract.con_id, line.is_delayed] = self._cursor_of(line)
        self._lines[line.session, line.req_id] = line
        self._arm()

    def has(self, session: Session, req_id: int) -> bool:
        """Say whether that line is served."""
        return (session, req_id) in self._lines

    def close(self, session: Session, req_id: int) -> bool:
        """End a line; return False when there is none of that id."""
        found = self._lines.pop((session, req_id), None) is not None
        self._drop_idle()
        return found

    def forget(self, session: Session) -> None:
        """End every line of a session."""
        for key in [key for key in self._lines if key[0] is session]:
            del self._lines[key]
        self._drop_idle()

    # Time

    def _cursor_of(self, line: Line) -> _Cursor:
        """Return the reader of the line's quotes; lines on one contract share it."""
        if line.cursor is None:
            line.cursor = self._cursors.get((line.contract.con_id, line.is_delayed))
        if line.cursor is None:
            if isinstance(self._tape, SeriesTape):
                line.cursor = TopCursor(self._tape, line.contract)
            else:
                line.cursor = _QuoteCursor(self._tape, line.contract, self._config.stream_interval_ns)
        return line.cursor

    def _drop_idle(self) -> None:
        used = {(line.contract.con_id, line.is_delayed) for line in self._lines.values()}
        for key in self._cursors.keys() - used:
            del self._cursors[key]
        self._arm()

    def _arm(self) -> None:
        """Set the timer to the first line that is due."""
        due = min((line.wake_ns for line in self._lines.values()), default=None)
        if self._timer is not None:
            if self._timer.at_ns == due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._timeline.call_at(due, self._pulse, is_background=True)

    def _pulse(self) -> None:
        """Serve the lines that are due; what a session is sent goes out in one piece."""
        self._timer = None
        now = self._timeline.now_ns
        interval = self._config.tick_interval_ns
        next_pulse = now - now % interval + interval
        session: Session | None = None
        frames: list[bytes] = []
        for line in list(self._lines.values()):
            if line.wake_ns > now:
                continue
            if line.session is not session:
                if session is not None:
                    _say(session, frames)
                session = line.session
            cursor = line.cursor
            assert cursor is not None, "a line that is kept has been opened"
            row = cursor.move_to(now - line.lag_ns)
            if row is None or cursor.epoch != line.epoch or line.extras:
                if row is not None:
                    self._serve(line, cursor, frames)
                line.wake_ns = self._next(line, cursor)
                continue
            # The usual case: nothing but prices and sizes can be new, and the next look is a pulse away.
            if row != line.sent:
                self._add_changes(line, cursor, row, frames)
                line.sent = row
            until = cursor.until_ns + line.lag_ns
            line.wake_ns = next_pulse if until <= next_pulse else self._next(line, cursor)
        if session is not None:
            _say(session, frames)
        self._arm()

    def _next(self, line: Line, cursor: _Cursor) -> int:
        """Return the first served moment at which the line may have changed."""
        until = max(cursor.until_ns + line.lag_ns, self._timeline.now_ns + 1)
        if isinstance(cursor, _QuoteCursor):
            return until
        late = until % self._config.tick_interval_ns
        return until + self._config.tick_interval_ns - late if late else until

    # Messages

    def _serve(self, line: Line, cursor: _Cursor, frames: list[bytes]) -> None:
        """Put the frames of what is new of a line behind `frames`; what is no price is said at once."""
        row = cursor.row
        assert row is not None, "served after the first trade only"
        if cursor.epoch != line.epoch:
            line.epoch = cursor.epoch
            self._say_state(line, cursor, frames)
        if row != line.sent:
            self._add_changes(line, cursor, row, frames)
            line.sent = row
        if line.extras:
            _say(line.session, frames)
            at_ns = self._timeline.now_ns - line.lag_ns
            state = State(line.contract, row, cursor.scale, at_ns, cursor.is_open, cursor.is_halted)
            for extra in line.extras:
                for name, values in extra(state):
                    line.session.send(name, reqId=line.req_id, **values)

    def _say_state(self, line: Line, cursor: _Cursor, frames: list[bytes]) -> None:
        """Say what changes rarely: the kind of data, the close of the day before, a halt."""
        is_frozen = line.wish in (_FROZEN, _DELAYED_FROZEN) and not cursor.is_open
        kind = (_DELAYED_FROZEN if is_frozen else _DELAYED) if line.is_delayed else (_FROZEN if is_frozen else _LIVE)
        if kind != line.sent_type or cursor.is_halted is not line.sent_halted:
            _say(line.session, frames)
        if kind != line.sent_type:
            line.sent_type = kind
            line.session.send("marketDataType", reqId=line.req_id, marketDataType=kind)
        if cursor.is_halted is not line.sent_halted:
            line.sent_halted = cursor.is_halted
            value = Decimal(2 if cursor.is_halted else 0)
            line.session.send("tickGeneric", reqId=line.req_id, tickType=_HALTED, value=value)
        close = cursor.previous_close
        if close is not None and close != line.sent_close:
            line.sent_close = close
            body = line.heads.close + format_number(close).encode() + b"\x000\x000\x00"
            frames.append(_PREFIXES[len(body)] + body)

    def _add_changes(self, line: Line, cursor: _Cursor, row: Row, frames: list[bytes]) -> None:
        """Add what differs from the row sent last; a price brings its size along, as TWS's does."""
        heads, add, prefixes = line.heads, frames.append, _PREFIXES
        texts = self._texts.get(cursor.scale) or self._texts.setdefault(cursor.scale, {})
        bid, ask, last, bid_size, ask_size, last_size, open_, high, low, volume = row
        old_bid, old_ask, old_last, old_bid_size, old_ask_size, old_last_size, *old_day, old_volume = line.sent
        if cursor.has_volume:
            if bid != old_bid or bid_size != old_bid_size:
                size = _SIZES.get(bid_size) or b"%d\x00" % bid_size
                if bid != old_bid:
                    body = heads.bid + (texts.get(bid) or self._text(texts, bid, cursor.scale)) + size + b"0\x00"
                    add(prefixes[len(body)] + body)
                body = heads.bid_size + size
                add(prefixes[len(body)] + body)
            if ask != old_ask or ask_size != old_ask_size:
                size = _SIZES.get(ask_size) or b"%d\x00" % ask_size
                if ask != old_ask:
                    body = heads.ask + (texts.get(ask) or self._text(texts, ask, cursor.scale)) + size + b"0\x00"
                    add(prefixes[len(body)] + body)
                body = heads.ask_size + size
                add(prefixes[len(body)] + body)
        if cursor.has_trades and (last != old_last or last_size != old_last_size):
            size = b"%d\x00" % (last_size if cursor.has_volume else 0)
            if last != old_last:
                body = heads.last + (texts.get(last) or self._text(texts, last, cursor.scale)) + size + b"0\x00"
                add(prefixes[len(body)] + body)
            if cursor.has_volume:
                body = heads.last_size + size
                add(prefixes[len(body)] + body)
        if [open_, high, low] != old_day:
            of_day = zip((heads.open, heads.high, heads.low), (open_, high, low), old_day, strict=True)
            for head, price, old_price in of_day:
                if price and price != old_price:
                    text = texts.get(price) or self._text(texts, price, cursor.scale)
                    body = head + text + b"0\x000\x00"
                    add(prefixes[len(body)] + body)
        if volume != old_volume and cursor.has_volume and cursor.has_trades:
            body = heads.volume + b"%d\x00" % volume
            add(prefixes[len(body)] + body)
            if volume and cursor.is_open:
                body = heads.stamp + b"%d\x00" % ((self._timeline.now_ns - line.lag_ns) // _SECOND_NS)
                add(prefixes[len(body)] + body)

    def _text(self, texts: dict[int, bytes], ticks: int, scale: int) -> bytes:
        if len(texts) >= _MAX_TEXTS:
            texts.clear()
        text = format_number(Decimal(ticks) / scale).encode() + b"\x00"
        texts[ticks] = text
        return text


def _say(session: Session, frames: list[bytes]) -> None:
    """Send text frames and forget them; a session whose ids are raw is told the same in its own way."""
    if not frames:
        return
    if session.version < RAW_IDS_SINCE:
        session.send_encoded(b"".join(frames))
        frames.clear()
        return
    said = frames.copy()
    frames.clear()
    for frame in said:
        kind, _, req_id, tick_type, value, *rest = frame[4:-1].decode().split("\0")
        where = {"reqId": int(req_id), "tickType": int(tick_type)}
        if kind == "1":
            session.send("tickPrice", **where, price=Decimal(value), size=Decimal(rest[0]), attribs=int(rest[1]))
        elif kind == "2":
            session.send("tickSize", **where, size=Decimal(value))
        else:
            session.send("tickString", **where, value=value)
