"""What was asked of TWS for one series, and what came: one line of JSON for each page, beside the bars themselves.

    {"asked_at": "2026-11-20T15:00:00Z", "from": "2026-11-09T14:30:00Z", "until": "2026-11-13T21:00:00Z",
     "outcome": "received", "bars": 312, "lacking": {"2026-11-11T14:30:00Z": 0}}

A line is written after its bars are in the store, whole or not at all: who is killed before it asks the page again,
which changes nothing. `lacking` names cells (see `core.history_pages`) of which TWS had fewer bars than the calendar
expects, 0 for none: known holes, which are not asked for at every run.
"""

import json
import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quant_trading.data.store_lock import series_lock
from quant_trading.data.store_manifest import stamp
from quant_trading.domain.errors import ConfigError, DataGap

__all__ = ["CERTAIN", "LEDGER_FILE", "DownloadLedger", "LedgerLine"]

LEDGER_FILE = "download.jsonl"
CERTAIN = 2  # a hole that was asked for so often is one
_OUTCOMES = ("received", "empty", "failed", "first")
_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One page.

    Attributes:
        asked_at: aware moment, TWS's time.
        from_ns, until_ns: what is covered, UTC ns of whole seconds.
        outcome: "received", "empty" when TWS has no bar there, "failed", or "first": no page, but from when on TWS has
            bars at all.
        bars: how many came.
        lacking: bars that came, by the start (UTC ns) of each cell that has fewer than the calendar expects.
        text: why it failed, or how it is known to be empty.
    """

    asked_at: datetime
    from_ns: int
    until_ns: int
    outcome: str
    bars: int = 0
    lacking: Mapping[int, int] = field(default_factory=dict)
    text: str = ""

    def encode(self) -> bytes:
        """Return it as one line of JSON."""
        found: dict[str, Any] = {
            "asked_at": f"{self.asked_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", "from": stamp(self.from_ns),
            "until": stamp(self.until_ns), "outcome": self.outcome, "bars": self.bars,
        }  # fmt: skip
        if self.lacking:
            found["lacking"] = {stamp(ns): count for ns, count in sorted(self.lacking.items())}
        if self.text:
            found["text"] = self.text
        return json.dumps(found).encode() + b"\n"


class DownloadLedger:
    """The pages of one series, oldest line first.

    Args:
        path: of the file; it need not be there.

    Raises:
        DataGap: when a line cannot be understood; a last one that was torn by a kill is left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[LedgerLine] = []
        self.first_bar_ns: int | None = None  # from when on TWS has bars, UTC ns, when it has told
        self._covered: list[tuple[int, int]] = []  # apart from each other, rising
        self._by_others: list[tuple[int, int]] = []  # the same, of what other downloads noted since this one began
        self._lacking: dict[int, tuple[int, int]] = {}  # by cell: bars, and how often it was asked
        self._too_old: set[int] = set()  # cells that were known to be empty by TWS's first bar alone
        self._read_to = 0  # bytes
        self._read()

    def refresh(self) -> None:
        """Learn what another download has noted meanwhile; raises DataGap as the constructor."""
        for line in self._read():
            if line.outcome not in ("failed", "first"):
                self._by_others = _joined(self._by_others, line.from_ns, line.until_ns)

    def _read(self) -> list[LedgerLine]:
        """Learn the whole lines after those that are known, and return them."""
        try:
            if self.path.stat().st_size <= self._read_to:
                return []
            with self.path.open("rb") as file:
                file.seek(self._read_to)
                content = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return []
        whole, before = content[: content.rfind(b"\n") + 1], len(self.lines)
        for text in whole.splitlines():
            try:
                self._learn(_line(json.loads(text)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataGap(
                    f"{self.path} line {len(self.lines) + 1}: is no page of a download ({error}); delete the line, its "
                    "bars are then asked for again"
                ) from error
        self._read_to += len(whole)
        return self.lines[before:]

    def note(self, *lines: LedgerLine) -> None:
        """Add lines; they are on the medium when this returns.

        Raises:
            ConfigError: when the file cannot be written.
            DataGap: when another download has written a line that cannot be understood.
        """
        with series_lock(self.path.parent):
            self.refresh()
            try:
                _append(self.path, b"".join(line.encode() for line in lines))
                self._read_to = self.path.stat().st_size
            except OSError as error:
                raise ConfigError(
                    f"{self.path} cannot be written ({error.strerror}); choose another place or free this one"
                ) from error
        for line in lines:
            self._learn(line)

    def covers(self, from_ns: int, until_ns: int) -> bool:
        """Return whether all of [from_ns, until_ns) was answered, with bars or as empty."""
        return _is_within(self._covered, from_ns, until_ns)

    def was_brought_by_another(self, from_ns: int, until_ns: int) -> bool:
        """Return whether another download has had all of [from_ns, until_ns) answered since this one began."""
        return _is_within(self._by_others, from_ns, until_ns)

    def known(self, cell_ns: int) -> int | None:
        """Return how many bars TWS had of a cell that has fewer than the calendar expects, None for all others."""
        found = self._lacking.get(cell_ns)
        return None if found is None else found[0]

    def times_asked(self, cell_ns: int) -> int:
        """Return how often such a cell was asked for."""
        return self._lacking.get(cell_ns, (0, 0))[1]

    @property
    def span(self) -> tuple[int, int] | None:
        """Return the first and the last moment that was answered, None without any."""
        return None if not self._covered else (self._covered[0][0], self._covered[-1][1])

    def _learn(self, line: LedgerLine) -> None:
        self.lines.append(line)
        if line.outcome == "first":
            self.first_bar_ns = line.from_ns
            # TWS has named an earlier one meanwhile: what was left out because of the other is to be asked for.
            for cell_ns in [ns for ns in self._too_old if ns >= line.from_ns - _DAY_NS]:
                self._too_old.discard(cell_ns)
                self._lacking.pop(cell_ns, None)
        if line.outcome in ("failed", "first"):
            return
        for cell_ns in [ns for ns in self._lacking if line.from_ns <= ns < line.until_ns and ns not in line.lacking]:
            del self._lacking[cell_ns]  # it has come meanwhile
        # Of what lies before TWS's first bar there is no doubt that would call for a second look.
        is_too_old = line.outcome == "empty" and bool(line.text)
        times = CERTAIN if is_too_old else 1
        self._too_old = self._too_old | set(line.lacking) if is_too_old else self._too_old - set(line.lacking)
        for cell_ns, count in line.lacking.items():
            self._lacking[cell_ns] = count, self.times_asked(cell_ns) + times
        self._covered = _joined(self._covered, line.from_ns, line.until_ns)


def _joined(spans: Sequence[tuple[int, int]], from_ns: int, until_ns: int) -> list[tuple[int, int]]:
    """Return the spans and one more, those that touch as one, rising."""
    apart = []
    for begin, end in spans:
        if end < from_ns or begin > until_ns:
            apart.append((begin, end))
        else:
            from_ns, until_ns = min(from_ns, begin), max(until_ns, end)
    return sorted([*apart, (from_ns, until_ns)])


def _is_within(spans: Sequence[tuple[int, int]], from_ns: int, until_ns: int) -> bool:
    at = bisect_right(spans, (from_ns, 2**63)) - 1
    return at >= 0 and spans[at][0] <= from_ns and until_ns <= spans[at][1]


def _append(path: Path, lines: bytes) -> None:
    """Add whole lines; the caller holds the lock, so a last line without an end is what a killed writer left."""
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            if file.read() != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


def _line(found: Mapping[str, Any]) -> LedgerLine:
    if found["outcome"] not in _OUTCOMES:
        raise ValueError(f"outcome {found['outcome']!r} is none of {', '.join(_OUTCOMES)}")
    lacking = {_ns(text): int(count) for text, count in found.get("lacking", {}).items()}
    return LedgerLine(
        datetime.fromisoformat(found["asked_at"]), _ns(found["from"]), _ns(found["until"]), found["outcome"],
        int(found["bars"]), lacking, str(found.get("text", "")),
    )  # fmt: skip


def _ns(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * _SECOND_NS
