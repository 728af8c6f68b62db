"""One run of the desk: the seven steps from the account to the log files, once a session.

1 connect (done by `app`), 2 holdings, 3 bars, 4 signal and target, 5 the orders between the two,
6 send and follow them, 7 write down what happened.

The journal is the truth. A plan is recorded whole before its first order, each order before it is
sent, and the end of the run after its last. So a second run of the same session finds its own plan:
finished, it reports and sends nothing; unfinished, it refuses, since what was in flight is not known.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from quant_trading.desk.execution import Execution, Outcome
from quant_trading.desk.plan import (
    DeskRules,
    Plan,
    check_bars,
    history_duration,
    make_plan,
    plan_key,
    trading_session,
)
from quant_trading.desk.projections import PortfolioRow, TradeRow, append_portfolio, append_snapshot, append_trades
from quant_trading.desk.summary import plan_lines, portfolio_lines, result_lines
from quant_trading.domain.errors import PlanRefused
from quant_trading.domain.orders import OrderStatus
from quant_trading.domain.portfolio import Portfolio
from quant_trading.ports import Broker, Clock, Journal
from quant_trading.refdata.sessions import Session

__all__ = ["JournalRecord", "RunContext", "RunReport", "SessionJournal", "run_session"]

_log = logging.getLogger(__name__)
_NANOSECONDS = 1_000_000_000


class JournalRecord(Protocol):
    """One line of the journal as it is read back."""

    @property
    def kind(self) -> str: ...

    @property
    def run_id(self) -> str: ...

    @property
    def payload(self) -> Mapping[str, object]: ...


class SessionJournal(Journal, Protocol):
    """A journal that can be read back."""

    def records(self) -> Iterable[JournalRecord]: ...


@dataclass(frozen=True, slots=True)
class RunContext:
    """What surrounds a run.

    Attributes:
        run_id: names this run in every record.
        clock: our own clock; the session and the stamps come from the broker's time.
        logs: folder of the three CSV files.
        say: takes each line for the console.
        dry_run: the broker sends nothing, so the run leaves no claim on the session.
        notes: written into RUN_START: versions, digests, mode.
    """

    run_id: str
    clock: Clock
    logs: Path
    say: Callable[[str], None]
    dry_run: bool
    notes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RunReport:
    """How the run ended.

    Attributes:
        plan: None when an earlier run had done this session.
        outcomes: one per planned order.
        in_doubt: references of orders whose end is not known.
    """

    plan: Plan | None
    outcomes: tuple[Outcome, ...]
    in_doubt: tuple[str, ...]


def run_session(
    rules: DeskRules,
    broker: Broker,
    open_journal: Callable[[str, Session], SessionJournal],
    context: RunContext,
) -> RunReport:
    """Carry out one session's plan, or say that it was done.

    Args:
        rules: what the run goes by.
        broker: connected and guarded; a `DryRunBroker` for a dry run.
        open_journal: opens the journal of (account, session) for this run alone.
        context: what surrounds the run.

    Raises:
        PlanRefused: when the desk will not trade now; nothing was sent.
        DataGap, ConnectionLost, JournalError: as the ports say.
    """
    session = trading_session(_ns(broker.now()))
    journal = open_journal(broker.account, session)
    key = plan_key(broker.account, rules.strategy_name, session.day, rules.slot)
    if not context.dry_run:
        done = _earlier_plan(journal.records(), key)
        if done is not None:
            context.say(f"Session {session.day} was done by run {done}: nothing is sent. A second rebalance on "
                        f"purpose takes --slot {rules.slot + 1}.")  # fmt: skip
            return RunReport(None, (), ())
    journal.append("RUN_START", {"plan_key": key, "dry_run": context.dry_run, **context.notes})
    plan = _plan(rules, broker, session, context)
    journal.append("PLAN", _describe_plan(plan))
    for line in plan_lines(plan, rules.cost_bps, context.dry_run):
        context.say(line)
    started = broker.now()
    outcomes = Execution(plan, rules, broker, journal, context.clock).run()
    in_doubt = tuple(o.state.order.order_ref for o in outcomes if _is_in_doubt(o))
    _write_down(plan, outcomes, broker, journal, started, context)
    journal.append("RUN_END", {"plan_key": key, "orders": len(outcomes), "in_doubt": list(in_doubt)})
    return RunReport(plan, tuple(outcomes), in_doubt)


def _plan(rules: DeskRules, broker: Broker, session: Session, context: RunContext) -> Plan:
    portfolio = broker.portfolio()
    _log.info("holdings: equity %s %s, %d positions", portfolio.equity, portfolio.currency, len(portfolio.positions))
    panel = broker.bars(rules.universe, "1 day", history_duration(rules), skip_missing=True)
    known = check_bars(panel, _ns(broker.now()), rules.strategy.warmup)
    _log.info("bars: %d days of %d symbols, newest known at %d ns", len(known), len(known.symbols), known.end_ns[-1])
    instruments = broker.instruments(_instrument_names(rules, portfolio))
    return make_plan(rules, known, portfolio, instruments, session.day)


def _instrument_names(rules: DeskRules, portfolio: Portfolio) -> tuple[str, ...]:
    foreign = sorted(set(portfolio.positions) - set(rules.universe)) if rules.owns_account else []
    return (*rules.universe, *foreign)


def _earlier_plan(records: Iterable[JournalRecord], key: str) -> str | None:
    """Return the run that finished plan `key`, None when there is no such plan.

    Raises:
        PlanRefused: when a plan of this session was begun and its end is not known.
    """
    begun: dict[str, str] = {}
    ended: dict[str, Sequence[object]] = {}
    for record in records:
        if record.kind == "PLAN":
            begun[str(record.payload["plan_key"])] = record.run_id
        elif record.kind == "RUN_END":
            in_doubt = record.payload.get("in_doubt")
            ended[str(record.payload["plan_key"])] = in_doubt if isinstance(in_doubt, list) else []
    for other, run_id in begun.items():
        if other not in ended:
            raise PlanRefused(
                f"run {run_id} began plan {other} and did not finish: what it sent is not known. Compare TWS with "
                "the journal, cancel what works there, and start again with the next --slot tomorrow"
            )
        if ended[other] and other != key:
            raise PlanRefused(f"orders of run {run_id} are in doubt: {', '.join(map(str, ended[other]))}; look in TWS")
    return begun.get(key)


def _write_down(
    plan: Plan,
    outcomes: Sequence[Outcome],
    broker: Broker,
    journal: Journal,
    started: datetime,
    context: RunContext,
) -> None:
    """Step 7: the three CSV files, the comparison with the broker, and the summary."""
    if not context.dry_run:
        for line in result_lines(outcomes):
            context.say(line)
    after = broker.portfolio()
    journal.append("RECON", _compare(plan, outcomes, after))
    stamp = broker.now()
    append_trades(context.logs / "live_trades.csv", [row for o in outcomes for row in _trade_rows(o, started)])
    append_portfolio(
        context.logs / "live_portfolio.csv",
        [PortfolioRow(stamp, p.symbol, p.quantity, p.average_cost, p.unrealized_pnl)
         for _, p in sorted(after.positions.items())],
    )  # fmt: skip
    if context.dry_run:
        daily = running = None  # a dry run is no step of the account's history
    else:
        daily, running = append_snapshot(context.logs / "live_snapshot.csv", stamp, after.equity)
    for line in portfolio_lines(after, daily, running):
        context.say(line)


def _trade_rows(outcome: Outcome, started: datetime) -> list[TradeRow]:
    """Return a row for the shares that were filled and one, without a price, for those that were not."""
    state, order = outcome.state, outcome.state.order
    if state.status is OrderStatus.DENIED:
        return []
    when = max((f.time for f in outcome.fills), default=started)
    rows = []
    if state.filled:
        rows.append(TradeRow(when, order.symbol, order.side.value, state.filled, state.average_price,
                             order.reference_price, order.signal_value))  # fmt: skip
    if state.remaining:
        rows.append(TradeRow(started, order.symbol, order.side.value, state.remaining, None,
                             order.reference_price, order.signal_value))  # fmt: skip
    return rows


def _compare(plan: Plan, outcomes: Sequence[Outcome], after: Portfolio) -> dict[str, object]:
    """Return holdings at planning plus our fills beside the broker's, and log each difference."""
    expected = {s: p.quantity for s, p in plan.portfolio.positions.items()}
    for outcome in outcomes:
        order = outcome.state.order
        expected[order.symbol] = expected.get(order.symbol, Decimal(0)) + order.side.sign * outcome.state.filled
    differences = {
        symbol: {"expected": expected.get(symbol, Decimal(0)), "broker": after.quantity(symbol)}
        for symbol in sorted(expected.keys() | after.positions.keys())
        if expected.get(symbol, Decimal(0)) != after.quantity(symbol)
    }
    for symbol, pair in differences.items():
        _log.error("position of %s: expected %s, the broker has %s", symbol, pair["expected"], pair["broker"])
    return {"equity": after.equity, "cash": after.cash, "differences": differences}


