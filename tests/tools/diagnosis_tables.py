"""The tables of docs/troubleshooting.md, made from the code; run it to write them anew."""

import re
from pathlib import Path

from quant_trading.core import diagnose_table

__all__ = ["PAGE", "tables", "written"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"

_SECTIONS = {
    "This machine": diagnose_table.MACHINE,
    "The desk's files": diagnose_table.DESK,
    "Getting a session": diagnose_table.CONNECTION,
    "What TWS has": diagnose_table.SESSION,
}
_BLOCK = re.compile(r"(?<=<!-- diagnoses -->\n).*?(?=<!-- end -->)", re.DOTALL)


def tables() -> str:
    """Return a table of diagnoses for each section."""
    parts = []
    for title, section in _SECTIONS.items():
        rows = [f"### {title}\n", "| id | about | weight | expected | cure |", "| --- | --- | --- | --- | --- |"]
        rows += [
            f"| `{id}` | {row.check} | {row.severity.value} | {row.expected} | {row.cure} |"
            for id, row in section.items()
        ]
        parts.append("\n".join(rows) + "\n")
    return "\n" + "\n".join(parts)


def written() -> str:
    """Return what the page says."""
    found = _BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None, f"{PAGE}: the marks of the tables are gone"
    return found[0]


if __name__ == "__main__":
    PAGE.write_text(_BLOCK.sub(lambda _: tables(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
