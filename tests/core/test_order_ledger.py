"""The order ledger: the same facts give the same state, in whatever order they come."""

import itertools
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.core.order_ledger import OrderLedger
from quant_trading.core.order_messages import (
    CommissionSaid,
    CompletedSaid,
    ErrorSaid,
    ExecutionSaid,
    OpenOrderSaid,
    OrderMessage,
    StatusSaid,
)
from quant_trading.domain.errors import PlanRefused, UsageError
from quant_trading.domain.orders import Order, OrderState, OrderStatus, OrderType, Side
from quant_trading.ports import BrokerReport

ME, ACCOUNT, ID, PERM, REF = 12, "DU1", 7, 9001, "REV-261120-01-AAPL-B-01"
NOON = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)


def _order(ref: str = REF, quantity: int = 100) -> Order:
    return Order(ref, "AAPL", Side.BUY, Decimal(quantity), OrderType.MARKET, None, Decimal("187.5"), -0.03)


def _ledger() -> OrderLedger:
    ledger = OrderLedger(ACCOUNT, ME)
    assert ledger.sent(_order(), ID).status is OrderStatus.SUBMITTING
    return ledger


def _open(status: str, *, ref: str = REF, order_id: int = ID, perm_id: int = PERM, client: int = ME) -> OpenOrderSaid:
    return OpenOrderSaid(order_id, perm_id, client, ref, ACCOUNT, status, "AAPL", Side.BUY, Decimal(100))


def _status(status: str, filled: int = 0, *, order_id: int = ID, perm_id: int = PERM, client: int = ME) -> StatusSaid:
    return StatusSaid(order_id, perm_id, client, status, Decimal(filled))


def _fill(exec_id: str, quantity: int, price: str, *, ref: str = REF, account: str = ACCOUNT) -> ExecutionSaid:
    return ExecutionSaid(
        exec_id, ID, PERM, ME, ref, account, "AAPL", Side.BUY, Decimal(quantity), Decimal(price), NOON
    )  # fmt: skip


def _fee(exec_id: str, amount: str | None) -> CommissionSaid:
    return CommissionSaid(exec_id, None if amount is None else Decimal(amount), "USD", None)


def _error(code: int, text: str = "words") -> ErrorSaid:
    return ErrorSaid(ID, code, text)


def _tell(ledger: OrderLedger, *messages: OrderMessage) -> list[BrokerReport]:
    return [report for message in messages for report in ledger.apply(message)]


# What TWS says about a market order of 100 that fills in two parts (order of the captures).
FILLED_STORY: list[OrderMessage] = [
    _open("PreSubmitted"),
    _status("PreSubmitted"),
    _fill("0000e0d5.6576fd38.01.01", 40, "187.50"),
    _status("Submitted", 40),
    _fill("0000e0d5.6576fd39.01.01", 60, "187.60"),
    _open("Filled"),
    _status("Filled", 100),
    _fee("0000e0d5.6576fd38.01.01", "0.40"),
    _fee("0000e0d5.6576fd39.01.01", "0.60"),
]


def _end(messages: list[OrderMessage]) -> tuple[OrderState, dict[str, Decimal | None]]:
    """Return the final state and the commission last reported for each execution."""
    ledger = _ledger()
    reports = _tell(ledger, *messages)
    return ledger.state(REF), {r.fill.exec_id: r.fill.commission for r in reports if r.fill is not None}


@given(st.permutations(FILLED_STORY), st.data())
def test_any_order_of_a_filled_orders_messages_ends_the_same(story: list[OrderMessage], data: st.DataObject) -> None:
    repeats = data.draw(st.lists(st.sampled_from(FILLED_STORY), max_size=4))  # TWS also says things twice
    state, fees = _end(story + repeats)
    assert state.status is OrderStatus.FILLED
    assert state.filled == 100
    assert state.average_price == Decimal("187.56")  # (40 x 187.50 + 60 x 187.60) / 100
    assert (state.perm_id, state.reason) == (PERM, "")
    assert fees == {"0000e0d5.6576fd38.01.01": Decimal("0.40"), "0000e0d5.6576fd39.01.01": Decimal("0.60")}


CANCELLED_STORY: list[OrderMessage] = [
    _open("Submitted"),
    _fill("0000e0d5.6576fd38.01.01", 40, "187.50"),
    _status("Submitted", 40),
    _status("PendingCancel", 40),
    _status("Cancelled", 40),
    _error(202, "Order Canceled - reason:"),
    _fee("0000e0d5.6576fd38.01.01", "0.40"),
]


