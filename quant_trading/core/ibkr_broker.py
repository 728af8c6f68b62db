"""An IBKR account that can be read and traded: the `ports.Broker` of the desk."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from ib_async import CommissionReport, Contract, Execution
from ib_async import Order as IbOrder
from ib_async import OrderState as IbOrderState

from quant_trading.core.error_codes import ErrorClass, classify_message
from quant_trading.core.ib_client import RawListener, settled
from quant_trading.core.ibkr_account import IBKRAccount
from quant_trading.core.ibkr_connection import ALL_FETCHES
from quant_trading.core.ibkr_mapping import (
    commission_said,
    completed_said,
    contract_of,
    execution_said,
    open_order_said,
    order_to_ibkr,
    status_said,
)
from quant_trading.core.order_ledger import OrderLedger
from quant_trading.core.order_messages import ErrorSaid, OrderMessage
from quant_trading.domain.errors import ConnectionLost, DataGap
from quant_trading.domain.fills import Fill
from quant_trading.domain.orders import Order, OrderState
from quant_trading.ports import BrokerReport

__all__ = ["IBKRAccount", "IBKRBroker"]

_log = logging.getLogger(__name__)

_ORDER_FETCHES = ("open orders", "completed orders", "executions")
_HEARTBEAT_SECONDS = 30.0  # silence after which TWS is asked for a sign of life
_ANSWER_SECONDS = 10.0  # and how long it may take to give it
_GRACE_SECONDS = 2.0  # how long executions may lag behind the status that announced them
_REFRESH_EVERY_SECONDS = 10.0


class _OrderEars(RawListener):
    """Translates raw order messages and hands them to the broker.

    What cannot be translated raises inside the decoder, which counts it as undecodable.
    """

    def __init__(self, broker: "IBKRBroker") -> None:
        self._broker = broker

    def on_open_order(self, contract: Contract, order: IbOrder, state: IbOrderState) -> None:
        self._broker.hear(open_order_said(contract, order, state))

    def on_completed_order(self, contract: Contract, order: IbOrder, state: IbOrderState) -> None:
        self._broker.hear(completed_said(order, state))

    def on_order_status(
        self, order_id: int, status: str, filled: float, remaining: float, average_price: float,
        perm_id: int, client_id: int, why_held: str,
    ) -> None:  # fmt: skip
        self._broker.hear(status_said(order_id, status, filled, perm_id, client_id, why_held))

    def on_execution(self, contract: Contract, execution: Execution) -> None:
        self._broker.hear(execution_said(contract, execution))

    def on_commission(self, report: CommissionReport) -> None:
        self._broker.hear(commission_said(report))

    def on_error(self, request_id: int, code: int, text: str) -> None:
        self._broker.hear_error(request_id, code, text)


class IBKRBroker(IBKRAccount):
    """One account with its orders; arguments as in `IBKRAccount`.

    Order states are the ledger's, not the client library's. They outlive a lost session: after
    `connect` again, what was in doubt is compared with what TWS sends.
    """

    def __init__(self, mode: str = "paper", **kwargs: Any) -> None:
        super().__init__(mode, **kwargs)
        self._ledger: OrderLedger | None = None
        self._reports: deque[BrokerReport] = deque()
        self._news = asyncio.Event()
        self._refresh_due = False
        self._refreshed_at = float("-inf")
        self._pulse: asyncio.Task[Any] | None = None

    def _order_listener(self) -> RawListener:
        return _OrderEars(self)

    def _fetches(self) -> Sequence[str]:
        return ALL_FETCHES

    def _read_only(self) -> bool:
        return False

    def connect(self) -> None:
        """Connect, pass the account guard, load account, positions and the day's orders and executions."""
        self._news = asyncio.Event()  # bound to the loop of this session
        self._refresh_due = False
        self._refreshed_at = float("-inf")
        self._pulse = None
        super().connect()

    def close(self) -> None:
        """End the session; safe to call twice."""
        if self._pulse is not None and not self._pulse.get_loop().is_closed():
            self._connection.call(settled(self._pulse))
        super().close()

    def accept_account(self, port: int, accounts: Sequence[str]) -> str:
        """Return the account to use and make its ledger ready: order messages follow at once."""
        account = super().accept_account(port, accounts)
        if self._ledger is None:
            self._ledger = OrderLedger(account, self._connection.client_id)
        return account

    def on_connection_lost(self, cause: str) -> None:
        """Put orders without an answer in doubt and wake whoever waits."""
        super().on_connection_lost(cause)
        self._reports.extend(self._book.connection_lost())
        self._news.set()

    @property
    def _book(self) -> OrderLedger:
        if self._ledger is None:
            raise ConnectionLost("the broker was never connected; call connect() first")
        return self._ledger

    # Orders.

    @property
    def orders(self) -> dict[str, OrderState]:
        """Return the last known state of every order of ours, by order_ref."""
        return self._book.states()

    @property
    def seen_refs(self) -> frozenset[str]:
        """Return every order_ref TWS has named: an order that is not here after `refresh` is not known to it."""
        return frozenset(self._book.seen_refs)

    def place(self, order: Order) -> OrderState:
        """Send `order`; return SUBMITTING. Waits for the message budget only (40 a second), never for an answer.

        Raises:
            ConnectionLost: no session, or TWS has lost IBKR; nothing was sent then.
            DataGap: the symbol cannot be resolved, or the last portfolio had another instrument under it;
                nothing was sent.
            PlanRefused: this order_ref was sent before, here or in an earlier session TWS told us about.
            UsageError: quantity, price or reference is nothing TWS would take; nothing was sent.
        """
        self._check_may_send()
        placed = order_to_ibkr(order, self.account)
        instrument = self.instruments([order.symbol])[order.symbol]
        held = self._held_con_ids.get(order.symbol, instrument.con_id)
        if held != instrument.con_id:
            raise DataGap(
                f"{order.symbol}: the position was of conId {held}, the ticker means {instrument.con_id}; resolve the "
                f"symbol before the portfolio is read"
            )
        return self._connection.call(self._place(order, placed, contract_of(instrument)))

    async def _place(self, order: Order, placed: IbOrder, contract: Contract) -> OrderState:
        await self.pace("message")
        self._check_may_send()
        ib = self._connection.ib
        order_id = ib.client.getReqId()
        state = self._book.sent(order, order_id)
        placed.orderId = order_id
        ib.placeOrder(contract, placed)
        _log.info("sent %s: %s %s %s", order.order_ref, order.side.value, order.quantity, order.symbol)
        return state

    def cancel(self, order_ref: str) -> OrderState:
        """Ask TWS to cancel; return CANCEL_PENDING, or the state as it is when there is nothing to cancel.

        An order that has ended, or that TWS has not shown in this session, is left as it is.

        Raises:
            ConnectionLost: no session.
            UsageError: the order is neither placed nor adopted here.
        """
        self._connection.check_alive()
        state, order_id = self._book.state(order_ref), self._book.order_id(order_ref)
        if state.is_final:
            return state
        if not order_id:
            _log.warning("order %s has no number in this session and cannot be cancelled; refresh first", order_ref)
            return state
        return self._connection.call(self._cancel(order_ref, order_id))

    async def _cancel(self, order_ref: str, order_id: int) -> OrderState:
        ib = self._connection.ib
        # A cancel never waits behind orders: it is counted, not delayed. The client library still
        # holds the wire below TWS's own limit.
        self.count_message()
        state = self._book.cancel_sent(order_ref)
        trade = ib.wrapper.trades.get((self._connection.client_id, order_id))
        if trade is not None:
            ib.cancelOrder(trade.order)
        else:
            client: Any = ib.client  # the library leaves its methods untyped
            client.cancelOrder(order_id, "")
        _log.info("cancel sent for %s", order_ref)
        return state

    def cancel_everything(self) -> None:
        """Ask TWS to cancel every order of the login, other programs' and a person's included."""
        self._connection.check_alive()
        self._connection.call(self._cancel_everything())

    async def _cancel_everything(self) -> None:
        client: Any = self._connection.ib.client  # the library leaves its methods untyped
        client.reqGlobalCancel()

    def adopt(self, order: Order, fills: Iterable[Fill] = ()) -> OrderState:
        """Take over an order of an earlier session; return its state, UNKNOWN unless its fills complete it.

        Call `refresh` afterwards: TWS then tells what became of it.
        """
        return self._book.adopt(order, fills)

    def refresh(self) -> None:
        """Ask TWS for all open orders, today's completed ones and today's executions, and fold them in.

        Raises:
            ConnectionLost: when an answer does not end; nothing may be concluded from absence then.
        """
        self._connection.call(self._refresh(self._connection.timeout_seconds))

    async def _refresh(self, seconds: float) -> None:
        self._refreshed_at = asyncio.get_running_loop().time()
        await self._connection.ask(
            lambda: self._connection.fetch(_ORDER_FETCHES), "open orders, completed orders and executions", seconds
        )
        self._refresh_due = False

    # Reports.

    def reports(self, timeout_seconds: float) -> Sequence[BrokerReport]:
        """Return what TWS said about our orders since the last call; waits for the first, see `ports.Broker`.

        While it waits it asks TWS again about orders in doubt and about announced fills that did not
        come, and for a sign of life after 30 s of silence.

        Raises:
            ConnectionLost: the session is broken and everything heard before was handed out.
        """
        self._connection.call(self._wait_for_reports(timeout_seconds))
        heard = list(self._reports)
        self._reports.clear()
        return heard

    async def _wait_for_reports(self, timeout_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        await asyncio.sleep(0)  # what lies in the socket is read first, also with a time-out of 0
        while not self._reports:
            self._connection.check_alive()
            left = deadline - loop.time()
            if left <= 0:
                return
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), min(left, self._patience()))
            except TimeoutError:
                await self._use_silence(deadline - loop.time())

    def _patience(self) -> float:
        """Return how long to wait before silence itself means something."""
        loop_time = asyncio.get_running_loop().time()
        quiet = max(0.0, self._connection.last_data + _HEARTBEAT_SECONDS - loop_time)
        if self._pulse is not None:
            quiet = _HEARTBEAT_SECONDS  # its answer, or its time-out, wakes us
        if self._wants_refresh():
            quiet = min(quiet, max(_GRACE_SECONDS, self._refreshed_at + _REFRESH_EVERY_SECONDS - loop_time))
        return max(quiet, 0.001)

    def _wants_refresh(self) -> bool:
        return self._refresh_due or bool(self._book.unknown) or bool(self._book.missing_executions)

    async def _use_silence(self, left: float) -> None:
        """Ask about what is open, or for a sign of life; at most as long as the caller still waits."""
        if left <= 0 or not self._connection.is_connected:
            return
        now = asyncio.get_running_loop().time()
        if self._wants_refresh() and now >= self._refreshed_at + _REFRESH_EVERY_SECONDS:
            try:
                await self._refresh(min(_ANSWER_SECONDS, left))
            except ConnectionLost as error:
                # Observed on TWS: executions may never end. What came was folded in; the rest is asked again.
                _log.warning("asking again about orders: %s", error)
        elif now >= self._connection.last_data + _HEARTBEAT_SECONDS and self._pulse is None:
            # A task of its own: its answer may come during a later call of `reports`.
            self._pulse = asyncio.get_running_loop().create_task(self._current_time(_ANSWER_SECONDS))
            self._pulse.add_done_callback(self._pulse_taken)

    def _pulse_taken(self, pulse: "asyncio.Task[Any]") -> None:
        self._pulse = None
        if not pulse.cancelled() and isinstance(pulse.exception(), ConnectionLost):
            self._connection.give_up(f"no sign of life: {pulse.exception()}")

    def _check_may_send(self) -> None:
        self._connection.check_alive()
        if self._connection.connectivity_lost:
            raise ConnectionLost("TWS has lost its connection to IBKR (1100); wait for 1101 or 1102, then reconcile")

    # What the ears hear.

    def hear(self, message: OrderMessage) -> None:
        """Fold one message into the ledger and queue what it changed."""
        if self._ledger is None:
            return
        heard = self._ledger.apply(message)
        if heard:
            self._reports.extend(heard)
            self._news.set()

    def hear_error(self, request_id: int, code: int, text: str) -> None:
        """Fold an error that carries an order's number; after 1101 and 1102 ask about all orders."""
        if classify_message(code) is ErrorClass.CONNECTIVITY_BACK:
            self._refresh_due = True
            self._refreshed_at = float("-inf")
        if self._ledger is not None and self._ledger.is_order(request_id):
            self.hear(ErrorSaid(request_id, code, text))
