"""The tick level: trades add up to bars, quotes are what the bars say, halts stop both."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.aggregate import aggregate
from quant_trading.tws_sim.barsize import parse_bar_size
from quant_trading.tws_sim.halts import Halt, without_halted
from quant_trading.tws_sim.refine import prints_needed
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.tape import BarSize, Contract, TapeBars, What
from quant_trading.tws_sim.ticks import trades_of
from tests.examples import examples
from tests.tws_sim.bars_by_hand import SECOND_NS, bars_of, parent_bars

TAPE = seeded_tape(7)
DAY_ONE = date(2025, 10, 8)
OPEN = at(DAY_ONE, "09:30")


def us(symbol: str) -> Contract:
    return next(c for c in TAPE.contracts() if (c.symbol, c.currency) == (symbol, "USD"))


def size(text: str) -> BarSize:
    found = parse_bar_size(text)
    assert found is not None
    return found


@settings(max_examples=examples(150), deadline=None)
@given(parent_bars(), st.integers(0, 2**62))
def test_trades_are_the_bar_of_their_second(seconds: TapeBars, key: int) -> None:
    trades = trades_of(seconds, key, 100)
    for row in range(len(seconds)):
        mine = np.flatnonzero(trades.at_ns == seconds.start_ns[row])
        if seconds.volume[row] == 0:
            assert len(mine) == 0
            continue
        prices = trades.price[mine]
        four = (seconds.open[row], seconds.high[row], seconds.low[row], seconds.close[row])
        assert (prices[0], prices.max(), prices.min(), prices[-1]) == four
        assert trades.size[mine].sum() == seconds.volume[row]
        least = int(prints_needed(*(np.array([round(price * 100)]) for price in four))[0])
        assert len(mine) == max(seconds.count[row], least)
        if seconds.volume[row] >= len(mine):
            assert trades.size[mine].min() >= 1


@settings(max_examples=examples(40), deadline=None)
@given(st.sampled_from(["AAPL", "WEBL", "SMR"]), st.integers(0, 380), st.sampled_from(["1 secs", "5 secs", "1 min"]))
def test_trades_aggregate_to_bars_of_every_size(symbol: str, minute: int, text: str) -> None:
    contract, bar_size = us(symbol), size(text)
    begin = OPEN + minute * 60 * SECOND_NS
    end = begin + 120 * SECOND_NS
    trades = TAPE.ticks(contract, begin, end)
    bars = TAPE.bars(contract, bar_size, What.TRADES, begin, end, True)
    assert bars is not None
    width = bar_size.count * SECOND_NS
    number = (trades.at_ns - begin) // width
    for row in range(len(bars)):
        mine = number == row
        assert trades.size[mine].sum() == bars.volume[row]
        assert mine.sum() == bars.count[row]
        if mine.any():
            prices = trades.price[mine]
            assert (prices[0], prices.max(), prices.min(), prices[-1]) == (
                bars.open[row], bars.high[row], bars.low[row], bars.close[row],
            )  # fmt: skip


@settings(max_examples=examples(60), deadline=None)
@given(st.sampled_from(["AAPL", "WEBL"]), st.integers(0, 4 * 23_000))
def test_the_last_quote_tick_is_the_quote(symbol: str, quarter: int) -> None:
    now = OPEN + quarter * SECOND_NS // 4
    contract = us(symbol)
    quote = TAPE.quote(contract, now)
    ticks = TAPE.quotes(contract, now - 60 * SECOND_NS, now + 1)
    assert quote is not None
    assert (float(quote.bid), float(quote.ask)) == (ticks.bid[-1], ticks.ask[-1])
    assert (quote.bid_size, quote.ask_size) == (ticks.bid_size[-1], ticks.ask_size[-1])
    assert (np.diff(ticks.at_ns) > 0).all()
    trades = TAPE.ticks(contract, now - 1800 * SECOND_NS, now + 1)
    if len(trades):
        assert (quote.last, quote.last_size) == (Decimal(str(trades.price[-1])), trades.size[-1])


@settings(max_examples=examples(60), deadline=None)
@given(st.sampled_from(["AAPL", "WEBL"]), st.lists(st.integers(-4 * 3600, 4 * 30_000), min_size=1, max_size=20))
def test_a_cursor_reads_what_quotes_say_wherever_it_is_moved(symbol: str, quarters: list[int]) -> None:
    contract = us(symbol)
    cursor = TAPE.cursor(contract)
    for quarter in quarters:
        now = OPEN + quarter * SECOND_NS // 4
        row, quote = cursor.move_to(now), TAPE.quote(contract, now)
        assert row is not None
        assert quote is not None
        assert [Decimal(ticks) / 100 for ticks in row[:3]] == [quote.bid, quote.ask, quote.last]
        assert row[9] == quote.volume
        assert (cursor.is_open, cursor.previous_close) == (quote.is_open, quote.previous_close)
        assert cursor.until_ns > now


def test_the_cursor_of_a_closed_market_sleeps_until_the_next_open() -> None:
    cursor = TAPE.cursor(us("AAPL"))
    cursor.move_to(at(DAY_ONE, "17:00"))
    assert cursor.until_ns == at(date(2025, 10, 9), "00:00")  # the day's figures are gone at midnight
    cursor.move_to(cursor.until_ns)
    assert cursor.until_ns == at(date(2025, 10, 9), "09:30")


def test_a_halt_moves_trades_to_the_reopening() -> None:
    minutes = bars_of([(10, 11, 10, 11, 100), (11, 12, 11, 12, 200), (12, 15, 9, 9, 300), (9, 9, 8, 8, 400)])
    halted = without_halted(minutes, [Halt(60 * SECOND_NS, 180 * SECOND_NS)])
    assert halted.volume.tolist() == [100, 0, 0, 900]
    assert halted.close.tolist() == [11, 11, 11, 8]
    assert (halted.open[3], halted.high[3], halted.low[3]) == (11, 15, 8)
    assert halted.start_ns.tolist() == minutes.start_ns.tolist()
    whole, before = (aggregate(bars, np.zeros(4, dtype=np.int64)) for bars in (halted, minutes))
    for name in ("open", "high", "low", "close", "volume", "count"):
        assert getattr(whole, name).tolist() == getattr(before, name).tolist()


def test_nothing_trades_while_halted() -> None:
    tape = seeded_tape(7)
    contract = next(c for c in tape.contracts() if c.symbol == "AMD")
    start, end = OPEN + 3600 * SECOND_NS, OPEN + 3900 * SECOND_NS
    before = tape.bars(contract, size("1 day"), What.TRADES, at(DAY_ONE, "00:00"), at(DAY_ONE, "20:00"), True)
    tape.add_halt(contract, Halt(start, end))
    assert len(tape.ticks(contract, start, end)) == 0
    quote, after = tape.quote(contract, start), tape.quote(contract, end)
    assert quote is not None
    assert after is not None
    assert (quote.is_open, after.is_open) == (False, True)
    assert tape.halt_at(contract, start + 1) is not None
    assert tape.halts(contract, OPEN, end) == (Halt(start, end),)
    for is_buy in (True, False):
        price = quote.last * (Decimal(2) if is_buy else Decimal("0.5"))
        reached = tape.next_trade_at_or_beyond(contract, price, is_buy, start, end + SECOND_NS * 60)
        assert reached is not None
        assert reached[0] >= end
    day = tape.bars(contract, size("1 day"), What.TRADES, at(DAY_ONE, "00:00"), at(DAY_ONE, "20:00"), True)
    assert before is not None
    assert day is not None
    assert (day.close[0], day.volume[0]) == (before.close[0], before.volume[0])
    minutes = tape.bars(contract, size("1 min"), What.TRADES, OPEN, at(DAY_ONE, "16:00"), True)
    assert minutes is not None
    assert minutes.volume.sum() == day.volume[0]
    assert minutes.volume[60:65].tolist() == [0] * 5


@pytest.mark.parametrize("symbol", ["SMR", "LUNR", "COIN"])
def test_wild_names_are_paused_now_and_then(symbol: str) -> None:
    halts = TAPE.halts(us(symbol), 0, at(date(2026, 1, 2), "12:00"))
    assert 2 <= len(halts) <= 40
    for halt in halts:
        assert halt.end_ns - halt.start_ns == 300 * SECOND_NS
        assert len(TAPE.ticks(us(symbol), halt.start_ns, halt.end_ns)) == 0


def test_a_halt_within_a_minute_stops_trades_at_once() -> None:
    tape = seeded_tape(7)
    contract = next(c for c in tape.contracts() if c.symbol == "AMD")
    start = OPEN + 3621 * SECOND_NS
    before = tape.ticks(contract, start - 60 * SECOND_NS, start)
    tape.add_halt(contract, Halt(start, start + 200 * SECOND_NS))
    after = tape.ticks(contract, start - 60 * SECOND_NS, start)
    assert after.price.tolist() == before.price.tolist()
    assert len(tape.ticks(contract, start, start + 200 * SECOND_NS)) == 0
    assert len(tape.ticks(contract, start + 200 * SECOND_NS, start + 260 * SECOND_NS)) > 0
