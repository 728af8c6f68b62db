"""The conventions of a run in words, topic by topic."""

from collections.abc import Sequence

from quant_trading.backtesting.settings import (
    Accounting,
    BacktestSettings,
    CloseLast,
    CommissionPlan,
    Delisting,
    FillConvention,
    MarginRule,
    ReversalOrders,
    Rounding,
    SharpeConvention,
    SizeAt,
    Sizing,
)
from quant_trading.domain.exits import Exit, StopLoss, TakeProfit, TimeExit, TrailingStop

__all__ = ["conventions_of"]

FILLS = {
    FillConvention.NEXT_OPEN: "at the open of the next bar",
    FillConvention.SAME_CLOSE: "at the very close that decides: the textbook's, a little too good",
    FillConvention.NEXT_CLOSE: "at the close of the next bar",
}
ROUNDINGS = {
    Rounding.HALF_EVEN: "whole shares, half to even",
    Rounding.DOWN: "whole shares, toward zero",
    Rounding.NONE: "fractions of shares",
}
PLANS = {
    CommissionPlan.NONE: "",
    CommissionPlan.IBKR_FIXED: "IBKR fixed (dated table)",
    CommissionPlan.IBKR_TIERED: "IBKR tiered (dated table)",
}
LAST = {
    CloseLast.LEAVE: "positions are left open and marked at the last close",
    CloseLast.CLOSE: "all positions are closed at the last close",
    CloseLast.OPEN: "all positions are closed at the last open",
}


def conventions_of(settings: BacktestSettings, exits: Sequence[Exit] = ()) -> tuple[tuple[str, str], ...]:
    """Return (topic, sentence) for every convention that shaped the figures; `exits` are those of the strategy."""
    rows = [
        ("Decision", "on the close of a bar, from that bar and those before it"),
        ("Fill", FILLS[settings.fill]),
        ("Sizing", _sizing(settings)),
        ("Orders", "when the wish changes" if settings.is_on_change else "on every bar, back to the wish"),
    ]
    if settings.accounting is Accounting.SHARES:
        at = "the deciding close" if settings.size_at is SizeAt.CLOSE else "the price and equity of the fill"
        rows.append(("Shares", f"{ROUNDINGS[settings.rounding]}, by {at}"))
    else:
        rows.append(("Account", "fixed weights that do not drift between bars (textbook formula)"))
    rows += [("Costs", _costs(settings)), ("Slippage", _slippage(settings)), ("Margin", _margin(settings))]
    if settings.max_volume_fraction > 0.0:
        rows.append(
            ("Volume", f"at most {settings.max_volume_fraction:.2%} of a bar's volume is filled, the rest waits")
        )
    if settings.borrow_rate > 0.0:
        rows.append(("Borrow", f"shorts pay {settings.borrow_rate:.2%} a year, actual days / 360"))
    taken = settings.exits or tuple(exits)
    if taken:
        words = ", ".join(_exit(item) for item in taken)
        rows.append(("Exits", f"{words}; within a bar the stop comes first, a gap fills at the open"))
    kept = settings.delisting is Delisting.KEEP
    rows += [
        ("Delisting", "stays marked at its last price" if kept else "is paid out at its last price"),
        ("Last bar", LAST[settings.close_last]),
        ("Statistics", _statistics(settings)),
    ]
    return tuple(rows)


def _sizing(settings: BacktestSettings) -> str:
    """Return how an opinion becomes a wish."""
    return {
        Sizing.TARGETS: "the strategy's own targets",
        Sizing.SHARES: f"{settings.shares:,g} shares per symbol, by the sign of the signal",
        Sizing.FRACTION: f"{settings.fraction:.2%} of equity per symbol, by the sign of the signal",
        Sizing.VOLATILITY: f"sized for {settings.vol_target:.2%} volatility a year over {settings.vol_window} returns",
    }[settings.sizing]


def _exit(item: Exit) -> str:
    """Return an exit in words."""
    if isinstance(item, TimeExit):
        return f"after {item.bars:,} bars"
    name = {StopLoss: "stop loss", TakeProfit: "take profit", TrailingStop: "trailing stop"}[type(item)]
    return f"{name} {item.fraction:.2%}"


def _costs(settings: BacktestSettings) -> str:
    """Return what orders cost."""
    parts = [f"{settings.cost_bps:g} bps of the traded value"] if settings.cost_bps else []
    parts += [f"{settings.commission_per_trade:,g} per order"] if settings.commission_per_trade else []
    parts += [PLANS[settings.plan]] if settings.plan is not CommissionPlan.NONE else []
    parts += ["SEC and FINRA fees on sales"] if settings.regulatory_fees else []
    turned = "two orders" if settings.reversal is ReversalOrders.TWO else "one order"
    return f"{' + '.join(parts)}; a reversal is {turned}" if parts else "none"


def _slippage(settings: BacktestSettings) -> str:
    """Return what a fill is worse than the price."""
    parts = [f"{settings.slippage_bps:g} bps"] if settings.slippage_bps else []
    parts += [f"{settings.slippage_ticks:g} ticks of {settings.tick_size:g}"] if settings.slippage_ticks else []
    return " + ".join(parts) or "none"


def _margin(settings: BacktestSettings) -> str:
    """Return what cuts an order."""
    if settings.margin is MarginRule.MARGIN:
        called = f", closed out below {settings.maintenance:.0%}" if settings.maintenance > 0.0 else ""
        return f"gross exposure up to {settings.leverage:g} x equity{called}"
    return "cash only, no shorts" if settings.margin is MarginRule.CASH else "no limit"


def _statistics(settings: BacktestSettings) -> str:
    """Return what the metrics are made from."""
    made = "session" if settings.sharpe is SharpeConvention.DAILY else "bar"
    return f"{made} returns, a year of 252 sessions, risk-free rate 0, ddof 1; drawdown from the initial capital"
