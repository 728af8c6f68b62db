"""Streams that die without a word, against scripts as users write them; the supervised session is in tests/core."""

import asyncio

import pytest
from ib_async import IB

from tests.scenarios.stage import Stage, stage

pytestmark = pytest.mark.expects_client_errors


async def _listen(on: Stage, ib: IB, seconds: float) -> list[float]:
    """Return when prices came, as a script that subscribes once hears them."""
    ticker = ib.reqMktData(await on.stock(ib))
    heard: list[float] = []
    ticker.updateEvent += lambda _: heard.append(on.loop.time())
    await asyncio.sleep(seconds)
    assert ib.isConnected()
    return heard


@pytest.mark.slow
def test_streams_that_go_silent_without_a_code() -> None:
    """nautechsystems/nautilus_trader#4949: connected, subscribed, and no price ever again."""

    async def script(on: Stage) -> list[float]:
        ib = await on.connect()
        heard = await _listen(on, ib, 1800)
        await ib.reqCurrentTimeAsync()  # TWS answers, so all seems well
        ib.disconnect()
        return heard

    with stage("W19_silent_streams") as on:
        heard = on.play(script)
        assert len(heard) >= 30
        assert max(heard) <= 62
        assert on.codes() == []


@pytest.mark.slow
def test_data_maintained_is_not_always_true() -> None:
    """nautechsystems/nautilus_trader#3001: bars never resume after 1100/1102, 0 of 24 recoveries."""

    async def script(on: Stage) -> list[float]:
        ib = await on.connect()
        heard = await _listen(on, ib, 1800)
        ib.disconnect()
        return heard

    with stage("W16_silent_after_1102") as on:
        heard = on.play(script)
        assert max(heard) <= 61
        assert on.codes() == [1100, 1102]


def test_a_stalled_tws_still_speaks_but_hears_nothing() -> None:
    """UnusualAlpha/ib-gateway-docker#52: half dead. Prices come, so the script believes it is connected."""

    async def script(on: Stage) -> list[float]:
        ib = await on.connect()
        heard = await _listen(on, ib, 300)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ib.reqCurrentTimeAsync(), 600)
        ib.disconnect()
        return heard

    with stage("W19_stalled") as on:
        assert max(on.play(script)) > 250
