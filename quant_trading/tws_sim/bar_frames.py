"""The answer to a history request as bytes, whole columns at a time: a year of minutes has a hundred thousand rows.

Every number is put together from tables of up to four characters, one machine word each, with a filler wherever a
number is shorter than its place; the fillers are struck out of the whole message at the end. The layout table says
the same thing row by row; a test holds the two together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quant_trading.tws_sim.aggregate import rows
from quant_trading.tws_sim.fields import format_number
from quant_trading.tws_sim.history import HistoryAnswer, HistoryRow
from quant_trading.tws_sim.recent import Recent
from quant_trading.tws_sim.request_text import local_seconds
from quant_trading.tws_sim.tape import FloatArray, IntArray, TapeBars
from quant_trading.tws_sim.wire import MAX_FRAME, RAW_IDS_SINCE, encode_frame

__all__ = ["FinishedRows", "history_frame"]

_HISTORICAL_DATA = "17"
_SPAN_UNTIL = 196
_FILLER = "\x01"
_FILLERS = _FILLER.encode("ascii")
_SECOND_NS = 1_000_000_000
_DAY_SECONDS = 86_400
# Rows written at a time: half a megabyte, which stays near the processor.
_PIECE = 4096
# A year of days has 16 kilobytes.
_KEPT_ANSWERS = 600
_MICRO = 1_000_000
# To 2051; other dates are written one by one.
_DATED_DAYS = 30_000
_LARGEST_PRICE, _LARGEST_COUNT = 10**8, 10**12

WordArray = npt.NDArray[np.uint32]

Ahead = Callable[[IntArray], Sequence[TapeBars]]
"""Gives bars of some stamps."""


class FinishedRows:
    """The rows of day, week and month bars that are over, as bytes: whoever asks again is given them as they were."""

    def __init__(self) -> None:
        self._kept: Recent[bytes, bytes] = Recent(_KEPT_ANSWERS)

    def body(self, answer: HistoryAnswer, ahead: Ahead | None) -> bytes:
        """Return all rows of an answer as bytes; only the last one may still change."""
        last = len(answer.bars) - 1
        if answer.size.unit == "second" or not 0 < last < _PIECE:
            return b"".join(_pieces(answer))
        key = _key(answer.bars, last)
        found = self._kept.find(key)
        if found is None:
            over = rows(answer.bars, slice(0, last))
            others = ahead(over.start_ns) if ahead is not None else ()
            found, *more = _plain([over, *others])
            for other, text in zip(others, more, strict=True):
                if text is not None:
                    self._kept.keep(_key(other, last), text)
            found = self._kept.keep(key, found or b"".join(_pieces(replace(answer, bars=over))))
        return found + "".join(f"{text}\0" for text in _row_texts(answer.last_row())).encode("ascii")


def _key(bars: TapeBars, stop: int) -> bytes:
    """Return what tells the first `stop` bars from others; day bars bear their date alone, whatever is asked."""
    content = blake2b(digest_size=16)
    for column in (bars.start_ns, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.wap, bars.count):
        content.update(np.ascontiguousarray(column[:stop]).data)
    return content.digest()


def history_frame(
    answer: HistoryAnswer,
    req_id: int,
    version: int,
    finished: FinishedRows | None = None,
    ahead: Ahead | None = None,
) -> bytes | None:
    """Return the frame of a historicalData message, None for versions whose message ids are raw.

    Args:
        finished: keeps rows for the next request.
        ahead: gives bars for which that request may be; they are written along with these.
    """
    if version >= RAW_IDS_SINCE:
        return None
    span = (answer.start_text, answer.end_text) if version < _SPAN_UNTIL else ()
    head = (_HISTORICAL_DATA, str(req_id), *span, str(len(answer.bars)))
    try:
        body = b"".join(_pieces(answer)) if finished is None else finished.body(answer, ahead)
    except _Unusual:
        return encode_frame((*head, *_texts_one_by_one(answer)))
    payload = encode_frame(head)[4:] + body
    if len(payload) > MAX_FRAME:
        raise ValueError(f"a message of {len(payload)} bytes is larger than {MAX_FRAME}; answer in several messages")
    return len(payload).to_bytes(4, "big") + payload


class _Unusual(Exception):
    """A column has numbers the tables do not reach."""


class _Tables(NamedTuple):
    """Words by number, uint32 each.

    Attributes:
        lead: four digits and what precedes them is nothing, 0 is nothing, too; from 10000 on: all four digits.
        unit: the same, but 0 is "0".
        point: the point and the first three decimals, without zeros at the end; from 1000 on: all three.
        tail: the last three decimals and the end of the field.
        cents: the point, two decimals without zeros at the end, and the end of the field.
        pair: two digits.
        hour: " 09:".
        minute: "09:".
    """

    lead: WordArray
    unit: WordArray
    point: WordArray
    tail: WordArray
    cents: WordArray
    pair: WordArray
    hour: WordArray
    minute: WordArray


def _words(texts: Iterator[str]) -> WordArray:
    return np.frombuffer(_padded(texts, 4), dtype=np.uint32)


def _padded(texts: Iterator[str], width: int) -> bytes:
    return "".join([text.ljust(width, _FILLER) for text in texts]).encode("ascii")


@cache
def _tables() -> _Tables:
    four, three = range(10_000), range(1000)
    whole = [f"{n:04d}" for n in four]
    return _Tables(
        lead=_words(chain((str(n) if n else "" for n in four), whole)),
        unit=_words(chain((str(n) for n in four), whole)),
        point=_words(chain((f".{n:03d}".rstrip("0") if n else "" for n in three), (f".{n:03d}" for n in three))),
        tail=_words((f"{n:03d}".rstrip("0") if n else "") + "\0" for n in three),
        cents=_words((f".{n:02d}".rstrip("0") if n else "") + "\0" for n in range(100)),
        pair=_words(f"{n:02d}" for n in range(60)),
        hour=_words(f" {n:02d}:" for n in range(24)),
        minute=_words(f"{n:02d}:" for n in range(60)),
    )


@lru_cache(maxsize=64)
def _constant(text: str) -> WordArray:
    """Return the words of a field that is the same in every row, its end included."""
    data = text.encode("utf-8", errors="backslashreplace") + b"\0"
    return np.frombuffer(data.ljust(-(-len(data) // 4) * 4, _FILLERS), dtype=np.uint32)


def _pieces(answer: HistoryAnswer) -> Iterator[bytes]:
    """Give the rows of an answer as bytes, some thousand at a time."""
    write_dates = _date_writer(answer)
    for first in range(0, len(answer.bars), _PIECE):
        bars = rows(answer.bars, slice(first, first + _PIECE))
        dates = write_dates(bars.start_ns)
        # The four prices at once: row by row they are neighbours.
        prices = np.stack((bars.open, bars.high, bars.low, bars.close), axis=1)
        is_quote = bool((bars.wap == -1.0).all())
        wap = _constant("-1") if is_quote else _prices(np.round(bars.wap, 6))
        columns = [*_counts(bars.volume.astype(np.int64)), *wap, *_counts(bars.count)]
        words = _prices(prices)
        begin = len(dates)
        end = begin + len(words) * prices.shape[1]
        table = np.empty((len(bars), end + len(columns)), dtype=np.uint32)
        for place, word in enumerate(words):
            table[:, begin + place : end : len(words)] = word
        for place, column in chain(enumerate(dates), enumerate(columns, start=end)):
            table[:, place] = column
        yield table.tobytes().translate(None, _FILLERS)


def _plain(some: Sequence[TapeBars]) -> list[bytes | None]:
    """Return the rows of day, week or month bars, each such as nearly all stocks have; None where a number is unusual.

    Plain are prices below 10,000 with up to four decimals (cents, and the mean of four such prices) and shares and
    trades below 100 million. All are taken at once: a year has few rows, so every call of numpy counts.

    Args:
        some: bars of the same T dates.
    """
    fields = np.array([
        (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.wap, bars.count) for bars in some
    ])  # fmt: skip
    # As numpy rounds to six decimals.
    fields[:, _MEAN] = np.rint(fields[:, _MEAN] * _MICRO) / _MICRO
    units = np.rint(fields * _PLAIN_SCALE)
    is_plain = ((units >= 0.0) & (units < _PLAIN_UNITS) & (units / _PLAIN_SCALE == fields)).all(axis=(1, 2))
    if not is_plain.all():
        units = units[is_plain]
    # Prices at their point, counts before their last four digits.
    right = units.astype(np.int64)
    left = right // 10_000
    right -= left * 10_000
    before, behind = _plain_tables()
    right += _TO_COUNTS * (1 + (left > 0))
    left += _TO_COUNTS
    ends = behind[right].view(np.uint32)
    parts, columns, days = units.shape
    table = np.empty((parts, days, 3 * (columns + 1)), dtype=np.uint32)
    table[:, :, :3] = _dates_of(some[0].start_ns.tobytes())
    for place, words in ((3, before[left]), (4, ends[:, :, ::2]), (5, ends[:, :, 1::2])):
        table[:, :, place::3] = words.transpose(0, 2, 1)
    texts = iter(table)
    return [next(texts).tobytes().translate(None, _FILLERS) if plain else None for plain in is_plain.tolist()]


# Of open, high, low, close, volume, mean and trades: units in one, and where the words of counts begin.
_IS_COUNT = np.array([[False], [False], [False], [False], [True], [False], [True]])
_MEAN = 5
_PLAIN_UNITS, _PLAIN_SCALE, _TO_COUNTS = 10**8, np.where(_IS_COUNT, 1.0, 10_000.0), np.where(_IS_COUNT, 10_000, 0)


@cache
def _plain_tables() -> tuple[WordArray, npt.NDArray[np.uint64]]:
    """Return what stands before and what behind the cut through a plain number: a word, and two words in one.

    Before: prices in whole numbers, then, from 10,000 on, counts in ten thousands, of which 0 is nothing. Behind: the
    point and four decimals without zeros at the end; from 10,000 on the last digits of a count, from 20,000 on all
    four. The end of the field is behind, too.
    """
    tables, four = _tables(), range(10_000)
    texts = chain(
        (f".{n:04d}".rstrip("0") if n else "" for n in four), (str(n) for n in four), (f"{n:04d}" for n in four)
    )
    behind = np.frombuffer(_padded((f"{text}\0" for text in texts), 8), dtype=np.uint64)
    return np.concatenate((tables.unit[:10_000], tables.lead[:10_000])), behind


# Who asks for the days of one name asks for those of others.
@lru_cache(maxsize=8)
def _dates_of(stamps: bytes) -> WordArray:
    """Return the words of the dates of days, uint32[T, 3], from the bytes of their stamps."""
    days = np.frombuffer(stamps, dtype=np.int64) // (_DAY_SECONDS * _SECOND_NS)
    ends = np.broadcast_to(_constant(""), len(days))
    return np.stack((*_day_words(days), ends), axis=1)


def _date_writer(answer: HistoryAnswer) -> Callable[[IntArray], list[npt.NDArray[np.uint32]]]:
    """Return what writes the dates of an answer: columns of words."""
    tables, end = _tables(), list(_constant(""))

    def days(stamps: IntArray) -> list[WordArray]:
        return [*_day_words(stamps // (_DAY_SECONDS * _SECOND_NS)), *end]

    def epoch_seconds(stamps: IntArray) -> list[WordArray]:
        return _counts(stamps // _SECOND_NS)

    zone = list(_constant(f" {answer.zone}"))

    def moments(stamps: IntArray) -> list[WordArray]:
        local = local_seconds(stamps // _SECOND_NS, answer.zone)
        day = local // _DAY_SECONDS
        second = local - day * _DAY_SECONDS
        minute = second // 60
        hour = minute // 60
        clock = [tables.hour[hour], tables.minute[minute - hour * 60], tables.pair[second - minute * 60]]
        return [*_day_words(day)[0 if answer.format_date == 1 else 1 :], *clock, *zone]

    if answer.size.unit != "second":
        return days
    return epoch_seconds if answer.format_date == 2 else moments


def _day_words(days: IntArray) -> list[WordArray]:
    """Return year, month and day of days since 1970 as two columns."""
    if not 0 <= int(days[0]) <= int(days[-1]) < _DATED_DAYS:
        raise _Unusual
    years, dates = _dated_days()
    return [years[days], dates[days]]


@cache
def _dated_days() -> tuple[WordArray, WordArray]:
    """Return "2025" and "1008" for each day since 1970."""
    whole = _tables().unit[10_000:]
    days = np.arange(_DATED_DAYS).astype("datetime64[D]")
    years, months = days.astype("datetime64[Y]"), days.astype("datetime64[M]")
    dates = ((months - years).astype(np.int64) + 1) * 100 + (days - months).astype(np.int64) + 1
    return whole[years.astype(np.int64) + 1970], whole[dates]


def _prices(values: FloatArray) -> list[WordArray]:
    """Return prices with up to six decimals as two to four words each."""
    if len(values) and not 0.0 <= values.min() <= values.max() < _LARGEST_PRICE:
        raise _Unusual
    cents = np.rint(values * 100)
    if (cents / 100 == values).all():
        return _cents(cents.astype(np.int64))
    micro = np.rint(values * _MICRO)
    if not (micro / _MICRO == values).all():
        raise _Unusual
    tables = _tables()
    ticks = micro.astype(np.int64)
    whole = ticks // _MICRO
    decimals = ticks - whole * _MICRO
    first = decimals // 1000
    last = decimals - first * 1000
    return [*_whole(whole), tables.point[first + 1000 * (last > 0)], tables.tail[last]]


def _cents(cents: IntArray) -> list[WordArray]:
    """Return prices in cents as words, ends of the fields included: nearly all prices are such."""
    whole = cents // 100
    return [*_whole(whole), _tables().cents[cents - whole * 100]]


def _whole(whole: IntArray) -> list[WordArray]:
    """Return numbers of up to eight digits as one word each or, where some are longer than four, two."""
    tables = _tables()
    if len(whole) == 0 or whole.max() < 10_000:
        return [tables.unit[whole]]
    upper = whole // 10_000
    return [tables.lead[upper], tables.unit[whole - upper * 10_000 + 10_000 * (upper > 0)]]


def _counts(values: IntArray) -> list[WordArray]:
    """Return a column of whole numbers as columns of words."""
    if len(values) == 0:
        return list(_constant(""))
    least, most = int(values.min()), int(values.max())
    if least == most:
        return list(_constant(str(least)))
    if least < 0 or most >= _LARGEST_COUNT:
        raise _Unusual
    tables, end = _tables(), list(_constant(""))
    if most < 10_000:
        return [tables.unit[values], *end]
    upper = values // 10_000
    units = tables.unit[values - upper * 10_000 + 10_000 * (upper > 0)]
    if most < 10**8:
        return [tables.lead[upper], units, *end]
    highest = upper // 10_000
    return [tables.lead[highest], tables.lead[upper - highest * 10_000 + 10_000 * (highest > 0)], units, *end]


def _texts_one_by_one(answer: HistoryAnswer) -> Iterator[str]:
    """Give the fields of the rows as TWS writes them."""
    return chain.from_iterable(map(_row_texts, answer.rows))


def _row_texts(row: HistoryRow | None) -> Iterator[str]:
    """Give the fields of a row as TWS writes them: without an exponent, without needless zeros."""
    assert row is not None, "asked for rows that are there"
    yield row.date
    for value in row[1:]:
        text = repr(value)
        assert isinstance(value, float | int), "all but the date are numbers"
        yield text[:-2] if text.endswith(".0") else format_number(value) if "e" in text else text
