"""The three CSV files a person looks at: trades, portfolio and snapshots.

They are projections of the journal. Each append writes a whole new file beside the old one and renames it, so a reader
never sees half a line and a failure leaves the old file as it was.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from quant_trading.data.files import put_in_place
from quant_trading.domain.errors import JournalError

__all__ = [
    "PORTFOLIO_COLUMNS",
    "SNAPSHOT_COLUMNS",
    "TRADE_COLUMNS",
    "PortfolioRow",
    "TradeRow",
    "append_portfolio",
    "append_snapshot",
    "append_trades",
    "check_log_files",
]

TRADE_COLUMNS = ("timestamp", "symbol", "side", "quantity", "fill_price", "reference_price", "signal_value")
PORTFOLIO_COLUMNS = ("timestamp", "symbol", "position", "avg_cost", "unrealized_pnl")
SNAPSHOT_COLUMNS = ("timestamp", "portfolio_value", "daily_pnl", "running_pnl")
_FILES = {
    "live_trades.csv": TRADE_COLUMNS,
    "live_portfolio.csv": PORTFOLIO_COLUMNS,
    "live_snapshot.csv": SNAPSHOT_COLUMNS,
}
# A spreadsheet takes a cell that begins so for a formula and runs it.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class TradeRow:
    """One line of live_trades.csv.

    Attributes:
        timestamp: aware moment of the fill, or of the run when there was none.
        symbol, side, quantity: what was traded; side is BUY or SELL.
        fill_price: average price of the fills, None when nothing was filled.
        reference_price: the price used for sizing.
        signal_value: what the strategy believed, NaN when it did not say.
    """

    timestamp: datetime
    symbol: str
    side: str
    quantity: Decimal
    fill_price: Decimal | None
    reference_price: Decimal | None
    signal_value: float | None


@dataclass(frozen=True, slots=True)
class PortfolioRow:
    """One line of live_portfolio.csv: a position after the run."""

    timestamp: datetime
    symbol: str
    position: Decimal
    avg_cost: Decimal | None
    unrealized_pnl: Decimal | None


def append_trades(path: Path, rows: Iterable[TradeRow]) -> None:
    """Add `rows` to live_trades.csv; with no rows an absent file is created with its header.

    Raises:
        JournalError: naming file and line when the file is not what we wrote; it is left as it is.
    """
    cells = [
        (_stamp(r.timestamp), _text(r.symbol), _text(r.side), _number(r.quantity), _number(r.fill_price),
         _number(r.reference_price), _number(r.signal_value))
        for r in rows
    ]  # fmt: skip
    content, _ = _read(path, TRADE_COLUMNS)
    _replace(path, content, cells)


def append_portfolio(path: Path, rows: Iterable[PortfolioRow]) -> None:
    """Add `rows` to live_portfolio.csv; as `append_trades`."""
    cells = [
        (_stamp(r.timestamp), _text(r.symbol), _number(r.position), _number(r.avg_cost), _number(r.unrealized_pnl))
        for r in rows
    ]
    content, _ = _read(path, PORTFOLIO_COLUMNS)
    _replace(path, content, cells)


def append_snapshot(
    path: Path, timestamp: datetime, value: Decimal, daily_pnl: Decimal | None, running_pnl: Decimal | None
) -> None:
    """Add one line to live_snapshot.csv.

    Args:
        timestamp: aware moment of the snapshot.
        value: the portfolio's value, finite.
        daily_pnl: change since the account's previous run, None on its first.
        running_pnl: change since the account's first run, None on its first.

    Raises:
        JournalError: naming file and line when the file is not what we wrote; it is left as it is.
    """
    if not value.is_finite():
        raise JournalError(f"{path}: portfolio value {value} is not a number; nothing was written")
    content, _ = _read(path, SNAPSHOT_COLUMNS)
    _replace(path, content, [(_stamp(timestamp), _number(value), _number(daily_pnl), _number(running_pnl))])


def check_log_files(folder: Path) -> None:
    """Make sure before the first order that the three files in `folder` can be added to after the last.

    Raises:
        JournalError: naming the file, the line and the cure.
    """
    for name, columns in _FILES.items():
        path = folder / name
        _read(path, columns)
        if path.exists():
            try:
                with path.open("ab"):
                    pass
            except OSError as error:
                raise JournalError(f"{path}: cannot be written: {error.strerror}; close the program that holds it "
                                   "(a spreadsheet?) and start again; nothing was sent") from error  # fmt: skip


def _read(path: Path, columns: Sequence[str]) -> tuple[bytes, list[tuple[int, list[str]]]]:
    """Return the file's bytes and its rows with their line numbers; an absent file has the header alone."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return _lines([columns]), []
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {error.strerror}; nothing was written") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _damaged(path, content.count(b"\n", 0, error.start) + 1, "it is not UTF-8") from None
    rows: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if len(cells) != len(columns):
                raise _damaged(path, reader.line_num, f"it has {len(cells)} cells, {len(columns)} are expected")
            rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise _damaged(path, reader.line_num, str(error)) from None
    if not rows or rows[0][1] != list(columns):
        raise _damaged(path, 1, f"the header is not {','.join(columns)}")
    if not text.endswith("\n"):
        raise _damaged(path, rows[-1][0], "it has no line break at its end, so it may be half a line")
    return content, rows[1:]


def _damaged(path: Path, line: int, problem: str) -> JournalError:
    return JournalError(f"{path}: line {line}: {problem}; nothing was written: repair the line, or move the file away "
                        "and a new one is begun")  # fmt: skip


def _replace(path: Path, content: bytes, rows: Sequence[Sequence[str]]) -> None:
    """Put `content` and `rows` in the place of the file at once."""
    try:
        put_in_place(path, content + _lines(rows))
    except OSError as error:
        raise JournalError(f"{path}: cannot be written: {error.strerror}; close what has it open, or make room; the "
                           "journal has the run") from error  # fmt: skip


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _stamp(moment: datetime) -> str:
    """Return ISO 8601 in UTC, to the second: 2026-11-20T21:00:05Z."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _number(value: Decimal | float | None) -> str:
    """Return plain decimal text, empty for what is not known."""
    if value is None or not math.isfinite(value):
        return ""
    return format(value, "f") if isinstance(value, Decimal) else repr(float(value))


def _text(value: str) -> str:
    """Return `value` as one cell that a spreadsheet shows and never runs."""
    safe = f"'{value}" if value.startswith(_FORMULA_STARTS) else value
    return safe if safe.isprintable() else safe.encode("unicode_escape").decode("ascii")
