"""Weights become whole-share orders."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.domain.limits import Limits
from quant_trading.domain.orders import Side
from quant_trading.domain.portfolio import Portfolio, Position
from quant_trading.portfolio.sizing import limit_price, order_ref, plan_orders, wished_quantity
from quant_trading.strategy.base import equal_weights


def holding(equity: object = 100_000, **quantities: str) -> Portfolio:
    positions = {s: Position(s, Decimal(q), Decimal(1)) for s, q in quantities.items()}
    return Portfolio("DU1", "USD", Decimal(str(equity)), Decimal(0), positions)


def test_two_longs_of_the_specification_get_a_fifth_each() -> None:
    weights = equal_weights(np.array([[1.0, 0.0, 1.0]]), Limits(max_position_pct=0.2, max_gross_exposure=1.0))
    assert weights.tolist() == [[0.2, 0.0, 0.2]]


def test_ten_longs_share_the_gross_exposure_and_none_means_flat() -> None:
    limits = Limits(0.2, 1.0)
    assert equal_weights(np.ones((1, 10)), limits).tolist() == [[0.1] * 10]
    assert equal_weights(np.array([[0.0, np.nan]]), limits).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("equity", "weight", "price", "shares"),
    [
        (100_000.0, 0.2, 150.0, 133),  # 133.33
        (1_000.0, 0.5, 200.0, 2),  # 2.5 -> 2, half to even
        (1_400.0, 0.5, 200.0, 4),  # 3.5 -> 4, half to even
        (100_000.0, -0.2, 150.0, -133),
        (100_000.0, 0.0, 150.0, 0),
    ],
)
def test_quantity_is_rounded_half_to_even(equity: float, weight: float, price: float, shares: int) -> None:
    assert wished_quantity(equity, weight, price) == shares


def test_orders_are_differences_with_sells_first_and_names_to_close() -> None:
    orders = plan_orders(
        ("A", "B", "C", "D"),
        np.array([0.2, 0.1, 0.0, 0.2]),
        np.array([100.0, 50.0, 10.0, np.nan]),
        np.array([1.0, 1.0, 0.0, 1.0]),
        holding(A="150", B="250", C="7", Z="5"),
    )
    assert [(o.symbol, o.side, o.quantity) for o in orders] == [
        ("B", Side.SELL, Decimal(50)),  # wished 200, held 250
        ("C", Side.SELL, Decimal(7)),  # to close
        ("A", Side.BUY, Decimal(50)),  # wished 200, held 150; D has no price, Z is not ours
    ]


def test_a_held_fraction_is_never_oversold() -> None:
    (order,) = plan_orders(("A",), np.array([0.0]), np.array([10.0]), np.array([0.0]), holding(A="5.7"))
    assert (order.side, order.quantity) == (Side.SELL, Decimal(5))


@given(
    equity=st.floats(1e3, 1e7),
    rows=st.lists(st.tuples(st.floats(-1, 1), st.floats(1, 5000), st.integers(-5000, 5000)), min_size=1, max_size=12),
)
def test_filled_orders_lead_exactly_to_the_wished_shares(equity: float, rows: list[tuple[float, float, int]]) -> None:
    symbols = tuple(f"S{i}" for i in range(len(rows)))
    held = holding(round(equity, 2), **{s: str(r[2]) for s, r in zip(symbols, rows, strict=True)})
    weights, prices = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    orders = {o.symbol: o for o in plan_orders(symbols, weights, prices, weights, held)}
    for symbol, (weight, price, quantity) in zip(symbols, rows, strict=True):
        order = orders.get(symbol)
        after = quantity + (int(order.quantity) * order.side.sign if order else 0)
        assert after == wished_quantity(float(held.equity), weight, price)


@pytest.mark.parametrize(
    ("side", "reference", "tick", "price"),
    [
        (Side.BUY, "100.00", "0.01", "100.10"),  # 10 bps of 100 is 0.10, up for a buy
        (Side.SELL, "100.00", "0.01", "99.90"),
        (Side.BUY, "33.33", "0.05", "33.35"),  # 33.36333 -> nearest 0.05
        (Side.SELL, "0.01", "0.01", "0.01"),  # never below one tick
    ],
)
def test_limit_price_moves_toward_the_market_on_the_tick_grid(
    side: Side, reference: str, tick: str, price: str
) -> None:
    assert limit_price(side, Decimal(reference), 10.0, Decimal(tick)) == Decimal(price)


def test_order_ref_says_who_when_and_what_in_32_characters() -> None:
    assert order_ref("REVERSAL", "261120", 1, "AAPL", Side.BUY) == "REVE-261120-01-AAPL-B-01"
    longest = order_ref("REVERSAL_RANK", "261120", 99, "ABCDEFGHIJKLMNOP", Side.SELL, 99)
    assert len(longest) <= 32
    assert order_ref("MACD", "261120", 1, "BRK B", Side.SELL).isascii()
