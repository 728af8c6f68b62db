"""The bar store: what goes in comes out, changes are findings, damage is refused, readers never see half."""

import csv
import errno
import hashlib
import json
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.data import store_manifest, store_writer
from quant_trading.data.bar_files import open_bar_file
from quant_trading.data.bar_store import BarMeta, BarStore, is_store
from quant_trading.data.files import put_in_place
from quant_trading.data.store import LocalBars, available, load_panel, provenance, save_bars
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.bars import BarColumns, panel_from_columns
from quant_trading.domain.errors import ConfigError, DataGap, UsageError
from tests.data.stores import META, a_store, cut, daily, same_bars, with_close

ROOT = Path(__file__).resolve().parents[2]
BARS = daily(date(2016, 11, 1), date(2018, 3, 1))
DAY_NS = 86_400_000_000_000


def parquet(store: BarStore, symbol: str = "AAPL", kind: str = "1d") -> list[Path]:
    return sorted((store.root / kind / symbol).glob("*.parquet"))


# --- in and out --------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, len(BARS.start_ns) - 1), st.integers(1, 120)), min_size=1, max_size=6))
def test_pieces_in_any_order_with_any_overlap_make_their_union(tmp_path_factory, pieces):
    store = BarStore(tmp_path_factory.mktemp("pieces") / "store")
    rows = np.zeros(len(BARS.start_ns), dtype=bool)
    for first, length in pieces:
        piece = np.arange(first, min(first + length, len(rows)))
        done = store.append("AAPL", "1 day", cut(BARS, piece), META)
        assert (done.added, done.same) == (int((~rows[piece]).sum()), int(rows[piece].sum()))
        assert done.changed == ()
        rows[piece] = True
    assert same_bars(store.columns("AAPL", "1d"), cut(BARS, rows))
    assert same_bars(BarStore(store.root).columns("AAPL", "1 day"), cut(BARS, rows))  # from the cache


def fail_on(monkeypatch, failing):
    """Make the disk full for the files whose name begins with `failing`; return what was tried to write."""
    tried = []

    def full(path, content):
        tried.append(path.name)
        if path.name.startswith(failing):
            raise OSError(errno.ENOSPC, "No space left on device")
        put_in_place(path, content)

    for module in (store_manifest, store_writer):
        monkeypatch.setattr(module, "put_in_place", full)
    return tried


@pytest.mark.parametrize("failing", ["2018-", "manifest"])
def test_a_full_disk_leaves_no_file_that_no_manifest_names(tmp_path, failing):
    store, year = BarStore(tmp_path / "store"), 252
    store.append("AAPL", "1 day", cut(BARS, slice(0, year)), META)  # 2016 and the greater part of 2017
    before = parquet(store)
    for rows in (slice(year, None), slice(0, None)):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(ConfigError, match="No space left on device"):
            tried = fail_on(patch, failing)
            store.append("AAPL", "1 day", cut(BARS, rows), META)
        assert tried[0].startswith("2017-"), "a second file of 2017 was there for a moment"
        assert parquet(store) == before
        assert same_bars(store.columns("AAPL", "1d"), cut(BARS, slice(0, year)))
    # one that a kill left all the same goes with the next writing
    left = before[-1].with_name("2017-0123456789ab.parquet")
    left.write_bytes(b"half")
    store.append("AAPL", "1 day", BARS, META)
    named = json.loads((left.parent / "manifest.json").read_text())
    assert {path.name for path in parquet(store)} == {
        *(entry["file"] for entry in named["years"].values()), *named["previous"]
    }  # fmt: skip
    assert same_bars(store.columns("AAPL", "1d"), BARS)


@pytest.mark.parametrize("failing", ["2016-", "2017-", "manifest"])
def test_a_full_disk_leaves_nothing_of_a_new_series(tmp_path, monkeypatch, failing):
    store = BarStore(tmp_path / "store")
    fail_on(monkeypatch, failing)
    with pytest.raises(ConfigError, match="choose another place or free this one"):
        store.append("AAPL", "1 day", BARS, META)
    assert parquet(store) == []


