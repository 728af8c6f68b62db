"""The nouns of the reference backtester: what goes in, what is remembered per symbol, what comes out."""

import math
from dataclasses import dataclass, field
from datetime import date

__all__ = [
    "LONG", "NOBODY", "SHORT", "Bar", "Fill", "Goal", "Holding", "Market", "Outcome", "Row", "Rules", "sign",
]  # fmt: skip

LONG, SHORT, NOBODY = 1, -1, 0


@dataclass(frozen=True)
class Bar:
    """Open, high, low, close and volume of one symbol."""

    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True)
class Rules:
    """The settings of the page, under its names."""

    initial_capital: float = 1_000_000.0
    unit: str = "weight"
    rebalance: str = "always"
    fill: str = "next_open"
    size_at: str = "close"
    rounding: str = "half_even"
    cost_bps: float = 0.0
    commission: float = 0.0
    plan: str = "none"
    regulatory_fees: bool = False
    reversal: str = "one"
    slippage_bps: float = 0.0
    slippage_ticks: float = 0.0
    tick_size: float = 0.01
    margin: str = "none"
    leverage: float = 1.0
    maintenance: float = 0.0
    max_volume_fraction: float = 0.0
    borrow_rate: float = 0.0
    stop_loss: float = 0.0
    take_profit: float = 0.0
    trailing_stop: float = 0.0
    time_exit_bars: int = 0
    delisting: str = "keep"
    close_last: str = "leave"


@dataclass(frozen=True)
class Market:
    """What goes in, T bars of N symbols.

    Attributes:
        days: exchange date of each bar.
        bars: bars[t][j], its prices NaN where the symbol has none.
        target: target[t][j], None for no opinion.
        splits, dividends: {(ex-date, column): new shares for one old, or money per share}.
    """

    days: list[date]
    bars: list[list[Bar]]
    target: list[list[float | None]]
    splits: dict[tuple[date, int], float] = field(default_factory=dict)
    dividends: dict[tuple[date, int], float] = field(default_factory=dict)


@dataclass
class Goal:
    """What an order that waits wishes to hold: shares, or with `size_at = fill` a weight that becomes shares."""

    reason: str
    shares: float | None = None
    weight: float | None = None

    def side(self) -> int:
        """Return the side of the wish; 0 for one to hold nothing."""
        return sign(self.shares if self.shares is not None else self.weight or 0.0)


@dataclass
class Holding:
    """The state of one symbol."""

    q: float = 0.0
    mark: float = 0.0
    goal: Goal | None = None
    entry: float = math.nan
    held_from: int = 0
    best: float = math.nan
    blocked: int = NOBODY
    last_target: float = 0.0
    filled_on_bar: float = 0.0
    grew_at_open: bool = False
    opened_at_close: bool = False

    def value(self) -> float:
        """Return the worth at the mark, negative for a short."""
        return self.q * self.mark


@dataclass(frozen=True)
class Fill:
    """One execution; `cost` in money."""

    bar: int
    symbol: int
    quantity: float
    price: float
    cost: float
    reason: str


@dataclass
class Row:
    """What one bar comes to, in money; exposures over equity, turnover over the equity of the bar before."""

    equity: float = math.nan
    cash: float = math.nan
    cost: float = 0.0
    gross_pnl: float = 0.0
    traded: float = 0.0
    turnover: float = 0.0
    gross_exposure: float = 0.0
    net_exposure: float = 0.0
    orders: int = 0
    dividends: float = 0.0
    borrow: float = 0.0


@dataclass
class Outcome:
    """Everything that comes out."""

    rows: list[Row]
    fills: list[Fill]
    holdings: list[list[float]]
    dropped_orders: int
    cut_orders: int


def sign(x: float) -> int:
    """Return 1, -1 or 0."""
    return (x > 0.0) - (x < 0.0)
