"""ib_async bound to one event loop, with every raw order message seen before the library rewrites it.

Why a subclass of the library's classes and not its events: `Wrapper.error` marks a live order
Cancelled for a refused cancel (161, 10147, 10148) or a mere remark (10349) and only then emits;
`orderStatusEvent` is emitted only when the library's own copy changed; `commissionReport` turns an
unset profit into 0.0 first. The decoder however calls the wrapper's methods by name, once per
message. So the methods are overridden here: each first hands the untouched message to the listener
and then lets the library do what it likes with its own copy.

The library finds its loop through asyncio's thread-wide "current loop". Here the loop is given, so
that two connections, a simulator in virtual time or a user's own loop never meet by accident.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, cast

from ib_async import IB, CommissionReport, Contract, Execution, Order, OrderState
from ib_async.client import Client
from ib_async.wrapper import RequestError, Wrapper

from quant_trading.domain.errors import AccountRefused, UsageError

__all__ = ["ORDER_MESSAGES", "BoundIB", "RawListener", "RequestError", "settled"]

_log = logging.getLogger(__name__)

# Ids of the messages that place, change or end orders. A read-only session refuses them at the last
# step before the socket, where no other code path can go around it.
ORDER_MESSAGES = {"3": "placeOrder", "4": "cancelOrder", "21": "exerciseOptions", "58": "reqGlobalCancel"}

_END_SECONDS = 1.0  # how long an interrupted task may take to end
_INTERRUPTS = 3  # how often an interrupt may come while an interrupted call is being ended

# Codes the library takes for warnings although TWS ends the request with them: without help the
# request waits for its time-out.
_WARNINGS_THAT_END_REQUESTS = frozenset({110, 321, 434, 10314})


class RawListener:
    """What a listener of raw messages may override; every method does nothing by default.

    The objects are the library's own, before any change; a listener must copy what it keeps.
    """

    def on_open_order(self, contract: Contract, order: Order, state: OrderState) -> None:
        """See one openOrder message."""

    def on_completed_order(self, contract: Contract, order: Order, state: OrderState) -> None:
        """See one completedOrder message."""

    def on_order_status(
        self, order_id: int, status: str, filled: float, remaining: float, average_price: float,
        perm_id: int, client_id: int, why_held: str,
    ) -> None:  # fmt: skip
        """See one orderStatus message."""

    def on_execution(self, contract: Contract, execution: Execution) -> None:
        """See one execDetails message, live or asked for."""

    def on_commission(self, report: CommissionReport) -> None:
        """See one commissionReport message."""

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """See one error message; -1 when it belongs to no request."""


class _RawWrapper(Wrapper):
    """The library's wrapper, with a listener in front of its own book-keeping."""

    listener: RawListener = RawListener()
    loop_of: Callable[[], asyncio.AbstractEventLoop]

    def startReq(self, key: Any, contract: Any = None, container: Any = None) -> Any:  # noqa: N802
        future: asyncio.Future[Any] = self.loop_of().create_future()
        self._futures[key] = future
        self._results[key] = container if container is not None else []
        if contract:
            self._reqId2Contract[key] = contract
        return future

    def openOrder(self, orderId: int, contract: Contract, order: Order, orderState: OrderState) -> None:  # noqa: N802, N803
        if not order.whatIf:
            self.listener.on_open_order(contract, order, orderState)
        super().openOrder(orderId, contract, order, orderState)

    def completedOrder(self, contract: Contract, order: Order, orderState: OrderState) -> None:  # noqa: N802, N803
        self.listener.on_completed_order(contract, order, orderState)
        # TWS also sends these unasked; the library then fails on a list that is not there.
        if "completedOrders" in self._results:
            super().completedOrder(contract, order, orderState)

    def orderStatus(  # noqa: N802
        self, orderId: int, status: str, filled: float, remaining: float, avgFillPrice: float, permId: int,  # noqa: N803
        parentId: int, lastFillPrice: float, clientId: int, whyHeld: str, mktCapPrice: float = 0.0,  # noqa: N803
    ) -> None:  # fmt: skip
        self.listener.on_order_status(orderId, status, filled, remaining, avgFillPrice, permId, clientId, whyHeld)
        if self.orderKey(clientId, orderId, permId) in self.trades:  # else the library logs an error and does nothing
            super().orderStatus(
                orderId, status, filled, remaining, avgFillPrice, permId, parentId, lastFillPrice, clientId, whyHeld,
                mktCapPrice,
            )  # fmt: skip

    def execDetails(self, reqId: int, contract: Contract, execution: Execution) -> None:  # noqa: N802, N803
        self.listener.on_execution(contract, execution)
        super().execDetails(reqId, contract, execution)

    def commissionReport(self, commissionReport: CommissionReport) -> None:  # noqa: N802, N803
        self.listener.on_commission(commissionReport)
        super().commissionReport(commissionReport)

    def error(self, reqId: int, errorCode: int, errorString: str, advancedOrderRejectJson: str) -> None:  # noqa: N803
        self.listener.on_error(reqId, errorCode, errorString)
        super().error(reqId, errorCode, errorString, advancedOrderRejectJson)
        if errorCode in _WARNINGS_THAT_END_REQUESTS and reqId in self._futures:
            self._endReq(reqId, RequestError(reqId, errorCode, errorString), success=False)  # type: ignore[no-untyped-call]  # the library leaves it untyped


