"""How long a command takes from the shell to the prompt: --help of every front door, and one whole backtest.

Prints figures with the bare interpreter beside them and never fails on a time: the machine decides that.

    ./desk bench startup
    python -m benchmarks.bench_startup --runs 21
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.front_doors import ROOT, existing

HELP_GOAL_SECONDS = 0.15
BACKTEST_GOAL_SECONDS = 1.5
CONFIG = "configs/paper.yaml"


def measure(command: Sequence[str], runs: int) -> tuple[float, float, str]:
    """Run `command` `runs` times after one warm-up.

    Returns:
        median and best wall time in seconds, and what went wrong ("" when nothing did).
    """
    took: list[float] = []
    # The warm-up leaves compiled modules behind, as the first run of a user does; not where this variable is set.
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(runs + 1):
        begun = time.perf_counter()
        done = subprocess.run(
            command, cwd=ROOT, env=surroundings, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
        took.append(time.perf_counter() - begun)
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines()
            return 0.0, 0.0, f"exit code {done.returncode}: {words[-1] if words else 'no words'}"
    return statistics.median(took[1:]), min(took[1:]), ""


def show(name: str, command: Sequence[str], runs: int, goal: float | None) -> None:
    """Measure one command and print its line."""
    median, best, wrong = measure(command, runs)
    if wrong:
        print(f"{name:<52} {wrong}", flush=True)
        return
    against = "" if goal is None else f"   goal {goal:g} s {'met' if median <= goal else 'missed'}"
    print(f"{name:<52} {median:7.3f} {best:7.3f}{against}", flush=True)


@contextmanager
def simulator(folder: Path) -> Iterator[int]:
    """Run the simulator with the built-in market on a free port; yield the port. Its words go into `folder`."""
    told, log = folder / "simulator.port", folder / "simulator.log"
    command = [sys.executable, "-m", "quant_trading.tools.sim", "--port", "0", "--source", "seed:7"]
    with log.open("wb") as words:
        server = subprocess.Popen(
            [*command, "--port-file", str(told)],
            cwd=ROOT,
            stdout=words,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        for _ in range(1200):
            if told.exists() or server.poll() is not None:
                break
            with suppress(subprocess.TimeoutExpired):
                server.wait(timeout=0.05)
        if not told.exists():
            raise RuntimeError(f"the simulator named no port: {log.read_text(errors='replace').strip()[-300:]}")
        yield int(told.read_text(encoding="utf-8"))
    finally:
        server.terminate()
        server.wait()


def backtest(*more: str) -> list[str]:
    """Return the command line of the one-year daily backtest with `more` arguments."""
    words = ["--run", "backtest", "--mode", "paper", "--config", CONFIG]
    words += ["--duration", "1 Y", "--bar-size", "1 day", "--cost-bps", "5"]
    return [sys.executable, "trade.py", *words, *more]


def save_year(folder: Path) -> str:
    """Fetch the universe's year from the simulator into `folder`; return what went wrong, "" when nothing did."""
    with simulator(folder) as port:
        command = backtest("--ibkr", "--save-bars", str(folder / "bars"), "--out", str(folder / "first.csv"))
        surroundings = os.environ | {"IBKR_HOST": "127.0.0.1", "IBKR_PAPER_PORT": str(port)}
        done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False)
    words = (done.stderr or done.stdout).strip().splitlines()
    return f"exit code {done.returncode}: {words[-1] if words else 'no words'}" if done.returncode else ""


def bench_help(runs: int) -> None:
    """Print the line of every front door's --help."""
    for door in existing():
        start = [door] if door.endswith(".py") else ["-m", door]
        show(f"{' '.join(start)} --help", [sys.executable, *start, "--help"], runs, HELP_GOAL_SECONDS)


def bench_backtest(runs: int) -> None:
    """Print the line of the one-year backtest of the universe from local files, as a whole process."""
    name = "one-year backtest of the universe, local files"
    if "trade.py" not in existing() or "quant_trading.tools.sim" not in existing():
        print(f"{name:<52} not measured: trade.py or the simulator is not built yet")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            wrong = save_year(folder)
        except RuntimeError as error:
            wrong = str(error)
        if wrong:
            print(f"{name:<52} not measured, the bars could not be made: {wrong}")
            return
        command = backtest("--data-dir", str(folder / "bars"), "--out", str(folder / "equity.csv"))
        show(name, command, runs, BACKTEST_GOAL_SECONDS)


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="bench_startup", description="Time every command from shell to prompt.")
    parser.add_argument("--runs", type=int, default=11, help="runs of each command, after one warm-up (default 11)")
    runs: int = parser.parse_args(arguments).runs
    print(f"wall time of whole processes in seconds, {runs} runs each, Python {sys.version.split()[0]}")
    print(f"{'':<52} {'median':>7} {'best':>7}")
    show("python -c pass", [sys.executable, "-c", "pass"], runs, None)
    bench_help(runs)
    bench_backtest(max(1, runs // 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
