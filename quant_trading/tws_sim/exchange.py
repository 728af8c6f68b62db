"""The exchange: it works orders against the tape at simulated time, and books what they do.

How orders fill (one fill each; partial fills come with the order types still to be built):

- A market order in a session fills at the ask (buy) or bid (sell), or at the last price without spread.
- Outside a session it waits, warned by 399, for the open and fills at the official opening price, without
  spread. When the opening has no print, it is tried again every minute (assumed).
- A limit order that is marketable fills at once at the quote, or at the opening price when it waited for
  the open; otherwise it rests and fills when the tape first trades at its limit or beyond.
- DAY orders end with the session they live in, IOC orders at once, GTC orders stay.
- `outsideRth` is ignored with warning 2109: the tape is matched in regular hours only (assumed).
"""

from decimal import Decimal
from typing import Protocol

from quant_trading.refdata.sessions import Session, exchange_date, next_session, session_at
from quant_trading.tws_sim.accounts import Ledger
from quant_trading.tws_sim.config import SimConfig, commission_for
from quant_trading.tws_sim.orders import Event, Execution, Order, Status
from quant_trading.tws_sim.tape import Contract, Quote, Tape
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["Exchange", "OrderListener"]

_MINUTE_NS = 60_000_000_000
_DAY_NS = 86_400_000_000_000


class OrderListener(Protocol):
    """Who is told what happens to orders, in the order it happens."""

    def on_status(self, order: Order) -> None:
        """The order has a new state (or is acknowledged again in the same one)."""

    def on_execution(self, order: Order, execution: Execution) -> None:
        """The order was filled: books and state are already as they are after it."""

    def on_notice(self, order: Order, code: int, **parts: object) -> None:
        """TWS says something about the order."""