class _FailureCounter(logging.LoggerAdapter[logging.Logger]):
    """The decoder's logger, counting what it could not decode.

    The library logs such a message and goes on as if it had never come; a fill may be in it. The
    count sits on this session's decoder, so it is exact with several connections in one process.
    """

    count = 0

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.count += 1
        super().exception(msg, *args, **kwargs)

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.count += 1
        super().error(msg, *args, **kwargs)


class _Demoted(logging.LoggerAdapter[logging.Logger]):
    """A logger of the library's with its errors at DEBUG: the connection says the same once, with the cure."""

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.debug(msg, *args, **kwargs)


class _TwsWords(logging.LoggerAdapter[logging.Logger]):
    """The wrapper's logger without what TWS said: it is passed on to the listener, which knows each code's weight.

    The library would log a confirmed cancel (202) as an error. What it says of itself stays an error.
    """

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        level = logging.DEBUG if str(msg).startswith("Error ") else logging.ERROR
        self.log(level, msg, *args, **kwargs)

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.debug(msg, *args, **kwargs)


class _BoundClient(Client):
    """The library's client, sending inside its owner's loop and only what its owner may send."""

    def __init__(self, wrapper: Wrapper, owner: "BoundIB") -> None:
        super().__init__(wrapper)  # type: ignore[no-untyped-call]  # the library leaves it untyped
        self._owner = owner
        self._logger = cast(logging.Logger, _Demoted(self._logger, {}))

    def sendMsg(self, msg: str) -> None:  # noqa: N802
        """Send `msg`, now or when the library's throttle of 45 a second lets it.

        Raises:
            AccountRefused: for an order message of a read-only session.
        """
        if self._owner.read_only and msg:
            name = ORDER_MESSAGES.get(msg.split("\0", 1)[0])
            if name:
                raise AccountRefused(f"{name} was refused: this session is read-only and sends no order message")
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            # A blocking call of the library's sends before it enters the loop; its throttle must still
            # count in this loop's time and set its timer there.
            self._owner.call(self._send_inside(msg))
        else:
            super().sendMsg(msg)

    def _onSocketHasData(self, data: bytes) -> None:  # noqa: N802
        """Work off a packet as the library does, without copying what is left of it once for every message.

        A packet of a busy market holds thousands of messages; so they take half the time.
        """
        if not self._apiReady or self._logger.isEnabledFor(logging.DEBUG):
            super()._onSocketHasData(data)  # type: ignore[no-untyped-call]  # as above
            return
        if self._tcpDataArrived:
            self._tcpDataArrived()
        self._numBytesRecv += len(data)
        data = self._data + data if self._data else data
        interpret: Callable[[list[str]], None] = self.decoder.interpret
        at, size = 0, len(data)
        try:
            # A handler may end the connection: then the library has forgotten everything, and so is the rest.
            while self._apiReady and at + 4 < size:
                end = at + 4 + int.from_bytes(data[at : at + 4], "big")
                if end > size:
                    break
                fields = data[at + 4 : end].decode(errors="backslashreplace").split("\0")
                fields.pop()  # what follows the last separator
                self._numMsgRecv += 1
                at = end
                interpret(fields)
        finally:
            if self._apiReady:
                self._data = data[at:]
        if self._tcpDataProcessed:
            self._tcpDataProcessed()

    async def _send_inside(self, msg: str) -> None:
        super().sendMsg(msg)


