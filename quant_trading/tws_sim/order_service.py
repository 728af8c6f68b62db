"""Requests about orders and executions."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from quant_trading.tws_sim.account_values import money
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.contracts import ContractBook, query_of
from quant_trading.tws_sim.errors import RequestRefused, error_text
from quant_trading.tws_sim.exchange import Exchange
from quant_trading.tws_sim.execution_filter import filter_executions
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.hub import Hub
from quant_trading.tws_sim.order_checks import check_terms, count_on_side
from quant_trading.tws_sim.order_terms import read_terms
from quant_trading.tws_sim.orders import MANUAL_CLIENT, MAX_ORDER_ID, Order, Status, Terms
from quant_trading.tws_sim.reports import (
    send_commission,
    send_completed_order,
    send_execution,
    send_open_order,
    send_preview,
    send_status,
)
from quant_trading.tws_sim.tape import Contract
from quant_trading.tws_sim.timeline import Timeline
from quant_trading.tws_sim.times import exchange_day

__all__ = ["OrderService"]

_DAY_NS = 86_400_000_000_000
_DOCUMENTED_PER_SIDE = 20


class OrderService:
    """Places, changes, cancels and lists orders.

    Attributes:
        orders: every order of the simulation by (client id, order id), the done ones included; orders typed into
            TWS are among them once they are bound.
        every: the same and the unbound ones, in the order of their arrival.
        forks: how many of the next changes leave the old order alive beside the new one (a fault: LEAN and others
            have seen two live orders after a change during lost connectivity).
    """

    def __init__(self, exchange: Exchange, book: ContractBook, hub: Hub, timeline: Timeline, config: SimConfig) -> None:
        self._exchange = exchange
        self._book = book
        self._hub = hub
        self._timeline = timeline
        self._config = config
        self.orders: dict[tuple[int, int], Order] = {}
        self.every: list[Order] = []
        self.forks = 0
        strict = _DOCUMENTED_PER_SIDE if config.pacing == "strict" else None
        self._max_per_side = config.max_orders_per_side or strict
        self._live: dict[int, Order] = {}
        self._binder: Session | None = None
        self._last_negative_id = 0
        # Unique and stable within the simulation, never zero, and different from day to day.
        self._next_perm_id = timeline.now_ns // _DAY_NS % 100_000 * 10_000 + 1
        for client_id, order_id in config.next_order_ids.items():
            hub.burn_order_id(client_id, order_id - 1)

    def handlers(self) -> dict[str, Callable[[Session, Message], None]]:
        """Return what this service answers, by request name."""
        return {
            "placeOrder": self._place,
            "cancelOrder": self._cancel,
            "reqGlobalCancel": self._cancel_all,
            "reqOpenOrders": self._send_own,
            "reqAllOpenOrders": self._send_all,
            "reqAutoOpenOrders": self._bind_manual,
            "reqCompletedOrders": self._send_completed,
            "reqExecutions": self._send_executions,
            "reqIds": self._send_next_id,
        }

    # Placing

    def _place(self, session: Session, request: Message) -> None:
        order_id = request.integer("orderId")
        if self._config.read_only:
            raise RequestRefused(321, tag="placeOrder", cause="The API interface is currently in Read-Only mode.")
        known = self.orders.get((session.client_id, order_id))
        if known is None and not 0 < order_id < MAX_ORDER_ID:
            raise RequestRefused(10149, text=f"Invalid order id: {order_id}")
        if known is None and order_id < self._hub.next_order_id(session.client_id):
            raise RequestRefused(103)
        if known is not None and known.status.is_done:
            raise RequestRefused(104 if known.status is Status.FILLED else 103)
        if known is None:
            # Whatever becomes of it, the id is used up.
            self._hub.burn_order_id(session.client_id, order_id)
        terms, contract = self._read(request)
        if known is not None:
            self._modify(known, terms, contract)
            return
        order = Order(session.client_id, order_id, 0, contract, terms)
        if terms.what_if:
            send_preview(session, order, self._exchange.preview(order))
            return
        self._attach(order)
        self._check_configured(order)
        self._register(order)
        self.orders[session.client_id, order_id] = order
        if terms.transmit:
            self._transmit(order)

    def _read(self, request: Message) -> tuple[Terms, Contract]:
        terms = read_terms(request, self._config.accounts, self._config.tif_preset)
        if terms.good_till_ns is not None and terms.good_till_ns <= self._timeline.now_ns:
            raise RequestRefused(321, tag="placeOrder", cause="goodTillDate is in the past")
        contract = self._contract_of(request)
        check_terms(terms, contract)
        for condition in terms.conditions:
            if condition.is_price and self._book.by_id(condition.con_id) is None:
                raise RequestRefused(321, tag="placeOrder", cause=f"Invalid condition: no contract {condition.con_id}")
        return terms, contract

    def _contract_of(self, request: Message) -> Contract:
        """Return the contract the request means, as the book has it."""
        known = self._book.by_id(request.integer("conId"))
        if (
            known is not None
            and known.sec_type == request.text("secType")
            and known.exchange == request.text("exchange")
        ):
            # Nearly always: a client that has looked the contract up sends it back as it came.
            return known
        found = self._book.find_one(query_of(request))
        return self._book.by_id(found.con_id) or found

    def _register(self, order: Order) -> None:
        order.perm_id = self._next_perm_id
        self._next_perm_id += 1
        self.every.append(order)
        self._live[order.perm_id] = order
        if order.parent is not None:
            order.parent.children.append(order)

    def _attach(self, order: Order) -> None:
        """Find the parent of a child order.

        Raises:
            RequestRefused: 10006 when there is none that lives, or it is filled.
        """
        if not order.terms.parent_id:
            return
        parent = self.orders.get((order.client_id, order.terms.parent_id))
        if parent is None or parent.status in (Status.CANCELLED, Status.INACTIVE):
            raise RequestRefused(10006)
        order.parent = parent

    def _check_configured(self, order: Order) -> None:
        """Refuse what the user wants refused; 201 and 203 come from behind TWS and are left to `_transmit`."""
        code, text = self._config.reject.get(order.contract.symbol, (0, ""))
        if code and code not in (201, 203):
            raise RequestRefused(code, text=text) if text else RequestRefused(code)

    def _transmit(self, order: Order) -> None:
        """Send an order on its way, and with it the ancestors and siblings that waited (documented)."""
        admitted = []
        for member in self._family(order):
            refusal = None if member.status.is_done else self._refusal(member)
            if refusal is not None:
                self._exchange.reject(member, *refusal)
            elif not member.status.is_done:
                admitted.append(member)
        self._exchange.open(*[member for member in admitted if not member.status.is_done])

    def _family(self, order: Order) -> list[Order]:
        """Return the orders that `order` transmits: itself, held ancestors and their held children, oldest first."""
        found = {order.perm_id: order}
        parent = order.parent
        while parent is not None and parent.status is Status.HELD:
            for member in (parent, *parent.children):
                if member.status is Status.HELD:
                    found[member.perm_id] = member
            parent = parent.parent
        return [found[perm_id] for perm_id in sorted(found)]

    def _refusal(self, order: Order) -> tuple[int, str] | None:
        """Return code and words when what stands behind TWS refuses the order."""
        code, text = self._config.reject.get(order.contract.symbol, (0, ""))
        if code:
            return code, text or f"Order rejected - reason:Rejected by the simulator ({code})."
        limit = self._max_per_side
        if limit is not None and count_on_side(self._working(), order.terms, order.contract) >= limit:
            return 201, _rejected(
                f"The number of working orders on one side of {order.contract.symbol} must not exceed {limit}"
            )
        shares = self._exchange.lacks_shares(order)
        if shares is not None:
            if shares[1] == 0:
                return 201, _rejected("The contract is not available for short sale.")
            order.why_held = "locate"
        if order.parent is None and (reason := self._lacks_margin(order)):
            return 201, _rejected(reason)
        return None

    def _lacks_margin(self, order: Order) -> str:
        """Return TWS's words when the account cannot carry the order (reported), else an empty text."""
        held = self._exchange.ledger(order.terms.account).positions.get(order.contract.con_id)
        before = held.quantity if held is not None else Decimal(0)
        signed = order.remaining if order.terms.is_buy else -order.remaining
        if abs(before + signed) <= abs(before):
            return ""
        preview = self._exchange.preview(order)
        if preview.after.initial <= preview.equity_after:
            return ""
        base = self._config.base_currency
        return (
            "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN VALUE "
            f"[{money(preview.equity_after)} {base}] MUST EXCEED THE INITIAL MARGIN "
            f"[{money(preview.after.initial)} {base}]"
        )

    def _modify(self, order: Order, terms: Terms, contract: Contract) -> None:
        """Change price, quantity, type or time in force; anything else is another order (105, documented).

        A change to less than what is filled is refused the same way (assumed); one the account cannot carry is
        rejected with 201 and leaves the order as it was (assumed).
        """
        same = (contract.con_id, terms.action, terms.account)
        if terms.what_if or same != (order.contract.con_id, order.terms.action, order.terms.account):
            raise RequestRefused(105)
        if terms.quantity <= order.filled:
            raise RequestRefused(105)
        if self.forks and order.is_working:
            self.forks -= 1
            self._fork(order, terms)
            return
        old, old_quantity = order.terms, order.quantity
        order.terms, order.quantity = terms, terms.quantity
        if order.is_working and order.parent is None and (reason := self._lacks_margin(order)):
            order.terms, order.quantity = old, old_quantity
            raise RequestRefused(201, text=_rejected(reason))
        _restart_triggers(order, old)
        if order.is_working:
            self._exchange.resume(order)
        elif terms.transmit:
            self._transmit(order)

    def _fork(self, order: Order, terms: Terms) -> None:
        """Work the change as an order of its own, under the same order id: the fault of two live orders."""
        twin = Order(order.client_id, order.order_id, 0, order.contract, terms)
        self._register(twin)
        self.orders[order.client_id, order.order_id] = twin
        self._exchange.open(twin)

    # Orders typed into TWS

    def place_manual(
        self,
        contract: Contract,
        action: str,
        quantity: Decimal,
        *,
        limit: Decimal | None = None,
        tif: str = "DAY",
        is_liquidation: bool = False,
        **values: Any,
    ) -> Order:
        """Place an order as a person does in TWS, transmitted at once.

        Args:
            is_liquidation: IBKR itself closes the position; the executions say so.
            values: more fields of a `placeOrder`, such as `orderType` and `auxPrice`.

        Raises:
            RequestRefused: what TWS would tell the person.
        """
        asked: dict[str, Any] = {
            "conId": contract.con_id, "action": action, "totalQuantity": quantity, "lmtPrice": limit, "tif": tif,
            "orderType": "MKT" if limit is None else "LMT", "account": self._config.accounts[0],
        }  # fmt: skip
        terms, found = self._read(Message("placeOrder", asked | values | {"transmit": True, "parentId": 0}))
        order = Order(MANUAL_CLIENT, 0, 0, found, terms, is_manual=True, is_liquidation=is_liquidation)
        self._register(order)
        if self._binder is not None and self._hub.client(MANUAL_CLIENT) is self._binder:
            self._bind(order, self._binder)
        self._transmit(order)
        return order

    def cancel_manual(self, perm_id: int) -> None:
        """Cancel any working order as a person does in TWS.

        Raises:
            KeyError: no such order works.
        """
        order = self._live.get(perm_id)
        if order is None or order.status.is_done:
            raise KeyError(f"no order with permId {perm_id} works")
        self._exchange.cancel(order)

    def _bind(self, order: Order, session: Session) -> None:
        """Give a manual order an id of client 0 and say so."""
        if self._config.binds_negative_ids:
            self._last_negative_id -= 1
            order.order_id = self._last_negative_id
        else:
            order.order_id = self._hub.next_order_id(MANUAL_CLIENT)
            self._hub.burn_order_id(MANUAL_CLIENT, order.order_id)
        self.orders[MANUAL_CLIENT, order.order_id] = order
        session.send("orderBound", permId=order.perm_id, clientId=MANUAL_CLIENT, orderId=order.order_id)

    def _bind_manual(self, session: Session, request: Message) -> None:
        """Bind the orders typed into TWS from now on, or no more."""
        if session.client_id != MANUAL_CLIENT:
            raise RequestRefused(321, tag="reqAutoOpenOrders", cause="Only client 0 can bind manual orders")
        self._binder = session if request.flag("autoBind") else None

    # Cancelling

    def _cancel(self, session: Session, request: Message) -> None:
        order_id = request.integer("orderId")
        order = self.orders.get((session.client_id, order_id))
        if order is None and session.client_id == MANUAL_CLIENT:
            # Client 0 may cancel what another client placed (captured), if the id says whose it is.
            others = [o for o in self._living() if o.order_id == order_id]
            order = others[0] if len(others) == 1 else None
        if order is None:
            raise RequestRefused(10147, order_id=order_id)
        if order.status is Status.INACTIVE:
            raise RequestRefused(161, perm_id=order.perm_id)
        if order.status.is_done:
            raise RequestRefused(10148, order_id=order_id, state=order.status.value)
        self._exchange.cancel(order)

    def _cancel_all(self, session: Session, request: Message) -> None:
        """Cancel every working order, whoever placed it (documented)."""
        for order in self._living():
            if not order.status.is_done:
                self._exchange.cancel(order)

    # Listing

    def _living(self) -> list[Order]:
        """Return the orders that are not done, held ones included, oldest first."""
        for perm_id in [perm_id for perm_id, order in self._live.items() if order.status.is_done]:
            del self._live[perm_id]
        return list(self._live.values())

    def _working(self) -> list[Order]:
        return [order for order in self._living() if order.is_working]

    def _send_own(self, session: Session, request: Message) -> None:
        """List the client's orders; client 0 binds by this what was typed into TWS (documented)."""
        for order in self._working():
            if session.client_id == MANUAL_CLIENT and order.is_manual and order.order_id == 0:
                self._bind(order, session)
            is_master = session.client_id == self._config.master_client_id
            if order.client_id == session.client_id or (is_master and order.order_id):
                self._exchange.refresh(order)
                send_open_order(session, order)
                send_status(session, order)
        session.send("openOrderEnd")

    def _send_all(self, session: Session, request: Message) -> None:
        """List everybody's orders, without a status of their own (captured)."""
        for order in self._working():
            self._exchange.refresh(order)
            send_open_order(session, order)
        session.send("openOrderEnd")

    def _send_completed(self, session: Session, request: Message) -> None:
        """List the orders done on the running exchange day (documented: current day only)."""
        today = exchange_day(self._timeline.now_ns)
        is_api_only = request.flag("apiOnly")
        for order in self.every:
            done_ns = order.completed_ns
            is_wanted = order.status.is_done and not (is_api_only and order.is_manual)
            if is_wanted and done_ns is not None and exchange_day(done_ns) == today:
                send_completed_order(session, order)
        session.send("completedOrdersEnd")

    def _send_executions(self, session: Session, request: Message) -> None:
        found = filter_executions(self._exchange.executions, request, self._timeline.now_ns)
        req_id = request.integer("reqId")
        for execution in found:
            send_execution(session, execution, req_id)
        for execution in found:
            send_commission(session, execution)
        session.send("execDetailsEnd", reqId=req_id)

    def _send_next_id(self, session: Session, request: Message) -> None:
        session.send("nextValidId", orderId=self._hub.next_order_id(session.client_id))


def _rejected(reason: str) -> str:
    return error_text(201, reason=reason)


def _restart_triggers(order: Order, old: Terms) -> None:
    """Forget what a changed order has seen, where the change concerns it."""
    new = order.terms
    if (new.order_type, new.aux, new.trail_percent, new.trail_stop) != (
        old.order_type, old.aux, old.trail_percent, old.trail_stop
    ):  # fmt: skip
        order.is_triggered, order.extreme, order.stop = False, None, None
    if new.conditions != old.conditions:
        order.are_conditions_met = False
