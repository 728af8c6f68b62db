"""Requests about the time and level-1 market data, and the lists that need no market at all."""

from collections.abc import Callable
from weakref import WeakKeyDictionary

from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.contracts import ContractBook, query_of
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.generics import GenericTicks, parse_generics
from quant_trading.tws_sim.level1 import Extra, Level1, Line
from quant_trading.tws_sim.rights import MarketRights, Right
from quant_trading.tws_sim.tape import Contract
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["DataService", "ExtraSource"]

_LIVE, _DELAYED, _DELAYED_FROZEN = 1, 3, 4
_DELAYED_HINT = "Delayed market data is available."

ExtraSource = Callable[[Session, Contract, frozenset[int], frozenset[str]], tuple[Extra, ...]]
"""Gives what else a line is sent: news for who asked for them, greeks for options."""


class DataService:
    """Answers about quotes and the time.

    Attributes:
        rights: what market data there is; may be changed while the market runs.
    """

    def __init__(
        self,
        level1: Level1,
        generics: GenericTicks,
        book: ContractBook,
        timeline: Timeline,
        config: SimConfig,
        sources: tuple[ExtraSource, ...] = (),
    ) -> None:
        self._level1 = level1
        self._generics = generics
        self._book = book
        self._timeline = timeline
        self._config = config
        self._sources = sources
        self._wishes: WeakKeyDictionary[Session, int] = WeakKeyDictionary()
        self.rights = MarketRights(config.market_data)

    def handlers(self) -> dict[str, Callable[[Session, Message], None]]:
        """Return what this service answers, by request name."""
        return {
            "reqCurrentTime": self._send_time,
            "setServerLogLevel": self._accept,
            "reqMktData": self._market_data,
            "cancelMktData": self._cancel_market_data,
            "reqMarketDataType": self._market_data_type,
            "reqFamilyCodes": self._send_family_codes,
            "reqSoftDollarTiers": self._send_soft_dollar_tiers,
            "reqUserInfo": self._send_user_info,
        }

    def forget(self, session: Session) -> None:
        """End what the session has subscribed to."""
        self._level1.forget(session)

    def _accept(self, session: Session, request: Message) -> None:
        """Take note; TWS answers these requests with nothing."""

    def _send_time(self, session: Session, request: Message) -> None:
        session.send("currentTime", time=self._timeline.now_ns // 1_000_000_000)

    # Quotes

    def _market_data(self, session: Session, request: Message) -> None:
        """Send the quote of this moment; a subscription is then sent what changed."""
        contract = self._book.find_one(query_of(request))
        req_id = request.integer("reqId")
        if self._level1.has(session, req_id):
            raise RequestRefused(322, tag=request.name, cause="Duplicate ticker id")
        ids, providers = parse_generics(request.text("genericTicks"), contract.sec_type)
        is_snapshot = request.flag("snapshot") or request.flag("regulatorySnapshot")
        if is_snapshot and ids:
            cause = "Snapshot market data subscription is not applicable to generic ticks"
            raise RequestRefused(321, tag=request.name, cause=cause)
        wish = self._wishes.get(session, _LIVE)
        is_delayed = self._check_rights(session, req_id, contract, wish)
        extras = self._generics.extras(ids)
        for source in self._sources:
            extras += source(session, contract, ids, providers)
        line = Line(session, req_id, contract, wish, is_delayed, extras)
        if not self._level1.has_data(line):
            raise RequestRefused(354, detail=f" No market data for {contract.symbol} at this time.")
        session.send("tickReqParams", reqId=req_id, minTick=contract.min_tick, bboExchange="9c0001", permissions=3)
        self._level1.open(line)
        if is_snapshot:
            session.send("tickSnapshotEnd", reqId=req_id)
        else:
            self._level1.keep(line)

    def _check_rights(self, session: Session, req_id: int, contract: Contract, wish: int) -> bool:
        """Return whether the data is to be delayed, and tell the client so.

        Raises:
            RequestRefused: there is no data of the kind the client wishes.
        """
        right = self.rights.of(contract.symbol)
        if right is Right.LIVE:
            return False
        if right is Right.COMPETING:
            raise RequestRefused(10197)
        if right is Right.NOT_ENABLED:
            raise RequestRefused(10168)
        takes_delayed = wish in (_DELAYED, _DELAYED_FROZEN)
        if right is Right.PARTIAL:
            session.send_error(req_id, 10090, detail=_DELAYED_HINT + _listing(contract))
            return True
        if takes_delayed and right is not Right.NONE:
            session.send_error(req_id, 10167)
            return True
        if right is Right.API_EXTRA:
            raise RequestRefused(10089, detail=_DELAYED_HINT + _listing(contract))
        raise RequestRefused(354, detail="" if right is Right.NONE else _DELAYED_HINT + _listing(contract))

    def _cancel_market_data(self, session: Session, request: Message) -> None:
        req_id = request.integer("reqId")
        if not self._level1.close(session, req_id):
            raise RequestRefused(300, ticker=req_id)

    def _market_data_type(self, session: Session, request: Message) -> None:
        """Note the wish; it holds for the subscriptions to come, and live data goes first where there is any."""
        wished = request.integer("marketDataType")
        if not 1 <= wished <= 4:
            raise RequestRefused(321, tag=request.name, cause=f"Invalid market data type {wished}")
        self._wishes[session] = wished

    # Lists that are empty here, and complete all the same

    def _send_family_codes(self, session: Session, request: Message) -> None:
        session.send("familyCodes", codes=[{"account": name, "familyCode": ""} for name in self._config.accounts])

    def _send_soft_dollar_tiers(self, session: Session, request: Message) -> None:
        session.send("softDollarTiers", reqId=request.integer("reqId"))

    def _send_user_info(self, session: Session, request: Message) -> None:
        session.send("userInfo", reqId=request.integer("reqId"), whiteBrandingId="")


def _listing(contract: Contract) -> str:
    """Return the words TWS ends such refusals with (reported): what was asked for, where it is listed."""
    return f"{contract.symbol} {contract.primary_exchange}/TOP/ALL"
