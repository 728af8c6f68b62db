"""A session that is kept alive inside one event loop: connect, watch, lose, wait, connect again, for ever.

The rules of its life are in `core.supervisor`, those of its streams in `core.stream_desk`, the meaning of TWS's
codes in `core.error_codes`; here they meet the connection and the loop's time.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from quant_trading.core.account_guard import check_account
from quant_trading.core.error_codes import ERROR_ROWS, Effect, effect_of
from quant_trading.core.ibkr_connection import IBKRConnection
from quant_trading.core.pacing import Pacer
from quant_trading.core.stream_desk import StreamDesk
from quant_trading.core.streams import StreamEvent
from quant_trading.core.supervisor import (
    BackOff,
    Moment,
    Report,
    ReportKind,
    Supervisor,
    SupervisorEvent,
    SupervisorPolicy,
    SupervisorState,
)
from quant_trading.core.tws_clock import Course, Reading, TwsClock
from quant_trading.domain.errors import AccountRefused, ConnectionFailed, DeskError
from quant_trading.ports import Clock
from quant_trading.refdata.restart_windows import RestartSchedule

__all__ = ["SessionRunner", "SessionSettings"]

_log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_READ_ONLY_CODE = 321
_KEPT_REPORTS = 1000
_QUICKER = 4  # so many times sooner comes the heartbeat that confirms what TWS's clock does
_LEVELS = {
    ReportKind.STATE: logging.INFO,
    ReportKind.OUTAGE: logging.WARNING,
    ReportKind.ALARM: logging.ERROR,
    ReportKind.RECOVERED: logging.INFO,
    ReportKind.REFUSED: logging.ERROR,
    ReportKind.NOTICE: logging.WARNING,
}
_BACK_CODE_OF = {2104: 2103, 2108: 2103, 2106: 2105, 2107: 2105, 2158: 2157}


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a session is for.

    Attributes:
        mode: "paper" or "live": the login is held against it; "" takes any account.
        account: the account to use; "" takes the login's first.
        live_accounts: accounts that mode live allows.
        needs_orders: a TWS with a read-only API will not do.
        fetch: what is asked for at the start of each session, names of `ibkr_connection.ALL_FETCHES`.
        policy: how patient the supervisor is.
        schedule: which absences are by plan.
        seed: of the jitter.
        pacer: counts what is asked of history; None = of this session alone, see `core.pacing_file.shared_pacer`.
    """

    mode: str = ""
    account: str = ""
    live_accounts: tuple[str, ...] = ()
    needs_orders: bool = False
    fetch: tuple[str, ...] = ()
    policy: SupervisorPolicy = field(default_factory=SupervisorPolicy)
    schedule: RestartSchedule = field(default_factory=RestartSchedule)
    seed: int = 0
    pacer: Pacer | None = None


