"""The desk's own state of its orders, folded from what the broker says, in whatever order it says it.

The client library's order states cannot be trusted (see `core.ib_client`), and TWS repeats, delays
and reorders its messages. So the ledger keeps facts and derives the state from them:

- executions, keyed by execId without its last segment, the highest revision standing;
- whether the broker said rejected, cancelled or filled: such a word is never taken back;
- the living state, moved by `domain.orders.apply_event` as messages come.

An order is FILLED when its executions are here, not when a status says so: a fill that was only
announced has no price and no row in the log yet. `missing_executions` names such orders, and the
broker asks for the executions again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from quant_trading.core.error_codes import OrderErrorClass, classify_order
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
from quant_trading.domain.fills import Fill
from quant_trading.domain.orders import Order, OrderEvent, OrderState, OrderStatus, apply_event
from quant_trading.ports import BrokerReport

__all__ = ["OrderLedger"]

# Commissions of executions we have not seen: other clients' mostly. Only the newest are kept.
_MAX_PENDING_COMMISSIONS = 10_000

# IBKR's words for a living order. PendingSubmit and ApiPending only say that TWS has it, not that
# anybody accepted it; ApiUpdate and PreSubmitted/Submitted say it works or waits for its trigger.
_ACCEPTED_WORDS = frozenset({"PreSubmitted", "Submitted", "ApiUpdate"})
_SENT_WORDS = frozenset({"PendingSubmit", "ApiPending"})
_CANCELLED_WORDS = frozenset({"Cancelled", "ApiCancelled"})

_EVENT_OF_ERROR = {
    OrderErrorClass.HELD: OrderEvent.HELD,
    OrderErrorClass.CANCEL_REFUSED: OrderEvent.CANCEL_REFUSED,
    OrderErrorClass.DOUBT: OrderEvent.DOUBT,
}


@dataclass(slots=True)
class _Entry:
    """Facts about one order."""

    live: OrderState  # moved by living events only: it is never final
    shown: OrderState  # what was last reported
    order_id: int = 0  # number in this session, 0 when none
    acknowledged: bool = False  # the broker accepted it once: a refusal now is about something else
    rejected: bool = False
    cancelled: bool = False
    said_filled: bool = False
    said_quantity: Decimal = Decimal(0)  # the highest filled quantity a status named
    fills: dict[str, tuple[int, Fill]] = field(default_factory=dict)  # execId stem -> (revision, fill)

    def executed(self) -> Decimal:
        return sum((fill.quantity for _, fill in self.fills.values()), Decimal(0))

    def average(self) -> Decimal | None:
        quantity = self.executed()
        if not quantity:
            return None
        value = sum((fill.quantity * fill.price for _, fill in self.fills.values()), Decimal(0))
        return value / quantity

    def state(self) -> OrderState:
        """Return the order's state as the facts have it, the same whatever order they came in."""
        executed = self.executed()
        state = replace(self.live, filled=executed, average_price=self.average())
        was_filled = self.shown.status is OrderStatus.FILLED  # a later correction of a fill reopens nothing
        complete = self.said_filled and Decimal(0) < self.said_quantity <= executed
        if executed >= state.order.quantity or complete or was_filled:
            return apply_event(state, OrderEvent.FILLED_ALL)
        if self.rejected:  # a reject explains the "Cancelled" that comes before or after it
            return apply_event(state, OrderEvent.REJECTED)
        if self.cancelled:
            return apply_event(state, OrderEvent.CANCELLED)
        return state


