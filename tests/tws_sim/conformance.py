"""docs/simulator-conformance.md, made from the message tables, from asking the simulator, and from the clients' tests.

    python -m tests.tws_sim.conformance --write

Every request is sent at every version at which some message changes, in each form that the version has; what
came back stands in the table. A test makes the page again and compares.
"""

import sys
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from quant_trading.tws_sim.config import MAX_SERVER_VERSION, SimConfig
from quant_trading.tws_sim.fields import encode, encode_body
from quant_trading.tws_sim.protobuf import encode as encode_protobuf
from quant_trading.tws_sim.protobuf_requests import REQUEST_TABLES
from quant_trading.tws_sim.protobuf_responses import RESPONSE_TABLES
from quant_trading.tws_sim.recorder import Recorder
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.responses import RESPONSES
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.tape import Tape
from quant_trading.tws_sim.transcript import FIRST_RAW_ID_VERSION, Direction, Record
from quant_trading.tws_sim.wire import encode_frame, encode_raw_frame
from tests.clients.runner import CLIENTS, START, perform, stop_all
from tests.clients.steps import STEPS
from tests.tws_sim.raw_client import hello

PAGE = Path(__file__).resolve().parents[2] / "docs" / "simulator-conformance.md"
COMMAND = "python -m tests.tws_sim.conformance --write"
SECOND_NS = 1_000_000_000
LOWEST = 157
# The ends of the clients' ranges and the versions between at which messages change; 158 is never negotiated.
VERSIONS = (157, 163, 164, 170, 178, 187, 194, 196, 200, 201, 203, 208, 213, 225)
# Requests that clients know from a later version on only.
SINCE = {
    "reqUserInfo": 165, "reqWshMetaData": 161, "cancelWshMetaData": 161, "reqWshEventData": 161,
    "cancelWshEventData": 161, "reqCurrentTimeInMillis": 197, "cancelContractData": 215, "cancelHistoricalTicks": 215,
    "reqConfig": 219, "updateConfig": 221,
}  # fmt: skip

ACCOUNT = "DU1234567"
STOCK: dict[str, Any] = {"symbol": "AAPL", "secType": "STK", "exchange": "SMART", "currency": "USD"}
ORDER: dict[str, Any] = STOCK | {
    "orderId": 1, "action": "BUY", "totalQuantity": Decimal(1), "orderType": "LMT", "lmtPrice": Decimal("1.00"),
    "tif": "DAY", "transmit": True,
}  # fmt: skip
OPTION = STOCK | {
    "secType": "OPT",
    "lastTradeDate": "20261218",
    "strike": Decimal(200),
    "right": "C",
    "multiplier": "100",
}
HISTORY = {"barSize": "1 day", "duration": "5 D", "useRth": True, "whatToShow": "TRADES", "formatDate": 1}

Ask = tuple[str, dict[str, Any]]

