"""Closed lots by hand, and what holds of every list of fills."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.backtesting.kernel import Fills, Reason
from quant_trading.backtesting.trades import Splits, trades_of


def fills_of(*rows):
    """Rows of (bar, symbol, quantity, price, cost[, reason])."""
    full = [(*row, Reason.SIGNAL)[:6] for row in rows]
    bar, symbol, quantity, price, cost, reason = zip(*full, strict=True)
    whole, number = (lambda v: np.array(v, dtype=np.int64)), (lambda v: np.array(v, dtype=np.float64))
    return Fills(
        whole(bar), whole(symbol), number(quantity), number(price), number(cost), np.array(reason, dtype=np.int8)
    )


def rows_of(trades):
    names = ("symbol", "entry_bar", "exit_bar", "quantity", "entry_price", "exit_price", "gross_pnl", "cost")
    return [tuple(row) for row in zip(*(getattr(trades, name).tolist() for name in names), strict=True)]


def test_in_and_out():
    trades = trades_of(fills_of((1, 0, 100, 10.0, 1.0), (4, 0, -100, 12.0, 2.0, Reason.STOP_LOSS)), 1)
    assert rows_of(trades) == [(0, 1, 4, 100, 10.0, 12.0, 200.0, 3.0)]
    assert trades.pnl.tolist() == [197.0]
    assert trades.returns.tolist() == [0.197]
    assert trades.bars_held.tolist() == [3]
    assert trades.reason.tolist() == [Reason.STOP_LOSS]


def test_a_reversal_closes_one_lot_and_opens_another_with_its_part_of_the_cost():
    trades = trades_of(fills_of((1, 0, 100, 10.0, 1.0), (2, 0, -300, 12.0, 3.0), (3, 0, 200, 11.0, 4.0)), 1)
    assert rows_of(trades) == [
        (0, 1, 2, 100, 10.0, 12.0, 200.0, 1.0 + 1.0),
        (0, 2, 3, -200, 12.0, 11.0, 200.0, 2.0 + 4.0),
    ]


def test_lots_are_closed_against_the_average_entry():
    # 100 at 10 and 300 at 12 are 400 at 11.50 with 4 of costs; 100 of them go with a quarter, the rest with the rest.
    fills = fills_of((1, 0, 100, 10.0, 1.0), (2, 0, 300, 12.0, 3.0), (3, 0, -100, 13.0, 0.5), (5, 0, -300, 11.0, 0.5))
    assert rows_of(trades_of(fills, 1)) == [
        (0, 1, 3, 100, 11.5, 13.0, 150.0, 1.5),
        (0, 1, 5, 300, 11.5, 11.0, -150.0, 3.5),
    ]


def test_symbols_do_not_mix_and_open_lots_are_no_trades():
    fills = fills_of((1, 1, 10, 10.0, 0.0), (1, 0, -5, 20.0, 0.0), (2, 1, -10, 11.0, 0.0))
    assert rows_of(trades_of(fills, 2)) == [(1, 1, 2, 10, 10.0, 11.0, 10.0, 0.0)]
    assert len(trades_of(fills_of((1, 0, 1, 1.0, 0.0)), 1)) == 0


def test_a_split_makes_more_shares_at_a_lower_price():
    # 5 at 60 become 7.5 at 40; half a share is paid at 42, seven are sold at 45.
    fills = fills_of((1, 0, 5, 60.0, 1.5), (3, 0, -0.5, 42.0, 0.0, Reason.SPLIT), (4, 0, -7, 45.0, 1.0))
    splits = Splits(np.array([3]), np.array([0]), np.array([1.5]))
    found = rows_of(trades_of(fills, 1, splits))
    assert found[0] == pytest.approx((0, 1, 3, 0.5, 40.0, 42.0, 1.0, 0.1))
    assert found[1] == pytest.approx((0, 1, 4, 7.0, 40.0, 45.0, 35.0, 1.4 + 1.0))


def test_two_splits_of_one_symbol_wait_while_another_is_paid_its_fraction():
    # Both hold 3 at 100. The first: 1 for 2 leaves 1.5, half a share is paid at 200. The second: 3 for 2 makes 4.5,
    # half a share is paid at 66.67, then 1 for 2 leaves 2. Nothing is won or lost.
    fills = fills_of(
        (0, 0, 3, 100.0, 0.0), (0, 1, 3, 100.0, 0.0), (1, 0, -0.5, 200.0, 0.0, Reason.SPLIT),
        (1, 1, -0.5, 200 / 3, 0.0, Reason.SPLIT), (2, 0, -1, 200.0, 0.0), (2, 1, -2, 400 / 3, 0.0),
    )  # fmt: skip
    splits = Splits(np.array([1, 1, 1]), np.array([0, 1, 1]), np.array([0.5, 1.5, 0.5]))
    trades = trades_of(fills, 2, splits)
    assert trades.quantity.tolist() == [0.5, 0.5, 1.0, 2.0]
    assert trades.gross_pnl == pytest.approx([0.0] * 4, abs=1e-9)


def test_dust_of_fractions_is_no_position():
    # 0.1 + 0.2 - 0.3 is not 0 in floats.
    for last in (5.0, -5.0):  # whichever way the rest of 5.6e-17 would be held, it would be closed here
        fills = fills_of(
            (1, 0, 0.1, 10.0, 0.0), (2, 0, 0.2, 10.0, 0.0), (3, 0, -0.3, 11.0, 0.0), (4, 0, last, 12.0, 0.0)
        )
        assert len(trades_of(fills, 1)) == 1


orders = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-20, 20).filter(bool), st.integers(1, 50), st.integers(0, 4)), min_size=1
)


@given(orders)
def test_what_the_trades_earned_and_what_is_left_is_what_the_fills_paid(rows):
    fills = fills_of(*((t, j, float(q), float(p), c / 2) for t, (j, q, p, c) in enumerate(rows)))
    closed = trades_of(fills, 3)
    left = np.bincount(fills.symbol, fills.quantity, minlength=3)
    flat = fills_of(
        *((t, j, float(q), float(p), c / 2) for t, (j, q, p, c) in enumerate(rows)),
        *((len(rows), j, -left[j], 25.0, 0.0) for j in range(3) if left[j] != 0.0),
    )
    trades = trades_of(flat, 3)
    assert trades.gross_pnl.sum() == pytest.approx(-(flat.quantity * flat.price).sum(), abs=1e-6)
    assert trades.cost.sum() == pytest.approx(flat.cost.sum(), abs=1e-9)
    assert len(closed) <= len(trades) <= len(flat)
    assert (trades.exit_bar >= trades.entry_bar).all()
    by_side = np.sign(trades.quantity) * trades.gross_pnl
    assert by_side == pytest.approx(np.abs(trades.quantity) * (trades.exit_price - trades.entry_price))


@pytest.mark.slow
@given(orders)
def test_compiled_and_interpreted_give_the_same_bits(rows):
    fills = fills_of(*((t, j, float(q), float(p), c / 2) for t, (j, q, p, c) in enumerate(rows)))
    splits = Splits(np.array([1, 3]), np.array([0, 2]), np.array([2.0, 1.5]))
    slow, fast = (trades_of(fills, 3, splits, compiled=way) for way in (False, True))
    for name in slow.__dataclass_fields__:
        assert getattr(slow, name).tobytes() == getattr(fast, name).tobytes(), name
