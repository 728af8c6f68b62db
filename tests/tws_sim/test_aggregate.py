"""The aggregation rule, on bars worked by hand and on bars IBKR served."""

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.tws_sim.aggregate import aggregate, concat, group_starts, no_bars, rows
from quant_trading.tws_sim.barsize import parse_bar_size
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.tape import What
from tests.shared_data import market_data, needs_shared
from tests.tws_sim.bars_by_hand import bars_of


def test_bars_without_volume_do_not_count() -> None:
    minutes = bars_of([(10, 10, 10, 10, 0), (11, 12, 11, 12, 100), (12, 12, 12, 12, 0), (12, 13, 9.5, 9.5, 300)])
    whole = aggregate(minutes, np.zeros(4, dtype=np.int64))
    assert (whole.open[0], whole.high[0], whole.low[0], whole.close[0]) == (11, 13, 9.5, 9.5)
    assert (whole.volume[0], whole.count[0], whole.start_ns[0]) == (400, 4, 0)
    # (100 x 11.5 + 300 x 11) / 400
    assert whole.wap[0] == 11.125


def test_only_empty_bars_make_a_flat_bar() -> None:
    minutes = bars_of([(10, 10, 10, 10, 0), (10, 10, 10, 10, 0), (11, 12, 11, 12, 100)])
    whole = aggregate(minutes, np.array([0, 0, 1]))
    assert (whole.open[0], whole.high[0], whole.low[0], whole.close[0], whole.volume[0]) == (10, 10, 10, 10, 0)
    assert whole.open[1] == 11


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(0, 3)), min_size=1, max_size=40), st.integers(1, 6))
def test_agrees_with_a_plain_loop(rows_drawn: list[tuple[int, int]], width: int) -> None:
    minutes = bars_of([(price, price + 2, price - 0.5, price + 1, volume) for price, volume in rows_drawn])
    group = np.arange(len(minutes)) // width
    whole = aggregate(minutes, group)
    for number in range(int(group[-1]) + 1):
        part = [n for n in range(len(minutes)) if group[n] == number]
        part = [n for n in part if minutes.volume[n] > 0] or part
        assert whole.open[number] == minutes.open[part[0]]
        assert whole.close[number] == minutes.close[part[-1]]
        assert whole.high[number] == max(minutes.high[part])
        assert whole.low[number] == min(minutes.low[part])
        assert whole.volume[number] == sum(minutes.volume[part])


def test_small_tools() -> None:
    minutes = bars_of([(1, 1, 1, 1, 1), (2, 2, 2, 2, 2), (3, 3, 3, 3, 3)])
    assert concat([rows(minutes, slice(0, 1)), rows(minutes, slice(1, 3))]).close.tolist() == [1, 2, 3]
    assert len(concat([])) == len(no_bars()) == len(aggregate(no_bars(), np.empty(0, dtype=np.int64))) == 0
    assert group_starts(np.array([4, 4, 7, 9, 9])).tolist() == [0, 2, 3]


@needs_shared
@pytest.mark.slow
def test_minutes_of_ibkr_make_the_five_minute_bars_of_ibkr() -> None:
    served = pyarrow.parquet.read_table(market_data("intraday/ibkr_5m_rth_2026_same_window_as_1m.parquet"))
    tape = open_source(str(market_data("intraday/ibkr_1m_rth_2026.parquet")))
    five_minutes = parse_bar_size("5 mins")
    assert five_minutes is not None
    stamps = served["timestamp"].cast("int64").to_numpy() * 1000
    symbols = np.array(served["symbol"].to_pylist())
    with_volume = compared = 0
    for contract in tape.contracts():
        mine = symbols == contract.symbol
        bars = tape.bars(contract, five_minutes, What.TRADES, int(stamps.min()), int(stamps.max()) + 300 * 10**9, True)
        assert bars is not None
        _, ours, theirs = np.intersect1d(bars.start_ns, stamps[mine], return_indices=True)
        for column in ("open", "high", "low", "close", "volume"):
            expected = served[column].to_numpy()[mine][theirs].astype(np.float64)
            assert (getattr(bars, column)[ours] == expected).all(), (contract.symbol, column)
        compared += len(ours)
        with_volume += int((bars.volume[ours] > 0).sum())
    assert (with_volume, compared) == (21_557, 21_762)
