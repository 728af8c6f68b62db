"""The gateway: each action does what it says to a client that only knows bytes."""

import asyncio
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.faults import read_fault
from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.latency import read_latency
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.virtual import VirtualLoop
from quant_trading.tws_sim.wire import encode_frame
from tests.tws_sim.raw_client import RawClient, hello, names, only
from tests.tws_sim.step_tape import StepTape

THURSDAY = date(2026, 11, 19)
START = at(THURSDAY, "10:00")
SECOND_NS = 1_000_000_000
TAPE = {
    "ACME": [(at(THURSDAY, "09:30"), "10.00"), (at(THURSDAY, "11:00"), "9.00")],
    "BOLT": [(at(THURSDAY, "09:30"), "50.00")],
}
FILLED = ["openOrder PreSubmitted", "orderStatus PreSubmitted", "execDetails", "openOrder Filled", "orderStatus Filled",
          "commissionReport"]  # fmt: skip


def gateway(*entries: dict[str, Any], latency: dict[str, Any] | None = None, **settings: Any) -> Gateway:
    """Return a small market at ten o'clock with faults in front of it."""
    simulator = Simulator(StepTape(TAPE), SimConfig(**settings), START)
    model = None if latency is None else read_latency(latency, 1)
    return Gateway(simulator, [read_fault(entry) for entry in entries], latency=model, seed=1)


def later(tws: Gateway, seconds: float) -> None:
    tws.advance_to(tws.now_ns + round(seconds * SECOND_NS))


def test_without_faults_nothing_is_changed() -> None:
    plain, behind = RawClient(gateway().simulator), RawClient(gateway())
    assert names(plain.greeting) == names(behind.greeting)
    assert names(behind.order(1)) == FILLED


# Messages


def test_lost_repeated_and_late_messages() -> None:
    tws = gateway(
        {"when": "send:openOrder#1", "do": "swallow"},
        {"when": "send:execDetails#1", "do": "duplicate", "times": 2},
        {"when": "send:commissionReport#1", "do": "delay", "seconds": 30},
    )
    client = RawClient(tws)
    assert names(client.order(1)) == [FILLED[1], "execDetails", "execDetails", "execDetails", *FILLED[3:5]]
    later(tws, 29)
    assert client.read() == []
    later(tws, 2)
    assert names(client.read()) == ["commissionReport"]
    assert tws.fired == {"swallow": 1, "duplicate": 1, "delay": 1}


@pytest.mark.parametrize("is_watched", [False, True])
def test_acknowledgement_and_execution_leave_early_unless_answers_are_wanted_together(is_watched: bool) -> None:
    tws = gateway(*([{"when": "connect#9", "do": "drop"}] if is_watched else []))
    client = RawClient(tws)  # type: ignore[arg-type]
    early: list[list[str]] = []
    client.session.on_push = lambda: early.append(names(client.read()))

    rest = names(client.order(1))

    early_ones = [] if is_watched else [FILLED[:2], FILLED[2:3]]
    assert (early, rest) == (early_ones, FILLED if is_watched else FILLED[3:])


def test_replies_in_another_order() -> None:
    client = RawClient(gateway({"when": "send:execDetails#1", "do": "reorder"}))
    assert names(client.order(1)) == FILLED[::-1]
    client = RawClient(gateway({"when": "send:execDetails#1", "do": "reorder", "order": [1, 2, 0]}))
    assert names(client.order(1)) == [*FILLED[:2], FILLED[3], FILLED[4], FILLED[2], FILLED[5]]


def test_fields_are_set_increased_and_multiplied() -> None:
    tws = gateway(
        {
            "when": "send:execDetails#1",
            "do": "edit",
            "set": {"orderRef": "me"},
            "add": {"price": 0.5},
            "scale": {"shares": 2},
        },
        {"when": "recv:placeOrder#2", "do": "edit", "set": {"totalQuantity": 70}},
    )
    client = RawClient(tws)
    fill = only(client.order(1, quantity=100), "execDetails")
    assert (fill.text("orderRef"), fill.number("price"), fill.number("shares")) == ("me", Decimal("10.51"), 200)
    assert only(client.order(2, quantity=100), "execDetails").number("shares") == 70


