"""The data checker: what is wrong with bars, or may be, before anybody trusts a result made of them.

It repairs nothing. Each finding names the symbol, the time, how many, and the cure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from quant_trading.data.bar_files import open_bar_file, why_no_bars
from quant_trading.data.findings import Finding, Kind, Severity, mask_jumps, quarantine
from quant_trading.data.price_checks import JUMP, PriceMarks, mark_prices, runs, split_ratio
from quant_trading.data.session_checks import (
    Calendar,
    calendar_of,
    low_volume,
    off_grid,
    on_clock,
    per_session,
    shifted_sessions,
)
from quant_trading.data.store_places import is_quote_file
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bar_sizes import BarSize, parse_bar_size
from quant_trading.domain.bars import BarColumns, BarPanel, FloatArray, IntArray, panel_from_columns
from quant_trading.domain.errors import DataGap
from quant_trading.refdata.sessions import exchange_date, exchange_days

__all__ = ["Finding", "check_file", "check_panel", "mask_jumps", "quarantine"]

_EPOCH = date(1970, 1, 1)
# A distribution of more than this share of the price is no ordinary dividend: a company was spun off.
_SPIN_OFF = 0.10
_FLAT_DAYS = 5
_FULL_NS = 6.5 * 3_600_000_000_000
_ENDED_SESSIONS = 5


def check_panel(panel: BarPanel, actions: Sequence[CorporateAction] = (), *, has_volume: bool = True) -> list[Finding]:
    """Return what is wrong with the bars, or may be, by time within each kind.

    Args:
        panel: bars as they were read.
        actions: known splits and dividends of bars that are not adjusted for them: the jumps they explain are not
            reported, a spin-off is named as such, and a split that the prices do not show is.
        has_volume: False for quotes and midpoints, which have none: it is not looked at.

    Raises:
        SessionRangeError: when bars lie outside the table of sessions.
        UsageError: when the panel's bar size is none.
    """
    if not len(panel) or not panel.symbols:
        return []
    size = parse_bar_size(panel.bar_size)
    if not has_volume:
        panel = replace(panel, volume=np.ones_like(panel.volume))
    calendar = calendar_of(panel, size)
    marks = mark_prices(panel)
    found = [*_values(panel, marks), *_jumps(panel, marks, actions)]
    found += _repeats(panel, marks, size)
    found += _attendance(panel, calendar, size)
    found += _places(panel, calendar, size)
    if has_volume:
        found += _volumes(panel, calendar, size)
    return found


def check_file(path: Path, bar_size: str, actions: Sequence[CorporateAction] = ()) -> list[Finding]:
    """Return what is wrong with a file of one symbol or of several, files that `load_panel` refuses included.

    Rows that are duplicates, out of order or impossible are named and left out of the other checks. A file whose name
    says that it holds quotes or midpoints (`SMR_5m_bid_bars_macd.csv`) needs no volume.

    Raises:
        DataGap: when no bars can be read from it at all.
        UsageError: when the bar size is none.
    """
    size = parse_bar_size(bar_size)
    file = open_bar_file(path)
    if file is None:
        raise why_no_bars(path)
    found: list[Finding] = []
    symbols: list[str] = []
    columns: list[BarColumns] = []
    for symbol, start, end, numbers in file.loose_columns(size):
        name = symbol or path.stem.split("_")[0]
        found += _order(name, start)
        _, keep = np.unique(start, return_index=True)
        symbols.append(name)
        columns.append(BarColumns(start[keep], end[keep], *(column[keep] for column in numbers)))
    if not columns:
        raise DataGap(f"{path}: there are no bars; fetch them again")
    panel = panel_from_columns(symbols, size.words, columns)
    return found + check_panel(panel, actions, has_volume=not is_quote_file(path))


def _order(symbol: str, start: IntArray) -> Iterable[Finding]:
    ordered = np.sort(start)
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        yield Finding(
            "duplicate", "error", symbol, int(ordered[twice[0]]), int(ordered[twice[-1]]), len(twice),
            f"{len(twice)} rows repeat the stamp of another; keep one of each",
        )  # fmt: skip
    back = np.flatnonzero(start[1:] < start[:-1]) + 1
    if len(back):
        yield Finding(
            "unsorted", "error", symbol, int(start[back].min()), int(start[back].max()), len(back),
            f"{len(back)} rows stand below later ones; sort the file by time",
        )  # fmt: skip


def _values(panel: BarPanel, marks: PriceMarks) -> Iterable[Finding]:
    kinds: tuple[tuple[Kind, Severity, IntArray, str], ...] = (
        ("bad_value", "error", marks.bad, "bars have a value that is missing, infinite or not above 0; fetch them "
                                            "again"),
        ("ohlc", "error", marks.ohlc, "bars have a high or low that does not span open and close; fetch them again"),
        ("zero_volume", "info", marks.zero, "bars have no volume: nothing could be traded at their prices; use a "
                                            "volume limit, or leave the symbol out"),
    )  # fmt: skip
    for kind, severity, places, words in kinds:
        for symbol, rows in _by_symbol(panel, places):
            yield _finding(panel, kind, severity, symbol, rows, f"{len(rows)} {words}")


def _by_symbol(panel: BarPanel, places: IntArray) -> Iterable[tuple[str, IntArray]]:
    """Yield each symbol among `places` (rows and columns) with its rows, rising."""
    for j in sorted(set(places[:, 1].tolist())):
        yield panel.symbols[j], np.sort(places[places[:, 1] == j, 0])


def _finding(panel: BarPanel, kind: Kind, severity: Severity, symbol: str, rows: IntArray, message: str) -> Finding:
    first, last = int(panel.start_ns[rows[0]]), int(panel.start_ns[rows[-1]])
    return Finding(kind, severity, symbol, first, last, len(rows), message)


def _jumps(panel: BarPanel, marks: PriceMarks, actions: Sequence[CorporateAction]) -> Iterable[Finding]:
    splits, dividends = _actions_by_row(panel, actions)
    order = np.lexsort((marks.jumps[:, 0], marks.jumps[:, 1]))
    for k in order.tolist():
        row, j = marks.jumps[k].tolist()
        ratio = float(marks.ratio[k])
        share = splits.pop((row, j), 1.0)
        left = ratio * share
        if abs(left - 1.0) <= JUMP:
            continue
        before = float(panel.close[marks.before[k], j])
        yield _jump(panel, row, j, left, before, dividends.get((row, j), 0.0) * share, bool(actions))
    for (row, j), share in splits.items():  # the prices do not move as the split says: they know of it already
        if row and abs(share * _move(panel, row, j) - 1.0) > JUMP:
            yield _finding(
                panel, "already_adjusted", "error", panel.symbols[j], np.array([row]),
                f"a split of {share:g} for 1 is on file but the price did not move; these bars are adjusted already: "
                "leave the splits out",
            )  # fmt: skip


def _jump(panel: BarPanel, row: int, j: int, ratio: float, before: float, dividend: float, is_told: bool) -> Finding:
    close = float(panel.close[row, j])
    moved = f"close went from {before:g} to {close:g} ({ratio - 1.0:+.1%})"
    split = None if is_told else split_ratio(ratio)
    kind: Kind
    if dividend > _SPIN_OFF * before:
        kind, words = "spin_off", (
            f"{moved} on the ex-date of a distribution of {dividend:g} a share: a spin-off, no loss; pass the "
            "actions to the run or trade nothing across it"
        )  # fmt: skip
    elif split is not None:
        named = f"{split:g} for 1" if split > 1.0 else f"1 for {1.0 / split:g}"
        kind, words = "split", (
            f"{moved}, like an unadjusted split of {named}; adjust the bars or pass the split as a corporate action"
        )  # fmt: skip
    else:
        why = "news, or an action that is not on file" if is_told else "news, a spin-off or a split that nobody booked"
        kind, words = "jump", (
            f"{moved}: {why}; look it up, and pass it as a corporate action or trade nothing across it"
        )  # fmt: skip
    return _finding(panel, kind, "warning", panel.symbols[j], np.array([row]), words)


def _actions_by_row(
    panel: BarPanel, actions: Sequence[CorporateAction]
) -> tuple[dict[tuple[int, int], float], dict[tuple[int, int], float]]:
    """Return splits (multiplied) and dividends (added) by the row and column of the first bar from the ex-date on."""
    column = {symbol: j for j, symbol in enumerate(panel.symbols)}
    splits: dict[tuple[int, int], float] = {}
    dividends: dict[tuple[int, int], float] = {}
    if not actions:
        return splits, dividends
    days = exchange_days(panel.start_ns)
    for action in actions:
        j = column.get(action.symbol)
        if j is None:
            continue
        row = int(np.searchsorted(days, (action.ex_date - _EPOCH).days))
        while row < len(days) and np.isnan(panel.close[row, j]):
            row += 1
        if row == len(days):
            continue
        if action.kind == "split":
            splits[row, j] = splits.get((row, j), 1.0) * action.value
        else:
            dividends[row, j] = dividends.get((row, j), 0.0) + action.value
    return splits, dividends


def _move(panel: BarPanel, row: int, j: int) -> float:
    """Return the close of `row` over the symbol's close before; 1 over the split is what an honest one shows."""
    before = panel.close[:row, j]
    before = before[~np.isnan(before)]
    return float(panel.close[row, j] / before[-1]) if len(before) else float("nan")


