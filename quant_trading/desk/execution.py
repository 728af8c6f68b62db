"""Orders on their way: journal, send, follow, time out. Nothing is sent that was not journalled first.

Orders that make a position smaller go first and are followed to their end before the others are judged, so that
no order opens room that is not there yet. The one exception is a market order waiting for the opening auction: it
is executed in the same auction as the orders that follow it, and counts as done once the broker has accepted it.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from quant_trading.desk.plan import DeskRules, Plan, risk_view
from quant_trading.domain.errors import DataGap, JournalError, PlanRefused
from quant_trading.domain.fills import Fill
from quant_trading.domain.limits import Denied
from quant_trading.domain.orders import (
    Order,
    OrderEvent,
    OrderIntent,
    OrderState,
    OrderStatus,
    OrderType,
    apply_event,
)
from quant_trading.portfolio.sizing import is_reducing
from quant_trading.ports import Broker, BrokerReport, Clock, Journal
from quant_trading.risk.checks import RiskView, after_order, check_order

__all__ = ["Execution", "Outcome"]

_log = logging.getLogger(__name__)

_ACKNOWLEDGE_SECONDS = 10.0  # orders for the auction are given this long to be accepted or refused
_CANCEL_SECONDS = 10.0  # and cancels this long to be confirmed
_COMMISSION_SECONDS = 5.0  # commission reports trail their fills


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one planned order.

    Attributes:
        state: where it stands at the end of the run.
        fills: its executions, by revision-free execution id, in order of arrival.
    """

    state: OrderState
    fills: tuple[Fill, ...]

    @property
    def commission(self) -> Decimal:
        """Return the commissions reported so far."""
        return sum((f.commission for f in self.fills if f.commission is not None), Decimal(0))


