"""Requests about orders and executions."""

from collections.abc import Callable
from decimal import Decimal

from quant_trading.refdata.sessions import exchange_date
from quant_trading.refdata.tick_sizes import is_on_tick, us_stock_tick
from quant_trading.tws_sim.account_values import money
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.contracts import ContractBook, query_of
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.exchange import Exchange
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.hub import Hub
from quant_trading.tws_sim.orders import MAX_ORDER_ID, Execution, Order, Status, Terms, read_terms
from quant_trading.tws_sim.reports import (
    send_commission,
    send_completed_order,
    send_execution,
    send_open_order,
    send_status,
)
from quant_trading.tws_sim.tape import Contract
from quant_trading.tws_sim.timeline import Timeline
from quant_trading.tws_sim.times import parse_time

__all__ = ["OrderService"]

_DAY_NS = 86_400_000_000_000


class OrderService:
    """Places, changes, cancels and lists orders.

    Attributes:
        orders: every order of the simulation by (client id, order id), the done ones included.
    """

    def __init__(self, exchange: Exchange, book: ContractBook, hub: Hub, timeline: Timeline, config: SimConfig) -> None:
        self._exchange = exchange
        self._book = book
        self._hub = hub
        self._timeline = timeline
        self._config = config
        self.orders: dict[tuple[int, int], Order] = {}
        # Unique and stable within the simulation, never zero, and different from day to day.
        self._next_perm_id = timeline.now_ns // _DAY_NS % 100_000 * 10_000 + 1

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
        if not 0 < order_id < MAX_ORDER_ID:
            raise RequestRefused(10149, text=f"Invalid order id: {order_id}")
        known = self.orders.get((session.client_id, order_id))
        if known is None and order_id < self._hub.next_order_id(session.client_id):
            raise RequestRefused(103)
        if known is not None and known.status.is_done:
            raise RequestRefused(104 if known.status is Status.FILLED else 103)
        if known is None:
            # Whatever becomes of it, the id is used up.
            self._hub.burn_order_id(session.client_id, order_id)
        terms = read_terms(request, self._config.accounts)
        contract = self._contract_of(request)
        self._check_price(terms, contract)
        if known is not None:
            self._modify(known, terms, contract)
            return
        order = Order(session.client_id, order_id, 0, contract, terms)
        if terms.what_if:
            self._preview(session, order)
            return
        order.perm_id = self._next_perm_id
        self._next_perm_id += 1
        self._check_configured(order)
        self.orders[session.client_id, order_id] = order
        if terms.transmit:
            self._transmit(order)

    def _contract_of(self, request: Message) -> Contract:
        query = query_of(request)
        found = self._book.find_one(query)
        return self._book.by_id(found.con_id) or found

    def _check_price(self, terms: Terms, contract: Contract) -> None:
        if terms.limit is None:
            return
        tick = us_stock_tick(terms.limit) if contract.sec_type == "STK" else contract.min_tick
        if not is_on_tick(terms.limit, tick):
            raise RequestRefused(110)

    def _check_configured(self, order: Order) -> None:
        """Refuse what the user wants refused; 201 and 203 come from behind TWS and are left to `_transmit`."""
        code, text = self._config.reject.get(order.contract.symbol, (0, ""))
        if code and code not in (201, 203):
            raise RequestRefused(code, text=text) if text else RequestRefused(code)

    def _transmit(self, order: Order) -> None:
        code, text = self._config.reject.get(order.contract.symbol, (0, ""))
        if code:
            self._exchange.reject(order, code, text or f"Order rejected - reason:Rejected by the simulator ({code}).")
            return
        if reason := self._lacks_margin(order):
            self._exchange.reject(order, 201, f"Order rejected - reason:{reason}")
            return
        self._exchange.open(order)

    def _lacks_margin(self, order: Order) -> str:
        """Return TWS's words when the account cannot carry the order (reported), else an empty text."""
        held = self._exchange.ledger(order.terms.account).positions.get(order.contract.con_id)
        before = held.quantity if held is not None else Decimal(0)
        if abs(before + order.terms.signed_quantity) <= abs(before):
            return ""
        equity, margin, _ = self._exchange.margin_after(order)
        if margin <= equity:
            return ""
        return (
            "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN VALUE "
            f"[{money(equity)} USD] MUST EXCEED THE INITIAL MARGIN [{money(margin)} USD]"
        )

    def _modify(self, order: Order, terms: Terms, contract: Contract) -> None:
        """Change price, quantity, type or time in force; anything else is another order (105, documented)."""
        same = (contract.con_id, terms.action, terms.account)
        if terms.what_if or same != (order.contract.con_id, order.terms.action, order.terms.account):
            raise RequestRefused(105)
        was_held = order.status is Status.HELD
        order.terms = terms
        if not was_held:
            self._exchange.resume(order)
        elif terms.transmit:
            self._transmit(order)

    def _preview(self, session: Session, order: Order) -> None:
        """Answer a what-if order: one openOrder with margins and commission, no order comes to be."""
        ledger = self._exchange.ledger(order.terms.account)
        equity = ledger.equity(self._exchange.mark)
        margin = ledger.gross_value(self._exchange.mark) * self._config.margin_rate
        equity_after, margin_after, commission = self._exchange.margin_after(order)
        order.status = Status.PRE_SUBMITTED
        margins = {
            "initMarginBefore": margin, "maintMarginBefore": margin, "equityWithLoanBefore": equity,
            "initMarginChange": margin_after - margin, "maintMarginChange": margin_after - margin,
            "equityWithLoanChange": equity_after - equity,
            "initMarginAfter": margin_after, "maintMarginAfter": margin_after, "equityWithLoanAfter": equity_after,
        }  # fmt: skip
        rounded = {name: round(value, 2) for name, value in margins.items()}
        send_open_order(
            session, order, whatIf=True, commission=commission, commissionCurrency=order.contract.currency, **rounded
        )

    # Cancelling

    def _cancel(self, session: Session, request: Message) -> None:
        order_id = request.integer("orderId")
        order = self.orders.get((session.client_id, order_id))
        if order is None and session.client_id == 0:
            # Client 0 may cancel what another client placed (captured), if the id says whose it is.
            others = [o for o in self.orders.values() if o.order_id == order_id and not o.status.is_done]
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
        for order in list(self.orders.values()):
            if not order.status.is_done:
                self._exchange.cancel(order)

    # Listing

    def _working(self) -> list[Order]:
        return [o for o in self.orders.values() if not o.status.is_done and o.status is not Status.HELD]

    def _send_own(self, session: Session, request: Message) -> None:
        for order in self._working():
            if order.client_id == session.client_id:
                send_open_order(session, order)
                send_status(session, order)
        session.send("openOrderEnd")

    def _send_all(self, session: Session, request: Message) -> None:
        """List everybody's orders, without a status of their own (captured)."""
        for order in self._working():
            send_open_order(session, order)
        session.send("openOrderEnd")

    def _bind_manual(self, session: Session, request: Message) -> None:
        """Accept the wish to bind manual orders; there are none here, so nothing follows."""
        if session.client_id != 0:
            raise RequestRefused(321, tag="reqAutoOpenOrders", cause="Only client 0 can bind manual orders")

    def _send_completed(self, session: Session, request: Message) -> None:
        """List the orders done on the running exchange day (documented: current day only)."""
        today = exchange_date(self._timeline.now_ns)
        for order in self.orders.values():
            done_ns = order.completed_ns
            if order.status.is_done and done_ns is not None and exchange_date(done_ns) == today and order.perm_id:
                send_completed_order(session, order)
        session.send("completedOrdersEnd")

    def _send_executions(self, session: Session, request: Message) -> None:
        wanted = _execution_filter(request)
        today = exchange_date(self._timeline.now_ns)
        found = [e for e in self._exchange.executions if exchange_date(e.at_ns) == today and wanted(e)]
        req_id = request.integer("reqId")
        for execution in found:
            send_execution(session, execution, req_id)
        for execution in found:
            send_commission(session, execution)
        session.send("execDetailsEnd", reqId=req_id)

    def _send_next_id(self, session: Session, request: Message) -> None:
        session.send("nextValidId", orderId=self._hub.next_order_id(session.client_id))


def _execution_filter(request: Message) -> Callable[[Execution], bool]:
    """Return whether an execution passes the request's filter; empty fields and client id 0 pass all."""
    client_id = request.integer("clientId")
    account, symbol = request.text("account"), request.text("symbol").upper()
    sec_type, exchange = request.text("secType").upper(), request.text("exchange").upper()
    side = {"BUY": True, "BOT": True, "SELL": False, "SLD": False}.get(request.text("side").upper())
    from_ns = 0
    if request.text("time"):
        try:
            from_ns = parse_time(request.text("time"))
        except ValueError as error:
            raise RequestRefused(321, tag="reqExecutions", cause=str(error)) from None

    def passes(execution: Execution) -> bool:
        contract = execution.contract
        return (
            client_id in (0, execution.client_id)
            and account in ("", execution.account)
            and symbol in ("", contract.symbol)
            and sec_type in ("", contract.sec_type)
            and exchange in ("", "SMART", contract.primary_exchange)
            and side in (None, execution.is_buy)
            and execution.at_ns >= from_ns
        )

    return passes
