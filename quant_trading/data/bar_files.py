"""One file of bars, CSV or Parquet, read strictly: what is wrong is named by its line, nothing is repaired.

Columns are found by name, in any case and order: date, timestamp or datetime (the start of the bar),
open, high, low, close, volume, and symbol in files that hold several. Other columns are left unread.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NoReturn, TextIO

import numpy as np

from quant_trading.data.arrow_bars import BadStamp, Unreadable, parquet_names, read_arrow, read_codes
from quant_trading.data.bar_columns import MISSING, RawBars, Stamps, mixed_zones
from quant_trading.data.plain_csv import read_plain
from quant_trading.domain.bar_sizes import BarSize
from quant_trading.domain.bars import BarColumns, FloatArray, IntArray
from quant_trading.domain.errors import DataGap
from quant_trading.refdata.sessions import SessionRangeError, exchange_date, exchange_days, session_arrays

__all__ = ["BarFile", "open_bar_file", "why_no_bars"]

_NUMBERS = ("open", "high", "low", "close", "volume")
_TIMES = ("date", "timestamp", "datetime")
_EPOCH = date(1970, 1, 1)
_DAY_NS = 86_400_000_000_000
_SECOND_NS = 1_000_000_000
# Below this a file is read by numpy before pyarrow has started; above, pyarrow is faster.
_PLAIN_BYTES = 6 << 20
_HEADER_CHARACTERS = 1 << 12  # of a header without quotes; nearly all are shorter


@dataclass(frozen=True, slots=True)
class BarFile:
    """A file whose header has been read.

    Attributes:
        path: where it is.
        names: our column name -> the file's own spelling.
        time: our name of its time column.
        header: all column names as they stand in the file.
    """

    path: Path
    names: dict[str, str]
    time: str
    header: tuple[str, ...]

    @property
    def is_long(self) -> bool:
        """Return whether a column tells the symbol of each row."""
        return "symbol" in self.names

    def symbols(self) -> frozenset[str]:
        """Return the symbols of a long file."""
        return frozenset(self._codes()[1])

    def columns(self, size: BarSize) -> BarColumns:
        """Return the bars of a file of one symbol.

        Raises:
            DataGap: naming file, line and cure, when a value is missing, no number, negative or out of order.
        """
        raw = self._read(size)
        return _Rows(self, np.arange(len(raw.stamps.values)), "").checked(raw, size)

    def columns_of(self, symbols: Sequence[str], size: BarSize) -> dict[str, BarColumns]:
        """Return the bars of those of `symbols` that a long file holds; raises as `columns`."""
        codes, names = self._codes()
        if (codes < 0).any():
            _Rows(self, np.arange(len(codes)), "").refuse(int(np.argmax(codes < 0)), "symbol is missing")
        chosen = np.array([name in symbols for name in names], dtype=bool)
        rows = np.flatnonzero(chosen[codes]) if len(names) else np.empty(0, dtype=np.int64)
        rows = rows[np.argsort(codes[rows], kind="stable")]
        raw = self._read(size).of(rows)
        bounds = np.flatnonzero(np.diff(codes[rows], prepend=-1, append=-1))
        found = {}
        for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            name = names[codes[rows[begin]]]
            found[name] = _Rows(self, rows[begin:end], f" ({name})").checked(raw.of(slice(begin, end)), size)
        return found

    def loose_columns(self, size: BarSize) -> Iterator[tuple[str, IntArray, IntArray, tuple[FloatArray, ...]]]:
        """Yield symbol (empty when no column names it), start, end and numbers as they stand, unchecked but for stamps.

        Raises:
            DataGap: when a stamp or a number cannot be read, by file and line.
        """
        raw = self._read(size)
        everything = np.arange(len(raw.stamps.values))
        codes, names = self._codes() if self.is_long else (np.zeros(len(everything), dtype=np.int64), [""])
        for code, name in enumerate(names):
            rows = everything[codes == code]
            part = raw.of(rows)
            missing = part.stamps.values == MISSING
            scrutiny = _Rows(self, rows, f" ({name})" if name else "")
            if missing.any():
                scrutiny.refuse(int(np.argmax(missing)), f"{self.time} is missing")
            if len(rows):
                order = np.argsort(part.stamps.values, kind="stable")
                start, end = _Rows(self, rows[order], scrutiny.whose, is_loose=True).spans(part.stamps.of(order), size)
                back = np.empty_like(order)
                back[order] = np.arange(len(order))
                yield name, start[back], end[back], part.numbers

    def _codes(self) -> tuple[IntArray, list[str]]:
        try:
            return read_codes(self.path, self.names["symbol"])
        except Unreadable as error:
            self._name_bad_cell()
            raise DataGap(f"{self.path}: cannot be read ({error}); write it again") from error

    def _read(self, size: BarSize) -> RawBars:
        """Return the columns of the file, by whichever reader suits it."""
        time, numbers = self.names[self.time], [self.names[name] for name in _NUMBERS]
        try:
            if self.path.suffix != ".parquet" and self.path.stat().st_size <= _PLAIN_BYTES:
                places = [self.header.index(name) for name in (time, *numbers)]
                plain = read_plain(self.path, len(self.header), places[0], places[1:])
                if plain is not None and (not size.is_intraday or plain.seconds is not None):
                    return RawBars(_plain_stamps(plain, size), plain.numbers)
            return read_arrow(self.path, time, numbers, is_intraday=size.is_intraday)
        except BadStamp as error:
            rows = _Rows(self, np.arange(error.row + 1), "")
            rows.refuse(error.row, f"{self.time} = {error}", error.cure)
        except (Unreadable, OSError) as error:
            self._name_bad_cell()
            raise DataGap(f"{self.path}: cannot be read ({error}); write it again") from error

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """Yield number and cells of each line of a CSV file that has any, the header first."""
        import csv

        with self.path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            rows = csv.reader(file)
            yield from ((rows.line_num, cells) for cells in rows if cells)

    def _name_bad_cell(self) -> None:
        """Raise the error that names the first cell of a CSV file that is no number, if there is one."""
        if self.path.suffix == ".parquet":
            return
        places = {name: self.header.index(self.names[name]) for name in _NUMBERS}
        rows = self.lines()
        next(rows, None)
        for number, cells in rows:
            if len(cells) != len(self.header):
                raise DataGap(
                    f"{self.path} line {number}: {len(cells)} cells under {len(self.header)} column names; write the "
                    "line again"
                )
            for name, place in places.items():
                if not _is_number(cells[place]):
                    raise DataGap(
                        f"{self.path} line {number}: {name} = {cells[place]!r} is no number; mend the line or fetch "
                        "the bars again"
                    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Some rows of a file under scrutiny.

    Attributes:
        file: where they stand.
        places: int64, their 0-based places in it.
        whose: " (symbol)" or nothing.
        is_loose: whether stamps may repeat.
    """

    file: BarFile
    places: IntArray
    whose: str
    is_loose: bool = False

    def refuse(self, i: int, fault: str, cure: str = "mend it or fetch the bars again") -> NoReturn:
        """Raise the error about the row `i` of these."""
        row = int(self.places[i])
        place = f"row {row + 1}"
        if self.file.path.suffix != ".parquet":
            place = f"line {next(line for k, (line, _) in enumerate(self.file.lines()) if k == row + 1)}"
        raise DataGap(f"{self.file.path}{self.whose} {place}: {fault}{'; ' if cure else ''}{cure}")

    def checked(self, raw: RawBars, size: BarSize) -> BarColumns:
        """Return the rows as columns, after the checks."""
        stamps, numbers = raw.stamps, dict(zip(_NUMBERS, raw.numbers, strict=True))
        if len(stamps.values) == 0:
            raise DataGap(f"{self.file.path}{self.whose}: there are no bars; fetch them again")
        missing = stamps.values == MISSING
        if missing.any():
            self.refuse(int(np.argmax(missing)), f"{self.file.time} is missing")
        for name, values in numbers.items():
            # Two extremes tell whether all is well: a NaN passes through min() and max().
            low, high = float(values.min()), float(values.max())
            if not ((low >= 0.0 if name == "volume" else low > 0.0) and high < np.inf):
                self._refuse_number(name, values)
        bad = numbers["high"] < numbers["low"]
        if bad.any():
            i = int(np.argmax(bad))
            self.refuse(i, f"high = {numbers['high'][i]} is below low = {numbers['low'][i]}")
        start, end = self.spans(stamps, size)
        if size.is_intraday and size.seconds < 3_600 and len(start) > 1:
            steps = np.diff(start)
            if _has_two_grids(size):  # TWS's first bar of a session is a short one
                _, opens, _ = self._session_arrays(exchange_date(int(start[0])), exchange_date(int(start[-1])))
                steps = steps[~np.isin(start[:-1], opens)]
            apart = int(np.min(steps)) // _SECOND_NS if len(steps) else size.seconds
            if apart != size.seconds:
                raise DataGap(
                    f"{self.file.path}{self.whose}: its bars are {apart} s apart, not {size.seconds} s; it does not "
                    f"hold bars of {size.words}"
                )
        return BarColumns(start, end, *(numbers[name] for name in _NUMBERS))

    def _refuse_number(self, name: str, values: Any) -> NoReturn:
        lowest_allowed = values >= 0.0 if name == "volume" else values > 0.0
        i = int(np.argmin(lowest_allowed & np.isfinite(values)))
        floor = "0 or more" if name == "volume" else "above 0"
        self.refuse(i, f"{name} is missing or NaN" if np.isnan(values[i]) else f"{name} = {values[i]} is not {floor}")

    def _check_rising(self, start: IntArray) -> None:
        rising = start[1:] > start[:-1]
        if not self.is_loose and not rising.all():
            i = int(np.argmin(rising)) + 1
            what = "the same as" if start[i] == start[i - 1] else "before"
            fault = f"{self.file.time} {self._stamp_text(i, int(start[i]))} is {what} the one above"
            self.refuse(i, fault, "sort the file by time, one line per bar")

    def _stamp_text(self, i: int, moment: int) -> str:
        """Return the stamp of row `i` as it is written in the file."""
        row = int(self.places[i])
        if self.file.path.suffix == ".parquet":
            return f"{np.datetime64(moment, 'ns').astype('datetime64[s]')}Z"
        place = self.file.header.index(self.file.names[self.file.time])
        return next(cells[place] for k, (_, cells) in enumerate(self.file.lines()) if k == row + 1)

    def spans(self, stamps: Stamps, size: BarSize) -> tuple[IntArray, IntArray]:
        """Return start and end of each bar in UTC nanoseconds."""
        if not size.is_intraday:
            days = stamps.values
            if stamps.kind == "moment":
                days = exchange_days(days)
            elif stamps.kind == "local":
                days = days // _DAY_NS
            return self._sessions(days)
        start = self._moments(stamps)
        self._check_rising(start)
        end = start + size.seconds * _SECOND_NS
        _, opens, closes = self._session_arrays(exchange_date(int(start[0])), exchange_date(int(start[-1])))
        # Bars that reach beyond the close of their session end with it: those of the last `size` before a close.
        late = np.searchsorted(start, closes - size.seconds * _SECOND_NS, side="right")
        stop = np.searchsorted(start, closes, side="left")
        for k in np.flatnonzero(late < stop).tolist():
            inside = slice(max(int(late[k]), int(np.searchsorted(start, opens[k]))), int(stop[k]))
            end[inside] = closes[k]
        if _has_two_grids(size):  # 09:30-10:00, 10:00-11:00: such a bar ends where the next one starts
            following = np.where(start[1:] > start[:-1], start[1:], end[:-1])
            end[:-1] = np.minimum(end[:-1], following)
        return start, end

    def _sessions(self, days: IntArray) -> tuple[IntArray, IntArray]:
        known, opens, closes = self._session_arrays(_date(int(days.min())), _date(int(days.max())))
        at_day = np.searchsorted(known, days)
        unknown = known[np.minimum(at_day, len(known) - 1)] != days if len(known) else np.ones(len(days), dtype=bool)
        if unknown.any():
            i = int(np.argmax(unknown))
            fault = f"{self.file.time} {_date(int(days[i]))} is no session of the exchange"
            self.refuse(i, fault, "leave the line out")
        start = opens[at_day]
        self._check_rising(start)
        return start, closes[at_day]

    def _session_arrays(self, first: date, last: date) -> tuple[IntArray, IntArray, IntArray]:
        try:
            return session_arrays(first, last)
        except SessionRangeError as error:
            raise DataGap(f"{self.file.path}{self.whose}: {error}") from error

    def _moments(self, stamps: Stamps) -> IntArray:
        """Return UTC nanoseconds; stamps without a zone are exchange time and must lie in a session."""
        if stamps.kind == "date":
            raise DataGap(
                f"{self.file.path}{self.whose}: {self.file.time} holds dates without a time of day; it does not hold "
                "intraday bars"
            )
        if stamps.kind == "local":
            return self._from_exchange_time(stamps.values)
        other = None if stamps.offsets is None else mixed_zones(stamps.offsets)
        if other is not None:
            self.refuse(
                other,
                f"{self.file.time} {self._stamp_text(other, int(stamps.values[other]))} is of another zone than "
                f"{self._stamp_text(0, int(stamps.values[0]))} of the first bar",
                "write all stamps in one zone, 2025-05-12T13:30:00Z",
            )
        return stamps.values

    def _from_exchange_time(self, local: IntArray) -> IntArray:
        days = local // _DAY_NS
        known, opens, closes = self._session_arrays(_date(int(days.min())), _date(int(days.max())))
        at_day = np.minimum(np.searchsorted(known, days), max(len(known) - 1, 0))
        if not len(known):
            known, opens, closes = (np.zeros(1, dtype=np.int64) for _ in range(3))
        # A session opens at 09:30 New York time, whatever that is in UTC on its day.
        moments = opens[at_day] + local % _DAY_NS - 34_200 * _SECOND_NS
        outside = (known[at_day] != days) | (moments < opens[at_day]) | (moments >= closes[at_day])
        if outside.any():
            i = int(np.argmax(outside))
            stamp = str(np.datetime64(int(local[i]), "ns").astype("datetime64[s]"))
            self.refuse(
                i,
                f"{self.file.time} {stamp} has no zone and, read as New York time, lies outside the session",
                "write stamps with their zone, 2025-05-12T13:30:00Z",
            )
        return np.asarray(moments, dtype=np.int64)


