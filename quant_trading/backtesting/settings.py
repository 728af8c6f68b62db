"""The conventions of a run, by name: what docs/backtest-engine.md calls settings."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from quant_trading.domain.errors import ConfigError
from quant_trading.domain.exits import Exit, StopLoss, TakeProfit, TimeExit, TrailingStop

__all__ = [
    "Accounting", "BacktestSettings", "CloseLast", "CommissionPlan", "Delisting", "FillConvention", "MarginRule",
    "Rebalance", "ReversalOrders", "Rounding", "SharpeConvention", "SizeAt", "Sizing",
]  # fmt: skip


class FillConvention(Enum):
    """Where an order decided on the close of bar t is filled."""

    NEXT_OPEN = "next_open"
    SAME_CLOSE = "same_close"
    NEXT_CLOSE = "next_close"


class Accounting(Enum):
    """What the account holds: shares, as the desk does, or fixed weights, as in the textbook."""

    SHARES = "shares"
    WEIGHTS = "weights"


class Sizing(Enum):
    """How a strategy's opinion becomes a wish: its targets, or the sign of its signal times a size."""

    TARGETS = "targets"
    SHARES = "shares"
    FRACTION = "fraction"
    VOLATILITY = "volatility"


class Rebalance(Enum):
    """When orders are decided: on every bar, or when the wish changes."""

    ALWAYS = "always"
    ON_CHANGE = "on_change"


class SizeAt(Enum):
    """Which price and equity turn a weight into shares: those of the deciding close or of the fill."""

    CLOSE = "close"
    FILL = "fill"


class Rounding(Enum):
    """Whole shares as the desk rounds, whole shares toward zero, or fractions of shares."""

    HALF_EVEN = "half_even"
    DOWN = "down"
    NONE = "none"


class CommissionPlan(Enum):
    """Dated tables of refdata/commissions.py."""

    NONE = "none"
    IBKR_FIXED = "ibkr_fixed"
    IBKR_TIERED = "ibkr_tiered"


class ReversalOrders(Enum):
    """Whether a turn from long to short is one order, or a closing and then an opening one."""

    ONE = "one"
    TWO = "two"


class MarginRule(Enum):
    """What cuts an order: nothing, the cash there is (no shorts), or `leverage` times the equity."""

    NONE = "none"
    CASH = "cash"
    MARGIN = "margin"


class Delisting(Enum):
    """What becomes of a position whose bars end: it stays marked at its last price, or is paid out at it."""

    KEEP = "keep"
    CLOSE = "close"


class CloseLast(Enum):
    """What becomes of positions on the last bar: left and marked, or closed at its close or its open."""

    LEAVE = "leave"
    CLOSE = "close"
    OPEN = "open"


class SharpeConvention(Enum):
    """From session returns, as the desk reports, or from bar returns."""

    DAILY = "daily"
    BAR = "bar"


