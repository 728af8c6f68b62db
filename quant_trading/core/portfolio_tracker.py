"""Show cash, positions and their value: `python -m quant_trading.core.portfolio_tracker`.

Read-only: the session refuses to send any message that could touch an order. `--watch` shows the portfolio again
whenever it has changed, `--json` writes it for programs (docs/market-data.md).

Exit codes: 0 shown, also a watch that Ctrl-C or SIGTERM ended, 2 wrong arguments or settings, 3 no connection, 4 the
account is not one of this login, 130 interrupted before anything was shown.
"""

import asyncio
import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from quant_trading.core.connect_options import Endpoint, add_connect_options, endpoint_of
from quant_trading.core.interrupts import sigterm_as_ctrl_c
from quant_trading.core.portfolio_view import AccountView, as_json, summary_lines
from quant_trading.domain.errors import AccountRefused, ConnectionFailed, ConnectionLost, DeskError, UsageError

if TYPE_CHECKING:
    from quant_trading.core.ibkr_connection import IBKRConnection
    from quant_trading.refdata.restart_windows import RestartSchedule

__all__ = ["PortfolioReader", "main"]

_LOOK_SECONDS = 1.0  # how often a watch compares: TWS sends an account at most once a second
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0
Say = Callable[[str], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Show the portfolio as `argv` asks and return the exit code; errors go to stderr."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.CRITICAL)  # the error printed below says it all, once
    try:
        with sigterm_as_ctrl_c():
            _run(options)
    except DeskError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:  # or SIGTERM: the usual end of a watch
        return 0 if options.watch else 130
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="portfolio_tracker", description="Show cash, positions and their value; sends no order."
    )
    add_connect_options(parser, "portfolio_tracker")
    add = parser.add_argument
    add("--all-accounts", action="store_true", help="every account of the login, one after the other")
    add("--watch", action="store_true", help="show it again whenever it has changed, until Ctrl-C")
    add("--times", type=int, metavar="N", help="end the watch after N showings")
    add("--json", action="store_true", help="write JSON; with --watch one object on each line")
    return parser


def _run(options: Namespace) -> None:
    _check(options)
    endpoint = endpoint_of(options)
    reader = PortfolioReader(endpoint, every_account=options.all_accounts)
    if options.watch:
        _watch(reader, options, endpoint.schedule)
        return
    try:
        reader.open()
        _say(_text_of(reader, options, *reader.read()))
    finally:
        reader.close()


def _check(options: Namespace) -> None:
    if options.all_accounts and options.account:
        raise UsageError("--account and --all-accounts are both given; write one of them")
    if options.times is not None and (options.times < 1 or not options.watch):
        raise UsageError(f"--times {options.times}: expected 1 or more, together with --watch")


