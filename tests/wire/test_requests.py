"""Requests as ib_async's own client writes them are read field by field, at every version where one changes."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from ib_async import Contract, ExecutionFilter, Order, OrderComboLeg, Stock, TagValue
from ib_async.client import Client
from ib_async.contract import ComboLeg, DeltaNeutralContract
from ib_async.objects import ScannerSubscription, WshEventData
from ib_async.order import (
    ExecutionCondition,
    MarginCondition,
    PercentChangeCondition,
    PriceCondition,
    TimeCondition,
    VolumeCondition,
)

from quant_trading.tws_sim.fields import Message, decode
from quant_trading.tws_sim.requests import REQUEST_NAMES, REQUESTS

VERSIONS = (157, 163, 164, 166, 169, 170, 176, 177, 178)

AAPL = Contract(
    conId=265598, symbol="AAPL", secType="STK", exchange="SMART", primaryExchange="NASDAQ", currency="USD",
    localSymbol="AAPL", tradingClass="NMS", secIdType="ISIN", secId="US0378331005", issuerId="e1",
)  # fmt: skip
AAPL_READ = {
    "conId": 265598, "symbol": "AAPL", "secType": "STK", "lastTradeDate": "", "strike": Decimal(0), "right": "",
    "multiplier": "", "exchange": "SMART", "primaryExchange": "NASDAQ", "currency": "USD", "localSymbol": "AAPL",
    "tradingClass": "NMS",
}  # fmt: skip


def request_of(version: int, call: Callable[[Client], Any]) -> Message:
    """Return what the simulator reads when ib_async's client sends a request at `version`."""
    client = Client(wrapper=object())
    client.connState = Client.CONNECTED
    client._serverVersion = version
    client.clientId = 7
    sent: list[str] = []
    client.sendMsg = sent.append
    call(client)
    assert len(sent) == 1
    texts = tuple(sent[0].split("\0")[:-1])
    return decode(REQUESTS[int(texts[0])], texts[1:], version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("call", "name", "expected"),
    [
        (lambda c: c.startApi(), "startApi", {"clientId": 7, "optionalCapabilities": ""}),
        (lambda c: c.reqCurrentTime(), "reqCurrentTime", {}),
        (lambda c: c.reqIds(1), "reqIds", {"count": 1}),
        (lambda c: c.reqManagedAccts(), "reqManagedAccts", {}),
        (lambda c: c.reqOpenOrders(), "reqOpenOrders", {}),
        (lambda c: c.reqAllOpenOrders(), "reqAllOpenOrders", {}),
        (lambda c: c.reqAutoOpenOrders(True), "reqAutoOpenOrders", {"autoBind": True}),
        (lambda c: c.reqGlobalCancel(), "reqGlobalCancel", {}),
        (lambda c: c.reqPositions(), "reqPositions", {}),
        (lambda c: c.cancelPositions(), "cancelPositions", {}),
        (lambda c: c.setServerLogLevel(5), "setServerLogLevel", {"level": 5}),
        (lambda c: c.reqMarketDataType(3), "reqMarketDataType", {"marketDataType": 3}),
        (lambda c: c.reqCompletedOrders(True), "reqCompletedOrders", {"apiOnly": True}),
        (lambda c: c.reqAccountUpdates(True, "DU1"), "reqAccountUpdates", {"subscribe": True, "account": "DU1"}),
        (
            lambda c: c.reqAccountUpdatesMulti(3, "DU1", "m", False),
            "reqAccountUpdatesMulti",
            {"reqId": 3, "account": "DU1", "modelCode": "m", "ledgerAndNLV": False},
        ),
        (lambda c: c.cancelAccountUpdatesMulti(3), "cancelAccountUpdatesMulti", {"reqId": 3}),
        (
            lambda c: c.reqAccountSummary(4, "All", "NetLiquidation,$LEDGER"),
            "reqAccountSummary",
            {"reqId": 4, "group": "All", "tags": "NetLiquidation,$LEDGER"},
        ),
        (lambda c: c.cancelAccountSummary(4), "cancelAccountSummary", {"reqId": 4}),
        (
            lambda c: c.reqPositionsMulti(5, "DU1", ""),
            "reqPositionsMulti",
            {"reqId": 5, "account": "DU1", "modelCode": ""},
        ),
        (lambda c: c.cancelPositionsMulti(5), "cancelPositionsMulti", {"reqId": 5}),
        (lambda c: c.reqPnL(6, "DU1", "m"), "reqPnL", {"reqId": 6, "account": "DU1", "modelCode": "m"}),
        (lambda c: c.cancelPnL(6), "cancelPnL", {"reqId": 6}),
        (
            lambda c: c.reqPnLSingle(7, "DU1", "", 265598),
            "reqPnLSingle",
            {"reqId": 7, "account": "DU1", "modelCode": "", "conId": 265598},
        ),
        (lambda c: c.cancelPnLSingle(7), "cancelPnLSingle", {"reqId": 7}),
        (
            lambda c: c.reqExecutions(8, ExecutionFilter(1, "DU1", "20261119-15:00:00", "AAPL", "STK", "SMART", "BUY")),
            "reqExecutions",
            {"reqId": 8, "clientId": 1, "account": "DU1", "time": "20261119-15:00:00", "symbol": "AAPL",
             "secType": "STK", "exchange": "SMART", "side": "BUY"},
        ),
        (lambda c: c.reqMatchingSymbols(9, "app"), "reqMatchingSymbols", {"reqId": 9, "pattern": "app"}),
        (lambda c: c.reqMarketRule(26), "reqMarketRule", {"marketRuleId": 26}),
        (
            lambda c: c.reqHeadTimeStamp(10, AAPL, "TRADES", True, 1),
            "reqHeadTimeStamp",
            {"reqId": 10, **AAPL_READ, "includeExpired": False, "useRth": True, "whatToShow": "TRADES",
             "formatDate": 1},
        ),
        (lambda c: c.cancelHeadTimeStamp(10), "cancelHeadTimeStamp", {"reqId": 10}),
        (
            lambda c: c.reqHistoricalData(11, AAPL, "20261119-15:00:00", "1 Y", "1 day", "TRADES", 1, 2, False, []),
            "reqHistoricalData",
            {"reqId": 11, **AAPL_READ, "includeExpired": False, "endDateTime": "20261119-15:00:00", "barSize": "1 day",
             "duration": "1 Y", "useRth": True, "whatToShow": "TRADES", "formatDate": 2, "keepUpToDate": False,
             "options": ""},
        ),
        (lambda c: c.cancelHistoricalData(11), "cancelHistoricalData", {"reqId": 11}),
        (
            lambda c: c.reqMktData(12, AAPL, "233", True, False, []),
            "reqMktData",
            {"reqId": 12, **AAPL_READ, "hasDeltaNeutral": False, "genericTicks": "233", "snapshot": True,
             "regulatorySnapshot": False, "options": ""},
        ),
        (lambda c: c.cancelMktData(12), "cancelMktData", {"reqId": 12}),
        (lambda c: c.reqUserInfo(13), "reqUserInfo", {"reqId": 13}),
        (lambda c: c.reqFamilyCodes(), "reqFamilyCodes", {}),
        (lambda c: c.reqSoftDollarTiers(14), "reqSoftDollarTiers", {"reqId": 14}),
        (lambda c: c.reqMktDepthExchanges(), "reqMktDepthExchanges", {}),
        (lambda c: c.reqNewsProviders(), "reqNewsProviders", {}),
    ],
)  # fmt: skip
def test_requests_are_read_as_they_were_meant(
    version: int, call: Callable[[Client], Any], name: str, expected: dict[str, Any]
) -> None:
    request = request_of(version, call)

    assert (request.name, request.values, request.surplus) == (name, expected, ())


