"""Show that the risk rules refuse what they must, with the network switched off.

    python scripts/risk_smoke.py [--config configs/paper.yaml]

Prints one line per case with what was expected and what the rule said; exit code 0 when all agree, 1 when one does not,
2 when the settings cannot be read.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from quant_trading.domain.errors import ConfigError  # noqa: E402  # the package is found through ROOT
from quant_trading.domain.limits import Limits  # noqa: E402
from quant_trading.domain.orders import OrderIntent, Side  # noqa: E402
from quant_trading.risk.checks import RiskView, check_order, review_orders  # noqa: E402

EQUITY = Decimal(100_000_000)  # large, so that the rounding of whole shares is small beside every limit
PRICE = Decimal(100)
HELD = "HELD"


@dataclass(frozen=True, slots=True)
class Case:
    """One order and the rule that must refuse it.

    Attributes:
        name: what is shown.
        intent: the order.
        view: the account before it.
        rules: the rules of which one must refuse; empty when the order must pass.
    """

    name: str
    intent: OrderIntent
    view: RiskView
    rules: tuple[str, ...]


def main() -> int:
    """Run all cases and return the exit code."""
    parser = argparse.ArgumentParser(description="Exercise the risk rules without any network.")
    parser.add_argument("--config", default="configs/paper.yaml", help="settings with the limits (%(default)s)")
    options = parser.parse_args()
    from quant_trading.settings import load_settings  # slow to import, and --help needs none of it

    switch_network_off()
    try:
        limits = load_settings(Path(options.config), environ=os.environ, root=ROOT).limits
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"Limits: max_position_pct {limits.max_position_pct:g}, max_gross_exposure {limits.max_gross_exposure:g}; "
          f"equity {EQUITY}, price {PRICE}; network off")  # fmt: skip
    cases = [*single_orders(limits)]
    wrong = sum(not report(case, limits) for case in cases) + (not report_plan(limits))
    print(f"{len(cases) + 1 - wrong} of {len(cases) + 1} risk cases as expected")
    return 1 if wrong else 0


def switch_network_off() -> None:
    """Make every attempt to open a socket fail, so that this script proves it needs none."""

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith("socket."):
            raise ConnectionRefusedError(f"risk_smoke works without a network, {event} was tried")

    sys.addaudithook(refuse)


def buy(quantity: Decimal, price: Decimal = PRICE, side: Side = Side.BUY, symbol: str = HELD) -> OrderIntent:
    return OrderIntent(symbol, side, quantity, price, target_weight=0.0, signal_value=1.0)


def account(held: Decimal = Decimal(0), others: Decimal = Decimal(0), equity: Decimal = EQUITY) -> RiskView:
    """Return an account that holds `held` shares of HELD and `others` shares of OTHER."""
    return RiskView(equity, {HELD: held, "OTHER": others}, {HELD: PRICE, "OTHER": PRICE})


def single_orders(limits: Limits) -> Iterator[Case]:
    """Yield one case per rule and side of its limit; every figure follows from `limits`."""
    cap = shares(min(limits.max_position_pct, limits.max_gross_exposure))
    room = shares(limits.max_gross_exposure)
    one = Decimal(1)
    gross, form = ("max_gross_exposure",), ("order_form",)
    # With a position limit above the gross exposure the latter may speak first.
    position = ("max_position",) if limits.max_position_pct <= limits.max_gross_exposure else ("max_position", *gross)
    yield Case("a position at its limit passes", buy(cap), account(), ())
    yield Case("one share above the position limit", buy(shares(limits.max_position_pct) + one), account(), position)
    yield Case("a short position above the limit", buy(cap + one, side=Side.SELL), account(), position)
    yield Case("above the limit together with what is held", buy(one), account(held=cap), position)
    yield Case("20 written for 20 %: 100 times the position", buy(cap * 100), account(), position)
    yield Case("the last room of the gross exposure passes", buy(cap), account(others=room - cap), ())
    yield Case("above the gross exposure", buy(cap), account(others=room - cap + 2), gross)
    yield Case("a position beyond its limit may be reduced", buy(cap, side=Side.SELL), account(held=cap * 3), ())
    yield Case("but not turned into a larger one on the other side", buy(cap * 7, side=Side.SELL),
               account(held=cap * 3), position)  # fmt: skip
    for wrong in ("0", "-5", "0.5", "NaN", "Infinity", "1E+12"):
        yield Case(f"quantity {wrong}", buy(Decimal(wrong)), account(), form)
    for wrong in ("0", "-1", "NaN", "1.797E+308"):
        yield Case(f"price {wrong}", buy(one, Decimal(wrong)), account(), form)
    yield Case("equity is not a number", buy(one), account(equity=Decimal("NaN")), form)
    yield Case("no equity, no new position", buy(one), account(equity=Decimal(0)), ("max_position",))


def shares(share_of_equity: float) -> Decimal:
    """Return the whole shares that do not exceed a share of equity."""
    return (EQUITY * Decimal(str(share_of_equity)) / PRICE).to_integral_value(rounding=ROUND_DOWN)


def report(case: Case, limits: Limits) -> bool:
    denied = check_order(case.intent, case.view, limits)
    said = f"denied by {denied.rule}" if denied else "allowed"
    expected = f"denied by {' or '.join(case.rules)}" if case.rules else "allowed"
    agrees = denied.rule in case.rules if denied else not case.rules
    print(f"{'ok   ' if agrees else 'WRONG'} {case.name}: {said}" + ("" if agrees else f", expected {expected}"))
    if denied:
        print(f"        {denied.reason}")
    return agrees


def report_plan(limits: Limits) -> bool:
    """Show that a whole plan is judged as if its earlier orders were filled."""
    cap = shares(min(limits.max_position_pct, limits.max_gross_exposure))
    count = int(shares(limits.max_gross_exposure) // cap) + 1
    intents = [buy(cap, symbol=f"S{number}") for number in range(count)]
    reviewed = review_orders(intents, account(), limits)
    rules = [denied.rule if denied else None for _, denied in reviewed]
    spare = shares(limits.max_gross_exposure) - cap * (count - 1)
    agrees = rules == [None] * (count - 1) + ["max_gross_exposure"] and spare < cap
    print(f"{'ok   ' if agrees else 'WRONG'} a plan of {count} positions of {cap} shares: "
          f"{rules.count(None)} allowed, the last denied by {rules[-1]}")  # fmt: skip
    return agrees


if __name__ == "__main__":
    sys.exit(main())
