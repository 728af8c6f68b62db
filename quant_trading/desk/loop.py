"""One run of the desk: the seven steps from the account to the log files, once a session.

1 connect (done by `app`), 2 holdings, 3 bars, 4 signal and target, 5 the orders between the two,
6 send and follow them, 7 write down what happened.

The journal is the truth. A plan is recorded whole before its first order, each order before it is
sent, and the end of the run after its last. So a second run of the same session finds its own plan:
finished, it reports and sends nothing; unfinished, it refuses, since what was in flight is not known.
The CSV files are written after that end: what they lack, the journal has.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    refuse_near_restart,
    seconds_to_open,
    trading_session,
)
from quant_trading.desk.projections import (
    PortfolioRow,
    TradeRow,
    append_portfolio,
    append_snapshot,
    append_trades,
    check_log_files,
)
from quant_trading.desk.summary import plan_lines, portfolio_lines, result_lines
from quant_trading.domain.errors import PlanRefused
from quant_trading.domain.orders import OrderStatus
from quant_trading.domain.portfolio import Portfolio
from quant_trading.portfolio.ledger import Ledger, apply_fill
from quant_trading.ports import Broker, Clock, Journal
from quant_trading.refdata.sessions import Session, exchange_date

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

    def records(self) -> Iterable[JournalRecord]:
        """Return the records of this session, of earlier runs too."""

    def all_records(self) -> Iterable[JournalRecord]:
        """Return the records of all sessions of the account."""


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
        problems: what a person must look at, one sentence each; of the earlier run when that had done it.
    """

    plan: Plan | None
    outcomes: tuple[Outcome, ...]
    problems: tuple[str, ...]


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
    check_log_files(context.logs)
    now_ns = _ns(broker.now())
    session = trading_session(now_ns)
    journal = open_journal(broker.account, session)
    key = plan_key(broker.account, rules.strategy_name, session.day, rules.slot)
    wait_seconds = 0.0
    if not context.dry_run:
        earlier = _earlier_end(journal.records(), key)
        if earlier is not None:
            return _tell_done(earlier, session, rules, context)
        wait_seconds = seconds_to_open(session, now_ns, rules)
        refuse_near_restart(rules, now_ns, wait_seconds)
    journal.append("RUN_START", {"plan_key": key, "dry_run": context.dry_run, **context.notes})
    plan = _plan(rules, broker, session, context)
    _check_unknown_to_broker(plan, broker)
    journal.append("PLAN", _describe_plan(plan))
    for line in plan_lines(plan, rules.cost_bps, context.dry_run):
        context.say(line)
    started = broker.now()
    outcomes = Execution(plan, rules, broker, journal, context.clock, wait_seconds).run()
    after = broker.portfolio()
    differences = {} if context.dry_run else _differences(plan, outcomes, after)
    daily, running = _running_pnl(journal, after) if not context.dry_run else (None, None)
    journal.append("RECON", {"equity": after.equity, "cash": after.cash, "dry_run": context.dry_run,
                             "differences": differences})  # fmt: skip
    problems = tuple(_problems(plan, outcomes, differences, broker))
    journal.append("RUN_END", {"plan_key": key, "orders": len(outcomes), "problems": list(problems),
                               "open": [o.state.order.order_ref for o in outcomes if _is_open(o)]})  # fmt: skip
    _write_down(outcomes, after, broker.now(), started, daily, running, context)
    for problem in problems:
        _log.error("%s", problem)
        context.say(f"Look at this: {problem}")
    return RunReport(plan, tuple(outcomes), problems)


def _tell_done(earlier: JournalRecord, session: Session, rules: DeskRules, context: RunContext) -> RunReport:
    said = earlier.payload.get("problems")
    problems = tuple(map(str, said)) if isinstance(said, list) else ()
    context.say(f"Session {session.day} was done by run {earlier.run_id}: nothing is sent. A second rebalance on "
                f"purpose takes --slot {rules.slot + 1}.")  # fmt: skip
    for problem in problems:
        context.say(f"It left this to look at: {problem}")
    return RunReport(None, (), problems)


def _check_unknown_to_broker(plan: Plan, broker: Broker) -> None:
    """Refuse the plan when the broker knows one of its orders: another journal has sent this session's plan."""
    known = sorted({order.order_ref for order in plan.orders} & broker.seen_refs)
    if known:
        raise PlanRefused(
            f"TWS already knows order {known[0]}, which is not in this journal: the session's plan was sent from "
            "another folder or machine. Nothing was sent; run the desk from one place only"
        )


def _plan(rules: DeskRules, broker: Broker, session: Session, context: RunContext) -> Plan:
    instruments = broker.instruments(rules.universe, skip_missing=True)
    portfolio = broker.portfolio()
    _log.info("holdings: equity %s %s, %d positions", portfolio.equity, portfolio.currency, len(portfolio.positions))
    panel = broker.bars(rules.universe, "1 day", history_duration(rules), skip_missing=True)
    known = check_bars(panel, _ns(broker.now()), rules.strategy.warmup)
    _log.info("bars: %d days of %d symbols, the newest of %s", len(known), len(known.symbols),
              exchange_date(int(known.end_ns[-1])))  # fmt: skip
    if rules.owns_account:
        foreign = sorted(set(portfolio.positions) - set(rules.universe))
        instruments |= broker.instruments(foreign, skip_missing=True)
    return make_plan(rules, known, portfolio, instruments, session.day)