@pytest.mark.parametrize("version", VERSIONS)
def test_contract_details_gain_the_issuer_at_176(version: int) -> None:
    request = request_of(version, lambda c: c.reqContractDetails(1, AAPL))

    identity = {"includeExpired": False, "secIdType": "ISIN", "secId": "US0378331005"}
    issuer = {"issuerId": "e1"} if version >= 176 else {}
    assert request.values == {"reqId": 1, **AAPL_READ, **identity, **issuer}
    assert request.surplus == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_cancels_gain_a_time_at_169(version: int) -> None:
    request = request_of(version, lambda c: c.cancelOrder(5, "20261119-15:00:00"))

    time = {"manualCancelOrderTime": "20261119-15:00:00"} if version >= 169 else {}
    assert (request.values, request.surplus) == ({"orderId": 5, **time}, ())


PLAIN = Order(
    action="SELL", totalQuantity=12.0, orderType="LMT", lmtPrice=101.25, tif="GTC", account="DU1", orderRef="run-1",
    outsideRth=True, transmit=False, ocaGroup="g", ocaType=1, faGroup="f", modelCode="m", goodTillDate="x",
    displaySize=3, minQty=4, percentOffset=0.5, solicited=True, cashQty=7.5, duration=60, postToAts=2,
    autoCancelParent=True, advancedErrorOverride="8229", manualOrderTime="20261119-15:00:00", usePriceMgmtAlgo=True,
)  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plain_order_is_read_from_its_first_field_to_its_last(version: int) -> None:
    request = request_of(version, lambda c: c.placeOrder(3, AAPL, PLAIN))

    expected = {
        "orderId": 3, "action": "SELL", "totalQuantity": Decimal(12), "orderType": "LMT", "lmtPrice": Decimal("101.25"),
        "auxPrice": None, "tif": "GTC", "account": "DU1", "orderRef": "run-1", "outsideRth": True, "transmit": False,
        "ocaGroup": "g", "ocaType": 1, "faGroup": "f", "modelCode": "m", "goodTillDate": "x", "displaySize": 3,
        "minQty": 4, "percentOffset": Decimal("0.5"), "solicited": True, "cashQty": Decimal("7.5"),
        "usePriceMgmtAlgo": "1", "conditions": [], "whatIf": False, "volatility": None, **AAPL_READ,
    }  # fmt: skip
    gated: dict[str, tuple[int, Any]] = {
        "duration": (158, 60), "postToAts": (160, 2), "autoCancelParent": (162, True),
        "advancedErrorOverride": (166, "8229"), "manualOrderTime": (169, "20261119-15:00:00"),
    }  # fmt: skip
    expected |= {name: value for name, (since, value) in gated.items() if version >= since}
    assert request.surplus == ()
    assert {name: request.values.get(name) for name in expected} == expected
    assert ("faProfile" in request.values) is (version < 177)


