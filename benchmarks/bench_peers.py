"""Our engine beside its peers on the same bars: time, memory, and whether the trades are the same.

Each engine runs in its own process and environment (`./desk bench --peers` makes those that are missing). A time
counts only when every entry (bar, symbol, side, price) and the final equity are ours under the convention the line
states; otherwise the line says what differs and has no ratio. What a machine does not have is skipped with its
reason. Prints Markdown and never fails on a time.

    ./desk bench --peers --quick
    ./desk bench --peers vectorbt backtrader --only W1
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.front_doors import ROOT
from benchmarks.peers.catalogue import OURS, WORKLOADS, Peer, grid_of, peers_of
from benchmarks.peers.compare import Line, Run, entries_digest, show_table, why_unequal
from benchmarks.peers.data import SHAPES, write_bars
from benchmarks.peers.measure import Entries

ENVIRONMENTS = ROOT / "benchmarks" / "peers" / "environments.toml"
HOME = ROOT / ".venvs" / "peers"
QUICK = ("W1", "W2a", "W2b", "W3", "W4", "W6")
_LONGEST_SECONDS = 600.0


class NotRun(Exception):
    """An engine gave no figures; the text says why."""


@dataclass(frozen=True, slots=True)
class Bench:
    """How to measure: where the bars are, seconds of a warm measurement, processes of a cold one."""

    folder: Path
    seconds: float
    cold_runs: int


def python_of(environment: str) -> Path:
    """Return the interpreter of a peer's environment, ours for an empty name."""
    if not environment:
        return Path(sys.executable)
    return HOME / environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make_environment(name: str, packages: Sequence[str]) -> str:
    """Make the environment of a peer unless it is there; return why it cannot be had, "" when it can."""
    python = python_of(name)
    complete = HOME / name / "complete"
    wanted = " ".join(packages)
    if python.exists() and complete.exists() and complete.read_text(encoding="utf-8").strip() == wanted:
        return ""
    made: list[list[str]] = [] if python.exists() else [[sys.executable, "-m", "venv", str(HOME / name)]]
    quiet = ["--disable-pip-version-check", "--no-input", "--quiet"]
    for command in [*made, [str(python), "-m", "pip", "install", *quiet, *packages]]:
        print(f"peers: {name}: {' '.join(command[1:4])} ...", file=sys.stderr, flush=True)
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines()
            return f"not installed: {words[-1] if words else 'pip ended with ' + str(done.returncode)}"
    complete.write_text(wanted + "\n", encoding="utf-8")
    return ""


def make_environments(names: Sequence[str]) -> dict[str, str]:
    """Return why the environments that cannot be had cannot, by name."""
    known = tomllib.loads(ENVIRONMENTS.read_text(encoding="utf-8"))
    reasons = {name: make_environment(name, known[name]["packages"]) for name in names}
    return {name: reason for name, reason in reasons.items() if reason}


# --- one process -------------------------------------------------------------------------------


def start(python: Path, module: str, workload: str, settings: Mapping[str, Any], bench: Bench, once: bool) -> Run:
    """Run one adapter in a process of its own.

    Raises:
        NotRun: when it ends with an error, prints no figures or takes too long.
    """
    if not python.exists():
        raise NotRun(f"no environment at {python.relative_to(ROOT) if python.is_relative_to(ROOT) else python}")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.npz"
        bars = bench.folder / WORKLOADS[workload].data
        command = [str(python), "-m", f"benchmarks.peers.{module}", workload, str(bars),
                   "--out", str(out), "--settings", json.dumps(settings), "--seconds", str(bench.seconds),
                   *(["--once"] if once else [])]  # fmt: skip
        begun = time.perf_counter()
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                  check=False, timeout=_LONGEST_SECONDS)  # fmt: skip
        except subprocess.TimeoutExpired:
            raise NotRun(f"stopped after {_LONGEST_SECONDS:.0f} s") from None
        took = time.perf_counter() - begun
        lines = done.stdout.strip().splitlines()
        if done.returncode or not lines or not lines[-1].startswith("{"):
            words = (done.stderr or done.stdout).strip().splitlines()
            raise NotRun(words[-1] if words else f"exit code {done.returncode}")
        with np.load(out) as held:
            entries = Entries(held["bar"], held["symbol"], held["side"], held["price"])
            return Run(json.loads(lines[-1]), entries, held["curve"], took if once else math.nan)


def settings_of(peer: Peer, for_peer: bool) -> dict[str, Any]:
    """Return the settings of `peer`'s run, or of ours under its convention and on its part of the bars."""
    cut = dict(peer.cut)
    settings = {**WORKLOADS[peer.workload].settings, **peer.convention, **(peer.options if for_peer else {})}
    if peer.workload == "W4":
        settings.update(grid_of(cut.pop("combinations", 1_000)))
    return {**settings, **cut}


def scale_of(peer: Peer) -> float:
    """Return how many times the whole workload is larger than what `peer` is given."""
    shape = SHAPES[WORKLOADS[peer.workload].data]
    bars, symbols = peer.cut.get("bars", shape.bars), peer.cut.get("symbols", shape.symbols)
    return shape.bars * shape.symbols / (bars * symbols) * (1_000 / peer.cut.get("combinations", 1_000))


def measure(python: Path, module: str, workload: str, settings: Mapping[str, Any], bench: Bench) -> Run:
    """Return the warm run with the best cold process beside it; its memory is that of the cold process."""
    warm = start(python, module, workload, settings, bench, once=False)
    cold = [start(python, module, workload, settings, bench, once=True) for _ in range(bench.cold_runs)]
    if not cold:
        return warm
    return replace(
        warm, cold=min(run.cold for run in cold), report={**warm.report, "peak_mb": cold[0].report["peak_mb"]}
    )


