"""The kernel, asked in the words of the reference: its settings, panel and tables made from a market and rules."""

from typing import Any

import numpy as np

from quant_trading.backtesting import loop_types
from quant_trading.backtesting.costs import splits_of, tables_for
from quant_trading.backtesting.kernel import Account, Reason, simulate
from quant_trading.backtesting.settings import BacktestSettings, CommissionPlan, Delisting
from quant_trading.backtesting.trades import Splits
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bars import BarPanel
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


def _tables(market: Market, rules: Rules) -> loop_types.Tables:
    settings = BacktestSettings(
        plan=CommissionPlan(rules.plan),
        regulatory_fees=rules.regulatory_fees,
        borrow_rate=rules.borrow_rate,
        delisting=Delisting(rules.delisting),
    )
    actions = [CorporateAction(f"S{j}", day, "split", x) for (day, j), x in sorted(market.splits.items())]
    actions += [CorporateAction(f"S{j}", day, "dividend", x) for (day, j), x in sorted(market.dividends.items())]
    return tables_for(panel_of_market(market), settings, actions)


def splits_of_market(market: Market, rules: Rules) -> Splits | None:
    """Return the splits as `trades_of` wants them."""
    return splits_of(_tables(market, rules))


def _numbers(rules: Rules) -> loop_types.Rules:
    def place(value: str, *names: str) -> int:
        return names.index(value)

    return loop_types.Rules(
        initial_capital=rules.initial_capital,
        fill=place(rules.fill, "next_open", "same_close", "next_close"),
        by_weight=place(rules.unit, "shares", "weight"),
        on_change=place(rules.rebalance, "always", "on_change"),
        size_at_fill=int(rules.size_at == "fill" and rules.unit == "weight"),
        rounding=place(rules.rounding, "half_even", "down", "none"),
        cost_rate=rules.cost_bps / 1e4,
        commission=rules.commission,
        two_orders=place(rules.reversal, "one", "two"),
        slippage_rate=rules.slippage_bps / 1e4,
        slippage_money=rules.slippage_ticks * rules.tick_size,
        margin=place(rules.margin, "none", "cash", "margin"),
        leverage=rules.leverage,
        maintenance=rules.maintenance,
        max_volume=rules.max_volume_fraction,
        borrow_rate=rules.borrow_rate,
        stop_loss=rules.stop_loss,
        take_profit=rules.take_profit,
        trailing_stop=rules.trailing_stop,
        time_exit_bars=rules.time_exit_bars,
        close_last=place(rules.close_last, "leave", "close", "open"),
    )


def run_kernel(market: Market, rules: Rules, compiled: bool = False) -> Account:
    """Return what the kernel makes of it, interpreted unless `compiled`."""
    panel = panel_of_market(market)
    target = np.array([[np.nan if x is None else x for x in row] for row in market.target])
    prices = (panel.open, panel.high, panel.low, panel.close, panel.volume)
    return simulate(prices, target, _numbers(rules), _tables(market, rules), compiled=compiled)


def fills_of(account: Account) -> list[tuple[int, int, float, str]]:
    """Return bar, symbol, quantity and reason of each fill."""
    fills: Any = account.fills
    columns = (fills.bar.tolist(), fills.symbol.tolist(), fills.quantity.tolist(), fills.reason.tolist())
    return [(t, j, quantity, Reason(reason).name.lower()) for t, j, quantity, reason in zip(*columns, strict=True)]
