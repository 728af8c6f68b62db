"""Transcripts: readable lines from which exactly the same bytes come back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.fields import encode
from quant_trading.tws_sim.recorder import Recorder
from quant_trading.tws_sim.responses import RESPONSE_NAMES
from quant_trading.tws_sim.transcript import (
    Direction,
    Kind,
    Record,
    Transcript,
    TranscriptError,
    format_record,
    format_transcript,
    name_fields,
    parse_record,
    parse_transcript,
)
from quant_trading.tws_sim.wire import encode_frame
from tests.tws_sim.test_recorder import VERSION, framed, greeting, recorded, said, text_frame

BAR = {"date": "20261118", "open": 1, "high": 2.5, "low": 1, "close": 2, "volume": 10, "wap": 1.5, "count": 3}


# The lines


def test_a_session_reads_like_this() -> None:
    records = recorded([
        *greeting(),
        (Direction.CLIENT, text_frame("startApi", Direction.CLIENT, clientId=1)),
        (Direction.SERVER, text_frame("managedAccounts", Direction.SERVER, accounts="DU7654321")),
        (Direction.SERVER, text_frame("historicalData", Direction.SERVER, reqId=3, bars=[BAR, BAR])),
        (Direction.SERVER, text_frame("error", Direction.SERVER, reqId=4, code=201, text='no "cash" at all')),
        (Direction.CLIENT, encode_frame(["999", "x"])),
    ], is_scrubbed=True)  # fmt: skip
    bar = "[date=20261118 open=1 high=2.5 low=1 close=2 volume=10 wap=1.5 count=3]"
    assert [format_record(record) for record in records] == [
        "0.000000 * 1 opened",
        "0.000001 > 1 hello text=v157..178",
        '0.000002 < 1 version serverVersion=178 time="20261119 10:00:00 EST"',
        '0.000003 > 1 startApi version=2 clientId=1 optionalCapabilities=""',
        "0.000004 < 1 managedAccounts version=1 accounts=DU0000001",
        f'0.000005 < 1 historicalData reqId=3 start="" end="" bars=2 {bar} {bar}',
        r'0.000006 < 1 error version=2 reqId=4 code=201 text="no \"cash\" at all" rejectJson=""',
        "0.000007 > 1 #999 ?1=x",
        "0.000008 * 1 closed by=client how=end",
    ]


def test_rows_within_rows_keep_their_places() -> None:
    derivatives = [{"secType": "OPT"}, {"secType": "WAR"}]
    samples = [{"conId": 1, "derivativeSecTypes": derivatives}, {"conId": 2, "derivativeSecTypes": []}]
    texts = tuple(encode(RESPONSE_NAMES["symbolSamples"], {"reqId": 5, "samples": samples}, 178))
    name, fields = name_fields(texts, Direction.SERVER, 178)
    record = Record(0, 1, Direction.SERVER, Kind.TEXT, name, fields)
    assert record.get("samples[0].derivativeSecTypes[1].secType") == "WAR"
    assert record.get("samples[1].conId") == "2"
    assert "derivativeSecTypes=2 [secType=OPT] [secType=WAR] description" in format_record(record)
    assert parse_record(format_record(record)) == record


def test_what_the_tables_do_not_know_is_shown_by_place() -> None:
    [*_, cut, surplus, _] = recorded([
        *greeting(),
        (Direction.CLIENT, encode_frame(["1", "11", "7"])),
        (Direction.CLIENT, encode_frame(["49", "1", "more"])),
    ])  # fmt: skip
    assert format_record(cut).endswith("> 1 reqMktData ?1=11 ?2=7")
    assert format_record(surplus).endswith("> 1 reqCurrentTime version=1 ?2=more")


# Nothing is lost

RAW_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
FIELDS = st.lists(RAW_TEXT | st.sampled_from(["0", "1", "2", "", "AAPL", "STK", "1.50", '"', "[", "a=b"]), max_size=80)
IDS = st.integers(0, 120).map(str) | st.sampled_from(["007", "x y", "", "99999999999"])


@given(st.lists(st.tuples(st.sampled_from([Direction.CLIENT, Direction.SERVER]), IDS, FIELDS), max_size=6))
def test_every_text_message_gives_its_bytes_back(messages: list[tuple[Direction, str, list[str]]]) -> None:
    chunks = [*greeting(), *((direction, encode_frame([name, *fields])) for direction, name, fields in messages)]
    records = recorded(chunks)
    again = parse_transcript(format_transcript(Transcript(tuple(records), {"server": "127.0.0.1:7497"})))
    assert again.records == tuple(records)
    assert again.notes == {"server": "127.0.0.1:7497"}
    for direction in (Direction.CLIENT, Direction.SERVER):
        assert said(records, direction) == b"".join(data for speaker, data in chunks if speaker is direction)


def test_what_the_simulator_says_has_a_name_for_every_field() -> None:
    """A session of ours is written without a single field shown by its place."""
    from tests.tws_sim.raw_client import RawClient
    from tests.tws_sim.test_server import market

    lines: list[Record] = []
    recorder = Recorder(lines.append)
    recorder.opened(0, 1)
    client = RawClient(market())
    take = Session.data_to_send

    def tapped(session: Session) -> bytes:
        data = take(session)
        recorder.passed(0, 1, Direction.SERVER, data)
        return data

    recorder.passed(0, 1, Direction.SERVER, framed(VERSION))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "data_to_send", tapped)
        client.order(1)
        client.ask("reqAccountSummary", reqId=2, group="All", tags="NetLiquidation")
        client.ask("reqContractDetails", reqId=3, symbol="ACME", secType="STK", exchange="SMART", currency="USD")
    assert {"openOrder", "execDetails", "accountSummary", "contractDetails"} <= {line.name for line in lines}
    assert [format_record(line) for line in lines if any(path.startswith("?") for path, _ in line.fields)] == []


# Errors


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "expected 'seconds direction connection message fields'"),
        ("0.000000 > 1 noSuchThing a=1", "noSuchThing is no message a client sends"),
        ("0.000000 < 1 placeOrder", "placeOrder is no message a server sends"),
        ("0.000000 * 1 melted", "a connection is opened or closed"),
        ("0.000000 > 1 bytes hex=xyz", "expected hexadecimal"),
        ("0.000000 > 1 reqCurrentTime version", "expected name=value"),
        ("0.000000 > 1 reqCurrentTime [version=1]", "a row in brackets"),
        ("0.000000 > 1 reqCurrentTime version=1]", "closed that was not opened"),
        ("0.000000 < 1 familyCodes codes=1 [account=a", "not closed"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(line: str, words: str) -> None:
    text = format_transcript(Transcript(())) + f"# a remark\n\n{line}\n"
    with pytest.raises(TranscriptError, match=r"^session\.txt:4: .*" + re.escape(words)):
        parse_transcript(text, "session.txt")


def test_another_file_is_refused() -> None:
    with pytest.raises(TranscriptError, match="expected '# tws-transcript 1', received 'Date,Open'"):
        parse_transcript("Date,Open\n", "bars.csv")
