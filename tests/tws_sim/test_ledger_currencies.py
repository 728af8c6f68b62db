"""Double entry, several currencies, futures, dividends and splits: the books beyond a share and a dollar."""

from collections import Counter
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.account_values import ledger_values, summary_values
from quant_trading.tws_sim.accounts import Ledger
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.margin import Margins, margins_of, preview_order
from quant_trading.tws_sim.rates import RateTable
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.tape import Contract
from tests.tws_sim.raw_client import RawClient, only

D = Decimal
MONDAY, THURSDAY = date(2026, 11, 16), date(2026, 11, 19)
SHARE = Contract(101, "ACME")
ABROAD = Contract(102, "SHOP", currency="CAD")
FUTURE = Contract(103, "ES", sec_type="FUT", exchange="CME", multiplier="50", last_trade_date="20261218")
OPTION = Contract(104, "ACME", sec_type="OPT", multiplier="100", strike=10.0, right="C")
EURO = Contract(105, "EUR", sec_type="CASH", exchange="IDEALPRO", min_tick=D("0.00005"))
YEN = Contract(106, "USD", sec_type="CASH", exchange="IDEALPRO", currency="JPY")


def ledger_with(cash: str = "100000") -> Ledger:
    return Ledger("DU1", D(cash), MONDAY)


def sums(ledger: Ledger) -> dict[str, Decimal]:
    by_currency: Counter[str] = Counter()
    for (_, currency), amount in ledger.balances.items():
        by_currency[currency] += amount  # type: ignore[assignment]
    return dict(by_currency)  # type: ignore[arg-type]


def rates(**known: str) -> Any:
    return lambda currency: D(known.get(currency, "1"))


def marks(**known: str) -> Any:
    return lambda contract: D(known[contract.symbol]) if contract.symbol in known else None


fills = st.lists(
    st.tuples(
        st.sampled_from([SHARE, ABROAD, FUTURE, OPTION, EURO, YEN]),
        st.integers(-300, 300).filter(bool).map(D),
        st.decimals("0.01", "500", places=2),
        st.decimals("0", "20", places=2),
    ),
    max_size=30,
)


@given(
    fills,
    st.lists(st.tuples(st.integers(0, 29), st.decimals("0.01", "500", places=2), st.integers(0, 300)), max_size=4),
)
def test_every_booking_has_two_legs_that_add_up_to_zero(
    trades: list[tuple[Contract, Decimal, Decimal, Decimal]], corrections: list[tuple[int, Decimal, int]]
) -> None:
    ledger = ledger_with()
    for contract, quantity, price, commission in trades:
        ledger.apply_fill(contract, quantity, price, commission)
        assert set(sums(ledger).values()) == {D(0)}
    for number, price, shares in corrections:
        if number < len(trades):
            contract, quantity, old_price, _ = trades[number]
            if contract.sec_type != "CASH":
                ledger.correct(contract, quantity, old_price, D(shares if quantity > 0 else -shares), price)
                assert set(sums(ledger).values()) == {D(0)}
    cost = {"USD": D(0), "CAD": D(0)}
    for held in ledger.positions.values():
        if not held.is_virtual:
            cost[held.contract.currency] += held.cost
    assert all(ledger.balances.get(("position", currency), D(0)) == amount for currency, amount in cost.items())


@given(fills, st.decimals("0.01", "500", places=2), st.decimals("0.5", "2", places=4))
def test_equity_is_the_start_and_what_every_fill_has_earned(
    trades: list[tuple[Contract, Decimal, Decimal, Decimal]], mark: Decimal, cad: Decimal
) -> None:
    """Without any cost or settlement, contract by contract; pairs are left out, they are checked by hand below."""
    ledger, earned = ledger_with(), D(0)
    multipliers = {FUTURE.con_id: D(50), OPTION.con_id: D(100)}
    for contract, quantity, price, commission in trades:
        if contract.sec_type == "CASH":
            continue
        ledger.apply_fill(contract, quantity, price, commission)
        gain = quantity * (mark - price) * multipliers.get(contract.con_id, D(1)) - commission
        earned += gain * (cad if contract.currency == "CAD" else 1)
    assert abs(ledger.equity(lambda _: mark, rates(CAD=str(cad))) - (100_000 + earned)) < D("1e-6")


def test_a_booking_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match="booking in USD does not add up to zero"):
        ledger_with().post("USD", ("cash", D(1)), ("capital", D(1)))


