"""The connection: opens against a TWS, and says what is wrong with everything else."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from quant_trading.core.ibkr_connection import IBKRConnection
from quant_trading.domain.errors import AccountRefused, ConfigError, ConnectionFailed, ConnectionLost, UsageError
from quant_trading.tws_sim.server import ThreadedTwsServer
from tests.core.meddler import Fields, Meddler, Mute, simulator, virtual

ROOT = Path(__file__).resolve().parents[2]


def _connection(loop: asyncio.AbstractEventLoop, client_id: int = 100, **kwargs: object) -> IBKRConnection:
    return IBKRConnection(client_id, loop=loop, environ={}, **kwargs)  # type: ignore[arg-type]  # varied by tests


# Opening.


def test_a_session_opens_and_closes() -> None:
    with virtual(simulator()) as loop:
        connection = _connection(loop)
        assert connection.connect_to_tws() is True
        assert connection.is_connected
        assert (connection.account, connection.accounts) == ("DU1234567", ("DU1234567",))
        connection.disconnect_from_tws()
        connection.disconnect_from_tws()
        assert not connection.is_connected


def test_the_hook_runs_once_when_everything_is_there_and_may_ask_tws() -> None:
    seen = []

    class Mine(IBKRConnection):
        def on_connection_established(self) -> None:
            seen.append((self.is_connected, self.ib.reqCurrentTime().timestamp(), self.ib.managedAccounts()))

    with virtual(simulator()) as loop:
        mine = Mine(loop=loop, environ={})
        assert mine.connect_to_tws()
        mine.disconnect_from_tws()
    assert seen == [(True, 1795100400.0, ["DU1234567"])]  # 2026-11-19 15:00:00 UTC


def test_the_same_object_connects_again() -> None:
    with virtual(simulator()) as loop:
        connection = _connection(loop)
        for _ in range(3):
            assert connection.connect_to_tws()
            connection.disconnect_from_tws()


def test_two_connections_share_a_loop() -> None:
    with virtual(simulator()) as loop, _connection(loop, 5) as first, _connection(loop, 6) as second:
        assert first.ib.reqCurrentTime() == second.ib.reqCurrentTime()


def test_waiting_takes_the_loops_time() -> None:
    with virtual(simulator()) as loop, _connection(loop) as connection:
        before = loop.time()
        connection.wait(90.0)
        connection.ib.sleep(10.0)
        assert loop.time() - before == pytest.approx(100.0)


def test_over_a_real_socket_with_a_loop_of_its_own() -> None:
    with ThreadedTwsServer(simulator()) as server:
        connection = IBKRConnection(port=server.port, environ={})
        for _ in range(2):  # each session makes and closes its own loop; a leak would be a ResourceWarning
            assert connection.connect_to_tws()
            assert connection.ib.reqCurrentTime()
            connection.disconnect_from_tws()


# Settings.


def test_environment_and_constructor_say_where_to_connect() -> None:
    env = {"IBKR_HOST": "10.0.0.5", "IBKR_PAPER_PORT": "4002", "IBKR_CLIENT_ID": "31"}
    taken = IBKRConnection(environ=env)
    assert (taken.host, taken.port, taken.client_id) == ("10.0.0.5", 4002, 31)
    given = IBKRConnection(7, "127.0.0.1", 5000, environ=env)
    assert (given.host, given.port, given.client_id) == ("127.0.0.1", 5000, 7)
    plain = IBKRConnection(environ={})
    assert (plain.host, plain.port, plain.timeout_seconds) == ("127.0.0.1", 7497, 30.0)


@pytest.mark.parametrize(
    ("name", "value"), [("IBKR_PAPER_PORT", "0"), ("IBKR_PAPER_PORT", "x"), ("IBKR_CLIENT_ID", "-1")]
)
def test_a_setting_that_is_no_number_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: received '{value}'"):
        IBKRConnection(environ={name: value})


def test_a_env_file_in_the_current_folder_stands_below_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IBKR_HOST", "IBKR_PAPER_PORT", "IBKR_CLIENT_ID", "IBKR_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IBKR_CLIENT_ID", "")  # empty counts as not set
    monkeypatch.setenv("IBKR_HOST", "10.0.0.9")
    (tmp_path / ".env").write_text("IBKR_HOST=10.0.0.5\nIBKR_PAPER_PORT=4002 # Gateway\nIBKR_CLIENT_ID='31'\n")
    taken = IBKRConnection()
    assert (taken.host, taken.port, taken.client_id) == ("10.0.0.9", 4002, 31)
    assert IBKRConnection(7, "127.0.0.1", 5000).client_id == 7
    assert IBKRConnection(environ={}).port == 7497  # who names the environment gets no other
    (tmp_path / ".env").write_text("IBKR_PAPER_PORT\n")
    with pytest.raises(ConfigError, match=r"\.env: line 1 is not NAME=value"):
        IBKRConnection()


# Failing.


def test_a_server_that_never_answers_is_given_up_after_exactly_thirty_seconds() -> None:
    with virtual(Mute()) as loop:
        with pytest.raises(ConnectionFailed, match=r"said nothing within 30 s") as failed:
            _connection(loop).open()
        assert loop.time() == pytest.approx(30.0, abs=1e-3)
    assert "[ok] Port 7497 is available" in str(failed.value)


def test_a_real_socket_that_never_answers(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = IBKRConnection(port=server.getsockname()[1], timeout_seconds=0.2, environ={})
        assert connection.connect_to_tws() is False
    assert "said nothing within 0.2 s" in caplog.text


def test_a_refused_port_is_told_with_the_six_points(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with caplog.at_level(logging.ERROR):
        assert IBKRConnection(port=port, environ={}).connect_to_tws() is False
    lines = caplog.messages[0].splitlines()
    assert lines[0].startswith(f"127.0.0.1:{port} refused the connection; start TWS")
    assert [line[:5] for line in lines[1:]] == [f"  {n}. " for n in range(1, 7)]


def test_another_port_that_listens_is_named() -> None:
    with virtual(simulator()) as loop:
        loop.listen("127.0.0.1", 7496, simulator())
        loop.stop_listening("127.0.0.1", 7497)
        with pytest.raises(ConnectionFailed, match=r"something listens on 7496 \(TWS live\)"):
            _connection(loop).open()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_a_server_that_is_no_tws_is_told_at_once(answer: bytes) -> None:
    with virtual(Mute(answer)) as loop:
        with pytest.raises(ConnectionFailed, match=r"is not TWS.*it began with b'(HTTP|SSH)"):
            _connection(loop).open()
        assert loop.time() < 1.5


def test_a_server_that_hangs_up_on_the_handshake_is_told_at_once() -> None:
    with virtual(Mute(closes=True)) as loop:
        with pytest.raises(ConnectionFailed, match="during the handshake; allow this machine"):
            _connection(loop).open()
        assert loop.time() < 1.5


@pytest.mark.expects_client_errors
def test_a_client_id_in_use_is_told_at_once_and_no_other_is_tried() -> None:
    market = simulator()
    with virtual(market) as loop, _connection(loop, 12):
        with pytest.raises(ConnectionFailed, match="client id 12 is in use") as failed:
            _connection(loop, 12).open()
        assert loop.time() < 1.5
        assert market.counters["startApi"] == 2
    assert "[failed] Each script uses a different client ID" in str(failed.value)
    assert "[failed] No other API connections are occupying TWS" in str(failed.value)


@pytest.mark.parametrize(
    ("end_id", "name"),
    [
        ("54", "account updates"),
        ("62", "positions"),
        ("53", "open orders"),
        ("102", "completed orders"),
        ("55", "executions"),
    ],
)
def test_an_answer_that_never_ends_is_named_after_thirty_seconds(end_id: str, name: str) -> None:
    peer = Meddler(simulator())
    peer.edit = lambda fields: [] if fields[0] == end_id else [fields]
    with virtual(peer) as loop:
        with pytest.raises(ConnectionFailed, match=f"never finished sending {name}(, executions)? within 30 s"):
            _connection(loop).open()
        assert loop.time() == pytest.approx(30.0, abs=1e-3)


def test_a_login_that_has_not_finished_is_told() -> None:
    peer = Meddler(simulator())
    peer.edit = lambda fields: [] if fields[0] in ("9", "15") else [fields]
    with virtual(peer) as loop, pytest.raises(ConnectionFailed, match="named no account or order number within 30 s"):
        _connection(loop).open()


def test_a_tws_that_hangs_up_before_the_session_is_open_is_told() -> None:
    peer = Meddler(simulator())

    def edit(fields: Fields) -> list[Fields]:
        if fields[0] == "15":
            peer.hang_up()
            return []
        return [fields]

    peer.edit = edit
    with virtual(peer) as loop:
        with pytest.raises(ConnectionFailed, match="before the session was open"):
            _connection(loop).open()
        assert loop.time() < 1.5


def test_an_account_that_is_not_managed_is_refused_by_name() -> None:
    with virtual(simulator()) as loop, pytest.raises(ConnectionFailed, match=r"DU9.*\(DU1234567\)"):
        _connection(loop, account="DU9").open()


def test_a_live_account_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    with virtual(simulator(accounts=("U1234567",))) as loop, _connection(loop):
        assert "U1234567 is a live account: orders sent through this connection are real" in caplog.text


# In use.


def test_a_broken_session_is_told_by_the_next_call() -> None:
    peer = Meddler(simulator())
    with virtual(peer) as loop, _connection(loop) as connection:
        peer.hang_up()
        with pytest.raises(ConnectionLost, match="no session"):
            connection.wait(1.0)
        assert not connection.is_connected


@pytest.mark.expects_client_errors
def test_a_stream_that_breaks_its_framing_ends_the_session() -> None:
    peer = Meddler(simulator())
    with virtual(peer) as loop, _connection(loop) as connection:
        for wire in peer._wires:
            wire.say((0xFFFFFFFF).to_bytes(4, "big") + b"x" * 100)
        with pytest.raises(ConnectionLost, match="claims 4294967295 bytes"):
            connection.wait(1.0)


@pytest.mark.expects_client_errors
def test_what_cannot_be_decoded_is_counted_for_this_session_only() -> None:
    peer = Meddler(simulator())
    with (
        virtual(peer) as loop,
        _connection(loop) as connection,
        virtual(simulator()) as other_loop,
        _connection(other_loop) as other,
    ):
        peer.say(("11", "-1", "7", "broken"), ("999", "what"))
        connection.wait(1.0)
        assert connection.undecodable_frames == 2
        assert other.undecodable_frames == 0


@pytest.mark.expects_client_errors
def test_lost_and_regained_connectivity_is_known() -> None:
    peer = Meddler(simulator())
    with virtual(peer) as loop, _connection(loop) as connection:
        peer.say(("4", "2", "-1", "1100", "Connectivity has been lost", ""))
        connection.wait(1.0)
        assert connection.connectivity_lost
        peer.say(("4", "2", "-1", "1102", "restored", ""))
        connection.wait(1.0)
        assert not connection.connectivity_lost
        assert peer.simulator.counters["reqAccountSummary"] == 0  # the library would ask for it unasked


def test_a_blocking_call_inside_a_running_loop_says_what_to_do() -> None:
    async def inside() -> None:
        IBKRConnection(environ={}).open()

    with pytest.raises(UsageError, match="inside a running event loop"):
        asyncio.run(inside())


def test_a_read_only_session_sends_no_order_message_whoever_asks() -> None:
    from ib_async import LimitOrder, Stock

    market = simulator()
    with virtual(market) as loop, _connection(loop, read_only=True) as connection:
        with pytest.raises(AccountRefused, match="placeOrder was refused"):
            connection.ib.placeOrder(Stock("AAPL", "SMART", "USD"), LimitOrder("BUY", 1, 1.0))
        with pytest.raises(AccountRefused, match="reqGlobalCancel was refused"):
            connection.ib.reqGlobalCancel()
        connection.wait(1.0)
    assert market.counters["placeOrder"] == 0
    assert market.counters["reqGlobalCancel"] == 0


# The specification's script, word for word.

SCRIPT = textwrap.dedent(
    """\
    from ibkr_connection import IBKRConnection

    class MyTrader(IBKRConnection):
        def on_connection_established(self):
            # Your custom logic here
            pass

    # Use it
    trader = MyTrader(client_id=123)
    if trader.connect_to_tws():
        # Do your work
        trader.disconnect_from_tws()
    """
)


def _run_script(text: str, port: int) -> "subprocess.CompletedProcess[str]":
    env = os.environ | {"IBKR_PAPER_PORT": str(port), "PYTHONPATH": str(ROOT), "IBKR_HOST": "127.0.0.1"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", text],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_the_specifications_script_runs_against_the_simulator() -> None:
    market = simulator()
    with ThreadedTwsServer(market) as server:
        done = _run_script(SCRIPT + "    print('worked as', trader.client_id)\n", server.port)
    assert (done.returncode, done.stdout, done.stderr) == (0, "worked as 123\n", "")
    assert market.counters["startApi"] == 1


@pytest.mark.slow
def test_the_specifications_script_without_tws_prints_the_list_and_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = _run_script(SCRIPT, port)
    assert done.returncode == 0
    assert "TWS is running and logged into Paper Trading account" in done.stderr
    assert "Traceback" not in done.stderr
