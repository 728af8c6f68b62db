"""What is held, under names that cannot be confused, and worth what the account says."""

import logging
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_async import Contract, PortfolioItem
from ib_async import Position as IbPosition

from quant_trading.core.ibkr_positions import foreign_key, held_lines, position_keys, positions_of
from quant_trading.domain.errors import DataGap
from quant_trading.domain.instruments import Instrument
from quant_trading.domain.orders import Side
from quant_trading.domain.portfolio import Portfolio
from tests.core.meddler import Fields, Meddler, simulator
from tests.core.sessions import an_order, open_account, open_broker

ACCOUNT = "DU1234567"
UNSET = 1.7976931348623157e308


def _stock(con_id: int, symbol: str, currency: str = "USD") -> Contract:
    return Contract(conId=con_id, symbol=symbol, secType="STK", currency=currency, exchange="NYSE", localSymbol=symbol)


def _line(contract: Contract, quantity: float = 100.0, account: str = ACCOUNT) -> IbPosition:
    return IbPosition(account, contract, quantity, 10.0)


# Names.


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"symbol": "T", "secType": "STK", "currency": "CAD"}, "T:CAD"),
        ({"symbol": "BRK B", "secType": "STK", "currency": "EUR"}, "BRK.B:EUR"),
        ({"symbol": "ES", "secType": "FUT", "lastTradeDateOrContractMonth": "20261218"}, "ES:FUT:20261218"),
        ({"symbol": "ES", "secType": "FUT", "lastTradeDateOrContractMonth": "20261218 08:30:00 US/Central"},
         "ES:FUT:20261218"),
        ({"symbol": "AAPL", "secType": "OPT", "lastTradeDateOrContractMonth": "20261120", "right": "C",
          "strike": 150.0}, "AAPL:OPT:20261120C150"),
        ({"symbol": "SPX", "secType": "OPT", "lastTradeDateOrContractMonth": "20261120", "right": "PUT",
          "strike": 12345.75}, "SPX:OPT:20261120P12345.75"),
        ({"symbol": "EUR", "secType": "CASH", "currency": "USD"}, "EUR.USD:CASH"),
        ({"symbol": "BTC", "secType": "CRYPTO", "currency": "USD"}, "BTC.USD:CRYPTO"),
        ({"symbol": "VTSAX", "secType": "FUND", "currency": "USD"}, "VTSAX:FUND"),
    ],
)  # fmt: skip
def test_what_is_not_ours_is_named_by_what_it_is(fields: dict[str, object], key: str) -> None:
    assert foreign_key(Contract(**fields)) == key


def test_a_ticker_of_two_companies_belongs_to_the_one_that_was_resolved() -> None:
    att, telus = _stock(37018770, "T"), _stock(4652, "T", "CAD")
    held = [_line(telus, 500.0), _line(att, 30.0)]
    ours = {"T": Instrument("T", con_id=37018770)}
    assert position_keys(held, ours, "USD") == {4652: "T:CAD", 37018770: "T"}
    assert position_keys([_line(telus)], ours, "USD") == {4652: "T:CAD"}  # Telus alone is not AT&T
    # the same ticker and currency, but another company
    assert position_keys([_line(_stock(9, "T"))], ours, "USD") == {9: "T:USD"}


def test_an_unresolved_ticker_is_plain_only_when_it_is_alone_and_in_base_currency() -> None:
    att, telus = _stock(37018770, "T"), _stock(4652, "T", "CAD")
    assert position_keys([_line(att)], {}, "USD") == {37018770: "T"}
    assert position_keys([_line(telus)], {}, "USD") == {4652: "T:CAD"}
    assert position_keys([_line(telus)], {}, "CAD") == {4652: "T"}
    assert position_keys([_line(att), _line(telus)], {}, "USD") == {37018770: "T:USD", 4652: "T:CAD"}


def test_two_holdings_that_would_share_a_key_carry_their_numbers() -> None:
    option = {
        "symbol": "AAPL",
        "secType": "OPT",
        "lastTradeDateOrContractMonth": "20261120",
        "right": "C",
        "strike": 9.0,
    }
    weekly, adjusted = Contract(conId=1, **option), Contract(conId=2, tradingClass="AAPL1", **option)
    keys = position_keys([_line(weekly), _line(adjusted)], {}, "USD")
    assert keys == {1: "AAPL:OPT:20261120C9#1", 2: "AAPL:OPT:20261120C9#2"}


