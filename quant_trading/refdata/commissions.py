"""What IBKR charges for US stocks under the fixed plan, as dated tables.

Source: the public pricing page "Commissions: Stocks, ETFs", United States, plan IBKR Pro Fixed: USD 0.005 per
share, at least USD 1.00 an order, at most 1 % of the trade value. Where the maximum is below the minimum the
maximum stands (the page's own example: 1,000 shares at USD 0.25 cost USD 2.50). Exchange and clearing fees are
included. Regulatory fees on sales are charged on top by the plan and are not part of these functions.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

__all__ = ["FIXED_PLAN_US_STOCKS", "FixedPlan", "fixed_commission", "fixed_plan_on"]


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
