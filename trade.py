"""The desk's command line; `python trade.py --help` tells the rest."""

from quant_trading.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
