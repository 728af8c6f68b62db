"""Level-1 subscriptions: what has changed since the last time, four times a second.

Documented: stocks are sent aggregated snapshots every 250 ms, the tick types, the market data types and their
messages. Every line is served at multiples of the interval, whatever the moment it began, so one timer serves all of
them; it sleeps while no market is open. This is the hot path of the simulator: rows of integers are compared, and a
message is bytes put together from its parts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf
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
# Columns of a row: bid, ask, last, bid size, ask size, last size, open, high, low, volume.
_BID, _ASK, _LAST, _BID_SIZE, _ASK_SIZE, _LAST_SIZE, _OPEN, _HIGH, _LOW, _VOLUME = range(10)
# (column, column of its size, tick types: live price, live size, delayed price, delayed size), in the order TWS sends
_PAIRS = (
    (_BID, _BID_SIZE, b"1", b"0", b"66", b"69"),
    (_ASK, _ASK_SIZE, b"2", b"3", b"67", b"70"),
    (_LAST, _LAST_SIZE, b"4", b"5", b"68", b"71"),
)
_SINGLES = ((_HIGH, b"6", b"72"), (_LOW, b"7", b"73"), (_OPEN, b"14", b"76"))
# live, delayed
_VOLUME_TYPES, _CLOSE_TYPES = (b"8", b"74"), (b"9", b"75")
_HALTED, _LAST_STAMP, _DELAYED_STAMP = 49, 45, 88
_MAX_TEXTS = 200_000

Row = list[int]


class _Cursor(Protocol):
    row: Row | None
    scale: int
    has_volume: bool
    has_trades: bool
    previous_close: Decimal | None
    is_open: bool
    is_halted: bool
    until_ns: int

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
        self.until_ns = 0

    def move_to(self, at_ns: int) -> Row | None:
        quote = self._tape.quote(self._contract, at_ns)
        self.until_ns = at_ns + self._interval_ns
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
    sent: Row | None = None
    sent_close: Decimal | None = None
    sent_type: int = 0
    sent_halted: bool | None = None
    wake_ns: float = 0.0
    price_head: bytes = field(init=False, default=b"")
    size_head: bytes = field(init=False, default=b"")

    def __post_init__(self) -> None:
        self.price_head = b"1\x006\x00%d\x00" % self.req_id
        self.size_head = b"2\x006\x00%d\x00" % self.req_id


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
        return self._cursor(line).move_to(self._at_ns(line)) is not None

    def open(self, line: Line) -> None:
        """Send what there is now."""
        self._serve(line, self._cursor(line))

    def keep(self, line: Line) -> None:
        """Serve an open line from now on."""
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

    def lines_of(self, contract: Contract) -> list[Line]:
        """Return the lines on a contract."""
        return [line for line in self._lines.values() if line.contract.con_id == contract.con_id]

    # Time

    def _at_ns(self, line: Line) -> int:
        return self._timeline.now_ns - (DELAY_NS if line.is_delayed else 0)

    def _cursor(self, line: Line) -> _Cursor:
        key = (line.contract.con_id, line.is_delayed)
        cursor = self._cursors.get(key)
        if cursor is None:
            if isinstance(self._tape, SeriesTape):
                cursor = TopCursor(self._tape, line.contract)
            else:
                cursor = _QuoteCursor(self._tape, line.contract, self._config.stream_interval_ns)
            self._cursors[key] = cursor
        return cursor

    def _drop_idle(self) -> None:
        used = {(line.contract.con_id, line.is_delayed) for line in self._lines.values()}
        for key in self._cursors.keys() - used:
            del self._cursors[key]
        self._arm()

    def _arm(self) -> None:
        """Set the timer to the first line that is due."""
        due = min((line.wake_ns for line in self._lines.values()), default=inf)
        if self._timer is not None:
            if not self._timer.is_cancelled and self._timer.at_ns == due:
                return
            self._timer.cancel()
            self._timer = None
        if due != inf:
            self._timer = self._timeline.call_at(int(due), self._pulse, is_background=True)

    def _pulse(self) -> None:
        self._timer = None
        now = self._timeline.now_ns
        for line in list(self._lines.values()):
            if line.wake_ns <= now:
                cursor = self._cursors[line.contract.con_id, line.is_delayed]
                if cursor.move_to(self._at_ns(line)) is not None:
                    self._serve(line, cursor)
                else:
                    line.wake_ns = self._next(line, cursor)
        self._arm()

    def _next(self, line: Line, cursor: _Cursor) -> int:
        """Return the first served moment at which the line may have changed."""
        if isinstance(cursor, _QuoteCursor):
            return cursor.until_ns + (DELAY_NS if line.is_delayed else 0)
        interval = self._config.tick_interval_ns
        until = max(cursor.until_ns + (DELAY_NS if line.is_delayed else 0), self._timeline.now_ns + 1)
        return -(-until // interval) * interval

    # Messages

    def _serve(self, line: Line, cursor: _Cursor) -> None:
        row = cursor.row
        assert row is not None, "served after the first trade only"
        line.wake_ns = self._next(line, cursor)
        kind = self._type_of(line, cursor)
        if kind != line.sent_type:
            line.sent_type = kind
            line.session.send("marketDataType", reqId=line.req_id, marketDataType=kind)
        if row != line.sent or cursor.previous_close != line.sent_close:
            self._send_row(line, cursor, row)
            line.sent = row
        if cursor.is_halted is not line.sent_halted:
            line.sent_halted = cursor.is_halted
            value = Decimal(2 if cursor.is_halted else 0)
            line.session.send("tickGeneric", reqId=line.req_id, tickType=_HALTED, value=value)
        if line.extras:
            state = State(line.contract, row, cursor.scale, self._at_ns(line), cursor.is_open, cursor.is_halted)
            for extra in line.extras:
                for name, values in extra(state):
                    line.session.send(name, reqId=line.req_id, **values)

    def _type_of(self, line: Line, cursor: _Cursor) -> int:
        is_frozen = line.wish in (_FROZEN, _DELAYED_FROZEN) and not cursor.is_open
        if line.is_delayed:
            return _DELAYED_FROZEN if is_frozen else _DELAYED
        return _FROZEN if is_frozen else _LIVE

    def _send_row(self, line: Line, cursor: _Cursor, row: Row) -> None:
        """Send what differs from the row sent last."""
        sent = line.sent
        texts = self._texts.setdefault(cursor.scale, {})
        late = line.is_delayed
        frames: list[bytes] = []
        for column, size_column, live, live_size, delayed, delayed_size in _PAIRS:
            price, size = row[column], row[size_column]
            if column == _LAST:
                if not cursor.has_trades:
                    continue
                if not cursor.has_volume:
                    size = 0
            elif not cursor.has_volume:
                continue
            if sent is None or sent[column] != price:
                text = texts.get(price) or self._price_text(texts, price, cursor.scale)
                _add(frames, line.price_head, b"%b\x00%b\x00%d\x000\x00" % (delayed if late else live, text, size))
                _add(frames, line.size_head, b"%b\x00%d\x00" % (delayed_size if late else live_size, size))
            elif sent[size_column] != size and cursor.has_volume:
                _add(frames, line.size_head, b"%b\x00%d\x00" % (delayed_size if late else live_size, size))
        for column, live, delayed in _SINGLES:
            price = row[column]
            if price and (sent is None or sent[column] != price):
                text = texts.get(price) or self._price_text(texts, price, cursor.scale)
                _add(frames, line.price_head, b"%b\x00%b\x000\x000\x00" % (delayed if late else live, text))
        close = cursor.previous_close
        if close is not None and close != line.sent_close:
            line.sent_close = close
            text = format_number(close).encode()
            _add(frames, line.price_head, b"%b\x00%b\x000\x000\x00" % (_CLOSE_TYPES[late], text))
        if cursor.has_volume and cursor.has_trades and (sent is None or sent[_VOLUME] != row[_VOLUME]):
            _add(frames, line.size_head, b"%b\x00%d\x00" % (_VOLUME_TYPES[late], row[_VOLUME]))
        if frames:
            _send(line.session, frames)

    def _price_text(self, texts: dict[int, bytes], ticks: int, scale: int) -> bytes:
        if len(texts) >= _MAX_TEXTS:
            texts.clear()
        text = format_number(Decimal(ticks) / scale).encode()
        texts[ticks] = text
        return text


def _add(frames: list[bytes], head: bytes, tail: bytes) -> None:
    frames.append((len(head) + len(tail)).to_bytes(4, "big") + head + tail)


def _send(session: Session, frames: list[bytes]) -> None:
    """Send text frames; a session whose ids are not text has them taken apart and said again in its own way."""
    if session.version < RAW_IDS_SINCE:
        session.send_encoded(b"".join(frames))
        return
    for frame in frames:
        fields = frame[4:-1].decode().split("\0")
        req_id, tick_type = int(fields[2]), int(fields[3])
        if fields[0] == "1":
            session.send(
                "tickPrice", reqId=req_id, tickType=tick_type, price=Decimal(fields[4]), size=Decimal(fields[5]),
                attribs=int(fields[6]),
            )  # fmt: skip
        else:
            session.send("tickSize", reqId=req_id, tickType=tick_type, size=Decimal(fields[4]))
