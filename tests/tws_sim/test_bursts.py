"""A burst never ends where a client of 4096 bytes a read would wait for more and then lose all of it."""

from hypothesis import given
from hypothesis import strategies as st

from quant_trading.tws_sim.bursts import READ_SIZE, Bursts


def test_an_exact_multiple_keeps_its_last_byte_for_later() -> None:
    for size in (READ_SIZE, 2 * READ_SIZE, 16 * READ_SIZE):
        assert Bursts().held_back(size, 10.0) == 1
    for size in (1, READ_SIZE - 1, READ_SIZE + 1, 2 * READ_SIZE + 1):
        assert Bursts().held_back(size, 10.0) == 0


def test_writes_close_together_may_be_read_as_one() -> None:
    bursts = Bursts()
    assert bursts.held_back(100, 10.0) == 0
    assert bursts.held_back(READ_SIZE - 100, 10.01) == 1
    # The byte held back goes out by itself; what follows begins a read of its own.
    assert bursts.held_back(1, 10.03) == 0
    assert bursts.held_back(READ_SIZE, 10.04) == 1


def test_after_a_silence_the_client_has_read_what_was_there() -> None:
    bursts = Bursts()
    assert bursts.held_back(100, 10.0) == 0
    assert bursts.held_back(READ_SIZE - 100, 10.1) == 0


SIZES = st.one_of(st.integers(1, 300), st.sampled_from([READ_SIZE - 1, READ_SIZE, READ_SIZE + 1, 2 * READ_SIZE]))


@given(st.lists(SIZES, min_size=1, max_size=8), st.integers(0, 8))
def test_no_read_ends_on_a_full_one_whatever_was_read_together(sizes: list[int], first: int) -> None:
    """The client reads the first writes one by one and the rest together, but for what is held back."""
    bursts = Bursts()
    written, held = [], 0
    for size in sizes:
        keep = bursts.held_back(held + size, 10.0)
        written.append(held + size - keep)
        held = keep
        if keep:
            # The client reads the short piece before the rest follows.
            written.clear()
    together = sum(written[min(first, len(written)) :])

    assert together == 0 or together % READ_SIZE != 0