def test_a_file_for_each_year_and_a_manifest_that_describes_it(tmp_path):
    store = BarStore(tmp_path / "store")
    store.append("AAPL", "1 day", BARS, META)
    store.append("AAPL", "1 day", cut(BARS, slice(-1, None)), replace(META, source="again"))
    assert [path.name[:5] for path in parquet(store)] == ["2016-", "2017-", "2018-"]
    found = json.loads((store.root / "1d/AAPL/manifest.json").read_text())
    assert (found["symbol"], found["bar_size"], found["what"], found["zone"]) == ("AAPL", "1 day", "TRADES", "UTC")
    year = found["years"]["2017"]
    assert year["rows"] == 251  # sessions of 2017
    assert (year["first"], year["last"]) == ("2017-01-03T14:30:00Z", "2017-12-29T14:30:00Z")
    assert (year["sources"], year["fetched_at"]) == (["test"], "2019-01-02T03:04:05Z")
    assert year["sha256"] == hashlib.sha256((store.root / "1d/AAPL" / year["file"]).read_bytes()).hexdigest()


def test_its_files_are_plain_bar_files_for_everybody_else(tmp_path):
    store = BarStore(tmp_path / "store")
    store.append("AAPL", "1 day", BARS, META)
    file = open_bar_file(parquet(store)[1])
    assert file is not None
    columns = file.columns(parse_bar_size("1 day"))
    assert len(columns.close) == 251
    assert np.isin(columns.close, BARS.close).all()


def test_bars_that_are_there_already_change_no_byte(tmp_path):
    store = a_store(tmp_path, "AAPL")
    before = {path: path.read_bytes() for path in (store.root / "1d/AAPL").iterdir()}
    done = store.append("AAPL", "1 day", daily(date(2017, 3, 1), date(2018, 12, 31)), META)
    assert done.changed  # another stretch of the walk: other prices
    again = store.append("AAPL", "1 day", daily(date(2017, 1, 1), date(2018, 12, 31), 1), META)
    assert (again.added, again.same, again.changed) == (0, 502, ())
    after = {path: path.read_bytes() for path in before}
    assert after == before


def test_the_volume_that_is_missing_stays_missing(tmp_path):
    store = BarStore(tmp_path / "store")
    bars = cut(BARS, slice(0, 5))
    bars = replace(bars, volume=np.array([1.0, np.nan, 3.0, np.nan, 5.0]))
    store.append("EURUSD", "1 day", bars, replace(META, what="MIDPOINT"))
    again = store.append("EURUSD", "1 day", bars, replace(META, what="MIDPOINT"))
    assert again.same == 5
    assert same_bars(store.columns("EURUSD", "1 day", "MIDPOINT"), bars)
    assert store.columns("EURUSD", "1 day") is None


def test_kinds_and_hours_are_series_of_their_own(tmp_path):
    store = BarStore(tmp_path / "store")
    for k, (what, hours) in enumerate([("TRADES", False), ("TRADES", True), ("LIVE", False)]):
        store.append("AAPL", "1 day", with_close(BARS, 3, 90.0 + k), BarMeta("test", META.fetched_at, what, hours))
    assert [path.name for path in sorted(store.root.iterdir()) if path.is_dir()] == ["1d", "1d.live", "1d.trades.all"]
    for k, (what, hours) in enumerate([("TRADES", False), ("TRADES", True), ("LIVE", False)]):
        bars = store.columns("AAPL", "1 day", what, all_hours=hours)
        assert bars is not None
        assert bars.close[3] == 90.0 + k


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (cut(BARS, slice(0, 0)), "no bars to store"),
        (cut(BARS, [1, 0]), "out of order"),
        (cut(BARS, [1, 1]), "out of order"),
        (with_close(BARS, 2, -1.0), "prices above 0"),
        (with_close(BARS, 2, float("inf")), "prices above 0"),
        (replace(BARS, high=BARS.low, low=BARS.high * 1.1), "high not below low"),
        (replace(BARS, end_ns=BARS.start_ns), "end after the start"),
        (replace(BARS, volume=BARS.volume[1:]), "rows"),
    ],
)
def test_bars_that_cannot_be_are_refused_and_nothing_is_written(tmp_path, broken, words):
    store = BarStore(tmp_path / "store")
    with pytest.raises(DataGap, match=words):
        store.append("AAPL", "1 day", broken, META)
    assert store.columns("AAPL", "1 day") is None


# --- changed bars ------------------------------------------------------------------------------


