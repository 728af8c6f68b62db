"""The matcher against a walk through every second, volume by volume; and what no sequence of events may break."""

from collections import Counter
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.scan import Trail
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.tape import BarSize, Contract, What
from tests.examples import examples
from tests.tws_sim.raw_client import RawClient

SECOND = BarSize("1 secs", "second", 1)
NS = 1_000_000_000
DAY = date(2026, 11, 19)
CLOSE = at(DAY, "16:00")
TAPE = seeded_tape(7)
NAMES = {contract.symbol: contract for contract in TAPE.contracts() if contract.currency == "USD"}
D = Decimal
Fill = tuple[int, Decimal] | None


def price_of(value: float) -> Decimal:
    return D(str(round(float(value), 5)))


def quote_price(contract: Contract, ns: int, is_buy: bool) -> Decimal:
    quote = TAPE.quote(contract, ns)
    assert quote is not None
    return quote.ask if is_buy else quote.bid


class Walk:
    """Every second of a session with a trade, from a moment on."""

    def __init__(self, contract: Contract, from_ns: int) -> None:
        bars = TAPE.bars(contract, SECOND, What.TRADES, from_ns, CLOSE, True)
        assert bars is not None
        rows = zip(bars.start_ns, bars.low, bars.high, bars.volume, strict=True)
        self.contract = contract
        self.from_ns = from_ns
        self.seconds = [(int(ns), price_of(low), price_of(high)) for ns, low, high, volume in rows if volume > 0]

    def reach(self, price: Decimal, is_below: bool, from_ns: int) -> int | None:
        for ns, low, high in self.seconds:
            if ns >= from_ns and (low <= price if is_below else high >= price):
                return ns
        return None

    def market(self, ns: int | None, is_buy: bool) -> Fill:
        return None if ns is None else (ns, quote_price(self.contract, ns, is_buy))

    def limit(self, price: Decimal, ns: int | None, is_buy: bool) -> Fill:
        if ns is None:
            return None
        taken = quote_price(self.contract, ns, is_buy)
        if taken <= price if is_buy else taken >= price:
            return ns, taken
        found = self.reach(price, is_buy, ns)
        return None if found is None else (found, price)

    def touch(self, price: Decimal, is_below: bool) -> int | None:
        quote = TAPE.quote(self.contract, self.from_ns)
        assert quote is not None
        if quote.last <= price if is_below else quote.last >= price:
            return self.from_ns
        return self.reach(price, is_below, self.from_ns)

    def trail(self, trail: Trail) -> int | None:
        quote = TAPE.quote(self.contract, self.from_ns)
        assert quote is not None
        best = quote.last
        for ns, low, high in self.seconds:
            stop = trail.stop(best)
            if high >= stop if trail.is_buy else low <= stop:
                return ns
            best = min(best, low) if trail.is_buy else max(best, high)
        return None


def expected(walk: Walk, kind: str, is_buy: bool, limit: Decimal, aux: Decimal, distance: Decimal) -> Fill:
    if kind == "MKT":
        return walk.market(walk.from_ns, is_buy)
    if kind == "LMT":
        return walk.limit(limit, walk.from_ns, is_buy)
    if kind == "TRAIL":
        return walk.market(walk.trail(Trail(is_buy, distance, None)), is_buy)
    touched = walk.touch(aux, is_buy if kind in ("MIT", "LIT") else not is_buy)
    return walk.market(touched, is_buy) if kind in ("STP", "MIT") else walk.limit(limit, touched, is_buy)


# Not in the second of the open itself, where orders get the official opening price.
kinds = st.sampled_from(["MKT", "LMT", "STP", "STP LMT", "MIT", "LIT", "TRAIL"])
offsets = st.integers(-150, 150).map(lambda units: D(units) / 10_000)


