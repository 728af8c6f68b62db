"""Run by the Python of an environment that has ib_insync: trade on a simulated TWS, print what was seen as JSON.

Usage: python ib_insync_scenario.py PORT
"""

import json
import logging
import sys

import ib_insync
from ib_insync import IB, LimitOrder, MarketOrder, Stock

SECONDS = 15


class Errors(logging.Handler):
    """Keeps what the library logs as an error: it does so for messages it cannot read, and goes on."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def wait_until(ib, claim, what):
    """Let the library work until `claim()` holds."""
    for _ in range(SECONDS * 20):
        if claim():
            return
        ib.waitOnUpdate(timeout=0.05)
    raise TimeoutError(what)


def has_reports(trade):
    return trade.isDone() and trade.fills and all(fill.commissionReport.execId for fill in trade.fills)


def main(port):
    errors = Errors()
    logging.getLogger("ib_insync").addHandler(errors)
    ib = IB()
    ib.RequestTimeout = SECONDS
    ib.connect("127.0.0.1", port, clientId=11, timeout=SECONDS)
    stock = Stock("AAPL", "SMART", "USD")
    ib.qualifyContracts(stock)
    positions_before = [[p.contract.symbol, p.position, p.avgCost] for p in ib.positions()]
    bars = ib.reqHistoricalData(stock, "", "1 M", "1 day", "TRADES", True)
    bought = ib.placeOrder(stock, MarketOrder("BUY", 100, orderRef="buy"))
    wait_until(ib, lambda: has_reports(bought), "the fill of the market order")
    rested = ib.placeOrder(stock, LimitOrder("BUY", 10, round(bars[-1].close / 2, 2), orderRef="rest"))
    wait_until(ib, lambda: rested.orderStatus.status == "Submitted", "the limit order to work")
    ib.cancelOrder(rested.order)
    wait_until(ib, rested.isDone, "the cancellation")
    wait_until(ib, lambda: any(p.contract.symbol == "AAPL" for p in ib.positions()), "the position")
    [fill] = bought.fills
    summary = {v.tag: v.value for v in ib.accountSummary()}
    seen = {
        "library": ib_insync.__version__,
        "version": ib.client.serverVersion(),
        "accounts": ib.managedAccounts(),
        "positions_before": positions_before,
        "bars": [[str(bar.date), bar.open, bar.high, bar.low, bar.close, bar.volume] for bar in bars],
        "fill": [fill.execution.shares, fill.execution.price, fill.execution.execId],
        "commission": [fill.commissionReport.execId, fill.commissionReport.commission, fill.commissionReport.currency],
        "order_ref": fill.execution.orderRef,
        "cancelled": rested.orderStatus.status,
        "positions": sorted([p.contract.symbol, p.position, p.avgCost] for p in ib.positions()),
        "cash": summary["TotalCashValue"],
        "net_liquidation": summary["NetLiquidation"],
        "time": ib.reqCurrentTime().timestamp(),
        # The library words every TWS message as an error; 202 is the cancellation that was asked for.
        "errors": [text for text in errors.texts if "Error 202" not in text],
    }
    ib.disconnect()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(int(sys.argv[1]))
