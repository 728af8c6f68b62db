"""Orders and executions worded as messages."""

from decimal import Decimal

from quant_trading.refdata.tick_sizes import round_to_tick
from quant_trading.tws_sim.accounts import multiplier_of
from quant_trading.tws_sim.connection import NO_ID, Session
from quant_trading.tws_sim.contracts import contract_values
from quant_trading.tws_sim.fields import Values
from quant_trading.tws_sim.margin import Preview
from quant_trading.tws_sim.order_checks import tick_of
from quant_trading.tws_sim.orders import Execution, Order, Status
from quant_trading.tws_sim.times import exchange_time

__all__ = [
    "send_commission", "send_completed_order", "send_execution", "send_open_order", "send_preview", "send_status",
]  # fmt: skip

_ZERO = Decimal(0)


def _order_values(order: Order) -> Values:
    terms = order.terms
    parent = order.parent
    return {
        **terms.values,
        **contract_values(order.contract),
        "exchange": terms.values.get("exchange") or order.contract.exchange,
        "orderId": order.order_id,
        "clientId": order.client_id,
        "permId": order.perm_id,
        "action": terms.action,
        "totalQuantity": order.quantity,
        "orderType": terms.order_type,
        # A market order's prices come back as 0 (captured), whatever the client had written there.
        "lmtPrice": order.limit or terms.limit or _ZERO,
        "auxPrice": terms.aux or _ZERO,
        "tif": terms.tif,
        "account": terms.account,
        "ocaGroup": order.oca_group,
        "ocaType": order.oca_type,
        "parentId": terms.parent_id,
        "parentPermId": 0 if parent is None else parent.perm_id,
        "trailStopPrice": _stop(order),
        "status": order.status.value,
    }


def _stop(order: Order) -> Decimal | None:
    """Return where a trailing stop stands, on the price grid; other orders have none."""
    if not order.terms.is_trailing:
        return None
    if order.stop is None:
        return order.terms.trail_stop
    return round_to_tick(order.stop, tick_of(order.contract, order.stop))


def send_open_order(session: Session, order: Order, **extra: object) -> None:
    """Send the order as it stands; `extra` holds the margins of a what-if answer."""
    values = _order_values(order)
    if order.status is Status.FILLED:
        values["commission"] = order.commission
        values["commissionCurrency"] = order.contract.currency
    values.update(extra)
    session.send_values("openOrder", values)


def send_preview(session: Session, order: Order, preview: Preview) -> None:
    """Answer a what-if order: one openOrder with margins and commission, no order comes to be."""
    order.status = Status.PRE_SUBMITTED
    before, after = preview.before, preview.after
    margins = {
        "initMarginBefore": before.initial,
        "maintMarginBefore": before.maintenance,
        "equityWithLoanBefore": preview.equity_before,
        "initMarginChange": after.initial - before.initial,
        "maintMarginChange": after.maintenance - before.maintenance,
        "equityWithLoanChange": preview.equity_after - preview.equity_before,
        "initMarginAfter": after.initial,
        "maintMarginAfter": after.maintenance,
        "equityWithLoanAfter": preview.equity_after,
    }
    costs = {"commission": preview.commission, "minCommission": preview.least, "maxCommission": preview.most}
    if preview.least is not None:
        # Where the commission is not certain TWS names its bounds only (reported).
        del costs["commission"]
    rounded = {name: round(value, 2) for name, value in margins.items()}
    send_open_order(session, order, whatIf=True, commissionCurrency=preview.commission_currency, **costs, **rounded)


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
        parentId=order.terms.parent_id,
        lastFillPrice=order.last_price,
        clientId=order.client_id,
        whyHeld=order.why_held,
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
        execExchange=contract.venue,
        side="BOT" if execution.is_buy else "SLD",
        shares=execution.shares,
        price=execution.price,
        permId=execution.perm_id,
        clientId=execution.client_id,
        liquidation=int(execution.is_liquidation),
        cumQty=execution.cumulative,
        avgPrice=execution.average_price,
        orderRef=execution.order_ref,
        evRule="",
        evMultiplier=None if multiplier_of(contract) == 1 else multiplier_of(contract),
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