@pytest.mark.slow
@settings(max_examples=examples(40), deadline=None)
@given(
    kinds, st.booleans(), st.sampled_from(["AAPL", "LUNR", "SO", "BLK"]), st.integers(1, 22_800), offsets, offsets,
    st.integers(1, 80),
)  # fmt: skip
def test_every_order_fills_when_and_where_a_walk_through_the_seconds_says(
    kind: str, is_buy: bool, symbol: str, second: int, off_limit: Decimal, off_aux: Decimal, cents: int
) -> None:
    contract, from_ns = NAMES[symbol], at(DAY, "09:30") + second * NS
    quote = TAPE.quote(contract, from_ns)
    assert quote is not None
    limit, aux = (round(quote.last * (1 + off), 2) for off in (off_limit, off_aux))
    distance = D(cents) / 100
    simulator = Simulator(TAPE, SimConfig(), from_ns)
    client = RawClient(simulator)
    prices = {"lmtPrice": limit, "auxPrice": distance if kind == "TRAIL" else aux}
    client.order(1, "BUY" if is_buy else "SELL", 100, symbol, orderType=kind, **prices)
    simulator.advance_to(CLOSE)

    filled = [(execution.at_ns, execution.price) for execution in simulator.executions]
    wanted = expected(Walk(contract, from_ns), kind, is_buy, limit, aux, distance)
    assert filled == ([] if wanted is None else [wanted])


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.booleans(), st.sampled_from(["LUNR", "SO", "BLK"]), st.integers(1, 22_000), offsets, st.integers(1, 60))
def test_partial_fills_take_their_share_of_every_second(
    is_buy: bool, symbol: str, second: int, off_limit: Decimal, hundreds: int
) -> None:
    contract, from_ns, share = NAMES[symbol], at(DAY, "09:30") + second * NS, D("0.1")
    quote = TAPE.quote(contract, from_ns)
    assert quote is not None
    limit = round(quote.last * (1 + off_limit / 10), 2)
    simulator = Simulator(TAPE, SimConfig(fill_volume_share=share, cash=D(10**9)), from_ns)
    client = RawClient(simulator)
    client.order(1, "BUY" if is_buy else "SELL", hundreds * 100, symbol, lmtPrice=limit)
    simulator.advance_to(CLOSE)

    bars = TAPE.bars(contract, SECOND, What.TRADES, from_ns, CLOSE, True)
    assert bars is not None
    left, wanted, is_taking = D(hundreds * 100), [], True
    for ns, low, high, volume in zip(bars.start_ns, bars.low, bars.high, bars.volume, strict=True):
        if not left:
            break
        if ns > from_ns and not volume:
            continue
        # It takes the quote of every second as long as that is within its limit; then it rests at its limit.
        quoted = quote_price(contract, int(ns), is_buy)
        is_taking = is_taking and (quoted <= limit if is_buy else quoted >= limit)
        is_reached = volume > 0 and (price_of(low) <= limit if is_buy else price_of(high) >= limit)
        shares = min(left, D(int(volume) * share // 1)) if is_taking or is_reached else D(0)
        if shares:
            wanted.append((int(ns), quoted if is_taking else limit, shares))
            left -= shares
    assert [(e.at_ns, e.price, e.shares) for e in simulator.executions] == wanted
    [order] = simulator.orders
    assert order.filled == hundreds * 100 - left
    # The commission of the parts is that of the whole: 0.005 a share, one dollar at least.
    if order.filled:
        assert order.commission == max(D(1), order.filled * D("0.005"))


@pytest.mark.slow
def test_large_market_orders_take_what_trades_until_they_are_filled() -> None:
    simulator = Simulator(TAPE, SimConfig(fill_volume_share=D("0.05"), cash=D(10**9)), at(DAY, "10:00"))
    client = RawClient(simulator)
    client.order(1, "BUY", 20_000, "SO")
    simulator.advance_to(CLOSE)

    [order] = simulator.orders
    assert order.status.value == "Filled"
    assert len(simulator.executions) > 10
    assert [e.cumulative for e in simulator.executions][-1] == 20_000
    assert order.average_price == sum(e.shares * e.price for e in simulator.executions) / 20_000


def test_a_large_fill_or_kill_is_killed_and_immediate_or_cancel_keeps_what_it_got() -> None:
    for tif, status in (("FOK", "Cancelled"), ("IOC", "Cancelled")):
        simulator = Simulator(TAPE, SimConfig(fill_volume_share=D("0.1"), cash=D(10**9)), at(DAY, "09:30"))
        RawClient(simulator).order(1, "BUY", 500_000, "SO", tif=tif)
        [order] = simulator.orders
        assert order.status.value == status
        assert (order.filled > 0) is (tif == "IOC")


def test_orders_with_a_limit_trade_before_the_open_and_after_the_close() -> None:
    contract = NAMES["AAPL"]
    simulator = Simulator(TAPE, SimConfig(), at(DAY, "07:00"))
    client = RawClient(simulator)
    bars = TAPE.bars(contract, SECOND, What.TRADES, at(DAY, "07:00"), at(DAY, "09:30"), False)
    assert bars is not None
    low = price_of(bars.low[bars.volume > 0].min())
    client.order(1, "BUY", 100, "AAPL", lmtPrice=low, outsideRth=True)
    client.order(2, "BUY", 100, "AAPL", lmtPrice=low)
    simulator.advance_to(at(DAY, "09:29:59"))

    [execution] = simulator.executions
    hit = int(bars.start_ns[(bars.volume > 0) & (bars.low <= float(low) + 1e-9)][0])
    assert (execution.order_id, execution.at_ns, execution.price) == (1, hit, low)

    evening = Simulator(TAPE, SimConfig(), at(DAY, "17:00"))
    RawClient(evening).order(1, "BUY", 100, "AAPL", lmtPrice=D(1), outsideRth=True)
    assert evening.orders[0].status.value == "Submitted"
    evening.advance_to(at(DAY, "20:00"))
    assert evening.orders[0].status.value == "Cancelled"


def test_closing_orders_fill_at_the_close_of_the_day_bar_and_opening_orders_at_its_open() -> None:
    simulator = Simulator(TAPE, SimConfig(), at(date(2026, 11, 18), "12:00"))
    client = RawClient(simulator)
    client.order(1, symbol="SO", tif="OPG")
    simulator.advance_to(at(DAY, "12:00"))
    client.order(2, symbol="SO", orderType="MOC")
    simulator.advance_to(CLOSE)

    days = TAPE.bars(NAMES["SO"], BarSize("1 day", "day", 1), What.TRADES, at(DAY, "00:00"), CLOSE, True)
    assert days is not None
    assert [e.price for e in simulator.executions] == [price_of(days.open[0]), price_of(days.close[0])]
    assert [e.at_ns for e in simulator.executions] == [at(DAY, "09:30"), CLOSE]


def test_a_split_cancels_the_orders_that_wait_for_it() -> None:
    friday, monday = date(2024, 7, 12), date(2024, 7, 15)  # ten for one on Monday
    simulator = Simulator(TAPE, SimConfig(), at(friday, "15:00"))
    client = RawClient(simulator)
    client.order(1, symbol="AVGO", lmtPrice="1.00", tif="GTC")
    client.order(2, symbol="NVDA", lmtPrice="1.00", tif="GTC")
    simulator.advance_to(at(monday, "10:00"))
    assert [order.status.value for order in simulator.orders] == ["Cancelled", "Submitted"]
    assert simulator.orders[0].done_reason == "The contract was split."


# What no sequence of events may break

RANK = {"PreSubmitted": 0, "Submitted": 1, "PendingCancel": 2, "Cancelled": 3, "Filled": 3, "Inactive": 3}

moves = st.one_of(
    st.tuples(st.just("place"), kinds, st.booleans(), offsets, st.integers(1, 9), st.sampled_from(["", "g"])),
    st.tuples(st.just("child"), st.integers(0, 9), st.booleans(), offsets),
    st.tuples(st.just("change"), st.integers(0, 9), offsets, st.integers(1, 9)),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("fill"), st.integers(0, 9), st.integers(1, 900)),
    st.tuples(st.just("wait"), st.integers(1, 7200)),
    st.tuples(st.just("correct"), st.integers(0, 9), st.integers(0, 500)),
    st.tuples(st.just("global cancel")),
)


class Play:
    """One client doing things at random; every message it hears is checked."""

    def __init__(self) -> None:
        config = SimConfig(fill_volume_share=D("0.02"), shortable={"LUNR": 700})
        self.simulator = Simulator(TAPE, config, at(DAY, "09:45"))
        self.client = RawClient(self.simulator)
        self.ranks: dict[int, int] = {}
        self.filled: Counter[int] = Counter()
        self.executed: Counter[int] = Counter()
        self.is_corrected = False
        self.next_id = 1

    def price(self, off: Decimal) -> Decimal:
        quote = TAPE.quote(NAMES["LUNR"], self.simulator.now_ns)
        assert quote is not None
        return round(quote.last * (1 + off), 2)

    def some(self, number: int) -> Any:
        orders = self.simulator.orders
        return orders[number % len(orders)] if orders else None

    def send(self, order_id: int, kind: str, is_buy: bool, quantity: int, price: Decimal, **more: Any) -> None:
        """Place or change an order."""
        values = {
            "orderId": order_id, "symbol": "LUNR", "secType": "STK", "exchange": "SMART", "currency": "USD",
            "action": "BUY" if is_buy else "SELL", "totalQuantity": D(quantity), "orderType": kind, "tif": "DAY",
            "lmtPrice": price, "auxPrice": D("0.25") if kind == "TRAIL" else price, "transmit": True,
        }  # fmt: skip
        self.client.send("placeOrder", **(values | more))

    def perform(self, move: tuple[Any, ...]) -> None:
        getattr(self, move[0].replace(" ", "_"))(*move[1:])
        self.listen()

    def place(self, kind: str, is_buy: bool, off: Decimal, hundreds: int, group: str) -> None:
        price = self.price(off)
        self.send(self.next_id, kind, is_buy, hundreds * 100, price, ocaGroup=group, ocaType=2)
        self.next_id += 1

    def child(self, number: int, transmit: bool, off: Decimal) -> None:
        parent = self.some(number)
        if parent is not None:
            more = {"parentId": parent.order_id, "transmit": transmit}
            self.send(self.next_id, "LMT", not parent.terms.is_buy, 100, self.price(off), **more)
            self.next_id += 1

    def change(self, number: int, off: Decimal, hundreds: int) -> None:
        order = self.some(number)
        if order is not None:
            kind, is_buy = order.terms.order_type, order.terms.is_buy
            self.send(order.order_id, kind, is_buy, hundreds * 100, self.price(off))

    def cancel(self, number: int) -> None:
        order = self.some(number)
        if order is not None:
            self.client.send("cancelOrder", orderId=order.order_id)

    def fill(self, number: int, shares: int) -> None:
        order = self.some(number)
        if order is not None:
            self.simulator.parts.exchange.fill_now(order, D(shares))

    def wait(self, seconds: int) -> None:
        self.simulator.advance_to(self.simulator.now_ns + seconds * NS)

    def correct(self, number: int, cents: int) -> None:
        executions = self.simulator.executions
        if executions:
            self.is_corrected = True
            chosen = executions[number % len(executions)]
            self.simulator.parts.exchange.correct(chosen.exec_id, price=D(cents + 1) / 100)

    def global_cancel(self) -> None:
        self.client.send("reqGlobalCancel")

    def listen(self) -> None:
        for message in self.client.read():
            order_id = message.values.get("orderId")
            if message.name == "orderStatus":
                rank = RANK[message.text("status")]
                assert rank >= self.ranks.get(order_id, 0), f"order {order_id} went back to {message.text('status')}"
                assert self.ranks.get(order_id) != 3 or rank == 3
                self.ranks[order_id] = rank
                filled = message.number("filled") or D(0)
                assert filled >= self.filled[order_id]
                self.filled[order_id] = int(filled)
                assert (message.number("remaining") or D(0)) >= 0
            if message.name == "execDetails" and message.text("execId").endswith(".01"):
                self.executed[order_id] += int(message.number("shares") or 0)
                assert message.number("cumQty") == self.executed[order_id]

    def check(self) -> None:
        simulator = self.simulator
        for order in simulator.orders:
            assert 0 <= order.filled <= order.quantity <= order.terms.quantity
            assert order.filled == self.executed[order.order_id]
            assert (order.status.value == "Filled") is (order.remaining == 0)
        ledger = simulator.ledgers["DU1234567"]
        by_currency: Counter[str] = Counter()
        for (_, currency), amount in ledger.balances.items():
            by_currency[currency] += amount  # type: ignore[assignment]
        assert set(by_currency.values()) == {0}
        signed = sum(order.filled if order.terms.is_buy else -order.filled for order in simulator.orders)
        position = ledger.positions.get(NAMES["LUNR"].con_id)
        assert (position.quantity if position else 0) == signed


@pytest.mark.slow
@settings(max_examples=examples(40), deadline=None)
@given(st.lists(moves, max_size=25))
def test_nothing_overfills_and_no_status_goes_back(sequence: list[tuple[Any, ...]]) -> None:
    play = Play()
    for move in sequence:
        play.perform(move)
        play.check()
    play.simulator.advance_to(at(DAY, "20:00"))
    play.listen()
    play.check()
    alive = [order for order in play.simulator.orders if order.is_working]
    assert alive == [], "DAY orders end with their day"
