"""What a user can set about the simulated TWS, checked once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from quant_trading.tws_sim.errors import ERRORS

__all__ = ["MAX_SERVER_VERSION", "SimConfig", "plan_bps"]

MAX_SERVER_VERSION = 225
"""The highest version served. It is also the default: a current TWS offers its newest, and each client takes
what it knows (ib_async 178, older official clients 157 or 187, the newest ones protobuf)."""


@dataclass(frozen=True, slots=True)
class SimConfig:
    """Settings of one simulator.

    Attributes:
        accounts: account ids; orders without one go to the only one there is.
        cash: starting cash of every account, USD.
        positions: {symbol: (signed shares, average cost in USD)} held by the first account at the start.
        base_currency: of every account; `cash` is in it.
        foreign_cash: {currency: amount} that the first account holds besides.
        exchange_rates: {currency: worth of one unit in the base currency}, where the market has no pair for it.
        commissions: "ibkr_fixed", "ibkr_tiered", "none" or "bps:5" (of the traded value).
        spread: "tape" (market orders fill at bid or ask) or "none" (at the last price).
        reject: {symbol: (code, text)}; every order in it is refused. An empty text takes TWS's words.
        never_fill: symbols whose orders stay working for ever.
        max_server_version: cap of the negotiation, 157..225; above 200 message ids are raw and families protobuf.
        read_only: True refuses every order with 321, as TWS with "Read-Only API" set.
        margin_rate: initial and maintenance margin as a share of position value, 0.25 = 25 %; the rate IBKR
            charges for liquid US stocks under Reg T at the least (assumed).
        initial_margin_rate, short_margin_rate: other rates for the initial margin and for shorts; None takes
            `margin_rate`.
        fill_volume_share: an order gets at most this share of what the tape trades in each second, so that large
            ones fill in parts; None fills every order whole.
        slippage_ticks, improvement_ticks: how much worse, or better, than the quote an order that takes liquidity
            fills, in price increments; never beyond its limit.
        shortable: {symbol: shares there are to borrow}; a symbol that is not named can always be borrowed.
            0 rejects a short sale (201), too few hold it (404).
        tif_preset: time in force for orders that name none, announced by 10349; empty takes DAY without a word.
        max_orders_per_side: working orders per contract, side and account; one more is rejected with 201
            (documented: 20). None takes 20 where pacing is strict and no limit elsewhere.
        master_client_id: the client that is told of everybody's orders; None: there is no master client.
        binds_negative_ids: orders typed into TWS get negative ids when client 0 binds them (a setting of TWS).
        next_order_ids: {client id: next order id}, from an earlier run of the simulator.
        fill_delay_ns: time from a market order's arrival to its fill.
        summary_interval_ns: how often account values are refreshed; TWS: three minutes (documented).
        pacing: "strict" enforces TWS's limits, "lenient" counts what breaks them, "off" does neither.
        market_data_lines: streams of quotes a client may have; IBKR gives every account 100 (documented).
        tick_interval_ns: how often level-1 lines are looked at; 250 ms for stocks (documented).
        market_data: {symbol: right}; "live", "delayed" (354, or 10167 and delayed data), "10089", "10090",
            "10168", "354" (none at all), "10197" (another session has the data); "*" is every other symbol.
        pays_dividends: True books dividends of the market's corporate actions as cash on their ex-date.
        news_providers: codes whose news the accounts may read; others are refused with 10276.
        stream_interval_ns: how often PnL and market data subscriptions are served; one second (assumed).
    """

    accounts: tuple[str, ...] = ("DU1234567",)
    cash: Decimal = Decimal(1_000_000)
    positions: Mapping[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    base_currency: str = "USD"
    foreign_cash: Mapping[str, Decimal] = field(default_factory=dict)
    exchange_rates: Mapping[str, Decimal] = field(default_factory=dict)
    commissions: str = "ibkr_fixed"
    spread: str = "tape"
    reject: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    never_fill: frozenset[str] = frozenset()
    max_server_version: int = MAX_SERVER_VERSION
    read_only: bool = False
    margin_rate: Decimal = Decimal("0.25")
    initial_margin_rate: Decimal | None = None
    short_margin_rate: Decimal | None = None
    fill_volume_share: Decimal | None = None
    slippage_ticks: int = 0
    improvement_ticks: int = 0
    shortable: Mapping[str, int] = field(default_factory=dict)
    tif_preset: str = ""
    max_orders_per_side: int | None = None
    master_client_id: int | None = None
    binds_negative_ids: bool = False
    next_order_ids: Mapping[int, int] = field(default_factory=dict)
    fill_delay_ns: int = 0
    pacing: str = "lenient"
    market_data_lines: int = 100
    summary_interval_ns: int = 180_000_000_000
    stream_interval_ns: int = 1_000_000_000
    tick_interval_ns: int = 250_000_000
    market_data: Mapping[str, str] = field(default_factory=dict)
    pays_dividends: bool = True
    news_providers: tuple[str, ...] = ("SIMN", "SIMC")

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
        if self.pacing not in ("strict", "lenient", "off") or self.market_data_lines < 1:
            raise ValueError(
                f"pacing = {self.pacing!r}, market_data_lines = {self.market_data_lines}; write strict, lenient "
                "or off, and a number from 1 on"
            )
        for symbol, (code, text) in self.reject.items():
            if not text and code not in ERRORS:
                raise ValueError(f"reject = {symbol}:{code} has no words of its own; write {symbol}:{code}:text")
        plan_bps(self.commissions)
        self._check_orders()

    def _check_orders(self) -> None:
        share = self.fill_volume_share
        if share is not None and not 0 < share <= 1:
            raise ValueError(f"fill_volume_share = {share} is not within (0, 1]; write 0.1 for a tenth of the volume")
        if self.slippage_ticks < 0 or self.improvement_ticks < 0:
            raise ValueError("slippage_ticks and improvement_ticks must not be negative; write 0 for neither")
        if any(shares < 0 for shares in self.shortable.values()):
            raise ValueError("shortable names shares there are to borrow; write 0 or more for each symbol")
        if self.tif_preset not in ("", "DAY", "GTC", "IOC", "FOK"):
            raise ValueError(f"tif_preset = {self.tif_preset!r} is unknown; write DAY, GTC, IOC or FOK, or nothing")
        limit = self.max_orders_per_side
        if (limit is not None and limit < 1) or any(number < 1 for number in self.next_order_ids.values()):
            raise ValueError("max_orders_per_side and next_order_ids must be 1 or more")
        rates = (self.margin_rate, self.initial_margin_rate, self.short_margin_rate)
        if any(rate is not None and not (rate.is_finite() and rate >= 0) for rate in rates):
            raise ValueError("margin rates must not be negative; write 0.25 for 25 %")
        if any(not (rate.is_finite() and rate > 0) for rate in self.exchange_rates.values()):
            raise ValueError("exchange_rates must be positive; write EUR: 1.08")


def plan_bps(plan: str) -> Decimal | None:
    """Return the rate of a "bps:5" plan, None for the named plans.

    Raises:
        ValueError: there is no such plan.
    """
    if plan in ("ibkr_fixed", "ibkr_tiered", "none"):
        return None
    name, _, rate = plan.partition(":")
    try:
        bps = Decimal(rate)
    except InvalidOperation:
        bps = Decimal(-1)
    if name != "bps" or not bps.is_finite() or bps < 0:
        raise ValueError(f"commissions = {plan!r} is unknown; write ibkr_fixed, ibkr_tiered, none or bps:5")
    return bps