@given(st.permutations(CANCELLED_STORY))
def test_any_order_of_a_partly_filled_cancelled_orders_messages_ends_the_same(story: list[OrderMessage]) -> None:
    state, fees = _end(story)
    assert (state.status, state.filled, state.average_price) == (OrderStatus.CANCELLED, 40, Decimal("187.50"))
    assert fees == {"0000e0d5.6576fd38.01.01": Decimal("0.40")}


@pytest.mark.parametrize(
    "story", list(itertools.permutations([_error(201, "margin"), _status("Cancelled"), _status("Inactive")]))
)
def test_a_reject_is_a_reject_whether_told_before_or_after_cancelled_and_inactive(
    story: tuple[OrderMessage, ...],
) -> None:
    state, _ = _end(list(story))
    assert state.status is OrderStatus.REJECTED
    assert state.reason == "201: margin"


def test_the_fill_is_reported_at_once_and_its_commission_later_as_the_same_fill() -> None:
    ledger = _ledger()
    first = _tell(ledger, _open("Submitted"), _fill("a.b.01", 100, "10"))[-1]
    second = _tell(ledger, _fee("a.b.01", "1.00"))
    assert first.fill is not None and first.fill.commission is None
    assert first.state.status is OrderStatus.FILLED
    assert [(r.fill.exec_id, r.fill.commission, r.fill.commission_currency) for r in second if r.fill] == [
        ("a.b.01", Decimal("1.00"), "USD")
    ]


def test_a_commission_before_its_fill_comes_with_it() -> None:
    ledger = _ledger()
    assert _tell(ledger, _fee("a.b.01", "1.00")) == []
    report = _tell(ledger, _fill("a.b.01", 100, "10"))[0]
    assert report.fill is not None and report.fill.commission == 1


def test_an_unset_commission_leaves_the_fill_as_it_was() -> None:
    ledger = _ledger()
    _tell(ledger, _fill("a.b.01", 100, "10"))
    assert _tell(ledger, _fee("a.b.01", None)) == []


def test_a_repeated_execution_changes_nothing() -> None:
    ledger = _ledger()
    _tell(ledger, _fill("a.b.01", 40, "10"))
    assert _tell(ledger, _fill("a.b.01", 40, "10")) == []
    assert ledger.state(REF).filled == 40


def test_a_correction_replaces_its_execution_and_an_older_one_does_not() -> None:
    ledger = _ledger()
    _tell(ledger, _fill("a.b.01", 100, "10"), _fee("a.b.01", "1.00"))
    report = _tell(ledger, _fill("a.b.02", 100, "11"))[0]
    assert report.text == "execution corrected"
    assert report.fill is not None and report.fill.commission == 1
    assert (report.state.filled, report.state.average_price) == (100, 11)  # not 200 shares
    assert _tell(ledger, _fill("a.b.01", 100, "10")) == []


def test_a_correction_that_lowers_a_filled_orders_quantity_reopens_nothing() -> None:
    ledger = _ledger()
    _tell(ledger, _fill("a.b.01", 100, "10"), _fill("a.b.02", 50, "10"))
    assert (ledger.state(REF).status, ledger.state(REF).filled) == (OrderStatus.FILLED, 50)


def test_a_filled_status_without_executions_is_not_filled_but_missing() -> None:
    ledger = _ledger()
    _tell(ledger, _open("Submitted"), _status("Filled", 100))
    assert ledger.state(REF).status is OrderStatus.WORKING
    assert ledger.missing_executions == [REF]
    _tell(ledger, _fill("a.b.01", 100, "10"))
    assert ledger.state(REF).status is OrderStatus.FILLED
    assert ledger.missing_executions == []


def test_an_order_reduced_by_the_broker_is_filled_when_its_executions_are_here() -> None:
    ledger = _ledger()
    _tell(ledger, _error(481, "reduced"), _fill("a.b.01", 60, "10"), _status("Filled", 60))
    assert (ledger.state(REF).status, ledger.state(REF).filled) == (OrderStatus.FILLED, 60)


