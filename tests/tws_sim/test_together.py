"""Things made for many names at once: the same as one by one, and never much more of them than were asked for."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.tws_sim.together import Together

NAMES = 200


class Counting:
    """Things that note for how many names they were made at once."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.together: Together[str, str] = Together(self._make, NAMES)

    def _make(self, key: str, names: Sequence[int]) -> list[str]:
        assert len(set(names)) == len(names)
        assert all(0 <= name < NAMES for name in names)
        self.batches.append(len(names))
        return [f"{key} {name}" for name in names]


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, NAMES - 1)), max_size=60))
def test_each_is_given_its_own_whatever_the_order(asked: list[tuple[str, int]]) -> None:
    counting = Counting()

    assert [counting.together.take(key, name) for key, name in asked] == [f"{key} {name}" for key, name in asked]


def test_the_names_in_a_row_are_made_in_ever_larger_parts() -> None:
    counting = Counting()
    for name in range(NAMES):
        counting.together.take("a", name)

    # By hand: the k-th name asked for brings k // 2 more with it when it is not at hand, 31 at most. Names 0, 1, 3, 6,
    # 10 and 16 are not: 1, 1 + 2 // 2, 1 + 4 // 2, 1 + 7 // 2, 1 + 11 // 2, 1 + 17 // 2.
    assert counting.batches[:6] == [1, 2, 3, 4, 6, 9]
    assert max(counting.batches) == 32
    assert sum(counting.batches) == NAMES
    assert len(counting.batches) < 15


@given(st.sets(st.integers(0, NAMES - 1), min_size=1, max_size=12))
def test_few_names_far_apart_bring_few_others(names: set[int]) -> None:
    counting = Counting()
    for name in sorted(names):
        counting.together.take("a", name)

    # 1 + 2 + 2 + 3 + 3 + ... for n names none of which is at hand: less than n x n / 4 + n.
    assert sum(counting.batches) <= len(names) ** 2 / 4 + len(names)


def test_one_name_asked_for_again_and_again_stays_alone() -> None:
    counting = Counting()
    for _ in range(50):
        counting.together.take("a", 5)

    assert set(counting.batches) == {1}


def test_what_was_made_ahead_last_is_told_once() -> None:
    counting = Counting()
    assert counting.together.newest() is None
    counting.together.take("a", 0)
    assert counting.together.newest() is None
    counting.together.take("a", 1)

    assert counting.together.newest() == ("a", ["a 2"])
    assert counting.together.newest() is None
    counting.together.take("a", 2)
    assert counting.together.newest() is None
    counting.together.take("a", 3)
    # 1 + 4 // 2 names from the third on, as above.
    assert counting.together.newest() == ("a", ["a 4", "a 5"])
    counting.together.take("a", 6)
    counting.together.take("b", 7)
    assert counting.together.newest() is None


@pytest.mark.parametrize("last", [NAMES - 1])
def test_after_the_last_name_comes_the_first(last: int) -> None:
    counting = Counting()
    for name in (last - 1, last):
        counting.together.take("a", name)
    assert counting.together.take("a", 0) == "a 0"

    assert counting.batches == [1, 2]
