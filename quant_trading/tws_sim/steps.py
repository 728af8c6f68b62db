"""When a fault happens: the n-th time of a named step, or a moment of simulated time.

    recv:placeOrder#3            the third placeOrder a client sends
    recv:placeOrder/AAPL         the first one for AAPL
    send:execDetails#2           the second fill that is about to be sent
    send:orderStatus/Filled#1    a status by its word; errors by code (error/202), ticks by type (tickPrice/4),
                                 account values by tag (accountSummary/NetLiquidation)
    send:*#40                    the fortieth message of any name
    send:byte#4096               the 4096th byte sent to clients, recv:byte#n the n-th one received
    connect#2                    the second connection that is made
    disconnect#1                 the first one that ends
    t=09:31:04                   New York time, the next time it is that late
    t=2026-11-19 09:31:04        New York time
    t=+90                        90 simulated seconds after the start

`#n` counts from 1 and may be left out. `#2-4` means the second to the fourth time, `#3+` the third and every
later one, `#*` every one. Counting begins when the entry is armed, and
is over all clients, or over the one of the entry's "client".
"""

import re
from dataclasses import dataclass
from datetime import date, time, timedelta
from enum import Enum

from quant_trading.refdata.sessions import at, exchange_date
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.responses import RESPONSE_NAMES

__all__ = ["ANY", "BYTE", "At", "Place", "Step", "parse_when"]

ANY = "*"
BYTE = "byte"
_FOREVER = 1 << 62
_SECOND_NS = 1_000_000_000

_STEP = re.compile(r"(?:(recv|send):([A-Za-z*]+)(?:/([^#]+))?|(connect|disconnect))(?:#(\*|\d+\+?|\d+-\d+))?")
_SINCE = re.compile(r"\+(\d+(?:\.\d+)?)")
_FORMS = "write recv:placeOrder#3, send:execDetails#2, connect#2, t=09:31:04 or t=+90"


class Place(Enum):
    """Where a step is met."""

    RECEIVE = "recv"
    SEND = "send"
    CONNECT = "connect"
    DISCONNECT = "disconnect"
    TIME = "t"


@dataclass(frozen=True, slots=True)
class Step:
    """Occurrences `first` to `last` of a step.

    Attributes:
        name: of the message, "*" for any, "byte" for single bytes, empty for connections.
        detail: what tells messages of that name apart, empty for all of them.
    """

    place: Place
    name: str = ""
    detail: str = ""
    first: int = 1
    last: int = 1

    def is_due(self, count: int) -> bool:
        """Say whether the `count`-th occurrence is one of those."""
        return self.first <= count <= self.last


@dataclass(frozen=True, slots=True)
class At:
    """A moment; `day` is None for the next time it is that late, `seconds` counts from the start instead."""

    clock: str = ""
    day: date | None = None
    seconds: float | None = None

    def moment_ns(self, start_ns: int) -> int:
        """Return the moment, UTC ns, for a simulation that starts at `start_ns`."""
        if self.seconds is not None:
            return start_ns + round(self.seconds * _SECOND_NS)
        if self.day is not None:
            return at(self.day, self.clock)
        day = exchange_date(start_ns)
        moment = at(day, self.clock)
        return moment if moment > start_ns else at(day + timedelta(days=1), self.clock)


def parse_when(text: str) -> Step | At:
    """Return what the text of a "when" means.

    Raises:
        ValueError: one line with the text, what is wrong with it and the forms there are.
    """
    if text.startswith("t="):
        return _parse_moment(text)
    match = _STEP.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no step; {_FORMS}")
    direction, name, detail, connection, number = match.groups()
    place = Place(direction or connection)
    if direction:
        _check_name(text, place, name)
        if detail and name in (ANY, BYTE):
            raise ValueError(f"{text!r} names a detail of no particular message; write send:error/202")
    first, last = _range(text, number)
    return Step(place, name or "", detail or "", first, last)


def _check_name(text: str, place: Place, name: str) -> None:
    known = {"hello", *REQUEST_NAMES} if place is Place.RECEIVE else {"serverVersion", *RESPONSE_NAMES}
    if name in (ANY, BYTE) or name in known:
        return
    near = sorted(one for one in known if one.lower() == name.lower() or one.lower().endswith(name.lower()))
    who = "a client" if place is Place.RECEIVE else "TWS"
    hint = f"did you mean {place.value}:{near[0]}?" if near else f"messages {who} sends are listed in the documentation"
    raise ValueError(f"{text!r}: {who} sends no message {name!r}; {hint}")


def _range(text: str, number: str | None) -> tuple[int, int]:
    if number is None:
        return 1, 1
    if number == ANY:
        return 1, _FOREVER
    if number.endswith("+"):
        first, last = int(number[:-1]), _FOREVER
    else:
        low, _, high = number.partition("-")
        first, last = int(low), int(high or low)
    if not 1 <= first <= last:
        raise ValueError(f"{text!r} counts from {first} to {last}; occurrences count from 1, lower end first")
    return first, last


def _parse_moment(text: str) -> At:
    words = text.removeprefix("t=")
    if since := _SINCE.fullmatch(words):
        return At(seconds=float(since[1]))
    day, _, clock = words.rpartition(" ")
    clock = f"{clock}:00" if clock.count(":") == 1 else clock
    try:
        time.fromisoformat(clock)
        return At(clock=clock, day=date.fromisoformat(day) if day else None)
    except ValueError:
        raise ValueError(
            f"{text!r} is no moment; write t=09:31:04 or t=2026-11-19 09:31:04, New York time, or t=+90 for seconds"
        ) from None
