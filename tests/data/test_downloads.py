"""One series on its way into the store: what is asked, what is known, what is found, and what a kill does to it."""

import json
import os
import random
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.core.history_pages import Page, Stretch, stretch_of
from quant_trading.data.bar_store import BarMeta, BarStore
from quant_trading.data.downloads import Holes, SeriesDownload
from quant_trading.data.store import load_panel
from quant_trading.data.store_writer import read_changed
from quant_trading.domain.bar_sizes import BarSize, parse_bar_size, parse_duration
from quant_trading.domain.bars import BarColumns, no_bars
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.refdata.sessions import at, sessions_between
from tests.data.stores import cut, same_bars, with_close

FIVE = parse_bar_size("5 mins")
STEP = 300_000_000_000
NOW = at(date(2025, 12, 5), "18:00")  # a Friday evening
ASKED = datetime(2025, 12, 5, 23, tzinfo=UTC)


def tws(page: Page) -> BarColumns:
    """Return what TWS has of a page."""
    days = sessions_between(page.cells[0].day, page.cells[-1].day)
    moments = [ns for day in days for ns in range(day.open_ns, day.close_ns, STEP)]
    start = np.array([ns for ns in moments if page.start_ns <= ns and ns + STEP <= page.end_ns], dtype=np.int64)
    close = np.round(20.0 + 3.0 * np.sin(start / 7.3e15), 2)
    return BarColumns(start, start + STEP, close, close + 0.5, close - 0.5, close, start // STEP % 977 * 1.0)


def a_download(folder: Path, what: str = "TRADES", *, all_hours: bool = False) -> SeriesDownload:
    return SeriesDownload(BarStore(folder / "store"), folder, "SMR", FIVE, what, all_hours=all_hours)


def back(duration: str, until: int = NOW) -> Stretch:
    return stretch_of(FIVE, parse_duration(duration), until, NOW, all_hours=False)


def run(folder: Path, duration: str, until: int = NOW, **how: bool) -> tuple[SeriesDownload, list[Page]]:
    """Download all that is missing; return the download and the pages it asked for."""
    one = a_download(folder)
    pages = one.plan(back(duration, until), NOW, **how)
    for page in pages:
        one.take(page, tws(page), ASKED, replace=how.get("refresh", False))
    return one, pages


def days_of(pages: list[Page]) -> list[date]:
    return sorted(cell.day for page in pages for cell in page.cells)


# What is asked.


def test_the_same_again_asks_for_nothing(tmp_path: Path) -> None:
    one, pages = run(tmp_path, "10 D")
    # ten sessions to 2025-12-05: the half day of 11-28 has 42 bars, Thanksgiving none
    assert [page.duration for page in pages] == ["5 D", "5 D"]
    assert (one.added, one.same, one.changed) == (9 * 78 + 42, 0, 0)
    again, pages = run(tmp_path, "10 D")
    assert pages == [] and again.added == 0
    assert again.holes(back("10 D")) == Holes(False, None, 0, 0)


def test_a_day_later_the_new_session_is_asked_with_one_that_is_known(tmp_path: Path) -> None:
    run(tmp_path, "5 D", at(date(2025, 12, 4), "18:00"))
    one, pages = run(tmp_path, "1 D")
    assert days_of(pages) == [date(2025, 12, 4), date(2025, 12, 5)]
    assert (one.added, one.same) == (78, 78)


def test_an_earlier_stretch_meets_the_known_one(tmp_path: Path) -> None:
    run(tmp_path, "2 D")
    one, pages = run(tmp_path, "4 D")
    assert days_of(pages) == [date(2025, 12, 2), date(2025, 12, 3), date(2025, 12, 4)]
    assert (one.added, one.same) == (156, 78)


def test_the_running_session_is_taken_up_where_it_was_left(tmp_path: Path) -> None:
    noon = at(date(2025, 12, 5), "12:00")
    one, _ = run(tmp_path, "1 D", noon)
    assert one.added == 30  # two and a half hours
    assert run(tmp_path, "1 D", noon)[1] == []
    one, pages = run(tmp_path, "1 D")
    assert (one.added, one.same, len(pages)) == (48, 30, 1)


def test_what_failed_is_asked_again(tmp_path: Path) -> None:
    one = a_download(tmp_path)
    pages = one.plan(back("10 D"), NOW)
    one.take(pages[0], tws(pages[0]), ASKED)
    one.fail(pages[1], "no answer", ASKED)
    left = a_download(tmp_path).plan(back("10 D"), NOW)
    assert set(days_of([pages[1]])) <= set(days_of(left))
    assert len(days_of(left)) == 6, "five and one that is known"


def test_bars_that_were_taken_out_of_the_store_are_asked_again(tmp_path: Path) -> None:
    one, _ = run(tmp_path, "10 D")
    place = tmp_path / "store" / "5m" / "SMR"
    for path in place.glob("*.parquet"):
        path.unlink()
    (place / "manifest.json").unlink()
    again, pages = run(tmp_path, "10 D")
    assert len(pages) == 2 and again.added == one.added


def test_bars_of_another_source_are_compared_not_trusted(tmp_path: Path) -> None:
    one = a_download(tmp_path)
    [page] = one.plan(back("2 D"), NOW)
    other = cut(tws(page), slice(0, 100))
    BarStore(tmp_path / "store").append("SMR", "5 mins", with_close(other, 7, 19.0), BarMeta("a file", ASKED))
    one, pages = run(tmp_path, "2 D")
    assert len(pages) == 1
    assert (one.added, one.same, one.changed) == (56, 99, 1)


def test_a_page_that_another_download_brought_meanwhile_is_not_wanted_any_more(tmp_path: Path) -> None:
    run(tmp_path, "1 D", at(date(2025, 12, 1), "18:00"))
    one, other = a_download(tmp_path), a_download(tmp_path)
    newest, older = one.plan(back("10 D"), NOW)
    assert not one.is_taken(newest) and not one.is_taken(older), "what was known before is compared all the same"
    other.take(newest, tws(newest), ASKED)
    other.flush()
    assert one.is_taken(newest) and not one.is_taken(older)
    one.leave_out(newest)
    one.take(older, tws(older), ASKED)
    one.flush()
    assert not one.is_taken(older), "it is its own"
    written = one.write_csv()
    assert written is not None and written.bars == 9 * 78 + 42
    assert one.holes(back("10 D")) == Holes(False, None, 0, 0)


def test_days_that_nobody_asked_for_are_named(tmp_path: Path) -> None:
    run(tmp_path, "2 D", at(date(2025, 11, 21), "18:00"))
    one, _ = run(tmp_path, "1 D")
    one.flush()
    # 24, 25, 26 and 28 November, 1 to 4 December; Thanksgiving is no session
    assert [day.day for day in one.unasked_days()] == [24, 25, 26, 28, 1, 2, 3, 4]
    one, _ = run(tmp_path, "15 D")
    one.flush()
    assert one.unasked_days() == []


# Holes.


def _without(bars: BarColumns, day: date, keep: int = 0) -> BarColumns:
    """Return the bars with only the first `keep` of one session."""
    begin, end = np.searchsorted(bars.start_ns, [at(day, "09:30"), at(day, "16:00")])
    rows = np.concatenate([np.arange(begin + keep), np.arange(end, len(bars.start_ns))])
    return cut(bars, rows)


def test_a_session_without_bars_is_known_empty_and_repair_asks_once_more(tmp_path: Path) -> None:
    one, hole = a_download(tmp_path), date(2025, 12, 3)
    [page] = one.plan(back("5 D"), NOW)
    one.take(page, _without(tws(page), hole), ASKED)
    assert one.holes(back("5 D")) == Holes(False, None, empty=1, short=0)
    assert a_download(tmp_path).plan(back("5 D"), NOW) == []
    again = a_download(tmp_path)
    [page] = again.plan(back("5 D"), NOW, repair=True)
    assert hole in days_of([page])
    again.take(page, _without(tws(page), hole), ASKED)
    assert a_download(tmp_path).plan(back("5 D"), NOW, repair=True) == [], "asked twice: it is a hole"


def test_repair_fills_a_session_that_has_come_meanwhile(tmp_path: Path) -> None:
    one, short = a_download(tmp_path), date(2025, 12, 3)
    [page] = one.plan(back("5 D"), NOW)
    one.take(page, _without(tws(page), short, keep=30), ASKED)
    assert one.holes(back("5 D")) == Holes(False, None, empty=0, short=1)
    again = a_download(tmp_path)
    for page in again.plan(again.stored_stretch(), NOW, repair=True):
        again.take(page, tws(page), ASKED)
    assert again.added == 48
    assert again.holes(back("5 D")) == Holes(False, None, 0, 0)


def test_a_page_without_a_bar_is_known_empty(tmp_path: Path) -> None:
    one = a_download(tmp_path)
    for page in one.plan(back("10 D"), NOW):
        one.take(page, no_bars(), ASKED)
    assert one.ledger.lines[0].outcome == "empty"
    assert one.holes(back("10 D")).is_all
    assert one.write_csv() is None
    assert a_download(tmp_path).plan(back("10 D"), NOW) == []


def test_what_lies_before_the_first_bar_is_never_asked(tmp_path: Path) -> None:
    one, listed = a_download(tmp_path), at(date(2025, 12, 3), "09:30")
    stretch = back("1 M")
    one.nothing_before(stretch, listed, ASKED)
    pages = one.plan(stretch, NOW)
    # with the session before it, for the sake of whoever counts a day otherwise
    assert days_of(pages) == [date(2025, 12, day) for day in (2, 3, 4, 5)]
    for page in pages:
        one.take(page, cut(tws(page), tws(page).start_ns >= listed), ASKED)
    assert one.holes(stretch) == Holes(False, date(2025, 12, 3), 0, 0)
    one.nothing_before(stretch, listed, ASKED)
    assert [line.outcome for line in one.ledger.lines] == ["first", "empty", "received"]
    assert a_download(tmp_path).ledger.first_bar_ns == listed, "it need not be asked again"
    refreshed = one.plan(stretch, NOW, refresh=True)
    assert days_of(refreshed) == [cell.day for cell in stretch.cells], "TWS may have been wrong: all is asked again"
    assert [one.is_before_first(page) for page in refreshed] == [False, True, True, True, True]
    asked_again = one.plan(stretch, NOW, repair=True)
    assert date(2025, 12, 1) not in days_of(asked_again) and date(2025, 12, 2) in days_of(asked_again)


def test_repair_of_nothing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataGap, match="leave out --repair, and name a --duration"):
        a_download(tmp_path).stored_stretch()


