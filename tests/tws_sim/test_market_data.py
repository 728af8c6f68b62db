"""Market data as a client sees it: every view of the tape agrees with every other one, message by message."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.refdata.sessions import at, exchange_date
from quant_trading.tws_sim.barsize import DAY
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.halts import Halt
from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.tape import What
from quant_trading.tws_sim.times import to_utc
from tests.examples import is_fast
from tests.tws_sim.raw_client import RawClient, names, only

SECOND_NS = 1_000_000_000
DAY_ONE = date(2025, 10, 8)
TAPE = seeded_tape(7)


def opened(clock: str = "10:00", tape: SeriesTape = TAPE, **settings: Any) -> tuple[Simulator, RawClient]:
    simulator = Simulator(tape, SimConfig(**settings), at(DAY_ONE, clock))
    return simulator, RawClient(simulator)


def stock(symbol: str = "AAPL") -> dict[str, Any]:
    return {"symbol": symbol, "secType": "STK", "exchange": "SMART", "currency": "USD"}


def ticks(messages: list[Message]) -> dict[int, Any]:
    """Return the latest value of each tick type."""
    found: dict[int, Any] = {}
    for m in messages:
        if m.name == "tickPrice":
            found[m.integer("tickType")] = m.number("price")
        elif m.name == "tickSize":
            found[m.integer("tickType")] = m.number("size")
        elif m.name in ("tickGeneric", "tickString"):
            found[m.integer("tickType")] = m.values["value"]
    return found


def error_code(messages: list[Message]) -> int:
    return only(messages, "error").integer("code")


# Level 1, ticks and bars of the same seconds


@settings(max_examples=4 if is_fast() else 12, deadline=None)
@given(st.sampled_from(["AAPL", "WEBL"]), st.integers(0, 380))
def test_trades_bars_and_quotes_agree_over_the_wire(symbol: str, minute: int) -> None:
    simulator = Simulator(TAPE, SimConfig(), at(DAY_ONE, "09:30") + minute * 60 * SECOND_NS)
    client = RawClient(simulator)
    start = simulator.now_ns
    client.ask("reqTickByTickData", reqId=1, tickType="AllLast", **stock(symbol))
    client.ask("reqRealTimeBars", reqId=2, barSize=5, whatToShow="TRADES", useRth=True, **stock(symbol))
    seen = ticks(client.ask("reqMktData", reqId=3, **stock(symbol)))
    volume_before = seen[8]
    trades, bars = [], []
    for _ in range(60):
        simulator.advance_to(simulator.now_ns + SECOND_NS)
        messages = client.read()
        trades += [m for m in messages if m.name == "tickByTick"]
        bars += [m for m in messages if m.name == "realtimeBar"]
        seen |= ticks(messages)
    assert [bar.integer("time") for bar in bars] == [start // SECOND_NS + 5 * n for n in range(12)]
    for bar in bars:
        begin = bar.integer("time")
        mine = [m for m in trades if begin <= m.integer("time") < begin + 5]
        assert bar.number("volume") == sum(m.values["size"] for m in mine)
        assert bar.integer("count") == len(mine)
        if mine:
            prices = [m.values["price"] for m in mine]
            four = [bar.number(name) for name in ("open", "high", "low", "close")]
            assert four == [prices[0], max(prices), min(prices), prices[-1]]
    # Level 1 stands one second further on: what happens at a full second is told by it at once.
    told = client.ask("reqHistoricalTicks", reqId=4, startDateTime=_utc(start), numberOfTicks=1000,
                      whatToShow="TRADES", useRth=True, **stock(symbol))  # fmt: skip
    history = only(told, "historicalTicksLast").values["ticks"]
    assert [(row["time"], row["price"], row["size"]) for row in history] == [
        (m.integer("time"), m.values["price"], m.values["size"]) for m in trades[: len(history)]
    ]
    simulator.advance_to(simulator.now_ns + SECOND_NS)
    trades += [m for m in client.read() if m.name == "tickByTick"]
    later = [m for m in trades if m.integer("time") > start // SECOND_NS]
    assert volume_before + sum(m.values["size"] for m in later) == seen[8]
    if trades:
        assert seen[4] == trades[-1].values["price"]


def _utc(ns: int) -> str:
    return f"{to_utc(ns):%Y%m%d-%H:%M:%S}"


def test_minutes_served_are_five_second_bars_added_up() -> None:
    simulator, client = opened()
    client.ask("reqRealTimeBars", reqId=1, barSize=5, whatToShow="TRADES", useRth=True, **stock())
    simulator.advance_to(at(DAY_ONE, "10:03"))
    bars = [m for m in client.read() if m.name == "realtimeBar"]
    answer = client.ask(
        "reqHistoricalData", reqId=2, endDateTime="", barSize="1 min", duration="180 S", useRth=True,
        whatToShow="TRADES", formatDate=2, **stock(),
    )  # fmt: skip
    minutes = only(answer, "historicalData").values["bars"]
    assert len(minutes) == 3
    for number, minute in enumerate(minutes):
        mine = bars[12 * number : 12 * number + 12]
        assert minute["volume"] == sum(bar.values["volume"] for bar in mine)
        assert minute["count"] == sum(bar.values["count"] for bar in mine)
        assert minute["high"] == max(bar.values["high"] for bar in mine)
        assert minute["low"] == min(bar.values["low"] for bar in mine)
        assert (minute["open"], minute["close"]) == (mine[0].values["open"], mine[-1].values["close"])


def test_bid_ask_and_middle_ticks_are_level_1() -> None:
    simulator, client = opened()
    client.ask("reqTickByTickData", reqId=1, tickType="BidAsk", **stock())
    client.ask("reqTickByTickData", reqId=2, tickType="MidPoint", **stock())
    last = ticks(client.ask("reqMktData", reqId=3, **stock()))
    for second in range(20):
        begin = at(DAY_ONE, "10:00") + second * SECOND_NS
        simulator.advance_to(begin + SECOND_NS - 1)
        last |= ticks([m for m in client.read() if m.integer("reqId") == 3])
        simulator.advance_to(begin + SECOND_NS)
        messages = client.read()
        quotes = [m for m in messages if m.name == "tickByTick" and m.integer("tickType") == 3]
        middles = [m for m in messages if m.name == "tickByTick" and m.integer("tickType") == 4]
        if quotes:
            # The ticks of the second that has just ended end where level 1 was a quarter before.
            assert (quotes[-1].values["bidPrice"], quotes[-1].values["askPrice"]) == (last[1], last[2])
            assert (quotes[-1].values["bidSize"], quotes[-1].values["askSize"]) == (last[0], last[3])
        if middles and quotes:
            assert middles[-1].values["midPoint"] == (quotes[-1].values["bidPrice"] + quotes[-1].values["askPrice"]) / 2
        last |= ticks([m for m in messages if m.integer("reqId") == 3])


def test_only_what_changed_is_sent_four_times_a_second() -> None:
    simulator, client = opened()
    client.ask("reqMktData", reqId=1, **stock())
    shown: dict[int, Any] = {}
    batches = 0
    for quarter in range(40):
        simulator.advance_to(at(DAY_ONE, "10:00") + (quarter + 1) * SECOND_NS // 4)
        messages = client.read()
        batches += bool(messages)
        sizes_after_prices = {1: 0, 2: 3, 4: 5}
        prices = {m.integer("tickType") for m in messages if m.name == "tickPrice"}
        for m in messages:
            kind = m.integer("tickType")
            value = m.values.get("price", m.values.get("size"))
            # A price brings its size along, whether that is another one or not.
            repeats = {size for price, size in sizes_after_prices.items() if price in prices}
            assert shown.get(kind) != value or kind in repeats or m.name == "tickString", (kind, value)
            shown[kind] = value
    assert 30 <= batches <= 40


def test_data_streams_through_the_night_without_a_word() -> None:
    simulator, client = opened("15:59:59")
    client.ask("reqMktData", reqId=1, **stock())
    client.ask("reqTickByTickData", reqId=2, tickType="Last", **stock())
    client.ask("reqRealTimeBars", reqId=3, barSize=5, whatToShow="TRADES", useRth=True, **stock())
    simulator.advance_to(at(DAY_ONE, "16:00:10"))
    client.read()
    moments = 0
    while simulator.now_ns < at(date(2025, 10, 9), "09:29"):
        due = simulator.next_event_ns()
        assert due is not None
        simulator.advance_to(min(due, at(date(2025, 10, 9), "09:29")))
        moments += 1
    assert moments < 30
    simulator.advance_to(at(date(2025, 10, 9), "09:30:06"))
    assert {"tickPrice", "tickByTick", "realtimeBar"} <= {m.name for m in client.read()}


# Rights and data types


@pytest.mark.parametrize(
    ("right", "wish", "codes", "kind", "has_data"),
    [
        ("live", 1, [], 1, True), ("live", 2, [], 1, True), ("live", 3, [], 1, True), ("live", 4, [], 1, True),
        ("delayed", 1, [354], None, False), ("delayed", 2, [354], None, False),
        ("delayed", 3, [10167], 3, True), ("delayed", 4, [10167], 3, True),
        ("10089", 1, [10089], None, False), ("10089", 3, [10167], 3, True),
        ("10090", 1, [10090], 3, True), ("10168", 1, [10168], None, False), ("10168", 3, [10168], None, False),
        ("354", 3, [354], None, False), ("10197", 1, [10197], None, False), ("10197", 3, [10197], None, False),
    ],
)  # fmt: skip
def test_rights_and_wishes(right: str, wish: int, codes: list[int], kind: int | None, has_data: bool) -> None:
    _, client = opened(market_data={"AAPL": right})
    client.ask("reqMarketDataType", marketDataType=wish)
    answer = client.ask("reqMktData", reqId=1, **stock())
    assert [m.integer("code") for m in answer if m.name == "error"] == codes
    assert [m.integer("marketDataType") for m in answer if m.name == "marketDataType"] == [kind] * has_data
    found = ticks(answer)
    assert bool(found) is has_data
    if has_data:
        assert ({66, 67, 68, 69, 70, 71, 74, 75} <= set(found)) is (kind == 3)
        assert ({0, 1, 2, 3, 4, 5, 8, 9} <= set(found)) is (kind == 1)


def test_delayed_data_is_that_of_a_quarter_of_an_hour_ago() -> None:
    _, client = opened("10:15", market_data={"*": "delayed"})
    client.ask("reqMarketDataType", marketDataType=3)
    delayed = ticks(client.ask("reqMktData", reqId=1, **stock()))
    _, other = opened("10:00")
    live = ticks(other.ask("reqMktData", reqId=1, **stock()))
    pairs = {66: 1, 67: 2, 68: 4, 69: 0, 70: 3, 71: 5, 72: 6, 73: 7, 74: 8, 75: 9, 76: 14}
    assert {late: delayed[late] for late in pairs} == {late: live[now] for late, now in pairs.items()}


def test_frozen_data_says_when_the_market_closes_and_opens() -> None:
    simulator, client = opened("15:59:58")
    client.ask("reqMarketDataType", marketDataType=2)
    client.ask("reqMktData", reqId=1, **stock())
    simulator.advance_to(at(DAY_ONE, "16:00:01"))
    assert [m.integer("marketDataType") for m in client.read() if m.name == "marketDataType"] == [2]
    simulator.advance_to(at(date(2025, 10, 9), "09:30:01"))
    assert [m.integer("marketDataType") for m in client.read() if m.name == "marketDataType"] == [1]


def test_a_halt_is_told_by_tick_49_and_by_a_tick_without_price() -> None:
    tape = seeded_tape(7)
    contract = next(c for c in tape.contracts() if c.symbol == "AMD")
    tape.add_halt(contract, Halt(at(DAY_ONE, "10:01"), at(DAY_ONE, "10:02")))
    simulator, client = opened(tape=tape)
    first = client.ask("reqMktData", reqId=1, **stock("AMD"))
    assert ticks(first)[49] == 0
    client.ask("reqTickByTickData", reqId=2, tickType="Last", **stock("AMD"))
    simulator.advance_to(at(DAY_ONE, "10:00:59") + SECOND_NS // 2)
    client.read()
    simulator.advance_to(at(DAY_ONE, "10:01:59"))
    during = client.read()
    assert [m.values["value"] for m in during if m.name == "tickGeneric"] == [2]
    halted = [m for m in during if m.name == "tickByTick" and m.integer("time") >= at(DAY_ONE, "10:01") // SECOND_NS]
    assert [(m.values["price"], m.values["size"], m.values["mask"]) for m in halted] == [(0, 0, 1)]
    simulator.advance_to(at(DAY_ONE, "10:02:05"))
    assert ticks(client.read())[49] == 0


# Generic ticks, snapshots, refusals


def test_generic_ticks() -> None:
    simulator, client = opened()
    answer = client.ask("reqMktData", reqId=1, genericTicks="233,236,165,456,232,104,293,318,mdoff", **stock("JNJ"))
    found = ticks(answer)
    assert {48, 46, 89, 15, 16, 19, 20, 21, 59, 37, 23, 54, 57, 45, 49} <= set(found)
    price, size, at_ms, volume, wap, single = found[48].split(";")
    assert (Decimal(price), Decimal(volume), single) == (found[4], found[8], "false")
    assert int(at_ms) == simulator.now_ns // 1_000_000
    assert found[7] <= Decimal(wap) <= found[6]
    assert Decimal(size) == found[5]
    assert found[19] <= found[17] <= found[15] <= found[16] <= found[18] <= found[20]
    past, following, day, amount = found[59].split(",")
    assert Decimal(past) > 0
    assert Decimal(following) > 0
    assert len(day) == 8
    assert Decimal(amount) > 0


def test_an_illegal_generic_tick_is_refused_with_the_legal_ones() -> None:
    _, client = opened()
    error = only(client.ask("reqMktData", reqId=1, genericTicks="233,999", **stock()), "error")
    assert error.integer("code") == 321
    assert "233(RTVolume)" in error.text("text")


def test_a_snapshot_ends_and_takes_no_generic_ticks() -> None:
    simulator, client = opened()
    answer = client.ask("reqMktData", reqId=1, snapshot=True, **stock())
    assert names(answer)[-1] == "tickSnapshotEnd"
    assert simulator.next_event_ns() != simulator.now_ns + SECOND_NS // 4
    assert error_code(client.ask("reqMktData", reqId=1, snapshot=True, genericTicks="233", **stock())) == 321


def test_a_ticker_id_in_use_is_refused() -> None:
    _, client = opened()
    client.ask("reqMktData", reqId=1, **stock())
    assert error_code(client.ask("reqMktData", reqId=1, **stock("MSFT"))) == 322
    assert client.ask("cancelMktData", reqId=1) == []
    assert error_code(client.ask("cancelMktData", reqId=1)) == 300


# Historical ticks


@pytest.mark.parametrize("what", ["TRADES", "BID_ASK", "MIDPOINT"])
@pytest.mark.parametrize("count", [1, 37, 1000])
def test_historical_ticks_complete_their_last_second(what: str, count: int) -> None:
    _, client = opened("11:00")
    kind = {"TRADES": "historicalTicksLast", "BID_ASK": "historicalTicksBidAsk", "MIDPOINT": "historicalTicks"}[what]
    forward, backward = (
        only(
            client.ask(
                "reqHistoricalTicks", reqId=1, numberOfTicks=count, whatToShow=what, useRth=True, **end, **stock()
            ),
            kind,
        )
        for end in ({"startDateTime": "20251008 10:00:00 US/Eastern"}, {"endDateTime": "20251008 10:30:00 US/Eastern"})
    )
    for answer in (forward, backward):
        times = [row["time"] for row in answer.values["ticks"]]
        assert times == sorted(times)
        assert len(times) >= count
        assert answer.flag("done")
    times = [row["time"] for row in forward.values["ticks"]]
    assert times[0] >= at(DAY_ONE, "10:00") // SECOND_NS
    assert set(times[count:]) <= {times[count - 1]}
    times = [row["time"] for row in backward.values["ticks"]]
    assert times[-1] < at(DAY_ONE, "10:30") // SECOND_NS
    assert set(times[:-count]) <= {times[-count]}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, 10187),
        ({"startDateTime": "20251008 10:00:00", "endDateTime": "20251008 10:30:00"}, 10187),
        ({"startDateTime": "20251008 10:00:00", "numberOfTicks": 1001}, 10187),
        ({"startDateTime": "20251008 10:00:00", "whatToShow": "BID"}, 10187),
        ({"startDateTime": "yesterday"}, 10314),
        ({"startDateTime": "20251008 10:00:00", "symbol": "NOPE"}, 200),
    ],
)
def test_historical_ticks_that_are_refused(values: dict[str, Any], code: int) -> None:
    _, client = opened("11:00")
    request = stock() | {"numberOfTicks": 10, "whatToShow": "TRADES", "useRth": True} | values
    assert error_code(client.ask("reqHistoricalTicks", reqId=1, **request)) == code


def test_ticks_of_one_session_only_and_never_of_the_future() -> None:
    _, client = opened("10:00")
    answer = client.ask("reqHistoricalTicks", reqId=1, endDateTime="20251008 09:00:00 US/Eastern", numberOfTicks=1000,
                        whatToShow="TRADES", useRth=True, **stock("WEBL"))  # fmt: skip
    stamps = [row["time"] for row in only(answer, "historicalTicksLast").values["ticks"]]
    assert stamps
    assert {exchange_date(stamp * SECOND_NS) for stamp in stamps} == {date(2025, 10, 7)}
    answer = client.ask("reqHistoricalTicks", reqId=2, startDateTime="20251008 09:59:58 US/Eastern",
                        numberOfTicks=1000, whatToShow="TRADES", useRth=True, **stock())  # fmt: skip
    stamps = [row["time"] for row in only(answer, "historicalTicksLast").values["ticks"]]
    assert max(stamps) < at(DAY_ONE, "10:00") // SECOND_NS


def test_history_comes_before_the_stream_when_asked_for() -> None:
    simulator, client = opened()
    client.ask("reqTickByTickData", reqId=1, tickType="Last", numberOfTicks=50, **stock())
    simulator.advance_to(simulator.now_ns + 5 * SECOND_NS)
    client.read()
    answer = client.ask("reqTickByTickData", reqId=2, tickType="Last", numberOfTicks=50, **stock())
    history = only(answer, "historicalTicksLast").values["ticks"]
    simulator.advance_to(simulator.now_ns + 2 * SECOND_NS)
    live = [m.integer("time") for m in client.read() if m.name == "tickByTick" and m.integer("reqId") == 2]
    assert len(history) >= 50
    assert max(row["time"] for row in history) < min(live)


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("reqTickByTickData", {"tickType": "Trades"}, 321),
        ("reqTickByTickData", {"tickType": "Last", "symbol": "MSFT"}, 10189),
        ("reqRealTimeBars", {"whatToShow": "BID_ASK", "barSize": 5}, 321),
        ("reqRealTimeBars", {"whatToShow": "TRADES", "barSize": 30}, 321),
        ("reqRealTimeBars", {"whatToShow": "TRADES", "barSize": 5, "symbol": "MSFT"}, 420),
        ("reqMktDepth", {"numRows": 0}, 321),
        ("reqMktDepth", {"numRows": 5, "symbol": "MSFT"}, 354),
        ("cancelTickByTickData", {}, 300),
        ("cancelRealTimeBars", {}, 300),
        ("cancelMktDepth", {}, 310),
    ],
)
def test_streams_that_are_refused(name: str, values: dict[str, Any], code: int) -> None:
    _, client = opened(market_data={"MSFT": "delayed"})
    assert error_code(client.ask(name, reqId=5, **(stock() | values))) == code


# Depth


def test_a_book_follows_the_quote_and_starts_anew_with_the_session() -> None:
    simulator, client = opened("15:59:55")
    rows: dict[tuple[int, int], tuple[Decimal, Decimal]] = {}

    def take(messages: list[Message]) -> None:
        for m in messages:
            if m.name == "updateMktDepthL2":
                key = m.integer("side"), m.integer("position")
                assert (m.integer("operation") == 0) is (key not in rows)
                rows[key] = m.values["price"], m.values["size"]

    take(client.ask("reqMktDepth", reqId=1, numRows=5, isSmartDepth=True, **stock()))
    assert set(rows) == {(side, position) for side in (0, 1) for position in range(5)}
    for _ in range(4):
        simulator.advance_to(simulator.now_ns + SECOND_NS)
        take(client.read())
        quote = TAPE.quote(TAPE.contracts()[25], simulator.now_ns)
        assert quote is not None
        asks, bids = ([rows[side, position][0] for position in range(5)] for side in (0, 1))
        assert asks == sorted(set(asks))
        assert bids == sorted(set(bids), reverse=True)
        top = ticks(client.ask("reqMktData", reqId=9, snapshot=True, **stock()))
        assert (bids[0], asks[0]) == (top[1], top[2])
        assert (rows[1, 0][1], rows[0, 0][1]) == (top[0], top[3])
    simulator.advance_to(at(date(2025, 10, 9), "09:29:59"))
    client.read()
    simulator.advance_to(at(date(2025, 10, 9), "09:30:02"))
    after = client.read()
    assert [m.integer("code") for m in after if m.name == "error"] == [317]
    rows.clear()
    take(after)
    assert len(rows) == 10


def test_three_books_at_once() -> None:
    _, client = opened()
    for number in range(3):
        client.ask("reqMktDepth", reqId=number, numRows=1, isSmartDepth=True, **stock())
    assert error_code(client.ask("reqMktDepth", reqId=3, numRows=1, isSmartDepth=True, **stock())) == 309


# Scanners and news


@pytest.mark.slow
def test_a_scan_ranks_what_the_tape_says() -> None:
    _, client = opened("12:00")
    [xml] = client.ask("reqScannerParameters")
    assert "<scanCode>TOP_PERC_GAIN</scanCode>" in xml.text("xml")
    scan = {"instrument": "STK", "locationCode": "STK.US.MAJOR", "scanCode": "TOP_PERC_GAIN", "numberOfRows": 10}
    answer = only(client.ask("reqScannerSubscription", reqId=1, abovePrice=Decimal(20), **scan), "scannerData")
    elements = answer.values["elements"]
    assert [row["rank"] for row in elements] == list(range(10))
    by_id = {contract.con_id: contract for contract in TAPE.contracts()}
    quotes = [TAPE.quote(by_id[row["conId"]], at(DAY_ONE, "12:00")) for row in elements]
    changes = [quote.last / quote.previous_close for quote in quotes if quote is not None and quote.previous_close]
    assert len(changes) == 10
    assert changes == sorted(changes, reverse=True)
    assert all(quote is not None and quote.last > 20 for quote in quotes)
    nothing = client.ask("reqScannerSubscription", reqId=2, abovePrice=Decimal(10**6), **scan)
    assert error_code(nothing) == 165
    assert error_code(client.ask("reqScannerSubscription", reqId=3, **(scan | {"scanCode": "BEST"}))) == 162
    assert error_code(client.ask("cancelScannerSubscription", reqId=1)) == 162


def test_news_of_a_stock() -> None:
    _, client = opened("12:00", news_providers=("SIMN", "SIMC"))
    [providers] = client.ask("reqNewsProviders")
    assert [row["code"] for row in providers.values["providers"]] == ["SIMN", "SIMC"]
    contract = next(c for c in TAPE.contracts() if c.symbol == "COIN")
    request = {"conId": contract.con_id, "startDateTime": "", "endDateTime": "", "totalResults": 5}
    *headlines, end = client.ask("reqHistoricalNews", reqId=1, providerCodes="SIMN+SIMC", **request)
    assert len(headlines) == 5
    assert end.flag("hasMore")
    times = [m.text("time") for m in headlines]
    assert times == sorted(times, reverse=True)
    assert all("COIN" in m.text("headline") for m in headlines)
    article_id = headlines[0].text("articleId")
    [article] = client.ask("reqNewsArticle", reqId=2, providerCode="SIMN", articleId=article_id)
    assert "closed at" in article.text("articleText")
    assert error_code(client.ask("reqHistoricalNews", reqId=3, providerCodes="BRFG", **request)) == 10276
    assert error_code(client.ask("reqNewsArticle", reqId=4, providerCode="BRFG", articleId=article_id)) == 10276
    assert error_code(client.ask("reqNewsArticle", reqId=5, providerCode="SIMN", articleId="SIMN$1$x")) == 10172


def test_a_line_with_news_is_told_of_them() -> None:
    # The first day of October 2025 on which COIN moves by more than two percent.
    contract = next(c for c in TAPE.contracts() if c.symbol == "COIN")
    bars = TAPE.bars(contract, DAY, What.TRADES, at(date(2025, 9, 30), "00:00"), at(date(2025, 10, 31), "20:00"), True)
    assert bars is not None
    moves = bars.close[1:] / bars.close[:-1] - 1
    row = 1 + int((abs(moves) >= 0.02).argmax())
    day = date(1970, 1, 1) + timedelta(days=int(bars.start_ns[row]) // (86_400 * SECOND_NS))
    simulator = Simulator(TAPE, SimConfig(), at(day, "15:59:58"))
    client = RawClient(simulator)
    client.ask("reqMktData", reqId=1, genericTicks="292", **stock("COIN"))
    simulator.advance_to(at(day, "16:02"))
    news = only(client.read(), "tickNews")
    assert news.text("headline").startswith("COIN rises" if moves[row - 1] > 0 else "COIN falls")
    assert news.integer("timestamp") == at(day, "16:01") // 1_000_000
    assert error_code(client.ask("reqMktData", reqId=2, genericTicks="292:BRFG", **stock())) == 10276
