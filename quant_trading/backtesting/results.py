"""What a backtest returns: cheap arrays, the file they are written to, and the lines people read."""

import io
import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from quant_trading.backtesting.kernel import Account, Fills, Ledger, Reason
from quant_trading.backtesting.metrics import Costs, Exposure, Metrics, SharpeBasis, measure
from quant_trading.backtesting.settings import Accounting, BacktestSettings, SharpeConvention, Sizing
from quant_trading.backtesting.trades import Splits, Trades, trades_of
from quant_trading.backtesting.wishes import wishes_of
from quant_trading.data.files import replace_file
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.bars import BarPanel, FloatArray, IntArray
from quant_trading.domain.errors import ConfigError
from quant_trading.domain.exits import Exit
from quant_trading.domain.limits import Limits
from quant_trading.indicators.sides import SideArray
from quant_trading.refdata.sessions import EXCHANGE_ZONE
from quant_trading.strategy.base import Strategy

__all__ = ["COLUMNS", "BacktestResult", "Conventions", "Opinions", "OrderRow", "SymbolRow", "bar_label"]

COLUMNS = (
    "date", "equity", "signal", "turnover", "gross_pnl", "cost", "net_pnl", "gross_return", "net_return",
    "gross_exposure", "net_exposure", "n_long", "n_short", "strategy", "fill", "accounting", "cost_bps",
)  # fmt: skip


_FIRST_PAYOUT = int(Reason.DELISTED)  # from here on a fill is a payment, not an order
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class Conventions:
    """How the run was made: without it no figure of the result means anything.

    Attributes:
        strategy: its registered name; source: the strategy itself.
        settings: every convention; exits: those that were in force, the strategy's own included.
        bar_size: IBKR's words.
    """

    strategy: str
    source: Strategy
    settings: BacktestSettings
    exits: tuple[Exit, ...]
    bar_size: str

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """Return the strategy's fields as text."""
        source: Any = self.source
        names: list[str] = [item.name for item in fields(source)] if is_dataclass(source) else []
        return {item: str(getattr(source, item)) for item in names}

    @property
    def fill(self) -> str:
        return self.settings.fill.value

    @property
    def accounting(self) -> str:
        return self.settings.accounting.value

    @property
    def initial_capital(self) -> float:
        return self.settings.initial_capital

    @property
    def cost_bps(self) -> float:
        return self.settings.cost_bps

    def by_name(self) -> dict[str, float | int | str | bool | None]:
        """Return every setting by its name, choices as their words and exits as text."""
        out: dict[str, float | int | str | bool | None] = {}
        for item in fields(self.settings):
            value = getattr(self.settings, item.name)
            out[item.name] = value.value if isinstance(value, Enum) else value
        out["rebalance"] = "on_change" if self.settings.is_on_change else "always"
        out["exits"] = ", ".join(str(item) for item in self.exits)
        return out

    def in_words(self) -> str:
        """Return one line that says how orders were decided, filled, sized and paid for."""
        chosen = self.settings
        fill = {
            "next_open": "filled at the open of the next bar",
            "same_close": "filled at that same close",
            "next_close": "filled at the close of the next bar",
        }[self.fill]
        commission = f" + {chosen.commission_per_trade:g} per order" if chosen.commission_per_trade else ""
        parts = [
            f"decided on the close, {fill}",
            self._held_in_words(),
            f"costs {chosen.cost_bps:g} bps of traded value{commission}{self._fees_in_words()}",
            *self._cuts_in_words(),
        ]
        if self.exits:
            parts.append("exits " + ", ".join(str(item) for item in self.exits))
        last = {"leave": "left open and marked", "close": "closed at the last close", "open": "closed at the last open"}
        return "; ".join([*parts, f"last positions {last[chosen.close_last.value]}"])

    def _held_in_words(self) -> str:
        chosen = self.settings
        if chosen.accounting is Accounting.WEIGHTS:
            return "fixed weights (textbook formula)"
        shares = {
            "half_even": "whole shares", "down": "whole shares rounded down", "none": "fractional shares",
        }[chosen.rounding.value]  # fmt: skip
        size = {
            Sizing.TARGETS: "", Sizing.SHARES: f"{chosen.shares:g} per symbol, ",
            Sizing.FRACTION: f"{chosen.fraction:.6g} of equity per symbol, ",
            Sizing.VOLATILITY: f"sized for {chosen.vol_target:g} a year by {chosen.vol_window} returns, ",
        }[chosen.sizing]  # fmt: skip
        at = " by price and equity at the fill" if chosen.size_at.value == "fill" else ""
        kept = "ordered when the wish changes" if chosen.is_on_change else "drifting with prices"
        return f"{size}{shares}{at}, {kept}"

    def _fees_in_words(self) -> str:
        chosen = self.settings
        parts = []
        if chosen.plan.value != "none":
            parts.append(f"{chosen.plan.value} commissions")
        if chosen.regulatory_fees:
            parts.append("regulatory fees on sales")
        if chosen.slippage_bps:
            parts.append(f"slippage {chosen.slippage_bps:g} bps")
        if chosen.slippage_ticks:
            parts.append(f"slippage {chosen.slippage_ticks:g} ticks of {chosen.tick_size:g}")
        if chosen.reversal.value == "two":
            parts.append("reversals as two orders")
        return "".join(f", {part}" for part in parts)

    def _cuts_in_words(self) -> list[str]:
        chosen = self.settings
        parts = []
        if chosen.margin.value == "cash":
            parts.append("no more than cash pays for, no shorts")
        if chosen.margin.value == "margin":
            parts.append(f"up to {chosen.leverage:g} x equity, maintenance {chosen.maintenance:g}")
        if chosen.max_volume_fraction:
            parts.append(f"at most {chosen.max_volume_fraction:g} of a bar's volume")
        if chosen.borrow_rate:
            parts.append(f"shorts pay {chosen.borrow_rate:g} a year")
        if chosen.delisting.value == "close":
            parts.append("paid out at the last price when bars end")
        return parts


