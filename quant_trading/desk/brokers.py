"""Brokers that are not the broker."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from quant_trading.domain.bars import BarPanel
from quant_trading.domain.instruments import Instrument
from quant_trading.domain.orders import Order, OrderState
from quant_trading.domain.portfolio import Portfolio
from quant_trading.ports import BarSource, BrokerReport

__all__ = ["AccountReader", "DryRunBroker"]

_log = logging.getLogger(__name__)


class AccountReader(BarSource, Protocol):
    """The reading half of a broker: it has no way to send an order."""

    @property
    def account(self) -> str: ...

    def now(self) -> datetime: ...

    @property
    def undecodable_frames(self) -> int: ...

    def instruments(self, symbols: Sequence[str], *, skip_missing: bool = False) -> dict[str, Instrument]: ...

    def portfolio(self) -> Portfolio: ...

    def close(self) -> None: ...


class DryRunBroker:
    """A broker that reads through `reader` and writes down what it would have sent.

    `reader` has no order path at all, so nothing can slip through: an order stays PLANNED for ever.
    """

    def __init__(self, reader: AccountReader) -> None:
        self._reader = reader

    @property
    def account(self) -> str:
        return self._reader.account

    def now(self) -> datetime:
        return self._reader.now()

    @property
    def seen_refs(self) -> frozenset[str]:
        """Return nothing: orders of earlier runs do not concern a run that sends none."""
        return frozenset()

    @property
    def undecodable_frames(self) -> int:
        return self._reader.undecodable_frames

    def instruments(self, symbols: Sequence[str], *, skip_missing: bool = False) -> dict[str, Instrument]:
        return self._reader.instruments(symbols, skip_missing=skip_missing)

    def portfolio(self) -> Portfolio:
        return self._reader.portfolio()

    def bars(self, symbols: Sequence[str], bar_size: str, duration: str, *, skip_missing: bool = False) -> BarPanel:
        return self._reader.bars(symbols, bar_size, duration, skip_missing=skip_missing)

    def place(self, order: Order) -> OrderState:
        """Log `order` and return it as PLANNED: it was not sent."""
        _log.info("dry run, not sent: %s %s %s (%s)", order.side.value, order.quantity, order.symbol, order.order_ref)
        return OrderState(order)

    def cancel(self, order_ref: str) -> OrderState:
        raise ValueError(f"order {order_ref} was never sent: this is a dry run")

    def reports(self, timeout_seconds: float) -> Sequence[BrokerReport]:
        return ()

    def close(self) -> None:
        self._reader.close()
