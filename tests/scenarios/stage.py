"""A stage for naive scripts: a shipped scenario in virtual time, and ib_async as its users use it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ib_async import IB, Stock

from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.scenario import load_scenario
from quant_trading.tws_sim.virtual import VirtualLoop

T = TypeVar("T")

HOST, PORT = "127.0.0.1", 7497
AAPL = Stock("AAPL", "SMART", "USD")


class Stage:
    """One scenario and the loop in which it plays.

    Attributes:
        errors: (code, request or order id) of everything ib_async reported, in order.
    """

    def __init__(self, gateway: Gateway, loop: VirtualLoop) -> None:
        self.gateway = gateway
        self.loop = loop
        self.errors: list[tuple[int, int]] = []

    @property
    def simulator(self) -> Any:
        return self.gateway.simulator

    def play(self, script: Callable[["Stage"], Awaitable[T]]) -> T:
        """Return what a script returns."""

        async def run() -> T:
            return await script(self)

        return self.loop.run_until_complete(run())

    async def connect(self, client_id: int = 1, timeout: float = 4.0, **options: Any) -> IB:
        """Return a connected client, by the library's own defaults."""
        ib = IB()
        ib.errorEvent += lambda req_id, code, text, contract: self.errors.append((code, req_id))
        await ib.connectAsync(HOST, PORT, clientId=client_id, timeout=timeout, **options)
        return ib

    async def stock(self, ib: IB, symbol: str = "AAPL") -> Stock:
        """Return a qualified stock."""
        [contract] = await ib.qualifyContractsAsync(Stock(symbol, "SMART", "USD"))
        assert contract is not None
        return contract

    def codes(self) -> list[int]:
        """Return the error codes so far, without the greetings of the farms."""
        return [code for code, _ in self.errors if code not in (2104, 2106, 2158)]


@contextmanager
def stage(name: str, **settings: Any) -> Iterator[Stage]:
    """Give a stage on which a shipped scenario plays."""
    gateway = load_scenario(name).build(**settings)
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    loop.listen(HOST, PORT, gateway)
    try:
        yield Stage(gateway, loop)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
