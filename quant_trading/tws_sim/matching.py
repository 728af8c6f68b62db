"""How orders meet the market: each one waits for the moments of the tape that concern it.

- A market order in a session fills at the ask (buy) or bid (sell), or at the last price without spread.
- Outside a session it waits, warned by 399, for the open and fills at the official opening price, without
  spread. When the opening has no print, it is tried again every minute (assumed).
- A limit order that is marketable fills at once at the quote, or at the opening price when it waited for the
  open; otherwise it rests and fills when the tape first trades at its limit or beyond.
- Stops and touched orders watch the last price, whatever their trigger method (assumed), and then become market
  or limit orders. Trailing stops follow the best price of the seconds before.
- A REL order is priced anew at the quote every ten seconds and rests there in between (assumed).
- MOC and LOC fill at the last trade of the session, MOO and LOO (time in force OPG) at the official opening.
- With `fill_volume_share`, an order gets that share of what the tape trades in each second.
- `outsideRth` is heeded by orders with a limit, where the tape has such hours, and ignored with 2109 by others.
- DAY orders end with the hours they live in, IOC and FOK at once, GTD at their date, GTC orders stay.
"""

from collections.abc import Callable
from datetime import date
from decimal import ROUND_DOWN, Decimal
from typing import Protocol

from quant_trading.refdata.sessions import Session, next_session, session_at
from quant_trading.refdata.tick_sizes import round_to_tick
from quant_trading.tws_sim.condition_watch import ConditionWatch
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.order_checks import tick_of
from quant_trading.tws_sim.order_terms import AUCTION_TYPES, STOP_TYPES, TOUCHED_TYPES
from quant_trading.tws_sim.orders import Order
from quant_trading.tws_sim.scan import SECOND_NS, Hours, Scanner, Trail, hours_at, next_hours
from quant_trading.tws_sim.tape import Contract, Quote, Tape
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["Floor", "Matcher", "heeds_outside_rth", "why_held"]

_MINUTE_NS = 60_000_000_000
_PEG_NS = 10_000_000_000
_ANY_PRICE = Decimal("0.00001")
_EXPIRED = "The order has expired with its session."
# When the books of the closing auctions are shut (NYSE and Nasdaq rules; others assumed like NYSE).
_CUTOFF_NS = {"NASDAQ": 300_000_000_000, "NYSE": 600_000_000_000}
_OUTSIDE_TYPES = frozenset({"LMT", "STP LMT", "LIT", "TRAIL LIMIT", "REL"})


class Floor(Protocol):
    """What happens to an order at the exchange; the matcher says when."""

    def quote(self, contract: Contract) -> Quote | None:
        """Return the top of the book now."""

    def fill(self, order: Order, price: Decimal, shares: Decimal, *, is_taking: bool) -> None:
        """Book a fill and tell."""

    def show_working(self, order: Order) -> None:
        """The order works now, if it did not before."""

    def expire(self, order: Order, reason: str) -> None:
        """Cancel without anybody's wish."""

    def reject(self, order: Order, code: int, text: str) -> None:
        """Refuse an order that was taken."""

    def warn_waiting(self, order: Order, opens_ns: int) -> None:
        """Say that the order waits for the open."""


def heeds_outside_rth(order: Order) -> bool:
    """Say whether the order trades outside regular hours."""
    return order.terms.outside_rth and order.terms.order_type in _OUTSIDE_TYPES


def why_held(order: Order) -> str:
    """Return TWS's words for what keeps an order from working (reported: "child,trigger"), empty when nothing does."""
    words = []
    if _waits_for_parent(order):
        words.append("child")
    if order.contract.con_id and order.why_held == "locate" and not order.is_located:
        words.append("locate")
    kinds = STOP_TYPES | TOUCHED_TYPES
    if not order.is_triggered and (order.terms.order_type in kinds or order.terms.is_trailing):
        words.append("trigger")
    return ",".join(words)


def _waits_for_parent(order: Order) -> bool:
    parent = order.parent
    return parent is not None and not parent.status.is_done


