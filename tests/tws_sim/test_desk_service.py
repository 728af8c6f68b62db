"""Requests about the workstation itself are answered with what there is, or refused as TWS refuses them."""

from datetime import date

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.simulator import Simulator
from tests.tws_sim.raw_client import RawClient, only
from tests.tws_sim.step_tape import StepTape

START = at(date(2026, 11, 19), "10:00")


def market() -> Simulator:
    return Simulator(StepTape({}), SimConfig(), START)


def test_display_groups_remember_what_is_shown_and_tell_all_who_watch() -> None:
    simulator = market()
    one, other = RawClient(simulator, 1), RawClient(simulator, 2)

    assert only(one.ask("queryDisplayGroups", reqId=1), "displayGroupList").text("groups") == "1|2|3|4|5|6|7"
    assert (
        only(one.ask("subscribeToGroupEvents", reqId=2, groupId=4), "displayGroupUpdated").text("contractInfo")
        == "none"
    )
    other.ask("subscribeToGroupEvents", reqId=9, groupId=4)
    shown = only(one.ask("updateDisplayGroup", reqId=2, contractInfo="8314@SMART"), "displayGroupUpdated")
    assert (shown.integer("reqId"), shown.text("contractInfo")) == (2, "8314@SMART")
    assert only(other.read(), "displayGroupUpdated").integer("reqId") == 9

    assert one.ask("unsubscribeFromGroupEvents", reqId=2) == []
    other.ask("updateDisplayGroup", reqId=9, contractInfo="")
    assert one.read() == []
    assert (
        only(one.ask("subscribeToGroupEvents", reqId=3, groupId=4), "displayGroupUpdated").text("contractInfo")
        == "none"
    )


@pytest.mark.parametrize(
    ("name", "values", "req_id", "code"),
    [
        ("subscribeToGroupEvents", {"reqId": 5, "groupId": 8}, 5, 321),
        ("updateDisplayGroup", {"reqId": 5, "contractInfo": "x"}, 5, 321),
        ("unsubscribeFromGroupEvents", {"reqId": 5}, 5, 321),
        ("requestFA", {"faDataType": 1}, -1, 321),
        ("replaceFA", {"reqId": 6, "faDataType": 1, "xml": "<x/>"}, 6, 321),
        ("reqFundamentalData", {"reqId": 7, "symbol": "ACME"}, 7, 430),
        ("reqWshMetaData", {"reqId": 8}, 8, 10276),
        ("reqWshEventData", {"reqId": 9}, 9, 10282),
    ],
)
def test_what_needs_another_subscription_is_refused_with_its_id(
    name: str, values: dict[str, object], req_id: int, code: int
) -> None:
    error = only(RawClient(market()).ask(name, **values), "error")

    assert (error.integer("reqId"), error.integer("code")) == (req_id, code)


def test_events_are_refused_as_the_calendar_was() -> None:
    client = RawClient(market())
    client.ask("reqWshMetaData", reqId=8)

    assert only(client.ask("reqWshEventData", reqId=9), "error").integer("code") == 10276


@pytest.mark.parametrize("name", ["verifyRequest", "verifyMessage"])
def test_no_application_is_verified(name: str) -> None:
    assert not only(RawClient(market()).ask(name, apiName="x", apiData="y"), "verifyCompleted").flag("isSuccessful")


def test_time_comes_in_milliseconds_from_197_on() -> None:
    answer = only(RawClient(market(), version=200).ask("reqCurrentTimeInMillis"), "currentTimeInMillis")

    assert answer.integer("timeInMillis") == START // 1_000_000


def test_smart_components_name_the_exchanges_by_bit_and_letter() -> None:
    rows = only(RawClient(market()).ask("reqSmartComponents", reqId=3, bboExchange="9c0001"), "smartComponents").values
    by_exchange = {row["exchange"]: row for row in rows["components"]}

    assert by_exchange["ISLAND"]["exchangeLetter"] == "Q"
    assert sorted(row["bit"] for row in rows["components"]) == list(range(len(rows["components"])))


@pytest.mark.parametrize("version", [193, 194])
def test_errors_lose_their_version_and_gain_the_time_at_194(version: int) -> None:
    error = only(RawClient(market(), version=version).ask("reqWshMetaData", reqId=8), "error")

    assert error.values.get("time") == (START // 1_000_000 if version >= 194 else None)
