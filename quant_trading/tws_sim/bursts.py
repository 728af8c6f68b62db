"""Which bytes to write a moment later, so that clients that read in a fragile way lose nothing.

The official clients read 4096 bytes at a time until they get fewer. When what has arrived is an exact multiple
of 4096 and a second of silence follows, they throw all of it away (measured with 9.81 and 10.46; TWS itself
runs into it). A server that sends everything but the last byte, and that one a moment later, never ends there:
the read ends early, on the short piece, and the last byte is a read of its own.
"""

from collections import deque

__all__ = ["READ_SIZE", "Bursts"]

READ_SIZE = 4096
"""How many bytes the official clients ask for at a time."""

# Where the client's present read may have begun: at the end of any of the latest writes, as long as they came
# close together. More of them would be asked for in vain: a client keeps up with small writes.
_WRITES = 8
_QUIET_SECONDS = 0.05


class Bursts:
    """Counts what is written to one client."""

    def __init__(self) -> None:
        self._total = 0
        self._beginnings: deque[int] = deque([0], maxlen=_WRITES)
        self._last = 0.0

    def held_back(self, size: int, now: float) -> int:
        """Return how many of `size` bytes to write a moment later, 0 or 1, and count the others as written.

        Args:
            size: bytes about to be written, 1 or more; a byte held back before is counted again.
            now: seconds of a clock that never goes back.
        """
        if now - self._last > _QUIET_SECONDS:
            self._begin()
        self._last = now
        self._total += size
        if self._total % READ_SIZE in self._beginnings:
            self._begin()
            return 1
        self._beginnings.append(self._total % READ_SIZE)
        return 0

    def _begin(self) -> None:
        """Take the client to have read everything; after a byte was held back it is about to."""
        self._total = 0
        self._beginnings.clear()
        self._beginnings.append(0)
