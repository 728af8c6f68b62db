"""The fixed plan against the published examples."""

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.refdata.commissions import fixed_commission
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