def test_a_fill_after_the_cancel_counts_and_the_order_stays_ended() -> None:
    ledger = _ledger()
    _tell(ledger, _status("Submitted"), _status("Cancelled"), _fill("a.b.01", 40, "10"))
    assert (ledger.state(REF).status, ledger.state(REF).filled) == (OrderStatus.CANCELLED, 40)


LIVE = [_open("Submitted"), _status("Submitted")]


# reference/tws-protocol.md section 4, table at its end: what is true of a live order after each code.
@pytest.mark.parametrize(
    ("code", "status"),
    [
        (10349, OrderStatus.WORKING),
        (399, OrderStatus.WORKING),
        (2109, OrderStatus.WORKING),
        (161, OrderStatus.UNKNOWN),
        (10147, OrderStatus.UNKNOWN),
        (10148, OrderStatus.UNKNOWN),
        (202, OrderStatus.CANCELLED),
        (201, OrderStatus.REJECTED),  # a margin call ends a working order this way
        (404, OrderStatus.HELD),
        (103, OrderStatus.UNKNOWN),  # the older order lives
        (321, OrderStatus.UNKNOWN),  # about a cancel of it, perhaps
        (110, OrderStatus.UNKNOWN),
        (99_999, OrderStatus.UNKNOWN),
    ],
)
def test_errors_on_a_working_order(code: int, status: OrderStatus) -> None:
    ledger = _ledger()
    _tell(ledger, *LIVE)
    report = _tell(ledger, _error(code))[-1]
    assert report.state.status is status
    assert report.text == f"{code}: words"
    assert report.state.reason == f"{code}: words"


@pytest.mark.parametrize("code", [201, 203, 110, 321, 103, 434, 200, 460])
def test_refusals_of_a_new_order(code: int) -> None:
    ledger = _ledger()
    assert _tell(ledger, _error(code))[-1].state.status is OrderStatus.REJECTED


def test_doubt_ends_with_the_brokers_next_word() -> None:
    ledger = _ledger()
    _tell(ledger, *LIVE, _error(10148))
    assert ledger.unknown == [REF]
    _tell(ledger, _open("Submitted"))
    assert ledger.state(REF).status is OrderStatus.WORKING


def test_inactive_is_held_and_may_be_released() -> None:
    ledger = _ledger()
    assert _tell(ledger, _status("Inactive"))[-1].state.status is OrderStatus.HELD
    assert _tell(ledger, _status("Submitted"))[-1].state.status is OrderStatus.WORKING


def test_a_status_nobody_knows_is_doubt() -> None:
    ledger = _ledger()
    assert _tell(ledger, _status("Frozen"))[-1].state.status is OrderStatus.UNKNOWN


def test_what_says_nothing_new_is_not_reported() -> None:
    ledger = _ledger()
    assert len(_tell(ledger, _open("Submitted"), _status("Submitted"), _status("Submitted"))) == 1


def test_a_reused_number_with_another_perm_id_is_another_order() -> None:
    ledger = _ledger()
    _tell(ledger, *LIVE)
    assert _tell(ledger, _status("Cancelled", perm_id=4444)) == []
    assert ledger.state(REF).status is OrderStatus.WORKING


@pytest.mark.parametrize(
    "message",
    [
        _open("Cancelled", ref="someone else's", perm_id=1),
        _open("Cancelled", ref="", client=99, perm_id=1),
        _status("Cancelled", client=99, perm_id=1),
        _status("Cancelled", order_id=8, perm_id=1),
        _fill("x.y.01", 5, "1", account="DU2"),
        _fill("x.y.01", 5, "1", ref="someone else's"),
        _fee("x.y.01", "1"),
        ErrorSaid(8, 201, "no"),
    ],
)
def test_messages_about_others_change_nothing(message: OrderMessage) -> None:
    ledger = _ledger()
    _tell(ledger, *LIVE) if not isinstance(message, ExecutionSaid) else None
    before = ledger.state(REF)
    if isinstance(message, ExecutionSaid):
        message = ExecutionSaid(
            message.exec_id,
            8,
            1,
            ME,
            message.order_ref,
            message.account,
            "AAPL",
            Side.BUY,
            Decimal(5),
            Decimal(1),
            NOON,
        )
    assert _tell(ledger, message) == []
    assert ledger.state(REF) == before


def test_one_identity_is_sent_once() -> None:
    ledger = _ledger()
    _tell(ledger, _error(201))
    with pytest.raises(PlanRefused, match=REF):
        ledger.sent(_order(), 8)


