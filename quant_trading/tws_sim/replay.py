"""A market read from files: it serves their bars and larger ones, and never invents history.

Smaller sizes than the file's are not served (TWS's error 162). Quotes and fills within a bar are refined from
it, the same on every run; the spread is synthetic. Where a symbol has several sizes, day bars come from the
daily file, orders meet the finest one.
"""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quant_trading.refdata.sessions import FIRST_SESSION_DAY, LAST_SESSION_DAY, at, exchange_date, session_on
from quant_trading.tws_sim.actions import Actions, read_actions
from quant_trading.tws_sim.aggregate import aggregate, concat, rows, scaled
from quant_trading.tws_sim.barfiles import FileBars, read_bar_file
from quant_trading.tws_sim.days import Days
from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.noise import keys_at, mix, name_key
from quant_trading.tws_sim.refine import refine
from quant_trading.tws_sim.series import DAY_SECONDS, SECOND_NS, Series, spread_ticks
from quant_trading.tws_sim.tape import Contract, FloatArray, IntArray, SourceError, TapeBars
from quant_trading.tws_sim.universe import LISTINGS, contract_of

__all__ = ["SPREAD_BPS", "replay_tape"]

# The synthetic spread of replayed names: 2 basis points, one tick at least.
SPREAD_BPS = 2.0
_DAY_NS = DAY_SECONDS * SECOND_NS
_STREAM_MINUTES = 4
_SUFFIXES = (".parquet", ".csv")


