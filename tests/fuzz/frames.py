"""Spoilt requests by the million: each ends in an answer, an error or a closed connection, never in an exception.

    python -m tests.fuzz.frames --frames 5000000 --seed 1

Clients of every kind of version (text, raw ids, protobuf) send requests with fields replaced, lost, added and
swapped, protobuf with bytes turned over and lengths forged, and plain noise. After every few frames the session
must still answer, or be over with a reason. Prints what it saw; the same seed does the same again.
"""

import argparse
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import numpy as np

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim import protobuf
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.fields import Field, Item, Kind, Many, Values, When, encode, encode_body
from quant_trading.tws_sim.protobuf_requests import REQUEST_TABLES
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.tape import Contract, QuoteTicks, TradeTicks
from quant_trading.tws_sim.wire import MAX_FRAME, RAW_IDS_SINCE, encode_frame, encode_raw_frame
from tests.tws_sim.step_tape import StepTape

START_DAY = date(2026, 11, 19)
START = at(START_DAY, "10:00")
VERSIONS = (157, 163, 176, 178, 187, 192, 195, 200, 201, 207, 213, 225)
FRAMES_PER_MARKET = 20_000
"""After so many frames a new market opens: orders that are good stay in the books, as they must."""

NASTY = (
    "", "0", "1", "-1", "2147483647", "2147483648", "99999999999999999999", "1.7976931348623157E308", "-1e308",
    "1e-300", "nan", "inf", "Infinity", "1.5", "true", "x", "'", "\\", "é", "\U0001f600", " ", "\n", "a" * 5000,
    "1" * 400, "0." + "1" * 300, "BAG", "PEG BENCH", "PEG BEST", "IBKRATS", "STK", "OPT", "CASH", "AAPL", "265598",
    "SMART", "BUY", "MKT", "LMT", "STP", "TRAIL", "MOC", "DU1234567", "All", "$LEDGER:ALL", "20261119-15:00:00",
    "20261119 10:00:00 Mars/Base", "99999999 99:99:99", "1 Y", "1 day", "1 secs", "TRADES", "MIDPOINT", "SCHEDULE", "٣",
)  # fmt: skip
WORDS: Values = {
    "symbol": ("ACME", "ACME", "BOLT", "AAPL", "EUR", ""),
    "secType": ("STK", "STK", "STK", "CASH", "OPT", "FUT", "BAG", "IND"),
    "exchange": ("SMART", "SMART", "ISLAND", "IDEALPRO", ""), "currency": ("USD", "USD", "EUR"),
    "action": ("BUY", "SELL"), "tif": ("DAY", "GTC", "IOC", "GTD", "OPG", "FOK"),
    "orderType": ("MKT", "LMT", "STP", "STP LMT", "TRAIL", "MOC", "LOC", "REL", "MIT", "PEG MID"),
    "group": ("All",), "tags": ("NetLiquidation,$LEDGER", "All"), "account": ("DU1234567", ""),
    "endDateTime": ("", "20261118-20:00:00"), "startDateTime": ("20261118-15:00:00", ""),
    "barSize": ("1 day", "1 min", "5 mins", "1 hour"), "duration": ("1 M", "2 D", "3600 S", "1 Y"),
    "whatToShow": ("TRADES", "MIDPOINT", "BID_ASK", "ADJUSTED_LAST", "SCHEDULE"),
    "tickType": ("Last", "BidAsk", "MidPoint"), "date": ("20261118",),
    "genericTicks": ("", "233", "100,101"), "pattern": ("AA", "MS"), "timePeriod": ("3 days",),
    "conjunction": ("a", "o"), "value": ("10.5", "20261119-15:00:00"), "scanCode": ("TOP_PERC_GAIN",),
    "instrument": ("STK",), "locationCode": ("STK.US.MAJOR",), "providerCodes": ("BRFG",), "right": ("", "C", "P"),
}  # fmt: skip
SMALL = {"formatDate": 3, "marketDataType": 5, "count": 3, "numRows": 10, "faDataType": 4, "condType": 8, "barSize": 6,
         "numberOfTicks": 50, "ocaType": 4, "triggerMethod": 9, "groupId": 9}  # fmt: skip


PLACE_ORDER = 3
POOL = 600
"""How many sound requests there are per version, before they are spoilt."""

_ID: protobuf.Table = (protobuf.Scalar(1, "id", protobuf.Form.INT),)


