"""One download of some symbols over a session that answers page by page: what fails, what waits, what is left out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant_trading.core.history_fetch import PageAnswer, PageWish
from quant_trading.core.history_pages import Page
from quant_trading.core.pacing_file import shared_pacer
from quant_trading.data import downloads
from quant_trading.data.store import load_panel
from quant_trading.domain.bar_sizes import BarSize, parse_bar_size, parse_duration
from quant_trading.domain.bars import BarColumns, no_bars
from quant_trading.domain.instruments import Instrument
from quant_trading.refdata.sessions import at
from quant_trading.settings.system_clock import SystemClock
from quant_trading.tools.fetch_progress import PlainProgress
from quant_trading.tools.fetch_request import Request
from quant_trading.tools.fetch_run import FetchRun


class _Pages:
    """Stands for a session: gives each page its bars, or what the test has put in the place of them."""

    violations = 0

    def __init__(self, now_ns: int, instead: Callable[[Page, BarColumns], BarColumns | None]) -> None:
        self._now_ns, self._instead = now_ns, instead
        self.asked: list[Page] = []
        self.first_ns = 0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._now_ns // 10**9, UTC)

    def find(self, symbols: Sequence[str], say: Any) -> tuple[dict[str, Instrument], dict[str, str]]:
        return {symbol: Instrument(symbol) for symbol in symbols}, {}

    def fetch(self, wishes: Sequence[PageWish], size: BarSize, what: str, take: Any, **how: Any) -> None:
        step = size.seconds * 10**9
        for wish in wishes:
            page = wish.page
            if not how["is_wanted"](wish):
                take(PageAnswer(wish, None))
                continue
            self.asked.append(page)
            start = np.concatenate([np.arange(cell.start_ns, cell.end_ns, step) for cell in page.cells])
            close = 20.0 + start % 977 / 100.0
            bars = self._instead(page, BarColumns(start, start + step, close, close, close, close, close))
            if bars is not None and not len(bars.start_ns) and self.first_ns:
                how["begins"](wish.symbol, self.first_ns)
            take(PageAnswer(wish, bars, "" if bars is not None else f"{wish.symbol}: no answer"))


def _run(home: Path, duration: str, instead: Callable[[Page, BarColumns], BarColumns | None]) -> FetchRun:
    pacer = shared_pacer(home / "state", "127.0.0.1", 7497, SystemClock())
    request = Request(
        ("SMR",), parse_bar_size("5 mins"), parse_duration(duration), "TRADES", False, None, home, home / "store",
        False, False,
    )  # fmt: skip
    pages: Any = _Pages(at(date(2026, 11, 19), "18:00"), instead)
    return FetchRun(request, pages, pacer, PlainProgress(lambda _: None), SystemClock())


def _fetch_pages(home: Path, duration: str, instead: Callable[[Page, BarColumns], BarColumns | None]) -> int:
    run = _run(home, duration, instead)
    run.fetch()
    return run.exit_code()


def test_a_page_that_cannot_be_joined_keeps_no_other_out_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _fetch_pages(tmp_path, "5 D", lambda _, bars: bars) == 0
    monkeypatch.setattr(downloads, "_ROWS_PER_PAGE", 1)  # as of a large series: pages wait for each other
    bad = date(2026, 11, 2)

    def unsound(page: Page, bars: BarColumns) -> BarColumns:
        return replace(bars, high=bars.low - 1.0) if page.cells[0].day <= bad <= page.cells[-1].day else bars

    assert _fetch_pages(tmp_path, "20 D", unsound) == 1
    assert len(load_panel(tmp_path, ["SMR"], "5 mins")) == 15 * 78
    assert _fetch_pages(tmp_path, "20 D", lambda _, bars: bars) == 0
    assert len(load_panel(tmp_path, ["SMR"], "5 mins")) == 20 * 78


def test_pages_without_an_answer_are_no_empty_ones(tmp_path: Path) -> None:
    assert _fetch_pages(tmp_path, "5 D", lambda _, bars: None) == 1
    assert _fetch_pages(tmp_path, "5 D", lambda _, bars: no_bars()) == 6


def test_what_tws_names_as_too_old_is_not_asked_now_nor_later(tmp_path: Path) -> None:
    listed = at(date(2026, 10, 26), "09:30")
    before: list[int] = []
    for _ in range(2):
        run = _run(tmp_path, "60 D", lambda page, bars: bars if page.end_ns > listed else no_bars())
        run._source.first_ns = listed  # type: ignore[attr-defined]  # of the stand-in
        run.fetch()
        assert run.exit_code() == 0
        before.append(sum(page.end_ns <= listed for page in run._source.asked))  # type: ignore[attr-defined]  # as above
    # 60 sessions in twelve pages: the first empty one, and none of the six or so behind it
    assert before == [1, 0]


def test_after_a_split_no_page_is_written_whatever_end_is_begun_from(tmp_path: Path) -> None:
    assert _fetch_pages(tmp_path, "5 D", lambda _, bars: bars) == 0
    names = ("open", "high", "low", "close")
    for from_the_end in (False, True):
        run = _run(tmp_path, "30 D", lambda _, bars: replace(bars, **{n: getattr(bars, n) / 4.0 for n in names}))
        wishes = run._wishes
        run._wishes = lambda wishes=wishes, back=from_the_end, **_: wishes(from_the_end=back)  # type: ignore[method-assign]  # this end
        run.fetch()
        assert run.exit_code() == 1 and "as after a split of 4 for 1" in run.failed["SMR"]
        assert len(load_panel(tmp_path, ["SMR"], "5 mins")) == 5 * 78