def test_the_users_spelling_is_kept_and_of_two_the_first() -> None:
    ours = {"brk.b": Instrument("brk.b", con_id=5), "BRK B": Instrument("BRK B", con_id=5)}
    assert position_keys([_line(_stock(5, "BRK B"))], ours, "USD") == {5: "brk.b"}


_SYMBOLS = st.sampled_from(["T", "AAPL", "BRK B"])
_CONTRACTS = st.builds(
    Contract,
    conId=st.integers(1, 8),
    symbol=_SYMBOLS,
    secType=st.sampled_from(["STK", "OPT", "FUT", "CASH"]),
    currency=st.sampled_from(["USD", "CAD"]),
    right=st.sampled_from(["", "C", "P"]),
    strike=st.sampled_from([0.0, 150.0]),
)


@given(st.lists(_CONTRACTS, max_size=8, unique_by=lambda c: c.conId), st.dictionaries(_SYMBOLS, st.integers(1, 8)))
def test_no_holding_is_lost_and_no_plain_symbol_is_another_instrument(
    contracts: list[Contract], resolved: dict[str, int]
) -> None:
    ours = {s.replace(" ", "."): Instrument(s, con_id=con_id) for s, con_id in resolved.items()}
    held = held_lines([_line(contract) for contract in contracts], ACCOUNT)
    keys = position_keys(held, ours, "USD")
    assert len(set(keys.values())) == len(contracts)
    for con_id, key in keys.items():
        if key in ours:
            assert ours[key].con_id == con_id
        else:
            contract = next(c for c in contracts if c.conId == con_id)
            assert ":" in key or (contract.secType, contract.currency) == ("STK", "USD")


# Values.


def _mark(contract: Contract, quantity: float, price: float, value: float) -> PortfolioItem:
    return PortfolioItem(contract, quantity, price, value, 10.0, 7.0, 0.0, ACCOUNT)


def _priced(contract: Contract, quantity: float, price: float, value: float, **rates: str) -> Decimal | None:
    line = _line(contract, quantity)
    marks = {contract.conId: _mark(contract, quantity, price, value)}
    exchange = {currency: Decimal(rate) for currency, rate in rates.items()}
    return positions_of([line], {contract.conId: "key"}, marks, "USD", exchange)["key"].market_price


def test_quantity_times_price_is_the_value_in_base_currency() -> None:
    es = Contract(conId=1, symbol="ES", secType="FUT", currency="USD", multiplier="50")
    assert _priced(es, 2.0, 6000.25, 600_025.0) == Decimal("300012.5")  # 2 x 50 x 6000.25
    option = Contract(conId=2, symbol="AAPL", secType="OPT", currency="USD", multiplier="100")
    assert _priced(option, -3.0, 4.5, -1350.0) == Decimal("450")
    bond = Contract(conId=3, symbol="US-T", secType="BOND", currency="USD")
    assert _priced(bond, 10.0, 98.5, 9850.0) == Decimal("985")  # 1000 of face value quoted in percent
    vodafone = _stock(6, "VOD", "GBP")
    assert _priced(vodafone, 1000.0, 75.0, 750.0, GBP="1.25") == Decimal("0.9375")  # 75 pence are 0.75 pounds
    assert _priced(_stock(4, "SAP", "EUR"), 10.0, 200.0, 2000.0, EUR="1.1") == Decimal("220")
    dax = Contract(conId=5, symbol="DAX", secType="FUT", currency="EUR", multiplier="25")
    assert _priced(dax, 1.0, 20000.0, 500_000.0, EUR="1.1") == Decimal("550000")


def test_without_a_rate_or_a_mark_there_is_no_price() -> None:
    sap = _stock(4, "SAP", "EUR")
    assert _priced(sap, 10.0, 200.0, 2000.0) is None
    assert _priced(sap, 10.0, 200.0, 2000.0, CHF="1.1") is None
    assert positions_of([_line(sap)], {4: "k"}, {}, "USD", {"EUR": Decimal(1)})["k"].market_price is None


@pytest.mark.parametrize(("price", "value"), [(-1.0, UNSET), (0.0, 0.0), (UNSET, UNSET)])
def test_a_mark_that_is_none_is_no_price(price: float, value: float) -> None:
    future = Contract(conId=1, symbol="ES", secType="FUT", currency="USD", multiplier="50")
    assert _priced(future, 1.0, price, value) is None
    assert _priced(_stock(2, "A"), 1.0, price, value) is None


def test_without_a_value_the_multiplier_is_taken() -> None:
    future = Contract(conId=1, symbol="ES", secType="FUT", currency="USD", multiplier="50")
    assert _priced(future, 1.0, 6000.0, UNSET) == 300_000


