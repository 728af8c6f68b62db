"""No course of fills, refusals and silences brings the account over its limits."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.desk.execution import Execution
from quant_trading.desk.plan import DeskRules, make_plan
from quant_trading.domain.fills import Fill
from quant_trading.domain.instruments import Instrument
from quant_trading.domain.limits import Limits
from quant_trading.domain.orders import Order, OrderEvent, OrderState, OrderType, apply_event
from quant_trading.ports import BrokerReport
from quant_trading.refdata.sessions import last_completed_session
from quant_trading.strategy.static import Static
from tests.desk.fakes import FakeBroker, ListJournal, ManualClock, daily_panel
from tests.examples import examples

NAMES = "ABCDEF"
CLOSE = datetime(2026, 11, 19, 22, 0, tzinfo=UTC)


class MoodyBroker(FakeBroker):
    """Fills, fills in part, rejects or ignores each order, as it is told per symbol, and keeps the books."""

    moods: dict[str, str]
    worst_gross: Decimal = Decimal(0)

    def place(self, order: Order) -> OrderState:
        mood = self.moods[order.symbol]
        if mood in ("fill", "reject", "ignore"):
            self.rejects = {order.symbol: "201 no"} if mood == "reject" else {}
            self.never_fills = frozenset({order.symbol}) if mood == "ignore" else frozenset()
            state = super().place(order)
        else:
            state = self._place_part(order)
        self.worst_gross = max(self.worst_gross, self.gross())
        return state

    def _place_part(self, order: Order) -> OrderState:
        part = max(Decimal(1), order.quantity // 3)
        self.sent.append((order, len(self.journal.lines)))
        state = apply_event(OrderState(order), OrderEvent.SENT)
        self._states[order.order_ref] = state
        fill = Fill(f"p.{len(self.sent)}.01", len(self.sent), order.order_ref, order.symbol, order.side, part,
                    order.reference_price, self.clock.now(), Decimal(0))  # fmt: skip
        event = OrderEvent.FILLED_PART if part < order.quantity else OrderEvent.FILLED_ALL
        self._states[order.order_ref] = replace(apply_event(state, event), filled=part, average_price=fill.price)
        self._queue.append(BrokerReport(self._states[order.order_ref], fill))
        self.holdings[order.symbol] = self.holdings.get(order.symbol, Decimal(0)) + order.side.sign * part
        return state

    def gross(self) -> Decimal:
        closes = dict(zip(self.panel.symbols, self.panel.close[-1], strict=True))
        return sum((abs(q) * Decimal(repr(float(closes[s]))) for s, q in self.holdings.items()), Decimal(0))


@settings(max_examples=examples(300))
@given(
    prices=st.lists(st.floats(1.0, 900.0), min_size=6, max_size=6),
    held=st.lists(st.floats(-0.3, 0.3), min_size=6, max_size=6),
    wished=st.lists(st.floats(-0.3, 0.3), min_size=6, max_size=6),
    moods=st.lists(st.sampled_from(["fill", "part", "reject", "ignore"]), min_size=6, max_size=6),
    order_type=st.sampled_from(OrderType),
    keep=st.booleans(),
    gross_limit=st.floats(0.3, 1.2),
)
def test_in_the_session_no_course_of_events_breaks_the_gross_exposure(
    prices: list[float],
    held: list[float],
    wished: list[float],
    moods: list[str],
    order_type: OrderType,
    keep: bool,
    gross_limit: float,
) -> None:
    """Gross after every single order is at most the limit (half a share per name), or what was held before it."""
    clock, journal = ManualClock(), ListJournal()
    panel = daily_panel({s: [round(p, 2)] * 3 for s, p in zip(NAMES, prices, strict=True)}, CLOSE)
    broker = MoodyBroker(panel, clock, journal)
    broker.moods = dict(zip(NAMES, moods, strict=True))
    shares = [Decimal(round(float(broker.equity) * w / round(p, 2))) for w, p in zip(held, prices, strict=True)]
    broker.holdings = {s: q for s, q in zip(NAMES, shares, strict=True) if q}
    before = broker.worst_gross = broker.gross()
    limits = Limits(max_position_pct=0.3, max_gross_exposure=gross_limit)
    rules = DeskRules("STATIC", Static(dict(zip(NAMES, wished, strict=True))), tuple(NAMES), limits,
                      order_type=order_type, keep_on_timeout=keep)  # fmt: skip
    session = last_completed_session(int(CLOSE.timestamp()) * 10**9).day
    plan = make_plan(rules, panel, broker.portfolio(), {s: Instrument(s) for s in NAMES}, session)
    Execution(plan, rules, broker, journal, clock, seconds_to_open=0.0).run()
    half_shares = sum((Decimal(repr(float(p))) for p in panel.close[-1]), Decimal(0)) / 2
    allowed = broker.equity * Decimal(gross_limit) + half_shares + Decimal("0.01")
    assert broker.worst_gross <= max(before, allowed)
    for symbol, quantity in broker.holdings.items():
        price = Decimal(repr(float(panel.close[-1, NAMES.index(symbol)])))
        start = shares[NAMES.index(symbol)]
        assert abs(quantity) * price <= max(abs(start) * price, broker.equity * Decimal("0.3") + price / 2 + 1)
    sent = {order.order_ref for order, _ in broker.sent}
    assert len(sent) == len(broker.sent)
    assert sent <= {str(li.payload["order_ref"]) for li in journal.lines if li.kind == "SUBMIT"}
