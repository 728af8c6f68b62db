"""The live table of the market data tracker, for terminals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from quant_trading.data.tracker_feed import WARMUP_BARS, Feed, TrackedBar
from quant_trading.data.tracker_lines import exchange_time, price_text, size_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

__all__ = ["LiveTable"]

_KEPT_LINES = 8
_EVERY_NS = 250_000_000
_WAYS = {1: "^", -1: "v", 0: " "}  # a crossing up, down, none


class LiveTable:
    """One row for each symbol and the newest lines below; drawn anew at most four times a second.

    Beside a histogram stands ^ when it crossed 0 upward with the newest bar, v when downward.

    Args:
        timeframes: minutes, a column each.
        console: where to draw.
    """

    def __init__(self, timeframes: Sequence[int], console: "Console") -> None:
        self._timeframes = timeframes
        self._console = console
        self._live: Live | None = None
        self._lines: list[str] = []
        self._bars: dict[tuple[str, int], TrackedBar] = {}
        self._drawn_ns = 0

    def __enter__(self) -> "LiveTable":
        from rich.live import Live

        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, line: str) -> None:
        """Put a line below the table."""
        self._lines = [*self._lines[1 - _KEPT_LINES :], line]

    def bar(self, told: TrackedBar) -> None:
        """Show a closed bar."""
        self._bars[(told.symbol, told.bar.minutes)] = told

    def draw(self, feeds: Sequence[Feed], now_ns: int, state: str) -> None:
        """Draw, unless it was drawn a moment ago."""
        if self._live is None or now_ns - self._drawn_ns < _EVERY_NS:
            return
        self._drawn_ns = now_ns
        self._live.update(self._table(feeds, now_ns, state), refresh=True)

    def _table(self, feeds: Sequence[Feed], now_ns: int, state: str) -> "Table":
        from rich.table import Table

        late = sum(feed.counts.late for feed in feeds)
        table = Table(
            title=f"{exchange_time(now_ns)} New York, session {state}, {late} ticks late; MACD histograms",
            caption="\n".join(self._lines), caption_justify="left", box=None, padding=(0, 1, 0, 0),
        )  # fmt: skip
        table.add_column("symbol", no_wrap=True)
        for name in ("last", "bid", "ask", "volume", *(f"{minutes}m" for minutes in self._timeframes)):
            table.add_column(name, justify="right", no_wrap=True)
        for feed in feeds:
            quotes = feed.quotes
            cells = [price_text(quotes[name]) if name in quotes else "" for name in ("LAST", "BID", "ASK")]
            cells.append(size_text(quotes["VOLUME"]) if "VOLUME" in quotes else "")
            cells += [self._cell(feed.symbol, minutes) for minutes in self._timeframes]
            table.add_row(f"{feed.symbol} delayed" if feed.is_delayed else feed.symbol, *cells)
        return table

    def _cell(self, symbol: str, minutes: int) -> str:
        told = self._bars.get((symbol, minutes))
        if told is None:
            return ""
        return f"{told.histogram:+.4f}{_WAYS[told.crossing]}" if told.is_warm else f"{told.bars_seen}/{WARMUP_BARS}"
