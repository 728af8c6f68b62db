"""Market scanners over the simulator's own stocks, the first 150 of the market (assumed: the others are too small).

The parameters are an XML of our own in the shape of TWS's: instruments, locations, scan codes. A scan ranks what the
tape says of today; it is sent at once and whenever it is due again (TWS: every 30 seconds, documented).
"""

from collections.abc import Callable
from xml.sax.saxutils import escape

from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.contracts import ContractBook
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message, Values
from quant_trading.tws_sim.hours import STOCKS
from quant_trading.tws_sim.subscriptions import Streams
from quant_trading.tws_sim.tape import Contract, Quote, Tape
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["SCAN_CODES", "ScannerService"]

_SCANNER = "scanner"
_REPEAT_NS = 30_000_000_000
_MAX_ROWS, _MAX_SCANS = 50, 10
_STALE_NS = 30_000_000_000
# A name nobody has looked at yet takes some milliseconds to make, and the others wait meanwhile.
_SCANNED = 150

Rank = Callable[[Quote], float | None]
"""The higher, the earlier; None leaves a contract out."""


def _change(quote: Quote) -> float | None:
    previous = quote.previous_close
    return float(quote.last / previous) - 1.0 if previous and quote.open is not None else None


def _gap(quote: Quote) -> float | None:
    previous = quote.previous_close
    return float(quote.open / previous) - 1.0 if previous and quote.open is not None else None


def _reversed(rank: Rank) -> Rank:
    def lowest_first(quote: Quote) -> float | None:
        value = rank(quote)
        return None if value is None else -value

    return lowest_first


def _volume(quote: Quote) -> float | None:
    return float(quote.volume) if quote.volume else None


def _dollars(quote: Quote) -> float | None:
    return float(quote.volume * quote.last) if quote.volume else None


def _since_open(quote: Quote) -> float | None:
    return float(quote.last / quote.open) - 1.0 if quote.open else None


def _range(quote: Quote) -> float | None:
    return float(quote.high / quote.low) - 1.0 if quote.high and quote.low else None


SCAN_CODES: dict[str, tuple[str, Rank]] = {
    "TOP_PERC_GAIN": ("Top % Gainers", _change),
    "TOP_PERC_LOSE": ("Top % Losers", _reversed(_change)),
    "MOST_ACTIVE": ("Most Active", _volume),
    "MOST_ACTIVE_USD": ("Most Active ($)", _dollars),
    "HOT_BY_VOLUME": ("Hot Contracts by Volume", _volume),
    "HOT_BY_PRICE": ("Hot Contracts by Price", lambda quote: abs(change) if (change := _change(quote)) else None),
    "HOT_BY_PRICE_RANGE": ("Hot Contracts by Price Range", _range),
    "HIGH_OPEN_GAP": ("Top Gap Up", _gap),
    "LOW_OPEN_GAP": ("Top Gap Down", _reversed(_gap)),
    "TOP_OPEN_PERC_GAIN": ("Top % Gainers Since Open", _since_open),
    "TOP_OPEN_PERC_LOSE": ("Top % Losers Since Open", _reversed(_since_open)),
}
_INSTRUMENTS = {"STK": "US Stocks", "ETF.EQ.US": "US Equity ETFs"}
_LOCATIONS = {
    "STK.US": ("", "US Stocks"), "STK.US.MAJOR": ("", "Listed/NASDAQ"), "STK.NYSE": ("NYSE", "NYSE"),
    "STK.NASDAQ": ("NASDAQ", "NASDAQ"), "STK.ARCA": ("ARCA", "NYSE Arca"), "ETF.EQ.US": ("", "US Equity ETFs"),
}  # fmt: skip


