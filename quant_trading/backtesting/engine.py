"""Bars and a strategy in, a backtest result out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from quant_trading.backtesting import kernel, lanes
from quant_trading.backtesting.costs import splits_of, tables_for
from quant_trading.backtesting.equal_account import account_equal_weights
from quant_trading.backtesting.loop_types import Rules, Tables
from quant_trading.backtesting.masked import Masked
from quant_trading.backtesting.prepare import seen_bars
from quant_trading.backtesting.results import BacktestResult, Conventions, Opinions, bar_label
from quant_trading.backtesting.settings import (
    Accounting,
    BacktestSettings,
    CloseLast,
    CommissionPlan,
    Delisting,
    FillConvention,
    MarginRule,
    Rebalance,
    ReversalOrders,
    Rounding,
    SharpeConvention,
    SizeAt,
    Sizing,
    check_exits,
)
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.domain.exits import Exit, StopLoss, TakeProfit, TimeExit, TrailingStop
from quant_trading.domain.limits import Limits
from quant_trading.strategy.base import Strategy, is_equal_weighted, registered_names, strategy_type

__all__ = [
    "Accounting", "BacktestSettings", "CloseLast", "CommissionPlan", "Delisting", "FillConvention", "MarginRule",
    "Rebalance", "ReversalOrders", "Rounding", "SharpeConvention", "SizeAt", "Sizing", "exits_of", "rules_of",
    "run_backtest",
]  # fmt: skip

_TOLERANCE = 1e-9

_FILL = {
    FillConvention.NEXT_OPEN: kernel.NEXT_OPEN,
    FillConvention.SAME_CLOSE: kernel.SAME_CLOSE,
    FillConvention.NEXT_CLOSE: kernel.NEXT_CLOSE,
}
_ROUNDING = {Rounding.HALF_EVEN: 0, Rounding.DOWN: 1, Rounding.NONE: 2}
_MARGIN = {MarginRule.NONE: 0, MarginRule.CASH: 1, MarginRule.MARGIN: 2}
_CLOSE_LAST = {CloseLast.LEAVE: 0, CloseLast.CLOSE: 1, CloseLast.OPEN: 2}


def run_backtest(
    panel: BarPanel,
    strategy: Strategy,
    limits: Limits,
    settings: BacktestSettings,
    first_bar: int = 0,
    strategy_name: str = "",
    actions: Sequence[CorporateAction] | None = None,
) -> BacktestResult:
    """Return what `strategy` would have earned on `panel`.

    Args:
        panel: bars; those before `first_bar` only feed the strategy.
        strategy: evaluated once on the whole panel.
        limits: what no target may exceed, as the desk's risk checks hold it; sizing in shares has no targets.
        settings: the conventions.
        first_bar: 0-based bar of the first decision and of the first row of the result.
        strategy_name: for the file and the messages; empty = the name its class is registered under.
        actions: splits and dividends of unadjusted bars; shares accounting only. The account trades the bars as they
            are, the strategy is shown them adjusted (`prepare.seen_bars`).

    Raises:
        DataGap: when there are too few bars or a price is not above 0.
        ConfigError: when a target exceeds `limits` or is no number, or the strategy's exits are none.
    """
    name = strategy_name or _name_of(strategy)
    _check_bars(name, panel, strategy.warmup, first_bar)
    exits = exits_of(strategy, settings, name)
    traded = panel.rows(first_bar, len(panel))
    opinions = Opinions(name, strategy, seen_bars(panel, actions or ()), limits, settings, first_bar)
    source = strategy.strategy if isinstance(strategy, Masked) else strategy
    conventions = Conventions(name, source, settings, exits, panel.bar_size)
    if settings.accounting is Accounting.WEIGHTS:
        if actions:
            raise ConfigError(
                f"strategy {name}: accounting = weights knows no splits and dividends; write accounting = shares, or "
                "use adjusted bars"
            )
        return BacktestResult(traded, opinions, conventions, _in_weights(name, traded, opinions, strategy, limits))
    rules = rules_of(settings, exits)
    tables = tables_for(traded, settings, actions or ())
    account = _in_lanes(traded, opinions, rules, tables)
    if account is None:
        target = opinions.target
        if settings.sizing is not Sizing.SHARES:
            _check_targets(name, target, traded, limits, may_hold=settings.sizing is not Sizing.TARGETS)
        prices = (traded.open, traded.high, traded.low, traded.close, traded.volume)
        account = kernel.simulate(prices, target, rules, tables)
    return BacktestResult(traded, opinions, conventions, account.ledger, account, splits_of(tables))


def _in_weights(
    name: str, traded: BarPanel, opinions: Opinions, strategy: Strategy, limits: Limits
) -> kernel.Ledger:  # fmt: skip
    """Return the ledger of the textbook account; equal weights by the fast path, for they keep the limits by nature."""
    terms = _terms(opinions.settings)
    if opinions.settings.sizing is Sizing.TARGETS and is_equal_weighted(strategy) and opinions.sides is not None:
        return account_equal_weights(traded.open, traded.close, opinions.sides, limits, terms)
    _check_targets(name, opinions.target, traded, limits, may_hold=False)
    return kernel.account_weights(traded.open, traded.close, opinions.target, terms)


def _in_lanes(traded: BarPanel, opinions: Opinions, rules: Rules, tables: Tables) -> kernel.Account | None:
    """Return the account by the fast path, None where it does not reach."""
    chosen, n_symbols = opinions.settings, len(traded.symbols)
    if not lanes.covers(rules, n_symbols) or any(len(table) for table in tables):
        return None
    size = chosen.shares
    if chosen.sizing is Sizing.FRACTION:
        size = chosen.fraction
        if size > min(opinions.limits.max_position_pct, opinions.limits.max_gross_exposure):
            return None  # it is refused where there is a target beyond the limits
    elif chosen.sizing is not Sizing.SHARES:
        return None
    sides = opinions.sides
    return None if sides is None else lanes.run(traded.open, traded.close, sides, size, rules)


def exits_of(strategy: Strategy, settings: BacktestSettings, name: str = "") -> tuple[Exit, ...]:
    """Return the exits of a run: those of the settings, else those of the strategy.

    Raises:
        ConfigError: when the strategy's `exits` is no tuple of exits.
    """
    if settings.exits:
        return settings.exits
    exits: Any = getattr(strategy, "exits", ())
    if exits and settings.accounting is Accounting.WEIGHTS:
        raise ConfigError(f"strategy {name}: exits do not go with accounting = weights; write accounting = shares")
    check_exits(f"strategy {name}: exits", exits)
    return tuple(exits)


def rules_of(settings: BacktestSettings, exits: Sequence[Exit] = ()) -> Rules:
    """Return the settings as the numbers of the kernel."""
    rate = dict.fromkeys((StopLoss, TakeProfit, TrailingStop), 0.0)
    time_exit = 0
    for item in exits:
        if isinstance(item, TimeExit):
            time_exit = item.bars
        else:
            rate[type(item)] = float(item.fraction)
    return Rules(
        initial_capital=float(settings.initial_capital),
        fill=_FILL[settings.fill],
        by_weight=int(settings.sizing is not Sizing.SHARES),
        on_change=int(settings.is_on_change),
        size_at_fill=int(settings.size_at is SizeAt.FILL and settings.sizing is not Sizing.SHARES),
        rounding=_ROUNDING[settings.rounding],
        cost_rate=float(settings.cost_bps) / 1e4,
        commission=float(settings.commission_per_trade),
        two_orders=int(settings.reversal is ReversalOrders.TWO),
        slippage_rate=float(settings.slippage_bps) / 1e4,
        slippage_money=float(settings.slippage_ticks) * float(settings.tick_size),
        margin=_MARGIN[settings.margin],
        leverage=float(settings.leverage),
        maintenance=float(settings.maintenance),
        max_volume=float(settings.max_volume_fraction),
        borrow_rate=float(settings.borrow_rate),
        stop_loss=rate[StopLoss],
        take_profit=rate[TakeProfit],
        trailing_stop=rate[TrailingStop],
        time_exit_bars=time_exit,
        close_last=_CLOSE_LAST[settings.close_last],
    )


def _terms(settings: BacktestSettings) -> kernel.Terms:
    return kernel.Terms(
        fill=_FILL[settings.fill],
        initial_capital=settings.initial_capital,
        cost_rate=settings.cost_bps / 1e4,
        commission=settings.commission_per_trade,
        whole_shares=settings.whole_shares,
        close_last=settings.close_last is CloseLast.CLOSE,
    )


def _name_of(strategy: Strategy) -> str:
    """Return the name under which the strategy's class is registered, else the class's own."""
    strategy = strategy.strategy if isinstance(strategy, Masked) else strategy
    for name in registered_names():
        if strategy_type(name) is type(strategy):
            return name
    return type(strategy).__name__


def _check_bars(name: str, panel: BarPanel, warmup: int, first_bar: int) -> None:
    if len(panel) == 0 or not panel.symbols:
        raise DataGap(f"backtest of {name}: there are no bars; check the symbols and ask for a longer duration")
    if len(panel) < warmup:
        raise DataGap(
            f"backtest of {name}: {len(panel)} bars are fewer than the {warmup} it needs to warm up; "
            "ask for a longer duration"
        )
    if not 0 <= first_bar < len(panel):
        raise DataGap(
            f"backtest of {name}: it starts at bar {first_bar} but there are {len(panel)} bars; ask for a longer "
            "duration"
        )
    bad = panel.first_bad_price
    if bad is not None:
        column, t, j = bad
        raise DataGap(
            f"{panel.symbols[j]} {bar_label(panel, t)}: {column} = {getattr(panel, column)[t, j]} is not a price above "
            "0; mend the bar or leave the symbol out"
        )


def _check_targets(name: str, target: FloatArray, bars: BarPanel, limits: Limits, may_hold: bool) -> None:
    """Refuse what the desk would refuse: what was tested must be what trades.

    Args:
        may_hold: NaN means that the wish of the last row without it stands.
    """
    size = np.abs(_last_known(target) if may_hold else target)
    gross = size.sum(axis=1)
    bad = ~(size <= limits.max_position_pct + _TOLERANCE)
    if bad.any():
        t, j = np.argwhere(bad)[0].tolist()
        value, where = float(target[t, j]), f"{bars.symbols[j]} on {bar_label(bars, t)}"
        if math.isnan(value):
            raise ConfigError(f"strategy {name}: target of {where} is NaN; return 0 for no position")
        raise ConfigError(
            f"strategy {name}: target of {where} is {value:.6g}, beyond risk.max_position_pct = "
            f"{limits.max_position_pct:g}; lower the weight or raise the limit, for the desk would deny the order"
        )
    over = gross > limits.max_gross_exposure + _TOLERANCE
    if over.any():
        t = int(np.argmax(over))
        largest = bars.symbols[int(np.argmax(size[t]))]
        raise ConfigError(
            f"strategy {name}: targets on {bar_label(bars, t)} add up to {gross[t]:.6g} (largest: {largest}), beyond "
            f"risk.max_gross_exposure = {limits.max_gross_exposure:g}; lower the weights or raise the limit, for the "
            "desk would deny the orders"
        )


def _last_known(target: FloatArray) -> FloatArray:
    """Return the targets with each NaN replaced by the last number above it, 0 where there is none."""
    rows = np.where(np.isnan(target), 0, np.arange(1, len(target) + 1)[:, np.newaxis])
    with_start = np.vstack([np.zeros((1, target.shape[1])), target])
    return np.take_along_axis(with_start, np.maximum.accumulate(rows, axis=0), axis=0)
