"""News of the simulator's own making: what happened on the tape, told by two invented providers.

SIMN reports the day's move of a stock, SIMC its splits and dividends. An article's id says everything about it, so
none is stored. Documented: providers, historical news newest first with 300 headlines at most, article texts, news
ticks through generic tick 292, 10276 for a provider that is not allowed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from quant_trading.refdata.sessions import FIRST_SESSION_DAY, at, exchange_date, session_on
from quant_trading.tws_sim.barsize import DAY
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.contracts import ContractBook
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.level1 import Extra, State
from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.request_text import parse_end
from quant_trading.tws_sim.tape import Contract, Tape, What
from quant_trading.tws_sim.timeline import Timeline
from quant_trading.tws_sim.times import to_utc

__all__ = ["PROVIDERS", "NewsService"]

PROVIDERS = {"SIMN": "Simulated Market News", "SIMC": "Simulated Company Events"}
_MAX_RESULTS = 300
_LONGEST_DAYS = 400
_NOTABLE = 0.02
_PLAIN_TEXT = 0
_MILLISECOND_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Story:
    at_ns: int
    provider: str
    article_id: str
    headline: str
    text: str


class NewsService:
    """Answers about news."""

    def __init__(self, tape: Tape, book: ContractBook, timeline: Timeline, config: SimConfig) -> None:
        self._tape = tape
        self._book = book
        self._timeline = timeline
        self._allowed = {code: name for code, name in PROVIDERS.items() if code in config.news_providers}

    def handlers(self) -> dict[str, Callable[[Session, Message], None]]:
        """Return what this service answers, by request name."""
        return {
            "reqNewsProviders": self._send_providers,
            "reqHistoricalNews": self._send_history,
            "reqNewsArticle": self._send_article,
            "reqNewsBulletins": self._accept,
            "cancelNewsBulletins": self._accept,
        }

    def _accept(self, session: Session, request: Message) -> None:
        """Take note: bulletins tell of exchanges in trouble, and here there are none."""

    def _send_providers(self, session: Session, request: Message) -> None:
        session.send("newsProviders", providers=[{"code": c, "name": n} for c, n in self._allowed.items()])

    def _check(self, codes: list[str]) -> None:
        if not codes or any(code not in self._allowed for code in codes):
            raise RequestRefused(10276)

    def _send_history(self, session: Session, request: Message) -> None:
        req_id, wanted = request.integer("reqId"), request.integer("totalResults")
        codes = [code for code in request.text("providerCodes").upper().replace(",", "+").split("+") if code]
        self._check(codes)
        contract = self._book.by_id(request.integer("conId"))
        if contract is None:
            raise RequestRefused(200)
        now = self._timeline.now_ns
        moments = [_moment(request.text(name), now) for name in ("startDateTime", "endDateTime")]
        if None in moments:
            raise RequestRefused(321, tag=request.name, cause="Invalid date/time; write 2026-01-22 15:00:00.0")
        start, end = (request.text("startDateTime").strip() and moments[0]) or 0, min(moments[1] or now, now)
        limit = wanted if 0 < wanted <= _MAX_RESULTS else _MAX_RESULTS
        found: list[_Story] = []
        for story in self._stories(contract, start, end):
            if story.provider in codes:
                found.append(story)
            if len(found) > limit:
                break
        for story in found[:limit]:
            time = f"{to_utc(story.at_ns):%Y-%m-%d %H:%M:%S}.0"
            values = {"providerCode": story.provider, "articleId": story.article_id, "headline": story.headline}
            session.send("historicalNews", reqId=req_id, time=time, **values)
        session.send("historicalNewsEnd", reqId=req_id, hasMore=len(found) > limit)

    def _stories(self, contract: Contract, start_ns: int, end_ns: int) -> Iterator[_Story]:
        """Give the stories of a contract with start_ns < at_ns <= end_ns, newest first, of a year or so."""
        day = exchange_date(end_ns)
        for _ in range(_LONGEST_DAYS):
            if day < FIRST_SESSION_DAY:
                return
            for story in self._of_day(contract, day):
                if story.at_ns <= start_ns:
                    return
                if story.at_ns <= end_ns:
                    yield story
            day -= timedelta(days=1)

    def _of_day(self, contract: Contract, day: date) -> list[_Story]:
        """Return the stories of a day, newest first."""
        stories: list[_Story] = []
        session = session_on(day)
        if session is None:
            return stories
        end = session.close_ns + 60_000_000_000
        bars = self._tape.bars(contract, DAY, What.TRADES, at(day - timedelta(days=7), "00:00"), end, True)
        if bars is not None and len(bars) > 1:
            before, close = float(bars.close[-2]), float(bars.close[-1])
            move = close / before - 1.0
            if abs(move) >= _NOTABLE and self._timeline.now_ns >= end:
                verb = "rises" if move > 0 else "falls"
                headline = f"{contract.symbol} {verb} {abs(move):.1%} to {close:.2f}"
                text = (
                    f"{contract.long_name} closed at {close:.2f} {contract.currency} on {day.isoformat()}, "
                    f"{move:+.2%} from {before:.2f}; {int(bars.volume[-1])} shares changed hands."
                )
                stories.append(_Story(end, "SIMN", f"SIMN${contract.con_id}${day:%Y%m%d}", headline, text))
        if isinstance(self._tape, SeriesTape):
            for number, event in enumerate(self._tape.actions(contract).on(day)):
                words = f"{event.value:g} for 1 split" if event.kind == "split" else f"dividend of {event.value:g}"
                headline = f"{contract.symbol} trades ex {words}"
                article_id = f"SIMC${contract.con_id}${day:%Y%m%d}${number}"
                text = f"Shares of {contract.long_name} trade without the {words} from {day.isoformat()} on."
                stories.append(_Story(at(day, "07:00") + number, "SIMC", article_id, headline, text))
        return sorted(stories, key=lambda story: -story.at_ns)

    def _send_article(self, session: Session, request: Message) -> None:
        code, article_id = request.text("providerCode").upper(), request.text("articleId")
        self._check([code])
        story = self._find(code, article_id)
        if story is None:
            raise RequestRefused(10172, cause=f"No article {article_id}")
        values = {"articleType": _PLAIN_TEXT, "articleText": story.text}
        session.send("newsArticle", reqId=request.integer("reqId"), **values)

    def _find(self, code: str, article_id: str) -> _Story | None:
        parts = article_id.split("$")
        if len(parts) < 3 or not all(part.isascii() and part.isdigit() and len(part) < 12 for part in parts[1:]):
            return None
        contract = self._book.by_id(int(parts[1]))
        try:
            day = date(int(parts[2][:4]), int(parts[2][4:6]), int(parts[2][6:8]))
        except ValueError:
            return None
        if contract is None or not FIRST_SESSION_DAY <= day <= exchange_date(self._timeline.now_ns):
            return None
        return next((s for s in self._of_day(contract, day) if (s.provider, s.article_id) == (code, article_id)), None)

    def extras(
        self, session: Session, contract: Contract, ids: frozenset[int], providers: frozenset[str]
    ) -> tuple[Extra, ...]:
        """Return the news ticks of a line that asked for generic tick 292.

        Raises:
            RequestRefused: 10276 for a provider that is not allowed.
        """
        if 292 not in ids:
            return ()
        codes = sorted(providers) or list(self._allowed)
        self._check(codes)
        said_until = [self._timeline.now_ns]

        def extra(state: State) -> Iterator[tuple[str, dict[str, object]]]:
            since, said_until[0] = said_until[0], self._timeline.now_ns
            if exchange_date(since) == exchange_date(said_until[0]) and state.is_open:
                return
            for story in reversed(list(self._stories(contract, since, said_until[0]))):
                if story.provider in codes:
                    yield "tickNews", {
                        "timestamp": story.at_ns // _MILLISECOND_NS, "providerCode": story.provider,
                        "articleId": story.article_id, "headline": story.headline, "extraData": "",
                    }  # fmt: skip

        return (extra,)


def _moment(text: str, now_ns: int) -> int | None:
    """Return the moment of "2026-01-22 15:00:00.0" (UTC, documented), of TWS's other forms, `now_ns` for nothing."""
    words = text.strip().removesuffix(".0")
    if len(words) == 19 and words[4] == words[7] == "-":
        words = f"{words[:4]}{words[5:7]}{words[8:10]}-{words[11:]}"
    return parse_end(words, now_ns)
