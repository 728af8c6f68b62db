"""`desk sim` with trouble and `desk sim ctl`, as a person types them, in processes of their own."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_trading.tools.sim import main as sim
from quant_trading.tools.sim_ctl import main as ctl

SIM = [sys.executable, "-m", "quant_trading.tools.sim"]


class Running:
    """A simulator in a process of its own, standing still on a Thursday at ten."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.file = folder / "control.json"
        command = [*SIM, "--port", "0", "--speed", "0", "--now", "2026-11-19 10:00", "--control-file", str(self.file)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, env=environment)
        self.lines: list[str] = []
        assert self.process.stdout is not None
        guard = threading.Timer(60, self.process.kill)
        guard.start()
        for line in self.process.stdout:
            self.lines.append(line)
            if "stop        Ctrl-C" in line:
                break
        guard.cancel()

    def ctl(self, *words: str) -> int:
        return ctl(["--control-file", str(self.file), *words])

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    simulator = Running(tmp_path, "--scenario", "M07_liquidation")
    yield simulator
    simulator.stop()
    assert not simulator.file.exists()


@pytest.mark.slow
def test_a_person_commands_a_running_simulator(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert any("trouble     M07_liquidation" in line for line in running.lines)
    assert running.ctl("status") == 0
    assert "20261119 10:00:00 US/Eastern" in capsys.readouterr().out
    # A minute later IBKR closes the position, as the scenario has it.
    assert running.ctl("advance", "61") == 0
    assert running.ctl("faults") == 0
    assert "liquidate 1" in capsys.readouterr().out
    assert running.ctl("lose-link", "30", "restore=1101") == 0
    assert running.ctl("fault", '{"when": "connect#1", "do": "drop"}') == 0
    assert running.ctl("log") == 0
    assert "fault lose_link (seconds 30, restore 1101)" in capsys.readouterr().out
    assert running.ctl("halt", "NONE") == 1
    assert "'NONE' is not in this market" in capsys.readouterr().err
    assert running.ctl("step", "1", "2") == 2
    assert "step has no place for '2'; it takes count" in capsys.readouterr().err


def test_no_simulator_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl(["--control-file", str(tmp_path / "none.json"), "status"]) == 2
    assert "is a simulator running there?" in capsys.readouterr().err
    stale = tmp_path / "stale.json"
    stale.write_text('{"port": 1, "token": "x"}', encoding="utf-8")
    assert sim(["ctl", "--control-file", str(stale), "status"]) == 3
    assert "no simulator answers on 127.0.0.1:1" in capsys.readouterr().err


def test_scenarios_are_listed_and_mistakes_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim(["--scenario", "list"]) == 0
    assert "F01_subscriptions_dead_after_1101" in capsys.readouterr().out
    assert sim(["--scenario", "nonsense"]) == 2
    assert "scenario 'nonsense': no such file" in capsys.readouterr().err
    assert sim(["--scenario", "W01", "--chaos", "3"]) == 2
    assert "write one of them" in capsys.readouterr().err
    assert sim(["--chaos", "-1"]) == 2