class Opinions:
    """What the strategy believes and wishes on the bars of a run, computed when it is asked for.

    The strategy sees the whole panel; what is returned begins at the first bar of the run.
    """

    def __init__(
        self, name: str, strategy: Strategy, panel: BarPanel, limits: Limits, settings: BacktestSettings, first_bar: int
    ) -> None:
        self.settings = settings
        self._name, self._strategy, self._panel, self.limits = name, strategy, panel, limits
        self._first = first_bar

    @cached_property
    def _whole_signal(self) -> FloatArray:
        signal: FloatArray = self._checked("signal", self._strategy.signal(self._panel))
        return signal

    @cached_property
    def signal(self) -> FloatArray:
        """Return float64[T, N] as the strategy gave it."""
        signal: FloatArray = self._whole_signal[self._first :]
        return signal

    @cached_property
    def target(self) -> FloatArray:
        """Return float64[T, N]: the strategy's targets, or the wishes made of its signal; NaN = hold."""
        whole: FloatArray
        if self.settings.sizing is Sizing.TARGETS:
            whole = self._checked("target", self._strategy.target(self._whole_signal, self.limits))
        else:
            whole = wishes_of(self._whole_signal, self._panel, self.settings, self.limits, self._first)
        return whole[self._first :]

    @cached_property
    def sides(self) -> SideArray | None:
        """Return int8[T, N], the signs of the signal, from a strategy that offers them; else None."""
        offer = getattr(self._strategy, "sides", None)
        if offer is None:
            return None
        sides: SideArray = self._checked("sides", offer(self._panel))
        return sides[self._first :]

    def _checked(self, what: str, array: Any) -> Any:
        if array.shape != self._panel.close.shape:
            raise ConfigError(
                f"strategy {self._name}: {what} has shape {array.shape}, the bars {self._panel.close.shape}; return "
                "one row per bar and one column per symbol"
            )
        return array


