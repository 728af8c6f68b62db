"""The kernel, asked in the words of the reference: its settings, panel and tables made from a market and rules."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from quant_trading.backtesting.costs import splits_of, tables_for
from quant_trading.backtesting.engine import rules_of
from quant_trading.backtesting.kernel import Account, Reason, Tables, simulate
from quant_trading.backtesting.settings import (
    BacktestSettings,
    CloseLast,
    CommissionPlan,
    Delisting,
    FillConvention,
    MarginRule,
    Rebalance,
    ReversalOrders,
    Rounding,
    SizeAt,
    Sizing,
)  # fmt: skip
from quant_trading.backtesting.trades import Splits
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bars import BarPanel
from quant_trading.domain.exits import Exit, StopLoss, TakeProfit, TimeExit, TrailingStop
from quant_trading.refdata.sessions import session_on
from tests.backtesting.reference_nouns import Market, Rules

__all__ = ["fills_of", "panel_of_market", "run_kernel", "splits_of_market"]

_HOUR_NS = 3_600_000_000_000


def panel_of_market(market: Market) -> BarPanel:
    """Return the bars as a panel; those of one session are an hour apart."""
    start_ns = []
    for t, day in enumerate(market.days):
        session = session_on(day)
        assert session is not None
        start_ns.append(session.open_ns + (t - market.days.index(day)) * _HOUR_NS)
    start = np.array(start_ns, dtype=np.int64)
    cells = np.array([[[b.open, b.high, b.low, b.close, b.volume] for b in row] for row in market.bars])
    symbols = tuple(f"S{j}" for j in range(cells.shape[1]))
    columns = [np.ascontiguousarray(cells[..., k]) for k in range(5)]
    return BarPanel(symbols, "1 hour", start, start + _HOUR_NS, *columns)


def _settings(rules: Rules) -> BacktestSettings:
    return BacktestSettings(
        initial_capital=rules.initial_capital,
        cost_bps=rules.cost_bps,
        commission_per_trade=rules.commission,
        fill=FillConvention(rules.fill),
        sizing=Sizing.SHARES if rules.unit == "shares" else Sizing.TARGETS,
        rebalance=Rebalance(rules.rebalance),
        size_at=SizeAt(rules.size_at),
        rounding=Rounding(rules.rounding),
        plan=CommissionPlan(rules.plan),
        regulatory_fees=rules.regulatory_fees,
        reversal=ReversalOrders(rules.reversal),
        slippage_bps=rules.slippage_bps,
        slippage_ticks=rules.slippage_ticks,
        tick_size=rules.tick_size,
        margin=MarginRule(rules.margin),
        leverage=rules.leverage,
        maintenance=rules.maintenance,
        max_volume_fraction=rules.max_volume_fraction,
        borrow_rate=rules.borrow_rate,
        exits=tuple(_exits(rules)),
        delisting=Delisting(rules.delisting),
        close_last=CloseLast(rules.close_last),
    )


def _exits(rules: Rules) -> Iterator[Exit]:
    if rules.stop_loss > 0.0:
        yield StopLoss(rules.stop_loss)
    if rules.take_profit > 0.0:
        yield TakeProfit(rules.take_profit)
    if rules.trailing_stop > 0.0:
        yield TrailingStop(rules.trailing_stop)
    if rules.time_exit_bars > 0:
        yield TimeExit(rules.time_exit_bars)


def _tables(market: Market, rules: Rules) -> Tables:
    actions = [CorporateAction(f"S{j}", day, "split", x) for (day, j), x in sorted(market.splits.items())]
    actions += [CorporateAction(f"S{j}", day, "dividend", x) for (day, j), x in sorted(market.dividends.items())]
    return tables_for(panel_of_market(market), _settings(rules), actions)


def splits_of_market(market: Market, rules: Rules) -> Splits | None:
    """Return the splits as `trades_of` wants them."""
    return splits_of(_tables(market, rules))


def run_kernel(market: Market, rules: Rules, compiled: bool = False) -> Account:
    """Return what the kernel makes of it, interpreted unless `compiled`."""
    panel = panel_of_market(market)
    settings = _settings(rules)
    target = np.array([[np.nan if x is None else x for x in row] for row in market.target])
    prices = (panel.open, panel.high, panel.low, panel.close, panel.volume)
    return simulate(prices, target, rules_of(settings, settings.exits), _tables(market, rules), compiled=compiled)


def fills_of(account: Account) -> list[tuple[int, int, float, str]]:
    """Return bar, symbol, quantity and reason of each fill."""
    fills: Any = account.fills
    columns = (fills.bar.tolist(), fills.symbol.tolist(), fills.quantity.tolist(), fills.reason.tolist())
    return [(t, j, quantity, Reason(reason).name.lower()) for t, j, quantity, reason in zip(*columns, strict=True)]
