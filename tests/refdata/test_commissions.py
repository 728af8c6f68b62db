"""The plans against the published examples."""

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.refdata.commissions import (
    RegulatoryFees,
    fixed_commission,
    other_commission,
    regulatory_fees_on,
    tiered_charges,
    tiered_commission,
)
from tests.shared_data import golden, needs_shared


@needs_shared
def test_published_examples_of_the_fixed_plan() -> None:
    examples = [
        row for row in json.loads(golden("ibkr_commissions.json").read_text())["examples"] if row["plan"] == "fixed"
    ]
    assert len(examples) == 3
    for row in examples:
        charged = fixed_commission(Decimal(str(row["shares"])), Decimal(str(row["price"])))
        assert charged == Decimal(str(row["expected_commission"]))


@pytest.mark.parametrize(
    ("shares", "price", "expected"),
    [
        ("200", "50", "1.00"),  # 200 x 0.005 is the minimum exactly
        ("201", "50", "1.005"),
        ("-201", "50", "1.005"),
        ("1", "50", "0.50"),  # 1 % of 50 is below the minimum
        ("0", "50", "0"),
    ],
)
def test_by_hand(shares: str, price: str, expected: str) -> None:
    assert fixed_commission(Decimal(shares), Decimal(price), date(2026, 1, 5)) == Decimal(expected)


@given(st.integers(1, 10**7), st.decimals("0.01", "5000", places=2))
def test_never_above_one_percent(shares: int, price: Decimal) -> None:
    assert 0 < fixed_commission(Decimal(shares), price) <= shares * price * Decimal("0.01")


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"))


@needs_shared
def test_published_examples_of_the_tiered_plan() -> None:
    examples = [
        row for row in json.loads(golden("ibkr_commissions.json").read_text())["examples"] if row["plan"] == "tiered"
    ]
    assert len(examples) == 2
    for row in examples:
        # The example names the rates of its day.
        fees = RegulatoryFees(
            date(2012, 1, 1), Decimal(repr(row["sec_rate"])), Decimal("0.000166"), Decimal(str(row["taf_cap"]))
        )
        charges = tiered_charges(-Decimal(row["shares"]), Decimal(str(row["price"])), fees=fees)
        expected = row["expected"]
        commission = expected.get("commission") or sum(expected["commission_by_tier"])
        assert charges.commission == Decimal(str(commission))
        for name, got in (
            ("exchange", charges.exchange), ("clearing", charges.clearing), ("sec", charges.sec), ("taf", charges.taf),
            ("finra_pass", charges.finra_pass_through), ("nyse_pass", charges.nyse_pass_through),
            ("total", charges.total),
        ):  # fmt: skip
            assert cents(got) == cents(Decimal(str(expected[name]))), name
        fixed = fixed_commission(Decimal(row["shares"]), Decimal(str(row["price"]))) + charges.sec + charges.taf
        assert cents(fixed) == cents(Decimal(str(row["fixed_total"])))


@pytest.mark.parametrize(
    ("shares", "price", "before", "expected"),
    [
        ("100", "50", "0", "0.35"),  # 100 x 0.0035 is the minimum exactly
        ("99", "50", "0", "0.35"),
        ("10", "1", "0", "0.10"),  # 1 % of 10
        ("1000", "50", "299500", "2.75"),  # 500 x 0.0035 + 500 x 0.002
        ("1000", "50", "200000000", "0.5"),
        ("0", "50", "0", "0"),
    ],
)
def test_tiers_by_hand(shares: str, price: str, before: str, expected: str) -> None:
    assert tiered_commission(Decimal(shares), Decimal(price), Decimal(before)) == Decimal(expected)


@given(st.integers(1, 10**6), st.integers(0, 10**8), st.integers(1, 10**6))
def test_the_month_may_be_traded_in_pieces(first: int, before: int, second: int) -> None:
    """Above the minimum, two orders cost what one of their sum costs: the tiers are marginal."""
    price, taken = Decimal(500), Decimal(before)
    parts = tiered_commission(Decimal(first), price, taken) + tiered_commission(Decimal(second), price, taken + first)
    whole = tiered_commission(Decimal(first + second), price, taken)
    assert parts >= whole
    if min(first, second) >= 700:  # 700 x 0.0005 is the minimum
        assert parts == whole


def test_only_sales_bear_regulatory_fees_and_only_takers_exchange_fees() -> None:
    bought = tiered_charges(Decimal(1000), Decimal(50), is_taking=False, day=date(2024, 6, 3))
    sold = tiered_charges(Decimal(-1000), Decimal(50), day=date(2024, 6, 3))

    assert (bought.sec, bought.taf, bought.exchange) == (0, 0, 0)
    # 50,000 USD at 27.80 per million; 1000 x 0.000166; 1000 x 0.003
    assert (sold.sec, sold.taf, sold.exchange) == (Decimal("1.39"), Decimal("0.166"), Decimal(3))
    assert regulatory_fees_on(date(2005, 1, 1)) == regulatory_fees_on(date(2012, 1, 1))
    assert regulatory_fees_on().sec_rate == 0


@pytest.mark.parametrize(
    ("sec_type", "quantity", "value", "expected"),
    [("OPT", "10", "1", "6.50"), ("OPT", "-1", "1", "1.00"), ("FUT", "2", "1", "1.70"), ("CASH", "1", "200000", "4"),
     ("CASH", "1", "1000", "2"), ("CRYPTO", "1", "10000", "18"), ("CFD", "1", "100", "1")],
)  # fmt: skip
def test_other_products_by_hand(sec_type: str, quantity: str, value: str, expected: str) -> None:
    assert other_commission(sec_type, Decimal(quantity), Decimal(value)) == Decimal(expected)
    assert other_commission("BOND", Decimal(1), Decimal(1)) is None
