"""What is checked before an order is taken: price increments, whole shares, venues, the number of orders."""

from collections.abc import Iterable
from decimal import Decimal

from quant_trading.refdata.tick_sizes import is_on_tick, us_stock_tick
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.orders import Order, Terms
from quant_trading.tws_sim.tape import Contract

__all__ = ["check_terms", "count_on_side", "tick_of"]

# Products whose quantities need not be whole (documented for currencies and cryptocurrencies).
_DIVISIBLE = frozenset({"CASH", "CRYPTO", "FUND"})
# Indices and news are looked at, not traded.
_NOT_TRADED = frozenset({"IND", "NEWS", "CONTFUT"})


def tick_of(contract: Contract, price: Decimal) -> Decimal:
    """Return the price increment of a contract at `price`."""
    if contract.sec_type == "STK" and contract.currency == "USD":
        return us_stock_tick(price)
    return contract.min_tick


def check_terms(terms: Terms, contract: Contract) -> None:
    """Check what depends on the contract.

    Raises:
        RequestRefused: 10243 for a fraction, 387 for what cannot be traded, 114 for REL on anything but stocks,
            110 for a price between two increments.
    """
    if contract.sec_type in _NOT_TRADED:
        raise RequestRefused(387)
    if contract.sec_type not in _DIVISIBLE and terms.quantity != terms.quantity.to_integral_value():
        raise RequestRefused(10243)
    if terms.order_type == "REL" and contract.sec_type != "STK":
        raise RequestRefused(114)
    # A trailing amount and the offset of a REL order are distances: they are held to the increment of one dollar
    # and above, as prices of that size are.
    is_distance = terms.order_type in ("REL", "TRAIL", "TRAIL LIMIT")
    for price in (terms.limit, terms.trail_stop, None if is_distance else terms.aux):
        if price is not None and not is_on_tick(price, tick_of(contract, price)):
            raise RequestRefused(110)
    if is_distance and terms.aux is not None and not is_on_tick(terms.aux, contract.min_tick):
        raise RequestRefused(110)


def count_on_side(orders: Iterable[Order], terms: Terms, contract: Contract) -> int:
    """Return how many orders work on the contract, side and account of a new one."""
    same = (contract.con_id, terms.is_buy, terms.account)
    return sum(
        (order.contract.con_id, order.terms.is_buy, order.terms.account) == same for order in orders if order.is_working
    )
