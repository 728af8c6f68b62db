"""The life cycle of an order is a table: every pair of state and event is either in it or refused by name."""

import pytest

from quant_trading.tws_sim.orders import Event, Status, next_status

ALLOWED = {
    ("Held", "transmit"): "PreSubmitted",
    ("Held", "cancel"): "Cancelled",
    ("Held", "cancelled"): "Cancelled",
    ("PreSubmitted", "work"): "Submitted",
    ("PreSubmitted", "fill"): "Filled",
    ("PreSubmitted", "fill in part"): "Submitted",
    ("PreSubmitted", "cancel"): "PendingCancel",
    ("PreSubmitted", "cancelled"): "Cancelled",
    ("PreSubmitted", "reject"): "Inactive",
    ("Submitted", "work"): "Submitted",
    ("Submitted", "fill"): "Filled",
    ("Submitted", "fill in part"): "Submitted",
    ("Submitted", "reject"): "Inactive",
    ("Submitted", "cancel"): "PendingCancel",
    ("Submitted", "cancelled"): "Cancelled",
    ("PendingCancel", "cancelled"): "Cancelled",
    ("PendingCancel", "fill"): "Filled",
    ("PendingCancel", "fill in part"): "PendingCancel",
}


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("status", Status)
def test_every_pair_is_allowed_or_refused(status: Status, event: Event) -> None:
    expected = ALLOWED.get((status.value, event.value))
    if expected is not None:
        assert next_status(status, event).value == expected
        return
    with pytest.raises(ValueError, match=f"an order that is {status.value} cannot {event.value}"):
        next_status(status, event)


def test_nothing_happens_to_an_order_that_is_done() -> None:
    done = {status.value for status in Status if status.is_done}

    assert done == {"Filled", "Cancelled", "Inactive"}
    assert not [pair for pair in ALLOWED if pair[0] in done]