def test_a_changed_bar_is_noted_with_both_values_and_the_stored_one_is_kept(tmp_path):
    store = BarStore(tmp_path / "store")
    store.append("AAPL", "1 day", BARS, META)
    other = with_close(BARS, 100, 50.0)
    for _ in range(2):  # the same change is noted once
        done = store.append("AAPL", "1 day", other, BarMeta("second", datetime(2019, 2, 3, tzinfo=UTC)))
        assert (done.added, done.same, len(done.changed)) == (0, len(BARS.close) - 1, 1)
        assert (done.changed[0].stored[3], done.changed[0].received[3]) == (BARS.close[100], 50.0)
    assert same_bars(store.columns("AAPL", "1 day"), BARS)
    with (store.root / "1d/AAPL/changed.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["timestamp"] == "2017-03-28T13:30:00Z"  # 21 + 21 + 20 + 19 sessions, then the 20th of March
    assert (row["kept"], row["source"], row["fetched_at"]) == ("stored", "second", "2019-02-03T00:00:00Z")
    assert (float(row["stored_close"]), float(row["received_close"])) == (BARS.close[100], 50.0)


def test_replace_takes_the_new_value_and_still_notes_both(tmp_path):
    store = BarStore(tmp_path / "store")
    store.append("AAPL", "1 day", BARS, META)
    other = with_close(BARS, 100, 50.0)
    store.append("AAPL", "1 day", cut(other, slice(90, 110)), META, replace=True)
    assert same_bars(store.columns("AAPL", "1 day"), other)
    with (store.root / "1d/AAPL/changed.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["kept"], float(row["stored_close"])) == ("received", BARS.close[100])


def test_prices_from_before_and_after_a_split_are_never_mixed(tmp_path):
    store = BarStore(tmp_path / "store")
    store.append("AAPL", "1 day", cut(BARS, slice(0, 200)), META)
    cents = [np.round(getattr(BARS, name) / 4.0, 2) for name in ("open", "high", "low", "close")]
    split = BarColumns(BARS.start_ns, BARS.end_ns, *cents, BARS.volume * 4.0)
    with pytest.raises(DataGap, match="split of 4"):
        store.append("AAPL", "1 day", cut(split, slice(150, 250)), META)
    assert same_bars(store.columns("AAPL", "1 day"), cut(BARS, slice(0, 200)))


# --- damage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("warm", [False, True])
def test_a_damaged_file_is_refused_with_the_cure(tmp_path, warm):
    store = a_store(tmp_path, "AAPL", "MSFT")
    if warm:
        store.panel(["AAPL", "MSFT"], "1 day")
    path = parquet(store)[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataGap, match=r"2017-.*hash differs.*put the file back from a copy.*fetch AAPL again"):
        BarStore(store.root).panel(["AAPL", "MSFT"], "1 day")
    told = []
    panel = store.panel(["AAPL", "MSFT"], "1 day", on_error=lambda symbol, error: told.append(symbol))
    assert (panel.symbols, told) == (("MSFT",), ["AAPL"])
    with pytest.raises(DataGap, match="hash differs"):
        store.append("AAPL", "1 day", daily(date(2017, 1, 1), date(2018, 12, 31)), META)


def test_a_file_that_is_gone_is_named(tmp_path):
    store = a_store(tmp_path, "AAPL")
    store.columns("AAPL", "1 day")
    path = parquet(store)[1]
    path.unlink()
    with pytest.raises(DataGap, match=f"{path.name}: the file is gone"):
        store.columns("AAPL", "1 day")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 1}', '{"format": 1, "years": {"x": {}}}'])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    store = a_store(tmp_path, "AAPL")
    (store.root / "1d/AAPL/manifest.json").write_text(text)
    with pytest.raises(DataGap, match="is no manifest"):
        store.columns("AAPL", "1 day")


def test_a_later_format_is_refused(tmp_path):
    store = a_store(tmp_path, "AAPL")
    path = store.root / "1d/AAPL/manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ConfigError, match="update the desk"):
        store.columns("AAPL", "1 day")


def test_a_damaged_cache_is_not_believed(tmp_path):
    store = a_store(tmp_path, "AAPL", "MSFT")
    right = store.panel(["AAPL", "MSFT"], "1 day").close.copy()
    caches = [*store.root.rglob("*.cache"), *store.root.rglob("*.panel")]
    assert len(caches) == 3
    for path in caches:
        content = bytearray(path.read_bytes())
        content[-9] ^= 64
        path.write_bytes(content)
    assert np.array_equal(store.panel(["AAPL", "MSFT"], "1 day").close, right)


def test_caches_may_go_at_any_time_and_follow_what_is_written(tmp_path):
    store = a_store(tmp_path, "AAPL", "MSFT")
    first = store.panel(["AAPL", "MSFT"], "1 day")
    more = daily(date(2019, 1, 1), date(2019, 2, 1), 9)
    store.append("MSFT", "1 day", more, META)
    panel = store.panel(["AAPL", "MSFT"], "1 day")
    assert len(panel) == len(first) + len(more.close)
    assert np.isnan(panel.close[-1, 0])
    assert panel.close[-1, 1] == more.close[-1]
    for path in [*store.root.rglob("*.cache"), *store.root.rglob("*.panel")]:
        path.unlink()
    again = store.panel(["AAPL", "MSFT"], "1 day")
    assert np.array_equal(again.close, panel.close, equal_nan=True)


# --- several processes -------------------------------------------------------------------------

WRITER = """
import sys
from datetime import UTC, date, datetime
from pathlib import Path
import numpy as np
from quant_trading.data.bar_store import BarMeta, BarStore
from quant_trading.domain.bars import BarColumns
store, first, step = BarStore(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
base = 1_500_000_000_000_000_000
for k in range(first, 24, step):
    start = base + np.arange(k * 10, k * 10 + 10) * 864_000_000_000_000  # ten days apart: over seven years
    price = 1.0 + start / 1e18
    store.append("AAPL", "1 min", BarColumns(start, start + 60_000_000_000, *[price] * 4, price), \
BarMeta("w", datetime(2030, 1, 1, tzinfo=UTC)))
    print(k, flush=True)
"""


def writer(store: BarStore, first: int, step: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(store.root), str(first), str(step)], stdout=subprocess.PIPE, text=True,
        cwd=ROOT,
    )  # fmt: skip


