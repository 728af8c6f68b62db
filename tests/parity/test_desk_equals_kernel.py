"""What was tested is what trades: a year of daily runs over the wire holds the kernel's shares on every day.

The desk, with the unmodified client library, runs each session at 09:29 in virtual time against the
simulator: its orders wait for the opening auction and are filled at the official open. The kernel sees
the same bars at once and fills at the open of the next bar. Both pay 5 bps.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from quant_trading.backtesting.engine import BacktestSettings, FillConvention, run_backtest
from quant_trading.core.ibkr_broker import IBKRAccount, IBKRBroker
from quant_trading.desk.journal import FileJournal
from quant_trading.desk.loop import RunContext, run_session
from quant_trading.desk.plan import DeskRules
from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.limits import Limits
from quant_trading.domain.orders import OrderStatus
from quant_trading.indicators.returns import simple_returns
from quant_trading.refdata.sessions import Session, exchange_date, sessions_between
from quant_trading.settings import DEFAULT_UNIVERSE
from quant_trading.strategy.base import Strategy, equal_weights
from quant_trading.strategy.reversal import Reversal, ReversalRank
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.virtual import VirtualLoop

HOST, PORT = "127.0.0.1", 7497
MINUTE_NS = 60_000_000_000
LIMITS = Limits(max_position_pct=0.2, max_gross_exposure=1.0)


@dataclass(frozen=True)
class LongShort:
    """Long what fell most and short what rose most over a day, five names each; positions change sides often."""

    warmup: int = 2

    def signal(self, bars: BarPanel) -> FloatArray:
        change = simple_returns(bars.close, 1)
        order = np.argsort(change, axis=1, kind="stable")
        side = np.zeros_like(change)
        np.put_along_axis(side, order[:, :5], 1.0, axis=1)
        np.put_along_axis(side, order[:, -5:], -1.0, axis=1)
        return np.where(np.isnan(change), np.nan, side)

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        return equal_weights(signal, limits)


class LoopClock:
    """The clock of a virtual loop: the simulator's time."""

    def __init__(self, loop: VirtualLoop, simulator: Simulator) -> None:
        self._loop, self._simulator = loop, simulator

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self._simulator.now_ns // 1000)

    def monotonic(self) -> float:
        return self._loop.time()


def trade_every_session(
    strategy: Strategy, name: str, sessions: tuple[Session, ...], folder: Path
) -> tuple[Simulator, VirtualLoop, list[dict[str, int]]]:
    """Run the desk once before each open; return the simulator and what was held after each run."""
    simulator = Simulator(
        open_source("seed:11"),
        SimConfig(commissions="bps:5", spread="none", pays_dividends=False),
        sessions[0].open_ns - 60 * MINUTE_NS,
    )
    loop = VirtualLoop()
    loop.listen(HOST, PORT, simulator)
    clock = LoopClock(loop, simulator)
    rules = DeskRules(name, strategy, DEFAULT_UNIVERSE, LIMITS, fill_timeout_seconds=120.0)
    held = []
    for session in sessions:
        wait_ns = session.open_ns - MINUTE_NS - simulator.now_ns
        loop.run_until_complete(asyncio.sleep(wait_ns / 1e9))
        broker = IBKRBroker.open(host=HOST, port=PORT, client_id=12, loop=loop, environ={})
        journals: list[FileJournal] = []

        def open_journal(account: str, day: Session, kept: list[FileJournal] = journals) -> FileJournal:
            # Every start verifies the whole folder, so a year of starts in one would read millions of records.
            month = folder / f"journal-{day.day:%Y-%m}"
            kept.append(FileJournal.open(month, account, day.day, f"run-{day.day}", clock))
            return kept[-1]

        try:
            context = RunContext(f"run-{session.day}", clock, folder, lambda line: None, False, {})
            report = run_session(rules, broker, open_journal, context)
            assert report.plan is not None
            assert report.plan.session == session.day
            assert all(o.state.status is OrderStatus.FILLED for o in report.outcomes)
            held.append({s: int(p.quantity) for s, p in broker.portfolio().positions.items()})
        finally:
            broker.close()
            for journal in journals:
                journal.close()
    return simulator, loop, held


@pytest.mark.slow(early=2)
@pytest.mark.parametrize(
    ("name", "strategy", "first", "last"),
    [
        ("REVERSAL", Reversal(), date(2024, 7, 1), date(2025, 6, 30)),
        ("REVERSAL_RANK", ReversalRank(lookback=1, count=10), date(2024, 11, 1), date(2024, 12, 31)),
        ("LONG_SHORT", LongShort(), date(2024, 11, 1), date(2024, 12, 31)),
    ],
)
def test_the_desk_holds_the_shares_of_the_kernel_on_every_day(
    name: str, strategy: Strategy, first: date, last: date, tmp_path: Path
) -> None:
    sessions = sessions_between(first, last)
    simulator, loop, held = trade_every_session(strategy, name, sessions, tmp_path)
    loop.run_until_complete(asyncio.sleep(8 * 3600))  # to the evening of the last session
    with IBKRAccount.open(host=HOST, port=PORT, client_id=13, loop=loop, environ={}) as account:
        panel = account.bars(DEFAULT_UNIVERSE, "1 day", "2 Y")
    loop.close()
    days = [exchange_date(int(ns)) for ns in panel.start_ns]
    before_first = days.index(first) - 1
    result = run_backtest(
        panel.rows(0, days.index(last) + 1), strategy, LIMITS,
        BacktestSettings(initial_capital=1_000_000.0, cost_bps=5.0, fill=FillConvention.NEXT_OPEN),
        first_bar=before_first, strategy_name=name,
    )  # fmt: skip

    kernel = result.ledger.holdings[1:]  # row 0 is the close the first run decided on
    desk = np.array([[positions.get(s, 0) for s in DEFAULT_UNIVERSE] for positions in held], dtype=np.float64)
    assert desk.shape == kernel.shape == (len(sessions), len(DEFAULT_UNIVERSE))
    assert np.count_nonzero(np.diff(desk, axis=0)) > 5 * len(sessions) // 2  # a run that trades, or nothing is shown
    differing = [(sessions[t].day, DEFAULT_UNIVERSE[j]) for t, j in np.argwhere(desk != kernel)]
    assert differing == []
    assert float(simulator.equity()) == pytest.approx(result.equity[-1], abs=0.01)  # to the cent
