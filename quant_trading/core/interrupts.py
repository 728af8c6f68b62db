"""Ctrl-C and SIGTERM, which docker, systemd and kill send: a program ends in order, with its summary.

An interrupt may come between any two steps. Steps that belong together (a bar is told, a bar is recorded) are done in
`interrupts_held`.

Windows knows SIGTERM too, but only a program that sends it to itself: there Ctrl-C stays the way.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interrupts_held", "sigterm_as_ctrl_c"]


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Let the first SIGTERM raise KeyboardInterrupt, and those after it do nothing: what it began may end.

    Outside the main thread, where Python takes no signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let an interrupt wait for the end of the block, which should be short; who repeats it is not made to wait."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    usual = {number: handler for number, handler in handlers.items() if callable(handler)}
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if number in held:
            usual[number](number, frame)
        held.append(number)

    for number in usual:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in usual.items():
            if signal.getsignal(number) is hold:
                signal.signal(number, handler)
    if held:
        usual[held[0]](held[0], None)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
