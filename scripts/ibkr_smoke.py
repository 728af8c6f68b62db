#!/usr/bin/env python3
"""Look whether the API of a running TWS can be used; sends no order.

    python scripts/ibkr_smoke.py
    python scripts/ibkr_smoke.py --port 4002 --client-id 31

Where to connect is read as by trade.py: command line > environment > .env > configs/paper.yaml.
Exit code: 0 all well, 3 no connection, 4 account refused, 6 no bars, 2 wrong arguments or settings.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from quant_trading.core.ibkr_account import IBKRAccount
    from quant_trading.settings import Settings

_SYMBOL = "SPY"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks, print one line for each, and return the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.CRITICAL)  # the error printed below says it all, once
    # Imported here: --help must not wait for the client library.
    from quant_trading.core.client_ids import CLIENT_IDS
    from quant_trading.core.ibkr_account import IBKRAccount
    from quant_trading.domain.errors import DeskError

    try:
        settings = _settings(options)
        ibkr = settings.ibkr
        account = IBKRAccount(
            options.mode,
            client_id=CLIENT_IDS["smoke"] if ibkr.client_id is None else ibkr.client_id,
            host=ibkr.host,
            port=settings.port(options.mode),
            expected_account=ibkr.account,
            # Whoever names a live account may look at it: this session cannot send an order.
            live_accounts=(*ibkr.live_accounts, *filter(None, [ibkr.account])),
            allow_port_mismatch=ibkr.allow_port_mismatch,
            timeout_seconds=ibkr.connect_timeout_seconds,
        )
        with account:
            _check(account, print)
    except DeskError as error:
        print(f"FAILED: {error}")
        return error.exit_code
    print("OK: the API can be used. No order was sent.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Check the connection to TWS or IB Gateway; sends no order.")
    add = parser.add_argument
    add("--config", metavar="FILE", default="configs/paper.yaml", help="settings (default: %(default)s)")
    add("--host", help="default: IBKR_HOST, else ibkr.host of the settings")
    add("--port", help="default: IBKR_PAPER_PORT (live: IBKR_LIVE_PORT), else ibkr.port of the settings")
    add("--client-id", help="default: IBKR_CLIENT_ID, else ibkr.client_id of the settings, else 14")
    add("--account", help="needed when the login manages several, and for --mode live; default: IBKR_ACCOUNT")
    add("--mode", choices=("paper", "live"), default="paper", help="default: paper")
    return parser


def _settings(options: argparse.Namespace) -> "Settings":
    from quant_trading.settings import load_settings
    from quant_trading.settings.home import home

    given = {
        "ibkr.host": options.host,
        "ibkr.live_port" if options.mode == "live" else "ibkr.port": options.port,
        "ibkr.client_id": options.client_id,
        "ibkr.account": options.account,
    }
    root, config = home(os.environ), Path(options.config)
    config = config.absolute() if config.is_file() else root / config
    return load_settings(config, overrides=given, environ=os.environ, root=root)


def _check(account: "IBKRAccount", say: Callable[[str], None]) -> None:
    say(f"Connected      server version {account.server_version}")
    say(f"Account        {account.account} ({account.mode})")
    say(f"TWS time       {account.now():%Y-%m-%d %H:%M:%S} UTC")
    portfolio = account.portfolio()
    say(f"Equity         {portfolio.equity:,.2f} {portfolio.currency}")
    say(f"Positions      {len(portfolio.positions)}")
    panel = account.bars([_SYMBOL], "1 day", "5 D")
    say(f"History        {len(panel)} daily bars of {_SYMBOL}, last close {panel.close[-1, 0]:,.2f}")


if __name__ == "__main__":
    sys.exit(main())
