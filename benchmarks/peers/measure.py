"""What every adapter shares: one workload in one process, measured, and one line of JSON for the parent.

    python -m benchmarks.peers.with_backtrader W1 FOLDER --out FILE.npz --settings '{"capital": 1000000.0}'

The best call is the lesser of its wall and its processor time: on a busy machine the wall clock counts the others'
work, and an engine of several threads is not charged for all of them. Reading the bars and importing the engine are
not part of a timed call; the parent measures them with the whole process (`--once`). Only numpy and the standard
library are imported here.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.data import Bars, FloatArray, IntArray, read_bars

__all__ = [
    "FAST", "FIRST_VALID", "MOST_RUNS", "NO_ENTRIES", "SIGNAL", "SLOW", "Entries", "Job", "Outcome", "Workload",
    "entries_of_fills", "peak_mb", "run_adapter",
]  # fmt: skip

FAST, SLOW, SIGNAL = 12, 26, 9
FIRST_VALID = SLOW + SIGNAL - 1  # the first bar whose crossing counts
MOST_RUNS = 200
_RESIDUE = 1e-9


@dataclass(frozen=True)
class Entries:
    """Every position that was opened or turned, in the order of symbols and bars.

    Attributes:
        bar, symbol, side: int64[K]; side is 1 or -1.
        price: float64[K], of the fill, fees apart.
    """

    bar: IntArray
    symbol: IntArray
    side: IntArray
    price: FloatArray

    @classmethod
    def of(cls, bar: Any, symbol: Any, side: Any, price: Any) -> "Entries":
        """Return the entries in order, from anything numpy makes arrays of."""
        columns = [np.asarray(column).astype(np.int64) for column in (bar, symbol, side)]
        order = np.lexsort((columns[0], columns[1]))
        return cls(*(column[order] for column in columns), np.asarray(price, dtype=np.float64)[order])

    def __len__(self) -> int:
        return len(self.bar)


NO_ENTRIES = Entries.of([], [], [], [])


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        equity: of the last bar, money.
        entries: of the positions; empty where the workload has none to compare.
        curve: float64[T], equity bar by bar or a figure per combination; empty where it is not compared.
        figures: by name.
        trades: how many positions were opened; -1 = as many as there are entries.
    """

    equity: float
    entries: Entries = NO_ENTRIES
    curve: FloatArray = field(default_factory=lambda: np.zeros(0))
    figures: Mapping[str, float] = field(default_factory=dict)
    trades: int = -1


@dataclass(frozen=True)
class Job:
    """What an adapter is asked for: a workload's folder, the settings of the parent, and whether one call is all."""

    folder: Path
    settings: Mapping[str, Any]
    is_once: bool = False

    @cached_property
    def bars(self) -> Bars:
        """Return the bars, cut to the size of the settings."""
        return read_bars(self.folder, int(self.settings.get("bars", 0)), int(self.settings.get("symbols", 0)))

    @property
    def capital(self) -> float:
        """Return the money at the start."""
        return float(self.settings.get("capital", 1_000_000.0))

    @property
    def cost_rate(self) -> float:
        """Return the fee of a fill as a share of its value."""
        return float(self.settings.get("cost_bps", 5.0)) / 1e4

    @property
    def shares(self) -> float:
        """Return how many shares a position has."""
        return float(self.settings.get("shares", 100.0))


# Takes the job and returns the timed call and what reads its result.
Workload = Callable[[Job], tuple[Callable[[], Any], Callable[[Any], Outcome]]]


def entries_of_fills(bar: Any, symbol: Any, quantity: Any, price: Any) -> Entries:
    """Return where positions opened or turned.

    Args:
        bar, symbol, quantity, price: [K], one per fill in the order they happened; quantity is signed.
    """
    held: dict[int, float] = {}
    opened = []
    columns = (np.asarray(column).tolist() for column in (bar, symbol, quantity, price))
    for at, j, moved, paid in zip(*columns, strict=True):
        before = held.get(j, 0.0)
        after = before + moved
        # Fractions of shares leave the rounding of their sum behind when all of them are sold.
        after = 0.0 if abs(after) <= _RESIDUE * abs(moved) else after
        held[j] = after
        if after != 0.0 and (before == 0.0 or (before > 0.0) != (after > 0.0)):
            opened.append((at, j, 1 if after > 0.0 else -1, paid))
    return Entries.of(*zip(*opened, strict=True)) if opened else NO_ENTRIES


def peak_mb() -> float:
    """Return the most memory this process has held, in MB.

    `ru_maxrss` of a started process begins at what its parent held, so the kernel's own line is read where it is.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024.0


def run_adapter(packages: Mapping[str, str], workloads: Mapping[str, Workload], argv: list[str] | None = None) -> None:
    """Run one workload as the arguments say and print what it came to as one line of JSON.

    Args:
        packages: names as installed, by the words the table shows.
        workloads: by name.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=sorted(workloads))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--once", action="store_true", help="one call, as a person's first run")
    given = parser.parse_args(argv)
    call, read = workloads[given.workload](Job(given.folder, given.settings, given.once))
    wall, cpu, result = _timed(call)
    first, walls, cpus = wall, [], []
    begun = time.perf_counter()
    while (
        not given.once and len(walls) < MOST_RUNS and (time.perf_counter() - begun + wall < given.seconds or not walls)
    ):
        wall, cpu, result = _timed(call)
        walls.append(wall)
        cpus.append(cpu)
        if wall > given.seconds:
            break
    held = peak_mb()
    outcome = read(result)
    if given.out is not None:
        _write(given.out, outcome)
    print(json.dumps({
        "versions": {word: _version(name) for word, name in packages.items()},
        "python": sys.version.split()[0], "numpy": np.__version__, "numba": _version("numba"),
        "first": first, "wall": min(walls, default=first), "median": statistics.median(walls or [first]),
        "cpu": min(cpus, default=cpu), "best": min(*walls, *cpus, first, cpu), "runs": len(walls),
        "peak_mb": held, "equity": outcome.equity,
        "trades": outcome.trades if outcome.trades >= 0 else len(outcome.entries),
        "figures": {name: value for name, value in outcome.figures.items() if not math.isnan(value)},
    }))  # fmt: skip


def _timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return wall and processor seconds of one call, and its result; processes it started and ended are counted."""
    before, cpu, wall = os.times(), time.process_time_ns(), time.perf_counter_ns()
    result = call()
    took = time.perf_counter_ns() - wall
    own, after = time.process_time_ns() - cpu, os.times()
    of_children = after.children_user + after.children_system - before.children_user - before.children_system
    return took / 1e9, own / 1e9 + of_children, result


def _write(path: Path, outcome: Outcome) -> None:
    found = outcome.entries
    np.savez(
        path, bar=found.bar, symbol=found.symbol, side=found.side, price=found.price, curve=outcome.curve
    )  # fmt: skip


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
