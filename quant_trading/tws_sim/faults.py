"""The vocabulary of faults: every action with its parameters, and the reading of one entry.

An entry is data: `{"when": "send:execDetails#2", "do": "duplicate", "times": 2}`. What stands beside "when"
and "do" are the action's parameters, all of them checked when the entry is read. "client" narrows an entry
to the messages of one client id, "note" says something to the reader.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from typing import Any

from quant_trading.tws_sim.errors import ERRORS
from quant_trading.tws_sim.latency import read_latency
from quant_trading.tws_sim.pacing import MODES
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.responses import RESPONSE_NAMES
from quant_trading.tws_sim.steps import BYTE, At, Place, Step, parse_when

__all__ = ["ACTIONS", "NOW", "Action", "Fault", "Parameter", "Type", "read_fault"]


class Type(Enum):
    """What a parameter holds; the values are shown in errors and in the documentation."""

    COUNT = "a whole number, 1 or above"
    WHOLE = "a whole number"
    NUMBER = "a number"
    SECONDS = "seconds, 0 or above"
    TEXT = "a text"
    FLAG = "true or false"
    TABLE = "a table"
    PERMUTATION = '"reverse", or the new order of the replies as a list ([2, 0, 1])'


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; without a default it has to be given.

    Attributes:
        choices: the only values a text may have.
    """

    type: Type
    about: str
    default: Any = ...
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can go wrong.

    Attributes:
        places: the steps at which it makes sense; it may also be done at once over the control socket if
            `Place.TIME` is among them.
    """

    name: str
    about: str
    places: frozenset[Place]
    parameters: Mapping[str, Parameter]


_P = Parameter
_MESSAGE = frozenset({Place.RECEIVE, Place.SEND})
_RECEIVED, _SENT = frozenset({Place.RECEIVE}), frozenset({Place.SEND})
_ANYWHERE = frozenset(Place)
_CONNECTED = frozenset({Place.RECEIVE, Place.SEND, Place.CONNECT, Place.TIME})
_EVERYONE = {"everyone": _P(Type.FLAG, "every connection, not only the one at hand", default=False)}
_SYMBOL = {"symbol": _P(Type.TEXT, "ticker of the instrument")}


def _for(about: str) -> dict[str, Parameter]:
    return {"seconds": _P(Type.SECONDS, f"{about}; without it for ever", default=None)}


_MESSAGE_ACTIONS = (
    Action("swallow", "The message is lost.", _MESSAGE, {}),
    Action(
        "duplicate", "The message comes several times.", _MESSAGE,
        {
            "times": _P(Type.COUNT, "further copies", default=1),
            "seconds": _P(Type.SECONDS, "time between the copies", default=0.0),
        },
    ),
    Action(
        "delay", "The message comes later; those behind it overtake it.", _MESSAGE,
        {"seconds": _P(Type.SECONDS, "how much later")},
    ),
    Action(
        "reorder", "The replies to one request come in another order, the one at hand among them.", _SENT,
        {"order": _P(Type.PERMUTATION, "how they come", default="reverse")},
    ),
    Action(
        "edit", "Fields of the message have other values; a number may become any text, such as nan.", _MESSAGE,
        {
            "set": _P(Type.TABLE, "new values by field", default={}),
            "add": _P(Type.TABLE, "what is added, by field", default={}),
            "scale": _P(Type.TABLE, "what it is multiplied by, by field", default={}),
        },
    ),
    Action(
        "mutate", "The bytes of the message are damaged.", _MESSAGE,
        {
            "how": _P(Type.TEXT, "in which way", default="flip",
                      choices=("flip", "truncate", "extend", "length", "id", "field", "drop_field")),
            "index": _P(Type.WHOLE, "which field, the id not counted", default=0),
            "text": _P(Type.TEXT, "what the field, the id, or the tail becomes", default="?"),
        },
    ),
    Action(
        "garbage", "Bytes that are no message stand in the stream before this one.", _SENT,
        {"bytes": _P(Type.COUNT, "how many, made from the seed", default=16)},
    ),
    Action(
        "reject", "The request is answered by an error instead of being served.", _RECEIVED,
        {
            "code": _P(Type.COUNT, "TWS's error code"),
            "text": _P(Type.TEXT, "its words; TWS's own where they are known", default=""),
            "status": _P(Type.TEXT, "an order status sent after the error", default=""),
        },
    ),
    Action(
        "correct", "The fill is corrected later: the same execution with the next revision (.02).", _SENT,
        {
            "seconds": _P(Type.SECONDS, "how much later", default=60.0),
            "shares": _P(Type.NUMBER, "the right quantity, 0 for a bust", default=None),
            "price": _P(Type.NUMBER, "the right price", default=None),
        },
    ),
    Action("fork", "The change of an order becomes a second live order; the first one lives on.", _RECEIVED, {}),
    Action("fill_first", "The order is filled before this message about it is served.", _RECEIVED,
           {"quantity": _P(Type.COUNT, "shares; without it the whole order", default=None)}),
)  # fmt: skip

_CONNECTION_ACTIONS = (
    Action(
        "drop", "The connection is closed.", _CONNECTED,
        {
            "after": _P(Type.FLAG, "after the message was served or sent, not before", default=False),
            "bytes": _P(Type.WHOLE, "so many bytes of the message still pass", default=0),
            **_EVERYONE,
        },
    ),
    Action("freeze", "No byte passes in either direction, the connection stays open.", _CONNECTED,
           _for("until it thaws and everything held back passes") | _EVERYONE),
    Action("stall", "TWS does not read what the client sends; it still speaks.", _CONNECTED,
           _for("until it reads on") | _EVERYONE),
    Action("half_open", "TWS has forgotten the connection, the client is never told.", _CONNECTED, _EVERYONE),
    Action(
        "refuse", "New connections are refused.", _ANYWHERE,
        {"times": _P(Type.WHOLE, "so many of them", default=0), "seconds": _P(Type.SECONDS, "so long", default=0.0)},
    ),
    Action("linger", "The client id stays in use after its connection has ended (326).", _ANYWHERE,
           {"seconds": _P(Type.SECONDS, "so long")}),
    Action("fragment", "Everything is written in pieces of so many bytes.", _ANYWHERE,
           {"bytes": _P(Type.WHOLE, "size of a piece, 0 for whole again", default=1)}),
    Action(
        "chunk", "Bytes pass in exact multiples of a size; what is left waits.", _ANYWHERE,
        {"bytes": _P(Type.WHOLE, "the size, 0 for whole again", default=4096),
         "seconds": _P(Type.SECONDS, "how long the rest waits", default=1.5)},
    ),
    Action(
        "restart", "TWS restarts: every connection closes, the port is refused, then it is back.", _ANYWHERE,
        {
            "seconds": _P(Type.SECONDS, "until it is back", default=120.0),
            "order_ids": _P(Type.TEXT, "what becomes of the next order ids", default="keep",
                            choices=("keep", "rollback", "reset")),
        },
    ),
)  # fmt: skip

_LINK_ACTIONS = (
    Action(
        "lose_link", "TWS loses IBKR's servers: 1100, and its clients hear nothing of the market.", _ANYWHERE,
        {
            **_for("until the link is back"),
            "restore": _P(Type.WHOLE, "1101 with subscriptions lost, 1102 with them kept", default=1102,
                          choices=(1101, 1102)),
            "reports": _P(Type.TEXT, "what becomes of order reports meanwhile", default="delayed",
                          choices=("delayed", "lost")),
        },
    ),
    Action("restore_link", "The link to IBKR is back now.", _ANYWHERE, {}),
    Action(
        "farm", "A data farm is lost (2103, 2105) and comes back (2104, 2106).", _ANYWHERE,
        {
            "name": _P(Type.TEXT, "which farm", default="usfarm", choices=("usfarm", "ushmds")),
            **_for("until it is back"),
            "resumes": _P(Type.FLAG, "false: its streams stay silent until they are asked for again", default=True),
        },
    ),
    Action("compete", "Another session of the same user takes the market data (10197).", _ANYWHERE,
           _for("until it ends")),
    Action(
        "error", "TWS says something.", _ANYWHERE,
        {
            "code": _P(Type.COUNT, "its code"),
            "text": _P(Type.TEXT, "its words; TWS's own where they are known", default=""),
            "id": _P(Type.WHOLE, "the request or order it is about; without it that of the message at hand",
                     default=None),
        },
    ),
    Action(
        "say", "TWS sends any message of its vocabulary.", _ANYWHERE,
        {"message": _P(Type.TEXT, "its name"), "fields": _P(Type.TABLE, "its fields", default={})},
    ),
    Action("skew", "TWS's clock is wrong.", _ANYWHERE, {"seconds": _P(Type.NUMBER, "ahead; negative: behind")}),
    Action("sleep", "The simulated world leaps ahead, as for a machine that slept.", _ANYWHERE,
           {"seconds": _P(Type.SECONDS, "how far")}),
    Action("pacing", "Pacing rules change.", _ANYWHERE, {"mode": _P(Type.TEXT, "how", choices=MODES)}),
    Action("latency", "Answers take another time from now on.", _ANYWHERE,
           {"model": _P(Type.TABLE, "as in a scenario's latency", default={})}),
)  # fmt: skip

_MARKET_ACTIONS = (
    Action("halt", "Trading in a symbol stops; what would have traded then trades afterwards.", _ANYWHERE,
           _SYMBOL | {"seconds": _P(Type.SECONDS, "how long; five minutes is the least by the rules", default=300.0)}),
    Action("split", "A holding becomes `ratio` times as many shares; working orders end. Prices are not changed.",
           _ANYWHERE, _SYMBOL | {"ratio": _P(Type.NUMBER, "new shares for an old one")}),
    Action(
        "trade", "Somebody else trades: a person in TWS (client 0, order id 0) or another client.", _ANYWHERE,
        {
            **_SYMBOL,
            "side": _P(Type.TEXT, "which way", default="BUY", choices=("BUY", "SELL")),
            "quantity": _P(Type.COUNT, "shares", default=100),
            "limit": _P(Type.NUMBER, "limit price; without it a market order", default=None),
            "by": _P(Type.WHOLE, "client id", default=0),
            "tif": _P(Type.TEXT, "time in force", default="DAY", choices=("DAY", "GTC")),
        },
    ),
    Action("liquidate", "IBKR closes a position by force; the execution says so.", _ANYWHERE, _SYMBOL),
    Action("position", "A position appears that no trade explains: a transfer, an assignment.", _ANYWHERE,
           _SYMBOL | {"quantity": _P(Type.NUMBER, "signed shares, fractions too"),
                      "price": _P(Type.NUMBER, "average cost", default=None)}),
    Action("roll_back_ids", "The next order id goes back; ids of lost orders are given out again.", _ANYWHERE,
           {"to": _P(Type.COUNT, "the next id of every client", default=1)}),
    Action("burn_ids", "The next order ids are used up by somebody else (103).", _ANYWHERE,
           {"count": _P(Type.COUNT, "how many", default=1)}),
)  # fmt: skip

ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (*_MESSAGE_ACTIONS, *_CONNECTION_ACTIONS, *_LINK_ACTIONS, *_MARKET_ACTIONS)
}  # fmt: skip
"""Every action by name."""

_BYTE_ACTIONS = frozenset({"drop", "freeze", "half_open"})
NOW = "now"
"""The "when" of an action that is done at once."""

_COMMON = ("when", "do", "client", "note")


@dataclass(frozen=True, slots=True)
class Fault:
    """One checked entry.

    Attributes:
        when: None for an action that is done at once.
        client: the client id it is about, None for any.
        values: every parameter, defaults filled in.
        entry: what was read, to be shown and written again.
    """

    when: Step | At | None
    action: Action
    values: Mapping[str, Any]
    client: int | None
    entry: Mapping[str, Any]


def read_fault(entry: Any, *, is_now: bool = False) -> Fault:
    """Return the fault an entry describes; with `is_now` an entry without "when".

    Raises:
        ValueError: one line that names the key, what was found and the cure.
    """
    if not isinstance(entry, Mapping):
        raise ValueError(f'{entry!r} is no entry; write {{"when": "recv:placeOrder#3", "do": "drop"}}')
    name = entry.get("do")
    action = ACTIONS.get(name) if isinstance(name, str) else None
    if action is None:
        raise ValueError(f"do = {name!r} is no action; write one of {', '.join(sorted(ACTIONS))}")
    when = None if is_now else _when(entry)
    place = Place.TIME if not isinstance(when, Step) else when.place
    if place not in action.places:
        fitting = ", ".join(sorted(f"{one.value}..." for one in action.places))
        raise ValueError(f"do = {name!r} cannot happen at {entry.get('when', NOW)!r}; it fits {fitting}")
    if isinstance(when, Step) and when.name == BYTE and name not in _BYTE_ACTIONS:
        raise ValueError(f"do = {name!r} cannot happen in a byte; write {', '.join(sorted(_BYTE_ACTIONS))}")
    client = entry.get("client")
    if client is not None and (not isinstance(client, int) or isinstance(client, bool) or client < 0):
        raise ValueError(f"client = {client!r} is no client id; write a number from 0 on")
    unknown = sorted(set(entry) - set(action.parameters) - set(_COMMON))
    if unknown:
        known = ", ".join(action.parameters) or "none"
        raise ValueError(f"{unknown[0]} is unknown to {name!r}; its parameters: {known}")
    values = {key: _value(str(name), key, one, entry) for key, one in action.parameters.items()}
    _check_together(str(name), values)
    return Fault(when, action, values, client, dict(entry))


def _when(entry: Mapping[str, Any]) -> Step | At:
    text = entry.get("when")
    if not isinstance(text, str):
        raise ValueError(f"when = {text!r} is no text; write recv:placeOrder#3, connect#2 or t=09:31:04")
    try:
        return parse_when(text)
    except ValueError as error:
        raise ValueError(f"when = {error}") from None


def _value(action: str, key: str, parameter: Parameter, entry: Mapping[str, Any]) -> Any:
    if key not in entry:
        if parameter.default is ...:
            raise ValueError(f"{key} is missing; {action!r} needs {parameter.type.value}: {parameter.about}")
        return parameter.default
    value = entry[key]
    if value is None and parameter.default is None:
        return None
    if not _fits(parameter.type, value):
        raise ValueError(f"{key} = {value!r} is not {parameter.type.value}")
    if parameter.choices and value not in parameter.choices:
        raise ValueError(f"{key} = {value!r} is unknown; write {' or '.join(str(one) for one in parameter.choices)}")
    return value


def _fits(kind: Type, value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if kind in (Type.COUNT, Type.WHOLE):
        return is_number and isinstance(value, int) and value >= (1 if kind is Type.COUNT else -(2**31))
    if kind is Type.NUMBER:
        return is_number
    if kind is Type.SECONDS:
        return is_number and value >= 0
    if kind is Type.PERMUTATION:
        is_list = isinstance(value, list) and sorted(map(str, value)) == sorted(map(str, range(len(value))))
        return value == "reverse" or is_list
    return isinstance(value, {Type.TEXT: str, Type.FLAG: bool, Type.TABLE: Mapping}[kind])


def _check_together(action: str, values: Mapping[str, Any]) -> None:
    """Check what one parameter alone does not tell."""
    if action == "say" and values["message"] not in RESPONSE_NAMES:
        asks = values["message"] in REQUEST_NAMES
        hint = "that is a request" if asks else "the documentation lists them"
        raise ValueError(f"message = {values['message']!r} is nothing TWS sends; {hint}")
    if action == "latency":
        read_latency(values["model"])
    if action == "refuse" and not (values["times"] > 0 or values["seconds"] > 0):
        raise ValueError("refuse needs times or seconds; write times = 3 or seconds = 120")
    if action == "edit" and not (values["set"] or values["add"] or values["scale"]):
        raise ValueError('edit changes nothing; write "set": {"price": -1}, "add" or "scale"')
    if action == "reject" and not values["text"] and values["code"] not in ERRORS:
        code = values["code"]
        raise ValueError(f'the words of code {code} are not known here; write "text": "..." beside "code": {code}')
    if action in ("drop", "fragment", "chunk") and values["bytes"] < 0:
        raise ValueError(f"bytes = {values['bytes']} is negative; write 0 or above")
