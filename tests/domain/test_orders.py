"""The life cycle of an order: what is possible, and what is refused by name."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.domain.orders import (
    FINAL_STATES,
    Order,
    OrderEvent,
    OrderState,
    OrderStatus,
    OrderType,
    Side,
    apply_event,
)

ORDER = Order("R-1", "A", Side.BUY, Decimal(10), OrderType.MARKET, None, Decimal(5), 1.0)


def test_a_plain_fill() -> None:
    state = OrderState(ORDER)
    for event in (OrderEvent.SENT, OrderEvent.ACCEPTED, OrderEvent.FILLED_PART, OrderEvent.FILLED_ALL):
        state = apply_event(state, event)
    assert state.status is OrderStatus.FILLED
    assert state.is_final


def test_an_order_is_sent_once() -> None:
    sent = apply_event(OrderState(ORDER), OrderEvent.SENT)
    with pytest.raises(ValueError, match="R-1: event SENT is not possible in state SUBMITTING"):
        apply_event(sent, OrderEvent.SENT)


def test_nothing_is_filled_before_it_was_sent() -> None:
    with pytest.raises(ValueError, match="FILLED_ALL is not possible in state PLANNED"):
        apply_event(OrderState(ORDER), OrderEvent.FILLED_ALL)


def test_a_fill_that_crosses_a_cancel_fills_the_order() -> None:
    state = OrderState(ORDER, OrderStatus.CANCELLED)
    assert apply_event(state, OrderEvent.FILLED_ALL).status is OrderStatus.FILLED


def test_a_refused_cancel_is_doubt_and_not_death() -> None:
    state = apply_event(OrderState(ORDER, OrderStatus.CANCEL_PENDING), OrderEvent.CANCEL_REFUSED, reason="10148")
    assert (state.status, state.reason) == (OrderStatus.UNKNOWN, "10148")
    assert apply_event(state, OrderEvent.ACCEPTED).status is OrderStatus.WORKING


@given(st.sampled_from(sorted(FINAL_STATES, key=lambda s: s.name)), st.lists(st.sampled_from(OrderEvent), max_size=20))
def test_an_ended_order_never_lives_again(status: OrderStatus, events: list[OrderEvent]) -> None:
    state = OrderState(ORDER, status)
    for event in events:
        try:
            state = apply_event(state, event)
        except ValueError:
            assert event in (OrderEvent.SENT, OrderEvent.DENIED) or status is OrderStatus.DENIED
        assert state.is_final
