"""The doctor's command line: what it prints, its JSON and its exit codes, and that it changes nothing."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from quant_trading.core.diagnose_table import ACCOUNT_REFUSED, DIAGNOSES, NO_SESSION, Finding, Severity, found, is_fine
from quant_trading.tools import doctor
from quant_trading.tws_sim.server import ThreadedTwsServer
from tests.tools.checkouts import make_checkout

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout on a machine where nobody set anything, with TWS at a port where nothing listens."""
    for name in [*os.environ]:
        if name.startswith(("QT_", "IBKR_", "MACD_")) or name in ("TZ", "ACTIVE_STRATEGY"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(doctor, "CHECKOUT", make_checkout(tmp_path))
    return doctor.CHECKOUT


@pytest.fixture(autouse=True)
def lonely(monkeypatch: pytest.MonkeyPatch) -> None:
    """No well-known port of this machine is looked at, nor its disk: whatever is there is not the test's."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**12))

    async def nobody(*_: object) -> tuple[int, ...]:
        return ()

    monkeypatch.setattr("quant_trading.core.diagnose.probe_ports", nobody)
    monkeypatch.setattr("quant_trading.core.ibkr_connection.probe_ports", nobody)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = doctor.main([*words])
    return code, capsys.readouterr().out


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Run with --json; return the exit code and the findings by their check."""
    code, said = run(capsys, "--json", *words)
    answer = json.loads(said)
    assert set(answer) == {"format", "exit_code", "findings"}
    assert (answer["format"], answer["exit_code"]) == (1, code)
    for one in answer["findings"]:
        assert set(one) == {"check", "severity", "id", "seen", "expected", "cure"}
        if one["severity"] == "ok":
            assert (one["id"], one["expected"], one["cure"]) == (None, None, None)
        else:
            assert one["severity"] == DIAGNOSES[one["id"]].severity.value
            assert one["expected"]
            assert one["cure"]
    return code, {one["check"]: one for one in answer["findings"]}


def tree(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path.relative_to(folder)), path.stat().st_size) for path in folder.rglob("*"))


