"""The persisted pacing window: shared by programs, sound against any clock, any kill and any content."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from pathlib import Path

import pytest

from quant_trading.core.pacing import HistoryKey
from quant_trading.core.pacing_file import CAREFUL_RULES, PacingFile, SharedPacer, shared_pacer
from quant_trading.domain.errors import ConfigError
from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.pacing import Pacing
from quant_trading.tws_sim.simulator import Simulator
from tests.tws_sim.step_tape import StepTape

START = datetime(2026, 11, 19, 15, tzinfo=UTC)


class HandClock:
    """A machine: its wall clock may be set, its monotonic clock begins at its start."""

    def __init__(self) -> None:
        self.wall = START
        self.since_boot = 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.since_boot

    def wait(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.since_boot += seconds


def key(which: object, contract: str = "AAPL", what: str = "TRADES", bar_seconds: float = 30.0) -> HistoryKey:
    return HistoryKey(contract, "SMART", what, bar_seconds, which)


def fill(file: PacingFile, count: int = 60) -> None:
    """Enter requests of as many contracts."""
    for which in range(count):
        assert file.claim(key(which, f"S{which}")) == 0.0


def test_a_second_run_goes_on_where_the_first_one_has_used_the_window_up(tmp_path: Path) -> None:
    clock = HandClock()
    fill(PacingFile(tmp_path / "state" / "p.json", clock))
    clock.wait(200.0)
    second = PacingFile(tmp_path / "state" / "p.json", clock)
    # 603 s with the margin of the careful rules, 200 of them over
    assert second.claim(key("next")) == pytest.approx(403.0)
    clock.wait(403.0 - 1e-3)
    assert second.claim(key("next")) > 0.0
    clock.wait(2e-3)
    assert second.claim(key("next")) == 0.0


def test_identical_requests_and_those_of_one_contract_are_kept_apart_across_runs(tmp_path: Path) -> None:
    clock = HandClock()
    assert PacingFile(tmp_path / "p.json", clock).claim(key("a")) == 0.0
    again = PacingFile(tmp_path / "p.json", clock)
    assert again.claim(key("a")) == pytest.approx(16.0)
    for which in "bcde":
        assert again.claim(key(which)) == 0.0
    assert again.claim(key("f")) == pytest.approx(2.5)  # the sixth in 2 s would be a violation
    assert again.claim(key("f", "SPY")) == 0.0


@pytest.mark.parametrize(
    ("name", "wall_seconds", "boot_seconds", "least"),
    [
        ("set an hour ahead", 3600.0, 10.0, 592.0),
        ("set an hour back", -3600.0, 10.0, 592.0),
        ("set a year back", -3.2e7, 10.0, 592.0),
        ("restarted meanwhile, a minute passed", 60.0, -900.0, 542.0),
        ("restarted and set back", -60.0, -900.0, 602.0),
    ],
)
def test_no_clock_makes_requests_older_than_they_are(
    tmp_path: Path, name: str, wall_seconds: float, boot_seconds: float, least: float
) -> None:
    clock = HandClock()
    file = PacingFile(tmp_path / "p.json", clock)
    fill(file)
    clock.wall += timedelta(seconds=wall_seconds)
    clock.since_boot += boot_seconds
    assert least <= file.claim(key("next")) <= 603.0, name
    # and never for longer than the rule says
    clock.wait(603.0)
    assert file.claim(key("next")) == 0.0


def test_after_a_restart_and_a_night_nothing_waits(tmp_path: Path) -> None:
    clock = HandClock()
    file = PacingFile(tmp_path / "p.json", clock)
    fill(file)
    clock.wall += timedelta(hours=9)
    clock.since_boot = 30.0
    assert file.claim(key("next")) == 0.0


@pytest.mark.parametrize("content", [b"", b'{"requests": [[1', b'{"requests": [[1, 2]]}', b"[]", b"\xff\xfe"])
def test_a_damaged_file_counts_as_a_full_window(tmp_path: Path, content: bytes) -> None:
    clock, path = HandClock(), tmp_path / "p.json"
    path.write_bytes(content)
    os.utime(path, (clock.wall.timestamp() - 100.0, clock.wall.timestamp() - 100.0))
    file = PacingFile(path, clock)
    assert file.claim(key("a")) == pytest.approx(503.0)
    clock.wait(504.0)
    assert file.claim(key("a")) == 0.0
    assert len(json.loads(path.read_bytes())["requests"]) == 1


def test_a_place_that_cannot_be_written_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ConfigError, match=r"state.p\.json cannot be written.*QT_HOME"):
        PacingFile(tmp_path / "state" / "p.json", HandClock()).claim(key("a"))


def test_the_names_of_this_machine_are_one_tws(tmp_path: Path) -> None:
    names = ("127.0.0.1", "localhost", "::1", "127.0.1.1")
    pacers = [shared_pacer(tmp_path, host, 7497, HandClock()) for host in names]
    key = HistoryKey("SPY", "SMART", "TRADES", 1.0, ("1 secs", "1800 S", ""))
    for number in range(CAREFUL_RULES.small_bar_count):
        different = replace(key, request=("1 secs", "1800 S", str(number)))
        assert pacers[number % len(pacers)].file.claim(replace(different, contract=f"S{number}")) == 0.0
    assert all(pacer.file.claim(replace(key, contract="MORE")) > 0.0 for pacer in pacers)
    assert shared_pacer(tmp_path, "10.0.0.5", 7497, HandClock()).file.claim(key) == 0.0


def test_while_another_program_holds_the_lock_one_waits_a_moment(tmp_path: Path) -> None:
    file = PacingFile(tmp_path / "p.json", HandClock())
    code = (
        "import sys; from quant_trading.core.file_lock import try_lock; import os\n"
        "d = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); print(try_lock(d), flush=True); sys.stdin.read()"
    )
    held = str(tmp_path / ".p.json.lock")
    with subprocess.Popen(
        [sys.executable, "-c", code, held], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert 0.0 < file.claim(key("a")) < 1.0
        assert not (tmp_path / "p.json").exists()
        other.kill()  # the lock goes with it
    assert file.claim(key("a")) == 0.0


def test_bars_of_a_minute_are_not_in_the_file(tmp_path: Path) -> None:
    pacer = SharedPacer(PacingFile(tmp_path / "p.json", HandClock()))
    assert pacer.claim("history", key("a", bar_seconds=60.0), 0.0) == 0.0
    assert pacer.claim("message", None, 0.0) == 0.0
    assert not (tmp_path / "p.json").exists()
    assert pacer.claim("history", key("a"), 0.0) == 0.0
    assert (tmp_path / "p.json").exists()
    assert pacer.open_history == 2


def test_how_long_requests_take_at_least(tmp_path: Path) -> None:
    clock = HandClock()
    file = PacingFile(tmp_path / "p.json", clock)
    fill(file, 20)
    assert file.waiting_seconds(40) == 0.0
    assert file.waiting_seconds(41) == 603.0
    assert file.waiting_seconds(161) == 3 * 603.0


# Many requests, at random, by several programs that come and go.


class Program:
    """One program: it asks as early as it may, with a delay on the way."""

    def __init__(self, path: Path, clock: HandClock) -> None:
        self.path, self.clock = path, clock
        self.restart()

    def restart(self) -> None:
        self.pacer = SharedPacer(PacingFile(self.path, self.clock))


def _storm(path: Path, count: int, seed: int) -> tuple[int, float, float]:
    """Send `count` random requests for small bars; return violations, weight and seconds it took."""
    rng, clock, now_ns = random.Random(seed), HandClock(), [0]
    pacing = Pacing("strict", lambda: now_ns[0])
    session = Session(Simulator(StepTape({}), SimConfig(), at(START.date(), "10:00")))
    programs = [Program(path, clock) for _ in range(3)]
    events: list[tuple[float, int, str, object]] = []
    for number in range(len(programs)):
        heappush(events, (0.0, number, "wish", None))
    serial, sent, weight, began, last = 10, 0, 0, clock.since_boot, 0.0
    wishes: dict[int, HistoryKey] = {}
    violations = 0
    while events:
        moment, number, kind, payload = heappop(events)
        clock.wait(max(0.0, moment - (clock.since_boot - began)))
        now = clock.since_boot - began
        if kind == "arrive":
            assert isinstance(payload, HistoryKey)
            now_ns[0] = round(now * 1e9)
            values = {"symbol": payload.contract, "exchange": "SMART", "whatToShow": payload.what, "reqId": 1,
                      "barSize": f"{payload.bar_seconds:.0f} secs", "endDateTime": payload.request}  # fmt: skip
            try:
                pacing.admit(session, Message("reqHistoricalData", values))
            except RequestRefused:
                violations += 1
            programs[number].pacer.note_done()
            continue
        if sent >= count:
            continue
        wish = wishes.pop(number, None) or key(
            rng.randrange(40), rng.choice("ABCDEFGH"), rng.choice(["TRADES", "TRADES", "MIDPOINT", "BID_ASK"]),
            rng.choice([1.0, 5.0, 30.0]),
        )  # fmt: skip
        if rng.random() < 0.01:
            programs[number].restart()
        delay = programs[number].pacer.claim("history", wish, clock.monotonic())
        serial += 1
        if delay > 0.0:
            wishes[number] = wish
            heappush(events, (now + delay + 1e-6, number, "wish", None))
            continue
        sent, last = sent + 1, now
        weight += 2 if wish.what == "BID_ASK" else 1
        heappush(events, (now + rng.uniform(0.001, 0.2), number, "arrive", wish))
        heappush(events, (now + rng.expovariate(20.0), number, "wish", None))
    return violations, weight, last


def _rate_used(weight: float, seconds: float) -> float:
    """Return the share of what the rule of 60 in 600 s would have let through in this time."""
    return weight / (60.0 * (1 + seconds // 600.0))


def test_random_requests_of_programs_that_come_and_go_break_no_rule(tmp_path: Path) -> None:
    violations, weight, seconds = _storm(tmp_path / "p.json", 600, seed=1)
    assert violations == 0
    assert _rate_used(weight, seconds) >= 0.95


@pytest.mark.slow
def test_ten_thousand_random_requests_break_no_rule_and_use_the_rate(tmp_path: Path) -> None:
    violations, weight, seconds = _storm(tmp_path / "p.json", 10_000, seed=2)
    assert violations == 0
    assert _rate_used(weight, seconds) >= 0.95


def test_the_careful_rules_are_stricter_than_ibkrs() -> None:
    rules = CAREFUL_RULES
    assert rules.small_bar_count <= 60 and rules.small_bar_seconds > 600.0
    assert rules.same_contract_count < 6 and rules.same_contract_seconds > 2.0
    assert rules.identical_seconds > 15.0 and rules.open_history <= 50 and rules.messages_per_second < 50
