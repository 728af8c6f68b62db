"""Between IBKR's words and ours: camelCase, unset numbers and date spellings die here.

IBKR writes "no value" as the largest double or the largest int, and "no price" as -1 or 0. None of
them may reach a calculation, so every number from the wire goes through `number`, `price` or
`quantity` and comes out finite, or as None.
"""

import math
from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
from ib_async import (
    BarData,
    CommissionReport,
    Contract,
    ContractDetails,
    Execution,
)
from ib_async import Order as IbOrder
from ib_async import OrderState as IbOrderState

from quant_trading.core.order_messages import (
    CommissionSaid,
    CompletedSaid,
    ExecutionSaid,
    OpenOrderSaid,
    StatusSaid,
)
from quant_trading.domain.bar_sizes import BarSize, parse_bar_size
from quant_trading.domain.bars import BarColumns
from quant_trading.domain.errors import DataGap, ProtocolError, UsageError
from quant_trading.domain.instruments import Instrument
from quant_trading.domain.orders import Order, OrderType, Side
from quant_trading.refdata.sessions import Session, SessionRangeError, at, exchange_date, session_on, sessions_between

__all__ = [
    "bar_columns",
    "completed_said",
    "contract_of",
    "commission_said",
    "execution_said",
    "ibkr_symbol",
    "instrument_of",
    "number",
    "open_order_said",
    "order_to_ibkr",
    "our_symbol",
    "price",
    "quantity",
    "status_said",
]

_LARGEST_COUNT = 1e15  # beyond it a double no longer counts single shares; nothing real is there
_UNSET_INT = 2**31 - 1
_DAY, _WEEK = parse_bar_size("1 day"), parse_bar_size("1W")
_SECOND_NS = 1_000_000_000
_HOUR_SECONDS = 3600
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_IBKR_SIDE = {"BOT": Side.BUY, "SLD": Side.SELL, "BUY": Side.BUY, "SELL": Side.SELL, "SSHORT": Side.SELL}
_ORDER_WORD = {OrderType.MARKET: "MKT", OrderType.LIMIT: "LMT"}


# Numbers.


def number(value: float | str | Decimal | None) -> Decimal | None:
    """Return `value` as an exact Decimal; None when it is unset, empty, not finite or beyond 1e15."""
    if value is None or value == "":
        return None
    try:
        amount = float(value)
    except ValueError:
        return None
    if not math.isfinite(amount) or abs(amount) > _LARGEST_COUNT:
        return None
    exact = Decimal(str(value))
    whole = exact.to_integral_value()
    return whole.quantize(Decimal(1)) if exact == whole else exact


def price(value: float | str | Decimal | None) -> Decimal | None:
    """Return `value` when it is a price, finite and above 0; None for IBKR's -1, 0 and unset."""
    amount = number(value)
    return amount if amount is not None and amount > 0 else None


def quantity(value: float | str | Decimal | None) -> Decimal:
    """Return `value` as a count of shares; 0 when it is unset."""
    return number(value) or Decimal(0)


def _id(value: int) -> int:
    return 0 if value == _UNSET_INT else value


# Instruments and orders.


def ibkr_symbol(symbol: str) -> str:
    """Return the ticker as IBKR writes it: share classes are set off by a space ("BRK B")."""
    return symbol.strip().upper().replace(".", " ")


def our_symbol(symbol: str) -> str:
    """Return the ticker as users write it: "BRK.B"."""
    return symbol.replace(" ", ".")


def contract_of(instrument: Instrument) -> Contract:
    """Return the IBKR contract of `instrument`, pinned to its conId once that is known."""
    return Contract(
        conId=instrument.con_id,
        symbol=ibkr_symbol(instrument.symbol),
        secType=instrument.sec_type,
        exchange=instrument.exchange,
        primaryExchange=instrument.primary_exchange,
        currency=instrument.currency,
    )


def instrument_of(symbol: str, details: ContractDetails) -> Instrument:
    """Return the instrument IBKR described, under the name the user gave it.

    Raises:
        DataGap: when the description has no usable tick size or contract number.
    """
    contract = details.contract
    tick_size = price(details.minTick)
    if contract is None or not contract.conId or tick_size is None:
        raise DataGap(f"{symbol}: TWS described it without a contract id or tick size (minTick {details.minTick})")
    return Instrument(
        symbol=symbol,
        exchange="SMART",
        currency=contract.currency,
        sec_type=contract.secType,
        primary_exchange=contract.primaryExchange,
        con_id=contract.conId,
        tick_size=tick_size,
    )


