"""A broker, a clock and a journal in memory: real implementations of the ports, small enough to read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np

from quant_trading.domain.bars import BarColumns, BarPanel, panel_from_columns
from quant_trading.domain.errors import DataGap
from quant_trading.domain.fills import Fill
from quant_trading.domain.instruments import Instrument
from quant_trading.domain.orders import Order, OrderEvent, OrderState, OrderStatus, Side, apply_event
from quant_trading.domain.portfolio import Portfolio, Position
from quant_trading.ports import BrokerReport
from quant_trading.refdata.sessions import sessions_between


@dataclass
class ManualClock:
    """Time that moves only when told to."""

    time: datetime = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
    seconds: float = 0.0

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.time += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Line:
    kind: str
    run_id: str
    payload: Mapping[str, object]


@dataclass
class ListJournal:
    """A journal that is a list; several runs may share it, as runs of one session share a segment."""

    lines: list[Line] = field(default_factory=list)
    run_id: str = "run-1"

    def append(self, kind: str, payload: dict[str, object]) -> int:
        self.lines.append(Line(kind, self.run_id, payload))
        return len(self.lines)

    def records(self) -> Iterable[Line]:
        return tuple(self.lines)

    def all_records(self) -> Iterable[Line]:
        return tuple(self.lines)

    def kinds(self) -> list[str]:
        return [line.kind for line in self.lines]


def daily_panel(closes: Mapping[str, Sequence[float]], last_day: datetime) -> BarPanel:
    """Return daily bars whose last close is of the last session on or before `last_day`."""
    count = max(len(c) for c in closes.values())
    days = sessions_between((last_day - timedelta(days=count * 2 + 20)).date(), last_day.date())[-count:]
    start = np.array([d.open_ns for d in days], dtype=np.int64)
    end = np.array([d.close_ns for d in days], dtype=np.int64)
    columns = []
    for values in closes.values():
        c = np.array(values, dtype=np.float64)
        columns.append(BarColumns(start, end, c.copy(), c.copy(), c.copy(), c, np.full(count, 1e6)))
    return panel_from_columns(tuple(closes), "1 day", columns)


@dataclass
class FakeBroker:
    """Fills every order at its reference price when asked for reports, unless told otherwise.

    `sent` is what left the process, with the journal's length at that moment.
    """

    panel: BarPanel
    clock: ManualClock
    journal: ListJournal
    equity: Decimal = Decimal(100_000)
    holdings: dict[str, Decimal] = field(default_factory=dict)
    rejects: Mapping[str, str] = field(default_factory=dict)
    never_fills: frozenset[str] = frozenset()
    not_sendable: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    currency: str = "USD"
    account: str = "DU1234567"
    seen_refs: frozenset[str] = frozenset()
    undecodable_frames: int = 0
    sent: list[tuple[Order, int]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    _states: dict[str, OrderState] = field(default_factory=dict)
    _queue: list[BrokerReport] = field(default_factory=list)

    def now(self) -> datetime:
        return self.clock.now()

    def bars(self, symbols: Sequence[str], bar_size: str, duration: str, *, skip_missing: bool = False) -> BarPanel:
        return self.panel

    def instruments(self, symbols: Sequence[str], *, skip_missing: bool = False) -> dict[str, Instrument]:
        return {s: Instrument(s, currency=self.currency) for s in symbols if s not in self.unknown}

    def portfolio(self) -> Portfolio:
        closes = dict(zip(self.panel.symbols, self.panel.close[-1], strict=True))
        positions = {
            s: Position(s, q, Decimal(1), Decimal(str(closes.get(s, 10.0)))) for s, q in self.holdings.items() if q
        }
        return Portfolio(self.account, "USD", self.equity, Decimal(0), positions)

    def place(self, order: Order) -> OrderState:
        if order.symbol in self.not_sendable:
            raise DataGap(f"{order.symbol} is unknown to the broker")
        self.sent.append((order, len(self.journal.lines)))
        state = apply_event(OrderState(order), OrderEvent.SENT)
        self._states[order.order_ref] = state
        if order.symbol in self.rejects:
            self._report(order, OrderEvent.REJECTED, text=self.rejects[order.symbol])
        elif order.symbol in self.never_fills:
            self._report(order, OrderEvent.ACCEPTED)
        else:
            self._fill(order)
        return state

    def cancel(self, order_ref: str) -> OrderState:
        self.cancelled.append(order_ref)
        state = apply_event(self._states[order_ref], OrderEvent.CANCEL_SENT)
        self._states[order_ref] = state
        self._report(state.order, OrderEvent.CANCELLED, text="202 Order Canceled")
        return state

    def reports(self, timeout_seconds: float) -> Sequence[BrokerReport]:
        if not self._queue:
            self.clock.advance(timeout_seconds)
            return ()
        self._queue, news = [], self._queue
        return news

    def close(self) -> None:
        pass

    def _report(self, order: Order, event: OrderEvent, *, fill: Fill | None = None, text: str = "") -> None:
        state = apply_event(self._states[order.order_ref], event, reason=text)
        if fill is not None:
            state = replace(state, filled=fill.quantity, average_price=fill.price)
        self._states[order.order_ref] = state
        self._queue.append(BrokerReport(state, fill, text))

    def _fill(self, order: Order) -> None:
        fill = Fill(
            exec_id=f"0001.{len(self.sent):04d}.01", perm_id=1000 + len(self.sent), order_ref=order.order_ref,
            symbol=order.symbol, side=order.side, quantity=order.quantity, price=order.reference_price,
            time=self.clock.now(),
        )  # fmt: skip
        self._report(order, OrderEvent.FILLED_ALL, fill=fill)
        self._queue.append(BrokerReport(self._states[order.order_ref], replace(fill, commission=Decimal(1))))
        signed = order.quantity if order.side is Side.BUY else -order.quantity
        self.holdings[order.symbol] = self.holdings.get(order.symbol, Decimal(0)) + signed


__all__ = ["FakeBroker", "Line", "ListJournal", "ManualClock", "OrderStatus", "daily_panel"]
