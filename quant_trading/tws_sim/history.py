"""Answers to history requests, apart from the wire: words in, formatted rows or an error code out.

Documented: sizes, durations, end times, day bars always dated yyyyMMdd, the partial bar of a running session,
the error codes. Reported: weeks and months dated by their last session. Assumed: seconds are counted in
trading time; "1 Y" reaches back to the day after the same date a year ago; wording of rarer errors.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from quant_trading.refdata.sessions import (
    EXCHANGE_ZONE,
    FIRST_SESSION_DAY,
    LAST_SESSION_DAY,
    Session,
    SessionRangeError,
    at,
    exchange_date,
)
from quant_trading.tws_sim.barsize import DAY, LEGAL_SIZES_TEXT, parse_bar_size
from quant_trading.tws_sim.hours import Calendar, calendar_of
from quant_trading.tws_sim.request_text import (
    BAD_END_TEXT,
    Duration,
    day_text,
    format_head,
    format_moment,
    parse_duration,
    parse_end,
)
from quant_trading.tws_sim.tape import BarSize, Contract, Tape, TapeBars, What
from quant_trading.tws_sim.times import to_utc

__all__ = [
    "HistoryAnswer",
    "HistoryError",
    "HistoryRequest",
    "HistoryRow",
    "Schedule",
    "head_timestamp",
    "running_bar",
    "serve_history",
    "serve_schedule",
]

_SECOND_NS = 1_000_000_000
_HOUR_NS = 3600 * _SECOND_NS
_MAX_SECONDS, _MAX_SECONDS_OF_1S_BARS, _MAX_DAYS, _MAX_WEEKS, _MAX_MONTHS, _MAX_YEARS = 86_400, 2_000, 365, 52, 12, 68
# The smallest bars IBKR's table of durations offers with each unit, in seconds.
_SMALLEST_BARS = {"S": 1, "D": 5, "W": 10, "M": 30, "Y": 60}
_UPDATING = (What.TRADES, What.MIDPOINT, What.BID, What.ASK)
# Words TWS knows which no stock has data for.
_OTHER_WHATS = (
    "HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY", "FEE_RATE",
    "YIELD_BID", "YIELD_ASK", "YIELD_BID_ASK", "YIELD_LAST",
)  # fmt: skip
_HMDS = "Historical Market Data Service error message:"


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """One reqHistoricalData, in the client's words; the contract is already resolved."""

    contract: Contract
    end_text: str
    duration_text: str
    size_text: str
    what_text: str
    use_rth: bool
    format_date: int = 1
    keep_up_to_date: bool = False


# A tuple: a year of minutes has a hundred thousand of them.
class HistoryRow(NamedTuple):
    """One bar as TWS sends it: volume, wap and count are -1 on quote bars, volume is whole shares."""

    date: str
    open: float
    high: float
    low: float
    close: float
    volume: int
    wap: float
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody asks a bar


@dataclass(frozen=True, slots=True)
class HistoryAnswer:
    """The bars of a request and the span they were asked for, in the request's date format.

    Attributes:
        size, format_date, zone: how the dates of the bars are written.
    """

    start_text: str
    end_text: str
    bars: TapeBars
    size: BarSize
    format_date: int
    zone: str

    @property
    def rows(self) -> tuple[HistoryRow, ...]:
        """The bars one by one, as TWS sends them."""
        return _rows(self.bars, self.size, self.format_date, self.zone)

    def last_row(self) -> HistoryRow | None:
        """Return the newest bar, None without any."""
        last = len(self.bars) - 1
        return None if last < 0 else _row(self.bars, last, self.size, self.format_date, self.zone)


@dataclass(frozen=True, slots=True)
class HistoryError:
    """Why a request is refused: TWS's code and words."""

    code: int
    text: str