# Findings.


def test_a_changed_bar_is_kept_with_both_values_and_refresh_takes_the_new_one(tmp_path: Path) -> None:
    run(tmp_path, "2 D")
    one = a_download(tmp_path)
    [page] = one.plan(back("2 D"), NOW, refresh=True)
    new = with_close(tws(page), 5, 19.5)
    place = tmp_path / "store" / "5m" / "SMR"
    one.take(page, new, ASKED)
    assert one.changed == 1
    [row] = read_changed(place)
    assert row[1] == "stored" and float(row[7]) == tws(page).close[5] and row[12] == "19.5"
    assert same_bars(BarStore(tmp_path / "store").columns("SMR", "5 mins"), tws(page))
    one.take(page, new, ASKED, replace=True)
    assert same_bars(BarStore(tmp_path / "store").columns("SMR", "5 mins"), new)


def test_after_a_split_nothing_is_mixed(tmp_path: Path) -> None:
    run(tmp_path, "5 D", at(date(2025, 12, 4), "18:00"))
    one = a_download(tmp_path)
    [page] = one.plan(back("1 D"), NOW)
    bars = tws(page)
    halved = replace(bars, **{name: getattr(bars, name) / 2 for name in ("open", "high", "low", "close")})
    with pytest.raises(DataGap, match=r"as after a split of 2 for 1; nothing was written"):
        one.take(page, halved, ASKED)
    assert not one.ledger.covers(page.start_ns, page.end_ns)


