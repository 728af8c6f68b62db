"""One file of bars, CSV or Parquet, read strictly: what is wrong is named by its line, nothing is repaired.

Columns are found by name, in any case and order: date, timestamp or datetime (the start of the bar),
open, high, low, close, volume, and symbol in files that hold several. Other columns are left unread.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from quant_trading.domain.bar_sizes import BarSize
from quant_trading.domain.bars import BarColumns, FloatArray, IntArray
from quant_trading.domain.errors import DataGap
from quant_trading.refdata.sessions import Session, SessionRangeError, at, exchange_date, session_on, sessions_between

__all__ = ["BarFile", "open_bar_file"]

_NUMBERS = ("open", "high", "low", "close", "volume")
_TIMES = ("date", "timestamp", "datetime")
_EPOCH = date(1970, 1, 1)
_DAY_NS = 86_400_000_000_000
_ZONE = re.compile(r"(Z|[+-][0-9]{2}:?[0-9]{2})$")


@dataclass(frozen=True, slots=True)
class BarFile:
    """A file whose header has been read.

    Attributes:
        path: where it is.
        names: our column name -> the file's own spelling.
        time: our name of its time column.
    """

    path: Path
    names: dict[str, str]
    time: str

    @property
    def is_long(self) -> bool:
        """Return whether a column tells the symbol of each row."""
        return "symbol" in self.names

    def symbols(self) -> frozenset[str]:
        """Return the symbols of a long file."""
        return frozenset(pc.unique(self._read(["symbol"])["symbol"]).to_pylist())

    def columns(self, size: BarSize) -> BarColumns:
        """Return the bars of a file of one symbol.

        Raises:
            DataGap: naming file, line and cure, when a value is missing, no number, negative or out of order.
        """
        table = self._read([self.time, *_NUMBERS])
        return self._checked(table, size, np.arange(len(table)), "")

    def columns_of(self, symbols: Sequence[str], size: BarSize) -> dict[str, BarColumns]:
        """Return the bars of those of `symbols` that a long file holds; raises as `columns`."""
        table = self._read(["symbol", self.time, *_NUMBERS])
        encoded = pc.dictionary_encode(table["symbol"].combine_chunks())
        self._check_filled("symbol", encoded.indices, np.arange(len(table)), "")
        names = encoded.dictionary.to_pylist()
        codes = _values(encoded.indices, np.int32)
        wanted = np.flatnonzero(np.isin(codes, [code for code, name in enumerate(names) if name in symbols]))
        table = table.drop_columns(["symbol"]).take(_positions(wanted)).combine_chunks()
        found = {}
        for code in np.unique(codes[wanted]).tolist():
            rows = np.flatnonzero(codes[wanted] == code)
            part = table.take(_positions(rows))
            found[names[code]] = self._checked(part, size, wanted[rows], f" ({names[code]})")
        return found

    def _read(self, wanted: list[str]) -> Any:
        """Return a pyarrow table with our column names."""
        own = [self.names[name] for name in wanted]
        try:
            if self.path.suffix == ".parquet":
                from pyarrow import parquet  # costs 0.1 s, which CSV files need not pay

                with parquet.ParquetFile(self.path) as file:  # read_table() would import pandas
                    table = file.read(columns=own)
            else:
                types = {self.names[n]: pa.float64() if n in _NUMBERS else pa.string() for n in wanted}
                options = arrow_csv.ConvertOptions(column_types=types, include_columns=own)
                table = arrow_csv.read_csv(self.path, convert_options=options)
        except (pa.ArrowInvalid, OSError) as error:
            self._name_bad_cell()
            raise DataGap(f"{self.path}: cannot be read ({_first_line(error)}); write it again") from error
        return table.select(own).rename_columns(wanted)

    def _name_bad_cell(self) -> None:
        """Raise the error that names the first cell of a CSV file that is no number, if there is one."""
        if self.path.suffix == ".parquet":
            return
        with self.path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            places = {name: header.index(self.names[name]) for name in _NUMBERS}
            for row in rows:
                if row and len(row) != len(header):
                    raise DataGap(
                        f"{self.path} line {rows.line_num}: {len(row)} cells under {len(header)} column names; "
                        "write the line again"
                    )
                for name, place in places.items():
                    if row and not _is_number(row[place]):
                        raise DataGap(
                            f"{self.path} line {rows.line_num}: {name} = {row[place]!r} is no number; mend the "
                            "line or fetch the bars again"
                        )

    def _checked(self, table: Any, size: BarSize, rows: IntArray, whose: str) -> BarColumns:
        """Return the table as columns, after the checks; `rows` are its positions in the file."""
        if len(table) == 0:
            raise DataGap(f"{self.path}{whose}: there are no bars; fetch them again")
        self._check_filled(self.time, table[self.time], rows, whose)
        numbers = {name: _floats(table[name]) for name in _NUMBERS}
        for name, values in numbers.items():
            lowest_allowed = values >= 0.0 if name == "volume" else values > 0.0
            bad = ~(lowest_allowed & np.isfinite(values))
            if bad.any():
                i = int(np.argmax(bad))
                floor = "0 or more" if name == "volume" else "above 0"
                fault = f"{name} is missing or NaN" if np.isnan(values[i]) else f"{name} = {values[i]} is not {floor}"
                self._refuse(rows[i], whose, fault)
        bad = numbers["high"] < numbers["low"]
        if bad.any():
            i = int(np.argmax(bad))
            self._refuse(rows[i], whose, f"high = {numbers['high'][i]} is below low = {numbers['low'][i]}")
        start, end = self._spans(table[self.time], size, rows, whose)
        rising = np.diff(start) > 0
        if not rising.all():
            i = int(np.argmin(rising)) + 1
            what = "the same as" if start[i] == start[i - 1] else "before"
            self._refuse(
                rows[i],
                whose,
                f"{self.time} {table[self.time][i].as_py()} is {what} the one above",
                "sort the file by time, one line per bar",
            )
        if size.is_intraday and size.seconds < 3_600 and len(start) > 1:
            apart = int(np.min(np.diff(start))) // 1_000_000_000
            if apart != size.seconds:
                raise DataGap(
                    f"{self.path}{whose}: its bars are {apart} s apart, not {size.seconds} s; it does not hold "
                    f"bars of {size.words}"
                )
        return BarColumns(start, end, *(numbers[name] for name in _NUMBERS))

    def _check_filled(self, name: str, column: Any, rows: IntArray, whose: str) -> None:
        if column.null_count:
            first = next(i for i, value in enumerate(column.is_null().to_pylist()) if value)
            self._refuse(rows[first], whose, f"{name} is missing")

    def _spans(self, times: Any, size: BarSize, rows: IntArray, whose: str) -> tuple[IntArray, IntArray]:
        """Return start and end of each bar in UTC nanoseconds."""
        if not size.is_intraday:
            return self._sessions(self._days(times, rows, whose), rows, whose)
        start = self._moments(times, rows, whose)
        end = start + size.seconds * 1_000_000_000
        days = (exchange_date(int(start.min())), exchange_date(int(start.max())))
        _, opens, closes = self._session_arrays(*days, whose)
        if len(opens):
            last_open = np.searchsorted(opens, start, side="right") - 1
            close = closes[np.maximum(last_open, 0)]
            inside = (last_open >= 0) & (start < close)
            end = np.where(inside, np.minimum(end, close), end)
        return start, end

    def _sessions(self, days: IntArray, rows: IntArray, whose: str) -> tuple[IntArray, IntArray]:
        known, opens, closes = self._session_arrays(_date(days.min()), _date(days.max()), whose)
        at_day = np.searchsorted(known, days)
        unknown = known[np.minimum(at_day, len(known) - 1)] != days if len(known) else np.ones(len(days), dtype=bool)
        if unknown.any():
            i = int(np.argmax(unknown))
            fault = f"{self.time} {_date(days[i])} is no session of the exchange"
            self._refuse(rows[i], whose, fault, "leave the line out")
        return opens[at_day], closes[at_day]

    def _session_arrays(self, first: date, last: date, whose: str) -> tuple[IntArray, IntArray, IntArray]:
        try:
            return _session_table(first, last)
        except SessionRangeError as error:
            raise DataGap(f"{self.path}{whose}: {error}") from error

    def _days(self, times: Any, rows: IntArray, whose: str) -> IntArray:
        """Return the exchange date of each daily bar as days since 1970-01-01."""
        kind = times.type
        if pa.types.is_date(kind):
            return _as_days(times.cast(pa.date32()))
        if pa.types.is_timestamp(kind):
            moments = _as_ns(times, kind.tz)
            if kind.tz is None or not np.any(moments % _DAY_NS):  # dates that a writer made moments of
                return np.asarray(moments // _DAY_NS, dtype=np.int64)
            return np.array([(exchange_date(int(m)) - _EPOCH).days for m in moments], dtype=np.int64)
        days = np.empty(len(times), dtype=np.int64)
        for i, text in enumerate(times.to_pylist()):
            try:
                days[i] = (date.fromisoformat(text[:8] if text[:8].isdigit() else text[:10]) - _EPOCH).days
            except (TypeError, ValueError):
                self._refuse(rows[i], whose, f"{self.time} = {text!r} is no date", "write it as 2025-05-12")
        return days

    def _moments(self, times: Any, rows: IntArray, whose: str) -> IntArray:
        """Return UTC nanoseconds; stamps without a zone are exchange time and must lie in a session."""
        kind = times.type
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            return _as_ns(times, "UTC")
        if pa.types.is_timestamp(kind):
            return self._from_exchange_time(_as_ns(times, None), rows, whose)
        if pa.types.is_date(kind):
            raise DataGap(
                f"{self.path}{whose}: {self.time} holds dates without a time of day; it does not hold intraday bars"
            )
        zoned = bool(_ZONE.search(times[0].as_py() or ""))
        zone = "UTC" if zoned else None
        try:
            moments = _as_ns(times, zone)
        except pa.ArrowInvalid:
            for i, value in enumerate(times):
                try:
                    _as_ns(pa.chunked_array([[value.as_py()]], pa.string()), zone)
                except pa.ArrowInvalid:
                    self._refuse(
                        rows[i],
                        whose,
                        f"{self.time} = {value.as_py()!r} is no moment like the first line's",
                        "write it as 2025-05-12T13:30:00Z",
                    )
            raise
        return moments if zoned else self._from_exchange_time(moments, rows, whose)

    def _from_exchange_time(self, local: IntArray, rows: IntArray, whose: str) -> IntArray:
        days, which = np.unique(local // _DAY_NS, return_inverse=True)
        midnight = np.empty(len(days), dtype=np.int64)
        close = np.empty(len(days), dtype=np.int64)
        opening = np.empty(len(days), dtype=np.int64)
        for k, number in enumerate(days.tolist()):
            day = _date(number)
            # Clocks change on Sundays, so noon has the offset of every bar of the day.
            midnight[k] = at(day, "12:00") - _DAY_NS // 2
            session = _session(day)
            opening[k], close[k] = (session.open_ns, session.close_ns) if session else (0, 0)
        moments = midnight[which] + local % _DAY_NS
        outside = (moments < opening[which]) | (moments >= close[which])
        if outside.any():
            i = int(np.argmax(outside))
            stamp = str(np.datetime64(int(local[i]), "ns").astype("datetime64[s]"))
            self._refuse(
                rows[i],
                whose,
                f"{self.time} {stamp} has no zone and, read as New York time, lies outside the session",
                "write stamps with their zone, 2025-05-12T13:30:00Z",
            )
        return np.asarray(moments, dtype=np.int64)

    def _refuse(self, row: Any, whose: str, fault: str, cure: str = "mend it or fetch the bars again") -> NoReturn:
        place = f"row {int(row) + 1}"
        if self.path.suffix != ".parquet":
            with self.path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
                lines = csv.reader(file)
                filled = (lines.line_num for cells in lines if cells)
                place = f"line {next(line for i, line in enumerate(filled) if i == int(row) + 1)}"
        raise DataGap(f"{self.path}{whose} {place}: {fault}{'; ' if cure else ''}{cure}")


def open_bar_file(path: Path) -> BarFile | None:
    """Return the file with its columns found, None when it holds no bars (a column is lacking).

    Raises:
        DataGap: when it cannot be read at all.
    """
    try:
        if path.suffix == ".parquet":
            from pyarrow import parquet

            header = list(parquet.read_schema(path).names)
        else:
            with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
                header = next(csv.reader(file), [])
    except (pa.ArrowInvalid, OSError) as error:
        raise DataGap(f"{path}: cannot be read ({_first_line(error)}); write it again") from error
    names = {name.strip().lower(): name for name in header}
    time = next((name for name in _TIMES if name in names), None)
    if time is None or any(name not in names for name in _NUMBERS):
        return None
    return BarFile(path, {name: names[name] for name in (time, *_NUMBERS, "symbol") if name in names}, time)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# pyarrow's own to_numpy() and array() import pandas where it is installed, half a second for nothing;
# the two functions below go through the buffers instead.
def _values(array: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return a copy of the fixed-width values of a pyarrow array without nulls."""
    size = np.dtype(dtype).itemsize
    if len(array) == 0:
        return np.empty(0, dtype=dtype)
    return np.frombuffer(array.buffers()[1], dtype, count=len(array), offset=array.offset * size).copy()