def serve_history(tape: Tape, request: HistoryRequest, now_ns: int) -> HistoryAnswer | HistoryError:
    """Return the bars of a request made at the simulated `now_ns`; an empty end or a later one means now."""
    parsed = _parse(request)
    if isinstance(parsed, HistoryError):
        return parsed
    size, duration, what = parsed
    end_ns = parse_end(request.end_text, now_ns)
    if end_ns is None:
        return HistoryError(10314, BAD_END_TEXT)
    contract, use_rth = request.contract, request.use_rth
    span = _span_of(duration, size, min(end_ns, now_ns), use_rth, calendar_of(contract), request.format_date,
                    contract.time_zone_id)  # fmt: skip
    bars = None
    if span is not None:
        with suppress(SessionRangeError):
            bars = tape.bars(contract, size, what, span.start_ns, span.end_ns, use_rth, now_ns)
    if span is None or bars is None or (len(bars) == 0 and not request.keep_up_to_date):
        return HistoryError(162, _no_data(contract, what))
    return HistoryAnswer(
        start_text=span.start_text,
        end_text=span.end_text,
        bars=bars,
        size=size,
        format_date=request.format_date,
        zone=contract.time_zone_id,
    )


def running_bar(tape: Tape, request: HistoryRequest, now_ns: int) -> HistoryRow | None:
    """Return the newest bar of a kept-up-to-date request as of `now_ns`, None when nothing trades.

    After a bar has ended, its last state is what a call at its end returns; the next bar begins with its
    first second.
    """
    parsed = _parse(request)
    if isinstance(parsed, HistoryError):
        return None
    size, _, what = parsed
    back_ns = max(size.count * _SECOND_NS, _HOUR_NS) if size.unit == "second" else 40 * 24 * _HOUR_NS
    bars = tape.bars(request.contract, size, what, now_ns - back_ns, now_ns, request.use_rth)
    if bars is None or len(bars) == 0:
        return None
    last = len(bars) - 1
    return _row(bars, last, size, request.format_date, request.contract.time_zone_id)


def head_timestamp(
    tape: Tape, contract: Contract, what_text: str, use_rth: bool, format_date: int
) -> str | HistoryError:
    """Return the earliest moment of data: "yyyymmdd-hh:mm:ss" in UTC, or epoch seconds for format 2."""
    what = _what(what_text, contract.sec_type)
    if isinstance(what, HistoryError):
        return what
    head_ns = tape.head_ns(contract, what)
    if head_ns is None:
        return HistoryError(162, f"{_HMDS}No head time stamp")
    if not use_rth and tape.bars(contract, DAY, what, 0, head_ns, False):
        head_ns = at(exchange_date(head_ns), "04:00")
    return format_head(head_ns, format_date)


def _parse(request: HistoryRequest) -> tuple[BarSize, Duration, What] | HistoryError:
    """Return what the words of a request mean, or the error TWS answers them with."""
    size = parse_bar_size(request.size_text)
    if size is None:
        return _invalid(f"Historical data bar size setting is invalid. Legal ones are: {LEGAL_SIZES_TEXT}")
    duration = parse_duration(request.duration_text)
    if duration is None:
        return _invalid(
            f"Historical data query duration {request.duration_text!r} is invalid. "
            "Format is integer SPACE unit (S|D|W|M|Y)"
        )
    what = _what(request.what_text, request.contract.sec_type)
    if isinstance(what, HistoryError):
        return what
    if request.format_date not in (1, 2, 3):
        return _invalid(f"Historical data date format {request.format_date} is invalid. Legal ones are: 1, 2, 3")
    refused = _refused_combination(request, size, duration, what)
    return refused or (size, duration, what)


def _what(text: str, sec_type: str) -> What | HistoryError:
    words = text.strip().upper()
    if sec_type == "CRYPTO" and words in ("TRADES", "AGGTRADES"):
        if words == "AGGTRADES":
            return What.TRADES
        return HistoryError(10299, "Expected what to show is AGGTRADES, please use that instead of TRADES.")
    if words in What.__members__:
        return What[words]
    if words == "AGGTRADES":
        return HistoryError(10299, "Expected what to show is TRADES, please use that instead of AGGTRADES.")
    if words in _OTHER_WHATS:
        return HistoryError(162, f"{_HMDS}No data of type {words} is available for this contract")
    legal = ", ".join(what.value for what in What)
    return _invalid(f"Historical data what to show {text!r} is invalid. Legal ones are: {legal}")