class _Connection(IBKRConnection):
    """The connection of a supervised session: it tells the runner what it sees."""

    def __init__(self, runner: "SessionRunner", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._runner = runner

    def choose_account(self, accounts: Sequence[str]) -> str:
        chosen = self._runner.accept(self.port, accounts)
        self._runner.on_handshake()
        return chosen

    def on_connection_lost(self, cause: str) -> None:
        self._runner.on_lost(cause)

    def on_error(self, request_id: int, code: int, text: str) -> None:
        super().on_error(request_id, code, text)
        self._runner.on_error(request_id, code, text)


class SessionRunner:
    """Keeps one session alive. Everything runs in the loop it was given.

    Args:
        loop: where it runs.
        clock: the wall clock; a `TwsClock` is set and kept by TWS's time.
        settings: what the session is for.
        emit, flush: take the events of streams; see `StreamDesk`.
        tell: takes each report.
        address: host, port, client_id and environ of `IBKRConnection`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        settings: SessionSettings,
        emit: Callable[[StreamEvent], None],
        flush: Callable[[], None],
        tell: Callable[[Report], None],
        *,
        read_only: bool = True,
        **address: Any,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self.settings = settings
        self._tell = tell
        self.supervisor = Supervisor(settings.policy)
        self.reports: deque[Report] = deque(maxlen=_KEPT_REPORTS)
        self.connection = _Connection(
            self, loop=loop, timeout_seconds=settings.policy.connect_timeout_seconds, account="",
            fetch=self._fetches(settings.fetch), read_only=read_only, **address,
        )  # fmt: skip
        self.desk = StreamDesk(self.connection.ib, self, self.now_ns, emit, flush, settings.pacer)
        self.skew_seconds: float | None = None
        self.clock_fault = ""
        self._follower = clock if isinstance(clock, TwsClock) else None
        self._beats_soon = False
        self.last_failure: DeskError | None = None
        self._account = settings.account
        self._back_off = BackOff(settings.policy, settings.seed)
        self._wake = asyncio.Event()
        self._stopping = False
        self._retry = False
        self._lost: str | None = None
        self._refusal = ""
        self._alarm_timer: asyncio.TimerHandle | None = None
        self._farms: set[tuple[int, str]] = set()
        self._link_code = 0  # 1100 or 2110 while TWS has no IBKR
        self._last_look = Moment(0.0, 0)

    def _fetches(self, wished: Collection[str]) -> tuple[str, ...]:
        # A TWS that is read-only answers questions about orders by 321 alone: that is how it is found out.
        return (*wished, "open orders") if self.settings.needs_orders and "open orders" not in wished else tuple(wished)

    # The life of the session

    async def run(self) -> None:
        """Keep the session alive until `stop`."""
        self._on(SupervisorEvent.START, "started")
        try:
            while not self._stopping:
                if await self._connect():
                    began = self._loop.time()
                    await self._watch()
                    await self._leave()
                    if self._loop.time() - began >= self.settings.policy.steady_seconds:
                        self._back_off.reset()
                await (self._wait_for_person() if self.state is SupervisorState.REFUSED else self._pause())
        finally:
            await self._leave()
            self._on(SupervisorEvent.STOP, "stopped")
            if self._alarm_timer is not None:
                self._alarm_timer.cancel()

    def stop(self) -> None:
        """End `run` at its next step."""
        self._stopping = True
        self._wake.set()

    def retry(self) -> None:
        """Go on after a refusal: a person has mended its cause."""
        self._retry = True
        self._wake.set()

    async def _connect(self) -> bool:
        self._lost, self._refusal = None, ""
        self._farms.clear()
        self._link_code = 0
        self._on(SupervisorEvent.TRY)
        try:
            await self._until_refused(self._open())
        except AccountRefused as error:
            self.last_failure = error
            self._on(SupervisorEvent.REFUSE, str(error))
            return False
        except DeskError as error:
            self.last_failure = error
            if self.state not in (SupervisorState.DISCONNECTED, SupervisorState.EXPECTED_RESTART):
                self._failed(str(error))
            return False
        broken = self._broken()
        if broken is not None:
            self._failed(broken)
            return False
        self.last_failure = None
        self._on(SupervisorEvent.SYNCED, f"connected, account {self.connection.account}")
        self.desk.open()
        if self._link_code:
            self.desk.suspend()
        return True

    async def _open(self) -> None:
        await self.connection.open_async()
        if self._follower is None:
            return
        # Before the first stream: nothing may be stamped by a clock that was set while there was no session.
        before, is_first = self._follower.offset, self.skew_seconds is None
        with contextlib.suppress(TimeoutError, ConnectionError):  # then the heartbeats will see
            await asyncio.wait_for(
                self._follower.set_by(self.connection), self.settings.policy.heartbeat_timeout_seconds
            )
            self.skew_seconds = 0.0
        moved = (self._follower.offset - before).total_seconds()
        if not is_first and abs(moved) > self.settings.policy.skew_seconds:
            self._clock_moved(moved)

    def _broken(self) -> str | None:
        """Return why the session is over, None while it is not; it changes while something is awaited."""
        return self._lost

    async def _until_refused(self, opening: Awaitable[None]) -> None:
        """Open; a refusal that comes while lists are waited for ends it at once."""
        task = asyncio.ensure_future(opening)
        self._wake.clear()
        waiter = self._loop.create_task(self._wake.wait())
        try:
            await asyncio.wait({task, waiter}, return_when="FIRST_COMPLETED")
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, DeskError):
                    await task
                raise AccountRefused(self._refusal) if self._refusal else ConnectionFailed("stopped while connecting")
            await task
        finally:
            waiter.cancel()

    def _failed(self, cause: str) -> None:
        now = self._now()
        until_ns = self.settings.schedule.away_until(now.ns)
        if until_ns is not None:
            self._on(SupervisorEvent.LOST_BY_PLAN, cause, until_ns=until_ns)
        else:
            self._on(SupervisorEvent.FAILED, cause)

    async def _watch(self) -> None:
        """Ask for TWS's time again and again until the session is over."""
        policy = self.settings.policy
        self._last_look = self._machine_now()
        self._beats_soon = self._follower is not None
        while not self._is_over():
            await self._sleep(policy.heartbeat_seconds / (_QUICKER if self._beats_soon else 1))
            await self._beat()

    def _is_over(self) -> bool:
        return self._stopping or self._lost is not None or self.state is SupervisorState.REFUSED

    async def _beat(self) -> None:
        if self._is_over():
            return
        policy = self.settings.policy
        jumped = self._jump()
        if abs(jumped) > policy.jump_seconds:
            self.connection.give_up(f"the clock jumped by {jumped:+.0f} s: this machine slept, or its time was set")
            return
        try:
            await asyncio.wait_for(self._ask_time(), policy.heartbeat_timeout_seconds)
        except TimeoutError:
            if not self._is_over():
                self.connection.give_up(
                    f"TWS did not tell its time within {policy.heartbeat_timeout_seconds:g} s: the connection is open "
                    f"but dead"
                )
            return
        except ConnectionError as error:
            self.on_lost(str(error) or "the connection closed")

    async def _ask_time(self) -> None:
        if self._follower is not None:
            self._follow(await self._follower.read(self.connection), self._follower)
            return
        said = await self.connection.ib.reqCurrentTimeAsync()
        self._compare_clocks((said - _EPOCH).total_seconds() - self.now_ns() / 1e9)

    def _jump(self) -> float:
        """Return by how many seconds the machine's clock has run ahead of the running time since the last look."""
        last, self._last_look = self._last_look, self._machine_now()
        return (self._last_look.ns - last.ns) / 1e9 - (self._last_look.seconds - last.seconds)

    def _machine_now(self) -> Moment:
        """Return the moment by the machine: what is learned of TWS's clock must not look like a sleep."""
        return self._now() if self._follower is None else Moment(self._loop.time(), _ns(self._follower.machine_now()))

    def _follow(self, reading: Reading, clock: TwsClock) -> None:
        before = clock.offset
        course = clock.follow(reading)
        self._beats_soon = course is Course.SUSPECT
        self.skew_seconds = (reading.ahead - clock.offset).total_seconds()
        if course is Course.MOVED:
            self._clock_moved((clock.offset - before).total_seconds())
        elif course is Course.RUNS and not self.clock_fault:
            self.clock_fault = clock.fault()
            self.notice(self.clock_fault, is_alarm=True)

    def _clock_moved(self, seconds: float) -> None:
        self.notice(f"TWS's clock has moved by {seconds:+.0f} s against this machine's: times follow it")

    def _compare_clocks(self, seconds: float) -> None:
        """Note how far TWS's clock is ahead of ours; it tells whole seconds, cut off."""
        seconds += 0.5
        was_off = self.skew_seconds is not None and abs(self.skew_seconds) > self.settings.policy.skew_seconds
        self.skew_seconds = seconds
        if abs(seconds) > self.settings.policy.skew_seconds and not was_off:
            self.notice(f"TWS's clock is {seconds:+.1f} s from this machine's; set the machine's time by a time server")

    async def _leave(self) -> None:
        self.desk.close()
        await self.connection.close_async()

    async def _pause(self) -> None:
        in_window = self.settings.schedule.away_until(self.now_ns()) is not None
        delay = self._back_off.next_delay(in_window=in_window)
        if self.state is SupervisorState.EXPECTED_RESTART and self.settings.schedule.is_login_due(self.now_ns()):
            _log.info("TWS is away; since Sunday 01:00 New York time it may be waiting for its weekly login")
        await self._sleep(delay)

    async def _wait_for_person(self) -> None:
        while not (self._stopping or self._retry):
            self._wake.clear()
            await self._wake.wait()
        self._retry = False
        if not self._stopping:
            self._back_off.reset()
            self._on(SupervisorEvent.RETRY, "tried again by a person")

    async def _sleep(self, seconds: float) -> None:
        """Wait; less when something happens."""
        self._wake.clear()
        if self._is_over() and self.state in (SupervisorState.LIVE, SupervisorState.DEGRADED):
            return
        if self._stopping:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    # What the connection tells

    def accept(self, port: int, accounts: Sequence[str]) -> str:
        """Return the account to use.

        Raises:
            AccountRefused: when the login does not fit; connecting again would not help.
        """
        settings = self.settings
        if settings.mode:
            chosen = check_account(
                settings.mode, port, accounts, expected_account=self._account or None,
                live_accounts=settings.live_accounts, live_confirmed=True,
            )  # fmt: skip
        elif not accounts:
            raise AccountRefused("TWS named no account for this login; log in to TWS again")
        else:
            chosen = self._account or accounts[0]
            if chosen not in accounts:
                raise AccountRefused(
                    f"account {chosen} is not managed by this login ({', '.join(accounts)}); "
                    f"log in to TWS as its owner, or correct IBKR_ACCOUNT"
                )
        self._account = chosen  # a reconnect may not lead to another one
        return chosen

    def on_handshake(self) -> None:
        """Note that TWS has answered."""
        self._on(SupervisorEvent.HANDSHAKE, "TWS answered")

    def on_lost(self, cause: str) -> None:
        """Note that the open session broke."""
        if self._lost is not None:
            return
        self._lost = cause
        self._wake.set()
        if self.state in (SupervisorState.LIVE, SupervisorState.DEGRADED):
            until_ns = self.settings.schedule.away_until(self.now_ns())
            event = SupervisorEvent.LOST if until_ns is None else SupervisorEvent.LOST_BY_PLAN
            self._on(event, cause, until_ns=until_ns)

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """Do what a code means for the session and its streams."""
        if request_id != -1 and self.desk.on_error(request_id, code, text):
            return
        if code == _READ_ONLY_CODE and self.settings.needs_orders and "read-only" in text.lower():
            self._refuse(
                f"TWS refuses orders ({code}: {text}); switch off Read-Only API under Global Configuration > API > "
                f"Settings, then try again"
            )
            return
        effect = effect_of(code)
        if effect is Effect.FEED_LOST:
            self._feed_lost(code, text)
        elif effect is Effect.FEED_BACK:
            self._feed_back(code, text)
        elif effect is Effect.MUST_RESUBSCRIBE and code == 1101:
            self._link_code = 0
            self.supervisor_relieve("link")
            self.desk.resubscribe()
        elif effect is Effect.RETRY and request_id == -1:
            self.notice(f"TWS {code}: {text} ({ERROR_ROWS[code].remark})")

    def _refuse(self, text: str) -> None:
        self._refusal = text
        self.last_failure = AccountRefused(text)
        if self.state in (SupervisorState.LIVE, SupervisorState.DEGRADED):
            self._on(SupervisorEvent.REFUSE, text)
        self._wake.set()

    def _feed_lost(self, code: int, text: str) -> None:
        until_ns = self.settings.schedule.reset_until(self.now_ns())
        words = f"TWS {code}: {text}"
        if code in (1100, 2110):
            self._link_code = code
            self._trouble("link", words, until_ns)
        else:
            name = _farm_of(text)
            self._farms.add((code, name))
            self._trouble(f"farm {name}", words, until_ns)
        self.desk.suspend()

    def _feed_back(self, code: int, text: str) -> None:
        name = _farm_of(text)
        lost = (_BACK_CODE_OF.get(code, 0), name)
        # After 2110 some versions of TWS greet with their farms and never say 1102 (reported).
        if code == 1102 or self._link_code == 2110:
            self._link_code = 0
            self.supervisor_relieve("link")
        elif lost not in self._farms:
            return  # the greeting of a farm
        if lost in self._farms:
            self._farms.discard(lost)
            self.supervisor_relieve(f"farm {name}")
        if not self._link_code and not self._farms:
            self.desk.probe()

    def orders_wait_for(self) -> str:
        """Return why an order should not be sent now, empty when it may.

        An order sent in the second of a restart is lost without a word (reported), so the gate closes before it.
        """
        if self.state is not SupervisorState.LIVE and self.state is not SupervisorState.DEGRADED:
            return f"no session ({self.state.value})"
        if self._link_code:
            return f"TWS has no connection to IBKR ({self._link_code})"
        gate = self.settings.policy.order_gate_seconds
        if self.settings.schedule.restarts_within(self.now_ns(), gate):
            return f"TWS restarts within {gate:g} s"
        return ""

    # What the desk of streams tells

    def trouble(self, name: str, text: str, *, is_alarm: bool = False) -> None:
        """Note that a stream has trouble."""
        self._deliver(self.supervisor.trouble(name, self._now(), text, is_alarm=is_alarm))

    def relieve(self, name: str) -> None:
        """Note that it is over."""
        self.supervisor_relieve(name)

    def notice(self, text: str, *, is_alarm: bool = False) -> None:
        """Tell a person."""
        self._deliver([self.supervisor.notice(self._now(), text, is_alarm=is_alarm)])

    # Time and reports

    @property
    def state(self) -> SupervisorState:
        """Return where the session stands."""
        return self.supervisor.state

    def now_ns(self) -> int:
        """Return the wall clock, UTC ns."""
        return _ns(self._clock.now())

    def _now(self) -> Moment:
        return Moment(self._loop.time(), self.now_ns())

    def supervisor_relieve(self, name: str) -> None:
        """Hand a relief on to the supervisor."""
        self._deliver(self.supervisor.relieve(name, self._now()))

    def _trouble(self, name: str, text: str, until_ns: int | None) -> None:
        self._deliver(self.supervisor.trouble(name, self._now(), text, until_ns=until_ns))

    def _on(self, event: SupervisorEvent, text: str = "", *, until_ns: int | None = None) -> None:
        self._deliver(self.supervisor.handle(event, self._now(), text, until_ns=until_ns))

    def _deliver(self, reports: Sequence[Report]) -> None:
        for report in reports:
            self.reports.append(report)
            level = logging.INFO if report.is_expected else _LEVELS[report.kind]
            _log.log(level, "%s: %s", report.state.value, report.text)
            self._tell(report)
        self._plan_look()

    def _plan_look(self) -> None:
        if self._alarm_timer is not None:
            self._alarm_timer.cancel()
            self._alarm_timer = None
        due = self.supervisor.alarm_due
        if due is not None and not self._loop.is_closed():
            self._alarm_timer = self._loop.call_at(max(due, self._loop.time() + 0.001), self._look)

    def _look(self) -> None:
        self._alarm_timer = None
        self._deliver(self.supervisor.look(self._now()))


def _ns(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND * 1000


def _farm_of(text: str) -> str:
    """Return the farm a message is about: "Market data farm connection is broken:usfarm"."""
    return text.rstrip(".").rsplit(":", 1)[-1].rsplit(".", 1)[-1].strip() or "unknown"
