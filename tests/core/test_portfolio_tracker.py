"""The portfolio tracker: the words of the specification byte by byte, over the wire and as a person runs it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from quant_trading.core.connect_options import Endpoint
from quant_trading.core.portfolio_tracker import PortfolioReader, main
from quant_trading.core.portfolio_view import AccountView, HeldPosition, Holding, as_json, summary_lines
from quant_trading.domain.errors import AccountRefused, ConnectionLost
from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from tests.core.meddler import PORT, Meddler, simulator, virtual
from tests.tools.test_sim import running

ROOT = Path(__file__).resolve().parents[2]

# The sample of the specification, with the line of two blanks after the cash block.
SAMPLE = """\
============================================================
IBKR PAPER TRADING PORTFOLIO SUMMARY
============================================================

Cash Balances:
------------------------------

CashBalance:
  USD: 995000.00
\x20\x20
Current Positions:
------------------------------
AAPL (USD): 100 shares, Avg Cost: 150.00

Portfolio Details:
------------------------------

Market Value by Currency:
  USD: 15500.00

Detailed Holdings:
  AAPL (USD): Position 100, Market Value 15500.00, Unrealized P&L 500.00
============================================================
"""
# 500.00 of profit on 15,500.00 and a cost of 150.00 a share are one price: 155.00.
AAPL_AT_155 = "timestamp,open,high,low,close,volume\n" + "".join(
    f"2025-05-12T{hour}:{minute:02}:00Z,155,155,155,155,1000\n" for hour in range(14, 20) for minute in range(0, 60, 5)
)
READ_MESSAGES = {"startApi", "reqAccountUpdates", "reqPositions", "reqCurrentTime"}


def view(**changes: Any) -> AccountView:
    """Return the account of the sample."""
    fields: dict[str, Any] = {
        "account": "DU1234567",
        "cash": (("USD", Decimal(995_000)),),
        "positions": (HeldPosition("AAPL", "USD", "STK", 265598, Decimal(100), Decimal(150)),),
        "holdings": (
            Holding("AAPL", "USD", "STK", 265598, Decimal(100), Decimal(155), Decimal(15_500), Decimal(500)),
        ),
    }  # fmt: skip
    return AccountView(**{**fields, **changes})


def text(shown: AccountView, **options: Any) -> str:
    return "\n".join(summary_lines(shown, **options)) + "\n"


def tracker(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    env = {name: value for name, value in os.environ.items() if not name.startswith("IBKR_")} | {"QT_HOME": str(cwd)}
    config = ("--config", str(ROOT / "configs" / "paper.yaml"))
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "quant_trading.core.portfolio_tracker", *config, *arguments],
        env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


# The words.


def test_the_sample_of_the_specification_byte_by_byte() -> None:
    assert text(view()) == SAMPLE


def test_a_live_account_is_said_in_the_title() -> None:
    assert text(view(account="U1234567")) == SAMPLE.replace(" PAPER ", " LIVE ")


def test_an_account_among_several_is_named_under_the_title() -> None:
    named = text(view(), is_named=True).splitlines()
    assert named[1:3] == ["IBKR PAPER TRADING PORTFOLIO SUMMARY", "Account: DU1234567"]
    assert [line for line in named if line != "Account: DU1234567"] == SAMPLE.splitlines()


def test_each_currency_has_its_line_and_nothing_is_converted() -> None:
    bmw = Holding("BMW", "EUR", "STK", 1, Decimal(-10), Decimal("80.5"), Decimal("-805"), Decimal("-5.255"))
    lines = summary_lines(view(cash=(("USD", Decimal(1)), ("EUR", Decimal("-2.5"))), holdings=(*view().holdings, bmw)))
    assert lines[lines.index("CashBalance:") + 1 :][:2] == ["  USD: 1.00", "  EUR: -2.50"]
    assert lines[lines.index("Market Value by Currency:") + 1 :][:2] == ["  USD: 15500.00", "  EUR: -805.00"]
    assert "  BMW (EUR): Position -10, Market Value -805.00, Unrealized P&L -5.26" in lines


def test_an_empty_portfolio_says_so_in_each_section() -> None:
    lines = summary_lines(view(cash=(), positions=(), holdings=()))
    assert lines[lines.index("CashBalance:") + 1] == "  none"
    assert lines[lines.index("Current Positions:") + 2] == "No positions"
    assert lines[lines.index("Market Value by Currency:") + 1] == "  none"
    assert lines[lines.index("Detailed Holdings:") + 1] == "  none"


def test_what_tws_has_not_sent_is_unknown_and_options_are_contracts() -> None:
    option = HeldPosition("AAPL:OPT:20261120C150", "USD", "OPT", 5, Decimal(2), None)
    line = Holding("AAPL:OPT:20261120C150", "USD", "OPT", 5, Decimal("0.5"), None, None, None)
    lines = summary_lines(view(positions=(option,), holdings=(line,)))
    assert "AAPL:OPT:20261120C150 (USD): 2 contracts, Avg Cost: unknown" in lines
    assert (
        "  AAPL:OPT:20261120C150 (USD): Position 0.5, Market Value unknown, Unrealized P&L unknown" in lines
    )  # a value that is not there is not 0.00
    assert lines[lines.index("Market Value by Currency:") + 1] == "  none"


def test_json_has_a_version_and_numbers() -> None:
    shown = json.loads(as_json([view()], "2026-11-19T15:00:00Z"))
    assert shown == {
        "version": 1,
        "time": "2026-11-19T15:00:00Z",
        "accounts": [
            {
                "account": "DU1234567",
                "mode": "paper",
                "cash": {"USD": 995000.0},
                "positions": [
                    {"symbol": "AAPL", "currency": "USD", "sec_type": "STK", "con_id": 265598, "quantity": 100.0,
                     "average_cost": 150.0},
                ],
                "market_value": {"USD": 15500.0},
                "holdings": [
                    {"symbol": "AAPL", "currency": "USD", "sec_type": "STK", "con_id": 265598, "quantity": 100.0,
                     "market_price": 155.0, "market_value": 15500.0, "unrealized_pnl": 500.0},
                ],
            }
        ],
    }  # fmt: skip


# Over the wire.


@contextmanager
def reading(peer: Any, *, account: str = "", every: bool = False) -> Iterator[PortfolioReader]:
    with virtual(peer) as loop:
        reader = PortfolioReader(Endpoint("127.0.0.1", PORT, 15, account, 30.0), every_account=every, loop=loop)
        try:
            reader.open()
            yield reader
        finally:
            reader.close()


def test_currencies_come_without_the_made_up_base() -> None:
    rates = {"EUR": Decimal("1.08")}
    market = simulator(
        cash=Decimal(1000), foreign_cash={"EUR": Decimal(250)}, exchange_rates=rates,
        positions={"AAPL": (Decimal(-7), Decimal(150))},
    )  # fmt: skip
    with reading(market) as reader:
        [shown], time = reader.read()
    assert time == "2026-11-19T15:00:00Z"
    assert dict(shown.cash) == {"USD": Decimal(1000), "EUR": Decimal(250)}
    assert [(p.symbol, p.quantity, p.average_cost) for p in shown.positions] == [("AAPL", Decimal(-7), Decimal(150))]
    [line] = shown.holdings
    assert line.market_value == -7 * (line.market_price or 0)
    assert line.unrealized_pnl == (Decimal(150) - (line.market_price or 0)) * 7
    assert shown.market_value == {"USD": line.market_value}


def test_every_account_is_read_in_turn_and_never_mixed() -> None:
    market = simulator(accounts=("DU1", "DU2"), positions={"AAPL": (Decimal(3), Decimal(150))})
    with reading(market, every=True) as reader:
        views, _ = reader.read()
        again, _ = reader.read()
    assert [shown.account for shown in views] == ["DU1", "DU2"]
    for shown in views:
        assert [line.con_id for line in shown.positions] == [line.con_id for line in shown.holdings]
    assert [[line.symbol for line in shown.holdings] for shown in views] == [["AAPL"], []]
    assert views == again
    assert set(market.counters) <= READ_MESSAGES


@pytest.mark.parametrize(
    ("account", "words"), [("", "--account, or --all-accounts"), ("DU9", "DU9 is not managed by this login (DU1, DU2)")]
)
def test_an_account_that_is_not_clear_is_refused(account: str, words: str) -> None:
    with pytest.raises(AccountRefused) as refusal, reading(simulator(accounts=("DU1", "DU2")), account=account):
        pass
    assert words in str(refusal.value)


def test_it_cannot_order() -> None:
    market = Meddler(simulator(positions={"AAPL": (Decimal(3), Decimal(150))}))
    with reading(market) as reader:
        reader.read()
        with pytest.raises(AccountRefused, match="read-only"):
            reader.connection.ib.reqGlobalCancel()
    # 3 places, 4 cancels, 21 exercises, 58 cancels all orders.
    assert not {"3", "4", "21", "58"} & {fields[0] for _, fields in market.received}
    assert set(market.simulator.counters) <= READ_MESSAGES


def test_a_session_that_broke_is_opened_again() -> None:
    market = Meddler(simulator(positions={"AAPL": (Decimal(3), Decimal(150))}))
    with reading(market) as reader:
        [before], _ = reader.read()
        market.hang_up()
        with pytest.raises(ConnectionLost):
            reader.wait(1.0)
        reader.close()
        reader.pause(1.0)
        reader.open()
        [after], _ = reader.read()
    assert (after.cash, after.positions) == (before.cash, before.positions)
    assert [line.con_id for line in after.holdings] == [line.con_id for line in before.holdings]


# As a person runs it.


@pytest.mark.slow
def test_the_summary_from_desk_sim_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "AAPL_5m.csv").write_text(AAPL_AT_155)
    source = ("--source", str(tmp_path), "--now", "2025-05-12 15:00", "--speed", "0")
    with running(*source, "--cash", "995000") as (_, port, _):
        done = tracker("--port", str(port), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    empty = view(positions=(), holdings=())
    assert done.stdout == text(empty)


@pytest.fixture
def aapl_at_155(tmp_path: Path) -> Iterator[ThreadedTwsServer]:
    """Serve an account that holds what the sample shows."""
    (tmp_path / "AAPL_5m.csv").write_text(AAPL_AT_155)
    config = SimConfig(cash=Decimal(995_000), positions={"AAPL": (Decimal(100), Decimal(150))})
    market = Simulator(open_source(str(tmp_path)), config, at(date(2025, 5, 12), "15:00"))
    with ThreadedTwsServer(market) as server:
        yield server


def test_the_sample_over_the_wire(aapl_at_155: ThreadedTwsServer, tmp_path: Path) -> None:
    done = tracker("--port", str(aapl_at_155.port), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == SAMPLE
    assert set(aapl_at_155.simulator.counters) <= READ_MESSAGES


@pytest.mark.slow
def test_json_as_a_program_reads_it(aapl_at_155: ThreadedTwsServer, tmp_path: Path) -> None:
    done = tracker("--port", str(aapl_at_155.port), "--json", cwd=tmp_path)
    shown = json.loads(done.stdout)
    assert (shown["version"], shown["accounts"][0]["market_value"]) == (1, {"USD": 15500.0})


@pytest.mark.slow
def test_a_watch_shows_changes_only(capsys: pytest.CaptureFixture[str]) -> None:
    market = simulator(positions={"AAPL": (Decimal(100), Decimal(150))})
    # Ten simulated minutes pass in each second; TWS sends the values of an account every three.
    with ThreadedTwsServer(market, SimClock(market.now_ns, 600.0)) as server:
        assert main(["--port", str(server.port), "--watch", "--times", "2", "--json"]) == 0
    first, second = (json.loads(line)["accounts"] for line in capsys.readouterr().out.splitlines())
    assert first != second
    assert first[0]["positions"] == second[0]["positions"]


def test_sigterm_ends_a_watch_as_ctrl_c_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(text: str, options: object) -> None:
        print(text)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("quant_trading.core.portfolio_tracker._show", show)
    before = signal.getsignal(signal.SIGTERM)
    market = simulator(positions={"AAPL": (Decimal(100), Decimal(150))})
    with ThreadedTwsServer(market, SimClock(market.now_ns, 0.0)) as server:
        assert main(["--port", str(server.port), "--watch", "--json"]) == 0
    out, err = capsys.readouterr()
    assert (len(out.splitlines()), err) == (1, "")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--account", "DU1", "--all-accounts"], "--account and --all-accounts are both given"),
        (["--times", "2"], "together with --watch"),
        (["--port", "74a97"], "74a97"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from quant_trading.core.portfolio_tracker import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'numpy', 'pandas', 'numba', 'ib_async', 'pyarrow', 'pydantic', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "--all-accounts" in done.stdout
