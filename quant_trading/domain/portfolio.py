"""What the account holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

__all__ = ["Portfolio", "Position"]


@dataclass(frozen=True, slots=True)
class Position:
    """Shares held of one symbol.

    Attributes:
        symbol: what is held.
        quantity: signed shares, negative = short.
        average_cost: per share, in the instrument's currency.
        market_price: last mark, None when the broker gave none.
        unrealized_pnl: as the broker reports it, None when it gave none.
    """

    symbol: str
    quantity: Decimal
    average_cost: Decimal
    market_price: Decimal | None = None
    unrealized_pnl: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Portfolio:
    """An account at one moment.

    Attributes:
        account: the broker's account id.
        currency: base currency of `equity` and `cash`.
        equity: net liquidation value.
        cash: total cash.
        positions: by symbol; flat symbols are absent.
    """

    account: str
    currency: str
    equity: Decimal
    cash: Decimal
    positions: Mapping[str, Position]

    def quantity(self, symbol: str) -> Decimal:
        """Return the signed shares held of `symbol`, 0 when none."""
        position = self.positions.get(symbol)
        return position.quantity if position else Decimal(0)
