"""The contract master of the built-in market."""

from collections import Counter

from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.universe import LISTINGS, SECTORS, contract_of

MEGA_CAPS = {
    "AAPL",
    "MSFT",
    "NVDA",
    "AMZN",
    "GOOGL",
    "META",
    "TSLA",
    "JPM",
    "XOM",
    "UNH",
    "JNJ",
    "PG",
    "HD",
    "KO",
    "DIS",
}
NEEDED = MEGA_CAPS | {"SPY", "QQQ", "IWM", "TLT", "GLD", "SMR", "WEBL", "FAS", "SOXL"}


def test_the_named_symbols_are_there_once_in_dollars() -> None:
    in_dollars = Counter(contract.symbol for contract in seeded_tape(1).contracts() if contract.currency == "USD")
    assert all(in_dollars[symbol] == 1 for symbol in NEEDED)
    assert len(in_dollars) >= 500
    assert max(in_dollars.values()) == 1


def test_some_symbols_are_ambiguous_without_a_currency() -> None:
    listed = Counter(contract.symbol for contract in seeded_tape(1).contracts())
    assert {"SHOP", "RY", "AAPL"} <= {symbol for symbol, times in listed.items() if times > 1}


def test_every_contract_is_complete_and_has_its_own_id() -> None:
    contracts = seeded_tape(1).contracts()
    assert len({contract.con_id for contract in contracts}) == len(contracts) == len(LISTINGS)
    for contract in contracts:
        assert contract.long_name != contract.symbol
        assert contract.industry
        assert contract.category
        assert contract.subcategory
        assert contract.valid_exchanges[0] == "SMART"
        assert contract.primary_exchange
        assert 0 < contract.con_id < 2**31
    assert {listing.sector for listing in LISTINGS} == set(SECTORS)


def test_ids_depend_on_symbol_and_currency_alone() -> None:
    assert contract_of("AAPL").con_id == 265598
    assert contract_of("ZZZZ").con_id == contract_of("ZZZZ", name="Anything", sector="tech").con_id
    assert contract_of("ZZZZ").con_id != contract_of("ZZZZ", currency="CAD").con_id