class Execution:
    """Carries out one plan: what reduces first, then what risk still allows, then waits for the ends."""

    def __init__(
        self, plan: Plan, rules: DeskRules, broker: Broker, journal: Journal, clock: Clock, seconds_to_open: float
    ) -> None:
        """Prepare a run of `plan`; `seconds_to_open` is 0 in the session."""
        self._plan, self._rules, self._broker, self._journal, self._clock = plan, rules, broker, journal, clock
        self._opens_at = clock.monotonic() + seconds_to_open
        self._states: dict[str, OrderState] = {order.order_ref: OrderState(order) for order in plan.orders}
        self._fills: dict[str, dict[str, Fill]] = {order.order_ref: {} for order in plan.orders}
        self._placed: set[str] = set()
        self._timed_out: set[str] = set()

    def run(self) -> list[Outcome]:
        """Send every order of the plan and return what became of each, in the plan's order."""
        pairs = list(zip(self._plan.orders, self._plan.intents, strict=True))
        reducing = [pair for pair in pairs if is_reducing(pair[1], self._plan.portfolio)]
        try:
            self._send(reducing)
            self._settle(reducing)
            self._send([pair for pair in pairs if pair not in reducing])
            self._follow(self._all_settled, self._time_left())
            self._time_out()
            self._follow(self._all_commissions_known, _COMMISSION_SECONDS)
        except BaseException as error:  # whatever ends the run, what is on its way must be on paper
            self._note_interruption(error)
            raise
        outcomes = [Outcome(self._explained(s), tuple(self._fills[ref].values())) for ref, s in self._states.items()]
        for outcome in outcomes:
            self._journal.append("END", _describe(outcome.state))
        return outcomes

    def _explained(self, state: OrderState) -> OrderState:
        """Return `state` with why we cancelled it, which TWS's "Order Canceled" does not say."""
        if state.order.order_ref not in self._timed_out or state.status is OrderStatus.FILLED:
            return state
        why = f"not filled within {self._rules.fill_timeout_seconds:g} s"
        return replace(state, reason=f"{why}; {state.reason}" if state.reason else why)

    def _note_interruption(self, error: BaseException) -> None:
        open_refs = [ref for ref, s in self._states.items() if not _is_settled(s)]
        if open_refs:
            _log.error("the run ends early (%s); not known to be done: %s", error or type(error).__name__,
                       ", ".join(open_refs))  # fmt: skip
        if not isinstance(error, JournalError):
            self._journal.append("NOTE", {"interrupted": f"{type(error).__name__}: {error}", "open": open_refs})

    def _time_left(self) -> float:
        """Return the fill time-out from now on, or from the open when that is still to come."""
        return max(0.0, self._opens_at - self._clock.monotonic()) + self._rules.fill_timeout_seconds

    def _settle(self, reducing: Sequence[tuple[Order, OrderIntent]]) -> None:
        """Follow the orders that make positions smaller until the others may be judged; see the module's words."""
        if not reducing:
            return
        waits_for_open = self._clock.monotonic() < self._opens_at
        if waits_for_open and self._rules.order_type is OrderType.MARKET:
            self._follow(self._none_in(OrderStatus.SUBMITTING), _ACKNOWLEDGE_SECONDS)
            return
        self._follow(self._all_settled, self._time_left())
        self._time_out()

    def _send(self, pairs: Iterable[tuple[Order, OrderIntent]]) -> None:
        for order, intent in pairs:
            denied = check_order(intent, self._view_before(order.order_ref), self._rules.limits)
            if denied is not None:
                self._deny(order, denied)
                continue
            self._journal.append("SUBMIT", _describe(self._states[order.order_ref]))
            try:
                self._states[order.order_ref] = self._broker.place(order)
                self._placed.add(order.order_ref)
            except (DataGap, PlanRefused) as error:  # nothing left the process: this order fails, the others go on
                _log.error("order %s could not be sent: %s", order.order_ref, error)
                self._states[order.order_ref] = replace(
                    self._states[order.order_ref], status=OrderStatus.REJECTED, reason=str(error)
                )

    def _deny(self, order: Order, denied: Denied) -> None:
        _log.error("order %s denied by %s: %s", order.order_ref, denied.rule, denied.reason)
        self._states[order.order_ref] = apply_event(
            self._states[order.order_ref], OrderEvent.DENIED, reason=denied.reason
        )
        self._journal.append("RISK", {"order_ref": order.order_ref, "rule": denied.rule, "reason": denied.reason})

    def _view_before(self, order_ref: str) -> RiskView:
        """Return holdings as they would be at worst: orders that open count whole, those that reduce as filled.

        A reducing order in flight counts whole only while it waits for the opening auction.
        """
        view = risk_view(self._plan.portfolio, self._plan.symbols, self._plan.prices)
        for order, intent in zip(self._plan.orders, self._plan.intents, strict=True):
            if order.order_ref == order_ref or order.order_ref not in self._placed:
                continue
            state = self._states[order.order_ref]
            counted = intent.quantity if self._counts_whole(state, intent) else state.filled
            if counted:
                view = after_order(replace(intent, quantity=counted), view)
        return view

    def _counts_whole(self, state: OrderState, intent: OrderIntent) -> bool:
        if state.is_final:
            return False
        if state.status is OrderStatus.PLANNED or not is_reducing(intent, self._plan.portfolio):
            return True  # a dry run leaves orders PLANNED and looks on as if they were filled
        return self._rules.order_type is OrderType.MARKET and self._clock.monotonic() < self._opens_at

    def _follow(self, is_done: Callable[[], bool], seconds: float) -> None:
        """Take the broker's reports until `is_done` or `seconds` have passed."""
        deadline = self._clock.monotonic() + seconds
        while not is_done():
            left = deadline - self._clock.monotonic()
            reports: Sequence[BrokerReport] = self._broker.reports(left) if left > 0 else ()
            if not reports:
                return
            for report in reports:
                self._note(report)

    def _note(self, report: BrokerReport) -> None:
        state, fill = report.state, report.fill
        ref = state.order.order_ref
        if ref not in self._states:
            _log.warning("a report for order %s, which is not of this plan, was left aside", ref)
            return
        self._states[ref] = state
        if fill is not None:
            known = self._fills[ref].get(fill.exec_id.rpartition(".")[0] or fill.exec_id)
            self._fills[ref][fill.exec_id.rpartition(".")[0] or fill.exec_id] = fill
            is_news = known is None or replace(known, commission=None) != replace(fill, commission=None)
            self._journal.append("FILL" if is_news else "COMM", _describe_fill(fill))
            if is_news:
                _log.info("filled: %s %s %s at %s", fill.side.value, fill.quantity, fill.symbol, fill.price)
        else:
            self._journal.append("STATUS", {**_describe(state), "text": report.text})
        if report.text:
            level = logging.ERROR if state.status is OrderStatus.REJECTED else logging.WARNING
            _log.log(level, "order %s is %s: %s", ref, state.status.value, " ".join(report.text.split()))

    def _time_out(self) -> None:
        """Cancel what is still working, or leave it and say so; then wait for the cancels' answers."""
        late = [s for ref, s in self._states.items() if not _is_settled(s) and ref not in self._timed_out]
        if not late:
            return
        seconds, keep = self._rules.fill_timeout_seconds, self._rules.keep_on_timeout
        for state in late:
            self._timed_out.add(state.order.order_ref)
            _log.warning(
                "order %s is %s with %s of %s filled after %g s: %s",
                state.order.order_ref, state.status.value, state.filled, state.order.quantity, seconds,
                "kept working" if keep else "cancelling the rest",
            )  # fmt: skip
            if not keep:
                self._journal.append("CANCEL_REQ", _describe(state))
                self._states[state.order.order_ref] = self._broker.cancel(state.order.order_ref)
        if not keep:
            self._follow(self._all_settled, _CANCEL_SECONDS)

    def _none_in(self, status: OrderStatus) -> Callable[[], bool]:
        return lambda: all(s.status is not status for s in self._states.values())

    def _all_settled(self) -> bool:
        return all(_is_settled(s) for s in self._states.values())

    def _all_commissions_known(self) -> bool:
        return all(f.commission is not None for fills in self._fills.values() for f in fills.values())


def _is_settled(state: OrderState) -> bool:
    """Return True when nothing more is to come; a PLANNED order was never sent (a dry run)."""
    return state.is_final or state.status is OrderStatus.PLANNED


def _describe(state: OrderState) -> dict[str, object]:
    order = state.order
    return {
        "order_ref": order.order_ref,
        "symbol": order.symbol,
        "side": order.side.value,
        "quantity": order.quantity,
        "order_type": order.order_type.value,
        "limit_price": order.limit_price,
        "reference_price": order.reference_price,
        "signal_value": order.signal_value,
        "status": state.status.value,
        "filled": state.filled,
        "average_price": state.average_price,
        "perm_id": state.perm_id,
        "reason": state.reason,
    }


def _describe_fill(fill: Fill) -> dict[str, object]:
    return {
        "order_ref": fill.order_ref,
        "exec_id": fill.exec_id,
        "perm_id": fill.perm_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "quantity": fill.quantity,
        "price": fill.price,
        "time": fill.time.isoformat(),
        "commission": fill.commission,
        "realized_pnl": fill.realized_pnl,
    }
