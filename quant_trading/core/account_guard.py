"""Which account a session may use, and whether it may be used at all."""

from collections.abc import Collection, Sequence

from quant_trading.core.diagnose_table import cure_of
from quant_trading.domain.errors import AccountRefused

__all__ = ["LIVE_PORTS", "PAPER_PORTS", "check_account", "is_paper_account"]

# The ports TWS and IB Gateway suggest. They are habits, not facts: a person can set any port, so
# the mode is read from the account, and the port only has to not contradict it.
PAPER_PORTS = (7497, 4002)
LIVE_PORTS = (7496, 4001)


def is_paper_account(account: str) -> bool:
    """Return True when `account` is a paper account: IBKR's paper ids start with D (DU, DF)."""
    return account.startswith("D")


def check_account(
    mode: str,
    port: int,
    managed_accounts: Sequence[str],
    *,
    expected_account: str | None = None,
    live_accounts: Collection[str] = (),
    live_confirmed: bool = False,
    allow_port_mismatch: bool = False,
) -> str:
    """Return the one account this session uses.

    Two more conditions for live trading stand above this function and are the desk's: the arm token
    and the paper certification of the same configuration. They come on top; passing here is not
    enough to send a live order.

    Args:
        mode: "paper" or "live", as the user asked.
        port: the port that was connected to.
        managed_accounts: what TWS said this login manages.
        expected_account: the account from the settings; needed when several are managed.
        live_accounts: the accounts the configuration allows for live trading.
        live_confirmed: the user said --live.
        allow_port_mismatch: the configuration allows a port that looks like the other mode.

    Raises:
        AccountRefused: when any rule is broken; nothing may be sent then.
    """
    if mode not in ("paper", "live"):
        raise AccountRefused(f"mode: received {mode!r}, expected 'paper' or 'live'; pass --mode paper")
    account = _pick(managed_accounts, expected_account)
    if mode == "paper":
        _check_paper(managed_accounts)
    else:
        _check_live(account, live_accounts, live_confirmed)
    _check_port(mode, port, account, allow_port_mismatch)
    return account


def _pick(managed: Sequence[str], expected: str | None) -> str:
    named = ", ".join(managed) or "none"
    if not managed:
        raise AccountRefused("TWS named no account for this login; log in to TWS again and connect then")
    if expected:
        if expected not in managed:
            raise AccountRefused(
                f"account {expected} is not managed by this login (TWS named {named}); {cure_of('account-not-managed')}"
            )
        return expected
    if len(managed) > 1:
        raise AccountRefused(f"this login manages several accounts ({named}); {cure_of('account-several')}")
    return managed[0]


def _check_paper(managed: Sequence[str]) -> None:
    live = [account for account in managed if not is_paper_account(account)]
    if live:
        raise AccountRefused(
            f"mode paper, but TWS is logged in to {', '.join(live)}, which is no paper account (their ids start "
            f"with D); {cure_of('account-live')}"
        )


def _check_live(account: str, allowed: Collection[str], confirmed: bool) -> None:
    if is_paper_account(account):
        raise AccountRefused(
            f"mode live, but TWS is logged in to the paper account {account}; {cure_of('account-paper')}"
        )
    if account not in allowed:
        raise AccountRefused(
            f"mode live, but account {account} is not in live_accounts ({', '.join(sorted(allowed)) or 'empty'}); "
            f"add it to the configuration if it is meant"
        )
    if not confirmed:
        raise AccountRefused(f"mode live on account {account} places real orders; confirm it with --live")


def _check_port(mode: str, port: int, account: str, allowed: bool) -> None:
    other = LIVE_PORTS if mode == "paper" else PAPER_PORTS
    if port in other and not allowed:
        usual = PAPER_PORTS if mode == "paper" else LIVE_PORTS
        raise AccountRefused(
            f"mode {mode} on port {port}, which is the usual port of the other mode (account {account}); "
            f"{cure_of('port-of-other-mode', usual=usual[0], gateway=usual[1])}"
        )
