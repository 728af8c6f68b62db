"""Requests about instruments: details, symbol search, price increments, what options there are."""

from collections.abc import Callable
from decimal import Decimal

from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.contracts import ContractBook, contract_values, query_of
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message, Values
from quant_trading.tws_sim.hours import calendar_of, liquid_hours, trading_hours
from quant_trading.tws_sim.tape import Contract
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["MARKET_RULES", "ContractService"]

MARKET_RULES: dict[int, tuple[tuple[Decimal, Decimal], ...]] = {
    26: ((Decimal(0), Decimal("0.0001")), (Decimal(1), Decimal("0.01"))),
    32: ((Decimal(0), Decimal("0.01")), (Decimal(3), Decimal("0.05"))),
    67: ((Decimal(0), Decimal("0.25")),),
    109: ((Decimal(0), Decimal("0.01")),),
    239: ((Decimal(0), Decimal("0.00005")),),
    240: ((Decimal(0), Decimal("0.005")),),
    1703: ((Decimal(0), Decimal("0.25")),),
}
"""Price increments by market rule id: (from this price on, this increment). 26 is US stocks (reported)."""

_STOCK_ORDERS = (
    "ACTIVETIM,AD,ADJUST,ALERT,ALGO,ALLOC,AON,AVGCOST,BASKET,COND,CONDORDER,DAY,DEACT,DEACTDIS,DEACTEOD,GAT,GTC,GTD,"
    "GTT,HID,IOC,LIT,LMT,LOC,LOO,MIT,MKT,MOC,MOO,NONALGO,OCA,OPG,OPGREROUT,REL,SCALE,STP,STPLMT,TRAIL,TRAILLIT,"
    "TRAILLMT,TRAILMIT,WHATIF"
)
_DERIVATIVE_ORDERS = {"STK": ["CFD", "OPT", "IOPT", "WAR", "BAG"], "IND": ["OPT", "FUT"]}
_MAX_DETAILS = 20_000


class ContractService:
    """Answers about contracts."""

    def __init__(self, book: ContractBook, timeline: Timeline) -> None:
        self._book = book
        self._timeline = timeline

    def handlers(self) -> dict[str, Callable[[Session, Message], None]]:
        """Return what this service answers, by request name."""
        return {
            "reqContractDetails": self._send_details,
            "reqMatchingSymbols": self._send_matches,
            "reqMarketRule": self._send_market_rule,
            "reqSecDefOptParams": self._send_options,
        }

    def _send_details(self, session: Session, request: Message) -> None:
        query = query_of(request)
        found = self._book.find(query)
        if not found:
            raise RequestRefused(200)
        req_id = request.integer("reqId")
        for contract in found[:_MAX_DETAILS]:
            session.send("contractDetails", reqId=req_id, **self._details(contract))
        session.send("contractDetailsEnd", reqId=req_id)

    def _details(self, contract: Contract) -> Values:
        exchanges = contract.valid_exchanges or (contract.exchange,)
        now = self._timeline.now_ns
        calendar = calendar_of(contract)
        under = self._book.underlying(contract)
        is_stock = contract.sec_type == "STK"
        return {
            **contract_values(contract),
            "marketName": contract.trading_class,
            "minTick": contract.min_tick,
            "mdSizeMultiplier": 1,
            "orderTypes": _STOCK_ORDERS,
            "validExchanges": ",".join(exchanges),
            "priceMagnifier": 1,
            "underConId": 0 if under is None else under.con_id,
            "longName": contract.long_name,
            "contractMonth": contract.last_trade_date[:6],
            "industry": contract.industry,
            "category": contract.category,
            "subcategory": contract.subcategory,
            "timeZoneId": contract.time_zone_id,
            "tradingHours": trading_hours(now, calendar),
            "liquidHours": liquid_hours(now, calendar),
            "evRule": "",
            "evMultiplier": 0,
            "secIdList": [{"tag": tag, "value": value} for tag, value in self._book.security_ids(contract).items()],
            "aggGroup": 1,
            "underSymbol": "" if under is None else under.symbol,
            "underSecType": "" if under is None else under.sec_type,
            "marketRuleIds": ",".join(str(contract.market_rule_id) for _ in exchanges),
            "realExpirationDate": contract.last_trade_date,
            "stockType": contract.stock_type,
            "minSize": Decimal(1),
            "sizeIncrement": Decimal(1),
            "suggestedSizeIncrement": Decimal(100 if is_stock else 1),
        }

    def _send_matches(self, session: Session, request: Message) -> None:
        samples = [
            contract_values(contract)
            | {
                "description": _seven_bit(contract.long_name),
                "issuerId": "",
                "derivativeSecTypes": [{"secType": kind} for kind in self._derivatives(contract)],
            }
            for contract in self._book.search(request.text("pattern"))
        ]
        session.send("symbolSamples", reqId=request.integer("reqId"), samples=samples)

    def _derivatives(self, contract: Contract) -> list[str]:
        has_options = self._book.options(contract) is not None
        return _DERIVATIVE_ORDERS.get(contract.sec_type, []) if has_options else []

    def _send_market_rule(self, session: Session, request: Message) -> None:
        rule_id = request.integer("marketRuleId")
        rule = MARKET_RULES.get(rule_id)
        if rule is None:
            raise RequestRefused(321, tag=request.name, cause=f"Invalid market rule id {rule_id}")
        increments = [{"lowEdge": edge, "increment": increment} for edge, increment in rule]
        session.send("marketRule", marketRuleId=rule_id, increments=increments)

    def _send_options(self, session: Session, request: Message) -> None:
        """Send the option parameters of an underlying, one message for each exchange, then the end (documented)."""
        req_id = request.integer("reqId")
        under = self._book.by_id(request.integer("underlyingConId"))
        wished = (request.text("underlyingSymbol").upper(), request.text("underlyingSecType").upper())
        if under is None or wished != (under.symbol.upper(), under.sec_type):
            raise RequestRefused(321, tag=request.name, cause="Invalid contract id")
        found = self._book.options(under)
        only = request.text("futFopExchange").upper()
        for exchange in found.exchanges if found is not None else ():
            assert found is not None, "there is an exchange"
            if only in ("", exchange):
                session.send(
                    "securityDefinitionOptionParameter",
                    reqId=req_id,
                    exchange=exchange,
                    underlyingConId=under.con_id,
                    tradingClass=found.trading_class,
                    multiplier=found.multiplier,
                    expirations=[{"expiration": day} for day in found.expirations],
                    strikes=[{"strike": strike} for strike in found.strikes],
                )
        session.send("securityDefinitionOptionParameterEnd", reqId=req_id)


def _seven_bit(text: str) -> str:
    """Return `text` with other than ASCII as escapes, which every client undoes (read)."""
    return text.encode("unicode-escape").decode("ascii")
