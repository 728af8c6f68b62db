"""One file of bars, CSV or Parquet, read strictly: what is wrong is named by its line, nothing is repaired.

Columns are found by name, in any case and order: date, timestamp or datetime (the start of the bar),
open, high, low, close, volume, and symbol in files that hold several. Other columns are left unread.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from quant_trading.domain.bar_sizes import BarSize
from quant_trading.domain.bars import BarColumns, FloatArray, IntArray
from quant_trading.domain.errors import DataGap
from quant_trading.refdata.sessions import SessionRangeError, at, exchange_date, session_on, sessions_between

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
        encoded = table["symbol"].combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        known = encoded.dictionary.to_pylist()
        found = {}
        for symbol in symbols:
            if symbol in known:
                rows = np.flatnonzero(codes == known.index(symbol))
                found[symbol] = self._checked(table.take(pa.array(rows)), size, rows, f" ({symbol})")
        return found

    def _read(self, wanted: list[str]) -> Any:
        """Return a pyarrow table with our column names."""
        own = [self.names[name] for name in wanted]
        try:
            if self.path.suffix == ".parquet":
                table = pyarrow.parquet.read_table(self.path, columns=own)
            else:
                types = {self.names[n]: pa.float64() if n in _NUMBERS else pa.string() for n in wanted}
                options = pyarrow.csv.ConvertOptions(column_types=types, include_columns=own)
                table = pyarrow.csv.read_csv(self.path, convert_options=options)
        except (pa.ArrowInvalid, OSError) as error:
            self._name_bad_cell()
            raise DataGap(f"{self.path}: cannot be read ({_first_line(error)}); write it again") from error
        return table.select(own).rename_columns(wanted)

    def _name_bad_cell(self) -> None:
        """Raise the error that names the first cell of a CSV file that is no number, if there is one."""
        if self.path.suffix == ".parquet":
            return
        with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
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
        numbers = {name: _floats(table[name]) for name in _NUMBERS}
        for name, values in numbers.items():
            lowest_allowed = values >= 0.0 if name == "volume" else values > 0.0
            bad = ~(lowest_allowed & np.isfinite(values))
            if bad.any():
                i = int(np.argmax(bad))
                floor = "0 or more" if name == "volume" else "above 0"
                self._refuse(rows[i], whose, f"{name} = {values[i]} is not {floor}")
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

    def _spans(self, times: Any, size: BarSize, rows: IntArray, whose: str) -> tuple[IntArray, IntArray]:
        """Return start and end of each bar in UTC nanoseconds."""
        if not size.is_intraday:
            return self._sessions(self._days(times, rows, whose), rows, whose)
        start = self._moments(times, rows, whose)
        end = start + size.seconds * 1_000_000_000
        try:
            sessions = sessions_between(exchange_date(int(start.min())), exchange_date(int(start.max())))
        except SessionRangeError as error:
            raise DataGap(f"{self.path}{whose}: {error}") from error
        if sessions:
            opens = np.array([session.open_ns for session in sessions], dtype=np.int64)
            closes = np.array([session.close_ns for session in sessions], dtype=np.int64)
            last_open = np.searchsorted(opens, start, side="right") - 1
            close = closes[np.maximum(last_open, 0)]
            inside = (last_open >= 0) & (start < close)
            end = np.where(inside, np.minimum(end, close), end)
        return start, end

    def _sessions(self, days: list[date], rows: IntArray, whose: str) -> tuple[IntArray, IntArray]:
        start, end = np.empty(len(days), dtype=np.int64), np.empty(len(days), dtype=np.int64)
        for i, day in enumerate(days):
            try:
                session = session_on(day)
            except SessionRangeError as error:
                self._refuse(rows[i], whose, str(error), "")
            if session is None:
                self._refuse(rows[i], whose, f"{self.time} {day} is no session of the exchange", "leave the line out")
            start[i], end[i] = session.open_ns, session.close_ns
        return start, end

    def _days(self, times: Any, rows: IntArray, whose: str) -> list[date]:
        """Return the exchange date of each daily bar."""
        kind = times.type
        if pa.types.is_date(kind):
            return list(times.to_pylist())
        if pa.types.is_timestamp(kind):
            moments = times.cast(pa.timestamp("ns", kind.tz)).to_numpy().astype("datetime64[ns]").astype(np.int64)
            if kind.tz is None or not np.any(moments % _DAY_NS):  # dates that a writer made moments of
                return [_EPOCH + timedelta(days=int(m)) for m in moments // _DAY_NS]
            return [exchange_date(int(m)) for m in moments]
        days = []
        for i, text in enumerate(times.to_pylist()):
            try:
                digits = text[:8] if text[:8].isdigit() else text[:10]
                days.append(date.fromisoformat(digits))
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
            day = _EPOCH + timedelta(days=number)
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
            with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
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
            header = list(pyarrow.parquet.read_schema(path).names)
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


def _floats(column: Any) -> FloatArray:
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


def _as_ns(times: Any, zone: str | None) -> IntArray:
    stamps: npt.NDArray[Any] = times.cast(pa.timestamp("ns", zone)).to_numpy()
    return stamps.astype("datetime64[ns]").astype(np.int64)


def _session(day: date) -> Any:
    try:
        return session_on(day)
    except SessionRangeError:
        return None
