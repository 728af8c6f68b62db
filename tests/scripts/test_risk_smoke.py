"""scripts/risk_smoke.py: the risk rules without a network, as a person starts it."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "scripts" / "risk_smoke.py"


def start(*arguments: str, folder: Path, script: Path = SCRIPT) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_it_shows_every_rule_and_ends_well_from_any_folder(tmp_path: Path) -> None:
    done = start(folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for rule in ("max_position", "max_gross_exposure", "order_form"):
        assert f"denied by {rule}" in done.stdout
    assert "WRONG" not in done.stdout
    assert done.stdout.splitlines()[-1] == "22 of 22 risk cases as expected"


OTHER_LIMITS = ("1, max_gross_exposure: 0.3", "0.35, max_gross_exposure: 0.9", "0.003, max_gross_exposure: 1")


@pytest.mark.parametrize(
    "limits",
    ["0.05, max_gross_exposure: 4", *(pytest.param(limits, marks=pytest.mark.slow) for limits in OTHER_LIMITS)],
)
def test_it_follows_the_configured_limits(tmp_path: Path, limits: str) -> None:
    config = tmp_path / "limits.yaml"
    config.write_text(f"risk: {{max_position_pct: {limits}}}\n")
    done = start("--config", str(config), folder=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_wrong_configuration_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    config = tmp_path / "limits.yaml"
    config.write_text("risk: {max_position_pct: 20}\n")
    done = start("--config", str(config), folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("risk.max_position_pct = 20 is not within (0, 1]; write 0.2 for 20 % (line 1)\n")
    assert done.stderr.count("\n") == 1


def test_a_rule_that_does_not_refuse_makes_it_fail(tmp_path: Path) -> None:
    """A copy of the script whose rules are made blind must end with exit code 1."""
    text = SCRIPT.read_text(encoding="utf-8").replace("parents[1]", f"parents[0] / {str(REPOSITORY)!r}")
    blind = text.replace("denied = check_order(case.intent, case.view, limits)", "denied = None")
    assert blind != text
    script = tmp_path / "blind.py"
    script.write_text(blind, encoding="utf-8")
    done = start(folder=tmp_path, script=script)
    assert done.returncode == 1
    assert "WRONG one share above the position limit: allowed, expected denied by max_position" in done.stdout


@pytest.mark.slow
def test_the_network_is_really_off(tmp_path: Path) -> None:
    text = SCRIPT.read_text(encoding="utf-8").replace("parents[1]", f"parents[0] / {str(REPOSITORY)!r}")
    script = tmp_path / "calls.py"
    script.write_text(
        text.replace("    try:\n", "    import socket\n    socket.create_connection(('127.0.0.1', 9))\n    try:\n", 1),
        encoding="utf-8",
    )
    done = start(folder=tmp_path, script=script)
    assert "risk_smoke works without a network, socket.getaddrinfo was tried" in done.stderr
