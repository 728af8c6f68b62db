"""Answers as the simulator writes them are read by ib_async's own decoder, at every version where one changes."""

from decimal import Decimal
from typing import Any

import pytest
from ib_async.decoder import Decoder
from ib_async.util import UNSET_DOUBLE

from quant_trading.tws_sim.fields import encode
from quant_trading.tws_sim.responses import RESPONSE_NAMES

VERSIONS = (157, 163, 164, 166, 169, 170, 176, 177, 178)


class Recorder:
    """A wrapper that takes note of every call and has what the decoder asks for."""

    defaultTimezone = None  # noqa: N815

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, arguments))


def read_by_ib_async(version: int, name: str, **values: Any) -> list[tuple[str, tuple[Any, ...]]]:
    """Return the wrapper calls ib_async makes of one message; a failure is logged and fails the test."""
    recorder = Recorder()
    decoder = Decoder(recorder, version)
    decoder.interpret(encode(RESPONSE_NAMES[name], values, version))
    return recorder.calls


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "values", "call"),
    [
        ("nextValidId", {"orderId": 5}, ("nextValidId", (5,))),
        ("managedAccounts", {"accounts": "DU1,DU2"}, ("managedAccounts", ("DU1,DU2",))),
        ("error", {"reqId": -1, "code": 2104, "text": "ok"}, ("error", (-1, 2104, "ok", ""))),
        ("currentTime", {"time": 1_795_000_000}, ("currentTime", (1_795_000_000,))),
        ("orderStatus",
         {"orderId": 3, "status": "Filled", "filled": Decimal(100), "remaining": Decimal(0),
          "avgFillPrice": Decimal("10.25"), "permId": 77, "parentId": 0, "lastFillPrice": Decimal("10.25"),
          "clientId": 1, "whyHeld": "", "mktCapPrice": 0},
         ("orderStatus", (3, "Filled", 100.0, 0.0, 10.25, 77, 0, 10.25, 1, "", 0.0))),
        ("updateAccountValue", {"key": "NetLiquidation", "value": "1.00", "currency": "USD", "account": "DU1"},
         ("updateAccountValue", ("NetLiquidation", "1.00", "USD", "DU1"))),
        ("updateAccountTime", {"time": "10:00"}, ("updateAccountTime", ("10:00",))),
        ("accountDownloadEnd", {"account": "DU1"}, ("accountDownloadEnd", ("DU1",))),
        ("accountSummary", {"reqId": 1, "account": "DU1", "tag": "T", "value": "1", "currency": "USD"},
         ("accountSummary", (1, "DU1", "T", "1", "USD"))),
        ("accountSummaryEnd", {"reqId": 1}, ("accountSummaryEnd", (1,))),
        ("accountUpdateMulti",
         {"reqId": 1, "account": "DU1", "modelCode": "m", "key": "T", "value": "1", "currency": "USD"},
         ("accountUpdateMulti", (1, "DU1", "m", "T", "1", "USD"))),
        ("accountUpdateMultiEnd", {"reqId": 1}, ("accountUpdateMultiEnd", (1,))),
        ("positionEnd", {}, ("positionEnd", ())),
        ("positionMultiEnd", {"reqId": 1}, ("positionMultiEnd", (1,))),
        ("pnl", {"reqId": 1, "daily": 1.5, "unrealized": None, "realized": -2}, ("pnl", (1, 1.5, UNSET_DOUBLE, -2.0))),
        ("pnlSingle", {"reqId": 1, "position": 5, "daily": 1, "unrealized": 2, "realized": 3, "value": 4},
         ("pnlSingle", (1, 5.0, 1.0, 2.0, 3.0, 4.0))),
        ("contractDetailsEnd", {"reqId": 1}, ("contractDetailsEnd", (1,))),
        ("openOrderEnd", {}, ("openOrderEnd", ())),
        ("execDetailsEnd", {"reqId": 1}, ("execDetailsEnd", (1,))),
        ("completedOrdersEnd", {}, ("completedOrdersEnd", ())),
        ("tickSnapshotEnd", {"reqId": 1}, ("tickSnapshotEnd", (1,))),
        ("marketDataType", {"reqId": 1, "marketDataType": 1}, ("marketDataType", (1, 1))),
        ("tickPrice", {"reqId": 1, "tickType": 4, "price": 10.25, "size": 100, "attribs": 0},
         ("priceSizeTick", (1, 4, 10.25, 100.0))),
        ("tickSize", {"reqId": 1, "tickType": 8, "size": 100}, ("tickSize", (1, 8, 100.0))),
        ("tickGeneric", {"reqId": 1, "tickType": 49, "value": 0}, ("tickGeneric", (1, 49, 0.0))),
        ("tickString", {"reqId": 1, "tickType": 45, "value": "1795000000"}, ("tickString", (1, 45, "1795000000"))),
        ("tickReqParams", {"reqId": 1, "minTick": 0.01, "bboExchange": "9c", "permissions": 3},
         ("tickReqParams", (1, 0.01, "9c", 3))),
        ("headTimestamp", {"reqId": 1, "timestamp": "19801212-14:30:00"},
         ("headTimestamp", (1, "19801212-14:30:00"))),
        ("userInfo", {"reqId": 1, "whiteBrandingId": ""}, ("userInfo", (1, ""))),
        ("newsProviders", {}, ("newsProviders", ([],))),
        ("mktDepthExchanges", {}, ("mktDepthExchanges", ([],))),
        ("softDollarTiers", {"reqId": 1}, ("softDollarTiers", (1, []))),
    ],
)  # fmt: skip
def test_answers_are_read_as_they_were_meant(
    version: int, name: str, values: dict[str, Any], call: tuple[str, tuple[Any, ...]]
) -> None:
    assert read_by_ib_async(version, name, **values) == [call]