# What is sent for each request; before a cancellation, what it cancels. A request that is not named has no fields
# but its id.
VALUES: dict[str, dict[str, Any]] = {
    "reqMktData": STOCK,
    "placeOrder": ORDER,
    "cancelOrder": {"orderId": 1},
    "reqAccountUpdates": {"subscribe": True, "account": ACCOUNT},
    "reqIds": {"count": 1},
    "reqContractDetails": STOCK,
    "setServerLogLevel": {"level": 2},
    "reqHistoricalData": STOCK | HISTORY,
    "cancelHistoricalData": {},
    "reqMarketDataType": {"marketDataType": 1},
    "reqAccountSummary": {"group": "All", "tags": "NetLiquidation"},
    "reqPositionsMulti": {"account": ACCOUNT},
    "reqAccountUpdatesMulti": {"account": ACCOUNT},
    "reqMatchingSymbols": {"pattern": "AA"},
    "reqHeadTimeStamp": STOCK | {"useRth": True, "whatToShow": "TRADES", "formatDate": 1},
    "reqMarketRule": {"marketRuleId": 26},
    "reqPnL": {"account": ACCOUNT},
    "reqPnLSingle": {"account": ACCOUNT, "conId": 265598},
    "requestFA": {"faDataType": 1},
    "replaceFA": {"faDataType": 1, "xml": "<x/>"},
    "exerciseOptions": OPTION | {"exerciseAction": 1, "exerciseQuantity": 1, "account": ACCOUNT},
    "reqFundamentalData": STOCK | {"reportType": "ReportSnapshot"},
    "calculateImpliedVolatility": OPTION | {"optionPrice": Decimal(5), "underPrice": Decimal(100)},
    "calculateOptionPrice": OPTION | {"volatility": Decimal("0.2"), "underPrice": Decimal(100)},
    "subscribeToGroupEvents": {"groupId": 1},
    "updateDisplayGroup": {"contractInfo": "none"},
    "reqSmartComponents": {"bboExchange": "9c0001"},
    "reqHistogramData": STOCK | {"useRth": True, "timePeriod": "3 days"},
    "reqMktDepth": STOCK | {"numRows": 5},
    "reqNewsBulletins": {"allMessages": True},
    "reqScannerSubscription": {
        "numberOfRows": 5,
        "instrument": "STK",
        "locationCode": "STK.US.MAJOR",
        "scanCode": "TOP_PERC_GAIN",
    },
    "reqRealTimeBars": STOCK | {"barSize": 5, "whatToShow": "TRADES", "useRth": True},
    "reqSecDefOptParams": {"underlyingSymbol": "AAPL", "underlyingSecType": "STK", "underlyingConId": 265598},
    "reqNewsArticle": {"providerCode": "SIMN", "articleId": ""},
    "reqHistoricalNews": {"conId": 265598, "providerCodes": "SIMN", "totalResults": 3},
    "reqHistoricalTicks": STOCK
    | {"startDateTime": "20261118-15:00:00", "numberOfTicks": 10, "whatToShow": "TRADES", "useRth": True},
    "reqTickByTickData": STOCK | {"tickType": "Last"},
}
_PAIRS = {
    "cancelMktData": "reqMktData", "cancelOrder": "placeOrder", "cancelAccountSummary": "reqAccountSummary",
    "cancelPositions": "reqPositions", "cancelPositionsMulti": "reqPositionsMulti", "cancelPnL": "reqPnL",
    "cancelAccountUpdatesMulti": "reqAccountUpdatesMulti", "cancelHeadTimeStamp": "reqHeadTimeStamp",
    "cancelPnLSingle": "reqPnLSingle", "cancelMktDepth": "reqMktDepth", "cancelNewsBulletins": "reqNewsBulletins",
    "cancelScannerSubscription": "reqScannerSubscription", "cancelRealTimeBars": "reqRealTimeBars",
    "cancelTickByTickData": "reqTickByTickData", "updateDisplayGroup": "subscribeToGroupEvents",
    "unsubscribeFromGroupEvents": "subscribeToGroupEvents", "reqOpenOrders": "placeOrder",
    "reqAllOpenOrders": "placeOrder", "reqGlobalCancel": "placeOrder",
    "reqNewsArticle": "reqHistoricalNews", "cancelCalculateOptionPrice": "calculateOptionPrice",
    "cancelCalculateImpliedVolatility": "calculateImpliedVolatility",
}  # fmt: skip
# What the simulator says besides: the farms, and TWS's advice about data and times.
ADVICE = {"2104", "2106", "2158", "10167", "10349", "399", "2174"}
# A cancellation that worked is told by an error.
SUCCESSES = {
    ("cancelOrder", "202"), ("reqGlobalCancel", "202"), ("cancelHistoricalData", "162"),
    ("cancelScannerSubscription", "162"),
}  # fmt: skip