class Matcher:
    """Works orders against the tape at simulated time."""

    def __init__(self, floor: Floor, tape: Tape, timeline: Timeline, config: SimConfig) -> None:
        self._floor = floor
        self._tape = tape
        self._timeline = timeline
        self._config = config
        self._scanner = Scanner(tape)
        self._watch = ConditionWatch(tape, self._scanner)

    def forget_market(self) -> None:
        """Look at the tape anew: its past has changed."""
        self._scanner.forget()

    # What comes before working

    def start(self, order: Order) -> None:
        """Work an order that was transmitted, changed, or set free by its parent."""
        order.stop_timer()
        terms, now = order.terms, self._timeline.now_ns
        self.reset_limit(order)
        if _waits_for_parent(order) or (order.why_held == "locate" and not order.is_located):
            self._wait(order)
        elif terms.good_after_ns is not None and terms.good_after_ns > now:
            order.timer = self._timeline.call_at(terms.good_after_ns, lambda: self.start(order))
        elif terms.conditions and not order.are_conditions_met:
            self._watch_conditions(order)
        else:
            self._activate(order)

    def reset_limit(self, order: Order) -> None:
        """Work at the limit the client gave; the one of a trailing order is its own once it is triggered."""
        if not (order.terms.order_type == "TRAIL LIMIT" and order.is_triggered):
            order.limit = order.terms.limit

    def _wait(self, order: Order) -> None:
        """Let time pass until the order ends or its next hours begin."""
        hours = self._hours_now(order) or self._next_hours(order)
        self._call(order, self._until(order, hours), lambda: self._at_end(order, self.start))

    def _call(self, order: Order, at_ns: int, action: Callable[[], None]) -> None:
        order.timer = self._timeline.call_at(at_ns, action)

    def _hours_now(self, order: Order) -> Hours | None:
        return hours_at(self._timeline.now_ns, heeds_outside_rth(order))

    def _next_hours(self, order: Order) -> Hours:
        return next_hours(self._timeline.now_ns, heeds_outside_rth(order))

    def _until(self, order: Order, hours: Hours) -> int:
        """Return when the order ends or stops trading for the day."""
        good_till = order.terms.good_till_ns
        return hours.end_ns if good_till is None else min(hours.end_ns, max(good_till, self._timeline.now_ns))

    def _activate(self, order: Order) -> None:
        if order.terms.tif == "OPG":
            self._join_open(order)
            return
        if order.terms.order_type in AUCTION_TYPES:
            self._join_close(order)
            return
        hours = self._hours_now(order)
        if hours is None:
            self._wait_for_open(order, self._next_hours(order))
        else:
            self._work(order, hours)

    def _work(self, order: Order, hours: Hours) -> None:
        """Do what the order's type asks for, within these hours."""
        kind = order.terms.order_type
        if order.contract.symbol in self._config.never_fill:
            self._floor.show_working(order)
            self._call(order, self._until(order, hours), lambda: self._at_end(order))
        elif not order.is_triggered and kind in STOP_TYPES | TOUCHED_TYPES:
            self._watch_price(order, hours)
        elif not order.is_triggered and order.terms.is_trailing:
            self._follow(order, hours)
        elif kind == "REL":
            self._peg(order, hours)
        elif order.limit is not None:
            self._work_limit(order, hours)
        else:
            at_ns = self._timeline.now_ns + self._config.fill_delay_ns
            self._call(order, at_ns, lambda: self._work_market(order, hours))

    # The open and the close

    def _wait_for_open(self, order: Order, hours: Hours) -> None:
        if order.terms.tif in ("IOC", "FOK"):
            self._floor.expire(order, "The exchange is closed.")
            return
        good_till = order.terms.good_till_ns
        if good_till is not None and good_till < hours.start_ns:
            self._call(order, max(good_till, self._timeline.now_ns), lambda: self._at_end(order))
            return
        if heeds_outside_rth(order):
            self._floor.show_working(order)
        else:
            self._floor.warn_waiting(order, hours.start_ns)
        self._call(order, hours.start_ns, lambda: self._at_open(order, hours))

    def _at_open(self, order: Order, hours: Hours) -> None:
        kind = order.terms.order_type
        takes_auction = kind in ("MKT", "LMT") and hours.start_ns == hours.session.open_ns
        if not takes_auction or order.contract.symbol in self._config.never_fill:
            self._work(order, hours)
            return
        auction = self._tape.open_auction(order.contract, hours.session.open_ns)
        limit = order.limit
        if auction is not None and (limit is None or _reaches(auction, limit, order.terms.is_buy)):
            self._floor.fill(order, auction, order.remaining, is_taking=False)
        elif limit is None:
            self._retry_market(order, hours)
        else:
            self._rest(order, hours, self._timeline.now_ns)

    def _join_open(self, order: Order) -> None:
        """Wait for the next opening auction: fill there or nowhere."""
        session = next_session(self._timeline.now_ns)
        self._floor.warn_waiting(order, session.open_ns)
        self._call(order, session.open_ns, lambda: self._in_auction(
            order, self._tape.open_auction(order.contract, session.open_ns)
        ))  # fmt: skip

    def _join_close(self, order: Order) -> None:
        now = self._timeline.now_ns
        session = session_at(now)
        if session is None:
            session = next_session(now)
            self._floor.warn_waiting(order, session.open_ns)
        elif now >= session.close_ns - _CUTOFF_NS.get(order.contract.primary_exchange, 600_000_000_000):
            self._floor.reject(order, 201, "Order rejected - reason:Exchange is closed for the closing auction.")
            return
        else:
            self._floor.show_working(order)
        self._call(order, session.close_ns, lambda: self._in_auction(order, self._closing_price(order, session)))

    def _closing_price(self, order: Order, session: Session) -> Decimal | None:
        """Return the session's last trade, None when it had none."""
        quote = self._tape.quote(order.contract, session.close_ns)
        return None if quote is None or quote.open is None else quote.last

    def _in_auction(self, order: Order, price: Decimal | None) -> None:
        limit, is_frozen = order.limit, order.contract.symbol in self._config.never_fill
        if price is None or is_frozen or (limit is not None and not _reaches(price, limit, order.terms.is_buy)):
            self._floor.expire(order, "The order was not filled in the auction.")
        else:
            self._floor.fill(order, price, order.remaining, is_taking=False)

    # Market and limit orders

    def _work_market(self, order: Order, hours: Hours) -> None:
        if self._timeline.now_ns >= self._until(order, hours):
            self._at_end(order)
            return
        price = self._price_now(order, hours)
        if price is None:
            self._retry_market(order, hours)
        else:
            self._take(order, price, hours)

    def _retry_market(self, order: Order, hours: Hours) -> None:
        at_ns = min(self._timeline.now_ns + _MINUTE_NS, hours.end_ns)
        self._call(order, at_ns, lambda: self._work_market(order, hours))

    def _price_now(self, order: Order, hours: Hours) -> Decimal | None:
        """Return the price an order that takes liquidity meets now, None when there is none."""
        quote = self._floor.quote(order.contract)
        if quote is None:
            return None
        move = Decimal(0)
        if not quote.is_open:
            if not heeds_outside_rth(order):
                return None
            # Before the open and after the close the quote keeps its width around the latest trade (assumed).
            last = self._scanner.last_outside(order.contract, hours.start_ns, self._timeline.now_ns)
            if last is None:
                return None
            move = last - quote.last
        if self._config.spread == "none":
            return quote.last + move
        return move + (quote.ask if order.terms.is_buy else quote.bid)

    def _work_limit(self, order: Order, hours: Hours) -> None:
        price, limit = self._price_now(order, hours), order.limit
        assert limit is not None, "only orders with a limit come here"
        if price is not None and _reaches(price, limit, order.terms.is_buy):
            self._take(order, price, hours)
        elif order.terms.tif in ("IOC", "FOK"):
            self._floor.expire(order, "")
        else:
            self._rest(order, hours, self._timeline.now_ns)

    def _take(self, order: Order, price: Decimal, hours: Hours) -> None:
        """Take liquidity at `price`, as much as there is."""
        shares = self._available(order)
        if order.terms.tif == "FOK" and shares < order.remaining:
            self._floor.expire(order, "")
            return
        if shares > 0:
            self._floor.fill(order, self._slipped(order, price), shares, is_taking=True)
        if order.status.is_done:
            return
        if order.terms.tif == "IOC":
            self._floor.expire(order, "")
            return
        self._floor.show_working(order)
        self._await_volume(order, hours)

    def _await_volume(self, order: Order, hours: Hours) -> None:
        """Go on at the next second in which anything trades; a limit then takes more, or rests."""
        start_ns, until_ns = _next_second(self._timeline.now_ns), self._until(order, hours)
        found = self._scanner.first_reach(
            order.contract, _ANY_PRICE, False, start_ns, until_ns, outside_rth=heeds_outside_rth(order)
        )
        if found is None:
            self._call(order, until_ns, lambda: self._at_end(order))
            return
        go_on = self._work_market if order.limit is None else self._work_limit
        self._call(order, found[0], lambda: go_on(order, hours))

    def _available(self, order: Order) -> Decimal:
        """Return the shares to be had now."""
        share = self._config.fill_volume_share
        if share is None:
            return order.remaining
        volume = self._scanner.volume_of_second(order.contract, self._timeline.now_ns)
        if volume is None:
            return order.remaining
        shares = min(order.remaining, (volume * share).to_integral_value(ROUND_DOWN))
        return shares if not order.terms.values.get("allOrNone") or shares == order.remaining else Decimal(0)

    def _slipped(self, order: Order, price: Decimal) -> Decimal:
        """Return the price after slippage and improvement, not beyond the order's limit."""
        ticks = self._config.slippage_ticks - self._config.improvement_ticks
        if not ticks:
            return price
        tick = tick_of(order.contract, price)
        moved = max(tick, price + (ticks if order.terms.is_buy else -ticks) * tick)
        limit = order.limit
        if limit is None or _reaches(moved, limit, order.terms.is_buy):
            return moved
        return limit

    def _rest(self, order: Order, hours: Hours, from_ns: int) -> None:
        """Lay the order into the book until the tape trades at its limit or the hours end."""
        self._floor.show_working(order)
        limit = order.limit
        assert limit is not None, "only orders with a limit rest"
        self._rest_at(order, hours, limit, from_ns, self._until(order, hours), lambda: self._at_end(order))

    def _rest_at(
        self, order: Order, hours: Hours, limit: Decimal, from_ns: int, until_ns: int, otherwise: Callable[[], None]
    ) -> None:
        now = self._timeline.now_ns
        reached = None
        if from_ns < until_ns:
            reached = self._scanner.first_reach(
                order.contract, limit, order.terms.is_buy, from_ns, until_ns, outside_rth=heeds_outside_rth(order)
            )
        if reached is None:
            self._call(order, max(until_ns, now), otherwise)
            return
        at_ns, price = reached

        def fill() -> None:
            shares = self._available(order)
            if shares > 0:
                self._floor.fill(order, price, shares, is_taking=False)
            if not order.status.is_done:
                self._rest_at(order, hours, limit, _next_second(self._timeline.now_ns), until_ns, otherwise)

        self._call(order, max(at_ns, now), fill)

    def _at_end(self, order: Order, again: Callable[[Order], None] | None = None) -> None:
        """The hours are over: the order ends, or waits for the next ones without a word."""
        order.timer = None
        now, terms = self._timeline.now_ns, order.terms
        is_lasting = terms.tif == "GTC" or (terms.good_till_ns is not None and terms.good_till_ns > now)
        if not is_lasting:
            self._floor.expire(order, _EXPIRED)
            return
        hours = self._next_hours(order)
        if terms.good_till_ns is not None and terms.good_till_ns < hours.start_ns:
            self._call(order, terms.good_till_ns, lambda: self._at_end(order))
        elif self._is_split_on(order.contract, hours.session.day):
            # Prices of another day would be wrong by the ratio: IBKR cancels such orders (documented for GTC).
            self._call(order, hours.start_ns, lambda: self._floor.expire(order, "The contract was split."))
        elif again is not None:
            self._call(order, hours.start_ns, lambda: again(order))
        else:
            self._call(order, hours.start_ns, lambda: self._at_open(order, hours))

    def _is_split_on(self, contract: Contract, day: date) -> bool:
        actions = getattr(self._tape, "actions", None)
        return actions is not None and any(event.kind == "split" for event in actions(contract).on(day))

    # Stops, touched and trailing orders

    def _watch_price(self, order: Order, hours: Hours) -> None:
        level, is_buy = order.terms.aux, order.terms.is_buy
        assert level is not None, "stops have a price"
        is_below = is_buy == (order.terms.order_type in TOUCHED_TYPES)
        order.stop = level
        now, until_ns = self._timeline.now_ns, self._until(order, hours)
        last = self._last_price(order, hours)
        if last is not None and _reaches(last, level, is_below):
            self._trigger(order, hours)
            return
        found = self._scanner.first_reach(
            order.contract, level, is_below, now, until_ns, outside_rth=heeds_outside_rth(order)
        )
        if found is None:
            self._call(order, until_ns, lambda: self._at_end(order))
        else:
            self._call(order, max(found[0], now), lambda: self._trigger(order, hours))

    def _last_price(self, order: Order, hours: Hours) -> Decimal | None:
        quote = self._floor.quote(order.contract)
        if quote is None or (not quote.is_open and not heeds_outside_rth(order)):
            return None
        if quote.is_open:
            return quote.last
        return self._scanner.last_outside(order.contract, hours.start_ns, self._timeline.now_ns)

    def _trigger(self, order: Order, hours: Hours) -> None:
        """The stop or trigger was reached: what it held back works from now on."""
        order.timer = None
        order.is_triggered = True
        self._floor.show_working(order)
        if order.limit is not None:
            self._work_limit(order, hours)
        else:
            self._work_market(order, hours)

    def trail_of(self, order: Order) -> Trail:
        """Return how a trailing order's stop follows the market."""
        amount = order.terms.aux if order.terms.trail_percent is None else None
        return Trail(order.terms.is_buy, amount, order.terms.trail_percent)

    def _follow(self, order: Order, hours: Hours) -> None:
        trail, now = self.trail_of(order), self._timeline.now_ns
        last = self._last_price(order, hours)
        if last is None and order.extreme is None:
            # Nothing to follow yet: look again at the next trade.
            self._await_first_trade(order, hours)
            return
        if order.extreme is None:
            order.extreme = _first_extreme(order, trail, last)
        if last is not None:
            order.extreme = min(order.extreme, last) if trail.is_buy else max(order.extreme, last)
        order.trailing_from_ns = now
        order.stop = trail.stop(order.extreme)
        if last is not None and _reaches(last, order.stop, not trail.is_buy):
            self._catch(order, hours, order.extreme)
            return
        until_ns = self._until(order, hours)
        at_ns, extreme = self._scanner.catch(
            order.contract, trail, order.extreme, now, until_ns, outside_rth=heeds_outside_rth(order)
        )
        if at_ns is not None:
            self._call(order, max(at_ns, now), lambda: self._catch(order, hours, extreme))
            return

        def carry() -> None:
            order.extreme, order.trailing_from_ns = extreme, self._timeline.now_ns
            order.stop = trail.stop(extreme)
            self._at_end(order)

        self._call(order, until_ns, carry)

    def _await_first_trade(self, order: Order, hours: Hours) -> None:
        now, until_ns = self._timeline.now_ns, self._until(order, hours)
        found = self._scanner.first_reach(
            order.contract, _ANY_PRICE, False, now, until_ns, outside_rth=heeds_outside_rth(order)
        )
        if found is None:
            self._call(order, until_ns, lambda: self._at_end(order))
        else:
            self._call(order, max(found[0], now + 1), lambda: self._follow(order, hours))

    def _catch(self, order: Order, hours: Hours, extreme: Decimal) -> None:
        trail, terms = self.trail_of(order), order.terms
        order.extreme = extreme
        order.stop = trail.stop(extreme)
        if terms.order_type == "TRAIL LIMIT":
            offset = terms.limit_offset or Decimal(0)
            raw = order.stop + offset if terms.is_buy else order.stop - offset
            order.limit = round_to_tick(max(raw, _ANY_PRICE), tick_of(order.contract, raw))
        self._trigger(order, hours)

    def refresh_stop(self, order: Order) -> None:
        """Bring a trailing stop up to the present moment, for whoever looks at it."""
        if not order.terms.is_trailing or order.is_triggered or order.extreme is None or not order.is_working:
            return
        now = self._timeline.now_ns
        _, order.extreme = self._scanner.catch(
            order.contract, self.trail_of(order), order.extreme, order.trailing_from_ns, now,
            outside_rth=heeds_outside_rth(order),
        )  # fmt: skip
        order.trailing_from_ns = max(now, order.trailing_from_ns)
        order.stop = self.trail_of(order).stop(order.extreme)

    # Pegged orders

    def _peg(self, order: Order, hours: Hours) -> None:
        now, until_ns = self._timeline.now_ns, self._until(order, hours)
        if now >= until_ns:
            self._at_end(order)
            return
        self._floor.show_working(order)
        quote, terms = self._floor.quote(order.contract), order.terms
        again_ns = min((now // _PEG_NS + 1) * _PEG_NS, until_ns)
        if quote is None or not quote.is_open:
            self._call(order, again_ns, lambda: self._peg(order, hours))
            return
        offset = terms.aux or Decimal(0)
        price = quote.bid + offset if terms.is_buy else quote.ask - offset
        if terms.limit is not None:
            price = min(price, terms.limit) if terms.is_buy else max(price, terms.limit)
        opposite = quote.ask if terms.is_buy else quote.bid
        if _reaches(opposite, price, terms.is_buy):
            shares = self._available(order)
            if shares > 0:
                self._floor.fill(order, opposite, shares, is_taking=True)
            if order.status.is_done:
                return
        # A trade at the very moment of the next look still meets the old price.
        rest_until_ns = min(again_ns + 1, until_ns)
        self._rest_at(order, hours, price, _next_second(now), rest_until_ns, lambda: self._peg(order, hours))

    # Conditions

    def _watch_conditions(self, order: Order) -> None:
        terms, now = order.terms, self._timeline.now_ns
        outside = heeds_outside_rth(order) or terms.conditions_ignore_rth
        hours = hours_at(now, outside) or next_hours(now, outside)
        until_ns = self._until(order, hours)
        met_ns = self._watch.first_met(terms.conditions, now, until_ns, outside)
        if terms.cancels_on_conditions:
            # The order works meanwhile; only its end is conditional.
            order.are_conditions_met = True
            self._activate(order)
            order.are_conditions_met = order.status.is_done
            if not order.status.is_done:
                at_ns = until_ns + 1 if met_ns is None else met_ns
                order.condition_timer = self._timeline.call_at(at_ns, lambda: self._on_cancel_conditions(order, met_ns))
        elif met_ns is None:
            self._call(order, until_ns, lambda: self._at_end(order, self.start))
        elif met_ns <= now:
            self._on_conditions(order)
        else:
            self._call(order, met_ns, lambda: self._on_conditions(order))

    def _on_conditions(self, order: Order) -> None:
        order.timer = None
        order.are_conditions_met = True
        self._activate(order)

    def _on_cancel_conditions(self, order: Order, met_ns: int | None) -> None:
        if not order.is_working:
            return
        if met_ns is not None:
            self._floor.expire(order, "The order's conditions were met.")
            return
        terms, now = order.terms, self._timeline.now_ns
        outside = heeds_outside_rth(order) or terms.conditions_ignore_rth
        hours = hours_at(now, outside) or next_hours(now, outside)
        found_ns = self._watch.first_met(terms.conditions, max(now, hours.start_ns), hours.end_ns, outside)
        at_ns = hours.end_ns + 1 if found_ns is None else found_ns
        order.condition_timer = self._timeline.call_at(at_ns, lambda: self._on_cancel_conditions(order, found_ns))


def _first_extreme(order: Order, trail: Trail, last: Decimal | None) -> Decimal:
    """Return the price whose stop is the one the client gave, or the last price."""
    stop = order.terms.trail_stop
    if stop is None:
        assert last is not None, "a trail begins at a price"
        return last
    side = -1 if trail.is_buy else 1
    if trail.amount is not None:
        return stop + side * trail.amount
    assert trail.percent is not None, "a trail has an amount or a percent"
    return round(stop / (1 - side * trail.percent / 100), 5)


def _reaches(price: Decimal, limit: Decimal, is_below: bool) -> bool:
    """Say whether `price` is at `limit` or below it (else: or above it)."""
    return price <= limit if is_below else price >= limit


def _next_second(ns: int) -> int:
    return (ns // SECOND_NS + 1) * SECOND_NS
