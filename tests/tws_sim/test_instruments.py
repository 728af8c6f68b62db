"""The contract master beside stocks: forex, indices, futures, crypto and options, found, described and served."""

from datetime import date, timedelta
from decimal import Decimal
from math import exp, log, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.barsize import DAY, parse_bar_size
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.tape import Contract, What
from tests.tws_sim.raw_client import RawClient, only

SECOND_NS = 1_000_000_000
TUESDAY = date(2026, 1, 6)
TAPE = seeded_tape(7)
EUR = {"symbol": "EUR", "secType": "CASH", "exchange": "IDEALPRO", "currency": "USD"}
SPX = {"symbol": "SPX", "secType": "IND", "exchange": "CBOE", "currency": "USD"}
ES = {"symbol": "ES", "secType": "FUT", "exchange": "CME", "currency": "USD", "lastTradeDate": "202603"}
BTC = {"symbol": "BTC", "secType": "CRYPTO", "exchange": "PAXOS", "currency": "USD"}
CONTINUOUS = {"symbol": "NQ", "secType": "CONTFUT", "exchange": "CME", "currency": "USD"}
CALL = {"symbol": "AAPL", "secType": "OPT", "exchange": "SMART", "currency": "USD", "lastTradeDate": "20260123",
        "strike": Decimal("172.5"), "right": "C", "multiplier": "100"}  # fmt: skip


def client(clock: str = "10:30", day: date = TUESDAY, **settings: Any) -> tuple[Simulator, RawClient]:
    simulator = Simulator(TAPE, SimConfig(**settings), at(day, clock))
    return simulator, RawClient(simulator)


def details(query: dict[str, Any], **more: Any) -> list[Message]:
    answer = client()[1].ask("reqContractDetails", reqId=1, **(query | more))
    return [m for m in answer if m.name == "contractDetails"]


def contract(query: dict[str, Any]) -> Contract:
    [found] = details(query)
    known = TAPE.directory.by_id(found.integer("conId"))
    assert known is not None
    return known


def error_code(messages: list[Message]) -> int:
    return only(messages, "error").integer("code")


# Finding


@pytest.mark.parametrize(
    ("query", "local", "under"),
    [
        (EUR, "EUR.USD", ""), (SPX, "SPX", ""), (BTC, "BTC.USD", ""), (ES, "ESH6", "SPX"), (CONTINUOUS, "NQH6", "NDX"),
        (CALL, "AAPL  260123C00172500", "AAPL"),
        ({"localSymbol": "EUR.USD", "secType": "CASH", "exchange": "IDEALPRO"}, "EUR.USD", ""),
        ({"localSymbol": "ESH6", "secType": "FUT", "exchange": "CME"}, "ESH6", "SPX"),
        ({"localSymbol": "AAPL  260123C00172500", "secType": "OPT"}, "AAPL  260123C00172500", "AAPL"),
        (CALL | {"right": "CALL"}, "AAPL  260123C00172500", "AAPL"),
    ],
)  # fmt: skip
def test_one_contract_is_found_and_found_again_by_its_id(query: dict[str, Any], local: str, under: str) -> None:
    [found] = details(query)
    assert (found.text("localSymbol"), found.text("underSymbol")) == (local, under)
    assert found.text("secType") == query["secType"]
    again = details({"conId": found.integer("conId"), "secType": query["secType"] if under == "NDX" else ""})
    assert [m.values for m in again] == [found.values]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (EUR | {"exchange": "SMART"}, 200), (EUR | {"currency": "CHF"}, 200), (ES | {"exchange": "SMART"}, 200),
        (ES | {"lastTradeDate": "202601"}, 200), (CALL | {"strike": Decimal("172.6")}, 200),
        (CALL | {"lastTradeDate": "20260122"}, 200), (CALL | {"symbol": "F"}, 200), ({"conId": 2_000_000_005}, 200),
    ],
)  # fmt: skip
def test_what_does_not_exist(query: dict[str, Any], code: int) -> None:
    assert error_code(client()[1].ask("reqContractDetails", reqId=1, **query)) == code


