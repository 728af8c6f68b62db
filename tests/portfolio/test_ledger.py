"""Fills become positions, cash and profit."""

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from quant_trading.domain.fills import Fill
from quant_trading.domain.orders import Side
from quant_trading.portfolio.ledger import Ledger, apply_fill, mark

WHEN = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


def fill(exec_id: str, side: Side, quantity: int, price: str, commission: str = "0") -> Fill:
    return Fill(exec_id, 1, "r", "A", side, Decimal(quantity), Decimal(price), WHEN, Decimal(commission))


def test_a_round_trip_by_hand() -> None:
    ledger = Ledger(cash=Decimal(10_000))
    ledger = apply_fill(ledger, fill("1.01", Side.BUY, 100, "10", "1"))
    ledger = apply_fill(ledger, fill("2.01", Side.BUY, 50, "13", "1"))
    assert ledger.positions["A"].average_cost == Decimal(11)  # (1000 + 650) / 150
    ledger = apply_fill(ledger, fill("3.01", Side.SELL, 60, "12", "1"))
    assert ledger.realized_pnl == Decimal(60)  # 60 x (12 - 11)
    assert ledger.cash == Decimal(10_000 - 1000 - 650 + 720 - 3)
    ledger = apply_fill(ledger, fill("4.01", Side.SELL, 100, "9", "1"))  # 90 closed, 10 short at 9
    assert ledger.realized_pnl == Decimal(60 - 180)
    assert (ledger.positions["A"].quantity, ledger.positions["A"].average_cost) == (Decimal(-10), Decimal(9))
    assert mark(ledger, {"A": Decimal(8)}) == 10_000 - 120 + 10 - 4  # realized, 10 x (9 - 8), commissions


def test_the_same_execution_twice_counts_once() -> None:
    once = apply_fill(Ledger(), fill("1.01", Side.BUY, 5, "10"))
    assert apply_fill(once, fill("1.01", Side.BUY, 5, "10")) is once


trades = st.lists(
    st.tuples(st.sampled_from(Side), st.integers(1, 500), st.decimals("0.01", "999.99", places=2)), max_size=40
)


@given(trades, st.decimals("0.01", "999.99", places=2))
def test_cash_plus_positions_is_start_plus_profit(rows: list[tuple[Side, int, Decimal]], last: Decimal) -> None:
    ledger, expected = Ledger(cash=Decimal(1_000_000)), Decimal(1_000_000)
    for i, (side, quantity, price) in enumerate(rows):
        ledger = apply_fill(ledger, fill(f"{i}.01", side, quantity, str(price), "1.25"))
        expected += side.sign * quantity * (last - price) - Decimal("1.25")
    assert abs(mark(ledger, {"A": last}) - float(expected)) < 1e-6
    unrealized = sum((p.quantity * (last - p.average_cost) for p in ledger.positions.values()), Decimal(0))
    total = Decimal(1_000_000) + ledger.realized_pnl + unrealized - ledger.commissions
    assert abs(total - expected) < Decimal("1e-12")
