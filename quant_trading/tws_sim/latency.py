"""How long TWS takes to answer, as data: by kind of message, seeded, in order.

A model says for each outgoing message how many nanoseconds after it was made it leaves. Messages leave in
the order in which TWS keeps them: everything but history is one queue, because it is one socket; answers of
the historical data farm (HMDS) are queued by request, because TWS answers those as they come in (reported).

    {"default": 0.002}                                   2 ms for everything
    {"default": [0.001, 0.005]}                          evenly between 1 and 5 ms
    {"default": 0, "history": [0.3, 60]}                 a slow HMDS, the range seen with large requests
    {"messages": {"execDetails": 0.25}}                  one kind of message

Times are simulated seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quant_trading.tws_sim.noise import mix, name_key

__all__ = ["HISTORY_MESSAGES", "Latency", "read_latency"]

_SECOND_NS = 1_000_000_000
_LONGEST_SECONDS = 86_400.0
_KEYS = ("default", "history", "messages")
_TO_UNIT = 2.0**-64

HISTORY_MESSAGES = frozenset(
    {"historicalData", "historicalDataEnd", "historicalDataUpdate", "historicalTicks", "historicalTicksBidAsk",
     "historicalTicksLast", "historicalSchedule", "headTimestamp", "histogramData"}
)  # fmt: skip
"""What the historical data farm answers with."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Evenly distributed between two times, or constant when they are equal; in ns."""

    low_ns: int
    high_ns: int


@dataclass(frozen=True, slots=True)
class Latency:
    """A checked model.

    Attributes:
        seed: the n-th message of a run is delayed by a function of (seed, n) only.
    """

    default: _Span
    history: _Span | None
    messages: Mapping[str, _Span]
    seed: int = 0

    def delay_ns(self, name: str, number: int) -> int:
        """Return the delay of a message by its name and its running number."""
        span = self.messages.get(name)
        if span is None:
            span = self.history if self.history is not None and name in HISTORY_MESSAGES else self.default
        if span.low_ns == span.high_ns:
            return span.low_ns
        unit = mix(self.seed, name_key("latency"), number) * _TO_UNIT
        return span.low_ns + round(unit * (span.high_ns - span.low_ns))

    @staticmethod
    def lane(name: str, req_id: int | None) -> int | None:
        """Return which queue a message leaves by: that of its history request, else the common one (None)."""
        return req_id if name in HISTORY_MESSAGES else None


def read_latency(data: Mapping[str, Any], seed: int = 0) -> Latency:
    """Return the model that `data` describes.

    Raises:
        ValueError: one line that names the key, what was found and the cure.
    """
    unknown = sorted(set(data) - set(_KEYS))
    if unknown:
        raise ValueError(f"latency.{unknown[0]} is unknown; write {', '.join(_KEYS)}")
    messages = data.get("messages", {})
    if not isinstance(messages, Mapping):
        raise ValueError(f'latency.messages = {messages!r} is no table; write {{"execDetails": 0.25}}')
    history = data.get("history")
    return Latency(
        default=_span("default", data.get("default", 0)),
        history=None if history is None else _span("history", history),
        messages={name: _span(f"messages.{name}", value) for name, value in messages.items()},
        seed=seed,
    )


def _span(where: str, value: Any) -> _Span:
    ends = value if isinstance(value, list) else [value, value]
    if len(ends) != 2 or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
        raise ValueError(f"latency.{where} = {value!r} is no time; write 0.002, or [0.3, 60] for a range, in seconds")
    low, high = float(ends[0]), float(ends[1])
    if not 0 <= low <= high <= _LONGEST_SECONDS:
        raise ValueError(f"latency.{where} = {value!r} is not within 0..{_LONGEST_SECONDS:.0f} s, lower end first")
    return _Span(round(low * _SECOND_NS), round(high * _SECOND_NS))
