"""What a client's callbacks say, in words that do not depend on the client.

Runs inside the environments of the clients, so it imports the standard library only. A fact is a list that
JSON can carry: its kind, the step's name for the request or order it belongs to, and values. Numbers are
strings in their shortest form; what a client calls unset is None; moments are seconds since 1970.
"""

# The methods have the names of the callbacks.
# ruff: noqa: N802, N815

import re
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

UNSET = {sys.float_info.max, 2**31 - 1, 2**63 - 1, 2**127 - 1}

# Linux distributions ship these old names in a package of their own.
ZONES = {"US/Eastern": "America/New_York", "US/Central": "America/Chicago"}

# The size that comes with a price: bid, ask, last, and the same delayed.
SIZE_OF = {1: 0, 2: 3, 4: 5, 66: 69, 67: 70, 68: 71}

CONTRACT = (
    "conId", "symbol", "secType", "lastTradeDateOrContractMonth", "strike", "right", "multiplier", "exchange",
    "currency", "localSymbol", "tradingClass",
)  # fmt: skip
DETAILS = (
    "marketName", "minTick", "validExchanges", "priceMagnifier", "underConId", "longName", "contractMonth", "industry",
    "category", "subcategory", "timeZoneId", "tradingHours", "liquidHours", "marketRuleIds", "stockType",
    "minSize", "sizeIncrement", "suggestedSizeIncrement",
)  # fmt: skip
ORDER = (
    "permId", "action", "totalQuantity", "orderType", "lmtPrice", "auxPrice", "tif", "account", "ocaGroup",
    "outsideRth", "trailStopPrice", "trailingPercent", "whatIf",
)  # fmt: skip
MARGINS = ("initMarginBefore", "initMarginChange", "initMarginAfter", "equityWithLoanAfter", "maintMarginAfter")


def number(value):
    """Return a number, or the text of one, in its shortest form; None when it is unset."""
    if value is None or value == "":
        return None
    exact = value if isinstance(value, Decimal) else Decimal(repr(value) if isinstance(value, float) else str(value))
    if exact.is_nan() or exact in UNSET or abs(exact) >= Decimal("1.7e308"):
        return None
    return format(exact.normalize() + 0, "f") if exact else "0"


def moment(value):
    """Return the seconds since 1970 of a time as TWS words it, of a datetime, or of a number of seconds."""
    if isinstance(value, datetime):
        return number(int(value.timestamp()))
    if isinstance(value, (int, float)):
        return number(int(value))
    text = str(value)
    if text.isdigit() and len(text) != 8:
        return text
    head, _, zone = text.replace("-", " ", 1).partition(" ")
    clock, _, zone = zone.strip().partition(" ")
    if not clock:
        return text
    at = datetime.strptime(f"{head} {clock}", "%Y%m%d %H:%M:%S")  # noqa: DTZ007
    return number(int(at.replace(tzinfo=ZoneInfo(ZONES.get(zone, zone)) if zone else UTC).timestamp()))


def day_or_moment(value):
    """Return a bar's stamp: "20261119" for a day, else seconds."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.strftime("%Y%m%d")
    return str(value) if len(str(value)) == 8 else moment(value)


def plain(value):
    """Return a field as JSON can carry it."""
    if value is None or isinstance(value, bool):
        return value
    return str(value) if isinstance(value, str) else number(value)


def picked(thing, names):
    """Return the named attributes of a client's object."""
    return {name: plain(getattr(thing, name)) for name in names if hasattr(thing, name)}


