"""Dated facts as arrays: sessions, months, corporate actions, delistings."""

from datetime import date

import numpy as np

from quant_trading.backtesting.costs import month_numbers, session_gaps, splits_of, tables_for
from quant_trading.backtesting.loop_types import DELIST, DIVIDEND, NO_TABLES, SPLIT
from quant_trading.backtesting.settings import BacktestSettings, CommissionPlan, Delisting
from quant_trading.domain.actions import CorporateAction
from tests.backtesting.panels import panel_of

NAN = float("nan")
EPOCH = date(1970, 1, 1).toordinal()


def days(*when):
    return np.array([day.toordinal() - EPOCH for day in when], dtype=np.int64)


def test_gaps_are_calendar_days_on_the_first_bar_of_a_session():
    friday, monday, tuesday = date(2018, 1, 5), date(2018, 1, 8), date(2018, 1, 9)
    assert session_gaps(days(friday, friday, monday, monday, tuesday)).tolist() == [0, 0, 3, 0, 1]


def test_months_differ_where_the_calendar_turns():
    months = month_numbers(days(date(2017, 12, 29), date(2018, 1, 2), date(2018, 1, 31), date(2018, 2, 1)))
    assert np.diff(months).tolist() == [1, 0, 1]


def test_a_plain_run_needs_no_table():
    assert all(len(table) == 0 for table in tables_for(panel_of([[10.0]]), BacktestSettings(), ()))


def test_what_is_asked_for_is_there():
    panel = panel_of([[10.0], [11.0]])
    chosen = BacktestSettings(plan=CommissionPlan.IBKR_TIERED, regulatory_fees=True, borrow_rate=0.01)
    tables = tables_for(panel, chosen, ())
    assert len(tables.plan) and len(tables.sales)
    assert len(tables.days) == len(tables.month) == 2
    fixed = tables_for(panel, BacktestSettings(plan=CommissionPlan.IBKR_FIXED), ())
    assert len(fixed.month) == 0 != len(fixed.plan)


def test_events_lie_on_the_first_bar_of_their_day_or_after_it_splits_first():
    # Bars of 2018-01-02, 03, 04, 05, 08 (a weekend lies between the last two).
    panel = panel_of([[10.0, 20.0]] * 5, symbols=("A", "B"))
    actions = [
        CorporateAction("B", date(2018, 1, 6), "dividend", 0.5),  # a Saturday: Monday's bar
        CorporateAction("B", date(2018, 1, 3), "dividend", 0.25),
        CorporateAction("A", date(2018, 1, 3), "dividend", 0.75),
        CorporateAction("B", date(2018, 1, 3), "split", 2.0),
        CorporateAction("C", date(2018, 1, 3), "split", 3.0),  # not in the panel
        CorporateAction("A", date(2018, 1, 1), "split", 4.0),  # before its first session
        CorporateAction("A", date(2018, 1, 9), "split", 5.0),  # after its last
    ]
    tables = tables_for(panel, BacktestSettings(), actions)
    assert tables.events.reshape(-1, 4).tolist() == [
        [1, SPLIT, 1, 2.0], [1, DIVIDEND, 0, 0.75], [1, DIVIDEND, 1, 0.25], [4, DIVIDEND, 1, 0.5],
    ]  # fmt: skip
    splits = splits_of(tables)
    assert (splits.bar.tolist(), splits.symbol.tolist(), splits.ratio.tolist()) == ([1], [1], [2.0])
    assert splits_of(NO_TABLES) is None


def test_a_symbol_whose_closes_end_is_delisted_on_the_next_bar():
    close = [[10.0, 20.0, NAN], [NAN, 20.0, NAN], [10.0, NAN, NAN], [10.0, NAN, NAN]]
    tables = tables_for(panel_of(close), BacktestSettings(delisting=Delisting.CLOSE), ())
    assert tables.events.reshape(-1, 4).tolist() == [[2, DELIST, 1, 0.0]]
    assert len(tables_for(panel_of(close), BacktestSettings(), ()).events) == 0
