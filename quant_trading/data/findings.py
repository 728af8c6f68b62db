"""What the data checker finds, and what a run does about jumps that nothing explains."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from quant_trading.domain.bars import BarPanel
from quant_trading.refdata.sessions import EXCHANGE_ZONE

__all__ = ["JUMP_KINDS", "Finding", "Kind", "Severity", "grouped", "mask_jumps", "quarantine"]

Severity = Literal["error", "warning", "info"]
Kind = Literal[
    "unreadable", "duplicate", "unsorted", "bad_value", "ohlc", "missing_session", "incomplete_session",
    "outside_hours", "off_grid", "stale", "zero_volume", "low_volume", "split", "spin_off", "jump",
    "already_adjusted", "flat_run", "ends_early", "zone",
]  # fmt: skip

# Of these kinds the price before and the price after are not of the same thing, or may not be.
JUMP_KINDS: frozenset[str] = frozenset({"split", "spin_off", "jump", "already_adjusted"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or may be, with the bars of one symbol.

    Attributes:
        kind: what it is.
        severity: "error" = the numbers are wrong, "warning" = they may be, "info" = good to know.
        symbol: whose bars; empty = all symbols alike.
        first_ns, last_ns: start of the first and last bar (or session) concerned, UTC ns.
        count: how many bars or sessions; for an incomplete session the bars it has.
        expected: how many there should be; 0 where that means nothing.
        message: what was found, and the cure, on one line.
    """

    kind: Kind
    severity: Severity
    symbol: str
    first_ns: int
    last_ns: int
    count: int
    message: str
    expected: int = 0

    @property
    def first(self) -> date:
        """Return the exchange date of the first bar concerned."""
        return _day(self.first_ns)

    @property
    def last(self) -> date:
        """Return the exchange date of the last bar concerned."""
        return _day(self.last_ns)


def _day(ns: int) -> date:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone(EXCHANGE_ZONE).date()


def grouped(findings: Iterable[Finding], most: int = 3) -> list[Finding]:
    """Return the findings for people: errors first, and of one kind and symbol at most `most`, else one for all.

    The one that stands for several spans them, adds up their counts and says how many there are.
    """
    alike: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.kind, finding.symbol), []).append(finding)
    shown: list[Finding] = []
    for group in alike.values():
        if len(group) <= most:
            shown += group
            continue
        first = group[0]
        shown.append(
            replace(
                first,
                first_ns=min(finding.first_ns for finding in group),
                last_ns=max(finding.last_ns for finding in group),
                count=sum(finding.count for finding in group),
                message=f"{len(group)} times; the first: {first.message}",
            )
        )
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted(shown, key=lambda finding: (order[finding.severity], finding.kind not in JUMP_KINDS))


def mask_jumps(panel: BarPanel, findings: Iterable[Finding]) -> set[tuple[str, int]]:
    """Return (symbol, bar) of each jump among `findings` that nothing explains."""
    rows = np.searchsorted
    return {(f.symbol, int(rows(panel.start_ns, f.first_ns))) for f in findings if f.kind in JUMP_KINDS}


def quarantine(panel: BarPanel, findings: Iterable[Finding], bars: int) -> npt.NDArray[np.bool_]:
    """Return bool[T, N]: where a strategy may have no opinion, since its window spans a jump that nothing explains.

    That is the bar of the jump and those after it, until `bars` bars of the symbol lie on the near side of the
    jump. With the `warmup` of the strategy no opinion rests on prices from both sides. The bars before the jump
    stay free: at the time nobody could know, and a position held over it keeps its mark.

    Args:
        panel: the bars that were checked.
        findings: of `check_panel`.
        bars: how far the strategy looks back, itself included: its `warmup`.
    """
    mask = np.zeros(panel.close.shape, dtype=bool)
    column = {symbol: j for j, symbol in enumerate(panel.symbols)}
    for symbol, row in mask_jumps(panel, findings):
        if symbol in column and row < len(panel):
            j = column[symbol]
            there = np.flatnonzero(~np.isnan(panel.close[row:, j]))
            # Bar row + bars - 1 is the first whose window begins at the jump's own bar.
            free = row + int(there[bars - 1]) if len(there) >= bars else len(panel)
            mask[row:free, j] = True
    return mask
