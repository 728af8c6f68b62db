"""The journal: durable before it returns, cut at a torn end, refused when damaged, one writer."""

import re
import subprocess
import sys
import zlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.desk.journal import FileJournal, Kind, RealDisk, Record, read_journal
from quant_trading.domain.errors import JournalError
from quant_trading.domain.orders import Side
from tests.desk.sim_disk import PowerCut, SimDisk
from tests.examples import examples

FOLDER = Path("/state/DU1234567/journal")
DAY = date(2026, 11, 20)
NEXT_DAY = date(2026, 11, 23)


class StepClock:
    """Rises by one microsecond whenever it is asked."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 20, 21, 0, tzinfo=UTC)

    def now(self) -> datetime:
        self.moment += timedelta(microseconds=1)
        return self.moment

    def monotonic(self) -> float:
        return 0.0


def open_journal(disk: object, day: date = DAY, run: str = "run-1", account: str = "DU1234567") -> FileJournal:
    return FileJournal.open(FOLDER, account, day, run, StepClock(), disk)  # type: ignore[arg-type]


def journal_with(count: int, day: date = DAY) -> SimDisk:
    disk = SimDisk()
    with open_journal(disk, day) as journal:
        for number in range(count):
            journal.append("SUBMIT", {"order_ref": f"R-{number}", "quantity": Decimal("10.50")})
    return disk


def only_segment(disk: SimDisk) -> Path:
    (path,) = [p for p in disk.files if p.suffix == ".journal"]
    return path


def numbers(records: list[Record]) -> list[str]:
    return [r.payload["order_ref"] for r in records if r.kind is Kind.SUBMIT]


def test_a_line_is_crc_number_link_and_json() -> None:
    """Each field is recomputed here from the documented form, not with the module's own functions."""
    disk = journal_with(1)
    path = only_segment(disk)
    assert path.name == "000001-2026-11-20.journal"
    first, second, rest = disk.files[path].split(b"\n")
    assert rest == b""
    body = (
        b'{"t":"SEGMENT","ts_ns":1795208400000001000,"sess":"2026-11-20","run_id":"run-1",'
        b'"payload":{"format":1,"account":"DU1234567","segment":1,"previous_hash":"' + b"0" * 64 + b'"}}'
    )
    assert first == b"%08x 1 00000000 %b" % (zlib.crc32(b"1 00000000 " + body), body)
    link = sha256(first).hexdigest()[:8].encode()
    body = (
        b'{"t":"SUBMIT","ts_ns":1795208400000002000,"sess":"2026-11-20","run_id":"run-1",'
        b'"payload":{"order_ref":"R-0","quantity":"10.50"}}'
    )
    assert second == b"%08x 2 %b %b" % (zlib.crc32(b"2 " + link + b" " + body), link, body)


def test_records_come_back_as_they_were_written() -> None:
    disk = SimDisk()
    payload = {
        "price": Decimal("0.10"), "side": Side.BUY, "none": None, "flag": True, "signal": -0.02, "lost": float("nan"),
        "day": DAY, "list": ("a\nb", 3), "deep": {"é": {"x": [1, 2]}},
    }  # fmt: skip
    with open_journal(disk) as journal:
        assert journal.append("PLAN", payload) == 2
    with open_journal(disk, run="run-2") as journal:
        assert journal.append("NOTE", {}) == 3
        header, plan, note = journal.records()
    assert (header.kind, plan.kind, note.kind) == (Kind.SEGMENT, Kind.PLAN, Kind.NOTE)
    assert (plan.seq, plan.session, plan.run_id, note.run_id) == (2, DAY, "run-1", "run-2")
    assert plan.payload == {
        "price": "0.10", "side": "BUY", "none": None, "flag": True, "signal": -0.02, "lost": "nan",
        "day": "2026-11-20", "list": ["a\nb", 3], "deep": {"é": {"x": [1, 2]}},
    }  # fmt: skip


def test_what_cannot_be_written_down_is_refused_and_names_its_place() -> None:
    with open_journal(SimDisk()) as journal:
        with pytest.raises(JournalError, match=r"^PLAN\.orders\[1\]: a set cannot be journalled"):
            journal.append("PLAN", {"orders": [1, {2}]})
        with pytest.raises(ValueError, match="SHOUT"):
            journal.append("SHOUT", {})
        assert journal.append("NOTE", {}) == 2  # neither left a trace


