"""What the desk needs from outside, as protocols and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from quant_trading.domain.bars import BarPanel
from quant_trading.domain.fills import Fill
from quant_trading.domain.instruments import Instrument
from quant_trading.domain.orders import Order, OrderState
from quant_trading.domain.portfolio import Portfolio

__all__ = ["BarSource", "Broker", "BrokerReport", "Clock", "Journal"]


class Clock(Protocol):
    """Time is asked for, never reached for."""

    def now(self) -> datetime:
        """Return the aware UTC time."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards; only differences mean anything."""


class BarSource(Protocol):
    """Where bars come from: the broker or local files."""

    def bars(self, symbols: Sequence[str], bar_size: str, duration: str, *, skip_missing: bool = False) -> BarPanel:
        """Return the bars of `duration` up to the source's own now.

        Args:
            symbols: the wished columns, in this order.
            bar_size: IBKR's words, "1 day".
            duration: IBKR's words, "1 Y".
            skip_missing: True makes a symbol without bars a column of NaN, with a warning in the log.

        Raises:
            DataGap: when a symbol is unknown or has no bars, naming all such symbols; with
                `skip_missing` only when no symbol has any.
        """


@dataclass(frozen=True, slots=True)
class BrokerReport:
    """One thing the broker said about one of our orders.

    Attributes:
        state: the order after it.
        fill: the execution it carried, or the same execution again with its commission; else None.
        text: the broker's words (code and message) when there were any.
    """

    state: OrderState
    fill: Fill | None = None
    text: str = ""


class Broker(BarSource, Protocol):
    """An account that can be read and traded."""

    @property
    def account(self) -> str:
        """Return the one account this session uses."""

    def now(self) -> datetime:
        """Return the broker's own time, aware UTC."""

    @property
    def seen_refs(self) -> frozenset[str]:
        """Return the references of orders the broker has told us about, of earlier runs too."""

    @property
    def undecodable_frames(self) -> int:
        """Return how many messages of the broker could not be read; a fill may have been among them."""

    def instruments(self, symbols: Sequence[str], *, skip_missing: bool = False) -> dict[str, Instrument]:
        """Return each symbol's instrument with the broker's id, currency and tick size.

        Ask this before `portfolio`: a position is known by its symbol only where the broker's id agrees.

        Args:
            symbols: what to resolve.
            skip_missing: True leaves unknown and ambiguous symbols out, with a warning in the log.

        Raises:
            DataGap: when a symbol is unknown or ambiguous, naming all such symbols and the candidates.
        """

    def portfolio(self) -> Portfolio:
        """Return equity, cash and positions as the broker sees them now.

        What is not one of the resolved instruments stands under a key of its own, such as "T:CAD".
        """

    def place(self, order: Order) -> OrderState:
        """Send `order`; return its state right after the send (SUBMITTING). Never waits.

        The caller has journalled the intent before.

        Raises:
            DataGap: the order cannot be sent; nothing left the process.
            PlanRefused: the broker already knows an order of this reference.
            ConnectionLost: the session is gone.
        """

    def cancel(self, order_ref: str) -> OrderState:
        """Ask the broker to cancel; return the state right after the send (CANCEL_PENDING)."""

    def reports(self, timeout_seconds: float) -> Sequence[BrokerReport]:
        """Wait until the broker says something about our orders, at most `timeout_seconds`.

        Returns:
            the reports since the last call in order of arrival; empty on time-out.
        """

    def close(self) -> None:
        """End the session; safe to call twice."""


class Journal(Protocol):
    """The append-only truth: a record is durable when `append` returns."""

    def append(self, kind: str, payload: dict[str, object]) -> int:
        """Write one record, fsync it, and return its sequence number.

        Raises:
            JournalError: when it could not be made durable; nothing may be sent after that.
        """
