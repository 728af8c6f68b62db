"""Orders as TWS keeps them: the record, its life cycle, and what is wrong with a request to place one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message, Values
from quant_trading.tws_sim.tape import Contract
from quant_trading.tws_sim.timeline import Timer

__all__ = ["MAX_ORDER_ID", "Event", "Execution", "Order", "Status", "Terms", "next_status", "read_terms"]

MAX_ORDER_ID = 2**31 - 1
_LARGEST_QUANTITY = Decimal(10**9)
_LARGEST_PRICE = Decimal(10**9)

# What TWS knows and this simulator does not serve yet: 387 says so. Anything else is no order type: 321.
_KNOWN_TYPES = frozenset(
    {"STP", "STP LMT", "TRAIL", "TRAIL LIMIT", "TRAIL LIT", "TRAIL MIT", "MOC", "LOC", "MIT", "LIT", "MTL", "MKT PRT",
     "STP PRT", "REL", "PEG MKT", "PEG PRI", "PEG MID", "PEG STK", "PEG BENCH", "PEG BEST", "MIDPRICE", "VOL",
     "SNAP MID", "SNAP MKT", "SNAP PRI", "PASSV REL", "AUC", "BOX TOP", "RPI"}
)  # fmt: skip
_KNOWN_TIFS = frozenset({"GTD", "OPG", "FOK", "DTC", "AUC", "GTX", "MINUTES"})


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
    FILL = "fill"
    CANCEL = "cancel"
    CANCELLED = "cancelled"
    REJECT = "reject"


_TRANSITIONS: dict[tuple[Status, Event], Status] = {
    (Status.HELD, Event.TRANSMIT): Status.PRE_SUBMITTED,
    # An order that was never transmitted has nothing to confirm.
    (Status.HELD, Event.CANCEL): Status.CANCELLED,
    (Status.PRE_SUBMITTED, Event.WORK): Status.SUBMITTED,
    (Status.PRE_SUBMITTED, Event.FILL): Status.FILLED,
    (Status.PRE_SUBMITTED, Event.CANCEL): Status.PENDING_CANCEL,
    (Status.PRE_SUBMITTED, Event.CANCELLED): Status.CANCELLED,
    (Status.PRE_SUBMITTED, Event.REJECT): Status.INACTIVE,
    (Status.SUBMITTED, Event.WORK): Status.SUBMITTED,
    (Status.SUBMITTED, Event.FILL): Status.FILLED,
    (Status.SUBMITTED, Event.CANCEL): Status.PENDING_CANCEL,
    # The exchange cancels by itself: end of day, immediate-or-cancel.
    (Status.SUBMITTED, Event.CANCELLED): Status.CANCELLED,
    (Status.PENDING_CANCEL, Event.CANCELLED): Status.CANCELLED,
    # Real world: the fill was on its way when the cancel arrived.
    (Status.PENDING_CANCEL, Event.FILL): Status.FILLED,
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
        limit: None for a market order.
        tif: "DAY", "GTC" or "IOC".
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

    @property
    def is_buy(self) -> bool:
        """True for a buy, False for a sell."""
        return self.action == "BUY"

    @property
    def signed_quantity(self) -> Decimal:
        """Return the quantity, negative for a sell."""
        return self.quantity if self.is_buy else -self.quantity


@dataclass(slots=True)
class Order:
    """One order of one client; identified by (client_id, order_id) and, for ever, by perm_id.

    Attributes:
        expires_ns: end of the session a DAY order lives in, None for GTC.
        timer: what happens to it next.
        completed_ns: when it was done, None while it lives.
        done_reason: the words of its cancellation or rejection.
    """

    client_id: int
    order_id: int
    perm_id: int
    contract: Contract
    terms: Terms
    status: Status = Status.HELD
    filled: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)
    last_price: Decimal = Decimal(0)
    commission: Decimal | None = None
    expires_ns: int | None = None
    timer: Timer | None = None
    completed_ns: int | None = None
    done_reason: str = ""

    @property
    def remaining(self) -> Decimal:
        """Return the shares still to be filled; a cancelled order keeps what it had left."""
        return self.terms.quantity - self.filled

    def happen(self, event: Event) -> None:
        """Move to the state after `event`.

        Raises:
            ValueError: when that cannot happen in this state.
        """
        self.status = next_status(self.status, event)

    def stop_timer(self) -> None:
        """Forget what was to happen next."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


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


def read_terms(request: Message, accounts: tuple[str, ...]) -> Terms:
    """Return the terms of a `placeOrder`.

    Raises:
        RequestRefused: 321, 387, 434, 435 or 107, whichever rule is broken first.
    """
    action = request.text("action").upper()
    if action not in ("BUY", "SELL"):
        raise _invalid(f"Invalid action: {action or '(empty)'}")
    order_type = _order_type(request)
    quantity = request.number("totalQuantity")
    if not quantity:
        raise RequestRefused(434)
    if not quantity.is_finite() or not 0 < quantity <= _LARGEST_QUANTITY:
        raise _invalid(f"Invalid order size: {request.values['totalQuantity']}")
    if quantity != quantity.to_integral_value():
        raise RequestRefused(10243, text="Fractional-sized order cannot be placed via API. Please use desktop version.")
    return Terms(
        action=action,
        quantity=quantity,
        order_type=order_type,
        limit=_limit(request) if order_type == "LMT" else None,
        tif=_tif(request),
        account=_account(request, accounts),
        order_ref=request.text("orderRef"),
        transmit=request.flag("transmit"),
        outside_rth=request.flag("outsideRth"),
        what_if=request.flag("whatIf"),
        values=_echo(request.values),
    )


def _invalid(cause: str) -> RequestRefused:
    return RequestRefused(321, tag="placeOrder", cause=cause)


def _order_type(request: Message) -> str:
    order_type = request.text("orderType").upper()
    if order_type in _KNOWN_TYPES:
        raise RequestRefused(387)
    if order_type not in ("MKT", "LMT"):
        raise _invalid(f"Invalid order type was entered: {order_type or '(empty)'}")
    unserved = ("conditions", "algoStrategy", "parentId", "hedgeType", "ocaGroup", "goodAfterTime")
    for name in unserved:
        if request.values.get(name):
            raise _invalid(f"The order attribute {name} is not served by this simulator")
    return order_type


def _limit(request: Message) -> Decimal:
    limit = request.number("lmtPrice")
    if limit is None or limit == 0:
        raise RequestRefused(107)
    if not limit.is_finite() or not 0 < limit <= _LARGEST_PRICE:
        raise _invalid(f"Invalid limit price: {request.values['lmtPrice']}")
    return limit


def _tif(request: Message) -> str:
    tif = request.text("tif").upper() or "DAY"
    if tif in ("DAY", "GTC", "IOC"):
        return tif
    reason = "is not served by this simulator" if tif in _KNOWN_TIFS else "is invalid"
    raise _invalid(f"Time in force {tif} {reason}")


def _account(request: Message, accounts: tuple[str, ...]) -> str:
    account = request.text("account")
    if account in accounts:
        return account
    if account:
        raise _invalid(f"Invalid account code '{account}'.")
    if len(accounts) > 1:
        raise RequestRefused(435)
    return accounts[0]


def _echo(values: Values) -> Values:
    # Fields of the request that are not part of an open order, or that the order itself answers.
    own = {"orderId", "totalQuantity", "action", "orderType", "lmtPrice", "tif", "account", "transmit"}
    return {name: value for name, value in values.items() if name not in own}