@dataclass(frozen=True, slots=True)
class BacktestSettings:
    """The conventions of a run.

    Attributes:
        initial_capital: money, above 0.
        cost_bps: of the traded value, 5.0 = 0.05 %.
        commission_per_trade: money per filled order.
        fill: where orders are filled.
        accounting: what is held between bars; `WEIGHTS` knows only the fields above, `close_last` and targets.
        sizing: how opinions become wishes.
        shares: per symbol, of `Sizing.SHARES`.
        fraction: share of equity per symbol, of `Sizing.FRACTION`; 0.2 = 20 %.
        vol_target: annual deviation a position is sized for, of `Sizing.VOLATILITY`; 0.1 = 10 %.
        vol_window: returns the deviation is measured on.
        rebalance: None = always for targets, on_change for the other sizings.
        size_at: price and equity that turn weights into shares.
        rounding: of shares.
        plan: commissions besides; regulatory_fees: the dated fees on sales, whatever the plan.
        reversal: how a turn is charged.
        slippage_bps: of the price, 5.0 = 0.05 %; slippage_ticks: ticks of tick_size, in money.
        margin: what cuts orders; leverage, maintenance: of `MarginRule.MARGIN`.
        max_volume_fraction: the most of a bar's volume that is filled, 0.1 = 10 %; 0 = no limit.
        borrow_rate: what shorts pay a year, 0.02 = 2 %.
        exits: at most one of each kind; empty = those of the strategy's own `exits`, if it has any.
        delisting: of positions whose bars end before the panel's.
        close_last: of positions on the last bar.
        sharpe: what the metrics are made from.
    """

    initial_capital: float = 1_000_000.0
    cost_bps: float = 5.0
    commission_per_trade: float = 0.0
    fill: FillConvention = FillConvention.NEXT_OPEN
    accounting: Accounting = Accounting.SHARES
    sizing: Sizing = Sizing.TARGETS
    shares: float = 100.0
    fraction: float = 0.2
    vol_target: float = 0.1
    vol_window: int = 20
    rebalance: Rebalance | None = None
    size_at: SizeAt = SizeAt.CLOSE
    rounding: Rounding = Rounding.HALF_EVEN
    plan: CommissionPlan = CommissionPlan.NONE
    regulatory_fees: bool = False
    reversal: ReversalOrders = ReversalOrders.ONE
    slippage_bps: float = 0.0
    slippage_ticks: float = 0.0
    tick_size: float = 0.01
    margin: MarginRule = MarginRule.NONE
    leverage: float = 2.0
    maintenance: float = 0.25
    max_volume_fraction: float = 0.0
    borrow_rate: float = 0.0
    exits: tuple[Exit, ...] = ()
    delisting: Delisting = Delisting.KEEP
    close_last: CloseLast = CloseLast.LEAVE
    sharpe: SharpeConvention = SharpeConvention.DAILY

    def __post_init__(self) -> None:
        if not (_is_number(self.initial_capital) and self.initial_capital > 0.0):
            raise ConfigError(f"initial_capital = {self.initial_capital} is not above 0; write 1000000 for a million")
        if not 0.0 <= self.cost_bps < 10_000.0:
            raise ConfigError(f"cost_bps = {self.cost_bps} is not within [0, 10000); write 5 for 0.05 %")
        if not (_is_number(self.commission_per_trade) and self.commission_per_trade >= 0.0):
            raise ConfigError(
                f"commission_per_trade = {self.commission_per_trade} is not 0 or more; write 1 for 1.00 per order"
            )
        for name, is_allowed, cure in _BOUNDS:
            value = getattr(self, name)
            if not (_is_number(value) and is_allowed(value)):
                raise ConfigError(f"{name} = {value!r} is not {cure}")
        if isinstance(self.vol_window, bool) or not isinstance(self.vol_window, int) or self.vol_window < 2:
            raise ConfigError(f"vol_window = {self.vol_window!r} is not a whole number of at least 2; write 20")
        check_exits("exits", self.exits)
        if self.accounting is Accounting.WEIGHTS:
            self._check_textbook()

    @property
    def is_on_change(self) -> bool:
        """Return True when orders are decided only where the wish changes."""
        if self.rebalance is None:
            return self.sizing is not Sizing.TARGETS
        return self.rebalance is Rebalance.ON_CHANGE

    @property
    def whole_shares(self) -> bool:
        """Return False for fractions of shares."""
        return self.rounding is not Rounding.NONE

    def _check_textbook(self) -> None:
        """Refuse what the formula of fixed weights has no place for, rather than leave it out silently."""
        plain = _PLAIN_OF_WEIGHTS
        wrong = [name for name, value in plain.items() if getattr(self, name) != value]
        if self.close_last is CloseLast.OPEN or self.is_on_change:
            wrong.append("close_last" if self.close_last is CloseLast.OPEN else "rebalance")
        if wrong:
            value = getattr(self, wrong[0])
            shown = value.value if isinstance(value, Enum) else value
            raise ConfigError(
                f"{wrong[0]} = {shown} does not go with accounting = weights, the textbook formula; "
                "write accounting = shares"
            )


def check_exits(where: str, exits: object) -> None:
    """Refuse anything but a tuple of exits with at most one of each kind.

    Raises:
        ConfigError: naming what was found and what exists.
    """
    kinds = (StopLoss, TakeProfit, TrailingStop, TimeExit)
    names = ", ".join(kind.__name__ for kind in kinds)
    if not isinstance(exits, tuple) or not all(isinstance(item, kinds) for item in exits):
        raise ConfigError(f"{where} = {exits!r} is not a tuple of {names}; write exits = (StopLoss(0.03),)")
    for kind in kinds:
        if sum(isinstance(item, kind) for item in exits) > 1:
            raise ConfigError(f"{where} has more than one {kind.__name__}; keep one")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_BOUNDS: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    ("shares", lambda x: x > 0.0, "above 0; write 100 for 100 shares per symbol"),
    ("fraction", lambda x: 0.0 < x <= 10.0, "within (0, 10]; write 0.2 for 20 % of equity"),
    ("vol_target", lambda x: 0.0 < x <= 10.0, "within (0, 10]; write 0.1 for 10 % a year"),
    ("slippage_bps", lambda x: 0.0 <= x < 10_000.0, "within [0, 10000); write 5 for 0.05 %"),
    ("slippage_ticks", lambda x: 0.0 <= x <= 10_000.0, "within [0, 10000]; write 1 for one tick"),
    ("tick_size", lambda x: x > 0.0, "above 0; write 0.01 for a cent"),
    ("leverage", lambda x: 0.0 < x <= 100.0, "within (0, 100]; write 2 for twice the equity"),
    ("maintenance", lambda x: 0.0 <= x < 1.0, "within [0, 1); write 0.25 for 25 % of the gross exposure"),
    ("max_volume_fraction", lambda x: 0.0 <= x <= 1.0, "within [0, 1]; write 0.1 for 10 % of the volume, 0 for all"),
    ("borrow_rate", lambda x: 0.0 <= x <= 10.0, "within [0, 10]; write 0.02 for 2 % a year"),
)

_PLAIN_OF_WEIGHTS = {
    "sizing": Sizing.TARGETS, "size_at": SizeAt.CLOSE, "plan": CommissionPlan.NONE, "regulatory_fees": False,
    "slippage_bps": 0.0, "slippage_ticks": 0.0, "margin": MarginRule.NONE, "max_volume_fraction": 0.0,
    "borrow_rate": 0.0, "exits": (), "delisting": Delisting.KEEP,
}  # fmt: skip
