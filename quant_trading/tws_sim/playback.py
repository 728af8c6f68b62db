"""Recorded sessions played again: the client's side to a simulator or a port, the server's side to a client.

All of them return what happened this time, as a transcript to be compared with the recorded one.
"""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.player import Player
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.transcript import Direction, Record, Transcript

__all__ = ["ServerPlayback", "play_to_port", "play_to_simulator", "replay_to_port", "serve_playback"]

_CHUNK = 1 << 18


def _merged(players: list[Player]) -> Transcript:
    records: list[Record] = [record for player in players for record in player.heard]
    return Transcript(tuple(sorted(records, key=lambda record: record.at_us)))


def _first(players: list[Player]) -> tuple[int, Player] | None:
    """Return the player that acts next in the recording, and when; None when all are done."""
    waiting = [(at_us, player) for player in players if (at_us := player.next_at_us()) is not None]
    return min(waiting, key=lambda one: one[0]) if waiting else None


def play_to_simulator(transcript: Transcript, simulator: Simulator, speed: float = 0.0) -> Transcript:
    """Play the clients of a transcript to a simulator in this process.

    Args:
        speed: simulated seconds that pass in a second of the recording; 0 for a market that stood still.
    """
    start_ns = simulator.now_ns
    players = [Player(records, Direction.CLIENT) for records in transcript.connections().values()]
    sessions: dict[Player, Session] = {}

    def exchange(now_us: int) -> None:
        for player, session in sessions.items():
            while data := player.data_to_send():
                session.receive(data)
            if data := session.data_to_send():
                player.receive(data, now_us)
            if player.hangs_up and not session.is_closed:
                session.receive_eof()

    while (turn := _first(players)) is not None:
        at_us, player = turn
        simulator.advance_to(start_ns + round(at_us * 1000 * speed))
        if player not in sessions:
            sessions[player] = simulator.connect()
        exchange(at_us)
        player.play_until(at_us, at_us)
        exchange(at_us)
        if player.next_at_us() == at_us:
            # Time stands while it waits: what it waits for will not come any more.
            player.go_on()
            exchange(at_us)
    end_us = max((record.at_us for record in transcript.records), default=0)
    simulator.advance_to(start_ns + round(end_us * 1000 * speed))
    exchange(end_us)
    return _merged(players)


class _PortClient:
    """One recorded client on a socket of its own."""

    def __init__(self, player: Player, now_us: Callable[[], int], news: asyncio.Event) -> None:
        self.player = player
        self._now_us = now_us
        self._news = news
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self.is_over = False

    async def open(self, host: str, port: int) -> None:
        reader, self._writer = await asyncio.open_connection(host, port)
        self._task = asyncio.get_running_loop().create_task(self._read(reader))

    @property
    def is_open(self) -> bool:
        return self._writer is not None

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(_CHUNK):
                    self.player.receive(data, self._now_us())
                    self.flush()
                    self._news.set()
        finally:
            self.is_over = True
            self._news.set()

    def flush(self) -> None:
        """Send what the player has to say."""
        data = self.player.data_to_send()
        if self._writer is not None and not self._writer.is_closing():
            if data:
                self._writer.write(data)
            if self.player.hangs_up:
                self._writer.close()

    async def close(self) -> None:
        """Hang up.

        Raises:
            ReplayRefused: when the player refused to go on.
        """
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()
        if self._task is not None:
            await self._task