def _refused_combination(request: HistoryRequest, size: BarSize, duration: Duration, what: What) -> HistoryError | None:
    count, unit = duration.count, duration.unit
    if unit == "S" and count > _MAX_SECONDS:
        return _invalid("Historical data requests for durations longer than 86400 seconds must be made in days.")
    if unit == "D" and count > _MAX_DAYS:
        return _invalid("Historical data requests for durations longer than 365 days must be made in years.")
    if unit == "W" and count > _MAX_WEEKS:
        return _invalid("Historical data requests for durations longer than 52 weeks must be made in years.")
    if unit == "M" and count > _MAX_MONTHS:
        return _invalid("Historical data requests for durations longer than 12 months must be made in years.")
    if unit == "Y" and count > _MAX_YEARS:
        return _invalid(f"Historical data requests for durations longer than {_MAX_YEARS} years are not supported.")
    if size.unit == "second":
        too_fine = size.count < _SMALLEST_BARS[unit]
        if too_fine or (size.count == 1 and count > _MAX_SECONDS_OF_1S_BARS):
            return HistoryError(162, f"{_HMDS}Time length exceed max.")
    ended = bool(request.end_text.strip())
    if ended and request.contract.sec_type == "CONTFUT":
        return HistoryError(10339, "Setting end date/time for continuous future security type is not allowed.")
    if what is What.ADJUSTED_LAST and ended:
        return _invalid("End date not supported with adjusted last")
    if request.keep_up_to_date:
        if ended:
            return _invalid("End date not supported with keep up to date")
        if what not in _UPDATING:
            return _invalid(f"Keep up to date is not supported with {what.value}")
        if size.unit == "second" and size.count < 5:
            return _invalid("Keep up to date requires a bar size of 5 secs or more")
    return None


def _invalid(cause: str) -> HistoryError:
    return HistoryError(321, f"Error validating request.-'bN' : cause - {cause}")


def _no_data(contract: Contract, what: What) -> str:
    words = {What.TRADES: "Trades", What.MIDPOINT: "Midpoint", What.BID: "Bid", What.ASK: "Ask"}
    shown = words.get(what, "Bid_Ask" if what is What.BID_ASK else "Adjusted_Last")
    return f"{_HMDS}HMDS query returned no data: {contract.symbol}@{contract.exchange} {shown}"


@dataclass(frozen=True, slots=True)
class _Span:
    """The moments a request reaches between, UTC ns, and how the answer writes them."""

    start_ns: int
    end_ns: int
    start_text: str
    end_text: str


# Who asks for one name asks for others, at one simulated moment.
@lru_cache(maxsize=64)
def _span_of(
    duration: Duration, size: BarSize, end_ns: int, use_rth: bool, calendar: Calendar, format_date: int, zone: str
) -> _Span | None:
    """Return the span of a request; None where there is nothing to count back to, before the first session."""
    try:
        start_ns = _start_of(duration, size, end_ns, use_rth, calendar)
    except SessionRangeError:
        return None
    shown = start_ns if size.unit == "second" else at(_utc_date(start_ns), "00:00")
    return _Span(start_ns, end_ns, format_moment(shown, format_date, zone), format_moment(end_ns, format_date, zone))


def _start_of(duration: Duration, size: BarSize, end_ns: int, use_rth: bool, calendar: Calendar) -> int:
    """Return from when on bars are shown: for day bars a midnight in UTC, as their stamps are."""
    if duration.unit == "S" and size.unit == "second":
        return _seconds_back(duration.count, end_ns, use_rth, calendar)
    latest = _latest_begun(end_ns, use_rth, calendar)
    if duration.unit in "SD":
        days = duration.count if duration.unit == "D" else 1
        for _ in range(days - 1):
            latest = _session_at_or_before(latest.day - timedelta(days=1), calendar)
        first = latest.day
    else:
        first = duration.before(latest.day) + timedelta(days=1)
    if size.unit == "second":
        session = calendar.session_on(first)
        # What trades through the night begins its day on the evening before.
        return min(at(first, "00:00"), session.open_ns) if session is not None else at(first, "00:00")
    return (first - date(1970, 1, 1)).days * 24 * _HOUR_NS