@dataclass(frozen=True, slots=True)
class SymbolRow:
    """What one symbol came to; money over the whole run.

    Attributes:
        orders, trades: filled orders, closed lots; hit_rate: of the lots, NaN without one.
        net_pnl: all of it, the open position marked, costs taken off; closed_pnl: that of the closed lots.
        cost, dividends, borrow: paid, received, paid.
        quantity, value: held at the end, value at the last mark.
    """

    symbol: str
    orders: int
    trades: int
    hit_rate: float
    net_pnl: float
    closed_pnl: float
    cost: float
    dividends: float
    borrow: float
    quantity: float
    value: float


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
    """One run, one row per bar from the first bar that may trade; what is not an array of the run is made on demand.

    Attributes:
        bars: those of the run.
        opinions: the strategy's signal and wishes on them.
        conventions: how it was made.
        ledger: the account, bar by bar.
        account: its fills and sums; None with the weights accounting, which has no fills.
        splits: that happened in the run; None = none.
    """

    bars: BarPanel
    opinions: Opinions
    conventions: Conventions
    ledger: Ledger
    account: Account | None = None
    splits: Splits | None = None

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the N names."""
        return self.bars.symbols

    @property
    def start_ns(self) -> IntArray:
        """Return int64[T], UTC nanoseconds."""
        return self.bars.start_ns

    @property
    def sessions(self) -> IntArray:
        """Return int64[T], exchange date of each bar as days since 1970-01-01."""
        return self.bars.sessions

    @cached_property
    def dates(self) -> tuple[str, ...]:
        """Return T labels: exchange date, or exchange time with offset for intraday bars."""
        if not parse_bar_size(self.bars.bar_size).is_intraday:
            return tuple(np.datetime_as_string(self.sessions.astype("datetime64[D]")).tolist())
        return tuple(bar_label(self.bars, t) for t in range(len(self.bars)))

    @property
    def signal(self) -> FloatArray:
        """Return float64[T, N] as the strategy gave it."""
        return self.opinions.signal

    @property
    def target(self) -> FloatArray:
        """Return float64[T, N], what was wished after each close: weights, or shares with sizing in shares."""
        return self.opinions.target

    @property
    def equity(self) -> FloatArray:
        """Return float64[T], money after each bar."""
        return self.ledger.equity

    @property
    def fills(self) -> Fills | None:
        """Return every fill; None with the weights accounting."""
        return None if self.account is None else self.account.fills

    @cached_property
    def trades(self) -> Trades | None:
        """Return the closed lots; None with the weights accounting."""
        return None if self.fills is None else trades_of(self.fills, len(self.symbols), self.splits)

    @cached_property
    def session_rows(self) -> IntArray:
        """Return int64[S], the last bar of each session; the first bar is where the capital starts, no session."""
        ends = self.bars.session_ends
        return ends[1:] if len(ends) and ends[0] == 0 else ends

    @cached_property
    def session_curve(self) -> FloatArray:
        """Return float64[S + 1]: the initial capital, then the equity after each session.

        Capital starts at the close of the first bar, so that bar is no session by itself; what it costs
        to trade there (same_close) falls into the first session.
        """
        return np.concatenate(([self.conventions.initial_capital], self.ledger.equity[self.session_rows]))

    @cached_property
    def costs(self) -> Costs:
        """Return where the money went."""
        chosen, account = self.conventions.settings, self.account
        orders = self.order_count
        commission = chosen.commission_per_trade * orders
        if account is None:
            return Costs(bps=float(np.sum(self.ledger.cost)) - commission, commission=commission)
        return Costs(
            bps=account.traded * chosen.cost_bps / 1e4, commission=commission, plan=account.plan,
            regulatory=account.regulatory, slippage=account.slippage, borrow=account.borrow,
            dividends=account.dividends,
        )  # fmt: skip

    @cached_property
    def order_count(self) -> int:
        """Return how many orders were filled; payments for splits and delistings are none."""
        fills = self.fills
        if fills is None:
            return int(np.sum(self.ledger.trades))
        return len(fills) - int(np.count_nonzero(fills.reason >= _FIRST_PAYOUT))

    @cached_property
    def metrics(self) -> Metrics:
        """Return the figures of the run."""
        return self._measured(None)

    def metrics_beside(self, prices: FloatArray) -> Metrics:
        """Return the figures of the run, and those against holding a benchmark.

        Args:
            prices: float64[T], the benchmark's closes on the bars of the run, NaN where it has none: there it stands
                still, and before its first it is cash.
        """
        known = ~np.isnan(prices)
        if not known.any():
            return self.metrics
        rows = np.maximum.accumulate(np.where(known, np.arange(len(prices)), -1))
        filled = prices[np.where(rows < 0, np.argmax(known), rows)]
        curve = filled[np.concatenate(([0], self.session_rows))]
        return self._measured(curve[1:] / curve[:-1] - 1.0)

    def _measured(self, benchmark: FloatArray | None) -> Metrics:
        book, trades = self.ledger, self.trades
        total_cost = float(np.add.reduce(book.cost if self.fills is None else self.fills.cost))
        by_bar = self.conventions.settings.sharpe is SharpeConvention.BAR
        return measure(
            self.session_curve, book.total_turnover, total_cost, self.order_count,
            trades=trades,
            costs=self.costs,
            exposure=Exposure(*book.mean_exposure),
            benchmark=benchmark,
            days=np.concatenate((self.sessions[:1], self.sessions[self.session_rows])),
            basis=SharpeBasis.BAR if by_bar else SharpeBasis.DAILY,
            bar_curve=np.concatenate(([self.conventions.initial_capital], book.equity)) if by_bar else None,
        )  # fmt: skip

    def by_symbol(self) -> list[SymbolRow]:
        """Return one row per symbol in the order of the columns; empty with the weights accounting."""
        account, trades = self.account, self.trades
        if account is None or trades is None:
            return []
        n, fills = len(self.symbols), account.fills
        close = self.bars.close
        known = ~np.isnan(close)
        last = len(close) - 1 - np.argmax(known[::-1], axis=0)
        mark = np.where(known.any(axis=0), np.take_along_axis(close, last[np.newaxis], axis=0)[0], 0.0)
        held = account.ledger.holdings[-1]
        is_order = fills.reason < _FIRST_PAYOUT
        orders = np.bincount(fills.symbol[is_order], minlength=n)
        traded = np.bincount(fills.symbol, -fills.quantity * fills.price, minlength=n)
        cost = np.bincount(fills.symbol, fills.cost, minlength=n)
        closed = np.bincount(trades.symbol, minlength=n)
        won = np.bincount(trades.symbol, trades.pnl > 0.0, minlength=n)
        closed_pnl = np.bincount(trades.symbol, trades.pnl, minlength=n)
        received, paid = account.symbol_dividends, account.symbol_borrow
        net = traded + held * mark - cost + received - paid
        return [
            SymbolRow(
                self.symbols[j], int(orders[j]), int(closed[j]),
                float(won[j] / closed[j]) if closed[j] else math.nan, float(net[j]), float(closed_pnl[j]),
                float(cost[j]), float(received[j]), float(paid[j]), float(held[j]), float(held[j] * mark[j]),
            )
            for j in range(n)
        ]  # fmt: skip

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
        import csv  # most runs write none

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
        if book.cut_orders:
            rows.append(("cut", f"{book.cut_orders:,} orders were larger than {how.settings.margin.value} allows"))
        rows.append(("conventions", how.in_words()))
        return [line for name, text in rows for line in _hang(name, text)]


def bar_label(bars: BarPanel, t: int) -> str:
    """Return the exchange date of bar t, or for intraday bars its start in exchange time with the offset."""
    if not parse_bar_size(bars.bar_size).is_intraday:
        return date.fromordinal(_EPOCH + int(bars.sessions[t])).isoformat()
    return datetime.fromtimestamp(int(bars.start_ns[t]) // 1_000_000_000, UTC).astimezone(EXCHANGE_ZONE).isoformat()


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
