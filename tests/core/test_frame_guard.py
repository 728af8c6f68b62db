"""Framing: TWS passes, in one piece and byte by byte; anything else is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.core.frame_guard import MAX_FRAME_BYTES, FrameGuard

BODIES = st.lists(st.binary(min_size=1, max_size=300), max_size=8)


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


HELLO = _frame(b"178\x0020261120 10:00:00 EST\x00")


@given(BODIES, st.lists(st.integers(min_value=1, max_value=50), max_size=60))
def test_a_tws_stream_passes_however_it_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream = HELLO + b"".join(_frame(body) for body in bodies)
    guard, at = FrameGuard(), 0
    for size in [*cuts, len(stream)]:
        assert guard.feed(stream[at : at + size]) == ""
        at += size
    assert guard.frames == 1 + len(bodies)
    assert guard.server_version == 178


@pytest.mark.parametrize(
    "opening", [b"HTTP/1.1 400 Bad Request\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00\x00\x00\x05hello"]
)
def test_another_protocol_is_told_at_once(opening: bytes) -> None:
    guard = FrameGuard()
    assert guard.feed(opening)
    assert guard.opening == opening
    assert guard.server_version == 0


def test_a_length_no_message_has_is_told() -> None:
    guard = FrameGuard()
    assert guard.feed(HELLO) == ""
    assert str(MAX_FRAME_BYTES) in guard.feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))


def test_a_length_of_zero_is_told() -> None:
    guard = FrameGuard()
    guard.feed(HELLO)
    assert guard.feed(bytes(4))
