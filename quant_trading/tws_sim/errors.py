"""The error codes TWS answers with, and the words it uses.

Each row says how sure we are of its text: documented (IBKR's message-code page), reported (seen in
captures or public threads), assumed. Placeholders are filled by `error_text`.
"""

from dataclasses import dataclass

__all__ = ["ERRORS", "ErrorText", "RequestRefused", "error_text"]


@dataclass(frozen=True, slots=True)
class ErrorText:
    """One row: the text with placeholders, and where it comes from."""

    text: str
    source: str


class RequestRefused(Exception):
    """A request cannot be served; the session answers with this code and text.

    Attributes:
        code, text: as sent to the client.
        req_id: the id the error carries; None leaves it to the session, which knows the request.
    """

    def __init__(self, code: int, req_id: int | None = None, **parts: object) -> None:
        self.code = code
        self.text = error_text(code, **parts)
        self.req_id = req_id
        super().__init__(f"{code}: {self.text}")


ERRORS: dict[int, ErrorText] = {
    100: ErrorText("Max rate of messages per second has been exceeded:max=50 rec={received} ({strike})", "reported"),
    101: ErrorText("Max number of tickers has been reached", "documented"),
    102: ErrorText("Duplicate ticker ID.", "documented"),
    103: ErrorText("Duplicate order id", "documented"),
    104: ErrorText("Cannot modify a filled order.", "documented"),
    105: ErrorText("Order being modified does not match original order.", "documented"),
    107: ErrorText("Cannot transmit incomplete order.", "documented"),
    110: ErrorText("The price does not conform to the minimum price variation for this contract.", "documented"),
    111: ErrorText("The TIF (Tif type) and the order type are incompatible.", "documented"),
    113: ErrorText("The Tif option should be set to DAY for MOC and LOC orders.", "documented"),
    114: ErrorText("Relative orders are valid for stocks only.", "documented"),
    161: ErrorText(
        "Cancel attempted when order is not in a cancellable state.  Order permId = {perm_id}", "documented"
    ),
    162: ErrorText("Historical Market Data Service error message:{cause}", "documented"),
    165: ErrorText("Historical Market Data Service query message:{cause}", "documented"),
    200: ErrorText("No security definition has been found for the request", "documented"),
    201: ErrorText("Order rejected - reason:{reason}", "documented"),
    202: ErrorText("Order Canceled - reason:{reason}", "documented"),
    203: ErrorText("The security {security} is not available or allowed for this account.", "documented"),
    300: ErrorText("Can't find EId with tickerId:{ticker}", "documented"),
    309: ErrorText("Max number ({limit}) of market depth requests has been reached.", "documented"),
    310: ErrorText("Can't find the subscribed market depth with tickerId:{ticker}", "documented"),
    317: ErrorText(
        "Market depth data has been RESET. Please empty deep book contents before applying any new entries.",
        "documented",
    ),
    320: ErrorText("Error reading request. {cause}", "documented"),
    321: ErrorText("Error validating request.-'{tag}' : cause - {cause}", "documented"),
    322: ErrorText("Error processing request.-'{tag}' : cause - {cause}", "documented"),
    326: ErrorText(
        "Unable to connect as the client id is already in use. Retry with a unique client id.", "documented"
    ),
    354: ErrorText("Requested market data is not subscribed.{detail}", "documented"),
    366: ErrorText("No historical data query found for ticker id:{ticker}", "documented"),
    387: ErrorText("Unsupported order type for this exchange and security type.", "documented"),
    399: ErrorText("Order Message:\n{described}\nWarning: {warning}", "reported"),
    404: ErrorText("Order held while securities are located.", "documented"),
    420: ErrorText("Invalid Real-time Query:{cause}", "reported"),
    430: ErrorText(
        "We are sorry, but fundamentals data for the security specified is not available.{reason}", "documented"
    ),
    434: ErrorText("The order size cannot be zero.", "documented"),
    435: ErrorText("You must specify an account.", "documented"),
    505: ErrorText("Fatal Error: Unknown message id.", "documented"),
    1100: ErrorText("Connectivity between IB and Trader Workstation has been lost.", "documented"),
    1101: ErrorText("Connectivity between IB and Trader Workstation has been restored - data lost.", "documented"),
    1102: ErrorText(
        "Connectivity between IB and Trader Workstation has been restored - data maintained.", "documented"
    ),
    2103: ErrorText("Market data farm connection is broken:{farm}", "documented"),
    2104: ErrorText("Market data farm connection is OK:{farm}", "documented"),
    2105: ErrorText("HMDS data farm connection is broken:{farm}", "documented"),
    2106: ErrorText("HMDS data farm connection is OK:{farm}", "documented"),
    2107: ErrorText("HMDS data farm connection is inactive but should be available upon demand.{farm}", "documented"),
    2108: ErrorText("Market data farm connection is inactive but should be available upon demand.{farm}", "documented"),
    2109: ErrorText(
        "Order Event Warning: Attribute 'Outside Regular Trading Hours' is ignored based on the order type and "
        "destination. PlaceOrder is now being processed.",
        "documented",
    ),
    2110: ErrorText(
        "Connectivity between Trader Workstation and server is broken. It will be restored automatically.", "documented"
    ),
    2158: ErrorText("Sec-def data farm connection is OK:{farm}", "documented"),
    10006: ErrorText("Missing parent order.", "documented"),
    10089: ErrorText(
        "Requested market data requires additional subscription for API. See link in 'Market Data Connections' dialog "
        "for more details.{detail}",
        "reported",
    ),
    10090: ErrorText(
        "Part of requested market data is not subscribed. Subscription-independent ticks are still active.{detail}",
        "reported",
    ),
    10092: ErrorText("Deep market data is not supported for this combination of security type/exchange", "reported"),
    10147: ErrorText("OrderId {order_id} that needs to be cancelled is not found.", "reported"),
    10148: ErrorText("OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {state}.", "reported"),
    10149: ErrorText("Invalid order id: {order_id}", "reported"),
    10167: ErrorText("Requested market data is not subscribed. Displaying delayed market data.", "reported"),
    10168: ErrorText("Requested market data is not subscribed. Delayed market data is not enabled.", "reported"),
    10172: ErrorText("Failed to request news article:{cause}", "reported"),
    10187: ErrorText("Failed to request historical ticks:{cause}", "reported"),
    10189: ErrorText("Failed to request tick-by-tick data:{cause}", "reported"),
    10190: ErrorText("Max number of tick-by-tick requests has been reached.", "documented"),
    10197: ErrorText("No market data during competing live session", "documented"),
    10243: ErrorText("Fractional-sized order cannot be placed via API. Please use desktop version.", "reported"),
    10276: ErrorText("News feed is not allowed.", "reported"),
    10282: ErrorText("Failed request WSH event data: WSH meta data was not requested", "assumed"),
    10339: ErrorText("Setting end date/time for continuous future security type is not allowed.", "documented"),
    10349: ErrorText("Order TIF was set to {tif} based on order preset.", "reported"),
}


def error_text(code: int, **parts: object) -> str:
    """Return the words of `code` with its placeholders filled; a missing part is left empty.

    `text` overrides the table, for codes whose words the caller has (history, configured rejections).
    """
    if "text" in parts:
        return str(parts["text"])
    return ERRORS[code].text.format_map(_Parts(parts))


class _Parts(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return ""