CONTRACT = {
    "conId": 265598, "symbol": "AAPL", "secType": "STK", "strike": 0, "exchange": "SMART", "currency": "USD",
    "localSymbol": "AAPL", "tradingClass": "NMS", "primaryExchange": "NASDAQ",
}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_contract_details_follow_the_versions(version: int) -> None:
    [(name, (req_id, details))] = read_by_ib_async(
        version, "contractDetails", reqId=4, **CONTRACT, marketName="NMS", minTick=Decimal("0.01"),
        mdSizeMultiplier=1, orderTypes="LMT,MKT", validExchanges="SMART,NASDAQ", priceMagnifier=1,
        longName="Käse", timeZoneId="US/Eastern", tradingHours="h", liquidHours="l", evMultiplier=0,
        secIdList=[{"tag": "ISIN", "value": "US0378331005"}], aggGroup=1, marketRuleIds="26,26", stockType="COMMON",
        minSize=1, sizeIncrement=1, suggestedSizeIncrement=100,
    )  # fmt: skip

    assert (name, req_id) == ("contractDetails", 4)
    assert (details.contract.conId, details.contract.primaryExchange) == (265598, "NASDAQ")
    assert (details.longName, details.minTick, details.stockType) == ("Käse", 0.01, "COMMON")
    assert details.secIdList[0].value == "US0378331005"
    assert details.suggestedSizeIncrement == (100.0 if version >= 163 else 0.0)
    assert details.minSize == (1.0 if version >= 164 else 0.0)


