"""IBKR's printed commission examples, through the kernel's plan, to the cent; the rest of a fill is in test_loop."""

import json
from datetime import date

import numpy as np
import pytest

from quant_trading.backtesting.costs import plan_rows, sales_rows
from quant_trading.backtesting.kernel import simulate
from quant_trading.backtesting.loop_types import NO_TABLES, PLAN_WIDTH, SALES_WIDTH, TABLES_AT, packed
from quant_trading.backtesting.order_fills import plan_fee, rounded, row_in_force
from quant_trading.backtesting.settings import CommissionPlan
from quant_trading.refdata.commissions import fixed_commission, tiered_charges
from tests.backtesting.test_loop import PLAIN, flat
from tests.shared_data import golden, needs_shared

EPOCH = date(1970, 1, 1).toordinal()
# The page of the tiered examples has the SEC's and FINRA's rates of 2023.
DAY_2023 = date(2023, 6, 1)


def days(*when):
    return np.array([day.toordinal() - EPOCH for day in when], dtype=np.int64)


def charged(plan, shares, price, side, day=DAY_2023):
    """Return the cost of one order on bar 1, regulatory fees and all, and the sums of the account."""
    sessions = days(day, day)
    tables = NO_TABLES._replace(
        plan=plan_rows(plan, sessions), sales=sales_rows(sessions), month=np.array([641.0, 641.0])
    )
    rules = PLAIN._replace(initial_capital=1e9)
    prices = [np.array([[flat(price)[k]], [flat(price)[k]]]) for k in range(5)]
    target = np.array([[shares * (1.0 if side == "buy" else -1.0)], [np.nan]])
    account = simulate(prices, target, rules, tables, compiled=False)
    return float(account.fills.cost[0]), account


def examples(plan):
    return [row for row in json.loads(golden("ibkr_commissions.json").read_text())["examples"] if row["plan"] == plan]


@needs_shared
def test_the_fixed_examples_to_the_cent():
    for row in examples("fixed"):
        cost, account = charged(CommissionPlan.IBKR_FIXED, row["shares"], row["price"], "buy")
        assert cost == pytest.approx(row["expected_commission"], abs=1e-9)
        assert account.plan == cost
        assert account.regulatory == 0.0


@needs_shared
def test_the_tiered_examples_to_the_cent():
    rows = examples("tiered")
    assert len(rows) == 2
    for row in rows:
        expected = row["expected"]
        cost, account = charged(CommissionPlan.IBKR_TIERED, row["shares"], row["price"], row["side"])
        assert cost == pytest.approx(expected["total"], abs=0.01)
        assert account.regulatory == pytest.approx(expected["sec"] + expected["taf"], abs=0.01)


@needs_shared
def test_the_fixed_plan_with_regulatory_fees_is_the_page_s_fixed_total():
    for row in examples("tiered"):
        cost, _ = charged(CommissionPlan.IBKR_FIXED, row["shares"], row["price"], row["side"])
        assert cost == pytest.approx(row["fixed_total"], abs=0.01)


@pytest.mark.parametrize("shares", [1, 40, 99, 100, 250, 10_000, 400_000, 25_000_000])
@pytest.mark.parametrize("price", [0.2, 5.0, 431.07])
@pytest.mark.parametrize("day", [date(2012, 6, 1), date(2023, 6, 1), date(2024, 6, 3), date(2025, 6, 2)])
def test_the_arrays_say_what_the_decimal_tables_say(shares, price, day):
    from decimal import Decimal

    sold = -Decimal(shares), Decimal(str(price))
    tiered = tiered_charges(*sold, day=day)
    cost, account = charged(CommissionPlan.IBKR_TIERED, shares, price, "sell", day)
    assert cost == pytest.approx(float(tiered.total), rel=1e-12)
    cost, account = charged(CommissionPlan.IBKR_FIXED, shares, price, "sell", day)
    assert account.plan == pytest.approx(float(fixed_commission(*sold, day)), rel=1e-12)
    assert account.regulatory == pytest.approx(float(tiered.sec + tiered.taf), rel=1e-12)


def test_tiers_count_the_shares_of_the_month():
    rules = packed(PLAIN, NO_TABLES._replace(plan=plan_rows(CommissionPlan.IBKR_TIERED, days(DAY_2023))))
    # From 299,000 on: 1,000 at 0.0035 and 1,000 at 0.0020, and 2,000 x 0.0032 of fees.
    fee = plan_fee(0, 2_000.0, 20_000.0, rules, 299_000.0)
    commission = 3.5 + 2.0
    assert fee == pytest.approx(commission + 2_000 * 0.0032 + commission * (0.000175 + 0.00056), abs=1e-9)


def test_the_row_in_force_is_the_last_that_began():
    rows = sales_rows(days(date(2023, 2, 24), date(2023, 2, 27), date(2024, 5, 21), date(2024, 5, 22)))
    assert rows[::SALES_WIDTH].tolist() == [0.0, 1.0, 3.0, 4.0]
    assert [row_in_force(t, 0, len(rows), SALES_WIDTH, rows) // SALES_WIDTH for t in range(4)] == [0, 1, 1, 2]
    before_all = plan_rows(CommissionPlan.IBKR_FIXED, days(date(2000, 1, 3)))
    assert row_in_force(0, 0, len(before_all), PLAN_WIDTH, before_all) == 0
    assert len(packed(PLAIN, NO_TABLES)) == TABLES_AT


@pytest.mark.parametrize(
    ("shares", "half_even", "down"), [(2.5, 2, 2), (3.5, 4, 3), (-2.5, -2, -2), (-3.9, -4, -3), (1e300, 1e300, 1e300)]
)
def test_rounded(shares, half_even, down):
    assert (rounded(shares, 0), rounded(shares, 1), rounded(shares, 2)) == (half_even, down, shares)