def order_to_ibkr(order: Order, account: str) -> IbOrder:
    """Return `order` as IBKR wants it: a DAY order inside regular hours, for this account by name.

    Raises:
        UsageError: when the quantity or the limit price is nothing an exchange would take.
    """
    if order.quantity <= 0 or order.quantity != order.quantity.to_integral_value():
        raise UsageError(f"order {order.order_ref}: quantity {order.quantity} is not a positive whole number of shares")
    is_limit = order.order_type is OrderType.LIMIT
    if is_limit and price(order.limit_price) is None:
        raise UsageError(f"order {order.order_ref}: limit price {order.limit_price} is not above 0")
    if len(order.order_ref) > 32 or not order.order_ref.isascii() or not order.order_ref:
        raise UsageError(f"order_ref {order.order_ref!r} must be 1 to 32 ASCII characters; it identifies the order")
    placed = IbOrder(
        action=order.side.value,
        totalQuantity=int(order.quantity),  # an int: TWS takes whole shares without a decimal point
        orderType=_ORDER_WORD[order.order_type],
        tif="DAY",
        outsideRth=False,
        account=account,
        orderRef=order.order_ref,
        transmit=True,
    )
    if is_limit and order.limit_price is not None:
        placed.lmtPrice = float(order.limit_price)
    return placed


# Order messages.


def open_order_said(contract: Contract, order: IbOrder, state: IbOrderState) -> OpenOrderSaid:
    """Translate openOrder."""
    return OpenOrderSaid(
        order_id=_id(order.orderId),
        perm_id=_id(order.permId),
        client_id=order.clientId,
        order_ref=order.orderRef,
        account=order.account,
        status=state.status,
        symbol=our_symbol(contract.symbol),
        side=_IBKR_SIDE.get(order.action),
        quantity=quantity(order.totalQuantity),
    )


def completed_said(order: IbOrder, state: IbOrderState) -> CompletedSaid:
    """Translate completedOrder."""
    return CompletedSaid(
        perm_id=_id(order.permId),
        order_ref=order.orderRef,
        account=order.account,
        status=state.status,
        filled=quantity(order.filledQuantity),
        text=state.completedStatus or "",
    )


def status_said(order_id: int, status: str, filled: float, perm_id: int, client_id: int, why_held: str) -> StatusSaid:
    """Translate orderStatus."""
    return StatusSaid(_id(order_id), _id(perm_id), client_id, status, quantity(filled), why_held)


def execution_said(contract: Contract, execution: Execution) -> ExecutionSaid:
    """Translate execDetails.

    Raises:
        ProtocolError: when its side, quantity or price is none; such an execution cannot be booked.
    """
    side, shares, paid = _IBKR_SIDE.get(execution.side), number(execution.shares), price(execution.price)
    if side is None or shares is None or shares <= 0 or paid is None:
        raise ProtocolError(
            f"execution {execution.execId} of {contract.symbol}: side {execution.side!r}, quantity {execution.shares}, "
            f"price {execution.price} cannot be booked; look at it in TWS and reconcile"
        )
    return ExecutionSaid(
        exec_id=execution.execId,
        order_id=_id(execution.orderId),
        perm_id=_id(execution.permId),
        client_id=execution.clientId,
        order_ref=execution.orderRef,
        account=execution.acctNumber,
        symbol=our_symbol(contract.symbol),
        side=side,
        quantity=shares,
        price=paid,
        time=execution.time,
    )


def commission_said(report: CommissionReport) -> CommissionSaid:
    """Translate commissionReport; an unset commission or profit is None."""
    return CommissionSaid(report.execId, number(report.commission), report.currency, number(report.realizedPNL))


# Bars.