ORDER = {
    **CONTRACT, "orderId": 3, "clientId": 1, "permId": 77, "action": "BUY", "totalQuantity": Decimal(100),
    "orderType": "LMT", "lmtPrice": Decimal("10.25"), "auxPrice": 0, "tif": "DAY", "account": "DU1",
    "orderRef": "run-1", "outsideRth": True, "status": "Submitted", "openClose": "O", "modelCode": "m",
    "discretionaryUpToLimitPrice": True, "usePriceMgmtAlgo": "1", "duration": 60, "postToAts": 2,
    "autoCancelParent": True, "minTradeQty": 5, "midOffsetAtHalf": Decimal("0.5"), "cashQty": Decimal(7),
    "algoStrategy": "Adaptive", "algoParams": [{"tag": "adaptivePriority", "value": "Normal"}],
    "conditions": [{"condType": 1, "conjunction": "a", "isMore": True, "value": "10.5", "conId": 5,
                    "exchange": "SMART", "triggerMethod": 2}],
    "conditionsCancelOrder": True, "hedgeType": "B", "hedgeParam": "0.9", "scalePriceIncrement": Decimal("0.05"),
    "scaleInitFillQty": 6, "deltaNeutralOrderType": "MKT", "deltaNeutralConId": 9,
    "comboLegs": [{"conId": 1, "ratio": 2, "action": "BUY", "exchange": "SMART"}],
    "smartComboRoutingParams": [{"tag": "a", "value": "b"}], "hasDeltaNeutral": True, "deltaNeutralContractConId": 8,
}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_open_orders_are_read_from_their_first_field_to_their_last(version: int) -> None:
    [(name, (order_id, contract, order, state))] = read_by_ib_async(
        version, "openOrder", **ORDER, initMarginChange=Decimal("12.5"), commission=Decimal("1.25")
    )

    assert (name, order_id, contract.conId, contract.comboLegs[0].ratio) == ("openOrder", 3, 265598, 2)
    assert (order.permId, order.lmtPrice, order.orderRef, order.outsideRth) == (77, 10.25, "run-1", True)
    assert (order.cashQty, order.discretionaryUpToLimitPrice, order.conditionsCancelOrder) == (7.0, True, True)
    assert (order.hedgeParam, order.scaleInitFillQty, order.algoParams[0].value) == ("0.9", 6, "Normal")
    assert (order.conditions[0].price, order.conditions[0].triggerMethod) == (10.5, 2)
    assert (state.status, state.commission, float(state.initMarginChange)) == ("Submitted", 1.25, 12.5)
    assert float(state.maintMarginChange) == UNSET_DOUBLE
    # ib_async reads `duration` from 159 on, which is why 158 is never negotiated.
    assert order.duration == (60 if version >= 159 else 2**31 - 1)
    assert order.autoCancelParent is (version >= 162)
    assert order.midOffsetAtHalf == (0.5 if version >= 170 else UNSET_DOUBLE)


@pytest.mark.parametrize("version", VERSIONS)
def test_completed_orders_are_read_from_their_first_field_to_their_last(version: int) -> None:
    [(name, (contract, order, state))] = read_by_ib_async(
        version, "completedOrder", **(ORDER | {"status": "Filled"}), filledQuantity=Decimal(100),
        completedTime="20261119 10:00:00 US/Eastern", completedStatus="Filled Size: 100",
    )  # fmt: skip

    assert (name, contract.symbol, order.permId, order.filledQuantity) == ("completedOrder", "AAPL", 77, 100.0)
    assert (state.status, state.completedStatus) == ("Filled", "Filled Size: 100")
    assert state.completedTime == "20261119 10:00:00 US/Eastern"
    assert order.midOffsetAtHalf == (0.5 if version >= 170 else UNSET_DOUBLE)


@pytest.mark.parametrize("version", VERSIONS)
def test_executions_gain_a_field_at_178(version: int) -> None:
    [(name, (req_id, contract, execution))] = read_by_ib_async(
        version, "execDetails", **CONTRACT, reqId=-1, orderId=3, execId="a.b.1.01",
        time="20261119 10:00:00 US/Eastern", account="DU1", execExchange="NASDAQ", side="BOT", shares=Decimal(100),
        price=Decimal("10.25"), permId=77, clientId=1, liquidation=0, cumQty=Decimal(100), avgPrice=Decimal("10.25"),
        orderRef="run-1", lastLiquidity=2, pendingPriceRevision=True,
    )  # fmt: skip

    assert (name, req_id, contract.conId) == ("execDetails", -1, 265598)
    assert (execution.execId, execution.shares, execution.price, execution.orderRef) == (
        "a.b.1.01",
        100,
        10.25,
        "run-1",
    )
    assert execution.time.utcoffset() is not None
    assert execution.time.timestamp() == 1_795_100_400  # 2026-11-19 15:00 UTC
    assert execution.pendingPriceRevision is (version >= 178)


