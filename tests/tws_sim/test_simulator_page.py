"""What docs/simulator.md tells people to type works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from quant_trading.tools.capture import main as capture
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from tests.tws_sim.test_pytest_plugin import ROOT, run
from tests.tws_sim.test_server import START

pytest_plugins = ["pytester"]

PAGE = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
PROGRAMS = [block for block in BLOCKS if "7497" in block]
SUITES = [block for block in BLOCKS if "def test_" in block]


def test_every_block_is_one_or_the_other() -> None:
    assert (len(PROGRAMS), len(SUITES)) == (2, 1)
    assert len(BLOCKS) == len(PROGRAMS) + len(SUITES)


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_run_as_they_stand(program: str, tmp_path: Path) -> None:
    simulator = Simulator(open_source("seed:7"), SimConfig(), START)
    script = tmp_path / "program.py"
    with ThreadedTwsServer(simulator) as server:
        script.write_text(program.replace("7497", str(server.port)), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    numbers = [float(number) for number in re.findall(r"[0-9]+\.[0-9]+", done.stdout)]
    assert len(numbers) >= 2
    assert all(number > 0 for number in numbers)


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES)
def test_the_suite_passes_as_it_stands(suite: str, pytester: pytest.Pytester) -> None:
    run(pytester, suite).assert_outcomes(passed=suite.count("def test_"))


def test_the_options_it_names_exist(capsys: pytest.CaptureFixture[str]) -> None:
    from quant_trading.tools import sim

    known = ""
    for command in ([], ["record"], ["replay"], ["diff"]):
        with pytest.raises(SystemExit, match="0"):
            (sim.main if not command else capture)([*command, "--help"])
        known += capsys.readouterr().out
    known += (ROOT / "benchmarks" / "bench_simulator.py").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert sorted(option for option in named if option not in known) == []
