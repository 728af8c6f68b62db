"""The rule by which a peer's time counts, and the table that shows it; no peer is imported or started."""

import json
import math
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import bench_peers
from benchmarks.bench_peers import Bench, NotRun, line_of, make_environment, python_of, scale_of, settings_of, start
from benchmarks.peers import data
from benchmarks.peers.catalogue import PEERS, WORKLOADS, Peer, grid_of, peers_of
from benchmarks.peers.compare import Line, Run, entries_digest, show_table, why_unequal
from benchmarks.peers.measure import NO_ENTRIES, Entries, Job, entries_of_fills

TWO = Entries.of([40, 55], [0, 0], [1, -1], [100.25, 99.5])


def run(entries: Entries = TWO, equity: float = 1000.0, curve: object = (), **figures: float) -> Run:
    return Run({"equity": equity, "figures": figures}, entries, np.asarray(curve, dtype=np.float64))


# --- equality ----------------------------------------------------------------------------------


def test_equal_trades_and_equity_count() -> None:
    assert why_unequal(run(), run(equity=1000.0 * (1 + 9e-10)), "trades", 1e-9) == ""


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (Entries.of([40], [0], [1], [100.25]), "1 trades, ours 2"),
        (Entries.of([40, 56], [0, 0], [1, -1], [100.25, 99.5]), "bar of entry 1 is 56, ours 55"),
        (Entries.of([40, 55], [0, 0], [1, 1], [100.25, 99.5]), "side of entry 1 is 1, ours -1"),
        (Entries.of([40, 55], [0, 1], [1, -1], [100.25, 99.5]), "symbol of entry 1 is 1, ours 0"),
        (Entries.of([40, 55], [0, 0], [1, -1], [100.25, 99.51]), "price of entry 1 is 99.51, ours 99.5"),
        (Entries.of([40, 55], [0, 0], [1, -1], [100.25, math.nan]), "price of entry 1 is nan, ours 99.5"),
    ],
)
def test_the_first_difference_of_the_trades_is_named(other: Entries, why: str) -> None:
    assert why_unequal(run(other), run(), "trades", 1e-9) == why


def test_runs_without_trades_are_no_proof() -> None:
    assert why_unequal(run(NO_ENTRIES), run(NO_ENTRIES), "trades", 1e-9) == "there are no trades"
    assert why_unequal(run(), run(), "curve", 1e-9) == "there is no curve"
    assert why_unequal(run(), run(sharpe=1.0), "figures", 1e-9) == "there are no figures"


@pytest.mark.parametrize("equity", [1000.1, math.nan])
def test_another_final_equity_does_not_count(equity: float) -> None:
    assert "final equity" in why_unequal(run(equity=equity), run(), "trades", 1e-6)


def test_a_ruined_account_proves_nothing() -> None:
    assert "proves nothing" in why_unequal(run(equity=0.0), run(equity=0.0), "trades", 1e-9)


def test_a_curve_is_compared_value_by_value() -> None:
    assert why_unequal(run(curve=[1.0, 2.0]), run(curve=[1.0, 2.0]), "curve", 1e-9) == ""
    assert why_unequal(run(curve=[1.0, 2.0]), run(curve=[1.0]), "curve", 1e-9) == "2 values, ours 1"
    assert "value 1 is 2.00, ours 4.00" in why_unequal(run(curve=[1.0, 2.0]), run(curve=[1.0, 4.0]), "curve", 1e-9)
    assert "value 1" in why_unequal(run(curve=[1.0, math.nan]), run(curve=[1.0, 4.0]), "curve", 1e-9)


def test_figures_are_compared_by_name() -> None:
    ours = run(sharpe=0.5, skew=-0.1)
    assert why_unequal(run(sharpe=0.5), ours, "figures", 1e-9) == ""
    assert why_unequal(run(sharpe=0.5001), ours, "figures", 1e-9) == "sharpe is 0.5001, ours 0.5"
    assert why_unequal(run(alpha=0.5), ours, "figures", 1e-9) == "alpha is not among ours"


