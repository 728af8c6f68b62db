"""Run by the Python of an environment that has ibapi 9.81: trade on a simulated TWS, print what was seen as JSON.

Usage: python ibapi_scenario.py PORT
"""

# The callbacks have the names and arguments of the library.
# ruff: noqa: N802, N803

import json
import sys
import threading

from ibapi.client import EClient
from ibapi.contract import Contract
from ibapi.order import Order
from ibapi.wrapper import EWrapper

SECONDS = 15
FARM_MESSAGES = (2104, 2106, 2158)


class App(EWrapper, EClient):
    """Collects every callback; each list is complete when its end is in `ended`."""

    def __init__(self):
        EClient.__init__(self, self)
        self.changed = threading.Condition()
        self.ended = set()
        self.positions, self.bars, self.statuses = [], [], []
        self.summary, self.executions, self.commissions = {}, [], []
        self.portfolio, self.open_orders, self.completed, self.errors = {}, [], [], []
        self.order_id, self.accounts, self.details, self.head, self.now = None, "", [], "", 0

    def note(self, end=None):
        with self.changed:
            if end is not None:
                self.ended.add(end)
            self.changed.notify_all()

    def wait_until(self, claim, what):
        with self.changed:
            if not self.changed.wait_for(claim, SECONDS):
                raise TimeoutError(f"{what}; errors so far: {self.errors}")

    def wait_for(self, end):
        self.wait_until(lambda: end in self.ended, end)

    def nextValidId(self, orderId):
        self.order_id = orderId
        self.note("start")

    def managedAccounts(self, accountsList):
        self.accounts = accountsList

    def error(self, reqId, errorCode, errorString):
        if errorCode not in FARM_MESSAGES:
            self.errors.append([reqId, errorCode, errorString])
        self.note()

    def currentTime(self, time):
        self.now = time
        self.note("time")

    def position(self, account, contract, position, avgCost):
        self.positions.append([contract.symbol, position, avgCost])

    def positionEnd(self):
        self.note("positions")

    def accountSummary(self, reqId, account, tag, value, currency):
        self.summary[tag] = value

    def accountSummaryEnd(self, reqId):
        self.note(f"summary {reqId}")

    def updatePortfolio(
        self, contract, position, marketPrice, marketValue, averageCost, unrealizedPNL, realizedPNL, accountName
    ):
        self.portfolio[contract.symbol] = position
        self.note()

    def accountDownloadEnd(self, accountName):
        self.note("account")

    def contractDetails(self, reqId, contractDetails):
        self.details.append(contractDetails)

    def contractDetailsEnd(self, reqId):
        self.note("details")

    def historicalData(self, reqId, bar):
        self.bars.append([bar.date, bar.open, bar.high, bar.low, bar.close, bar.volume])

    def historicalDataEnd(self, reqId, start, end):
        self.note("history")

    def headTimestamp(self, reqId, headTimestamp):
        self.head = headTimestamp
        self.note("head")

    def openOrder(self, orderId, contract, order, orderState):
        self.open_orders.append([orderId, order.orderRef, order.orderType, order.totalQuantity, orderState.status])

    def openOrderEnd(self):
        self.note("open orders")

    def completedOrder(self, contract, order, orderState):
        self.completed.append([order.orderRef, order.filledQuantity, orderState.status])

    def completedOrdersEnd(self):
        self.note("completed")

    def orderStatus(
        self,
        orderId,
        status,
        filled,
        remaining,
        avgFillPrice,
        permId,
        parentId,
        lastFillPrice,
        clientId,
        whyHeld,
        mktCapPrice,
    ):
        self.statuses.append([orderId, status])
        self.note()

    def execDetails(self, reqId, contract, execution):
        self.executions.append([execution.shares, execution.price, execution.execId, execution.orderRef])
        self.note()

    def commissionReport(self, commissionReport):
        report = commissionReport
        self.commissions.append([report.execId, report.commission, report.currency, report.realizedPNL])
        self.note()


def stock(symbol):
    contract = Contract()
    contract.symbol, contract.secType, contract.exchange, contract.currency = symbol, "STK", "SMART", "USD"
    return contract


def order(side, quantity, kind, reference, limit=None):
    made = Order()
    made.action, made.totalQuantity, made.orderType, made.orderRef = side, quantity, kind, reference
    if limit is not None:
        made.lmtPrice = limit
    return made


def main(port):
    app = App()
    app.connect("127.0.0.1", port, 12)
    thread = threading.Thread(target=app.run, daemon=True)
    thread.start()
    app.wait_for("start")
    contract = stock("AAPL")
    app.reqCurrentTime()
    app.wait_for("time")
    app.reqPositions()
    app.wait_for("positions")
    positions_before = list(app.positions)
    app.reqContractDetails(1, contract)
    app.wait_for("details")
    app.reqHistoricalData(2, contract, "", "1 M", "1 day", "TRADES", 1, 1, False, [])
    app.wait_for("history")
    app.reqHeadTimeStamp(3, contract, "TRADES", 1, 1)
    app.wait_for("head")
    app.reqAccountUpdates(True, app.accounts.split(",")[0])
    app.wait_for("account")
    first = app.order_id
    app.placeOrder(first, contract, order("BUY", 100, "MKT", "buy"))
    app.wait_until(lambda: app.commissions, "the commission report")
    app.wait_until(lambda: [first, "Filled"] in app.statuses, "the fill")
    app.placeOrder(first + 1, contract, order("BUY", 10, "LMT", "rest", round(app.bars[-1][4] / 2, 2)))
    app.wait_until(lambda: [first + 1, "Submitted"] in app.statuses, "the limit order to work")
    app.cancelOrder(first + 1)
    app.wait_until(lambda: [first + 1, "Cancelled"] in app.statuses, "the cancellation")
    app.wait_until(lambda: app.portfolio.get("AAPL") == 100, "the position")
    app.open_orders.clear()
    app.reqAllOpenOrders()
    app.wait_for("open orders")
    app.reqCompletedOrders(False)
    app.wait_for("completed")
    app.reqAccountSummary(4, "All", "NetLiquidation,TotalCashValue")
    app.wait_for("summary 4")
    positions = {symbol: [quantity, cost] for symbol, quantity, cost in app.positions}
    app.wait_until(lambda: any(code == 202 for _, code, _ in app.errors), "the word of the cancellation")
    seen = {
        "version": app.serverVersion(),
        "accounts": app.accounts.split(","),
        "positions_before": positions_before,
        "bars": app.bars,
        "head": app.head,
        "details": [[d.contract.conId, d.minTick, d.longName, d.stockType, d.marketRuleIds] for d in app.details],
        "fill": app.executions[0][:3],
        "order_ref": app.executions[0][3],
        "commission": app.commissions[0][:3],
        "realized": app.commissions[0][3],
        "cancelled": app.statuses[-1][1],
        "open_orders": app.open_orders,
        "completed": app.completed,
        "positions": sorted([symbol, *row] for symbol, row in positions.items()),
        "cash": app.summary["TotalCashValue"],
        "net_liquidation": app.summary["NetLiquidation"],
        "time": app.now,
        "errors": [error for error in app.errors if error[1] != 202],
    }
    app.disconnect()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(int(sys.argv[1]))
