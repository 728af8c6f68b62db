"""Which bars are final: each once, in order, none from a damaged span but by history."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.core.stream_bars import BarBook, BarRow, duration_words, missed_pages
from quant_trading.core.streams import StreamBar
from quant_trading.refdata.sessions import at, session_on

MINUTE = 60 * 10**9
T0 = at(date(2026, 11, 19), "10:00")


def row(minute: int, close: float = 10.0, volume: float = 100.0) -> BarRow:
    return BarRow(T0 + minute * MINUTE, 10.0, 11.0, 9.0, close, volume)


def finals(bars: list[StreamBar]) -> list[tuple[int, float]]:
    return [((bar.start_ns - T0) // MINUTE, bar.close) for bar in bars if bar.is_final]


def now(minute: int, second: int) -> int:
    return T0 + minute * MINUTE + second * 10**9


def begun() -> BarBook:
    book = BarBook(1, MINUTE)
    assert finals(book.history([row(-2), row(-1), row(0, 10.1)], now(0, 20))) == [(-2, 10.0), (-1, 10.0)]
    return book


def test_a_bar_is_final_when_its_successor_follows() -> None:
    book = begun()
    assert finals(book.update(row(0, 10.2), now(0, 30))) == []
    assert finals(book.update(row(0, 10.3), now(1, 0))) == []
    assert finals(book.update(row(1, 10.4), now(1, 1))) == [(0, 10.3)]


def test_running_bars_are_told_but_not_as_final() -> None:
    [bar] = begun().update(row(0, 10.2), now(0, 30))
    assert (bar.is_final, bar.is_backfill, bar.close, bar.end_ns - bar.start_ns) == (False, False, 10.2, MINUTE)


def test_after_damage_only_history_makes_bars_final() -> None:
    book = begun()
    book.damage()
    assert finals(book.update(row(1, 10.4), now(1, 40))) == []
    assert finals(book.update(row(2, 10.5), now(2, 1))) == []
    # History knows that minute 0 ended at 10.9; minute 2 runs.
    assert finals(book.history([row(0, 10.9), row(1, 10.6), row(2, 10.5)], now(2, 5))) == [(0, 10.9), (1, 10.6)]
    assert book.is_sound
    assert finals(book.update(row(3, 10.7), now(3, 1))) == [(2, 10.5)]


def test_a_hole_in_the_updates_is_noticed() -> None:
    book = begun()
    book.update(row(0), now(0, 59))
    assert finals(book.update(row(3), now(3, 5))) == []
    assert not book.is_sound


def test_what_was_told_is_never_told_again() -> None:
    book = begun()
    book.update(row(1), now(1, 1))
    assert finals(book.history([row(-2), row(-1), row(0), row(1)], now(1, 30))) == []
    assert book.update(row(0, 99.0), now(1, 31)) == []
    assert book.late_rows == 1


def test_the_last_row_of_history_may_still_run_whatever_our_clock_says() -> None:
    book = begun()
    assert finals(book.history([row(0), row(1)], now(2, 4))) == [(0, 10.0)]
    assert finals(book.history([row(1)], now(2, 5))) == [(1, 10.0)]


def test_a_row_of_history_whose_successor_runs_is_final() -> None:
    book = begun()
    book.damage()
    book.update(row(1), now(1, 2))
    assert finals(book.history([row(0, 10.9)], now(1, 3))) == [(0, 10.9)]


def test_a_bar_that_nothing_follows_is_overdue() -> None:
    book = begun()
    assert not book.is_overdue(now(1, 7))
    assert book.is_overdue(now(1, 8))
    book.history([row(0)], now(1, 8))
    assert not book.is_overdue(now(5, 0))


def test_complete_bars_are_held_back_until_history_has_closed_the_hole() -> None:
    book = BarBook(1, MINUTE)
    assert finals(book.complete(row(0), now(1, 0))) == [(0, 10.0)]
    book.damage()
    assert book.complete(row(3, 10.3), now(4, 0)) == []
    assert book.complete(row(4, 10.4), now(5, 0)) == []
    told = book.history([row(1, 10.1), row(2, 10.2), row(3, 10.3)], now(5, 1))
    assert finals(told) == [(1, 10.1), (2, 10.2), (3, 10.3), (4, 10.4)]
    assert [bar.is_backfill for bar in told if bar.is_final] == [True, True, True, False]


@given(st.data())
def test_any_interleaving_tells_every_bar_once_with_its_last_state(data: st.DataObject) -> None:
    """Updates three times a minute, outages of any length; history asked whenever the book is not sound."""
    book, told = begun(), []
    truth = {minute: 10 + minute / 100 for minute in range(40)}
    away_until = -1.0
    for step in range(3 * 40):
        minute, third = divmod(step, 3)
        clock = now(minute, 20 * third + 1)
        if data.draw(st.integers(0, 14)) == 0:
            away_until = max(away_until, minute + data.draw(st.floats(0, 6)))
            book.damage()
        if minute + third / 3 <= away_until:
            continue
        # Before its last third a bar has another close than in the end.
        told += book.update(row(minute, truth[minute] if third == 2 else 1.0), clock)
        if not book.is_sound:
            rows = [row(one, truth[one]) for one in range(minute)] + [row(minute, truth[minute] if third == 2 else 1.0)]
            told += book.history(rows, clock)
    assert finals(told) == [(minute, truth[minute]) for minute in range(len(finals(told)))]
    if away_until < 39:
        assert len(finals(told)) == 39


# --- what to ask history for ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(30, "1800 S"), (1800, "1800 S"), (1801, "3600 S"), (20_000, "28800 S"), (28_801, "2 D"), (200_000, "4 D")],
)
def test_durations_cover_what_is_missing(seconds: float, words: str) -> None:
    assert duration_words(seconds, 28_800) == words


def test_minutes_come_in_one_request() -> None:
    [page] = missed_pages(T0, T0 + 40 * MINUTE, 60, regular_hours=True)
    assert page == ("", "3600 S")


def test_small_bars_come_by_the_hour_and_nights_are_left_out() -> None:
    day, following = session_on(date(2026, 11, 19)), session_on(date(2026, 11, 20))
    assert day is not None and following is not None
    pages = missed_pages(day.close_ns - 30 * MINUTE, following.open_ns + 90 * MINUTE, 5, regular_hours=True)
    # 15:30-16:30; the hours that touch 09:30-11:00 are 09:30-10:30 and 10:30-11:00.
    assert [page.duration for page in pages] == ["3600 S"] * 3
    assert [page.end for page in pages] == ["20261119-21:30:00", "20261120-15:30:00", ""]