async def play_to_port(
    transcript: Transcript, host: str, port: int, *, speed: float = 0.0, patience_seconds: float = 2.0
) -> Transcript:
    """Play the clients of a transcript to a server, a simulator's or another one's.

    Args:
        speed: seconds of the recording in a second; 0 goes on as soon as the answers are there.
        patience_seconds: how long an answer of the recording is waited for before going on without it.

    Raises:
        OSError: when the server cannot be reached.
        ReplayRefused: when orders would go to an account that is not a paper account.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    news = asyncio.Event()

    def now_us() -> int:
        return round((loop.time() - began) * 1_000_000)

    clients = {
        player: _PortClient(player, now_us, news)
        for player in (Player(records, Direction.CLIENT) for records in transcript.connections().values())
    }
    players = list(clients)

    async def has_news(seconds: float) -> bool:
        news.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), seconds)
            return True
        return False

    try:
        while (turn := _first([player for player in players if not clients[player].is_over])) is not None:
            at_us, player = turn
            client = clients[player]
            ahead = at_us / 1_000_000 / speed - (loop.time() - began) if speed else 0.0
            if ahead > 0:
                await has_news(ahead)
                continue
            if not client.is_open:
                await client.open(host, port)
            player.play_until(at_us, now_us())
            client.flush()
            if player.next_at_us() == at_us and not await has_news(patience_seconds):
                player.go_on()
                client.flush()
        # The last answers, and what comes on top of them.
        while any(not (player.is_done or clients[player].is_over) for player in players):
            if not await has_news(patience_seconds):
                break
    finally:
        for client in clients.values():
            await client.close()
    return _merged(players)


class ServerPlayback:
    """`async with ServerPlayback(transcript) as server:` plays the server's side to clients of `server.port`.

    The first client gets the first connection of the transcript, and so on; more clients are hung up on.
    """

    def __init__(
        self, transcript: Transcript, host: str = "127.0.0.1", port: int = 0, *, patience_seconds: float = 2.0
    ) -> None:
        """Prepare a server; an expected request is waited for `patience_seconds` at most."""
        self.host = host
        self.port = port
        self.players = [Player(records, Direction.SERVER) for records in transcript.connections().values()]
        self._patience = patience_seconds
        self._count = 0
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.is_over = asyncio.Event()
        self._last_us = max((record.at_us for record in transcript.records), default=0)

    async def __aenter__(self) -> Self:
        """Start to listen.

        Raises:
            OSError: when the address cannot be had.
        """
        self._listener = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up on everybody and free the port."""
        assert self._listener is not None
        self._listener.close()
        for writer in list(self._writers):
            writer.close()
        await self._listener.wait_closed()
        while self._writers:
            await asyncio.sleep(0)

    def heard(self) -> Transcript:
        """Return what happened so far."""
        return _merged(self.players)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        number, self._count = self._count, self._count + 1
        try:
            if number < len(self.players):
                await self._play(self.players[number], reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()
            self._writers.discard(writer)
            if self._count >= len(self.players) and not self._writers:
                self.is_over.set()

    async def _play(self, player: Player, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        player.play_until(self._last_us)
        began = asyncio.get_running_loop().time()
        while not player.hangs_up:
            writer.write(player.data_to_send())
            await writer.drain()
            try:
                data = await asyncio.wait_for(reader.read(_CHUNK), self._patience)
            except TimeoutError:
                # A client may be silent as long as it likes when nothing is expected of it.
                player.go_on()
                continue
            if not data:
                return
            player.receive(data, round((asyncio.get_running_loop().time() - began) * 1_000_000))
        writer.write(player.data_to_send())
        await writer.drain()


def replay_to_port(
    transcript: Transcript, host: str, port: int, *, speed: float = 0.0, patience_seconds: float = 2.0
) -> Transcript:
    """Do what `play_to_port` does, for callers without an event loop."""
    return asyncio.run(play_to_port(transcript, host, port, speed=speed, patience_seconds=patience_seconds))


def serve_playback(
    transcript: Transcript, host: str, port: int, on_ready: Callable[[int], None], *, patience_seconds: float = 2.0
) -> Transcript:
    """Play the server's side until every recorded client has come and gone, or Ctrl-C; return what happened.

    Raises:
        OSError: when the address cannot be had.
    """
    server = ServerPlayback(transcript, host, port, patience_seconds=patience_seconds)

    async def run() -> None:
        async with server:
            on_ready(server.port)
            await server.is_over.wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())
    return server.heard()