def _utc_date(ns: int) -> date:
    return date(1970, 1, 1) + timedelta(days=ns // (24 * _HOUR_NS))


def _latest_begun(ns: int, use_rth: bool, calendar: Calendar) -> Session:
    """Return the latest session whose trading began before `ns`."""
    session = _session_at_or_before(exchange_date(ns) + timedelta(days=1), calendar)
    while calendar.span(session, use_rth)[0] >= ns:
        session = _session_at_or_before(session.day - timedelta(days=1), calendar)
    return session


def _session_at_or_before(day: date, calendar: Calendar) -> Session:
    day = min(day, LAST_SESSION_DAY)
    while (session := calendar.session_on(day)) is None:
        if day < FIRST_SESSION_DAY:
            raise SessionRangeError(f"{day} is before the table of sessions, which begins {FIRST_SESSION_DAY}")
        day -= timedelta(days=1)
    return session


def _seconds_back(seconds: int, end_ns: int, use_rth: bool, calendar: Calendar) -> int:
    """Return the moment from which `seconds` of trading time lead up to `end_ns`."""
    left = seconds * _SECOND_NS
    session = _latest_begun(end_ns, use_rth, calendar)
    while True:
        begins, ends = calendar.span(session, use_rth)
        until = min(ends, end_ns)
        if until - begins >= left:
            return until - left
        left -= until - begins
        session = _session_at_or_before(session.day - timedelta(days=1), calendar)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The sessions of a request, in New York time.

    Attributes:
        sessions: begin, end and date of each, "20260122-09:30:00", "20260122".
    """

    start_text: str
    end_text: str
    zone: str
    sessions: tuple[tuple[str, str, str], ...]


def serve_schedule(request: HistoryRequest, now_ns: int) -> Schedule | HistoryError:
    """Return when the contract trades within the span of the request; day bars only (documented)."""
    size, duration = parse_bar_size(request.size_text), parse_duration(request.duration_text)
    if size is None or size.unit != "day":
        return _invalid("Schedule is only supported with 1 day bars")
    if duration is None or duration.unit == "S":
        return _invalid(f"Historical data query duration {request.duration_text!r} is invalid for a schedule")
    end_ns = parse_end(request.end_text, now_ns)
    if end_ns is None:
        return HistoryError(10314, BAD_END_TEXT)
    calendar = calendar_of(request.contract)
    sessions: list[Session] = []
    with suppress(SessionRangeError):
        day = _utc_date(_start_of(duration, size, end_ns, request.use_rth, calendar))
        while day <= min(exchange_date(end_ns), LAST_SESSION_DAY):
            session = calendar.session_on(day)
            if session is not None:
                sessions.append(session)
            day += timedelta(days=1)
    if not sessions:
        return HistoryError(162, f"{_HMDS}HMDS query returned no data: {request.contract.symbol} Schedule")
    spans = [calendar.span(session, request.use_rth) for session in sessions]
    shown = tuple(
        (_wall(begins), _wall(ends), f"{session.day:%Y%m%d}")
        for (begins, ends), session in zip(spans, sessions, strict=True)
    )
    return Schedule(shown[0][0], shown[-1][1], request.contract.time_zone_id, shown)


def _wall(ns: int) -> str:
    return f"{to_utc(ns).astimezone(EXCHANGE_ZONE):%Y%m%d-%H:%M:%S}"


def _rows(bars: TapeBars, size: BarSize, format_date: int, zone: str) -> tuple[HistoryRow, ...]:
    dates = _dates(bars, size, format_date, zone)
    # A mean has more digits than anybody sends.
    wap = np.round(bars.wap, 6)
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume.astype(np.int64), wap, bars.count)
    return tuple(map(HistoryRow._make, zip(dates, *(column.tolist() for column in columns), strict=True)))


def _row(bars: TapeBars, index: int, size: BarSize, format_date: int, zone: str) -> HistoryRow:
    prices = bars.open.item(index), bars.high.item(index), bars.low.item(index), bars.close.item(index)
    # As numpy rounds a column of them.
    wap = round(bars.wap.item(index) * 1e6) / 1e6
    date_text = _date_of(bars.start_ns.item(index), size, format_date, zone)
    return HistoryRow(date_text, *prices, int(bars.volume.item(index)), wap, bars.count.item(index))


def _dates(bars: TapeBars, size: BarSize, format_date: int, zone: str) -> list[str]:
    return [_date_of(stamp, size, format_date, zone) for stamp in bars.start_ns.tolist()]


def _date_of(stamp: int, size: BarSize, format_date: int, zone: str) -> str:
    return day_text(stamp // (24 * _HOUR_NS)) if size.unit != "second" else format_moment(stamp, format_date, zone)