def test_a_bare_checkout_has_nothing_to_mend(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(checkout)
    code, said = run(capsys, "--no-tws")
    assert code == 0
    severities = {line.split()[0] for line in said.splitlines()}
    assert severities == {"ok", "note"}
    assert tree(checkout) == before


def test_no_session_is_exit_code_three(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, findings = asked(capsys)
    assert code == 3
    assert findings["TWS"]["id"] in NO_SESSION


def test_a_finding_has_its_expectation_and_its_cure_below(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "strategy.env").write_text("ACTIVE_STRATEGY=NOSUCH\n")
    code, said = run(capsys, "--no-tws")
    assert code == 1
    lines = said.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("bad   strategy.env"))
    assert "NOSUCH" in lines[at]
    assert lines[at + 1].split() == ["expected", *DIAGNOSES["strategy-wrong"].expected.split()]
    assert lines[at + 2].split() == ["cure", *DIAGNOSES["strategy-wrong"].cure.split()]


@pytest.fixture
def tws(request: pytest.FixtureRequest) -> Iterator[ThreadedTwsServer]:
    from tests.core.meddler import simulator

    with ThreadedTwsServer(simulator(**getattr(request, "param", {}))) as server:
        yield server


def test_a_running_tws_is_looked_at(checkout: Path, tws: ThreadedTwsServer, capsys: pytest.CaptureFixture[str]) -> None:
    _, findings = asked(capsys, "--port", str(tws.port))
    assert findings["TWS"]["seen"] == f"server version 178 at 127.0.0.1:{tws.port}, client id 18"
    assert findings["account"]["seen"] == "DU1234567 (paper)"
    assert findings["orders"]["severity"] == findings["history"]["severity"] == "ok"
    # The simulated clock stands on a Thursday; how far that is from today is none of the test's business.
    assert findings["clock"]["id"] in ("clock-skew", "clock-zone")


@pytest.mark.slow
@pytest.mark.parametrize("tws", [{"accounts": ("U1234567",)}], indirect=True)
def test_a_login_of_the_other_mode_is_exit_code_four(
    checkout: Path, tws: ThreadedTwsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    code, findings = asked(capsys, "--port", str(tws.port))
    assert code == 4
    assert findings["account"]["id"] == "account-live"
    code, findings = asked(capsys, "--port", str(tws.port), "--mode", "live")
    assert findings["account"]["severity"] == "ok"


@pytest.mark.slow
def test_the_options_reach_tws(checkout: Path, tws: ThreadedTwsServer, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--host", "127.0.0.1", "--port", str(tws.port), "--client-id", "77", "--symbol", "msft")
    _, findings = asked(capsys, *words)
    assert findings["TWS"]["seen"].endswith("client id 77")
    assert "MSFT" in findings["history"]["seen"]
    code, findings = asked(capsys, *words, "--account", "DU7654321")
    assert (code, findings["account"]["id"]) == (4, "account-not-managed")


def test_the_environment_names_the_port(
    checkout: Path, tws: ThreadedTwsServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / ".env").write_text(f"IBKR_PAPER_PORT={tws.port}\n")
    assert asked(capsys)[1]["TWS"]["severity"] == "ok"
    monkeypatch.setenv("IBKR_PAPER_PORT", "1")  # the environment stands above the file
    assert asked(capsys)[1]["TWS"]["seen"].startswith("127.0.0.1:1 ")
    monkeypatch.delenv("IBKR_PAPER_PORT")
    monkeypatch.setenv("QT_HOME", str(checkout.parent))  # where there is no .env
    assert asked(capsys)[0] == 3


def test_settings_that_cannot_be_read_leave_tws_alone(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, findings = asked(capsys, "--port", "74a97")
    assert code == 1
    assert findings["settings"]["id"] == "settings-wrong"
    assert "74a97" in findings["settings"]["seen"]
    assert findings["TWS"]["id"] == "tws-not-looked-for"


def test_without_time_zones_the_rest_is_still_told(checkout: Path) -> None:
    """The package of zones is hidden as well as those of the system, as on a bare Windows."""
    program = (
        "import sys; sys.modules['tzdata'] = None\n"
        "from pathlib import Path\n"
        "from quant_trading.tools import doctor\n"
        f"doctor.CHECKOUT = Path({str(checkout)!r})\n"
        "sys.exit(doctor.main(['--json']))\n"
    )
    environ = {**os.environ, "PYTHONTZPATH": ""}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environ, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    ids = [one["id"] for one in json.loads(done.stdout)["findings"] if one["severity"] != "ok"]
    assert "tzdata-none" in ids
    assert ids[-1] == "tws-not-looked-for"


def test_without_the_client_library_a_port_is_listened_to(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("quant_trading.core.diagnose", "ib_async"))]:
        if name != "quant_trading.core.diagnose_table":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ib_async", None)
    assert asked(capsys)[1]["TWS"]["id"] == "tws-not-running"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        _, findings = asked(capsys, "--port", str(port))
    assert (
        findings["TWS"]["seen"]
        == f"something listens at 127.0.0.1:{port}; more is not known, ib_async is not installed"
    )


def test_without_the_packages_the_rest_is_still_told(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("quant_trading.settings")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydantic", None)
    code, findings = asked(capsys)
    assert code == 0
    assert findings["settings"]["id"] == "settings-unread"
    assert findings["settings"]["seen"] == "not read, pydantic is not installed"
    assert findings["settings"]["cure"] == "start any ./desk command, such as ./desk demo: it installs them"
    assert findings["TWS"]["cure"] == "correct what is named above, then ask again"
    assert findings["disk"]["severity"] == "ok"


@pytest.mark.parametrize("words", [["--mode", "demo"], ["--nosuch"]])
def test_wrong_arguments_are_exit_code_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        doctor.main(words)
    assert left.value.code == 2
    assert words[-1] in capsys.readouterr().err


def test_the_help_loads_neither_the_client_nor_the_settings() -> None:
    program = (
        "import sys\n"
        "from quant_trading.tools import doctor\n"
        "try: doctor.parse(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'ib_async', 'pydantic', 'numpy', 'asyncio', 'pyarrow', 'numba', 'yaml'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--client-id" in done.stdout


# The exit code is a function of the findings alone.


def any_of(id: str) -> Finding:
    row = DIAGNOSES[id]
    return Finding(row.check, row.severity, "seen", id, "expected", "cure")


@pytest.mark.parametrize("id", sorted(DIAGNOSES))
def test_the_exit_code_of_every_diagnosis(id: str) -> None:
    code = doctor.exit_code([is_fine("python", "here"), any_of(id)])
    if DIAGNOSES[id].severity is Severity.NOTE:
        assert code == 0
    else:
        assert code == (3 if id in NO_SESSION else 4 if id in ACCOUNT_REFUSED else 1)


def test_no_session_goes_before_the_account_and_that_before_the_rest() -> None:
    assert doctor.exit_code([]) == 0
    assert doctor.exit_code([any_of("account-live"), any_of("tws-half-open"), any_of("disk-low")]) == 3
    assert doctor.exit_code([any_of("disk-low"), any_of("account-live")]) == 4
    assert doctor.exit_code([any_of("disk-low"), any_of("orders-not-tried")]) == 1


def test_what_was_seen_stays_on_one_line() -> None:
    assert found("tws-failed", "first\n  second").seen == "first second"


def test_a_reader_that_has_seen_enough_sees_no_traceback() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "quant_trading.tools.doctor", "--no-tws"]
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(write_end)
    assert done.stderr == ""
