"""The proxy passes bytes, ends and resets on as they are, and writes all of it down."""

import asyncio
import contextlib
import io
import socket
from collections.abc import Awaitable, Callable

import pytest

from quant_trading.tws_sim.proxy import RecordingProxy, TranscriptFile
from quant_trading.tws_sim.transcript import Direction, Transcript, parse_transcript, wire_bytes
from tests.tws_sim.raw_client import hello

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def proxied(handler: Handler, script: Callable[[int], Awaitable[None]], file: io.StringIO) -> None:
    """Run `script(port of the proxy)` in front of a server; `file` takes what is written down."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        with TranscriptFile(file) as out:
            async with RecordingProxy(out, server.sockets[0].getsockname()[:2]) as proxy:
                await asyncio.wait_for(script(proxy.port), 20)
    finally:
        server.close()
        await server.wait_closed()
        # The handlers of the server learn of their ends in the next turns.
        for _ in range(5):
            await asyncio.sleep(0)


def recorded(handler: Handler, script: Callable[[int], Awaitable[None]]) -> Transcript:
    file = io.StringIO()
    asyncio.run(proxied(handler, script, file))
    return parse_transcript(file.getvalue())


def closing(transcript: Transcript) -> tuple[str, str]:
    [record] = [record for record in transcript.records if record.name == "closed"]
    return record.get("by"), record.get("how")


def passed(transcript: Transcript, direction: Direction) -> bytes:
    return b"".join(wire_bytes(record) for record in transcript.records if record.direction is direction)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say back what comes until the client ends."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say that nothing more comes, and wait until the other side says so too."""
    writer.write_eof()
    assert await reader.read(-1) == b""
    writer.close()
    await writer.wait_closed()


def test_bytes_pass_both_ways_and_the_clients_end_is_the_end() -> None:
    data = hello() + bytes(range(256)) * 4000

    async def script(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.write_eof()
        # The other half stays open after the client's end: everything still comes back.
        assert await reader.read(-1) == data
        writer.close()
        await writer.wait_closed()

    transcript = recorded(echo, script)
    assert closing(transcript) == ("client", "end")
    assert passed(transcript, Direction.CLIENT) == data
    assert passed(transcript, Direction.SERVER) == data


def test_a_server_that_hangs_up_is_named() -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    async def script(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(hello())
        assert await reader.read(-1) == b""
        writer.close()
        await writer.wait_closed()

    assert closing(recorded(leave, script))[0] == "server"


def test_a_reset_stays_a_reset() -> None:
    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async def script(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"A")
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()

    assert closing(recorded(drop, script)) == ("server", "reset")


def test_no_server_is_a_reset_and_is_written_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[:2]

    async def run(file: io.StringIO) -> None:
        with TranscriptFile(file) as out:
            async with RecordingProxy(out, nobody) as proxy:
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                with pytest.raises(ConnectionResetError):
                    await asyncio.wait_for(reader.read(-1), 10)
                writer.close()
                with pytest.raises(ConnectionResetError):
                    await writer.wait_closed()

    file = io.StringIO()
    asyncio.run(run(file))
    assert closing(parse_transcript(file.getvalue())) == ("server", "refused")


def test_several_clients_have_numbers_of_their_own() -> None:
    async def script(port: int) -> None:
        links = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for number, (reader, writer) in enumerate(links):
            writer.write(bytes([65 + number]) * 3)
            assert await reader.readexactly(3) == bytes([65 + number]) * 3
        for reader, writer in links:
            await end(reader, writer)

    transcript = recorded(echo, script)
    for number, records in transcript.connections().items():
        assert b"".join(r.payload for r in records if r.direction is Direction.CLIENT) == bytes([64 + number]) * 3
    assert sorted(r.connection for r in transcript.records if r.name == "closed") == [1, 2, 3]


@pytest.mark.slow
def test_a_client_that_does_not_read_slows_the_server_down() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.read(1)
        with contextlib.suppress(ConnectionError):
            while sent < 2000:
                writer.write(b"\xff" * 65536)
                await writer.drain()
                sent += 1
        writer.close()

    async def script(port: int) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.sock_sendall(sock, b"A")
            before = -1
            # 131 MB are on their way; without backpressure they would all be taken.
            while sent != before:
                before = sent
                await asyncio.sleep(0.2)
            assert 0 < sent < 1000

    recorded(flood, script)


class _FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        if "opened" in text:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_full_disk_ends_the_record_not_the_session() -> None:
    async def script(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        await end(reader, writer)

    with pytest.raises(OSError, match="No space left"):
        asyncio.run(proxied(echo, script, _FullDisk()))
