"""`desk sim` as a person runs it: start, banner, clients, stop, and what goes wrong."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quant_trading.tools.sim import main
from quant_trading.tws_sim.wire import encode_frame
from tests.tws_sim.raw_client import hello

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-W", "error", "-m", "quant_trading.tools.sim"]


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], int, list[str]]]:
    """Start the command on a free port; give the process, the port and the start-up block."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        block = [process.stdout.readline().rstrip() for _ in range(8)]
        yield process, int(block[1].rpartition(":")[2]), block
    finally:
        process.kill()
        process.communicate()


def test_it_serves_until_it_is_stopped_and_counts_what_came() -> None:
    with running("--source", "seed:7", "--now", "2026-11-19 10:00", "--speed", "0") as (process, port, block):
        assert block[0].startswith("TWS in a box")
        assert block[2].split() == ["source", "seed:7"]
        assert block[3].split(maxsplit=1)[1] == "20261119 10:00:00 US/Eastern, speed 0"
        assert "DU1234567, 1,000,000 USD" in block[4]
        assert f"ib.connect('127.0.0.1', {port}, clientId=1)" in block[5]
        assert block[6].split(maxsplit=1) == ["control", f"./desk sim ctl --port {port} status"]

        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(hello())
            assert b"178" in client.recv(100)
            client.sendall(encode_frame(["71", "2", "5", ""]))
            assert b"DU1234567" in client.recv(1000)
            assert process.stdout is not None
            assert "client 5 connected, server version 178" in process.stdout.readline()
        assert "client 5 disconnected" in process.stdout.readline()
        process.terminate()
        rest, errors = process.communicate(timeout=20)

    assert process.returncode == 0
    assert rest.splitlines()[-1] == "stopped; messages received: startApi 1"
    assert errors == ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="other platform: Ctrl-C cannot be sent to one process")
def test_ctrl_c_stops_it_too() -> None:
    with running("--now", "2026-11-19 10:00", "--read-only") as (process, _, block):
        assert block[4].endswith("read-only")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[0].splitlines() == ["stopped; messages received: none"]

    assert process.returncode == 0


def test_a_port_in_use_is_one_line_with_the_cure_and_exit_3(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 3

    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: 127.0.0.1:{port} cannot be used")
    assert "choose another --port" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--source", "nowhere"], "no such file or folder"),
        (["--source", "seed:x"], "is not a seed"),
        (["--now", "soon"], "--now 'soon' is no moment; write \"2026-11-19 10:00\""),
        (["--now", "2099-01-05 10:00"], "is outside the table of XNYS sessions"),
        (["--speed", "-1"], "--speed: speed = -1.0 is not 0 or above"),
        (["--cash", "much"], "--cash 'much' is not an amount"),
        (["--commissions", "free"], "commissions = 'free' is unknown"),
        (["--reject", "AAPL"], "is not SYM:CODE"),
        (["--reject", "AAPL:999"], "has no words of its own"),
        (["--reject", "NOSUCH:201"], "symbol 'NOSUCH' is not in this market"),
        (["--account", "DU1", "--account", "DU1"], "names one twice"),
        (["--port", "70000"], "--port 70000 is not within 0..65535"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--port", "0", *arguments]) == 2

    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from quant_trading.tools.sim import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'numpy', 'pandas', 'numba', 'ib_async', 'asyncio', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)

    assert done.returncode == 0, done.stderr
    assert "--source" in done.stdout
