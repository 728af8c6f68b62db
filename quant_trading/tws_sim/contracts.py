"""The contract master as clients search it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from quant_trading.refdata.sessions import exchange_date
from quant_trading.tws_sim.directory import Directory, OptionSet
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


# The four ways to say call or put, of which 0 and ? say neither (documented).
_RIGHTS = {"CALL": "C", "PUT": "P", "0": "", "?": ""}
_DERIVATIVES = frozenset({"FUT", "OPT", "CONTFUT", "FOP", "WAR", "IOPT"})


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
    multiplier: str = ""
    include_expired: bool = False
    sec_id_type: str = ""
    sec_id: str = ""


def query_of(request: Message) -> ContractQuery:
    """Return the contract part of a request."""
    strike = request.number("strike")
    return ContractQuery(
        con_id=request.integer("conId"),
        symbol=request.text("symbol").strip().upper(),
        sec_type=request.text("secType").strip().upper(),
        last_trade_date=request.text("lastTradeDate").strip(),
        strike=strike if strike else None,
        right=_RIGHTS.get(request.text("right").strip().upper(), request.text("right").strip().upper()),
        exchange=request.text("exchange").strip().upper(),
        primary_exchange=request.text("primaryExchange").strip().upper(),
        currency=request.text("currency").strip().upper(),
        local_symbol=request.text("localSymbol").strip().upper(),
        trading_class=request.text("tradingClass").strip().upper(),
        multiplier=request.text("multiplier").strip(),
        include_expired=request.flag("includeExpired"),
        sec_id_type=request.text("secIdType").strip().upper(),
        sec_id=request.text("secId").strip().upper(),
    )


class ContractBook:
    """Search over the contracts of one market: the listed ones, and those of its directory."""

    def __init__(
        self, contracts: Iterable[Contract], directory: Directory | None = None, now: Callable[[], int] = lambda: 0
    ) -> None:
        """Take the listed contracts.

        Args:
            directory: the contracts found on demand.
            now: the simulated moment, UTC ns; what has expired by then is shown to `includeExpired` only.
        """
        self._by_symbol: dict[str, list[Contract]] = {}
        self._by_local: dict[str, list[Contract]] = {}
        self._by_id: dict[int, Contract] = {}
        self._directory = directory or Directory()
        self._now = now
        for contract in contracts:
            self._by_symbol.setdefault(contract.symbol.upper(), []).append(contract)
            self._by_local.setdefault((contract.local_symbol or contract.symbol).upper(), []).append(contract)
            self._by_id[contract.con_id] = contract

    def by_id(self, con_id: int) -> Contract | None:
        """Return the contract of this id."""
        return self._by_id.get(con_id) or self._directory.by_id(con_id)

    def by_symbol(self, symbol: str) -> Contract | None:
        """Return the first stock of this symbol, the one the market lists first."""
        found = self._by_symbol.get(symbol.upper())
        return found[0] if found else None

    def all(self) -> list[Contract]:
        """Return every listed contract, in the market's order."""
        return list(self._by_id.values())

    def underlying(self, contract: Contract) -> Contract | None:
        """Return what a derivative is written on."""
        return self._directory.underlying(contract)

    def options(self, contract: Contract) -> OptionSet | None:
        """Return the living options on a contract."""
        return self._directory.options(contract, self._now())

    def security_ids(self, contract: Contract) -> dict[str, str]:
        """Return ISIN and CUSIP of a stock, made from its contract id: their check digits hold, nothing else does."""
        if contract.sec_type != "STK":
            return {}
        cusip = _cusip(contract.con_id)
        country = "US" if contract.currency == "USD" else contract.currency[:2]
        return {"ISIN": _isin(country, cusip), "CUSIP": cusip} if country == "US" else {"ISIN": _isin(country, cusip)}

    def find(self, query: ContractQuery) -> list[Contract]:
        """Return the contracts that fit, several when the description is ambiguous, in the market's order.

        An exchange named by the query is the exchange of the answer.

        Raises:
            RequestRefused: 321 when neither an id nor a valid security type is given.
        """
        if query.con_id:
            contract = self.by_id(query.con_id)
            if contract is not None and query.sec_type == "CONTFUT" and contract.sec_type == "FUT":
                contract = replace(contract, sec_type="CONTFUT")
            candidates = [contract] if contract is not None else []
        elif query.sec_id_type:
            candidates = self._by_security_id(query)
        else:
            if query.sec_type not in SEC_TYPES:
                raise RequestRefused(321, tag="reqContractDetails", cause="Please enter a valid security type")
            key = query.symbol or query.local_symbol
            candidates = [*(self._by_symbol if query.symbol else self._by_local).get(key, [])]
            candidates.extend(self._directory.named(query.sec_type, key, self._now()))
        today = exchange_date(self._now()).strftime("%Y%m%d")
        return [
            _on_exchange(contract, query)
            for contract in candidates
            if _fits(contract, query) and (query.include_expired or query.con_id or not _has_expired(contract, today))
        ]

    def _by_security_id(self, query: ContractQuery) -> list[Contract]:
        """Return the stocks of an ISIN or CUSIP.

        Raises:
            RequestRefused: 321 for another kind of id.
        """
        if query.sec_id_type not in ("ISIN", "CUSIP"):
            raise RequestRefused(321, tag="reqContractDetails", cause=f"Invalid security id type {query.sec_id_type}")
        kind = query.sec_id_type
        return [c for c in self._by_id.values() if self.security_ids(c).get(kind) == query.sec_id]

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
        starting.extend(self._directory.search(wanted))
        named = [c for c in self._by_id.values() if wanted in c.long_name.upper() and c not in starting]
        return (starting + named)[:limit]


def _has_expired(contract: Contract, today: str) -> bool:
    return contract.sec_type in _DERIVATIVES and contract.last_trade_date[:8] < today


def _cusip(con_id: int) -> str:
    """Return nine digits of which the last is the check digit the standard asks for."""
    digits = f"{con_id % 100_000_000:08d}"
    total = 0
    for place, digit in enumerate(digits):
        value = int(digit) * (1 + place % 2)
        total += value // 10 + value % 10
    return f"{digits}{(10 - total % 10) % 10}"


def _isin(country: str, nine: str) -> str:
    """Return country, nine characters and the check digit (ISO 6166: the Luhn formula over letters as numbers)."""
    body = country + nine
    digits = "".join(str(int(character, 36)) for character in body)
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 - place % 2)
        total += value // 10 + value % 10
    return f"{body}{(10 - total % 10) % 10}"


def _fits(contract: Contract, query: ContractQuery) -> bool:
    exchanges = {contract.exchange, contract.primary_exchange, *contract.valid_exchanges}
    if query.exchange and query.exchange not in exchanges:
        return False
    if query.con_id:
        # The id says everything; TWS still refuses an exchange where it does not trade (reported).
        return True
    if query.last_trade_date and not contract.last_trade_date.startswith(query.last_trade_date[:8]):
        return False
    if query.multiplier and contract.multiplier and query.multiplier != contract.multiplier:
        return False
    wished = (
        (query.sec_type, contract.sec_type),
        (query.symbol, contract.symbol),
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
