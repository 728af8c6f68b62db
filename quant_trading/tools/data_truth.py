"""`./desk data truth`: download a recorded day again and say what differs."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta

from quant_trading.data.bar_store import BarStore
from quant_trading.data.store import load_panel
from quant_trading.data.store_exchange import column_of
from quant_trading.data.store_manifest import stamp
from quant_trading.data.tracker_store import fold_journals
from quant_trading.data.truth import Truth, compare
from quant_trading.domain.bar_sizes import BarSize, parse_bar_size
from quant_trading.domain.bars import BarColumns
from quant_trading.domain.errors import DataGap, UsageError
from quant_trading.tools.data_commands import day_of, symbols_of

__all__ = ["truth"]

_WARM_UP_BARS = 300
_SESSION_SECONDS = 23_400
# Smaller bars come in many requests, which TWS counts: the downloader keeps that count, and its files are compared.
_SMALLEST_SECONDS = 60


def truth(options: argparse.Namespace) -> int:
    """Compare each symbol; 1 when anything differs or a symbol could not be compared."""
    symbols, day = symbols_of(options.symbols), day_of(options.day, "the day")
    if not symbols or day is None:
        raise UsageError(f"truth {options.symbols!r} {options.day!r}: name symbols and a day, AAPL,MSFT 2026-01-30")
    size = parse_bar_size(options.bar_size)
    if not size.is_intraday:
        raise UsageError(f"--bar-size {size.words}: bars of a day and more are not recorded live; name a smaller size")
    recorded = _recorded(options, symbols, size)
    served, why = _served(options, [symbol for symbol in symbols if symbol in recorded], size, day)
    truths, problems = [], []
    for symbol in symbols:
        try:
            if symbol not in recorded:
                raise DataGap(
                    f"{symbol}: no recorded bars of {size.words}; record some with market_data_tracker --record"
                )
            if symbol not in served:
                raise DataGap(why.get(symbol, f"{symbol}: no served bars of {size.words}"))
            truths.append(compare(symbol, day, recorded[symbol], served[symbol]))
        except DataGap as error:
            problems.append(str(error))
    if options.json:
        print(json.dumps({"truths": [_facts(found) for found in truths], "problems": problems}, indent=1))
    else:
        for found in truths:
            print("\n".join(_lines(found)))
        for problem in problems:
            print(f"not compared: {problem}")
    if not truths:
        raise DataGap(f"{options.symbols}: nothing could be compared; see above")
    return 0 if not problems and all(found.is_true for found in truths) else 1


def _recorded(options: argparse.Namespace, symbols: Sequence[str], size: BarSize) -> dict[str, BarColumns]:
    found: dict[str, BarColumns] = {}
    if options.recorded is None:
        for problem in fold_journals(options.store).problems:  # what a tracker has told but not stored yet
            print(f"recording: {problem}", file=sys.stderr)
    for symbol in symbols:
        if options.recorded is not None:
            try:
                found[symbol] = column_of(load_panel(options.recorded, [symbol], size.words), 0)
            except DataGap:
                continue
        else:
            bars = BarStore(options.store).columns(symbol, size.words, "LIVE", all_hours=options.all_hours)
            if bars is not None:
                found[symbol] = bars
    return found


def _served(
    options: argparse.Namespace, symbols: Sequence[str], size: BarSize, day: date
) -> tuple[dict[str, BarColumns], dict[str, str]]:
    """Return the bars of the day and of those before it, and why some symbols have none."""
    if not symbols:
        return {}, {}
    if options.served is not None:
        panel = load_panel(options.served, symbols, size.words, end=day, skip_missing=True)
        return {symbol: column_of(panel, j) for j, symbol in enumerate(panel.symbols)}, {}
    if size.seconds < _SMALLEST_SECONDS:
        raise UsageError(f"--bar-size {size.words}: fetch such bars first, and name their folder with --served")
    from quant_trading.core.account_guard import LIVE_PORTS
    from quant_trading.core.connect_options import endpoint_of
    from quant_trading.core.ibkr_account import IBKRAccount
    from quant_trading.refdata.sessions import at

    logging.basicConfig(level=logging.CRITICAL)  # the error that is printed says it all, once
    place = endpoint_of(options)
    account = IBKRAccount(
        "live" if place.port in LIVE_PORTS else "paper", client_id=place.client_id, host=place.host, port=place.port,
        expected_account=place.account or None, live_accounts=[name for name in (place.account,) if name],
        timeout_seconds=place.timeout_seconds,
    )  # fmt: skip
    sessions = 1 + -(-_WARM_UP_BARS * size.seconds // _SESSION_SECONDS)
    end = datetime.fromtimestamp(at(day + timedelta(days=1), "00:00") // 1_000_000_000, UTC)
    with account:
        panel = account.history(
            symbols, size.words, f"{sessions} D", end=end, all_hours=options.all_hours, skip_missing=True
        )
    gaps = dict(account.last_gaps)
    return {s: column_of(panel, j) for j, s in enumerate(panel.symbols) if s not in gaps}, gaps


def _lines(found: Truth) -> list[str]:
    """Return what a person reads about one symbol."""
    bars = found.equal + len(found.changed)
    signals = f"{found.changed_signals} of {len(found.served_crossings)} MACD signals would change"
    if not found.is_warm:
        signals += f" (only {found.warm_up_bars} bars of warm-up: the first ones depend on where it began)"
    lines = [
        f"{found.symbol} {found.day}: {len(found.changed)} of {bars} bars differ ({found.changed_prices} in price), "
        f"{len(found.only_served)} were not recorded, {len(found.only_recorded)} are not served; {signals}"
    ]
    for bar in found.changed[:5]:
        was, now = (" ".join(f"{value:g}" for value in side) for side in (bar.stored, bar.received))
        lines.append(f"  {stamp(bar.start_ns)} recorded {was} served {now}")
    if len(found.changed) > 5:
        lines.append(f"  and {len(found.changed) - 5} more; --json has them all")
    return lines


def _facts(found: Truth) -> dict[str, object]:
    def starts(moments: Sequence[int]) -> list[str]:
        return [stamp(ns) for ns in moments]

    facts: dict[str, object] = asdict(found) | {
        "day": str(found.day),
        "changed": [{"start": stamp(b.start_ns), "recorded": b.stored, "served": b.received} for b in found.changed],
        "only_recorded": starts(found.only_recorded), "only_served": starts(found.only_served),
        "changed_prices": found.changed_prices, "changed_signals": found.changed_signals,
    }  # fmt: skip
    for side in ("recorded_crossings", "served_crossings"):
        facts[side] = [{"start": stamp(c.start_ns), "is_up": c.is_up} for c in getattr(found, side)]
    return facts
