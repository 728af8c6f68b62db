"""Runs the steps of the scenario with ib_async or ib_insync, in the Python of its environment.

Usage: python driver_ib_async.py ib_async|ib_insync. Steps come as lines of JSON on stdin, facts go as lines of
JSON to stdout. Nothing of the library is changed: its wrapper's callbacks are listened to on their way.
"""

import asyncio
import importlib
import json
import logging
import re
import sys

from client_facts import CALLBACKS, Facts

SECONDS = 15
TWS_ERROR = re.compile(r"Error \d+, reqId")


class Log(logging.Handler):
    """Keeps what the library logs as an error, unless it only repeats a message of TWS."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.texts = []

    def emit(self, record):
        text = f"{record.name}: {record.getMessage()}"
        if record.exc_info:
            text += f" {record.exc_info[1]!r}"
        if not TWS_ERROR.search(text):
            self.texts.append(text)


class Driver:
    """One method for each verb of a step."""

    def __init__(self, library):
        self.library = library
        self.facts = Facts()
        self.ib = None
        self.account = ""
        self.orders = {}
        self.streams = {}
        self.is_inside = False

    def end(self):
        """Leave a server that a test left before its last step."""
        if self.ib is not None and self.ib.isConnected():
            self.ib.disconnect()

    def listen(self):
        """Have every callback noted before the library works on it."""
        for name in CALLBACKS:
            method = getattr(self.ib.wrapper, name, None)
            if method is not None:
                setattr(self.ib.wrapper, name, self.noted(getattr(self.facts, name), method))

    def noted(self, note, method):
        def callback(*args):
            # A callback may call another one by itself.
            if not self.is_inside:
                note(*args)
            was_inside, self.is_inside = self.is_inside, True
            try:
                return method(*args)
            finally:
                self.is_inside = was_inside

        return callback

    def name_next(self, name):
        """Give the next request id the step's name."""
        self.facts.names[self.ib.client._reqIdSeq] = name

    def contract(self, words):
        known = self.facts.contracts.get(words.get("known"))
        made = self.library.Contract(**words["contract"])
        if known is not None:
            made.conId, made.exchange = known.conId, "SMART" if known.secType == "STK" else known.exchange
            for name in ("symbol", "secType", "currency", "localSymbol", "tradingClass"):
                setattr(made, name, getattr(known, name))
        return made

    async def barrier(self):
        """Return when everything the server has sent before has arrived."""
        await asyncio.wait_for(self.ib.reqCurrentTimeAsync(), SECONDS)
        assert self.facts.facts.pop()[0] == "time", "the time was not the last to come"

    async def run(self, step):
        """Do a step and wait for its answer, and for all that the server has sent before."""
        work = asyncio.ensure_future(getattr(self, "do_" + step["do"])(step))
        # ib_async takes a refusal by 321 for a warning and waits on for the answer.
        if not step.get("refused"):
            await asyncio.wait_for(work, SECONDS)
        await asyncio.sleep(0)
        if self.ib.isConnected() and step["do"] != "listen":
            await self.barrier()
        work.cancel()

    # The session

    async def do_connect(self, step):
        self.ib = self.library.IB()
        self.ib.RequestTimeout = SECONDS
        self.ib.client.MaxRequests = 0
        self.listen()
        await self.ib.connectAsync("127.0.0.1", step["port"], clientId=step["client"], timeout=SECONDS)
        self.account = self.ib.managedAccounts()[0]
        # What the library asks by itself is asked by steps, too.
        errors = [fact for fact in self.facts.take() if fact[0] == "error"]
        self.facts.facts = [["connected", None, self.ib.client.serverVersion(), self.facts.accounts], *errors]

    async def do_disconnect(self, step):
        self.ib.disconnect()
        await asyncio.sleep(0)
        self.facts.state = Facts().state

    async def do_time(self, step):
        await self.ib.reqCurrentTimeAsync()

    async def do_wait(self, step):
        """Nothing to ask: time has gone by."""

    async def do_listen(self, step):
        """Say nothing until the server has said something, for so many seconds at the most."""
        for _ in range(int(step["seconds"] * 100)):
            if self.facts.facts:
                break
            await asyncio.sleep(0.01)

    async def do_watch(self, step):
        """The library has subscribed to positions and values by itself."""

    async def do_state(self, step):
        self.facts.facts.append(["state", None, self.facts.state])
        held = {f"{p.account} {p.contract.localSymbol}": p.position for p in self.ib.positions()}
        told = {name: float(row[0]) for name, row in self.facts.state["positions"].items() if row[0] != "0"}
        assert held == told, f"the library holds {held}, it was told {told}"

    async def do_summary(self, step):
        self.name_next(step["name"])
        self.ib.client.reqAccountSummary(self.ib.client.getReqId(), "All", step["tags"])

    async def do_pnl(self, step):
        self.name_next(step["name"])
        self.ib.reqPnL(self.account)

    async def do_pnl_single(self, step):
        self.name_next(step["name"])
        self.ib.reqPnLSingle(self.account, "", self.facts.contracts[step["known"]].conId)

    async def do_cancel_pnl(self, step):
        self.ib.cancelPnL(self.account)

    async def do_cancel_pnl_single(self, step):
        self.ib.cancelPnLSingle(self.account, "", self.facts.contracts[step["known"]].conId)

    # Contracts

    async def do_details(self, step):
        self.name_next(step["name"])
        await self.ib.reqContractDetailsAsync(self.contract(step))

    async def do_samples(self, step):
        self.name_next(step["name"])
        await self.ib.reqMatchingSymbolsAsync(step["pattern"])

    async def do_rule(self, step):
        await self.ib.reqMarketRuleAsync(step["rule"])

    async def do_chain(self, step):
        self.name_next(step["name"])
        contract = self.facts.contracts[step["known"]]
        await self.ib.reqSecDefOptParamsAsync(contract.symbol, "", contract.secType, contract.conId)

    # The past

    async def do_head(self, step):
        self.name_next(step["name"])
        await self.ib.reqHeadTimeStampAsync(self.contract(step), step["what"], True, 2)

    async def do_history(self, step):
        self.name_next(step["name"])
        words = (step["end"], step["duration"], step["size"], step["what"], step["rth"])
        self.streams[step["name"]] = await self.ib.reqHistoricalDataAsync(
            self.contract(step), *words, formatDate=2, keepUpToDate=step["keep"]
        )

    async def do_cancel_history(self, step):
        self.ib.cancelHistoricalData(self.streams[step["name"]])

    async def do_schedule(self, step):
        self.name_next(step["name"])
        await self.ib.reqHistoricalScheduleAsync(self.contract(step), step["days"])

    async def do_past_ticks(self, step):
        self.name_next(step["name"])
        words = (step["start"], step["end"], step["count"], step["what"], True)
        await self.ib.reqHistoricalTicksAsync(self.contract(step), *words)

    # The present

    async def do_data_type(self, step):
        self.ib.reqMarketDataType(step["type"])

    async def do_snapshot(self, step):
        self.name_next(step["name"])
        await self.ib.reqTickersAsync(self.contract(step))

    async def do_stream(self, step):
        self.name_next(step["name"])
        self.streams[step["name"]] = contract = self.contract(step)
        self.ib.reqMktData(contract, step["generic"])

    async def do_cancel_stream(self, step):
        self.ib.cancelMktData(self.streams[step["name"]])

    async def do_ticks(self, step):
        self.name_next(step["name"])
        self.streams[step["name"]] = contract, kind = self.contract(step), step["kind"]
        self.ib.reqTickByTickData(contract, kind, 0, False)

    async def do_cancel_ticks(self, step):
        self.ib.cancelTickByTickData(*self.streams[step["name"]])

    async def do_live_bars(self, step):
        self.name_next(step["name"])
        self.streams[step["name"]] = self.ib.reqRealTimeBars(self.contract(step), 5, step["what"], True)

    async def do_cancel_live_bars(self, step):
        self.ib.cancelRealTimeBars(self.streams[step["name"]])

    async def do_depth(self, step):
        self.name_next(step["name"])
        self.streams[step["name"]] = contract = self.contract(step)
        self.ib.reqMktDepth(contract, step["rows"])

    async def do_cancel_depth(self, step):
        self.ib.cancelMktDepth(self.streams[step["name"]])

    # Orders

    async def do_place(self, step):
        known = self.orders.get(step["name"])
        terms = dict(step["order"])
        if "parent" in step:
            terms["parentId"] = self.orders[step["parent"]].orderId
        if "condition" in step:
            words = step["condition"]
            watched = self.facts.contracts[words["known"]].conId
            condition = self.library.PriceCondition(
                conId=watched, exch="SMART", isMore=words["above"], price=words["price"]
            )
            terms["conditions"] = [condition]
        if known is None:
            self.facts.order_names[self.ib.client._reqIdSeq] = step["name"]
            known = self.orders[step["name"]] = self.library.Order(orderRef=step["name"], **terms)
        for name, value in terms.items():
            setattr(known, name, value)
        self.ib.placeOrder(self.contract(step), known)

    async def do_preview(self, step):
        self.facts.order_names[self.ib.client._reqIdSeq] = step["name"]
        order = self.library.Order(orderRef=step["name"], **step["order"])
        await self.ib.whatIfOrderAsync(self.contract(step), order)

    async def do_cancel(self, step):
        self.ib.cancelOrder(self.orders[step["name"]])

    async def do_cancel_all(self, step):
        self.ib.reqGlobalCancel()

    async def do_open_orders(self, step):
        await (self.ib.reqAllOpenOrdersAsync() if step["all"] else self.ib.reqOpenOrdersAsync())

    async def do_completed(self, step):
        await self.ib.reqCompletedOrdersAsync(False)

    async def do_executions(self, step):
        self.name_next(step["name"])
        await self.ib.reqExecutionsAsync(self.library.ExecutionFilter(**step["filter"]))


async def main(name):
    library = importlib.import_module(name)  # noqa: TID251 (two libraries with one interface)
    log = Log()
    logging.getLogger(name).addHandler(log)
    logging.getLogger(name).setLevel(logging.ERROR)
    driver = Driver(library)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        step = json.loads(line)
        if step["do"] == "begin":
            driver.end()
            driver = Driver(library)
        else:
            await driver.run(step)
        print(json.dumps({"facts": driver.facts.take(), "log": log.texts}), flush=True)
        log.texts.clear()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
