"""The data checker names every defect that is known of real files, and each kind of its own on made ones."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.data.actions import read_actions
from quant_trading.data.checker import check_file, check_panel, describe
from quant_trading.data.findings import mask_jumps, quarantine
from quant_trading.data.macd_csv import macd_csv_path, write_macd_csv
from quant_trading.data.session_checks import low_volume
from quant_trading.data.store import available, load_panel
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.bars import BarColumns, BarPanel
from quant_trading.domain.errors import DataGap
from quant_trading.domain.limits import Limits
from quant_trading.refdata.sessions import sessions_between
from quant_trading.strategy.reversal import Reversal
from tests.backtesting.panels import panel_of
from tests.shared_data import golden, market_data, needs_shared

NS = 1_000_000_000


def of_kind(findings, *kinds):
    return [finding for finding in findings if finding.kind in kinds]


def days(findings):
    return [str(finding.first) for finding in findings]


def daily(bars=60, columns=2, seed=0):
    """Return quiet daily bars with volume, in which nothing is to be found."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.005, (bars, columns)), axis=0))
    return panel_of(close, close * 1.001)


def intraday(seed=0, first=date(2018, 3, 5), last=date(2018, 3, 16), seconds=300):
    """Return quiet bars of complete sessions across the change of the clock of 11 March 2018."""
    start = np.concatenate([np.arange(s.open_ns, s.close_ns, seconds * NS) for s in sessions_between(first, last)])
    close = 100.0 + np.cumsum(np.random.default_rng(seed).choice([-0.01, 0.01], (len(start), 1)), axis=0)
    return BarPanel(
        ("A",), f"{seconds // 60} mins", start, start + seconds * NS, close.copy(), close + 0.02, close - 0.02, close,
        np.full(close.shape, 1e4),
    )  # fmt: skip


def changed(panel, column, row, value, j=0):
    array = getattr(panel, column).copy()
    array[row, j] = value
    return replace(panel, **{column: array})


def only(panel, keep):
    keep = np.asarray(keep, dtype=np.int64)
    arrays = {
        name: getattr(panel, name)[keep] for name in ("start_ns", "end_ns", "open", "high", "low", "close", "volume")
    }
    return replace(panel, **arrays)


def test_quiet_bars_have_no_findings():
    assert check_panel(daily()) == []
    assert check_panel(intraday()) == []
    assert check_panel(only(daily(), [])) == []


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("volume", 0.0, "zero_volume"),
        ("volume", -1.0, "bad_value"),
        ("volume", np.nan, "bad_value"),
        ("open", np.inf, "bad_value"),
        ("low", 0.0, "bad_value"),
        ("low", np.nan, "bad_value"),
        ("high", 1.0, "ohlc"),
        ("low", 150.0, "ohlc"),
        ("open", 150.0, "ohlc"),
    ],
)
def test_a_wrong_value_is_found_at_its_bar(column, value, kind):
    panel = changed(daily(), column, 30, value, j=1)
    (finding,) = of_kind(check_panel(panel), kind)
    assert (finding.symbol, finding.first_ns, finding.last_ns, finding.count) == ("S01", *[panel.start_ns[30]] * 2, 1)
    assert ";" in finding.message  # what, then the cure
    assert "\n" not in describe(finding)


