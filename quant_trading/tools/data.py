"""The bar store from the command line: `./desk data`, or `python -m quant_trading.tools.data`.

    ./desk data ls                                       what there is: bars, spans, sizes, when fetched
    ./desk data import market_data                       bring in the downloader's CSV files
    ./desk data check                                    hashes, and what is wrong with the bars or may be
    ./desk data repair                                   gaps by the calendar, and the commands that fill them
    ./desk data export bars --symbols AAPL --bar-size 5m
    ./desk data adjust actions.csv                       splits and dividends for the views at read time
    ./desk data adjust --show AAPL                       the bars around its splits and dividends in each view
    ./desk data truth AAPL 2025-05-12 --bar-size "1 min"

Exit codes: 0 all well, 1 something was found or some symbols were refused, 2 wrong arguments or place, 3 no
connection, 6 no bars.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from quant_trading.domain.errors import DeskError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and return the exit code; errors go to stderr."""
    options = _parser().parse_args(arguments)
    # Imported here: --help must not wait for numpy.
    from quant_trading.tools import data_commands, data_truth

    commands = {
        "ls": data_commands.show_series,
        "check": data_commands.check,
        "repair": data_commands.repair,
        "import": data_commands.bring_in,
        "export": data_commands.take_out,
        "adjust": data_commands.adjust,
        "truth": data_truth.truth,
    }
    try:
        options.store = options.store or _default_store()
        return commands[options.command](options)
    except DeskError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _default_store() -> Path:
    from quant_trading.data.store_places import DEFAULT_STORE
    from quant_trading.settings.home import home

    return home(os.environ) / DEFAULT_STORE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="data", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, words: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=words, description=words, allow_abbrev=False)
        sub.add_argument("--store", type=Path, metavar="DIR", help="the store (default: market_data/store)")
        return sub

    listing = command("ls", "list the series of the store")
    listing.add_argument("--json", action="store_true", help="as JSON")
    checking = command("check", "compare hashes and look the bars over")
    checking.add_argument("path", nargs="?", type=Path, help="a file of bars instead of the store")
    checking.add_argument("--actions", type=Path, metavar="FILE", help="known splits and dividends of that file")
    repairing = command("repair", "list gaps and the commands that fetch what is missing")
    for sub in (checking, repairing):
        sub.add_argument("--json", action="store_true", help="as JSON")
    bringing = command("import", "bring bars of CSV or Parquet files into the store")
    bringing.add_argument("path", type=Path, help="a folder of bar files, a file of one symbol, or a long one")
    bringing.add_argument("--source", help="whence they come (default: the name of the path)")
    bringing.add_argument("--fetched", metavar="YYYY-MM-DD", help="day up to which the prices know of splits")
    bringing.add_argument("--replace", action="store_true", help="take the new values of bars that have changed")
    bringing.add_argument("--actions", type=Path, metavar="FILE", help="splits and dividends to bring in as well")
    taking = command("export", "write bars of the store to CSV or Parquet files")
    taking.add_argument("folder", type=Path)
    taking.add_argument("--format", default="csv", choices=("csv", "parquet"), help="default: %(default)s")
    taking.add_argument("--start", metavar="YYYY-MM-DD", help="first exchange date")
    taking.add_argument("--end", metavar="YYYY-MM-DD", help="last exchange date")
    taking.add_argument("--as-of", metavar="YYYY-MM-DD", help="leave out later splits and dividends")
    for sub in (checking, repairing, bringing, taking):
        sub.add_argument("--symbols", metavar="A,B", help="default: all there are")
        sub.add_argument("--bar-size", metavar="SIZE", help='"5 mins" or 5m')
    for sub in (bringing, taking):
        sub.add_argument("--what", default="TRADES", metavar="KIND", help="TRADES, ADJUSTED_LAST, MIDPOINT, RAW ...")
        sub.add_argument("--all-hours", action="store_true", help="with pre-market and after-hours trading")
    adjusting = command("adjust", "bring in splits and dividends, or show what they do")
    adjusting.add_argument(
        "file", nargs="?", type=Path, help="CSV with symbol, ex_date, kind, value; kept in the store"
    )
    adjusting.add_argument("--show", metavar="SYMBOL", help="daily closes around its actions, in each view")
    adjusting.add_argument("--as-of", metavar="YYYY-MM-DD", help="leave out later splits and dividends")
    _truth_options(command("truth", "compare a recorded day with what TWS serves for it now"))
    return parser


def _truth_options(parser: argparse.ArgumentParser) -> None:
    from quant_trading.core.connect_options import add_connect_options

    add = parser.add_argument
    add("symbols", metavar="A,B", help="whose bars")
    add("day", metavar="YYYY-MM-DD", help="exchange date that was recorded")
    add("--bar-size", default="1 min", metavar="SIZE", help="default: %(default)s")
    add("--recorded", type=Path, metavar="DIR", help="the recorder's folder (default: the LIVE bars of the store)")
    add("--served", type=Path, metavar="DIR", help="take the served bars from files or a store, not from TWS")
    add("--all-hours", action="store_true", help="with pre-market and after-hours trading")
    add("--json", action="store_true", help="as JSON, every differing bar with both values")
    add_connect_options(parser, "data")


if __name__ == "__main__":
    sys.exit(main())
