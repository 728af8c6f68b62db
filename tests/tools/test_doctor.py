"""The doctor names what is missing together with the command that mends it, and changes nothing."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from quant_trading.tools import doctor
from quant_trading.tools.doctor import Finding, Verdict


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a lock and nothing else, on a machine where nobody set anything."""
    for name in [*os.environ]:
        if name.startswith(("QT_PYTHON_", "IBKR_")) or name in ("QT_SHARED", "QT_HOME"):
            monkeypatch.delenv(name)
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "constraints.txt").write_text(
        "# a head\n"
        "PyYAML==6.0.3\n"
        "numpy==2.4.6 ; python_full_version < '3.12'\n"
        "numpy==2.5.5 ; python_full_version >= '3.12'\n"
    )
    # A port that was free a moment ago, whatever runs on this machine.
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    (folder / "configs").mkdir()
    (folder / "configs" / "paper.yaml").write_text(f"ibkr:\n  port: {port}\n")
    return folder


def of(checkout: Path, what: str, environment: str = "") -> Finding:
    """Return the finding about `what`."""
    return next(finding for finding in doctor.examine(checkout, environment) if finding.what == what)


def put_package(checkout: Path, name: str, version: str) -> None:
    """Install a package that consists of its metadata."""
    folder = checkout / ".venv" / "lib" / "python3.11" / "site-packages" / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_a_bare_checkout_has_notes_but_nothing_bad(checkout: Path) -> None:
    assert {finding.verdict for finding in doctor.examine(checkout)} == {Verdict.OK, Verdict.NOTE}
    assert of(checkout, ".venv").text.startswith("not made yet")


@pytest.mark.parametrize("environment", sorted(doctor.ENVIRONMENT))
def test_every_state_of_the_environment_is_explained(checkout: Path, environment: str) -> None:
    finding = of(checkout, ".venv", environment)
    assert finding.text == doctor.ENVIRONMENT[environment]
    assert (finding.verdict is Verdict.OK) == (environment in ("ready", "unstamped"))


def test_packages_in_a_locked_version_are_fine(checkout: Path) -> None:
    put_package(checkout, "pyyaml", "6.0.3")
    put_package(checkout, "numpy", "2.5.5")
    put_package(checkout, "unrelated", "1.0")
    assert of(checkout, "packages") == Finding("packages", Verdict.OK, "2 installed, each in the locked version")


def test_a_package_in_another_version_is_named_with_the_cure(checkout: Path) -> None:
    put_package(checkout, "numpy", "2.3.0")
    finding = of(checkout, "packages")
    assert finding.verdict is Verdict.NOTE
    assert "numpy 2.3.0 (locked: 2.4.6 or 2.5.5)" in finding.text
    assert "pip install -r requirements.txt" in finding.text


def test_hooks_are_offered_until_they_are_on(checkout: Path) -> None:
    assert "git config core.hooksPath .githooks" in of(checkout, "git hooks").text
    subprocess.run(["git", "init", "-q", str(checkout)], check=True)
    assert of(checkout, "git hooks").verdict is Verdict.NOTE
    subprocess.run(["git", "-C", str(checkout), "config", "core.hooksPath", ".githooks"], check=True)
    assert of(checkout, "git hooks").verdict is Verdict.OK


def test_clients_are_found_by_variable_and_by_folder(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ".ci/run --clients" in of(checkout, "test client ibapi").text
    python = checkout / ".venvs" / "ibapi" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert of(checkout, "test client ibapi").verdict is Verdict.OK
    monkeypatch.setenv("QT_PYTHON_IBAPI", str(checkout / "gone"))
    assert of(checkout, "test client ibapi").verdict is Verdict.BAD


def test_shared_data_is_found_beside_the_checkout(checkout: Path) -> None:
    assert of(checkout, "test data").verdict is Verdict.NOTE
    (checkout.parent / "shared" / "market_data").mkdir(parents=True)
    assert of(checkout, "test data").verdict is Verdict.OK


def test_tws_is_heard_when_something_listens(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = of(checkout, "TWS")
    assert finding.verdict is Verdict.NOTE
    assert "Enable ActiveX and Socket Clients" in finding.text
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("IBKR_PAPER_PORT", str(server.getsockname()[1]))
        assert of(checkout, "TWS").verdict is Verdict.OK


def test_tws_is_looked_for_where_the_env_file_says(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert of(checkout, "settings").verdict is Verdict.NOTE
    with socket.create_server(("127.0.0.1", 0)) as server:
        (checkout / ".env").write_text(f"IBKR_PAPER_PORT={server.getsockname()[1]}\n")
        assert of(checkout, "settings").verdict is Verdict.OK
        assert of(checkout, "TWS").verdict is Verdict.OK
        monkeypatch.setenv("IBKR_PAPER_PORT", "1")  # the environment stands above the file
        assert "127.0.0.1:1 " in of(checkout, "TWS").text
        monkeypatch.delenv("IBKR_PAPER_PORT")
        monkeypatch.setenv("QT_HOME", str(checkout.parent))  # where there is no .env
        assert of(checkout, "TWS").verdict is Verdict.NOTE


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_port_that_is_none_is_bad(checkout: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    if place == ".env":
        (checkout / ".env").write_text("IBKR_PAPER_PORT=74a97\n")
    else:
        monkeypatch.setenv("IBKR_PAPER_PORT", "74a97")
    finding = of(checkout, "settings")
    assert finding.verdict is Verdict.BAD
    assert finding.text.startswith(f"{place}: IBKR_PAPER_PORT = 74a97 ")
    assert of(checkout, "TWS").text.startswith("not looked for")


def test_without_the_packages_the_rest_is_still_told(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("quant_trading.settings")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydantic", None)
    finding = of(checkout, "settings")
    assert (finding.verdict, finding.text) == (
        Verdict.NOTE, "not read, pydantic is not installed: the next ./desk start installs it"
    )  # fmt: skip
    assert of(checkout, "TWS").verdict is Verdict.NOTE


def test_the_exit_code_tells_whether_anything_is_bad(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "CHECKOUT", checkout)
    assert doctor.main([]) == 0
    monkeypatch.setenv("QT_PYTHON_IBAPI", str(checkout / "gone"))
    assert doctor.main([]) == 1
    assert "bad   test client ibapi" in capsys.readouterr().out