@pytest.mark.parametrize(
    ("factor", "kind", "words"),
    [
        (0.5, "split", "split of 2 for 1"),
        (1 / 3, "split", "split of 3 for 1"),
        (2 / 3, "split", "split of 1.5 for 1"),
        (0.05, "split", "split of 20 for 1"),
        (10.0, "split", "split of 1 for 10"),
        (0.56, "jump", "news, a spin-off or"),
        (1.45, "jump", "news, a spin-off or"),
    ],
)
def test_jumps_are_named_by_what_they_look_like(factor, kind, words):
    panel = daily()
    scale = np.where(np.arange(60)[:, None] >= 40, [factor, 1.0], 1.0)
    prices = {name: getattr(panel, name) * scale for name in ("open", "high", "low", "close")}
    panel = replace(panel, **prices)
    (finding,) = check_panel(panel)
    assert (finding.kind, finding.symbol, finding.first_ns) == (kind, "S00", panel.start_ns[40])
    assert words in finding.message
    ex_date = finding.first
    assert check_panel(panel, [CorporateAction("S00", ex_date, "split", 1.0 / factor)]) == []
    before = float(panel.close[39, 0])
    told = check_panel(panel, [CorporateAction("S00", ex_date, "dividend", 0.3 * before)])
    assert [one.kind for one in told] == ["spin_off"]
    told = check_panel(panel, [CorporateAction("S00", ex_date, "dividend", 0.01 * before)])
    assert [one.kind for one in told] == ["jump"]  # no split is on file: it is none


