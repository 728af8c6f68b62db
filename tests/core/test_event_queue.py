"""A bounded queue: order is kept, nothing waits for the reader, what is dropped is counted and told."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from quant_trading.core.event_queue import EventQueue


def test_nothing_is_seen_before_it_is_handed_over() -> None:
    queue: EventQueue[int] = EventQueue(10)
    queue.put(1)
    assert queue.take() == []
    queue.flush()
    assert queue.take() == [1]


def test_the_oldest_go_first_and_it_is_told_once_until_somebody_reads() -> None:
    told: list[int] = []
    queue: EventQueue[int] = EventQueue(3, told.append)
    for number in range(5):
        queue.put(number)
    queue.flush()
    queue.put(5)
    queue.flush()
    assert (told, queue.dropped, queue.take()) == ([2], 3, [3, 4, 5])
    for number in range(4):
        queue.put(number)
    queue.flush()
    assert (told, queue.dropped) == ([2, 1], 4)


@given(st.lists(st.lists(st.integers(), max_size=20), max_size=20), st.integers(1, 30))
def test_what_is_taken_and_what_is_dropped_is_all_there_was(bursts: list[list[int]], limit: int) -> None:
    queue: EventQueue[int] = EventQueue(limit)
    for burst in bursts:
        for number in burst:
            queue.put(number)
        queue.flush()
        assert len(queue) <= limit
    everything = [number for burst in bursts for number in burst]
    taken = queue.take()
    assert queue.dropped + len(taken) == len(everything)
    assert taken == everything[len(everything) - len(taken) :]


def test_a_reader_is_woken_by_another_thread() -> None:
    queue: EventQueue[int] = EventQueue(100_000)

    def write() -> None:
        for number in range(50_000):
            queue.put(number)
            if number % 7 == 0:
                queue.flush()
        queue.flush()

    writer = threading.Thread(target=write)
    writer.start()
    taken: list[int] = []
    while len(taken) < 50_000:
        batch = queue.take(10.0, most=1000)
        assert batch, "a hand-over was missed"
        taken += batch
    writer.join()
    assert taken == list(range(50_000))
