"""A small store of what was made last.

`functools.lru_cache` around a method ties its object into a knot that only a full collection unties; series of bars
are too large to wait for one.
"""

from typing import Generic, TypeVar

__all__ = ["Recent"]

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The values kept last or found last, at most `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[K, V] = {}

    def find(self, key: K) -> V | None:
        """Return what is kept under the key."""
        value = self._values.pop(key, None)
        if value is not None:
            self._values[key] = value
        return value

    def keep(self, key: K, value: V) -> V:
        """Keep a value, forget the one that was not asked for longest; return the value."""
        self._values[key] = value
        if len(self._values) > self._most:
            del self._values[next(iter(self._values))]
        return value
