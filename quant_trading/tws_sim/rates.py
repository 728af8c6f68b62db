"""What currencies are worth: from the pairs of the market, else from the settings, else from a table."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from quant_trading.tws_sim.accounts import Mark
from quant_trading.tws_sim.tape import Contract, Tape

__all__ = ["FindPair", "RateTable", "pairs_of"]

FindPair = Callable[[str, str], Contract | None]
"""Finds the currency pair of a symbol and a currency: ("EUR", "USD")."""

# Round figures in USD for markets without currency pairs (assumed).
_ASSUMED_USD = {
    "USD": "1", "EUR": "1.10", "GBP": "1.27", "CHF": "1.13", "CAD": "0.73", "AUD": "0.66", "NZD": "0.60",
    "SEK": "0.095", "NOK": "0.094", "DKK": "0.147", "SGD": "0.75", "HKD": "0.128", "JPY": "0.0067", "CNH": "0.14",
    "MXN": "0.055",
    "ILS": "0.27", "PLN": "0.25", "CZK": "0.044", "HUF": "0.0027", "INR": "0.012", "KRW": "0.00073", "ZAR": "0.055",
}  # fmt: skip


class RateTable:
    """Rates of exchange to one base currency."""

    def __init__(self, find_pair: FindPair, base: str, configured: Mapping[str, Decimal], mark: Mark) -> None:
        self._find_pair = find_pair
        self._base = base
        self._configured = configured
        self._mark = mark
        self._pairs: dict[tuple[str, str], Contract | None] = {}

    def rate(self, currency: str) -> Decimal:
        """Return what one unit of `currency` is worth in the base currency; 1 for one nobody knows."""
        if currency == self._base:
            return Decimal(1)
        if currency in self._configured:
            return self._configured[currency]
        direct = self._pair(currency, self._base)
        if direct is not None:
            return direct
        inverse = self._pair(self._base, currency)
        if inverse:
            return 1 / inverse
        known, base = _ASSUMED_USD.get(currency), _ASSUMED_USD.get(self._base)
        return Decimal(known) / Decimal(base) if known and base else Decimal(1)

    def _pair(self, symbol: str, currency: str) -> Decimal | None:
        key = symbol, currency
        if key not in self._pairs:
            self._pairs[key] = self._find_pair(symbol, currency)
        contract = self._pairs[key]
        return None if contract is None else self._mark(contract)


def pairs_of(tape: Tape, now_ns: int) -> FindPair:
    """Return how to find the currency pairs of a market, listed or found on demand."""
    listed = {(c.symbol, c.currency): c for c in tape.contracts() if c.sec_type == "CASH"}
    directory = getattr(tape, "directory", None)

    def find(symbol: str, currency: str) -> Contract | None:
        found = listed.get((symbol, currency))
        if found is not None or directory is None:
            return found
        named: Iterable[Contract] = directory.named("CASH", symbol, now_ns)
        return next((contract for contract in named if contract.currency == currency), None)

    return find
