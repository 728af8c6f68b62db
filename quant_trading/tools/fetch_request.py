"""What a download is asked for on the command line."""

import os
import re
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from quant_trading.domain.bar_sizes import BarSize, Duration, parse_bar_size, parse_duration
from quant_trading.domain.errors import ConfigError, UsageError
from quant_trading.refdata.sessions import EXCHANGE_ZONE, FIRST_SESSION_DAY, exchange_date
from quant_trading.settings.home import home

__all__ = ["BAR_SIZE", "DURATION", "Request", "check_place", "moment_of", "request_of"]

DURATION, BAR_SIZE = "1 Y", "5 mins"
_SECOND_NS = 1_000_000_000
_UTC_FORM = re.compile(r"(\d{8})-(\d{2}:\d{2}:\d{2})")
_ZONED_FORM = re.compile(
    r"(?P<day>\d{8}|\d{4}-\d{2}-\d{2})"
    r"(?:[ T](?P<clock>\d{2}:\d{2}(?::\d{2})?)(?P<offset>Z|[+-]\d{2}:\d{2})?)?"
    r"(?: (?P<zone>[A-Za-z][\w/+-]*))?"
)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for.

    Attributes:
        symbols: as users write them, each once; a share class as BRK.B, also when it was given as "BRK B".
        duration: None with --repair only: all that is known already.
        end_ns: UTC ns, None is now.
        folder, store: where CSV files and the store lie.
    """

    symbols: tuple[str, ...]
    size: BarSize
    duration: Duration | None
    what: str
    all_hours: bool
    end_ns: int | None
    folder: Path
    store: Path
    repair: bool
    refresh: bool


def request_of(options: Namespace, environ: Mapping[str, str] = os.environ) -> Request:
    """Return what the options ask for.

    Raises:
        UsageError: when one of them cannot be understood.
    """
    words = [".".join(word.upper().split()) for text in options.symbols for word in text.split(",")]
    symbols = tuple(dict.fromkeys(word for word in words if word))
    if not symbols:
        raise UsageError(f"--symbols {' '.join(options.symbols)}: names none; write for example --symbols SMR AAPL")
    folder = options.output_dir or home(environ) / "market_data"
    duration = options.duration or (None if options.repair else DURATION)
    return Request(
        symbols, parse_bar_size(options.bar_size), None if duration is None else parse_duration(duration), options.what,
        options.all_hours, None if options.end_datetime is None else _end_of(options.end_datetime), folder,
        options.store or folder / "store", options.repair, options.refresh,
    )  # fmt: skip


def check_place(folder: Path, option: str) -> None:
    """Raise ConfigError when nothing can be written into a folder, or below the one it would be made in.

    Nothing is left there; it is asked before connecting, so that no bar is fetched in vain.
    """
    place = next((one for one in (folder, *folder.absolute().parents) if one.exists()), folder)
    try:
        with TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ConfigError(
            f"{option} {folder} cannot be written ({place}: {error.strerror}); name another folder, or free this one"
        ) from error


def _end_of(text: str) -> int:
    end_ns = moment_of(text)
    if exchange_date(end_ns) <= FIRST_SESSION_DAY:
        raise UsageError(
            f"--end-datetime {text} lies before the desk's calendar of sessions begins ({FIRST_SESSION_DAY}), and so "
            "do all bars up to it; name a later end"
        )
    return end_ns


def moment_of(text: str) -> int:
    """Return the moment that `--end-datetime` names, UTC ns; a date alone is the end of that day in New York.

    Raises:
        UsageError: when it names none, or a time that a change of the clock leaves out or repeats.
    """
    given = " ".join(text.split())
    utc, zoned = _UTC_FORM.fullmatch(given), _ZONED_FORM.fullmatch(given)
    try:
        if utc is not None:
            moment = datetime.fromisoformat(f"{_day(utc[1])}T{utc[2]}+00:00")
        elif zoned is None or bool(zoned["zone"]) > bool(zoned["clock"]) or (zoned["zone"] and zoned["offset"]):
            raise ValueError("no such form")
        elif zoned["clock"] is None:
            moment = datetime.fromisoformat(_day(zoned["day"])).replace(tzinfo=EXCHANGE_ZONE) + timedelta(days=1)
        else:
            moment = datetime.fromisoformat(f"{_day(zoned['day'])}T{zoned['clock']}{zoned['offset'] or ''}")
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=ZoneInfo(zoned["zone"]) if zoned["zone"] else EXCHANGE_ZONE)
                _check_clock(text, moment)
    except (ValueError, OverflowError, ZoneInfoNotFoundError, OSError) as error:
        raise UsageError(
            f'--end-datetime {text!r} is no moment ({error}); write "20260130-21:00:00" (UTC), "2026-01-30 16:00" (New '
            'York), "20260130 16:00:00 US/Eastern" or 2026-01-30'
        ) from None
    return int(moment.timestamp()) * _SECOND_NS


def _check_clock(text: str, moment: datetime) -> None:
    """Raise UsageError when the clock of the moment's zone never shows it, or shows it twice."""
    both = [moment.replace(fold=fold) for fold in (0, 1)]
    if both[0].utcoffset() == both[1].utcoffset():
        return
    # Where the clock goes forward, what it leaves out comes back from UTC as another time.
    comes_back = both[0].astimezone(UTC).astimezone(moment.tzinfo).replace(tzinfo=None)
    is_left_out = comes_back != moment.replace(tzinfo=None)
    fault = "is left out" if is_left_out else "occurs twice"
    first, second = (f"{one.astimezone(UTC):%Y%m%d-%H:%M:%S}" for one in sorted(both, key=datetime.timestamp))
    raise UsageError(
        f"--end-datetime {text!r} {fault} by the change of the clock in {moment.tzinfo}; write it in UTC, {first} or "
        f"{second}"
    )


def _day(text: str) -> str:
    return date.fromisoformat(text).isoformat()
