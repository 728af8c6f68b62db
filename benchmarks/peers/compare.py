"""When two runs are equal, and the table that says so: pure, no engine is imported here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers.measure import Entries

__all__ = ["Line", "Run", "entries_digest", "figures_differ", "show_table", "why_unequal"]

_PRICE = 1e-9


@dataclass(frozen=True, slots=True)
class Run:
    """What one process reported.

    Attributes:
        report: the JSON line of measure.run_adapter.
        entries: of the positions. curve: float64, see measure.Outcome.
        cold: wall seconds of a whole process with one call; NaN where it was not measured.
    """

    report: Mapping[str, Any]
    entries: Entries
    curve: Any
    cold: float = math.nan


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table.

    Attributes:
        name, version: of the engine.
        warm, first, cold: seconds; warm is scaled to the whole workload where the run was cut.
        peak_mb: of the cold process.
        equal: "yes" or "not equal: why"; "" for our own line.
        ratio: warm over ours; NaN where the time does not count.
        is_estimate: the run was cut.
        note: skipped and why, or the convention.
    """

    name: str
    version: str = ""
    warm: float = math.nan
    first: float = math.nan
    cold: float = math.nan
    peak_mb: float = math.nan
    equal: str = ""
    ratio: float = math.nan
    is_estimate: bool = False
    note: str = ""


def entries_digest(entries: Entries) -> str:
    """Return eight letters that stand for the bars, symbols, sides and prices (to 1e-6) of all entries."""
    import hashlib

    digest = hashlib.sha256()
    for column in (entries.bar, entries.symbol, entries.side, np.round(entries.price, 6)):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:8]


def why_unequal(peer: Run, ours: Run, compares: str, tolerance: float) -> str:
    """Return an empty text when `peer` came to what we came to, else the first thing that differs.

    Args:
        compares: "trades" = every entry (bar, symbol, side, price) and the final equity, "curve" = every value of
            the curve, "figures" = every figure that both have.
        tolerance: of equity, curve and figures, relative.
    """
    if compares == "figures":
        return figures_differ(peer.report["figures"], ours.report["figures"], tolerance)
    if compares == "curve":
        if peer.curve.shape != ours.curve.shape:
            return f"{len(peer.curve):,} values, ours {len(ours.curve):,}"
        off = np.abs(peer.curve / ours.curve - 1.0)
        worst = int(np.argmax(off)) if len(off) else 0
        if len(off) and not off[worst] <= tolerance:
            return f"value {worst} is {peer.curve[worst]:,.2f}, ours {ours.curve[worst]:,.2f} (off by {off[worst]:.1e})"
        return "" if len(off) else "there is no curve"
    theirs, mine = peer.entries, ours.entries
    if len(theirs) != len(mine):
        return f"{len(theirs):,} trades, ours {len(mine):,}"
    if not len(mine):
        return "there are no trades"
    for name in ("bar", "symbol", "side"):
        wrong = np.flatnonzero(getattr(theirs, name) != getattr(mine, name))
        if len(wrong):
            k = int(wrong[0])
            return f"{name} of entry {k} is {getattr(theirs, name)[k]}, ours {getattr(mine, name)[k]}"
    wrong = np.flatnonzero(~(np.abs(theirs.price / mine.price - 1.0) <= _PRICE))
    if len(wrong):
        k = int(wrong[0])
        return f"price of entry {k} is {theirs.price[k]}, ours {mine.price[k]}"
    final, own = peer.report["equity"], ours.report["equity"]
    if not own > 0.0:
        return f"final equity {final:,.2f}, ours {own:,.2f}: a ruined account proves nothing"
    if not abs(final / own - 1.0) <= tolerance:
        return f"final equity {final:,.2f}, ours {own:,.2f} (off by {abs(final / own - 1.0):.1e})"
    return ""


def figures_differ(theirs: Mapping[str, float], ours: Mapping[str, float], tolerance: float) -> str:
    """Return the first figure of `theirs` that is not ours, relative to the larger of it and 1e-3; "" = none."""
    if not theirs:
        return "there are no figures"
    for name, value in theirs.items():
        if name not in ours:
            return f"{name} is not among ours"
        if not abs(value - ours[name]) <= tolerance * max(abs(ours[name]), 1e-3):
            return f"{name} is {value!r}, ours {ours[name]!r}"
    return ""


def show_table(title: str, lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table; an estimate carries "est.", a time that does not count has no ratio."""
    head = ("engine", "version", "warm", "first call", "cold process", "peak MB", "equal?", "ratio to ours")
    rows = [head, ("---", "---", "--:", "--:", "--:", "--:", "---", "--:")]
    rows += [
        (line.name, line.version, _seconds(line.warm, line.is_estimate), _seconds(line.first), _seconds(line.cold),
         "" if math.isnan(line.peak_mb) else f"{line.peak_mb:,.0f}",
         "; ".join(part for part in (line.equal, line.note) if part), _ratio(line.ratio, line.is_estimate))
        for line in lines
    ]  # fmt: skip
    return "\n".join([f"**{title}**", "", *("| " + " | ".join(row) + " |" for row in rows)])


def _seconds(value: float, is_estimate: bool = False) -> str:
    if math.isnan(value):
        return ""
    unit, size = next(((u, s) for u, s in (("s", 1.0), ("ms", 1e-3)) if value >= s), ("us", 1e-6))
    number = value / size
    shown = f"{number:,.0f}" if number >= 100.0 else f"{number:.3g}"
    return f"{'est. ' if is_estimate else ''}{shown} {unit}"


def _ratio(value: float, is_estimate: bool) -> str:
    if math.isnan(value):
        return ""
    shown = f"{value:,.0f}" if value >= 10.0 else f"{value:.2g}"
    return ("est. " if is_estimate else "") + shown
