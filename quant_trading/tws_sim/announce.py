"""Who hears of an order: its own client, the master client, and of manual orders client 0."""

from collections.abc import Callable

from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.hub import Hub
from quant_trading.tws_sim.orders import Execution, Order, Status
from quant_trading.tws_sim.reports import send_commission, send_execution, send_open_order, send_status
from quant_trading.tws_sim.tape import Contract

__all__ = ["Announcer"]

# States in which TWS sends the order along with its status; a cancellation is a status only (captured).
_SHOWN = frozenset({Status.PRE_SUBMITTED, Status.SUBMITTED, Status.FILLED, Status.INACTIVE})

_UNBOUND = -1


class Announcer:
    """Words what happens to orders and sends it to whom it concerns.

    Attributes:
        on_fill: told the account and the contract of every fill, after the order's own client.
    """

    def __init__(self, hub: Hub, master_client_id: int | None, observe: Callable[[str], None]) -> None:
        self._hub = hub
        self._master = master_client_id
        self._observe = observe
        self.on_fill: Callable[[str, Contract], None] | None = None

    def _audience(self, client_id: int, order_id: int) -> list[Session]:
        """Return the sessions that hear of an order; nobody but the master hears of an unbound one (documented)."""
        ids = [] if order_id == 0 else [client_id]
        if self._master is not None and self._master not in ids:
            ids.append(self._master)
        return [session for client in ids if (session := self._hub.client(client)) is not None]

    def on_status(self, order: Order) -> None:
        """Tell the order's state."""
        for session in self._audience(order.client_id, order.order_id):
            if order.status in _SHOWN:
                send_open_order(session, order)
            send_status(session, order)
        terms = order.terms
        price = "" if terms.limit is None else f" {terms.limit}"
        filled = f" at {order.average_price}" if order.status is Status.FILLED else ""
        self._observe(
            f"order {order.client_id}/{order.order_id} {terms.action} {order.quantity:f} {order.contract.symbol} "
            f"{terms.order_type}{price} {terms.tif}: {order.status.value}{filled}"
        )

    def on_acknowledged(self, order: Order) -> None:
        """Let the client read its acknowledgement while the order is worked."""
        for session in self._audience(order.client_id, order.order_id):
            session.push()

    def on_execution(self, order: Order, execution: Execution) -> None:
        """Tell of a fill: execution, order, commission, in the captured order; then everybody of the position."""
        sessions = self._of_execution(execution)
        for session in sessions:
            send_execution(session, execution)
            # Who waits for the fill waits for this; the state and the commission may come while it is being read.
            session.push()
        self.on_status(order)
        for session in sessions:
            send_commission(session, execution)
        if self.on_fill is not None:
            self.on_fill(execution.account, execution.contract)

    def _of_execution(self, execution: Execution) -> list[Session]:
        # The fills of an unbound manual order go to client 0 all the same (documented).
        return self._audience(execution.client_id, execution.order_id or _UNBOUND)

    def on_correction(self, order: Order | None, execution: Execution) -> None:
        """Tell of an execution again."""
        sessions = self._of_execution(execution)
        for session in sessions:
            send_execution(session, execution)
        if order is not None and order.is_working:
            self.on_status(order)
        for session in sessions:
            send_commission(session, execution)
        if self.on_fill is not None:
            self.on_fill(execution.account, execution.contract)

    def on_notice(self, order: Order, code: int, **parts: object) -> None:
        """Tell the order's client what TWS has to say about it."""
        session = self._hub.client(order.client_id)
        if session is not None and order.order_id:
            session.send_error(order.order_id, code, **parts)