class OrderLedger:
    """Every order of ours and what the broker said about it.

    Args:
        account: messages about other accounts are left aside.
        client_id: orders with a number of this client's session are ours by number.
    """

    def __init__(self, account: str, client_id: int) -> None:
        self.account = account
        self.client_id = client_id
        self.seen_refs: set[str] = set()
        self._entries: dict[str, _Entry] = {}
        self._by_order_id: dict[int, str] = {}
        self._by_perm_id: dict[int, str] = {}
        self._by_execution: dict[str, str] = {}
        self._commissions: dict[str, tuple[int, CommissionSaid]] = {}

    # What we do.

    def sent(self, order: Order, order_id: int) -> OrderState:
        """Enter an order as its message is about to leave; return SUBMITTING.

        Raises:
            PlanRefused: when this `order_ref` was sent before, here or by an earlier session that the
                broker told us about, whatever became of it.
        """
        if order.order_ref in self._entries:
            raise PlanRefused(f"order {order.order_ref} was sent before; one identity is sent once, use a new attempt")
        if order.order_ref in self.seen_refs:
            raise PlanRefused(
                f"order {order.order_ref} is known to TWS from an earlier session; look at it in TWS, then use a new "
                f"attempt"
            )
        state = apply_event(OrderState(order), OrderEvent.SENT)
        self._entries[order.order_ref] = _Entry(live=state, shown=state, order_id=order_id)
        self._by_order_id[order_id] = order.order_ref
        return state

    def adopt(self, order: Order, fills: Iterable[Fill] = ()) -> OrderState:
        """Enter an order of an earlier session with its known fills; return its state, UNKNOWN if unfilled.

        An order that is in the ledger already keeps what is known of it.
        """
        entry = self._entries.get(order.order_ref)
        if entry is None:
            state = apply_event(apply_event(OrderState(order), OrderEvent.SENT), OrderEvent.DOUBT)
            entry = self._entries[order.order_ref] = _Entry(live=state, shown=state)
        for fill in fills:
            stem, revision = _split(fill.exec_id)
            self._by_execution[stem] = order.order_ref
            if stem not in entry.fills or entry.fills[stem][0] <= revision:
                entry.fills[stem] = (revision, fill)
            if fill.perm_id:
                self._bind_perm_id(entry, fill.perm_id)
        entry.shown = entry.state()
        return entry.shown

    def cancel_sent(self, order_ref: str) -> OrderState:
        """Note that a cancel left; return CANCEL_PENDING, or the final state the order already has."""
        entry = self._known(order_ref)
        if not entry.shown.is_final:
            entry.live = apply_event(entry.live, OrderEvent.CANCEL_SENT)
            entry.shown = entry.state()
        return entry.shown

    def connection_lost(self) -> list[BrokerReport]:
        """Put what was only sent in doubt and forget the session's order numbers."""
        self._by_order_id.clear()
        reports = []
        for entry in self._entries.values():
            entry.order_id = 0
            if entry.live.status is OrderStatus.SUBMITTING:
                reports += self._move(entry, OrderEvent.DOUBT, "the connection broke before the broker answered")
        return reports

    # What is known.

    def state(self, order_ref: str) -> OrderState:
        """Return the last known state of `order_ref`.

        Raises:
            UsageError: when the ledger has no such order.
        """
        return self._known(order_ref).shown

    def states(self) -> dict[str, OrderState]:
        """Return the state of every order, by order_ref."""
        return {order_ref: entry.shown for order_ref, entry in self._entries.items()}

    def order_id(self, order_ref: str) -> int:
        """Return the order's number in this session, 0 when it has none (yet)."""
        return self._known(order_ref).order_id

    def is_order(self, order_id: int) -> bool:
        """Return True when `order_id` is the number of an order of ours in this session."""
        return order_id in self._by_order_id

    @property
    def missing_executions(self) -> list[str]:
        """Return the orders whose status names more filled shares than executions have come."""
        return [ref for ref, entry in self._entries.items() if entry.said_quantity > entry.executed()]

    @property
    def unknown(self) -> list[str]:
        """Return the orders whose fate must be asked for."""
        return [ref for ref, entry in self._entries.items() if entry.shown.status is OrderStatus.UNKNOWN]

    # What the broker says.

    def apply(self, message: OrderMessage) -> list[BrokerReport]:
        """Fold one message; return what changed, nothing when it said nothing new or is not about us."""
        match message:
            case ExecutionSaid():
                return self._apply_execution(message)
            case CommissionSaid():
                return self._apply_commission(message)
            case ErrorSaid():
                return self._apply_error(message)
            case OpenOrderSaid():
                return self._apply_open_order(message)
            case CompletedSaid():
                return self._apply_completed(message)
            case StatusSaid():
                return self._apply_status(message)

    def _apply_open_order(self, said: OpenOrderSaid) -> list[BrokerReport]:
        entry = self._find(said.order_ref, said.perm_id, said.order_id, said.client_id, said.account)
        if entry is None:
            return []
        self._see(entry, said.perm_id)
        if said.client_id == self.client_id and said.order_id > 0:
            entry.order_id = said.order_id
            self._by_order_id[said.order_id] = entry.live.order.order_ref
        return self._apply_word(entry, said.status, "")

    def _apply_status(self, said: StatusSaid) -> list[BrokerReport]:
        entry = self._find("", said.perm_id, said.order_id, said.client_id, "")
        if entry is None:
            return []
        self._see(entry, said.perm_id)
        entry.said_quantity = max(entry.said_quantity, said.filled)  # a status never lowers what was filled
        entry.said_filled = entry.said_filled or said.status == "Filled"
        return self._apply_word(entry, said.status, said.why_held)

    def _apply_completed(self, said: CompletedSaid) -> list[BrokerReport]:
        entry = self._find(said.order_ref, said.perm_id, 0, -1, said.account)
        if entry is None:
            return []
        self._see(entry, said.perm_id)
        entry.said_quantity = max(entry.said_quantity, said.filled)
        if said.status == "Filled":
            entry.said_filled = True
        elif said.status == "Inactive":
            entry.rejected = True  # among the completed ones "Inactive" is an end: it was refused
        else:
            entry.cancelled = True
        return self._report(entry, text=said.text)

    def _apply_word(self, entry: _Entry, word: str, why_held: str) -> list[BrokerReport]:
        if word in _ACCEPTED_WORDS:
            entry.acknowledged = True
            event = OrderEvent.HELD if "locate" in why_held else OrderEvent.ACCEPTED
            return self._move(entry, event)
        if word in _SENT_WORDS or word == "Filled":
            entry.acknowledged = entry.acknowledged or word == "Filled"
            return self._report(entry)
        if word in _CANCELLED_WORDS:
            entry.cancelled = True
            return self._report(entry)
        if word == "PendingCancel":
            return self._move(entry, OrderEvent.CANCEL_SENT)
        if word == "Inactive":
            return self._move(entry, OrderEvent.HELD)
        return self._move(entry, OrderEvent.DOUBT, f"the broker used an unknown order status {word!r}")

    def _apply_execution(self, said: ExecutionSaid) -> list[BrokerReport]:
        entry = self._find(said.order_ref, said.perm_id, said.order_id, said.client_id, said.account)
        if entry is None:
            return []
        self._see(entry, said.perm_id)
        entry.acknowledged = True
        stem, revision = _split(said.exec_id)
        known = entry.fills.get(stem)
        if known is not None and known[0] >= revision:
            return []  # TWS repeats executions after every reconnect
        order = entry.live.order
        fill = Fill(
            said.exec_id, said.perm_id, order.order_ref, order.symbol, said.side, said.quantity, said.price, said.time
        )
        commission = self._commissions.get(stem)
        if commission is not None and commission[0] >= revision:
            fill = _with_commission(fill, commission[1])
        elif known is not None:  # a correction: what was charged stands until the broker says otherwise
            old = known[1]
            fill = replace(
                fill, commission=old.commission, commission_currency=old.commission_currency,
                realized_pnl=old.realized_pnl,
            )  # fmt: skip
        entry.fills[stem] = (revision, fill)
        self._by_execution[stem] = order.order_ref
        return self._move(entry, OrderEvent.FILLED_PART, fill=fill, text="" if known is None else "execution corrected")

    def _apply_commission(self, said: CommissionSaid) -> list[BrokerReport]:
        stem, revision = _split(said.exec_id)
        known = self._commissions.get(stem)
        if known is not None and (known[0] > revision or known[1] == said):
            return []
        self._commissions[stem] = (revision, said)
        if len(self._commissions) > _MAX_PENDING_COMMISSIONS:
            self._commissions.pop(next(iter(self._commissions)))
        order_ref = self._by_execution.get(stem)
        if order_ref is None:
            return []  # its execution has not come yet, or is another client's
        entry = self._entries[order_ref]
        its_revision, fill = entry.fills[stem]
        if revision < its_revision:
            return []
        charged = _with_commission(fill, said)
        if charged == fill:
            return []
        entry.fills[stem] = (its_revision, charged)
        return self._report(entry, fill=charged)

    def _apply_error(self, said: ErrorSaid) -> list[BrokerReport]:
        order_ref = self._by_order_id.get(said.order_id)
        if order_ref is None:
            return []
        entry = self._entries[order_ref]
        text = f"{said.code}: {said.text}"
        kind = classify_order(said.code)
        if kind is OrderErrorClass.KEEPS_ORDER:
            return self._remark(entry, text)
        if kind is OrderErrorClass.CANCELLED:
            entry.cancelled = True
            return self._remark(entry, text)
        if kind is OrderErrorClass.REJECTED:
            # A working order is ended by IBKR with 201; any other refusal of an accepted order is about
            # the message that caused it (a cancel, a reused number), and the order may well live.
            if entry.acknowledged and said.code != 201:
                return self._move(entry, OrderEvent.DOUBT, text, text=text)
            entry.rejected = True
            return self._remark(entry, text)
        return self._move(entry, _EVENT_OF_ERROR[kind], text, text=text)

    # Identity and bookkeeping.

    def _known(self, order_ref: str) -> _Entry:
        entry = self._entries.get(order_ref)
        if entry is None:
            raise UsageError(f"order {order_ref} is not in this session's ledger; place or adopt it first")
        return entry

    def _find(self, order_ref: str, perm_id: int, order_id: int, client_id: int, account: str) -> _Entry | None:
        """Return the order a message is about: by its own words first, by number last.

        A number alone is weak: TWS hands out old ones again after a restart. So a number does not
        count when the message carries another permId or another reference than the order it points to.
        """
        if account and account != self.account:
            return None
        if order_ref:
            self.seen_refs.add(order_ref)
            entry = self._entries.get(order_ref)
            if entry is not None:
                return entry
        if perm_id and perm_id in self._by_perm_id:
            return self._entries[self._by_perm_id[perm_id]]
        if client_id != self.client_id or order_id not in self._by_order_id:
            return None
        entry = self._entries[self._by_order_id[order_id]]
        its_perm_id = entry.live.perm_id
        if (perm_id and its_perm_id and perm_id != its_perm_id) or order_ref:
            return None
        return entry

    def _see(self, entry: _Entry, perm_id: int) -> None:
        self.seen_refs.add(entry.live.order.order_ref)
        if perm_id:
            self._bind_perm_id(entry, perm_id)

    def _bind_perm_id(self, entry: _Entry, perm_id: int) -> None:
        self._by_perm_id[perm_id] = entry.live.order.order_ref
        if entry.live.perm_id != perm_id:
            entry.live = replace(entry.live, perm_id=perm_id)

    def _move(
        self, entry: _Entry, event: OrderEvent, reason: str = "", *, fill: Fill | None = None, text: str = ""
    ) -> list[BrokerReport]:
        entry.live = apply_event(entry.live, event, reason=reason)
        return self._report(entry, fill=fill, text=text or reason)

    def _remark(self, entry: _Entry, text: str) -> list[BrokerReport]:
        entry.live = replace(entry.live, reason=text)
        return self._report(entry, text=text)

    def _report(self, entry: _Entry, *, fill: Fill | None = None, text: str = "") -> list[BrokerReport]:
        state = entry.state()
        changed = state != entry.shown
        entry.shown = state
        return [BrokerReport(state, fill, text)] if changed or fill or text else []


def _split(exec_id: str) -> tuple[str, int]:
    """Return an execId without its last segment, and that segment as a number (0 when it is none)."""
    stem, _, last = exec_id.rpartition(".")
    return (stem, int(last)) if stem and last.isdigit() else (exec_id, 0)


def _with_commission(fill: Fill, said: CommissionSaid) -> Fill:
    return replace(
        fill, commission=said.commission, commission_currency=said.currency if said.commission is not None else "",
        realized_pnl=said.realized_pnl,
    )  # fmt: skip
