"""The exchange: orders come in, the matcher works them, and what they do is booked and told.

Families and groups:

- A child order waits until its parent is filled (documented). When the parent is cancelled without a fill its
  children go with it; after a partial fill they protect what was filled (assumed).
- The children of one parent form a group of type 3 named after the parent's permId (captured in open orders).
- In a group of type 1 any fill cancels the others; in types 2 and 3 a partial fill reduces the others by the
  same share, and the last one cancels them (documented). Cancelling one leaves the others (assumed).
"""

from collections import Counter
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from typing import Protocol

from quant_trading.tws_sim.accounts import Ledger
from quant_trading.tws_sim.charges import order_commission
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.margin import Margins, Preview, margins_of, preview_order
from quant_trading.tws_sim.matching import Matcher, heeds_outside_rth, why_held
from quant_trading.tws_sim.orders import Event, Execution, Order, Status
from quant_trading.tws_sim.rates import RateTable, pairs_of
from quant_trading.tws_sim.tape import Contract, Quote, Tape
from quant_trading.tws_sim.timeline import Timeline
from quant_trading.tws_sim.times import exchange_day, exchange_stamp

__all__ = ["Exchange", "OrderListener"]

_DAY_NS = 86_400_000_000_000
_ZERO = Decimal(0)


class OrderListener(Protocol):
    """Who is told what happens to orders, in the order it happens."""

    def on_status(self, order: Order) -> None:
        """The order has a new state (or is acknowledged again in the same one)."""

    def on_acknowledged(self, order: Order) -> None:
        """All is said about the new order; it is worked from now on."""

    def on_execution(self, order: Order, execution: Execution) -> None:
        """The order was filled: books and state are already as they are after it."""

    def on_notice(self, order: Order, code: int, **parts: object) -> None:
        """TWS says something about the order."""

    def on_correction(self, order: Order | None, execution: Execution) -> None:
        """An execution is reported again, the same or corrected."""


