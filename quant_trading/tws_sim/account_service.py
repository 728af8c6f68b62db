"""Requests about accounts: values, summary, positions, profit."""

from collections.abc import Callable
from decimal import Decimal

from quant_trading.tws_sim.account_values import (
    LEDGER_TAG,
    AccountValue,
    account_values,
    ledger_values,
    summary_values,
)
from quant_trading.tws_sim.accounts import Ledger, Position, daily_pnl_of, multiplier_of
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.contracts import contract_values
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.exchange import Exchange
from quant_trading.tws_sim.fields import Message, Values
from quant_trading.tws_sim.subscriptions import Streams
from quant_trading.tws_sim.tape import Contract
from quant_trading.tws_sim.timeline import Timeline
from quant_trading.tws_sim.times import exchange_clock

__all__ = ["AccountService"]

_MAX_SUMMARIES = 2
_ACCOUNT, _ACCOUNT_MULTI, _SUMMARY = "account updates", "account updates multi", "account summary"
_POSITIONS, _POSITIONS_MULTI = "positions", "positions multi"
_PNL, _PNL_SINGLE = "pnl", "pnl single"
_ONLY = 0  # the id of a subscription a session can have only one of


class AccountService:
    """Answers about the books, and keeps subscribers up to date."""

    def __init__(
        self,
        exchange: Exchange,
        streams: Streams,
        timeline: Timeline,
        config: SimConfig,
        afterwards: Callable[[Callable[[], None]], None],
    ) -> None:
        """Serve the books of `exchange`; `afterwards` runs work once the news of a fill has gone out."""
        self._afterwards = afterwards
        self._exchange = exchange
        self._streams = streams
        self._timeline = timeline
        self._config = config
        self._position_listeners: dict[tuple[Session, str, int], Callable[[str, Position], None]] = {}

    def handlers(self) -> dict[str, Callable[[Session, Message], None]]:
        """Return what this service answers, by request name."""
        return {
            "reqManagedAccts": self._send_accounts,
            "reqAccountUpdates": self._account_updates,
            "reqAccountUpdatesMulti": self._account_updates_multi,
            "cancelAccountUpdatesMulti": self._canceller(_ACCOUNT_MULTI),
            "reqAccountSummary": self._summary,
            "cancelAccountSummary": self._canceller(_SUMMARY),
            "reqPositions": self._positions,
            "cancelPositions": self._cancel_positions,
            "reqPositionsMulti": self._positions_multi,
            "cancelPositionsMulti": self._cancel_positions_multi,
            "reqPnL": self._pnl,
            "cancelPnL": self._canceller(_PNL),
            "reqPnLSingle": self._pnl_single,
            "cancelPnLSingle": self._canceller(_PNL_SINGLE),
        }

    def forget(self, session: Session) -> None:
        """Drop what a session had subscribed to."""
        self._streams.stop_all(session)
        for key in [key for key in self._position_listeners if key[0] is session]:
            del self._position_listeners[key]

    def on_fill(self, account: str, contract: Contract) -> None:
        """Tell subscribers at once that a position has changed (documented)."""
        held = self._exchange.ledger(account).positions[contract.con_id]
        for listener in list(self._position_listeners.values()):
            listener(account, held)
        self._afterwards(self._refresh_values)

    def _refresh_values(self) -> None:
        # Some forty messages: several fills at once are followed by one such round.
        self._streams.run_now(_ACCOUNT)
        self._streams.run_now(_ACCOUNT_MULTI)

    def _canceller(self, kind: str) -> Callable[[Session, Message], None]:
        # Cancelling what is not there is answered by nothing, as in TWS (reported).
        def cancel(session: Session, request: Message) -> None:
            self._streams.stop(session, kind, request.integer("reqId"))

        return cancel

    def _send_accounts(self, session: Session, request: Message) -> None:
        session.send("managedAccounts", accounts=",".join(self._config.accounts))

    def _account_named(self, name: str, request: str) -> str:
        if name in self._config.accounts:
            return name
        if not name and len(self._config.accounts) == 1:
            return self._config.accounts[0]
        raise RequestRefused(321, tag=request, cause=f"Invalid account code '{name}'.")

    def _accounts_named(self, name: str, request: str) -> list[str]:
        if name.lower() in ("", "all"):
            return list(self._config.accounts)
        return [self._account_named(name, request)]

    def _refuse_model(self, request: Message) -> str:
        """Return the model code, which must be empty: there are no models here (assumed words)."""
        model = request.text("modelCode")
        if model:
            raise RequestRefused(321, tag=request.name, cause=f"Invalid model code '{model}'.")
        return model

    # Values

    def _previous_equity(self, ledger: Ledger) -> Decimal:
        exchange = self._exchange
        equity = ledger.equity(exchange.mark, exchange.rate)
        return equity - ledger.daily_pnl(exchange.mark, exchange.reference_mark, exchange.rate)

    def _values(self, account: str) -> list[AccountValue]:
        ledger = self._exchange.ledger(account)
        exchange = self._exchange
        previous, margins = self._previous_equity(ledger), exchange.margins(account)
        return account_values(ledger, exchange.mark, previous, margins, exchange.rate)

    def _account_updates(self, session: Session, request: Message) -> None:
        if not request.flag("subscribe"):
            self._streams.stop(session, _ACCOUNT, _ONLY)
            return
        account = self._account_named(request.text("account"), request.name)
        sent: dict[tuple[str, str], object] = {}
        send_value = session.sender("updateAccountValue", "value")

        def refresh() -> None:
            """Send what has changed since the last time, then the time."""
            for value in self._values(account):
                key = (value.key, value.currency)
                if sent.get(key) != value.value:
                    sent[key] = value.value
                    send_value(key, value.value, {"key": value.key, "currency": value.currency, "account": account})
            for held in list(self._exchange.ledger(account).positions.values()):
                if held.is_virtual:
                    # A currency pair is cash: it is among the positions, not in the portfolio (reported).
                    continue
                row = self._portfolio_row(account, held)
                place = ("", str(held.contract.con_id))
                # A position that was closed is shown once with zero, one that never was is not shown.
                if sent.get(place) != row and (held.quantity or place in sent):
                    sent[place] = row
                    session.send("updatePortfolio", **row)
            session.send("updateAccountTime", time=exchange_clock(self._timeline.now_ns))

        self._streams.start(session, _ACCOUNT, _ONLY, self._config.summary_interval_ns, refresh)
        refresh()
        session.send("accountDownloadEnd", account=account)

    def _portfolio_row(self, account: str, held: Position) -> Values:
        price = self._exchange.mark(held.contract)
        price = held.average_cost / multiplier_of(held.contract) if price is None else price
        value = held.value(self._exchange.mark)
        return {
            **contract_values(held.contract),
            "position": held.quantity,
            "marketPrice": price,
            "marketValue": value,
            "averageCost": round(held.average_cost, 8),
            "unrealizedPNL": round(value - held.cost, 8),
            "realizedPNL": round(held.realized_today, 8),
            "account": account,
        }

    def _account_updates_multi(self, session: Session, request: Message) -> None:
        accounts = self._accounts_named(request.text("account"), request.name)
        req_id, model = request.integer("reqId"), self._refuse_model(request)
        is_ledger_only = request.flag("ledgerAndNLV")
        sent: dict[tuple[str, str, str], str] = {}

        def refresh() -> None:
            for account in accounts:
                for value in self._ledger_and_nlv(account) if is_ledger_only else self._values(account):
                    if sent.get((account, value.key, value.currency)) == value.value:
                        continue
                    sent[account, value.key, value.currency] = value.value
                    session.send(
                        "accountUpdateMulti",
                        reqId=req_id, account=account, modelCode=model,
                        key=value.key, value=value.value, currency=value.currency,
                    )  # fmt: skip

        self._streams.start(session, _ACCOUNT_MULTI, req_id, self._config.summary_interval_ns, refresh)
        refresh()
        session.send("accountUpdateMultiEnd", reqId=req_id)

    def _ledger_and_nlv(self, account: str) -> list[AccountValue]:
        return [value for value in self._values(account) if value.key == "NetLiquidation"] + ledger_values(
            self._exchange.ledger(account), self._exchange.mark, self._exchange.rate
        )

    def _summary(self, session: Session, request: Message) -> None:
        req_id = request.integer("reqId")
        accounts = self._accounts_named(request.text("group"), request.name)
        tags = {tag.strip() for tag in request.text("tags").split(",") if tag.strip()}
        if not tags:
            raise RequestRefused(321, tag=request.name, cause="No account summary tags were given")
        running = self._streams.count(session, _SUMMARY)
        if running >= _MAX_SUMMARIES and not self._streams.has(session, _SUMMARY, req_id):
            raise RequestRefused(322, tag=request.name, cause="Maximum number of account summary requests exceeded")
        sent: dict[tuple[str, str, str], str] = {}

        def refresh() -> None:
            for account in accounts:
                for value in self._summary_of(account, tags):
                    if sent.get((account, value.key, value.currency)) == value.value:
                        continue
                    sent[account, value.key, value.currency] = value.value
                    session.send(
                        "accountSummary",
                        reqId=req_id, account=account, tag=value.key, value=value.value, currency=value.currency,
                    )  # fmt: skip

        self._streams.start(session, _SUMMARY, req_id, self._config.summary_interval_ns, refresh)
        refresh()
        session.send("accountSummaryEnd", reqId=req_id)

    def _summary_of(self, account: str, tags: set[str]) -> list[AccountValue]:
        ledger, exchange = self._exchange.ledger(account), self._exchange
        previous = self._previous_equity(ledger)
        values = summary_values(ledger, exchange.mark, previous, exchange.margins(account), exchange.rate)
        wanted = [value for value in values if value.key in tags]
        for tag in sorted(tags):
            name, _, currency = tag.partition(":")
            if name == LEDGER_TAG:
                rows = ledger_values(ledger, exchange.mark, exchange.rate)
                wanted += [v for v in rows if currency == "ALL" or v.currency == (currency or "BASE")]
        return wanted

    # Positions

    def _positions(self, session: Session, request: Message) -> None:
        def send(account: str, held: Position) -> None:
            session.send("position", **_position_row(account, held))

        self._position_listeners[session, _POSITIONS, _ONLY] = send
        self._send_held(list(self._config.accounts), send)
        session.send("positionEnd")

    def _positions_multi(self, session: Session, request: Message) -> None:
        accounts = self._accounts_named(request.text("account"), request.name)
        req_id, model = request.integer("reqId"), self._refuse_model(request)

        def send(account: str, held: Position) -> None:
            if account in accounts:
                session.send("positionMulti", reqId=req_id, modelCode=model, **_position_row(account, held))

        self._position_listeners[session, _POSITIONS_MULTI, req_id] = send
        self._send_held(accounts, send)
        session.send("positionMultiEnd", reqId=req_id)

    def _send_held(self, accounts: list[str], send: Callable[[str, Position], None]) -> None:
        for account in accounts:
            for held in list(self._exchange.ledger(account).positions.values()):
                if held.quantity:
                    send(account, held)

    def _cancel_positions(self, session: Session, request: Message) -> None:
        self._position_listeners.pop((session, _POSITIONS, _ONLY), None)

    def _cancel_positions_multi(self, session: Session, request: Message) -> None:
        self._position_listeners.pop((session, _POSITIONS_MULTI, request.integer("reqId")), None)

    # Profit

    def _pnl(self, session: Session, request: Message) -> None:
        self._refuse_model(request)
        account = self._account_named(request.text("account"), request.name)
        req_id = request.integer("reqId")
        exchange = self._exchange

        def send() -> None:
            ledger = exchange.ledger(account)
            session.send(
                "pnl",
                reqId=req_id,
                daily=round(ledger.daily_pnl(exchange.mark, exchange.reference_mark, exchange.rate), 8),
                unrealized=round(ledger.unrealized(exchange.mark, exchange.rate), 8),
                realized=round(ledger.realized_today(exchange.rate), 8),
            )

        self._streams.start(session, _PNL, req_id, self._config.stream_interval_ns, send)
        send()

    def _pnl_single(self, session: Session, request: Message) -> None:
        self._refuse_model(request)
        account = self._account_named(request.text("account"), request.name)
        req_id, con_id = request.integer("reqId"), request.integer("conId")
        exchange = self._exchange

        def send() -> None:
            held = exchange.ledger(account).positions.get(con_id)
            if held is None:
                session.send("pnlSingle", reqId=req_id, position=0, daily=0, unrealized=0, realized=0, value=0)
                return
            row = self._portfolio_row(account, held)
            daily = daily_pnl_of(held, exchange.mark, exchange.reference_mark)
            session.send(
                "pnlSingle",
                reqId=req_id,
                position=held.quantity,
                daily=round(daily, 8),
                unrealized=row["unrealizedPNL"],
                realized=row["realizedPNL"],
                value=row["marketValue"],
            )

        self._streams.start(session, _PNL_SINGLE, req_id, self._config.stream_interval_ns, send)
        send()


def _position_row(account: str, held: Position) -> Values:
    # Positions name the primary exchange, never SMART (reported).
    values = contract_values(held.contract) | {"exchange": held.contract.primary_exchange}
    return values | {"account": account, "position": held.quantity, "avgCost": round(held.average_cost, 8)}
