"""A folder of sample bars from the simulator's built-in market: `python -m quant_trading.tools.sample_data`.

The bars are made up, the same for the same seed: they show what the tools do, never what a strategy earns.

Exit codes: 0 written, 2 an option cannot be used.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from quant_trading.domain.errors import DeskError

if TYPE_CHECKING:
    from quant_trading.domain.bar_sizes import BarSize
    from quant_trading.domain.bars import BarColumns, BarPanel
    from quant_trading.refdata.sessions import Session
    from quant_trading.tws_sim.tape import Tape

__all__ = ["main", "sample_panel"]

SYMBOLS = ("AAPL", "MSFT", "NVDA", "SPY", "SMR")
_YEARS = 2
_DAY_NS = 86_400_000_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m quant_trading.tools.sample_data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--symbols", default=",".join(SYMBOLS), metavar="A,B", help="default: %(default)s")
    add("--timeframe", default="5m", metavar="T", help="1m, 5m, 1d ... (default: %(default)s)")
    add("--years", type=int, default=_YEARS, help="length, up to the end date (default: %(default)s)")
    add("--end", metavar="YYYY-MM-DD", help="last session (default: the last one completed)")
    add("--seed", type=int, default=7, help="seed of the market (default: %(default)s)")
    add("--output-dir", type=Path, default=Path("market_data"), help="default: %(default)s")
    options = parser.parse_args(arguments)

    from quant_trading.data.store import save_bars

    try:
        symbols = [name.strip().upper() for name in options.symbols.split(",") if name.strip()]
        for symbol in symbols:
            panel = sample_panel([symbol], options.timeframe, options.years, _end(options.end), options.seed)
            [path] = save_bars(options.output_dir, panel)
            note(options.output_dir, path.name, options.seed)
            print(f"{path}: {len(panel):,} bars of {panel.bar_size}, made up (seed {options.seed})", flush=True)
    except DeskError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def note(folder: Path, name: str, seed: int) -> None:
    """Add a file to `MADE_UP.txt`, which says of a folder that its bars are not of a market."""
    from quant_trading.data.files import replace_file

    path = folder / "MADE_UP.txt"
    known = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    line = f"{name}: made up by the simulator's market, seed {seed}"
    lines = [*(other for other in known if not other.startswith(f"{name}: ")), line]
    replace_file(path, ("\n".join(lines) + "\n").encode())


def _end(text: str | None) -> date:
    from quant_trading.app import SystemClock
    from quant_trading.domain.errors import UsageError
    from quant_trading.refdata.sessions import last_completed_session

    if text is None:
        return last_completed_session(int(SystemClock().now().timestamp()) * 1_000_000_000).day
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--end {text} is not a date; write 2026-01-30") from None


def sample_panel(symbols: Sequence[str], timeframe: str, years: int, end: date, seed: int) -> "BarPanel":
    """Return the built-in market's bars of regular hours of the `years` up to and including `end`.

    Raises:
        UsageError: for a symbol the market does not list, or a length that is none.
    """
    from quant_trading.domain.bar_sizes import parse_bar_size
    from quant_trading.domain.bars import panel_from_columns
    from quant_trading.domain.errors import UsageError
    from quant_trading.refdata.sessions import sessions_between
    from quant_trading.tws_sim.sources import open_source

    size = parse_bar_size(timeframe)
    if not 1 <= years <= 10:
        raise UsageError(f"--years {years} is not within 1..10")
    first = end.replace(year=end.year - years, day=min(end.day, 28))
    tape = open_source(f"seed:{seed}")
    sessions = sessions_between(first, end)
    columns = [_columns(tape, symbol, size, sessions) for symbol in symbols]
    return panel_from_columns(symbols, size.words, columns)


def _columns(tape: "Tape", symbol: str, size: "BarSize", sessions: Sequence["Session"]) -> "BarColumns":
    """Return the bars of one stock over `sessions`, each with the end at which it may be known."""
    import numpy as np

    from quant_trading.domain.bars import BarColumns
    from quant_trading.domain.errors import UsageError
    from quant_trading.tws_sim.barsize import BAR_SIZES
    from quant_trading.tws_sim.tape import What

    contract = next((c for c in tape.contracts() if (c.symbol, c.sec_type, c.currency) == (symbol, "STK", "USD")), None)
    if contract is None:
        raise UsageError(f"--symbols {symbol}: the built-in market lists no such US stock; try {', '.join(SYMBOLS)}")
    tape_size = next(known for known in BAR_SIZES if known.text == size.words)
    opens = np.array([session.open_ns for session in sessions], dtype=np.int64)
    closes = np.array([session.close_ns for session in sessions], dtype=np.int64)
    bars = tape.bars(contract, tape_size, What.TRADES, int(opens[0]) - _DAY_NS, int(closes[-1]), True)
    if bars is None or not len(bars):
        raise UsageError(f"--symbols {symbol}: the built-in market has no bars of {size.words} in that time")
    start = bars.start_ns
    if size.is_intraday:
        row = np.searchsorted(opens, start, side="right") - 1
        end = np.minimum(start + size.seconds * 1_000_000_000, closes[row])
    else:  # day bars are stamped with midnight UTC of their session
        row = np.searchsorted(opens, start)
        start, end = opens[row], closes[row]
    return BarColumns(start, end, bars.open, bars.high, bars.low, bars.close, bars.volume)


if __name__ == "__main__":
    sys.exit(main())