class Exchange:
    """Matching and books of one simulated market.

    Attributes:
        ledgers: books by account.
        executions: every fill of the simulation, in order.
    """

    def __init__(self, tape: Tape, timeline: Timeline, config: SimConfig, listener: OrderListener) -> None:
        self._tape = tape
        self._timeline = timeline
        self._config = config
        self._listener = listener
        day = exchange_date(timeline.now_ns)
        self.ledgers = {account: Ledger(account, config.cash, day) for account in config.accounts}
        self.executions: list[Execution] = []
        self._exec_prefix = f"{timeline.now_ns // _DAY_NS:08x}.{timeline.now_ns // 1_000_000_000 % 86_400:08x}"
        self._quotes: dict[int, tuple[int, Quote | None]] = {}
        self._references: dict[int, tuple[int, Decimal | None]] = {}

    # Prices

    def quote(self, contract: Contract) -> Quote | None:
        """Return the top of the book now; asked once per moment."""
        now = self._timeline.now_ns
        known = self._quotes.get(contract.con_id)
        if known is None or known[0] != now:
            known = (now, self._tape.quote(contract, now))
            self._quotes[contract.con_id] = known
        return known[1]

    def mark(self, contract: Contract) -> Decimal | None:
        """Return the price of valuation: the latest trade, which outside a session is the last close."""
        quote = self.quote(contract)
        return None if quote is None else quote.last

    def reference_mark(self, contract: Contract) -> Decimal | None:
        """Return the close before the running exchange day."""
        day_start = self._day_start_ns()
        known = self._references.get(contract.con_id)
        if known is None or known[0] != day_start:
            quote = self._tape.quote(contract, day_start)
            known = (day_start, None if quote is None else quote.last)
            self._references[contract.con_id] = known
        return known[1]

    def _day_start_ns(self) -> int:
        # Any moment between the last close and the next open has the same latest trade; midnight UTC of an
        # exchange date is 19:00 or 20:00 of the evening before in New York.
        day = exchange_date(self._timeline.now_ns)
        return (day.toordinal() - 719_163) * _DAY_NS

    def ledger(self, account: str) -> Ledger:
        """Return an account's books, with the running exchange day begun."""
        ledger = self.ledgers[account]
        ledger.begin_day(exchange_date(self._timeline.now_ns))
        return ledger

    # Orders

    def open(self, order: Order) -> None:
        """Take a transmitted order: acknowledge it and work it."""
        order.happen(Event.TRANSMIT)
        self._listener.on_status(order)
        if order.terms.outside_rth:
            self._listener.on_notice(order, 2109)
        self._start(order)

    def resume(self, order: Order) -> None:
        """Work an order again after its terms were changed."""
        order.stop_timer()
        self._listener.on_status(order)
        self._start(order)

    def cancel(self, order: Order, reason: str = "") -> None:
        """Cancel on the client's wish: PendingCancel, Cancelled, then 202, in that order (captured)."""
        order.stop_timer()
        was_held = order.status is Status.HELD
        order.happen(Event.CANCEL)
        if not was_held:
            self._listener.on_status(order)
            order.happen(Event.CANCELLED)
        self._finish_cancelled(order, reason)

    def reject(self, order: Order, code: int, text: str) -> None:
        """Refuse an order that was well formed: the error first, then Inactive (reported)."""
        order.happen(Event.TRANSMIT)
        order.happen(Event.REJECT)
        order.completed_ns = self._timeline.now_ns
        order.done_reason = text
        self._listener.on_notice(order, code, text=text)
        self._listener.on_status(order)

    def _finish_cancelled(self, order: Order, reason: str) -> None:
        order.completed_ns = self._timeline.now_ns
        order.done_reason = reason
        self._listener.on_status(order)
        self._listener.on_notice(order, 202, reason=reason)

    def _start(self, order: Order) -> None:
        now = self._timeline.now_ns
        session = session_at(now)
        lives_in = session or next_session(now)
        order.expires_ns = None if order.terms.tif == "GTC" else lives_in.close_ns
        if session is None:
            self._wait_for_open(order, lives_in)
        elif order.contract.symbol in self._config.never_fill:
            self._rest_for_ever(order, session)
        elif order.terms.limit is not None:
            self._work_limit(order, session)
        else:
            at_ns = now + self._config.fill_delay_ns
            order.timer = self._timeline.call_at(at_ns, lambda: self._work_market(order, session))

    def _wait_for_open(self, order: Order, session: Session) -> None:
        if order.terms.tif == "IOC":
            order.happen(Event.CANCELLED)
            self._finish_cancelled(order, "The exchange is closed.")
            return
        warning = f"Your order will not be placed at the exchange until {_eastern(session)}"
        contract = order.contract
        venue = f"{contract.primary_exchange}.{contract.trading_class or contract.symbol}"
        words = f"{order.terms.action} {order.terms.quantity:f} {contract.local_symbol or contract.symbol} {venue}"
        self._listener.on_notice(order, 399, described=words, warning=warning)
        order.timer = self._timeline.call_at(session.open_ns, lambda: self._at_open(order, session))

    def _at_open(self, order: Order, session: Session) -> None:
        if order.contract.symbol in self._config.never_fill:
            self._rest_for_ever(order, session)
            return
        auction = self._tape.open_auction(order.contract, session.open_ns)
        limit = order.terms.limit
        if auction is not None and (limit is None or _reaches(auction, limit, order.terms.is_buy)):
            self._fill(order, auction)
        elif limit is None:
            self._retry_market(order, session)
        else:
            self._rest(order, session)

    def _work_market(self, order: Order, session: Session) -> None:
        if self._timeline.now_ns >= session.close_ns:
            self._at_close(order)
            return
        price = self._price_now(order)
        if price is None:
            self._retry_market(order, session)
        else:
            self._fill(order, price)

    def _retry_market(self, order: Order, session: Session) -> None:
        at_ns = min(self._timeline.now_ns + _MINUTE_NS, session.close_ns)
        order.timer = self._timeline.call_at(at_ns, lambda: self._work_market(order, session))

    def _price_now(self, order: Order) -> Decimal | None:
        quote = self.quote(order.contract)
        if quote is None or not quote.is_open:
            return None
        if self._config.spread == "none":
            return quote.last
        return quote.ask if order.terms.is_buy else quote.bid

    def _work_limit(self, order: Order, session: Session) -> None:
        price = self._price_now(order)
        limit = order.terms.limit
        if price is not None and limit is not None and _reaches(price, limit, order.terms.is_buy):
            self._fill(order, price)
        elif order.terms.tif == "IOC":
            order.happen(Event.CANCELLED)
            self._finish_cancelled(order, "")
        else:
            self._rest(order, session)

    def _rest(self, order: Order, session: Session) -> None:
        """Lay the order into the book until the tape trades at its limit or the session ends."""
        self._show_working(order)
        limit = order.terms.limit
        assert limit is not None, "only limit orders rest"
        now = self._timeline.now_ns
        reached = self._tape.next_trade_at_or_beyond(order.contract, limit, order.terms.is_buy, now, session.close_ns)
        if reached is None:
            order.timer = self._timeline.call_at(session.close_ns, lambda: self._at_close(order))
        else:
            at_ns, price = reached
            order.timer = self._timeline.call_at(max(at_ns, now), lambda: self._fill(order, price))

    def _rest_for_ever(self, order: Order, session: Session) -> None:
        self._show_working(order)
        order.timer = self._timeline.call_at(session.close_ns, lambda: self._at_close(order))

    def _show_working(self, order: Order) -> None:
        if order.status is not Status.SUBMITTED:
            order.happen(Event.WORK)
            self._listener.on_status(order)

    def _at_close(self, order: Order) -> None:
        """The session is over: DAY orders end, GTC orders wait for the next one without a word."""
        order.timer = None
        if order.terms.tif != "GTC":
            order.happen(Event.CANCELLED)
            self._finish_cancelled(order, "The order has expired with its session.")
            return
        session = next_session(self._timeline.now_ns)
        order.timer = self._timeline.call_at(session.open_ns, lambda: self._at_open(order, session))

    # Fills

    def _fill(self, order: Order, price: Decimal) -> None:
        order.timer = None
        shares = order.remaining
        now = self._timeline.now_ns
        commission = commission_for(self._config.commissions, shares, price, now)
        signed = shares if order.terms.is_buy else -shares
        realized = self.ledger(order.terms.account).apply_fill(order.contract, signed, price, commission)
        order.filled += shares
        order.average_price = order.last_price = price
        order.commission = commission
        order.completed_ns = now
        execution = Execution(
            exec_id=f"{self._exec_prefix}.{len(self.executions) + 1:08x}.01",
            at_ns=now,
            order_id=order.order_id,
            client_id=order.client_id,
            perm_id=order.perm_id,
            account=order.terms.account,
            contract=order.contract,
            is_buy=order.terms.is_buy,
            shares=shares,
            price=price,
            cumulative=order.filled,
            average_price=order.average_price,
            order_ref=order.terms.order_ref,
            commission=commission,
            realized=realized,
        )
        self.executions.append(execution)
        order.happen(Event.FILL)
        self._listener.on_execution(order, execution)

    # Margin

    def margin_after(self, order: Order) -> tuple[Decimal, Decimal, Decimal]:
        """Return equity, margin and commission as they would be if the whole order filled now."""
        ledger = self.ledger(order.terms.account)
        price = order.terms.limit or self.mark(order.contract) or Decimal(0)
        commission = commission_for(self._config.commissions, order.terms.quantity, price, self._timeline.now_ns)
        held = ledger.positions.get(order.contract.con_id)
        before = held.quantity if held is not None else Decimal(0)
        mark = self.mark(order.contract) or price
        gross = ledger.gross_value(self.mark)
        gross += (abs(before + order.terms.signed_quantity) - abs(before)) * mark
        return ledger.equity(self.mark) - commission, gross * self._config.margin_rate, commission


def _reaches(price: Decimal, limit: Decimal, is_buy: bool) -> bool:
    return price <= limit if is_buy else price >= limit


def _eastern(session: Session) -> str:
    opens = "09:30:00"
    return f"{session.day.isoformat()} {opens} US/Eastern"