def test_a_future_costs_its_commission_and_pays_its_profit() -> None:
    ledger = ledger_with()

    ledger.apply_fill(FUTURE, D(2), D("5000"), D("1.70"))
    assert ledger.cash == D("99998.30")
    # (2 x 5000 x 50 + 1.70) / 2
    assert ledger.positions[FUTURE.con_id].average_cost == D("250000.85")
    assert ledger.equity(marks(ES="5010")) == D("99998.30") + 1000
    # one sold ten points higher: 10 x 50, less its own and half of the first commission
    assert ledger.apply_fill(FUTURE, D(-1), D("5010"), D("0.85")) == D("498.30")
    assert ledger.cash == D("99998.30") + 500 - D("0.85")
    ledger.apply_fill(FUTURE, D(-2), D("5010"), D("1.70"))
    held = ledger.positions[FUTURE.con_id]
    assert (held.quantity, held.settlement) == (-1, 250500)
    assert ledger.equity(marks(ES="5000")) == D(100_000) + 1000 - D("4.25") + 500


def test_a_currency_pair_moves_two_balances_and_shows_a_position() -> None:
    ledger = ledger_with()

    ledger.apply_fill(EURO, D(10_000), D("1.10"), D(2))
    assert (ledger.cash_in("EUR"), ledger.cash) == (10_000, D(100_000) - 11_000 - 2)
    held = ledger.positions[EURO.con_id]
    assert (held.quantity, held.average_cost) == (10_000, D("1.10"))
    assert ledger.equity(marks(EUR="1.20"), rates(EUR="1.20")) == D(100_000) - 2 + 1000
    # The profit of the pair is a figure beside the books.
    assert ledger.apply_fill(EURO, D(-10_000), D("1.20"), D(2)) == 1000
    assert (ledger.cash_in("EUR"), ledger.cash, ledger.realized_today()) == (0, D(100_996), 1000)


def test_positions_in_another_currency_are_converted() -> None:
    ledger = ledger_with()
    ledger.apply_fill(ABROAD, D(100), D("150"), D(1))

    # -15,001 CAD borrowed, shares worth 16,000 CAD
    rate, mark = rates(CAD="0.75"), marks(SHOP="160")
    assert ledger.cash_in("CAD") == -15_001
    assert ledger.equity(mark, rate) == D(100_000) + D("0.75") * 999
    values = {(v.key, v.currency): v.value for v in ledger_values(ledger, mark, rate)}
    assert values["CashBalance", "CAD"] == "-15001.00"
    assert values["StockMarketValue", "CAD"] == "16000.00"
    assert values["StockMarketValue", "BASE"] == "12000.00"
    assert values["NetLiquidationByCurrency", "BASE"] == "100749.25"
    assert values["TotalCashBalance", "BASE"] == "88749.25"
    assert (values["ExchangeRate", "CAD"], values["ExchangeRate", "USD"]) == ("0.7500000", "1.00")


def test_every_summary_amount_is_in_one_currency() -> None:
    ledger = Ledger("DU1", D(1000), MONDAY, "EUR")
    ledger.deposit("USD", D(500))
    values = summary_values(ledger, marks(), D(0), Margins(D(0), D(0)), rates(USD="0.9"))

    assert {value.currency for value in values} == {"EUR", ""}
    assert {v.value for v in values if v.key in ("NetLiquidation", "TotalCashValue", "FullAvailableFunds")} == {
        "1450.00"
    }


def test_dividends_and_splits() -> None:
    ledger = ledger_with()
    ledger.apply_fill(SHARE, D(-101), D("10.00"), D(0))

    assert ledger.book_dividend(SHARE, D("0.50")) == D("-50.50")
    assert ledger.cash == D(100_000) + 1010 - D("50.50")
    # 101 at one for two are 50 and a half; the half is bought back at 20
    ledger.book_split(SHARE, D("0.5"), D(20))
    assert ledger.positions[SHARE.con_id].quantity == -50
    assert ledger.cash == D(100_000) + 1010 - D("50.50") - 10
    assert ledger.book_dividend(ABROAD, D(1)) == 0
    assert set(sums(ledger).values()) == {D(0)}


# Margin


def test_margins_by_product_and_side() -> None:
    config = SimConfig(margin_rate=D("0.25"), initial_margin_rate=D("0.5"), short_margin_rate=D("0.3"))
    cases = (
        (SHARE, D(100), "10", D(500), D(250)),
        (SHARE, D(-100), "10", D(300), D(300)),
        (OPTION, D(1), "2", D(0), D(0)),
        (OPTION, D(-1), "2", D(40), D(40)),  # 20 % of 200
        (EURO, D(100), "1", D(0), D(0)),
    )
    for contract, quantity, price, initial, maintenance in cases:
        ledger = ledger_with()
        ledger.apply_fill(contract, quantity, D(price), D(0))
        found = margins_of(config, ledger, lambda _: D(price), rates())  # noqa: B023
        assert (found.initial, found.maintenance) == (initial, maintenance), contract
    assert margins_of(config, ledger_with(), marks(), rates()).leverage == 2


