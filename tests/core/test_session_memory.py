"""Sessions opened, used and closed one after the other in one process leave nothing behind."""

import gc
import statistics
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest

from quant_trading.core.session_thread import IBKRSession
from quant_trading.core.streams import StreamKind, StreamRequest
from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.server import ThreadedTwsServer
from tests.core.meddler import simulator
from tests.tools.test_sim import running

ROOT = Path(__file__).resolve().parents[2]
FILES = Path("/proc/self/fd")


def use(port: int) -> list[weakref.ref[object]]:
    """Open a session, hear something of each kind of stream, close it; return what should be gone afterwards."""
    told: list[object] = []
    with IBKRSession("127.0.0.1", port, 31, environ={}) as session:
        session.on_report(told.append)
        session.wait_until_live(30)
        for kind in StreamKind:
            session.subscribe(StreamRequest("AAPL", kind))
        handle = session.subscribe(StreamRequest("SPY"), told.append)
        assert session.events(timeout_seconds=10)
        session.call(lambda connection: connection.ib.reqCurrentTimeAsync())
        handle.cancel()
    runner = session.runner
    return [weakref.ref(one) for one in (session, runner, runner.connection.ib, runner.desk, runner.supervisor, handle)]


@pytest.mark.slow
def test_a_session_that_was_closed_is_gone() -> None:
    market = simulator()
    with ThreadedTwsServer(market, SimClock(market.now_ns, 1.0)) as server:
        use(server.port)
        gc.collect()
        threads, files = threading.active_count(), len(list(FILES.iterdir())) if FILES.exists() else 0
        for _ in range(3):
            left = use(server.port)
            gc.collect()
            assert [one() for one in left] == [None] * len(left)
        assert threading.active_count() <= threads
        assert not FILES.exists() or len(list(FILES.iterdir())) <= files + 1  # the server may be closing the last one


MEASURED = """
import gc, sys
from pathlib import Path
from tests.core.test_session_memory import use
sizes = []
for number in range(23):
    use(int(sys.argv[1]))
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    sizes.append(f"{pages * 4096 / 2**20} {len(gc.get_objects())}")
print("\\n".join(sizes))
"""


@pytest.mark.slow
@pytest.mark.skipif(not FILES.exists(), reason="other platform: /proc tells the resident memory")
def test_twenty_sessions_grow_the_process_by_less_than_ten_mebibytes() -> None:
    """In a process of their own; three sessions before load modules and fill pools.

    The allocator gives some MiB back and takes them again from session to session: five of them are taken together.
    """
    with running("--source", "seed:7", "--now", "2026-11-19 10:00", "--speed", "1") as (_, port, _):
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(port)], cwd=ROOT, capture_output=True, text=True, timeout=120,
            check=True,
        )  # fmt: skip
    rows = [line.split() for line in done.stdout.splitlines()]
    mib, objects = [float(row[0]) for row in rows][3:], [int(row[1]) for row in rows][3:]
    assert len(mib) == 20
    assert statistics.median(mib[-5:]) - statistics.median(mib[:5]) < 10.0
    assert objects[-1] - objects[0] < 500  # a session has some 10,000
