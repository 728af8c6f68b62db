"""A person's path through trade.py: the commands of the specification, against the simulator on a port."""

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[2]
THURSDAY_TEN = at(date(2026, 11, 19), "10:00")
BACKTEST = ("--run", "backtest", "--mode", "paper", "--ibkr", "--config", "configs/paper.yaml",
            "--duration", "1 Y", "--bar-size", "1 day", "--cost-bps", "5")  # fmt: skip
LIVE = ("--run", "live", "--mode", "paper", "--ibkr", "--config", "configs/paper.yaml", "--cost-bps", "5")
TRADE = ("--run", "trade", "--mode", "paper", "--ibkr", "--config", "configs/paper.yaml")


@dataclass
class Desk:
    """A folder with the shipped configuration, from which trade.py is run as a user would."""

    folder: Path
    port: int

    def run(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        env = {k: v for k, v in os.environ.items() if not k.startswith("IBKR_")}
        env |= {"IBKR_PAPER_PORT": str(self.port), "PYTHONPATH": str(CHECKOUT), "QT_HOME": str(self.folder), **environ}
        return subprocess.run(
            [sys.executable, str(CHECKOUT / "trade.py"), *arguments],
            cwd=self.folder, env=env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / "logs" / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def configure(self, old: str, new: str) -> None:
        path = self.folder / "configs" / "paper.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")


def make_desk(folder: Path, port: int) -> Desk:
    (folder / "configs").mkdir()
    shutil.copy(CHECKOUT / "configs" / "paper.yaml", folder / "configs")
    return Desk(folder, port)


def simulator(**config: object) -> Simulator:
    return Simulator(open_source("seed:7"), SimConfig(**config), THURSDAY_TEN)  # type: ignore[arg-type]


@pytest.fixture
def tws() -> Iterator[ThreadedTwsServer]:
    with ThreadedTwsServer(simulator()) as server:
        yield server


@pytest.fixture
def desk(tws: ThreadedTwsServer, tmp_path: Path) -> Desk:
    return make_desk(tmp_path, tws.port)


def test_backtest_over_the_wire_and_from_the_saved_bars_agree_to_the_byte(desk: Desk, tws: ThreadedTwsServer) -> None:
    wire = desk.run(*BACKTEST, "--out", "wire.csv", "--save-bars", "bars")
    assert wire.returncode == 0, wire.stderr
    for figure in ("total return", "Sharpe", "max drawdown", "final equity", "filled at the open of the next bar"):
        assert figure in wire.stdout
        assert figure in (desk.folder / "logs" / "desk.log").read_text(encoding="utf-8")
    again = desk.run(*BACKTEST, "--out", "again.csv")
    local = desk.run("--run", "backtest", "--mode", "paper", "--data-dir", "bars", "--out", "local.csv")
    assert (again.returncode, local.returncode) == (0, 0), local.stderr
    content = (desk.folder / "wire.csv").read_bytes()
    assert (desk.folder / "again.csv").read_bytes() == content
    assert (desk.folder / "local.csv").read_bytes() == content
    assert tws.call(lambda s: s.counters["reqHistoricalData"]) == 40  # one request per symbol and run
    assert tws.call(lambda s: s.counters["placeOrder"]) == 0


def test_backtest_stops_at_the_last_complete_session_and_names_its_file(desk: Desk) -> None:
    done = desk.run(*BACKTEST)
    assert done.returncode == 0, done.stderr
    (path,) = (desk.folder / "outputs").glob("backtest_*.csv")
    assert re.fullmatch(r"backtest_\d{8}T\d{6}Z\.csv", path.name)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # The market is open on 2026-11-19 at 10:00: that day's bar is still running. XNYS has 250 sessions from
    # 2025-11-20 to 2026-11-18.
    assert (rows[0]["date"], rows[-1]["date"], len(rows)) == ("2025-11-20", "2026-11-18", 250)


def test_dry_run_computes_everything_and_sends_nothing(desk: Desk, tws: ThreadedTwsServer) -> None:
    done = desk.run(*LIVE, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "dry run: nothing is sent" in done.stdout
    rows = desk.rows("live_trades.csv")
    assert rows
    assert {r["fill_price"] for r in rows} == {""}
    assert all(Decimal(r["reference_price"]) > 0 for r in rows)
    assert tws.call(lambda s: s.counters["placeOrder"]) == 0


def test_paper_run_trades_writes_and_does_not_repeat_itself(desk: Desk, tws: ThreadedTwsServer) -> None:
    first = desk.run(*LIVE)
    assert first.returncode == 0, first.stderr
    sent = tws.call(lambda s: s.counters["placeOrder"])
    trades = desk.rows("live_trades.csv")
    assert sent == len(trades) > 0
    assert all(Decimal(r["fill_price"]) > 0 for r in trades)
    held = {r["symbol"]: Decimal(r["position"]) for r in desk.rows("live_portfolio.csv")}
    assert held == {r["symbol"]: Decimal(r["quantity"]) for r in trades}
    (snapshot,) = desk.rows("live_snapshot.csv")
    assert Decimal(snapshot["portfolio_value"]) == tws.call(lambda s: s.equity()).quantize(Decimal("0.01"))
    second = desk.run(*LIVE)
    assert second.returncode == 0, second.stderr
    assert "nothing is sent" in second.stdout
    assert tws.call(lambda s: s.counters["placeOrder"]) == sent
    assert len(desk.rows("live_snapshot.csv")) == 1


def test_the_next_session_shows_running_profit(desk: Desk, tws: ThreadedTwsServer) -> None:
    assert desk.run(*TRADE).returncode == 0
    tws.advance_to(at(date(2026, 11, 20), "10:00"))
    done = desk.run(*TRADE)
    assert done.returncode == 0, done.stderr
    first, second = desk.rows("live_snapshot.csv")
    change = Decimal(second["portfolio_value"]) - Decimal(first["portfolio_value"])
    assert (Decimal(second["daily_pnl"]), Decimal(second["running_pnl"])) == (change, change)
    assert f"{change:+,.2f} since the previous run" in done.stdout


def test_static_rebalance_is_the_default_and_takes_over_existing_positions(tmp_path: Path) -> None:
    start = simulator(positions={"AAPL": (Decimal(100), Decimal(150)), "SMR": (Decimal(10), Decimal(20))})
    with ThreadedTwsServer(start) as server:
        desk = make_desk(tmp_path, server.port)
        done = desk.run("--ibkr")
        assert done.returncode == 0, done.stderr
    assert "left alone: SMR" in done.stdout
    assert ("AAPL", "SELL", "100") in {(r["symbol"], r["side"], r["quantity"]) for r in desk.rows("live_trades.csv")}
    held = {r["symbol"] for r in desk.rows("live_portfolio.csv")}
    assert held == {"SPY", "QQQ", "TLT", "GLD", "SMR"}


def test_one_rejected_order_among_the_others(tmp_path: Path) -> None:
    with ThreadedTwsServer(simulator(reject={"TLT": (201, "Order rejected - reason: no permission")})) as server:
        desk = make_desk(tmp_path, server.port)
        done = desk.run(*TRADE)
    assert done.returncode == 1
    assert "Orders: 3 of 4 filled" in done.stdout
    assert {r["symbol"]: bool(r["fill_price"]) for r in desk.rows("live_trades.csv")} == {
        "SPY": True, "QQQ": True, "TLT": False, "GLD": True,
    }  # fmt: skip
    log = (desk.folder / "logs" / "desk.log").read_text(encoding="utf-8")
    assert re.search(r"ERROR.*TLT.*no permission", log)


def test_limit_orders_go_out_as_limit_orders(desk: Desk, tws: ThreadedTwsServer) -> None:
    desk.configure('order_type: "market"', 'order_type: "limit"')
    desk.configure("fill_timeout_seconds: 60", "fill_timeout_seconds: 1")
    done = desk.run(*TRADE)
    orders = tws.call(lambda s: [(o.terms.order_type, o.terms.limit) for o in s.orders])
    assert len(orders) == 4
    assert all(kind == "LMT" and price is not None and price == round(price, 2) for kind, price in orders)
    # A limit 10 bps through yesterday's close may not be reached; then the rest was cancelled, never left.
    assert set(tws.call(lambda s: [o.status.value for o in s.orders])) <= {"Filled", "Cancelled"}
    ends = set(tws.call(lambda s: [o.status.value for o in s.orders]))
    assert done.returncode == (0 if ends == {"Filled"} else 1), done.stderr


def test_orders_that_never_fill_are_cancelled_after_the_timeout(tmp_path: Path) -> None:
    with ThreadedTwsServer(simulator(never_fill=frozenset({"GLD"}))) as server:
        desk = make_desk(tmp_path, server.port)
        desk.configure("fill_timeout_seconds: 60", "fill_timeout_seconds: 1")
        done = desk.run(*TRADE)
        assert server.call(lambda s: s.counters["cancelOrder"]) == 1
    assert done.returncode == 1
    assert "not filled within 1 s" in done.stdout
    assert "cancelled      BUY  0/" in done.stdout
    log = (desk.folder / "logs" / "desk.log").read_text(encoding="utf-8")
    assert "cancelling the rest" in log


def test_every_order_stands_in_the_journal_with_its_identity(desk: Desk, tws: ThreadedTwsServer) -> None:
    assert desk.run(*TRADE).returncode == 0
    (segment,) = (desk.folder / "state" / "DU1234567" / "journal").glob("*.journal")
    records = [json.loads(line.split(" ", 3)[3]) for line in segment.read_text(encoding="utf-8").splitlines()]
    kinds = [r["t"] for r in records]
    assert kinds[:3] == ["SEGMENT", "RUN_START", "PLAN"]
    assert kinds[-1] == "RUN_END"
    submitted = [r["payload"]["order_ref"] for r in records if r["t"] == "SUBMIT"]
    assert submitted == tws.call(lambda s: [o.terms.order_ref for o in s.orders])
    assert submitted[0] == "STAT-261119-01-SPY-B-01"
    assert {r["payload"]["order_ref"] for r in records if r["t"] == "FILL"} == set(submitted)
    assert next(r for r in records if r["t"] == "RECON")["payload"]["differences"] == {}


def test_too_early_is_refused_and_costs_nothing(desk: Desk, tmp_path: Path) -> None:
    early = Simulator(open_source("seed:7"), SimConfig(), at(date(2026, 11, 19), "08:00"))
    with ThreadedTwsServer(early) as server:
        early_desk = Desk(desk.folder, server.port)
        done = early_desk.run(*TRADE)
        assert done.returncode == 5
        assert "run within 30 minutes before the open" in done.stderr
        assert server.call(lambda s: s.counters["placeOrder"]) == 0
        assert early_desk.run(*TRADE, "--dry-run").returncode == 0
        server.advance_to(at(date(2026, 11, 19), "09:31"))
        assert early_desk.run(*TRADE).returncode == 0


def test_what_risk_denies_is_printed_and_sets_the_exit_code(tmp_path: Path) -> None:
    start = simulator(positions={"SMR": (Decimal(80_000), Decimal(20))})  # outside the universe, above 30 %
    with ThreadedTwsServer(start) as server:
        desk = make_desk(tmp_path, server.port)
        done = desk.run(*TRADE)
    assert done.returncode == 1
    assert re.search(r"Look at this: BUY \d+ \w+ was denied by max_gross_exposure", done.stdout)


def test_another_account_has_a_history_of_its_own(desk: Desk, tws: ThreadedTwsServer) -> None:
    assert desk.run(*TRADE).returncode == 0
    with ThreadedTwsServer(simulator(accounts=("DU7654321",), cash=Decimal(50_000))) as server:
        done = Desk(desk.folder, server.port).run(*TRADE)
    assert done.returncode == 0, done.stdout
    assert "since the previous run" not in done.stdout


def test_an_order_that_works_is_not_sent_again_from_another_folder(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    with ThreadedTwsServer(simulator(never_fill=frozenset({"GLD"}))) as server:
        for folder in folders:
            folder.mkdir()
            desk = make_desk(folder, server.port)
            desk.configure("fill_timeout_seconds: 60", "fill_timeout_seconds: 1")
            desk.configure("on_fill_timeout: cancel", "on_fill_timeout: keep")
            done = desk.run(*TRADE)
            assert server.call(lambda s: s.counters["placeOrder"]) == 4
        assert done.returncode == 5
        assert re.search(r"TWS already knows order STAT-261119-01-GLD-B-01", done.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*TRADE, "--fill", "same_close"), "--fill belongs to --run backtest"),
        ((*TRADE, "--param", "lookback=7"), "--param sets parameters of a strategy"),
        ((*LIVE, "--out", "x.csv"), "--out belongs to --run backtest"),
    ],
)
def test_options_that_would_be_ignored_are_refused(desk: Desk, arguments: tuple[str, ...], words: str) -> None:
    done = desk.run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("arguments", [BACKTEST, LIVE, TRADE, (*LIVE, "--dry-run")])