def _earlier_end(records: Iterable[JournalRecord], key: str) -> JournalRecord | None:
    """Return the RUN_END of plan `key`, None when there is no such plan.

    Raises:
        PlanRefused: when a plan of this session was begun and its end is not known, or another slot left orders
            working.
    """
    begun: dict[str, str] = {}
    sent: dict[str, list[str]] = {}
    ended: dict[str, JournalRecord] = {}
    for record in records:
        if record.kind == "PLAN":
            begun[str(record.payload["plan_key"])] = record.run_id
        elif record.kind == "SUBMIT":
            sent.setdefault(record.run_id, []).append(str(record.payload["order_ref"]))
        elif record.kind == "RUN_END":
            ended[str(record.payload["plan_key"])] = record
    for other, run_id in begun.items():
        if other not in ended:
            orders = ", ".join(sent.get(run_id, ())) or "no order"
            raise PlanRefused(
                f"run {run_id} began plan {other} and did not finish; it had handed over: {orders}. What became of "
                "them is not known here: look in TWS. The desk trades again in the next session"
            )
        still_open = ended[other].payload.get("open")
        if still_open and other != key:
            raise PlanRefused(
                f"plan {other} left orders working: {still_open}; cancel them in TWS or wait for their end"
            )
    return ended.get(key)


def _running_pnl(journal: SessionJournal, after: Portfolio) -> tuple[Decimal | None, Decimal | None]:
    """Return the change of equity since the account's previous and since its first run, None on the first."""
    values = [
        Decimal(str(record.payload["equity"]))
        for record in journal.all_records()
        if record.kind == "RECON" and not record.payload.get("dry_run")
    ]
    return (after.equity - values[-1], after.equity - values[0]) if values else (None, None)


def _write_down(
    outcomes: Sequence[Outcome],
    after: Portfolio,
    stamp: datetime,
    started: datetime,
    daily: Decimal | None,
    running: Decimal | None,
    context: RunContext,
) -> None:
    """Step 7: the summary and the three CSV files."""
    if not context.dry_run:
        for line in result_lines(outcomes):
            context.say(line)
    for line in portfolio_lines(after, daily, running):
        context.say(line)
    append_trades(context.logs / "live_trades.csv", [row for o in outcomes for row in _trade_rows(o, started)])
    append_portfolio(
        context.logs / "live_portfolio.csv",
        [PortfolioRow(stamp, p.symbol, p.quantity, p.average_cost, p.unrealized_pnl)
         for _, p in sorted(after.positions.items())],
    )  # fmt: skip
    if not context.dry_run:  # a dry run is no step of the account's history
        append_snapshot(context.logs / "live_snapshot.csv", stamp, after.equity, daily, running)


def _problems(
    plan: Plan, outcomes: Sequence[Outcome], differences: Mapping[str, object], broker: Broker
) -> Iterator[str]:
    for intent, denied in plan.denied:
        yield f"{intent.side.value} {intent.quantity} {intent.symbol} was denied by {denied.rule}: {denied.reason}"
    for outcome in outcomes:
        state = outcome.state
        if state.status not in (OrderStatus.FILLED, OrderStatus.PLANNED):
            reason = " ".join(state.reason.split()) or "no reason was given"
            yield (f"order {state.order.order_ref} is {state.status.value} with {state.filled} of "
                   f"{state.order.quantity} filled: {reason}")  # fmt: skip
    for symbol, pair in differences.items():
        yield f"position of {symbol} differs from plan and fills: {pair}"
    if broker.undecodable_frames:
        yield f"{broker.undecodable_frames} messages of TWS could not be read; a fill may be among them"


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


def _differences(plan: Plan, outcomes: Sequence[Outcome], after: Portfolio) -> dict[str, dict[str, Decimal]]:
    """Return, by symbol, holdings at planning plus our fills beside the broker's, where they differ."""
    ledger = Ledger(positions=plan.portfolio.positions)
    for outcome in outcomes:
        for fill in outcome.fills:
            ledger = apply_fill(ledger, fill)
    expected = {symbol: position.quantity for symbol, position in ledger.positions.items()}
    return {
        symbol: {"expected": expected.get(symbol, Decimal(0)), "broker": after.quantity(symbol)}
        for symbol in sorted(expected.keys() | after.positions.keys())
        if expected.get(symbol, Decimal(0)) != after.quantity(symbol)
    }


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


def _is_open(outcome: Outcome) -> bool:
    return not outcome.state.is_final and outcome.state.status is not OrderStatus.PLANNED


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * _NANOSECONDS + moment.microsecond * 1000
