"""One account's books: double entry, cash in several currencies, positions, average cost and profit, in Decimal.

Every booking has legs that add up to zero in each currency; `Ledger.post` refuses others. The accounts of the
books are "cash", "position" (at cost), "settlement" (what futures owe until they are closed), "profit",
"dividends", "exchange" (currencies bought and sold), "commission" (of currency trades) and "capital".

Average cost includes commissions, as IBKR's does (documented: "average cost of stock ... including
commissions"), and the multiplier. A commission that closes one position and opens the opposite one is split by
shares (assumed). The day's profit is counted from the close before the exchange's calendar date (assumed; TWS
lets the user set the reset time). Futures exchange no cash but their profit and commission; a currency pair
moves two balances and is shown as a position besides ("virtual position", documented). Interest, borrow fees
and the gains on cash in foreign currency are zero (assumed).

Two identities hold after every fill, and a property test checks both:

    equity = cash + sum(quantity x mark)
    cash + sum(cost) = starting cash + starting cost + realized profit
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation

from quant_trading.tws_sim.tape import Contract

__all__ = ["Ledger", "Mark", "Position", "Rate", "daily_pnl_of", "multiplier_of", "one_to_one"]

Mark = Callable[[Contract], Decimal | None]
"""Price of a contract for valuation, None before its first trade."""

Rate = Callable[[str], Decimal]
"""What one unit of a currency is worth in the base currency."""

_ZERO, _ONE = Decimal(0), Decimal(1)
# Shares of a cost are cut here, so that every booking adds up to the last digit.
_GRAIN = Decimal("1e-10")


def one_to_one(currency: str) -> Decimal:
    """Return 1: the rate of the base currency itself."""
    return _ONE


def multiplier_of(contract: Contract) -> Decimal:
    """Return how many units of the underlying one contract stands for."""
    try:
        return Decimal(contract.multiplier) if contract.multiplier else _ONE
    except InvalidOperation:
        return _ONE


@dataclass(slots=True)
class Position:
    """A holding in one contract; kept with quantity zero until the day ends.

    Attributes:
        quantity: shares, negative when short.
        cost: what was paid for it including commissions; negative for a short, less its commissions.
        settlement: of a future, what would have been paid, as a debt; zero for everything else.
        realized_today: profit of closed parts since the day began.
        flow_today: money received less money paid since the day began.
        day_quantity: quantity when the day began.
    """

    contract: Contract
    quantity: Decimal = _ZERO
    cost: Decimal = _ZERO
    settlement: Decimal = _ZERO
    realized_today: Decimal = _ZERO
    flow_today: Decimal = _ZERO
    day_quantity: Decimal = _ZERO

    @property
    def average_cost(self) -> Decimal:
        """Return the cost per share (of a contract with a multiplier: per contract), zero without a position."""
        return self.cost / self.quantity if self.quantity else _ZERO

    @property
    def is_virtual(self) -> bool:
        """True for a currency pair, whose worth is in the cash."""
        return self.contract.sec_type == "CASH"

    @property
    def is_settled(self) -> bool:
        """True when buying it costs cash at once."""
        return self.contract.sec_type not in ("FUT", "CONTFUT", "CFD")

    def value(self, mark: Mark) -> Decimal:
        """Return the signed market value in the contract's currency."""
        price = mark(self.contract)
        if price is None:
            return self.cost
        return self.quantity * price * multiplier_of(self.contract)

    def equity(self, mark: Mark) -> Decimal:
        """Return what it adds to the equity, in the contract's currency."""
        return _ZERO if self.is_virtual else self.value(mark) + self.settlement


