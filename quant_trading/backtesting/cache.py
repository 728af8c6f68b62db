"""The cached results of a run: one JSON file per symbol with candles and trades, and one for the account.

The forms are those of `backtest.schema.json` and `account.schema.json` beside this module, explained in
docs/backtest-results.md. Every file is there in full or not at all.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from quant_trading.backtesting.attribution import last_known, symbol_pnl
from quant_trading.backtesting.kernel import Fills, Reason
from quant_trading.backtesting.metrics import max_drawdown
from quant_trading.backtesting.results import BacktestResult
from quant_trading.backtesting.trades import Trades
from quant_trading.data.files import FilesAtOnce
from quant_trading.data.findings import Finding
from quant_trading.data.number_text import joined, joined_whole
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.bars import BarPanel, FloatArray, IntArray

__all__ = [
    "ACCOUNT_FILE",
    "SCHEMA",
    "VERSION",
    "Record",
    "Source",
    "account_document",
    "symbol_document",
    "write_cache",
]

SCHEMA, VERSION = "quant-trading/backtest", 1
ACCOUNT_SCHEMA = "quant-trading/backtest-account"
ACCOUNT_FILE = "account.json"
_SECOND_NS = 1_000_000_000


class Source(NamedTuple):
    """The file one symbol's bars came from; `resampled_from` names the timeframe of its bars, when it is another."""

    file: str
    sha256: str
    rows: int
    resampled_from: str = ""


@dataclass(frozen=True)
class Record:
    """One run with all that its files tell.

    Attributes:
        result: the run; panel: the bars it traded, row by row those of the result.
        indicators: float64[T, N] by name, for charts.
        sources: by symbol; findings: of the data checker.
        causality: whether the test passed (None = it was left out), and what it says.
        dividends: float64[T, N], money received on each bar; None = none.
        version: of the program.
        told: what else the run was told, by name (limits, jumps, files of events); part of the conventions.
    """

    result: BacktestResult
    panel: BarPanel
    indicators: Mapping[str, FloatArray]
    sources: Mapping[str, Source]
    findings: Sequence[Finding]
    causality: tuple[bool | None, str]
    dividends: FloatArray | None
    version: str
    told: Mapping[str, float | str | None] = field(default_factory=dict)

    @cached_property
    def run_id(self) -> str:
        """Return 16 hex digits that the files of one run share: of its conventions, its bars and its result."""
        parts = (
            self._how, [source._asdict() for source in self.sources.values()], self.panel.symbols, self.session_dates,
            repr(float(self.result.equity[-1])), self.version,
        )  # fmt: skip
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def _how(self) -> dict[str, Any]:
        how = self.result.conventions
        return {**how.by_name(), **self.told, "strategy": how.strategy, "parameters": dict(how.parameters)}

    @property
    def has_shares(self) -> bool:
        """Return False for the textbook account of weights, which knows neither fills nor trades."""
        return self.result.fills is not None

    @cached_property
    def fills(self) -> Fills:
        """Return the fills of an account of shares."""
        assert self.result.fills is not None, "has_shares was not asked"
        return self.result.fills

    @cached_property
    def trades(self) -> Trades:
        """Return the trades of an account of shares."""
        assert self.result.trades is not None, "has_shares was not asked"
        return self.result.trades

    @cached_property
    def pnl(self) -> FloatArray:
        """Return float64[T, N], what each symbol earned since the start."""
        return symbol_pnl(self.result.ledger, self.fills, self.panel.close, self.dividends)

    @cached_property
    def told_findings(self) -> list[tuple[Finding, dict[str, Any]]]:
        """Return each finding with what the files say of it."""
        return [(finding, _finding(finding)) for finding in self.findings]

    @cached_property
    def session_ends(self) -> IntArray:
        """Return the rows of the last bar of each session."""
        days = self.result.sessions
        return np.flatnonzero(np.append(days[1:] != days[:-1], True))

    @cached_property
    def session_dates(self) -> list[str]:
        """Return the exchange date of each session."""
        return [str(day) for day in self.result.sessions[self.session_ends].astype("datetime64[D]")]


def write_cache(folder: Path, record: Record) -> list[Path]:
    """Write the files of a run into `folder`/<timeframe> and return their paths, symbols first.

    The textbook account of weights has no trades; it gets the file of the account only.

    Raises:
        ConfigError: when the place cannot be written.
    """
    place = folder / parse_bar_size(record.panel.bar_size).timeframe
    with FilesAtOnce() as files:
        written = [
            files.replace(place / f"{file_stem(symbol)}_backtest.json", _text(symbol_document(record, j)))
            for j, symbol in enumerate(record.panel.symbols)
            if record.has_shares
        ]
        return [*written, files.replace(place / ACCOUNT_FILE, _text(account_document(record)))]