def test_the_digest_stands_for_every_column() -> None:
    others = [
        replace(TWO, bar=TWO.bar + 1), replace(TWO, symbol=TWO.symbol + 1), replace(TWO, side=-TWO.side),
        replace(TWO, price=TWO.price + 0.01),
    ]  # fmt: skip
    assert len({entries_digest(entries) for entries in (TWO, *others)}) == 5
    assert entries_digest(Entries.of([55, 40], [0, 0], [-1, 1], [99.5, 100.25])) == entries_digest(TWO)


# --- fills to entries --------------------------------------------------------------------------


def test_a_turn_in_one_order_or_in_two_is_one_entry() -> None:
    one = entries_of_fills([3, 8], [0, 0], [100.0, -200.0], [10.0, 11.0])
    two = entries_of_fills([3, 8, 8], [0, 0, 0], [100.0, -100.0, -100.0], [10.0, 11.0, 11.0])
    assert (one.bar.tolist(), one.side.tolist(), one.price.tolist()) == ([3, 8], [1, -1], [10.0, 11.0])
    assert entries_digest(one) == entries_digest(two)


def test_fractions_of_shares_that_were_all_sold_leave_nothing_behind() -> None:
    # 0.1 + 0.2 - 0.3 is 5.6e-17: not a position, so the next purchase opens one.
    found = entries_of_fills([1, 2, 3, 4], [0, 0, 0, 0], [0.1, 0.2, -0.3, 0.1], [10.0, 10.0, 10.0, 10.0])
    assert found.bar.tolist() == [1, 4]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-200.0, -100.0, 100.0, 200.0])), max_size=40))
def test_entries_are_those_of_counting_by_hand(moves: list[tuple[int, float]]) -> None:
    held: dict[int, float] = {}
    expected = []
    for bar, (symbol, quantity) in enumerate(moves):
        before = held.get(symbol, 0.0)
        after = held[symbol] = before + quantity
        if after and (after > 0) != (before > 0 if before else after < 0):
            expected.append((symbol, bar, 1 if after > 0 else -1))
    symbols, quantities = [move[0] for move in moves], [move[1] for move in moves]
    found = entries_of_fills(np.arange(len(moves)), np.array(symbols, dtype=int), quantities, np.ones(len(moves)))
    assert list(zip(found.symbol.tolist(), found.bar.tolist(), found.side.tolist(), strict=True)) == sorted(expected)


# --- the table ---------------------------------------------------------------------------------


def test_the_table_shows_times_in_their_units_and_no_ratio_for_what_does_not_count() -> None:
    lines = [
        Line("desk", "", 0.00015, 0.5, 0.3, 40.0, "", 1.0),
        Line("fast", "1.2", 0.065, 2.5, 5.4, 1476.0, "yes, 7 trades", 433.3),
        Line("slow", "0.1", 1234.0, 2.5, equal="yes", ratio=2.26, is_estimate=True, note="cut"),
        Line("other", "2", 0.002, 0.1, equal="not equal: 6 trades, ours 7"),
        Line("absent", note="skipped: no wheel"),
    ]
    rows = show_table("W: title", lines).splitlines()
    assert rows[0] == "**W: title**"
    assert rows[4] == "| desk |  | 150 us | 500 ms | 300 ms | 40 |  | 1 |"
    assert rows[5] == "| fast | 1.2 | 65 ms | 2.5 s | 5.4 s | 1,476 | yes, 7 trades | 433 |"
    assert rows[6] == "| slow | 0.1 | est. 1,234 s | 2.5 s |  |  | yes; cut | est. 2.3 |"
    assert rows[7] == "| other | 2 | 2 ms | 100 ms |  |  | not equal: 6 trades, ours 7 |  |"
    assert rows[8] == "| absent |  |  |  |  |  | skipped: no wheel |  |"


