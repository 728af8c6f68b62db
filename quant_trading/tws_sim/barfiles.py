"""Reading bars from Parquet and CSV files into columns; what a column means, not what it is worth.

Accepted: long form with a `symbol` column, or one symbol per file with its name and size in the file's name
(`AAPL_5m.csv`, `SMR_5m_bars_macd.csv`). Stamps: `date` (exchange date, day bars), or `timestamp` (start of the
bar, UTC when it carries no zone). Other columns are left alone.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from quant_trading.tws_sim.aggregate import typical_price
from quant_trading.tws_sim.tape import FloatArray, IntArray, SourceError, TapeBars

__all__ = ["FileBars", "read_bar_file"]

_NAMES = {
    "symbol": ("symbol", "ticker"),
    "date": ("date",),
    "timestamp": ("timestamp", "datetime", "time"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume",),
    "wap": ("average", "wap", "vwap"),
    "count": ("bar_count", "barcount", "count", "trades"),
}
_PRICES = ("open", "high", "low", "close")
_FILE_NAME = re.compile(r"^(?P<symbol>[A-Z][A-Z0-9.\- ]*)_(?P<count>\d+)(?P<unit>s|m|h|d)(?:_.*)?$")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DAY_NS = 86_400_000_000_000
# Without a count of trades, one trade a round lot.
_ASSUMED_TRADE_SIZE = 100


@dataclass(frozen=True, slots=True)
class FileBars:
    """The bars of one symbol in one file.

    Attributes:
        symbol, path: which symbol, from where.
        seconds: size of the bars, 86400 for day bars.
        bars: rising in time; day bars are stamped midnight UTC of the exchange date.
    """

    symbol: str
    path: Path
    seconds: int
    bars: TapeBars


def read_bar_file(path: Path) -> list[FileBars]:
    """Return the bars of every symbol of a Parquet or CSV file.

    Raises:
        SourceError: the file cannot be read as bars.
    """
    table = _read_table(path)
    lowered = {name.lower(): name for name in table.column_names}
    found = {key: next((lowered[alias] for alias in names if alias in lowered), None) for key, names in _NAMES.items()}
    missing = [key for key in (*_PRICES, "volume") if found[key] is None]
    if found["date"] is None and found["timestamp"] is None:
        missing.append("timestamp or date")
    if missing:
        raise SourceError(
            f"{path}: no column {', '.join(missing)} among {', '.join(table.column_names)}; bars need "
            "symbol, date or timestamp, open, high, low, close, volume"
        )
    if table.num_rows == 0:
        return []
    named = _FILE_NAME.match(path.stem)
    stamps = _stamps(table, found, path)
    columns = {key: _numbers(table, name, path) for key, name in found.items() if name and key in (*_PRICES, "volume")}
    for key in ("wap", "count"):
        name = found[key]
        if name is not None:
            columns[key] = _numbers(table, name, path)
    symbols = _symbol_rows(table, found["symbol"], named, path)
    stated = int(named["count"]) * _UNIT_SECONDS[named["unit"]] if named and found["symbol"] is None else None
    return [_one_symbol(path, symbol, index, stamps, columns, stated) for symbol, index in symbols.items()]


def _read_table(path: Path) -> Any:
    try:
        if path.suffix.lower() == ".parquet":
            return pa.parquet.read_table(path)
        # Left to guess, the reader takes the tickers NA and TRUE for nothing and for a truth.
        texts = {word: pa.string() for alias in _NAMES["symbol"] for word in (alias, alias.title(), alias.upper())}
        return pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(column_types=texts))
    except (pa.ArrowException, OSError) as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise SourceError(f"{path}: cannot be read ({reason}); give a Parquet or CSV file of bars") from problem


def _stamps(table: Any, found: dict[str, str | None], path: Path) -> tuple[IntArray, bool]:
    """Return the stamps in UTC ns and whether they are exchange dates."""
    name = found["timestamp"] or found["date"]
    assert name is not None
    column = table.column(name)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _parse_texts(column, path, name)
    if pa.types.is_date(column.type):
        days = np.asarray(pc.cast(column, pa.date32()).cast(pa.int32()).to_numpy(), dtype=np.int64)
        return days * _DAY_NS, True
    if not pa.types.is_timestamp(column.type):
        raise SourceError(f"{path}: column {name} holds {column.type}, not dates or times; write 2026-01-22T14:30:00Z")
    if column.null_count:
        raise SourceError(f"{path}: column {name} has {column.null_count} empty cells; remove those rows")
    stamps = np.asarray(pc.cast(column, pa.timestamp("ns")).cast(pa.int64()).to_numpy(), dtype=np.int64)
    return stamps, found["timestamp"] is None and not bool((stamps % _DAY_NS).any())


def _parse_texts(column: Any, path: Path, name: str) -> Any:
    for type_ in (pa.date32(), pa.timestamp("us"), pa.timestamp("us", tz="UTC")):
        try:
            return pc.cast(column, type_)
        except pa.ArrowInvalid:
            continue
    raise SourceError(
        f"{path}: column {name} begins with {column[0].as_py()!r}; write 2026-01-22 or 2026-01-22T14:30:00Z"
    )


def _numbers(table: Any, name: str, path: Path) -> FloatArray:
    column = table.column(name)
    try:
        values = np.asarray(pc.cast(column, pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowInvalid as problem:
        raise SourceError(f"{path}: column {name} holds {column.type}, not numbers; clean the file first") from problem
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise SourceError(f"{path}: column {name} has no number in row {row + 1}; remove or repair that row")
    return values


def _symbol_rows(
    table: Any, column: str | None, named: re.Match[str] | None, path: Path
) -> dict[str, IntArray | slice]:
    """Return which rows belong to which symbol."""
    if column is None:
        if named is None:
            raise SourceError(
                f"{path}: no column symbol, and the file name does not say it; name it SYMBOL_5m.csv (s, m, h, d)"
            )
        return {named["symbol"]: slice(0, table.num_rows)}
    encoded = pc.dictionary_encode(table.column(column)).combine_chunks()
    codes = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(encoded.dictionary)))
    begins = np.concatenate([[0], ends[:-1]])
    if (order == np.arange(len(order))).all():
        # Already grouped, as most files are: slices cost nothing.
        return {
            str(symbol): slice(int(a), int(b))
            for symbol, a, b in zip(encoded.dictionary.to_pylist(), begins, ends, strict=True)
        }
    return {str(s): order[a:b] for s, a, b in zip(encoded.dictionary.to_pylist(), begins, ends, strict=True)}


def _one_symbol(
    path: Path,
    symbol: str,
    index: IntArray | slice,
    stamps: tuple[IntArray, bool],
    columns: dict[str, FloatArray],
    stated_seconds: int | None,
) -> FileBars:
    start_ns = stamps[0][index]
    values = {key: column[index] for key, column in columns.items()}
    steps = np.diff(start_ns)
    if len(steps) and (steps <= 0).any():
        order = np.argsort(start_ns, kind="stable")
        start_ns, values = start_ns[order], {key: column[order] for key, column in values.items()}
        steps = np.diff(start_ns)
        if (steps == 0).any():
            twice = np.datetime64(int(start_ns[int(np.flatnonzero(steps == 0)[0])]), "ns")
            raise SourceError(f"{path}: {symbol} has two bars stamped {twice}Z; keep one of them")
    seconds = _size_seconds(path, symbol, start_ns, stamps[1], stated_seconds)
    if not stamps[1] and seconds == 86_400:
        start_ns = start_ns // _DAY_NS * _DAY_NS
    _check_prices(path, symbol, start_ns, values)
    volume = np.maximum(0.0, np.rint(values["volume"]))
    open_, high, low, close = (values[key] for key in _PRICES)
    wap = values["wap"] if "wap" in values else typical_price(open_, high, low, close)
    count = values["count"] if "count" in values else np.ceil(volume / _ASSUMED_TRADE_SIZE)
    trades = np.where(volume > 0, np.clip(np.rint(count), 1, volume), 0).astype(np.int64)
    return FileBars(symbol, path, seconds, TapeBars(start_ns, open_, high, low, close, volume, wap, trades))


def _size_seconds(path: Path, symbol: str, start_ns: IntArray, are_dates: bool, stated: int | None) -> int:
    """Return the size of the bars: one day for dates, what the file name says, else their commonest distance."""
    if are_dates:
        return 86_400
    if stated is not None:
        return stated
    if len(start_ns) < 2:
        raise SourceError(
            f"{path}: {symbol} has {len(start_ns)} bar, so its size is unknown; name the file {symbol}_5m.csv"
        )
    steps, times = np.unique(np.diff(start_ns), return_counts=True)
    seconds = int(steps[np.argmax(times)]) // 1_000_000_000
    if seconds <= 0:
        raise SourceError(f"{path}: {symbol} has stamps less than a second apart; give bars, not ticks")
    return 86_400 if seconds > 8 * 3600 else seconds


def _check_prices(path: Path, symbol: str, start_ns: IntArray, values: dict[str, FloatArray]) -> None:
    """Refuse bars that cannot have been: they would make orders fill at prices nobody traded."""
    top = np.maximum(values["open"], values["close"])
    bottom = np.minimum(values["open"], values["close"])
    bad = np.flatnonzero((values["high"] < top) | (values["low"] > bottom) | (values["low"] <= 0))
    if len(bad):
        row = int(bad[0])
        bar = ", ".join(f"{key} {values[key][row]:g}" for key in _PRICES)
        when = np.datetime64(int(start_ns[row]), "ns")
        raise SourceError(
            f"{path}: {symbol} at {when}Z has {bar} ({len(bad)} such bars); low must be positive and enclose with "
            "high the open and the close: repair or remove them"
        )