def test_a_preview_adds_the_order_to_what_is_held() -> None:
    ledger = ledger_with()
    ledger.apply_fill(SHARE, D(100), D(10), D(0))

    more = preview_order(SimConfig(), ledger, SHARE, D(50), D(11), D(1), marks(ACME="12"), rates())
    less = preview_order(SimConfig(), ledger, SHARE, D(-100), D(11), D(1), marks(ACME="12"), rates())

    # 25 % of 1200, then of 1800; equity 99,000 + 1200
    assert (more.before.initial, more.after.initial) == (300, 450)
    assert (less.after.initial, less.equity_before, less.equity_after) == (0, 100_200, 100_199)


# Rates


def pairs(*contracts: Contract) -> Any:
    known = {(contract.symbol, contract.currency): contract for contract in contracts}
    return lambda symbol, currency: known.get((symbol, currency))


def test_rates_come_from_pairs_then_settings_then_a_table() -> None:
    table = RateTable(pairs(EURO, YEN), "USD", {"CAD": D("0.7")}, marks(EUR="1.25", USD="160"))

    assert table.rate("USD") == 1
    assert table.rate("EUR") == D("1.25")
    assert table.rate("JPY") == 1 / D(160)
    assert table.rate("CAD") == D("0.7")
    assert table.rate("GBP") == D("1.27")
    assert table.rate("XXX") == 1
    assert RateTable(pairs(EURO), "EUR", {}, marks(EUR="1.25")).rate("USD") == D("0.8")


def test_the_seeded_market_trades_currencies_futures_and_options() -> None:
    """A pair moves two balances, a future costs its commission, an option a hundred times its price."""
    simulator = Simulator(seeded_tape(7), SimConfig(), at(THURSDAY, "10:00"))
    client = RawClient(simulator)
    found = {}
    for number, (sec_type, more) in enumerate(
        {
            "CASH": {"symbol": "EUR", "currency": "USD", "exchange": "IDEALPRO"},
            "FUT": {"symbol": "ES", "exchange": "CME"},
            "OPT": {"symbol": "SPY", "exchange": "SMART", "right": "C"},
        }.items(),
        start=1,
    ):
        details = client.ask("reqContractDetails", reqId=number, secType=sec_type, **more)
        rows = [m for m in details if m.name == "contractDetails"]
        chosen = rows[len(rows) // 2]
        quantity = D(20_000 if sec_type == "CASH" else 1)
        answer = client.ask(
            "placeOrder", orderId=number, conId=chosen.integer("conId"), exchange=more["exchange"], action="BUY",
            totalQuantity=quantity, orderType="MKT", tif="DAY", transmit=True,
        )  # fmt: skip
        found[sec_type] = (only(answer, "execDetails"), only(answer, "commissionReport"))

    ledger = simulator.ledgers["DU1234567"]
    price = {kind: execution.number("price") or D(0) for kind, (execution, _) in found.items()}
    cost = {kind: report.number("commission") or D(0) for kind, (_, report) in found.items()}
    assert (cost["FUT"], cost["OPT"]) == (D("0.85"), D(1))
    assert ledger.cash_in("EUR") == 20_000
    spent = 20_000 * price["CASH"] + 100 * price["OPT"] + sum(cost.values())
    assert ledger.cash == 1_000_000 - spent
    # what was paid for the spreads and the commissions is gone, nothing else
    assert 0 < 1_000_000 - simulator.equity() < 200
    assert (
        found["FUT"][0].number("evMultiplier")
        == ledger.positions[found["FUT"][0].integer("conId")].cost // price["FUT"]
    )


def test_the_base_currencys_own_ledger_leaves_out_what_was_realized_abroad() -> None:
    ledger = ledger_with()
    ledger.apply_fill(ABROAD, D(10), D("5.00"), D(0))
    ledger.apply_fill(ABROAD, D(-10), D("6.00"), D(0))  # 10 CAD of profit
    ledger.deposit("CAD", D(-10))  # taken out: no cash and no position abroad is left

    found = {(v.currency, v.key): v.value for v in ledger_values(ledger, marks(SHOP="6"), rates(CAD="0.5"))}
    assert {currency for currency, _ in found} == {"BASE", "USD"}
    assert (found["BASE", "RealizedPnL"], found["USD", "RealizedPnL"]) == ("5.00", "0.00")


def test_one_currencys_ledger_is_named_twice() -> None:
    ledger = ledger_with()
    ledger.apply_fill(SHARE, D(10), D("5.00"), D(1))

    # 100,000 less 50 and 1; ten shares marked at 7 cost 51
    values = ledger_values(ledger, marks(ACME="7"))
    base, own = ([v for v in values if v.currency == name] for name in ("BASE", "USD"))
    assert [v.key for v in base] == [v.key for v in own]
    for rows, name in ((base, "BASE"), (own, "USD")):
        found = {v.key: v.value for v in rows}
        assert (found["Currency"], found["ExchangeRate"]) == (name, "1.00")
        assert (found["CashBalance"], found["StockMarketValue"], found["UnrealizedPnL"]) == (
            "99949.00",
            "70.00",
            "19.00",
        )