def _has_two_grids(size: BarSize) -> bool:
    """Return whether bars on the clock, as TWS has them, are others than bars counted from an open at 09:30."""
    return 1_800 % size.seconds != 0


def open_bar_file(path: Path) -> BarFile | None:
    """Return the file with its columns found, None when it holds no bars (a column is lacking).

    Raises:
        DataGap: when it cannot be read at all.
    """
    header = _header(path)
    names = {name.strip().lower(): name for name in header}
    time = next((name for name in _TIMES if name in names), None)
    if time is None or any(name not in names for name in _NUMBERS):
        return None
    found = {name: names[name] for name in (time, *_NUMBERS, "symbol") if name in names}
    return BarFile(path, found, time, tuple(header))


def why_no_bars(path: Path) -> DataGap:
    """Return the error about a file for which `open_bar_file` found no bars: it says what is wrong with line 1."""
    if path.stat().st_size == 0:
        return DataGap(f"{path}: is empty; fetch the bars again")
    with path.open("rb") as file:
        start = file.read(4096)
    if path.suffix != ".parquet" and b"\0" in start:
        return DataGap(f"{path}: holds binary data, not lines of text; write it as CSV, or name it .parquet if it is")
    names = {name.strip().lower() for name in _header(path)}
    lacking = [name for name in _NUMBERS if name not in names]
    if names.isdisjoint(_TIMES):
        lacking.insert(0, "date or timestamp")
    word = "columns" if len(lacking) > 1 else "column"
    return DataGap(
        f"{path} line 1: lacks the {word} {', '.join(lacking)}; name date or timestamp, open, high, low, close and "
        "volume there"
    )


