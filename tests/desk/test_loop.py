"""The daily run against a broker in memory: what is sent, what is written, and what is refused."""

import csv
from collections.abc import Callable
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from quant_trading.desk.brokers import DryRunBroker
from quant_trading.desk.loop import RunContext, RunReport, run_session
from quant_trading.desk.plan import DeskRules, trading_session
from quant_trading.domain.errors import JournalError, PlanRefused
from quant_trading.domain.limits import Limits
from quant_trading.domain.orders import OrderStatus, OrderType
from quant_trading.domain.portfolio import Portfolio
from quant_trading.refdata.restart_windows import RestartSchedule
from quant_trading.refdata.sessions import Session
from quant_trading.strategy.reversal import Reversal
from quant_trading.strategy.static import Static
from tests.desk.fakes import FakeBroker, ListJournal, ManualClock, daily_panel

THURSDAY = datetime(2026, 11, 19, 22, 0, tzinfo=UTC)  # after the close of 2026-11-19
FALLEN = [100.0] * 5 + [95.0]  # -5 % over five bars
STEADY = [50.0] * 6


def rules(**changes: object) -> DeskRules:
    given: dict[str, object] = {
        "strategy_name": "REVERSAL",
        "strategy": Reversal(),
        "universe": ("A", "B", "C", "D", "E", "F"),
        "limits": Limits(0.2, 1.0),
    }
    return DeskRules(**{**given, **changes})  # type: ignore[arg-type]


class Stage:
    """One account, one journal, one folder of logs, over any number of runs."""

    def __init__(self, folder: Path, **closes: list[float]) -> None:
        self.folder, self.clock, self.journal = folder, ManualClock(), ListJournal()
        self.panel = daily_panel(closes, THURSDAY)
        self.broker = FakeBroker(self.panel, self.clock, self.journal)
        self.said: list[str] = []

    def run(self, the_rules: DeskRules, run_id: str = "run-1", dry_run: bool = False) -> RunReport:
        self.journal.run_id = run_id
        context = RunContext(run_id, self.clock, self.folder, self.said.append, dry_run, {})
        open_journal: Callable[[str, Session], ListJournal] = lambda account, session: self.journal  # noqa: E731
        broker = DryRunBroker(self.broker) if dry_run else self.broker
        return run_session(the_rules, broker, open_journal, context)

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, A=FALLEN, B=FALLEN, C=FALLEN, D=FALLEN, E=FALLEN, F=STEADY)


def test_the_fallen_are_bought_at_a_fifth_each_and_all_is_written_down(stage: Stage) -> None:
    report = stage.run(rules())
    # 20 % of 100,000 at 95 = 210.53 -> 211 shares, half a share above the limit at most.
    assert [(o.symbol, o.side.value, o.quantity) for o, _ in stage.broker.sent] == [
        (s, "BUY", Decimal(211)) for s in "ABCDE"
    ]
    assert all(o.state.status is OrderStatus.FILLED for o in report.outcomes)
    assert list(stage.rows("live_trades.csv")[0]) == [
        "timestamp", "symbol", "side", "quantity", "fill_price", "reference_price", "signal_value",
    ]  # fmt: skip
    assert [r["symbol"] for r in stage.rows("live_trades.csv")] == list("ABCDE")
    assert {
        (r["quantity"], float(r["fill_price"]), float(r["signal_value"])) for r in stage.rows("live_trades.csv")
    } == {("211", 95.0, 1.0)}
    assert list(stage.rows("live_portfolio.csv")[0]) == [
        "timestamp",
        "symbol",
        "position",
        "avg_cost",
        "unrealized_pnl",
    ]
    assert list(stage.rows("live_snapshot.csv")[0]) == ["timestamp", "portfolio_value", "daily_pnl", "running_pnl"]


def test_every_order_was_in_the_journal_before_it_was_sent(stage: Stage) -> None:
    stage.run(rules())
    for order, journal_length in stage.broker.sent:
        before = stage.journal.lines[:journal_length]
        assert any(li.kind == "SUBMIT" and li.payload["order_ref"] == order.order_ref for li in before)
        assert any(li.kind == "PLAN" for li in before)
    assert stage.journal.kinds()[0] == "RUN_START"
    assert stage.journal.kinds()[-1] == "RUN_END"


def test_a_second_run_of_the_same_session_sends_nothing(stage: Stage) -> None:
    stage.run(rules())
    sent = len(stage.broker.sent)
    report = stage.run(rules(), "run-2")
    assert len(stage.broker.sent) == sent
    assert report.plan is None
    assert report.problems == ()
    assert "was done by run run-1: nothing is sent" in stage.said[-1]
    assert len(stage.rows("live_snapshot.csv")) == 1