def test_an_unset_cost_is_a_gap() -> None:
    line = IbPosition(ACCOUNT, _stock(1, "A"), 5.0, UNSET)
    with pytest.raises(DataGap, match="position A: TWS sent average cost"):
        positions_of([line], {1: "A"}, {}, "USD", {})


def test_a_line_that_was_repeated_counts_once_and_the_last_one_stands() -> None:
    apple = _stock(1, "AAPL")
    assert [line.position for line in held_lines([_line(apple, 10.0), _line(apple, 5.0)], ACCOUNT)] == [5.0]
    assert held_lines([_line(apple, 10.0), _line(apple, 0.0)], ACCOUNT) == []
    assert held_lines([_line(apple, 10.0, "DU9")], ACCOUNT) == []


# Over the wire.

# conId, symbol, secType, last trade date, strike, right, multiplier, currency, price, value
TELUS = ("4652", "T", "STK", "", "0", "", "", "CAD", "22.5", "11250")
FUTURE = ("495512563", "ES", "FUT", "20261218", "0", "", "50", "USD", "6000", "600000")
OPTION = ("700000001", "AAPL", "OPT", "20261120", "150", "C", "100", "USD", "4.5", "450")
EURO = ("12087792", "EUR", "CASH", "", "0", "", "", "USD", "1.1", "11000")
QUANTITIES = {TELUS: "500", FUTURE: "2", OPTION: "1", EURO: "10000"}


def _holding(*lines: tuple[str, ...], rate: str = "") -> Callable[[Fields], list[Fields]]:
    """Return an edit that adds `lines` to what TWS says about the account, and the price of a Canadian dollar."""

    def edit(fields: Fields) -> list[Fields]:
        if fields[0] == "62":  # the end of the positions
            rows = [
                ("61", "3", ACCOUNT, *line[:7], "X", line[7], line[1], "", QUANTITIES[line], "10.5") for line in lines
            ]
            return [*rows, fields]
        if fields[0] == "54":  # the end of the account's first download
            rows = [
                ("7", "8", *line[:7], "X", line[7], line[1], "", QUANTITIES[line], *line[8:], "10.5", "0", "0", ACCOUNT)
                for line in lines
            ]
            rates = [("6", "2", "ExchangeRate", rate, "CAD", ACCOUNT)] if rate else []
            return [*rows, *rates, fields]
        return [fields]

    return edit


def _portfolio(edit: Callable[[Fields], list[Fields]], *resolved: str) -> Portfolio:
    peer = Meddler(simulator())
    peer.edit = edit
    with open_account(peer) as account:
        account.instruments(resolved)
        return account.portfolio()


@pytest.mark.parametrize("resolved", [(), ("T",)])
def test_telus_in_toronto_is_not_att(resolved: tuple[str, ...]) -> None:
    seen = _portfolio(_holding(TELUS, rate="0.72"), *resolved)
    assert list(seen.positions) == ["T:CAD"]
    telus = seen.positions["T:CAD"]
    assert (telus.symbol, telus.quantity, telus.market_price) == ("T:CAD", 500, Decimal("16.2"))  # 22.5 x 0.72


def test_options_futures_and_currencies_count_with_their_full_value(caplog: pytest.LogCaptureFixture) -> None:
    seen = _portfolio(_holding(FUTURE, OPTION, EURO, TELUS), "AAPL")
    marks = {key: (p.quantity, p.market_price) for key, p in seen.positions.items()}
    assert marks == {
        "ES:FUT:20261218": (2, 300_000),
        "AAPL:OPT:20261120C150": (1, 450),
        "EUR.USD:CASH": (10_000, Decimal("1.1")),
        "T:CAD": (500, None),  # no rate was sent
    }
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_symbol_resolved_after_the_portfolio_cannot_sell_another_companys_shares() -> None:
    other = ("999", "AAPL", "STK", "", "0", "", "", "USD", "22.5", "11250")
    QUANTITIES[other] = "500"
    market = simulator()
    peer = Meddler(market)
    peer.edit = _holding(other)
    with open_broker(peer) as (broker, _):
        assert broker.portfolio().quantity("AAPL") == 500  # nobody has said which AAPL is ours
        with pytest.raises(DataGap, match="AAPL: the position was of conId 999, the ticker means 265598"):
            broker.place(an_order(side=Side.SELL))
        assert list(broker.portfolio().positions) == ["AAPL:USD"]
        broker.place(an_order())
    assert market.counters["placeOrder"] == 1