def _describe_plan(plan: Plan) -> dict[str, object]:
    return {
        "plan_key": plan.key,
        "session": plan.session.isoformat(),
        "decided_on": plan.decided_on.isoformat(),
        "equity": plan.portfolio.equity,
        "cash": plan.portfolio.cash,
        "positions": {s: p.quantity for s, p in sorted(plan.portfolio.positions.items())},
        "targets": {
            s: {"price": repr(float(p)), "signal": repr(float(g)), "weight": repr(float(w))}
            for s, p, g, w in zip(plan.symbols, plan.prices, plan.signals, plan.targets, strict=True)
        },
        "orders": [
            {"order_ref": o.order_ref, "symbol": o.symbol, "side": o.side.value, "quantity": o.quantity,
             "order_type": o.order_type.value, "limit_price": o.limit_price, "reference_price": o.reference_price,
             "signal_value": o.signal_value}
            for o in plan.orders
        ],
        "denied": [{"symbol": i.symbol, "side": i.side.value, "quantity": i.quantity, "rule": d.rule,
                    "reason": d.reason} for i, d in plan.denied],
        "skipped": list(plan.skipped),
        "foreign": list(plan.foreign),
    }  # fmt: skip


def _is_in_doubt(outcome: Outcome) -> bool:
    return not outcome.state.is_final and outcome.state.status is not OrderStatus.PLANNED


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * _NANOSECONDS + moment.microsecond * 1000