def whole_bars(size: BarSize, page: Page, price: float) -> BarColumns:
    """Return the bars of a page, those of a day and those counted from the open, at one price."""
    days = sessions_between(page.cells[0].day, page.cells[-1].day)
    step = min(size.seconds, 86_400) * 1_000_000_000
    spans = [(ns, min(ns + step, day.close_ns)) for day in days for ns in range(day.open_ns, day.close_ns, step)]
    start, end = (np.array(side, dtype=np.int64) for side in zip(*spans, strict=True))
    close = np.full(len(start), price)
    inside = (start >= page.start_ns) & (end <= page.end_ns)
    return cut(BarColumns(start, end, close, close, close, close, close * 0.0 + 1.0), inside)


def after_the_split(folder: Path, size: BarSize, first: str, until: int, second: str) -> None:
    """Download before a split and, for another stretch, after it; nothing of the second one may come in."""
    before = at(date(2025, 12, 4), "18:00")
    for duration, end_ns, now_ns in ((first, until, before), (second, NOW, NOW)):
        one = SeriesDownload(BarStore(folder / "store"), folder, "SMR", size, "TRADES", all_hours=False)
        stretch = stretch_of(size, parse_duration(duration), end_ns, now_ns, all_hours=False)
        pages = one.plan(stretch, now_ns)
        price = 20.0 if now_ns > before else 200.0  # as TWS: adjusted for the splits up to the day of the request
        assert one.compares(pages[0]) == (price == 20.0)
        for page in pages:
            refused = pytest.raises(DataGap, match="as after a split of 10 for 1") if price == 20.0 else nullcontext()
            with refused:
                one.take(page, whole_bars(size, page, price), ASKED)
                one.flush()
    stored = BarStore(folder / "store").columns("SMR", size.words)
    assert stored is not None and set(stored.close.tolist()) == {200.0}


