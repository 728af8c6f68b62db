"""What adapters of trading systems insist on before they register an account: four tags, each in one currency.

Such an adapter asks for every tag of the summary at once and sets up the account when it has these four in the
same currency; without it, it refuses every fill (measured with a full trading node). No such system is needed
to hold the simulator to it.
"""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from quant_trading.tws_sim.simulator import Simulator
from tests.clients.runner import simulator
from tests.tws_sim.raw_client import RawClient

INSISTED = {"NetLiquidation", "FullAvailableFunds", "FullInitMarginReq", "FullMaintMarginReq"}
# The tags of the official client's AccountSummaryTags, as one request.
ALL_TAGS = (
    "AccountType,NetLiquidation,TotalCashValue,SettledCash,AccruedCash,BuyingPower,EquityWithLoanValue,"
    "PreviousEquityWithLoanValue,GrossPositionValue,ReqTEquity,ReqTMargin,SMA,InitMarginReq,MaintMarginReq,"
    "AvailableFunds,ExcessLiquidity,Cushion,FullInitMarginReq,FullMaintMarginReq,FullAvailableFunds,"
    "FullExcessLiquidity,LookAheadNextChange,LookAheadInitMarginReq,LookAheadMaintMarginReq,"
    "LookAheadAvailableFunds,LookAheadExcessLiquidity,HighestSeverity,DayTradesRemaining,Leverage"
)


def currencies(market: Simulator, version: int) -> dict[str, dict[str, set[str]]]:
    """Return the currencies of each tag of each account, as the summary words them."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    answer = RawClient(market, version=version).ask("reqAccountSummary", reqId=7, group="All", tags=ALL_TAGS)
    assert answer[-1].name == "accountSummaryEnd"
    for row in answer[:-1]:
        values: dict[str, Any] = row.values
        assert values["tag"] == "AccountType" or Decimal(values["value"]).is_finite()
        found[values["account"]][values["tag"]].add(values["currency"])
    return found


@pytest.mark.parametrize("version", [157, 178])
@pytest.mark.parametrize("accounts", [("DU1234567",), ("DU1234567", "DU7654321")])
def test_every_account_has_the_four_tags_in_one_currency(version: int, accounts: tuple[str, ...]) -> None:
    found = currencies(simulator(version, accounts=accounts), version)

    assert set(found) == set(accounts)
    for tags in found.values():
        assert set(tags) >= INSISTED
        [currency] = set.union(*(tags[tag] for tag in INSISTED))
        assert currency == "USD"
