"""How orders fill, by hand on a market of a few trades; seen by a client, message by message."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.simulator import Simulator
from tests.tws_sim.raw_client import RawClient, names, only
from tests.tws_sim.step_tape import StepTape

THURSDAY, FRIDAY, MONDAY = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 23)

TAPE = StepTape(
    {
        "ACME": [
            (at(THURSDAY, "09:30"), "10.00"),
            (at(THURSDAY, "10:30"), "9.90"),
            (at(THURSDAY, "11:00"), "10.20"),
            (at(FRIDAY, "09:30"), "10.50"),
            (at(FRIDAY, "09:31"), "10.40"),
            (at(MONDAY, "09:30"), "11.00"),
        ],
        # Its Friday opens without a print; the first trade comes at 09:33.
        "BOLT": [(at(THURSDAY, "09:30"), "50.00"), (at(FRIDAY, "09:33"), "51.00")],
    }
)

SHOWN = ["openOrder PreSubmitted", "orderStatus PreSubmitted"]
FILLED = ["execDetails", "openOrder Filled", "orderStatus Filled", "commissionReport"]
WORKING = ["openOrder Submitted", "orderStatus Submitted"]


def market(day: date = THURSDAY, clock: str = "10:00", **settings: Any) -> tuple[Simulator, RawClient]:
    simulator = Simulator(TAPE, SimConfig(**settings), at(day, clock))
    return simulator, RawClient(simulator)


def fill_of(answer: list[Any]) -> tuple[Decimal | None, str]:
    """Return price and time of the one execution."""
    execution = only(answer, "execDetails")
    return execution.number("price"), execution.text("time")


def test_a_market_buy_fills_at_the_ask_in_the_captured_order_of_messages() -> None:
    _, client = market()

    answer = client.order(1)

    assert names(answer) == SHOWN + FILLED
    assert fill_of(answer) == (Decimal("10.01"), "20261119 10:00:00 US/Eastern")
    report = only(answer, "commissionReport")
    # 100 shares at 0.005, the minimum is 1.00; nothing was realized
    assert (report.number("commission"), report.number("realizedPNL")) == (Decimal("1.00"), None)
    final = [m for m in answer if m.name == "orderStatus"][-1]
    assert (final.number("filled"), final.number("remaining"), final.number("avgFillPrice")) == (
        100,
        0,
        Decimal("10.01"),
    )


def test_a_market_sell_fills_at_the_bid() -> None:
    _, client = market()

    assert fill_of(client.order(1, "SELL"))[0] == Decimal("9.99")


def test_without_spread_market_orders_fill_at_the_last_price() -> None:
    _, client = market(spread="none")

    assert fill_of(client.order(1))[0] == Decimal("10.00")


def test_a_closing_trade_reports_what_it_realized() -> None:
    simulator, client = market(spread="none", commissions="bps:5")
    client.order(1)
    simulator.advance_to(at(THURSDAY, "11:00"))

    report = only(client.order(2, "SELL"), "commissionReport")

    # bought 100 at 10.00 for 0.50, sold at 10.20 for 0.51: 20 - 1.01
    assert (report.number("commission"), report.number("realizedPNL")) == (Decimal("0.51"), Decimal("18.99"))


def test_a_marketable_limit_fills_at_once_at_the_quote() -> None:
    _, client = market()

    answer = client.order(1, lmtPrice="10.05")

    assert names(answer) == SHOWN + FILLED
    assert fill_of(answer)[0] == Decimal("10.01")


def test_a_limit_rests_until_the_market_reaches_it() -> None:
    simulator, client = market()

    assert names(client.order(1, lmtPrice="9.95")) == SHOWN + WORKING
    simulator.advance_to(at(THURSDAY, "10:29:59"))
    assert client.read() == []
    simulator.advance_to(at(THURSDAY, "12:00"))

    answer = client.read()
    assert names(answer) == FILLED
    assert fill_of(answer) == (Decimal("9.95"), "20261119 10:30:00 US/Eastern")


def test_a_day_order_ends_with_its_session() -> None:
    simulator, client = market()
    client.order(1, lmtPrice="9.00")

    simulator.advance_to(at(THURSDAY, "16:00"))

    assert names(client.read()) == ["orderStatus Cancelled", "error 202"]
    assert simulator.next_event_ns() is None


def test_a_gtc_order_lives_on_and_fills_at_the_open_it_gaps_through() -> None:
    simulator, client = market(clock="11:30")
    client.order(1, "SELL", lmtPrice="10.45", tif="GTC")

    simulator.advance_to(at(THURSDAY, "23:00"))
    assert "error 202" not in names(client.read())
    simulator.advance_to(at(FRIDAY, "09:30"))

    answer = client.read()
    assert names(answer) == FILLED
    assert fill_of(answer) == (Decimal("10.50"), "20261120 09:30:00 US/Eastern")


def test_immediate_or_cancel_is_immediate_or_cancelled() -> None:
    _, client = market()

    assert names(client.order(1, lmtPrice="9.95", tif="IOC")) == [*SHOWN, "orderStatus Cancelled", "error 202"]
    assert names(client.order(2, lmtPrice="10.01", tif="IOC")) == SHOWN + FILLED


def test_an_order_after_the_close_is_warned_and_fills_at_the_official_open() -> None:
    simulator, client = market(clock="17:00")

    answer = client.order(1)

    assert names(answer) == [*SHOWN, "error 399"]
    assert only(answer, "error").text("text") == (
        "Order Message:\nBUY 100 ACME NASDAQ.NMS\n"
        "Warning: Your order will not be placed at the exchange until 2026-11-20 09:30:00 US/Eastern"
    )
    simulator.advance_to(at(FRIDAY, "09:29:59"))
    assert client.read() == []
    simulator.advance_to(at(FRIDAY, "09:30"))
    answer = client.read()
    assert names(answer) == FILLED
    assert fill_of(answer) == (Decimal("10.50"), "20261120 09:30:00 US/Eastern")


def test_on_friday_evening_the_next_session_is_monday() -> None:
    _, client = market(FRIDAY, "18:00")

    assert "until 2026-11-23 09:30:00 US/Eastern" in only(client.order(1), "error").text("text")


def test_a_limit_waiting_for_the_open_works_from_the_open_on() -> None:
    simulator, client = market(clock="17:00")
    client.order(1, lmtPrice="10.40")

    simulator.advance_to(at(FRIDAY, "09:30"))
    assert names(client.read())[-2:] == WORKING
    simulator.advance_to(at(FRIDAY, "10:00"))

    assert fill_of(client.read()) == (Decimal("10.40"), "20261120 09:31:00 US/Eastern")


def test_an_open_without_a_print_is_tried_again_every_minute() -> None:
    simulator, client = market(clock="17:00", spread="none")
    client.order(1, symbol="BOLT")
    simulator.advance_to(at(FRIDAY, "10:00"))

    # The quote of 09:31 is still Thursday's last trade.
    assert fill_of([m for m in client.read() if m.name == "execDetails"]) == (
        Decimal("50.00"),
        "20261120 09:31:00 US/Eastern",
    )


def test_never_filled_symbols_work_until_their_session_ends() -> None:
    simulator, client = market(never_fill=frozenset({"ACME"}))

    assert names(client.order(1)) == SHOWN + WORKING
    simulator.advance_to(at(THURSDAY, "16:00"))
    assert names(client.read()) == ["orderStatus Cancelled", "error 202"]


def test_a_fill_delay_leaves_time_to_cancel() -> None:
    simulator, client = market(fill_delay_ns=500_000_000)

    assert names(client.order(1)) == SHOWN
    assert names(client.ask("cancelOrder", orderId=1)) == [
        "orderStatus PendingCancel",
        "orderStatus Cancelled",
        "error 202",
    ]
    client.order(2)
    simulator.advance_to(simulator.now_ns + 500_000_000)
    assert names(client.read()) == FILLED


def test_outside_regular_hours_is_ignored_with_a_warning() -> None:
    _, client = market(clock="17:00")

    assert names(client.order(1, outsideRth=True)) == [*SHOWN, "error 2109", "error 399"]


def test_commission_plans() -> None:
    for plan, commission in (("ibkr_fixed", "5"), ("none", "0"), ("bps:5", "5.005")):
        _, client = market(commissions=plan)
        report = only(client.order(1, quantity=1000), "commissionReport")
        # 1000 x 0.005; 5 bps of 1000 x 10.01
        assert report.number("commission") == Decimal(commission), plan


def test_books_follow_every_fill_and_marks_follow_the_market() -> None:
    simulator, client = market(cash=Decimal(10000))
    client.order(1)

    assert simulator.ledgers["DU1234567"].cash == Decimal("8998.00")
    assert simulator.equity() == Decimal("9998.00")
    simulator.advance_to(at(THURSDAY, "11:00"))
    assert simulator.equity() == Decimal("10018.00")
    # Outside the session the mark is the last close.
    simulator.advance_to(at(FRIDAY, "08:00"))
    assert simulator.equity() == Decimal("10018.00")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"commissions": "free"}, "commissions = 'free' is unknown"),
        ({"spread": "wide"}, "spread = 'wide' is unknown"),
        ({"accounts": ()}, "is not a list of account ids"),
        ({"max_server_version": 300}, "max_server_version = 300 is not within 157..225"),
        ({"never_fill": frozenset({"NOPE"})}, "symbol 'NOPE' is not in this market; it knows ACME, BOLT, TWIN"),
        ({"reject": {"ACME": (999, "")}}, "ACME:999 has no words of its own"),
    ],
)
def test_bad_settings_are_refused_with_a_cure(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        market(**settings)
    assert reason in str(caught.value)
