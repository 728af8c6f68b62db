"""The demonstration as a new user starts it: every step works, and no process outlives it."""

import csv
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quant_trading.tools import demo

ROOT = Path(__file__).resolve().parents[2]
STEPS = ["[1/5] ", "[2/5] ", "[3/5] ", "[4/5] ", "[5/5] "]

posix_only = pytest.mark.skipif(os.name != "posix", reason="other platform: process groups are looked at")


@contextmanager
def _demo(home: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Give the running demonstration, alone in a process group, and end whatever is left of it."""
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("IBKR_", "QT_"))}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "quant_trading.tools.demo", *arguments],
        cwd=home, env=kept | {"HOME": str(home), "PYTHONPATH": str(ROOT), "IBKR_PAPER_PORT": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        with process:
            yield process
    finally:
        if _is_alive(process):
            os.killpg(process.pid, signal.SIGKILL)


def _is_alive(process: "subprocess.Popen[str]") -> bool:
    """Return whether the demonstration or any process it started still runs."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _run(home: Path, *arguments: str) -> tuple[int, str, str]:
    with _demo(home, *arguments) as process:
        out, err = process.communicate(timeout=200)
        assert not _is_alive(process)
    return process.returncode, out, err


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _filled(folder: Path) -> list[tuple[str, str]]:
    """Return what was traded; the rows of the dry run have no price."""
    rows = [row for row in _rows(folder / "logs" / "live_trades.csv") if row["fill_price"]]
    assert all(float(row["fill_price"]) > 0 for row in rows)
    return [(row["symbol"], row["side"]) for row in rows]


@posix_only
@pytest.mark.slow
def test_the_demo_walks_through_five_steps_twice_into_one_folder(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "out"
    code, out, err = _run(home, "--out", str(folder))
    assert (code, err) == (0, "")
    assert re.findall(r"^\[\d/5\] ", out, re.MULTILINE) == STEPS
    assert "All steps done." in out
    assert "nothing is sent. A second rebalance on purpose takes --slot 2" in out
    assert len(_rows(folder / "backtest.csv")) == 250
    bought = [("SPY", "BUY"), ("QQQ", "BUY"), ("TLT", "BUY"), ("GLD", "BUY")]
    assert _filled(folder) == bought
    assert "Orders: 4 of 4 filled" in (folder / "logs" / "desk.log").read_text()
    assert list((folder / "state" / "DU1234567" / "journal").glob("*.journal"))
    assert "stopped; messages received" in (folder / "simulator.log").read_text()
    assert list(home.iterdir()) == []  # everything is below the folder that was named

    code, out, err = _run(home, "--out", str(folder))
    assert (code, err) == (0, "")
    assert "Orders: 4 of 4 filled" in out
    assert _filled(folder) == bought + bought


def _started(folder: Path) -> bool:
    return (folder / "simulator.port").exists()


def _trading(folder: Path) -> bool:
    return (folder / "logs" / "desk.log").exists()


@posix_only
@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("moment", [Path.exists, _started, _trading], ids=["starting", "started", "trading"])
def test_an_interrupted_demo_leaves_no_simulator_behind(
    tmp_path: Path, name: str, moment: Callable[[Path], bool]
) -> None:
    log = tmp_path / "out" / "simulator.log"
    with _demo(tmp_path / "home", "--out", str(tmp_path / "out")) as process:
        while not (log.exists() and moment(log.parent)):
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0.02)
        process.send_signal(getattr(signal, name))
        _, err = process.communicate(timeout=30)
        assert not _is_alive(process)
    assert process.returncode == 130
    assert err.endswith("interrupted: the simulator is stopped, and with it everything it held\n")


def _simulator(tmp_path: Path, moment: str = "2026-11-19 10:00") -> demo._Simulator:
    (tmp_path / "simulator.port").write_text("1\n")  # an earlier run's
    return demo._Simulator(7, moment, tmp_path)


@pytest.mark.slow
def test_the_port_of_an_earlier_run_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    simulator = _simulator(tmp_path)
    with simulator as port:
        assert port > 1
    assert simulator._process is not None and simulator._process.returncode is not None
    assert not (tmp_path / "simulator.port").exists()


def test_a_simulator_that_is_not_ready_in_time_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_START_SECONDS", 0.0)
    simulator = _simulator(tmp_path)
    with pytest.raises(demo._NotStarted, match="was not ready within 0 s"):
        simulator.__enter__()
    assert simulator._process is not None and simulator._process.returncode is not None


@pytest.mark.slow
def test_a_simulator_that_cannot_start_is_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(demo._NotStarted, match=r"exit code 2:\nerror: --now 'never' is no moment"):
        _simulator(tmp_path, "never").__enter__()


def test_every_run_into_a_folder_has_an_account_of_its_own(tmp_path: Path) -> None:
    assert demo._new_account(tmp_path) == "DU1234567"
    (tmp_path / "state" / "DU1234567").mkdir(parents=True)
    assert demo._new_account(tmp_path) == f"DU{1234567 + 1}"
