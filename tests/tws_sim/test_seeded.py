"""The built-in market: the same for every request, and shaped like a market."""

import hashlib
import os
import subprocess
import sys
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.refdata.sessions import at, session_on, sessions_between
from quant_trading.tws_sim.barsize import BAR_SIZES, DAY, MONTH, WEEK, parse_bar_size
from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.tape import BarSize, Contract, TapeBars, What
from tests.examples import examples

MINUTE_NS = 60_000_000_000
TAPE = seeded_tape(7)
BY_NAME = {(contract.symbol, contract.currency): contract for contract in TAPE.contracts()}
COLUMNS = ("start_ns", "open", "high", "low", "close", "volume", "count")
YEAR = sessions_between(date(2025, 1, 2), date(2025, 12, 31))


def us(symbol: str) -> Contract:
    return BY_NAME[symbol, "USD"]


def size(text: str) -> BarSize:
    found = parse_bar_size(text)
    assert found is not None
    return found


def served(
    symbol: str, bar_size: BarSize, start: int, end: int, *, what: What = What.TRADES, use_rth: bool = True,
    tape: SeriesTape = TAPE,
) -> TapeBars:  # fmt: skip
    bars = tape.bars(us(symbol), bar_size, what, start, end, use_rth)
    assert bars is not None
    return bars


def same(left: TapeBars, right: TapeBars) -> bool:
    return all(getattr(left, name).tolist() == getattr(right, name).tolist() for name in COLUMNS)


@pytest.mark.parametrize("symbol", ["AAPL", "SMR", "WEBL"])
@pytest.mark.parametrize("small", ["1 min", "5 mins", "30 mins"])
def test_a_day_is_the_sum_of_its_parts(symbol: str, small: str) -> None:
    start, end = at(date(2025, 11, 20), "00:00"), at(date(2025, 12, 5), "00:00")
    days = served(symbol, DAY, start, end)
    parts = served(symbol, size(small), start, end)
    number = np.searchsorted(days.start_ns, parts.start_ns, side="right")
    assert len(days) == 10  # Thanksgiving is closed, the Friday after it a half day
    for row in range(len(days)):
        mine = (number == row + 1) & (parts.volume > 0)
        assert parts.open[mine][0] == days.open[row]
        assert parts.high[mine].max() == days.high[row]
        assert parts.low[mine].min() == days.low[row]
        assert parts.close[mine][-1] == days.close[row]
        assert parts.volume[mine].sum() == days.volume[row]
        assert parts.count[mine].sum() == days.count[row]


def test_minutes_are_the_sum_of_their_seconds() -> None:
    start, end = at(date(2025, 11, 28), "09:30"), at(date(2025, 11, 28), "09:50")
    minutes = served("WEBL", size("1 min"), start, end)
    seconds = served("WEBL", size("1 secs"), start, end)
    assert len(seconds) == 1200
    for row in range(20):
        mine = slice(60 * row, 60 * row + 60)
        traded = seconds.volume[mine] > 0
        assert seconds.volume[mine].sum() == minutes.volume[row]
        if traded.any():
            assert seconds.open[mine][traded][0] == minutes.open[row]
            assert seconds.high[mine][traded].max() == minutes.high[row]
            assert seconds.low[mine][traded].min() == minutes.low[row]
        assert seconds.close[mine][-1] == minutes.close[row]


def test_a_half_day_has_42_five_minute_bars() -> None:
    day = date(2025, 11, 28)
    bars = served("AAPL", size("5 mins"), at(day, "00:00"), at(day, "23:00"))
    assert len(bars) == 42
    assert bars.start_ns[0] == at(day, "09:30")
    assert bars.start_ns[-1] == at(day, "12:55")


def test_hours_follow_the_clock_on_the_wall() -> None:
    day = date(2025, 7, 7)
    bars = served("AAPL", size("1 hour"), at(day, "00:00"), at(day, "23:00"))
    clock = ["09:30", "10:00", "11:00", "12:00", "13:00", "14:00", "15:00"]
    assert bars.start_ns.tolist() == [at(day, text) for text in clock]