def _combination() -> tuple[Contract, Order]:
    contract = Contract(symbol="A,B", secType="BAG", exchange="SMART", currency="USD")
    contract.comboLegs = [ComboLeg(1, 2, "BUY", "SMART"), ComboLeg(3, 4, "SELL", "SMART", 1, 2, "x", 3)]
    contract.deltaNeutralContract = DeltaNeutralContract(9, 0.5, 10.25)
    order = Order(action="BUY", totalQuantity=1, orderType="LMT", lmtPrice=1.0)
    order.orderComboLegs = [OrderComboLeg(1.5)]
    order.smartComboRoutingParams = [TagValue("NonGuaranteed", "1")]
    order.algoStrategy = "Adaptive"
    order.algoParams = [TagValue("adaptivePriority", "Normal")]
    order.conditions = [
        PriceCondition(price=10.5, conId=5, exch="SMART", triggerMethod=2),
        TimeCondition(conjunction="o", time="20261119-15:00:00"),
        MarginCondition(percent=10),
        ExecutionCondition(secType="STK", exch="SMART", symbol="AAPL"),
        VolumeCondition(volume=1000, conId=5, exch="SMART"),
        PercentChangeCondition(changePercent=1.5, conId=5, exch="SMART"),
    ]
    order.hedgeType, order.hedgeParam = "B", "0.9"
    order.deltaNeutralOrderType, order.deltaNeutralConId = "MKT", 77
    order.scalePriceIncrement, order.scaleInitFillQty = 0.05, 6
    return contract, order


@pytest.mark.parametrize("version", VERSIONS)
def test_an_order_with_every_optional_group_is_read_to_its_last_field(version: int) -> None:
    contract, order = _combination()

    request = request_of(version, lambda c: c.placeOrder(3, contract, order))

    values = request.values
    assert request.surplus == ()
    assert [leg["conId"] for leg in values["comboLegs"]] == [1, 3]
    assert values["comboLegs"][1]["designatedLocation"] == "x"
    assert values["orderComboLegs"] == [{"price": Decimal("1.5")}]
    assert values["smartComboRoutingParams"] == [{"tag": "NonGuaranteed", "value": "1"}]
    assert values["algoParams"] == [{"tag": "adaptivePriority", "value": "Normal"}]
    assert (values["hedgeParam"], values["deltaNeutralConId"], values["scaleInitFillQty"]) == ("0.9", 77, 6)
    assert values["deltaNeutralPrice"] == Decimal("10.25")
    assert [condition["condType"] for condition in values["conditions"]] == [1, 3, 4, 5, 6, 7]
    assert values["conditions"][0] == {
        "condType": 1, "conjunction": "a", "isMore": True, "value": "10.5", "conId": 5, "exchange": "SMART",
        "triggerMethod": 2,
    }  # fmt: skip
    assert values["conditions"][3] == {
        "condType": 5, "conjunction": "a", "secType": "STK", "exchange": "SMART", "symbol": "AAPL",
    }  # fmt: skip


