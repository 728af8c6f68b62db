"""A download that is killed at given lines of our code, in processes of its own; run by test_downloads.py.

    python tests/data/kill_download.py FOLDER COUNT SEED

runs an uninterrupted download into FOLDER/whole, then COUNT times one that is killed (SIGKILL, nothing is cleaned up)
at a random line and started again, and prints how many left other files behind. The processes are forked from one in
which everything is imported already.
"""

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from pyarrow import parquet

from quant_trading.core.history_pages import Page, stretch_of
from quant_trading.data import downloads, macd_csv
from quant_trading.data.bar_store import BarStore
from quant_trading.data.downloads import SeriesDownload
from quant_trading.domain.bar_sizes import parse_bar_size, parse_duration
from quant_trading.domain.bars import BarColumns
from quant_trading.refdata.sessions import at, sessions_between

SIZE = parse_bar_size("5 mins")
NOW = at(date(2026, 1, 7), "18:00")
ASKED = datetime(2026, 1, 7, 23, tzinfo=UTC)
STEP = 300_000_000_000
_CODE = str(Path(downloads.__file__).parent)  # all that writes is in this package


def bars_of(page: Page) -> BarColumns:
    """Return what TWS has of a page; of one session it has none."""
    days = sessions_between(page.cells[0].day, page.cells[-1].day)
    moments = [range(day.open_ns, day.close_ns, STEP) for day in days if day.day != date(2025, 12, 30)]
    start = np.array([ns for session in moments for ns in session if page.start_ns <= ns < page.end_ns], dtype=np.int64)
    close = np.round(20.0 + np.sin(start / 7.3e15) * 3.0, 2)
    return BarColumns(start, start + STEP, close, close + 0.5, close - 0.5, close, start % 977 * 1.0)


def download(folder: Path) -> None:
    """Download three weeks over the turn of the year, half days and holidays among them."""
    one = SeriesDownload(BarStore(folder / "store"), folder, "SMR", SIZE, "TRADES", all_hours=False)
    stretch = stretch_of(SIZE, parse_duration("3 W"), NOW, NOW, all_hours=False)
    for page in one.plan(stretch, NOW):
        one.take(page, bars_of(page), ASKED)
    one.write_csv()


def what_is_left(folder: Path) -> dict[str, Any]:
    """Return what a reader of a folder gets."""
    series = folder / "store" / "5m" / "SMR"
    years = json.loads((series / "manifest.json").read_text())["years"]
    return {
        "csv": (folder / "SMR_5m_bars_macd.csv").read_bytes(),
        "years": {year: (entry["sha256"], entry["rows"]) for year, entry in years.items()},
        "files": {year: (series / entry["file"]).read_bytes() for year, entry in years.items()},
        "changed": (series / "changed.csv").exists(),
        "left": sorted(path.name for path in folder.iterdir()),
    }


def in_child(act: Callable[[], object]) -> int:
    """Run something in a forked process and return how it ended, as `os.wait` tells."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - a child must not run on into its parent's code
        print(repr(error), file=sys.stderr)
        os._exit(1)
    os._exit(0)


def counting(limit: int, act: Callable[[], object]) -> int:
    """Run something, killing this process at the line of our code of that number; return how many lines there were."""
    seen = 0

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.startswith(_CODE):
            return None
        if event == "line":
            seen += 1
            if seen == limit:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    act()
    sys.settrace(None)
    return seen


def main(folder: Path, count: int, seed: int) -> int:
    """Return how many killed downloads ended otherwise than the whole one."""
    rng = random.Random(seed)
    read_end, write_end = os.pipe()
    whole = folder / "whole"
    if in_child(lambda: os.write(write_end, str(counting(-1, lambda: download(whole))).encode())):
        return count
    lines = int(os.read(read_end, 100))
    expected = what_is_left(whole)
    sessions_between(date(2025, 1, 1), date(2026, 12, 31))  # kept for all children
    wrong = killed = 0
    place = folder / "killed"
    for _ in range(count):
        shutil.rmtree(place, ignore_errors=True)
        limit = rng.randint(1, lines)
        killed += os.WIFSIGNALED(in_child(partial(counting, limit, partial(download, place))))
        if in_child(partial(download, place)) or what_is_left(place) != expected:
            print(f"killed at line {limit} of {lines}: it ends otherwise", file=sys.stderr)
            wrong += 1
    print(json.dumps({"lines": lines, "killed": killed, "wrong": wrong, "rows": expected["csv"].count(b"\n") - 1}))
    return wrong


assert macd_csv and parquet  # imported once, before the forks

if __name__ == "__main__":
    sys.exit(1 if main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])) else 0)