def file_stem(symbol: str) -> str:
    """Return `symbol` as a file name: what is no letter, digit, dot or dash becomes _."""
    return "".join(c if c.isascii() and (c.isalnum() or c in ".-^=") else "_" for c in symbol)


def symbol_document(record: Record, j: int) -> dict[str, Any]:
    """Return the document of symbol `j`, as `backtest.schema.json` describes it; its lists of numbers are arrays."""
    result, panel = record.result, record.panel
    symbol = panel.symbols[j]
    capital = result.conventions.initial_capital
    has_bar = ~np.isnan(panel.close[:, j])
    value = capital + record.pnl[record.session_ends, j]
    source = record.sources.get(symbol)
    return {
        **_heading(record, SCHEMA),
        "symbol": symbol,
        "account": {
            "symbols": list(panel.symbols),
            "initial_capital": capital,
            "final_equity": _number(result.equity[-1]),
            "file": ACCOUNT_FILE,
        },
        "candles": {
            "time": panel.start_ns[has_bar] // _SECOND_NS,
            **{name: getattr(panel, name)[has_bar, j] for name in ("open", "high", "low", "close")},
            "volume": np.nan_to_num(panel.volume[has_bar, j]),
        },
        "indicators": {name: _Gapped(values[has_bar, j]) for name, values in record.indicators.items()},
        "trades": _trade_rows(record.trades, np.flatnonzero(record.trades.symbol == j), panel.start_ns),
        "open_position": _open_position(record, j),
        "equity": {"date": record.session_dates, "value": value},
        "summary": _summary(record, j),
        "source": None if source is None else _source(source),
        "findings": [told for finding, told in record.told_findings if finding.symbol in ("", symbol)],
    }


def account_document(record: Record) -> dict[str, Any]:
    """Return the document of the whole account: its equity and each symbol's summary."""
    result = record.result
    return {
        **_heading(record, ACCOUNT_SCHEMA),
        "symbols": list(record.panel.symbols),
        "initial_capital": result.conventions.initial_capital,
        "final_equity": _number(result.equity[-1]),
        "equity": {"date": record.session_dates, "value": result.equity[record.session_ends]},
        "per_symbol": {
            symbol: _summary(record, j) for j, symbol in enumerate(record.panel.symbols) if record.has_shares
        },
        "sources": {symbol: _source(source) for symbol, source in record.sources.items()},
        "findings": [{**told, "symbol": finding.symbol} for finding, told in record.told_findings],
    }


def _heading(record: Record, schema: str) -> dict[str, Any]:
    result, how = record.result, record.result.conventions
    passed, text = record.causality
    return {
        "schema": schema,
        "version": VERSION,
        "run": record.run_id,
        "timeframe": parse_bar_size(record.panel.bar_size).timeframe,
        "bar_size": record.panel.bar_size,
        "strategy": {"name": how.strategy, "parameters": dict(how.parameters)},
        "period": {
            "start": record.session_dates[0],
            "end": record.session_dates[-1],
            "bars": len(record.panel),
            "sessions": len(record.session_dates),
        },
        "conventions": {**how.by_name(), **record.told, "in_words": how.in_words()},
        "metrics": result.metrics.to_json(),
        "causality": {"passed": passed, "text": text},
        "program": {"name": "quant-trading", "version": record.version},
    }


def _trade_rows(trades: Trades, rows: IntArray, start_ns: IntArray) -> "_Rows":
    names = {reason.value: f'"{reason.name.lower()}"' for reason in Reason}
    return _Rows({
        "side": ['"long"' if quantity > 0.0 else '"short"' for quantity in trades.quantity[rows].tolist()],
        "quantity": np.abs(trades.quantity[rows]),
        "entry_time": start_ns[trades.entry_bar[rows]] // _SECOND_NS,
        "entry_price": trades.entry_price[rows],
        "exit_time": start_ns[trades.exit_bar[rows]] // _SECOND_NS,
        "exit_price": trades.exit_price[rows],
        "gross_pnl": trades.gross_pnl[rows],
        "cost": trades.cost[rows],
        "pnl": trades.pnl[rows],
        "bars": trades.bars_held[rows],
        "reason": [names[reason] for reason in trades.reason[rows].tolist()],
    })  # fmt: skip


