"""What a download is asked for on the command line."""

import os
import re
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from quant_trading.domain.bar_sizes import BarSize, Duration, parse_bar_size, parse_duration
from quant_trading.domain.errors import UsageError
from quant_trading.refdata.sessions import EXCHANGE_ZONE
from quant_trading.settings.home import home

__all__ = ["BAR_SIZE", "DURATION", "Request", "moment_of", "request_of"]

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
        options.all_hours, None if options.end_datetime is None else moment_of(options.end_datetime), folder,
        options.store or folder / "store", options.repair, options.refresh,
    )  # fmt: skip


def moment_of(text: str) -> int:
    """Return the moment that `--end-datetime` names, UTC ns; a date alone is the end of that day in New York.

    Raises:
        UsageError: when it names none.
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
    except (ValueError, ZoneInfoNotFoundError, OSError) as error:
        raise UsageError(
            f'--end-datetime {text!r} is no moment ({error}); write "20260130-21:00:00" (UTC), "2026-01-30 16:00" (New '
            'York), "20260130 16:00:00 US/Eastern" or 2026-01-30'
        ) from None
    return int(moment.timestamp()) * _SECOND_NS


def _day(text: str) -> str:
    return date.fromisoformat(text).isoformat()
