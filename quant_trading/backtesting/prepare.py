"""What a strategy is shown and where it may have no opinion: the same for a run, a sweep and a walk-forward."""

from collections.abc import Sequence
from datetime import date

import numpy as np

from quant_trading.data.findings import JUMP_KINDS, Finding, quarantine
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bars import BarPanel
from quant_trading.strategy.base import Strategy

__all__ = ["guarded", "jumps_of", "seen_bars"]

_EPOCH = date(1970, 1, 1).toordinal()


def seen_bars(panel: BarPanel, actions: Sequence[CorporateAction]) -> BarPanel:
    """Return the bars as a strategy is shown them: prices before a split or dividend brought to those after it.

    The account trades the bars as they are; a strategy that saw those would take a split for a fall. It is IBKR's
    view ADJUSTED_LAST (`data.store_views`) as of the last bar. Without actions the panel itself is returned.

    Raises:
        DataGap: when a dividend is no smaller than the price it came from.
    """
    own = {symbol: [action for action in actions if action.symbol == symbol] for symbol in panel.symbols}
    if not len(panel) or not any(own.values()):
        return panel
    from quant_trading.data.store_views import factors

    days, last = panel.sessions, date.fromordinal(int(panel.sessions[-1]) + _EPOCH)
    price, volume = np.ones(panel.close.shape), np.ones(panel.close.shape)
    for j, symbol in enumerate(panel.symbols):
        there = np.flatnonzero(~np.isnan(panel.close[:, j]))
        if own[symbol] and len(there):
            close = panel.close[there, j]
            price[there, j], volume[there, j] = factors(days[there], close, own[symbol], "ADJUSTED_LAST", None, last)
    opened, high, low, close = (array * price for array in (panel.open, panel.high, panel.low, panel.close))
    return BarPanel(
        panel.symbols, panel.bar_size, panel.start_ns, panel.end_ns, opened, high, low, close, panel.volume * volume
    )


def guarded(strategy: Strategy, seen: BarPanel, findings: Sequence[Finding]) -> Strategy:
    """Return the strategy without an opinion on bars whose window spans a jump that nothing explains."""
    if not any(finding.kind in JUMP_KINDS for finding in findings):
        return strategy
    from quant_trading.backtesting.masked import Masked

    mask = quarantine(seen, findings, strategy.warmup)
    return Masked(strategy, seen, mask) if mask.any() else strategy


def jumps_of(findings: Sequence[Finding], shown: int = 5) -> str:
    """Return the jumps that nothing explains as `AAPL 2014-06-09, ...`; empty when there are none."""
    jumps = [f"{finding.symbol} {finding.first}" for finding in findings if finding.kind in JUMP_KINDS]
    return ", ".join(jumps[:shown]) + (f" and {len(jumps) - shown} more" if len(jumps) > shown else "")
