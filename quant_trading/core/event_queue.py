"""A bounded queue from a session's thread to the program: nothing waits for a slow reader, nothing is lost unseen."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["EventQueue"]

T = TypeVar("T")


class EventQueue(Generic[T]):
    """Hands items from one writing thread to readers; when it is full the oldest ones go, counted.

    The writer collects with `put` and hands over with `flush`, once for each packet from the socket, so that a
    reader is woken a few times a second and not for every tick.

    Args:
        limit: most items that wait.
        on_drop: called in the writer's thread with how many items were dropped since the last call, each time the
            queue overflows again after having been read.
    """

    def __init__(self, limit: int, on_drop: Callable[[int], None] | None = None) -> None:
        self._limit = limit
        self._on_drop = on_drop
        self._collected: list[T] = []
        self._items: deque[T] = deque()
        self._filled = threading.Event()
        self._is_drop_told = False
        self.dropped = 0
        self.put = self._collected.append

    def __len__(self) -> int:
        """Return how many items wait to be taken."""
        return len(self._items)

    def flush(self) -> None:
        """Hand over what was put; drop the oldest beyond the limit."""
        collected = self._collected
        if not collected:
            return
        items = self._items
        items.extend(collected)
        collected.clear()
        dropped = 0
        while len(items) > self._limit:
            try:
                items.popleft()
            except IndexError:  # a reader took the rest meanwhile
                break
            dropped += 1
        self._filled.set()
        if dropped:
            self.dropped += dropped
            if not self._is_drop_told and self._on_drop is not None:
                self._is_drop_told = True
                self._on_drop(dropped)

    def take(self, timeout_seconds: float = 0.0, most: int | None = None) -> list[T]:
        """Return what waits, oldest first; wait for something at most `timeout_seconds`.

        Args:
            timeout_seconds: 0 does not wait.
            most: at most so many; None for all.
        """
        if not self._items and timeout_seconds > 0:
            self._filled.clear()
            if not self._items:  # else it was filled between the look and the clearing
                self._filled.wait(timeout_seconds)
        found: list[T] = []
        take = self._items.popleft
        for _ in range(len(self._items) if most is None else min(most, len(self._items))):
            try:
                found.append(take())
            except IndexError:  # the writer dropped the rest meanwhile, or another reader took it
                break
        self._is_drop_told = False
        return found

    def wake(self) -> None:
        """Let a waiting reader go on, with nothing."""
        self._filled.set()
