"""Columns of bar files by pyarrow: Parquet, large CSV files and those that are not plain.

pyarrow is imported by the functions that need it: small plain CSV files never pay for its start.
"""

import mmap
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_trading.data.bar_columns import MISSING, RawBars, Stamps, has_zone, zone_seconds
from quant_trading.domain.bars import FloatArray, IntArray

__all__ = ["Unreadable", "parquet_names", "read_arrow", "read_codes"]

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY_NS = 86_400_000_000_000


class Unreadable(Exception):
    """pyarrow cannot make sense of the file; the text says what it said."""


def parquet_names(path: Path) -> list[str]:
    """Return the column names of a Parquet file.

    Raises:
        Unreadable: when it is none.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return list(parquet.read_schema(path).names)
    except (pa.ArrowInvalid, OSError) as error:
        raise Unreadable(_first_line(error)) from error


def read_arrow(path: Path, time: str, numbers: Sequence[str], *, is_intraday: bool) -> RawBars:
    """Return stamps and numbers of all rows.

    Args:
        path: a CSV or Parquet file.
        time, numbers: the file's own column names.
        is_intraday: whether the stamps are wanted as moments or as dates.

    Raises:
        Unreadable: when pyarrow refuses it.
        BadStamp: naming the first row whose stamp is none.
    """
    import pyarrow as pa

    try:
        table = _table(path, time, numbers, is_intraday)
    except (pa.ArrowInvalid, OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise Unreadable(_first_line(error)) from error
    return RawBars(_stamps(table[time], is_intraday), tuple(_floats(table[name]) for name in numbers))


def read_codes(path: Path, column: str) -> tuple[IntArray, list[str]]:
    """Return which text stands in each row of `column`: int64[T], -1 where there is none, and the texts.

    Raises:
        Unreadable: when pyarrow refuses it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    try:
        if path.suffix == ".parquet":
            table = _parquet(path, [column])
        else:
            options = csv.ConvertOptions(column_types={column: pa.string()}, include_columns=[column])
            table = csv.read_csv(path, convert_options=options)
    except (pa.ArrowInvalid, OSError) as error:
        raise Unreadable(_first_line(error)) from error
    encoded = pc.dictionary_encode(table[column].combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = _values(encoded.indices, np.int32).astype(np.int64)
    if encoded.indices.null_count:  # fill_null() would import pandas
        codes[_is_null(encoded.indices)] = -1
    return codes, encoded.dictionary.to_pylist()


def _parquet(path: Path, names: list[str]) -> Any:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:  # read_table() would import pandas
        return file.read(columns=names)


def _table(path: Path, time: str, numbers: Sequence[str], is_intraday: bool) -> Any:
    if path.suffix == ".parquet":
        return _parquet(path, [time, *numbers])
    import pyarrow as pa

    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # no copy of a large file
    if is_intraday and content.find(b'"') < 0:
        try:
            table = _csv_table(content, time, numbers, pa.timestamp("ns", "UTC"), quoted=False)
        except pa.ArrowInvalid:
            pass  # stamps without a zone, or something wrong: read as text and looked at one by one
        else:
            # Every stamp ends with Z, so they are of one zone; else the zones themselves must be compared.
            if _count(content, ord("Z")) == len(table):
                return table
    return _csv_table(content, time, numbers, pa.string(), quoted=True)


def _count(content: mmap.mmap, byte: int) -> int:
    raw = np.frombuffer(content, dtype=np.uint8)
    step = 1 << 18  # what is compared stays within the cache
    return sum(int(np.count_nonzero(raw[i : i + step] == byte)) for i in range(0, len(raw), step))


def _csv_table(content: mmap.mmap, time: str, numbers: Sequence[str], kind: Any, *, quoted: bool) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    types = {time: kind, **dict.fromkeys(numbers, pa.float64())}
    convert = csv.ConvertOptions(column_types=types, include_columns=[time, *numbers], check_utf8=False)
    # One thread: a second one gains little wall time and costs a half more work.
    reading = csv.ReadOptions(use_threads=False, block_size=1 << 20)
    if quoted:
        return csv.read_csv(pa.BufferReader(pa.py_buffer(content)), read_options=reading, convert_options=convert)
    convert.null_values = []
    parse = csv.ParseOptions(quote_char=False, escape_char=False)
    return csv.read_csv(
        pa.BufferReader(pa.py_buffer(content)), read_options=reading, parse_options=parse, convert_options=convert
    )


def _stamps(times: Any, is_intraday: bool) -> Stamps:
    """Return the stamps as dates or as moments, by what the column holds."""
    import pyarrow as pa

    times = times.combine_chunks()
    if isinstance(times, pa.ChunkedArray):
        times = times.chunk(0) if times.num_chunks else pa.array([], times.type)
    kind = times.type
    if pa.types.is_date(kind):
        return Stamps("date", _filled(times.cast(pa.date32()).cast(pa.int32()), times, np.int32))
    if pa.types.is_timestamp(kind):
        zone = kind.tz and "UTC"
        moments = _filled(times.cast(pa.timestamp("ns", zone)), times, np.int64)
        if is_intraday:
            return Stamps("moment" if zone else "local", moments)
        known = moments[moments != MISSING]
        if not zone or not np.any(known % _DAY_NS):  # dates that a writer made moments of
            return Stamps("date", np.where(moments == MISSING, MISSING, moments // _DAY_NS))
        return Stamps("moment", moments)
    texts = times.cast(pa.string()).to_pylist()
    return _moments_of_text(texts, times) if is_intraday else _days_of_text(texts)


class BadStamp(Exception):
    """A stamp that is none; `row` is its 0-based place."""

    def __init__(self, row: int, fault: str, cure: str) -> None:
        super().__init__(fault)
        self.row, self.cure = row, cure


def _days_of_text(texts: list[str | None]) -> Stamps:
    days = np.full(len(texts), MISSING, dtype=np.int64)
    for i, text in enumerate(texts):
        if text:
            try:
                parsed = date.fromisoformat(text[:8] if text[:8].isdigit() else text[:10])
            except ValueError:
                raise BadStamp(i, f"{text!r} is no date", "write it as 2025-05-12") from None
            days[i] = parsed.toordinal() - _EPOCH_DAY
    return Stamps("date", days)


def _moments_of_text(texts: list[str | None], times: Any) -> Stamps:
    import pyarrow as pa

    zoned = has_zone(next((text for text in texts if text), ""))
    zone = "UTC" if zoned else None
    blank = [not text for text in texts]
    try:
        moments = _as_ns([text or None for text in texts], zone)
    except pa.ArrowInvalid:
        for i, text in enumerate(texts):
            try:
                _as_ns([text or None], zone)
            except pa.ArrowInvalid:
                raise BadStamp(
                    i, f"{text!r} is no moment like the first line's", "write it as 2025-05-12T13:30:00Z"
                ) from None
        raise
    moments[np.array(blank, dtype=bool)] = MISSING
    if not zoned:
        return Stamps("local", moments)
    ends = {text[-6:]: None for text in texts if text}
    east = {end: zone_seconds(end) for end in ends}
    return Stamps("moment", moments, np.array([east[text[-6:]] if text else 0 for text in texts], dtype=np.int64))


def _as_ns(texts: list[str | None], zone: str | None) -> IntArray:
    import pyarrow as pa

    times = pa.array(texts, pa.string()).cast(pa.timestamp("ns", zone))
    return _filled(times, times, np.int64)


def _filled(array: Any, times: Any, dtype: npt.DTypeLike) -> IntArray:
    """Return int64 of `array`, MISSING where `times` is null."""
    values = _values(array, dtype).astype(np.int64)
    if times.null_count:
        values[_is_null(times)] = MISSING
    return values


def _is_null(array: Any) -> npt.NDArray[np.bool_]:
    import pyarrow as pa

    return _values(array.is_null().cast(pa.uint8()), np.uint8).astype(bool)


# pyarrow's own to_numpy() and array() import pandas where it is installed, half a second for nothing;
# this goes through the buffers instead.
def _values(array: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return a copy of the fixed-width values of a pyarrow array; what stands at nulls means nothing."""
    return _view(array, dtype).copy()


def _view(array: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the same values where they stand."""
    size = np.dtype(dtype).itemsize
    if len(array) == 0:
        return np.empty(0, dtype=dtype)
    return np.frombuffer(array.buffers()[1], dtype, count=len(array), offset=array.offset * size)


def _floats(column: Any) -> FloatArray:
    """Return float64 of a numeric column, NaN where it is null."""
    import pyarrow as pa

    values = np.empty(len(column), dtype=np.float64)
    at = 0
    for chunk in column.chunks:
        part = chunk if chunk.type == pa.float64() else chunk.cast(pa.float64())
        values[at : at + len(part)] = _view(part, np.float64)
        if part.null_count:
            values[at : at + len(part)][_is_null(part)] = np.nan
        at += len(part)
    return values


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
