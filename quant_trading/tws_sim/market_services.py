"""Everything that is answered from the market: composed here, so that the simulator sees one object."""

from collections.abc import Callable

from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.contract_service import ContractService
from quant_trading.tws_sim.contracts import ContractBook
from quant_trading.tws_sim.data_service import DataService
from quant_trading.tws_sim.depth_service import DepthService
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.generics import GenericTicks
from quant_trading.tws_sim.greeks_service import GreeksService
from quant_trading.tws_sim.history_service import HistoryService
from quant_trading.tws_sim.level1 import Level1
from quant_trading.tws_sim.news_service import NewsService
from quant_trading.tws_sim.rights import MarketRights
from quant_trading.tws_sim.scanner_service import ScannerService
from quant_trading.tws_sim.subscriptions import Streams
from quant_trading.tws_sim.tape import Tape
from quant_trading.tws_sim.tick_service import TickService
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["MarketServices"]


class MarketServices:
    """Contracts, quotes, ticks, bars, books, scanners and news of one market."""

    def __init__(self, tape: Tape, book: ContractBook, streams: Streams, timeline: Timeline, config: SimConfig) -> None:
        news = NewsService(tape, book, timeline, config)
        options = GreeksService(tape, book, timeline)
        level1 = Level1(tape, timeline, config)
        self._data = DataService(level1, GenericTicks(tape), book, timeline, config, (news.extras, options.extras))
        rights = self._data.rights
        self._services = (
            self._data,
            ContractService(book, timeline),
            HistoryService(tape, book, streams, timeline, config),
            TickService(tape, book, streams, timeline, rights),
            DepthService(tape, book, streams, timeline, config, rights),
            ScannerService(tape, book, streams, timeline),
            news,
            options,
        )

    @property
    def rights(self) -> MarketRights:
        """What market data there is, by symbol; may be changed while the market runs."""
        return self._data.rights

    def handlers(self) -> dict[str, Callable[[Session, Message], None]]:
        """Return what these services answer, by request name."""
        found: dict[str, Callable[[Session, Message], None]] = {}
        for service in self._services:
            found |= service.handlers()
        return found

    def forget(self, session: Session) -> None:
        """End what the session has subscribed to; repeating answers end with the session's streams."""
        self._data.forget(session)