@settings(max_examples=examples(40), deadline=None)
@given(st.sampled_from([s for s in BAR_SIZES if s.unit == "second" and s.count >= 5]), st.data())
def test_bars_do_not_depend_on_the_window(bar_size: BarSize, data: st.DataObject) -> None:
    lowest, highest = at(date(2025, 7, 1), "09:00"), at(date(2025, 7, 3), "17:00")
    start = data.draw(st.integers(lowest // MINUTE_NS, highest // MINUTE_NS)) * MINUTE_NS
    end = data.draw(st.integers(start // MINUTE_NS, highest // MINUTE_NS)) * MINUTE_NS
    whole, part = served("SMR", bar_size, lowest, highest), served("SMR", bar_size, start, end)
    inside = np.flatnonzero((whole.start_ns >= start) & (whole.start_ns < end))
    assert part.start_ns.tolist() == whole.start_ns[inside].tolist()
    # The last one may be running at the end of the window.
    for name in COLUMNS:
        assert getattr(part, name)[:-1].tolist() == getattr(whole, name)[inside][:-1].tolist()


def test_a_fresh_market_and_another_order_of_requests_give_the_same_bars() -> None:
    start, end = at(date(2025, 7, 1), "00:00"), at(date(2025, 7, 9), "12:34:56")
    first = [served(symbol, DAY, start, end) for symbol in ("AAPL", "SPY")]
    other = seeded_tape(7)
    served("SPY", size("1 secs"), start, start + 10**13, tape=other)
    again = [served(symbol, DAY, start, end, tape=other) for symbol in ("SPY", "AAPL")]
    assert same(first[0], again[1])
    assert same(first[1], again[0])
    assert not same(first[0], served("AAPL", DAY, start, end, tape=seeded_tape(8)))


DIGEST = """
import hashlib
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.barsize import DAY, parse_bar_size
from quant_trading.tws_sim.tape import What
tape = open_source("seed:7")
digest = hashlib.sha256()
for contract in tape.contracts()[::20]:
    for size in (DAY, parse_bar_size("30 mins"), parse_bar_size("10 secs")):
        bars = tape.bars(contract, size, What.TRADES, 1767000000 * 10**9, 1767200000 * 10**9, False)
        for column in (bars.start_ns, bars.open, bars.high, bars.low, bars.close, bars.volume):
            digest.update(column.tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_two_processes_make_the_same_market() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert len(runs[0].strip()) == hashlib.sha256().digest_size * 2


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 389 * 60 + 59), st.sampled_from(["AAPL", "WEBL"]))
def test_the_running_day_is_what_has_happened(second: int, symbol: str) -> None:
    session = session_on(date(2025, 10, 8))
    assert session is not None
    now = session.open_ns + second * 1_000_000_000
    running = served(symbol, DAY, now - 20 * 86_400 * 10**9, now)
    happened = served(symbol, size("1 secs"), session.open_ns, now)
    if second == 0:
        # Nothing has happened at the very open: the last bar is yesterday's.
        assert running.start_ns[-1] // (86_400 * 10**9) == (date(2025, 10, 7) - date(1970, 1, 1)).days
        return
    traded = happened.volume > 0
    assert running.open[-1] == happened.open[traded][0]
    assert running.high[-1] == happened.high[traded].max()
    assert running.low[-1] == happened.low[traded].min()
    assert running.close[-1] == happened.close[traded][-1]
    assert running.volume[-1] == happened.volume.sum()


def test_before_the_open_the_last_day_is_yesterday() -> None:
    bars = served("AAPL", DAY, at(date(2026, 1, 5), "00:00"), at(date(2026, 1, 15), "09:29:59"))
    assert bars.start_ns[-1] // (86_400 * 10**9) == (date(2026, 1, 14) - date(1970, 1, 1)).days


def test_weeks_and_months_are_dated_by_their_last_session() -> None:
    start, end = at(date(2026, 6, 1), "00:00"), at(date(2026, 7, 8), "12:00")
    weeks, months = served("NVDA", WEEK, start, end), served("NVDA", MONTH, start, end)
    dates = [str(np.datetime64(stamp, "ns").astype("datetime64[D]")) for stamp in weeks.start_ns.tolist()]
    # 19 June and 3 July are holidays, both on a Friday (stoqey/ibkr issue 149 shows 2026-06-18).
    assert dates == ["2026-06-05", "2026-06-12", "2026-06-18", "2026-06-26", "2026-07-02", "2026-07-08"]
    assert [str(np.datetime64(stamp, "ns").astype("datetime64[D]")) for stamp in months.start_ns.tolist()] == [
        "2026-06-30",
        "2026-07-08",
    ]
    days = served("NVDA", DAY, start, at(date(2026, 6, 30), "20:00"))
    assert months.volume[0] == days.volume.sum()
    assert months.high[0] == days.high.max()


def test_all_hours_reach_from_four_to_eight() -> None:
    day = date(2025, 10, 8)
    minutes = served("AAPL", size("1 min"), at(day, "00:00"), at(day, "23:59"), use_rth=False)
    assert (minutes.start_ns[0], minutes.start_ns[-1], len(minutes)) == (at(day, "04:00"), at(day, "19:59"), 960)
    regular = served("AAPL", size("1 min"), at(day, "00:00"), at(day, "23:59"))
    inside = (minutes.start_ns >= regular.start_ns[0]) & (minutes.start_ns <= regular.start_ns[-1])
    assert minutes.close[inside].tolist() == regular.close.tolist()
    assert minutes.volume[~inside].sum() < 0.05 * minutes.volume.sum()
    whole = served("AAPL", DAY, at(day, "00:00") - 4 * 3600 * 10**9, at(day, "23:59"), use_rth=False)
    traded = minutes.volume > 0
    assert whole.volume[-1] == minutes.volume.sum()
    assert whole.high[-1] == minutes.high[traded].max()
    assert whole.low[-1] == minutes.low[traded].min()
    assert (whole.open[-1], whole.close[-1]) == (minutes.open[traded][0], minutes.close[traded][-1])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2026])
def test_prices_stay_plausible(seed: int) -> None:
    tape = seeded_tape(seed)
    start, end = 0, at(date(2030, 12, 31), "20:00")
    for contract in tape.contracts():
        bars = tape.bars(contract, DAY, What.TRADES, start, end, True)
        assert bars is not None
        assert len(bars) == 7794, contract.symbol
        assert bars.low.min() >= 1.0
        assert bars.high.max() < 1_000_000
        assert (bars.low <= np.minimum(bars.open, bars.close)).all()
        assert (bars.high >= np.maximum(bars.open, bars.close)).all()
        returns = np.diff(np.log(bars.close))
        assert 0.03 < returns.std() * 252**0.5 < 1.6, contract.symbol


def test_names_move_together_and_gap_overnight() -> None:
    start, end = at(date(2015, 1, 2), "00:00"), at(date(2025, 1, 2), "00:00")
    closes = {
        symbol: np.log(served(symbol, DAY, start, end).close) for symbol in ("SPY", "QQQ", "AAPL", "JPM", "BAC", "TLT")
    }
    moves = {symbol: np.diff(column) for symbol, column in closes.items()}

    def correlation(left: str, right: str) -> float:
        return float(np.corrcoef(moves[left], moves[right])[0, 1])

    assert correlation("SPY", "QQQ") > 0.8
    assert correlation("JPM", "BAC") > correlation("JPM", "AAPL") > 0.2
    assert correlation("SPY", "TLT") < 0.0
    days = served("AAPL", DAY, start, end)
    assert (days.open[1:] != days.close[:-1]).mean() > 0.95
    assert 0.10 < moves["SPY"].std() * 252**0.5 < 0.25


def test_volume_smiles_and_thin_names_have_empty_minutes() -> None:
    start, end = at(YEAR[0].day, "00:00"), at(YEAR[60].day, "00:00")
    volume = served("SPY", size("1 min"), start, end).volume.reshape(-1, 390).mean(axis=0)
    assert volume[:30].mean() > 1.5 * volume[180:210].mean() < volume[-30:].mean()
    idle = {name: (served(name, size("1 min"), start, end).volume == 0).mean() for name in ("SPY", "SMR", "WEBL")}
    # IBKR served 38 % of the minutes of WEBL without volume.
    assert idle["SPY"] == 0.0
    assert 0.002 < idle["SMR"] < 0.10
    assert 0.20 < idle["WEBL"] < 0.50
