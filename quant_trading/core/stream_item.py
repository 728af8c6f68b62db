"""One stream as the desk of streams keeps it."""

import asyncio
from dataclasses import dataclass, field

from quant_trading.core.stream_bars import BarBook, missed_pages
from quant_trading.core.streams import Liveness, StreamKind, StreamRequest, StreamState
from quant_trading.domain.bar_sizes import BarSize, parse_bar_size
from quant_trading.domain.errors import UsageError

__all__ = ["Stream", "new_stream"]

_SECOND_NS = 1_000_000_000
_FIVE_SECONDS_DEADLINE = 20.0  # these come every five seconds, trades or not


@dataclass(eq=False, slots=True)
class Stream:
    """A wish, what has become of it, and what is planned.

    Attributes:
        bar_size: of its bars; for ticks of the bars that stand in for missed ones.
        book: which bars are final; None for ticks.
        request_id: the id it was asked for under, None while it is not.
        heard_at, heard_ns: when it last spoke, in loop seconds and UTC ns; 0 for never.
        gap_from_ns: from when on data may be missing, None for nothing.
        live_ns: when it last began to flow, UTC ns.
        told_until_ns: end of the bars that have stood in for missed ticks; none of them is told twice.
        damages: how often something went wrong; a filling that was overtaken by one is not the last.
        asks: how often it was asked for.
        mute_until: data before this moment (loop seconds) do not make it live.
        awaits_answer, answer_covers: the history at the head of running bars is under way; it reaches back far enough.
    """

    number: int
    request: StreamRequest
    bar_size: BarSize
    book: BarBook | None
    liveness: Liveness
    state: StreamState = StreamState.WANTED
    request_id: int | None = None
    heard_at: float = 0.0
    heard_ns: int = 0
    gap_from_ns: int | None = None
    live_ns: int = 0
    told_until_ns: int = 0
    damages: int = 0
    asks: int = 0
    retries: int = 0
    mute_until: float = 0.0
    awaits_answer: bool = False
    answer_covers: bool = True
    silence_timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    retry_timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    overdue_timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    fill_task: "asyncio.Task[None] | None" = field(default=None, repr=False)

    @property
    def size_ns(self) -> int:
        """Return the length of one of its bars."""
        return self.bar_size.seconds * _SECOND_NS

    @property
    def is_joined(self) -> bool:
        """Return True when history reaches to where the stream flows again, so that nothing lies between them.

        Bars see to that themselves: those of a stream that does not flow come from history one by one.
        """
        return self.book is not None or (self.state is StreamState.LIVE and self.live_ns <= self.told_until_ns)

    def next_retry(self, first: float, longest: float) -> float:
        """Return how long to wait before asking once more: doubling."""
        self.retries += 1
        return float(min(first * 2.0 ** min(self.retries - 1, 16), longest))

    def duration_for(self, now_ns: int) -> str:
        """Return how much history to ask for at the head of running bars: the wish, or what is missing."""
        self.awaits_answer = True
        self.answer_covers = True
        told_until = self.book.final_until_ns if self.book is not None else None
        if told_until is None:
            return self.request.duration
        pages = missed_pages(told_until, now_ns, self.bar_size.seconds, regular_hours=False)
        self.answer_covers = len(pages) <= 1
        return pages[-1].duration if pages else "1800 S"

    def stop_retry(self) -> None:
        """Do not ask anew."""
        if self.retry_timer is not None:
            self.retry_timer.cancel()
            self.retry_timer = None

    def stop_timers(self) -> None:
        """Plan nothing any more."""
        self.stop_retry()
        for timer in (self.silence_timer, self.overdue_timer):
            if timer is not None:
                timer.cancel()
        self.silence_timer = self.overdue_timer = None


def new_stream(number: int, request: StreamRequest) -> Stream:
    """Return a stream nobody has asked for yet.

    Raises:
        UsageError: when TWS cannot serve it.
    """
    words = {
        StreamKind.RUNNING_BARS: request.bar_size,
        StreamKind.FIVE_SECOND_BARS: "5 secs",
    }.get(request.kind, request.backfill_bar_size or "1 min")
    size = parse_bar_size(words)
    if not size.is_intraday:
        raise UsageError(f"{request.symbol}: {size.words} bars do not run; ask for their history instead")
    if request.kind is StreamKind.RUNNING_BARS and size.seconds < 5:
        raise UsageError(f'{request.symbol}: TWS keeps no bars of {size.words} up to date; the smallest are "5 secs"')
    is_bars = request.kind in (StreamKind.RUNNING_BARS, StreamKind.FIVE_SECOND_BARS)
    book = BarBook(number, size.seconds * _SECOND_NS) if is_bars else None
    deadline = request.deadline_seconds
    if deadline is None and request.kind is StreamKind.FIVE_SECOND_BARS:
        deadline = _FIVE_SECONDS_DEADLINE
    return Stream(number, request, size, book, Liveness(deadline))
