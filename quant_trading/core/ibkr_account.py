"""An IBKR account that can be read: instruments, bars, portfolio, time. Nothing here can order."""

import asyncio
import logging
import math
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from ib_async import BarDataList, CommissionReport, Contract, ContractDetails, Execution
from ib_async import Order as IbOrder
from ib_async import OrderState as IbOrderState

from quant_trading.core.account_guard import check_account
from quant_trading.core.ib_client import RawListener, RequestError
from quant_trading.core.ibkr_connection import READ_FETCHES, IBKRConnection
from quant_trading.core.ibkr_mapping import (
    bar_columns,
    contract_of,
    ibkr_symbol,
    instrument_of,
    number,
    price,
)
from quant_trading.core.ibkr_positions import held_lines, position_keys, positions_of
from quant_trading.core.pacing import HistoryKey, Pacer
from quant_trading.domain.bar_sizes import BarSize, parse_bar_size
from quant_trading.domain.bars import BarColumns, BarPanel, no_bars, panel_from_columns
from quant_trading.domain.errors import DataGap
from quant_trading.domain.instruments import Instrument
from quant_trading.domain.portfolio import Portfolio
from quant_trading.refdata.sessions import SessionRangeError, last_completed_session, next_session

__all__ = ["GuardedConnection", "IBKRAccount"]

_log = logging.getLogger(__name__)

_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9 .\-]{0,15}")
_SENDS = "message"
_HISTORY = "history"


