"""`desk sim record`, `replay` and `diff`: what a person types, what is answered."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quant_trading.tools import sim
from quant_trading.tools.capture import main
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.transcript import parse_transcript
from tests.tws_sim.test_server import log_on, market

ROOT = Path(__file__).resolve().parents[2]
SESSION = """# tws-transcript 1
0.000001 > 1 hello text=v157..178
0.000002 < 1 version serverVersion=178 time="20261119 10:00:00 EST"
0.000003 > 1 startApi version=2 clientId=1 optionalCapabilities=""
0.000004 < 1 managedAccounts version=1 accounts=DU0000001
0.000005 < 1 nextValidId version=1 orderId={next_id}
"""


@pytest.fixture
def session(tmp_path: Path) -> Path:
    path = tmp_path / "session.txt"
    path.write_text(SESSION.format(next_id=1))
    return path


def test_a_session_is_recorded_and_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "session.txt"
    command = [sys.executable, "-m", "quant_trading.tools.sim", "record", "--listen", "0", "--out", str(out)]
    with ThreadedTwsServer(market()) as server:
        command += ["--server", f"127.0.0.1:{server.port}"]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONWARNINGS": "error"}
        ) as proxy:
            assert proxy.stdout is not None
            ready = re.search(r"clients connect to 127\.0\.0\.1:([0-9]+)", proxy.stdout.readline())
            assert ready is not None

            class Through:
                port = int(ready[1])

            with log_on(Through, 1):  # type: ignore[arg-type]  # only its port is asked for
                pass
            with log_on(Through, 2):  # type: ignore[arg-type]
                pass
            proxy.send_signal(signal.SIGINT)
            words = proxy.stdout.read()
        assert proxy.returncode == 0
    assert words == f"recorded 2 connections in {out}\n"
    transcript = parse_transcript(out.read_text())
    assert [record.name for record in transcript.connections()[2]][3:6] == [
        "startApi",
        "managedAccounts",
        "nextValidId",
    ]

    with ThreadedTwsServer(market()) as server:
        assert sim.main(["replay", str(out), "--server", f"127.0.0.1:{server.port}", "--out", str(out) + ".2"]) == 0
        assert "no differences in" in capsys.readouterr().out
        # A second time the client ids are the same and the ids of the orders still are.
        assert sim.main(["replay", str(out), "--server", f"127.0.0.1:{server.port}"]) == 0
    assert sim.main(["diff", str(out), str(out) + ".2"]) == 0
    assert sim.main(["diff", "--strict", str(out), str(out)]) == 0


def test_differences_are_shown_and_rules_leave_them_out(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = session.with_name("other.txt")
    other.write_text(SESSION.format(next_id=7))
    assert main(["diff", str(session), str(other)]) == 1
    assert capsys.readouterr().out == (
        "connection 1 < message 3 nextValidId: orderId 1 -> 7\n1 difference in 5 lines\n"
    )
    assert main(["diff", str(session), str(other), "--ignore", "next*.orderId"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["replay", "{file}"], 2, "replay needs one of --server (play the clients) and --listen (play the server)"),
        (["replay", "{file}", "--server", "here"], 2, "--server 'here' is no address; write 127.0.0.1:7497"),
        (["replay", "{file}", "--server", "1:2", "--patience", "0"], 2, "--patience must be positive"),
        (["replay", "{file}", "--server", "127.0.0.1:1"], 3, "127.0.0.1:1 cannot be used"),
        (["replay", "gone.txt", "--server", "127.0.0.1:1"], 2, "gone.txt cannot be read: No such file"),
        (["diff", "{file}", "{garbage}"], 2, "garbage.txt:1: expected '# tws-transcript 1', received 'x'"),
        (["diff", "{file}", "{picture}"], 2, "picture.png is no transcript"),
        (["record", "--server", "127.0.0.1:1", "--out", "{folder}"], 2, "cannot be written"),
        (["record", "--server", "127.0.0.1:99999", "--out", "-"], 2, "is no address"),
    ],
)
def test_what_cannot_be_done_is_said_on_one_line(
    session: Path, arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    garbage, picture = session.with_name("garbage.txt"), session.with_name("picture.png")
    garbage.write_text("x\n")
    picture.write_bytes(b"\x89PNG")
    places = {"file": session, "garbage": garbage, "picture": picture, "folder": session.parent}
    assert main([argument.format_map(places) for argument in arguments]) == code
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line