def test_expired_futures_are_shown_to_who_asks_for_them() -> None:
    query = ES | {"lastTradeDate": ""}
    living = [m.text("lastTradeDate") for m in details(query)]
    assert living == ["20260320", "20260619", "20260918", "20261218", "20270319"]
    everything = [m.text("lastTradeDate") for m in details(query, includeExpired=True)]
    assert everything[-5:] == living
    assert everything[:2] == ["20240315", "20240621"]
    assert error_code(client()[1].ask("reqMktData", reqId=1, **query)) == 200  # ambiguous


def test_stocks_have_ids_of_the_world_s_numbering() -> None:
    [found] = details({"symbol": "IBM", "secType": "STK", "exchange": "SMART", "currency": "USD"})
    ids = {row["tag"]: row["value"] for row in found.values["secIdList"]}
    assert set(ids) == {"ISIN", "CUSIP"}
    assert ids["ISIN"][:11] == "US" + ids["CUSIP"]
    for kind, value in ids.items():
        assert [m.text("symbol") for m in details({"secType": "STK"}, secIdType=kind, secId=value)] == ["IBM"]
    # ISO 6166 by hand: letters become two digits, every other digit from the right is doubled.
    digits = "".join(str(int(character, 36)) for character in ids["ISIN"])
    total = sum(sum(divmod(int(digit) * (1 + place % 2), 10)) for place, digit in enumerate(reversed(digits)))
    assert total % 10 == 0
    assert (
        error_code(client()[1].ask("reqContractDetails", reqId=1, secType="STK", secIdType="RIC", secId="IBM")) == 321
    )


def test_hours_and_rules_of_the_classes() -> None:
    [forex], [future], [index], [coin] = details(EUR), details(ES), details(SPX), details(BTC)
    assert forex.text("tradingHours").startswith("20260105:1715-20260106:1700;20260106:1715-20260107:1700;")
    assert "20260110:CLOSED" in forex.text("tradingHours")
    assert future.text("tradingHours").startswith("20260105:1800-20260106:1700;")
    assert index.text("tradingHours") == index.text("liquidHours")
    assert coin.text("tradingHours").startswith("20260106:0000-20260107:0000;20260107:0000-")
    assert [m.number("minTick") for m in (forex, future, coin)] == [
        Decimal("0.00005"),
        Decimal("0.25"),
        Decimal("0.25"),
    ]
    _, asking = client()
    for found in (forex, future, index, coin):
        [rule] = asking.ask("reqMarketRule", marketRuleId=int(found.text("marketRuleIds").split(",")[0]))
        increments = rule.values["increments"]
        assert increments[0]["increment"] == found.number("minTick")


def test_symbols_beside_stocks_are_found_by_their_beginning() -> None:
    [answer] = client()[1].ask("reqMatchingSymbols", reqId=1, pattern="SP")
    rows = {(row["symbol"], row["secType"]): row for row in answer.values["samples"]}
    assert {("SPY", "STK"), ("SPX", "IND")} <= set(rows)
    assert {"secType": "OPT"} in rows["SPY", "STK"]["derivativeSecTypes"]


# Options


def test_option_parameters_name_what_can_be_found() -> None:
    _, asking = client()
    [stock] = [c for c in TAPE.contracts() if (c.symbol, c.currency) == ("AAPL", "USD")]
    request = {"underlyingSymbol": "AAPL", "underlyingSecType": "STK", "underlyingConId": stock.con_id}
    *chains, end = asking.ask("reqSecDefOptParams", reqId=1, **request)
    assert end.name == "securityDefinitionOptionParameterEnd"
    assert "SMART" in [m.text("exchange") for m in chains]
    days = [row["expiration"] for row in chains[0].values["expirations"]]
    assert days == sorted(set(days))
    assert days[0] == "20260109"
    assert "20260618" in days  # the third Friday of June 2026 is a holiday
    strikes = [float(row["strike"]) for row in chains[0].values["strikes"]]
    spot = TAPE.quote(stock, at(TUESDAY, "10:30"))
    assert spot is not None
    assert strikes[0] < 0.9 * float(spot.last) < 1.1 * float(spot.last) < strikes[-1]
    found = details({**CALL, "strike": None, "right": "", "lastTradeDate": days[0]})
    assert {m.text("right") for m in found} == {"C", "P"}
    assert {float(m.number("strike") or 0) for m in found} <= set(strikes)
    assert error_code(asking.ask("reqSecDefOptParams", reqId=2, **(request | {"underlyingConId": 1}))) == 321


