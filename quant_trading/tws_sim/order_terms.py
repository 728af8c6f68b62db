"""Reading a `placeOrder`: its terms, or what is wrong with it, in TWS's words."""

from datetime import datetime
from decimal import Decimal

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.conditions import read_conditions
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message, Values
from quant_trading.tws_sim.orders import Terms
from quant_trading.tws_sim.times import parse_time

__all__ = ["AUCTION_TYPES", "LIMITED_TYPES", "STOP_TYPES", "TOUCHED_TYPES", "read_terms"]

_LARGEST_QUANTITY = Decimal(10**9)
_LARGEST_PRICE = Decimal(10**9)
# Percentages are compared in whole ten-thousandths of a percent.
_PERCENT_PLACES = -4

STOP_TYPES = frozenset({"STP", "STP LMT"})
TOUCHED_TYPES = frozenset({"MIT", "LIT"})
AUCTION_TYPES = frozenset({"MOC", "LOC"})
LIMITED_TYPES = frozenset({"LMT", "STP LMT", "LIT", "LOC", "TRAIL LIMIT"})
_SERVED = {"MKT", "TRAIL", "REL"} | STOP_TYPES | TOUCHED_TYPES | AUCTION_TYPES | LIMITED_TYPES

# What TWS knows and this simulator does not serve: 387 says so. Anything else is no order type: 321.
_KNOWN_TYPES = frozenset(
    {"TRAIL LIT", "TRAIL MIT", "MTL", "MKT PRT", "STP PRT", "PEG MKT", "PEG PRI", "PEG MID", "PEG STK", "PEG BENCH",
     "PEG BEST", "MIDPRICE", "VOL", "SNAP MID", "SNAP MKT", "SNAP PRI", "PASSV REL", "AUC", "BOX TOP", "RPI"}
)  # fmt: skip
# Other spellings that clients send.
_SPELLINGS = {"STPLMT": "STP LMT", "STOP": "STP", "TRAILLMT": "TRAIL LIMIT", "TRAIL LMT": "TRAIL LIMIT"}
_TIFS = frozenset({"DAY", "GTC", "IOC", "FOK", "GTD", "OPG"})
_KNOWN_TIFS = frozenset({"DTC", "AUC", "GTX", "MINUTES"})
_UNSERVED = ("algoStrategy", "hedgeType")


def read_terms(request: Message, accounts: tuple[str, ...], tif_preset: str = "") -> Terms:
    """Return the terms of a `placeOrder`.

    Args:
        tif_preset: the time in force of an order that names none; empty is DAY without a word.

    Raises:
        RequestRefused: 107, 111, 113, 321, 387, 434, 435 or 10243, whichever rule is broken first.
    """
    action = request.text("action").upper()
    if action not in ("BUY", "SELL"):
        raise _invalid(f"Invalid action: {action or '(empty)'}")
    order_type = _order_type(request)
    quantity = _quantity(request)
    tif = _tif(request, tif_preset or "DAY")
    if order_type in AUCTION_TYPES and tif != "DAY":
        raise RequestRefused(113)
    if (tif == "OPG" or tif in ("IOC", "FOK")) and order_type not in ("MKT", "LMT"):
        raise RequestRefused(111)
    limit = _limit(request, order_type)
    return Terms(
        action=action,
        quantity=quantity,
        order_type=order_type,
        limit=limit,
        tif=tif,
        account=_account(request, accounts),
        order_ref=request.text("orderRef"),
        transmit=request.flag("transmit"),
        outside_rth=request.flag("outsideRth"),
        what_if=request.flag("whatIf"),
        values=_echo(request.values),
        aux=_aux(request, order_type),
        trail_percent=_trail_percent(request, order_type),
        trail_stop=_price(request, "trailStopPrice") if order_type in ("TRAIL", "TRAIL LIMIT") else None,
        limit_offset=_limit_offset(request, limit) if order_type == "TRAIL LIMIT" else None,
        good_till_ns=_good_till(request) if tif == "GTD" else None,
        good_after_ns=_moment(request, "goodAfterTime") if request.text("goodAfterTime") else None,
        is_preset_tif=bool(tif_preset) and not request.text("tif"),
        oca_group=request.text("ocaGroup"),
        oca_type=request.integer("ocaType"),
        parent_id=request.integer("parentId"),
        conditions=read_conditions(request.values.get("conditions") or []),
        cancels_on_conditions=request.flag("conditionsCancelOrder"),
        conditions_ignore_rth=request.flag("conditionsIgnoreRth"),
    )


def _invalid(cause: str) -> RequestRefused:
    return RequestRefused(321, tag="placeOrder", cause=cause)


