"""What carries a simulator needs from it: the same for the bare one and for the one behind a gateway."""

from collections.abc import Callable
from typing import Protocol

__all__ = ["Served", "ServedSession"]


class ServedSession(Protocol):
    """One client's end of a carrier: bytes in, bytes out."""

    on_output: Callable[[], None] | None
    on_push: Callable[[], None] | None

    @property
    def is_closed(self) -> bool:
        """True when the carrier is to hang up after the last bytes."""

    def receive(self, data: bytes) -> None:
        """Take bytes from the client."""

    def receive_eof(self) -> None:
        """The client has gone."""

    def data_to_send(self) -> bytes:
        """Return the bytes for the client and forget them."""

    def close(self, reason: str) -> None:
        """End the session from the server's side."""


class Served(Protocol):
    """A simulator as its carrier sees it."""

    @property
    def now_ns(self) -> int:
        """The simulated moment, UTC ns."""

    def connect(self) -> ServedSession:
        """Return a new client's session.

        Raises:
            ConnectionRefusedError: when nobody is let in now.
        """

    def advance_to(self, ns: int) -> None:
        """Move simulated time to `ns`, running what is due."""

    def next_event_ns(self) -> int | None:
        """Return when the next thing is due, None when nothing is."""

    def has_foreground_events(self) -> bool:
        """Say whether more than endless streams is still to come."""
