"""Sessions of exchanges: the golden answers, half days, clock changes and breaks, and the table kept on disk."""

import csv
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from quant_trading.data import calendars as module
from quant_trading.data.calendars import MICS, Calendars, mic_of
from quant_trading.domain.errors import ConfigError, UsageError
from quant_trading.refdata.sessions import SessionRangeError
from tests.shared_data import golden, needs_shared

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the tables of this module are made once."""
    return tmp_path_factory.mktemp("calendars")


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@needs_shared
def test_new_york_equals_the_golden_sessions_exactly() -> None:
    with golden("xnys_sessions_2010_2026.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = Calendars().sessions("XNYS", date(2010, 1, 1), date(2026, 12, 31))
    assert len(found) == len(rows) == 4275
    for session, row in zip(found, rows, strict=True):
        minutes = (session.close_ns - session.open_ns) // 60_000_000_000
        assert (str(session.day), session.open_ns, session.close_ns, minutes) == (
            row["session"], utc(row["open_utc"][:-1]), utc(row["close_utc"][:-1]), int(row["minutes"]),
        )  # fmt: skip
    assert sum(session.is_half_day for session in found) == 36


# Days as the exchanges published them: (exchange, day, open, close in UTC, early).
DAYS = [
    ("LSE", "2024-12-23", "08:00", "16:30", False),
    ("LSE", "2024-12-24", "08:00", "12:30", True),
    ("LSE", "2024-07-01", "07:00", "15:30", False),  # summer time
    ("IBIS", "2024-12-30", "08:00", "13:00", True),  # Xetra's last trading day ends at 14:00
    ("XETR", "2024-03-28", "08:00", "16:30", False),
    ("XETR", "2024-04-02", "07:00", "15:30", False),  # Europe's clocks changed on 31 March
    ("TSEJ", "2024-01-04", "00:00", "06:00", False),  # first session of the year
    ("TSEJ", "2024-12-30", "00:00", "06:30", False),  # half an hour longer since November 2024
    ("SEHK", "2024-12-24", "01:30", "04:00", True),
    ("SEHK", "2024-12-23", "01:30", "08:00", False),
    ("TSE", "2024-12-24", "14:30", "18:00", True),
    ("NYSE", "2024-11-29", "14:30", "18:00", True),
]
CLOSED = [
    ("LSE", "2024-12-26"), ("LSE", "2023-05-08"), ("IBIS", "2024-12-24"), ("IBIS", "2024-05-01"),
    ("TSEJ", "2024-12-31"), ("TSEJ", "2024-01-03"), ("SEHK", "2024-02-12"), ("SEHK", "2023-07-17"),
    ("NYSE", "2025-01-09"), ("NYSE", "2024-12-28"),
]  # fmt: skip


# The library takes half a second to make each calendar, so the fast suite asks for three of them.
IN_THE_FAST_SUITE = ("NYSE", "LSE", "SEHK")


def by_cost(cases: "list[tuple[str, ...]]") -> "list[Any]":
    """Return the cases, those of the other exchanges marked slow."""
    return [case if case[0] in IN_THE_FAST_SUITE else pytest.param(*case, marks=pytest.mark.slow) for case in cases]


@pytest.mark.slow
@pytest.mark.parametrize(("exchange", "day", "opens", "closes", "early"), by_cost(DAYS))
def test_days_as_the_exchanges_published_them(kept, exchange, day, opens, closes, early):
    session = Calendars(kept).session_on(exchange, date.fromisoformat(day))
    assert session is not None
    assert (session.open_ns, session.close_ns) == (utc(f"{day}T{opens}"), utc(f"{day}T{closes}"))
    assert session.is_half_day is early


@pytest.mark.parametrize(("exchange", "day"), by_cost(CLOSED))
def test_days_on_which_they_were_closed(kept, exchange, day):
    assert Calendars(kept).session_on(exchange, date.fromisoformat(day)) is None


def test_an_exchange_is_closed_over_lunch_where_it_has_lunch(kept):
    calendars = Calendars(kept)
    hours = {
        "03:59": True,
        "04:00": False,
        "04:59": False,
        "05:00": True,
        "07:59": True,
        "08:00": False,
        "01:29": False,
    }
    for clock, is_open in hours.items():
        assert calendars.is_open("SEHK", utc(f"2024-12-23T{clock}")) is is_open, clock
    assert calendars.is_open("LSE", utc("2024-12-23T12:00"))


@pytest.mark.slow
def test_a_session_in_sydney_begins_on_the_day_before_in_utc(kept):
    calendars = Calendars(kept)
    # A session east of Greenwich begins on the UTC date before its own only in Sydney and beyond.
    assert calendars.is_open("ASX", utc("2024-01-01T23:30"))
    assert not calendars.is_open("ASX", utc("2023-12-31T23:30"))


def test_the_table_is_read_back_as_it_was_and_made_once(kept, monkeypatch):
    first = Calendars(kept).sessions("SEHK", date(2023, 1, 1), date(2024, 12, 31))
    monkeypatch.setattr(module, "_from_library", lambda *asked: pytest.fail(f"asked again for {asked}"))
    assert Calendars(kept).sessions("SEHK", date(2023, 1, 1), date(2024, 12, 31)) == first
    # 2023: 260 weekdays less 14 holidays and the typhoon of 17 July. (The library does not know of the storms of
    # 1 and 8 September.) 2024: 262 weekdays less 16 holidays.
    assert len(first) == 245 + 246


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["version", "row", "text"])
def test_a_table_that_is_damaged_or_of_another_version_is_made_again(kept, tmp_path, damage):
    asked = ("SEHK", date(2024, 12, 1), date(2024, 12, 31))
    wanted = Calendars(kept).sessions(*asked)
    text = (kept / "XHKG.csv").read_text()
    broken = {
        "version": text.replace("# ", "# 0", 1),
        "row": text.replace("2024-12-24T04:00:00Z", "2024-12-24T05:00:00Z"),
        "text": "nothing of the kind",
    }[damage]
    assert broken != text
    (tmp_path / "XHKG.csv").write_text(broken)
    assert Calendars(tmp_path).sessions(*asked) == wanted
    assert (tmp_path / "XHKG.csv").read_text() == text


WITHOUT = """
import sys
sys.modules["exchange_calendars"] = None  # as if it were not installed
from datetime import date
from pathlib import Path
from quant_trading.data import calendars as module
from quant_trading.domain.errors import ConfigError
module._version = lambda: "none"
calendars = module.Calendars(Path(sys.argv[1]))
year = date(2024, 1, 1), date(2024, 12, 31)
print(len(calendars.sessions("NASDAQ", *year)), len(calendars.sessions("SEHK", *year)))
try:
    calendars.sessions("EBS", *year)
