"""Download bars from TWS into CSV files and the bar store.

    python -m quant_trading.tools.fetch_historical_data --symbols SMR --duration "6 M" --bar-size "5 mins"

writes market_data/SMR_5m_bars_macd.csv with MACD, Signal and Hist, ready for backtests. The same command again asks
only for what is missing, also after it was killed; see docs/download.md.

Exit codes: 0 all well, 1 some symbols or pages failed or nobody reads the output any more, 2 wrong arguments or place,
3 no connection, 4 wrong account, 6 no symbol has bars, 130 interrupted by Ctrl-C or SIGTERM.
"""

import logging
import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from quant_trading.core.connect_options import add_connect_options, endpoint_of
from quant_trading.core.interrupts import sigterm_as_ctrl_c
from quant_trading.domain.errors import DeskError
from quant_trading.tools.fetch_request import BAR_SIZE, DURATION, Request, check_place, request_of

if TYPE_CHECKING:
    from quant_trading.tools.fetch_progress import Progress

__all__ = ["build_parser", "main"]

_WHATS = ("TRADES", "ADJUSTED_LAST", "MIDPOINT", "BID", "ASK", "BID_ASK")


def main(argv: Sequence[str] | None = None) -> int:
    """Download as `argv` asks and return the exit code; errors go to stderr."""
    options = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.CRITICAL)  # what matters is printed below, once
    try:
        with sigterm_as_ctrl_c():
            return _run(request_of(options), options)
    except DeskError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `| head` has seen enough; the download has ended half way
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("interrupted: what came is kept, the same command goes on from there", file=sys.stderr)
        return 130


def build_parser() -> ArgumentParser:
    """Return the parser of the command line."""
    parser = ArgumentParser(
        prog="fetch_historical_data", description=__doc__, formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    add = parser.add_argument
    add("--symbols", nargs="+", required=True, metavar="SYM", help="US stocks and ETFs, apart by spaces or commas")
    add("--duration", metavar="D", help=f'how far back, in IBKR\'s words: "6 M", "20 D", "2 Y" (default: {DURATION})')
    add(
        "--bar-size",
        default=BAR_SIZE,
        metavar="B",
        help='"5 mins" or 5m; sizes as IBKR has them (default: %(default)s)',
    )
    add("--all-hours", action="store_true", help="with pre-market and after-hours trading")
    add("--end-datetime", metavar="WHEN", help='the end: "20260130-21:00:00" is UTC, "2026-01-30 16:00" New York, '
        '"20260130 16:00:00 US/Eastern" names its zone, 2026-01-30 is all of that day (default: now)')  # fmt: skip
    add("--output-dir", type=Path, metavar="DIR", help="folder of the CSV files (default: market_data)")
    add("--store", type=Path, metavar="DIR", help="the bar store (default: store in the output folder)")
    add("--what", default="TRADES", choices=_WHATS, help="kind of bars (default: %(default)s)")
    add("--repair", action="store_true", help="ask again for sessions of which TWS had too few bars; without "
        "--duration look over all that was fetched before")  # fmt: skip
    add("--refresh", action="store_true", help="ask for everything again and take the new values")
    add("--plain", action="store_true", help="lines on a terminal too, instead of the progress bar")
    add_connect_options(parser, "fetch_historical_data")
    return parser


def _run(request: Request, options: Namespace) -> int:
    # Imported here: --help must not wait for the client library.
    from quant_trading.core.history_fetch import HistorySource
    from quant_trading.core.pacing_file import shared_pacer
    from quant_trading.settings.home import home
    from quant_trading.settings.system_clock import SystemClock
    from quant_trading.tools.fetch_progress import PlainProgress, RichProgress
    from quant_trading.tools.fetch_run import FetchRun

    check_place(request.folder, "--output-dir")
    check_place(request.store, "--store")
    place, clock = endpoint_of(options), SystemClock()
    pacer = shared_pacer(home(os.environ) / "state", place.host, place.port, clock)
    source = HistorySource(
        client_id=place.client_id, host=place.host, port=place.port, expected_account=place.account or None,
        timeout_seconds=place.timeout_seconds, pacer=pacer,
    )  # fmt: skip
    with source:
        progress: Progress = RichProgress() if sys.stdout.isatty() and not options.plain else PlainProgress(_say)
        try:
            run = FetchRun(request, source, pacer, progress, clock)
            run.fetch()
        finally:
            progress.end()
    return run.exit_code()


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