def test_sessions_follow_each_other_in_one_chain_and_each_run_sees_its_own() -> None:
    disk = journal_with(2)
    with open_journal(disk, NEXT_DAY) as journal:
        journal.append("SUBMIT", {"order_ref": "later"})
        assert numbers(list(journal.records())) == ["later"]
    names = [p.name for p in sorted(disk.files) if p.suffix == ".journal"]
    assert names == ["000001-2026-11-20.journal", "000002-2026-11-23.journal"]
    everything = list(read_journal(FOLDER, disk))
    assert [r.seq for r in everything] == [1, 2, 3, 4, 5]
    assert numbers(everything) == ["R-0", "R-1", "later"]
    # A simulated market may go back to an earlier session: its earlier records are found again.
    with open_journal(disk, DAY) as journal:
        assert numbers(list(journal.records())) == ["R-0", "R-1"]


def test_a_missing_or_older_file_breaks_the_chain() -> None:
    disk = journal_with(2)
    with open_journal(disk, NEXT_DAY):
        pass
    first = FOLDER / "000001-2026-11-20.journal"
    whole = disk.files.pop(first)
    with pytest.raises(JournalError, match=r"line 1 \(record 4\) does not follow record 0: .* missing or was changed"):
        open_journal(disk)
    disk.files[first] = whole[: whole.rindex(b"\n", 0, -1) + 1]  # without its last record
    with pytest.raises(JournalError, match=r"line 1 \(record 4\) does not follow record 2"):
        open_journal(disk)


def test_a_record_taken_out_of_the_middle_is_seen() -> None:
    disk = journal_with(3)
    path = only_segment(disk)
    lines = disk.files[path].splitlines(keepends=True)
    disk.files[path] = b"".join(lines[:2] + lines[3:])
    with pytest.raises(JournalError, match=r"000001-2026-11-20\.journal: line 3 \(record 4\) does not follow record 2"):
        open_journal(disk)


def test_another_account_or_format_is_refused() -> None:
    disk = journal_with(1)
    with pytest.raises(JournalError, match="belongs to account DU1234567, this run uses DU7654321"):
        open_journal(disk, account="DU7654321")
    path = only_segment(disk)
    rest = disk.files[path].split(b"\n")[0][9:].replace(b'"format":1', b'"format":9')
    disk.files[path] = b"%08x %b\n" % (zlib.crc32(rest), rest)
    with pytest.raises(JournalError, match=r"format 9 is not 1; use the version of the desk that wrote it"):
        open_journal(disk)


WHOLE = journal_with(3)
BYTES = WHOLE.files[only_segment(WHOLE)]
ENDS = [m.end() for m in re.finditer(rb"\n", BYTES)]


def disk_with(data: bytes) -> SimDisk:
    disk = SimDisk()
    disk.files[only_segment(WHOLE)] = disk.durable[only_segment(WHOLE)] = data
    return disk


@pytest.mark.slow
def test_every_truncation_loads_the_longest_valid_prefix_and_goes_on() -> None:
    for size in range(len(BYTES) + 1):
        disk = disk_with(BYTES[:size])
        whole = sum(end <= size for end in ENDS)
        kept = ENDS[whole - 1] if whole else 0
        with open_journal(disk, run="run-2") as journal:
            journal.append("SUBMIT", {"order_ref": "next"})
            found = list(journal.records())
        assert numbers(found) == [f"R-{n}" for n in range(max(whole - 1, 0))] + ["next"], size
        assert [r.seq for r in found] == list(range(1, len(found) + 1))
        assert disk.files[only_segment(WHOLE)].startswith(BYTES[:kept])
        torn = BYTES[kept:size]
        assert disk.files.get(only_segment(WHOLE).with_suffix(".torn"), b"") == torn
        notes = [r.payload["text"] for r in found if r.kind is Kind.NOTE]
        assert len(notes) == (1 if torn else 0)
        assert list(read_journal(FOLDER, disk)) == found


@given(st.integers(0, ENDS[-2] - 1), st.integers(1, 255))
@settings(max_examples=examples(300), deadline=None)
def test_any_changed_byte_before_the_last_record_is_seen(position: int, flip: int) -> None:
    damaged = bytearray(BYTES)
    damaged[position] ^= flip
    disk = disk_with(bytes(damaged))
    with pytest.raises(JournalError, match=r"000001-2026-11-20\.journal: line [1-4]"):
        open_journal(disk)
    assert disk.files == {only_segment(WHOLE): bytes(damaged)}  # evidence is left as it was
    assert not disk.locked


@given(st.integers(ENDS[-2], len(BYTES) - 1), st.integers(1, 255))
@settings(deadline=None)
def test_a_changed_byte_in_the_last_record_cuts_that_record_only(position: int, flip: int) -> None:
    damaged = bytearray(BYTES)
    damaged[position] ^= flip
    with open_journal(disk_with(bytes(damaged))) as journal:
        assert numbers(list(journal.records())) == ["R-0", "R-1"]