@pytest.mark.parametrize(("realized", "expected"), [(None, UNSET_DOUBLE), (Decimal("-2.5"), -2.5)])
def test_commission_reports_leave_the_profit_of_an_opening_trade_unset(realized: Any, expected: float) -> None:
    [(_, (report,))] = read_by_ib_async(
        178, "commissionReport", execId="a.b.1.01", commission=Decimal("1.00"), currency="USD", realizedPNL=realized
    )

    assert (report.execId, report.commission, report.currency, report.realizedPNL) == ("a.b.1.01", 1.0, "USD", expected)


def test_positions_and_portfolio_rows() -> None:
    [(_, (account, contract, quantity, cost))] = read_by_ib_async(
        178, "position", account="DU1", **CONTRACT, position=Decimal(-5), avgCost=Decimal("10.125")
    )
    assert (account, contract.conId, quantity, cost) == ("DU1", 265598, -5.0, 10.125)

    [(_, row)] = read_by_ib_async(
        178, "updatePortfolio", **CONTRACT, position=-5, marketPrice=10, marketValue=-50, averageCost=Decimal("10.125"),
        unrealizedPNL=Decimal("0.625"), realizedPNL=0, account="DU1",
    )  # fmt: skip
    assert (row[0].primaryExchange, *row[1:]) == ("NASDAQ", -5.0, 10.0, -50.0, 10.125, 0.625, 0.0, "DU1")


def test_history_and_its_updates_have_their_columns_in_different_orders() -> None:
    bar = {
        "date": "20261118",
        "open": 1.5,
        "high": 4.5,
        "low": 0.5,
        "close": 2.5,
        "volume": 100,
        "wap": 2.25,
        "count": 7,
    }

    calls = read_by_ib_async(178, "historicalData", reqId=1, start="s", end="e", bars=[bar, bar])
    assert [name for name, _ in calls] == ["historicalData", "historicalData", "historicalDataEnd"]
    assert calls[2][1] == (1, "s", "e")
    [(_, (_, update))] = read_by_ib_async(178, "historicalDataUpdate", reqId=1, **bar)
    for read in (calls[0][1][1], update):
        assert (read.date, read.open, read.high, read.low, read.close) == ("20261118", 1.5, 4.5, 0.5, 2.5)
        assert (read.volume, read.average, read.barCount) == (100, 2.25, 7)


@pytest.mark.parametrize("version", (157, 176, 178))
def test_symbol_samples_gain_a_description_at_176(version: int) -> None:
    sample = {**CONTRACT, "derivativeSecTypes": [{"secType": "OPT"}, {"secType": "WAR"}], "description": "APPLE INC"}

    [(_, (_, [first, second]))] = read_by_ib_async(version, "symbolSamples", reqId=1, samples=[sample, sample])

    assert first.derivativeSecTypes == ["OPT", "WAR"]
    assert second.contract.description == ("APPLE INC" if version >= 176 else "")


def test_market_rules() -> None:
    rows = [{"lowEdge": 0, "increment": Decimal("0.0001")}, {"lowEdge": 1, "increment": Decimal("0.01")}]

    [(_, (rule_id, increments))] = read_by_ib_async(178, "marketRule", marketRuleId=26, increments=rows)

    assert (rule_id, [(row.lowEdge, row.increment) for row in increments]) == (26, [(0.0, 0.0001), (1.0, 0.01)])