class Exchange:
    """Orders and books of one simulated market.

    Attributes:
        ledgers: books by account.
        executions: every fill of the simulation, in order, corrections after what they correct.
    """

    def __init__(self, tape: Tape, timeline: Timeline, config: SimConfig, listener: OrderListener) -> None:
        self._tape = tape
        self._timeline = timeline
        self._config = config
        self._listener = listener
        self._matcher = Matcher(self, tape, timeline, config)
        day = exchange_day(timeline.now_ns)
        base = config.base_currency
        self.ledgers = {account: Ledger(account, config.cash, day, base) for account in config.accounts}
        for currency, amount in config.foreign_cash.items():
            self.ledgers[config.accounts[0]].deposit(currency, amount)
        self.executions: list[Execution] = []
        self._exec_prefix = f"{timeline.now_ns // _DAY_NS:08x}.{timeline.now_ns // 1_000_000_000 % 86_400:08x}"
        self._fills = 0
        self._quotes: dict[int, tuple[int, Quote | None]] = {}
        self._references: dict[int, tuple[int, Decimal | None]] = {}
        self._rates = RateTable(pairs_of(tape, timeline.now_ns), base, config.exchange_rates, self.mark)
        self._groups: dict[tuple[str, str], list[Order]] = {}
        self._orders: dict[int, Order] = {}
        self._month_volume: Counter[tuple[str, int, int]] = Counter()

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

    def rate(self, currency: str) -> Decimal:
        """Return what one unit of a currency is worth in the base currency now."""
        return self._rates.rate(currency)

    def _day_start_ns(self) -> int:
        # Any moment between the last close and the next open has the same latest trade; six hours after midnight
        # UTC the exchange date has begun in New York, and with it the splits of that day.
        day = exchange_day(self._timeline.now_ns)
        return (day.toordinal() - 719_163) * _DAY_NS + _DAY_NS // 4

    def ledger(self, account: str) -> Ledger:
        """Return an account's books, with the running exchange day begun."""
        ledger = self.ledgers[account]
        ledger.begin_day(exchange_day(self._timeline.now_ns))
        return ledger

    # Orders

    def open(self, *orders: Order) -> None:
        """Take transmitted orders, a family of them together: acknowledge each, then work each."""
        for order in orders:
            self._orders[order.perm_id] = order
            if order.parent is not None and not order.oca_group:
                order.oca_group, order.oca_type = str(order.parent.perm_id), 3
            if order.oca_group:
                self._groups.setdefault((order.terms.account, order.oca_group), []).append(order)
            order.happen(Event.TRANSMIT)
            order.why_held = why_held(order)
            self._listener.on_status(order)
            if order.terms.is_preset_tif:
                self._listener.on_notice(order, 10349, tif=order.terms.tif)
            if order.terms.outside_rth and not heeds_outside_rth(order):
                self._listener.on_notice(order, 2109)
            self._locate(order)
        if orders:
            self._listener.on_acknowledged(orders[-1])
        for order in orders:
            if order.is_working:
                self._matcher.start(order)

    def _locate(self, order: Order) -> None:
        """Hold a short sale whose shares are not all there (404)."""
        if order.why_held == "locate":
            self._listener.on_notice(order, 404)

    def lacks_shares(self, order: Order) -> tuple[Decimal, Decimal] | None:
        """Return (shares wanted, shares to borrow) of a short sale that cannot be covered, else None."""
        available = self._config.shortable.get(order.contract.symbol)
        if available is None or order.terms.is_buy or order.parent is not None:
            return None
        held = self.ledger(order.terms.account).positions.get(order.contract.con_id)
        position = held.quantity if held is not None else _ZERO
        wanted = order.remaining - max(position, _ZERO)
        borrowed = -min(position, _ZERO)
        left = max(_ZERO, available - borrowed)
        return (wanted, left) if wanted > left else None

    def locate(self, order: Order) -> None:
        """Find the shares of a held short sale: it works from now on."""
        if order.why_held.startswith("locate") and order.is_working:
            order.is_located, order.why_held = True, ""
            order.why_held = why_held(order)
            self._listener.on_status(order)
            self._matcher.start(order)

    def resume(self, order: Order) -> None:
        """Work an order again after its terms were changed."""
        order.stop_timer()
        self._matcher.reset_limit(order)
        order.why_held = why_held(order)
        self._listener.on_status(order)
        self._matcher.start(order)

    def cancel(self, order: Order, reason: str = "") -> None:
        """Cancel on the client's wish: PendingCancel, Cancelled, then 202, in that order (captured)."""
        order.stop_timer()
        was_held = order.status is Status.HELD
        order.happen(Event.CANCEL)
        if not was_held:
            self._listener.on_status(order)
            order.happen(Event.CANCELLED)
        self._finish_cancelled(order, reason)

    def expire(self, order: Order, reason: str) -> None:
        """Cancel without anybody's wish: the order's time is over, or its group's, or its parent's."""
        order.stop_timer()
        order.happen(Event.CANCELLED)
        self._finish_cancelled(order, reason)

    def reject(self, order: Order, code: int, text: str) -> None:
        """Refuse an order that was well formed: the error first, then Inactive (reported)."""
        order.stop_timer()
        if order.status is Status.HELD:
            order.happen(Event.TRANSMIT)
        order.happen(Event.REJECT)
        order.completed_ns = self._timeline.now_ns
        order.done_reason = text
        self._listener.on_notice(order, code, text=text)
        self._listener.on_status(order)
        self._release_children(order)

    def _finish_cancelled(self, order: Order, reason: str) -> None:
        order.completed_ns = self._timeline.now_ns
        order.done_reason = reason
        order.why_held = ""
        self._listener.on_status(order)
        self._listener.on_notice(order, 202, reason=reason)
        self._release_children(order)

    def _release_children(self, parent: Order) -> None:
        """The parent is done: its children work for what it has filled, or go with it."""
        for child in parent.children:
            if child.status.is_done:
                continue
            if parent.filled <= 0:
                self.expire(child, "")
                continue
            if parent.filled <= child.filled:
                # It has been filled before its time (a fault): there is nothing left for it to protect.
                self.expire(child, "")
                continue
            child.quantity = min(child.quantity, parent.filled)
            if child.is_working:
                self.resume(child)

    # What the matcher says

    def show_working(self, order: Order) -> None:
        """The order works now; told once."""
        order.why_held = ""
        if order.status is Status.PRE_SUBMITTED:
            order.happen(Event.WORK)
            self._listener.on_status(order)

    def warn_waiting(self, order: Order, opens_ns: int) -> None:
        """Say that the order waits for the open (399)."""
        warning = f"Your order will not be placed at the exchange until {exchange_stamp(opens_ns)}"
        contract = order.contract
        venue = f"{contract.venue}.{contract.trading_class or contract.symbol}"
        words = f"{order.terms.action} {order.quantity:f} {contract.local_symbol or contract.symbol} {venue}"
        self._listener.on_notice(order, 399, described=words, warning=warning)

    def refresh(self, order: Order) -> None:
        """Bring what moves with the market (a trailing stop) up to now, before the order is shown."""
        self._matcher.refresh_stop(order)

    # Fills

    def fill(self, order: Order, price: Decimal, shares: Decimal, *, is_taking: bool = True) -> None:
        """Book an execution of at most what remains, and tell."""
        shares = min(shares, order.remaining)
        if shares == order.remaining:
            order.stop_timer()
        remaining_before, now = order.remaining, self._timeline.now_ns
        total = order.filled + shares
        average = price if not order.filled else (order.average_price * order.filled + price * shares) / total
        charged = self._commission_of(order, total, average, is_taking)
        commission = max(_ZERO, charged - (order.commission or _ZERO))
        signed = shares if order.terms.is_buy else -shares
        realized = self.ledger(order.terms.account).apply_fill(order.contract, signed, price, commission)
        order.filled, order.average_price, order.last_price = total, average, price
        order.commission = (order.commission or _ZERO) + commission
        order.why_held = ""
        self._fills += 1
        execution = Execution(
            exec_id=f"{self._exec_prefix}.{self._fills:08x}.01",
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
            is_liquidation=order.is_liquidation,
        )
        self.executions.append(execution)
        self._month_volume[self._month_of(order)] += int(shares)
        if order.remaining:
            order.happen(Event.PART_FILL)
        else:
            order.completed_ns = now
            order.happen(Event.FILL)
        self._listener.on_execution(order, execution)
        self._settle_group(order, remaining_before)
        if order.status is Status.FILLED:
            self._release_children(order)

    def fill_now(self, order: Order, shares: Decimal) -> None:
        """Fill some of a working order at its limit or the latest price, whatever the market does (a fault)."""
        price = order.limit or self.mark(order.contract)
        if price is not None and order.is_working and shares > 0:
            self.fill(order, price, shares)

    def look_again(self, contract: Contract) -> None:
        """Work the orders of a contract anew: its market was halted, or is no more."""
        self._matcher.forget_market()
        for order in list(self._orders.values()):
            if order.contract.con_id == contract.con_id and order.is_working:
                self._matcher.start(order)

    def _month_of(self, order: Order) -> tuple[str, int, int]:
        day = exchange_day(self._timeline.now_ns)
        return order.terms.account, day.year, day.month

    def _commission_of(self, order: Order, shares: Decimal, price: Decimal, is_taking: bool) -> Decimal:
        """Return what the order costs in all when `shares` of it are filled."""
        signed = shares if order.terms.is_buy else -shares
        before = Decimal(0)
        if self._config.commissions == "ibkr_tiered":
            before = self._month_volume[self._month_of(order)] - order.filled
        return order_commission(
            self._config.commissions, order.contract, signed, price, self._timeline.now_ns,
            month_volume=max(_ZERO, before), is_taking=is_taking,
        )  # fmt: skip

    def _settle_group(self, order: Order, remaining_before: Decimal) -> None:
        """Cancel or reduce the other orders of a filled order's group."""
        if not order.oca_group:
            return
        is_last = order.status is Status.FILLED
        for other in list(self._groups.get((order.terms.account, order.oca_group), ())):
            if other is order or other.status.is_done:
                continue
            if is_last or order.oca_type == 1:
                self.expire(other, "")
                continue
            left = (other.remaining * order.remaining / remaining_before).to_integral_value(ROUND_DOWN)
            if left <= 0:
                # It keeps what it had left: nothing remains of an order that is filled, and of no other.
                self.expire(other, "")
                continue
            other.quantity = other.filled + left
            if other.is_working:
                self._listener.on_status(other)
        if is_last:
            self._groups.pop((order.terms.account, order.oca_group), None)

    # Reports again, for faults and corporate actions

    def repeat(self, exec_id: str) -> None:
        """Report an execution once more, as it was.

        Raises:
            KeyError: there is no such execution.
        """
        execution = self._execution(exec_id)
        self._listener.on_correction(self._orders.get(execution.perm_id), execution)

    def correct(self, exec_id: str, *, price: Decimal | None = None, shares: Decimal | None = None) -> Execution:
        """Correct an execution: the books take the difference, the report's last segment counts up (documented).

        Args:
            shares: 0 busts it.

        Raises:
            KeyError: there is no such execution.
        """
        old = self._execution(exec_id)
        head, _, revision = old.exec_id.rpartition(".")
        new = replace(
            old,
            exec_id=f"{head}.{int(revision) + 1:02d}",
            price=old.price if price is None else price,
            shares=old.shares if shares is None else shares,
        )
        side = 1 if old.is_buy else -1
        ledger = self.ledger(old.account)
        ledger.correct(old.contract, side * old.shares, old.price, side * new.shares, new.price)
        order = self._orders.get(old.perm_id)
        if order is not None:
            money = order.average_price * order.filled + new.price * new.shares - old.price * old.shares
            order.filled += new.shares - old.shares
            order.average_price = money / order.filled if order.filled else _ZERO
            order.last_price = new.price
            new = replace(new, cumulative=order.filled, average_price=order.average_price)
        self.executions.append(new)
        self._listener.on_correction(order, new)
        return new

    def _execution(self, exec_id: str) -> Execution:
        head = exec_id.rpartition(".")[0]
        for execution in reversed(self.executions):
            if execution.exec_id.rpartition(".")[0] == head:
                return execution
        raise KeyError(f"there is no execution {exec_id!r}")

    def book_dividend(self, contract: Contract, per_share: Decimal) -> None:
        """Pay a dividend to every account that holds the contract."""
        for account in self.ledgers:
            self.ledger(account).book_dividend(contract, per_share)

    def book_split(self, contract: Contract, ratio: Decimal) -> None:
        """Split a contract: positions change, its working orders are cancelled (documented for GTC orders)."""
        price = self.mark(contract)
        for account in self.ledgers:
            held = self.ledger(account).positions.get(contract.con_id)
            fallback = held.average_cost / ratio if held is not None else _ZERO
            self.ledger(account).book_split(contract, ratio, fallback if price is None else price)
        for order in list(self._orders.values()):
            if order.contract.con_id == contract.con_id and order.is_working:
                self.expire(order, "The contract was split.")

    # Margin

    def margins(self, account: str) -> Margins:
        """Return what the account's positions ask for."""
        return margins_of(self._config, self.ledger(account), self.mark, self.rate)

    def equity(self, account: str) -> Decimal:
        """Return cash plus positions at market in the base currency."""
        return self.ledger(account).equity(self.mark, self.rate)

    def preview(self, order: Order) -> Preview:
        """Return the account as it is and as it would be if the whole order filled now."""
        terms = order.terms
        price = order.limit or terms.limit or self.mark(order.contract) or terms.aux or _ZERO
        remaining = order.remaining if terms.is_buy else -order.remaining
        taken = self._commission_of(order, order.quantity, price, True)
        preview = preview_order(
            self._config, self.ledger(terms.account), order.contract, remaining, price, taken, self.mark, self.rate
        )
        added = self._commission_of(order, order.quantity, price, False)
        return preview if added == taken else replace(preview, least=min(added, taken), most=max(added, taken))
