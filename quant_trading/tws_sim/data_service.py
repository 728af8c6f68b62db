"""Requests about the market and the instruments in it."""

from collections.abc import Callable
from decimal import Decimal

from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.contracts import ContractBook, contract_values, query_of
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.exchange import Exchange
from quant_trading.tws_sim.fields import Message, Values
from quant_trading.tws_sim.hours import liquid_hours, trading_hours
from quant_trading.tws_sim.subscriptions import Streams
from quant_trading.tws_sim.tape import Contract, Quote
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["DataService"]

_MARKET_DATA = "market data"
_LIVE = 1

# Price increments by market rule id: (from this price on, this increment). 26 is US stocks (reported).
_MARKET_RULES: dict[int, tuple[tuple[Decimal, Decimal], ...]] = {
    26: ((Decimal(0), Decimal("0.0001")), (Decimal(1), Decimal("0.01"))),
}

# Level-one tick types (documented).
_BID_SIZE, _BID, _ASK, _ASK_SIZE, _LAST, _LAST_SIZE = 0, 1, 2, 3, 4, 5
_HIGH, _LOW, _VOLUME, _CLOSE, _OPEN = 6, 7, 8, 9, 14


class DataService:
    """Answers about contracts, quotes and the time."""

    def __init__(
        self, exchange: Exchange, book: ContractBook, streams: Streams, timeline: Timeline, config: SimConfig
    ) -> None:
        self._exchange = exchange
        self._book = book
        self._streams = streams
        self._timeline = timeline
        self._config = config

    def handlers(self) -> dict[str, Callable[[Session, Message], None]]:
        """Return what this service answers, by request name."""
        return {
            "reqCurrentTime": self._send_time,
            "setServerLogLevel": self._accept,
            "reqContractDetails": self._send_details,
            "reqMatchingSymbols": self._send_matches,
            "reqMarketRule": self._send_market_rule,
            "reqMktData": self._market_data,
            "cancelMktData": self._cancel_market_data,
            "reqMarketDataType": self._market_data_type,
            "reqFamilyCodes": self._send_family_codes,
            "reqSoftDollarTiers": self._send_soft_dollar_tiers,
            "reqMktDepthExchanges": self._send_depth_exchanges,
            "reqNewsProviders": self._send_news_providers,
            "reqUserInfo": self._send_user_info,
        }

    def _accept(self, session: Session, request: Message) -> None:
        """Take note; TWS answers these requests with nothing."""

    def _send_time(self, session: Session, request: Message) -> None:
        session.send("currentTime", time=self._timeline.now_ns // 1_000_000_000)

    # Contracts

    def _send_details(self, session: Session, request: Message) -> None:
        found = self._book.find(query_of(request))
        if not found:
            raise RequestRefused(200)
        req_id = request.integer("reqId")
        for contract in found:
            session.send("contractDetails", reqId=req_id, **self._details(contract))
        session.send("contractDetailsEnd", reqId=req_id)

    def _details(self, contract: Contract) -> Values:
        exchanges = contract.valid_exchanges or (contract.exchange,)
        now = self._timeline.now_ns
        return {
            **contract_values(contract),
            "marketName": contract.trading_class,
            "minTick": contract.min_tick,
            "mdSizeMultiplier": 1,
            "orderTypes": "DAY,GTC,IOC,LMT,MKT,WHATIF",
            "validExchanges": ",".join(exchanges),
            "priceMagnifier": 1,
            "underConId": 0,
            "longName": contract.long_name,
            "contractMonth": contract.last_trade_date[:6],
            "industry": contract.industry,
            "category": contract.category,
            "subcategory": contract.subcategory,
            "timeZoneId": contract.time_zone_id,
            "tradingHours": trading_hours(now),
            "liquidHours": liquid_hours(now),
            "evRule": "",
            "evMultiplier": 0,
            "aggGroup": 1,
            "marketRuleIds": ",".join(str(contract.market_rule_id) for _ in exchanges),
            "realExpirationDate": contract.last_trade_date,
            "stockType": contract.stock_type,
            "minSize": Decimal(1),
            "sizeIncrement": Decimal(1),
            "suggestedSizeIncrement": Decimal(100),
        }

    def _send_matches(self, session: Session, request: Message) -> None:
        samples = [
            contract_values(contract) | {"description": _seven_bit(contract.long_name), "issuerId": ""}
            for contract in self._book.search(request.text("pattern"))
        ]
        session.send("symbolSamples", reqId=request.integer("reqId"), samples=samples)

    def _send_market_rule(self, session: Session, request: Message) -> None:
        rule_id = request.integer("marketRuleId")
        rule = _MARKET_RULES.get(rule_id)
        if rule is None:
            raise RequestRefused(321, tag=request.name, cause=f"Invalid market rule id {rule_id}")
        increments = [{"lowEdge": edge, "increment": increment} for edge, increment in rule]
        session.send("marketRule", marketRuleId=rule_id, increments=increments)

    # Quotes

    def _market_data(self, session: Session, request: Message) -> None:
        """Send the quote of this moment; a subscription is then sent what changed, once per interval."""
        contract = self._book.find_one(query_of(request))
        req_id = request.integer("reqId")
        quote = self._exchange.quote(contract)
        if quote is None:
            raise RequestRefused(354, detail=f" No market data for {contract.symbol} at this time.")
        session.send("tickReqParams", reqId=req_id, minTick=contract.min_tick, bboExchange="9c0001", permissions=3)
        session.send("marketDataType", reqId=req_id, marketDataType=_LIVE)
        sent: dict[int, object] = {}

        def refresh() -> None:
            now = self._exchange.quote(contract)
            if now is not None:
                _send_changes(session, req_id, now, sent)

        refresh()
        if request.flag("snapshot") or request.flag("regulatorySnapshot"):
            session.send("tickSnapshotEnd", reqId=req_id)
        else:
            self._streams.start(session, _MARKET_DATA, req_id, self._config.stream_interval_ns, refresh)

    def _cancel_market_data(self, session: Session, request: Message) -> None:
        req_id = request.integer("reqId")
        if not self._streams.stop(session, _MARKET_DATA, req_id):
            raise RequestRefused(300, ticker=req_id)

    def _market_data_type(self, session: Session, request: Message) -> None:
        """Accept the wish; live data is there and goes first, whatever else is wished for (documented)."""
        wished = request.integer("marketDataType")
        if not 1 <= wished <= 4:
            raise RequestRefused(321, tag=request.name, cause=f"Invalid market data type {wished}")

    # Lists that are empty here, and complete all the same

    def _send_family_codes(self, session: Session, request: Message) -> None:
        session.send("familyCodes", codes=[{"account": name, "familyCode": ""} for name in self._config.accounts])

    def _send_soft_dollar_tiers(self, session: Session, request: Message) -> None:
        session.send("softDollarTiers", reqId=request.integer("reqId"))

    def _send_depth_exchanges(self, session: Session, request: Message) -> None:
        session.send("mktDepthExchanges")

    def _send_news_providers(self, session: Session, request: Message) -> None:
        session.send("newsProviders")

    def _send_user_info(self, session: Session, request: Message) -> None:
        session.send("userInfo", reqId=request.integer("reqId"), whiteBrandingId="")


def _seven_bit(text: str) -> str:
    """Return `text` with other than ASCII as escapes, which every client undoes (read)."""
    return text.encode("unicode-escape").decode("ascii")


def _send_changes(session: Session, req_id: int, quote: Quote, sent: dict[int, object]) -> None:
    """Send the ticks that differ from the last ones; a price tick carries its size, as TWS does."""
    prices: tuple[tuple[int, Decimal | None, int, int | None], ...] = (
        (_BID, quote.bid, quote.bid_size, _BID_SIZE),
        (_ASK, quote.ask, quote.ask_size, _ASK_SIZE),
        (_LAST, quote.last, quote.last_size, _LAST_SIZE),
        (_HIGH, quote.high, 0, None),
        (_LOW, quote.low, 0, None),
        (_CLOSE, quote.previous_close, 0, None),
        (_OPEN, quote.open, 0, None),
    )
    for tick, price, size, size_tick in prices:
        if price is None or sent.get(tick) == (price, size):
            continue
        sent[tick] = (price, size)
        session.send("tickPrice", reqId=req_id, tickType=tick, price=price, size=size, attribs=0)
        if size_tick is not None:
            session.send("tickSize", reqId=req_id, tickType=size_tick, size=size)
    if sent.get(_VOLUME) != quote.volume:
        sent[_VOLUME] = quote.volume
        session.send("tickSize", reqId=req_id, tickType=_VOLUME, size=quote.volume)