def check_whole_tens(bars: BarColumns | None) -> int:
    """Return how many bars there are, after looking that each append is there in full and sound."""
    if bars is None:
        return 0
    assert len(bars.start_ns) % 10 == 0
    assert np.array_equal(bars.close, 1.0 + bars.start_ns / 1e18)
    tens = (bars.start_ns - 1_500_000_000_000_000_000) // 8_640_000_000_000_000
    assert (np.bincount(tens)[np.unique(tens)] == 10).all()
    return len(bars.start_ns)


@pytest.mark.slow
def test_readers_see_whole_appends_while_another_process_writes(tmp_path):
    store = BarStore(tmp_path / "store")
    store.append("SPY", "1 day", BARS, META)
    seen = set()
    with writer(store, 0, 1) as process:
        while process.poll() is None:
            seen.add(check_whole_tens(BarStore(store.root).columns("AAPL", "1 min")))
        assert process.returncode == 0
    assert check_whole_tens(store.columns("AAPL", "1 min")) == 240
    assert len(seen) > 2  # it was really read in between


@pytest.mark.slow
def test_two_writers_of_one_series_lose_nothing(tmp_path):
    store = BarStore(tmp_path / "store")
    store.append("SPY", "1 day", BARS, META)
    with writer(store, 0, 2) as even, writer(store, 1, 2) as odd:
        for process in (even, odd):
            process.communicate(timeout=120)
            assert process.returncode == 0
    assert check_whole_tens(store.columns("AAPL", "1 min")) == 240


@pytest.mark.skipif(sys.platform == "win32", reason="other platform: no SIGKILL")
@pytest.mark.slow
@pytest.mark.parametrize("after", [3, 11])
def test_a_killed_writer_leaves_a_sound_store_and_no_lock(tmp_path, after):
    store = BarStore(tmp_path / "store")
    with writer(store, 0, 1) as process:
        assert process.stdout is not None
        for _ in range(after):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert check_whole_tens(store.columns("AAPL", "1 min")) >= after * 10
    with writer(store, 0, 1) as process:  # the same work again completes it
        process.communicate(timeout=120)
    assert check_whole_tens(store.columns("AAPL", "1 min")) == 240
    found = json.loads((store.root / "1m/AAPL/manifest.json").read_text())
    named = {year["file"] for year in found["years"].values()} | set(found["previous"])
    assert {path.name for path in parquet(store, "AAPL", "1m")} == named  # nothing was left behind


