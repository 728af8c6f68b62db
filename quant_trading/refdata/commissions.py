"""What IBKR charges, as dated tables: US stocks under the fixed and the tiered plan, other products in short.

Sources:

- Fixed plan: the public pricing page "Commissions: Stocks, ETFs", United States, plan IBKR Pro Fixed: USD 0.005
  per share, at least USD 1.00 an order, at most 1 % of the trade value. Where the maximum is below the minimum
  the maximum stands (the page's own example: 1,000 shares at USD 0.25 cost USD 2.50). Exchange and clearing fees
  are included. Regulatory fees on sales are charged on top by the plan and are not part of `fixed_commission`.
- Tiered plan: the same page, plan IBKR Pro Tiered, and the page "Fixed vs. Tiered Pricing Comparison Examples":
  marginal rates by the shares of the month, plus exchange, clearing and pass-through fees.
- Regulatory fees: the SEC's fee rate advisories (Section 31) and FINRA's Schedule A, Section 1 (Trading Activity
  Fee); the rates change with time, so the rows are dated.
- Other products: the pricing pages "Futures", "Options", "Spot currencies" and "Cryptocurrencies", lowest volume,
  without the fees of the exchanges.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

__all__ = [
    "FIXED_PLAN_US_STOCKS",
    "REGULATORY_FEES",
    "TIERED_PLAN_US_STOCKS",
    "FixedPlan",
    "RegulatoryFees",
    "TieredCharges",
    "TieredPlan",
    "fixed_commission",
    "fixed_plan_on",
    "other_commission",
    "regulatory_fees_on",
    "tiered_charges",
    "tiered_commission",
]


@dataclass(frozen=True, slots=True)
class FixedPlan:
    """One dated row of the fixed plan.

    Attributes:
        valid_from: first trade date the row applies to.
        per_share, minimum: USD.
        max_fraction: the most an order costs as a share of its value, 0.01 = 1 %.
    """

    valid_from: date
    per_share: Decimal
    minimum: Decimal
    max_fraction: Decimal


# Oldest first. The page has shown the same figures since at least 2012; earlier trade dates take the first row.
FIXED_PLAN_US_STOCKS = (FixedPlan(date(2012, 1, 1), Decimal("0.005"), Decimal("1.00"), Decimal("0.01")),)


def fixed_plan_on(day: date | None = None) -> FixedPlan:
    """Return the row in force on `day`; None takes the newest."""
    if day is None:
        return FIXED_PLAN_US_STOCKS[-1]
    valid = [row for row in FIXED_PLAN_US_STOCKS if row.valid_from <= day]
    return valid[-1] if valid else FIXED_PLAN_US_STOCKS[0]


def fixed_commission(quantity: Decimal, price: Decimal, day: date | None = None) -> Decimal:
    """Return the commission in USD, positive, of one order of `quantity` shares filled at `price`.

    Args:
        quantity: shares, of either sign. For an order filled in parts pass the whole and subtract what was
            already charged: the minimum applies to the order, not to each fill.
        price: average fill price in USD.
        day: trade date.
    """
    plan = fixed_plan_on(day)
    shares = abs(quantity)
    if shares == 0:
        return Decimal(0)
    charged = max(plan.minimum, shares * plan.per_share)
    return min(charged, shares * abs(price) * plan.max_fraction)


@dataclass(frozen=True, slots=True)
class TieredPlan:
    """One dated row of the tiered plan.

    Attributes:
        tiers: (shares of the month up to and including which the rate holds, USD per share), marginal; the last
            bound is None.
        minimum: USD per order.
        max_fraction: the most an order's commission comes to as a share of its value.
        clearing_per_share: USD.
        exchange_per_share: USD, what an order that takes liquidity pays at the usual exchanges (the page's own
            example); one that adds liquidity is charged nothing here (rebates differ by exchange).
        nyse_pass_through, finra_pass_through: shares of the commission.
    """

    valid_from: date
    tiers: tuple[tuple[int | None, Decimal], ...]
    minimum: Decimal
    max_fraction: Decimal
    clearing_per_share: Decimal
    exchange_per_share: Decimal
    nyse_pass_through: Decimal
    finra_pass_through: Decimal


TIERED_PLAN_US_STOCKS = (
    TieredPlan(
        date(2012, 1, 1),
        tiers=(
            (300_000, Decimal("0.0035")),
            (3_000_000, Decimal("0.0020")),
            (20_000_000, Decimal("0.0015")),
            (100_000_000, Decimal("0.0010")),
            (None, Decimal("0.0005")),
        ),
        minimum=Decimal("0.35"),
        max_fraction=Decimal("0.01"),
        clearing_per_share=Decimal("0.0002"),
        exchange_per_share=Decimal("0.003"),
        nyse_pass_through=Decimal("0.000175"),
        finra_pass_through=Decimal("0.00056"),
    ),
)


@dataclass(frozen=True, slots=True)
class RegulatoryFees:
    """What is charged on sales, whatever the plan.

    Attributes:
        sec_rate: share of the value sold.
        taf_per_share, taf_cap: FINRA's Trading Activity Fee, USD per share sold and at most per trade.
    """

    valid_from: date
    sec_rate: Decimal
    taf_per_share: Decimal
    taf_cap: Decimal


# The rows of the SEC between those of the stored pricing pages are left out; a date takes the row before it.
REGULATORY_FEES = (
    RegulatoryFees(date(2012, 1, 1), Decimal("0.0000174"), Decimal("0.000119"), Decimal("5.95")),
    RegulatoryFees(date(2023, 2, 27), Decimal("0.000008"), Decimal("0.000145"), Decimal("7.27")),
    RegulatoryFees(date(2024, 5, 22), Decimal("0.0000278"), Decimal("0.000166"), Decimal("8.30")),
    RegulatoryFees(date(2025, 5, 14), Decimal(0), Decimal("0.000166"), Decimal("8.30")),
)


@dataclass(frozen=True, slots=True)
class TieredCharges:
    """What one order costs under the tiered plan, USD each, positive."""

    commission: Decimal
    exchange: Decimal
    clearing: Decimal
    nyse_pass_through: Decimal
    finra_pass_through: Decimal
    sec: Decimal
    taf: Decimal

    @property
    def total(self) -> Decimal:
        """Return all of it, not rounded."""
        fees = self.exchange + self.clearing + self.nyse_pass_through + self.finra_pass_through
        return self.commission + fees + self.sec + self.taf


def regulatory_fees_on(day: date | None = None) -> RegulatoryFees:
    """Return the row in force on `day`; None takes the newest."""
    valid = [row for row in REGULATORY_FEES if day is None or row.valid_from <= day]
    return valid[-1] if valid else REGULATORY_FEES[0]


def tiered_commission(
    quantity: Decimal, price: Decimal, month_volume_before: Decimal = Decimal(0), plan: TieredPlan | None = None
) -> Decimal:
    """Return IBKR's own part of the tiered charges of one order, USD, positive.

    Args:
        quantity: shares, of either sign.
        price: average fill price in USD.
        month_volume_before: shares the account has traded in the calendar month before this order.
    """
    plan = plan or TIERED_PLAN_US_STOCKS[-1]
    shares = abs(quantity)
    if shares == 0:
        return Decimal(0)
    charged, done = Decimal(0), month_volume_before
    end = month_volume_before + shares
    for bound, rate in plan.tiers:
        reached = end if bound is None else min(end, Decimal(bound))
        if reached > done:
            charged += (reached - done) * rate
            done = reached
    return min(max(plan.minimum, charged), shares * abs(price) * plan.max_fraction)


def tiered_charges(
    quantity: Decimal,
    price: Decimal,
    *,
    is_taking: bool = True,
    month_volume_before: Decimal = Decimal(0),
    day: date | None = None,
    fees: RegulatoryFees | None = None,
) -> TieredCharges:
    """Return everything one order costs under the tiered plan.

    Args:
        quantity: signed shares: sales, negative, bear the regulatory fees.
        is_taking: True when the order takes liquidity.
        fees: regulatory rates other than those in force on `day`.
    """
    plan = TIERED_PLAN_US_STOCKS[-1]
    fees = fees or regulatory_fees_on(day)
    shares = abs(quantity)
    sold = shares if quantity < 0 else Decimal(0)
    commission = tiered_commission(quantity, price, month_volume_before, plan)
    return TieredCharges(
        commission=commission,
        exchange=shares * plan.exchange_per_share if is_taking else Decimal(0),
        clearing=shares * plan.clearing_per_share,
        nyse_pass_through=commission * plan.nyse_pass_through,
        finra_pass_through=commission * plan.finra_pass_through,
        sec=sold * abs(price) * fees.sec_rate,
        taf=min(sold * fees.taf_per_share, fees.taf_cap),
    )


# (per contract, minimum per order) in USD; rates of value as a fraction with a minimum.
_PER_CONTRACT = {
    "OPT": (Decimal("0.65"), Decimal("1.00")),
    "FOP": (Decimal("0.85"), Decimal(0)),
    "FUT": (Decimal("0.85"), Decimal(0)),
}
_OF_VALUE = {
    "CASH": (Decimal("0.00002"), Decimal("2.00")),
    "CRYPTO": (Decimal("0.0018"), Decimal("1.75")),
    "CFD": (Decimal("0.00005"), Decimal("1.00")),
}


def other_commission(sec_type: str, quantity: Decimal, value: Decimal) -> Decimal | None:
    """Return the commission in USD of an order for anything but a stock, None for types without a row.

    Args:
        sec_type: in TWS's words, such as "OPT".
        quantity: contracts, of either sign.
        value: traded value in USD, of either sign.
    """
    if sec_type in _PER_CONTRACT:
        rate, minimum = _PER_CONTRACT[sec_type]
        return max(minimum, abs(quantity) * rate)
    if sec_type in _OF_VALUE:
        rate, minimum = _OF_VALUE[sec_type]
        return max(minimum, abs(value) * rate)
    return None
