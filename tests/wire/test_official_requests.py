"""Every request of the official clients, at every server version, is read as its user meant it.

The values are drawn up first, the client is asked for them through its own methods, and what it puts on the
wire must come back as the same values: as text, and from version 201 on, family by family, as protobuf.
"""

from decimal import Decimal
from typing import Any

import pytest

from quant_trading.tws_sim.fields import Message, Values, decode
from quant_trading.tws_sim.protobuf_requests import decode_request
from quant_trading.tws_sim.requests import REQUEST_NAMES, REQUESTS
from quant_trading.tws_sim.wire import RAW_IDS_SINCE, Frame, FrameReader, ProtobufFrame
from tests.wire.comparison import MAPS, flatten_values, same
from tests.wire.markers import fill
from tests.wire.peers import PEERS, ask_peer
from tests.wire.request_calls import CALLS, contract_of, order_of

pytestmark = [pytest.mark.clients, pytest.mark.slow]

TEXT_VERSION = 200

# Since when a request exists, and the versions from which the client has it in protobuf only.
SINCE = {"reqWshMetaData": 161, "cancelWshMetaData": 161, "reqWshEventData": 161, "cancelWshEventData": 161,
         "reqUserInfo": 167, "reqCurrentTimeInMillis": 197, "cancelContractData": 215,
         "cancelHistoricalTicks": 215}  # fmt: skip

# Fields of long ago, which clients fill with nothing.
EMPTIED = {"sharesAllocation", "eTradeOnly", "firmQuoteOnly", "nbboPriceCap", "faProfile", "auctionStrategy"}

SPECIAL: Values = {"optionalCapabilities": "", "options": "a=1;", "filterOptions": "b=2;", "orderMiscOptions": "c=3;",
                   "faDataType": 1, "tickType": "Last",
                   "specificDates": [{"date": "20261118"}, {"date": "20261119"}]}  # fmt: skip

# Options "for internal use" that clients refuse to send as text, or forget; the oldest one has none at all.
PROTOBUF_OPTIONS = {"reqMktData": 206, "reqMktDepth": 206, "reqHistoricalNews": 209}
NO_OPTIONS: Values = {"options": "", "filterOptions": ""}

# Three versions had fields for quotes, of which the newest client knows nothing any more: it fills them with nothing.
NO_RFQ: Values = {"externalUserId": "", "extOperator": "", "manualOrderIndicator": None}

ORDER_VARIANTS: dict[str, Values] = {
    "full": {},
    "combination": {"secType": "BAG"},
    "benchmark": {"orderType": "PEG BENCH"},
    "best": {"orderType": "PEG BEST", "exchange": "IBKRATS", "competeAgainstBestOffset": Decimal("Infinity")},
    "middle": {"orderType": "PEG MID", "exchange": "IBKRATS"},
}


def values_for(name: str, version: int, special: Values, highest: int) -> Values:
    """Return what the request is to say, as far as the version has words for it."""
    if name == "startApi":
        special = special | {"clientId": 7}
    if highest == 203 == version:
        special = special | {"primaryExchange": ""}  # this client cannot write it in protobuf: it mistakes its name
    if highest > 187 and 187 <= version < 190:
        special = special | NO_RFQ
    return fill(REQUEST_NAMES[name], min(version, TEXT_VERSION), "full", special=SPECIAL | special)


def read_frames(data: bytes, version: int) -> Message:
    """Return the request in one frame of a client."""
    reader = FrameReader()
    reader.receive(b"API\0\0\0\0\x09v100..225")
    reader.raw_ids = version >= RAW_IDS_SINCE
    [event] = reader.receive(data)
    if isinstance(event, ProtobufFrame):
        return decode_request(REQUESTS[event.message_id], event.payload)
    assert isinstance(event, Frame)
    return decode(REQUESTS[int(event.fields[0])], event.fields[1:], version)


def differences(name: str, version: int, values: Values, result: dict[str, Any]) -> list[str]:
    """Return what was read otherwise than it was meant."""
    if "failed" in result or len(result.get("frames", ())) != 1:
        return [str(result)[:200]]
    request = read_frames(bytes.fromhex(result["frames"][0]), version)
    reasons = [f"{len(request.surplus)} fields too many"] if request.surplus else []
    if request.name != name:
        reasons.append(f"it is read as {request.name}")
    read = flatten_values({key: value for key, value in request.values.items() if key != "rest"})
    for key, meant in flatten_values(values).items():
        if key in EMPTIED:
            continue
        found = read.get(key, [])
        if version >= RAW_IDS_SINCE and key.startswith(MAPS):
            meant, found = sorted(meant), sorted(found)
        if len(meant) != len(found) or not all(same(one, other) for one, other in zip(meant, found, strict=True)):
            reasons.append(f"{key} = {meant} is read as {found}")
    return reasons


@pytest.mark.parametrize("variable", PEERS)
def test_every_request_is_read_as_it_was_meant(variable: str) -> None:
    highest = PEERS[variable]
    cases = []
    for version in range(157, highest + 1):
        if version == 158:
            continue
        for name, arguments in CALLS.items():
            if version >= SINCE.get(name, 0):
                has_options = version >= PROTOBUF_OPTIONS.get(name, 0) and highest > 157
                values = values_for(name, version, {} if has_options else NO_OPTIONS, highest)
                given = arguments(values)
                if name == "cancelOrder" and highest == 176:
                    given = [values["orderId"], values.get("manualCancelOrderTime", "")]
                cases.append((name, name, version, values, given))
        for variant, special in ORDER_VARIANTS.items():
            values = values_for("placeOrder", version, special, highest)
            arguments_of = [values["orderId"], contract_of(values), order_of(values, has_decimals=highest > 157)]
            cases.append(("placeOrder", f"placeOrder {variant}", version, values, arguments_of))
    tasks = [
        {"do": "encode", "version": version, "method": name, "args": arguments}
        for name, _, version, _, arguments in cases
    ]

    results = ask_peer(variable, tasks)

    wrong, seen = [], 0
    for (name, label, version, values, _), result in zip(cases, results, strict=True):
        if "absent" in result:
            continue
        seen += 1
        wrong += [f"{label} {version}: {reason}" for reason in differences(name, version, values, result)]
    assert seen > 70
    assert not wrong, f"{len(wrong)} of {seen}:\n" + "\n".join(wrong[:40])


def test_every_request_of_the_table_is_tried() -> None:
    untried = set(REQUEST_NAMES) - set(CALLS)

    # Without a client's authentication nothing is sent for the last four; the configuration has no method yet.
    assert untried == {"placeOrder", "verifyRequest", "verifyMessage", "verifyAndAuthRequest", "verifyAndAuthMessage",
                       "reqConfig", "updateConfig"}  # fmt: skip
