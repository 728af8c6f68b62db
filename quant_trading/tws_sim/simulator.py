"""TWS in a box: one market, its accounts and orders, and the sessions that see them.

The simulator is driven from outside: `connect` gives a session that takes bytes and gives bytes,
`advance_to` moves time, `next_event_ns` says when something is due. It reads no clock and opens no socket.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from quant_trading.tws_sim.account_service import AccountService
from quant_trading.tws_sim.accounts import Ledger
from quant_trading.tws_sim.actions_clerk import ActionsClerk
from quant_trading.tws_sim.announce import Announcer
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import NO_ID, Session
from quant_trading.tws_sim.contracts import ContractBook
from quant_trading.tws_sim.desk_service import DeskService
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.exchange import Exchange
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.hub import Hub
from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.market_services import MarketServices
from quant_trading.tws_sim.order_service import OrderService
from quant_trading.tws_sim.orders import Execution, Order
from quant_trading.tws_sim.pacing import Pacing
from quant_trading.tws_sim.subscriptions import Streams
from quant_trading.tws_sim.tape import Tape
from quant_trading.tws_sim.timeline import Timeline
from quant_trading.tws_sim.times import connection_time

__all__ = ["Observer", "Parts", "Simulator"]

Observer = Callable[[str], None]
"""Is told in one line what happened: a client came or went, an order changed."""

# The farms TWS names right after START_API; the names are those of a US login (captured).
_FARMS = ((2104, "usfarm"), (2106, "ushmds"), (2158, "secdefnj"))

_MESSAGES_PER_SECOND = 50
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Parts:
    """What a simulator is made of, for whoever provokes what no client can ask for."""

    tape: Tape
    timeline: Timeline
    book: ContractBook
    hub: Hub
    exchange: Exchange
    orders: OrderService
    accounts: AccountService


class Deferred(Protocol):
    """Work that a driver does later."""

    def cancel(self) -> None:
        """Do not do it."""


class Simulator:
    """The one market that all sessions share.

    Attributes:
        counters: frames received from clients, by request name ("placeOrder"), readable or not.
        frames_over_pace: frames that made it more than 50 from one client within a simulated second; TWS
            answers such a client with error 100 and in the end hangs up (documented), here they are counted.
        pacing: counts, and when strict enforces, what TWS limits.
        parts: what it is made of.
        observer: told in one line what happens; None keeps quiet.
        defer: how a driver runs something after it has written what waits; None lets it run at once.
    """

    def __init__(self, tape: Tape, config: SimConfig, start_ns: int) -> None:
        """Open the market at `start_ns`, UTC.

        Raises:
            ValueError: when the configuration names a symbol the market does not know.
        """
        self._config = config
        self._timeline = Timeline(start_ns)
        directory = tape.directory if isinstance(tape, SeriesTape) else None
        self._book = ContractBook(tape.contracts(), directory, lambda: self._timeline.now_ns)
        self._hub = Hub()
        streams = Streams(self._timeline)
        announcer = Announcer(self._hub, config.master_client_id, self.observe)
        self._exchange = Exchange(tape, self._timeline, config, announcer)
        self._accounts = AccountService(self._exchange, streams, self._timeline, config, self._afterwards)
        announcer.on_fill = self._accounts.on_fill
        self._orders = OrderService(self._exchange, self._book, self._hub, self._timeline, config)
        self.market = MarketServices(tape, self._book, streams, self._timeline, config)
        self._actions = ActionsClerk(tape, self._exchange.ledgers, self._timeline, config, self._accounts.on_fill)
        desk = DeskService(self._timeline)
        self._handlers = desk.handlers()
        self._handlers |= self._accounts.handlers() | self._orders.handlers() | self.market.handlers()
        self.counters: Counter[str] = Counter()
        self.frames_over_pace = 0
        self._recent_frames: dict[Session, deque[int]] = {}
        self.pacing = Pacing(config.pacing, lambda: self._timeline.now_ns, config.market_data_lines)
        self.parts = Parts(tape, self._timeline, self._book, self._hub, self._exchange, self._orders, self._accounts)
        self.observer: Observer | None = None
        self.defer: Callable[[Callable[[], None]], Deferred] | None = None
        self._deferred: Deferred | None = None
        self._due_afterwards: dict[Callable[[], None], None] = {}
        self._lines: list[str] = []
        self._open_positions()

    def _open_positions(self) -> None:
        for name in {*self._config.reject, *self._config.never_fill, *self._config.positions, *self._config.shortable}:
            if self._book.by_symbol(name) is None:
                raise ValueError(f"symbol {name!r} is not in this market; it knows {self._some_symbols()}")
        ledger = self._exchange.ledgers[self._config.accounts[0]]
        for symbol, (quantity, average_cost) in self._config.positions.items():
            contract = self._book.by_symbol(symbol)
            assert contract is not None, "checked above"
            ledger.open_position(contract, Decimal(quantity), Decimal(average_cost))

    def _some_symbols(self) -> str:
        symbols = sorted({contract.symbol for contract in self._book.all()})
        return ", ".join(symbols[:8]) + (", ..." if len(symbols) > 8 else "")

    # Driving

    @property
    def now_ns(self) -> int:
        """The simulated moment, UTC ns."""
        return self._timeline.now_ns

    def connect(self) -> Session:
        """Return a new client's session."""
        return Session(self)

    def advance_to(self, ns: int) -> None:
        """Move simulated time to `ns`, running what is due; a moment before now changes nothing."""
        if self._lines and ns > self.now_ns:
            # Whoever shows the moment of a line reads it off the clock.
            self._tell_observer()
        self._timeline.advance_to(ns)

    def settle(self) -> None:
        """Do what was put off until the answers were written; nothing when nothing was."""
        if self._deferred is not None:
            self._deferred.cancel()
            self._deferred = None
        due, self._due_afterwards = self._due_afterwards, {}
        for work in due:
            work()

    def _afterwards(self, work: Callable[[], None]) -> None:
        """Run `work` once, after what is already said has gone out, and before the next request is served."""
        if self.defer is None:
            work()
            return
        if not self._due_afterwards:
            self._deferred = self.defer(self.settle)
        self._due_afterwards[work] = None

    def next_event_ns(self) -> int | None:
        """Return when the next thing is due, None when nothing is."""
        return self._timeline.next_ns()

    def has_foreground_events(self) -> bool:
        """Say whether more than streams (account refresh, PnL, quotes) is still to come."""
        return self._timeline.has_foreground()

    # Looking in, for tests and demonstrations

    @property
    def config(self) -> SimConfig:
        """The settings."""
        return self._config

    @property
    def ledgers(self) -> Mapping[str, Ledger]:
        """The books by account, as they stand."""
        return self._exchange.ledgers

    @property
    def executions(self) -> tuple[Execution, ...]:
        """Every fill so far."""
        return tuple(self._exchange.executions)

    @property
    def orders(self) -> tuple[Order, ...]:
        """Every order so far, in the order of their arrival."""
        return tuple(self._orders.every)

    @property
    def next_order_ids(self) -> dict[int, int]:
        """The next order id of every client that has used one: `SimConfig.next_order_ids` of the next run."""
        return {client_id: self._hub.next_order_id(client_id) for client_id in sorted(self._hub.known_clients())}

    def equity(self, account: str | None = None) -> Decimal:
        """Return cash plus positions at market of an account, the first one by default, in the base currency."""
        return self._exchange.equity(account or self._config.accounts[0])

    # Sessions

    def connection_time(self) -> str:
        """Return the time stamp of the version answer."""
        return connection_time(self.now_ns)

    def max_version(self) -> int:
        """Return the highest server version offered."""
        return self._config.max_server_version

    def on_frame(self, session: Session, name: str) -> None:
        """Count a received frame, and whether it came too fast after those before it."""
        self.counters[name] += 1
        recent = self._recent_frames.setdefault(session, deque(maxlen=_MESSAGES_PER_SECOND))
        if len(recent) == _MESSAGES_PER_SECOND and self.now_ns - recent[0] < _SECOND_NS:
            self.frames_over_pace += 1
        recent.append(self.now_ns)

    def on_start(self, session: Session, client_id: int) -> None:
        """Register a client and greet it: accounts, next order id, farms, in the captured order.

        Raises:
            RequestRefused: 326 when the client id is in use.
        """
        self._hub.join(session, client_id)
        session.send("managedAccounts", accounts=",".join(self._config.accounts))
        session.send("nextValidId", orderId=self._hub.next_order_id(client_id))
        for code, farm in _FARMS:
            session.send_error(NO_ID, code, farm=farm)
        self.observe(f"client {client_id} connected, server version {session.version}")

    def on_request(self, session: Session, request: Message) -> None:
        """Answer one request, then run what became due by it.

        Raises:
            RequestRefused: when the answer is an error.
        """
        self.settle()
        self.pacing.admit(session, request)
        if session.is_closed:
            return
        handler = self._handlers.get(request.name)
        if handler is None:
            raise RequestRefused(321, tag=request.name, cause=f"{request.name} is not served by this simulator")
        handler(session, request)
        self.pacing.opened(session, request)
        self._timeline.advance_to(self.now_ns)

    def on_close(self, session: Session) -> None:
        """Forget a session; its orders stay."""
        was_known = self._hub.client(session.client_id) is session
        self._hub.leave(session)
        self._accounts.forget(session)
        self.market.forget(session)
        self._recent_frames.pop(session, None)
        self.pacing.forget(session)
        if was_known:
            self.observe(f"client {session.client_id} disconnected{_because(session.close_reason)}")
        elif session.close_reason:
            self.observe(f"connection refused{_because(session.close_reason)}")

    def observe(self, line: str) -> None:
        """Tell the observer, once what is said to clients has gone out: a terminal is slow."""
        if self.observer is not None:
            self._lines.append(line)
            self._afterwards(self._tell_observer)

    def _tell_observer(self) -> None:
        lines, self._lines = self._lines, []
        for line in lines:
            if self.observer is not None:
                self.observer(line)


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
