"""What the broker says about orders, in the desk's words: the inputs of `core.order_ledger`.

IBKR's unset numbers and spellings have already died in `core.ibkr_mapping`.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from quant_trading.domain.orders import Side

__all__ = [
    "CommissionSaid",
    "CompletedSaid",
    "ErrorSaid",
    "ExecutionSaid",
    "OpenOrderSaid",
    "OrderMessage",
    "StatusSaid",
]


@dataclass(frozen=True, slots=True)
class OpenOrderSaid:
    """openOrder: an order the broker has.

    Attributes:
        order_id: number in the session of `client_id`; 0 or less for an order placed by hand.
        perm_id: account-wide number, 0 when not given yet.
        client_id: who placed it.
        order_ref: our identity, empty for orders that are not ours.
        account: whose order it is.
        status: IBKR's word, "Submitted".
        symbol, side, quantity: what it trades; `side` None when IBKR used a word we do not trade with.
    """

    order_id: int
    perm_id: int
    client_id: int
    order_ref: str
    account: str
    status: str
    symbol: str
    side: Side | None
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class CompletedSaid:
    """completedOrder: an order of today that has ended; it carries no order id."""

    perm_id: int
    order_ref: str
    account: str
    status: str
    filled: Decimal
    text: str = ""


@dataclass(frozen=True, slots=True)
class StatusSaid:
    """orderStatus."""

    order_id: int
    perm_id: int
    client_id: int
    status: str
    filled: Decimal
    why_held: str = ""


@dataclass(frozen=True, slots=True)
class ExecutionSaid:
    """execDetails: one execution, live or on request.

    Attributes:
        exec_id: a correction differs only after the last dot, and is higher there.
        side: BUY for IBKR's BOT, SELL for SLD.
        quantity: shares, positive.
        time: aware UTC.
    """

    exec_id: str
    order_id: int
    perm_id: int
    client_id: int
    order_ref: str
    account: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    time: datetime


@dataclass(frozen=True, slots=True)
class CommissionSaid:
    """commissionReport; None where IBKR left a number unset."""

    exec_id: str
    commission: Decimal | None
    currency: str
    realized_pnl: Decimal | None


@dataclass(frozen=True, slots=True)
class ErrorSaid:
    """error with an order's id."""

    order_id: int
    code: int
    text: str


OrderMessage = OpenOrderSaid | CompletedSaid | StatusSaid | ExecutionSaid | CommissionSaid | ErrorSaid