# --- the parent --------------------------------------------------------------------------------

BENCH = Bench(Path("nowhere"), 0.0, 0)
PEER = Peer("engine", "engine", "with_engine", "W1", cut={"bars": 1_965}, says="as ours")
REPORT = {
    "versions": {"pandas": "2", "engine": "3"}, "numpy": "1", "best": 0.4, "first": 0.9, "peak_mb": 12.0,
    "equity": 5.0, "figures": {},
}  # fmt: skip


def test_a_peer_without_its_environment_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_peers, "HOME", tmp_path)
    line = line_of(PEER, BENCH, {})
    assert line.note.startswith("skipped: no environment at")
    assert math.isnan(line.warm)
    assert math.isnan(line.ratio)


def answer(monkeypatch: pytest.MonkeyPatch, peer: Run) -> None:
    """Let the peer's process answer `peer`, and ours TWO with an equity of 5, the whole workload in 1 ms."""

    def stand_in(python: Path, module: str, workload: str, settings: dict[str, object], *_: object, once: bool) -> Run:
        whole = {**REPORT, "best": 0.4 if "bars" in settings else 0.001}
        return Run(whole, TWO, np.zeros(0)) if module == "with_desk" else peer

    monkeypatch.setattr(bench_peers, "start", stand_in)


def test_a_cut_run_is_scaled_and_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, Run(REPORT, TWO, np.zeros(0)))
    line = line_of(PEER, BENCH, {})
    # 19,656 bars are 10.003 times 1,965; ours took 0.001 s for all of them.
    assert line.warm == pytest.approx(4.0012, abs=1e-4)
    assert line.ratio == pytest.approx(4001.2, abs=0.1)
    assert line.is_estimate
    assert (line.name, line.version) == ("engine (1,965 bars)", "3")
    assert line.equal.startswith("yes, 2 trades ")


def test_a_peer_is_held_against_our_time_under_its_own_convention(monkeypatch: pytest.MonkeyPatch) -> None:
    def stand_in(python: Path, module: str, workload: str, settings: dict[str, object], *_: object, once: bool) -> Run:
        slow = module == "with_desk" and settings.get("accounting") == "shares"
        return Run({**REPORT, "best": 0.2 if slow else 0.1}, TWO, np.zeros(0))

    monkeypatch.setattr(bench_peers, "start", stand_in)
    peer = replace(PEER, cut={})
    assert line_of(peer, BENCH, {}).ratio == 1.0
    assert line_of(replace(peer, convention={"accounting": "shares"}), BENCH, {}).ratio == 0.5


def test_the_time_of_an_unequal_run_has_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, Run({**REPORT, "equity": 6.0}, TWO, np.zeros(0)))
    line = line_of(PEER, BENCH, {})
    assert line.equal == "not equal: final equity 6.00, ours 5.00 (off by 2.0e-01)"
    assert math.isnan(line.ratio)


def test_without_a_run_of_ours_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def stand_in(python: Path, module: str, *_: object, **__: object) -> Run:
        if module == "with_desk":
            raise NotRun("broken")
        return Run(REPORT, TWO, np.zeros(0))

    monkeypatch.setattr(bench_peers, "start", stand_in)
    line = line_of(PEER, BENCH, {})
    assert line.note == "not compared, ours failed: broken"
    assert math.isnan(line.ratio)
    monkeypatch.setattr(bench_peers, "write_bars", lambda *_: None)
    assert "| failed: broken |" in bench_peers.table_of("W1", (), BENCH, {})


def test_an_adapter_that_fails_gives_its_last_words(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 0.0, 0)
    with pytest.raises(NotRun, match="No module named"):
        start(Path(sys.executable), "with_nothing", "W1", {}, bench, once=True)


