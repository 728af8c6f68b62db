"""What a user can set about the simulated TWS, checked once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from quant_trading.refdata.commissions import fixed_commission
from quant_trading.refdata.sessions import exchange_date
from quant_trading.tws_sim.errors import ERRORS

__all__ = ["MAX_SERVER_VERSION", "SimConfig", "commission_for"]

MAX_SERVER_VERSION = 178
"""The highest version served; above it clients expect fields, and from 201 on encodings, not built yet."""

_BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class SimConfig:
    """Settings of one simulator.

    Attributes:
        accounts: account ids; orders without one go to the only one there is.
        cash: starting cash of every account, USD.
        positions: {symbol: (signed shares, average cost in USD)} held by the first account at the start.
        commissions: "ibkr_fixed", "none" or "bps:5" (of the traded value).
        spread: "tape" (market orders fill at bid or ask) or "none" (at the last price).
        reject: {symbol: (code, text)}; every order in it is refused. An empty text takes TWS's words.
        never_fill: symbols whose orders stay working for ever.
        max_server_version: cap of the negotiation, 157..178.
        read_only: True refuses every order with 321, as TWS with "Read-Only API" set.
        margin_rate: initial and maintenance margin as a share of position value, 0.25 = 25 %; the rate IBKR
            charges for liquid US stocks under Reg T at the least (assumed).
        fill_delay_ns: time from a market order's arrival to its fill.
        summary_interval_ns: how often account values are refreshed; TWS: three minutes (documented).
        stream_interval_ns: how often PnL and market data subscriptions are served; one second (assumed).
    """

    accounts: tuple[str, ...] = ("DU1234567",)
    cash: Decimal = Decimal(1_000_000)
    positions: Mapping[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    commissions: str = "ibkr_fixed"
    spread: str = "tape"
    reject: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    never_fill: frozenset[str] = frozenset()
    max_server_version: int = MAX_SERVER_VERSION
    read_only: bool = False
    margin_rate: Decimal = Decimal("0.25")
    fill_delay_ns: int = 0
    summary_interval_ns: int = 180_000_000_000
    stream_interval_ns: int = 1_000_000_000

    def __post_init__(self) -> None:
        """Check every value; a ValueError names the field, the value and the cure."""
        if not self.accounts or not all(name.isalnum() for name in self.accounts):
            raise ValueError(f"accounts = {self.accounts!r} is not a list of account ids; write DU1234567")
        if len(set(self.accounts)) != len(self.accounts):
            raise ValueError(f"accounts = {self.accounts!r} names one twice; name each once")
        if not self.cash.is_finite():
            raise ValueError(f"cash = {self.cash} is not an amount; write 1000000")
        if self.spread not in ("tape", "none"):
            raise ValueError(f"spread = {self.spread!r} is unknown; write tape or none")
        if not 157 <= self.max_server_version <= MAX_SERVER_VERSION:
            raise ValueError(f"max_server_version = {self.max_server_version} is not within 157..{MAX_SERVER_VERSION}")
        if self.summary_interval_ns <= 0 or self.stream_interval_ns <= 0 or self.fill_delay_ns < 0:
            raise ValueError("intervals must be positive and fill_delay_ns must not be negative, in nanoseconds")
        for symbol, (code, text) in self.reject.items():
            if not text and code not in ERRORS:
                raise ValueError(f"reject = {symbol}:{code} has no words of its own; write {symbol}:{code}:text")
        _bps_of(self.commissions)


def _bps_of(plan: str) -> Decimal | None:
    """Return the rate of a "bps:5" plan, None for the named plans."""
    if plan in ("ibkr_fixed", "none"):
        return None
    name, _, rate = plan.partition(":")
    try:
        bps = Decimal(rate)
    except InvalidOperation:
        bps = Decimal(-1)
    if name != "bps" or not bps.is_finite() or bps < 0:
        raise ValueError(f"commissions = {plan!r} is unknown; write ibkr_fixed, none or bps:5")
    return bps


def commission_for(plan: str, quantity: Decimal, price: Decimal, at_ns: int) -> Decimal:
    """Return the commission in USD, positive, of one order of `quantity` shares filled at `price`."""
    bps = _bps_of(plan)
    if bps is not None:
        return abs(quantity) * price * bps / _BPS
    return Decimal(0) if plan == "none" else fixed_commission(quantity, price, exchange_date(at_ns))