def test_an_evening_run_and_the_next_morning_are_one_session() -> None:
    evening = int(datetime(2026, 11, 19, 23, 0, tzinfo=UTC).timestamp()) * 10**9
    morning = int(datetime(2026, 11, 20, 14, 0, tzinfo=UTC).timestamp()) * 10**9
    assert trading_session(evening) == trading_session(morning)


def test_an_unfinished_run_closes_the_session(stage: Stage) -> None:
    stage.run(rules())
    stage.journal.lines = [li for li in stage.journal.lines if li.kind != "RUN_END"]  # killed before its end
    sent = len(stage.broker.sent)
    with pytest.raises(PlanRefused, match=r"run-1 began plan .* had handed over: REVE-261120-01-A-B"):
        stage.run(rules(), "run-2")
    assert len(stage.broker.sent) == sent


def test_one_rejected_order_does_not_stop_the_rest(stage: Stage) -> None:
    stage.broker.rejects = {"C": "201 Order rejected - reason: no trading permission"}
    report = stage.run(rules())
    ends = {o.state.order.symbol: o.state.status for o in report.outcomes}
    assert ends.pop("C") is OrderStatus.REJECTED
    assert set(ends.values()) == {OrderStatus.FILLED}
    assert any("201 Order rejected" in line for line in stage.said)
    unfilled = [r for r in stage.rows("live_trades.csv") if r["fill_price"] == ""]
    assert [(r["symbol"], r["quantity"], r["reference_price"]) for r in unfilled] == [("C", "211", "95.0")]


def test_an_order_that_cannot_be_sent_does_not_stop_the_rest(stage: Stage) -> None:
    stage.broker.not_sendable = frozenset({"B"})
    report = stage.run(rules())
    assert [o.state.status.value for o in report.outcomes] == ["filled", "rejected", "filled", "filled", "filled"]


def test_buys_are_judged_again_when_a_sell_was_refused(tmp_path: Path) -> None:
    stage = Stage(tmp_path, A=STEADY, B=STEADY)
    stage.broker.holdings = {"A": Decimal(2000)}  # 100 % of equity
    stage.broker.rejects = {"A": "201 short of locates"}
    static = rules(strategy_name="STATIC", strategy=Static({"B": 1.0}), universe=("A", "B"), limits=Limits(1.0, 1.0))
    report = stage.run(static)
    assert [o.symbol for o, _ in stage.broker.sent] == ["A"]
    assert [o.state.status for o in report.outcomes] == [OrderStatus.REJECTED, OrderStatus.DENIED]
    assert "RISK" in stage.journal.kinds()


@pytest.mark.parametrize("order_type", OrderType)
def test_buys_do_not_count_on_sells_that_were_not_filled(tmp_path: Path, order_type: OrderType) -> None:
    stage = Stage(tmp_path, A=STEADY, B=STEADY)
    stage.broker.holdings = {"A": Decimal(2000)}
    stage.broker.never_fills = frozenset({"A"})
    static = rules(strategy_name="STATIC", strategy=Static({"B": 1.0}), universe=("A", "B"), limits=Limits(1.0, 1.0),
                   order_type=order_type)  # fmt: skip
    report = stage.run(static)
    assert [o.state.status for o in report.outcomes] == [OrderStatus.CANCELLED, OrderStatus.DENIED]
    assert stage.broker.holdings == {"A": Decimal(2000)}


def test_what_reduces_goes_first_whichever_side_it_is_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path, A=STEADY, B=STEADY, C=STEADY, D=STEADY)
    stage.broker.holdings = {"C": Decimal(-1000), "D": Decimal(1000)}  # 50 % short, 50 % long
    static = rules(strategy_name="STATIC", strategy=Static({"A": -0.5, "B": 0.5}), universe=tuple("ABCD"),
                   limits=Limits(0.5, 1.0))  # fmt: skip
    report = stage.run(static)
    assert report.problems == ()
    assert [(o.symbol, o.side.value) for o, _ in stage.broker.sent] == [
        ("D", "SELL"), ("C", "BUY"), ("A", "SELL"), ("B", "BUY"),
    ]  # fmt: skip
    assert stage.broker.holdings == {"A": -1000, "B": 1000, "C": 0, "D": 0}


@pytest.mark.parametrize(("keep", "end"), [(False, OrderStatus.CANCELLED), (True, OrderStatus.WORKING)])
def test_orders_that_are_not_filled_in_time_are_cancelled_or_kept(stage: Stage, keep: bool, end: OrderStatus) -> None:
    stage.broker.never_fills = frozenset({"D"})
    report = stage.run(rules(keep_on_timeout=keep, fill_timeout_seconds=60.0))
    assert stage.clock.seconds >= 60.0
    assert {o.state.order.symbol: o.state.status for o in report.outcomes}["D"] is end
    assert len(stage.broker.cancelled) == (0 if keep else 1)
    assert len(report.problems) == 1
    assert "not filled within 60 s" in report.problems[0]


