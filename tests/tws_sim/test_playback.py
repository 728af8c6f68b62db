"""Playback without a client library: time, several clients, a server that is silent or refuses."""

import asyncio
from datetime import date

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.differences import differences
from quant_trading.tws_sim.playback import ServerPlayback, play_to_port, play_to_simulator
from quant_trading.tws_sim.player import ReplayRefused
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.transcript import Direction, Record, Transcript, parse_transcript
from tests.tws_sim.test_server import market

START = at(date(2026, 11, 19), "10:00")
HEAD = "# tws-transcript 1\n"
TWO_CLIENTS = (
    HEAD
    + """
0.000000 * 1 opened
0.001000 > 1 hello text=v157..178
0.002000 > 1 startApi version=2 clientId=1 optionalCapabilities=""
0.003000 > 1 reqPnL reqId=5 account=DU1234567 modelCode=""
1.500000 * 2 opened
1.501000 > 2 hello text=v157..178
1.502000 > 2 startApi version=2 clientId=2 optionalCapabilities=""
1.600000 > 2 reqCurrentTime version=1
1.700000 * 2 closed by=client how=end
2.500000 > 1 reqCurrentTime version=1
2.600000 * 1 closed by=client how=end
"""
)


def said(transcript: Transcript, connection: int) -> list[Record]:
    return [r for r in transcript.connections()[connection] if r.direction is Direction.SERVER]


def test_simulated_time_goes_with_the_recording() -> None:
    transcript = parse_transcript(TWO_CLIENTS)
    heard = play_to_simulator(transcript, market(), speed=1.0)
    # P&L at once and after each of the two full seconds.
    assert [record.at_us for record in said(heard, 1) if record.name == "pnl"] == [3_000, 1_501_000, 2_500_000]
    assert [record.get("time") for record in said(heard, 1) if record.name == "currentTime"] == [
        str(START // 1_000_000_000 + 2)
    ]
    standing = play_to_simulator(transcript, market())
    assert [record.name for record in said(standing, 1)].count("pnl") == 1
    assert [record.get("time") for record in said(standing, 2) if record.name == "currentTime"] == [
        str(START // 1_000_000_000)
    ]


def test_a_port_hears_the_same() -> None:
    transcript = parse_transcript(TWO_CLIENTS)
    recorded = play_to_simulator(transcript, market())
    with ThreadedTwsServer(market()) as server:
        again = asyncio.run(play_to_port(recorded, "127.0.0.1", server.port))
    assert differences(recorded, again) == []


def test_a_server_that_leaves_out_an_answer_is_not_waited_for_for_ever() -> None:
    recorded = play_to_simulator(parse_transcript(TWO_CLIENTS), market())
    silent = Transcript(tuple(r for r in recorded.records if (r.connection, r.name) != (2, "nextValidId")))

    async def run() -> Transcript:
        async with ServerPlayback(silent) as server:
            return await play_to_port(recorded, "127.0.0.1", server.port, patience_seconds=0.05)

    [missing] = differences(recorded, asyncio.run(run()))
    assert (missing.connection, missing.message, missing.right) == (2, "nextValidId", None)


def test_nobody_there_and_real_money() -> None:
    transcript = parse_transcript(TWO_CLIENTS)
    with ThreadedTwsServer(market()) as server:
        port = server.port
    with pytest.raises(OSError):
        asyncio.run(play_to_port(transcript, "127.0.0.1", port))

    lines = [
        "0.000001 > 1 hello text=v157..178",
        "0.000002 < 1 version serverVersion=178 time=now",
        '0.000003 > 1 startApi version=2 clientId=1 optionalCapabilities=""',
        "0.000004 < 1 managedAccounts version=1 accounts=U7654321",
        "0.000005 > 1 reqGlobalCancel version=1",
        "",
    ]
    transcript = parse_transcript(HEAD + "\n".join(lines))

    async def run() -> None:
        async with ServerPlayback(transcript) as server:
            await play_to_port(transcript, "127.0.0.1", server.port, patience_seconds=0.05)

    with pytest.raises(ReplayRefused, match="not a paper account"):
        asyncio.run(run())
