"""What a fill costs under the plan that was set."""

from decimal import Decimal

from quant_trading.refdata.commissions import fixed_commission, other_commission, tiered_charges
from quant_trading.tws_sim.accounts import multiplier_of
from quant_trading.tws_sim.config import plan_bps
from quant_trading.tws_sim.tape import Contract
from quant_trading.tws_sim.times import exchange_day

__all__ = ["order_commission"]

_BPS = Decimal(10_000)


def order_commission(
    plan: str,
    contract: Contract,
    quantity: Decimal,
    price: Decimal,
    at_ns: int,
    *,
    month_volume: Decimal = Decimal(0),
    is_taking: bool = True,
) -> Decimal:
    """Return what an order filled so far costs in all, positive, in the contract's currency.

    Stocks in other currencies cost the same figures in theirs (assumed); currency pairs are charged in the base
    currency. The tiered plan's exchange and regulatory fees are part of the figure, as in TWS's reports (assumed).

    Args:
        plan: "ibkr_fixed", "ibkr_tiered", "none" or "bps:5".
        quantity: signed shares.
        month_volume: shares of the account's month before this order.
        is_taking: it took liquidity.
    """
    if plan == "none":
        return Decimal(0)
    value = abs(quantity) * price * multiplier_of(contract)
    bps = plan_bps(plan)
    if bps is not None:
        return value * bps / _BPS
    other = other_commission(contract.sec_type, quantity, value)
    if other is not None:
        return other
    day = exchange_day(at_ns)
    if plan == "ibkr_tiered":
        charges = tiered_charges(quantity, price, is_taking=is_taking, month_volume_before=month_volume, day=day)
        return round(charges.total, 8)
    return fixed_commission(quantity, price, day)