def test_a_jump_is_seen_over_a_hole_and_a_split_on_a_day_without_a_bar():
    panel = daily()
    prices = {name: getattr(panel, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for array in prices.values():
        array[38:40, 0] = np.nan
    for name in ("open", "high", "low", "close"):
        prices[name][40:, 0] *= 0.5
    panel = replace(panel, **prices)
    jump, hole = check_panel(panel)
    assert (jump.kind, jump.first_ns) == ("split", panel.start_ns[40])
    assert (hole.kind, hole.count, hole.first_ns) == ("missing_session", 2, panel.start_ns[38])
    ex_date = sessions_between(date(2018, 1, 2), date(2018, 12, 31))[39].day
    assert of_kind(check_panel(panel, [CorporateAction("S00", ex_date, "split", 2.0)]), "split", "jump") == []


def test_a_split_that_the_prices_know_of_already_is_named():
    panel = daily()
    ex_date = sessions_between(date(2018, 1, 2), date(2018, 12, 31))[40].day
    (finding,) = check_panel(panel, [CorporateAction("S01", ex_date, "split", 4.0)])
    assert (finding.kind, finding.symbol, finding.first) == ("already_adjusted", "S01", ex_date)


def test_stale_days_and_flat_runs():
    panel = daily()
    prices = {name: getattr(panel, name).copy() for name in ("open", "high", "low", "close")}
    for array in prices.values():
        array[20, 0] = array[19, 0]
        array[31:36, 1] = array[30, 1]
    found = check_panel(replace(panel, **prices))
    assert [(f.kind, f.symbol, f.count) for f in found] == [
        ("stale", "S00", 1), ("flat_run", "S01", 6), ("stale", "S01", 5)
    ]  # fmt: skip
    assert found[0].first_ns == panel.start_ns[20]
    assert found[2].first_ns == panel.start_ns[31]


def test_missing_sessions_of_one_of_all_and_an_early_end():
    panel = daily(60, 2)
    close = panel.close.copy()
    close[50:, 1] = np.nan
    absent = np.isnan(close)
    arrays = {n: np.where(absent, np.nan, getattr(panel, n)) for n in ("open", "high", "low", "close", "volume")}
    found = check_panel(only(replace(panel, **arrays), [*range(10), *range(12, 60)]))
    missing, ended = found
    assert (missing.kind, missing.symbol, missing.count, missing.first_ns) == (
        "missing_session", "", 2, panel.start_ns[10]
    )  # fmt: skip
    assert (ended.kind, ended.symbol, ended.count, ended.first_ns) == ("ends_early", "S01", 10, panel.start_ns[49])


def test_short_sessions_bars_outside_hours_and_off_the_grid():
    panel = intraday()
    short = check_panel(only(panel, [t for t in range(len(panel)) if t not in (100, 101)]))
    assert [(f.kind, f.count, f.expected, str(f.first)) for f in short] == [
        ("incomplete_session", 76, 78, "2018-03-06")
    ]  # fmt: skip
    start, end = panel.start_ns.copy(), panel.end_ns.copy()
    start[77] += 600 * NS  # 15:55 becomes 16:05
    start[80] += 60 * NS
    found = check_panel(replace(panel, start_ns=start, end_ns=end))
    assert {(f.kind, f.count) for f in found} == {("incomplete_session", 77), ("outside_hours", 1), ("off_grid", 1)}


def of_grid(size, seconds_after_open):
    """Return bars of three sessions, the last a half day, at these seconds after each open."""
    length = parse_bar_size(size).seconds * NS
    start, end = [], []
    for session in sessions_between(date(2018, 7, 2), date(2018, 7, 5)):  # 3 July ends at 13:00
        moments = [session.open_ns + s * NS for s in seconds_after_open if session.open_ns + s * NS < session.close_ns]
        start += moments
        end += [min(ns + length, stop) for ns, stop in zip(moments, [*moments[1:], session.close_ns], strict=True)]
    close = 100.0 + np.where(np.arange(len(start)) % 2, 0.01, 0.0)[:, np.newaxis]
    return BarPanel(
        ("A",), size, np.array(start), np.array(end), close, close + 0.02, close - 0.02, close,
        np.full(close.shape, 1e4),
    )  # fmt: skip


# Seconds after 09:30: TWS's bars start with the session and then on the clock, those of others count from the open.
CLOCKS = {
    "20 mins": [0, *range(600, 23_400, 1_200)],
    "1 hour": [0, *range(1_800, 23_400, 3_600)],
    "2 hours": [0, 1_800, 9_000, 16_200],  # 09:30, 10:00, 12:00, 14:00
    "3 hours": [0, 9_000, 19_800],  # 09:30, 12:00, 15:00
    "4 hours": [0, 9_000],  # 09:30, 12:00
    "8 hours": [0],
}


@pytest.mark.parametrize("size", CLOCKS)
def test_bars_on_the_clock_and_bars_from_the_open_are_both_right(size):
    clocked = of_grid(size, CLOCKS[size])
    assert check_panel(clocked) == []
    assert check_panel(of_grid(size, range(0, 23_400, parse_bar_size(size).seconds))) == []
    # what lies on neither is found, and so are sessions that mix them
    start = clocked.start_ns.copy()
    start[1] += 300 * NS
    (finding,) = of_kind(check_panel(replace(clocked, start_ns=start)), "off_grid")
    assert (finding.count, finding.first_ns) == (1, start[1])


def test_an_hourly_session_of_both_grids_is_found():
    mixed = of_grid("1 hour", [0, 1_800, 5_400, 9_000, 14_400, 18_000, 21_600])  # 10:00, 11:00, 12:00, 13:30, 14:30
    found = of_kind(check_panel(mixed), "off_grid")
    # two whole sessions: three bars from the open after three on the clock; the half day lies on the clock
    assert [f.count for f in found] == [6]


def test_a_bar_that_a_half_day_on_the_clock_lacks_is_missed():
    panel = of_grid("2 hours", CLOCKS["2 hours"])
    half_day = sessions_between(date(2018, 7, 3), date(2018, 7, 3))[0]
    keep = np.flatnonzero(panel.start_ns != half_day.open_ns + 9_000 * NS)  # 12:00
    found = check_panel(only(panel, keep))
    assert [(f.kind, f.count, f.expected, str(f.first)) for f in found] == [("incomplete_session", 2, 3, "2018-07-03")]


@pytest.mark.parametrize("kind", ["bid", "ask", "midpoint", "bid_ask"])
def test_quotes_need_no_volume(kind, tmp_path):
    panel = replace(intraday(), volume=np.full((len(intraday()), 1), np.nan))
    assert check_panel(panel, has_volume=False) == []
    assert {f.kind for f in check_panel(panel)} == {"bad_value"}
    bad = changed(panel, "high", 5, 1.0)
    assert {f.kind for f in check_panel(bad, has_volume=False)} == {"ohlc"}
    size = parse_bar_size("5 mins")
    bars = BarColumns(panel.start_ns, panel.end_ns, *(getattr(panel, name)[:, 0] for name in BarColumns.__slots__[2:]))
    for all_hours in (False, True):
        path = macd_csv_path(tmp_path, "SMR", size, kind.upper(), all_hours=all_hours)
        write_macd_csv(path, bars, size)
        assert check_file(path, "5m") == []
    path = macd_csv_path(tmp_path, "SMR", size)
    write_macd_csv(path, bars, size)
    assert {f.kind for f in check_file(path, "5m")} == {"bad_value"}


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_changes_on_another_day_is_suspected(hours):
    # From Monday 12 March 2018 on New York's clock is an hour ahead of one that did not change.
    panel = intraday()
    late = panel.start_ns >= sessions_between(date(2018, 3, 12), date(2018, 3, 12))[0].open_ns
    shift = np.where(late, hours * 3600 * NS, 0)
    found = check_panel(replace(panel, start_ns=panel.start_ns + shift, end_ns=panel.end_ns + shift))
    (zone,) = of_kind(found, "zone")
    assert (zone.count, str(zone.first), str(zone.last)) == (5, "2018-03-12", "2018-03-16")


@given(st.integers(0, 2**32 - 1), st.integers(1, 150), st.sampled_from([0.3, 0.6, 1.2]))
def test_low_volume_is_below_a_fifth_of_the_centred_median(seed, sessions, spread):
    rng = np.random.default_rng(seed)
    volume = np.round(np.exp(rng.normal(12.0, spread, (sessions, 3))))
    volume[rng.random(volume.shape) < 0.05] = np.nan
    expected = []
    for s in range(sessions):
        for j in range(3):
            window = volume[max(s - 20, 0) : s + 21, j]
            window = window[~np.isnan(window)]
            if len(window) and volume[s, j] < 0.2 * np.median(window):
                expected.append([s, j])
    assert sorted(low_volume(volume).tolist()) == expected


def test_files_that_the_reader_refuses_are_checked_all_the_same(tmp_path):
    path = tmp_path / "SMR_5m.csv"
    bars = [("30", 1, 5), ("40", 1, 5), ("35", 1, -5), ("35", 1, 5), ("45", 0.5, 5)]
    rows = [f"2025-05-12T13:{minute}:00Z,1,{high},1,1,{volume}\n" for minute, high, volume in bars]
    path.write_text("timestamp,open,high,low,close,volume\n" + "".join(rows))
    found = check_file(path, "5m")
    assert [(f.kind, f.symbol, f.count) for f in found if f.severity == "error"] == [
        ("duplicate", "SMR", 1), ("unsorted", "SMR", 1), ("bad_value", "SMR", 1), ("ohlc", "SMR", 1)
    ]  # fmt: skip
    path.write_text("nothing\n")
    with pytest.raises(DataGap, match="line 1: lacks the columns"):
        check_file(path, "5m")


DIRTY = [
    ("dirty/dirty_SPY_1m.parquet", "1m"),
    ("dirty/dirty_SPY_5m.parquet", "5m"),
    ("dirty/dirty_TSLL_5m.parquet", "5m"),
    ("intraday/ibkr_SPY_5m_rth_2018_2019.parquet", "5m"),
]


@needs_shared
@pytest.mark.parametrize(("name", "size"), DIRTY)
def test_every_known_defect_of_the_intraday_files_is_named(name, size):
    known = json.loads(golden("known_defects.json").read_text())[name.split("/")[1]]
    found = check_file(market_data(name), size)

    def total(kind):
        return sum(finding.count for finding in of_kind(found, kind))

    assert total("outside_hours") == known["rows_outside_rth"]
    assert total("off_grid") == known["rows_off_grid"]
    assert total("duplicate") == known["duplicate_timestamps"]
    assert total("zero_volume") == known["zero_volume_rows"]
    assert total("missing_session") == len(known["sessions_missing"])
    short = {str(f.first): [f.count, f.expected] for f in of_kind(found, "incomplete_session")}
    assert short == known["sessions_incomplete_rth"]
    thin = [str(s.day) for f in of_kind(found, "low_volume") for s in sessions_between(f.first, f.last)]
    assert thin == known["sessions_volume_below_20pct_of_local_median"]
    shifted = of_kind(found, "zone")
    assert [f.count for f in shifted] == ([35] if "2018_2019" in name else [])


@pytest.mark.slow
@needs_shared
def test_every_known_defect_of_the_daily_file_is_named():
    known = json.loads(golden("known_defects.json").read_text())["daily_raw.parquet"]
    file = market_data("daily/daily_raw.parquet")
    panel = load_panel(file, available(file, "1d"), "1d")
    actions = read_actions(market_data("corporate_actions/corporate_actions_dev.csv"))
    found = check_panel(panel, actions)
    stale = sorted([f.symbol, str(f.first)] for f in of_kind(found, "stale"))
    assert stale == known["stale_rows_ohlc_equal_previous_day"]
    assert [[f.symbol, str(f.first)] for f in of_kind(found, "zero_volume")] == known["zero_volume_rows"]
    jumps = of_kind(found, "jump", "split", "spin_off", "already_adjusted")
    expected = [row[:2] for row in known["raw_close_move_over_30pct_after_undoing_split"]]
    assert sorted([f.symbol, str(f.first)] for f in jumps) == expected
    # The README of the data names the eleven that are distributions; the source books them as large dividends.
    assert {f.symbol for f in of_kind(found, "spin_off")} == {
        "GOOGL", "DISCA", "DISCK", "BAX", "EBAY", "MDLZ", "JCI", "NI", "PENN", "HWM", "TMUS"
    }  # fmt: skip
    # Without actions each split of 1.5 for 1 and more is found too; MNST moved by 10 % of its own on its day.
    bare = check_panel(panel)
    splits = {(f.symbol, f.first) for f in of_kind(bare, "split")}
    real = {(a.symbol, a.ex_date) for a in actions if a.kind == "split" and (a.value >= 1.5 or a.value < 0.5)}
    assert real - splits == {("MNST", date(2016, 11, 10))}
    assert real <= {(f.symbol, f.first) for f in of_kind(bare, "split", "jump")}


@needs_shared
def test_a_reversal_does_not_buy_a_spin_off():
    # Baxter went from 69.93 to 38.86 on 2015-07-01: shareholders got Baxalta for the difference.
    panel = load_panel(market_data("daily/daily_bars.parquet"), ["BAX", "KO"], "1d", start=date(2015, 6, 1),
                       end=date(2015, 8, 31))  # fmt: skip
    strategy = Reversal(lookback=5, threshold=-0.25)
    signal = strategy.signal(panel)
    (t,) = (
        int(t)
        for t in np.flatnonzero(panel.start_ns == sessions_between(date(2015, 7, 1), date(2015, 7, 1))[0].open_ns)
    )
    assert signal[t : t + 5, 0].tolist() == [1.0] * 5  # it would buy on each day whose window spans the spin-off
    findings = check_panel(panel)
    assert mask_jumps(panel, findings) == {("BAX", t)}
    no_opinion = quarantine(panel, findings, strategy.warmup)
    assert np.flatnonzero(no_opinion[:, 0]).tolist() == list(range(t, t + 5))
    assert not no_opinion[:, 1].any()
    held = np.where(no_opinion, np.nan, signal)
    assert not strategy.target(held, Limits())[:, 0].any()


def test_quarantine_counts_the_bars_of_the_symbol():
    panel = daily(30, 1)
    prices = {name: getattr(panel, name) * np.where(np.arange(30)[:, None] >= 10, 0.6, 1.0)
              for name in ("open", "high", "low", "close")}  # fmt: skip
    prices["close"][12] = np.nan
    panel = replace(panel, **prices)
    findings = check_panel(panel)
    # Bars 10, 11, 13 and 14 are the first four after the jump; a window of four is clean from bar 14 on.
    assert np.flatnonzero(quarantine(panel, findings, 4)[:, 0]).tolist() == [10, 11, 12, 13]
    assert quarantine(panel, findings, 99)[10:, 0].all()
    assert not quarantine(panel, findings, 1).any()