@pytest.mark.parametrize("order_type", ["PEG BENCH", "PEG BEST", "PEG MID"])
@pytest.mark.parametrize("version", VERSIONS)
def test_pegged_orders_are_read_to_their_last_field(version: int, order_type: str) -> None:
    order = Order(action="BUY", totalQuantity=1, orderType=order_type, competeAgainstBestOffset=float("inf"))
    contract = Stock("AAPL", "IBKRATS", "USD")

    request = request_of(version, lambda c: c.placeOrder(3, contract, order))

    assert (request.surplus, request.values["orderType"]) == ((), order_type)


@pytest.mark.parametrize(
    ("call", "name", "req_id"),
    [
        (lambda c: c.reqMktDepth(41, AAPL, 5, True, []), "reqMktDepth", 41),
        (lambda c: c.cancelMktDepth(41, True), "cancelMktDepth", 41),
        (lambda c: c.reqNewsBulletins(True), "reqNewsBulletins", None),
        (lambda c: c.requestFA(1), "requestFA", None),
        (lambda c: c.exerciseOptions(42, AAPL, 1, 1, "DU1", 0), "exerciseOptions", 42),
        (lambda c: c.reqScannerSubscription(43, ScannerSubscription(), [], []), "reqScannerSubscription", 43),
        (lambda c: c.cancelScannerSubscription(43), "cancelScannerSubscription", 43),
        (lambda c: c.reqScannerParameters(), "reqScannerParameters", None),
        (lambda c: c.reqRealTimeBars(44, AAPL, 5, "TRADES", True, []), "reqRealTimeBars", 44),
        (lambda c: c.cancelRealTimeBars(44), "cancelRealTimeBars", 44),
        (lambda c: c.reqFundamentalData(45, AAPL, "ReportSnapshot", []), "reqFundamentalData", 45),
        (lambda c: c.calculateImpliedVolatility(46, AAPL, 1.0, 2.0, []), "calculateImpliedVolatility", 46),
        (lambda c: c.calculateOptionPrice(47, AAPL, 0.2, 2.0, []), "calculateOptionPrice", 47),
        (lambda c: c.queryDisplayGroups(48), "queryDisplayGroups", 48),
        (lambda c: c.reqSecDefOptParams(49, "AAPL", "", "STK", 265598), "reqSecDefOptParams", 49),
        (lambda c: c.reqSmartComponents(50, "9c0001"), "reqSmartComponents", 50),
        (lambda c: c.reqNewsArticle(51, "BRFG", "x", []), "reqNewsArticle", 51),
        (lambda c: c.reqHistoricalNews(52, 265598, "BRFG", "", "", 10, []), "reqHistoricalNews", 52),
        (lambda c: c.reqHistogramData(53, AAPL, True, "1 week"), "reqHistogramData", 53),
        (
            lambda c: c.reqHistoricalTicks(54, AAPL, "", "20261119-15:00:00", 10, "TRADES", 1, False, []),
            "reqHistoricalTicks",
            54,
        ),
        (lambda c: c.reqTickByTickData(55, AAPL, "Last", 0, False), "reqTickByTickData", 55),
        (lambda c: c.cancelTickByTickData(55), "cancelTickByTickData", 55),
        (lambda c: c.reqWshMetaData(56), "reqWshMetaData", 56),
        (lambda c: c.reqWshEventData(57, WshEventData()), "reqWshEventData", 57),
    ],
)
@pytest.mark.parametrize("version", (157, 178))
def test_other_requests_give_up_their_id(
    version: int, call: Callable[[Client], Any], name: str, req_id: int | None
) -> None:
    request = request_of(version, call)

    assert (request.name, request.values.get("reqId")) == (name, req_id)


def test_every_request_ib_async_can_make_is_in_the_table() -> None:
    ours = set(REQUEST_NAMES)
    methods = {name for name in vars(Client) if name.startswith(("req", "cancel", "place", "request", "replace"))}
    methods |= {name for name in vars(Client) if name.startswith(("query", "subscribe", "update", "exercise"))}
    not_requests = {"requestFA", "updateReqId"}

    assert methods - not_requests - ours == set()
