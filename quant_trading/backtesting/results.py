"""What a backtest returns: cheap arrays, the file they are written to, and the lines people read."""

import csv
import io
import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from quant_trading.backtesting.kernel import Ledger
from quant_trading.backtesting.metrics import Metrics, measure
from quant_trading.data.files import replace_file
from quant_trading.domain.bars import FloatArray, IntArray

__all__ = ["COLUMNS", "BacktestResult", "Conventions", "OrderRow"]

COLUMNS = (
    "date", "equity", "signal", "turnover", "gross_pnl", "cost", "net_pnl", "gross_return", "net_return",
    "gross_exposure", "net_exposure", "n_long", "n_short", "strategy", "fill", "accounting", "cost_bps",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conventions:
    """How the run was made: without it no figure of the result means anything.

    Attributes:
        strategy: its registered name; parameters: its fields as text.
        fill: next_open, same_close or next_close; accounting: shares or weights.
        initial_capital, commission_per_trade: money; cost_bps: of the traded value.
        whole_shares, close_last: as in `BacktestSettings`.
        bar_size: IBKR's words.
    """

    strategy: str
    parameters: Mapping[str, str]
    fill: str
    accounting: str
    initial_capital: float
    cost_bps: float
    commission_per_trade: float
    whole_shares: bool
    close_last: bool
    bar_size: str

    def in_words(self) -> str:
        """Return one line that says how orders were decided, filled, sized and paid for."""
        fill = {
            "next_open": "filled at the open of the next bar",
            "same_close": "filled at that same close",
            "next_close": "filled at the close of the next bar",
        }[self.fill]
        shares = "whole shares" if self.whole_shares else "fractional shares"
        held = f"{shares}, drifting with prices" if self.accounting == "shares" else "fixed weights (textbook formula)"
        commission = f" + {self.commission_per_trade:g} per order" if self.commission_per_trade else ""
        last = "last positions closed at the last close" if self.close_last else "last positions left open and marked"
        return f"decided on the close, {fill}; {held}; costs {self.cost_bps:g} bps of traded value{commission}; {last}"


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One filled order of a backtest.

    Attributes:
        date: as in the result file.
        symbol: what was traded.
        change: signed shares, or the change of weight in the weights accounting.
        holding: shares or weight after it.
    """

    date: str
    symbol: str
    change: float
    holding: float


@dataclass(frozen=True)
class BacktestResult:
    """One run, one row per bar from the first bar that may trade.

    Attributes:
        symbols: N names.
        dates: T labels: exchange date, or exchange time with offset for intraday bars.
        sessions: int64[T], exchange date of each bar as days since 1970-01-01.
        start_ns: int64[T], UTC nanoseconds.
        signal, target: float64[T, N] as the strategy gave them.
        ledger: the account, bar by bar.
        conventions: how it was made.
    """

    symbols: tuple[str, ...]
    dates: tuple[str, ...]
    sessions: IntArray
    start_ns: IntArray
    signal: FloatArray
    target: FloatArray
    ledger: Ledger
    conventions: Conventions

    @property
    def equity(self) -> FloatArray:
        """Return float64[T], money after each bar."""
        return self.ledger.equity

    @cached_property
    def session_curve(self) -> FloatArray:
        """Return float64[S + 1]: the initial capital, then the equity after each session.

        Capital starts at the close of the first bar, so that bar is no session by itself; what it costs
        to trade there (same_close) falls into the first session.
        """
        days, equity = self.sessions[1:], self.ledger.equity[1:]
        ends = np.append(days[1:] != days[:-1], True) if len(days) else np.zeros(0, dtype=bool)
        return np.concatenate(([self.conventions.initial_capital], equity[ends]))

    @cached_property
    def metrics(self) -> Metrics:
        """Return the figures of the run."""
        book = self.ledger
        return measure(
            self.session_curve, float(np.sum(book.turnover)), float(np.sum(book.cost)), int(np.sum(book.trades))
        )

    def orders(self) -> list[OrderRow]:
        """Return the filled orders in order of bars, then of symbols, from the differences of the holdings.

        With `close_last` the last bar shows the difference of its two fills.
        """
        held = self.ledger.holdings
        change = np.diff(held, axis=0, prepend=np.zeros((1, held.shape[1])))
        return [
            OrderRow(self.dates[t], self.symbols[j], float(change[t, j]), float(held[t, j]))
            for t, j in np.argwhere(change != 0.0).tolist()
        ]

    def csv_text(self) -> str:
        """Return the file of the run: one line per bar, shortest exact decimals, the same bytes for the same run."""
        book, how = self.ledger, self.conventions
        before = np.concatenate(([how.initial_capital], book.equity[:-1]))
        net_pnl = book.gross_pnl - book.cost
        alive = before > 0.0
        floor = np.where(alive, before, 1.0)
        numbers = (
            book.equity, np.nansum(self.signal, axis=1), book.turnover, book.gross_pnl, book.cost, net_pnl,
            np.where(alive, book.gross_pnl / floor, 0.0), np.where(alive, net_pnl / floor, 0.0),
            book.gross_exposure, book.net_exposure,
        )  # fmt: skip
        counts = (np.count_nonzero(book.holdings > 0.0, axis=1), np.count_nonzero(book.holdings < 0.0, axis=1))
        constant = (how.strategy, how.fill, how.accounting, repr(float(how.cost_bps)))
        # Adding 0.0 turns -0.0 into 0.0.
        columns = [*((column + 0.0).tolist() for column in numbers), *(column.tolist() for column in counts)]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(
            (day, *row, *constant) for day, row in zip(self.dates, zip(*columns, strict=True), strict=True)
        )
        return out.getvalue()

    def write_csv(self, path: Path) -> Path:
        """Write `csv_text` to `path` at once (a new file that then takes the name) and return `path`.

        Missing folders are made.

        Raises:
            ConfigError: when the place cannot be written.
        """
        return replace_file(path, self.csv_text().encode())

    def summary(self) -> list[str]:
        """Return the lines for the console and the log."""
        m, how, book = self.metrics, self.conventions, self.ledger
        parameters = ", ".join(f"{name} = {value}" for name, value in how.parameters.items())
        rows = [
            ("strategy", f"{how.strategy} ({parameters})" if parameters else how.strategy),
            ("period", f"{self.dates[0]} to {self.dates[-1]}, {len(self.dates)} bars of {how.bar_size}"),
            ("symbols", f"{len(self.symbols)}: {_shorten(self.symbols)}"),
            ("total return", _percent(m.total_return, signed=True)),
            ("CAGR", _percent(m.cagr, signed=True)),
            ("Sharpe", _ratio(m.sharpe)),
            ("Sortino", _ratio(m.sortino)),
            ("max drawdown", _percent(m.max_drawdown)),
            ("volatility", f"{_percent(m.annual_volatility)} a year"),
            ("turnover", f"{_ratio(m.annual_turnover)} x equity a year, {m.orders:,} orders"),
            ("costs", f"{m.total_cost:,.2f} = {_percent(m.total_cost / how.initial_capital)} of the initial capital"),
            ("final equity", f"{book.equity[-1]:,.2f} from {how.initial_capital:,.2f}"),
        ]
        if book.dropped_orders:
            rows.append(
                ("dropped", f"{book.dropped_orders:,} orders met no price on the bar that should have filled them")
            )
        rows.append(("conventions", how.in_words()))
        return [line for name, text in rows for line in _hang(name, text)]


def _hang(name: str, text: str) -> list[str]:
    """Return `name` and `text` in two columns on lines of at most 80 characters."""
    indent = " " * 14
    return textwrap.wrap(f"{name:<14}{text}", 80, subsequent_indent=indent, drop_whitespace=True) or [name]


def _shorten(symbols: tuple[str, ...], shown: int = 10) -> str:
    more = f" and {len(symbols) - shown} more" if len(symbols) > shown else ""
    return " ".join(symbols[:shown]) + more


def _percent(value: float, signed: bool = False) -> str:
    if math.isnan(value):
        return "n/a"
    return f"{value:+.2%}" if signed else f"{value:.2%}"


def _ratio(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.2f}"