# --- panels ------------------------------------------------------------------------------------


def test_a_panel_is_the_join_of_its_columns(tmp_path):
    store = BarStore(tmp_path / "store")
    rows = [np.arange(0, 300, 2), np.arange(0, 300, 3), np.arange(100, 200)]
    parts = [cut(BARS, part) for part in rows]
    for symbol, part in zip("ABC", parts, strict=True):
        store.append(symbol, "1 day", part, META)
    wanted = panel_from_columns("CAB", "1 day", [parts[2], parts[0], parts[1]])
    for _ in range(2):  # from the files, then from the cache
        panel = store.panel("CAB", "1d")
        assert (panel.symbols, panel.bar_size) == (("C", "A", "B"), "1 day")
        for name in ("start_ns", "end_ns", "open", "high", "low", "close", "volume"):
            column = getattr(panel, name)
            assert np.array_equal(column, getattr(wanted, name), equal_nan=name not in ("start_ns", "end_ns"))
            assert column.flags.c_contiguous
            assert not column.flags.writeable


def test_start_and_end_are_exchange_dates_both_included(tmp_path):
    store = a_store(tmp_path, "AAPL", "MSFT")
    panel = store.panel(["AAPL", "MSFT"], "1 day", date(2017, 12, 29), date(2018, 1, 3))
    days = panel.start_ns // DAY_NS
    assert days.tolist() == [(date(*d) - date(1970, 1, 1)).days for d in ((2017, 12, 29), (2018, 1, 2), (2018, 1, 3))]


def test_missing_symbols_are_named_skipped_or_told(tmp_path):
    store = a_store(tmp_path, "AAPL")
    with pytest.raises(DataGap, match=r"no bars of 1 day \(TRADES\) of MSFT, SPY; fetch them"):
        store.panel(["AAPL", "MSFT", "SPY"], "1 day")
    panel = store.panel(["MSFT", "AAPL"], "1 day", skip_missing=True)
    assert np.isnan(panel.close[:, 0]).all()
    told = []
    assert store.panel(["MSFT", "AAPL"], "1d", on_error=lambda *said: told.append(said[0])).symbols == ("AAPL",)
    assert told == ["MSFT"]
    with pytest.raises(DataGap, match="no bars"):
        store.panel(["MSFT"], "1 day", skip_missing=True)


def test_places_and_words_that_are_none_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        BarStore(tmp_path / "none").panel(["AAPL"], "1 day")
    (tmp_path / "AAPL_1d.csv").write_text("date,open,high,low,close,volume\n")
    with pytest.raises(ConfigError, match=r"is no store.*desk data import"):
        BarStore(tmp_path).append("AAPL", "1 day", BARS, META)
    store = a_store(tmp_path, "AAPL")
    with pytest.raises(UsageError, match="kind of bars"):
        store.panel(["AAPL"], "1 day", what="TRADE")
    with pytest.raises(UsageError, match="bar size"):
        store.panel(["AAPL"], "7 mins")
    for symbol in ("../AAPL", "", ".x", "A/B"):
        with pytest.raises(ConfigError, match="folder name"):
            store.append(symbol, "1 day", BARS, META)
        with pytest.raises(ConfigError, match="folder name"):
            store.panel([symbol], "1 day")
    with pytest.raises(ValueError, match="zone"):
        BarMeta("x", datetime(2020, 1, 1))  # noqa: DTZ001 - the point


def test_only_so_many_panels_are_kept(tmp_path):
    store = a_store(tmp_path, *"ABCDE")
    for first in "ABCDE":
        for second in "ABCDE":
            if first != second:
                store.panel([first, second], "1 day")
    assert len(list(store.root.rglob("*.panel"))) == 8


# --- views -------------------------------------------------------------------------------------


