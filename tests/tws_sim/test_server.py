"""The TCP server: real sockets, several clients, clean ends."""

import asyncio
import socket
import threading
from datetime import date

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.server import ThreadedTwsServer, TwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.wire import encode_frame
from tests.tws_sim.raw_client import hello, split_answers
from tests.tws_sim.step_tape import StepTape

START = at(date(2026, 11, 19), "10:00")


def market() -> Simulator:
    return Simulator(StepTape({"ACME": [(START, "10.00")]}), SimConfig(), START)


def read_messages(sock: socket.socket, count: int) -> list[tuple[str, ...]]:
    """Return `count` messages from the socket."""
    data = b""
    while True:
        messages = split_answers(data)
        if len(messages) >= count:
            return messages
        chunk = sock.recv(65536)
        assert chunk, f"the server hung up after {messages}"
        data += chunk


def log_on(server: ThreadedTwsServer, client_id: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    for byte in hello():
        sock.sendall(bytes([byte]))
    assert read_messages(sock, 1)[0][0] == "178"
    sock.sendall(encode_frame(["71", "2", str(client_id), ""]))
    assert [message[0] for message in read_messages(sock, 5)] == ["15", "9", "4", "4", "4"]
    return sock


def test_several_clients_are_served_at_once() -> None:
    with ThreadedTwsServer(market()) as server, log_on(server, 1) as one, log_on(server, 2) as two:
        for sock in (two, one):
            sock.sendall(encode_frame(["49", "1"]))
            assert read_messages(sock, 1) == [("49", "1", str(START // 1_000_000_000))]
        assert server.call(lambda simulator: simulator.counters["reqCurrentTime"]) == 2


def test_garbage_is_hung_up_on_and_harms_nobody() -> None:
    with ThreadedTwsServer(market()) as server, log_on(server, 1) as good:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as bad:
            bad.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert bad.recv(100) == b""
        good.sendall(encode_frame(["49", "1"]))
        assert read_messages(good, 1)[0][0] == "49"


def test_time_moves_when_it_is_told_to_and_events_reach_the_client() -> None:
    with ThreadedTwsServer(market()) as server, log_on(server, 1) as sock:
        sock.sendall(encode_frame(["92", "5", "DU1234567", ""]))
        assert read_messages(sock, 1)[0][:2] == ("94", "5")
        server.advance_to(START + 2_000_000_000)
        assert [message[0] for message in read_messages(sock, 2)] == ["94", "94"]


def test_time_runs_by_itself_with_a_clock() -> None:
    with ThreadedTwsServer(market(), SimClock(START, speed=1000)) as server, log_on(server, 1) as sock:
        sock.sendall(encode_frame(["92", "5", "DU1234567", ""]))
        # Three more come in three simulated seconds, three milliseconds.
        assert len(read_messages(sock, 4)) >= 4


def test_a_port_in_use_is_an_error_of_the_caller() -> None:
    with ThreadedTwsServer(market()) as first:
        with pytest.raises(OSError), ThreadedTwsServer(market(), port=first.port):
            pytest.fail("two servers on one port")
        assert first.call(lambda simulator: simulator.now_ns) == START


def test_stopping_hangs_up_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with ThreadedTwsServer(market()) as server:
        sock = log_on(server, 1)
        assert threading.active_count() == before + 1
    assert sock.recv(100) == b""
    sock.close()
    assert threading.active_count() == before
    server.stop()


def test_the_server_runs_in_a_loop_of_the_callers() -> None:
    async def ask() -> bytes:
        async with TwsServer(market(), SimClock(START)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(hello())
            answer = await reader.readexactly(8)
            writer.close()
            await writer.wait_closed()
            return answer

    assert asyncio.run(ask())[4:] == b"178\0"


def gateway() -> Gateway:
    return Gateway(market())


def has_listener(port: int) -> bool:
    """Say whether somebody listens, by trying."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionRefusedError:
        return False
    return True


def wait_for_listener(server: ThreadedTwsServer) -> None:
    for _ in range(500):
        if has_listener(server.port):
            return
        server.call(lambda simulator: simulator.now_ns)  # a turn of the server's loop
    pytest.fail(f"port {server.port} did not open again")


def test_a_restart_closes_the_port_and_opens_it_again() -> None:
    tws = gateway()
    with ThreadedTwsServer(tws) as server, log_on(server, 5) as sock:
        server.call(lambda _: tws.restart(60))
        assert sock.recv(100) == b""
        server.call(lambda simulator: simulator.now_ns)
        assert not has_listener(server.port)
        server.advance_to(START + 61_000_000_000)
        wait_for_listener(server)
        log_on(server, 5).close()


def test_a_client_id_lingers_over_the_wire() -> None:
    tws = gateway()
    tws.do({"do": "linger", "seconds": 60})
    with ThreadedTwsServer(tws) as server:
        log_on(server, 5).close()
        for _ in range(500):
            if not server.call(lambda _: len(tws.sessions)):
                break
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
            sock.sendall(hello())
            read_messages(sock, 1)
            sock.sendall(encode_frame(["71", "2", "5", ""]))
            assert read_messages(sock, 1)[0][3] == "326"


@pytest.mark.slow
def test_chunks_over_the_wire_are_exact_multiples() -> None:
    tws = gateway()
    with ThreadedTwsServer(tws) as server, log_on(server, 5) as sock:
        server.call(lambda _: tws.do({"do": "chunk", "bytes": 64, "seconds": 1.5}))
        sock.sendall(encode_frame(["6", "2", "1", ""]))
        first = b""
        sock.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                first += sock.recv(65536)
        assert first
        assert len(first) % 64 == 0
        server.advance_to(START + 2_000_000_000)
        sock.settimeout(10)
        assert split_answers(first + sock.recv(65536))[-1][0] == "54"


def test_what_is_refused_by_number_is_reset() -> None:
    tws = gateway()
    tws.do({"do": "refuse", "times": 1})
    with ThreadedTwsServer(tws) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock, pytest.raises(OSError):
            sock.sendall(hello())
            if not sock.recv(100):
                raise ConnectionResetError
        log_on(server, 5).close()
