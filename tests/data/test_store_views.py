"""Adjusted views: the golden file, hand-worked days, and what a split and a dividend leave unchanged."""

import csv
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.data.actions import read_actions
from quant_trading.data.store_views import adjusted, factors, split_between
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.errors import DataGap, UsageError
from tests.data.stores import daily
from tests.shared_data import golden, market_data, needs_shared

BARS = daily(date(2018, 1, 1), date(2018, 12, 31))
DAYS = [date(2018, 3, day) for day in (1, 2, 5, 6)]
AT = np.array([(day - date(1970, 1, 1)).days for day in DAYS], dtype=np.int64)
CLOSE = np.array([100.0, 104.0, 51.0, 50.0])


def split(day: date, value: float) -> CorporateAction:
    return CorporateAction("X", day, "split", value)


def dividend(day: date, value: float) -> CorporateAction:
    return CorporateAction("X", day, "dividend", value)


def test_a_split_divides_what_came_before_its_ex_date_only() -> None:
    price, volume = factors(AT, CLOSE, [split(DAYS[2], 2.0)], "TRADES", None)
    assert price.tolist() == [0.5, 0.5, 1.0, 1.0]
    assert volume.tolist() == [2.0, 2.0, 1.0, 1.0]


def test_a_dividend_takes_its_share_of_the_close_before_in_one_view_only() -> None:
    paid = [dividend(DAYS[1], 2.0)]
    price, volume = factors(AT, CLOSE, paid, "ADJUSTED_LAST", None)
    assert price.tolist() == [0.98, 1.0, 1.0, 1.0]  # 1 - 2 / 100
    assert volume.tolist() == [1.0] * 4
    assert factors(AT, CLOSE, paid, "TRADES", None)[0].tolist() == [1.0] * 4


def test_a_dividend_after_a_split_is_of_new_shares_and_before_it_of_old_ones() -> None:
    # As traded: 104 before the split of two for one, so 52 in new shares; a dividend of 0.51 on the next day is 1 %
    # of 51, and one of 1.04 on the day before the split is 1.04 of 100.
    actions = [dividend(DAYS[1], 1.04), split(DAYS[2], 2.0), dividend(DAYS[3], 0.51)]
    price, _ = factors(AT, CLOSE, actions, "ADJUSTED_LAST", None)
    assert price == pytest.approx([0.5 * (1 - 0.0104) * 0.99, 0.5 * 0.99, 0.99, 1.0], rel=1e-15)
    # The same bars as IBKR serves them after the split: already halved, the dividends told as they were paid.
    served = CLOSE * [0.5, 0.5, 1.0, 1.0]
    price, _ = factors(AT, served, actions, "ADJUSTED_LAST", date(2018, 12, 31))
    assert price == pytest.approx([(1 - 0.0104) * 0.99, 0.99, 0.99, 1.0], rel=1e-15)


def test_a_dividend_on_the_day_of_a_split_is_of_new_shares() -> None:
    price, _ = factors(AT, CLOSE, [split(DAYS[2], 2.0), dividend(DAYS[2], 0.52)], "ADJUSTED_LAST", None)
    assert price == pytest.approx([0.5 * 0.99, 0.5 * 0.99, 1.0, 1.0], rel=1e-15)  # 0.52 of 104 / 2


def test_splits_the_prices_know_of_are_left_alone_and_later_actions_too() -> None:
    actions = [split(DAYS[1], 2.0), split(DAYS[3], 5.0)]
    assert factors(AT, CLOSE, actions, "TRADES", DAYS[1])[0].tolist() == [0.2, 0.2, 0.2, 1.0]
    assert factors(AT, CLOSE, actions, "TRADES", None, as_of=DAYS[1])[0].tolist() == [0.5, 1.0, 1.0, 1.0]


def test_actions_before_the_first_bar_change_nothing() -> None:
    actions = [split(date(2018, 1, 2), 2.0), dividend(date(2018, 3, 1), 5.0)]
    assert factors(AT, CLOSE, actions, "ADJUSTED_LAST", None)[0].tolist() == [1.0] * 4


@given(st.integers(1, 200), st.floats(0.1, 10.0), st.integers(1, 200), st.floats(0.01, 2.0))
def test_returns_across_bars_without_an_action_stay_as_they_were(split_row, ratio, pay_row, amount) -> None:
    days = [date.fromordinal(int(ns // 86_400_000_000_000) + 719_163) for ns in BARS.start_ns]
    view = adjusted(BARS, [split(days[split_row], ratio), dividend(days[pay_row], amount)], "ADJUSTED_LAST", None)
    kept = np.ones(len(days) - 1, dtype=bool)
    kept[[split_row - 1, pay_row - 1]] = False
    before, after = np.diff(np.log(BARS.close)), np.diff(np.log(view.close))
    assert np.allclose(before[kept], after[kept], rtol=0, atol=1e-12)
    # Traded value is of the day, whatever the shares are called: splits leave price times volume as it was.
    trades = adjusted(BARS, [split(days[split_row], ratio)], "TRADES", None)
    assert np.allclose(trades.close * trades.volume, BARS.close * BARS.volume, rtol=1e-12)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(DataGap, match=r"dividend of 100 on 2018-03-02 is no smaller than the close of 100"):
        factors(AT, CLOSE, [dividend(DAYS[1], 100.0)], "ADJUSTED_LAST", None)
    with pytest.raises(UsageError, match="view 'RAW'"):
        factors(AT, CLOSE, [], "RAW", None)


def test_one_ratio_for_all_is_a_split_and_anything_else_is_not() -> None:
    assert split_between(CLOSE, np.round(CLOSE / 20.0, 2)) == pytest.approx(20.0, rel=0.01)
    assert split_between(CLOSE, CLOSE * [0.5, 0.5, 0.5, 0.6]) is None
    assert split_between(CLOSE, CLOSE * 1.001) is None
    assert split_between(CLOSE[:1], CLOSE[:1] / 2) is None


@needs_shared
def test_the_golden_views_of_eight_stocks() -> None:
    """Splits exactly; dividends by the multiplicative rule, which the vendor's own figures follow within 0.3 %."""
    import pyarrow.parquet as pq

    with golden("adjusted_close_views.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    symbols = sorted({row["symbol"] for row in rows})
    table = pq.read_table(
        market_data("daily/daily_raw.parquet"),
        columns=["symbol", "date", "close"],
        filters=[("symbol", "in", symbols)],
    ).to_pylist()
    actions = read_actions(market_data("corporate_actions/corporate_actions_dev.csv"), symbols)
    checked = 0
    for symbol in symbols:
        own = [(row["date"], row["close"]) for row in table if row["symbol"] == symbol]
        places = {str(day)[:10]: k for k, (day, _) in enumerate(own)}
        days = np.array([(date.fromisoformat(day) - date(1970, 1, 1)).days for day in places], dtype=np.int64)
        close = np.array([price for _, price in own])
        told = [action for action in actions if action.symbol == symbol]
        trades = close * factors(days, close, told, "TRADES", None, date(2018, 12, 31))[0]
        last = close * factors(days, close, told, "ADJUSTED_LAST", None, date(2018, 12, 31))[0]
        for row in (row for row in rows if row["symbol"] == symbol):
            at = places[row["date"]]
            assert trades[at] == pytest.approx(float(row["trades_split_adj_2018_12_31"]), rel=1e-6)
            assert last[at] == pytest.approx(float(row["adjusted_last_2018_12_31"]), rel=0.003)
            checked += 1
    assert checked == len(rows) > 200