@pytest.mark.parametrize("how", ["flip", "truncate", "extend", "length", "id", "field", "drop_field"])
def test_damaged_messages_differ_from_whole_ones(how: str) -> None:
    sound, damaged = (
        gateway(*([{"when": "send:currentTime#1", "do": "mutate", "how": how}] * n)).connect() for n in (0, 1)
    )
    answers = []
    for session in (sound, damaged):
        session.receive(hello())
        session.receive(encode_frame(["71", "2", "1", ""]))
        session.data_to_send()
        session.receive(encode_frame(["49", "1"]))
        answers.append(session.data_to_send())
    assert answers[0] != answers[1]
    assert len(answers[1]) > 4


def test_garbage_is_in_the_stream_before_the_message() -> None:
    tws = gateway({"when": "send:currentTime", "do": "garbage", "bytes": 32})
    client = RawClient(tws)
    client.send("reqCurrentTime")
    data = client.session.data_to_send()
    assert len(data) == 32 + 4 + len(f"49\0001\000{START // SECOND_NS}\000")
    assert data.endswith(encode_frame(["49", "1", str(START // SECOND_NS)]))


def test_a_request_is_refused_in_place_of_tws() -> None:
    tws = gateway({"when": "recv:placeOrder/ACME#1", "do": "reject", "code": 201, "text": "no", "status": "Inactive"})
    client = RawClient(tws)
    assert names(client.order(1, symbol="BOLT")) == FILLED
    error, status = client.order(2)
    assert (error.integer("reqId"), error.integer("code"), error.text("text")) == (2, 201, "no")
    assert (status.integer("orderId"), status.text("status")) == (2, "Inactive")
    assert len(tws.simulator.orders) == 1


def test_only_the_named_client_is_concerned() -> None:
    tws = gateway({"when": "recv:reqCurrentTime#2", "do": "swallow", "client": 2})
    one, two = RawClient(tws, 1), RawClient(tws, 2)
    assert [len(client.ask("reqCurrentTime")) for client in (one, one, two, two, two)] == [1, 1, 1, 0, 1]


# Connections


@pytest.mark.parametrize(("after", "orders"), [(False, 0), (True, 1)])
def test_a_connection_breaks_before_or_after_the_request(after: bool, orders: int) -> None:
    tws = gateway({"when": "recv:placeOrder", "do": "drop", "after": after})
    client = RawClient(tws)
    assert client.order(1) == []
    assert client.session.is_closed
    assert len(tws.simulator.orders) == orders
    # The id is free, and the order ids go on where TWS knows of them.
    assert only(RawClient(tws).greeting, "nextValidId").integer("orderId") == 1 + orders


@pytest.mark.parametrize("cut", range(0, 120, 7))
def test_the_answer_is_cut_at_any_byte(cut: int) -> None:
    whole = RawClient(gateway())
    whole.send("reqAccountUpdates", subscribe=True, account="")
    expected = whole.session.data_to_send()[:cut]
    tws = gateway()
    client = RawClient(tws)
    # Counting begins when the fault is armed.
    tws.arm(read_fault({"when": f"send:byte#{cut + 1}", "do": "drop"}))
    client.send("reqAccountUpdates", subscribe=True, account="")
    assert client.session.data_to_send() == expected
    assert client.session.is_closed


def test_a_frozen_connection_keeps_everything_until_it_thaws() -> None:
    tws = gateway({"when": "recv:placeOrder", "do": "freeze", "seconds": 60})
    client = RawClient(tws)
    assert client.order(1) == []
    assert client.ask("reqCurrentTime") == []
    later(tws, 59)
    assert client.read() == []
    assert not client.session.is_closed
    assert tws.simulator.orders == ()
    later(tws, 2)
    assert names(client.read()) == [*FILLED, "currentTime"]


def test_a_stalled_connection_still_speaks() -> None:
    tws = gateway({"when": "recv:reqCurrentTime", "do": "stall", "seconds": 60})
    client = RawClient(tws)
    client.ask("reqPnL", reqId=5, account="DU1234567", modelCode="")
    assert client.ask("reqCurrentTime") == []
    later(tws, 2)
    assert names(client.read()) == ["pnl", "pnl"]
    later(tws, 60)
    assert "currentTime" in names(client.read())


def test_a_half_open_connection_is_forgotten_by_the_server_only() -> None:
    tws = gateway({"when": "recv:reqCurrentTime#2", "do": "half_open"})
    client = RawClient(tws, 5)
    assert len(client.ask("reqCurrentTime")) == 1
    assert client.ask("reqCurrentTime") == []
    assert not client.session.is_closed
    # Its id is free: another connection may have it.
    assert not RawClient(tws, 5).session.is_closed
    assert client.ask("reqCurrentTime") == []


def test_connections_are_refused_by_number_and_by_time() -> None:
    tws = gateway({"when": "connect#2", "do": "refuse", "times": 2})
    tws.connect()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            tws.connect()
    tws.connect()
    tws.do({"do": "refuse", "seconds": 30})
    with pytest.raises(ConnectionRefusedError):
        tws.connect()
    later(tws, 31)
    tws.connect()


def test_a_client_id_lingers() -> None:
    tws = gateway({"when": "connect#1", "do": "linger", "seconds": 60})
    RawClient(tws, 5).session.receive_eof()
    assert names(RawClient(tws, 5).greeting) == ["error 326"]
    later(tws, 61)
    assert names(RawClient(tws, 5).greeting)[0] == "managedAccounts"


def test_a_restart_closes_everything_and_keeps_orders_and_ids() -> None:
    tws = gateway()
    client = RawClient(tws, 5)
    client.order(1, lmtPrice="5", tif="GTC")
    heard: list[bool] = []
    tws.on_listening = heard.append
    tws.do({"do": "restart", "seconds": 60})
    assert client.session.is_closed
    with pytest.raises(ConnectionRefusedError):
        tws.connect()
    later(tws, 61)
    assert heard == [False, True]
    again = RawClient(tws, 5)
    assert only(again.greeting, "nextValidId").integer("orderId") == 2
    assert names(again.ask("reqOpenOrders"))[0] == "openOrder Submitted"


@pytest.mark.parametrize(("order_ids", "following"), [("keep", 4), ("rollback", 2), ("reset", 1)])
def test_order_ids_after_a_restart(order_ids: str, following: int) -> None:
    tws = gateway(reject={"BOLT": (321, "no")})
    client = RawClient(tws)
    client.order(1, lmtPrice="5", tif="GTC")
    client.order(2, symbol="BOLT")
    client.order(3, symbol="BOLT")
    tws.do({"do": "restart", "seconds": 1, "order_ids": order_ids})
    later(tws, 2)
    again = RawClient(tws)
    assert only(again.greeting, "nextValidId").integer("orderId") == following
    # An id that is given out is one that can be used, whoever had it before.
    assert names(again.order(following)) == FILLED


# Bytes


class Pieces(asyncio.Protocol):
    """Notes the size and the moment of each read."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def data_received(self, data: bytes) -> None:
        self.sizes.append(len(data))


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.mark.parametrize(("entry", "sizes"), [
    ({"do": "fragment", "bytes": 1}, {1}),
    ({"do": "fragment", "bytes": 7}, {1, 2, 3, 4, 5, 6, 7}),
])  # fmt: skip
def test_fragments_arrive_one_by_one(loop: VirtualLoop, entry: dict[str, Any], sizes: set[int]) -> None:
    loop.listen("127.0.0.1", 7497, gateway({"when": "connect", **entry}))

    async def session() -> list[int]:
        transport, client = await loop.create_connection(Pieces, "127.0.0.1", 7497)
        assert isinstance(client, Pieces)
        transport.write(hello())
        await asyncio.sleep(0.1)
        transport.write(encode_frame(["71", "2", "1", ""]))
        await asyncio.sleep(0.1)
        return client.sizes

    got = loop.run_until_complete(session())
    assert set(got) <= sizes
    assert max(got) == max(sizes)


@pytest.mark.parametrize("size", [64, 4096])
def test_chunks_are_exact_multiples_and_the_rest_comes_after_a_silence(size: int) -> None:
    tws = gateway({"when": "recv:reqAccountUpdates", "do": "chunk", "bytes": size, "seconds": 1.5})
    whole = RawClient(gateway())
    whole.send("reqAccountUpdates", subscribe=True, account="")
    expected = whole.session.data_to_send()
    client = RawClient(tws)
    client.send("reqAccountUpdates", subscribe=True, account="")
    first = client.session.data_to_send()
    assert len(first) == len(expected) // size * size
    later(tws, 1.4)
    assert client.session.data_to_send() == b""
    later(tws, 0.2)
    assert first + client.session.data_to_send() == expected


# Latency


def test_answers_come_late_and_in_order() -> None:
    tws = gateway(latency={"default": [0.1, 2.0]})
    session = tws.connect()
    arrivals: list[int] = []
    session.on_output = lambda: arrivals.append(tws.now_ns) if session._ready else None
    session.receive(hello())
    later(tws, 3)
    session.receive(encode_frame(["71", "2", "1", ""]))
    session.data_to_send()
    for _ in range(20):
        session.receive(encode_frame(["49", "1"]))
    assert session.data_to_send() == b""
    later(tws, 3)
    data = session.data_to_send()
    assert data.count(b"\0001\000") == 20 + 2  # 15 and 9 have the same second field
    assert data.index(b"15\0001") < data.index(b"9\0001") < data.index(b"49\0001")


# Orders and accounts


def test_a_correction_reaches_client_books_and_later_lists() -> None:
    tws = gateway({"when": "send:execDetails#1", "do": "correct", "shares": 60, "price": 9.5, "seconds": 10})
    client = RawClient(tws)
    first = only(client.order(1), "execDetails")
    later(tws, 11)
    second = only(client.read(), "execDetails")
    assert second.text("execId") == first.text("execId")[:-2] + "02"
    assert (second.number("shares"), second.number("price")) == (60, Decimal("9.5"))
    [position] = [m for m in client.ask("reqPositions") if m.name == "position"]
    assert position.number("position") == 60


def test_a_fill_crosses_the_cancellation() -> None:
    tws = gateway({"when": "recv:cancelOrder#1", "do": "fill_first"})
    client = RawClient(tws)
    client.order(1, lmtPrice="5")
    answer = client.ask("cancelOrder", orderId=1)
    assert names(answer)[:3] == ["execDetails", "openOrder Filled", "orderStatus Filled"]
    assert names(answer)[-1] in ("error 161", "error 10148")


def test_a_change_leaves_two_live_orders() -> None:
    tws = gateway({"when": "recv:placeOrder#2", "do": "fork"})
    client = RawClient(tws)
    client.order(1, lmtPrice="5")
    client.order(1, lmtPrice="6")
    orders = [m for m in client.ask("reqAllOpenOrders") if m.name == "openOrder"]
    assert len({order.integer("permId") for order in orders}) == 2
    assert sorted(str(order.number("lmtPrice")) for order in orders) == ["5", "6"]


def test_other_people_trade() -> None:
    tws = gateway(
        {"when": "t=+10", "do": "trade", "symbol": "ACME", "quantity": 30},
        {"when": "t=+20", "do": "trade", "symbol": "BOLT", "quantity": 5, "by": 77, "limit": 40, "tif": "GTC"},
        {"when": "t=+30", "do": "liquidate", "symbol": "ACME"},
    )
    client = RawClient(tws)
    later(tws, 25)
    held = [m for m in client.ask("reqPositions") if m.name == "position"]
    assert [(m.text("symbol"), m.number("position")) for m in held] == [("ACME", 30)]
    [order] = [m for m in client.ask("reqAllOpenOrders") if m.name == "openOrder"]
    assert (order.integer("clientId"), order.text("symbol")) == (77, "BOLT")
    later(tws, 10)
    client.read()
    fills = [m for m in client.ask("reqExecutions", reqId=9) if m.name == "execDetails"]
    assert [(m.text("side"), m.integer("liquidation")) for m in fills] == [("BOT", 0), ("SLD", 1)]
    # The other client's id is not held.
    assert names(RawClient(tws, 77).greeting)[0] == "managedAccounts"


def test_positions_appear_and_split() -> None:
    tws = gateway(
        {"when": "t=+10", "do": "position", "symbol": "ACME", "quantity": 0.5, "price": 8},
        {"when": "t=+20", "do": "split", "symbol": "ACME", "ratio": 4},
    )
    client = RawClient(tws)
    later(tws, 15)
    assert only(client.ask("reqPositions"), "position").number("position") == Decimal("0.5")
    later(tws, 10)
    client.read()
    assert only(client.ask("reqPositions"), "position").number("position") == 2


def test_order_ids_are_used_up_and_rolled_back() -> None:
    tws = gateway(
        {"when": "recv:placeOrder#1", "do": "burn_ids", "count": 5}, {"when": "t=+5", "do": "roll_back_ids", "to": 3}
    )
    client = RawClient(tws)
    assert names(client.order(1)) == ["error 103"]
    assert only(client.ask("reqIds", count=1), "nextValidId").integer("orderId") == 6
    later(tws, 6)
    assert only(client.ask("reqIds", count=1), "nextValidId").integer("orderId") == 3


# Words, and what cannot be


def test_tws_says_what_it_is_told_to() -> None:
    tws = gateway(
        {"when": "recv:placeOrder#1", "do": "error", "code": 10349},
        {"when": "t=+5", "do": "error", "code": 2110},
        {"when": "t=+6", "do": "say", "message": "nextValidId", "fields": {"orderId": 99}},
    )
    client = RawClient(tws)
    about = only([m for m in client.order(1) if m.name == "error"], "error")
    assert (about.integer("reqId"), about.integer("code")) == (1, 10349)
    later(tws, 10)
    assert names(client.read()) == ["error 2110", "nextValidId"]


def test_unknown_symbols_are_named_when_a_fault_is_armed() -> None:
    with pytest.raises(ValueError, match="symbol = 'NONE' is not in this market; it knows ACME"):
        gateway({"when": "t=+5", "do": "trade", "symbol": "NONE"})


def test_what_is_not_possible_at_its_moment_is_logged_and_harms_nobody() -> None:
    tws = gateway({"when": "t=+5", "do": "halt", "symbol": "ACME"})
    client = RawClient(tws)
    later(tws, 10)
    words = "halt was not possible: halt: this source of prices cannot be halted (StepTape)"
    assert any(words in line for _, line in tws.log)
    assert len(client.ask("reqCurrentTime")) == 1


def test_a_leap_is_told_to_whoever_drives_the_clock(loop: VirtualLoop) -> None:
    tws = gateway({"when": "t=+10", "do": "sleep", "seconds": 3600})
    loop.listen("127.0.0.1", 7497, tws)
    loop.run_until_complete(asyncio.sleep(20))
    assert (tws.now_ns - START) / SECOND_NS == pytest.approx(3620, abs=0.01)
    assert loop.time() == pytest.approx(20, abs=0.01)
