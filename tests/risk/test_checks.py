"""Limits: each side of the boundary, on it, and no sequence of inputs that breaks them."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from quant_trading.domain.limits import Limits
from quant_trading.domain.orders import OrderIntent, Side
from quant_trading.risk.checks import CHECKS, RiskView, after_order, check_order, review_orders

LIMITS = Limits(max_position_pct=0.2, max_gross_exposure=1.0)


def intent(symbol: str, side: Side, quantity: object, price: object) -> OrderIntent:
    return OrderIntent(symbol, side, Decimal(str(quantity)), Decimal(str(price)), 0.0, 0.0)


def view(equity: object = 100_000, **quantities: int) -> RiskView:
    return RiskView(Decimal(str(equity)), {s: Decimal(q) for s, q in quantities.items()}, {})


def test_max_position_allows_the_limit_and_denies_one_share_more() -> None:
    # 20 % of 100,000 at 100 a share = 200 shares.
    assert check_order(intent("A", Side.BUY, 199, 100), view(), LIMITS) is None
    assert check_order(intent("A", Side.BUY, 200, 100), view(), LIMITS) is None
    denied = check_order(intent("A", Side.BUY, 201, 100), view(), LIMITS)
    assert denied is not None
    assert denied.rule == "max_position"
    assert "at most 200 shares" in denied.reason


def test_max_position_counts_what_is_held_and_both_directions() -> None:
    assert check_order(intent("A", Side.BUY, 100, 100), view(A=100), LIMITS) is None
    assert check_order(intent("A", Side.BUY, 101, 100), view(A=100), LIMITS) is not None
    assert check_order(intent("A", Side.SELL, 300, 100), view(A=100), LIMITS) is None  # 100 long -> 200 short
    assert check_order(intent("A", Side.SELL, 301, 100), view(A=100), LIMITS) is not None


def test_max_position_allows_the_share_that_rounding_adds() -> None:
    # 20,000 / 128.30 = 155.88 -> 156 shares = 20,014.80: above 20 % by less than half a share.
    assert check_order(intent("A", Side.BUY, 156, "128.30"), view(), LIMITS) is None
    assert check_order(intent("A", Side.BUY, 157, "128.30"), view(), LIMITS) is not None


def test_the_way_back_is_always_open() -> None:
    over = RiskView(Decimal(1000), {"A": Decimal(500), "B": Decimal(500)}, {"B": Decimal(100)})
    assert check_order(intent("A", Side.SELL, 100, 100), over, LIMITS) is None
    assert check_order(intent("A", Side.BUY, 1, 100), over, LIMITS) is not None


def test_max_gross_exposure_on_and_beyond_the_boundary() -> None:
    held = RiskView(Decimal(100_000), {s: Decimal(200) for s in "ABCD"}, {s: Decimal(100) for s in "ABCD"})
    assert check_order(intent("E", Side.BUY, 200, 100), held, LIMITS) is None  # 5 x 20 % = 100 %
    tighter = Limits(0.2, 0.9)
    # allowed: 90,000 + half a share of each of the five names = 90,250.
    assert check_order(intent("E", Side.BUY, 102, 100), held, tighter) is None
    denied = check_order(intent("E", Side.BUY, 103, 100), held, tighter)
    assert denied is not None
    assert denied.rule == "max_gross_exposure"


def test_an_order_that_changes_sides_and_ends_smaller_lowers_the_exposure() -> None:
    over = RiskView(Decimal(100_000), {"A": Decimal(200), "B": Decimal(900)}, {"B": Decimal(100)})  # 110 %
    assert check_order(intent("A", Side.SELL, 399, 100), over, LIMITS) is None  # 200 long -> 199 short
    denied = check_order(intent("A", Side.SELL, 400, 100), over, LIMITS)  # -> 200 short: as large as before
    assert denied is not None
    assert denied.rule == "max_gross_exposure"


def test_exposure_is_not_known_when_a_holding_has_no_price() -> None:
    held = RiskView(Decimal(100_000), {"X": Decimal(5)}, {})
    denied = check_order(intent("A", Side.BUY, 1, 10), held, LIMITS)
    assert denied is not None
    assert "X is held but has no price" in denied.reason


def test_orders_are_judged_one_after_the_other() -> None:
    plan = [intent("A", Side.BUY, 150, 100), intent("A", Side.BUY, 100, 100), intent("A", Side.BUY, 50, 100)]
    verdicts = [denied.rule if denied else None for _, denied in review_orders(plan, view(), LIMITS)]
    assert verdicts == [None, "max_position", None]


odd_numbers = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True),
    st.sampled_from(
        [
            Decimal("1.7976931348623157E308"),
            Decimal("1E+999999"),
            Decimal("1E-999999"),
            Decimal(-1),
            Decimal(0),
            Decimal("NaN"),
            Decimal("Infinity"),
        ]
    ),
)


@given(odd_numbers, odd_numbers, odd_numbers, odd_numbers, st.sampled_from(Side))
def test_no_rule_raises_whatever_it_is_given(
    quantity: Decimal, price: Decimal, equity: Decimal, held_price: Decimal, side: Side
) -> None:
    order = OrderIntent("A", side, quantity, price, 0.0, 0.0)
    seen = RiskView(equity, {"A": Decimal(3), "B": Decimal(4)}, {"B": held_price})
    denied = check_order(order, seen, LIMITS)
    if not (quantity.is_finite() and quantity > 0 and price.is_finite() and price > 0 and equity.is_finite()):
        assert denied is not None


shares = st.integers(-2000, 2000)
prices = st.decimals(Decimal("1.00"), Decimal("2000.00"), places=2)
symbols = st.sampled_from("ABCDEFGH")


@given(
    equity=st.decimals(Decimal(-1000), Decimal(5_000_000), places=2),
    held=st.dictionaries(symbols, shares, max_size=8),
    price_of=st.fixed_dictionaries(dict.fromkeys("ABCDEFGH", prices)),
    orders=st.lists(st.tuples(symbols, st.sampled_from(Side), st.integers(1, 5000)), max_size=30),
    position_pct=st.floats(0.01, 1.0),
    gross=st.floats(0.05, 4.0),
)
def test_no_sequence_of_orders_breaks_the_limits(
    equity: Decimal,
    held: dict[str, int],
    price_of: dict[str, Decimal],
    orders: list[tuple[str, Side, int]],
    position_pct: float,
    gross: float,
) -> None:
    """Worked out anew here in exact fractions, not with the checks' own arithmetic."""
    limits = Limits(position_pct, gross)
    start = RiskView(equity, {s: Decimal(q) for s, q in held.items()}, dict(price_of))
    seen = start
    plan = [intent(s, side, quantity, price_of[s]) for s, side, quantity in orders]
    for order, denied in review_orders(plan, start, limits):
        if denied is not None:
            continue
        before, seen = seen, after_order(order, seen)
        for symbol, quantity in seen.quantities.items():
            value = abs(quantity) * price_of[symbol]
            allowed = max(equity, Decimal(0)) * Decimal(position_pct) + price_of[symbol] * Decimal("0.500001")
            assert value <= max(allowed, abs(start.quantity(symbol)) * price_of[symbol]), symbol

        def exposure(v: RiskView) -> Decimal:
            return sum((abs(q) * price_of[s] for s, q in v.quantities.items()), Decimal(0))

        slack = sum((price_of[s] / 2 for s, q in seen.quantities.items() if q), Decimal(0)) + Decimal("0.01")
        assert exposure(seen) <= max(max(equity, Decimal(0)) * Decimal(gross) + slack, exposure(before))


def test_every_check_is_in_the_tuple_once() -> None:
    assert len(set(CHECKS)) == len(CHECKS) == 3