def _order_type(request: Message) -> str:
    order_type = request.text("orderType").upper()
    order_type = _SPELLINGS.get(order_type, order_type)
    if order_type in _KNOWN_TYPES:
        raise RequestRefused(387)
    if order_type not in _SERVED:
        raise _invalid(f"Invalid order type was entered: {order_type or '(empty)'}")
    for name in _UNSERVED:
        if request.values.get(name):
            raise _invalid(f"The order attribute {name} is not served by this simulator")
    return order_type


def _quantity(request: Message) -> Decimal:
    quantity = request.number("totalQuantity")
    if not quantity:
        raise RequestRefused(434)
    if not quantity.is_finite() or not 0 < quantity <= _LARGEST_QUANTITY:
        raise _invalid(f"Invalid order size: {request.values['totalQuantity']}")
    return quantity


def _price(request: Message, name: str) -> Decimal | None:
    """Return a price, None when it is unset or zero."""
    price = request.number(name)
    if price is None or price == 0:
        return None
    if not price.is_finite() or not 0 < price <= _LARGEST_PRICE:
        words = {"lmtPrice": "limit price", "auxPrice": "stop price"}.get(name, name)
        raise _invalid(f"Invalid {words}: {request.values[name]}")
    return price


def _limit(request: Message, order_type: str) -> Decimal | None:
    if order_type == "REL" or order_type == "TRAIL LIMIT":
        return _price(request, "lmtPrice")
    if order_type not in LIMITED_TYPES:
        return None
    limit = _price(request, "lmtPrice")
    if limit is None:
        raise RequestRefused(107)
    return limit


def _aux(request: Message, order_type: str) -> Decimal | None:
    if order_type in STOP_TYPES | TOUCHED_TYPES:
        aux = _price(request, "auxPrice")
        if aux is None:
            raise RequestRefused(107)
        return aux
    return _price(request, "auxPrice") if order_type in ("TRAIL", "TRAIL LIMIT", "REL") else None


def _trail_percent(request: Message, order_type: str) -> Decimal | None:
    if order_type not in ("TRAIL", "TRAIL LIMIT"):
        return None
    percent, amount = request.number("trailingPercent"), _price(request, "auxPrice")
    if not percent and amount is None:
        raise RequestRefused(107)
    if percent and amount is not None:
        raise _invalid("A trailing amount and a trailing percent cannot both be given")
    if not percent:
        return None
    if not percent.is_finite() or not 0 < percent < 100:
        raise _invalid(f"Invalid trailing percent: {percent}")
    if percent != round(percent, -_PERCENT_PLACES):
        raise _invalid(f"Invalid trailing percent: {percent} has more than four decimals")
    return percent


def _limit_offset(request: Message, limit: Decimal | None) -> Decimal:
    offset, stop = request.number("lmtPriceOffset"), _price(request, "trailStopPrice")
    if offset is not None and offset.is_finite():
        return abs(offset)
    if limit is None or stop is None:
        raise RequestRefused(107)
    return abs(stop - limit)


def _tif(request: Message, default: str) -> str:
    tif = request.text("tif").upper() or default
    if tif in _TIFS:
        return tif
    reason = "is not served by this simulator" if tif in _KNOWN_TIFS else "is invalid"
    raise _invalid(f"Time in force {tif} {reason}")


def _good_till(request: Message) -> int:
    """Return the moment of `goodTillDate`; a date alone holds to the end of that day in New York."""
    text = request.text("goodTillDate").strip()
    if not text:
        raise _invalid("A GTD order needs a goodTillDate")
    if len(text) == 8 and text.isdigit():
        try:
            return at(datetime.strptime(text, "%Y%m%d").date(), "23:59:59")  # noqa: DTZ007 (a date of New York)
        except ValueError:
            raise _invalid(f"goodTillDate {text} is no date") from None
    return _moment(request, "goodTillDate")


def _moment(request: Message, name: str) -> int:
    try:
        return parse_time(request.text(name))
    except ValueError as error:
        raise _invalid(f"Invalid {name}: {error}") from None


def _account(request: Message, accounts: tuple[str, ...]) -> str:
    account = request.text("account")
    if account in accounts:
        return account
    if account:
        raise _invalid(f"Invalid account code '{account}'.")
    if len(accounts) > 1:
        raise RequestRefused(435)
    return accounts[0]


# Fields of the request that are not part of an open order, or that the order itself answers.
_OWN_FIELDS = frozenset(
    {"orderId", "totalQuantity", "action", "orderType", "lmtPrice", "auxPrice", "tif", "account", "transmit",
     "parentId", "ocaGroup", "ocaType", "trailStopPrice"}
)  # fmt: skip


def _echo(values: Values) -> Values:
    """Return what an open order echoes: of a hundred fields the few that are set. A zero is set, unlike False."""
    return {
        name: value
        for name, value in values.items()
        if (value or (value == 0 and value is not False)) and name not in _OWN_FIELDS
    }
