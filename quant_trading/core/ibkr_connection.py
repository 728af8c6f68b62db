"""A connection to TWS or IB Gateway with a plain, blocking face.

Subclass `IBKRConnection`, or use it as it is:

    class MyTrader(IBKRConnection):
        def on_connection_established(self):
            print(self.ib.reqCurrentTime())

    trader = MyTrader(client_id=123)
    if trader.connect_to_tws():
        ...
        trader.disconnect_from_tws()

Everything runs on a private event loop, made here or passed in; the loop is also the clock, so the
same code runs in real or in simulated time. Messages are worked off while a call of this object or
of its `ib` is running, or during `wait`.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ib_async import CommissionReport, Contract, Execution
from ib_async import Order as IbOrder
from ib_async import OrderState as IbOrderState

from quant_trading.core.account_guard import is_paper_account
from quant_trading.core.client_ids import USER_SCRIPT_CLIENT_ID
from quant_trading.core.diagnose_table import cure_of
from quant_trading.core.error_codes import ErrorClass, classify_message
from quant_trading.core.frame_guard import FrameGuard
from quant_trading.core.ib_client import BoundIB, RawListener, settled
from quant_trading.core.troubleshooting import (
    WELL_KNOWN_PORTS,
    Evidence,
    explain,
    format_findings,
    probe_ports,
)
from quant_trading.domain.errors import ConfigError, ConnectionFailed, ConnectionLost, DeskError

__all__ = ["ALL_FETCHES", "READ_FETCHES", "IBKRConnection"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PAPER_PORT = 7497

# What is asked for at the start. TWS in read-only mode does not answer questions about orders, so a
# session that only reads asks none.
READ_FETCHES = ("account updates", "positions")
ALL_FETCHES = (*READ_FETCHES, "open orders", "completed orders", "executions")

_PROBE_SECONDS = 1.0


class IBKRConnection(RawListener):
    """One session with TWS.

    Args:
        client_id: distinct for every program; None takes IBKR_CLIENT_ID, else 100.
        host: None takes IBKR_HOST, else 127.0.0.1.
        port: None takes IBKR_PAPER_PORT, else 7497.
        timeout_seconds: for the whole of `open`: socket, handshake and first data together.
        loop: event loop to run on; it stays the caller's. None makes one per session.
        account: the account to subscribe to; None takes IBKR_ACCOUNT, else the login's first.
        fetch: which data to ask for before the session counts as open.
        read_only: refuse to send any message that could touch an order.
        environ: where the IBKR_* names are looked up; None is the process environment and, below it,
            the file `.env` of the current folder.

    Raises:
        ConfigError: when a port or client id in the environment is no number in its range, or `.env` cannot
            be read.
    """

    def __init__(
        self,
        client_id: int | None = None,
        host: str | None = None,
        port: int | None = None,
        timeout_seconds: float = 30.0,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        account: str | None = None,
        fetch: Collection[str] = ALL_FETCHES,
        read_only: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        if environ is None and None in (host, port, client_id, account):
            environ = _environment()
        env = environ or {}
        self.host = host or env.get("IBKR_HOST") or DEFAULT_HOST
        self.port = _number("IBKR_PAPER_PORT", port, env, DEFAULT_PAPER_PORT, 1, 65_535)
        self.client_id = _number("IBKR_CLIENT_ID", client_id, env, USER_SCRIPT_CLIENT_ID, 0, 2**31 - 1)
        self.timeout_seconds = timeout_seconds
        self.accounts: tuple[str, ...] = ()
        self.account = ""
        self.connectivity_lost = False
        self._wanted_account = account or env.get("IBKR_ACCOUNT") or ""
        self._fetch = tuple(fetch)
        self._given_loop = loop
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self._guard = FrameGuard()
        self._abort: asyncio.Future[str] | None = None
        self._lost = ""
        self._last_data = 0.0
        self._evidence = Evidence(self.host, self.port, self.client_id)
        self._waiting: dict[str, None] = {}  # names of the answers that have not come, in order
        self.ib = BoundIB(self._loop, listener=self, read_only=read_only)
        self._client: Any = self.ib.client  # the library leaves its methods untyped
        self._client.conn.hasData += self._on_data
        self._client.conn.hasData.error_event += self._on_data_failure
        self._client.conn.disconnected += self._on_socket_closed

    # For subclasses and scripts.

    def on_connection_established(self) -> None:
        """Do what is due once the session is open; override it. Nothing by default."""

    def connect_to_tws(self) -> bool:
        """Open the session; return True, or False after logging why with the troubleshooting list."""
        try:
            self.open()
        except DeskError as error:
            _log.error("%s", error)
            return False
        return True

    def disconnect_from_tws(self) -> None:
        """End the session; safe to call twice or without one."""
        if self._given_loop is None and self._own_loop is None:
            return
        loop = self._loop()
        if not loop.is_closed():
            self.ib.call(self._drop())
        if self._own_loop is not None:
            for task in asyncio.all_tasks(loop):  # of a script's own event handlers
                self.ib.call(settled(task))
            self._own_loop.close()
            self._own_loop = None

    def __enter__(self) -> "IBKRConnection":
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect_from_tws()

    def open(self) -> None:
        """Open the session and wait until every asked answer is complete.

        Raises:
            ConnectionFailed: within `timeout_seconds`; the first line names cause and cure, the
                troubleshooting list follows.
            AccountRefused: when `choose_account` refuses the login.
        """
        if self.is_connected:
            return
        try:
            self.ib.call(self._open())
        except BaseException:  # an interrupt too: nothing of the attempt may stay behind
            self.disconnect_from_tws()
            raise
        self.on_connection_established()

    async def open_async(self) -> None:
        """Do as `open` from inside the loop this connection was given.

        Raises:
            ConnectionFailed, AccountRefused: as `open`.
        """
        if self.is_connected:
            return
        try:
            await self._open()
        except BaseException:
            await self._drop()
            raise
        self.on_connection_established()

    async def close_async(self) -> None:
        """Do as `disconnect_from_tws` from inside the loop this connection was given."""
        await self._drop()

    def wait(self, seconds: float) -> None:
        """Work off messages for `seconds`.

        Raises:
            ConnectionLost: when the session is or gets broken.
        """
        self.call(asyncio.sleep(seconds))
        self.check_alive()

    def call(self, awaitable: Awaitable[_T]) -> _T:
        """Run `awaitable` on this connection's loop and return its result."""
        result: _T = self.ib.call(awaitable)
        return result

    async def ask(self, request: Callable[[], Awaitable[_T]], what: str, seconds: float | None = None) -> _T:
        """Return the answer to `request()`, waited for at most `seconds` (default: the connection's time-out).

        Raises:
            ConnectionLost: when it did not come in time or the socket closed.
        """
        self.check_alive()
        limit = self.timeout_seconds if seconds is None else seconds
        try:
            return await asyncio.wait_for(_awaited(request), limit)
        except TimeoutError:
            raise ConnectionLost(
                f"{self.host}:{self.port}: TWS did not finish answering {what} within {limit:g} s; reconnect"
            ) from None
        except ConnectionError as error:
            raise ConnectionLost(f"{self.host}:{self.port}: the session broke during {what} ({error})") from None

    def check_alive(self) -> None:
        """Raise ConnectionLost unless the session is open."""
        if not self.is_connected:
            raise ConnectionLost(
                f"{self.host}:{self.port}: no session ({self._lost or 'not connected'}); connect again"
            )

    def choose_account(self, accounts: Sequence[str]) -> str:
        """Return which of the login's accounts to use; override it to refuse (raise AccountRefused)."""
        chosen = self._wanted_account or accounts[0]
        if chosen not in accounts:
            raise ConnectionFailed(
                f"account {chosen} is not managed by this login ({', '.join(accounts)}); correct IBKR_ACCOUNT"
            )
        if not is_paper_account(chosen):
            _log.warning("account %s is a live account: orders sent through this connection are real", chosen)
        return chosen

    # What is known.

    @property
    def is_connected(self) -> bool:
        """Return True while the session is open."""
        return bool(self.ib.isConnected()) and bool(self.account) and not self._lost

    @property
    def undecodable_frames(self) -> int:
        """Return how many messages could not be decoded and were dropped; a fill may be among them."""
        return self.ib.undecodable_frames

    @property
    def last_data(self) -> float:
        """Return the loop time at which bytes last came in."""
        return self._last_data

    # Opening.

    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._given_loop is not None:
            return self._given_loop
        if self._own_loop is None:
            self._own_loop = asyncio.new_event_loop()
        return self._own_loop

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._guard = FrameGuard()
        self._lost, self.account, self.accounts, self.connectivity_lost = "", "", (), False
        self._evidence = Evidence(self.host, self.port, self.client_id)
        self._abort = abort = loop.create_future()
        self._waiting = {}
        task = loop.create_task(self._establish())
        try:
            done, _ = await asyncio.wait({task, abort}, timeout=self.timeout_seconds, return_when="FIRST_COMPLETED")
            if task in done and not abort.done():
                await task
                return
        except (OSError, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError):
                raise
            cause = self._cause_of(error)
        else:
            cause = abort.result() if abort.done() else self._cause_of_timeout()
        finally:
            self._abort = None
            if not task.done() or task.cancelled() or task.exception() is not None:
                await self._give_up(task)
        await self._look_around()
        raise ConnectionFailed(f"{cause}\n{format_findings(explain(self._evidence))}")

    async def _give_up(self, task: "asyncio.Task[None]") -> None:
        self._see()  # the drop below makes the client forget what it knows
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError, DeskError):
            await task
        await self._drop()

    async def _establish(self) -> None:
        self.ib.wrapper.clientId = self.client_id
        # No time-out of the library's: the one deadline of `_open` covers all, and says what was missing.
        await self._client.connectAsync(self.host, self.port, self.client_id, None)
        self.accounts = tuple(self._client.getAccounts())
        account = self.choose_account(self.accounts)
        if self.client_id == 0 and not self.ib.read_only:
            self.ib.reqAutoOpenOrders(True)
        await self.fetch(self._fetch, account)
        self.account = account
        self.ib.connectedEvent.emit()
        _log.info("connected to %s:%s as client %s, account %s", self.host, self.port, self.client_id, account)

    async def fetch(self, names: Collection[str], account: str = "") -> None:
        """Ask for `names` (of ALL_FETCHES) and wait until each answer is complete; no time limit of its own."""
        ib, account = self.ib, account or self.account
        requests: dict[str, Callable[[], Awaitable[Any]]] = {
            "account updates": lambda: ib.reqAccountUpdatesAsync(account),
            "positions": ib.reqPositionsAsync,
            "open orders": ib.reqAllOpenOrdersAsync,
            "completed orders": lambda: ib.reqCompletedOrdersAsync(False),
            "executions": ib.reqExecutionsAsync,
        }
        # Executions come last: they are folded into orders, which should be known by then.
        first = [name for name in ALL_FETCHES if name in names and name != "executions"]
        self._waiting = dict.fromkeys(name for name in ALL_FETCHES if name in names)
        await asyncio.gather(*(self.request(name, requests[name]) for name in first))
        if "executions" in names:
            await self.request("executions", requests["executions"])

    async def request(self, name: str, request: Callable[[], Awaitable[Any]]) -> None:
        """Make one of the requests of `fetch` and wait for its end."""
        await request()
        self._waiting.pop(name, None)

    async def _drop(self) -> None:
        """Close the socket and wait until it is closed."""
        client = self._client
        closing = client.conn.isConnected()
        self.account = ""
        if self.ib.isConnected():
            self.ib.disconnect()
        elif closing:
            client.disconnect()
        if closing:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_socket_closed(client.conn), 1.0)

    # What went wrong.

    def _see(self) -> None:
        """Note in the evidence how far the attempt came."""
        client = self._client
        seen, version = self._evidence, self._guard.server_version
        tcp = "accepted" if client.conn.isConnected() or self._guard.opening else seen.tcp
        handshake = seen.handshake
        if handshake in ("", "silent") and tcp == "accepted":
            handshake = "answered" if version else "silent"
        accounts = tuple(self.ib.wrapper.accounts) or seen.accounts
        self._evidence = replace(seen, tcp=tcp, handshake=handshake, server_version=version, accounts=accounts)

    def _cause_of(self, error: OSError) -> str:
        where = f"{self.host}:{self.port}"
        if isinstance(error, ConnectionRefusedError):
            self._evidence = replace(self._evidence, tcp="refused")
            return f"{where} refused the connection; {cure_of('tws-not-running', port=self.port)}"
        if "getaddrinfo" in str(error) or "Name or service" in str(error) or type(error).__name__ == "gaierror":
            self._evidence = replace(self._evidence, tcp="unresolved")
            return f"host {self.host!r} is not known ({error}); {cure_of('tws-host-unknown')}"
        self._evidence = replace(self._evidence, tcp=self._evidence.tcp or "failed")
        return f"{where} could not be reached ({error}); check host, port and network"

    def _cause_of_timeout(self) -> str:
        self._see()
        where, limit = f"{self.host}:{self.port}", f"{self.timeout_seconds:g} s"
        seen = self._evidence
        if not seen.tcp:
            self._evidence = replace(seen, tcp="timeout")
            return f"{where} did not answer within {limit}; {cure_of('tws-unreachable')}"
        if seen.handshake == "silent":
            return f"{where} accepted the connection but said nothing within {limit}; {cure_of('tws-silent')}"
        if not self.accounts:
            cure = cure_of("tws-login-unfinished")
            return f"TWS at {where} answered but named no account or order number within {limit}; {cure}"
        return (
            f"TWS at {where} never finished sending {', '.join(self._waiting) or 'its first data'} within {limit}; "
            f"{cure_of('account-data-missing')}"
        )

    async def _look_around(self) -> None:
        if self._evidence.tcp == "refused":
            others = [port for port in WELL_KNOWN_PORTS if port != self.port]
            self._evidence = replace(self._evidence, other_ports=await probe_ports(self.host, others, _PROBE_SECONDS))

    def _fail(self, cause: str) -> None:
        """End an attempt to connect, or mark the open session as lost."""
        if self._abort is not None:
            if not self._abort.done():
                self._abort.set_result(cause)
        elif self.account and not self._lost:
            self._lost = cause
            _log.error("session with %s:%s lost: %s", self.host, self.port, cause)
            self.on_connection_lost(cause)

    def give_up(self, cause: str) -> None:
        """Treat the open session as lost although its socket still looks open."""
        self._fail(cause)
        self._client.disconnect()

    def on_connection_lost(self, cause: str) -> None:
        """Note that an open session broke; override it. Nothing by default."""

    # Events of the socket.

    def _on_data(self, data: bytes) -> None:
        self._last_data = self._loop().time()
        if self._guard.problem:
            return
        problem = self._guard.feed(data)
        if not problem:
            return
        if self._guard.frames == 0:
            self._evidence = replace(self._evidence, handshake="not_tws", opening=self._guard.opening)
            self._fail(
                f"{self.host}:{self.port} is not TWS ({problem}; it began with {self._guard.opening!r}); "
                f"{cure_of('tws-other-program')}"
            )
        else:
            self._fail(f"the stream broke: {problem}")
        self._client.disconnect()

    def _on_data_failure(self, _source: object, error: Exception) -> None:
        self.ib.count_failure()
        _log.error("a packet from %s:%s could not be handled: %r", self.host, self.port, error)

    def _on_socket_closed(self, message: str) -> None:
        reason = message or "TWS closed the connection"
        if self._abort is not None:
            self._see()
            if self._evidence.handshake in ("", "silent"):
                self._evidence = replace(self._evidence, tcp="accepted", handshake="closed")
                reason += f" during the handshake; {cure_of('tws-untrusted')}"
            else:
                reason += f" before the session was open; {cure_of('tws-failed')}"
            self._fail(f"{self.host}:{self.port}: {reason}")
        else:
            self._fail(reason)

    # Raw messages: nothing to keep here but the session's own state.

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """Note what concerns the session as a whole."""
        kind = classify_message(code)
        if code == 326:
            self._see()
            self._evidence = replace(self._evidence, client_id_in_use=True, handshake="answered")
            self._fail(
                f"client id {self.client_id} is in use at {self.host}:{self.port} (TWS error 326: {text}); "
                f"{cure_of('client-id-in-use')}"
            )
        elif kind is ErrorClass.FATAL:
            self._fail(f"TWS error {code}: {text}")
        elif kind is ErrorClass.CONNECTIVITY_LOST:
            self.connectivity_lost = True
            _log.error("TWS lost its connection to IBKR (%s: %s)", code, text)
        elif kind is ErrorClass.CONNECTIVITY_BACK:
            self.connectivity_lost = False
            _log.warning("TWS is connected to IBKR again (%s: %s)", code, text)
        else:
            level = logging.INFO if kind is ErrorClass.ADVISORY else logging.WARNING
            whose = "" if request_id == -1 else f" (request {request_id})"
            _log.log(level, "TWS %s: %s%s", code, text, whose)

    def on_open_order(self, contract: Contract, order: IbOrder, state: IbOrderState) -> None:
        """See one openOrder message; nothing by default."""

    def on_execution(self, contract: Contract, execution: Execution) -> None:
        """See one execDetails message; nothing by default."""

    def on_commission(self, report: CommissionReport) -> None:
        """See one commissionReport message; nothing by default."""


def _environment() -> dict[str, str]:
    """Return the process environment above the values of `.env` in the current folder."""
    # Imported here: who names everything needs no settings library.
    from quant_trading.settings.env_files import read_env_file

    given = {name: value for name, value in os.environ.items() if value}
    return {name: found.value for name, found in read_env_file(Path(".env"), ".env").items()} | given


async def _awaited(request: Callable[[], Awaitable[_T]]) -> _T:
    return await request()


async def _socket_closed(conn: Any) -> None:
    if conn.isConnected():
        await conn.disconnected


def _number(name: str, given: int | None, env: Mapping[str, str], default: int, low: int, high: int) -> int:
    text = str(given) if given is not None else env.get(name) or str(default)
    value = int(text) if text.strip().lstrip("+").isdigit() else -1
    if not low <= value <= high:
        raise ConfigError(
            f"{name}: received {text!r}, expected a whole number from {low} to {high}; correct it in .env"
        )
    return value
