"""Fills become positions, cash and realized profit."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from quant_trading.domain.fills import Fill
from quant_trading.domain.portfolio import Position

__all__ = ["Ledger", "apply_fill", "mark"]

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Ledger:
    """Positions and cash of one account in one currency, by our own count.

    Attributes:
        cash: after all fills and commissions.
        positions: by symbol; flat symbols are absent.
        realized_pnl: average-cost profit of closed shares, before commissions.
        commissions: sum charged.
        seen: execution ids already counted, without their revision.
    """

    cash: Decimal = _ZERO
    positions: Mapping[str, Position] = field(default_factory=dict)
    realized_pnl: Decimal = _ZERO
    commissions: Decimal = _ZERO
    seen: frozenset[str] = frozenset()


def apply_fill(ledger: Ledger, fill: Fill) -> Ledger:
    """Return `ledger` after `fill`; the same execution twice changes nothing.

    The average cost moves when a position grows, stays when it shrinks, and starts anew at the fill
    price when it changes sides.
    """
    key = fill.exec_id.rpartition(".")[0] or fill.exec_id
    if key in ledger.seen:
        return ledger
    held = ledger.positions.get(fill.symbol, Position(fill.symbol, _ZERO, _ZERO))
    change = fill.side.sign * fill.quantity
    quantity = held.quantity + change
    closed = min(abs(held.quantity), fill.quantity) if held.quantity * change < 0 else _ZERO
    direction = 1 if held.quantity > 0 else -1
    realized = closed * (fill.price - held.average_cost) * direction
    if quantity == 0:
        cost = _ZERO
    elif held.quantity * change >= 0:
        cost = (abs(held.quantity) * held.average_cost + fill.quantity * fill.price) / abs(quantity)
    elif held.quantity * quantity > 0:
        cost = held.average_cost
    else:
        cost = fill.price
    positions = {s: p for s, p in ledger.positions.items() if s != fill.symbol}
    if quantity != 0:
        positions[fill.symbol] = Position(fill.symbol, quantity, cost)
    commission = fill.commission or _ZERO
    return replace(
        ledger,
        cash=ledger.cash - change * fill.price - commission,
        positions=positions,
        realized_pnl=ledger.realized_pnl + realized,
        commissions=ledger.commissions + commission,
        seen=ledger.seen | {key},
    )


def mark(ledger: Ledger, prices: Mapping[str, Decimal]) -> float:
    """Return equity as a float for research: cash plus positions at `prices`.

    Raises:
        KeyError: when a held symbol has no price.
    """
    return float(ledger.cash + sum((p.quantity * prices[s] for s, p in ledger.positions.items()), _ZERO))
