"""Pre-trade checks: each one looks at one order and what the account would hold after it.

Limits are held to within the rounding of whole shares: sizing rounds a weight to the nearest share
(half to even), so a position at exactly `max_position_pct` may stand up to half a share above it. A
check allows what the sizing rule itself gives at the limit and not one share more.

An order that only brings a position closer to zero is always allowed: a limit that was breached by
the market must not stop the way back.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from quant_trading.domain.limits import Denied, Limits
from quant_trading.domain.orders import OrderIntent

__all__ = [
    "CHECKS",
    "RiskView",
    "after_order",
    "check_max_gross_exposure",
    "check_max_position",
    "check_order",
    "check_order_form",
    "review_orders",
]

_HALF = Decimal("0.5")
_LARGEST = Decimal(10) ** 9  # shares or price: beyond it a number is a sentinel or a mistake
_SMALLEST = Decimal("0.0001")  # the finest price step of a US stock
_LARGEST_EQUITY = Decimal(10) ** 15


@dataclass(frozen=True, slots=True)
class RiskView:
    """What the checks look at: the account as it would be if every order in flight were filled.

    Attributes:
        equity: net liquidation value in base currency.
        quantities: signed shares by symbol, orders in flight included; absent = 0.
        prices: price per share by symbol used to value positions, the reference price where there is one.
    """

    equity: Decimal
    quantities: Mapping[str, Decimal]
    prices: Mapping[str, Decimal]

    def quantity(self, symbol: str) -> Decimal:
        """Return the signed shares of `symbol`, 0 when none."""
        return self.quantities.get(symbol, Decimal(0))


Check = Callable[[OrderIntent, RiskView, Limits], Denied | None]


def check_order_form(intent: OrderIntent, view: RiskView, limits: Limits) -> Denied | None:
    """Deny an order whose quantity, price or account value is not a sane number."""
    if not _is_sane(intent.quantity) or intent.quantity != intent.quantity.to_integral_value():
        return Denied("order_form", f"quantity {intent.quantity} of {intent.symbol} is not a whole number of 1 to 1e9")
    if not _is_sane(intent.reference_price):
        return Denied(
            "order_form", f"reference price {intent.reference_price} of {intent.symbol} is not in [0.0001, 1e9]"
        )
    if not (view.equity.is_finite() and abs(view.equity) <= _LARGEST_EQUITY):
        return Denied("order_form", f"equity {view.equity} is not a usable number")
    return None


def check_max_position(intent: OrderIntent, view: RiskView, limits: Limits) -> Denied | None:
    """Deny an order after which one position would exceed `max_position_pct` of equity."""
    before, after = view.quantity(intent.symbol), _quantity_after(intent, view)
    if abs(after) < abs(before) and before * after >= 0:
        return None
    allowed = _shares_at(view.equity, limits.max_position_pct, intent.reference_price)
    if abs(after) <= allowed:
        return None
    return Denied(
        "max_position",
        f"{intent.symbol}: {after} shares x {intent.reference_price} = {_share_of(after, intent, view)} of equity "
        f"{view.equity}, above max_position_pct {limits.max_position_pct:.2%} (at most {allowed} shares)",
    )


def check_max_gross_exposure(intent: OrderIntent, view: RiskView, limits: Limits) -> Denied | None:
    """Deny an order after which the sum of absolute position values would exceed `max_gross_exposure` of equity.

    An order that changes sides but ends smaller than it began lowers the sum and is allowed.
    """
    before, after = view.quantity(intent.symbol), _quantity_after(intent, view)
    if abs(after) < abs(before):
        return None
    gross, slack = abs(after) * intent.reference_price, _HALF * intent.reference_price
    for symbol, quantity in view.quantities.items():
        if symbol == intent.symbol or quantity == 0:
            continue
        price = view.prices.get(symbol)
        if price is None or not _is_sane(price):
            return Denied("max_gross_exposure", f"{symbol} is held but has no price, so the exposure is not known")
        gross += abs(quantity) * price
        slack += _HALF * price
    allowed = max(view.equity, Decimal(0)) * Decimal(str(limits.max_gross_exposure))
    if gross <= allowed + slack:
        return None
    return Denied(
        "max_gross_exposure",
        f"{intent.symbol}: gross exposure would be {gross:.2f}, above max_gross_exposure "
        f"{limits.max_gross_exposure:.2%} of equity {view.equity} = {allowed:.2f}",
    )


# Asked in this order; the first refusal stands. The form comes first, since the others divide by the price.
CHECKS: tuple[Check, ...] = (check_order_form, check_max_position, check_max_gross_exposure)


def check_order(intent: OrderIntent, view: RiskView, limits: Limits) -> Denied | None:
    """Return the first refusal of `CHECKS`, None when all allow the order."""
    for check in CHECKS:
        denied = check(intent, view, limits)
        if denied is not None:
            return denied
    return None


def review_orders(
    intents: Iterable[OrderIntent], view: RiskView, limits: Limits
) -> list[tuple[OrderIntent, Denied | None]]:
    """Return each order with its refusal or None; a later order is judged as if the allowed ones were filled."""
    reviewed: list[tuple[OrderIntent, Denied | None]] = []
    for intent in intents:
        denied = check_order(intent, view, limits)
        if denied is None:
            view = after_order(intent, view)
        reviewed.append((intent, denied))
    return reviewed


def after_order(intent: OrderIntent, view: RiskView) -> RiskView:
    """Return `view` as if `intent` were filled whole at its reference price, costs aside."""
    return RiskView(
        view.equity,
        {**view.quantities, intent.symbol: _quantity_after(intent, view)},
        {**view.prices, intent.symbol: intent.reference_price},
    )


def _quantity_after(intent: OrderIntent, view: RiskView) -> Decimal:
    return view.quantity(intent.symbol) + intent.side.sign * intent.quantity


def _shares_at(equity: Decimal, weight: float, price: Decimal) -> Decimal:
    """Return the shares the sizing rule gives for `weight`: round half to even, never below 0."""
    return Decimal(max(0, round(float(equity) * weight / float(price))))


def _is_sane(number: Decimal) -> bool:
    return number.is_finite() and _SMALLEST <= number <= _LARGEST


def _share_of(quantity: Decimal, intent: OrderIntent, view: RiskView) -> str:
    return f"{abs(quantity) * intent.reference_price / view.equity:.2%}" if view.equity > 0 else "more than 100 %"