@pytest.mark.slow
def test_an_environment_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_peers, "HOME", tmp_path)
    python = python_of("engine")
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert make_environment("engine", ["no-such-engine==1"]).startswith("not installed: ")
    assert not (tmp_path / "engine" / "complete").exists()


# --- the catalogue -----------------------------------------------------------------------------


def test_every_peer_has_its_adapter_and_its_environment() -> None:
    folder = Path(bench_peers.__file__).parent / "peers"
    known = tomllib.loads(bench_peers.ENVIRONMENTS.read_text(encoding="utf-8"))
    for peer in PEERS:
        source = (folder / f"{peer.module}.py").read_text(encoding="utf-8")
        assert f'"{peer.workload}"' in source
        assert not peer.environment or peer.environment in known
        assert WORKLOADS[peer.workload].data in data.SHAPES
    assert set(known) == {peer.environment for peer in PEERS if peer.environment}
    assert all("==" in package for row in known.values() for package in row["packages"])


def test_the_convention_goes_to_both_and_the_options_to_the_peer() -> None:
    peer = Peer("a", "a", "with_a", "W4", {"engine": "x"}, {"seed": "sma"}, cut={"combinations": 10})
    theirs, ours = settings_of(peer, True), settings_of(peer, False)
    assert theirs.pop("engine") == "x"
    assert theirs == ours
    assert ours["seed"] == "sma"
    assert "combinations" not in ours
    assert json.loads(json.dumps(ours)) == ours
    assert scale_of(peer) == 100.0


@pytest.mark.parametrize("count", [10, 500, 1_000, 10_000])
def test_a_grid_has_as_many_combinations_as_it_says(count: int) -> None:
    grid = grid_of(count)
    assert len(grid["fast"]) * len(grid["slow"]) * len(grid["signal_span"]) == count
    assert max(grid["fast"]) < min(grid["slow"])


def test_engines_are_chosen_by_name_or_environment() -> None:
    assert {peer.name for peer in peers_of("W1", ("vectorbt", "backtrader"))} == {
        "vectorbt rust", "vectorbt numba", "backtrader"
    }  # fmt: skip
    assert [peer.name for peer in peers_of("W1", ("nautilus",))] == ["nautilus_trader"]
    assert len(peers_of("W1", ())) == 10


# --- the bars ----------------------------------------------------------------------------------


def test_the_walk_is_the_same_each_time_and_makes_bars(tmp_path: Path) -> None:
    shape = data.Shape(400, 3, "session", 0.02, 5)
    data.write_bars(tmp_path / "bars", shape)
    bars, again = data.read_bars(tmp_path / "bars"), data.walk(shape)
    for name in (*data.COLUMNS, "start_ns", "end_ns"):
        assert np.array_equal(getattr(bars, name), getattr(again, name))
    assert np.all(bars.low <= np.minimum(bars.open, bars.close))
    assert np.all(bars.high >= np.maximum(bars.open, bars.close))
    assert 49.99 <= bars.close.min() < bars.close.max() <= 200.01
    assert np.all(np.diff(bars.start_ns) > 0)
    assert np.array_equal(bars.close, np.round(bars.close, 2))
    # 2,000 steps of 2 % leave the range of 50 to 200 unless they are reflected; prices still move at the borders.
    long = data.walk(data.Shape(2_000, 1, "daily", 0.1, 5)).close
    assert 49.99 <= long.min() < 55.0
    assert 190.0 < long.max() <= 200.01


def test_a_cut_is_the_beginning_of_the_first_symbols(tmp_path: Path) -> None:
    data.write_bars(tmp_path, data.Shape(100, 4, "daily", 0.01, 3))
    whole = data.read_bars(tmp_path)
    job = Job(tmp_path, {"bars": 30, "symbols": 2, "capital": 5.0})
    assert np.array_equal(job.bars.close, whole.close[:30, :2])
    assert job.bars.names == ("S0000", "S0001")
    assert len(job.bars.end_ns) == 30
