"""Requests for bars as a session serves them: what leaves when."""

from datetime import date

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.simulator import Simulator
from tests.tws_sim.raw_client import RawClient, names

NAMES = 6


def test_a_long_answer_leaves_before_the_next_request_of_the_same_read_is_served() -> None:
    tape = seeded_tape(7)
    client = RawClient(Simulator(tape, SimConfig(), at(date(2026, 1, 15), "11:07:23")))
    served: list[list[str]] = []
    client.session.on_push = lambda: served.append(names(client.read()))
    stocks = [contract for contract in tape.contracts() if contract.currency == "USD"][:NAMES]

    for place, contract in enumerate(stocks):
        # A year of days has some 16,000 bytes, a week 400.
        duration = "1 Y" if place % 2 else "1 W"
        client.send(
            "reqHistoricalData", reqId=place, conId=contract.con_id, symbol=contract.symbol, secType="STK",
            exchange="SMART", currency="USD", barSize="1 day", duration=duration, useRth=True, whatToShow="TRADES",
            formatDate=1,
        )  # fmt: skip

    # Each long answer takes along the short one that was waiting: the order is that of the requests.
    assert served == [["historicalData", "historicalData"]] * (NAMES // 2)
    assert client.read() == []
