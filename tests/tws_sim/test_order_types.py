"""Every order type and time in force, by hand on a market of a few trades."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.simulator import Simulator
from tests.tws_sim.raw_client import RawClient, names, only
from tests.tws_sim.step_tape import StepTape

THURSDAY, FRIDAY = date(2026, 11, 19), date(2026, 11, 20)
D = Decimal

TAPE = StepTape(
    {
        "ACME": [
            (at(THURSDAY, "09:30"), "10.00"),
            (at(THURSDAY, "10:30"), "9.90"),
            (at(THURSDAY, "11:00"), "10.20"),
            (at(THURSDAY, "11:30"), "10.10"),
            (at(THURSDAY, "12:00"), "10.40"),
            (at(THURSDAY, "13:00"), "10.05"),
            (at(THURSDAY, "15:59"), "10.15"),
            (at(FRIDAY, "09:30"), "10.50"),
            (at(FRIDAY, "10:00"), "10.80"),
        ],
    }
)

SHOWN = ["openOrder PreSubmitted", "orderStatus PreSubmitted"]
FILLED = ["execDetails", "openOrder Filled", "orderStatus Filled", "commissionReport"]
WORKING = ["openOrder Submitted", "orderStatus Submitted"]
EXPIRED = ["orderStatus Cancelled", "error 202"]


def market(day: date = THURSDAY, clock: str = "10:00", **settings: Any) -> tuple[Simulator, RawClient]:
    simulator = Simulator(TAPE, SimConfig(**settings), at(day, clock))
    return simulator, RawClient(simulator)


def place(client: RawClient, order_type: str, side: str = "BUY", order_id: int = 1, **extra: Any) -> list[Any]:
    prices = ("lmtPrice", "auxPrice", "trailingPercent", "trailStopPrice", "lmtPriceOffset")
    extra = {name: D(value) if name in prices else value for name, value in extra.items()}
    return client.order(order_id, side, orderType=order_type, **extra)


def fill_of(answer: list[Any]) -> tuple[Decimal | None, str]:
    execution = only(answer, "execDetails")
    return execution.number("price"), execution.text("time")[9:17]


@pytest.mark.parametrize(
    ("order_type", "side", "prices", "price", "clock"),
    [
        # a stop becomes a market order when the last price has reached it: ask = last + 0.01, bid = last - 0.01
        ("STP", "BUY", {"auxPrice": "10.15"}, "10.21", "11:00:00"),
        ("STP", "SELL", {"auxPrice": "9.95"}, "9.89", "10:30:00"),
        ("STP", "BUY", {"auxPrice": "10.00"}, "10.01", "10:00:00"),  # reached already
        # the limit of a stop that was jumped over waits: 10.16 < ask 10.21 until the market comes back at 11:30
        ("STP LMT", "BUY", {"auxPrice": "10.15", "lmtPrice": "10.16"}, "10.16", "11:30:00"),
        ("STP LMT", "BUY", {"auxPrice": "10.15", "lmtPrice": "10.30"}, "10.21", "11:00:00"),
        ("STP LMT", "SELL", {"auxPrice": "9.95", "lmtPrice": "9.80"}, "9.89", "10:30:00"),
        ("MIT", "BUY", {"auxPrice": "9.95"}, "9.91", "10:30:00"),
        ("MIT", "SELL", {"auxPrice": "10.20"}, "10.19", "11:00:00"),
        ("LIT", "SELL", {"auxPrice": "10.20", "lmtPrice": "10.30"}, "10.30", "12:00:00"),
        # the best price so far is 10.40 at noon; 0.30 below it is 10.10, met by the trade at 10.05
        ("TRAIL", "SELL", {"auxPrice": "0.30"}, "10.04", "13:00:00"),
        # 10.00, then 10.20 less 0.10 is 10.10, met exactly at 11:30
        ("TRAIL", "SELL", {"auxPrice": "0.10"}, "9.89", "10:30:00"),
        ("TRAIL", "BUY", {"auxPrice": "0.25"}, "10.21", "11:00:00"),  # 9.90 + 0.25 = 10.15
        ("TRAIL", "SELL", {"trailingPercent": "3"}, "10.04", "13:00:00"),  # 10.40 x 0.97 = 10.088
        ("TRAIL", "SELL", {"auxPrice": "0.60", "trailStopPrice": "9.95"}, "9.89", "10:30:00"),
        ("TRAIL LIMIT", "SELL", {"auxPrice": "0.30", "lmtPriceOffset": "0.02"}, "10.08", "15:59:00"),
        # the bid follows the market; at 10:30 it is hit
        ("REL", "BUY", {"auxPrice": "0"}, "9.99", "10:30:00"),
        ("REL", "BUY", {"auxPrice": "0.02"}, "10.01", "10:00:00"),  # two cents above the bid is the ask
        ("REL", "BUY", {"auxPrice": "0", "lmtPrice": "9.92"}, "9.92", "10:30:00"),
        ("MOC", "BUY", {}, "10.15", "16:00:00"),
        ("LOC", "SELL", {"lmtPrice": "10.10"}, "10.15", "16:00:00"),
    ],
)
def test_when_and_at_what_price(order_type: str, side: str, prices: dict[str, str], price: str, clock: str) -> None:
    simulator, client = market()
    answer = place(client, order_type, side, **prices)
    simulator.advance_to(at(THURSDAY, "20:00"))

    answer += client.read()
    assert fill_of(answer) == (D(price), clock), names(answer)
    assert names(answer)[:2] == SHOWN
    assert names(answer)[-4:] == FILLED


def test_a_stop_is_held_until_it_triggers_and_then_works() -> None:
    simulator, client = market()

    answer = place(client, "STP", "SELL", auxPrice="9.95")
    assert names(answer) == SHOWN
    assert (answer[1].text("whyHeld"), answer[0].number("auxPrice")) == ("trigger", D("9.95"))
    simulator.advance_to(at(THURSDAY, "10:30"))
    assert names(client.read()) == WORKING + FILLED


def test_a_trailing_stop_is_shown_where_it_stands() -> None:
    simulator, client = market()
    place(client, "TRAIL", "SELL", auxPrice="0.30")

    assert client.ask("reqOpenOrders")[0].number("trailStopPrice") == D("9.70")
    simulator.advance_to(at(THURSDAY, "11:15"))
    assert client.ask("reqOpenOrders")[0].number("trailStopPrice") == D("9.90")
    simulator.advance_to(at(THURSDAY, "12:30"))
    assert client.ask("reqAllOpenOrders")[0].number("trailStopPrice") == D("10.10")


def test_a_trailing_gtc_order_remembers_the_best_price_overnight() -> None:
    simulator, client = market(clock="15:00")
    place(client, "TRAIL", "BUY", auxPrice="0.50", tif="GTC")
    simulator.advance_to(at(FRIDAY, "09:29"))
    assert names(client.read()) == []
    simulator.advance_to(at(FRIDAY, "16:00"))

    # 10.05 + 0.50 = 10.55, passed at 10:00 on Friday by the trade at 10.80
    assert fill_of(client.read()) == (D("10.81"), "10:00:00")


def test_an_auction_order_that_is_not_reached_is_cancelled() -> None:
    simulator, client = market()
    assert names(place(client, "LOC", "BUY", lmtPrice="10.10")) == SHOWN + WORKING
    simulator.advance_to(at(THURSDAY, "16:00"))
    assert names(client.read()) == EXPIRED


def test_a_closing_order_comes_too_late_in_the_last_minutes() -> None:
    _, client = market(clock="15:55")
    assert names(place(client, "MOC")) == [*SHOWN, "error 201", "openOrder Inactive", "orderStatus Inactive"]


@pytest.mark.parametrize(("limit", "price"), [(None, "10.50"), ("10.60", "10.50"), ("10.40", None)])
def test_opening_orders_fill_in_the_auction_or_not_at_all(limit: str | None, price: str | None) -> None:
    simulator, client = market()
    extra = {} if limit is None else {"lmtPrice": limit}
    answer = place(client, "MKT" if limit is None else "LMT", tif="OPG", **extra)
    assert names(answer) == [*SHOWN, "error 399"]
    simulator.advance_to(at(FRIDAY, "09:30"))

    answer = client.read()
    if price is None:
        assert names(answer) == EXPIRED
    else:
        assert fill_of(answer) == (D(price), "09:30:00")


def test_fill_or_kill_and_immediate_or_cancel() -> None:
    _, client = market()
    assert names(place(client, "LMT", lmtPrice="9.95", tif="FOK")) == [*SHOWN, *EXPIRED]
    assert names(place(client, "LMT", order_id=2, lmtPrice="10.01", tif="FOK")) == SHOWN + FILLED
    assert names(place(client, "MKT", order_id=3, tif="IOC")) == SHOWN + FILLED


@pytest.mark.parametrize(
    ("good_till", "end"),
    [
        ("20261119 12:30:00 US/Eastern", at(THURSDAY, "12:30")),
        ("20261119-17:30:00", at(THURSDAY, "12:30")),
        ("20261120", at(FRIDAY, "23:59:59")),
        ("20261122", at(date(2026, 11, 22), "23:59:59")),
    ],
)
def test_good_till_date(good_till: str, end: int) -> None:
    simulator, client = market()
    place(client, "LMT", lmtPrice="9.00", tif="GTD", goodTillDate=good_till)
    simulator.advance_to(end - 1)
    assert client.read() == []
    simulator.advance_to(end)
    assert names(client.read()) == EXPIRED


def test_good_after_time_waits() -> None:
    simulator, client = market()
    assert names(place(client, "MKT", goodAfterTime="20261119 11:10:00 US/Eastern")) == SHOWN
    simulator.advance_to(at(THURSDAY, "16:00"))
    assert fill_of(client.read()) == (D("10.21"), "11:10:00")


@pytest.mark.parametrize(
    ("order_type", "extra", "code"),
    [
        ("STP", {}, 107),
        ("STP LMT", {"auxPrice": "9.90"}, 107),
        ("TRAIL", {}, 107),
        ("TRAIL", {"auxPrice": "0.1", "trailingPercent": "1"}, 321),
        ("TRAIL", {"trailingPercent": "100"}, 321),
        ("TRAIL", {"trailingPercent": "0.00001"}, 321),
        ("TRAIL LIMIT", {"auxPrice": "0.1"}, 107),
        ("MIT", {}, 107),
        ("LOC", {}, 107),
        ("MOC", {"tif": "GTC"}, 113),
        ("STP", {"auxPrice": "9.90", "tif": "IOC"}, 111),
        ("TRAIL", {"auxPrice": "0.1", "tif": "OPG"}, 111),
        ("STP", {"auxPrice": "9.905"}, 110),
        ("TRAIL", {"auxPrice": "0.105"}, 110),
        ("LMT", {"lmtPrice": "9.90", "tif": "GTD"}, 321),
        ("LMT", {"lmtPrice": "9.90", "tif": "GTD", "goodTillDate": "20261332"}, 321),
        ("LMT", {"lmtPrice": "9.90", "tif": "GTD", "goodTillDate": "20261118"}, 321),
        ("LMT", {"lmtPrice": "9.90", "goodAfterTime": "soon"}, 321),
        ("LMT", {"lmtPrice": "9.90", "algoStrategy": "Adaptive"}, 321),
        ("PEG MID", {}, 387),
    ],
)
def test_what_cannot_be_is_refused(order_type: str, extra: dict[str, str], code: int) -> None:
    _, client = market()
    answer = place(client, order_type, **extra)
    assert names(answer) == [f"error {code}"]


def test_the_preset_time_in_force_is_announced() -> None:
    _, client = market(tif_preset="GTC")

    answer = place(client, "LMT", lmtPrice="9.00", tif="")
    assert names(answer) == [*SHOWN, "error 10349", *WORKING]
    assert answer[2].text("text") == "Order TIF was set to GTC based on order preset."
    assert (answer[2].integer("reqId"), answer[0].text("tif")) == (1, "GTC")
    assert names(place(client, "LMT", order_id=2, lmtPrice="9.00", tif="DAY")) == SHOWN + WORKING


@pytest.mark.parametrize(
    ("settings", "side", "extra", "price"),
    [
        ({"slippage_ticks": 2}, "BUY", {}, "10.03"),
        ({"slippage_ticks": 2}, "SELL", {}, "9.97"),
        ({"slippage_ticks": 2}, "BUY", {"lmtPrice": "10.02"}, "10.02"),  # never beyond the limit
        ({"improvement_ticks": 1}, "BUY", {}, "10.00"),
        ({"improvement_ticks": 1, "slippage_ticks": 1}, "SELL", {}, "9.99"),
    ],
)
def test_slippage_and_price_improvement(settings: dict[str, Any], side: str, extra: dict[str, str], price: str) -> None:
    _, client = market(**settings)
    assert fill_of(place(client, "LMT" if extra else "MKT", side, **extra))[0] == D(price)


def test_a_short_sale_needs_shares() -> None:
    simulator, client = market(shortable={"ACME": 150})

    answer = place(client, "MKT", "SELL", quantity=200)
    assert names(answer) == [*SHOWN, "error 404"]
    assert answer[1].text("whyHeld") == "locate"
    assert names(place(client, "MKT", "SELL", 2, quantity=150)) == SHOWN + FILLED
    answer = place(client, "MKT", "SELL", 3, quantity=1)
    assert names(answer) == ["error 201", "openOrder Inactive", "orderStatus Inactive"]
    # Somebody finds the shares of the first one.
    simulator.parts.exchange.locate(simulator.orders[0])
    simulator.advance_to(simulator.now_ns)
    assert names(client.read()) == SHOWN + FILLED


def test_a_held_short_sale_ends_with_its_day() -> None:
    simulator, client = market(shortable={"ACME": 1})
    place(client, "MKT", "SELL", quantity=200)
    simulator.advance_to(at(THURSDAY, "16:00"))
    assert names(client.read()) == EXPIRED


def test_selling_what_is_held_needs_no_shares() -> None:
    _, client = market(shortable={"ACME": 0})
    place(client, "MKT", "BUY")
    assert names(place(client, "MKT", "SELL", 2)) == SHOWN + FILLED


def test_twenty_orders_on_a_side_and_no_more() -> None:
    _, client = market(pacing="strict")
    for order_id in range(1, 21):
        assert names(place(client, "LMT", order_id=order_id, quantity=1, lmtPrice="9.00")) == SHOWN + WORKING
    assert names(place(client, "LMT", order_id=21, quantity=1, lmtPrice="9.00"))[0] == "error 201"
    assert names(place(client, "LMT", "SELL", 22, quantity=1, lmtPrice="11.00")) == SHOWN + WORKING
    client.ask("cancelOrder", orderId=1)
    assert names(place(client, "LMT", order_id=23, quantity=1, lmtPrice="9.00")) == SHOWN + WORKING


def test_a_changed_stop_watches_its_new_price() -> None:
    simulator, client = market()
    place(client, "STP", "SELL", auxPrice="9.95")
    assert names(place(client, "STP", "SELL", auxPrice="9.80")) == SHOWN
    simulator.advance_to(at(THURSDAY, "11:00"))
    assert client.read() == []
    assert names(place(client, "STP", "SELL", auxPrice="10.20")) == [*SHOWN, *WORKING, *FILLED]


def test_a_fork_leaves_two_live_orders_under_one_id() -> None:
    simulator, client = market()
    place(client, "LMT", lmtPrice="9.50")
    simulator.parts.orders.forks = 1

    answer = place(client, "LMT", lmtPrice="9.60")
    assert names(answer) == SHOWN + WORKING
    listed = [m for m in client.ask("reqAllOpenOrders") if m.name == "openOrder"]
    assert [m.integer("orderId") for m in listed] == [1, 1]
    assert len({m.integer("permId") for m in listed}) == 2
