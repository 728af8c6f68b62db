"""The contract master as clients search it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.tape import Contract

__all__ = ["SEC_TYPES", "ContractBook", "ContractQuery", "contract_values", "query_of"]

SEC_TYPES = frozenset(
    {"STK", "OPT", "FUT", "CONTFUT", "IND", "FOP", "CASH", "BAG", "WAR", "BOND", "CMDTY", "NEWS", "FUND", "CFD",
     "CRYPTO", "IOPT"}
)  # fmt: skip
"""The security types the API knows; others are refused with 321 (documented)."""

_AMBIGUOUS = (
    "The contract description specified for {symbol} is ambiguous; you must specify the multiplier or trading class."
)


@dataclass(frozen=True, slots=True)
class ContractQuery:
    """What a client knows of a contract; empty fields match everything."""

    con_id: int = 0
    symbol: str = ""
    sec_type: str = ""
    last_trade_date: str = ""
    strike: Decimal | None = None
    right: str = ""
    exchange: str = ""
    primary_exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""


def query_of(request: Message) -> ContractQuery:
    """Return the contract part of a request."""
    strike = request.number("strike")
    return ContractQuery(
        con_id=request.integer("conId"),
        symbol=request.text("symbol").strip().upper(),
        sec_type=request.text("secType").strip().upper(),
        last_trade_date=request.text("lastTradeDate").strip(),
        strike=strike if strike else None,
        right=request.text("right").strip(),
        exchange=request.text("exchange").strip().upper(),
        primary_exchange=request.text("primaryExchange").strip().upper(),
        currency=request.text("currency").strip().upper(),
        local_symbol=request.text("localSymbol").strip().upper(),
        trading_class=request.text("tradingClass").strip().upper(),
    )


class ContractBook:
    """Search over the contracts of one market."""

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self._by_symbol: dict[str, list[Contract]] = {}
        self._by_local: dict[str, list[Contract]] = {}
        self._by_id: dict[int, Contract] = {}
        for contract in contracts:
            self._by_symbol.setdefault(contract.symbol.upper(), []).append(contract)
            self._by_local.setdefault((contract.local_symbol or contract.symbol).upper(), []).append(contract)
            self._by_id[contract.con_id] = contract

    def by_id(self, con_id: int) -> Contract | None:
        """Return the contract of this id."""
        return self._by_id.get(con_id)

    def by_symbol(self, symbol: str) -> Contract | None:
        """Return the first stock of this symbol, the one the market lists first."""
        found = self._by_symbol.get(symbol.upper())
        return found[0] if found else None

    def all(self) -> list[Contract]:
        """Return every contract, in the market's order."""
        return list(self._by_id.values())

    def find(self, query: ContractQuery) -> list[Contract]:
        """Return the contracts that fit, several when the description is ambiguous, in the market's order.

        An exchange named by the query is the exchange of the answer.

        Raises:
            RequestRefused: 321 when neither an id nor a valid security type is given.
        """
        if query.con_id:
            candidates = [contract] if (contract := self._by_id.get(query.con_id)) else []
        else:
            if query.sec_type not in SEC_TYPES:
                raise RequestRefused(321, tag="reqContractDetails", cause="Please enter a valid security type")
            key = query.symbol or query.local_symbol
            candidates = (self._by_symbol if query.symbol else self._by_local).get(key, [])
        return [_on_exchange(contract, query) for contract in candidates if _fits(contract, query)]

    def find_one(self, query: ContractQuery) -> Contract:
        """Return the one contract that fits.

        Raises:
            RequestRefused: 200 when there is none or there are several.
        """
        found = self.find(query)
        if not found:
            raise RequestRefused(200)
        if len({contract.con_id for contract in found}) > 1:
            raise RequestRefused(200, text=_AMBIGUOUS.format(symbol=query.symbol or query.local_symbol))
        return found[0]

    def search(self, pattern: str, limit: int = 16) -> list[Contract]:
        """Return contracts whose symbol starts with `pattern` or whose name holds it, best first."""
        wanted = pattern.strip().upper()
        if not wanted:
            return []
        starting = [c for c in self._by_id.values() if c.symbol.upper().startswith(wanted)]
        starting.sort(key=lambda contract: (len(contract.symbol), contract.symbol, contract.con_id))
        named = [c for c in self._by_id.values() if wanted in c.long_name.upper() and c not in starting]
        return (starting + named)[:limit]


def _fits(contract: Contract, query: ContractQuery) -> bool:
    exchanges = {"SMART", contract.exchange, contract.primary_exchange, *contract.valid_exchanges}
    if query.exchange and query.exchange not in exchanges:
        return False
    if query.con_id:
        # The id says everything; TWS still refuses an exchange where it does not trade (reported).
        return True
    wished = (
        (query.sec_type, contract.sec_type),
        (query.symbol, contract.symbol),
        (query.last_trade_date, contract.last_trade_date),
        (query.right, contract.right),
        (query.primary_exchange, contract.primary_exchange),
        (query.currency, contract.currency),
        (query.local_symbol, contract.local_symbol or contract.symbol),
        (query.trading_class, contract.trading_class),
    )
    if any(wish and wish != has.upper() for wish, has in wished):
        return False
    return query.strike is None or query.strike == Decimal(repr(contract.strike))


def _on_exchange(contract: Contract, query: ContractQuery) -> Contract:
    return replace(contract, exchange=query.exchange) if query.exchange else contract


def contract_values(contract: Contract) -> dict[str, object]:
    """Return the contract's fields under their wire names."""
    return {
        "conId": contract.con_id,
        "symbol": contract.symbol,
        "secType": contract.sec_type,
        "lastTradeDate": contract.last_trade_date,
        "strike": contract.strike,
        "right": contract.right,
        "multiplier": contract.multiplier,
        "exchange": contract.exchange,
        "primaryExchange": contract.primary_exchange,
        "currency": contract.currency,
        "localSymbol": contract.local_symbol or contract.symbol,
        "tradingClass": contract.trading_class,
    }
