"""Market depth: a synthetic book around the quote of the tape, the same for everybody who looks at the same moment.

The first level is the quote, the levels behind it lie one to three ticks apart; sizes and market makers follow from
contract, level and second (assumed, as no tape carries a book). Documented: three books at once with 100 market data
lines (309), the messages 12 and 13, 317 when the book starts anew, which it does after a halt and with each session.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.contracts import ContractBook, query_of
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.hours import calendar_of
from quant_trading.tws_sim.noise import mix
from quant_trading.tws_sim.rights import MarketRights, Right
from quant_trading.tws_sim.subscriptions import Streams
from quant_trading.tws_sim.tape import Contract, Quote, Tape
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["DepthService", "book_of"]

_SECOND_NS = 1_000_000_000
_DEPTH = "market depth"
_MAX_ROWS = 50
_INSERT, _UPDATE, _DELETE = 0, 1, 2
_ASK, _BID = 0, 1
_STREAM = 901
_MAKERS = ("ISLAND", "ARCA", "BATS", "NYSE", "IEX", "EDGEA", "MEMX")
# Where the second message carries the makers of a level (documented: SMART depth, Nasdaq's TotalView).
_LEVEL_TWO = frozenset({"ISLAND", "NASDAQ", "ARCA", "BATS"})
_EXCHANGES = ("ISLAND", "NYSE", "ARCA", "BATS", "IEX", "EDGEA", "MEMX")

Level = tuple[Decimal, int, str]
"""Price, size, market maker."""


def book_of(contract: Contract, quote: Quote, rows: int, at_ns: int) -> tuple[list[Level], list[Level]]:
    """Return asks and bids, best first, around the quote of a moment."""
    second = at_ns // _SECOND_NS
    sides: list[list[Level]] = []
    for side, top, size, sign in ((_ASK, quote.ask, quote.ask_size, 1), (_BID, quote.bid, quote.bid_size, -1)):
        levels = [(top, size, _MAKERS[mix(contract.con_id, side, _STREAM) % len(_MAKERS)])]
        price = top
        for level in range(1, rows):
            # A level keeps its distance for the day and changes its size now and then.
            step = 1 + mix(contract.con_id, side, level, second // 86_400, _STREAM) % 3
            price += sign * step * contract.min_tick
            if price <= 0:
                break
            beat = mix(contract.con_id, side, level, second // (1 + level % 4), _STREAM)
            levels.append((price, 100 * (1 + level + beat % 20), _MAKERS[(beat >> 8) % len(_MAKERS)]))
        sides.append(levels)
    return sides[0], sides[1]


@dataclass(slots=True)
class _Book:
    """What one client has been shown, by side."""

    req_id: int
    contract: Contract
    rows: int
    is_smart: bool
    is_two: bool
    shown: tuple[list[Level], list[Level]] = field(default_factory=lambda: ([], []))
    was_open: bool = True


class DepthService:
    """Serves books."""

    def __init__(
        self,
        tape: Tape,
        book: ContractBook,
        streams: Streams,
        timeline: Timeline,
        config: SimConfig,
        rights: MarketRights,
    ) -> None:
        self._tape = tape
        self._contracts = book
        self._streams = streams
        self._timeline = timeline
        self._limit = max(3, config.market_data_lines // 100 + 2)
        self._rights = rights

    def handlers(self) -> dict[str, Callable[[Session, Message], None]]:
        """Return what this service answers, by request name."""
        return {
            "reqMktDepth": self._open,
            "cancelMktDepth": self._cancel,
            "reqMktDepthExchanges": self._send_exchanges,
        }

    def _open(self, session: Session, request: Message) -> None:
        contract = self._contracts.find_one(query_of(request))
        req_id, rows = request.integer("reqId"), request.integer("numRows", 5)
        if not 0 < rows <= _MAX_ROWS:
            raise RequestRefused(321, tag=request.name, cause=f"Invalid number of rows {rows}")
        if contract.sec_type in ("IND", "OPT"):
            raise RequestRefused(10092)
        if self._rights.of(contract.symbol) is not Right.LIVE:
            raise RequestRefused(354, detail=f" {contract.symbol} {contract.primary_exchange}/DEEP/ALL")
        if self._streams.has(session, _DEPTH, req_id):
            raise RequestRefused(322, tag=request.name, cause="Duplicate ticker id")
        if self._streams.count(session, _DEPTH) >= self._limit:
            raise RequestRefused(309, limit=self._limit)
        is_smart = request.flag("isSmartDepth")
        book = _Book(req_id, contract, rows, is_smart, is_smart or contract.exchange in _LEVEL_TWO)
        self._refresh(session, book)
        calendar = calendar_of(contract)

        def idle_until() -> int | None:
            now = self._timeline.now_ns
            following = None if calendar.session_at(now) else calendar.next_session(now)
            return None if following is None or book.was_open else following.open_ns

        self._streams.start(
            session, _DEPTH, req_id, _SECOND_NS, lambda: self._refresh(session, book), is_aligned=True,
            idle_until=idle_until,
        )  # fmt: skip

    def _refresh(self, session: Session, book: _Book) -> None:
        """Send the rows that differ from those shown."""
        now = self._timeline.now_ns
        quote = self._tape.quote(book.contract, now)
        if quote is None:
            return
        if quote.is_open and not book.was_open:
            session.send_error(book.req_id, 317)
            book.shown = ([], [])
        book.was_open = quote.is_open
        if book.shown[0] and not quote.is_open:
            return
        wanted = book_of(book.contract, quote, book.rows, now)
        for side, (old, new) in enumerate(zip(book.shown, wanted, strict=True)):
            for position, level in enumerate(new):
                if position >= len(old):
                    self._send(session, book, position, _INSERT, side, level)
                elif old[position] != level:
                    self._send(session, book, position, _UPDATE, side, level)
            for position in range(len(old) - 1, len(new) - 1, -1):
                self._send(session, book, position, _DELETE, side, old[position])
        book.shown = wanted

    def _send(self, session: Session, book: _Book, position: int, operation: int, side: int, level: Level) -> None:
        price, size, maker = level
        values = {"reqId": book.req_id, "position": position, "operation": operation, "side": side}
        if operation == _DELETE:
            price, size = Decimal(0), 0
        if book.is_two:
            session.send(
                "updateMktDepthL2", **values, marketMaker=maker, price=price, size=size, isSmartDepth=book.is_smart
            )
        else:
            session.send("updateMktDepth", **values, price=price, size=size)

    def _cancel(self, session: Session, request: Message) -> None:
        req_id = request.integer("reqId")
        if not self._streams.stop(session, _DEPTH, req_id):
            raise RequestRefused(310, ticker=req_id)

    def _send_exchanges(self, session: Session, request: Message) -> None:
        # An aggregated group is left out, as it is for these exchanges in captures.
        rows = [
            {"exchange": name, "secType": "STK", "listing": "", "dataType": "Deep2" if name in _LEVEL_TWO else "Deep"}
            for name in _EXCHANGES
        ]
        session.send("mktDepthExchanges", exchanges=rows)