def test_limit_orders_carry_a_price_on_the_tick_toward_the_market(stage: Stage) -> None:
    stage.run(rules(order_type=OrderType.LIMIT, limit_offset_bps=10.0))
    assert {o.limit_price for o, _ in stage.broker.sent} == {Decimal("95.10")}  # 95 x 1.001 = 95.095 -> even tick


def test_a_dry_run_logs_everything_sends_nothing_and_leaves_the_session_open(stage: Stage) -> None:
    stage.run(rules(), dry_run=True)
    assert stage.broker.sent == []
    assert [r["fill_price"] for r in stage.rows("live_trades.csv")] == [""] * 5
    assert not (stage.folder / "live_snapshot.csv").exists()
    stage.journal.lines.clear()  # a dry run has a journal of its own
    stage.run(rules(), "run-2")
    assert len(stage.broker.sent) == 5


def test_a_dry_run_shows_the_buys_that_its_sells_make_room_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path, A=STEADY, B=STEADY)
    stage.broker.holdings = {"A": Decimal(2000)}
    static = rules(strategy_name="STATIC", strategy=Static({"B": 1.0}), universe=("A", "B"), limits=Limits(1.0, 1.0))
    assert stage.run(static, dry_run=True).problems == ()
    assert [r["symbol"] for r in stage.rows("live_trades.csv")] == ["A", "B"]


def test_long_before_the_open_there_is_no_plan_and_the_session_stays_free(stage: Stage) -> None:
    stage.clock.time = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)  # 08:00 in New York
    with pytest.raises(PlanRefused, match=r"opens for session 2026-11-20 in 1\.5 hours; run within 30 minutes"):
        stage.run(rules())
    assert stage.journal.kinds() == []
    stage.clock.time = datetime(2026, 11, 20, 14, 15, tzinfo=UTC)  # 09:15
    assert stage.run(rules()).problems == ()


def test_before_the_open_the_fill_timeout_runs_from_the_open(stage: Stage) -> None:
    stage.clock.time = datetime(2026, 11, 20, 14, 20, tzinfo=UTC)  # 09:20, ten minutes to go
    stage.broker.never_fills = frozenset({"D"})
    stage.run(rules(fill_timeout_seconds=60.0))
    assert 660.0 <= stage.clock.seconds < 680.0


@pytest.mark.parametrize(
    ("now", "is_refused"),
    [
        ("14:17", False),  # filled by 14:31 at the latest, gate 14:33; TWS goes away at 14:39, a minute early
        ("14:15", False),
        ("14:38", True),
        ("14:36", True),  # orders sent now may wait for their fills until 14:37, two minutes before
        ("14:34", False),
        ("14:54", True),  # within the restart
        ("14:56", False),
    ],
)
def test_no_order_is_sent_into_a_restart_of_tws(stage: Stage, now: str, is_refused: bool) -> None:
    hour, minute = map(int, now.split(":"))
    stage.clock.time = datetime(2026, 11, 20, hour, minute, tzinfo=UTC)
    schedule = RestartSchedule(restart=time(14, 40), zone=ZoneInfo("UTC"))
    if not is_refused:
        assert stage.run(rules(restarts=schedule)).problems == ()
        return
    with pytest.raises(PlanRefused, match=r"TWS restarts by plan .* \(daily at 14:40 UTC, login Sunday 01:00 America"):
        stage.run(rules(restarts=schedule))
    assert (stage.broker.sent, stage.journal.kinds()) == ([], [])
    assert stage.run(rules(restarts=schedule), dry_run=True).problems == ()  # looking does no harm


def test_orders_for_the_open_are_not_sent_into_a_restart_before_it(stage: Stage) -> None:
    stage.clock.time = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)  # 09:05, they would wait until 09:31
    with pytest.raises(PlanRefused, match="TWS restarts by plan"):
        stage.run(rules(restarts=RestartSchedule(restart=time(9, 20))))
    assert stage.run(rules(restarts=RestartSchedule())).problems == ()


def test_another_currency_than_the_accounts_is_refused(stage: Stage) -> None:
    stage.broker.currency = "CAD"
    with pytest.raises(PlanRefused, match=r"A is priced in CAD and the account's equity is in USD"):
        stage.run(rules())
    assert stage.broker.sent == []


