"""The table of diagnoses: every row is staged by a test, documented, and fit to be shown."""

import re
import string
from pathlib import Path

import pytest

from quant_trading.core.diagnose_table import ACCOUNT_REFUSED, CONNECTION, DESK, DIAGNOSES, MACHINE, NO_SESSION, SESSION
from tests.tools.diagnosis_tables import tables, written

TESTS = Path(__file__).resolve().parents[1]
STAGES = (
    "core/test_diagnose.py",
    "core/test_diagnose_judge.py",
    "tools/test_doctor.py",
    "tools/test_doctor_desk.py",
    "tools/test_doctor_machine.py",
)
# Whose id the tests make of a state's name: f"environment-{environment}".
MADE = {f"environment-{state}" for state in ("missing", "outdated", "unfinished", "broken", "moved")}


def test_every_diagnosis_is_staged() -> None:
    text = "".join((TESTS / name).read_text(encoding="utf-8") for name in STAGES)
    assert [id for id in DIAGNOSES if f'"{id}"' not in text and id not in MADE] == []


def test_every_cure_is_written_out_in_a_test() -> None:
    """A cure whose words change breaks a test; here only that each test names the whole of it."""
    text = "".join((TESTS / name).read_text(encoding="utf-8") for name in STAGES)
    joined = re.sub(r'"\s*\n\s*f?"', "", text)  # strings over several lines
    for constant, value in re.findall(r'^([A-Z_]+) = "(.*)"$', joined, re.MULTILINE):
        joined = joined.replace(f'{constant} + "', f'"{value}')
    for id, row in DIAGNOSES.items():
        words = [piece for piece in re.split(r"\{\w+\}", row.cure) if len(piece) > 3]
        assert all(piece in joined for piece in words), f"{id}: {row.cure}"


def test_more_than_twenty_five() -> None:
    assert len(DIAGNOSES) >= 25
    assert len(DIAGNOSES) == sum(len(section) for section in (MACHINE, DESK, CONNECTION, SESSION))
    assert NO_SESSION.issubset(DIAGNOSES)
    assert ACCOUNT_REFUSED.issubset(DIAGNOSES)


@pytest.mark.parametrize("id", DIAGNOSES)
def test_a_row_is_fit_to_be_shown(id: str) -> None:
    row = DIAGNOSES[id]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", id)
    for text in (row.check, row.expected, row.cure):
        assert text == text.strip() != ""
        assert "\n" not in text
        assert "|" not in text  # a cell of the table in the docs
    assert len(row.cure) <= 150
    assert len(row.check) <= 16  # the width of its column
    for text in (row.expected, row.cure):
        assert all(name != "" for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def test_the_docs_say_the_same() -> None:
    """`python -m tests.tools.diagnosis_tables` writes them anew."""
    assert written() == tables()