class Facts:
    """Collects facts; one method for each callback, with the callback's name and arguments.

    Attributes:
        names: the step's name by request id and by order id.
        state: positions, portfolio rows and account values as they are now.
    """

    def __init__(self):
        self.names = {}
        self.order_names = {}
        self.exec_names = {}
        self.con_symbols = {}
        self.facts = []
        self.state = {"positions": {}, "portfolio": {}, "values": {}}
        self.accounts = ""
        self.next_id = None
        self.contracts = {}

    def take(self):
        """Return the facts since the last time."""
        taken, self.facts = self.facts, []
        return taken

    def add(self, kind, req_id, *values):
        self.facts.append([kind, self.names.get(req_id, self.order_names.get(req_id)), *values])

    # The session

    def managedAccounts(self, accounts):
        self.accounts = accounts

    def nextValidId(self, order_id):
        self.next_id = order_id

    def error(self, req_id, *rest):
        # From server version 194 on the official client says when, before the code.
        if len(rest) > 2 and isinstance(rest[1], int):
            rest = rest[1:]
        # Some words name the request or the order by its id, which every client numbers its own way.
        self.add("error", req_id, int(rest[0]), re.sub(rf"\b{req_id}\b", "(id)", str(rest[1])))

    def currentTime(self, seconds):
        self.facts.append(["time", None, number(int(seconds))])

    # Accounts

    def accountSummary(self, req_id, account, tag, value, currency):
        self.add("summary", req_id, account, tag, value, currency)

    def accountSummaryEnd(self, req_id):
        self.add("end", req_id, "summary")

    def updateAccountValue(self, key, value, currency, account):
        self.state["values"][f"{account} {key} {currency}"] = value

    def updatePortfolio(self, contract, quantity, price, value, cost, unrealized, realized, account):
        row = [number(x) for x in (quantity, price, value, cost, unrealized, realized)]
        self.state["portfolio"][f"{account} {contract.localSymbol}"] = row

    def position(self, account, contract, quantity, cost):
        self.state["positions"][f"{account} {contract.localSymbol}"] = [number(quantity), number(cost)]

    def pnl(self, req_id, daily, unrealized, realized):
        self.add("pnl", req_id, number(daily), number(unrealized), number(realized))

    def pnlSingle(self, req_id, quantity, daily, unrealized, realized, value):
        self.add("pnl", req_id, *[number(x) for x in (quantity, daily, unrealized, realized, value)])

    # Contracts

    def contractDetails(self, req_id, details):
        self.add("contract", req_id, picked(details.contract, CONTRACT) | picked(details, DETAILS))
        self.contracts.setdefault(self.names.get(req_id), details.contract)

    def contractDetailsEnd(self, req_id):
        self.add("end", req_id, "contract")

    def symbolSamples(self, req_id, samples):
        rows = [picked(s.contract, ("conId", "symbol", "secType", "primaryExchange", "currency")) for s in samples]
        self.add("samples", req_id, rows)

    def marketRule(self, rule_id, increments):
        rows = [[number(i.lowEdge), number(i.increment)] for i in increments]
        self.facts.append(["rule", None, number(rule_id), rows])

    def securityDefinitionOptionParameter(self, req_id, exchange, con_id, trading_class, multiplier, dates, strikes):
        rows = [sorted(dates), [number(strike) for strike in sorted(strikes)]]
        self.add("chain", req_id, exchange, number(con_id), trading_class, str(multiplier), *rows)

    def securityDefinitionOptionParameterEnd(self, req_id):
        self.add("end", req_id, "chain")

    # The past

    def headTimestamp(self, req_id, text):
        self.add("head", req_id, moment(text))

    def _bar(self, bar):
        average = bar.average if hasattr(bar, "average") and not callable(bar.average) else bar.wap
        values = (bar.open, bar.high, bar.low, bar.close, bar.volume, average, bar.barCount)
        return [day_or_moment(bar.date), *[number(x) for x in values]]

    def historicalData(self, req_id, bar):
        self.add("bar", req_id, *self._bar(bar))

    def historicalDataEnd(self, req_id, start, end):
        self.add("end", req_id, "bar")

    def historicalDataUpdate(self, req_id, bar):
        self.add("bar update", req_id, *self._bar(bar))

    def historicalSchedule(self, req_id, start, end, zone, sessions):
        self.add("schedule", req_id, start, end, zone, [[s.startDateTime, s.endDateTime, s.refDate] for s in sessions])

    def historicalTicks(self, req_id, ticks, done):
        self.add("past ticks", req_id, [[moment(t.time), number(t.price), number(t.size)] for t in ticks], bool(done))

    def historicalTicksLast(self, req_id, ticks, done):
        rows = [[moment(t.time), number(t.price), number(t.size), t.exchange] for t in ticks]
        self.add("past ticks", req_id, rows, bool(done))

    def historicalTicksBidAsk(self, req_id, ticks, done):
        rows = [
            [moment(t.time), *[number(x) for x in (t.priceBid, t.priceAsk, t.sizeBid, t.sizeAsk)]]
            for t in ticks
        ]  # fmt: skip
        self.add("past ticks", req_id, rows, bool(done))

    # The present

    def tickPrice(self, req_id, tick, price, *rest):
        self.add("price", req_id, int(tick), number(price))

    def priceSizeTick(self, req_id, tick, price, size):
        """One call for what the official client reports in two."""
        self.tickPrice(req_id, tick, price)
        if tick in SIZE_OF:
            self.tickSize(req_id, SIZE_OF[tick], size)

    def tickSize(self, req_id, tick, size):
        self.add("size", req_id, int(tick), number(size))

    def tickString(self, req_id, tick, text):
        self.add("string", req_id, int(tick), str(text))

    def tickGeneric(self, req_id, tick, value):
        self.add("generic", req_id, int(tick), number(value))

    def tickOptionComputation(self, req_id, tick, kind, *values):
        # -1 and -2 say that a value is not computed; some clients say None for it.
        known = [None if value is None or value in (-1, -2) else number(value) for value in values]
        self.add("greeks", req_id, int(tick), *known)

    def tickSnapshotEnd(self, req_id):
        self.add("end", req_id, "snapshot")

    def marketDataType(self, req_id, kind):
        self.add("data type", req_id, int(kind))

    def tickByTickAllLast(self, req_id, kind, time, price, size, attributes, exchange, conditions):
        self.add("last", req_id, moment(time), number(price), number(size), exchange)

    def tickByTickBidAsk(self, req_id, time, bid, ask, bid_size, ask_size, attributes):
        self.add("bid ask", req_id, moment(time), *[number(x) for x in (bid, ask, bid_size, ask_size)])

    def tickByTickMidPoint(self, req_id, time, price):
        self.add("midpoint", req_id, moment(time), number(price))

    def realtimeBar(self, req_id, time, *values):
        self.add("5 s bar", req_id, moment(time), *[number(x) for x in values])

    def updateMktDepth(self, req_id, position, operation, side, price, size):
        self.add("depth", req_id, int(position), int(operation), int(side), number(price), number(size))

    def updateMktDepthL2(self, req_id, position, maker, operation, side, price, size, smart):
        self.add("depth", req_id, int(position), int(operation), int(side), number(price), number(size), maker)

    # Orders

    def _order(self, order, state):
        values = picked(order, ORDER) | {"status": state.status}
        # What is absent is unset in one client and 0 in the other.
        for name in ("lmtPrice", "auxPrice", "trailStopPrice", "trailingPercent"):
            values[name] = values[name] or "0"
        values["parent"] = self.order_names.get(order.parentId)
        return values

    def openOrder(self, order_id, contract, order, state):
        values = self._order(order, state)
        if order.whatIf:
            # One version makes texts of the numbers it was sent, with all the digits they have in binary.
            values |= {name: number(round(float(getattr(state, name)), 6)) for name in MARGINS}
        self.facts.append(["order", order.orderRef, contract.symbol, values])

    def openOrderEnd(self):
        self.facts.append(["end", None, "order"])

    def orderStatus(self, order_id, status, filled, remaining, average, perm_id, parent_id, last, client, held, cap):
        values = [status, *[number(x) for x in (filled, remaining, average, perm_id)]]
        rest = [self.order_names.get(parent_id), number(last), number(client), held]
        self.facts.append(["status", self.order_names.get(order_id), *values, *rest])

    def completedOrder(self, contract, order, state):
        values = self._order(order, state) | {
            "filledQuantity": number(order.filledQuantity), "completedTime": moment(state.completedTime),
            "completedStatus": state.completedStatus,
        }  # fmt: skip
        del values["parent"]
        self.facts.append(["completed", order.orderRef, contract.symbol, values])

    def completedOrdersEnd(self):
        self.facts.append(["end", None, "completed"])

    def execDetails(self, req_id, contract, execution):
        e = execution
        self.exec_names[e.execId] = e.orderRef
        values = [number(x) for x in (e.shares, e.price, e.cumQty, e.avgPrice, e.permId)]
        rest = [e.execId, moment(e.time), e.side, e.acctNumber, e.exchange]
        self.facts.append(["fill", e.orderRef, contract.symbol, *values, *rest])

    def execDetailsEnd(self, req_id):
        self.add("end", req_id, "fill")

    def commissionReport(self, report):
        paid = report.commission if hasattr(report, "commission") else report.commissionAndFees
        values = [number(paid), report.currency, number(report.realizedPNL)]
        self.facts.append(["commission", self.exec_names.get(report.execId), *values])

    commissionAndFeesReport = commissionReport  # its name from 10.33 on


CALLBACKS = [name for name in vars(Facts) if not name.startswith("_") and name not in ("take", "add")]