@pytest.mark.parametrize("words", ["5 mins", "1 hour", "4 hours", "8 hours", "1 day"])
def test_a_split_shows_also_where_a_session_has_a_single_bar(tmp_path: Path, words: str) -> None:
    after_the_split(tmp_path, parse_bar_size(words), "10 D", at(date(2025, 12, 4), "18:00"), "10 D")


@pytest.mark.parametrize("words", ["30 secs", "5 mins", "1 hour", "8 hours", "1 day", "1W"])
def test_a_split_between_stretches_that_do_not_touch_shows(tmp_path: Path, words: str) -> None:
    size = parse_bar_size(words)
    first, second = ("30 D", "3 W") if size.seconds > 86_400 else ("5 D", "3 D")
    after_the_split(tmp_path, size, first, at(date(2025, 10, 15), "18:00"), second)


def test_nothing_is_brought_in_before_the_pages_that_show_a_split(tmp_path: Path) -> None:
    run(tmp_path, "1 D", at(date(2025, 11, 21), "18:00"))
    one = a_download(tmp_path)
    first, *others = one.plan(back("11 D"), NOW)
    assert [one.compares(page) for page in (first, *others)] == [True, False, False]
    assert days_of([first])[0] == date(2025, 11, 21)
    for page in others:
        one.take(page, tws(page), ASKED)
    one.flush()  # interrupted
    assert one.added == 0
    one.fail(first, "no answer", ASKED)
    one.flush()
    assert one.added == 6 * 78, "20 November, and 1 to 5 December"


def test_many_pages_of_a_large_series_are_brought_in_at_once(tmp_path: Path) -> None:
    one = a_download(tmp_path)
    pages = one.plan(back("1 Y"), NOW)
    series = tmp_path / "store" / "5m" / "SMR"
    written = set()
    for page in pages:
        one.take(page, tws(page), ASKED)
        written.add((series / "manifest.json").read_bytes())
    # 50 weeks of 390 bars: up to 10,000 bars each page by itself, from then on two
    assert len(pages) == 50 and 36 <= len(written) <= 40
    one.flush()
    assert a_download(tmp_path).plan(back("1 Y"), NOW) == []