class GuardedConnection(IBKRConnection):
    """A connection that asks its owner which account it may use, and hands on what it hears."""

    def __init__(self, owner: "IBKRAccount", orders: RawListener, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._owner = owner
        self._orders = orders
        self.ib.RaiseRequestErrors = True

    def choose_account(self, accounts: Sequence[str]) -> str:
        """Return the account the guard lets through.

        Raises:
            AccountRefused: when mode, port and account do not fit.
        """
        self._owner.count_message()  # START_API, which the client library sent by itself
        return self._owner.accept_account(self.port, accounts)

    async def request(self, name: str, request: Callable[[], Awaitable[Any]]) -> None:
        """Make one request of `fetch` within the message budget."""
        await self._owner.pace(_SENDS)
        await super().request(name, request)

    def on_connection_lost(self, cause: str) -> None:
        """Tell the owner."""
        self._owner.on_connection_lost(cause)

    def on_open_order(self, contract: Contract, order: IbOrder, state: IbOrderState) -> None:
        """Hand on."""
        self._orders.on_open_order(contract, order, state)

    def on_completed_order(self, contract: Contract, order: IbOrder, state: IbOrderState) -> None:
        """Hand on."""
        self._orders.on_completed_order(contract, order, state)

    def on_order_status(
        self, order_id: int, status: str, filled: float, remaining: float, average_price: float,
        perm_id: int, client_id: int, why_held: str,
    ) -> None:  # fmt: skip
        """Hand on."""
        self._orders.on_order_status(order_id, status, filled, remaining, average_price, perm_id, client_id, why_held)

    def on_execution(self, contract: Contract, execution: Execution) -> None:
        """Hand on."""
        self._orders.on_execution(contract, execution)

    def on_commission(self, report: CommissionReport) -> None:
        """Hand on."""
        self._orders.on_commission(report)

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """Note what concerns the session, hand on the rest."""
        super().on_error(request_id, code, text)
        self._orders.on_error(request_id, code, text)


class IBKRAccount:
    """The read side of one account; a `ports.BarSource`. Its session refuses to send order messages.

    Args:
        mode: "paper" or "live"; `core.account_guard` holds the login against it.
        client_id, host, port, timeout_seconds, loop, environ: as in `IBKRConnection`.
        expected_account: the account to use; needed when the login manages several.
        live_accounts, live_confirmed, allow_port_mismatch: as in `check_account`.
        primary_exchanges: listing exchange by symbol, for tickers that several companies share.
        history_timeout_seconds: for one historical request.
        pacer: counts messages against IBKR's limits; shared by whoever shares the connection.
    """

    def __init__(
        self,
        mode: str = "paper",
        *,
        client_id: int | None = None,
        host: str | None = None,
        port: int | None = None,
        expected_account: str | None = None,
        live_accounts: Collection[str] = (),
        live_confirmed: bool = False,
        allow_port_mismatch: bool = False,
        primary_exchanges: Mapping[str, str] | None = None,
        timeout_seconds: float = 30.0,
        history_timeout_seconds: float = 60.0,
        loop: asyncio.AbstractEventLoop | None = None,
        environ: Mapping[str, str] | None = None,
        pacer: Pacer | None = None,
    ) -> None:
        self.mode = mode
        self.last_gaps: dict[str, str] = {}
        self._expected_account = expected_account
        self._live_accounts = tuple(live_accounts)
        self._live_confirmed = live_confirmed
        self._allow_port_mismatch = allow_port_mismatch
        self._primary_exchanges = dict(primary_exchanges or {})
        self._history_timeout_seconds = history_timeout_seconds
        self._pacer = pacer or Pacer()
        self._instruments: dict[str, Instrument] = {}
        self._held_con_ids: dict[str, int] = {}  # by key, of the last portfolio
        self._account = ""
        self._history_room = asyncio.Event()
        self._connection = GuardedConnection(
            self, self._order_listener(), client_id=client_id, host=host, port=port, timeout_seconds=timeout_seconds,
            loop=loop, account="", fetch=self._fetches(), read_only=self._read_only(), environ=environ,
        )  # fmt: skip

    # What the trading side does otherwise.

    def _order_listener(self) -> RawListener:
        return RawListener()

    def _fetches(self) -> Sequence[str]:
        return READ_FETCHES

    def _read_only(self) -> bool:
        return True

    def on_connection_lost(self, cause: str) -> None:
        """Note that the open session broke (called by the connection)."""
        self._pacer.reset_open()

    def accept_account(self, port: int, accounts: Sequence[str]) -> str:
        """Return the account to use, asked by the connection before anything else is sent.

        Raises:
            AccountRefused: see `check_account`; also when a reconnect leads to another account.
        """
        self._account = check_account(
            self.mode,
            port,
            accounts,
            expected_account=self._account or self._expected_account,
            live_accounts=self._live_accounts,
            # The confirmation is for orders; a session that refuses to send any needs none.
            live_confirmed=self._live_confirmed or self._read_only(),
            allow_port_mismatch=self._allow_port_mismatch,
        )
        return self._account

    # The session.

    @classmethod
    def open(cls, mode: str = "paper", **kwargs: Any) -> Self:
        """Return a connected account; arguments and errors as in `__init__` and `connect`."""
        account = cls(mode, **kwargs)
        account.connect()
        return account

    def connect(self) -> None:
        """Connect, pass the account guard and load account and positions.

        Raises:
            ConnectionFailed: TWS could not be reached or did not answer in full.
            AccountRefused: the login does not fit the mode.
        """
        self._history_room = asyncio.Event()  # bound to the loop of this session
        self._connection.open()

    def close(self) -> None:
        """End the session; safe to call twice."""
        self._connection.disconnect_from_tws()
        self._pacer.reset_open()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def account(self) -> str:
        """Return the one account this session uses, empty before the first `connect`."""
        return self._account

    @property
    def server_version(self) -> int:
        """Return the protocol version agreed on with TWS, 0 without a session."""
        return int(self._connection.ib.client.serverVersion())

    @property
    def is_connected(self) -> bool:
        """Return True while the session is open."""
        return self._connection.is_connected

    @property
    def undecodable_frames(self) -> int:
        """Return how many messages of this connection could not be decoded and were dropped."""
        return self._connection.undecodable_frames

    @property
    def connectivity_lost(self) -> bool:
        """Return True while TWS says that it has lost IBKR (1100, 2110)."""
        return self._connection.connectivity_lost

    def now(self) -> datetime:
        """Return TWS's own time, aware UTC, to the second.

        Raises:
            DataGap: when the calendar has no sessions around it.
            ConnectionLost: when TWS does not answer.
        """
        moment = self._connection.call(self._current_time(self._connection.timeout_seconds))
        try:
            ns = int(moment.timestamp()) * 1_000_000_000
            last_completed_session(ns)
            next_session(ns)
        except SessionRangeError as error:
            raise DataGap(f"TWS says it is {moment:%Y-%m-%d %H:%M:%S} UTC: {error}") from None
        return moment

    async def _current_time(self, seconds: float) -> datetime:
        await self.pace(_SENDS)
        answer: datetime = await self._connection.ask(
            self._connection.ib.reqCurrentTimeAsync, "the current time", seconds
        )
        return answer.astimezone(UTC)

    # Instruments.

    def instruments(self, symbols: Sequence[str], *, skip_missing: bool = False) -> dict[str, Instrument]:
        """Return each symbol's US stock or ETF with IBKR's id, currency and tick size.

        Args:
            symbols: tickers; each is asked for once in a session.
            skip_missing: True leaves unknown and ambiguous symbols out, with a warning each in the log.

        Raises:
            DataGap: when a symbol is unknown or ambiguous, naming all such symbols and the candidates.
            ConnectionLost: when TWS does not answer.
        """
        found, gaps = self._connection.call(self._resolve(symbols))
        if gaps and not skip_missing:
            raise DataGap("; ".join(gaps.values()))
        for text in gaps.values():
            _log.warning("skipped: %s", text)
        return found

    async def _resolve(self, symbols: Sequence[str]) -> tuple[dict[str, Instrument], dict[str, str]]:
        wanted = [symbol for symbol in dict.fromkeys(symbols) if symbol not in self._instruments]
        answers = await asyncio.gather(*(self._describe(symbol) for symbol in wanted), return_exceptions=True)
        gaps = {}
        for symbol, answer in zip(wanted, answers, strict=True):
            if isinstance(answer, DataGap):
                gaps[symbol] = str(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                self._instruments[symbol] = answer
        return {s: self._instruments[s] for s in symbols if s in self._instruments}, gaps

    async def _describe(self, symbol: str) -> Instrument:
        name = ibkr_symbol(symbol)
        if not _SYMBOL.fullmatch(name):
            raise DataGap(f"{symbol!r} is not a ticker; write it as the exchange does, e.g. AAPL or BRK.B")
        primary = self._primary_exchanges.get(symbol, "")
        wish = contract_of(Instrument(symbol, primary_exchange=primary))
        await self.pace(_SENDS)
        try:
            answers: list[ContractDetails] = await self._connection.ask(
                lambda: self._connection.ib.reqContractDetailsAsync(wish), f"the contract details of {symbol}"
            )
        except RequestError as error:
            if error.code == 200:
                raise DataGap(f"{symbol}: unknown to IBKR as a US stock or ETF; correct the ticker") from None
            raise DataGap(f"{symbol}: TWS refused its contract details ({error.code}: {error.message})") from None
        matches = {
            answer.contract.conId: answer
            for answer in answers
            if answer.contract is not None and answer.contract.symbol == name and answer.contract.currency == "USD"
        }
        if not matches:
            raise DataGap(f"{symbol}: unknown to IBKR as a US stock or ETF; correct the ticker")
        if len(matches) > 1:
            listed = ", ".join(
                f"{m.contract.primaryExchange or m.contract.exchange} (conId {con_id}, {m.longName})"
                for con_id, m in sorted(matches.items())
                if m.contract is not None
            )
            raise DataGap(
                f"{symbol}: ambiguous, it is listed at {listed}; name one: primary_exchanges: {{{symbol}: ...}}"
            )
        return instrument_of(symbol, next(iter(matches.values())))

    # Bars.

    def bars(self, symbols: Sequence[str], bar_size: str, duration: str, *, skip_missing: bool = False) -> BarPanel:
        """Return regular-hours trade bars up to now, see `ports.BarSource`.

        `last_gaps` tells afterwards which symbols had none, and why.
        """
        return self.history(symbols, bar_size, duration, skip_missing=skip_missing)

    def history(
        self,
        symbols: Sequence[str],
        bar_size: str,
        duration: str,
        *,
        end: datetime | None = None,
        all_hours: bool = False,
        what: str = "TRADES",
        skip_missing: bool = False,
    ) -> BarPanel:
        """Return bars of all `symbols`, asked for at once as far as IBKR's pacing allows.

        Args:
            symbols, duration, skip_missing: as in `ports.BarSource.bars`.
            bar_size: IBKR's words or a timeframe, "5 mins" or "5m"; the panel has IBKR's words.
            end: aware moment at which the bars end; None is now.
            all_hours: with pre-market and after-hours trading.
            what: IBKR's data type, "TRADES", "MIDPOINT", "BID", "ASK", "ADJUSTED_LAST".

        Raises:
            DataGap: when a symbol is unknown or has no bars, naming all such symbols.
            UsageError: when the bar size is none of IBKR's.
            ConnectionLost: when the session breaks.
        """
        size = parse_bar_size(bar_size)
        end_text = end.astimezone(UTC).strftime("%Y%m%d-%H:%M:%S") if end is not None else ""
        columns, gaps = self._connection.call(self._all_bars(symbols, size, duration, end_text, not all_hours, what))
        self.last_gaps = gaps
        if gaps and (not skip_missing or not any(len(column.start_ns) for column in columns)):
            raise DataGap("; ".join(gaps.values()))
        for text in gaps.values():
            _log.warning("skipped: %s", text)
        return panel_from_columns(symbols, size.words, columns)

    async def _all_bars(
        self, symbols: Sequence[str], size: BarSize, duration: str, end: str, regular: bool, what: str
    ) -> tuple[list[BarColumns], dict[str, str]]:
        found, gaps = await self._resolve(symbols)
        asked = [symbol for symbol in dict.fromkeys(symbols) if symbol in found]
        answers = await asyncio.gather(
            *(self._bars_of(found[symbol], size, duration, end, regular, what) for symbol in asked),
            return_exceptions=True,
        )
        columns: dict[str, BarColumns] = {}
        for symbol, answer in zip(asked, answers, strict=True):
            if isinstance(answer, DataGap):
                gaps[symbol] = str(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                columns[symbol] = answer
        return [columns.get(symbol) or no_bars() for symbol in symbols], gaps

    async def _bars_of(
        self, instrument: Instrument, size: BarSize, duration: str, end: str, regular: bool, what: str
    ) -> BarColumns:
        symbol, ib, bar_size = instrument.symbol, self._connection.ib, size.words
        asked = (end, duration, bar_size, regular)
        key = HistoryKey(instrument.con_id, instrument.exchange, what, size.seconds, asked)
        contract = contract_of(instrument)
        await self.pace(_HISTORY, key)
        loop = asyncio.get_running_loop()
        limit, asked_at = self._history_timeout_seconds, loop.time()
        try:
            bars: BarDataList = await self._connection.ask(
                lambda: ib.reqHistoricalDataAsync(
                    contract, end, duration, bar_size, what, regular, formatDate=2, timeout=limit
                ),
                f"the bars of {symbol}",
                limit + 1.0,  # the library's own time-out comes first: it also cancels the request at TWS
            )
        except RequestError as error:
            raise DataGap(f"{symbol}: no bars, TWS said {error.code}: {error.message}") from None
        finally:
            self._pacer.note_done()
            self._history_room.set()
        if not bars and loop.time() - asked_at >= limit:
            raise DataGap(f"{symbol}: no answer to {duration} of {bar_size} bars within {limit:g} s; ask again later")
        return bar_columns(symbol, size, bars)

    # Portfolio.

    def portfolio(self) -> Portfolio:
        """Return equity, cash and every position as TWS sees them now, asked for anew.

        Resolve the desk's symbols with `instruments` first. A position that is none of them, such as a
        listing in another currency, an option or a future, stands under a key with a colon, see
        `core.ibkr_positions`; its market price is in base currency and holds the multiplier.

        Raises:
            DataGap: when TWS sends no usable equity or cash.
            ConnectionLost: when TWS does not answer in full.
        """
        return self._connection.call(self._read_portfolio())

    async def _read_portfolio(self) -> Portfolio:
        ib, account = self._connection.ib, self._account
        # What is not sent again must not be taken for news: a closed position is simply left out.
        ib.wrapper.portfolio[account].clear()
        for key in [key for key in ib.wrapper.accountValues if key[0] == account]:
            del ib.wrapper.accountValues[key]
        await self.pace(_SENDS)
        client: Any = ib.client  # the library leaves its methods untyped
        client.reqAccountUpdates(False, account)  # only a new subscription sends everything again
        await self.pace(_SENDS)
        await self._connection.ask(lambda: ib.reqAccountUpdatesAsync(account), "account updates")
        await self.pace(_SENDS)
        lines = await self._connection.ask(ib.reqPositionsAsync, "positions")
        equity, currency = self._account_value("NetLiquidation")
        cash, _ = self._account_value("TotalCashValue")
        held = held_lines(lines, account)
        keys = position_keys(held, self._instruments, currency)
        self._held_con_ids = {key: con_id for con_id, key in keys.items()}
        positions = positions_of(held, keys, ib.wrapper.portfolio[account], currency, self._exchange_rates())
        return Portfolio(account, currency, equity, cash, positions)

    def _exchange_rates(self) -> dict[str, Decimal]:
        """Return what TWS says one unit of each currency is worth in base currency."""
        rates = {
            value.currency: price(value.value)
            for value in self._connection.ib.wrapper.accountValues.values()
            if value.account == self._account and value.tag == "ExchangeRate"
        }
        return {currency: rate for currency, rate in rates.items() if rate is not None}

    def _account_value(self, tag: str) -> tuple[Any, str]:
        rows = [
            value
            for value in self._connection.ib.wrapper.accountValues.values()
            if value.account == self._account and value.tag == tag and value.currency not in ("", "BASE")
        ]
        amount = number(rows[0].value) if rows else None
        if amount is None:
            received = rows[0].value if rows else "nothing"
            raise DataGap(
                f"account {self._account}: TWS sent {received} as {tag}, expected an amount; "
                f"wait until TWS has loaded the account"
            )
        return amount, rows[0].currency

    # Pacing.

    def count_message(self) -> None:
        """Count a message that left without asking; call it on the running loop."""
        self._pacer.note_sent(_SENDS, None, asyncio.get_running_loop().time())

    async def pace(self, kind: str, key: HistoryKey | None = None) -> None:
        """Wait until one more message of this kind may leave, and count it."""
        loop = asyncio.get_running_loop()
        while True:
            delay = self._pacer.claim(kind, key, loop.time())
            if delay <= 0.0:
                return
            if math.isinf(delay):
                self._history_room.clear()
                await self._history_room.wait()
            else:
                self.on_pause(delay)
                await asyncio.sleep(delay)

    def on_pause(self, seconds: float) -> None:
        """Note that a message has to wait so long for the pacing rules."""
