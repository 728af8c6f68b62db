"""What a client is answered: greeting, accounts, positions, profit, contracts, orders and every refusal."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.requests import REFUSED, REQUEST_NAMES
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.wire import encode_frame
from tests.tws_sim.raw_client import RawClient, hello, names, only, split_answers
from tests.tws_sim.step_tape import StepTape

THURSDAY, FRIDAY = date(2026, 11, 19), date(2026, 11, 20)
WEDNESDAY = date(2026, 11, 18)
TAPE = StepTape(
    {
        "ACME": [
            (at(WEDNESDAY, "09:30"), "9.00"),
            (at(THURSDAY, "09:30"), "10.00"),
            (at(THURSDAY, "11:00"), "10.20"),
            (at(FRIDAY, "09:30"), "10.50"),
        ],
        "BOLT": [(at(WEDNESDAY, "09:30"), "50.00")],
    }
)


def market(clock: str = "10:00", **settings: Any) -> Simulator:
    return Simulator(TAPE, SimConfig(**settings), at(THURSDAY, clock))


def error_of(answer: list[Message]) -> tuple[int, int, str]:
    """Return id, code and text of an answer that is one error."""
    assert [message.name for message in answer] == ["error"], names(answer)
    return answer[0].integer("reqId"), answer[0].integer("code"), answer[0].text("text")


# Handshake


def test_the_server_is_silent_between_its_version_and_the_start() -> None:
    simulator = market()
    session = simulator.connect()

    session.receive(hello())
    [version] = split_answers(session.data_to_send())
    assert version == ("178", "20261119 10:00:00 EST")
    simulator.advance_to(at(THURSDAY, "12:00"))
    assert session.data_to_send() == b""


def test_the_greeting_has_accounts_next_id_and_farms_in_the_captured_order() -> None:
    client = RawClient(market(accounts=("DU1", "DU2")))

    assert names(client.greeting) == ["managedAccounts", "nextValidId", "error 2104", "error 2106", "error 2158"]
    assert client.greeting[0].text("accounts") == "DU1,DU2"
    assert client.greeting[1].integer("orderId") == 1
    assert {message.integer("reqId") for message in client.greeting[2:]} == {-1}


@pytest.mark.parametrize(
    ("minimum", "maximum", "version"),
    [(100, 157, 157), (157, 176, 176), (100, 225, 225), (157, 158, 157), (163, 163, 163)],
)
def test_the_highest_common_version_is_taken_but_never_158(minimum: int, maximum: int, version: int) -> None:
    session = market().connect()

    session.receive(hello(minimum, maximum))

    assert session.version == version
    assert not session.is_closed


def test_clients_too_old_and_too_new_are_closed_with_a_reason() -> None:
    for minimum, maximum, reason in ((100, 150, "at least 157"), (226, 230, "needs version 226")):
        session = market().connect()
        session.receive(hello(minimum, maximum))
        assert session.is_closed
        assert reason in session.close_reason
    # The one too new is told our version all the same, so that it can say why it leaves.
    assert split_answers(session.data_to_send())[0][0] == "225"


def test_a_client_id_in_use_is_refused_with_326_and_closed() -> None:
    simulator = market()
    RawClient(simulator, 5)

    second = RawClient(simulator, 5)

    assert error_of(second.greeting)[:2] == (-1, 326)
    assert second.session.is_closed
    third = RawClient(simulator, 6)
    assert not third.session.is_closed


def test_a_client_id_is_free_again_after_its_session() -> None:
    simulator = market()
    RawClient(simulator, 5).session.receive_eof()

    assert RawClient(simulator, 5).greeting[0].name == "managedAccounts"


def test_a_request_before_the_start_closes() -> None:
    session = market().connect()
    session.receive(hello() + encode_frame(["49", "1"]))

    assert session.is_closed
    assert "expected START_API" in session.close_reason


def test_received_frames_are_counted_by_name() -> None:
    simulator = market(read_only=True)
    client = RawClient(simulator)
    client.order(1)
    client.order(2)
    client.session.receive(encode_frame(["999"]) + encode_frame(["3", "rubbish"]))

    assert dict(simulator.counters) == {"startApi": 1, "placeOrder": 3, "unknown": 1}


def test_frames_beyond_fifty_a_second_are_counted() -> None:
    simulator = market()
    client = RawClient(simulator)
    # With the start these are 50 within the second.
    for _ in range(49):
        client.ask("reqCurrentTime")
    assert simulator.frames_over_pace == 0
    client.ask("reqCurrentTime")
    assert simulator.frames_over_pace == 1
    simulator.advance_to(simulator.now_ns + 1_000_000_000)
    client.ask("reqCurrentTime")
    assert simulator.frames_over_pace == 1


# Refusals


def test_nothing_is_met_with_silence() -> None:
    """Every request of the table is answered, or is one of the few that TWS takes without a word."""
    silent = {"setServerLogLevel", "cancelPositions", "reqGlobalCancel", "reqAutoOpenOrders", "cancelHeadTimeStamp",
              "cancelAccountSummary", "cancelPositionsMulti", "cancelAccountUpdatesMulti", "cancelPnL",
              "cancelPnLSingle", "reqMarketDataType", "cancelContractData", "cancelHistoricalTicks",
              "cancelFundamentalData", "cancelWshMetaData", "cancelWshEventData", "reqNewsBulletins",
              "cancelNewsBulletins", "cancelCalculateImpliedVolatility", "cancelCalculateOptionPrice"}  # fmt: skip
    for name in sorted(set(REQUEST_NAMES) - {"startApi"}):
        client = RawClient(market(), client_id=0)
        values = {"reqId": 7, "orderId": 7, "subscribe": True, "marketDataType": 1, "autoBind": True, "symbol": "ACME"}
        answer = client.ask(name, **values, secType="STK", exchange="SMART", currency="USD", rest=[])
        assert bool(answer) is (name not in silent), (name, names(answer))


def test_refused_requests_carry_their_id() -> None:
    client = RawClient(market())
    for name in REFUSED:
        req_id, code, text = error_of(client.ask(name, reqId=31, rest=["x"]))
        has_id = any(getattr(item, "name", "") == "reqId" for item in REQUEST_NAMES[name].items)
        assert (req_id, code) == (31 if has_id else -1, 321)
        assert name in text


def test_unknown_and_unreadable_messages_are_answered() -> None:
    client = RawClient(market())
    cases = {
        ("999", "1"): (-1, 505),
        ("x",): (-1, 505),
        ("",): (-1, 505),
        ("71", "2", "1", ""): (-1, 321),
        ("9", "8", "55", "x"): (55, 320),
        ("4", "1", "66"): (66, 320),
        ("62", "1", "77", "All"): (77, 320),
    }
    for fields, expected in cases.items():
        client.session.receive(encode_frame(fields))
        assert error_of(client.read())[:2] == expected, fields


# Accounts


def test_account_updates_end_and_then_follow_fills() -> None:
    simulator = market(positions={"BOLT": (Decimal(10), Decimal("49.5"))})
    client = RawClient(simulator)

    answer = client.ask("reqAccountUpdates", subscribe=True, account="DU1234567")

    assert names(answer)[-2:] == ["updateAccountTime", "accountDownloadEnd"]
    row = only(answer, "updatePortfolio")
    assert (row.text("symbol"), row.number("position"), row.number("averageCost")) == ("BOLT", 10, Decimal("49.5"))
    values = {
        m.text("key"): m.text("value")
        for m in answer
        if m.name == "updateAccountValue" and m.text("currency") != "BASE"
    }
    assert (values["NetLiquidation"], values["AccountReady"]) == ("1000500.00", "true")

    answer = client.order(1)
    row = only(answer, "updatePortfolio")
    assert (row.text("symbol"), row.number("position"), row.number("marketPrice")) == ("ACME", 100, Decimal("10.00"))
    changed = {m.text("key") for m in answer if m.name == "updateAccountValue"}
    assert "TotalCashValue" in changed
    assert "AccountReady" not in changed

    client.ask("reqAccountUpdates", subscribe=False, account="DU1234567")
    assert "updatePortfolio" not in names(client.order(2))


def test_account_values_are_refreshed_every_three_minutes_if_they_changed() -> None:
    simulator = market("10:58")
    client = RawClient(simulator)
    client.order(1)
    client.ask("reqAccountUpdates", subscribe=True, account="")

    simulator.advance_to(at(THURSDAY, "11:00:59"))
    assert client.read() == []
    simulator.advance_to(at(THURSDAY, "11:01"))
    answer = client.read()
    assert only(answer, "updatePortfolio").number("marketPrice") == Decimal("10.20")
    simulator.advance_to(at(THURSDAY, "11:04"))
    assert names(client.read()) == ["updateAccountTime"]


def test_account_summary_is_alphabetical_limited_to_two_and_can_be_cancelled() -> None:
    client = RawClient(market(accounts=("DU1", "DU2")))

    answer = client.ask("reqAccountSummary", reqId=1, group="All", tags="TotalCashValue,NetLiquidation,$LEDGER:USD")

    rows = [
        (m.text("account"), m.text("tag"))
        for m in answer
        if m.name == "accountSummary" and m.text("tag") in ("NetLiquidation", "TotalCashValue")
    ]
    assert rows == [(a, t) for a in ("DU1", "DU2") for t in ("NetLiquidation", "TotalCashValue")]
    assert "CashBalance" in {m.text("tag") for m in answer}
    assert names(answer)[-1] == "accountSummaryEnd"
    assert client.ask("reqAccountSummary", reqId=2, group="All", tags="Cushion")[-1].name == "accountSummaryEnd"
    assert error_of(client.ask("reqAccountSummary", reqId=3, group="All", tags="Cushion"))[:2] == (3, 322)
    client.ask("cancelAccountSummary", reqId=1)
    assert client.ask("reqAccountSummary", reqId=3, group="All", tags="Cushion")[-1].name == "accountSummaryEnd"


def test_positions_are_listed_then_followed_until_cancelled() -> None:
    simulator = market()
    client, watcher = RawClient(simulator, 1), RawClient(simulator, 2)

    assert names(watcher.ask("reqPositions")) == ["positionEnd"]
    assert names(watcher.ask("reqPositionsMulti", reqId=5, account="DU1234567")) == ["positionMultiEnd"]
    client.order(1)
    update = watcher.read()
    assert names(update) == ["position", "positionMulti"]
    assert (update[0].number("position"), update[0].number("avgCost")) == (100, Decimal("10.02"))
    client.order(2, "SELL")
    assert [m.number("position") for m in watcher.read()] == [0, 0]
    watcher.ask("cancelPositions")
    watcher.ask("cancelPositionsMulti", reqId=5)
    client.order(3)
    assert watcher.read() == []
    assert names(client.ask("reqPositions")) == ["position", "positionEnd"]


def test_profit_streams_once_a_second() -> None:
    simulator = market(positions={"ACME": (Decimal(10), Decimal("8.00"))})
    client = RawClient(simulator)

    [first] = client.ask("reqPnL", reqId=1, account="DU1234567")
    # 10 shares: yesterday's close 9.00, now 10.00, cost 8.00
    assert (first.number("daily"), first.number("unrealized"), first.number("realized")) == (10, 20, 0)
    [single] = client.ask("reqPnLSingle", reqId=2, account="DU1234567", conId=101)
    assert (single.number("position"), single.number("daily"), single.number("value")) == (10, 10, 100)
    [none] = client.ask("reqPnLSingle", reqId=3, account="DU1234567", conId=102)
    assert none.number("position") == 0
    simulator.advance_to(simulator.now_ns + 3_000_000_000)
    assert names(client.read()) == ["pnl", "pnlSingle", "pnlSingle"] * 3
    for req_id, name in ((1, "cancelPnL"), (2, "cancelPnLSingle"), (3, "cancelPnLSingle")):
        client.ask(name, reqId=req_id)
    assert simulator.next_event_ns() is None


def test_unknown_accounts_are_refused() -> None:
    client = RawClient(market())
    for name, values in (
        ("reqAccountUpdates", {"subscribe": True}),
        ("reqAccountUpdatesMulti", {"reqId": 1}),
        ("reqPositionsMulti", {"reqId": 1}),
        ("reqPnL", {"reqId": 1}),
        ("reqPnLSingle", {"reqId": 1, "conId": 101}),
    ):
        assert error_of(client.ask(name, account="U999", **values))[1:] == (
            321, f"Error validating request.-'{name}' : cause - Invalid account code 'U999'.",
        )  # fmt: skip


def test_everything_a_client_subscribed_to_ends_with_its_session() -> None:
    simulator = market()
    client = RawClient(simulator)
    client.ask("reqPnL", reqId=1, account="")
    client.ask("reqAccountUpdates", subscribe=True, account="")
    client.ask("reqMktData", reqId=2, conId=101)
    client.session.receive_eof()

    assert simulator.next_event_ns() is None


# Contracts and quotes


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"symbol": "ACME", "secType": "STK", "exchange": "SMART", "currency": "USD"}, [101]),
        ({"conId": 101}, [101]),
        ({"conId": 101, "exchange": "NASDAQ"}, [101]),
        ({"symbol": "acme", "secType": "STK"}, [101]),
        ({"localSymbol": "BOLT", "secType": "STK"}, [102]),
        ({"symbol": "TWIN", "secType": "STK"}, [201, 202]),
        ({"symbol": "TWIN", "secType": "STK", "currency": "CAD"}, [202]),
        ({"symbol": "TWIN", "secType": "STK", "primaryExchange": "NASDAQ"}, [201]),
    ],
)
def test_contracts_are_found_by_what_is_known_of_them(query: dict[str, Any], found: list[int]) -> None:
    answer = RawClient(market()).ask("reqContractDetails", reqId=9, **query)

    assert [m.integer("conId") for m in answer[:-1]] == found
    assert answer[-1].name == "contractDetailsEnd"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"symbol": "NOPE", "secType": "STK"}, 200),
        ({"conId": 999}, 200),
        ({"conId": 101, "exchange": "LSE"}, 200),
        ({"symbol": "ACME", "secType": "OPT"}, 200),
        ({"symbol": "ACME", "secType": "STK", "currency": "EUR"}, 200),
        ({"symbol": "ACME", "secType": "SHARE"}, 321),
        ({"symbol": "ACME"}, 321),
    ],
)
def test_contracts_that_do_not_exist_are_refused_with_the_request_id(query: dict[str, Any], code: int) -> None:
    assert error_of(RawClient(market()).ask("reqContractDetails", reqId=9, **query))[:2] == (9, code)


def test_details_say_what_may_be_done() -> None:
    details = only(RawClient(market()).ask("reqContractDetails", reqId=9, conId=101), "contractDetails")

    assert (details.text("longName"), details.number("minTick")) == ("Acme Käse AG", Decimal("0.01"))
    assert details.text("validExchanges") == "SMART,NASDAQ"
    assert details.text("marketRuleIds") == "26,26"
    assert details.text("liquidHours").startswith("20261119:0930-20261119:1600;20261120:0930-")
    [rule] = RawClient(market()).ask("reqMarketRule", marketRuleId=26)
    assert rule.values["increments"] == [
        {"lowEdge": 0, "increment": Decimal("0.0001")},
        {"lowEdge": 1, "increment": Decimal("0.01")},
    ]


def test_symbols_are_found_by_their_beginning_and_by_name() -> None:
    client = RawClient(market())

    for pattern, symbols in (("AC", ["ACME"]), ("käse", ["ACME"]), ("T", ["TWIN", "TWIN"]), ("zzz", []), ("", [])):
        [answer] = client.ask("reqMatchingSymbols", reqId=1, pattern=pattern)
        assert [row["symbol"] for row in answer.values["samples"]] == symbols, pattern


def test_a_snapshot_ends_and_a_subscription_sends_what_changes() -> None:
    simulator = market("10:59:58")
    client = RawClient(simulator)

    answer = client.ask("reqMktData", reqId=1, conId=101, snapshot=True)
    assert names(answer)[-1] == "tickSnapshotEnd"
    prices = {m.integer("tickType"): m.number("price") for m in answer if m.name == "tickPrice"}
    assert (prices[1], prices[2], prices[4]) == (Decimal("9.99"), Decimal("10.01"), Decimal("10.00"))

    client.ask("reqMktData", reqId=2, conId=101)
    simulator.advance_to(at(THURSDAY, "10:59:59"))
    assert client.read() == []
    simulator.advance_to(at(THURSDAY, "11:00"))
    assert {m.integer("tickType") for m in client.read()} >= {1, 2, 4, 6}
    client.ask("cancelMktData", reqId=2)
    assert error_of(client.ask("cancelMktData", reqId=2))[:2] == (2, 300)


def test_a_symbol_without_data_is_refused_with_354() -> None:
    client = RawClient(market())

    assert error_of(client.ask("reqMktData", reqId=1, conId=201))[:2] == (1, 354)


def test_the_time_is_the_simulated_one() -> None:
    simulator = market()
    simulator.advance_to(at(THURSDAY, "10:00:05"))

    [answer] = RawClient(simulator).ask("reqCurrentTime")

    assert answer.integer("time") == at(THURSDAY, "10:00:05") // 1_000_000_000


def test_history_the_market_cannot_serve_is_refused() -> None:
    client = RawClient(market())
    values = {"conId": 101, "duration": "1 D", "barSize": "1 day", "whatToShow": "TRADES", "formatDate": 1}

    assert error_of(client.ask("reqHistoricalData", reqId=1, **values))[:2] == (1, 162)
    assert error_of(client.ask("reqHistoricalData", reqId=2, **(values | {"conId": 9})))[:2] == (2, 200)
    assert error_of(client.ask("reqHistoricalData", reqId=3, **(values | {"barSize": "7 mins"})))[:2] == (3, 321)
    assert error_of(client.ask("cancelHistoricalData", reqId=1)) == (
        1,
        366,
        "No historical data query found for ticker id:1",
    )


def test_an_observer_is_told_when_the_messages_have_gone_out() -> None:
    simulator = market()
    client = RawClient(simulator)
    lines: list[str] = []
    put_off: list[Callable[[], None]] = []

    class Later:
        def cancel(self) -> None:
            put_off.clear()

    def defer(work: Callable[[], None]) -> Later:
        put_off.append(work)
        return Later()

    simulator.observer, simulator.defer = lines.append, defer
    assert "execDetails" in names(client.order(1))
    assert lines == []

    [work] = put_off
    work()
    assert [line.partition(": ")[2] for line in lines] == ["PreSubmitted", "Filled at 10.01"]

    client.order(2)
    simulator.advance_to(simulator.now_ns + 1)
    # Before time moves on: a line is shown beside the moment it is about.
    assert len(lines) == 4


def test_an_observer_hears_of_clients_and_orders() -> None:
    simulator = market()
    lines: list[str] = []
    simulator.observer = lines.append
    client = RawClient(simulator)
    client.order(1)
    client.session.receive_eof()

    assert lines[0] == "client 1 connected, server version 178"
    assert lines[1] == "order 1/1 BUY 100 ACME MKT DAY: PreSubmitted"
    assert lines[2] == "order 1/1 BUY 100 ACME MKT DAY: Filled at 10.01"
    assert lines[3] == "client 1 disconnected"