@cache
def _market() -> Tape:
    """Return the market all versions are asked about: what a scan of it ranks is made once."""
    return open_source("seed:7")


class Prober:
    """Sends requests to one simulator at one version, each from a client of its own."""

    def __init__(self, version: int) -> None:
        self.version = version
        config = SimConfig(max_server_version=version)
        self._simulator = Simulator(_market(), config, START)
        self._clients = count(1)

    def ask(self, name: str, *, in_protobuf: bool) -> str:
        """Return what a request is answered with: "refused 321", "accepted" or the names of the answers."""
        heard: list[Record] = []
        recorder = Recorder(heard.append, is_scrubbed=False)
        recorder.opened(0, 1)
        session = self._simulator.connect()
        # Client 0 alone may ask for orders typed into TWS.
        client_id = 0 if name == "reqAutoOpenOrders" else next(self._clients)

        def take() -> None:
            recorder.passed(0, 1, Direction.SERVER, session.data_to_send())

        session.receive(hello(maximum=self.version))
        take()
        self._send(session, "startApi", {"clientId": client_id}, in_protobuf=False)
        before = _PAIRS.get(name)
        if name == "cancelHistoricalData":
            self._send(session, "reqHistoricalData", VALUES["reqHistoricalData"] | {"keepUpToDate": True})
        elif before is not None:
            self._send(session, before, VALUES.get(before, {}))
        take()
        values = VALUES.get(name, {})
        if name == "reqNewsArticle":
            values = values | {"articleId": next((r.get("articleId") for r in heard if r.get("articleId")), "")}
        heard.clear()
        self._send(session, name, values, in_protobuf=in_protobuf)
        if before is None:
            # What comes by itself comes within a few seconds: ticks, five-second bars, the rest of an answer.
            self._simulator.advance_to(self._simulator.now_ns + 6 * SECOND_NS)
        take()
        self._send(session, "reqGlobalCancel", {})
        session.receive_eof()
        return _verdict(name, heard)

    def _send(self, session: Any, name: str, values: dict[str, Any], *, in_protobuf: bool = False) -> None:
        layout = REQUEST_NAMES[name]
        values = {"reqId": 7, "orderId": 7} | values
        if self.version < FIRST_RAW_ID_VERSION:
            session.receive(encode_frame(encode(layout, values, self.version)))
        elif in_protobuf:
            session.receive(encode_raw_frame(layout.id, encode_protobuf(name, REQUEST_TABLES[name], values)))
        else:
            session.receive(encode_raw_frame(layout.id, encode_body(layout, values, self.version)))


def _verdict(name: str, heard: list[Record]) -> str:
    codes = [record.get("code") for record in heard if record.name == "error"]
    codes = [code for code in codes if code not in ADVICE and (name, code) not in SUCCESSES]
    names = list(dict.fromkeys(record.name for record in heard if record.name != "error"))
    if codes and not names:
        return f"refused {', '.join(dict.fromkeys(codes))}"
    if not names:
        return "accepted" if not any(record.name == "error" for record in heard) else "answered by a code"
    return ", ".join(names)


def probe() -> dict[str, dict[int, str]]:
    """Return the verdict by request and version; both forms of a version have to agree."""
    found: dict[str, dict[int, str]] = {name: {} for name in REQUEST_NAMES}
    for version in VERSIONS:
        prober = Prober(version)
        for name in REQUEST_NAMES:
            if name == "startApi" or version < SINCE.get(name, LOWEST):
                continue
            verdict = prober.ask(name, in_protobuf=False)
            if version >= FIRST_RAW_ID_VERSION and name in REQUEST_TABLES:
                other = prober.ask(name, in_protobuf=True)
                verdict = verdict if other == verdict else f"{verdict} (protobuf: {other})"
            found[name][version] = verdict
    return found


