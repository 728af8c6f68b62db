"""Every message of the simulator, at every version ib_async speaks, is read by it as it was meant."""

import inspect
import logging
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import pytest
from ib_async.decoder import Decoder
from ib_async.wrapper import Wrapper

from quant_trading.tws_sim.fields import encode
from quant_trading.tws_sim.responses import RESPONSES
from tests.wire.comparison import differences
from tests.wire.markers import SINCE, fill, variants_of

VERSIONS = [version for version in range(157, 179) if version != 158]

# What the client has no answer for in its table, and says so, or takes without handing it on.
UNKNOWN = {
    "bondContractDetails", "tickEFP", "verifyMessageAPI", "verifyCompleted", "verifyAndAuthMessageAPI",
    "verifyAndAuthCompleted", "displayGroupList", "displayGroupUpdated", "deltaNeutralValidation", "replaceFAEnd",
    "rerouteMktDataReq", "rerouteMktDepthReq", "configResponse", "updateConfigResponse", "orderBound",
}  # fmt: skip


# The client reads these sizes as integers.
INTEGERS = {"histogramData"}

# A moment comes back as an object, whose seconds are compared: 2026-11-19 15:00 UTC.
TIMES = {"time": 1_795_100_400}


class Recorder:
    """A wrapper that takes note of every call, with the names of its parameters."""

    defaultTimezone = None  # noqa: N815

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        def note(*arguments: Any) -> None:
            parameters = list(inspect.signature(getattr(Wrapper, name)).parameters)[1:]
            pairs = zip(parameters, arguments, strict=False)
            self.calls.append([name, [[key.lstrip("_"), plain(argument)] for key, argument in pairs]])

        return note


def plain(value: Any) -> Any:
    """Return `value` as the comparison wants it."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {"=": {field.name: plain(getattr(value, field.name)) for field in fields(value)}}
    if hasattr(value, "_asdict"):
        return {"=": {key: plain(item) for key, item in value._asdict().items()}}
    if isinstance(value, dict):
        return [[plain(key), plain(item)] for key, item in value.items()]
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return str(round(value.timestamp()))
    return value if value is None or isinstance(value, bool | int | str) else str(value)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_message_is_read_as_it_was_meant(version: int, caplog: pytest.LogCaptureFixture) -> None:
    wrong = []
    for layout in RESPONSES.values():
        if layout.name in UNKNOWN or version < SINCE.get(layout.name, 0):
            continue
        for variant in variants_of(layout):
            values = fill(layout, version, variant, whole_numbers=layout.name in INTEGERS, special=TIMES)
            recorder = Recorder()
            caplog.clear()
            Decoder(recorder, version).interpret(encode(layout, values, version))
            logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
            result = {"calls": recorder.calls, "rest": 0, "logged": logged}
            wrong += [f"{layout.name} {variant}: {reason}" for reason in differences(layout.name, values, result)]
    assert not wrong, "\n".join(wrong)
