"""Mapping: IBKR's spellings and unset numbers end here."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_async import BarData, CommissionReport, Contract, ContractDetails, Execution
from ib_async import Order as IbOrder
from ib_async import OrderState as IbOrderState

from quant_trading.core import ibkr_mapping as mapping
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.errors import DataGap, ProtocolError, UsageError
from quant_trading.domain.instruments import Instrument
from quant_trading.domain.orders import Order, OrderType, Side

UNSET = 1.7976931348623157e308


@pytest.mark.parametrize("value", [UNSET, -UNSET, math.nan, math.inf, -math.inf, "", None, "abc", 1e16])
def test_what_is_no_number_is_none(value: float | str | None) -> None:
    assert mapping.number(value) is None
    assert mapping.price(value) is None
    assert mapping.quantity(value) == 0


@pytest.mark.parametrize("value", [-1.0, 0.0, -0.0])
def test_ibkrs_no_price_is_none(value: float) -> None:
    assert mapping.price(value) is None


@given(st.decimals(min_value=Decimal("0.0001"), max_value=Decimal("999999.9999"), places=4))
def test_a_price_comes_through_as_it_was_written(value: Decimal) -> None:
    assert mapping.price(float(value)) == value
    assert mapping.price(str(value)) == value


def test_whole_shares_have_no_decimal_point() -> None:
    assert str(mapping.quantity(100.0)) == "100"
    assert str(mapping.quantity(0.5)) == "0.5"


def test_share_classes_are_written_both_ways() -> None:
    assert mapping.ibkr_symbol("brk.b") == "BRK B"
    assert mapping.our_symbol("BRK B") == "BRK.B"


def _order(**changes: object) -> Order:
    fields: dict[str, object] = {
        "order_ref": "r1", "symbol": "AAPL", "side": Side.SELL, "quantity": Decimal(30), "order_type": OrderType.LIMIT,
        "limit_price": Decimal("187.35"), "reference_price": Decimal(187), "signal_value": 0.0,
    }  # fmt: skip
    return Order(**(fields | changes))  # type: ignore[arg-type]  # the fields vary by test


def test_a_limit_order_is_a_day_order_of_this_account_in_regular_hours() -> None:
    placed = mapping.order_to_ibkr(_order(), "DU1")
    assert (placed.action, placed.totalQuantity, placed.orderType, placed.lmtPrice) == ("SELL", 30, "LMT", 187.35)
    assert (placed.tif, placed.outsideRth, placed.account, placed.orderRef) == ("DAY", False, "DU1", "r1")
    assert isinstance(placed.totalQuantity, int)  # "30", not "30.0", on the wire


def test_a_market_order_carries_no_price() -> None:
    placed = mapping.order_to_ibkr(_order(order_type=OrderType.MARKET, limit_price=None, side=Side.BUY), "DU1")
    assert (placed.orderType, placed.action, placed.lmtPrice) == ("MKT", "BUY", UNSET)


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": Decimal("0.5")},
        {"quantity": Decimal(0)},
        {"quantity": Decimal(-3)},
        {"limit_price": None},
        {"limit_price": Decimal(0)},
        {"order_ref": "x" * 33},
        {"order_ref": ""},
        {"order_ref": "é"},
    ],
)
def test_an_order_no_exchange_would_take_is_not_sent(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        mapping.order_to_ibkr(_order(**changes), "DU1")


def test_an_execution_keeps_its_numbers_exact() -> None:
    time = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
    said = mapping.execution_said(
        Contract(symbol="BRK B"),
        Execution("a.b.01", time, "DU1", "NYSE", "SLD", 30.0, 187.35, 9, 12, 7, orderRef="r1"),
    )
    assert (said.side, str(said.quantity), str(said.price), said.symbol) == (Side.SELL, "30", "187.35", "BRK.B")
    assert (said.exec_id, said.perm_id, said.client_id, said.order_id, said.account) == ("a.b.01", 9, 12, 7, "DU1")
    assert (said.order_ref, said.time) == ("r1", time)


@pytest.mark.parametrize(("side", "shares", "price"), [("???", 1.0, 1.0), ("BOT", 0.0, 1.0), ("BOT", 1.0, UNSET)])
def test_an_execution_that_cannot_be_booked_is_not_swallowed(side: str, shares: float, price: float) -> None:
    with pytest.raises(ProtocolError, match=r"a\.b"):
        mapping.execution_said(Contract(symbol="A"), Execution("a.b", side=side, shares=shares, price=price))


def test_an_unset_commission_is_none() -> None:
    said = mapping.commission_said(CommissionReport("a.b", UNSET, "USD", UNSET))
    assert (said.commission, said.realized_pnl) == (None, None)
    assert mapping.commission_said(CommissionReport("a.b", 1.0, "USD", -12.5)).realized_pnl == Decimal("-12.5")


def test_an_open_orders_unset_numbers_are_none_and_zero() -> None:
    order = IbOrder(orderId=2**31 - 1, permId=5, clientId=3, action="SSHORT", totalQuantity=UNSET, orderRef="r")
    said = mapping.open_order_said(Contract(symbol="A"), order, IbOrderState(status="Submitted"))
    assert (said.order_id, said.perm_id, said.quantity, said.side) == (0, 5, 0, Side.SELL)


def test_a_description_without_a_tick_size_is_a_gap() -> None:
    with pytest.raises(DataGap, match="tick size"):
        mapping.instrument_of("A", ContractDetails(contract=Contract(conId=1), minTick=UNSET))


def test_an_instrument_keeps_the_users_name() -> None:
    contract = Contract(conId=72063691, symbol="BRK B", secType="STK", currency="USD", primaryExchange="NYSE")
    instrument = mapping.instrument_of("BRK.B", ContractDetails(contract=contract, minTick=0.01))
    assert instrument == Instrument("BRK.B", "SMART", "USD", "STK", "NYSE", 72063691, Decimal("0.01"))
    assert mapping.contract_of(instrument).symbol == "BRK B"


# Bars. New York is UTC-5 in winter, UTC-4 in summer; the session is 09:30-16:00, 13:00 on half days.


def _ns(year: int, month: int, day: int, hour: int, minute: int) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1_000_000_000


def _bar(stamp: date | datetime, close: float = 10.0, volume: float = 5.0) -> BarData:
    return BarData(stamp, 10.0, 11.0, 9.0, close, volume)


def test_a_daily_bar_spans_its_session() -> None:
    columns = mapping.bar_columns("A", parse_bar_size("1 day"), [_bar(date(2024, 1, 5)), _bar(date(2024, 7, 3))])
    assert columns.start_ns.tolist() == [_ns(2024, 1, 5, 14, 30), _ns(2024, 7, 3, 13, 30)]
    assert columns.end_ns.tolist() == [_ns(2024, 1, 5, 21, 0), _ns(2024, 7, 3, 17, 0)]  # 3 July closes at 13:00


def test_a_daily_bar_on_a_holiday_is_a_gap() -> None:
    with pytest.raises(DataGap, match="2024-07-04 is on a day without a session"):
        mapping.bar_columns("A", parse_bar_size("1 day"), [_bar(date(2024, 7, 4))])


@pytest.mark.parametrize("stamp", [date(2024, 7, 1), date(2024, 7, 3), date(2024, 7, 5)])
def test_a_weekly_bar_spans_its_sessions_also_while_the_week_runs(stamp: date) -> None:
    columns = mapping.bar_columns("A", parse_bar_size("1W"), [_bar(stamp)])
    assert (columns.start_ns[0], columns.end_ns[0]) == (_ns(2024, 7, 1, 13, 30), _ns(2024, 7, 5, 20, 0))


def test_a_monthly_bar_spans_its_sessions_across_a_clock_change() -> None:
    columns = mapping.bar_columns("A", parse_bar_size("1M"), [_bar(date(2024, 11, 12))])
    # Friday 1 November opens in summer time, Friday 29 November closes at 13:00 in winter time
    assert (columns.start_ns[0], columns.end_ns[0]) == (_ns(2024, 11, 1, 13, 30), _ns(2024, 11, 29, 18, 0))


def test_a_week_whose_friday_is_a_holiday_ends_on_thursday() -> None:
    columns = mapping.bar_columns("A", parse_bar_size("1W"), [_bar(date(2024, 3, 28))])  # Good Friday is the 29th
    assert columns.end_ns[0] == _ns(2024, 3, 28, 20, 0)


def test_two_stamps_of_one_month_are_a_gap() -> None:
    with pytest.raises(DataGap, match="2024-11-12 comes after 2024-11-08"):
        mapping.bar_columns("A", parse_bar_size("1M"), [_bar(date(2024, 11, 8)), _bar(date(2024, 11, 12))])


def test_an_intraday_bar_ends_one_size_later_or_at_the_close() -> None:
    times = [datetime(2024, 7, 3, 16, 50, tzinfo=UTC), datetime(2024, 7, 3, 16, 55, tzinfo=UTC)]
    columns = mapping.bar_columns("A", parse_bar_size("10 mins"), [_bar(times[0]), _bar(times[1])])
    assert columns.start_ns.tolist() == [_ns(2024, 7, 3, 16, 50), _ns(2024, 7, 3, 16, 55)]
    # the first is cut by the next bar's start, the last by the half day's close at 13:00 New York
    assert columns.end_ns.tolist() == [_ns(2024, 7, 3, 16, 55), _ns(2024, 7, 3, 17, 0)]


def test_hourly_bars_end_on_whole_hours() -> None:
    times = [datetime(2024, 1, 5, 14, 30, tzinfo=UTC), datetime(2024, 1, 5, 15, 0, tzinfo=UTC)]
    columns = mapping.bar_columns("A", parse_bar_size("1 hour"), [_bar(times[0]), _bar(times[1])])
    assert columns.end_ns.tolist() == [_ns(2024, 1, 5, 15, 0), _ns(2024, 1, 5, 16, 0)]


@pytest.mark.parametrize(("size", "hour"), [("1 hour", 15), ("2 hours", 15), ("4 hours", 17), ("8 hours", 21)])
def test_a_bar_of_hours_alone_ends_where_the_wall_clock_has_its_next_one(size: str, hour: int) -> None:
    # 09:30 New York: hours end at 10:00, two hours at 10:00, four at 12:00, eight at 16:00
    columns = mapping.bar_columns("A", parse_bar_size(size), [_bar(datetime(2024, 1, 5, 14, 30, tzinfo=UTC))])
    assert columns.end_ns.tolist() == [_ns(2024, 1, 5, hour, 0)]


@pytest.mark.parametrize("close", [-1.0, 0.0, UNSET, math.nan, math.inf])
def test_a_bar_without_a_price_is_a_gap_that_names_it(close: float) -> None:
    with pytest.raises(DataGap, match="A: bar 2024-01-05"):
        mapping.bar_columns("A", parse_bar_size("1 day"), [_bar(date(2024, 1, 4)), _bar(date(2024, 1, 5), close)])


def test_bars_out_of_order_are_a_gap() -> None:
    with pytest.raises(DataGap, match="2024-01-04 comes after 2024-01-05"):
        mapping.bar_columns("A", parse_bar_size("1 day"), [_bar(date(2024, 1, 5)), _bar(date(2024, 1, 4))])


def test_no_volume_is_nan() -> None:
    columns = mapping.bar_columns("A", parse_bar_size("1 day"), [_bar(date(2024, 1, 5), volume=-1.0)])
    assert math.isnan(columns.volume[0])


def test_no_bars_are_a_gap() -> None:
    with pytest.raises(DataGap, match="A: no bars"):
        mapping.bar_columns("A", parse_bar_size("1 day"), [])


@pytest.mark.parametrize("size", ["1 day", "1W", "1M"])
@pytest.mark.parametrize("day", [date(1950, 1, 5), date(2099, 1, 5), date.max])
def test_a_day_outside_the_calendar_is_a_gap(size: str, day: date) -> None:
    with pytest.raises(DataGap, match=r"A: .* is outside the table"):
        mapping.bar_columns("A", parse_bar_size(size), [_bar(day)])


@pytest.mark.parametrize("size", ["5 mins", "1 hour"])
@pytest.mark.parametrize("year", [1, 1950, 2099, 9999])
def test_a_moment_outside_the_calendar_is_a_gap(size: str, year: int) -> None:
    with pytest.raises(DataGap, match=r"A: .* is outside the table"):
        mapping.bar_columns("A", parse_bar_size(size), [_bar(datetime(year, 12, 30, 15, tzinfo=UTC))])


def test_an_intraday_bar_without_a_zone_is_a_gap() -> None:
    with pytest.raises(DataGap, match="epoch seconds"):
        mapping.bar_columns("A", parse_bar_size("5 mins"), [_bar(datetime(2024, 1, 5, 14, 30))])  # noqa: DTZ001 - the fault
