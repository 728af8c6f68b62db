"""Arguments -> one use case -> exit code. Nothing heavy is imported before the arguments are understood."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

__all__ = ["main"]

_EPILOG = """\
examples:
  backtest over IBKR bars:   trade.py --run backtest --mode paper --ibkr --config configs/paper.yaml \\
                               --duration "1 Y" --bar-size "1 day" --cost-bps 5
  see what it would trade:   trade.py --run live --mode paper --ibkr --dry-run
  paper trading, once a day: trade.py --run live --mode paper --ibkr

exit codes: 0 done, 1 some orders failed or are in doubt, 2 wrong use or configuration, 3 no connection,
4 account refused, 5 the desk will not trade now, 6 data missing, 20 journal unusable, 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the desk as `argv` says and return the exit code; errors are one line on stderr."""
    options = _parser().parse_args(argv)
    from quant_trading.domain.errors import DeskError

    # A scheduler or a closed terminal ends a run like Ctrl-C does: in order, with its exit code.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        from quant_trading.app import run

        return run(options, environ=os.environ, say=_say)
    except DeskError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: orders already sent keep their fate at the broker; look in TWS", file=sys.stderr)
        return 130


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trade.py",
        description="Trading desk on Interactive Brokers: rebalance, backtest, or the daily live run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    # fmt: off
    add("--run", choices=("trade", "backtest", "live"), default="trade",
        help="trade: one rebalance to the STATIC weights (default); backtest: simulate on history; "
             "live: the daily strategy run")
    add("--mode", choices=("paper", "live"), default="paper", help="which kind of account (default: paper)")
    add("--ibkr", action="store_true", help="use TWS for bars and orders; without it bars come from local files")
    add("--config", metavar="FILE", default="configs/paper.yaml", help="settings (default: %(default)s)")
    add("--duration", metavar="D", help='history of a backtest, such as "1 Y", "6 M", "30 D"')
    add("--bar-size", metavar="B", help='bars of a backtest, such as "1 day", "1 hour"')
    add("--cost-bps", metavar="X", help="cost in basis points of traded value")
    add("--out", metavar="FILE", help="CSV of a backtest (default: outputs/backtest_<timestamp>.csv)")
    add("--dry-run", action="store_true", help="compute and log everything, send nothing")
    more = parser.add_argument_group("strategy and simulation")
    more.add_argument("--strategy", metavar="NAME", help="another strategy than the configured one")
    more.add_argument("--param", metavar="NAME=VALUE", action="append", default=[],
                      help="a parameter of the strategy; may be repeated")
    more.add_argument("--symbols", metavar="A,B", help="another universe than the configured one")
    more.add_argument("--fill", choices=("next_open", "same_close", "next_close"), help="fill convention of a backtest")
    more.add_argument("--accounting", choices=("shares", "weights"), help="accounting of a backtest")
    more.add_argument("--capital", metavar="X", help="initial capital of a backtest")
    more.add_argument("--start", metavar="YYYY-MM-DD", help="first session of a backtest within its history")
    more.add_argument("--data-dir", metavar="DIR", help="local bars (default: market_data)")
    more.add_argument("--save-bars", metavar="DIR", help="also write the bars of a backtest to DIR as CSV")
    link = parser.add_argument_group("connection and safety")
    link.add_argument("--host", help="machine of TWS")
    link.add_argument("--port", help="socket of TWS")
    link.add_argument("--client-id", help="our number at TWS")
    link.add_argument("--account", help="the account that must answer")
    link.add_argument("--live", action="store_true", help="confirm that real orders may be placed (--mode live only)")
    link.add_argument("--slot", type=int, default=1, metavar="N",
                      help="a further rebalance of the same session on purpose (default: 1)")
    link.add_argument("--verbose", action="store_true", help="show the log on the console")
    # fmt: on
    return parser