@given(st.integers(0, 60), st.integers(0, 400))
@settings(max_examples=examples(300), deadline=None)
def test_a_power_cut_at_any_step_loses_no_record_whose_append_returned(cut_at: int, kept_bytes: int) -> None:
    disk = SimDisk(cut_at=cut_at)
    returned: list[str] = []
    try:
        for day in (DAY, NEXT_DAY):
            with open_journal(disk, day) as journal:
                for number in range(4):
                    name = f"{day}-{number}"
                    journal.append("SUBMIT", {"order_ref": name})
                    returned.append(name)
    except PowerCut:
        pass
    restarted = disk.after_power_cut(kept_bytes)
    with open_journal(restarted, NEXT_DAY, run="after") as journal:
        journal.append("SUBMIT", {"order_ref": "after"})
    found = numbers(list(read_journal(FOLDER, restarted)))
    assert found[: len(returned)] == returned
    assert found[len(returned) :] in (["after"], [f"{DAY}-{len(returned)}", "after"],
                                      [f"{NEXT_DAY}-{len(returned) - 4}", "after"])  # fmt: skip


@given(st.integers(0, 40))
@settings(deadline=None)
def test_a_disk_error_is_final_and_the_next_start_finds_every_durable_record(fail_at: int) -> None:
    disk = SimDisk(fail_at=fail_at)
    returned: list[str] = []
    try:
        with open_journal(disk) as journal:
            for number in range(6):
                journal.append("SUBMIT", {"order_ref": str(number)})
                returned.append(str(number))
    except JournalError as error:
        assert "No space left on device" in str(error)
        assert disk.steps == fail_at + 1, "nothing may be tried after the error"
    disk.fail_at = None
    with open_journal(disk, run="after") as journal:
        assert numbers(list(journal.records()))[: len(returned)] == returned


def test_after_an_error_every_append_fails() -> None:
    disk = SimDisk()
    journal = open_journal(disk)
    disk.fail_at = disk.steps + 1
    with pytest.raises(JournalError, match=r"record 2 \(SUBMIT\) could not be made durable: .*No space left"):
        journal.append("SUBMIT", {})
    disk.fail_at = None
    with pytest.raises(JournalError, match="takes no more records: record 2"):
        journal.append("SUBMIT", {})
    journal.close()
    with pytest.raises(JournalError, match="takes no more records"):
        journal.append("NOTE", {})


def test_ctrl_c_in_the_middle_of_a_record_ends_the_journal_and_the_next_start_heals_it() -> None:
    disk = SimDisk()
    journal = open_journal(disk)

    def interrupt() -> None:
        raise KeyboardInterrupt

    disk._step = interrupt  # the first step of an append comes in the middle of its line
    with pytest.raises(KeyboardInterrupt):
        journal.append("SUBMIT", {"order_ref": "lost"})
    del disk._step
    with pytest.raises(JournalError, match="takes no more records"):
        journal.append("RUN_END", {})
    journal.close()
    with open_journal(disk) as again:
        assert numbers(list(again.records())) == []


def test_a_second_writer_is_told_that_another_run_is_active() -> None:
    disk = SimDisk()
    with open_journal(disk), pytest.raises(JournalError, match="another run is active on this account"):
        open_journal(disk, NEXT_DAY)
    open_journal(disk).close()


def test_on_the_real_disk(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "DU1234567" / "journal"
    clock = StepClock()
    with FileJournal.open(folder, "DU1234567", DAY, "run-1", clock, RealDisk()) as journal:
        journal.append("SUBMIT", {"order_ref": "one"})
        code = (
            "import sys, pathlib, datetime\n"
            "from quant_trading.desk.journal import FileJournal, RealDisk\n"
            "day = datetime.date(2026, 11, 20)\n"
            "FileJournal.open(pathlib.Path(sys.argv[1]), 'DU1234567', day, 'r', None, RealDisk())"
        )
        command = [sys.executable, "-c", code, str(folder)]
        other = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
        assert "JournalError" in other.stderr
        assert "another run is active on this account" in other.stderr
        with pytest.raises(JournalError, match="another run is active"):
            FileJournal.open(folder, "DU1234567", DAY, "run-2", clock, RealDisk())
    segment = folder / "000001-2026-11-20.journal"
    with segment.open("ab") as file:
        file.write(b"0badc0de 3 half")
    with FileJournal.open(folder, "DU1234567", DAY, "run-3", clock) as journal:
        assert numbers(list(journal.records())) == ["one"]
    assert (folder / "000001-2026-11-20.torn").read_bytes() == b"0badc0de 3 half"
    assert numbers(list(read_journal(folder))) == ["one"]
    if sys.platform != "win32":
        assert segment.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(JournalError, match=r"the journal cannot be opened: .*nothing was sent"):
        FileJournal.open(tmp_path / "state" / "journal", "DU1234567", DAY, "r", StepClock(), RealDisk())
