"""Spoilt requests and plain noise: each is answered or ends the connection; none raises, none mutes the session.

`python -m tests.fuzz.frames --frames 5000000` does the same for as long as one likes.
"""

import random
from datetime import date
from decimal import Decimal

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.wire import MAX_FRAME
from tests.examples import examples
from tests.fuzz.frames import hello, run
from tests.tws_sim.step_tape import StepTape

THURSDAY = date(2026, 11, 19)


def test_some_frames_neither_raise_nor_mute_the_session() -> None:
    seen = run(examples(3_000), seed=3)

    assert seen["answered"] > 2 / 3 * examples(3_000)
    assert seen["closed"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_200_000_frames_neither_raise_nor_mute_the_session(seed: int) -> None:
    seen = run(50_000, seed)

    assert seen["answered"] > 40_000
    assert 10 < seen["closed"] < 1_000


@pytest.mark.slow
def test_frames_to_a_market_with_data_neither_raise_nor_mute_the_session() -> None:
    assert run(2_000, 5, "seed:7")["answered"] > 1_500


def test_the_same_seed_does_the_same_again() -> None:
    assert run(examples(1_000), seed=9) == run(examples(1_000), seed=9)


@pytest.mark.parametrize("version", [178, 225])
def test_bytes_of_any_kind_do_not_raise(version: int) -> None:
    chance = random.Random(3)
    simulator = Simulator(StepTape({}), SimConfig(), at(THURSDAY, "10:00"))
    for _ in range(300):
        session = simulator.connect()
        if chance.random() < 0.5:
            session.receive(hello(version))
        for _ in range(5):
            session.receive(chance.randbytes(chance.randrange(60)))
        session.receive_eof()
        assert session.is_closed


@pytest.mark.slow
def test_a_message_that_never_ends_is_held_back_and_no_more() -> None:
    session = Simulator(StepTape({}), SimConfig(), at(THURSDAY, "10:00")).connect()
    session.receive(hello(178))
    session.receive((MAX_FRAME).to_bytes(4, "big"))
    for _ in range(100):
        session.receive(b"1" * 10_000)

    assert session.unread_bytes == 4 + 1_000_000
    session.receive((MAX_FRAME + 1).to_bytes(4, "big") * 6_000_000)
    assert session.is_closed
    assert session.unread_bytes == 0


def test_sessions_over_without_a_reason_are_those_whose_client_left() -> None:
    session = Simulator(StepTape({}), SimConfig(cash=Decimal(1)), at(THURSDAY, "10:00")).connect()
    session.receive(b"GET / HTTP/1.1\r\n")

    assert session.is_closed
    assert "prefix" in session.close_reason
