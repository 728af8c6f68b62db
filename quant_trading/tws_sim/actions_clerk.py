"""What splits and dividends do to the accounts: booked at midnight in New York, when the ex-date begins.

Assumed: dividends are paid on the ex-date and not weeks later, and nobody is taxed.
"""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal

from quant_trading.refdata.sessions import LAST_SESSION_DAY, at, exchange_date
from quant_trading.tws_sim.accounts import Ledger
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.tape import Contract, Tape
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["ActionsClerk"]

Changed = Callable[[str, Contract], None]
"""Is told that a position is another one now: account and contract."""


class ActionsClerk:
    """Books corporate actions; sleeps while nobody holds anything that has some."""

    def __init__(
        self, tape: Tape, ledgers: Mapping[str, Ledger], timeline: Timeline, config: SimConfig, changed: Changed
    ) -> None:
        self._tape = tape if isinstance(tape, SeriesTape) and tape.has_actions else None
        self._ledgers = ledgers
        self._timeline = timeline
        self._pays_dividends = config.pays_dividends
        self._changed = changed
        if self._tape is not None:
            self._plan(exchange_date(timeline.now_ns) + timedelta(days=1))

    def _plan(self, day: date) -> None:
        if day <= LAST_SESSION_DAY:
            self._timeline.call_at(at(day, "00:00"), lambda: self._begin(day), is_background=True)

    def _begin(self, day: date) -> None:
        self._plan(day + timedelta(days=1))
        assert self._tape is not None, "planned with a tape only"
        for account, ledger in self._ledgers.items():
            ledger.begin_day(day)
            for held in list(ledger.positions.values()):
                if held.quantity and self._book(self._tape, ledger, held.contract, day):
                    self._changed(account, held.contract)

    def _book(self, tape: SeriesTape, ledger: Ledger, contract: Contract, day: date) -> bool:
        """Book the day's events of one contract; return True when there was one."""
        events = tape.actions(contract).on(day)
        # New shares first: a dividend of the same day is paid on them.
        for event in sorted(events, key=lambda event: event.kind != "split"):
            if event.kind == "split":
                quote = tape.quote(contract, self._timeline.now_ns)
                price = quote.last if quote is not None else Decimal(0)
                ledger.book_split(contract, Decimal(repr(event.value)), price)
            elif self._pays_dividends:
                ledger.book_dividend(contract, Decimal(repr(event.value)))
        return bool(events)
