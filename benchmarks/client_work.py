"""What the ib_async client itself needs for an order, without a socket and without waiting for a simulator."""

import time

from quant_trading.tws_sim.connection import Session

__all__ = ["FIRST_ORDER", "own_work"]

FIRST_ORDER = 1000
"""The id of the first order; ids of other requests come before it."""


class _Nowhere:
    """A transport that keeps what is written, and when."""

    data, at = b"", 0.0

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.data, self.at = data, time.perf_counter()


async def own_work(session: Session, orders: int, answers: list[bytes] | None = None) -> list[float]:
    """Return the milliseconds of every order: from placeOrder to its bytes, and from the answer's bytes to the fill.

    Args:
        session: of client 1, logged on; it makes the answers, on time that is not counted.
        answers: takes them up.
    """
    from ib_async import IB, MarketOrder, Stock

    ib, wire = IB(), _Nowhere()
    # A client that is connected to nobody: it is handed the bytes.
    client, ib.wrapper.clientId = ib.client, session.client_id
    client._serverVersion = client.decoder.serverVersion = session.version
    client.MaxRequests, client._apiReady, client.connState = 0, True, client.CONNECTED
    client.conn.transport = wire
    client.updateReqId(FIRST_ORDER)
    stock, took = Stock("AAPL", "SMART", "USD"), []
    for place in range(orders):
        begun = time.perf_counter()
        trade = ib.placeOrder(stock, MarketOrder("BUY" if place % 2 else "SELL", 1))
        encoded = wire.at - begun
        fills: list[float] = []
        trade.fillEvent += lambda *_, fills=fills: fills.append(time.perf_counter())
        session.receive(wire.data)
        answer = session.data_to_send()
        if answers is not None:
            answers.append(answer)
        begun = time.perf_counter()
        client._onSocketHasData(answer)
        took.append((encoded + fills[0] - begun) * 1000)
    client.conn.transport, client.connState = None, client.DISCONNECTED
    return took
