"""The account guard: the whole table of mode, port and account."""

import itertools

import pytest

from quant_trading.core.account_guard import check_account
from quant_trading.domain.errors import AccountRefused

PORTS = {"paper": (7497, 4002), "live": (7496, 4001), "own": (5000,)}
LOGINS = {"paper": ("DU1",), "advisor paper": ("DF1",), "live": ("U1",), "none": (), "mixed": ("DU1", "U1")}


def _cells() -> list[tuple[str, int, str, bool, bool, bool]]:
    ports = [port for group in PORTS.values() for port in group]
    return list(itertools.product(("paper", "live"), ports, LOGINS, (False, True), (False, True), (False, True)))


def _expected(mode: str, port: int, login: str, listed: bool, confirmed: bool, mismatch: bool) -> bool:
    """The rules, written the other way round: which cells are let in."""
    if login in ("none", "mixed"):  # no account, or several without one being named
        return False
    if mode == "paper":
        return login != "live" and (mismatch or port not in PORTS["live"])
    return login == "live" and listed and confirmed and (mismatch or port not in PORTS["paper"])


@pytest.mark.parametrize(("mode", "port", "login", "listed", "confirmed", "mismatch"), _cells())
def test_table(mode: str, port: int, login: str, listed: bool, confirmed: bool, mismatch: bool) -> None:
    def check() -> str:
        return check_account(
            mode, port, LOGINS[login], live_accounts=["U1"] if listed else [], live_confirmed=confirmed,
            allow_port_mismatch=mismatch,
        )  # fmt: skip

    if _expected(mode, port, login, listed, confirmed, mismatch):
        assert check() == LOGINS[login][0]
    else:
        with pytest.raises(AccountRefused) as refused:
            check()
        assert "\n" not in str(refused.value)


def test_the_expected_account_is_chosen_among_several() -> None:
    assert check_account("paper", 7497, ["DU1", "DU2"], expected_account="DU2") == "DU2"


def test_an_expected_account_that_is_not_managed_is_refused_by_name() -> None:
    with pytest.raises(AccountRefused, match=r"DU9 is not managed.*DU1, DU2"):
        check_account("paper", 7497, ["DU1", "DU2"], expected_account="DU9")


def test_paper_is_refused_when_any_account_of_the_login_is_live() -> None:
    with pytest.raises(AccountRefused, match="U7"):
        check_account("paper", 7497, ["DU1", "U7"], expected_account="DU1")


def test_live_names_the_account_that_is_not_allowed() -> None:
    with pytest.raises(AccountRefused, match=r"U1 is not in live_accounts \(U2\)"):
        check_account("live", 7496, ["U1"], live_accounts=["U2"], live_confirmed=True)


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(AccountRefused, match="'demo'"):
        check_account("demo", 7497, ["DU1"])
