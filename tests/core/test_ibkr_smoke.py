"""The smoke script: tells whether the API can be used, and never sends an order."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from quant_trading.tws_sim.server import ThreadedTwsServer
from tests.core.meddler import simulator

ROOT = Path(__file__).resolve().parents[2]


def _smoke(*arguments: str, cwd: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    env = {name: value for name, value in os.environ.items() if not name.startswith("IBKR_")}
    env |= {"QT_HOME": str(cwd), **environ}  # not this checkout's own .env
    arguments = ("--config", str(ROOT / "configs" / "paper.yaml"), *arguments)
    return subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", str(ROOT / "scripts" / "ibkr_smoke.py"), *arguments],
        env=env, cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_against_a_tws_it_reports_and_sends_no_order(tmp_path: Path) -> None:
    market = simulator()
    with ThreadedTwsServer(market) as server:
        done = _smoke("--port", str(server.port), cwd=tmp_path)
        again = _smoke("--port", str(server.port), "--client-id", "77", cwd=tmp_path)
    assert (done.returncode, again.returncode, done.stderr) == (0, 0, "")
    assert "DU1234567 (paper)" in done.stdout
    assert "2026-11-19 15:00:00 UTC" in done.stdout
    assert "Equity         1,000,000.00 USD" in done.stdout
    assert "5 daily bars of SPY" in done.stdout
    assert done.stdout.endswith("OK: the API can be used. No order was sent.\n")
    assert market.counters["placeOrder"] == 0
    assert {"reqCurrentTime", "reqPositions", "reqHistoricalData"} <= set(market.counters)


@pytest.mark.slow
def test_where_to_connect_comes_from_command_line_environment_env_file_and_yaml(tmp_path: Path) -> None:
    market = simulator()
    with ThreadedTwsServer(market) as server:
        port = str(server.port)
        (tmp_path / ".env").write_text(f"IBKR_PAPER_PORT={port}\nIBKR_CLIENT_ID=78\n")
        from_file = _smoke(cwd=tmp_path)
        above_file = _smoke(cwd=tmp_path, IBKR_PAPER_PORT="1")
        above_environment = _smoke("--port", port, cwd=tmp_path, IBKR_PAPER_PORT="1")
        (tmp_path / ".env").unlink()
        config = tmp_path / "mine.yaml"
        config.write_text(f"ibkr:\n  port: {port}\n")
        from_yaml = _smoke("--config", "mine.yaml", cwd=tmp_path)
    assert (from_file.returncode, above_environment.returncode, from_yaml.returncode) == (0, 0, 0), from_file.stdout
    assert above_file.returncode == 3
    assert "127.0.0.1:1 refused" in above_file.stdout


@pytest.mark.slow
def test_a_setting_that_cannot_be_read_is_named_and_returns_2(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("IBKR_PAPER_PORT=74a97\n")
    done = _smoke(cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("FAILED: .env: IBKR_PAPER_PORT = 74a97 ")


@pytest.mark.slow
def test_without_tws_it_says_why_and_returns_3(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = _smoke("--port", str(port), cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout.startswith(f"FAILED: 127.0.0.1:{port} refused the connection; start TWS")
    assert "  6. " in done.stdout


@pytest.mark.slow
def test_a_live_account_in_paper_mode_is_refused_with_4(tmp_path: Path) -> None:
    market = simulator(accounts=("U1234567",))
    with ThreadedTwsServer(market) as server:
        done = _smoke("--port", str(server.port), cwd=tmp_path)
    assert done.returncode == 4
    assert "U1234567" in done.stdout
    assert market.counters["reqPositions"] == 0


def test_help_does_not_load_the_client_library(tmp_path: Path) -> None:
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['ibkr_smoke.py', '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'scripts' / 'ibkr_smoke.py')!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "assert not {'ib_async', 'numpy', 'asyncio', 'pydantic', 'yaml'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--client-id" in done.stdout
