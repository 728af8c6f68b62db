"""Orders as TWS keeps them: the record, its life cycle and its executions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

from quant_trading.tws_sim.conditions import Condition
from quant_trading.tws_sim.tape import Contract
from quant_trading.tws_sim.timeline import Timer

__all__ = [
    "MANUAL_CLIENT", "MAX_ORDER_ID", "Event", "Execution", "Order", "Status", "Terms", "next_status",
]  # fmt: skip

MAX_ORDER_ID = 2**31 - 1

MANUAL_CLIENT = 0
"""Orders a person types into TWS belong to client 0; their order id is 0 until they are bound (documented)."""


class Status(Enum):
    """TWS's order states; the values are its words."""

    HELD = "Held"  # not transmitted: nobody is told, the word never reaches the wire
    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    PENDING_CANCEL = "PendingCancel"
    CANCELLED = "Cancelled"
    FILLED = "Filled"
    INACTIVE = "Inactive"

    @property
    def is_done(self) -> bool:
        """True when nothing can happen to the order any more."""
        return self in (Status.CANCELLED, Status.FILLED, Status.INACTIVE)


class Event(Enum):
    """What can happen to an order."""

    TRANSMIT = "transmit"
    WORK = "work"
    PART_FILL = "fill in part"
    FILL = "fill"
    CANCEL = "cancel"
    CANCELLED = "cancelled"
    REJECT = "reject"


_TRANSITIONS: dict[tuple[Status, Event], Status] = {
    (Status.HELD, Event.TRANSMIT): Status.PRE_SUBMITTED,
    # An order that was never transmitted has nothing to confirm.
    (Status.HELD, Event.CANCEL): Status.CANCELLED,
    # Its parent is gone, or its group: nobody has ever heard of it.
    (Status.HELD, Event.CANCELLED): Status.CANCELLED,
    (Status.PRE_SUBMITTED, Event.WORK): Status.SUBMITTED,
    # Market orders fill before they are ever shown as working (captured).
    (Status.PRE_SUBMITTED, Event.FILL): Status.FILLED,
    (Status.PRE_SUBMITTED, Event.PART_FILL): Status.SUBMITTED,
    (Status.PRE_SUBMITTED, Event.CANCEL): Status.PENDING_CANCEL,
    (Status.PRE_SUBMITTED, Event.CANCELLED): Status.CANCELLED,
    (Status.PRE_SUBMITTED, Event.REJECT): Status.INACTIVE,
    (Status.SUBMITTED, Event.WORK): Status.SUBMITTED,
    # TWS has no word for an order that is filled in part; it stays Submitted (documented).
    (Status.SUBMITTED, Event.PART_FILL): Status.SUBMITTED,
    (Status.SUBMITTED, Event.FILL): Status.FILLED,
    (Status.SUBMITTED, Event.CANCEL): Status.PENDING_CANCEL,
    # The exchange cancels by itself: end of day, immediate-or-cancel, its group was filled.
    (Status.SUBMITTED, Event.CANCELLED): Status.CANCELLED,
    # Real world: margin or shares to borrow were gone when a working order was looked at again.
    (Status.SUBMITTED, Event.REJECT): Status.INACTIVE,
    (Status.PENDING_CANCEL, Event.CANCELLED): Status.CANCELLED,
    # Real world: the fill was on its way when the cancel arrived.
    (Status.PENDING_CANCEL, Event.FILL): Status.FILLED,
    (Status.PENDING_CANCEL, Event.PART_FILL): Status.PENDING_CANCEL,
}


