"""Quotes, auctions and resting orders against the bars of the same market."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.refdata.sessions import at, session_on
from quant_trading.refdata.tick_sizes import is_on_tick
from quant_trading.tws_sim.barsize import DAY, WEEK, parse_bar_size
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.tape import Contract, TapeBars, What
from tests.examples import examples

SECOND_NS = 1_000_000_000
TAPE = seeded_tape(7)
AAPL, WEBL = (next(c for c in TAPE.contracts() if (c.symbol, c.currency) == (name, "USD")) for name in ("AAPL", "WEBL"))
DAY_ONE, DAY_TWO = date(2025, 10, 8), date(2025, 10, 9)
SECONDS = parse_bar_size("1 secs")
MINUTES = parse_bar_size("1 min")
assert SECONDS is not None
assert MINUTES is not None


def opened(day: date) -> int:
    session = session_on(day)
    assert session is not None
    return session.open_ns


def all_seconds(contract: Contract) -> TapeBars:
    bars = TAPE.bars(contract, SECONDS, What.TRADES, opened(DAY_ONE), opened(DAY_TWO) + 3 * 3600 * SECOND_NS, True)
    assert bars is not None
    return bars


ALL_SECONDS = {contract: all_seconds(contract) for contract in (AAPL, WEBL)}


@settings(max_examples=examples(120), deadline=None)
@given(st.sampled_from([AAPL, WEBL]), st.booleans(), st.data())
def test_a_resting_order_is_reached_as_a_search_through_the_seconds_says(
    contract: Contract, is_buy: bool, data: st.DataObject
) -> None:
    seconds = ALL_SECONDS[contract]
    lowest, highest = round(seconds.low.min() * 100) - 5, round(seconds.high.max() * 100) + 5
    price = Decimal(data.draw(st.integers(lowest, highest))).scaleb(-2)
    start = data.draw(st.integers(opened(DAY_ONE) - 3600 * SECOND_NS, int(seconds.start_ns[-1])))
    until = data.draw(st.integers(start, int(seconds.start_ns[-1])))
    expected = None
    reached = seconds.low <= float(price) if is_buy else seconds.high >= float(price)
    hits = np.flatnonzero(reached & (seconds.volume > 0) & (seconds.start_ns >= start) & (seconds.start_ns < until))
    if len(hits):
        row = hits[0]
        opening = Decimal(str(seconds.open[row]))
        at_open = int(seconds.start_ns[row]) in (opened(DAY_ONE), opened(DAY_TWO))
        gapped = at_open and (opening <= price if is_buy else opening >= price)
        expected = (int(seconds.start_ns[row]), opening if gapped else price)
    assert TAPE.next_trade_at_or_beyond(contract, price, is_buy, start, until) == expected


def test_an_order_through_which_the_session_opens_gets_the_open() -> None:
    official = TAPE.open_auction(AAPL, opened(DAY_TWO))
    assert official is not None
    from_ns = at(DAY_ONE, "17:00")
    until = at(DAY_TWO, "16:00")
    generous = official + Decimal("1.00")
    assert TAPE.next_trade_at_or_beyond(AAPL, generous, True, from_ns, until) == (opened(DAY_TWO), official)
    assert TAPE.next_trade_at_or_beyond(AAPL, Decimal(1), True, from_ns, until) is None


def test_the_auction_is_the_open_of_the_day() -> None:
    bars = TAPE.bars(WEBL, DAY, What.TRADES, at(DAY_ONE, "00:00"), at(DAY_ONE, "20:00"), True)
    assert bars is not None
    assert TAPE.open_auction(WEBL, opened(DAY_ONE)) == Decimal(str(bars.open[0]))
    assert TAPE.open_auction(WEBL, opened(DAY_ONE) + 1) is None


@settings(max_examples=examples(80), deadline=None)
@given(st.sampled_from([AAPL, WEBL]), st.integers(0, 6 * 3600 + 1799), st.integers(0, SECOND_NS - 1))
def test_a_quote_is_the_market_of_its_second(contract: Contract, second: int, fraction: int) -> None:
    seconds = ALL_SECONDS[contract]
    now = opened(DAY_ONE) + second * SECOND_NS + fraction
    quote = TAPE.quote(contract, now)
    assert quote is not None
    past = np.flatnonzero((seconds.start_ns <= now) & (seconds.volume > 0))
    assert quote.last == Decimal(str(seconds.close[past[-1]]))
    assert quote.open == Decimal(str(seconds.open[past[0]]))
    assert quote.high == Decimal(str(seconds.high[past].max()))
    assert quote.low == Decimal(str(seconds.low[past].min()))
    assert quote.volume == seconds.volume[past].sum()
    assert quote.is_open
    assert quote.bid <= quote.last <= quote.ask
    assert quote.bid < quote.ask
    assert is_on_tick(quote.bid, contract.min_tick)
    assert is_on_tick(quote.ask, contract.min_tick)
    assert min(quote.bid_size, quote.ask_size, quote.last_size) >= 1


@pytest.mark.parametrize("text", ["1 secs", "1 min", "5 mins"])
def test_quotes_lie_in_the_bid_and_ask_bars(text: str) -> None:
    size = parse_bar_size(text)
    assert size is not None
    now = opened(DAY_ONE) + 3725 * SECOND_NS
    quote = TAPE.quote(AAPL, now)
    assert quote is not None
    sides = {}
    for what in (What.BID, What.ASK, What.MIDPOINT, What.BID_ASK):
        bars = TAPE.bars(AAPL, size, what, opened(DAY_ONE), now + SECOND_NS, True)
        assert bars is not None
        assert set(bars.volume) == set(bars.wap) == set(bars.count) == {-1}
        sides[what] = bars
    assert sides[What.BID].close[-1] == float(quote.bid)
    assert sides[What.ASK].close[-1] == float(quote.ask)
    assert sides[What.MIDPOINT].close[-1] == pytest.approx(float(quote.bid + quote.ask) / 2, abs=1e-9)
    # BID_ASK: high is the highest ask, low the lowest bid, open and close are averages of bid and ask.
    both = sides[What.BID_ASK]
    assert both.high.tolist() == sides[What.ASK].high.tolist()
    assert both.low.tolist() == sides[What.BID].low.tolist()
    assert (both.open < both.close).all()


def test_quote_bars_of_weeks_are_made_of_days() -> None:
    start, end = at(date(2025, 10, 6), "00:00"), at(date(2025, 10, 10), "20:00")
    days, week = (TAPE.bars(AAPL, size, What.ASK, start, end, True) for size in (DAY, WEEK))
    assert days is not None
    assert week is not None
    assert (week.open[0], week.high[0], week.low[0], week.close[0]) == (
        days.open[0], days.high.max(), days.low.min(), days.close[-1],
    )  # fmt: skip
    assert week.volume[0] == -1


def test_before_the_open_and_after_the_close() -> None:
    yesterday = TAPE.bars(AAPL, DAY, What.TRADES, at(date(2025, 10, 7), "00:00"), at(DAY_ONE, "20:00"), True)
    assert yesterday is not None
    before, after, weekend = (TAPE.quote(AAPL, at(day, text)) for day, text in
        ((DAY_ONE, "08:00"), (DAY_ONE, "17:00"), (date(2025, 10, 11), "12:00")))  # fmt: skip
    assert before is not None
    assert after is not None
    assert weekend is not None
    assert not (before.is_open or after.is_open or weekend.is_open)
    # Before the open: yesterday's close, nothing of today yet.
    assert before.last == before.previous_close == Decimal(str(yesterday.close[0]))
    assert (before.open, before.high, before.low, before.volume) == (None, None, None, 0)
    # After the close: today's session stands until midnight, beside the close before it.
    assert after.last == Decimal(str(yesterday.close[1]))
    assert after.previous_close == Decimal(str(yesterday.close[0]))
    assert after.volume == yesterday.volume[1]
    assert weekend.last == weekend.previous_close
    assert weekend.volume == 0


def test_nothing_before_the_first_session() -> None:
    head = TAPE.head_ns(AAPL, What.TRADES)
    assert head == at(date(2000, 1, 3), "09:30")
    assert TAPE.quote(AAPL, head - 1) is None
    first = TAPE.quote(AAPL, head)
    assert first is not None
    assert first.previous_close is None
    assert TAPE.last_ns() is None


def test_an_unknown_contract_has_nothing() -> None:
    stranger = Contract(con_id=1, symbol="NOBODY")
    assert TAPE.bars(stranger, DAY, What.TRADES, 0, at(DAY_ONE, "20:00"), True) is None
    assert TAPE.quote(stranger, at(DAY_ONE, "12:00")) is None
    assert TAPE.open_auction(stranger, opened(DAY_ONE)) is None
    assert TAPE.next_trade_at_or_beyond(stranger, Decimal(1), True, 0, at(DAY_ONE, "20:00")) is None
    assert TAPE.head_ns(stranger, What.TRADES) is None
