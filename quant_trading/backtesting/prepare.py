"""What a strategy is shown and where it may have no opinion: the same for a run, a sweep and a walk-forward."""

from collections.abc import Sequence
from datetime import date

import numpy as np

from quant_trading.backtesting.masked import Masked
from quant_trading.data.findings import JUMP_KINDS, Finding, quarantine
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bars import BarPanel
from quant_trading.strategy.base import Strategy

__all__ = ["guarded", "jumps_of", "seen_bars"]

_EPOCH = date(1970, 1, 1).toordinal()


def seen_bars(panel: BarPanel, actions: Sequence[CorporateAction]) -> BarPanel:
    """Return the bars as a strategy is shown them: prices before a split or dividend brought to those after it.

    The account trades the bars as they are; a strategy that saw those would take a split for a fall. A split of r new
    for one old divides the earlier prices by r and multiplies their volumes, a dividend d leaves 1 - d / close of them
    (the close before the ex-date, d per share of that day). Without actions the panel itself is returned.
    """
    days, column = panel.sessions, {symbol: j for j, symbol in enumerate(panel.symbols)}
    placed = [
        (int(np.searchsorted(days, a.ex_date.toordinal() - _EPOCH)), column.get(a.symbol, -1), a) for a in actions
    ]
    placed = [(t, j, a) for t, j, a in placed if j >= 0 and 0 < t < len(panel)]
    if not placed:
        return panel
    price, volume = np.ones(panel.close.shape), np.ones(panel.close.shape)
    for t, j, action in placed:
        if action.kind == "split":
            price[:t, j] /= action.value
            volume[:t, j] *= action.value
            continue
        before = panel.close[:t, j]
        known = before[~np.isnan(before)]
        # A split of the same day comes first: the dividend is told per new share, the close before per old one.
        ratio = np.prod([a.value for s, k, a in placed if (s, k, a.kind) == (t, j, "split")])
        left = 1.0 - action.value * float(ratio) / float(known[-1]) if len(known) else 1.0
        if 0.0 < left < 1.0:
            price[:t, j] *= left
    opened, high, low, close = (array * price for array in (panel.open, panel.high, panel.low, panel.close))
    return BarPanel(
        panel.symbols, panel.bar_size, panel.start_ns, panel.end_ns, opened, high, low, close, panel.volume * volume
    )


def guarded(strategy: Strategy, seen: BarPanel, findings: Sequence[Finding]) -> Strategy:
    """Return the strategy without an opinion on bars whose window spans a jump that nothing explains."""
    if not any(finding.kind in JUMP_KINDS for finding in findings):
        return strategy
    mask = quarantine(seen, findings, strategy.warmup)
    return Masked(strategy, seen, mask) if mask.any() else strategy


def jumps_of(findings: Sequence[Finding], shown: int = 5) -> str:
    """Return the jumps that nothing explains as `AAPL 2014-06-09, ...`; empty when there are none."""
    jumps = [f"{finding.symbol} {finding.first}" for finding in findings if finding.kind in JUMP_KINDS]
    return ", ".join(jumps[:shown]) + (f" and {len(jumps) - shown} more" if len(jumps) > shown else "")
