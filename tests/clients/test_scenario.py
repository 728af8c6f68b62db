"""One scenario, every client, every version it can negotiate: the same books at the end, the same things seen."""

import copy
from functools import cache
from typing import Any

import pytest

from quant_trading.tws_sim.config import MAX_SERVER_VERSION
from tests.clients.runner import CLIENTS, Client, Fact, Run, perform
from tests.clients.steps import STEPS
from tests.clients.truth import check_truth, look

pytestmark = pytest.mark.clients

LOWEST = 157
# Versions at which a message the scenario uses changes its form, and the last ones before big changes. 158 is
# never negotiated: clients disagree about one field of it.
GATES = (
    159, 160, 162, 163, 164, 166, 169, 170, 176, 177, 178, 182, 183, 186, 187, 189, 192, 193, 194, 195, 196, 197, 198,
    199, 200, 201, 203, 204, 205, 206, 207, 208, 210, 212, 213, 214, 218, 220, 222, 225,
)  # fmt: skip
# Fields that appear with a version; what a client makes of their absence is its own affair.
GATED = {"minSize": 164, "sizeIncrement": 164, "suggestedSizeIncrement": 164}
# What the official clients refuse to ask of an older server; others ask and are answered all the same.
ASKED_SINCE = {"schedule": 165}


def versions_of(client: Client) -> list[int]:
    """Return the versions to run: the lowest, the highest and the gates between."""
    highest = min(client.highest, MAX_SERVER_VERSION)
    return sorted({LOWEST, highest, *(gate for gate in GATES if gate < highest)})


def cases() -> list[Any]:
    """Return every (client, version)."""
    pairs = [(client, version) for client in CLIENTS.values() for version in versions_of(client)]
    return [pytest.param(*pair, marks=pytest.mark.slow, id=f"{pair[0].name}-{pair[1]}") for pair in pairs]


@cache
def reference() -> Run:
    """Return the run all others are compared with."""
    return perform(CLIENTS["ib_async"], 178, STEPS, look)


def seen(run: Run, client: Client, version: int) -> list[tuple[str, list[Fact]]]:
    """Return what was seen at each step, as far as a server of `version` tells it and `client` hears it."""
    steps = []
    for step, facts in run.steps:
        kept = [copy.deepcopy(fact) for fact in facts if fact[0] not in client.deaf_to]
        if version < ASKED_SINCE.get(step["do"], 0):
            kept.clear()
        for fact in kept:
            if fact[0] == "contract":
                for name in [name for name, since in GATED.items() if version < since]:
                    fact[2].pop(name, None)
            if fact[0] == "connected":
                fact[2] = "the version"
        steps.append((f"{step['do']} {step.get('name', '')}", kept))
    return steps


@pytest.mark.parametrize(("client", "version"), cases())
def test_every_client_sees_the_truth_and_leaves_the_same_books(client: Client, version: int) -> None:
    run = perform(client, version, STEPS, look)

    assert run.log == []
    check_truth(run)
    expected = reference()
    assert run.executions == expected.executions
    assert run.orders == expected.orders
    assert run.ledger == expected.ledger
    for mine, theirs in zip(seen(run, client, version), seen(expected, client, version), strict=True):
        assert mine == theirs


@pytest.mark.slow
def test_the_scenario_is_worth_the_name() -> None:
    """Hold what the scenario has to contain, so that a shorter one cannot pass for it."""
    run = reference()

    kinds = {fact[0] for _, facts in run.steps for fact in facts}
    assert kinds >= {
        "contract", "samples", "rule", "chain", "head", "bar", "bar update", "schedule", "past ticks", "price", "size",
        "last", "bid ask", "midpoint", "5 s bar", "depth", "summary", "pnl", "state", "order", "status", "fill",
        "commission", "completed", "connected", "time", "error",
    }  # fmt: skip
    assert {row[5] for row in run.orders} >= {"MKT", "LMT", "STP", "STP LMT", "TRAIL", "MIT", "MOC"}
    assert {row[6] for row in run.orders} >= {"Filled", "Cancelled", "Inactive"}
    [large] = [row for row in run.orders if row[0] == "large"]
    assert 0 < int(large[7]) < int(large[4]), "no order was filled in part"
    # A limit far above the market is not what its shares cost.
    assert all(float(row[6]) < 180 for row in run.executions if row[2] == "large")
    codes = {fact[2] for _, facts in run.steps for fact in facts if fact[0] == "error"}
    assert {110, 162, 200, 201, 202, 321, 10148} <= codes
    assert len(run.executions) >= 5
