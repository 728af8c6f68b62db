"""What currencies are worth: from the pairs of the market, else from the settings, else from a table."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from quant_trading.tws_sim.accounts import Mark
from quant_trading.tws_sim.tape import Contract

__all__ = ["RateTable"]

# Round figures in USD for markets without currency pairs (assumed).
_ASSUMED_USD = {
    "USD": "1", "EUR": "1.10", "GBP": "1.27", "CHF": "1.13", "CAD": "0.73", "AUD": "0.66", "NZD": "0.60",
    "SEK": "0.095", "NOK": "0.094", "DKK": "0.147", "SGD": "0.75", "HKD": "0.128", "JPY": "0.0067", "CNH": "0.14",
    "MXN": "0.055",
    "ILS": "0.27", "PLN": "0.25", "CZK": "0.044", "HUF": "0.0027", "INR": "0.012", "KRW": "0.00073", "ZAR": "0.055",
}  # fmt: skip


class RateTable:
    """Rates of exchange to one base currency."""

    def __init__(self, contracts: Iterable[Contract], base: str, configured: Mapping[str, Decimal], mark: Mark) -> None:
        self._base = base
        self._configured = configured
        self._mark = mark
        self._pairs = {(c.symbol, c.currency): c for c in contracts if c.sec_type == "CASH"}

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
        contract = self._pairs.get((symbol, currency))
        return None if contract is None else self._mark(contract)