def test_puts_and_calls_are_in_parity_at_the_end_of_each_minute() -> None:
    [stock] = [c for c in TAPE.contracts() if (c.symbol, c.currency) == ("AAPL", "USD")]
    options = [contract(CALL | {"right": right}) for right in ("C", "P")]
    size = parse_bar_size("1 min")
    assert size is not None
    found = [
        TAPE.bars(c, size, What.TRADES, at(TUESDAY, "10:00"), at(TUESDAY, "11:00"), True) for c in (*options, stock)
    ]
    call, put, under = (bars.close for bars in found if bars is not None)
    # Call - put = spot - discounted strike, within the cents both are rounded to; 17 and a quarter days are left.
    expected = under - 172.5 * np.exp(-0.04 * 17.25 / 365)
    assert np.abs(call - put - expected).max() <= 0.011


def test_greeks_have_their_signs() -> None:
    _, asking = client()
    values: dict[str, dict[str, Any]] = {}
    for right in ("C", "P"):
        answer = asking.ask("reqMktData", reqId=1 if right == "C" else 2, **(CALL | {"right": right}))
        computed = {m.integer("tickType"): m.values for m in answer if m.name == "tickOptionComputation"}
        assert set(computed) == {10, 11, 12, 13}
        assert computed[10]["optPrice"] <= computed[13]["optPrice"] <= computed[11]["optPrice"]
        values[right] = computed[13]
    call, put = values["C"], values["P"]
    assert 0 < call["delta"] < 1
    assert -1 < put["delta"] < 0
    # Within a minute call and put trade at moments of their own, so their volatilities differ a little.
    assert float(call["delta"]) - float(put["delta"]) == pytest.approx(1.0, abs=0.05)
    assert call["gamma"] > 0
    assert call["vega"] > 0
    assert call["theta"] < 0


def test_calculations_undo_each_other() -> None:
    _, asking = client()
    [priced] = asking.ask("calculateOptionPrice", reqId=1, volatility=Decimal("0.25"), underPrice=Decimal(175), **CALL)
    assert priced.integer("tickType") == 53
    # Black and Scholes in the textbook's words: S 175, K 172.5, 17.25 days, r 4 %, sigma 25 %.
    years = 17.25 / 365
    d1 = (log(175 / 172.5) + (0.04 + 0.25**2 / 2) * years) / (0.25 * sqrt(years))
    call = 175 * NormalDist().cdf(d1) - 172.5 * exp(-0.04 * years) * NormalDist().cdf(d1 - 0.25 * sqrt(years))
    assert float(priced.number("optPrice") or 0) == pytest.approx(call, abs=1e-4)
    assert float(priced.number("delta") or 0) == pytest.approx(NormalDist().cdf(d1), abs=1e-3)
    [back] = asking.ask(
        "calculateImpliedVolatility", reqId=2, optionPrice=priced.number("optPrice"), underPrice=Decimal(175), **CALL
    )
    assert back.number("impliedVol") == pytest.approx(Decimal("0.25"), abs=Decimal("0.0005"))
    stock = {"symbol": "AAPL", "secType": "STK", "exchange": "SMART", "currency": "USD"}
    assert (
        error_code(asking.ask("calculateOptionPrice", reqId=3, volatility=1, underPrice=Decimal(175), **stock)) == 321
    )


def test_option_bars_follow_the_underlying() -> None:
    option = contract(CALL)
    [stock] = [c for c in TAPE.contracts() if (c.symbol, c.currency) == ("AAPL", "USD")]
    size = parse_bar_size("5 mins")
    assert size is not None
    start, end = at(TUESDAY, "09:30"), at(TUESDAY, "16:00")
    mine, under = (TAPE.bars(c, size, What.TRADES, start, end, True) for c in (option, stock))
    assert mine is not None
    assert under is not None
    assert np.corrcoef(mine.close, under.close)[0, 1] > 0.99
    days = TAPE.bars(option, DAY, What.TRADES, at(TUESDAY, "00:00"), at(TUESDAY, "20:00"), True)
    assert days is not None
    traded = mine.volume > 0
    assert (mine.open[traded][0], mine.high.max(), mine.low.min(), mine.close[-1], mine.volume.sum()) == (
        days.open[0], days.high[0], days.low[0], days.close[0], days.volume[0],
    )  # fmt: skip


