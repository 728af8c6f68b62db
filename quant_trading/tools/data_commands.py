"""What `./desk data` does with the store: ls, check, repair, import, export, adjust."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

from quant_trading.data.bar_store import BarMeta, BarStore, Series
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.errors import DataGap, UsageError

__all__ = ["adjust", "bring_in", "check", "repair", "show_series", "take_out"]


def day_of(text: str | None, option: str) -> date | None:
    """Return the date of an option, None when it was not given."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text} is not a date; write 2026-01-30") from None


def symbols_of(text: str | None) -> list[str] | None:
    """Return the symbols of an option, None when it was not given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def show_series(options: argparse.Namespace) -> int:
    """List the series."""
    rows: list[dict[str, Any]] = []
    for series in BarStore(options.store).series():
        stored = series.manifest
        years = [stored.years[year] for year in sorted(stored.years)]
        rows.append(
            {
                "symbol": stored.symbol, "bar_size": stored.bar_size, "what": stored.what,
                "all_hours": stored.all_hours, "bars": stored.rows, "first": years[0].first, "last": years[-1].last,
                "bytes": series.size_bytes, "fetched_at": f"{stored.fetched_at:%Y-%m-%dT%H:%M:%SZ}",
                "sources": list(dict.fromkeys(source for year in years for source in year.sources)),
                "changed": _changed(series),
            }
        )  # fmt: skip
    if options.json:
        print(json.dumps({"store": str(options.store), "series": rows}, indent=1))
        return 0
    heading = ("symbol", "bars of", "kind", "bars", "first", "last", "MB", "fetched", "source")
    print("{:<8} {:<8} {:<16} {:>11}  {:<10} {:<10} {:>7}  {:<10}  {}".format(*heading))
    for row in rows:
        kind = f"{row['what']}{' all hours' if row['all_hours'] else ''}"
        source = ", ".join(row["sources"]) + (f"  ({row['changed']} changed)" if row["changed"] else "")
        print(
            f"{row['symbol']:<8} {row['bar_size']:<8} {kind:<16} {row['bars']:>11,}  {row['first'][:10]} "
            f"{row['last'][:10]} {row['bytes'] / 1e6:>7.2f}  {row['fetched_at'][:10]}  {source}"
        )
    size = sum(row["bytes"] for row in rows)
    print(f"{len(rows)} series, {sum(row['bars'] for row in rows):,} bars, {size / 1e6:,.2f} MB in {options.store}")
    return 0


def _changed(series: Series) -> int:
    from quant_trading.data.store_writer import read_changed

    return len(read_changed(series.folder))


def _wanted(options: argparse.Namespace) -> Iterator[Series]:
    """Yield the series that --symbols and --bar-size name.

    Raises:
        DataGap: when there is none.
    """
    symbols = symbols_of(options.symbols)
    size = parse_bar_size(options.bar_size).words if options.bar_size else None
    found = False
    for series in BarStore(options.store).series():
        stored = series.manifest
        if (symbols is None or stored.symbol in symbols) and size in (None, stored.bar_size):
            found = True
            yield series
    if not found:
        raise DataGap(f"{options.store}: has no such bars; ./desk data ls says what there is")


def check(options: argparse.Namespace) -> int:
    """Compare hashes, run the data checker, and name changed bars; 1 when anything is an error or a warning."""
    from quant_trading.data.checker import Finding, check_file, check_panel
    from quant_trading.data.checker import describe as words
    from quant_trading.data.store_places import QUOTES
    from quant_trading.domain.bars import panel_from_columns

    lines: list[dict[str, object]] = []

    def note(where: str, findings: Sequence[Finding]) -> None:
        lines.extend({"series": where, "text": words(finding), **asdict(finding)} for finding in findings)

    looked = 0
    if options.path is not None:
        from quant_trading.data.actions import read_actions

        if not options.bar_size:
            raise UsageError(f'check {options.path}: name the size of its bars, for example --bar-size "5 mins"')
        told = read_actions(options.actions) if options.actions else []
        note(options.path.name, check_file(options.path, options.bar_size, told))
        looked = 1
    else:
        store = BarStore(options.store)
        for series in _wanted(options):
            stored, where = series.manifest, f"{series.folder.parent.name}/{series.folder.name}"
            looked += 1
            try:
                bars = store.read(series)
            except DataGap as error:
                lines.append({"series": where, "kind": "unreadable", "severity": "error", "text": str(error)})
                continue
            told = store.actions([stored.symbol]) if stored.what == "RAW" else []
            if parse_bar_size(stored.bar_size).seconds <= 86_400 and not stored.all_hours:
                panel = panel_from_columns([stored.symbol], stored.bar_size, [bars])
                note(where, check_panel(panel, told, has_volume=stored.what not in QUOTES))
            if changed := _changed(series):
                text = f"{changed} bars were served again with other values; both are in {series.folder}/changed.csv"
                lines.append({"series": where, "kind": "changed", "severity": "warning", "text": text})
    bad = sum(line["severity"] != "info" for line in lines)
    if options.json:
        print(json.dumps({"checked": looked, "findings": lines}, indent=1))
    else:
        for line in lines:
            print(f"{line['severity']:<8} {line['series']}: {line['text']}")
        print(f"{looked} series checked: {bad} findings" if bad else f"{looked} series checked: all well")
    return 1 if bad else 0


def repair(options: argparse.Namespace) -> int:
    """List gaps and the commands that fetch what is missing; 1 when there are any."""
    from quant_trading.data.store_gaps import fetch_command, find_gaps

    store = BarStore(options.store)
    rows: list[dict[str, Any]] = []
    for series in _wanted(options):
        try:
            gaps = find_gaps(series.manifest, store.read(series))
        except DataGap as error:
            rows.append({"symbol": series.manifest.symbol, "text": str(error), "command": ""})
            continue
        for gap in gaps:
            text = (
                f"{gap.symbol} {gap.bar_size} {gap.what}: {gap.first}..{gap.last}, {gap.sessions} session(s) lack "
                f"{gap.missing_bars:,} bars"
            )
            facts = {"first": str(gap.first), "last": str(gap.last), "missing_bars": gap.missing_bars}
            rows.append({"symbol": gap.symbol, **facts, "text": text, "command": fetch_command(gap)})
    if options.json:
        print(json.dumps({"gaps": rows}, indent=1))
    else:
        for row in rows:
            print(row["text"])
            if row["command"]:
                print(f"  {row['command']}")
        print(f"{len(rows)} to mend" if rows else "no gaps")
    return 1 if rows else 0


def bring_in(options: argparse.Namespace) -> int:
    """Import bars; 1 when some symbols were refused."""
    from quant_trading.app import SystemClock
    from quant_trading.data.store_exchange import import_bars, sizes_in
    from quant_trading.data.store_writer import Appended

    store = BarStore(options.store)
    day = day_of(options.fetched, "--fetched")
    fetched = SystemClock().now() if day is None else datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC)
    meta = BarMeta(options.source or options.path.name, fetched, options.what, options.all_hours)
    sizes = [options.bar_size] if options.bar_size else sizes_in(options.path)
    if not sizes:
        raise UsageError(
            f"{options.path}: no file name tells the size of its bars (AAPL_5m.csv); name it, for example --bar-size 5m"
        )
    refused = 0
    for size in sizes:
        words = parse_bar_size(size).words

        def say(symbol: str, done: Appended, words: str = words) -> None:
            changed = f", {len(done.changed)} changed (both values noted)" if done.changed else ""
            print(f"{symbol} {words}: {done.added:,} new, {done.same:,} there already{changed}", flush=True)

        found = import_bars(
            store, options.path, size, meta, symbols_of(options.symbols), replace=options.replace, said=say
        )
        for symbol, error in found.refused.items():
            print(f"refused {symbol}: {error}", file=sys.stderr)
        refused += len(found.refused)
    if options.actions is not None:
        _bring_actions(store, options)
    return 1 if refused else 0


def take_out(options: argparse.Namespace) -> int:
    """Export bars."""
    from quant_trading.data.store_exchange import export_bars

    store = BarStore(options.store)
    sizes = [options.bar_size] if options.bar_size else sorted({s.manifest.bar_size for s in store.series()})
    if len(sizes) != 1:
        raise UsageError(f"export: name one of the bar sizes {', '.join(sizes) or '(none stored)'} with --bar-size")
    paths = export_bars(
        store, options.folder, symbols_of(options.symbols) or _symbols(store, sizes[0], options), sizes[0],
        what=options.what, all_hours=options.all_hours, as_of=day_of(options.as_of, "--as-of"),
        start=day_of(options.start, "--start"), end=day_of(options.end, "--end"), kind=options.format,
    )  # fmt: skip
    for path in paths:
        print(path)
    return 0


def _symbols(store: BarStore, bar_size: str, options: argparse.Namespace) -> list[str]:
    words, there = parse_bar_size(bar_size).words, []
    for series in store.series():
        stored = series.manifest
        if (stored.bar_size, stored.what, stored.all_hours) == (words, options.what, options.all_hours):
            there.append(stored.symbol)
    if not there and options.what in ("TRADES", "ADJUSTED_LAST") and not options.all_hours:
        there = store.symbols(bar_size)
    if not there:
        raise DataGap(f"{options.store}: has no bars of {words} ({options.what}); ./desk data ls says what there is")
    return there


def _bring_actions(store: BarStore, options: argparse.Namespace, name: str = "actions") -> None:
    from quant_trading.data.actions import read_actions

    new = read_actions(getattr(options, name))
    old = store.actions()
    both = dict.fromkeys([*old, *new])
    path = store.write_actions(list(both))
    print(f"{len(both) - len(old):,} new splits and dividends, {len(both):,} in {path}")


def adjust(options: argparse.Namespace) -> int:
    """Bring in actions, show their effect, or list how many there are."""
    store = BarStore(options.store)
    if options.file is not None:
        _bring_actions(store, options, "file")
    if options.show is not None:
        _show_views(store, options.show, day_of(options.as_of, "--as-of"))
    elif options.file is None:
        store.check_is_store()
        by_symbol: dict[str, list[str]] = {}
        for action in store.actions():
            by_symbol.setdefault(action.symbol, []).append(action.kind)
        for symbol, kinds in sorted(by_symbol.items()):
            print(f"{symbol}: {kinds.count('split')} splits, {kinds.count('dividend')} dividends")
        print(f"{sum(map(len, by_symbol.values())):,} splits and dividends of {len(by_symbol)} symbols")
    return 0


def _show_views(store: BarStore, symbol: str, as_of: date | None) -> None:
    """Print the daily closes before and on each ex-date: as stored, split-adjusted, and without dividends as well."""
    from quant_trading.refdata.sessions import exchange_date

    actions = store.actions([symbol])
    stored = store.manifest(symbol, "1 day", "RAW") or store.manifest(symbol, "1 day")
    if stored is None:
        raise DataGap(f"{store.root}: no daily bars of {symbol}; import or fetch some")
    views = [store.columns(symbol, "1 day", what, as_of=as_of) for what in ("TRADES", "ADJUSTED_LAST")]
    plain = store.columns(symbol, "1 day", stored.what, as_of=date(1900, 1, 1))
    assert plain is not None
    days = [exchange_date(int(ns)) for ns in plain.start_ns]
    print(f"{'date':<10} {'action':<22} {'stored':>12} {'TRADES':>12} {'ADJUSTED_LAST':>14}")
    for action in actions:
        row = next((k for k, day in enumerate(days) if day >= action.ex_date), None)
        for at in () if row is None else (row - 1, row) if row else (row,):
            words = f"{action.kind} {action.value:g}" if at == row else ""
            closes = [view.close[at] for view in views if view is not None]
            shown = f"{closes[0]:>12.4f} {closes[1]:>14.4f}"
            print(f"{days[at]} {words:<22} {plain.close[at]:>12.4f} {shown}")
    print(f"{symbol}: {len(actions)} actions, stored as {stored.what}")