def _open_position(record: Record, j: int) -> dict[str, float] | None:
    quantity = float(record.result.ledger.holdings[-1, j])
    if quantity == 0.0:
        return None
    price = float(last_known(record.panel.close[:, j : j + 1])[-1, 0])
    return {"quantity": quantity, "price": price, "value": quantity * price}


def _summary(record: Record, j: int) -> dict[str, Any]:
    """Return what symbol `j` amounts to; the profit counts its open position at the last price."""
    trades, fills, capital = record.trades, record.fills, record.result.conventions.initial_capital
    pnl = trades.pnl[trades.symbol == j]
    won, lost = float(pnl[pnl > 0.0].sum()), float(-pnl[pnl < 0.0].sum())
    costs = float(fills.cost[fills.symbol == j].sum())
    profit = float(record.pnl[-1, j])
    curve = np.concatenate(([capital], capital + record.pnl[record.session_ends, j]))
    return {
        "closed_trades": len(pnl),
        "net_profit": profit,
        "gross_profit": profit + costs,
        "costs": costs,
        "return": profit / capital,
        "max_drawdown": min(max_drawdown(curve), 0.0),
        "hit_rate": float(np.mean(pnl > 0.0)) if len(pnl) else None,
        "profit_factor": won / lost if lost > 0.0 else None,
    }


def _source(source: Source) -> dict[str, Any]:
    found: dict[str, Any] = {"file": source.file, "sha256": source.sha256, "rows": source.rows}
    return {**found, "resampled_from": source.resampled_from} if source.resampled_from else found


def _finding(finding: Finding) -> dict[str, Any]:
    first, last = str(finding.first), str(finding.last)
    where = first if first == last else f"{first} to {last}"
    return {"kind": finding.kind, "severity": finding.severity, "where": where, "message": finding.message}


def _number(value: Any) -> float | int | str | None:
    """Return a figure as JSON has it: what is not defined is null."""
    if value is None or isinstance(value, str | int):
        return value
    return float(value) if math.isfinite(value) else None


class _Gapped(NamedTuple):
    """Numbers of which some may not be known: float64[T]; null is written for what is not finite."""

    values: FloatArray


class _Rows(NamedTuple):
    """Objects of the same keys, by column: arrays of numbers, or lists of words as JSON has them."""

    columns: Mapping[str, Any]

    def text(self) -> str:
        """Return the objects with commas between."""
        form = ",".join(f"{json.dumps(name)}:%s" for name in self.columns)
        texts = {name: c if isinstance(c, list) else _texts(c) for name, c in self.columns.items() if not _is_float(c)}
        # All the floats at once: a call for a thousand of them takes longer to begin than to end.
        floats = [name for name, c in self.columns.items() if _is_float(c)]
        if floats:
            all_texts = _texts(np.concatenate([self.columns[name] for name in floats]))
            count = len(all_texts) // len(floats)
            texts |= {name: all_texts[k * count : (k + 1) * count] for k, name in enumerate(floats)}
        rows = zip(*(texts[name] for name in self.columns), strict=True)
        return "},{".join([form % row for row in rows])


def _text(document: Mapping[str, Any]) -> bytes:
    pieces: list[bytes] = []
    _write(document, pieces.append)
    return b"".join([*pieces, b"\n"])


def _write(value: Any, say: Callable[[bytes], None]) -> None:
    """Say `value` as JSON, piece by piece: most of a file are a few long columns.

    Raises:
        ValueError: for a number that is not finite.
    """
    if isinstance(value, Mapping):
        for k, (name, item) in enumerate(value.items()):
            say(b"%c%b:" % (b"," if k else b"{", _plain(name)))
            _write(item, say)
        say(b"}" if value else b"{}")
    elif isinstance(value, np.ndarray | _Gapped):
        say(b"[")
        say(joined(value.values) if isinstance(value, _Gapped) else _numbers(value))
        say(b"]")
    elif isinstance(value, _Rows):
        rows = value.text().encode()
        say(b"[{%b}]" % rows if rows else b"[]")
    else:
        say(_plain(value))


def _plain(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def _is_float(values: Any) -> bool:
    return not isinstance(values, list) and values.dtype.kind == "f"


def _texts(values: Any) -> list[str]:
    return _numbers(values).decode().split(",") if len(values) else []


def _numbers(values: Any) -> bytes:
    """Return the numbers with commas between; arrays of floats are most of what a file holds."""
    if values.dtype.kind != "f":
        return joined_whole(values)
    if not np.isfinite(values).all():
        raise ValueError("a number of the result is not finite")
    return joined(values)