def _header(path: Path) -> list[str]:
    try:
        if path.suffix == ".parquet":
            return parquet_names(path)
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            line = file.readline(_HEADER_CHARACTERS)
            return line.rstrip("\r\n").split(",") if _is_plain(line) else _cells(file)
    except (Unreadable, OSError) as error:
        raise DataGap(f"{path}: cannot be read ({error}); write it again") from error


def _is_plain(line: str) -> bool:
    return '"' not in line and line.endswith("\n")


def _cells(file: TextIO) -> list[str]:
    """Return the cells of the first line, quotes and all."""
    import csv

    file.seek(0)
    try:
        return next(csv.reader(file), [])
    except csv.Error as error:
        raise Unreadable(str(error)) from error


def _plain_stamps(plain: Any, size: BarSize) -> Stamps:
    """Return the stamps of a plain file; daily bars are told by the date that is written."""
    if not size.is_intraday:
        return Stamps("date", plain.days)
    local = (plain.days * 86_400 + plain.seconds) * _SECOND_NS
    if plain.offsets is None:
        return Stamps("local", local)
    return Stamps("moment", local - plain.offsets * _SECOND_NS, plain.offsets if plain.offsets.any() else None)


def _is_number(text: str) -> bool:
    if not text.strip():
        return True  # a cell that is empty is a missing one, which the checks name
    try:
        float(text)
    except ValueError:
        return False
    return True


def _date(day: int) -> date:
    return _EPOCH + timedelta(days=day)