class Fuzzer:
    """Makes frames, and markets to send them to."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self._names = sorted(set(REQUEST_NAMES) - {"startApi", "placeOrder"})
        self._next_id = 1
        self._pools: dict[int, list[tuple[int, bytes | list[str]]]] = {}

    def frame(self, version: int) -> bytes:
        """Return one spoilt request of a client at `version`."""
        chance = self.chance
        pool = self._pools.get(version)
        if pool is None:
            pool = self._pools[version] = [self._sound(version) for _ in range(POOL)]
        number, sound = pool[chance.randrange(POOL)]
        self._next_id += 1
        if isinstance(sound, bytes):
            # Of a field given twice the last one counts: a fresh id without writing the request again.
            payload = bytearray(sound + protobuf.encode("id", _ID, {"id": self._next_id}))
            self._spoil_bytes(payload)
            frame = bytearray(encode_raw_frame(number, bytes(payload)))
        else:
            fields = sound.copy()
            if number == PLACE_ORDER:
                fields[1] = str(self._next_id)
            self._spoil_fields(fields)
            if version >= RAW_IDS_SINCE:
                frame = bytearray(encode_raw_frame(number, fields[1:]))
            else:
                frame = bytearray(encode_frame(fields))
        if chance.random() < 0.01 and frame:
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        if chance.random() < 0.002:
            del frame[chance.randrange(len(frame)) :]
        return bytes(frame)

    def _sound(self, version: int) -> tuple[int, bytes | list[str]]:
        """Return a request as an honest client would send it: its id, and its fields or its protobuf bytes."""
        chance = self.chance
        # Orders are most of what can go wrong, so they are most of what is tried.
        name = "placeOrder" if chance.random() < 0.4 else chance.choice(self._names)
        layout = REQUEST_NAMES[name]
        values: Values = {}
        self._draw(layout.items, values)
        if version >= RAW_IDS_SINCE and name in REQUEST_TABLES and chance.random() < 0.7:
            return layout.id, protobuf.encode(name, REQUEST_TABLES[name], _protobuf_values(values))
        return layout.id, encode(layout, values, version)

    def _spoil_fields(self, fields: list[str]) -> None:
        chance = self.chance
        for _ in range(chance.randrange(4)):
            if not fields:
                return
            place = chance.randrange(len(fields))
            what = chance.randrange(5)
            if what == 0:
                fields[place] = chance.choice(NASTY)
            elif what == 1:
                del fields[place]
            elif what == 2:
                fields.insert(place, chance.choice(NASTY))
            elif what == 3:
                other = chance.randrange(len(fields))
                fields[place], fields[other] = fields[other], fields[place]
            else:
                fields[place] = "".join(chr(chance.randrange(1, 0x250)) for _ in range(chance.randrange(6)))

    def _spoil_bytes(self, payload: bytearray) -> None:
        chance = self.chance
        for _ in range(chance.randrange(3)):
            if not payload:
                return
            place = chance.randrange(len(payload))
            what = chance.randrange(4)
            if what == 0:
                payload[place] = chance.randrange(256)
            elif what == 1:
                del payload[place]
            elif what == 2:
                payload[place:place] = chance.choice(
                    (b"\xff" * 11, b"\x0a\xff\xff\xff\x7f", b"\x09\0", bytes([chance.randrange(256)]))
                )
            else:
                payload[place:place] = chance.choice(NASTY).encode()[:200]

    def _draw(self, items: tuple[Item, ...], values: Values) -> None:
        chance = self.chance
        for item in items:
            if isinstance(item, When):
                if item.test(values):
                    self._draw(item.items, values)
            elif isinstance(item, Many):
                values[item.name] = []
                for _ in range(chance.choice((0, 0, 0, 1, 2))):
                    row: Values = {}
                    self._draw(item.items, row)
                    values[item.name].append(row)
            elif isinstance(item, Field):
                values[item.name] = self._draw_value(item)

    def _draw_value(self, item: Field) -> object:
        chance = self.chance
        if item.kind is Kind.FLAG:
            return item.name in ("transmit", "subscribe") or chance.random() < 0.1
        if item.kind in (Kind.TEXT, Kind.ESCAPED):
            words = WORDS.get(item.name)
            return chance.choice(words) if words and (item.name == "date" or chance.random() < 0.9) else ""
        if item.name in ("orderId", "reqId"):
            self._next_id += 1
            return self._next_id if chance.random() < 0.7 else max(1, self._next_id - chance.randrange(20))
        if item.kind is Kind.INT:
            return chance.randrange(SMALL.get(item.name, 2))
        if item.name in ("lmtPrice", "auxPrice", "totalQuantity"):
            return Decimal(chance.randrange(1, 400))
        return None if chance.random() < 0.8 else Decimal(chance.randrange(1, 10_000)) / 100


def _protobuf_values(values: Values) -> Values:
    """Return the values with the parts that protobuf cuts otherwise left out: they are spoilt as text."""
    return {name: value for name, value in values.items() if name not in ("conditions", "orderComboLegs", "rest")}


def hello(version: int) -> bytes:
    """Return a client's first bytes."""
    words = f"v100..{version}".encode()
    return b"API\0" + len(words).to_bytes(4, "big") + words