def next_status(status: Status, event: Event) -> Status:
    """Return the state after `event`.

    Raises:
        ValueError: when that cannot happen in this state.
    """
    try:
        return _TRANSITIONS[status, event]
    except KeyError:
        raise ValueError(f"an order that is {status.value} cannot {event.value}") from None


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order asks for.

    Attributes:
        quantity: shares, positive.
        order_type: "MKT", "LMT", "STP", "STP LMT", "TRAIL", "TRAIL LIMIT", "MIT", "LIT", "REL", "MOC" or "LOC".
        limit: the limit price; the cap of a REL order; None when the type has none.
        aux: the stop or trigger price, the trailing amount, the offset of a REL order; None without.
        trail_percent: 1.5 = 1.5 %, instead of an amount.
        trail_stop: where a trailing stop begins; None takes it from the market.
        limit_offset: how far the limit of a TRAIL LIMIT order lies behind its stop.
        tif: "DAY", "GTC", "IOC", "FOK", "GTD" or "OPG".
        good_till_ns, good_after_ns: UTC ns, None without.
        is_preset_tif: the time in force came from the preset of TWS.
        parent_id: order id, of the same client, of the order this one is attached to; 0 without.
        cancels_on_conditions: the conditions cancel the order instead of activating it.
        values: every field of the placing request, to be echoed in open orders.
    """

    action: str
    quantity: Decimal
    order_type: str
    limit: Decimal | None
    tif: str
    account: str
    order_ref: str
    transmit: bool
    outside_rth: bool
    what_if: bool
    values: Mapping[str, Any]
    aux: Decimal | None = None
    trail_percent: Decimal | None = None
    trail_stop: Decimal | None = None
    limit_offset: Decimal | None = None
    good_till_ns: int | None = None
    good_after_ns: int | None = None
    is_preset_tif: bool = False
    oca_group: str = ""
    oca_type: int = 0
    parent_id: int = 0
    conditions: tuple[Condition, ...] = ()
    cancels_on_conditions: bool = False
    conditions_ignore_rth: bool = False

    @property
    def is_buy(self) -> bool:
        """True for a buy, False for a sell."""
        return self.action == "BUY"

    @property
    def is_trailing(self) -> bool:
        """True when the stop follows the market."""
        return self.order_type in ("TRAIL", "TRAIL LIMIT")


@dataclass(slots=True)
class Order:
    """One order of one client; identified by (client_id, order_id) and, for ever, by perm_id.

    Attributes:
        order_id: 0 for an order typed into TWS that no client has bound.
        quantity: shares in all; what a group has taken off is gone from it.
        oca_group, oca_type: its group; children of a parent get one of their own.
        limit: the limit it works at now; None for a market order.
        is_triggered: its stop or trigger was reached, or it has none.
        extreme, trailing_from_ns: best price a trailing order has seen, and up to when.
        stop: where a stop or trailing order triggers now.
        why_held: TWS's words for what it waits for.
        is_located: the shares for its short sale are found.
        is_manual: a person typed it into TWS.
        is_liquidation: IBKR closes the position for want of margin.
        are_conditions_met: its conditions have come true once.
        timer: what happens to it next.
        condition_timer: when its conditions cancel it.
        completed_ns: when it was done, None while it lives.
        done_reason: the words of its cancellation or rejection.
    """

    client_id: int
    order_id: int
    perm_id: int
    contract: Contract
    terms: Terms
    status: Status = Status.HELD
    quantity: Decimal = Decimal(-1)
    filled: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)
    last_price: Decimal = Decimal(0)
    commission: Decimal | None = None
    oca_group: str = ""
    oca_type: int = 0
    limit: Decimal | None = None
    is_triggered: bool = False
    extreme: Decimal | None = None
    trailing_from_ns: int = 0
    stop: Decimal | None = None
    why_held: str = ""
    is_located: bool = False
    are_conditions_met: bool = False
    is_manual: bool = False
    is_liquidation: bool = False
    parent: "Order | None" = None
    children: "list[Order]" = field(default_factory=list)
    timer: Timer | None = None
    condition_timer: Timer | None = None
    completed_ns: int | None = None
    done_reason: str = ""

    def __post_init__(self) -> None:
        """Begin with the terms as they were placed."""
        if self.quantity < 0:
            self.quantity = self.terms.quantity
        self.oca_group, self.oca_type = self.terms.oca_group, self.terms.oca_type

    @property
    def remaining(self) -> Decimal:
        """Return the shares still to be filled; a cancelled order keeps what it had left."""
        return self.quantity - self.filled

    @property
    def is_working(self) -> bool:
        """True between transmission and the end."""
        return not self.status.is_done and self.status is not Status.HELD

    def happen(self, event: Event) -> None:
        """Move to the state after `event`.

        Raises:
            ValueError: when that cannot happen in this state.
        """
        self.status = next_status(self.status, event)

    def stop_timer(self) -> None:
        """Forget what was to happen next."""
        for timer in (self.timer, self.condition_timer):
            if timer is not None:
                timer.cancel()
        self.timer = self.condition_timer = None


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill.

    Attributes:
        exec_id: unique; the last segment counts corrections.
        shares: positive.
        realized: profit realized by it, None when it only opened a position.
    """

    exec_id: str
    at_ns: int
    order_id: int
    client_id: int
    perm_id: int
    account: str
    contract: Contract
    is_buy: bool
    shares: Decimal
    price: Decimal
    cumulative: Decimal
    average_price: Decimal
    order_ref: str
    commission: Decimal
    realized: Decimal | None = field(default=None)
    is_liquidation: bool = False