def _repeats(panel: BarPanel, marks: PriceMarks, size: BarSize) -> Iterable[Finding]:
    """Yield stale daily rows, and long runs of bars that do not move."""
    longest = _FLAT_DAYS if not size.is_intraday else max(3, 11_700 // size.seconds)  # half a session
    for symbol, rows in _by_symbol(panel, marks.same):
        j = panel.symbols.index(symbol)
        there = np.flatnonzero(~np.isnan(panel.close[:, j]))
        at_least = longest - 1 if size.is_intraday else 1
        for first, last in runs(np.searchsorted(there, rows), at_least):
            if last - first + 2 > longest:
                flat = there[first - 1 : last + 1]
                yield _finding(
                    panel, "flat_run", "warning", symbol, flat,
                    f"{len(flat)} bars in a row have the same prices; the source may have stopped: fetch them again",
                )  # fmt: skip
            if not size.is_intraday:
                yield _finding(
                    panel, "stale", "warning", symbol, there[first : last + 1],
                    f"{last - first + 1} session(s) repeat the prices of the one before; fetch the day again",
                )  # fmt: skip


def _attendance(panel: BarPanel, calendar: Calendar, size: BarSize) -> Iterable[Finding]:
    """Yield missing and short sessions, shifted clocks and symbols that end early."""
    bars, expected = _bars_per_session(panel, calendar, size), _expected(panel, calendar)
    is_nobodys = np.asarray(~bars.any(axis=1)) if len(bars) else np.empty(0, dtype=bool)
    for first, last in runs(np.flatnonzero(is_nobodys)):
        yield _missing(calendar, "" if len(panel.symbols) > 1 else panel.symbols[0], first, last)
    present = bars > 0
    full = present.all(axis=0) & (bars == expected).all(axis=0)
    for j in np.flatnonzero(~full).tolist():
        symbol = panel.symbols[j]
        days = np.flatnonzero(present[:, j])
        if not len(days):
            continue
        within = slice(days[0], days[-1])
        absent = np.flatnonzero(~present[within, j] & ~is_nobodys[within]) + days[0]
        for first, last in runs(absent):
            yield _missing(calendar, symbol, first, last)
        if len(bars) - 1 - days[-1] >= _ENDED_SESSIONS:
            at = int(calendar.opens[days[-1]])
            yield Finding(
                "ends_early", "info", symbol, at, at, int(len(bars) - 1 - days[-1]),
                f"the bars end {len(bars) - 1 - days[-1]} sessions before the others' (delisted?); choose what "
                "becomes of a position with the delisting setting",
            )  # fmt: skip
        for s in days[bars[days, j] < expected[days, j]].tolist():
            have, whole = int(bars[s, j]), int(expected[s, j])
            yield Finding(
                "incomplete_session", "warning", symbol, int(calendar.opens[s]), int(calendar.opens[s]), have,
                f"{have} of {whole} bars of the session are there; fetch the day again", whole,
            )  # fmt: skip
        yield from _shifted(panel, calendar, size, j)


def _expected(panel: BarPanel, calendar: Calendar) -> IntArray:
    """Return int64[S, N]: bars of a complete session on the grid that each symbol's bars lie on."""
    expected = np.repeat(calendar.expected[:, np.newaxis], len(panel.symbols), axis=1)
    if len(calendar.off_open) and (calendar.expected != calendar.expected_on_clock).any():
        for j in range(len(panel.symbols)):
            clocked = on_clock(calendar, ~np.isnan(panel.close[:, j]))
            expected[clocked, j] = calendar.expected_on_clock[clocked]
    return expected


def _bars_per_session(panel: BarPanel, calendar: Calendar, size: BarSize) -> FloatArray:
    there = panel.close == panel.close
    if size.is_intraday:
        return per_session(there, calendar)
    counts = np.zeros((len(calendar.opens), len(panel.symbols)))
    with_row = np.flatnonzero(calendar.stop > calendar.first)
    counts[with_row] = there[calendar.first[with_row]]
    return counts


def _missing(calendar: Calendar, symbol: str, first: int, last: int) -> Finding:
    whose = "" if symbol else " for any symbol"
    return Finding(
        "missing_session", "warning", symbol, int(calendar.opens[first]), int(calendar.opens[last]), last - first + 1,
        f"{last - first + 1} session(s) are missing{whose}; fetch them",
    )  # fmt: skip


def _shifted(panel: BarPanel, calendar: Calendar, size: BarSize, j: int) -> Iterable[Finding]:
    if not size.is_intraday or size.seconds > 3_600:
        return
    sessions = shifted_sessions(calendar, panel, j)
    if sessions:
        yield Finding(
            "zone", "warning", panel.symbols[j], int(calendar.opens[sessions[0]]), int(calendar.opens[sessions[-1]]),
            len(sessions),
            f"{len(sessions)} session(s) begin exactly an hour off the open: the source's clock changes on other days "
            "than New York's; fetch them with UTC stamps",
        )  # fmt: skip


def _places(panel: BarPanel, calendar: Calendar, size: BarSize) -> Iterable[Finding]:
    if not size.is_intraday:
        return
    words: dict[Kind, str] = {
        "outside_hours": "bars lie outside regular hours; leave them out or fetch with regular hours only",
        "off_grid": f"bars start neither a whole number of {size.words} after the open nor on the clock as TWS's do; "
        "fetch them again",
    }
    places: tuple[tuple[Kind, IntArray], ...] = (("outside_hours", calendar.outside), ("off_grid", calendar.off_open))
    for kind, rows in places:
        if not len(rows):
            continue
        for j in np.flatnonzero((~np.isnan(panel.close[rows])).any(axis=0)).tolist():
            there = ~np.isnan(panel.close[:, j])
            own = rows[there[rows]] if kind == "outside_hours" else off_grid(calendar, there)
            if len(own):
                yield _finding(panel, kind, "warning", panel.symbols[j], own, f"{len(own)} {words[kind]}")


def _volumes(panel: BarPanel, calendar: Calendar, size: BarSize) -> Iterable[Finding]:
    if size.is_intraday:
        volume = per_session(np.nan_to_num(panel.volume, nan=0.0), calendar)
    else:
        rows = np.flatnonzero(calendar.stop > calendar.first)
        volume = panel.volume[calendar.first[rows]]
        calendar = Calendar(
            calendar.opens[rows], calendar.closes[rows], calendar.first[rows], calendar.stop[rows],
            calendar.expected[rows], calendar.expected_on_clock[rows], calendar.outside, calendar.off_open,
            calendar.off_clock,
        )  # fmt: skip
    # A half day trades less: its volume counts as if the session had been a whole one.
    volume = volume * (_FULL_NS / (calendar.closes - calendar.opens))[:, np.newaxis]
    places = low_volume(volume)
    for j in sorted(set(places[:, 1].tolist())):
        for first, last in runs(np.sort(places[places[:, 1] == j, 0])):
            yield Finding(
                "low_volume", "warning", panel.symbols[j], int(calendar.opens[first]), int(calendar.opens[last]),
                last - first + 1,
                f"{last - first + 1} session(s) have less than 20 % of the volume around them; perhaps of another "
                "feed: fetch them from one source",
            )  # fmt: skip


def describe(finding: Finding) -> str:
    """Return one line for a screen: symbol, dates and message."""
    first, last = finding.first, exchange_date(finding.last_ns)
    span = f"{first}" if last - first < timedelta(days=1) else f"{first}..{last}"
    return f"{finding.symbol or 'all symbols'} {span}: {finding.message}"
