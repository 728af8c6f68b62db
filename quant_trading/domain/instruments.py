"""What is traded."""

from dataclasses import dataclass
from decimal import Decimal

__all__ = ["Instrument"]


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable thing.

    Attributes:
        symbol: ticker as the user writes it.
        exchange: routing destination, SMART unless told otherwise.
        currency: currency of every price of this instrument.
        sec_type: IBKR's security type; STK covers stocks and ETFs.
        primary_exchange: listing exchange, empty when unknown.
        con_id: the broker's own number, 0 until the broker has named it.
        tick_size: smallest price step, in `currency`.
    """

    symbol: str
    exchange: str = "SMART"
    currency: str = "USD"
    sec_type: str = "STK"
    primary_exchange: str = ""
    con_id: int = 0
    tick_size: Decimal = Decimal("0.01")
