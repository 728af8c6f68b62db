"""History requests in the client's words, answered in TWS's."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.refdata.sessions import at, last_completed_session, session_on
from quant_trading.tws_sim.barsize import BAR_SIZES
from quant_trading.tws_sim.history import (
    HistoryAnswer,
    HistoryError,
    HistoryRequest,
    head_timestamp,
    running_bar,
    serve_history,
)
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.tape import Contract, What
from tests.examples import examples

TAPE = seeded_tape(7)
AAPL = next(c for c in TAPE.contracts() if (c.symbol, c.currency) == ("AAPL", "USD"))
THURSDAY = date(2026, 1, 15)
NOW = at(THURSDAY, "11:07:23")
PRE_OPEN = at(THURSDAY, "08:00")
HMDS = "Historical Market Data Service error message:"


def request(duration: str, size: str, what: str = "TRADES", end: str = "", **more: Any) -> HistoryRequest:
    return HistoryRequest(AAPL, end, duration, size, what, more.pop("use_rth", True), **more)


def answer(asked: HistoryRequest, now: int = NOW) -> HistoryAnswer:
    served = serve_history(TAPE, asked, now)
    assert isinstance(served, HistoryAnswer), served
    return served


def dates(asked: HistoryRequest, now: int = NOW) -> list[str]:
    return [row.date for row in answer(asked, now).rows]


def test_days_counted_in_sessions() -> None:
    # The 10th and 11th are a weekend; the 15th is running.
    assert dates(request("5 D", "1 day")) == ["20260109", "20260112", "20260113", "20260114", "20260115"]
    assert dates(request("2 D", "1 day"), PRE_OPEN) == ["20260113", "20260114"]
    assert dates(request("1 D", "1 day"), at(THURSDAY, "09:30")) == ["20260114"]
    assert dates(request("1 D", "1 day"), at(THURSDAY, "09:30:01")) == ["20260115"]
    assert dates(request("1 D", "1 day"), at(date(2026, 1, 19), "12:00")) == ["20260116"]


def test_weeks_months_and_years_follow_the_calendar() -> None:
    assert dates(request("1 W", "1 day")) == ["20260109", "20260112", "20260113", "20260114", "20260115"]
    year = dates(request("1 Y", "1 day", end="20251231 16:00:00 US/Eastern"))
    # 2025 had 250 sessions: 261 weekdays less ten holidays and the day of mourning for President Carter.
    assert (year[0], year[-1], len(year)) == ("20250102", "20251231", 250)
    month = dates(request("1 M", "1 day"))
    assert (month[0], month[-1]) == ("20251216", "20260115")


@pytest.mark.parametrize("format_date", [1, 2, 3])
def test_day_bars_are_dated_by_the_day_whatever_the_format(format_date: int) -> None:
    assert dates(request("1 D", "1 day", format_date=format_date)) == ["20260115"]


def test_intraday_dates_in_three_formats() -> None:
    first = {style: dates(request("1 D", "5 mins", format_date=style))[0] for style in (1, 2, 3)}
    assert first == {1: "20260115 09:30:00 US/Eastern", 2: "1768487400", 3: "0115 09:30:00 US/Eastern"}


def test_the_span_is_told_back() -> None:
    served = answer(request("2 D", "5 mins"))
    assert served.start_text == "20260114 00:00:00 US/Eastern"
    assert served.end_text == "20260115 11:07:23 US/Eastern"
    # Yesterday's 78 bars and today's from 09:30 to the one running at 11:07.
    assert len(served.rows) == 78 + 20
    assert served.rows[-1].date == "20260115 11:05:00 US/Eastern"


def test_seconds_are_trading_seconds() -> None:
    ten_to_ten = at(THURSDAY, "09:40")
    stamps = dates(request("1200 S", "1 min"), ten_to_ten)
    assert (stamps[0], stamps[9], stamps[10], len(stamps)) == (
        "20260114 15:50:00 US/Eastern",
        "20260114 15:59:00 US/Eastern",
        "20260115 09:30:00 US/Eastern",
        20,
    )


def test_all_hours() -> None:
    stamps = dates(request("1 D", "30 mins", use_rth=False), at(THURSDAY, "23:00"))
    assert (stamps[0], stamps[-1], len(stamps)) == ("20260115 04:00:00 US/Eastern", "20260115 19:30:00 US/Eastern", 32)


def test_an_end_later_than_now_means_now() -> None:
    assert (
        answer(request("1 D", "1 min", end="20260116 16:00:00 US/Eastern")).rows[-1].date.startswith("20260115 11:07")
    )


def test_rows_are_sent_as_tws_sends_them() -> None:
    trades = answer(request("1 D", "1 day")).rows[0]
    assert isinstance(trades.volume, int)
    assert isinstance(trades.count, int)
    assert trades.low <= trades.wap <= trades.high
    quotes = answer(request("1 D", "1 day", "MIDPOINT")).rows[0]
    assert (quotes.volume, quotes.wap, quotes.count) == (-1, -1, -1)
    assert quotes.high == pytest.approx(trades.high, abs=0.02)


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (request("1 D", "7 mins"), 321, "Historical data bar size setting is invalid. Legal ones are: 1 secs, 5 secs"),
        (request("1 X", "1 day"), 321, "Historical data query duration '1 X' is invalid"),
        (request("86401 S", "1 min"), 321, "longer than 86400 seconds must be made in days"),
        (request("366 D", "1 day"), 321, "longer than 365 days must be made in years"),
        (request("53 W", "1 day"), 321, "longer than 52 weeks"),
        (request("13 M", "1 day"), 321, "longer than 12 months"),
        (request("69 Y", "1 day"), 321, "longer than 68 years"),
        (request("2001 S", "1 secs"), 162, HMDS + "Time length exceed max."),
        (request("1 D", "1 secs"), 162, "Time length exceed max."),
        (request("1 W", "5 secs"), 162, "Time length exceed max."),
        (request("1 M", "15 secs"), 162, "Time length exceed max."),
        (request("1 Y", "30 secs"), 162, "Time length exceed max."),
        (request("1 D", "1 min", "LAST"), 321, "Legal ones are: TRADES, MIDPOINT, BID, ASK, BID_ASK, ADJUSTED_LAST"),
        (request("1 D", "1 min", "AGGTRADES"), 10299, "Expected what to show is TRADES"),
        (request("1 D", "1 day", "FEE_RATE"), 162, "No data of type FEE_RATE"),
        (request("1 D", "1 min", format_date=4), 321, "date format 4 is invalid"),
        (request("1 D", "1 min", end="tomorrow"), 10314, "The correct format is yyyymmdd hh:mm:ss xx/xxxx"),
        (
            request("1 D", "1 day", "ADJUSTED_LAST", "20260114-21:00:00"),
            321,
            "End date not supported with adjusted last",
        ),
        (
            request("1 D", "1 day", end="19991231-21:00:00"),
            162,
            HMDS + "HMDS query returned no data: AAPL@SMART Trades",
        ),
        (request("1 D", "1 day", end="19710101-21:00:00"), 162, "HMDS query returned no data"),
        (request("1 D", "1 min", end="20260114-21:00:00", keep_up_to_date=True), 321, "End date not supported"),
        (request("1 D", "1 min", "BID_ASK", keep_up_to_date=True), 321, "not supported with BID_ASK"),
        (request("60 S", "1 secs", keep_up_to_date=True), 321, "bar size of 5 secs or more"),
    ],
)
def test_refusals(asked: HistoryRequest, code: int, words: str) -> None:
    refused = serve_history(TAPE, asked, NOW)
    assert isinstance(refused, HistoryError)
    assert refused.code == code
    assert words in refused.text


@pytest.mark.parametrize(
    ("duration", "size"),
    [("365 D", "1 day"), ("52 W", "1 day"), ("12 M", "5 mins"), ("26 Y", "1 day"), ("1 D", "5 secs"),
     ("2000 S", "1 secs"), ("86400 S", "1 min"), ("60", "5 secs"), ("1 Y", "1W"), ("1 Y", "1M"), ("6 M", "1 hour")],
)  # fmt: skip
def test_allowed_combinations(duration: str, size: str) -> None:
    assert answer(request(duration, size)).rows


@settings(max_examples=examples(60), deadline=None)
@given(
    st.sampled_from(BAR_SIZES),
    st.sampled_from(["1800 S", "1 D", "3 D", "1 W"]),
    st.sampled_from(list(What)),
    st.booleans(),
    st.integers(at(date(2026, 1, 5), "00:00") // 10**9, at(date(2026, 1, 16), "23:00") // 10**9),
)
def test_answers_rise_and_never_pass_now(size: Any, duration: str, what: What, use_rth: bool, now_seconds: int) -> None:
    now = now_seconds * 10**9
    asked = request(duration, size.text, what.value, use_rth=use_rth, format_date=2)
    served = serve_history(TAPE, asked, now)
    if isinstance(served, HistoryError):
        assert served.code == 162
        return
    stamps = [int(row.date) for row in served.rows]
    assert stamps == sorted(set(stamps))
    if size.unit == "second":
        assert stamps[-1] < now_seconds
    else:
        session = session_on(date.fromisoformat(served.rows[-1].date))
        assert session is not None
        assert session.open_ns - (0 if use_rth else 5.5 * 3600 * 10**9) < now


@pytest.mark.parametrize("clock_time", ["10:00:00", "10:02:30", "10:04:59"])
def test_the_running_bar_is_the_last_row(clock_time: str) -> None:
    now = at(THURSDAY, clock_time)
    asked = request("1 D", "5 mins", keep_up_to_date=True)
    assert running_bar(TAPE, asked, now) == answer(asked, now).rows[-1]


def test_a_bar_that_has_ended_stays_as_it_last_ran() -> None:
    asked = request("1 D", "5 mins")
    ended = running_bar(TAPE, asked, at(THURSDAY, "10:05"))
    later = answer(asked).rows
    assert ended in later


def test_head_timestamp() -> None:
    assert head_timestamp(TAPE, AAPL, "TRADES", True, 1) == "20000103-14:30:00"
    assert head_timestamp(TAPE, AAPL, "TRADES", True, 2) == "946909800"
    assert head_timestamp(TAPE, AAPL, "BID", False, 1) == "20000103-09:00:00"
    refused = head_timestamp(TAPE, AAPL, "NONSENSE", True, 1)
    assert isinstance(refused, HistoryError)
    assert refused.code == 321
    unknown = head_timestamp(TAPE, Contract(con_id=1, symbol="NOBODY"), "TRADES", True, 1)
    assert unknown == HistoryError(162, f"{HMDS}No head time stamp")


def test_a_file_of_days_answers_minutes_with_no_data(tmp_path: Path) -> None:
    rows = "X,2026-01-13,1,1,1,1,1\nX,2026-01-14,1,1,1,1,1\n"
    (tmp_path / "d.csv").write_text("symbol,date,open,high,low,close,volume\n" + rows)
    tape = open_source(str(tmp_path))
    (contract,) = tape.contracts()
    refused = serve_history(tape, HistoryRequest(contract, "", "1 D", "5 mins", "TRADES", True), NOW)
    assert refused == HistoryError(162, f"{HMDS}HMDS query returned no data: X@SMART Trades")
    served = serve_history(tape, HistoryRequest(contract, "", "1 D", "1 day", "TRADES", True), PRE_OPEN)
    assert isinstance(served, HistoryAnswer)
    assert [row.date for row in served.rows] == ["20260114"]


def test_the_last_day_before_the_open_is_the_last_completed_session() -> None:
    expected = last_completed_session(PRE_OPEN).day.strftime("%Y%m%d")
    assert dates(request("1 Y", "1 day"), PRE_OPEN)[-1] == expected
