"""What the desk's own files say: each trouble is staged, told by its name, and told with its cure."""

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from quant_trading.core.diagnose_table import Finding, Severity
from quant_trading.core.pacing import HistoryKey
from quant_trading.core.pacing_file import PacingFile
from quant_trading.desk.journal import FileJournal, Kind
from quant_trading.refdata.restart_windows import RestartSchedule
from quant_trading.tools.doctor_desk import (
    check_restart,
    check_settings,
    check_strategy,
    journals,
    local_zone,
    pacing,
)

NOON = datetime(2026, 11, 19, 17, tzinfo=UTC)  # a Thursday, in New York


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


# Settings and strategy.


def settings_of(root: Path, **environ: str) -> Finding:
    return check_settings(root / "paper.yaml", root, environ, {})[0]


def test_settings(tmp_path: Path) -> None:
    (tmp_path / "paper.yaml").write_text("ibkr:\n  port: 7497\n")
    shared = settings_of(tmp_path)
    assert (shared.id, shared.severity) == ("settings-shared", Severity.NOTE)
    assert shared.cure == "for your own ports and account: cp .env.example .env"
    (tmp_path / ".env").write_text("IBKR_PAPER_PORT=4002\n")
    assert settings_of(tmp_path).severity is Severity.OK


@pytest.mark.parametrize(
    ("file", "text", "seen"),
    [
        (".env", "IBKR_PAPER_PORT=74a97\n", ".env: IBKR_PAPER_PORT = 74a97 "),
        (".env", "IBKR_PAPER_PORT\n", ".env: line 1 is not NAME=value"),
        ("paper.yaml", "ibkr:\n  prot: 7497\n", "paper.yaml: "),
        ("paper.yaml", "ibkr: [\n", "paper.yaml: "),
        ("paper.yaml", "risk:\n  max_position_pct: 20\n", "paper.yaml: risk.max_position_pct = 20 "),
    ],
)
def test_settings_that_cannot_be_read(tmp_path: Path, file: str, text: str, seen: str) -> None:
    (tmp_path / "paper.yaml").write_text("")
    (tmp_path / file).write_text(text)
    finding = settings_of(tmp_path)
    assert (finding.id, finding.severity) == ("settings-wrong", Severity.BAD)
    assert finding.seen.startswith(seen)
    assert finding.cure == "correct the line that is named"


def test_the_environments_value_is_named(tmp_path: Path) -> None:
    (tmp_path / "paper.yaml").write_text("")
    assert settings_of(tmp_path, IBKR_PAPER_PORT="0").seen.startswith("environment: IBKR_PAPER_PORT = 0 ")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("ACTIVE_STRATEGY=NOSUCH\n", "NOSUCH"),
        ("ACTIVE_STRATEGY=MACD\nMACD_FAST=-3\n", "MACD_FAST"),
        ("ACTIVE_STRATEGY=MACD\nMACD_SPEED=3\n", "MACD_SPEED"),
        ("MACD\n", "strategy.env: line 1 is not NAME=value"),
    ],
)
def test_a_strategy_that_cannot_be_built(tmp_path: Path, text: str, seen: str) -> None:
    (tmp_path / "strategy.env").write_text(text)
    finding = check_strategy(tmp_path, {})
    assert (finding.id, finding.cure) == ("strategy-wrong", "correct the line that is named")
    assert seen in finding.seen


def test_the_strategy_of_the_environment_goes_first(tmp_path: Path) -> None:
    (tmp_path / "strategy.env").write_text("ACTIVE_STRATEGY=NOSUCH\n")
    assert check_strategy(tmp_path, {"ACTIVE_STRATEGY": "REVERSAL"}).seen == "REVERSAL"


def test_a_strategy_file_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "mine.py").write_text("import no_such_module_at_all\n")
    finding = check_strategy(tmp_path, {})
    assert finding.id == "strategy-wrong"
    assert "strategies/mine.py: line 1" in finding.seen


# Journals.


def journal_in(state: Path) -> FileJournal:
    folder = state / "DU1234567" / "journal"
    journal = FileJournal.open(folder, "DU1234567", date(2026, 11, 19), "run-1", Clock())
    journal.append(Kind.RUN_START, {"mode": "paper"})
    journal.append(Kind.RUN_END, {"result": "done"})
    return journal


def test_a_sound_journal_is_counted(tmp_path: Path) -> None:
    assert list(journals(tmp_path)) == []
    journal_in(tmp_path).close()
    [finding] = journals(tmp_path)
    # The head of the file, and the two records above.
    assert (finding.severity, finding.seen) == (
        Severity.OK,
        "DU1234567: 3 records, each linked to the one before",
    )


def test_a_journal_that_was_changed_by_hand(tmp_path: Path) -> None:
    journal_in(tmp_path).close()
    [segment] = (tmp_path / "DU1234567" / "journal").glob("*.journal")
    segment.write_bytes(segment.read_bytes().replace(b"paper", b"pager"))
    before = segment.read_bytes()
    [finding] = journals(tmp_path)
    assert (finding.id, finding.severity) == ("journal-broken", Severity.BAD)
    assert finding.seen.startswith("DU1234567: ")
    assert finding.cure == (
        "set the folder aside, compare orders and positions with TWS by hand, and begin a new journal"
    )
    assert segment.read_bytes() == before


def test_a_journal_that_a_run_holds_and_keeps(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="other platform: Windows has no shared locks")
    journal = journal_in(tmp_path)
    [finding] = journals(tmp_path)
    assert (finding.id, finding.severity) == ("journal-in-use", Severity.NOTE)
    assert finding.cure == "wait for that run to end; when none is meant to be there, look for it: ps aux"
    journal.append(Kind.NOTE, {"text": "still mine"})
    journal.close()
    assert [one.severity for one in journals(tmp_path)] == [Severity.OK]
    journal_in(tmp_path).close()  # the lock was given back


