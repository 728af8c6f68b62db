"""Margins in the manner of Reg T, and what an order would change.

All rates are assumed. Stocks bought and sold short are charged `SimConfig.margin_rate` (25 %, the least Reg T asks
for stocks held; shorts `short_margin_rate`), other products a flat share of their value. Initial and maintenance
margin are the same, except where `initial_margin_rate` says otherwise. Orders that are only working ask for none.
"""

from dataclasses import dataclass
from decimal import Decimal

from quant_trading.tws_sim.accounts import Ledger, Mark, Position, Rate, multiplier_of
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.tape import Contract

__all__ = ["Margins", "Preview", "margins_of", "preview_order"]

_ZERO = Decimal(0)
# Shares of the position's value; a long option is paid in full, so it asks for nothing more.
_RATES = {
    "FUT": Decimal("0.10"), "CONTFUT": Decimal("0.10"), "FOP": Decimal("0.15"), "CASH": Decimal("0.03"),
    "CFD": Decimal("0.20"), "CRYPTO": Decimal(1), "BOND": Decimal("0.25"),
}  # fmt: skip
_SHORT_OPTION = Decimal("0.20")


@dataclass(frozen=True, slots=True)
class Margins:
    """What positions ask for, in the base currency.

    Attributes:
        leverage: value of stocks that one unit of available funds can buy.
    """

    initial: Decimal
    maintenance: Decimal
    leverage: Decimal = Decimal(4)


@dataclass(frozen=True, slots=True)
class Preview:
    """An account before an order and after it was filled at its price, in the base currency.

    Attributes:
        commission: what it would cost, in `commission_currency`.
        least, most: bounds of the commission; None where it is certain.
    """

    before: Margins
    after: Margins
    equity_before: Decimal
    equity_after: Decimal
    commission: Decimal
    commission_currency: str
    least: Decimal | None = None
    most: Decimal | None = None


def _rates(config: SimConfig, contract: Contract, is_long: bool) -> tuple[Decimal, Decimal]:
    """Return the initial and the maintenance rate of a position."""
    if contract.sec_type == "OPT":
        rate = _ZERO if is_long else _SHORT_OPTION
        return rate, rate
    if contract.sec_type in _RATES:
        rate = _RATES[contract.sec_type]
        return rate, rate
    if not is_long and config.short_margin_rate is not None:
        return config.short_margin_rate, config.short_margin_rate
    initial = config.margin_rate if config.initial_margin_rate is None else config.initial_margin_rate
    return initial, config.margin_rate


def _requirement(
    config: SimConfig, contract: Contract, quantity: Decimal, price: Decimal, rate: Rate
) -> tuple[Decimal, Decimal]:
    value = abs(quantity * price) * multiplier_of(contract) * rate(contract.currency)
    initial, maintenance = _rates(config, contract, quantity > 0)
    return value * initial, value * maintenance


def _price_of(held: Position, mark: Mark) -> Decimal:
    price = mark(held.contract)
    return held.average_cost / multiplier_of(held.contract) if price is None else price


def margins_of(config: SimConfig, ledger: Ledger, mark: Mark, rate: Rate) -> Margins:
    """Return what the account's positions ask for."""
    initial = maintenance = _ZERO
    for held in ledger.positions.values():
        if held.quantity and not held.is_virtual:
            one = _requirement(config, held.contract, held.quantity, _price_of(held, mark), rate)
            initial, maintenance = initial + one[0], maintenance + one[1]
    rate_of_stocks = config.margin_rate if config.initial_margin_rate is None else config.initial_margin_rate
    return Margins(initial, maintenance, 1 / rate_of_stocks if rate_of_stocks else Decimal(1))


def preview_order(
    config: SimConfig,
    ledger: Ledger,
    contract: Contract,
    signed: Decimal,
    price: Decimal,
    commission: Decimal,
    mark: Mark,
    rate: Rate,
) -> Preview:
    """Return the account before and after `signed` shares were filled at `price`."""
    before = margins_of(config, ledger, mark, rate)
    held = ledger.positions.get(contract.con_id)
    quantity = held.quantity if held is not None else _ZERO
    marked = mark(contract) or price
    old = _requirement(config, contract, quantity, marked, rate)
    new = _requirement(config, contract, quantity + signed, marked, rate)
    after = Margins(before.initial + new[0] - old[0], before.maintenance + new[1] - old[1])
    equity = ledger.equity(mark, rate)
    is_pair = contract.sec_type == "CASH"
    currency = ledger.base if is_pair else contract.currency
    return Preview(before, after, equity, equity - commission * rate(currency), commission, currency)
