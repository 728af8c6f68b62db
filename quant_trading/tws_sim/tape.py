"""The one market tape: every view of the market is derived from it, so all views agree.

Whoever brings a market (the built-in seeded one, a folder of bars) implements `Tape`;
history, order matching and account values ask nothing else.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "BarSize", "Contract", "Quote", "QuoteTicks", "SourceError", "Tape", "TapeBars", "TradeTicks", "What",
]  # fmt: skip

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class SourceError(ValueError):
    """A source of bars cannot be used; the message is one line that names it and the cure."""


@dataclass(frozen=True, slots=True)
class Contract:
    """One row of the contract master, in TWS's words."""

    con_id: int
    symbol: str
    sec_type: str = "STK"
    exchange: str = "SMART"
    primary_exchange: str = "NASDAQ"
    currency: str = "USD"
    local_symbol: str = ""
    trading_class: str = ""
    last_trade_date: str = ""
    strike: float = 0.0
    right: str = ""
    multiplier: str = ""
    long_name: str = ""
    industry: str = ""
    category: str = ""
    subcategory: str = ""
    stock_type: str = "COMMON"
    min_tick: Decimal = Decimal("0.01")
    market_rule_id: int = 26
    valid_exchanges: tuple[str, ...] = ("SMART",)
    time_zone_id: str = "US/Eastern"

    @property
    def venue(self) -> str:
        """Where its trades happen: the primary exchange, without one the first exchange that is no router."""
        named = (self.primary_exchange, self.exchange, *self.valid_exchanges)
        return next((name for name in named if name not in ("", "SMART")), self.exchange)


class What(Enum):
    """Which side of the market a bar describes; values are TWS's whatToShow."""

    TRADES = "TRADES"
    MIDPOINT = "MIDPOINT"
    BID = "BID"
    ASK = "ASK"
    BID_ASK = "BID_ASK"
    ADJUSTED_LAST = "ADJUSTED_LAST"


@dataclass(frozen=True, slots=True)
class BarSize:
    """A bar size of TWS.

    Attributes:
        text: TWS's words, "5 mins".
        unit: "second" (`count` seconds, aligned to the exchange's wall clock and cut by the session: hourly
            bars begin 09:30, 10:00, 11:00), "day", "week" or "month".
        count: how many units.
    """

    text: str
    unit: str
    count: int


@dataclass(frozen=True, slots=True)
class TapeBars:
    """Bars of one contract, one array per column, rising in time.

    Attributes:
        start_ns: int64[T], UTC ns, start of each bar. Day bars: midnight UTC of the session date; weeks and
            months: of their last session so far, as TWS dates them (stoqey/ibkr issue 149).
        open, high, low, close: float64[T], on the tick grid.
        volume: float64[T], shares; -1 for quotes.
        wap: float64[T], volume-weighted price; -1 for quotes.
        count: int64[T], number of trades; -1 for quotes.
    """

    start_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    wap: FloatArray
    count: IntArray

    def __len__(self) -> int:
        return len(self.start_ns)


@dataclass(frozen=True, slots=True)
class Quote:
    """The top of the book at one moment.

    Attributes:
        bid, ask, last: prices on the tick grid; last is the latest trade at or before the moment.
        bid_size, ask_size, last_size: shares.
        open, high, low, volume: of today's session so far, kept until midnight in New York; None/0 before its
            first trade and on days without a session.
        previous_close: close of the session before that one (before the open: of the last session), None on
            the first day.
        is_open: True within regular hours with trading going on.
    """

    bid: Decimal
    ask: Decimal
    last: Decimal
    bid_size: int
    ask_size: int
    last_size: int
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    volume: int
    previous_close: Decimal | None
    is_open: bool


@dataclass(frozen=True, slots=True)
class TradeTicks:
    """Trades in order, one array per column; the second is the resolution of the tape.

    Attributes:
        at_ns: int64[T], UTC ns, whole seconds; the trades of one second keep their order.
        price: float64[T], on the tick grid.
        size: int64[T], shares.
        venue: int64[T], 0..6, which of the exchanges it happened on.
    """

    at_ns: IntArray
    price: FloatArray
    size: IntArray
    venue: IntArray

    def __len__(self) -> int:
        return len(self.at_ns)


@dataclass(frozen=True, slots=True)
class QuoteTicks:
    """Changes of the top of the book in order, at quarters of a second.

    Attributes:
        at_ns: int64[T], UTC ns.
        bid, ask: float64[T], on the tick grid.
        bid_size, ask_size: int64[T], shares.
    """

    at_ns: IntArray
    bid: FloatArray
    ask: FloatArray
    bid_size: IntArray
    ask_size: IntArray

    def __len__(self) -> int:
        return len(self.at_ns)


class Tape(Protocol):
    """A market that knows what happened at every moment; it never looks at a clock.

    A caller that stands at simulated `now_ns` must not be shown anything later: every method
    takes the moment up to which it may speak.
    """

    def contracts(self) -> tuple[Contract, ...]:
        """Return every contract this market knows, ambiguous listings included."""

    def head_ns(self, contract: Contract, what: What) -> int | None:
        """Return the start of the first bar there is, None when there is no data at all."""

    def last_ns(self) -> int | None:
        """Return the end of the last bar there is, None when the market never ends (seeded)."""

    def bars(
        self,
        contract: Contract,
        size: BarSize,
        what: What,
        start_ns: int,
        end_ns: int,
        use_rth: bool,
        as_of_ns: int | None = None,
    ) -> TapeBars | None:
        """Return the bars whose start lies in [start_ns, end_ns).

        Prices are adjusted for the splits known at `as_of_ns` (ADJUSTED_LAST: for dividends too), `end_ns` when it
        is not given; quotes, auctions and ticks are as traded.

        A day starts at midnight in New York (although its stamp is midnight UTC) and is shown once its
        trading has begun; weeks and months count by their last session so far.
        The bar that is still running at `end_ns` is built from what happened before `end_ns`, as TWS
        does. None means this tape cannot serve that size or side for the contract (error 162).
        """

    def quote(self, contract: Contract, at_ns: int) -> Quote | None:
        """Return the top of the book at `at_ns`, None when nothing has traded yet."""

    def open_auction(self, contract: Contract, session_open_ns: int) -> Decimal | None:
        """Return the official opening price of the session, None when it has no trade."""

    def next_trade_at_or_beyond(
        self, contract: Contract, price: Decimal, is_buy: bool, from_ns: int, until_ns: int
    ) -> tuple[int, Decimal] | None:
        """Return when, in [from_ns, until_ns), a resting limit order is first reached, and at which price.

        A buy is reached when a trade is at `price` or below, a sell at `price` or above. The price
        returned is the limit, or the open of the session when it gaps through the limit.
        """

    def ticks(self, contract: Contract, start_ns: int, end_ns: int, use_rth: bool = True) -> TradeTicks:
        """Return the trades with start_ns <= at_ns < end_ns; they add up to the bars of the same seconds."""

    def quotes(self, contract: Contract, start_ns: int, end_ns: int) -> QuoteTicks:
        """Return the changes of the quote with start_ns <= at_ns < end_ns, within regular hours."""