def test_raw_bars_are_served_as_trades_by_the_actions_of_the_store(tmp_path):
    store = BarStore(tmp_path / "store")
    store.append("AAPL", "1 day", BARS, replace(META, what="RAW"))
    assert store.symbols("1 day") == ["AAPL"]
    before = store.panel(["AAPL", "AAPL"][:1], "1 day").close[:, 0].copy()
    assert np.array_equal(before, BARS.close)
    store.write_actions([CorporateAction("AAPL", date(2017, 6, 1), "split", 2.0)])
    panel = store.panel(["AAPL"], "1 day")
    rows = int(np.searchsorted(BARS.start_ns, (date(2017, 6, 1) - date(1970, 1, 1)).days * DAY_NS))
    assert np.array_equal(panel.close[:rows, 0], BARS.close[:rows] / 2.0)
    assert np.array_equal(panel.close[rows:, 0], BARS.close[rows:])
    assert np.array_equal(panel.volume[:rows, 0], BARS.volume[:rows] * 2.0)


def test_trades_know_the_splits_before_they_were_fetched_and_not_those_after(tmp_path):
    store = a_store(tmp_path, "AAPL", "MSFT")  # fetched on 2019-01-02
    plain = store.panel(["AAPL", "MSFT"], "1 day").close.copy()
    known = CorporateAction("AAPL", date(2018, 6, 1), "split", 2.0)
    store.write_actions([known])
    assert np.array_equal(store.panel(["AAPL", "MSFT"], "1 day").close, plain)
    store.write_actions([known, CorporateAction("AAPL", date(2019, 6, 3), "split", 4.0)])
    panel = store.panel(["AAPL", "MSFT"], "1 day")
    assert np.array_equal(panel.close[:, 0], plain[:, 0] / 4.0)
    assert np.array_equal(panel.close[:, 1], plain[:, 1])


# --- as any other folder of bars ---------------------------------------------------------------


def test_the_readers_of_folders_read_a_store(tmp_path):
    store = a_store(tmp_path, "AAPL", "MSFT")
    panel = store.panel(["MSFT", "AAPL"], "1 day")
    save_bars(tmp_path / "csv", panel)
    assert (is_store(store.root), is_store(tmp_path / "csv")) == (True, False)
    for duration in ("20 D", "6 M", "1 Y"):
        from_store = LocalBars(store.root).bars(["MSFT", "AAPL"], "1 day", duration)
        from_files = LocalBars(tmp_path / "csv").bars(["MSFT", "AAPL"], "1 day", duration)
        for name in ("start_ns", "end_ns", "open", "high", "low", "close", "volume"):
            assert np.array_equal(getattr(from_store, name), getattr(from_files, name))
    assert available(store.root, "1d") == available(tmp_path / "csv", "1d") == ["AAPL", "MSFT"]
    told = []
    left = load_panel(store.root, ["AAPL", "XYZ"], "1 day", on_error=lambda symbol, error: told.append(symbol))
    assert (left.symbols, told) == (("AAPL",), ["XYZ"])
    names = [source.name for source in provenance(store.root, ["AAPL"], "1 day")]
    assert names == [f"1d/AAPL/{path.name}" for path in parquet(store)]


def test_nothing_imports_pandas_to_read_or_write(tmp_path):
    a_store(tmp_path, "AAPL", "MSFT")
    program = (
        "import sys; from pathlib import Path; from datetime import date, datetime, UTC\n"
        "from quant_trading.data.bar_store import *\n"
        f"store = BarStore(Path({str(tmp_path / 'store')!r}))\n"
        "bars = store.columns('AAPL', '1 day')\n"
        "store.append('NEW', '1 day', bars, BarMeta('x', datetime(2020, 1, 1, tzinfo=UTC)))\n"
        "store.panel(['NEW', 'AAPL', 'MSFT'], '1 day')\n"
        "assert 'pandas' not in sys.modules and 'pyarrow' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    warm = program.split("store.append")[0] + "assert 'pyarrow' not in sys.modules\n"
    subprocess.run([sys.executable, "-c", warm], check=True, cwd=ROOT)


def test_the_state_of_a_series_is_the_same_however_files_are_looked_up(monkeypatch, tmp_path):
    """Windows cannot look up from an open folder: the whole path is taken then."""
    from quant_trading.data import store_manifest

    store = BarStore(tmp_path / "store")
    store.append("AAPL", "1 day", BARS, META)
    folder = str(store.root / "1d" / "AAPL")
    found = store_manifest.state_of(folder)
    monkeypatch.setattr(store_manifest, "_LOOKS_UP_FROM_FOLDERS", False)
    assert store_manifest.state_of(folder) == found is not None
    assert store_manifest.state_of(str(tmp_path / "nowhere")) is None