class BoundIB(IB):
    """An `ib_async.IB` whose every call, blocking ones too, runs on the loop it was given.

    Args:
        loop_of: returns the loop to use; asked at every call, since a loop may be replaced between
            two connections.
        listener: sees raw messages first.
        read_only: refuse every message that could touch an order.
    """

    def __init__(
        self, loop_of: Callable[[], asyncio.AbstractEventLoop], *, listener: RawListener, read_only: bool = False
    ) -> None:
        super().__init__()
        self._loop_of = loop_of
        self.read_only = read_only
        wrapper = _RawWrapper(self, defaults=self.wrapper.defaults)
        wrapper.loop_of = loop_of
        wrapper.listener = listener
        wrapper._logger = cast(logging.Logger, _TwsWords(wrapper._logger, {}))
        self.wrapper = wrapper
        self.client = _BoundClient(wrapper, self)
        self.client.apiEnd += self.disconnectedEvent
        self._decoder_log = _FailureCounter(logging.getLogger("ib_async.Decoder"), {})
        self.client.decoder.logger = cast(logging.Logger, self._decoder_log)
        self._time_lock: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    @property
    def undecodable_frames(self) -> int:
        """Return how many inbound messages the library failed to decode and dropped."""
        return self._decoder_log.count

    def count_failure(self) -> None:
        """Count a failure outside the decoder."""
        self._decoder_log.count += 1

    def call(self, awaitable: Awaitable[Any]) -> Any:
        """Run `awaitable` to its end on this object's loop and return its result.

        An interrupt (Ctrl-C) goes through to the caller; what was under way is cancelled first.

        Raises:
            UsageError: when called from inside a running loop, where nothing can block.
        """
        task: asyncio.Future[Any] | None = None
        try:
            if _is_loop_running():
                raise UsageError(
                    "a blocking IBKR call came from inside a running event loop (a notebook or a coroutine); "
                    "make it from plain code or from a thread of its own"
                )
            loop = self._loop_of()
            task = asyncio.ensure_future(awaitable, loop=loop)
            return loop.run_until_complete(task)
        finally:
            if task is not None:
                _end(task)
            elif asyncio.iscoroutine(awaitable):
                awaitable.close()  # else Python would complain that it was never awaited

    async def reqCurrentTimeAsync(self) -> datetime:  # noqa: N802
        """Return TWS's time, whole seconds, aware UTC; who asks while somebody waits for it asks after them.

        The answer names no request, and the library keeps one future for the question: a second one would take it
        over, and the first would never be answered.
        """
        loop = asyncio.get_running_loop()
        if self._time_lock is None or self._time_lock[0] is not loop:
            self._time_lock = loop, asyncio.Lock()
        async with self._time_lock[1]:
            return await super().reqCurrentTimeAsync()

    # What the library runs on the thread's current loop, run on ours.

    def _run(self, *awaitables: Awaitable[Any]) -> Any:
        waiting = awaitables[0] if len(awaitables) == 1 else self._gather(awaitables)
        return self.call(self._limited(waiting))

    async def _gather(self, awaitables: tuple[Awaitable[Any], ...]) -> list[Any]:
        return list(await asyncio.gather(*awaitables))

    async def _limited(self, awaitable: Awaitable[Any]) -> Any:
        return await asyncio.wait_for(awaitable, self.RequestTimeout or None)

    def run(self, *awaitables: Awaitable[Any], timeout: float | None = None) -> Any:
        """Run the awaitables on this object's loop, at most `timeout` seconds."""
        waiting = awaitables[0] if len(awaitables) == 1 else self._gather(awaitables)
        return self.call(_within(waiting, timeout))

    def sleep(self, secs: float = 0.02) -> bool:
        """Let messages come in for `secs` seconds."""
        self.call(asyncio.sleep(secs))
        return True

    def waitOnUpdate(self, timeout: float = 0) -> bool:  # noqa: N802
        """Wait for the next packet; False after `timeout` seconds (0 = no limit) without one."""
        try:
            self.call(_within(cast(Awaitable[Any], self.updateEvent), timeout or None))
        except TimeoutError:
            return False
        return True

    def _onError(self, reqId: int, errorCode: int, errorString: str, contract: Any) -> None:  # noqa: N802, N803
        # The library asks for the account summary after 1102 even when nobody did before.
        if self.wrapper.acctSummary:
            super()._onError(reqId, errorCode, errorString, contract)  # type: ignore[no-untyped-call]  # as above


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _end(task: "asyncio.Future[Any]") -> None:
    """Cancel what an interrupt left half done: else the loop would one day be closed over it."""
    if not task.done():
        loop = task.get_loop()
        ending = loop.create_task(settled(task))
        for _ in range(_INTERRUPTS):
            # An interrupt that struck inside a task this one waits for is handed on once more from here.
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                loop.run_until_complete(ending)
            if ending.done():
                break
    if not task.done():
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # its step was lost, see `settled`
    if task.done() and not task.cancelled():
        task.exception()  # seen: it, or the interrupt that ended the task, is on its way to the caller


async def settled(task: "asyncio.Future[Any]") -> None:
    """Cancel `task` and wait until it has ended, for a moment at most.

    An interrupt can strike the loop just after it took a task's next step from its queue. That step is lost, and the
    task will never end, cancelled or not.
    """
    task.cancel()
    await asyncio.wait([task], timeout=_END_SECONDS)


async def _within(awaitable: Awaitable[Any], seconds: float | None) -> Any:
    return await asyncio.wait_for(awaitable, seconds)
