"""Differences between two transcripts: each field by its name, and what may differ is left out."""

from quant_trading.tws_sim.differences import IGNORED, differences
from quant_trading.tws_sim.transcript import Record, Transcript, parse_record


def of(*lines: str) -> Transcript:
    return Transcript(tuple(parse_record(f"0.{place:06d} {line}") for place, line in enumerate(lines)))


def shown(left: Transcript, right: Transcript, ignored: tuple[str, ...] = IGNORED) -> list[str]:
    return [str(difference) for difference in differences(left, right, ignored)]


TICK = "< 1 tickPrice version=6 reqId={req} tickType=1 price={price} size=5 attribs=0"
STATUS = '< 1 orderStatus orderId=1 status=Filled filled=1 remaining=0 avgFillPrice=2 permId={perm} parentId=0 lastFillPrice=2 clientId=1 whyHeld="" mktCapPrice=0'  # noqa: E501


def test_equal_ones_have_none() -> None:
    one = of("> 1 reqCurrentTime version=1", TICK.format(req=1, price=2))
    assert differences(one, one) == []


def test_line_times_and_the_interleaving_of_the_directions_do_not_matter() -> None:
    ask, tick = "> 1 reqCurrentTime version=1", TICK.format(req=1, price=2)
    assert differences(of(ask, tick), of(tick, ask)) == []


def test_a_field_is_named_with_its_row() -> None:
    bars = '< 1 historicalData reqId=3 start="" end="" bars=2 [date=1 open=1 high=1 low=1 close=1 volume=1 wap=1 count=1] [date=2 open={} high=1 low=1 close=1 volume=1 wap=1 count=1]'  # noqa: E501
    assert shown(of(bars.format("1")), of(bars.format("1.5"))) == [
        "connection 1 < message 1 historicalData: bars[1].open 1 -> 1.5"
    ]


def test_permanent_ids_and_clocks_are_left_out_by_rule() -> None:
    left = of(STATUS.format(perm=1), "< 1 currentTime version=1 time=5")
    right = of(STATUS.format(perm=2), "< 1 currentTime version=1 time=6")
    assert differences(left, right) == []
    assert shown(left, right, ()) == [
        "connection 1 < message 1 orderStatus: permId 1 -> 2",
        "connection 1 < message 2 currentTime: time 5 -> 6",
    ]


def test_a_permanent_id_within_a_sentence_is_left_out_too() -> None:
    error = '< 1 error version=2 reqId=1 code=161 text="Cancel attempted.  Order permId = {}" rejectJson=""'
    left, right = of(error.format(17)), of(error.format(18))
    assert differences(left, right) == []
    assert len(shown(left, right, ())) == 1
    assert len(shown(left, of(error.format("x")))) == 1


def test_a_rule_of_ones_own() -> None:
    left, right = of(TICK.format(req=1, price=2)), of(TICK.format(req=1, price=3))
    assert shown(left, right, (*IGNORED, "tick*.price")) == []


def test_a_missing_and_a_new_message_leave_the_others_alone() -> None:
    one, two, three = (TICK.format(req=req, price=req) for req in (1, 2, 3))
    missing = shown(of(one, two, three), of(one, three))
    assert missing == [
        "connection 1 < message 2 tickPrice: missing: version=6 reqId=2 tickType=1 price=2 size=5 attribs=0"
    ]
    new = shown(of(one, three), of(one, two, three))
    assert new == ["connection 1 < message 2 tickPrice: new: version=6 reqId=2 tickType=1 price=2 size=5 attribs=0"]


def test_rows_that_are_there_on_one_side_only() -> None:
    left = of("< 1 familyCodes codes=1 [account=A familyCode=x]")
    right = of('< 1 familyCodes codes=2 [account=A familyCode=x] [account=B familyCode=""]')
    assert [(d.field, d.left, d.right) for d in differences(left, right)] == [
        ("codes", "1", "2"), ("codes[1].account", None, "B"), ("codes[1].familyCode", None, ""),
    ]  # fmt: skip


def test_bytes_are_compared_as_they_are() -> None:
    assert shown(of("> 1 bytes hex=00ff"), of("> 1 bytes hex=00fe")) == [
        "connection 1 > message 1 bytes: bytes 00ff -> 00fe"
    ]


def test_connections_are_not_mixed() -> None:
    left = of(TICK.format(req=1, price=2), TICK.format(req=1, price=3).replace("< 1", "< 2"))
    right = Transcript((*left.records[:1], Record(0, 3, *_rest(left.records[1]))))
    assert [(d.connection, d.left is None) for d in differences(left, right)] == [(2, False), (3, True)]


def _rest(record: Record) -> tuple:
    return record.direction, record.kind, record.name, record.fields, record.payload
