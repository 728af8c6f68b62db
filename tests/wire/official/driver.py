"""Runs inside another environment: the official client's own encoder and decoder, asked over JSON lines.

Standard library and `ibapi` only, whatever its version. Each input line is one task, each output line its result:

    {"do": "decode", "version": 187, "id": 5, "fields": [...]}            what the client makes of a text answer
    {"do": "decode", "version": 225, "id": 5, "protobuf": "hex"}          the same in protobuf
    {"do": "encode", "version": 187, "method": "reqPnL", "args": [...]}   what the client sends

A class of the client among the arguments is written {"=Order": {"lmtPrice": 1.5}}.
"""

import contextlib
import enum
import inspect
import json
import logging
import sys
from decimal import Decimal

import ibapi.client
import ibapi.contract
import ibapi.decoder
import ibapi.execution
import ibapi.order
import ibapi.order_condition
import ibapi.scanner
import ibapi.tag_value
import ibapi.wrapper

MODULES = [ibapi.contract, ibapi.order, ibapi.order_condition, ibapi.execution, ibapi.scanner, ibapi.tag_value]
for name in ("ibapi.order_cancel", "ibapi.common", "ibapi.softdollartier"):
    with contextlib.suppress(ImportError):
        MODULES.append(__import__(name, fromlist=["x"]))

KNOWS_PROTOBUF = hasattr(ibapi.decoder.Decoder, "processProtoBuf")


class Log(logging.Handler):
    def __init__(self):
        super().__init__(logging.ERROR)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


LOG = Log()
logging.getLogger("ibapi").addHandler(LOG)


class Recorder:
    """A wrapper that takes note of every call, with the names of its parameters."""

    def __init__(self):
        self.calls = []
        self.errors = []

    def __getattr__(self, name):
        def note(*args):
            if name.endswith("ProtoBuf"):
                return
            parameters = list(inspect.signature(getattr(ibapi.wrapper.EWrapper, name)).parameters)[1:]
            self.calls.append([name, [[key, plain(arg)] for key, arg in zip(parameters, args, strict=False)]])

        return note


def plain(value):
    """Return `value` as JSON can hold it; numbers keep all their digits."""
    if isinstance(value, enum.Enum):
        return plain(value.value[0] if isinstance(value.value, tuple) else value.value)
    if isinstance(value, Decimal):
        return str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return [[plain(key), plain(item)] for key, item in value.items()]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return {"=": {key: plain(item) for key, item in vars(value).items()}}


class Fields(tuple):
    """Fields that know how many of them have been read."""

    def __iter__(self):
        self.reader = super().__iter__()
        return self.reader


DECODERS = {}


def decode(task):
    recorder = Recorder()
    version = task["version"]
    if version not in DECODERS:  # it looks at every method of its wrapper when it is made
        DECODERS[version] = ibapi.decoder.Decoder(recorder, version)
    decoder = DECODERS[version]
    decoder.wrapper = recorder
    rest = 0
    if "protobuf" in task:
        decoder.processProtoBuf(bytes.fromhex(task["protobuf"]), task["id"])
    else:
        texts = [text.encode("utf-8") for text in task["fields"]]
        if KNOWS_PROTOBUF:
            fields = Fields(texts)
            decoder.interpret(fields, task["id"])
        else:
            fields = Fields([str(task["id"]).encode(), *texts])
            decoder.interpret(fields)
        reader = getattr(fields, "reader", None)
        rest = len(list(reader)) if reader is not None else 0
    return {"calls": recorder.calls, "rest": rest}


class Connection:
    def __init__(self):
        self.sent = []

    def sendMsg(self, data):  # noqa: N802 the client calls it so
        self.sent.append(data)

    def isConnected(self):  # noqa: N802 the client calls it so
        return True


def built(value):
    """Return an argument as the client wants it."""
    if isinstance(value, list):
        return [built(item) for item in value]
    if isinstance(value, dict):
        if "=decimal" in value:
            return Decimal(value["=decimal"])
        [(name, attributes)] = value.items()
        made = find_class(name[1:])()
        for key, item in attributes.items():
            if hasattr(made, key):
                setattr(made, key, built(item))
        return made
    return value


def find_class(name):
    for module in MODULES:
        if hasattr(module, name):
            return getattr(module, name)
    raise LookupError(name)


def encode(task):
    recorder = Recorder()
    client = ibapi.client.EClient(recorder)
    client.conn = Connection()
    client.connState = ibapi.client.EClient.CONNECTED
    client.serverVersion_ = task["version"]
    client.clientId = 7
    client.optCapab = ""
    method = getattr(client, task["method"], None)
    if method is None:
        return {"absent": True}
    accepted = len(inspect.signature(method).parameters)
    method(*[built(arg) for arg in task["args"][:accepted]])
    return {"frames": [data.hex() for data in client.conn.sent], "refused": recorder.calls}


def main():
    for line in sys.stdin:
        task = json.loads(line)
        LOG.lines.clear()
        try:
            result = (decode if task["do"] == "decode" else encode)(task)
        except Exception as error:  # noqa: BLE001 the point is to say what the client trips over
            result = {"failed": f"{type(error).__name__}: {error}"}
        result["logged"] = list(LOG.lines)
        print(json.dumps(result))


if __name__ == "__main__":
    main()
