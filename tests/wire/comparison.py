"""How a client's view of a message is compared with what was sent: value by value, under either side's names."""

from collections import defaultdict
from decimal import Decimal, InvalidOperation
from typing import Any

Flat = dict[str, list[Any]]
"""The values of a message by name; a name within a repeated group is "group.name", one value per row."""

# Objects whose attributes count as the message's own: the client's way of grouping what we have side by side.
_TRANSPARENT = {
    "contract", "order", "orderState", "contractDetails", "bar", "commissionReport", "commissionAndFeesReport",
    "tickAttrib", "attrib", "tickAttribLast", "tickAttribBidAsk", "wshEventData", "orderCancel", "execFilter", "filter",
    "subscription", "scannerSubscription",
}  # fmt: skip

# What a condition compares, by its type; we have one name for all of them.
_CONDITION_VALUES = {1: "price", 3: "time", 4: "percent", 6: "volume", 7: "changePercent"}


def flatten_values(values: dict[str, Any]) -> Flat:
    """Return our values of a message."""
    flat: Flat = defaultdict(list)
    for name, value in values.items():
        if isinstance(value, list):
            for row in value:
                for key, item in flatten_values(row).items():
                    flat[f"{name}.{key}"].extend(item)
        else:
            flat[name].append(value)
    return flat


def flatten_plain(name: str, value: Any, flat: Flat) -> None:
    """Add what a client has under `name` to `flat`."""
    if isinstance(value, dict):
        attributes = value["="]
        outer, _, last = name.rpartition(".")
        prefix = name if last not in _TRANSPARENT else outer
        if attributes.get("condType") in _CONDITION_VALUES:
            attributes = attributes | {"value": attributes[_CONDITION_VALUES[attributes["condType"]]]}
        for key, item in attributes.items():
            flatten_plain(f"{prefix}.{key}" if prefix else key, item, flat)
    elif isinstance(value, list):
        for row in value:
            if isinstance(row, list):
                for place, item in enumerate(row):
                    flatten_plain(f"{name}.{place}", item, flat)
            else:
                flatten_plain(name, row, flat)
    else:
        flat.setdefault(name, []).append(value)


_UNSET = {"1.7976931348623157e+308", "1.7976931348623157E308", "1.7976931348623157E+308", "2147483647",
          "9223372036854775807", "170141183460469231731687303715884105727", "", "0", "0.0", "-1", "False"}  # fmt: skip


def same(ours: Any, theirs: Any) -> bool:
    """Say whether a value means the same on both sides; an unset one has several spellings."""
    if ours is None or ours == "":
        return theirs is None or str(theirs) in _UNSET or _number(theirs) == _number("1.7976931348623157E308")
    if isinstance(ours, bool):
        return str(theirs) in (("True", "1") if ours else ("False", "0", "None", "2147483647"))
    if isinstance(ours, str) and ours == str(theirs):
        return True
    if isinstance(theirs, bool):
        theirs = int(theirs)
    number = _number(theirs)
    return number is not None and _number(ours) is not None and abs(_number(ours) - number) < Decimal("1e-9")


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else Decimal("1e400")


# What a client reads and does not hand on: deprecated, or folded into something else.
DROPPED = {
    "sharesAllocation", "eTradeOnly", "firmQuoteOnly", "nbboPriceCap", "mdSizeMultiplier", "faProfile", "attribs",
    "mask", "ticks.mask", "hasDeltaNeutral", "conditions.condType",
}  # fmt: skip

# What the protobuf messages have no place for, or hand on in another shape.
NOT_IN_PROTOBUF = {
    "auctionStrategy", "basisPoints", "basisPointsType", "components.bit", "components.exchange",
    "components.exchangeLetter",
}  # fmt: skip

# Maps in protobuf, whose order means nothing.
MAPS = ("smartComboRoutingParams", "algoParams", "secIdList")


def differences(
    name: str,
    values: dict[str, Any],
    result: dict[str, Any],
    *,
    is_protobuf: bool = False,
    dropped: tuple[str, ...] = (),
) -> list[str]:
    """Return what the client understood otherwise; `dropped` names what it reads and forgets."""
    if "failed" in result or result["logged"]:
        return [result.get("failed") or result["logged"][0]]
    reasons = [f"{result['rest']} fields are left unread"] if result["rest"] else []
    theirs = flatten_calls(result)
    for key, ours in flatten_values(values).items():
        if key in DROPPED or key in dropped or (is_protobuf and key in NOT_IN_PROTOBUF):
            continue
        found = next((theirs[word] for word in words_of(name, key) if word in theirs), None)
        if key == "conditions.conjunction":
            found = [{True: "a", False: "o"}.get(word, word) for word in found or ()]
        if (name, key) == ("tickByTick", "tickType"):
            continue  # it says which of three calls is made
        if name == "tickPrice" and found is not None:
            found = found[:1]  # the client makes a size of its own of it
        if found is None:
            if result["calls"] or any(value not in (None, "", 0, False) for value in ours if key != "reqId"):
                reasons.append(f"{key} is nowhere; there are {sorted(theirs)}")
        elif not agree(ours, found, is_ordered=not (is_protobuf and key.startswith(MAPS))):
            reasons.append(f"{key} = {ours} is read as {found}")
    return reasons


