"""Every message of the simulator, at every server version, is read by the official clients as it was meant.

Each field has a value of its own. What the client hands to its user is compared field by field, and no field
of the message may be left unread.
"""

from typing import Any

import pytest

from quant_trading.tws_sim.fields import Layout, encode_body
from quant_trading.tws_sim.protobuf_responses import RESPONSE_TABLES, encode_response
from quant_trading.tws_sim.responses import RESPONSES
from tests.wire.comparison import MAPS, alike, differences, flatten_calls
from tests.wire.markers import SINCE, fill, variants_of
from tests.wire.peers import PEERS, ask_peer

pytestmark = [pytest.mark.clients, pytest.mark.slow]

# Answers that come to the user in their protobuf form only.
UNSEEN = {"configResponse", "updateConfigResponse"}

# Fields that one of the two forms does not have.
UNLIKE = {"auctionStrategy", "basisPoints", "basisPointsType"}
# What the first client with protobuf does not read of it yet.
FORGETS = ("orderId", "deltaNeutralSettlingFirm", "comboLegs.shortSaleSlot")

UNORDERED = (*MAPS, "smartComponentMap")
BOND_MATURITY = ("bondContractDetails", "lastTradeDateOrContractMonth")  # protobuf gives it as the contract's date too


def versions_of(highest: int) -> list[int]:
    """Return the versions to be tried with a client: all text ones but 158, then those where families move."""
    return [version for version in range(157, highest + 1) if version != 158]


def task_for(layout: Layout, version: int, values: dict[str, Any]) -> dict[str, Any]:
    """Return the message as a session would send it at that version."""
    task = {"do": "decode", "version": version, "id": layout.id}
    payload = encode_response(layout.name, values, version)
    if payload is not None:
        return task | {"protobuf": payload.hex()}
    return task | {"fields": encode_body(layout, values, version)}


@pytest.mark.parametrize("variable", PEERS)
def test_every_message_is_read_as_it_was_meant(variable: str) -> None:
    highest = PEERS[variable]
    cases = []
    for version in versions_of(highest):
        for layout in RESPONSES.values():
            if layout.name in UNSEEN or version < SINCE.get(layout.name, 0):
                continue
            for variant in variants_of(layout):
                values = fill(layout, version, variant, whole_numbers=highest == 157)
                cases.append((layout, version, variant, values))

    results = ask_peer(variable, [task_for(layout, version, values) for layout, version, _, values in cases])

    wrong = []
    for (layout, version, variant, values), result in zip(cases, results, strict=True):
        is_protobuf = encode_response(layout.name, values, version) is not None
        # The one size increment of version 163 alone is read and forgotten.
        dropped = ("suggestedSizeIncrement",) if version == 163 else ()
        dropped += FORGETS if highest == 203 and is_protobuf else ()
        reasons = differences(layout.name, values, result, is_protobuf=is_protobuf, dropped=dropped)
        wrong += [f"{layout.name} {version} {variant}: {reason}" for reason in reasons]
    assert len(cases) > 100
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong[:40])


def test_protobuf_says_what_text_says() -> None:
    """The newest client makes the same calls of the same values, whichever way they come."""
    cases = [
        (layout, variant, fill(layout, 200, variant, whole_numbers=False))
        for layout in RESPONSES.values()
        for variant in variants_of(layout)
        if layout.name in RESPONSE_TABLES and layout.name not in UNSEEN
    ]
    tasks = [task_for(layout, version, values) for layout, _, values in cases for version in (200, 225)]

    results = ask_peer("QT_PYTHON_NAUTILUS_IBAPI_1046", tasks)

    wrong = []
    for (layout, variant, _), text, protobuf in zip(cases, results[::2], results[1::2], strict=True):
        one, other = flatten_calls(text), flatten_calls(protobuf)
        for key in sorted({*one, *other}):
            if key.startswith(UNORDERED) or key in UNLIKE or (layout.name, key) == BOND_MATURITY:
                continue
            if not alike(one.get(key, []), other.get(key, [])):
                wrong.append(f"{layout.name} {variant} {key}: {one.get(key)} as text, {other.get(key)} in protobuf")
    assert len(cases) > 120
    assert not wrong, "\n".join(wrong)