def test_an_unknown_symbol_is_skipped_and_the_rest_is_traded(stage: Stage) -> None:
    stage.broker.unknown = frozenset({"B"})
    stage.run(rules())
    assert [o.symbol for o, _ in stage.broker.sent] == ["A", "C", "D", "E"]
    assert any("skipped, no usable bar: B" in line for line in stage.said)


def test_an_order_the_broker_knows_from_elsewhere_is_not_sent_again(stage: Stage) -> None:
    stage.broker.seen_refs = frozenset({"REVE-261120-01-C-B-01"})
    with pytest.raises(PlanRefused, match="TWS already knows order REVE-261120-01-C-B-01"):
        stage.run(rules())
    assert stage.broker.sent == []
    assert "PLAN" not in stage.journal.kinds()


def test_unreadable_messages_are_a_problem_of_the_run(stage: Stage) -> None:
    stage.broker.undecodable_frames = 2
    assert "2 messages of TWS could not be read" in stage.run(rules()).problems[0]


def test_a_log_file_that_cannot_be_added_to_stops_the_run_before_the_first_order(stage: Stage) -> None:
    (stage.folder / "live_trades.csv").write_text("my notes\n", encoding="utf-8")
    with pytest.raises(JournalError, match=r"live_trades\.csv"):
        stage.run(rules())
    assert stage.broker.sent == []


def test_the_broker_holding_something_else_than_we_count_is_a_problem(stage: Stage) -> None:
    honest = stage.broker.portfolio
    calls = []

    def portfolio() -> Portfolio:
        calls.append(None)
        if len(calls) > 1:
            stage.broker.holdings["A"] = Decimal(7)
        return honest()

    stage.broker.portfolio = portfolio  # type: ignore[method-assign]
    assert "position of A differs" in stage.run(rules()).problems[0]


def test_the_second_run_repeats_what_the_first_left_to_look_at(stage: Stage) -> None:
    stage.broker.rejects = {"C": "201 no"}
    first = stage.run(rules())
    second = stage.run(rules(), "run-2")
    assert first.problems == second.problems != ()


def test_an_interrupted_run_says_what_is_on_its_way(stage: Stage) -> None:
    stage.broker.never_fills = frozenset("ABCDE")

    def interrupt(timeout_seconds: float) -> None:
        raise KeyboardInterrupt

    stage.broker.reports = interrupt  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        stage.run(rules())
    note = stage.journal.lines[-1]
    assert note.kind == "NOTE"
    assert len(note.payload["open"]) == 5  # type: ignore[arg-type]


def test_stale_bars_make_no_plan(tmp_path: Path) -> None:
    stage = Stage(tmp_path, A=FALLEN)
    stage.broker.panel = daily_panel({"A": FALLEN}, datetime(2026, 11, 18, 22, 0, tzinfo=UTC))
    with pytest.raises(PlanRefused, match=r"newest daily bar is of 2026-11-18, expected 2026-11-19"):
        stage.run(rules(universe=("A",)))
    assert stage.journal.kinds() == ["RUN_START"]


def test_too_few_bars_make_no_plan(tmp_path: Path) -> None:
    stage = Stage(tmp_path, A=[100.0, 90.0])
    with pytest.raises(PlanRefused, match="2 daily bars are fewer than the 6"):
        stage.run(rules(universe=("A",)))


def test_names_outside_the_universe_are_reported_and_left_alone(stage: Stage) -> None:
    stage.broker.holdings = {"ZZZ": Decimal(10)}
    stage.run(rules())
    assert "ZZZ" not in {o.symbol for o, _ in stage.broker.sent}
    assert any("held outside the universe, left alone: ZZZ" in line for line in stage.said)


def test_an_owned_account_is_cleared_of_names_outside_the_universe(stage: Stage) -> None:
    stage.broker.holdings = {"ZZZ": Decimal(10)}
    stage.run(rules(owns_account=True))
    assert ("ZZZ", "SELL", Decimal(10)) in [(o.symbol, o.side.value, o.quantity) for o, _ in stage.broker.sent]


def test_running_profit_from_the_second_session_on(stage: Stage) -> None:
    stage.run(rules())
    stage.clock.advance(3 * 86_400)  # Monday
    stage.broker.panel = daily_panel(dict.fromkeys("ABCDEF", STEADY), datetime(2026, 11, 20, 22, 0, tzinfo=UTC))
    stage.broker.equity = Decimal(101_500)
    stage.run(rules(), "run-2")
    first, second = stage.rows("live_snapshot.csv")
    assert (first["daily_pnl"], first["running_pnl"]) == ("", "")
    assert (Decimal(second["daily_pnl"]), Decimal(second["running_pnl"])) == (Decimal(1500), Decimal(1500))
    assert any("+1,500.00 since the previous run" in line for line in stage.said)