@dataclass(slots=True)
class Ledger:
    """The books of one account.

    Attributes:
        opening: cash in the base currency at the start.
        day: exchange date the "today" figures belong to.
        base: base currency.
        balances: what each account of the books holds in each currency; debits are positive.
        realized: profit of closed parts since the start of the simulation, each in its own currency.
        bookings: how many there have been.
    """

    account: str
    opening: Decimal
    day: date
    base: str = "USD"
    positions: dict[int, Position] = field(default_factory=dict)
    balances: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    realized: Decimal = _ZERO
    bookings: int = 0

    def __post_init__(self) -> None:
        """Book the opening cash."""
        self.deposit(self.base, self.opening)

    # Bookings

    def post(self, currency: str, *legs: tuple[str, Decimal]) -> None:
        """Make one booking.

        Raises:
            ValueError: the legs do not add up to zero, which is a mistake of ours.
        """
        if sum((amount for _, amount in legs), _ZERO) != 0:
            raise ValueError(f"booking in {currency} does not add up to zero: {legs}")
        for name, amount in legs:
            key = name, currency
            self.balances[key] = self.balances.get(key, _ZERO) + amount
        self.bookings += 1

    def deposit(self, currency: str, amount: Decimal) -> None:
        """Put cash in; a negative amount takes it out."""
        self.post(currency, ("cash", amount), ("capital", -amount))

    def open_position(self, contract: Contract, quantity: Decimal, average_cost: Decimal) -> None:
        """Put in a position that was there before the simulation began; cash stays as it is."""
        cost = quantity * average_cost
        held = Position(contract, quantity, cost, day_quantity=quantity)
        self.positions[contract.con_id] = held
        self.post(contract.currency, ("position", cost), ("capital", -cost))
        if not held.is_settled:
            held.settlement = -cost
            self.post(contract.currency, ("settlement", -cost), ("capital", cost))

    def begin_day(self, day: date) -> None:
        """Start the figures of `day`; the same day again changes nothing."""
        if day == self.day:
            return
        self.day = day
        self.positions = {con_id: held for con_id, held in self.positions.items() if held.quantity}
        for held in self.positions.values():
            held.realized_today = held.flow_today = _ZERO
            held.day_quantity = held.quantity

    def apply_fill(self, contract: Contract, quantity: Decimal, price: Decimal, commission: Decimal) -> Decimal | None:
        """Book an execution; return the profit it realized, None when it only opened.

        Args:
            quantity: signed shares, positive bought.
            commission: positive, in the contract's currency (of a currency pair: in the base currency).
        """
        held = self.positions.setdefault(contract.con_id, Position(contract))
        notional = quantity * price * multiplier_of(contract)
        if held.is_virtual:
            self.post(contract.symbol, ("cash", quantity), ("exchange", -quantity))
            self.post(contract.currency, ("cash", -notional), ("exchange", notional))
            self.post(self.base, ("cash", -commission), ("commission", commission))
            commission = _ZERO
        held.flow_today -= notional + commission
        if held.quantity * quantity >= 0:
            held.quantity += quantity
            held.cost += notional + commission
            self._pay(held, notional, commission, cost=notional + commission, profit=_ZERO)
            return None
        return self._close(held, quantity, notional, commission)

    def _close(self, held: Position, quantity: Decimal, notional: Decimal, commission: Decimal) -> Decimal:
        closed = min(abs(quantity), abs(held.quantity))
        is_all = closed == abs(held.quantity)
        closing_commission = _share(commission, closed, abs(quantity))
        closing_notional = _share(notional, closed, abs(quantity))
        released = held.cost if is_all else _share(held.cost, closed, abs(held.quantity))
        profit = -closing_notional - closing_commission - released
        opened = (notional - closing_notional) + (commission - closing_commission)
        due = held.settlement if is_all else _share(held.settlement, closed, abs(held.quantity))
        held.quantity += quantity
        # What is left is either the rest of the old position or a new one on the other side.
        held.cost += opened - released
        held.realized_today += profit
        self.realized += profit
        self._pay(held, notional, commission, cost=opened - released, profit=profit)
        if not held.is_settled:
            # The debt of what was closed is paid; what was opened beyond it has become a debt in `_pay`.
            paid = due - closing_notional
            held.settlement -= paid
            self.post(held.contract.currency, ("settlement", -paid), ("cash", paid))
        return profit

    def _pay(self, held: Position, notional: Decimal, commission: Decimal, *, cost: Decimal, profit: Decimal) -> None:
        """Book what a fill cost: from the cash, of a future on credit."""
        if held.is_virtual:
            return
        currency = held.contract.currency
        payer = "cash" if held.is_settled else "settlement"
        self.post(currency, (payer, -notional), ("cash", -commission), ("position", cost), ("profit", -profit))
        if not held.is_settled:
            held.settlement -= notional

    def correct(
        self, contract: Contract, signed: Decimal, old_price: Decimal, new_signed: Decimal, new_price: Decimal
    ) -> None:
        """Book the difference between an execution and its correction; a bust has `new_signed` 0."""
        delta = signed * (new_price - old_price) * multiplier_of(contract)
        held = self.positions.setdefault(contract.con_id, Position(contract))
        held.flow_today -= delta
        if held.quantity * signed > 0:
            held.cost += delta
            self._pay(held, delta, _ZERO, cost=delta, profit=_ZERO)
        else:
            held.realized_today -= delta
            self.realized -= delta
            self.post(contract.currency, ("cash", -delta), ("profit", delta))
        if new_signed != signed:
            self.apply_fill(contract, new_signed - signed, new_price, _ZERO)

    def book_dividend(self, contract: Contract, per_share: Decimal) -> Decimal:
        """Pay a dividend on the position (a short pays it); return the amount."""
        held = self.positions.get(contract.con_id)
        if held is None or not held.quantity:
            return _ZERO
        amount = held.quantity * per_share
        held.flow_today += amount
        self.post(contract.currency, ("cash", amount), ("dividends", -amount))
        return amount

    def book_split(self, contract: Contract, ratio: Decimal, price: Decimal) -> None:
        """Turn each share into `ratio` shares; a fraction is paid out at `price`, the one after the split."""
        held = self.positions.get(contract.con_id)
        if held is None or not held.quantity:
            return
        held.quantity *= ratio
        held.day_quantity *= ratio
        whole = held.quantity.to_integral_value(rounding="ROUND_DOWN")
        if whole != held.quantity:
            self.apply_fill(contract, whole - held.quantity, price, _ZERO)

    # Figures

    @property
    def cash(self) -> Decimal:
        """Return the cash in the base currency."""
        return self.cash_in(self.base)

    def cash_in(self, currency: str) -> Decimal:
        """Return the cash in one currency, negative when it is borrowed."""
        return self.balances.get(("cash", currency), _ZERO)

    def currencies(self) -> list[str]:
        """Return the currencies there is cash or a position in, the base currency first."""
        found = {currency for (name, currency), amount in self.balances.items() if name == "cash" and amount}
        found |= {held.contract.currency for held in self.positions.values() if held.quantity}
        return [self.base, *sorted(found - {self.base})]

    def held_in(self, currency: str | None) -> Iterator[Position]:
        """Return the positions of one currency, or of all."""
        return (held for held in self.positions.values() if currency in (None, held.contract.currency))

    def total_cash(self, rate: Rate = one_to_one) -> Decimal:
        """Return all cash in the base currency."""
        amounts = ((currency, self.balances[name, currency]) for name, currency in self.balances if name == "cash")
        return sum((amount * rate(currency) for currency, amount in amounts), _ZERO)

    def _real(self) -> Iterator[Position]:
        """Return the positions that have a worth of their own."""
        return (held for held in self.positions.values() if not held.is_virtual)

    def gross_value(self, mark: Mark, rate: Rate = one_to_one) -> Decimal:
        """Return the sum of absolute position values in the base currency."""
        return sum((abs(held.value(mark)) * rate(held.contract.currency) for held in self._real()), _ZERO)

    def equity(self, mark: Mark, rate: Rate = one_to_one) -> Decimal:
        """Return cash plus positions at market, in the base currency."""
        return self.total_cash(rate) + sum(
            (held.equity(mark) * rate(held.contract.currency) for held in self.positions.values()), _ZERO
        )

    def unrealized(self, mark: Mark, rate: Rate = one_to_one) -> Decimal:
        """Return the profit of the open positions in the base currency."""
        profits = ((held.value(mark) - held.cost) * rate(held.contract.currency) for held in self._real())
        return sum(profits, _ZERO)

    def realized_today(self, rate: Rate = one_to_one) -> Decimal:
        """Return the profit realized since the day began, in the base currency."""
        return sum((held.realized_today * rate(held.contract.currency) for held in self.positions.values()), _ZERO)

    def daily_pnl(self, mark: Mark, reference: Mark, rate: Rate = one_to_one) -> Decimal:
        """Return the change of equity since the day began; `reference` marks at the close before it."""
        return sum(
            (daily_pnl_of(held, mark, reference) * rate(held.contract.currency) for held in self.positions.values()),
            _ZERO,
        )


def _share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return amount if part == whole else (amount * part / whole).quantize(_GRAIN)


def daily_pnl_of(held: Position, mark: Mark, reference: Mark) -> Decimal:
    """Return what one position has earned since the day began, its commissions included."""
    before = _ZERO
    if held.day_quantity:
        price = reference(held.contract)
        multiplier = multiplier_of(held.contract)
        known = mark(held.contract) if price is None else price
        before = held.day_quantity * (held.average_cost if known is None else known * multiplier)
    return held.value(mark) + held.flow_today - before