except ConfigError as error:
    print(error)
assert not {"pandas", "numpy"} & set(sys.modules)
"""


def test_without_the_library_new_york_and_kept_tables_answer(kept):
    Calendars(kept).session_on("SEHK", date(2024, 1, 2))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(kept)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    counts, error = done.stdout.splitlines()
    assert counts == "252 246"
    assert "XSWX" in error
    assert "pip install 'exchange-calendars>=4.13,<5'" in error


def test_names_and_days_that_are_unknown_are_refused(kept):
    with pytest.raises(UsageError, match="LSE"):
        mic_of("LONDON")
    with pytest.raises(UsageError, match="XXXX has no calendar"):
        Calendars(kept).session_on("XXXX", date(2024, 1, 2))
    assert issubclass(ConfigError, Exception)
    assert (mic_of("smart"), mic_of("XLON"), mic_of("IBIS2")) == ("XNYS", "XLON", "XETR")


@pytest.mark.slow
def test_days_before_the_first_one_known_are_refused(kept):
    with pytest.raises(SessionRangeError, match="reaches beyond what is known of XTKS"):
        Calendars(kept).session_on("TSEJ", date(1990, 1, 4))


def test_the_library_has_a_calendar_for_every_name_of_the_table():
    library = pytest.importorskip("exchange_calendars")
    assert set(MICS.values()) <= set(library.get_calendar_names())