def _positions(rows: IntArray) -> Any:
    return pa.Array.from_buffers(
        pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows, dtype=np.int64))]
    )


def _floats(column: Any) -> FloatArray:
    """Return float64 of a numeric column, NaN where it is null."""
    array = column.cast(pa.float64()).combine_chunks()
    values = _values(array, np.float64)
    if array.null_count:
        values[_values(array.is_null().cast(pa.uint8()), np.uint8).astype(bool)] = np.nan
    return values


def _as_days(dates: Any) -> IntArray:
    return _values(dates.cast(pa.int32()).combine_chunks(), np.int32).astype(np.int64)


def _date(day: int) -> date:
    return _EPOCH + timedelta(days=int(day))


@lru_cache(maxsize=64)
def _session_table(first: date, last: date) -> tuple[IntArray, IntArray, IntArray]:
    """Return the sessions from `first` to `last` as days since 1970-01-01, opens and closes."""
    rows = [((s.day - _EPOCH).days, s.open_ns, s.close_ns) for s in sessions_between(first, last)]
    days, opens, closes = np.array(rows, dtype=np.int64).reshape(-1, 3).T.copy()
    return days, opens, closes


def _as_ns(times: Any, zone: str | None) -> IntArray:
    return _values(times.cast(pa.timestamp("ns", zone)).combine_chunks(), np.int64)


def _session(day: date) -> Session | None:
    try:
        return session_on(day)
    except SessionRangeError:
        return None
