"""One entry of a scenario: what is accepted, what is filled in, what is refused and how."""

import re
from typing import Any

import pytest

from quant_trading.tws_sim.faults import ACTIONS, Type, read_fault
from quant_trading.tws_sim.steps import Place

SAMPLES: dict[Type, Any] = {
    Type.COUNT: 2, Type.WHOLE: 1, Type.NUMBER: 1.5, Type.SECONDS: 2.5, Type.TEXT: "x", Type.FLAG: True,
    Type.TABLE: {"price": 1}, Type.PERMUTATION: [1, 0],
}  # fmt: skip
WRONG: dict[Type, Any] = {
    Type.COUNT: 0, Type.WHOLE: 1.5, Type.NUMBER: float("nan"), Type.SECONDS: -1, Type.TEXT: 5, Type.FLAG: 1,
    Type.TABLE: [], Type.PERMUTATION: [0, 0],
}  # fmt: skip
WHEN = {Place.RECEIVE: "recv:placeOrder", Place.SEND: "send:execDetails", Place.CONNECT: "connect",
        Place.DISCONNECT: "disconnect", Place.TIME: "t=+5"}  # fmt: skip


def entry_for(name: str) -> dict[str, Any]:
    """Return a valid entry with every parameter of an action."""
    action = ACTIONS[name]
    place = sorted(action.places, key=lambda one: one.value)[0]
    entry: dict[str, Any] = {"when": WHEN[place], "do": name, "note": "why", "client": 3}
    for key, parameter in action.parameters.items():
        entry[key] = parameter.choices[-1] if parameter.choices else SAMPLES[parameter.type]
    if name == "say":
        entry |= {"message": "nextValidId", "fields": {"orderId": 5}}
    if name == "latency":
        entry["model"] = {"default": 1}
    return entry


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_every_action_takes_its_parameters_and_no_others(name: str) -> None:
    entry = entry_for(name)
    fault = read_fault(entry)
    assert fault.action.name == name
    assert fault.client == 3
    assert {key: entry[key] for key in ACTIONS[name].parameters} == dict(fault.values)
    with pytest.raises(ValueError, match=f"colour is unknown to '{name}'"):
        read_fault({**entry, "colour": 1})


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_every_parameter_is_checked(name: str) -> None:
    for key, parameter in ACTIONS[name].parameters.items():
        with pytest.raises(ValueError, match=f"{key} = ") as error:
            read_fault({**entry_for(name), key: WRONG[parameter.type]})
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_every_action_fits_its_places_only(name: str) -> None:
    for place, when in WHEN.items():
        entry = {**entry_for(name), "when": when}
        if place in ACTIONS[name].places:
            read_fault(entry)
        else:
            with pytest.raises(ValueError, match="cannot happen at"):
                read_fault(entry)


def test_defaults_are_filled_in() -> None:
    assert read_fault({"when": "connect", "do": "restart"}).values == {"seconds": 120.0, "order_ids": "keep"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("drop", "is no entry"),
        ({"when": "connect"}, "do = None is no action"),
        ({"when": "connect", "do": "explode"}, "do = 'explode' is no action; write one of"),
        ({"do": "drop"}, "when = None is no text"),
        ({"when": "recv:placeorder", "do": "drop"}, "did you mean recv:placeOrder?"),
        ({"when": "t=+1", "do": "halt"}, "symbol is missing; 'halt' needs a text"),
        ({"when": "connect", "do": "refuse"}, "refuse needs times or seconds"),
        ({"when": "send:execDetails", "do": "edit"}, "edit changes nothing"),
        ({"when": "send:byte#5", "do": "swallow"}, "cannot happen in a byte"),
        ({"when": "connect", "do": "drop", "client": -1}, "client = -1 is no client id"),
        ({"when": "t=+1", "do": "say", "message": "placeOrder"}, "that is a request"),
        ({"when": "t=+1", "do": "latency", "model": {"default": -1}}, "latency.default = -1"),
        ({"when": "t=+1", "do": "farm", "name": "moon"}, "name = 'moon' is unknown; write usfarm or ushmds"),
    ],
)
def test_mistakes_are_named(entry: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        read_fault(entry)
    assert "\n" not in str(error.value)
