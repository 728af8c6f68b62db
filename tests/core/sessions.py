"""Sessions with the simulator in virtual time, and orders to send in them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from quant_trading.core.ibkr_broker import IBKRAccount, IBKRBroker
from quant_trading.domain.fills import Fill
from quant_trading.domain.orders import Order, OrderType, Side
from quant_trading.ports import BrokerReport
from quant_trading.tws_sim.virtual import VirtualLoop
from tests.core.meddler import virtual

__all__ = ["an_order", "fills_of", "open_account", "open_broker", "until_quiet"]


@contextmanager
def open_broker(peer: Any, **kwargs: Any) -> Iterator[tuple[IBKRBroker, VirtualLoop]]:
    """Give a connected broker and its loop."""
    with virtual(peer) as loop, IBKRBroker("paper", client_id=12, loop=loop, environ={}, **kwargs) as broker:
        yield broker, loop


@contextmanager
def open_account(peer: Any, **kwargs: Any) -> Iterator[IBKRAccount]:
    """Give a connected account that only reads."""
    with virtual(peer) as loop, IBKRAccount("paper", client_id=13, loop=loop, environ={}, **kwargs) as account:
        yield account


def an_order(
    ref: str = "r1", symbol: str = "AAPL", side: Side = Side.BUY, quantity: int = 100, limit: str | None = None
) -> Order:
    """Return an order for AAPL: market, or limit when a price is named."""
    kind = OrderType.MARKET if limit is None else OrderType.LIMIT
    price = None if limit is None else Decimal(limit)
    return Order(ref, symbol, side, Decimal(quantity), kind, price, Decimal(138), -0.03)


def until_quiet(broker: IBKRBroker, seconds: float = 1.0) -> list[BrokerReport]:
    """Return every report until none comes for `seconds`."""
    reports: list[BrokerReport] = []
    while heard := broker.reports(seconds):
        reports += heard
    return reports


def fills_of(reports: Sequence[BrokerReport]) -> dict[str, Fill]:
    """Return the last word about each execution."""
    return {report.fill.exec_id: report.fill for report in reports if report.fill is not None}