def current_time(version: int) -> bytes:
    """Return a request that every healthy session answers."""
    layout = REQUEST_NAMES["reqCurrentTime"]
    if version >= RAW_IDS_SINCE:
        return encode_raw_frame(layout.id, encode_body(layout, {}, version))
    return encode_frame(encode(layout, {}, version))


class QuietTape(StepTape):
    """A market with two prices and no ticks in between."""

    def ticks(self, contract: Contract, start_ns: int, end_ns: int, use_rth: bool = True) -> TradeTicks:
        """Return no trades."""
        none = np.zeros(0, np.int64)
        return TradeTicks(none, np.zeros(0), none, none)

    def quotes(self, contract: Contract, start_ns: int, end_ns: int) -> QuoteTicks:
        """Return no quotes."""
        none = np.zeros(0, np.int64)
        return QuoteTicks(none, np.zeros(0), np.zeros(0), none, none)


def open_market(source: str) -> Simulator:
    """Return a fresh market: "steps", whose prices cost nothing to work out, or any source the simulator knows."""
    if source == "steps":
        steps = [(at(START_DAY, "09:30"), "10.00"), (at(START_DAY, "11:00"), "9.90")]
        return Simulator(QuietTape({"ACME": steps, "BOLT": steps}), SimConfig(), START)
    return Simulator(open_source(source), SimConfig(), START)


def connect(simulator: Simulator, version: int, client_id: int) -> Session:
    """Return a session that has said hello and started."""
    session = simulator.connect()
    session.receive(hello(version))
    layout = REQUEST_NAMES["startApi"]
    values = {"clientId": client_id, "optionalCapabilities": ""}
    if session.version >= RAW_IDS_SINCE:
        session.receive(encode_raw_frame(layout.id, encode_body(layout, values, session.version)))
    else:
        session.receive(encode_frame(encode(layout, values, session.version)))
    session.data_to_send()
    return session


def run(frames: int, seed: int, source: str = "steps", on_market: Callable[[int], None] | None = None) -> Counter[str]:
    """Send `frames` frames; return what became of them.

    Raises:
        AssertionError: when a session neither answers nor ends, or holds more than one message back.
    """
    fuzzer = Fuzzer(seed)
    chance, seen = fuzzer.chance, fuzzer.seen
    simulator, session, version = open_market(source), None, 0
    for number in range(frames):
        if number % FRAMES_PER_MARKET == 0 and number:
            simulator, session = open_market(source), None
            if on_market is not None:
                on_market(number)
        if session is None or session.is_closed:
            version = chance.choice(VERSIONS)
            session = connect(simulator, version, chance.randrange(3))
            seen["sessions"] += 1
            if session.is_closed:
                seen["refused"] += 1
                session = None
                continue
        data = fuzzer.frame(version) if chance.random() < 0.995 else chance.randbytes(chance.randrange(1, 80))
        for piece in _pieces(chance, data):
            session.receive(piece)
        seen["frames"] += 1
        seen["answered"] += bool(session.data_to_send())
        if number % 10 == 0:
            simulator.advance_to(simulator.now_ns + chance.randrange(2 * 10**9))
            session.data_to_send()
            session = _check(session, version, seen)
    return seen


def _pieces(chance: random.Random, data: bytes) -> list[bytes]:
    if chance.random() < 0.9:
        return [data]
    return [data[at : at + 1] for at in range(len(data))] if len(data) < 200 else [data[:7], data[7:]]


def _check(session: Session, version: int, seen: Counter[str]) -> Session | None:
    """Return the session when it still answers; None when it is over, or waits for the rest of a forged length."""
    if not session.is_closed:
        session.receive(current_time(version))
        if session.data_to_send():
            return session
        if not session.is_closed:
            assert session.unread_bytes <= MAX_FRAME + 4, f"{session.unread_bytes} bytes are held back"
            seen["waiting for more"] += 1
            session.receive_eof()
            return None
    assert session.close_reason, "a session is over without a reason"
    seen["closed"] += 1
    return None


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200_000, help="how many (default: 200000)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (default: 1)")
    parser.add_argument("--market", default="steps", help='"steps" (fast, the default) or a source such as seed:7')
    options = parser.parse_args()
    started = time.perf_counter()
    seen = run(options.frames, options.seed, options.market, lambda number: print(f"{number:,}", file=sys.stderr))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(", ".join(f"{name} {count:,}" for name, count in sorted(seen.items())))
    print(f"{options.frames:,} frames in {seconds:.1f} s, {options.frames / seconds:,.0f}/s, peak memory {peak:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