def test_no_server_on_the_port(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = make_desk(tmp_path, free_port()).run(*arguments)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    for point in ("TWS is running", "API", "port", "firewall", "other", "client id"):
        assert point.lower() in done.stderr.lower()


def test_a_server_that_never_answers(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        desk = make_desk(tmp_path, silent.getsockname()[1])
        desk.configure("connect_timeout_seconds: 30", "connect_timeout_seconds: 1")
        done = desk.run(*LIVE)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "1 s" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((*BACKTEST, "--symbols", "AAPL,NOSUCH"), 6, "NOSUCH"),
        ((*BACKTEST, "--strategy", "REVRSAL"), 2, "known are MACD, REVERSAL, REVERSAL_DECILE, REVERSAL_RANK, STATIC"),
        ((*BACKTEST, "--param", "lookbak=5"), 2, "known are lookback, threshold"),
        ((*BACKTEST, "--bar-size", "7 mins"), 2, "1 day"),
        ((*BACKTEST, "--duration", "1 X"), 2, "1 Y"),
        ((*BACKTEST, "--cost-bps", "-1"), 2, "cost_bps"),
        (("--run", "live", "--ibkr", "--config", "configs/none.yaml"), 2, "configs/paper.yaml"),
        (("--run", "live"), 2, "needs --ibkr"),
        (("--run", "backtest"), 2, "--ibkr"),
        ((*LIVE, "--mode", "live"), 2, "--live"),
        ((*LIVE, "--mode", "live", "--live"), 2, "live_accounts"),
        ((*LIVE, "--account", "DU9999999"), 4, "DU"),
    ],
    ids=lambda value: "-".join(value[-2:]).strip("-") if isinstance(value, tuple) else None,
)
def test_bad_input_gets_one_line_with_the_cure(desk: Desk, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = desk.run(*arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_wrong_settings_stop_before_connecting(desk: Desk, tws: ThreadedTwsServer) -> None:
    desk.configure("max_position_pct: 0.2", "max_position_pct: 20")
    done = desk.run(*LIVE)
    assert done.returncode == 2
    assert "risk.max_position_pct = 20 is not within (0, 1]; write 0.2 for 20 %" in done.stderr
    assert tws.call(lambda s: s.counters["startApi"]) == 0


def test_a_symbol_without_any_history(tmp_path: Path) -> None:
    bars = tmp_path / "bars"
    bars.mkdir()
    (bars / "AAPL_1d.csv").write_text(
        "date,open,high,low,close,volume\n" + "".join(f"2026-11-{d},100,101,99,100,1000\n" for d in (16, 17, 18))
    )
    tape = open_source(str(bars))
    with ThreadedTwsServer(Simulator(tape, SimConfig(), THURSDAY_TEN)) as server:
        desk = make_desk(tmp_path, server.port)
        done = desk.run(*BACKTEST, "--symbols", "AAPL,MSFT")
    assert done.returncode == 6
    assert "MSFT" in done.stderr
    assert "AAPL" not in done.stderr


def test_paper_mode_refuses_a_live_account(tmp_path: Path) -> None:
    with ThreadedTwsServer(simulator(accounts=("U1234567",))) as server:
        done = make_desk(tmp_path, server.port).run(*LIVE)
        assert server.call(lambda s: s.counters["placeOrder"]) == 0
    assert done.returncode == 4
    assert "paper" in done.stderr
