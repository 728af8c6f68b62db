"""Where a series lacks bars that its calendar expects, and the command that fetches them."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from quant_trading.data.store_manifest import Manifest
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.bars import BarColumns, IntArray
from quant_trading.domain.errors import DataGap
from quant_trading.refdata.sessions import SessionRangeError, exchange_date, session_arrays

__all__ = ["Gap", "fetch_command", "find_gaps"]

_SECOND_NS = 1_000_000_000
_HOUR = 3_600


@dataclass(frozen=True, slots=True)
class Gap:
    """Sessions in a row that lack bars.

    Attributes:
        symbol, bar_size, what, all_hours: of which series.
        first, last: exchange dates of the first and the last of them.
        sessions: how many.
        missing_bars: of regular hours, over all of them.
    """

    symbol: str
    bar_size: str
    what: str
    all_hours: bool
    first: date
    last: date
    sessions: int
    missing_bars: int


def find_gaps(manifest: Manifest, bars: BarColumns) -> list[Gap]:
    """Return the sessions between the first and the last bar that lack some, neighbours together.

    Of bars of an hour and more, and of series of all hours, a session counts as complete when it has any: how many
    there are depends on where the source begins to count. Weeks and months are not looked at.

    Raises:
        DataGap: when the bars lie outside the table of sessions.
    """
    size = parse_bar_size(manifest.bar_size)
    if size.seconds > 86_400 or not len(bars.start_ns):
        return []
    try:
        days, opens, closes = session_arrays(
            exchange_date(int(bars.start_ns[0])), exchange_date(int(bars.start_ns[-1]))
        )
    except SessionRangeError as error:
        raise DataGap(f"{manifest.symbol}: {error}") from error
    have = np.searchsorted(bars.start_ns, closes) - np.searchsorted(bars.start_ns, opens)
    expected = np.ones(len(days), dtype=np.int64)
    if size.seconds < _HOUR:
        expected = -((opens - closes) // (size.seconds * _SECOND_NS))
    lacking: IntArray = np.maximum(expected - have, 0)
    if manifest.all_hours or size.seconds >= _HOUR:
        lacking = np.where(have > 0, 0, expected)
    rows = np.flatnonzero(lacking)
    gaps = []
    for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else ():
        first, last = (date.fromordinal(int(days[row]) + _EPOCH) for row in (run[0], run[-1]))
        gaps.append(
            Gap(
                manifest.symbol, manifest.bar_size, manifest.what, manifest.all_hours, first, last, len(run),
                int(lacking[run].sum()),
            )
        )  # fmt: skip
    return gaps


_EPOCH = date(1970, 1, 1).toordinal()


def fetch_command(gap: Gap) -> str:
    """Return the command line that fetches what is missing."""
    _, _, closes = session_arrays(gap.last, gap.last)
    end = np.datetime64(int(closes[0]), "ns").astype("datetime64[s]").item()
    years = -(-gap.sessions // 250)
    duration = f"{gap.sessions} D" if gap.sessions <= 365 else f"{years} Y"
    words = [f'--symbols "{gap.symbol}" --duration "{duration}" --bar-size "{gap.bar_size}"']
    words.append(f'--end-datetime "{end:%Y%m%d-%H:%M:%S}"')
    if gap.what not in ("TRADES", "LIVE", "RAW"):
        words.append(f"--what {gap.what}")
    if gap.all_hours:
        words.append("--all-hours")
    return f"python -m quant_trading.tools.fetch_historical_data {' '.join(words)}"
