#!/usr/bin/env python3
"""Look whether the API of a running TWS can be used; sends no order.

    python scripts/ibkr_smoke.py
    python scripts/ibkr_smoke.py --port 4002 --client-id 31

Exit code: 0 all well, 3 no connection, 4 account refused, 6 no bars, 2 wrong arguments.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from quant_trading.core.ibkr_account import IBKRAccount

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
        account = IBKRAccount(
            options.mode,
            client_id=CLIENT_IDS["smoke"] if options.client_id is None else options.client_id,
            host=options.host,
            port=options.port,
            expected_account=options.account,
            live_accounts=(options.account,) if options.account else (),
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
    parser.add_argument("--host", help="default: IBKR_HOST, else 127.0.0.1")
    parser.add_argument("--port", type=int, help="default: IBKR_PAPER_PORT, else 7497")
    parser.add_argument("--client-id", type=int, help="default: 14")
    parser.add_argument("--account", help="needed when the login manages several, and for --mode live")
    parser.add_argument("--mode", choices=("paper", "live"), default="paper", help="default: paper")
    return parser


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