# Serving


@pytest.mark.parametrize(("query", "day"), [(EUR, date(2026, 1, 5)), (ES, date(2026, 1, 5)), (BTC, date(2026, 1, 3))])
@pytest.mark.parametrize("text", ["1 min", "1 hour"])
def test_a_day_around_the_clock_is_the_sum_of_its_parts(query: dict[str, Any], day: date, text: str) -> None:
    size = parse_bar_size(text)
    assert size is not None
    known = contract(query)
    opens, closes = {
        "CASH": (at(day - timedelta(days=1), "17:15"), at(day, "17:00")),
        "FUT": (at(day - timedelta(days=1), "18:00"), at(day, "17:00")),
        "CRYPTO": (at(day, "00:00"), at(day + timedelta(days=1), "00:00")),
    }[known.sec_type]
    what = What.MIDPOINT if known.sec_type == "CASH" else What.TRADES
    parts = TAPE.bars(known, size, what, opens, closes, True)
    whole = TAPE.bars(known, DAY, what, at(day, "00:00"), closes, True)
    assert parts is not None
    assert whole is not None
    assert parts.start_ns[0] == opens
    assert (parts.open[0], parts.high.max(), parts.low.min(), parts.close[-1]) == (
        whole.open[0], whole.high[0], whole.low[0], whole.close[0],
    )  # fmt: skip
    if what is What.TRADES:
        assert parts.volume.sum() == whole.volume[0]
    assert str(whole.start_ns[0].astype("datetime64[ns]").astype("datetime64[D]")) == day.isoformat()
    hours = {"CASH": 24, "FUT": 23, "CRYPTO": 24}[known.sec_type]
    assert len(parts) == (hours if text == "1 hour" else round((closes - opens) / (60 * SECOND_NS)))


def test_a_future_is_its_index_and_the_cost_of_carrying_it() -> None:
    future, index = contract(ES), contract(SPX)
    now = at(TUESDAY, "10:30")
    for moment in (now, at(TUESDAY, "15:00")):
        mine, under = TAPE.quote(future, moment), TAPE.quote(index, moment)
        assert mine is not None
        assert under is not None
        # 73 days to the third Friday of March at 4 %; both move on within the minute.
        assert float(mine.last / under.last) == pytest.approx(1 + 0.04 * 73 / 365, abs=5e-4)
    night = TAPE.quote(future, at(TUESDAY, "03:00"))
    assert night is not None
    assert night.is_open


@pytest.mark.parametrize(
    ("query", "ticks", "absent"),
    [(EUR, {0, 1, 2, 3, 9}, {4, 5, 8}), (SPX, {4, 6, 7, 9, 14}, {0, 1, 2, 3, 5, 8}), (ES, {0, 1, 2, 3, 4, 5, 8}, set()),
     (BTC, {1, 2, 4, 8}, set())],
)  # fmt: skip
def test_level_1_of_each_class(query: dict[str, Any], ticks: set[int], absent: set[int]) -> None:
    answer = client()[1].ask("reqMktData", reqId=1, **query)
    kinds = {m.integer("tickType") for m in answer if m.name in ("tickPrice", "tickSize")}
    assert ticks <= kinds
    assert not kinds & absent


@pytest.mark.parametrize(
    ("query", "what", "end", "code"),
    [
        (EUR, "TRADES", "", 162), (EUR, "MIDPOINT", "", None), (EUR, "BID_ASK", "20260106 10:00:00 US/Eastern", None),
        (SPX, "TRADES", "", None), (SPX, "MIDPOINT", "", 162), (BTC, "TRADES", "", 10299), (BTC, "AGGTRADES", "", None),
        (CONTINUOUS, "TRADES", "20260106 10:00:00 US/Eastern", 10339), (CONTINUOUS, "TRADES", "", None),
        (CALL, "TRADES", "", None),
    ],
)  # fmt: skip
def test_history_of_each_class(query: dict[str, Any], what: str, end: str, code: int | None) -> None:
    answer = client()[1].ask(
        "reqHistoricalData", reqId=1, endDateTime=end, barSize="1 hour", duration="2 D", useRth=False,
        whatToShow=what, formatDate=1, **query,
    )  # fmt: skip
    if code is not None:
        assert error_code(answer) == code
        return
    bars = only(answer, "historicalData").values["bars"]
    assert len(bars) > 6
    if query is SPX:
        assert {bar["volume"] for bar in bars} == {0}