def replay_tape(path: Path, actions_path: Path | None = None, basis: str = "traded") -> SeriesTape:
    """Return the market of a file of bars or of a folder of such files (its own files, not subfolders').

    Args:
        actions_path: CSV of splits and dividends (symbol, ex_date, kind, value); amounts are as they were paid.
        basis: what the prices of the files are: "traded", or "split" when they are adjusted for all splits of
            `actions_path` already, as daily bars that were downloaded later are.

    Raises:
        SourceError: nothing usable there, or the same symbol and size twice.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())
        if not files:
            raise SourceError(
                f"source {path}: no .parquet or .csv file in this folder; name the folder that holds bars"
            )
    elif path.is_file() and path.suffix.lower() in _SUFFIXES:
        files = [path]
    elif path.exists():
        raise SourceError(
            f"source {path}: not a .parquet or .csv file; write seed:N, a file of bars or a folder of them"
        )
    else:
        raise SourceError(f"source {path}: no such file or folder; write seed:N, a file of bars or a folder of them")

    if basis not in ("traded", "split"):
        raise SourceError(f"source {path}: basis {basis!r} is unknown; write traded or split")
    actions_of = read_actions(actions_path) if actions_path is not None else None
    by_symbol: dict[str, dict[int, FileBars]] = {}
    for file in [file for file in files if file != actions_path]:
        for found in read_bar_file(file):
            sizes = by_symbol.setdefault(found.symbol, {})
            if found.seconds in sizes:
                raise SourceError(
                    f"source {path}: {found.symbol} bars of {_size_text(found.seconds)} are both in "
                    f"{sizes[found.seconds].path.name} and in {file.name}; keep one of the two files"
                )
            sizes[found.seconds] = found
    if actions_of is not None and basis == "split":
        by_symbol = {
            symbol: {seconds: _undone(found, actions_of(symbol)) for seconds, found in sizes.items()}
            for symbol, sizes in by_symbol.items()
        }
    contracts = _contracts(by_symbol)

    def load(contract: Contract) -> tuple[Series, ...]:
        return _all_series(contracts[contract])

    last = max(
        (_end_ns(found) for sizes in by_symbol.values() for found in sizes.values() if len(found.bars)), default=None
    )
    if last is None:
        raise SourceError(f"source {path}: no bar in it; name a file or folder that holds bars")
    if actions_of is None:
        return SeriesTape(tuple(contracts), load, last)
    return SeriesTape(tuple(contracts), load, last, lambda contract: actions_of(contract.symbol))


def _undone(found: FileBars, actions: Actions) -> FileBars:
    """Return bars that were adjusted for all splits as they were traded."""
    if not len(found.bars):
        return found
    stamps = _day_numbers(found.bars.start_ns) * _DAY_NS if found.seconds < DAY_SECONDS else found.bars.start_ns
    shares = actions.split_factor(stamps, 1 << 62)
    if (shares == 1.0).all():
        return found
    return replace(found, bars=scaled(found.bars, shares, 1.0 / shares))


def _contracts(by_symbol: dict[str, dict[int, FileBars]]) -> dict[Contract, dict[int, FileBars]]:
    """Return the contracts of the symbols, in alphabetic order, each with an id of its own."""
    contracts: dict[Contract, dict[int, FileBars]] = {}
    used: set[int] = set()
    for symbol in sorted(by_symbol):
        contract = _contract(symbol, by_symbol[symbol])
        while contract.con_id in used:
            # Ids come from names; of thousands of symbols two may share one.
            contract = replace(contract, con_id=contract.con_id + 1)
        used.add(contract.con_id)
        contracts[contract] = by_symbol[symbol]
    return contracts


def _size_text(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _contract(symbol: str, sizes: dict[int, FileBars]) -> Contract:
    lowest = min((float(found.bars.low.min()) for found in sizes.values() if len(found.bars)), default=1.0)
    tick = Decimal("0.01") if lowest >= 1 else Decimal("0.0001")
    known = next((row for row in LISTINGS if row.symbol == symbol and row.currency == "USD"), None)
    if known is None:
        return contract_of(symbol, min_tick=tick)
    return contract_of(
        symbol,
        name=known.name,
        primary_exchange=known.primary_exchange,
        sector=known.sector,
        stock_type=known.stock_type,
        min_tick=tick,
    )


def _end_ns(found: FileBars) -> int:
    last = int(found.bars.start_ns[-1])
    if found.seconds < DAY_SECONDS:
        return last + found.seconds * SECOND_NS
    return _span_of(date(1970, 1, 1) + timedelta(days=last // _DAY_NS))[1]


def _span_of(day: date) -> tuple[int, int]:
    """Return open and close of the day; a bar on a day the exchange was shut keeps the usual hours."""
    session = session_on(day) if FIRST_SESSION_DAY <= day <= LAST_SESSION_DAY else None
    return (session.open_ns, session.close_ns) if session else (at(day, "09:30"), at(day, "16:00"))


def _all_series(sizes: dict[int, FileBars]) -> tuple[Series, ...]:
    """Return the series of a symbol, coarsest first."""
    series = []
    for seconds in sorted(sizes, reverse=True):
        found = sizes[seconds]
        if len(found.bars):
            series.append(_daily_series(found) if seconds == DAY_SECONDS else _intraday_series(found))
    return tuple(series)


def _scale(bars: TapeBars) -> int:
    return 100 if float(bars.low.min()) >= 1.0 else 10_000


def _daily_series(found: FileBars) -> Series:
    days = found.bars
    spans = [_span_of(date(1970, 1, 1) + timedelta(days=int(stamp) // _DAY_NS)) for stamp in days.start_ns]
    open_ns, close_ns = (np.array(column, dtype=np.int64) for column in zip(*spans, strict=True))
    key, scale = name_key(found.symbol), _scale(days)

    def load_blocks(first: int, last: int, use_rth: bool) -> TapeBars:
        parts = []
        for day in range(first, last):
            n = int(close_ns[day] - open_ns[day]) // (60 * SECOND_NS)
            parent = replace(rows(days, slice(day, day + 1)), start_ns=open_ns[day : day + 1])
            keys = keys_at(mix(key, _STREAM_MINUTES), parent.start_ns // SECOND_NS)
            always = np.ones(1, dtype=np.bool_)
            parts.append(refine(parent, n, 60, keys, np.full(n, 1.0 / n), parent.open, always, scale))
        return concat(parts)

    return Series(
        key=key,
        days=Days(days),
        open_ns=open_ns,
        close_ns=close_ns,
        block_seconds=60,
        finest_seconds=DAY_SECONDS,
        spread=_spread(days, scale),
        scale=scale,
        load_blocks=load_blocks,
    )


def _intraday_series(found: FileBars) -> Series:
    bars, scale = found.bars, _scale(found.bars)
    number = _day_numbers(bars.start_ns)
    regular = _is_regular(bars, number)
    whole_days = np.unique(number[regular]) if regular.any() else np.unique(number)
    dates = [date(1970, 1, 1) + timedelta(days=int(day)) for day in whole_days]
    open_ns, close_ns = (
        np.array(column, dtype=np.int64) for column in zip(*(_span_of(day) for day in dates), strict=True)
    )
    inside = rows(bars, regular)
    days = aggregate(inside, number[regular])
    days = replace(days, start_ns=whole_days[: len(days)] * _DAY_NS)
    begin_regular, end_regular = _bounds(number[regular], whole_days)
    begin_all, end_all = _bounds(number, whole_days)

    def load_blocks(first: int, last: int, use_rth: bool) -> TapeBars:
        if use_rth:
            return rows(inside, slice(int(begin_regular[first]), int(end_regular[last - 1])))
        return rows(bars, slice(int(begin_all[first]), int(end_all[last - 1])))

    def load_all_hours(first: int, last: int) -> TapeBars:
        span = slice(int(begin_all[first]), int(end_all[last - 1]))
        return replace(aggregate(rows(bars, span), number[span]), start_ns=days.start_ns[first:last])

    return Series(
        key=mix(name_key(found.symbol), found.seconds),
        days=Days(days),
        open_ns=open_ns,
        close_ns=close_ns,
        block_seconds=found.seconds,
        finest_seconds=found.seconds,
        spread=_spread(days, scale),
        scale=scale,
        load_blocks=load_blocks,
        load_all_hours=load_all_hours,
    )


def _spread(days: TapeBars, scale: int) -> IntArray:
    previous: FloatArray = np.concatenate([days.open[:1], days.close[:-1]])
    return spread_ticks(previous, SPREAD_BPS, scale)


def _bounds(number: IntArray, days: IntArray) -> tuple[IntArray, IntArray]:
    return np.searchsorted(number, days), np.searchsorted(number, days, side="right")


def _day_numbers(start_ns: IntArray) -> IntArray:
    """Return the exchange date of each stamp as days since 1970."""
    # New York is four or five hours behind UTC; the hour in doubt (03:00 to 05:00 UTC) is looked up.
    number = (start_ns - 5 * 3600 * SECOND_NS) // _DAY_NS
    in_doubt = np.flatnonzero((start_ns - 4 * 3600 * SECOND_NS) // _DAY_NS != number)
    for row in in_doubt.tolist():
        number[row] = (exchange_date(int(start_ns[row])) - date(1970, 1, 1)).days
    return number


def _is_regular(bars: TapeBars, number: IntArray) -> npt.NDArray[np.bool_]:
    days, position = np.unique(number, return_inverse=True)
    spans = np.array([_span_of(date(1970, 1, 1) + timedelta(days=int(day))) for day in days], dtype=np.int64)
    return np.asarray((bars.start_ns >= spans[position, 0]) & (bars.start_ns < spans[position, 1]))
