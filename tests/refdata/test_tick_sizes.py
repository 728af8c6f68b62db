"""Rounding to price increments."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.refdata.tick_sizes import is_on_tick, round_to_tick, us_stock_tick


@pytest.mark.parametrize(("price", "tick"), [("1", "0.01"), ("0.9999", "0.0001"), ("150.255", "0.01")])
def test_increment_changes_at_one_dollar(price: str, tick: str) -> None:
    assert us_stock_tick(Decimal(price)) == Decimal(tick)


@pytest.mark.parametrize(
    ("price", "toward", "expected"),
    [
        ("10.014", "nearest", "10.01"),
        ("10.015", "nearest", "10.02"),
        ("10.025", "nearest", "10.02"),
        ("10.011", "up", "10.02"),
        ("10.019", "down", "10.01"),
        ("10.01", "up", "10.01"),
    ],
)
def test_rounding(price: str, toward: str, expected: str) -> None:
    assert round_to_tick(Decimal(price), Decimal("0.01"), toward) == Decimal(expected)  # type: ignore[arg-type]


@given(st.decimals("0.01", "100000", places=6), st.sampled_from([Decimal("0.01"), Decimal("0.0001"), Decimal("0.05")]))
def test_up_and_down_are_the_neighbouring_ticks(price: Decimal, tick: Decimal) -> None:
    down, up = round_to_tick(price, tick, "down"), round_to_tick(price, tick, "up")
    assert down <= price <= up
    assert is_on_tick(down, tick)
    assert is_on_tick(up, tick)
    assert up - down == (0 if is_on_tick(price, tick) else tick)
    assert round_to_tick(price, tick) in (down, up)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="tick = 0 is not positive"):
        round_to_tick(Decimal(1), Decimal(0))
    with pytest.raises(ValueError, match="'sideways' is unknown"):
        round_to_tick(Decimal(1), Decimal("0.01"), "sideways")  # type: ignore[arg-type]
