"""Contracts that are not listed one by one: they are found when somebody asks for them.

An exchange lists thousands of options and a new future every quarter. A market that has such contracts brings a
`Directory` of its own; this one is empty.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from quant_trading.tws_sim.tape import Contract

__all__ = ["Directory", "OptionSet"]


@dataclass(frozen=True, slots=True)
class OptionSet:
    """What can be combined to options of one underlying.

    Attributes:
        expirations: "20260116", rising.
        strikes: rising.
    """

    trading_class: str
    multiplier: str
    exchanges: tuple[str, ...]
    expirations: tuple[str, ...]
    strikes: tuple[float, ...]


class Directory:
    """The unlisted contracts of a market: none."""

    def by_id(self, con_id: int) -> Contract | None:
        """Return the contract of this id, whether it has expired or not."""
        return None

    def named(self, sec_type: str, symbol: str, now_ns: int) -> Iterable[Contract]:
        """Return the contracts of a type and symbol, the expired ones included."""
        return ()

    def options(self, underlying: Contract, now_ns: int) -> OptionSet | None:
        """Return the options on an underlying that have not expired, None when there are none."""
        return None

    def search(self, pattern: str) -> Iterable[Contract]:
        """Return unlisted contracts whose symbol begins with `pattern`."""
        return ()

    def underlying(self, contract: Contract) -> Contract | None:
        """Return what a derivative is written on."""
        return None
