"""Runs the steps of the scenario with an official client, in the Python of its environment.

Usage: python driver_ibapi.py. Steps come as lines of JSON on stdin, facts go as lines of JSON to stdout. Serves
ibapi 9.81 and nautilus-ibapi 10.19 to 10.46, which differ in a few signatures.
"""

import inspect
import json
import logging
import sys
import threading
from decimal import Decimal

from client_facts import CALLBACKS, Facts
from ibapi.client import EClient
from ibapi.contract import Contract
from ibapi.execution import ExecutionFilter
from ibapi.order import Order
from ibapi.order_condition import PriceCondition
from ibapi.wrapper import EWrapper

SECONDS = 15


class Log(logging.Handler):
    """Keeps what the library logs when it cannot read a message."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.texts = []

    def emit(self, record):
        if record.levelno >= logging.ERROR or "BadMessage" in record.getMessage():
            text = f"{record.name}: {record.getMessage()}"
            self.texts.append(f"{text} {record.exc_info[1]!r}" if record.exc_info else text)


class App(EWrapper, EClient):
    """The client; its callbacks go to the facts, by their names."""

    def __init__(self, facts):
        EClient.__init__(self, self)
        self.facts = facts
        self.lock = threading.Condition()
        self.is_started = False
        self.times = 0
        self.failure = None

    def note(self, name, args):
        with self.lock:
            getattr(self.facts, name)(*args)
            self.is_started = self.is_started or name == "nextValidId"
            self.times += name == "currentTime"
            self.lock.notify_all()

    def read(self):
        """Let the library read; an exception in it ends that thread and would go unseen."""
        try:
            self.run()
        except Exception as error:  # noqa: BLE001 (reported, with its type, to the test)
            with self.lock:
                self.failure = f"{type(error).__name__}: {error}"
                self.lock.notify_all()

    def wait_until(self, claim, what):
        with self.lock:
            self.lock.wait_for(lambda: claim() or self.failure, SECONDS)
            if self.failure:
                raise RuntimeError(f"the library's reader failed: {self.failure}")
            if not claim():
                raise TimeoutError(f"no {what} within {SECONDS} s; facts: {self.facts.facts[-5:]}")


def forward(name):
    def callback(self, *args):
        self.note(name, args)

    return callback


for callback_name in CALLBACKS:
    setattr(App, callback_name, forward(callback_name))


def cancel_argument(method):
    """Return what this version of the library wants beside the order id: nothing, a time, or an object."""
    names = list(inspect.signature(method).parameters)
    if "orderCancel" in names:
        from ibapi.order_cancel import OrderCancel

        return (OrderCancel(),)
    return ("",) if "manualCancelOrderTime" in names else ()


class Driver:
    """One method for each verb of a step."""

    def __init__(self):
        self.facts = Facts()
        self.app = None
        self.account = ""
        self.last_id = 1000
        self.order_id = 0
        self.orders = {}
        self.ids = {}

    def end(self):
        """Leave a server that a test left before its last step."""
        if self.app is not None and self.app.isConnected():
            self.app.disconnect()

    def new_id(self, name):
        """Return an unused request id, far from the order ids."""
        self.last_id += 1
        self.facts.names[100_000 + self.last_id] = name
        self.ids[name] = 100_000 + self.last_id
        return self.ids[name]

    def new_order_id(self, name):
        self.facts.order_names[self.order_id] = name
        self.order_id += 1
        return self.order_id - 1

    def contract(self, step):
        known = self.facts.contracts.get(step.get("known"))
        made = Contract()
        for name, value in step["contract"].items():
            setattr(made, name, value)
        if known is not None:
            made.conId, made.exchange = known.conId, "SMART" if known.secType == "STK" else known.exchange
            for name in ("symbol", "secType", "currency", "localSymbol", "tradingClass"):
                setattr(made, name, getattr(known, name))
        return made

    def order(self, step):
        made = self.orders.get(step["name"]) or Order()
        made.orderRef = step["name"]
        # The two attributes TWS does not take any more, and the oldest client sets by itself.
        if hasattr(made, "eTradeOnly"):
            made.eTradeOnly = made.firmQuoteOnly = False
        for name, value in step["order"].items():
            is_exact = name == "totalQuantity" and isinstance(getattr(Order(), name), Decimal)
            setattr(made, name, Decimal(str(value)) if is_exact else value)
        if "parent" in step:
            made.parentId = self.orders[step["parent"]].orderId
        if "condition" in step:
            words = step["condition"]
            watched = self.facts.contracts[words["known"]].conId
            made.conditions = [PriceCondition(0, watched, "SMART", words["above"], words["price"])]
        return made

    def barrier(self):
        """Return when everything the server has sent before has arrived."""
        wanted = self.app.times + 1
        self.app.reqCurrentTime()
        self.app.wait_until(lambda: self.app.times >= wanted, "answer to reqCurrentTime")
        assert self.facts.facts.pop()[0] == "time", "the time was not the last to come"

    def run(self, step):
        getattr(self, "do_" + step["do"])(step)
        if step["do"] not in ("disconnect", "listen"):
            self.barrier()

    # The session

    def do_connect(self, step):
        self.app = App(self.facts)
        self.app.connect("127.0.0.1", step["port"], step["client"])
        threading.Thread(target=self.app.read, daemon=True).start()
        self.app.wait_until(lambda: self.app.is_started, "nextValidId")
        self.barrier()  # the farms' states come last
        self.account = self.facts.accounts.split(",")[0]
        self.order_id = self.facts.next_id
        errors = [fact for fact in self.facts.take() if fact[0] == "error"]
        self.facts.facts = [["connected", None, self.app.serverVersion(), self.facts.accounts], *errors]

    def do_disconnect(self, step):
        self.app.disconnect()
        self.facts.state = Facts().state

    def do_time(self, step):
        wanted = self.app.times + 1
        self.app.reqCurrentTime()
        self.app.wait_until(lambda: self.app.times >= wanted, "answer to reqCurrentTime")

    def do_wait(self, step):
        """Nothing to ask: time has gone by."""

    def do_listen(self, step):
        """Say nothing until the server has said something, for so many seconds at the most."""
        with self.app.lock:
            self.app.lock.wait_for(lambda: self.facts.facts, step["seconds"])

    def do_watch(self, step):
        self.app.reqPositions()
        self.app.reqAccountUpdates(True, self.account)

    def do_state(self, step):
        self.facts.facts.append(["state", None, self.facts.state])

    def do_summary(self, step):
        self.app.reqAccountSummary(self.new_id(step["name"]), "All", step["tags"])

    def do_pnl(self, step):
        self.app.reqPnL(self.new_id(step["name"]), self.account, "")

    def do_pnl_single(self, step):
        con_id = self.facts.contracts[step["known"]].conId
        self.app.reqPnLSingle(self.new_id(step["name"]), self.account, "", con_id)

    def do_cancel_pnl(self, step):
        self.app.cancelPnL(self.ids[step["name"]])

    def do_cancel_pnl_single(self, step):
        self.app.cancelPnLSingle(self.ids[step["name"]])

    # Contracts

    def do_details(self, step):
        self.app.reqContractDetails(self.new_id(step["name"]), self.contract(step))

    def do_samples(self, step):
        self.app.reqMatchingSymbols(self.new_id(step["name"]), step["pattern"])

    def do_rule(self, step):
        self.app.reqMarketRule(step["rule"])

    def do_chain(self, step):
        contract = self.facts.contracts[step["known"]]
        words = (contract.symbol, "", contract.secType, contract.conId)
        self.app.reqSecDefOptParams(self.new_id(step["name"]), *words)

    # The past

    def do_head(self, step):
        self.app.reqHeadTimeStamp(self.new_id(step["name"]), self.contract(step), step["what"], 1, 2)

    def do_history(self, step):
        words = (step["end"], step["duration"], step["size"], step["what"], int(step["rth"]), 2, step["keep"], [])
        self.app.reqHistoricalData(self.new_id(step["name"]), self.contract(step), *words)

    def do_cancel_history(self, step):
        self.app.cancelHistoricalData(self.ids[step["name"]])

    def do_schedule(self, step):
        words = ("", f"{step['days']} D", "1 day", "SCHEDULE", 1, 1, False, [])
        self.app.reqHistoricalData(self.new_id(step["name"]), self.contract(step), *words)

    def do_past_ticks(self, step):
        words = (step["start"], step["end"], step["count"], step["what"], 1, False, [])
        self.app.reqHistoricalTicks(self.new_id(step["name"]), self.contract(step), *words)

    # The present

    def do_data_type(self, step):
        self.app.reqMarketDataType(step["type"])

    def do_snapshot(self, step):
        self.app.reqMktData(self.new_id(step["name"]), self.contract(step), "", True, False, [])

    def do_stream(self, step):
        self.app.reqMktData(self.new_id(step["name"]), self.contract(step), step["generic"], False, False, [])

    def do_cancel_stream(self, step):
        self.app.cancelMktData(self.ids[step["name"]])

    def do_ticks(self, step):
        self.app.reqTickByTickData(self.new_id(step["name"]), self.contract(step), step["kind"], 0, False)

    def do_cancel_ticks(self, step):
        self.app.cancelTickByTickData(self.ids[step["name"]])

    def do_live_bars(self, step):
        self.app.reqRealTimeBars(self.new_id(step["name"]), self.contract(step), 5, step["what"], True, [])

    def do_cancel_live_bars(self, step):
        self.app.cancelRealTimeBars(self.ids[step["name"]])

    def do_depth(self, step):
        self.app.reqMktDepth(self.new_id(step["name"]), self.contract(step), step["rows"], False, [])

    def do_cancel_depth(self, step):
        self.app.cancelMktDepth(self.ids[step["name"]], False)

    # Orders

    def do_place(self, step):
        is_new = step["name"] not in self.orders
        order = self.orders[step["name"]] = self.order(step)
        if is_new:
            order.orderId = self.new_order_id(step["name"])
        self.app.placeOrder(order.orderId, self.contract(step), order)

    def do_preview(self, step):
        order = self.order(step)
        order.whatIf = True
        self.app.placeOrder(self.new_order_id(step["name"]), self.contract(step), order)

    def do_cancel(self, step):
        self.app.cancelOrder(self.orders[step["name"]].orderId, *cancel_argument(self.app.cancelOrder))

    def do_cancel_all(self, step):
        self.app.reqGlobalCancel(*cancel_argument(self.app.reqGlobalCancel))

    def do_open_orders(self, step):
        if step["all"]:
            self.app.reqAllOpenOrders()
        else:
            self.app.reqOpenOrders()

    def do_completed(self, step):
        self.app.reqCompletedOrders(False)

    def do_executions(self, step):
        wanted = ExecutionFilter()
        for name, value in step["filter"].items():
            setattr(wanted, name, value)
        self.app.reqExecutions(self.new_id(step["name"]), wanted)


def main():
    log = Log()
    logging.getLogger().addHandler(log)
    # Not everything from INFO on: one version fails while it words a condition for its own log.
    logging.getLogger().setLevel(logging.WARNING)
    for name in ("ibapi.client", "ibapi.decoder"):
        logging.getLogger(name).setLevel(logging.INFO)
    driver = Driver()
    for line in sys.stdin:
        step = json.loads(line)
        if step["do"] == "begin":
            driver.end()
            driver = Driver()
        else:
            driver.run(step)
        print(json.dumps({"facts": driver.facts.take(), "log": log.texts}), flush=True)
        log.texts.clear()


if __name__ == "__main__":
    main()
