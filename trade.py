"""The desk's command line; `python trade.py --help` tells the rest."""

from quant_trading.cli import main
from quant_trading.process import run_command

if __name__ == "__main__":
    raise SystemExit(run_command(main))