def flatten_calls(result: dict[str, Any]) -> Flat:
    """Return what the client handed to its user, by its own names."""
    flat: Flat = {}
    for _, arguments in result.get("calls", ()):
        for key, value in arguments:
            flatten_plain(key, value, flat)
    return flat


def alike(one: list[Any], other: list[Any]) -> bool:
    """Say whether two lists of a client's values are equal; the unset values of its types are one."""
    return len(one) == len(other) and all(
        same(first, second) or (_is_unset(first) and _is_unset(second))
        for first, second in zip(one, other, strict=True)
    )


def _is_unset(value: Any) -> bool:
    return value is None or str(value) in _UNSET


def agree(ours: list[Any], found: list[Any], *, is_ordered: bool) -> bool:
    """Say whether the values are the same, row by row; a value of the whole message may come with every row."""
    if len(ours) == 1 and len(found) > 1:
        return all(same(ours[0], one) for one in found)
    if not is_ordered:
        ours, found = sorted(ours), sorted(found)
    return len(ours) == len(found) and all(same(one, other) for one, other in zip(ours, found, strict=True))


# Our words and the client's, where they differ; "message.word" counts for that message only.
_WORDS: dict[str, tuple[str, ...]] = {
    "reqId": ("tickerId", "requestId"),
    "account": ("accountName", "acctNumber", "execution.acctNumber", "accountID", "acctCode"),
    "lastTradeDate": ("lastTradeDateOrContractMonth",),
    "lastTradeDay": ("lastTradeDate",),
    "code": ("errorCode",),
    "text": ("errorString",),
    "rejectJson": ("advancedOrderRejectJson",),
    "error.time": ("errorTime",),
    "updateAccountTime.time": ("timeStamp", "timestamp"),
    "time": ("execution.time", "time_"),
    "execExchange": ("execution.exchange",),
    "deltaNeutralContractConId": ("deltaNeutralContract.conId",),
    "deltaNeutralDelta": ("deltaNeutralContract.delta",),
    "deltaNeutralPrice": ("deltaNeutralContract.price",),
    "deltaNeutralValidation.conId": ("deltaNeutralContract.conId",),
    "deltaNeutralValidation.delta": ("deltaNeutralContract.delta",),
    "deltaNeutralValidation.price": ("deltaNeutralContract.price",),
    "softDollarTierName": ("softDollarTier.name",),
    "softDollarTierValue": ("softDollarTier.val",),
    "softDollarTierDisplayName": ("softDollarTier.displayName",),
    "tiers.value": ("tiers.val",),
    "commission": ("commissionAndFees",),
    "minCommission": ("minCommissionAndFees",),
    "maxCommission": ("maxCommissionAndFees",),
    "commissionCurrency": ("commissionAndFeesCurrency",),
    "yield": ("yield_",),
    "conditions.conjunction": ("conditions.isConjunctionConnection",),
    "value": ("val",),
    "accounts": ("accountsList",),
    "faDataType": ("faData", "_faDataType"),
    "xml": ("cxml", "faXmlData"),
    "count": ("barCount",),
    "wap": ("average",),
    "message": ("newsMessage",),
    "start": ("startDateTime",),
    "end": ("endDateTime",),
    "open": ("open_",),
    "expirations.expiration": ("expirations",),
    "strikes.strike": ("strikes",),
    "legs": ("legsStr",),
    "entries.size": ("items.count",),
    "orderBound.permId": ("reqId",),
    "orderBound.clientId": ("apiClientId",),
    "orderBound.orderId": ("apiOrderId",),
    "permissions": ("snapshotPermissions",),
    "timestamp": ("headTimestamp", "timeStamp"),
    "daily": ("dailyPnL",),
    "unrealized": ("unrealizedPnL",),
    "realized": ("realizedPnL",),
    "position": ("pos", "posSize"),
    "key": ("tag",),
    "originExch": ("origExchange",),
    "marketDataType": ("marketDataId",),
    "nextValidId.orderId": ("reqId",),
    "conditions.exchange": ("conditions.exch",),
    "samples.derivativeSecTypes.secType": ("contractDescriptions.derivativeSecTypes",),
    "familyCode": ("familyCodeStr",),
    "listing": ("listingExch",),
    "dataType": ("serviceDataType",),
    "bit": ("bitNumber",),
    "ineligibilityReasons.id": ("ineligibilityReasonList.id_",),
    "xyzChallenge": ("xyzChallange",),
}

_GROUPS: dict[str, tuple[str, ...]] = {
    "components": ("smartComponentMap", "map"),
    "providers": ("newsProviders",),
    "entries": ("items",),
    "increments": ("priceIncrements",),
    "ineligibilityReasons": ("ineligibilityReasonList",),
    "samples": ("contractDescriptions",),
    "exchanges": ("depthMktDataDescriptions",),
    "codes": ("familyCodes",),
    "bars": ("",),
    "elements": ("",),
}


def words_of(name: str, key: str) -> list[str]:
    """Return the words a client may have for one of ours, the likeliest first."""
    group, _, last = key.rpartition(".")
    words = (*_WORDS.get(f"{name}.{key}", ()), *_WORDS.get(key, ()), *_WORDS.get(last, ()), last, f"execution.{last}")
    if not group:
        return list(words)
    groups = (*_GROUPS.get(group, ()), group)
    return [*_WORDS.get(key, ()), *(f"{one}.{word}" if one else word for one in groups for word in words)]