def exercised() -> set[str]:
    """Return the requests of the one scenario that all clients run."""
    try:
        run = perform(CLIENTS["ib_async"], 178, STEPS, lambda market, step: dict(market.counters))
    finally:
        stop_all()
    return {name for counters in run.truths for name in counters}


def ranges(verdicts: dict[int, str]) -> Iterator[tuple[int, int, str]]:
    """Yield (first version, last version, verdict) of each run of equal verdicts."""
    versions = sorted(verdicts)
    first = 0
    for place, version in enumerate(versions):
        is_last = place + 1 == len(versions)
        if is_last or verdicts[versions[place + 1]] != verdicts[version]:
            last = MAX_SERVER_VERSION if is_last else versions[place + 1] - 1
            yield versions[first], last, verdicts[version]
            first = place + 1


def _cell(verdicts: dict[int, str], highest: int) -> str:
    """Return one client's column: what it gets over the versions it can negotiate."""
    own = {version: verdict for version, verdict in verdicts.items() if version <= highest}
    if not own:
        return "–"  # noqa: RUF001  # a dash: the client does not know the request
    parts = {"refused" if verdict.startswith("refused") else "yes" for verdict in own.values()}
    return (
        parts.pop()
        if len(parts) == 1
        else "from " + next(str(version) for version in sorted(own) if not own[version].startswith("refused"))
    )


def page() -> str:
    """Return the whole page."""
    found, tested = probe(), exercised()
    clients = list(CLIENTS.values())
    lines = [
        "# What the simulator answers",
        "",
        f"Made by `{COMMAND}`; a test makes it again and compares.",
        "Each request was sent to the simulator with the built-in market at server versions",
        f"{', '.join(map(str, VERSIONS))},",
        "from 201 on both as text with a raw id and as protobuf. A client is offered the lower of its own highest",
        f"version and {MAX_SERVER_VERSION}; 158 is never negotiated, because clients disagree about one field of it.",
        "What stands behind the answers: [simulator.md](simulator.md).",
        "",
        "## Requests",
        "",
        "`accepted`: nothing is said to it, as in TWS. `answered by a code`: success is told by an error message, as",
        "in TWS. `refused`: this error code is all there is. In the columns of the clients, with the highest version",
        "each speaks: *yes*, it can send it and is answered; *refused*; –, it does not know the request. **Bold** ones",  # noqa: RUF001
        "are sent by all of these clients in the scenario of `tests/clients`, at their lowest, their highest and the",
        "versions between at which a message changes, and all end with one and the same ledger.",
        "",
        "| id | request | versions | answer | " + " | ".join(f"{c.name} ..{c.highest}" for c in clients) + " |",
        "| --- " * (4 + len(clients)) + "|",
    ]
    for name, layout in sorted(REQUEST_NAMES.items(), key=lambda item: item[1].id):
        if name == "startApi":
            continue
        shown = f"**{name}**" if name in tested else name
        cells = [_cell(found[name], client.highest) for client in clients]
        for row, (first, last, verdict) in enumerate(ranges(found[name])):
            versions = f"{SINCE.get(name, LOWEST) if row == 0 else first}..{last}"
            tail = cells if row == 0 else [""] * len(clients)
            lead = [str(layout.id), shown] if row == 0 else ["", ""]
            lines.append("| " + " | ".join([*lead, versions, verdict, *tail]) + " |")
    lines += ["", "## Answers", "", *_answers()]
    return "\n".join([*lines, ""])


def _answers() -> Iterator[str]:
    yield "Text until 200; from 201 on with a raw id, and as protobuf from the version named."
    yield ""
    yield "| id | answer | protobuf from |"
    yield "| --- | --- | --- |"
    for message_id, layout in sorted(RESPONSES.items()):
        answer = RESPONSE_TABLES.get(layout.name)
        yield f"| {message_id} | {layout.name} | {'text at every version' if answer is None else answer.since} |"


def main() -> int:
    """Write the page, or print it."""
    text = page()
    if "--write" in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