class PortfolioReader:
    """Reads accounts over one session that cannot order.

    Args:
        endpoint: where to connect; its account may be empty when the login has only one.
        every_account: read all accounts of the login.
        loop: see `IBKRConnection`.
    """

    def __init__(
        self, endpoint: Endpoint, *, every_account: bool = False, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        from quant_trading.core.ibkr_connection import READ_FETCHES, IBKRConnection

        class _Connection(IBKRConnection):
            def choose_account(self, accounts: Sequence[str]) -> str:
                return _chosen(accounts, endpoint.account, every_account)

        self._every_account = every_account
        self._connection: IBKRConnection = _Connection(
            endpoint.client_id, endpoint.host, endpoint.port, endpoint.timeout_seconds, loop,
            account=endpoint.account, fetch=READ_FETCHES, read_only=True, environ={},
        )  # fmt: skip

    @property
    def connection(self) -> "IBKRConnection":
        """Return the session."""
        return self._connection

    @property
    def accounts(self) -> tuple[str, ...]:
        """Return the accounts that are read."""
        return self._connection.accounts if self._every_account else (self._connection.account,)

    @property
    def has_others(self) -> bool:
        """Return True when the login has several accounts, so that each must be named."""
        return len(self._connection.accounts) > 1

    def open(self) -> None:
        """Open the session; raises as `IBKRConnection.open`."""
        self._connection.open()

    def close(self) -> None:
        """End the session; safe to call twice."""
        self._connection.disconnect_from_tws()

    def wait(self, seconds: float) -> None:
        """Let news come in.

        Raises:
            ConnectionLost: when the session is or gets broken.
        """
        self._connection.wait(seconds)

    def pause(self, seconds: float) -> None:
        """Wait without a session."""
        self._connection.call(asyncio.sleep(seconds))

    def read(self) -> tuple[list[AccountView], str]:
        """Return the accounts as TWS sees them now, and TWS's own time, ISO 8601 UTC.

        TWS keeps one account subscribed; with several, each is subscribed in turn and sent in full.

        Raises:
            ConnectionLost: when TWS does not answer.
        """
        return self._connection.call(self._read())

    async def _read(self) -> tuple[list[AccountView], str]:
        from quant_trading.core.portfolio_view import account_view

        connection = self._connection
        ib, accounts = connection.ib, self.accounts
        for account in accounts if len(accounts) > 1 else ():
            # What is not sent again must not be taken for news: a closed position is simply left out.
            ib.wrapper.portfolio[account].clear()
            await connection.ask(partial(connection.fetch, ["account updates"], account), "account updates")
        now = await connection.ask(ib.reqCurrentTimeAsync, "the current time")
        values, positions = tuple(ib.wrapper.accountValues.values()), ib.positions()
        views = [account_view(name, values, positions, ib.wrapper.portfolio[name].values()) for name in accounts]
        return views, f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _chosen(accounts: Sequence[str], wanted: str, every_account: bool) -> str:
    """Return the account to subscribe to first.

    Raises:
        AccountRefused: when the wanted one is not there, or several are and none is wanted.
    """
    named = ", ".join(accounts)
    if every_account:
        return accounts[0]
    if wanted and wanted not in accounts:
        raise AccountRefused(f"account {wanted} is not managed by this login ({named}); name one of these")
    if not wanted and len(accounts) > 1:
        raise AccountRefused(f"this login has several accounts ({named}); name one with --account, or --all-accounts")
    return wanted or accounts[0]


def _text_of(reader: PortfolioReader, options: Namespace, views: Sequence[AccountView], time: str) -> str:
    if options.json:
        return as_json(views, time, indent=None if options.watch else 2)
    return "\n".join("\n".join(summary_lines(view, is_named=reader.has_others)) for view in views)


def _watch(reader: PortfolioReader, options: Namespace, schedule: "RestartSchedule") -> None:
    """Show the portfolio whenever it differs from what was shown; a broken session is opened again and again."""
    shown: list[AccountView] | None = None
    count, pause, was_open = 0, _FIRST_PAUSE_SECONDS, False
    try:
        while True:
            try:
                reader.open()
                was_open, pause = True, _FIRST_PAUSE_SECONDS
                views, time = reader.read()
                if views != shown:
                    _show(_text_of(reader, options, views, time), options)
                    shown, count = views, count + 1
                    if count == options.times:
                        return
                reader.wait(_LOOK_SECONDS)
            except (ConnectionLost, ConnectionFailed) as error:
                if not was_open:  # a wrong port is no outage
                    raise
                first_line = str(error).partition("\n")[0]
                planned = _planned(schedule)
                print(f"no connection{planned}, trying again in {pause:g} s: {first_line}", file=sys.stderr, flush=True)
                reader.close()
                reader.pause(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    finally:
        reader.close()


def _planned(schedule: "RestartSchedule") -> str:
    """Return the remark that TWS is away by plan, empty when it should be there."""
    from quant_trading.refdata.sessions import EXCHANGE_ZONE
    from quant_trading.settings.system_clock import SystemClock

    until_ns = schedule.away_until(round(SystemClock().now().timestamp()) * 1_000_000_000)
    if until_ns is None:
        return ""
    until = datetime.fromtimestamp(until_ns // 1_000_000_000, EXCHANGE_ZONE)
    return f" (by plan until {until:%a %H:%M} New York)"


def _show(text: str, options: Namespace) -> None:
    if sys.stdout.isatty() and not options.json:
        from rich.console import Console

        Console().clear()
    _say(text)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