def bar_columns(symbol: str, size: BarSize, bars: Sequence[BarData]) -> BarColumns:
    """Return the bars IBKR sent for one symbol, stamped with their start and explicit end.

    A day's bar spans its session; a week's or month's, which TWS dates by its last session so far, spans
    all sessions of the period: it is complete when the last of them has closed. An intraday bar ends one
    size after its start, at the next bar's start, or at the close of its session, whichever comes first:
    IBKR's hourly bars run 09:30-10:00, 10:00-11:00, and the last bar of a half day is cut short.

    Raises:
        DataGap: when a bar lies outside the sessions, out of order, or has a price that is none.
    """
    if not bars:
        raise DataGap(f"{symbol}: no bars")
    spans = _intraday_spans(symbol, size.seconds, bars) if size.is_intraday else _calendar_spans(symbol, size, bars)
    start_ns = np.array([start for start, _ in spans], dtype=np.int64)
    end_ns = np.array([end for _, end in spans], dtype=np.int64)
    if not bool(np.all(np.diff(start_ns) > 0)):
        row = int(np.argmin(np.diff(start_ns) > 0)) + 1
        raise DataGap(f"{symbol}: bar {bars[row].date} comes after {bars[row - 1].date}; bars must rise in time")
    prices = np.array([(bar.open, bar.high, bar.low, bar.close) for bar in bars], dtype=np.float64)
    good = np.isfinite(prices) & (prices > 0.0) & (prices < _LARGEST_COUNT)
    if not bool(good.all()):
        row = int(np.argmin(good.all(axis=1)))
        shown = ", ".join(f"{value:g}" for value in prices[row])
        raise DataGap(f"{symbol}: bar {bars[row].date} has prices {shown}; expected finite numbers above 0")
    volume = np.array([float(bar.volume) for bar in bars], dtype=np.float64)
    volume[~np.isfinite(volume) | (volume < 0.0) | (volume >= _LARGEST_COUNT)] = np.nan  # -1 = IBKR has none
    columns = [np.ascontiguousarray(prices[:, j]) for j in range(4)]
    return BarColumns(start_ns, end_ns, columns[0], columns[1], columns[2], columns[3], volume)


def _calendar_spans(symbol: str, size: BarSize, bars: Sequence[BarData]) -> list[tuple[int, int]]:
    spans = []
    for bar in bars:
        day = bar.date.date() if isinstance(bar.date, datetime) else bar.date
        session = _session_or_none(symbol, day)
        if size != _DAY:
            spans.append(_period_span(symbol, day, is_week=size == _WEEK))
        elif session is not None:
            spans.append((session.open_ns, session.close_ns))
        else:
            raise DataGap(f"{symbol}: bar {day} is on a day without a session; the exchange was closed")
    return spans


def _period_span(symbol: str, day: date, *, is_week: bool) -> tuple[int, int]:
    """Return the span from the open of the first session of the week or month of `day` to the last one's close."""
    if is_week:
        first = day - timedelta(days=day.weekday())
        last = first + timedelta(days=6)
    else:
        first = day.replace(day=1)
        last = day.replace(day=monthrange(day.year, day.month)[1])
    try:
        sessions = sessions_between(first, last)
    except SessionRangeError as error:
        raise DataGap(f"{symbol}: {error}") from None
    if not sessions:
        raise DataGap(f"{symbol}: bar {day} covers no session of the exchange")
    return sessions[0].open_ns, sessions[-1].close_ns


def _intraday_spans(symbol: str, seconds: int, bars: Sequence[BarData]) -> list[tuple[int, int]]:
    starts = [_moment_ns(symbol, bar.date) for bar in bars]
    following = [*starts[1:], 2**63 - 1]
    spans = []
    for start, next_start in zip(starts, following, strict=True):
        session = _session_or_none(symbol, exchange_date(start))
        size_ns = seconds * _SECOND_NS
        end = start + size_ns
        if seconds >= _HOUR_SECONDS:
            # Hours are those of the clock on the exchange's wall: the first one of a session is half an hour.
            midnight = at(exchange_date(start), "00:00")
            end -= (end - midnight) % size_ns
        if start < next_start < end:
            end = next_start
        if session is not None and start < session.close_ns < end:
            end = session.close_ns
        spans.append((start, end))
    return spans


def _moment_ns(symbol: str, stamp: date | datetime) -> int:
    if not isinstance(stamp, datetime) or stamp.tzinfo is None:
        raise DataGap(
            f"{symbol}: bar stamped {stamp} without time or zone; intraday bars must be asked as epoch seconds"
        )
    since = stamp.astimezone(UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * _SECOND_NS


def _session_or_none(symbol: str, day: date) -> Session | None:
    try:
        return session_on(day)
    except SessionRangeError as error:
        raise DataGap(f"{symbol}: {error}") from None
