"""One account's books: cash, positions, average cost and profit, all in Decimal.

Average cost includes commissions, as IBKR's does (documented: "average cost of stock ... including
commissions"). A commission that closes one position and opens the opposite one is split by shares
(assumed). The day's profit is counted from the close before the exchange's calendar date (assumed; TWS
lets the user set the reset time).

Two identities hold after every fill, and a property test checks both:

    equity = cash + sum(quantity x mark)
    cash + sum(cost) = starting cash + starting cost + realized profit
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from quant_trading.tws_sim.tape import Contract

__all__ = ["Ledger", "Mark", "Position", "daily_pnl_of"]

Mark = Callable[[Contract], Decimal | None]
"""Price of a contract for valuation, None before its first trade."""

_ZERO = Decimal(0)


@dataclass(slots=True)
class Position:
    """A holding in one contract; kept with quantity zero until the day ends.

    Attributes:
        quantity: shares, negative when short.
        cost: what was paid for it including commissions; negative for a short, less its commissions.
        realized_today: profit of closed parts since the day began.
        flow_today: money received less money paid since the day began.
        day_quantity: quantity when the day began.
    """

    contract: Contract
    quantity: Decimal = _ZERO
    cost: Decimal = _ZERO
    realized_today: Decimal = _ZERO
    flow_today: Decimal = _ZERO
    day_quantity: Decimal = _ZERO

    @property
    def average_cost(self) -> Decimal:
        """Return the cost per share, zero when there is no position."""
        return self.cost / self.quantity if self.quantity else _ZERO


@dataclass(slots=True)
class Ledger:
    """The books of one account.

    Attributes:
        day: exchange date the "today" figures belong to.
        day_cash: cash when that day began.
        realized: profit of closed parts since the start of the simulation.
    """

    account: str
    cash: Decimal
    day: date
    positions: dict[int, Position] = field(default_factory=dict)
    day_cash: Decimal = _ZERO
    realized: Decimal = _ZERO

    def __post_init__(self) -> None:
        """Begin the first day with the cash at hand."""
        self.day_cash = self.cash

    def open_position(self, contract: Contract, quantity: Decimal, average_cost: Decimal) -> None:
        """Put in a position that was there before the simulation began; cash stays as it is."""
        self.positions[contract.con_id] = Position(contract, quantity, quantity * average_cost, day_quantity=quantity)

    def begin_day(self, day: date) -> None:
        """Start the figures of `day`; the same day again changes nothing."""
        if day == self.day:
            return
        self.day = day
        self.day_cash = self.cash
        self.positions = {con_id: held for con_id, held in self.positions.items() if held.quantity}
        for held in self.positions.values():
            held.realized_today = held.flow_today = _ZERO
            held.day_quantity = held.quantity

    def apply_fill(self, contract: Contract, quantity: Decimal, price: Decimal, commission: Decimal) -> Decimal | None:
        """Book an execution; return the profit it realized, None when it only opened.

        Args:
            quantity: signed shares, positive bought.
            commission: USD, positive.
        """
        held = self.positions.setdefault(contract.con_id, Position(contract))
        flow = -quantity * price - commission
        self.cash += flow
        held.flow_today += flow
        if held.quantity * quantity >= 0:
            held.quantity += quantity
            held.cost -= flow
            return None
        return self._close(held, quantity, price, commission)

    def _close(self, held: Position, quantity: Decimal, price: Decimal, commission: Decimal) -> Decimal:
        closed = min(abs(quantity), abs(held.quantity))
        signed = closed if quantity > 0 else -closed
        closing_commission = commission * closed / abs(quantity)
        released = held.cost * closed / abs(held.quantity)
        profit = -signed * price - closing_commission - released
        opened = quantity - signed
        held.quantity += quantity
        # What is left is either the rest of the old position or a new one on the other side.
        held.cost = opened * price + (commission - closing_commission) if opened else held.cost - released
        if not held.quantity:
            held.cost = _ZERO
        held.realized_today += profit
        self.realized += profit
        return profit

    def position_value(self, mark: Mark) -> Decimal:
        """Return the signed market value of all positions."""
        return sum((held.quantity * _price(held, mark) for held in self.positions.values()), _ZERO)

    def gross_value(self, mark: Mark) -> Decimal:
        """Return the sum of absolute position values."""
        return sum((abs(held.quantity * _price(held, mark)) for held in self.positions.values()), _ZERO)

    def equity(self, mark: Mark) -> Decimal:
        """Return cash plus positions at market."""
        return self.cash + self.position_value(mark)

    def unrealized(self, mark: Mark) -> Decimal:
        """Return the profit of the open positions."""
        return self.position_value(mark) - sum((held.cost for held in self.positions.values()), _ZERO)

    def realized_today(self) -> Decimal:
        """Return the profit realized since the day began."""
        return sum((held.realized_today for held in self.positions.values()), _ZERO)

    def daily_pnl(self, mark: Mark, reference: Mark) -> Decimal:
        """Return the change of equity since the day began; `reference` marks at the close before it."""
        return sum((daily_pnl_of(held, mark, reference) for held in self.positions.values()), _ZERO)


def _price(held: Position, mark: Mark) -> Decimal:
    price = mark(held.contract)
    return held.average_cost if price is None else price


def daily_pnl_of(held: Position, mark: Mark, reference: Mark) -> Decimal:
    """Return what one position has earned since the day began, its commissions included."""
    before = _ZERO
    if held.day_quantity:
        price = reference(held.contract)
        before = held.day_quantity * (_price(held, mark) if price is None else price)
    return held.quantity * _price(held, mark) + held.flow_today - before