def test_an_unsound_page_among_many_fails_alone(tmp_path: Path) -> None:
    one = a_download(tmp_path)
    pages = one.plan(back("10 W"), NOW)
    one._rows = 10**6  # as of a large series: they wait for each other
    bad = pages[3]
    for page in pages:
        bars = tws(page)
        if page is bad:
            bars = replace(bars, high=bars.low - 1.0)
        one.take(page, bars, ASKED)
    with pytest.raises(DataGap, match="expected prices above 0, high not below low"):
        one.flush()
    again = a_download(tmp_path)
    assert [line.outcome for line in again.ledger.lines].count("failed") == 1
    assert set(days_of([bad])) <= set(days_of(again.plan(back("10 W"), NOW)))
    assert all(again.ledger.covers(page.start_ns, page.end_ns) for page in pages if page is not bad)


def test_splits_are_applied_when_the_file_is_written_and_the_store_stays_raw(tmp_path: Path) -> None:
    from quant_trading.domain.actions import CorporateAction

    one, [page] = run(tmp_path, "2 D")
    BarStore(tmp_path / "store").write_actions([CorporateAction("SMR", date(2025, 12, 8), "split", 2.0)])
    one.write_csv()
    panel = load_panel(tmp_path, ["SMR"], "5 mins")
    assert np.array_equal(panel.close[:, 0], tws(page).close / 2.0)
    raw = next(iter(BarStore(tmp_path / "store").series()))
    assert same_bars(BarStore(tmp_path / "store").read(raw), tws(page))


def test_kinds_of_bars_are_series_of_their_own(tmp_path: Path) -> None:
    run(tmp_path, "2 D")
    for one in (a_download(tmp_path, "MIDPOINT"), a_download(tmp_path, all_hours=True)):
        assert one.span() is None
        [page] = one.plan(back("2 D"), NOW)
        one.take(page, tws(page), ASKED)
    assert len(list(BarStore(tmp_path / "store").series())) == 3


def test_adjusted_bars_are_asked_as_a_whole_and_replaced(tmp_path: Path) -> None:
    one = a_download(tmp_path, "ADJUSTED_LAST")
    for factor in (1.0, 0.99):
        [page] = one.plan(back("5 D"), NOW)
        assert page.end == ""
        bars = tws(page)
        scaled = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
        one.take(page, replace(bars, **scaled), ASKED)
    stored = BarStore(tmp_path / "store").columns("SMR", "5 mins", "ADJUSTED_LAST")
    assert stored is not None and np.array_equal(stored.close, tws(page).close * 0.99)