# Pacing.


def test_the_record_of_requests(tmp_path: Path) -> None:
    clock = Clock()
    file = PacingFile(tmp_path / "tws.json", clock)
    assert list(pacing(tmp_path, clock)) == []
    for number in range(60):
        clock.seconds += 0.6
        assert file.claim(HistoryKey(number, "SMART", "TRADES", 5.0, number)) == 0
    [finding] = pacing(tmp_path, clock)
    assert (finding.id, finding.severity) == ("pacing-full", Severity.NOTE)
    assert finding.cure == "wait ten minutes, or let the downloader wait: it keeps to the rules"
    clock.seconds += 604  # the window is 603 s
    assert [one.severity for one in pacing(tmp_path, clock)] == [Severity.OK]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"requests": [[1, 2]]}', '{"requests": 3}', json.dumps({"x": 1})])
def test_a_record_of_requests_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "tws.json").write_text(text)
    [finding] = pacing(tmp_path, Clock())
    assert (finding.id, finding.severity) == ("pacing-broken", Severity.WARN)
    assert finding.cure == (
        "wait ten minutes: IBKR has forgotten those requests then, and the next download writes the file anew"
    )


# TWS's restart.


def restarts(at: time | None, zone: str = "America/New_York") -> RestartSchedule:
    return RestartSchedule(restart=at, zone=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("zone", "restart", "there", "hours"),
    [
        ("America/New_York", time(23, 45), "", ""),
        ("Europe/Zurich", time(23, 45), "", ""),  # 17:45 in New York
        # On 2026-11-19 Singapore is 13 hours ahead of New York, so its 23:45 is 10:45 there.
        ("Asia/Singapore", time(23, 45), "10:45", "22:30 to 05:00 (Asia/Singapore)"),
        ("Asia/Tokyo", time(23, 45), "09:45", "23:30 to 06:00 (Asia/Tokyo)"),
        ("Australia/Sydney", time(23, 45), "", ""),  # 07:45
        ("America/New_York", time(9, 28), "09:28", "09:30 to 16:00 (America/New_York)"),  # it is not back by the open
        ("America/New_York", time(9, 27), "", ""),
        ("America/New_York", time(15, 59), "15:59", "09:30 to 16:00 (America/New_York)"),
        ("America/New_York", time(16, 0), "", ""),
        ("America/New_York", None, "", ""),
    ],
)
def test_a_restart_within_the_session(zone: str, restart: time | None, there: str, hours: str) -> None:
    finding = check_restart(restarts(restart, zone), None, NOON)
    assert finding.id == ("restart-in-session" if there else "")
    if there:
        assert f"TWS's restart at {restart:%H:%M} ({zone}) is {there} in New York" in finding.seen
        assert finding.cure == (
            f"set Auto restart under Global Configuration > Lock and Exit to a time outside {hours}"
        )


def test_the_settings_as_they_come_are_tried_on_the_machines_clock() -> None:
    finding = check_restart(restarts(time(23, 45)), ZoneInfo("Asia/Singapore"), NOON)
    assert finding.id == "restart-in-session"
    assert "TWS's usual restart at 23:45 (Asia/Singapore) is 10:45 in New York" in finding.seen
    finding = check_restart(restarts(time(23, 45)), ZoneInfo("Etc/UTC"), NOON)
    assert (finding.id, finding.severity) == ("restart-unsure", Severity.NOTE)
    assert finding.cure == (
        "set restart.time and restart.zone in configs/paper.yaml to what Global Configuration > Lock and Exit shows"
    )
    assert check_restart(restarts(time(23, 45)), ZoneInfo("America/Toronto"), NOON).id == ""  # the same clock
    assert check_restart(restarts(time(23, 46)), ZoneInfo("Asia/Singapore"), NOON).id == ""  # somebody chose that


@pytest.mark.parametrize("year", [1970, 2035])
def test_a_clock_of_another_age_is_told(year: int) -> None:
    finding = check_restart(restarts(time(23, 45)), None, datetime(year, 1, 2, tzinfo=UTC))
    assert (finding.id, finding.severity) == ("clock-beyond", Severity.BAD)
    assert finding.seen == f"this machine's clock says {year}-01-02"
    assert finding.cure == (
        "set this machine's clock: timedatectl set-ntp true; if it is right, this version is too old: take a newer one"
    )


def test_a_half_day_ends_earlier() -> None:
    # The day after Thanksgiving closes at 13:00; 14:00 is within other sessions.
    eve = datetime(2026, 11, 27, 3, tzinfo=UTC)
    assert check_restart(restarts(time(14, 0)), None, eve).id == ""
    assert check_restart(restarts(time(12, 0)), None, eve).id == "restart-in-session"


def test_the_zone_is_that_of_the_environment_or_of_the_system(tmp_path: Path) -> None:
    assert local_zone({"TZ": ":Asia/Tokyo"}) == ZoneInfo("Asia/Tokyo")
    assert local_zone({"TZ": "Nowhere/City"}) is None
    (tmp_path / "zoneinfo" / "Europe").mkdir(parents=True)
    (tmp_path / "zoneinfo" / "Europe" / "Zurich").touch()
    link = tmp_path / "localtime"
    link.symlink_to(tmp_path / "zoneinfo" / "Europe" / "Zurich")
    assert local_zone({}, link) == ZoneInfo("Europe/Zurich")
    assert local_zone({}, tmp_path / "gone") is None
