"""20,000 mutated requests: each is answered or ends the connection; none raises, none leaves the session mute."""

import random
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.fields import encode
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.wire import encode_frame
from tests.tws_sim.raw_client import RawClient
from tests.tws_sim.step_tape import StepTape

THURSDAY = date(2026, 11, 19)
FRAMES = 20_000
NASTY = (
    "", "0", "1", "-1", "2147483647", "2147483648", "99999999999999999999", "1.7976931348623157E308", "-1e308",
    "1e-300", "nan", "inf", "Infinite", "1.5", "true", "x", "'", "\\", "é", "\U0001f600", " ", "\n", "a" * 5000,
    "1" * 400,
    "0." + "1" * 300, "BAG", "PEG BENCH", "PEG BEST", "IBKRATS", "STK", "ACME", "101", "SMART", "BUY", "MKT", "LMT",
    "DU1234567", "All", "$LEDGER:ALL", "20261119-15:00:00", "20261119 10:00:00 Mars/Base", "99999999 99:99:99",
    "1 Y", "1 day", "TRADES", "٣",
)  # fmt: skip
PLAUSIBLE: dict[str, Any] = {
    "reqId": 3, "orderId": 3, "conId": 101, "symbol": "ACME", "secType": "STK", "exchange": "SMART", "currency": "USD",
    "action": "BUY", "totalQuantity": Decimal(10), "orderType": "LMT", "lmtPrice": Decimal("9.99"), "tif": "GTC",
    "transmit": True, "subscribe": True, "group": "All", "tags": "NetLiquidation,$LEDGER", "account": "DU1234567",
    "endDateTime": "", "barSize": "1 day", "duration": "1 M", "whatToShow": "TRADES", "formatDate": 1,
    "marketDataType": 1, "marketRuleId": 26, "pattern": "AC", "count": 1, "rest": [],
}  # fmt: skip

OTHERS = sorted(set(REQUEST_NAMES) - {"startApi", "placeOrder"})


def mutated(chance: random.Random, order_id: int) -> bytes:
    """Return one request with some of its fields, or some of its bytes, spoilt."""
    # Orders are most of what can go wrong, so they are most of what is tried.
    is_order = chance.random() < 0.4
    layout = REQUEST_NAMES["placeOrder" if is_order else chance.choice(OTHERS)]
    values = PLAUSIBLE | {"orderId": order_id}
    if is_order:
        side, kind = chance.choice(("BUY", "SELL")), chance.choice(("MKT", "LMT"))
        values |= {"action": side, "orderType": kind, "duration": None}
    fields = encode(layout, values, 178)
    for _ in range(chance.randrange(4)):
        place = chance.randrange(len(fields))
        what = chance.randrange(5)
        if what == 0:
            fields[place] = chance.choice(NASTY)
        elif what == 1 and len(fields) > 1:
            del fields[place]
        elif what == 2:
            fields.insert(place, chance.choice(NASTY))
        elif what == 3:
            other = chance.randrange(len(fields))
            fields[place], fields[other] = fields[other], fields[place]
        else:
            fields[place] = "".join(chr(chance.randrange(1, 0x250)) for _ in range(chance.randrange(6)))
    frame = bytearray(encode_frame(fields))
    if chance.random() < 0.05:
        frame[chance.randrange(len(frame))] = chance.randrange(256)
    if chance.random() < 0.01:
        del frame[chance.randrange(len(frame)) :]
    return bytes(frame)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_no_frame_raises_or_mutes_the_session(seed: int) -> None:
    chance = random.Random(seed)
    tape = StepTape({"ACME": [(at(THURSDAY, "09:30"), "10.00"), (at(THURSDAY, "11:00"), "9.90")]})
    simulator = Simulator(tape, SimConfig(), at(THURSDAY, "10:00"))
    client = RawClient(simulator, 0)
    answered = closed = 0
    for count in range(FRAMES // 2):
        client.session.receive(mutated(chance, count + 1))
        if client.session.data_to_send():
            answered += 1
        if count % 10 == 0:
            simulator.advance_to(simulator.now_ns + chance.randrange(10**9))
            client.session.data_to_send()
            # Whatever came before: the session still answers, or it is over, or a spoilt length prefix
            # made it wait for the rest of a longer message.
            client.session.receive(encode_frame(["49", "1"]))
            if client.session.is_closed or not client.session.data_to_send():
                closed += 1
                client.session.receive_eof()
                client = RawClient(simulator, 0)

    assert answered > FRAMES // 4
    assert 10 < closed < FRAMES // 40
    ledger = simulator.ledgers["DU1234567"]
    value = sum(held.quantity * Decimal("10.00") for held in ledger.positions.values())
    assert len(simulator.executions) > 100
    assert simulator.now_ns < at(THURSDAY, "11:00")
    assert simulator.equity() == ledger.cash + value


def test_bytes_of_any_kind_do_not_raise() -> None:
    chance = random.Random(3)
    simulator = Simulator(StepTape({}), SimConfig(), at(THURSDAY, "10:00"))
    for _ in range(300):
        session = simulator.connect()
        for _ in range(5):
            session.receive(chance.randbytes(chance.randrange(60)))
        assert session.is_closed
        assert session.close_reason
