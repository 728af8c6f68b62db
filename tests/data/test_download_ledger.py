"""The ledger of downloads: what it covers, what is known to be lacking, and how it bears a kill."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.data.download_ledger import DownloadLedger, LedgerLine
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.refdata.sessions import at

ASKED = datetime(2026, 11, 20, 15, tzinfo=UTC)
HOUR = 3_600_000_000_000
MONDAY = at(date(2026, 11, 9), "09:30")


def line(first: int, until: int, outcome: str = "received", **more: object) -> LedgerLine:
    """Return a page of whole hours after Monday's open."""
    return LedgerLine(ASKED, MONDAY + first * HOUR, MONDAY + until * HOUR, outcome, **more)  # type: ignore[arg-type]  # of the right kinds


def test_a_line_as_it_stands_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "5m" / "SMR" / "download.jsonl"
    DownloadLedger(path).note(line(0, 2, bars=23, lacking={MONDAY: 11}))
    assert path.read_text() == (
        '{"asked_at": "2026-11-20T15:00:00Z", "from": "2026-11-09T14:30:00Z", "until": "2026-11-09T16:30:00Z", '
        '"outcome": "received", "bars": 23, "lacking": {"2026-11-09T14:30:00Z": 11}}\n'
    )


def test_what_it_covers_is_there_after_reading_it_again(tmp_path: Path) -> None:
    path = tmp_path / "download.jsonl"
    ledger = DownloadLedger(path)
    for page in (line(4, 6), line(0, 2), line(8, 9, "failed", text="no answer"), line(2, 4, "empty")):
        ledger.note(page)
    for known in (ledger, DownloadLedger(path)):
        assert known.covers(MONDAY, MONDAY + 6 * HOUR), "neighbours join"
        assert not known.covers(MONDAY, MONDAY + 6 * HOUR + 1)
        assert not known.covers(MONDAY - 1, MONDAY)
        assert not known.covers(MONDAY + 8 * HOUR, MONDAY + 9 * HOUR), "what failed is still to be asked"
        assert known.span == (MONDAY, MONDAY + 6 * HOUR)
        assert len(known.lines) == 4


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 8), st.booleans()), max_size=30))
def test_it_covers_what_the_pages_together_cover(pages: list[tuple[int, int, bool]]) -> None:
    ledger, hours = DownloadLedger(Path("nowhere")), set()
    for first, length, is_answered in pages:
        ledger._learn(line(first, first + length, "received" if is_answered else "failed"))
        if is_answered:
            hours |= set(range(first, first + length))
    for first in range(70):
        for length in (1, 3):
            expected = set(range(first, first + length)) <= hours
            assert ledger.covers(MONDAY + first * HOUR, MONDAY + (first + length) * HOUR) == expected


def test_what_another_download_notes_is_learnt_and_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "download.jsonl"
    DownloadLedger(path).note(line(0, 1))
    ours, other = DownloadLedger(path), DownloadLedger(path)
    other.note(line(2, 4))
    other.note(line(6, 7, "failed", text="no answer"))
    ours.note(line(10, 12))  # learns on the way what stands before it
    for _ in range(2):
        ours.refresh()
        assert ours.was_brought_by_another(MONDAY + 2 * HOUR, MONDAY + 4 * HOUR)
        for first, until in ((0, 1), (3, 5), (6, 7), (10, 12)):
            assert not ours.was_brought_by_another(MONDAY + first * HOUR, MONDAY + until * HOUR)
        assert [found.from_ns for found in ours.lines] == [MONDAY + hours * HOUR for hours in (0, 2, 6, 10)]
    other.note(line(12, 13))
    ours.refresh()
    assert ours.covers(MONDAY + 10 * HOUR, MONDAY + 13 * HOUR)
    with path.open("ab") as file:
        file.write(b"nonsense\n")
    with pytest.raises(DataGap, match=r"line 6: is no page of a download"):
        ours.refresh()


def test_lacking_cells_are_counted_until_they_come(tmp_path: Path) -> None:
    ledger = DownloadLedger(tmp_path / "download.jsonl")
    assert ledger.known(MONDAY) is None and ledger.times_asked(MONDAY) == 0
    ledger.note(line(0, 6, "empty", lacking={MONDAY: 0}))
    ledger.note(line(0, 6, bars=70, lacking={MONDAY: 70}))
    assert (ledger.known(MONDAY), ledger.times_asked(MONDAY)) == (70, 2)
    ledger.note(line(1, 6, bars=10))  # a page of which this cell is no part
    assert ledger.known(MONDAY) == 70
    ledger.note(line(0, 6, bars=78))
    assert ledger.known(MONDAY) is None


@given(st.data())
def test_a_writer_that_was_killed_in_a_line_costs_that_line_only(data: st.DataObject) -> None:
    whole = [line(0, 2, bars=24), line(2, 4, bars=24), line(4, 6, bars=24)]
    content = b"".join(page.encode() for page in whole)
    size = data.draw(st.integers(0, len(content)))
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "download.jsonl"
        path.write_bytes(content[:size])
        ledger = DownloadLedger(path)
        kept = content[:size].count(b"\n")
        assert ledger.lines == whole[:kept]
        for page in whole[kept:]:
            ledger.note(page)
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    "text",
    ["x", "{}", '{"asked_at": "2026-11-20T15:00:00Z", "from": 3}', '["a"]', line(0, 1, "perhaps").encode().decode()],
)
def test_a_line_that_is_none_is_named_with_the_cure(tmp_path: Path, text: str) -> None:
    path = tmp_path / "download.jsonl"
    path.write_bytes(line(0, 1).encode() + text.strip().encode() + b"\n")
    with pytest.raises(DataGap, match=r"download\.jsonl line 2: is no page .*delete the line"):
        DownloadLedger(path)


def test_two_writers_at_once_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "download.jsonl"
    one, other = DownloadLedger(path), DownloadLedger(path)
    for writer, page in ((one, line(0, 1)), (other, line(1, 2)), (one, line(2, 3)), (other, line(3, 4))):
        writer.note(page)
    assert DownloadLedger(path).covers(MONDAY, MONDAY + 4 * HOUR)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "SMR").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be written"):
        DownloadLedger(tmp_path / "SMR" / "download.jsonl").note(line(0, 1))
