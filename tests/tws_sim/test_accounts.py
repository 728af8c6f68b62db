"""The books: average cost with commissions, profit, and the identities that hold after every fill."""

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from quant_trading.tws_sim.account_values import account_values, summary_values
from quant_trading.tws_sim.accounts import Ledger, daily_pnl_of
from quant_trading.tws_sim.margin import Margins
from quant_trading.tws_sim.tape import Contract
from tests.tws_sim.step_tape import ACME, BOLT

D = Decimal
MONDAY, TUESDAY = date(2026, 11, 16), date(2026, 11, 17)


def ledger_with(cash: str = "10000") -> Ledger:
    return Ledger("DU1", D(cash), MONDAY)


def at(price: str | Decimal) -> object:
    return lambda contract: D(price)


def test_a_round_trip_by_hand() -> None:
    ledger = ledger_with()

    assert ledger.apply_fill(ACME, D(100), D("10.00"), D(1)) is None
    held = ledger.positions[ACME.con_id]
    # (100 x 10.00 + 1.00) / 100
    assert held.average_cost == D("10.01")
    assert ledger.cash == D(10000 - 1001)
    assert ledger.unrealized(at("10.00")) == D(-1)

    # 40 x 11.00 - 1.00 - 40 x 10.01 = 38.60
    assert ledger.apply_fill(ACME, D(-40), D("11.00"), D(1)) == D("38.60")
    assert (held.quantity, held.average_cost) == (D(60), D("10.01"))
    assert ledger.equity(at("11.00")) == D("10000") + 100 - 2


def test_a_short_keeps_its_proceeds_less_the_commission() -> None:
    ledger = ledger_with()

    ledger.apply_fill(ACME, D(-100), D("10.00"), D(1))

    # (100 x 10.00 - 1.00) / 100
    assert ledger.positions[ACME.con_id].average_cost == D("9.99")
    # bought back at 9.00: 999 - 900 - 1
    assert ledger.apply_fill(ACME, D(100), D("9.00"), D(1)) == D(98)
    assert ledger.cash == D(10098)


def test_a_fill_through_zero_closes_and_opens() -> None:
    ledger = ledger_with()
    ledger.apply_fill(ACME, D(100), D("10.00"), D(0))

    # 150 sold at 12.00 for 3.00: two thirds of the commission close, one third opens 50 short.
    assert ledger.apply_fill(ACME, D(-150), D("12.00"), D(3)) == D(200 - 2)
    held = ledger.positions[ACME.con_id]
    assert (held.quantity, held.average_cost) == (D(-50), D("11.98"))


def test_a_position_from_before_costs_no_cash() -> None:
    ledger = ledger_with()
    ledger.open_position(ACME, D(10), D("7.50"))

    assert (ledger.cash, ledger.equity(at("8.00")), ledger.unrealized(at("8.00"))) == (D(10000), D(10080), D(5))
    assert ledger.daily_pnl(at("8.00"), at("7.80")) == D(2)


def test_the_day_begins_anew() -> None:
    ledger = ledger_with()
    ledger.apply_fill(ACME, D(100), D("10.00"), D(1))
    ledger.apply_fill(ACME, D(-50), D("11.00"), D(1))
    # bought 100 at 10, sold 50 at 11, 50 left at 12: 50 + 100 - 2 commissions
    assert ledger.daily_pnl(at("12"), at("9")) == D(148)
    assert ledger.realized_today() == D("48.5")

    ledger.begin_day(TUESDAY)

    assert ledger.realized_today() == 0
    assert ledger.daily_pnl(at("13"), at("12")) == D(50)
    assert daily_pnl_of(ledger.positions[ACME.con_id], at("13"), at("12")) == D(50)


def test_a_closed_position_is_forgotten_the_next_day() -> None:
    ledger = ledger_with()
    ledger.apply_fill(ACME, D(10), D("10"), D(0))
    ledger.apply_fill(ACME, D(-10), D("10"), D(0))
    assert ACME.con_id in ledger.positions

    ledger.begin_day(TUESDAY)

    assert ledger.positions == {}


fills = st.lists(
    st.tuples(
        st.sampled_from([ACME, BOLT]),
        st.integers(-500, 500).filter(bool).map(Decimal),
        st.decimals("0.01", "500", places=2),
        st.decimals("0", "20", places=2),
        st.booleans(),
    ),
    max_size=25,
)
marks = st.decimals("0.01", "500", places=2)


@given(fills, marks, marks)
def test_cash_and_positions_always_make_the_equity(
    trades: list[tuple[Contract, Decimal, Decimal, Decimal, bool]], acme: Decimal, bolt: Decimal
) -> None:
    """Equity is the start plus what every fill has earned since, computed here without any average cost."""
    ledger = ledger_with("1000000")
    prices = {ACME.con_id: acme, BOLT.con_id: bolt}

    def mark(contract: Contract) -> Decimal:
        return prices[contract.con_id]

    earned = D(0)
    realized = D(0)
    day = MONDAY
    for contract, quantity, price, commission, is_next_day in trades:
        if is_next_day:
            day = date.fromordinal(day.toordinal() + 1)
            ledger.begin_day(day)
        realized += ledger.apply_fill(contract, quantity, price, commission) or 0
        earned += quantity * (prices[contract.con_id] - price) - commission

    held = ledger.positions.values()
    assert ledger.equity(mark) == D(1000000) + earned
    assert ledger.equity(mark) == ledger.cash + sum(p.quantity * prices[p.contract.con_id] for p in held)
    cost = sum(p.cost for p in held)
    assert abs(ledger.cash + cost - 1000000 - realized) < D("1e-15")
    assert abs(ledger.realized + ledger.unrealized(mark) - earned) < D("1e-15")
    assert all(p.cost * p.quantity >= 0 or p.quantity < 0 for p in held)


def test_summary_values_are_alphabetical_and_hold_what_a_desk_needs() -> None:
    ledger = ledger_with("10000")
    ledger.apply_fill(ACME, D(100), D("10.00"), D(1))

    values = {value.key: value.value for value in summary_values(ledger, at("12.00"), D(9999), Margins(D(300), D(300)))}

    assert list(values) == sorted(values)
    # cash 10000 - 1000 - 1, shares 1200, margin 25 % of 1200
    assert (values["NetLiquidation"], values["TotalCashValue"], values["GrossPositionValue"]) == (
        "10199.00",
        "8999.00",
        "1200.00",
    )
    assert (values["FullInitMarginReq"], values["FullMaintMarginReq"]) == ("300.00", "300.00")
    assert (values["FullAvailableFunds"], values["BuyingPower"]) == ("9899.00", "39596.00")
    assert values["PreviousDayEquityWithLoanValue"] == "9999.00"


def test_account_values_have_the_ledger_in_base_and_in_dollars() -> None:
    values = account_values(ledger_with(), at("1"), D(0), Margins(D(0), D(0)))

    cash = [(value.value, value.currency) for value in values if value.key == "TotalCashBalance"]
    assert cash == [("10000.00", "BASE"), ("10000.00", "USD")]
    assert values[0].value == "DU1"