def test_forex_days_end_on_the_evening_before_the_weekend() -> None:
    _, asking = client("12:00", date(2026, 1, 11))  # a Sunday
    answer = asking.ask("reqHistoricalData", reqId=1, endDateTime="", barSize="1 day", duration="5 D", useRth=True,
                        whatToShow="MIDPOINT", formatDate=1, **EUR)  # fmt: skip
    dates = [bar["date"] for bar in only(answer, "historicalData").values["bars"]]
    assert dates == ["20260105", "20260106", "20260107", "20260108", "20260109"]


def test_a_schedule_has_the_sessions_of_the_contract() -> None:
    _, asking = client("12:00", date(2025, 12, 1))
    request = {"barSize": "1 day", "duration": "5 D", "whatToShow": "SCHEDULE", "useRth": True, "formatDate": 1}
    stock = {"symbol": "AAPL", "secType": "STK", "exchange": "SMART", "currency": "USD"}
    schedule = only(asking.ask("reqHistoricalData", reqId=1, endDateTime="", **request, **stock), "historicalSchedule")
    # Thanksgiving is closed, the Friday after it ends at one.
    assert [tuple(row.values()) for row in schedule.values["sessions"]] == [
        ("20251124-09:30:00", "20251124-16:00:00", "20251124"),
        ("20251125-09:30:00", "20251125-16:00:00", "20251125"),
        ("20251126-09:30:00", "20251126-16:00:00", "20251126"),
        ("20251128-09:30:00", "20251128-13:00:00", "20251128"),
        ("20251201-09:30:00", "20251201-16:00:00", "20251201"),
    ]
    assert schedule.text("timeZone") == "US/Eastern"
    refused = asking.ask("reqHistoricalData", reqId=2, endDateTime="", **(request | {"barSize": "1 hour"}), **stock)
    assert error_code(refused) == 321
    forex = only(asking.ask("reqHistoricalData", reqId=3, endDateTime="", **request, **EUR), "historicalSchedule")
    assert forex.values["sessions"][0]["start"] == "20251124-17:15:00"


def test_running_bars_begin_with_an_empty_answer_where_there_is_nothing_yet() -> None:
    simulator, asking = client("09:29:58")
    answer = asking.ask(
        "reqHistoricalData", reqId=1, endDateTime="", barSize="5 secs", duration="1 S", useRth=True,
        whatToShow="TRADES", formatDate=2, keepUpToDate=True, symbol="AAPL", secType="STK", exchange="SMART",
        currency="USD",
    )  # fmt: skip
    assert [m.name for m in answer] == ["historicalData"]
    simulator.advance_to(at(TUESDAY, "09:30:12"))
    updates = [m for m in asking.read() if m.name == "historicalDataUpdate"]
    starts = [int(m.text("date")) - at(TUESDAY, "09:30") // SECOND_NS for m in updates]
    assert sorted(set(starts) & {0, 5, 10}) == [0, 5, 10]


def test_a_histogram_has_the_volume_of_its_days() -> None:
    _, asking = client("16:30")
    stock = {"symbol": "AAPL", "secType": "STK", "exchange": "SMART", "currency": "USD"}
    [answer] = asking.ask("reqHistogramData", reqId=1, useRth=True, timePeriod="3 days", **stock)
    prices = [row["price"] for row in answer.values["entries"]]
    assert prices == sorted(set(prices))
    [aapl] = [c for c in TAPE.contracts() if (c.symbol, c.currency) == ("AAPL", "USD")]
    days = TAPE.bars(aapl, DAY, What.TRADES, at(TUESDAY, "00:00"), at(TUESDAY, "16:30"), True)
    assert days is not None
    assert sum(row["size"] for row in answer.values["entries"]) >= days.volume[-1]