class ScannerService:
    """Answers about scanners."""

    def __init__(self, tape: Tape, book: ContractBook, streams: Streams, timeline: Timeline) -> None:
        self._tape = tape
        self._book = book
        self._streams = streams
        self._timeline = timeline
        self._seen: tuple[int, list[tuple[Contract, Quote]]] = (-_STALE_NS, [])

    def handlers(self) -> dict[str, Callable[[Session, Message], None]]:
        """Return what this service answers, by request name."""
        return {
            "reqScannerParameters": self._send_parameters,
            "reqScannerSubscription": self._scan,
            "cancelScannerSubscription": self._cancel,
        }

    def _send_parameters(self, session: Session, request: Message) -> None:
        instruments = "".join(
            f"<Instrument><name>{escape(name)}</name><type>{kind}</type></Instrument>"
            for kind, name in _INSTRUMENTS.items()
        )
        locations = "".join(
            f"<Location><displayName>{escape(name)}</displayName><locationCode>{code}</locationCode></Location>"
            for code, (_, name) in _LOCATIONS.items()
        )
        kinds = ",".join(_INSTRUMENTS)
        scans = "".join(
            f"<ScanType><displayName>{escape(name)}</displayName><scanCode>{code}</scanCode>"
            f"<instruments>{kinds}</instruments></ScanType>"
            for code, (name, _) in SCAN_CODES.items()
        )
        filters = "".join(
            f"<AbstractField><code>{code}</code></AbstractField>"
            for code in ("priceAbove", "priceBelow", "volumeAbove")
        )
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><ScanParameterResponse>'
            f"<InstrumentList>{instruments}</InstrumentList><LocationTree>{locations}</LocationTree>"
            f"<ScanTypeList>{scans}</ScanTypeList><FilterList>{filters}</FilterList></ScanParameterResponse>"
        )
        session.send("scannerParameters", xml=xml)

    def _scan(self, session: Session, request: Message) -> None:
        code, location = request.text("scanCode").upper(), request.text("locationCode").upper()
        instrument, req_id = request.text("instrument").upper(), request.integer("reqId")
        if code not in SCAN_CODES:
            raise RequestRefused(162, cause=f"Scanner type with code {code} is disabled")
        if location not in _LOCATIONS or instrument not in _INSTRUMENTS:
            raise RequestRefused(162, cause=f"Scanner location {location} is not available for {instrument}")
        if self._streams.count(session, _SCANNER) >= _MAX_SCANS:
            raise RequestRefused(162, cause=f"Only {_MAX_SCANS} simultaneous API scanner subscriptions are allowed")

        def refresh() -> None:
            rows = self._ranked(request)
            if rows:
                session.send("scannerData", reqId=req_id, elements=rows)
            else:
                session.send_error(req_id, 165, cause="no items retrieved")

        refresh()
        self._streams.start(session, _SCANNER, req_id, _REPEAT_NS, refresh, idle_until=self._idle_until)

    def _idle_until(self) -> int | None:
        now = self._timeline.now_ns
        following = None if STOCKS.session_at(now) else STOCKS.next_session(now)
        return None if following is None else following.open_ns

    def _ranked(self, request: Message) -> list[Values]:
        code, location = request.text("scanCode").upper(), request.text("locationCode").upper()
        rank = SCAN_CODES[code][1]
        exchange, wanted = _LOCATIONS[location][0], request.integer("numberOfRows", _MAX_ROWS)
        is_etf = "ETF" in (request.text("instrument").upper()[:3], location[:3])
        above, below = request.number("abovePrice"), request.number("belowPrice")
        volume = request.integer("aboveVolume")
        found = []
        for contract, quote in self._quotes():
            value = rank(quote)
            if (
                value is None
                or (exchange and contract.primary_exchange != exchange)
                or (is_etf and contract.stock_type != "ETF")
                or (above is not None and above > 0 and quote.last <= above)
                or (below is not None and 0 < below < 10**9 and quote.last >= below)
                or (volume > 0 and quote.volume <= volume)
            ):
                continue
            found.append((-value, contract.symbol, contract))
        found.sort(key=lambda row: row[:2])
        limit = wanted if 0 < wanted <= _MAX_ROWS else _MAX_ROWS
        return [_row(number, contract) for number, (_, _, contract) in enumerate(found[:limit])]

    def _quotes(self) -> list[tuple[Contract, Quote]]:
        """Return the quotes of the scanned stocks, looked up again when they are half a minute old."""
        now = self._timeline.now_ns
        if now - self._seen[0] >= _STALE_NS:
            stocks = [c for c in self._book.all() if c.sec_type == "STK" and c.currency == "USD"]
            quotes = [(contract, self._tape.quote(contract, now)) for contract in stocks[:_SCANNED]]
            self._seen = (now, [(contract, quote) for contract, quote in quotes if quote is not None])
        return self._seen[1]

    def _cancel(self, session: Session, request: Message) -> None:
        """End a scan; TWS confirms with 162 (reported)."""
        req_id = request.integer("reqId")
        if not self._streams.stop(session, _SCANNER, req_id):
            raise RequestRefused(300, ticker=req_id)
        raise RequestRefused(162, cause=f"API scanner subscription cancelled: {req_id}")


def _row(rank: int, contract: Contract) -> Values:
    return {
        "rank": rank, "conId": contract.con_id, "symbol": contract.symbol, "secType": contract.sec_type,
        "lastTradeDate": "", "strike": 0, "right": "", "exchange": "SMART", "currency": contract.currency,
        "localSymbol": contract.local_symbol or contract.symbol, "marketName": contract.trading_class,
        "tradingClass": contract.trading_class, "distance": "", "benchmark": "", "projection": "", "legs": "",
    }  # fmt: skip
