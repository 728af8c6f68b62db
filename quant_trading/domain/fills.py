"""One execution report."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from quant_trading.domain.orders import Side

__all__ = ["Fill"]


@dataclass(frozen=True, slots=True)
class Fill:
    """A quantity of one order that was executed at one price.

    Attributes:
        exec_id: the broker's id of this execution; a correction differs only after the last dot.
        perm_id: the broker's account-wide id of the order.
        order_ref: our identity of the order.
        symbol: what was traded.
        side: BUY or SELL.
        quantity: shares, positive.
        price: per share, in the instrument's currency.
        time: aware UTC moment of the execution.
        commission: charged for this execution; None while the broker has not said.
        commission_currency: currency of `commission`, empty while unknown.
        realized_pnl: as the broker reports it; None for an opening trade or while unknown.
    """

    exec_id: str
    perm_id: int
    order_ref: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    time: datetime
    commission: Decimal | None = None
    commission_currency: str = ""
    realized_pnl: Decimal | None = None
