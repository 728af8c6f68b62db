"""Ctrl-C in the middle of a call: it goes through, and nothing is left half done."""

import asyncio
import gc
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quant_trading.core.ibkr_broker import IBKRBroker
from quant_trading.core.ibkr_connection import IBKRConnection
from quant_trading.core.interrupts import interrupts_held, sigterm_as_ctrl_c
from quant_trading.domain.orders import OrderStatus
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.virtual import VirtualLoop
from tests.core.meddler import Meddler, Mute, simulator, virtual
from tests.core.sessions import an_order, open_broker, until_quiet

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_complaint_of_asyncio(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail on "Task was destroyed but it is pending!" and "exception was never retrieved"."""
    yield
    gc.collect()
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio" and r.levelno >= logging.WARNING] == []


def _interrupt_after(loop: VirtualLoop, seconds: float) -> None:
    loop.call_later(seconds, signal.raise_signal, signal.SIGINT)


Call = Callable[[IBKRBroker], object]
CALLS: dict[str, Call] = {
    "reports": lambda broker: broker.reports(100.0),
    "bars": lambda broker: broker.bars(["AAPL", "SPY"], "1 day", "5 D"),
    "instruments": lambda broker: broker.instruments(["MSFT", "TLT"]),
    "portfolio": lambda broker: broker.portfolio(),
    "refresh": lambda broker: broker.refresh(),
    "now": lambda broker: broker.now(),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupted_call_leaves_no_task_and_the_session_goes_on(name: str) -> None:
    peer = Meddler(simulator())
    with open_broker(peer) as (broker, loop):
        peer.edit = lambda fields: []  # TWS is silent, so the call waits
        _interrupt_after(loop, 1.0)
        before = loop.time()
        with pytest.raises(KeyboardInterrupt):
            CALLS[name](broker)
        assert loop.time() - before == pytest.approx(1.0, abs=0.01)
        assert asyncio.all_tasks(loop) == set()
        peer.edit = lambda fields: [fields]
        broker.place(an_order("after"))
        until_quiet(broker)
        assert broker.orders["after"].status is OrderStatus.FILLED


def test_an_interrupt_inside_a_handler_goes_through_too() -> None:
    class Impatient(IBKRConnection):
        def on_error(self, request_id: int, code: int, text: str) -> None:
            if text == "words":
                signal.raise_signal(signal.SIGINT)

    peer = Meddler(simulator())
    with virtual(peer) as loop:
        connection = Impatient(5, loop=loop, environ={})
        connection.open()
        loop.call_later(1.0, peer.say, ("4", "2", "-1", "2104", "words", ""))
        with pytest.raises(KeyboardInterrupt):
            connection.wait(10.0)
        assert asyncio.all_tasks(loop) == set()
        connection.disconnect_from_tws()


def test_an_interrupt_inside_a_task_that_is_waited_for_is_seen_once() -> None:
    async def strike() -> None:
        await asyncio.sleep(1.0)
        signal.raise_signal(signal.SIGINT)

    async def several() -> None:
        await asyncio.gather(asyncio.sleep(50.0), asyncio.wait_for(strike(), 20.0))

    with virtual(simulator()) as loop:
        connection = IBKRConnection(5, loop=loop, environ={})
        connection.open()
        with pytest.raises(KeyboardInterrupt):
            connection.call(several())
        assert {task for task in asyncio.all_tasks(loop) if not task.done()} == set()
        connection.disconnect_from_tws()


def test_a_sign_of_life_that_is_under_way_ends_with_the_session() -> None:
    peer = Meddler(simulator())
    with virtual(peer) as loop:
        broker = IBKRBroker.open("paper", client_id=12, loop=loop, environ={})
        peer.is_frozen = True
        _interrupt_after(loop, 32.0)  # TWS is asked after 30 s of silence and given 10 s
        with pytest.raises(KeyboardInterrupt):
            broker.reports(100.0)
        assert asyncio.all_tasks(loop)
        broker.close()
        assert asyncio.all_tasks(loop) == set()


def test_an_interrupted_connect_closes_what_it_opened() -> None:
    mute = Mute()
    with virtual(mute) as loop:
        connection = IBKRConnection(5, loop=loop, environ={})
        _interrupt_after(loop, 2.0)
        with pytest.raises(KeyboardInterrupt):
            connection.open()
        assert asyncio.all_tasks(loop) == set()
        assert mute.is_closed


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="other platform: Ctrl-C is no signal one process sends another")
def test_a_script_that_is_interrupted_ends_without_a_word_of_asyncio() -> None:
    code = (
        "import asyncio, functools, sys\n"
        "from quant_trading.core.ibkr_broker import IBKRBroker\n"
        "loop = asyncio.new_event_loop()\n"
        "broker = IBKRBroker('paper', client_id=12, port=int(sys.argv[1]), loop=loop, environ={})\n"
        "try:\n"
        "    with broker:\n"
        "        loop.call_soon(functools.partial(print, 'waiting', flush=True))\n"
        "        broker.reports(60.0)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
        "loop.close()\n"
    )
    with ThreadedTwsServer(simulator()) as server:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-X", "dev", "-c", code, str(server.port)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
            process.communicate()
    assert (out, err, process.returncode) == ("interrupted\n", "", 0)


@pytest.fixture
def own_sigterm() -> Iterator[Callable[..., None]]:
    """A handler that the program had before."""

    def own(number: int, frame: object) -> None:
        raise AssertionError("the program's own handler is not asked")

    before = signal.signal(signal.SIGTERM, own)
    yield own
    signal.signal(signal.SIGTERM, before)


def test_the_first_sigterm_interrupts_and_what_it_began_is_not_disturbed_by_the_next(
    own_sigterm: Callable[..., None],
) -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c():
        try:
            signal.raise_signal(signal.SIGTERM)
            steps.append("not interrupted")
        finally:
            signal.raise_signal(signal.SIGTERM)
            steps.append("ended in order")
    assert steps == ["ended in order"]
    assert signal.getsignal(signal.SIGTERM) is own_sigterm


def test_sigterm_is_left_alone_where_python_takes_no_signals() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def elsewhere() -> None:
        with sigterm_as_ctrl_c():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_is_held_comes_at_the_end(number: int) -> None:
    steps = []
    with sigterm_as_ctrl_c():
        before = signal.getsignal(number)
        with pytest.raises(KeyboardInterrupt):
            with interrupts_held():
                with interrupts_held():
                    signal.raise_signal(number)
                    steps.append("inner")
                steps.append("outer")
            steps.append("after")
        assert steps == ["inner", "outer"]
        assert signal.getsignal(number) is (before if number == signal.SIGINT else signal.SIG_IGN)


def test_an_interrupt_that_is_repeated_does_not_wait() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt), interrupts_held():
        signal.raise_signal(signal.SIGINT)
        steps.append("once")
        signal.raise_signal(signal.SIGINT)
        steps.append("twice")
    assert steps == ["once"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with sigterm_as_ctrl_c():
        with pytest.raises(KeyboardInterrupt), interrupts_held():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # what the second began is not disturbed by the third


def test_what_is_ignored_or_ends_the_program_stays_so_while_interrupts_are_held() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_held():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