# --- the tables --------------------------------------------------------------------------------


def line_of(peer: Peer, bench: Bench, ours: dict[str, Run]) -> Line:
    """Return the line of one engine; its time counts only when it came to what we came to.

    Args:
        ours: our runs so far, by what was asked; those that are needed are added.
    """
    name = f"{peer.name}{_part(peer)}"
    # A whole process on a part of the bars would say nothing about the workload.
    cold_runs = 0 if peer.cut else bench.cold_runs
    try:
        run = measure(python_of(peer.environment), peer.module, peer.workload, settings_of(peer, True),
                      replace(bench, cold_runs=cold_runs))  # fmt: skip
    except NotRun as error:
        return Line(name, note=f"skipped: {error}")
    report, scale = run.report, scale_of(peer)
    try:
        # Equality on the part the peer was given, time on the whole workload, both under the peer's convention.
        reference, whole = own_run(peer, bench, ours), own_run(replace(peer, cut={}), bench, ours)
    except NotRun as error:
        return Line(name, _version(peer, report), note=f"not compared, ours failed: {error}")
    why = why_unequal(run, reference, WORKLOADS[peer.workload].compares, peer.tolerance)
    return Line(
        name, _version(peer, report), report["best"] * scale, report["first"], run.cold, report["peak_mb"],
        f"not equal: {why}" if why else _equal(run), math.nan if why else report["best"] * scale / whole.report["best"],
        scale > 1.0, peer.says,
    )  # fmt: skip


def own_run(peer: Peer, bench: Bench, ours: dict[str, Run]) -> Run:
    """Return our warm run under `peer`'s convention on its part of the bars, from `ours` when it is there."""
    asked = settings_of(peer, False)
    key = json.dumps(asked, sort_keys=True)
    if key not in ours:
        ours[key] = start(python_of(""), "with_desk", peer.workload, asked, bench, once=False)
    return ours[key]


def table_of(workload: str, names: tuple[str, ...], bench: Bench, missing: Mapping[str, str]) -> str:
    """Return the table of one workload; each line is said on stderr as soon as it is there."""
    write_bars(bench.folder / WORKLOADS[workload].data, SHAPES[WORKLOADS[workload].data])
    settings = {**WORKLOADS[workload].settings, **(grid_of(1_000) if workload == "W4" else {})}
    try:
        own = measure(python_of(""), "with_desk", workload, settings, bench)
    except NotRun as error:
        return show_table(f"{workload}: {WORKLOADS[workload].title}", [Line(OURS, note=f"failed: {error}")])
    ours = {json.dumps(settings, sort_keys=True): own}
    report = own.report
    lines = [Line(OURS, "", report["best"], report["first"], own.cold, report["peak_mb"], "", 1.0)]
    for peer in peers_of(workload, names):
        if peer.environment in missing:
            lines.append(Line(peer.name, note=f"skipped: {missing[peer.environment]}"))
        else:
            lines.append(line_of(peer, bench, ours))
        print(f"peers: {workload} {show_table('', lines[-1:]).splitlines()[-1]}", file=sys.stderr, flush=True)
    return show_table(f"{workload}: {WORKLOADS[workload].title}", lines)


def _part(peer: Peer) -> str:
    """Return what of the workload a cut run was given, in words."""
    words = [f"{value:,} {name if value != 1 else name[:-1]}" for name, value in peer.cut.items()]
    return f" ({', '.join(words)})" if words else ""


def _equal(run: Run) -> str:
    entries = run.entries
    return f"yes, {len(entries):,} trades {entries_digest(entries)}" if len(entries) else "yes"


def _version(peer: Peer, report: Mapping[str, Any]) -> str:
    """Return the version of the package the engine's name begins with, "" for our own."""
    known = {**report["versions"], "numpy": report["numpy"]}
    return next((version for name, version in known.items() if peer.name.startswith(name)), "")


def machine() -> str:
    """Return what the figures belong to, and what else was running."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}; load average {load}; Python {platform.python_version()}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        "./desk bench --peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="engines, by their name or environment; all when left out")
    parser.add_argument("--only", nargs="+", choices=sorted(WORKLOADS), help="workloads")
    parser.add_argument("--quick", action="store_true", help="shorter measurements, one cold process, without W3L")
    parser.add_argument("--seconds", type=float, help="of each warm measurement")
    parser.add_argument("--folder", type=Path, help="keep the bars here, for the next time")
    parser.add_argument("--install", action="store_true", help="make missing environments below .venvs/peers")
    given = parser.parse_args(argv)
    workloads = list(given.only or (QUICK if given.quick else WORKLOADS))
    names = tuple(given.names)
    wanted = sorted({peer.environment for w in workloads for peer in peers_of(w, names) if peer.environment})
    missing = make_environments(wanted) if given.install else {}
    with tempfile.TemporaryDirectory() as made:
        bench = Bench(
            given.folder or Path(made), given.seconds or (1.0 if given.quick else 3.0), 1 if given.quick else 3
        )
        print(f"{machine()}, numpy {np.__version__}, numba {version('numba')}.\n\nWarm = best call, the lesser of wall "
              "and processor time; first = first call of a process that has imported the engine and read the bars; "
              "cold = whole process. Figures of a part of the bars are scaled up and marked est.\n")  # fmt: skip
        for workload in workloads:
            print(table_of(workload, names, bench, missing) + "\n", flush=True)
        print("W5 (streaming) is not part of this table. Load average at the end: "
              + ", ".join(f"{value:.1f}" for value in os.getloadavg()))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