@pytest.mark.parametrize("end", [date(2025, 12, 5), date(2025, 11, 20)])
def test_adjusted_bars_that_are_stored_are_asked_along(tmp_path: Path, end: date) -> None:
    run_until = ((date(2025, 12, 1), 1.0, "10 D"), (end, 0.98, "2 D"))  # later 2 % of a dividend off all before
    for day, factor, duration in run_until:
        one = a_download(tmp_path, "ADJUSTED_LAST")
        [page] = one.plan(back(duration, at(day, "18:00")), NOW)
        bars = tws(page)
        scaled = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
        one.take(page, replace(bars, **scaled), ASKED)
    stored = BarStore(tmp_path / "store").columns("SMR", "5 mins", "ADJUSTED_LAST")
    assert stored is not None
    days = sessions_between(date(2025, 11, 17), max(date(2025, 12, 1), end))
    assert len(stored.start_ns) == sum((day.close_ns - day.open_ns) // STEP for day in days)
    assert np.array_equal(stored.close, np.round(20.0 + 3.0 * np.sin(stored.start_ns / 7.3e15), 2) * 0.98)
    assert one.unasked_days() == []


def test_a_daily_bar_ends_with_its_session_and_repair_asks_for_nothing(tmp_path: Path) -> None:
    size, now = parse_bar_size("1 day"), at(date(2025, 12, 4), "18:00")
    for repair in (False, True):
        one = SeriesDownload(BarStore(tmp_path / "store"), tmp_path, "SMR", size, "TRADES", all_hours=False)
        wish = stretch_of(size, parse_duration("5 D"), now, now, all_hours=False)
        stretch = one.stored_stretch() if repair else wish
        assert stretch.cells == wish.cells
        pages = one.plan(stretch, now, repair=repair)
        assert len(pages) == (0 if repair else 1)
        for page in pages:
            bars = whole_bars(size, page, 20.0)
            # as other sources have them: to midnight
            one.take(page, replace(bars, end_ns=bars.start_ns + 86_400_000_000_000), ASKED)
        one.flush()


@pytest.mark.parametrize("words", ["1 day", "1W"])
def test_the_bar_of_a_day_is_asked_for_half_an_hour_after_its_close(tmp_path: Path, words: str) -> None:
    size = parse_bar_size(words)
    last = []
    for clock in ("15:59:00", "16:00:10", "16:29:59", "16:30:00"):
        now_ns = at(date(2025, 12, 5), clock)
        stretch = stretch_of(size, parse_duration("5 D"), now_ns - 5_000_000_000, now_ns, all_hours=False)
        one = SeriesDownload(BarStore(tmp_path / "store"), tmp_path, "SMR", size, "TRADES", all_hours=False)
        [page] = one.plan(stretch, now_ns)
        last.append(page.cells[-1].day.day)
    assert last == [4, 4, 4, 5], "later prints, as those of the closing auction, still change it"


def test_a_symbol_that_makes_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="makes no folder name"):
        SeriesDownload(BarStore(tmp_path), tmp_path, "../SMR", FIVE, "TRADES", all_hours=False)


# Any order, any interruption.


@pytest.mark.slow
@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), stops=st.lists(st.integers(0, 6), max_size=5))
def test_pages_in_any_order_over_any_number_of_runs_give_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, seed: int, stops: list[int]
) -> None:
    rng = random.Random(seed)
    folder = tmp_path_factory.mktemp("runs")
    for stop in [*stops, 100]:
        one = a_download(folder)
        pages = one.plan(back("12 D"), NOW)
        rng.shuffle(pages)
        for page in pages[:stop]:
            one.take(page, tws(page), ASKED)
        one.write_csv()
    assert one.changed == 0 and one.plan(back("12 D"), NOW) == []
    panel = load_panel(folder, ["SMR"], "5 mins")
    expected = [ns for day in sessions_between(date(2025, 11, 19), date(2025, 12, 5))
                for ns in range(day.open_ns, day.close_ns, STEP)]  # fmt: skip
    assert panel.start_ns.tolist() == expected


def _kill(folder: Path, count: int, seed: int) -> dict[str, int]:
    if not hasattr(os, "fork"):
        pytest.skip("other platform: processes are forked and killed")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, str(root / "tests" / "data" / "kill_download.py"), str(folder), str(count), str(seed)],
        capture_output=True, text=True, timeout=280, check=False, env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    assert found["wrong"] == 0 and found["killed"] == count
    return found


def test_a_killed_download_that_is_started_again_ends_byte_for_byte_the_same(tmp_path: Path) -> None:
    found = _kill(tmp_path, 3, seed=1)
    # fifteen sessions to 2026-01-07 with Christmas and New Year; 12-24 is a half day, of 12-30 TWS has none
    assert found["rows"] == sum((day.close_ns - day.open_ns) // STEP
                                for day in sessions_between(date(2025, 12, 18), date(2026, 1, 7))) - 78  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_two_hundred_killed_downloads_end_byte_for_byte_the_same(tmp_path: Path, seed: int) -> None:
    _kill(tmp_path, 50, seed)
