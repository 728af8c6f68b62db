"""What the simulator knew after each step, in the words of the facts; and the check of the one against the other."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from quant_trading.tws_sim.history import HistoryAnswer, HistoryRequest, serve_history
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.tape import Contract, Tape
from tests.clients.runner import ACCOUNT, Fact, Run, text_of
from tests.clients.steps import Step

_TAPE: Tape = open_source("seed:7")


def _stock(symbol: str) -> Contract:
    return next(c for c in _TAPE.contracts() if c.symbol == symbol and c.currency == "USD")


def look(market: Simulator, step: Step) -> dict[str, Any]:
    """Return the books and the moment as they are after a step."""
    ledger = market.ledgers[ACCOUNT]
    return {
        "now": market.now_ns,
        "positions": {
            f"{ACCOUNT} {held.contract.local_symbol or held.contract.symbol}": [
                text_of(held.quantity),
                text_of(round(held.average_cost, 8)),
            ]
            for held in ledger.positions.values()
        },
        "pairs": [f"{ACCOUNT} {held.contract.local_symbol}" for held in ledger.positions.values() if held.is_virtual],
        "cash": f"{ledger.total_cash(market._exchange.rate):.2f}",
        "equity": f"{market.equity():.2f}",
        "orders": {order.terms.order_ref: [order.status.value, text_of(order.filled)] for order in market.orders},
    }


def _of(facts: list[Fact], kind: str) -> list[Fact]:
    return [fact for fact in facts if fact[0] == kind]


def _check_connected(step: Step, facts: list[Fact], truth: dict[str, Any], run: Run) -> None:
    assert facts[0] == ["connected", None, run.version, ACCOUNT]
    assert [fact[2] for fact in _of(facts, "error")] == [2104, 2106, 2158]


def _check_time(step: Step, facts: list[Fact], truth: dict[str, Any], run: Run) -> None:
    assert facts == [["time", None, str(truth["now"] // 1_000_000_000)]]


def _check_summary(step: Step, facts: list[Fact], truth: dict[str, Any], run: Run) -> None:
    values = {fact[3]: (fact[4], fact[5]) for fact in _of(facts, "summary")}
    assert set(values) == set(step["tags"].split(","))
    assert values["NetLiquidation"] == (truth["equity"], "USD")
    assert values["TotalCashValue"] == (truth["cash"], "USD")
    # An adapter that wants these tags wants them in one currency, or it refuses every fill.
    assert {currency for _, currency in values.values()} == {"USD"}
    assert facts[-1][0] == "end"


def _check_state(step: Step, facts: list[Fact], truth: dict[str, Any], run: Run) -> None:
    [[_, _, state]] = facts
    # A client keeps the row of a position that was closed.
    assert {k: v for k, v in state["positions"].items() if v[0] != "0"} == truth["positions"]
    # What is held of a currency pair is cash, and no line of the portfolio.
    holdings = {k: v for k, v in truth["positions"].items() if k not in truth["pairs"]}
    assert {k: [v[0], v[3]] for k, v in state["portfolio"].items() if v[0] != "0"} == holdings
    assert state["values"][f"{ACCOUNT} TotalCashValue USD"] == truth["cash"]
    assert state["values"][f"{ACCOUNT} NetLiquidation USD"] == truth["equity"]


def _check_details(step: Step, facts: list[Fact], truth: dict[str, Any], run: Run) -> None:
    words = step["contract"]
    if words["secType"] != "STK":
        assert {fact[0] for fact in facts} <= {"contract", "end", "error"}
        return
    wanted = [
        c for c in _TAPE.contracts() if c.symbol == words["symbol"] and words.get("currency") in (None, c.currency)
    ]
    if not wanted:
        assert [fact[2] for fact in facts] == [200]
        return
    rows = [fact[2] for fact in _of(facts, "contract")]
    assert sorted(int(row["conId"]) for row in rows) == sorted(c.con_id for c in wanted)
    assert {row["longName"] for row in rows} == {c.long_name for c in wanted}
    assert {row["minTick"] for row in rows} == {text_of(Decimal(str(c.min_tick))) for c in wanted}
    assert facts[-1] == ["end", step["name"], "contract"]


def _check_history(step: Step, facts: list[Fact], truth: dict[str, Any], run: Run) -> None:
    if step["contract"]["secType"] != "STK":
        assert facts[-1] == ["end", step["name"], "bar"]
        assert len(facts) > 1
        return
    if step["contract"]["symbol"] != "AAPL" or step["name"] == "bad size":
        assert [fact[0] for fact in facts] == ["error"]
        return
    asked = HistoryRequest(
        _stock("AAPL"), step["end"], step["duration"], step["size"], step["what"], step["rth"], 2, step["keep"]
    )
    answer = serve_history(_TAPE, asked, truth["now"])
    assert isinstance(answer, HistoryAnswer)
    rows = [
        [r.date, *[_shortest(x) for x in (r.open, r.high, r.low, r.close, r.volume, r.wap, r.count)]]
        for r in answer.rows
    ]  # fmt: skip
    assert [fact[2:] for fact in _of(facts, "bar")] == rows
    assert facts[-1] == ["end", step["name"], "bar"]


def _shortest(value: Any) -> str:
    return text_of(Decimal(str(value)))


def _check_snapshot(step: Step, facts: list[Fact], truth: dict[str, Any], run: Run) -> None:
    if step["contract"]["secType"] != "STK":
        assert facts[-1] == ["end", step["name"], "snapshot"]
        assert {1, 2} <= {fact[2] for fact in _of(facts, "price")}
        return
    quote = _TAPE.quote(_stock(step["contract"]["symbol"]), truth["now"])
    assert quote is not None and quote.bid is not None and quote.ask is not None
    prices = {fact[2]: fact[3] for fact in _of(facts, "price")}
    sizes = {fact[2]: fact[3] for fact in _of(facts, "size")}
    assert (prices[1], prices[2], prices[4]) == (text_of(quote.bid), text_of(quote.ask), _shortest(quote.last))
    assert (sizes[0], sizes[3], sizes[5]) == tuple(
        _shortest(x) for x in (quote.bid_size, quote.ask_size, quote.last_size)
    )
    assert facts[-1] == ["end", step["name"], "snapshot"]


def _check_order(step: Step, facts: list[Fact], truth: dict[str, Any], run: Run) -> None:
    told = [fact for fact in facts if fact[0] == "status"]
    for status in told[-1:]:
        assert [status[2], status[3]] == truth["orders"][status[1]]


def _check_executions(step: Step, facts: list[Fact], truth: dict[str, Any], run: Run) -> None:
    symbol, side = step["filter"].get("symbol"), step["filter"].get("side")
    wanted = [w for w in run.executions if symbol in (None, w[3]) and side in (None, "BUY" if w[4] else "SELL")]
    assert [[f[8], f[1], f[2], f[3], f[4]] for f in _of(facts, "fill")] == [
        [w[0], w[2], w[3], w[5], w[6]] for w in wanted
    ]
    assert [[f[1], f[2]] for f in _of(facts, "commission")] == [[w[2], w[7]] for w in wanted]
    assert facts[-1] == ["end", step["name"], "fill"]


def _check_completed(step: Step, facts: list[Fact], truth: dict[str, Any], run: Run) -> None:
    # In the order of their arrival; what was refused before it became an order is not among them.
    told = [[fact[1], fact[3]["status"], fact[3]["filledQuantity"]] for fact in _of(facts, "completed")]
    assert told == [[row[0], row[6], row[7]] for row in run.orders]
    assert facts[-1] == ["end", None, "completed"]


_CHECKS: dict[str, Callable[[Step, list[Fact], dict[str, Any], Run], None]] = {
    "connect": _check_connected,
    "time": _check_time,
    "summary": _check_summary,
    "state": _check_state,
    "details": _check_details,
    "history": _check_history,
    "snapshot": _check_snapshot,
    "place": _check_order,
    "cancel": _check_order,
    "executions": _check_executions,
    "completed": _check_completed,
}


def check_truth(run: Run) -> None:
    """Compare what the client saw at each step with what the simulator knew then."""
    for (step, facts), truth in zip(run.steps, run.truths, strict=True):
        check = _CHECKS.get(step["do"])
        if check is not None:
            check(step, facts, truth, run)
