"""Dated facts of a run as the arrays the kernel reads: commission plans, fees on sales, sessions, corporate actions."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from quant_trading.backtesting.loop_types import (
    DELIST,
    DIVIDEND,
    EVENT_WIDTH,
    NO_TABLES,
    PLAN_WIDTH,
    SALES_WIDTH,
    SPLIT,
    TIERS,
    Tables,
)
from quant_trading.backtesting.settings import BacktestSettings, CommissionPlan, Delisting
from quant_trading.backtesting.trades import Splits
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bars import BarPanel, FloatArray, IntArray

if TYPE_CHECKING:  # most runs know no plan: they do not wait for the tables
    from quant_trading.refdata.commissions import FixedPlan

__all__ = ["month_numbers", "plan_rows", "sales_rows", "session_gaps", "splits_of", "tables_for"]

_EPOCH = date(1970, 1, 1).toordinal()
_INFINITE = float("inf")


def tables_for(panel: BarPanel, settings: BacktestSettings, actions: Sequence[CorporateAction]) -> Tables:
    """Return the tables a run over `panel` needs; what it does not need stays empty.

    Args:
        actions: of any symbols and days; those of other symbols and of days outside the panel have no effect.
    """
    tables = NO_TABLES
    if settings.plan is not CommissionPlan.NONE:
        tables = tables._replace(plan=plan_rows(settings.plan, panel.sessions))
    if settings.plan is CommissionPlan.IBKR_TIERED:
        tables = tables._replace(month=month_numbers(panel.sessions))
    if settings.regulatory_fees:
        tables = tables._replace(sales=sales_rows(panel.sessions))
    if settings.borrow_rate > 0.0:
        tables = tables._replace(days=session_gaps(panel.sessions))
    if actions or settings.delisting is Delisting.CLOSE:
        tables = tables._replace(events=_events(panel, actions, settings.delisting is Delisting.CLOSE))
    return tables


def splits_of(tables: Tables) -> Splits | None:
    """Return the splits among the events of a run, None when there are none."""
    rows = tables.events.reshape(-1, EVENT_WIDTH)
    rows = rows[rows[:, 1] == SPLIT]
    if not len(rows):
        return None
    return Splits(rows[:, 0].astype(np.int64), rows[:, 2].astype(np.int64), rows[:, 3].copy())


def plan_rows(plan: CommissionPlan, sessions: IntArray) -> FloatArray:
    """Return the rows of a commission plan that may be in force, as `loop_types` has them.

    The fixed plan is a plan of one tier without further fees.
    """
    from quant_trading.refdata.commissions import FIXED_PLAN_US_STOCKS, TIERED_PLAN_US_STOCKS, TieredPlan

    dated: Sequence[FixedPlan | TieredPlan]
    dated = FIXED_PLAN_US_STOCKS if plan is CommissionPlan.IBKR_FIXED else TIERED_PLAN_US_STOCKS
    rows = []
    for row in dated:
        if isinstance(row, TieredPlan):
            per_share = row.clearing_per_share + row.exchange_per_share
            fees = float(per_share), float(row.nyse_pass_through + row.finra_pass_through)
            tiers = [(_INFINITE if bound is None else float(bound), float(rate)) for bound, rate in row.tiers]
        else:
            fees, tiers = (0.0, 0.0), [(_INFINITE, float(row.per_share))]
        if len(tiers) > TIERS:
            raise ValueError(f"{plan.value} of {row.valid_from} has {len(tiers)} tiers; raise loop_types.TIERS")
        tiers += [(_INFINITE, 0.0)] * (TIERS - len(tiers))
        start = _first_bar(row.valid_from, sessions)
        rows.append([start, float(row.minimum), float(row.max_fraction), *fees, *(x for tier in tiers for x in tier)])
    return _table(rows, PLAN_WIDTH)


def sales_rows(sessions: IntArray) -> FloatArray:
    """Return the rows of the SEC's and FINRA's fees on sales, as `loop_types` has them."""
    from quant_trading.refdata.commissions import REGULATORY_FEES

    rows = [
        [_first_bar(fee.valid_from, sessions), float(fee.sec_rate), float(fee.taf_per_share), float(fee.taf_cap)]
        for fee in REGULATORY_FEES
    ]
    return _table(rows, SALES_WIDTH)


def _first_bar(day: date, sessions: IntArray) -> float:
    return float(np.searchsorted(sessions, day.toordinal() - _EPOCH, side="left"))


def _table(rows: list[list[float]], width: int) -> FloatArray:
    """Return the rows one after the other; earlier bars than the first row's take the first row."""
    rows[0][0] = 0.0
    return np.array(rows, dtype=np.float64).reshape(len(rows) * width)


def session_gaps(sessions: IntArray) -> FloatArray:
    """Return float64[T]: on the first bar of a session the calendar days since the panel's session before, else 0."""
    return np.diff(sessions, prepend=sessions[:1]).astype(np.float64)


def month_numbers(sessions: IntArray) -> FloatArray:
    """Return float64[T], months since January 1970."""
    return sessions.astype("datetime64[D]").astype("datetime64[M]").astype(np.float64)


def _events(panel: BarPanel, actions: Sequence[CorporateAction], pays_delisted: bool) -> FloatArray:
    """Return the rows of all events, by bar, then kind, then symbol."""
    columns = {name: j for j, name in enumerate(panel.symbols)}
    sessions = panel.sessions
    found: list[tuple[int, int, int, float]] = []
    for action in actions:
        day = action.ex_date.toordinal() - _EPOCH
        j = columns.get(action.symbol)
        if j is None or not len(sessions) or not sessions[0] <= day <= sessions[-1]:
            continue
        kind = SPLIT if action.kind == "split" else DIVIDEND
        found.append((int(np.searchsorted(sessions, day, side="left")), kind, j, action.value))
    if pays_delisted:
        has_close = ~np.isnan(panel.close)
        bars = len(panel)
        last = bars - 1 - np.argmax(has_close[::-1], axis=0)
        ended = np.flatnonzero(has_close.any(axis=0) & (last < bars - 1)).tolist()
        found.extend((int(last[j]) + 1, DELIST, j, 0.0) for j in ended)
    found.sort(key=lambda event: event[:3])
    return np.array(found, dtype=np.float64).reshape(len(found) * EVENT_WIDTH)
