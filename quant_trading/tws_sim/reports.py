"""Orders and executions worded as messages."""

from decimal import Decimal

from quant_trading.tws_sim.connection import NO_ID, Session
from quant_trading.tws_sim.contracts import contract_values
from quant_trading.tws_sim.fields import Values
from quant_trading.tws_sim.orders import Execution, Order, Status
from quant_trading.tws_sim.times import exchange_time

__all__ = ["send_commission", "send_completed_order", "send_execution", "send_open_order", "send_status"]


def _order_values(order: Order) -> Values:
    terms = order.terms
    market = Decimal(0)
    return {
        **terms.values,
        **contract_values(order.contract),
        "exchange": terms.values.get("exchange") or order.contract.exchange,
        "orderId": order.order_id,
        "clientId": order.client_id,
        "permId": order.perm_id,
        "action": terms.action,
        "totalQuantity": terms.quantity,
        "orderType": terms.order_type,
        # A market order's prices come back as 0 (captured), whatever the client had written there.
        "lmtPrice": market if terms.limit is None else terms.limit,
        "auxPrice": market,
        "tif": terms.tif,
        "account": terms.account,
        "status": order.status.value,
    }


def send_open_order(session: Session, order: Order, **extra: object) -> None:
    """Send the order as it stands; `extra` holds the margins of a what-if answer."""
    values = _order_values(order)
    if order.status is Status.FILLED:
        values |= {"commission": order.commission, "commissionCurrency": order.contract.currency}
    session.send("openOrder", **(values | extra))


def send_status(session: Session, order: Order) -> None:
    """Send the order's state and how much of it is filled."""
    session.send(
        "orderStatus",
        orderId=order.order_id,
        status=order.status.value,
        filled=order.filled,
        remaining=order.remaining,
        avgFillPrice=order.average_price,
        permId=order.perm_id,
        parentId=0,
        lastFillPrice=order.last_price,
        clientId=order.client_id,
        whyHeld="",
        mktCapPrice=0,
    )


def send_completed_order(session: Session, order: Order) -> None:
    """Send an order that is done; it carries its permId and no order id (read)."""
    done_ns = order.completed_ns or 0
    status = f"Filled Size: {order.filled:f}" if order.status is Status.FILLED else order.done_reason or "Cancelled"
    values = _order_values(order) | {
        "filledQuantity": order.filled,
        "completedTime": exchange_time(done_ns),
        "completedStatus": status,
    }
    session.send("completedOrder", **values)


def send_execution(session: Session, execution: Execution, req_id: int = NO_ID) -> None:
    """Send a fill; live ones carry the request id -1."""
    contract = execution.contract
    session.send(
        "execDetails",
        **contract_values(contract),
        reqId=req_id,
        orderId=execution.order_id,
        execId=execution.exec_id,
        time=exchange_time(execution.at_ns),
        account=execution.account,
        execExchange=contract.primary_exchange,
        side="BOT" if execution.is_buy else "SLD",
        shares=execution.shares,
        price=execution.price,
        permId=execution.perm_id,
        clientId=execution.client_id,
        liquidation=0,
        cumQty=execution.cumulative,
        avgPrice=execution.average_price,
        orderRef=execution.order_ref,
        evRule="",
        modelCode="",
        lastLiquidity=2,
        pendingPriceRevision=False,
    )


def send_commission(session: Session, execution: Execution) -> None:
    """Send what a fill cost; the realized profit is unset when it only opened a position (captured)."""
    session.send(
        "commissionReport",
        execId=execution.exec_id,
        commission=execution.commission,
        currency=execution.contract.currency,
        realizedPNL=None if execution.realized is None else round(execution.realized, 8),
    )
