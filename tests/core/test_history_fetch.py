"""Many pages over one session, in virtual time against the simulator: its pacing rules, its refusals, its outages."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from quant_trading.core.history_fetch import HistorySource, PageAnswer, PageWish
from quant_trading.core.history_pages import pages_of, stretch_of
from quant_trading.core.pacing import HistoryKey
from quant_trading.core.pacing_file import PacingFile, SharedPacer
from quant_trading.domain.bar_sizes import parse_bar_size, parse_duration
from quant_trading.domain.errors import AccountRefused, ConnectionLost
from quant_trading.refdata.sessions import at, exchange_date
from quant_trading.tws_sim.virtual import VirtualLoop
from tests.core.meddler import MORNING_NS, PORT, Fields, Meddler
from tests.core.meddler import simulator_of_kept_market as simulator
from tests.core.supervised import VirtualClock

SETTLED_NS = MORNING_NS - 5_000_000_000


@contextmanager
def open_source(peer: Any, folder: Path, **kwargs: Any) -> Iterator[tuple[HistorySource, VirtualLoop]]:
    """Give a connected source and its loop."""
    loop = VirtualLoop()
    loop.listen("127.0.0.1", PORT, peer)
    pacer = SharedPacer(PacingFile(folder / "pacing.json", VirtualClock(loop)))
    try:
        with HistorySource(client_id=17, loop=loop, environ={}, pacer=pacer, **kwargs) as source:
            yield source, loop
    finally:
        loop.close()


def wishes_of(size: str, duration: str, *symbols: str) -> list[PageWish]:
    bar_size = parse_bar_size(size)
    stretch = stretch_of(bar_size, parse_duration(duration), SETTLED_NS, MORNING_NS, all_hours=False)
    pages = pages_of(bar_size, stretch.cells, range(len(stretch.cells)), stretch.until_ns)
    return [PageWish(symbol, page) for symbol in symbols for page in pages]


def fetch(source: HistorySource, wishes: list[PageWish], size: str, said: list[str] | None = None) -> list[PageAnswer]:
    answers: list[PageAnswer] = []
    source.fetch(
        wishes, parse_bar_size(size), "TRADES", answers.append, all_hours=False,
        say=(said if said is not None else []).append,
    )  # fmt: skip
    return answers


def bars_by_page(answers: list[PageAnswer]) -> dict[PageWish, int]:
    assert all(answer.bars is not None for answer in answers), [answer.fault for answer in answers]
    return {answer.wish: len(answer.bars.start_ns) for answer in answers if answer.bars is not None}


def test_every_page_is_answered_once_with_the_complete_bars_of_its_sessions(tmp_path: Path) -> None:
    wishes = wishes_of("5 mins", "12 D", "SMR", "AAPL")
    with open_source(simulator(), tmp_path) as (source, _):
        answers = fetch(source, wishes, "5 mins")
    found = bars_by_page(answers)
    assert len(answers) == len(wishes) == len(found)
    # twelve sessions, today's until 09:59:55: pages of 2, 5 and 5; a full one has 78 bars a session, today's so far 5
    assert [found[wish] for wish in wishes] == [4 * 78 + 5, 5 * 78, 2 * 78] * 2


@pytest.mark.slow
def test_small_bars_keep_every_rule_and_use_the_budget(tmp_path: Path) -> None:
    peer = simulator(pacing="strict")
    wishes = wishes_of("30 secs", "45 D", "SMR", "AAPL", "MSFT", "SPY")
    assert len(wishes) == 180
    with open_source(peer, tmp_path) as (source, loop):
        began, said = loop.time(), []
        answers = fetch(source, wishes, "30 secs", said)
        seconds = loop.time() - began
    assert len(bars_by_page(answers)) == 180
    assert [re.sub(r"\d+", "N", text) for text in said] == [
        "the pacing window is full: the next request may go in N s"
    ] * 2
    assert not peer.pacing.violations and source.violations == 0
    # 60 at once, 60 after ten minutes, 60 after twenty
    assert 1200.0 <= seconds <= 1200.0 * 1.05


@pytest.mark.slow
def test_two_runs_do_not_add_up_to_a_violation(tmp_path: Path) -> None:
    peer = simulator(pacing="strict")
    wishes = wishes_of("30 secs", "50 D", "SMR", "AAPL")
    loop = VirtualLoop()
    loop.listen("127.0.0.1", PORT, peer)
    try:
        for part in (wishes[:50], wishes[50:]):
            # The simulator forgets what a client that has left asked for; TWS does not. So the next one is another.
            pacer = SharedPacer(PacingFile(tmp_path / "pacing.json", VirtualClock(loop)))
            with HistorySource(client_id=17, loop=loop, environ={}, pacer=pacer) as source:
                began = loop.time()
                assert len(bars_by_page(fetch(source, part, "30 secs"))) == 50
                seconds = loop.time() - began
    finally:
        loop.close()
    assert seconds >= 590.0, "ten were left of the first window, the other forty had to wait for the next one"


@pytest.mark.expects_client_errors
def test_a_hung_up_connection_is_opened_again_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    peer, said = Meddler(simulator()), []
    wishes = wishes_of("1 min", "30 D", "SMR")
    with open_source(peer, tmp_path) as (source, _):
        answered: list[PageAnswer] = []

        def take(answer: PageAnswer) -> None:
            answered.append(answer)
            if len(answered) in (7, 20):
                peer.hang_up()

        source.fetch(wishes, parse_bar_size("1 min"), "TRADES", take, all_hours=False, say=said.append)
    assert sorted(map(wishes.index, (a.wish for a in answered))) == list(range(30))
    assert [text for text in said if text == "connected again"] == ["connected again"] * 2


@pytest.mark.expects_client_errors
def test_a_frozen_session_is_found_and_left(tmp_path: Path) -> None:
    peer, said = Meddler(simulator()), []
    wishes = wishes_of("1 min", "8 D", "SMR")
    with open_source(peer, tmp_path) as (source, loop):
        source.instruments(["SMR"])
        peer.is_frozen = True
        loop.call_later(150.0, setattr, peer, "is_frozen", False)
        answers = fetch(source, wishes, "1 min", said)
    assert len(bars_by_page(answers)) == 8
    assert any("connecting again" in text for text in said)


@pytest.mark.expects_client_errors
def test_without_a_session_for_twenty_minutes_it_ends_with_the_cure(tmp_path: Path) -> None:
    peer = Meddler(simulator())
    with open_source(peer, tmp_path, timeout_seconds=60.0) as (source, loop):
        source.instruments(["SMR"])
        peer.is_frozen = True
        began = loop.time()
        with pytest.raises(ConnectionLost, match=r"no session for 2[01] minutes .*run the same command again"):
            fetch(source, wishes_of("1 min", "8 D", "SMR"), "1 min")
        # by the clock: the attempts take a minute each; before them a minute and more until the silence was noticed
        assert 1200.0 < loop.time() - began < 1200.0 + 240.0


@pytest.mark.expects_client_errors
def test_sessions_that_bring_nothing_are_not_opened_for_ever(tmp_path: Path) -> None:
    peer = Meddler(simulator())

    def edit(fields: Fields) -> list[Fields]:
        if fields[0] == "17":
            peer.hang_up()
            return []
        return [fields]

    with open_source(peer, tmp_path) as (source, _):
        peer.edit = edit
        with pytest.raises(ConnectionLost, match="10 sessions in a row ended before a single page had come"):
            fetch(source, wishes_of("1 min", "8 D", "SMR"), "1 min")


def _first(peer: Meddler, count: int, instead: Any) -> None:
    """Put something else in the place of the first answers with bars."""
    left = [count]

    def edit(fields: Fields) -> list[Fields]:
        if fields[0] == "17" and left[0]:
            left[0] -= 1
            return instead(fields[1])
        return [fields]

    peer.edit = edit


def _error(code: int, text: str) -> Any:
    return lambda req_id: [("4", "2", req_id, str(code), text, "")]


@pytest.mark.expects_client_errors
def test_a_lost_answer_is_asked_for_again(tmp_path: Path) -> None:
    peer = Meddler(simulator())
    _first(peer, 1, lambda req_id: [])
    with open_source(peer, tmp_path) as (source, loop):
        answers = fetch(source, wishes_of("1 min", "3 D", "SMR"), "1 min")
        assert 60.0 < loop.time() < 120.0
    assert len(bars_by_page(answers)) == 3


@pytest.mark.expects_client_errors
def test_a_pacing_violation_makes_everybody_wait_and_the_page_comes_all_the_same(tmp_path: Path) -> None:
    peer, said = Meddler(simulator()), []
    _first(
        peer, 1, _error(162, "Historical Market Data Service error message:Historical data request pacing violation")
    )
    with open_source(peer, tmp_path) as (source, loop):
        answers = fetch(source, wishes_of("1 min", "20 D", "SMR"), "1 min", said)
        assert loop.time() >= 60.0
    assert len(bars_by_page(answers)) == 20
    assert source.violations == 1
    assert said == ["TWS called the pace a violation: nothing is asked for 60 s (is another program asking, too?)"]


@pytest.mark.expects_client_errors
def test_no_data_is_an_answer(tmp_path: Path) -> None:
    peer = Meddler(simulator())
    _first(peer, 1, _error(162, "Historical Market Data Service error message:HMDS query returned no data: SMR@SMART"))
    with open_source(peer, tmp_path) as (source, _):
        answers = fetch(source, wishes_of("1 min", "3 D", "SMR"), "1 min")
        assert source.requests == 3
    assert sorted(count > 0 for count in bars_by_page(answers).values()) == [False, True, True]


@pytest.mark.expects_client_errors
def test_what_is_refused_once_is_not_asked_again_and_the_others_go_on(tmp_path: Path) -> None:
    peer = Meddler(simulator())
    _first(peer, 6, _error(10187, "Failed to request historical ticks:No market data permissions"))
    with open_source(peer, tmp_path) as (source, _):
        answers = fetch(source, wishes_of("1 min", "30 D", "SMR", "NOSUCH", "AAPL"), "1 min")
        assert source.requests == 6 + 30
    by_symbol = {s: [a for a in answers if a.wish.symbol == s] for s in ("SMR", "NOSUCH", "AAPL")}
    assert [len(found) for found in by_symbol.values()] == [30, 30, 30]
    assert all(a.fault == by_symbol["SMR"][0].fault and a.bars is None for a in by_symbol["SMR"])
    assert "10187" in by_symbol["SMR"][0].fault
    assert all("unknown to IBKR" in a.fault for a in by_symbol["NOSUCH"])
    assert len(bars_by_page(by_symbol["AAPL"])) == 30


@pytest.mark.expects_client_errors
def test_a_page_that_keeps_failing_is_given_up_and_the_others_come(tmp_path: Path) -> None:
    peer = Meddler(simulator())
    bad: list[str] = []

    def edit(fields: Fields) -> list[Fields]:
        if fields[0] == "17" and fields[2] == str(at(date(2026, 11, 17), "00:00") // 1_000_000_000):
            bad.append(fields[1])
            return _error(162, "Historical Market Data Service error message:query cancelled")(fields[1])
        return [fields]

    peer.edit = edit
    with open_source(peer, tmp_path) as (source, _):
        answers = fetch(source, wishes_of("1 min", "6 D", "SMR"), "1 min")
    assert len(bad) == 4
    faults = [answer.fault for answer in answers if answer.bars is None]
    assert len(answers) == 6 and len(faults) == 1
    assert "query cancelled (4 times); run the same command again later" in faults[0]


@pytest.mark.expects_client_errors
def test_a_symbol_of_which_nothing_comes_is_given_up_after_a_few_pages(tmp_path: Path) -> None:
    peer = Meddler(simulator())
    peer.edit = lambda fields: [] if fields[0] == "17" else [fields]
    with open_source(peer, tmp_path) as (source, _):
        answers = fetch(source, wishes_of("1 min", "60 D", "SMR"), "1 min")
        # the six that were under way four times each, and two more that began before the third of them had failed
        assert source.requests <= 32
    assert len(answers) == 60 and all("no answer to 1 D up to 2026" in answer.fault for answer in answers)


@pytest.mark.expects_client_errors
def test_missing_permissions_are_no_passing_fault(tmp_path: Path) -> None:
    peer = Meddler(simulator())
    peer.edit = lambda fields: (
        _error(162, "Historical Market Data Service error message:No market data permissions for NYSE STK")(fields[1])
        if fields[0] == "17"
        else [fields]
    )
    with open_source(peer, tmp_path) as (source, loop):
        answers = fetch(source, wishes_of("1 min", "30 D", "SMR"), "1 min")
        assert source.requests <= 6 and loop.time() < 5.0
    assert all("162: Historical Market Data Service error message:No market data" in answer.fault for answer in answers)


@pytest.mark.expects_client_errors
def test_while_tws_has_lost_ibkr_nothing_is_asked(tmp_path: Path) -> None:
    peer = Meddler(simulator())
    with open_source(peer, tmp_path) as (source, loop):
        source.instruments(["SMR"])
        peer.say(("4", "2", "-1", "1100", "Connectivity between IB and TWS has been lost.", ""))
        source.now()
        assert source.connectivity_lost
        loop.call_later(
            200.0, peer.say, ("4", "2", "-1", "1102", "Connectivity has been restored - data maintained.", "")
        )
        answers = fetch(source, wishes_of("1 min", "6 D", "SMR"), "1 min")
        assert 200.0 <= loop.time() < 215.0
    assert len(bars_by_page(answers)) == 6


def test_the_first_bar_tws_has(tmp_path: Path) -> None:
    with open_source(simulator(), tmp_path) as (source, _):
        first = source.first_bar_ns("SMR", "TRADES", all_hours=False)
        assert source.first_bar_ns("AAPL", "TRADES", all_hours=False) is not None
    assert first is not None and first < at(date(2020, 1, 1), "00:00")


def test_a_tws_that_does_not_tell_its_first_bar_is_not_waited_for_long(tmp_path: Path) -> None:
    peer = Meddler(simulator())
    peer.edit = lambda fields: [] if fields[0] == "88" else [fields]
    with open_source(peer, tmp_path) as (source, loop):
        assert source.first_bar_ns("SMR", "TRADES", all_hours=False) is None
        assert 15.0 <= loop.time() < 20.0
        assert len(bars_by_page(fetch(source, wishes_of("1 min", "2 D", "SMR"), "1 min"))) == 2


@pytest.mark.expects_client_errors
def test_without_a_known_first_bar_there_is_none(tmp_path: Path) -> None:
    with open_source(simulator(), tmp_path) as (source, _):
        assert source.first_bar_ns("NOSUCH", "TRADES", all_hours=False) is None


LISTED = at(date(2026, 11, 10), "09:30")


def _listed_late(peer: Meddler, on_first_bar: Callable[[], bool] = lambda: True) -> list[str]:
    """Let TWS have no bars before `LISTED`, and say so; return a list that takes the questions for the first bar."""
    asked: list[str] = []

    def edit(fields: Fields) -> list[Fields]:
        if fields[0] == "17" and int(fields[2]) < at(exchange_date(LISTED), "00:00") // 10**9:
            return _error(162, "Historical Market Data Service error message:HMDS query returned no data")(fields[1])
        if fields[0] == "88":
            asked.append(fields[1])
            return [("88", fields[1], str(LISTED // 10**9))] if on_first_bar() else []
        return [fields]

    peer.edit = edit
    return asked


def _fetch_to_the_first_bar(source: HistorySource, wishes: list[PageWish]) -> tuple[list[PageAnswer], dict[str, int]]:
    answers, begins = [], {}
    source.fetch(
        wishes, parse_bar_size("1 min"), "TRADES", answers.append, all_hours=False, say=[].append,
        begins=lambda symbol, first_ns: begins.update({symbol: first_ns}),
        is_wanted=lambda wish: wish.page.end_ns > begins.get(wish.symbol, 0),
    )  # fmt: skip
    return answers, begins


@pytest.mark.expects_client_errors
def test_the_first_bar_is_asked_when_a_page_comes_without_any(tmp_path: Path) -> None:
    peer = Meddler(simulator())
    asked = _listed_late(peer)
    with open_source(peer, tmp_path) as (source, _):
        answers, begins = _fetch_to_the_first_bar(source, wishes_of("1 min", "60 D", "SMR"))
        # eight sessions with bars, and what was under way while TWS told
        assert 8 < source.requests <= 8 + 2 * 6
    assert (len(asked), begins, len(answers)) == (1, {"SMR": LISTED}, 60)
    assert sum(answer.bars is not None and len(answer.bars.start_ns) > 0 for answer in answers) == 8
    assert sum(answer.was_left_out for answer in answers) >= 60 - 8 - 2 * 6


@pytest.mark.expects_client_errors
def test_of_many_symbols_nobody_waits_for_their_first_bars(tmp_path: Path) -> None:
    peer = Meddler(simulator())
    asked = _listed_late(peer)
    with open_source(peer, tmp_path) as (source, loop):
        for which in range(60):  # small bars have used the window up
            assert source._pacer.file.claim(HistoryKey(which, "SMART", "TRADES", 30.0)) == 0.0  # type: ignore[attr-defined]  # a shared one
        began = loop.time()
        answers, begins = _fetch_to_the_first_bar(source, wishes_of("1 min", "30 D", "SMR", "AAPL"))
        assert loop.time() - began < 10.0
    assert (len(asked), begins, len(answers)) == (0, {}, 60)


@pytest.mark.expects_client_errors
def test_an_outage_while_the_first_bar_is_asked_is_lived_through(tmp_path: Path) -> None:
    peer = Meddler(simulator())
    outages = [peer.hang_up]
    asked = _listed_late(peer, lambda: not outages or outages.pop()() is not None)
    with open_source(peer, tmp_path) as (source, _):
        answers, begins = _fetch_to_the_first_bar(source, wishes_of("1 min", "60 D", "SMR"))
    assert (len(asked), begins, len(answers)) == (2, {"SMR": LISTED}, 60)


@pytest.mark.expects_client_errors
def test_an_outage_while_symbols_are_looked_up_is_lived_through(tmp_path: Path) -> None:
    peer, said = Meddler(simulator()), []
    outages = [peer.hang_up]

    def edit(fields: Fields) -> list[Fields]:
        if fields[0] == "52" and outages:
            outages.pop()()
            return []
        return [fields]

    with open_source(peer, tmp_path) as (source, _):
        peer.edit = edit
        found, gaps = source.find(["SMR", "NOSUCH", "AAPL"], said.append)
    assert (list(found), list(gaps)) == (["SMR", "AAPL"], ["NOSUCH"])
    assert said[-1] == "connected again"


def test_any_account_of_the_login_will_do_but_a_named_one_must_be_there(tmp_path: Path) -> None:
    accounts = ("DU1234567", "DU7654321")
    with open_source(simulator(accounts=accounts), tmp_path) as (source, _):
        assert source.account == "DU1234567"
    with open_source(simulator(accounts=accounts), tmp_path, expected_account="DU7654321") as (source, _):
        assert source.account == "DU7654321"
    with (
        pytest.raises(AccountRefused, match="account DU1 is not managed by this login"),
        open_source(simulator(accounts=accounts), tmp_path, expected_account="DU1"),
    ):
        pass


def test_no_order_and_no_position_is_ever_asked_for(tmp_path: Path) -> None:
    market = simulator()
    with open_source(market, tmp_path) as (source, _):
        fetch(source, wishes_of("1 min", "2 D", "SMR"), "1 min")
    asked = {name for name, count in market.counters.items() if count}
    assert asked <= {"startApi", "reqContractDetails", "reqHistoricalData", "reqCurrentTime"}
