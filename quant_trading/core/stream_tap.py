"""A tap on the client library's decoder: messages of our streams go to us, as they are, and not to the library.

Why not the library's own subscriptions: they coalesce ticks to one event a packet, never update running bars whose
first answer was empty, drop running bars that have not changed, and keep objects of their own for each. The request
id stands at a fixed place in each of these messages in every server version the library speaks (157 to 178).
"""

from collections.abc import Callable
from typing import Any

__all__ = ["StreamTap"]

Sink = Callable[[list[str]], None]

# Message id: (what it is, which field is the request id).
_TAPPED = {
    1: ("tick price", 2),
    2: ("tick size", 2),
    17: ("historical data", 1),
    45: ("tick generic", 2),
    46: ("tick string", 2),
    50: ("five second bar", 2),
    57: ("snapshot end", 2),
    58: ("market data type", 2),
    81: ("tick parameters", 1),
    90: ("running bar", 1),
    99: ("tick by tick", 1),
}


def _ignore(_fields: list[str]) -> None:
    """Swallow what still comes for a request that was cancelled."""


class StreamTap:
    """Hands each tapped message to the sink of its request, else to the library.

    Args:
        handlers: the decoder's functions by message id; replaced in place.
    """

    def __init__(self, handlers: dict[int, Callable[[list[str]], Any]]) -> None:
        self._sinks: dict[str, Sink] = {}
        for message, (_, at) in _TAPPED.items():
            handlers[message] = self._tapped(handlers[message], at)

    def _tapped(self, library: Callable[[list[str]], Any], at: int) -> Callable[[list[str]], Any]:
        sink_of = self._sinks.get

        def handle(fields: list[str]) -> None:
            sink = sink_of(fields[at])
            if sink is None:
                library(fields)
            else:
                sink(fields)

        return handle

    def open(self, request_id: int, sink: Sink) -> None:
        """Hand what comes for a request to `sink`."""
        self._sinks[str(request_id)] = sink

    def close(self, request_id: int) -> None:
        """Throw away what still comes for a request."""
        self._sinks[str(request_id)] = _ignore

    def clear(self) -> None:
        """Forget all requests: their connection is gone, and ids begin anew."""
        self._sinks.clear()
