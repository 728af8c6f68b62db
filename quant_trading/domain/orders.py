"""Orders and their life cycle.

Rules of the cycle, observed on IBKR:
- a fill is a fact and may come in any state, even after a cancel was confirmed;
- a status never lowers what was filled;
- "Inactive" is not final: TWS may hold an order and release it later;
- only an error of class REJECT or the status "Cancelled"/"ApiCancelled" ends an unfilled order;
- an order whose fate is not known is UNKNOWN, never assumed dead.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum

__all__ = [
    "FINAL_STATES",
    "Order",
    "OrderEvent",
    "OrderIntent",
    "OrderState",
    "OrderStatus",
    "OrderType",
    "Side",
    "apply_event",
]


class Side(Enum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """Return +1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1


class OrderType(Enum):
    MARKET = "market"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """What the plan wishes to trade, before risk has spoken and before it has an identity.

    Attributes:
        symbol: what to trade.
        side: BUY or SELL.
        quantity: whole shares, positive.
        reference_price: price used for sizing, in the instrument's currency.
        target_weight: wished share of equity after the trade, -1..1.
        signal_value: what the strategy believed; the cause of this order.
    """

    symbol: str
    side: Side
    quantity: Decimal
    reference_price: Decimal
    target_weight: float
    signal_value: float


@dataclass(frozen=True, slots=True)
class Order:
    """An instruction with an identity, ready to be sent.

    Attributes:
        order_ref: our identity, ASCII, at most 32 characters; it travels to the broker and back.
        symbol, side, quantity: as in the intent.
        order_type: MARKET or LIMIT.
        limit_price: on the tick grid; None for MARKET.
        reference_price, signal_value: carried for the log.
    """

    order_ref: str
    symbol: str
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal | None
    reference_price: Decimal
    signal_value: float


class OrderStatus(Enum):
    PLANNED = "planned"
    SUBMITTING = "submitting"
    WORKING = "working"
    PARTIAL = "partial"
    HELD = "held"
    CANCEL_PENDING = "cancel_pending"
    UNKNOWN = "unknown"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    DENIED = "denied"


FINAL_STATES = frozenset({OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.DENIED})


class OrderEvent(Enum):
    """What can happen to an order, in the desk's words (core translates IBKR's)."""

    SENT = "sent"
    ACCEPTED = "accepted"
    HELD = "held"
    FILLED_PART = "filled_part"
    FILLED_ALL = "filled_all"
    CANCEL_SENT = "cancel_sent"
    CANCEL_REFUSED = "cancel_refused"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    DENIED = "denied"
    DOUBT = "doubt"


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order and what is known of it; a new object for every change.

    Attributes:
        order: the instruction.
        status: where it stands.
        filled: shares executed so far.
        average_price: quantity-weighted price of the executions, None before the first.
        perm_id: the broker's account-wide id, 0 until seen.
        reason: the last refusal or remark of the broker or of risk, empty if none.
    """

    order: Order
    status: OrderStatus = OrderStatus.PLANNED
    filled: Decimal = Decimal(0)
    average_price: Decimal | None = None
    perm_id: int = 0
    reason: str = ""

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATES

    @property
    def remaining(self) -> Decimal:
        return self.order.quantity - self.filled


_S, _E = OrderStatus, OrderEvent

# (state, event) -> state. A pair that is not here is refused by name in `apply_event`.
_TRANSITIONS: dict[tuple[OrderStatus, OrderEvent], OrderStatus] = {
    (_S.PLANNED, _E.SENT): _S.SUBMITTING,
    (_S.PLANNED, _E.DENIED): _S.DENIED,
}
for _live in (_S.SUBMITTING, _S.WORKING, _S.PARTIAL, _S.HELD, _S.CANCEL_PENDING, _S.UNKNOWN):
    _TRANSITIONS |= {
        (_live, _E.ACCEPTED): _S.WORKING,
        (_live, _E.HELD): _S.HELD,
        (_live, _E.FILLED_PART): _S.PARTIAL,
        (_live, _E.FILLED_ALL): _S.FILLED,
        (_live, _E.CANCEL_SENT): _S.CANCEL_PENDING,
        (_live, _E.CANCEL_REFUSED): _S.UNKNOWN,  # 10147, 10148, 161: it may be gone or filled; ask, never assume
        (_live, _E.CANCELLED): _S.CANCELLED,
        (_live, _E.REJECTED): _S.REJECTED,
        (_live, _E.DOUBT): _S.UNKNOWN,
    }
_TRANSITIONS |= {
    (_S.PARTIAL, _E.ACCEPTED): _S.PARTIAL,  # TWS repeats "Submitted" after each partial fill
    (_S.CANCEL_PENDING, _E.ACCEPTED): _S.CANCEL_PENDING,  # a late "Submitted" crossing our cancel on the wire
    (_S.CANCEL_PENDING, _E.FILLED_PART): _S.CANCEL_PENDING,  # a fill crossing our cancel
}
for _final in (_S.FILLED, _S.CANCELLED, _S.REJECTED):
    for _event in _E:
        if _event not in (_E.FILLED_PART, _E.FILLED_ALL, _E.SENT, _E.DENIED):
            _TRANSITIONS[_final, _event] = _final  # TWS repeats and reorders: nothing revives a final order
    _TRANSITIONS[_final, _E.FILLED_PART] = _final  # a fill after a cancel: quantity counts, the order stays ended
    _TRANSITIONS[_final, _E.FILLED_ALL] = _S.FILLED


def apply_event(state: OrderState, event: OrderEvent, *, reason: str = "", perm_id: int = 0) -> OrderState:
    """Return `state` after `event`; quantities are changed by `core.order_ledger`, not here.

    Raises:
        ValueError: when the pair has no row in the table, naming both.
    """
    try:
        status = _TRANSITIONS[state.status, event]
    except KeyError:
        raise ValueError(f"order {state.order.order_ref}: event {event.name} is not possible in state "
                         f"{state.status.name}") from None  # fmt: skip
    return replace(state, status=status, reason=reason or state.reason, perm_id=perm_id or state.perm_id)
