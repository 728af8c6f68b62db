"""What many names need alike, made for some of them at once: the fifth name of a list is rarely the last.

Numpy takes as long to begin as to work through a few hundred numbers, so thirty names cost hardly more than three.
Who asks for one thing of one name gets that alone; with every further name the same thing is made for more of the
names that follow, so that what nobody ever asks for costs no more than what was asked for.
"""

from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import Generic, TypeVar

__all__ = ["Together"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# Half a megabyte of minutes, some milliseconds' work: no client waits long for what others may want.
_AT_ONCE = 32


class Together(Generic[K, V]):
    """Things made of names, by number; what is made ahead is at hand as long as the same thing is asked for."""

    def __init__(self, make: Callable[[K, Sequence[int]], Sequence[V]], names: int) -> None:
        """Take what makes the thing `K` of some names, in their order, and how many names there are."""
        self._make = make
        self._names = names
        self._key: K | None = None
        self._asked = 0
        # None where somebody has taken it.
        self._made: dict[int, V | None] = {}
        self._newest: list[V] = []

    def take(self, key: K, name: int) -> V:
        """Return the thing of one name; what is taken is forgotten."""
        if key != self._key:
            self._key, self._asked, self._made, self._newest = key, 0, {}, []
        found = self._made.get(name)
        if found is None and name in self._made:
            # Asked for again: that is not another name.
            return self._make(key, [name])[0]
        self._asked += 1
        self._made[name] = None
        if found is not None:
            return found
        batch = [name, *self._following(name, min(self._asked // 2, _AT_ONCE - 1))]
        made = self._make(key, batch)
        self._made.update(zip(batch[1:], made[1:], strict=True))
        self._newest = list(made[1:])
        return made[0]

    def newest(self) -> tuple[K, list[V]] | None:
        """Return what was made ahead the last time, and its key, once: None until more is made."""
        if self._key is None or not self._newest:
            return None
        newest, self._newest = self._newest, []
        return self._key, newest

    def _following(self, name: int, count: int) -> list[int]:
        """Return up to `count` names of which nothing is made, those after `name` first."""
        others = ((name + step) % self._names for step in range(1, self._names))
        return list(islice((other for other in others if other not in self._made), count))
