"""One look at a running TWS for `./desk doctor`: connect, ask a few questions at once, judge the answers.

Nothing here can trade. The session refuses every order message; the one exception is a what-if order of a single
share, on paper logins only, which TWS answers with a preview of margin and commission and never works.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ib_async import Contract, Order, Stock
from ib_async.client import Client

from quant_trading.core.account_guard import LIVE_PORTS, is_paper_account
from quant_trading.core.diagnose_judge import CONNECT_SECONDS, Answer, Facts, Said, Target, judge_failure, judge_session
from quant_trading.core.diagnose_table import Finding
from quant_trading.core.ib_client import RequestError
from quant_trading.core.ibkr_connection import READ_FETCHES, IBKRConnection
from quant_trading.core.troubleshooting import Evidence, probe_ports
from quant_trading.domain.errors import ConnectionFailed, ConnectionLost
from quant_trading.ports import Clock

__all__ = ["CONNECT_SECONDS", "Target", "diagnose", "look_at_tws"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HALF_SECOND = timedelta(seconds=0.5)
_PORT_SECONDS = 1.0
_READ_ONLY = 321
_DATA_FOLLOW = frozenset({10090, 10167})  # told about a quote whose data come all the same
_SETTLE_SECONDS = 0.3  # what TWS greets with (codes of its farms and of its link) comes a moment after the accounts


def diagnose(target: Target, clock: Clock) -> list[Finding]:
    """Look at TWS and return what was found; takes at most about fourteen seconds with the times of `Target`."""
    return asyncio.run(look_at_tws(target, clock))


async def look_at_tws(target: Target, clock: Clock) -> list[Finding]:
    """Do as `diagnose` inside a running event loop."""
    probe = _Probe(target, clock)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        await probe.open_async()
    except ConnectionFailed as error:
        cause = str(error).splitlines()[0]
        versions = (Client.MinClientVersion, Client.MaxClientVersion)
        timed_out = loop.time() - begun >= target.connect_seconds
        now_ns = probe.facts.now_ns
        return [judge_failure(target, probe.evidence, cause, now_ns, versions, timed_out=timed_out)]
    try:
        await probe.ask_all()
    finally:
        await probe.close_async()
    return judge_session(target, probe.facts)


class _Probe(IBKRConnection):
    """A connection that takes any login, asks its questions side by side, and notes what TWS says."""

    def __init__(self, target: Target, clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            target.client_id, target.host, target.port, target.connect_seconds, loop,
            account=target.account, fetch=(), read_only=True, environ={},
        )  # fmt: skip
        self.ib.RaiseRequestErrors = True
        self.facts = Facts((clock.now() - _EPOCH) // timedelta(microseconds=1) * 1000)
        self._target = target
        self._clock = clock
        self._news = asyncio.Event()  # TWS has said something
        self._gone: asyncio.Future[None] = loop.create_future()  # done when the session has broken
        self._deadline = 0.0

    @property
    def evidence(self) -> Evidence:
        """Return what the attempt to connect showed."""
        return self._evidence

    def choose_account(self, accounts: Sequence[str]) -> str:
        """Return an account to look at; whether the login is the right one is judged later."""
        return self._target.account if self._target.account in accounts else accounts[0]

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """Note everything TWS says."""
        self.facts.said.append(Said(request_id, code, text))
        self._news.set()
        super().on_error(request_id, code, text)

    def on_connection_lost(self, cause: str) -> None:
        """Note that the session broke."""
        self.facts.lost = cause
        self._news.set()
        if not self._gone.done():
            self._gone.set_result(None)

    # The questions.

    async def ask_all(self) -> None:
        """Ask everything; what has not come by the deadline is noted as missing."""
        seconds = self._target.answer_seconds
        self._deadline = asyncio.get_running_loop().time() + seconds
        facts = self.facts
        facts.server_version = self._guard.server_version
        facts.newest = Client.MaxClientVersion
        facts.accounts = self.accounts
        await asyncio.gather(
            self._ask_time(),
            self._ask_account(),
            self._ask_market(),
            self._look_at_live_ports(),
            asyncio.sleep(min(_SETTLE_SECONDS, seconds)),
        )
        facts.unread_messages = self.undecodable_frames

    async def _ask_time(self) -> None:
        before = self._clock.now()
        said = await self._answer(self.facts.clock, self.ib.reqCurrentTimeAsync)
        if said is not None:
            middle = before + (self._clock.now() - before) / 2
            # TWS tells whole seconds, cut off.
            self.facts.skew_seconds = (said.astimezone(UTC) + _HALF_SECOND - middle).total_seconds()

    async def _ask_account(self) -> None:
        await self._answer(self.facts.account_data, lambda: self.fetch(READ_FETCHES))
        if self.facts.account_data.state != "complete":
            self.facts.missing += tuple(self._waiting)

    async def _look_at_live_ports(self) -> None:
        ports = [port for port in LIVE_PORTS if port != self.port]
        self.facts.live_ports = await probe_ports(self.host, ports, min(_PORT_SECONDS, self._target.answer_seconds))

    async def _ask_market(self) -> None:
        """Ask for a contract, and then what needs it."""
        wanted = Stock(self._target.symbol, "SMART", "USD")
        details = await self._numbered(
            self.facts.contract, wanted, lambda request: self._client.reqContractDetails(request, wanted)
        )
        contract = details[0].contract if details else None
        questions: list[Awaitable[None]] = [self._ask_orders(contract)]
        if contract is not None:
            questions += [self._ask_quote(contract), self._ask_history(contract)]
        await asyncio.gather(*questions)

    async def _ask_quote(self, contract: Contract) -> None:
        """Wait for a price, or for what keeps it from coming."""
        if self.facts.lost:
            return
        answer = self.facts.quote
        ticker = self.ib.reqMktData(contract, "", False, False)
        ticker.updateEvent += lambda _: self._news.set()
        answer.state, answer.request = "asked", self.ib.wrapper.ticker2ReqId["mktData"][ticker]

        def has_price() -> bool:
            return any(price > 0 for price in (ticker.bid, ticker.ask, ticker.last))

        def is_refused() -> bool:
            return any(one.code not in _DATA_FOLLOW for one in self.facts.about(answer))

        await self._until(lambda: has_price() or is_refused())
        answer.state = "complete" if has_price() else "refused" if is_refused() else "asked"
        self.facts.data_type = int(ticker.marketDataType)

    async def _ask_history(self, contract: Contract) -> None:
        def send(request: int) -> None:
            self._client.reqHistoricalData(request, contract, "", "2 D", "1 day", "TRADES", True, 2, False, [])

        await self._numbered(self.facts.history, contract, send)

    async def _ask_orders(self, contract: Contract | None) -> None:
        """Find out whether orders would be taken; first by a question that TWS refuses when it is read-only."""
        facts = self.facts
        asked = asyncio.ensure_future(self._answer(facts.open_orders, self.ib.reqAllOpenOrdersAsync))
        asked.add_done_callback(lambda _: self._news.set())
        await self._until(lambda: asked.done() or self._is_read_only())
        if self._is_read_only():
            asked.cancel()
            return
        if facts.open_orders.state != "complete":
            facts.missing += ("open orders",)
        is_paper = self._target.mode == "paper" and all(is_paper_account(one) for one in self.accounts)
        is_ours = self.account == self._target.account or (not self._target.account and len(self.accounts) == 1)
        if contract is None or not is_paper or not is_ours or facts.lost:
            return
        # No time in force: what a preset of TWS would make of it is the question.
        order = Order(action="BUY", totalQuantity=1, orderType="MKT", tif="", account=self.account, whatIf=True)
        await self._numbered(facts.order, contract, lambda request: self._preview(request, contract, order))

    def _is_read_only(self) -> bool:
        return any(one.code == _READ_ONLY and "read-only" in one.text.lower() for one in self.facts.said)

    def _preview(self, request: int, contract: Contract, order: Order) -> None:
        """Send a what-if order; the session takes order messages for the length of this call only."""
        assert order.whatIf, "the doctor sends what-if orders only"
        self.ib.read_only = False
        try:
            self._client.placeOrder(request, contract, order)
        finally:
            self.ib.read_only = True

    # Waiting.

    async def _numbered(self, answer: Answer, contract: Contract, send: Callable[[int], None]) -> Any:
        """Make a request with an id of its own and return its answer as `_answer` does."""

        def request() -> Awaitable[Any]:
            answer.request = self._client.getReqId()
            wrapper: Any = self.ib.wrapper  # the library leaves its methods untyped
            future: Awaitable[Any] = wrapper.startReq(answer.request, contract)
            send(answer.request)
            return future

        return await self._answer(answer, request)

    async def _answer(self, answer: Answer, request: Callable[[], Awaitable[Any]]) -> Any:
        """Return what comes before the deadline, None when nothing does; note in `answer` what became of it."""
        answer.state = "asked"
        try:
            task = asyncio.ensure_future(request())
        except ConnectionError:  # the session has broken
            return None
        try:
            await asyncio.wait({task, self._gone}, timeout=self._left(), return_when="FIRST_COMPLETED")
            if not task.done() or task.cancelled():
                return None
            result = task.result()
        except RequestError:
            answer.state = "refused"
            return None
        except (ConnectionError, ConnectionLost):
            return None
        finally:
            task.cancel()
        answer.state = "complete"
        return result

    async def _until(self, is_enough: Callable[[], bool]) -> None:
        """Wait until enough is known, the deadline has come, or the session has broken."""
        while not (is_enough() or self.facts.lost or self._left() <= 0):
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._left())

    def _left(self) -> float:
        return max(0.0, self._deadline - asyncio.get_running_loop().time())