def test_a_broken_connection_leaves_the_unanswered_order_in_doubt_and_the_working_one_working() -> None:
    ledger = _ledger()
    ledger.sent(_order("other"), 8)
    _tell(ledger, *LIVE)
    reports = ledger.connection_lost()
    assert [(r.state.order.order_ref, r.state.status) for r in reports] == [("other", OrderStatus.UNKNOWN)]
    assert ledger.state(REF).status is OrderStatus.WORKING
    assert ledger.order_id(REF) == 0  # numbers belong to the session
    assert _tell(ledger, _status("Cancelled", perm_id=0)) == []


def test_an_adopted_order_is_found_by_its_reference_and_then_by_number() -> None:
    ledger = OrderLedger(ACCOUNT, ME)
    assert ledger.adopt(_order()).status is OrderStatus.UNKNOWN
    _tell(ledger, _open("Submitted"))
    assert (ledger.state(REF).status, ledger.order_id(REF)) == (OrderStatus.WORKING, ID)
    _tell(ledger, _status("Cancelled"))
    assert ledger.state(REF).status is OrderStatus.CANCELLED


def test_an_adopted_order_keeps_its_fills_and_takes_the_rest() -> None:
    before = _ledger()
    fill = _tell(before, _fill("a.b.01", 40, "10"))[0].fill
    assert fill is not None
    ledger = OrderLedger(ACCOUNT, ME)
    ledger.adopt(_order(), [fill])
    assert _tell(ledger, _fill("a.b.01", 40, "10")) == []
    _tell(ledger, _fill("a.c.01", 60, "10"))
    assert (ledger.state(REF).status, ledger.state(REF).filled) == (OrderStatus.FILLED, 100)


@pytest.mark.parametrize(
    ("word", "status"),
    [("Cancelled", OrderStatus.CANCELLED), ("Inactive", OrderStatus.REJECTED), ("Filled", OrderStatus.UNKNOWN)],
)
def test_completed_orders_settle_doubt_but_a_filled_one_waits_for_its_executions(
    word: str, status: OrderStatus
) -> None:
    ledger = OrderLedger(ACCOUNT, ME)
    ledger.adopt(_order())
    filled = Decimal(100) if word == "Filled" else Decimal(0)
    _tell(ledger, CompletedSaid(PERM, REF, ACCOUNT, word, filled))
    assert ledger.state(REF).status is status
    assert ledger.missing_executions == ([REF] if word == "Filled" else [])


def test_an_order_the_broker_never_named_is_not_among_the_seen() -> None:
    ledger = OrderLedger(ACCOUNT, ME)
    ledger.adopt(_order())
    ledger.adopt(_order("lost"))
    _tell(ledger, _open("Submitted"))
    assert ledger.seen_refs == {REF}


def test_asking_for_an_order_that_is_not_here_names_it() -> None:
    with pytest.raises(UsageError, match="nobody"):
        _ledger().state("nobody")


def test_a_cancel_of_an_ended_order_changes_nothing() -> None:
    ledger = _ledger()
    _tell(ledger, _fill("a.b.01", 100, "10"))
    assert ledger.cancel_sent(REF).status is OrderStatus.FILLED


EVERYTHING: list[OrderMessage] = [
    *FILLED_STORY, *CANCELLED_STORY, _status("Inactive"), _status("Frozen"), _fill("a.b.02", 10, "3"),
    *[_error(code) for code in (103, 110, 161, 201, 321, 399, 404, 10148, 10349, 55_555)],
    *[CompletedSaid(PERM, REF, ACCOUNT, word, Decimal(0)) for word in ("Filled", "Cancelled", "Inactive")],
]  # fmt: skip


@given(st.lists(st.sampled_from(EVERYTHING), max_size=25))
def test_no_sequence_raises_revives_an_ended_order_or_loses_a_fill(story: list[OrderMessage]) -> None:
    ledger = _ledger()
    was_final = False
    for message in story:
        before = ledger.state(REF)
        ledger.apply(message)
        state = ledger.state(REF)
        assert state.filled >= before.filled
        assert not was_final or state.is_final
        was_final = state.is_final


def test_a_later_status_never_lowers_what_was_announced_as_filled() -> None:
    ledger = _ledger()
    _tell(ledger, _status("Submitted", 60), _fill("a.b.01", 40, "10"), _status("Submitted", 40))
    assert ledger.missing_executions == [REF]
