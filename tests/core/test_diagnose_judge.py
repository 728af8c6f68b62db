"""The judge of the doctor alone: which facts make which finding, on both sides of each boundary."""

from datetime import date
from typing import Any

import pytest

from quant_trading.core.diagnose_judge import Answer, Facts, Said, Target, judge_failure, judge_session
from quant_trading.core.diagnose_table import Finding, Severity
from quant_trading.core.troubleshooting import Evidence
from quant_trading.refdata.sessions import at

MORNING_NS = at(date(2026, 11, 19), "10:00")

TARGET = Target("127.0.0.1", 7497, 18)


def facts(said: tuple[Said, ...] = (), **more: Any) -> Facts:
    """Return a session in which all was well, but for `more`."""
    done = {
        name: Answer("complete", number) for number, name in enumerate(("contract", "quote", "history", "order"), 1)
    }
    given = {"clock": Answer("complete"), "skew_seconds": 0.1, "data_type": 1, **done, **more}
    return Facts(MORNING_NS, 178, 178, ("DU1234567",), list(said), **given)


def ids(findings: list[Finding]) -> list[str]:
    """Return the ids of what is not fine."""
    return [one.id for one in findings if one.severity is not Severity.OK]


@pytest.mark.parametrize(
    ("seconds", "id"),
    [(0.0, ""), (2.0, ""), (-2.0, ""), (2.1, "clock-skew"), (-2.1, "clock-skew"), (800, "clock-skew"),
     (839, "clock-skew"), (841, "clock-zone"), (900, "clock-zone"), (959, "clock-zone"), (961, "clock-skew"),
     (1800.5, "clock-zone"), (-3600, "clock-zone"), (19_800, "clock-zone")],
)  # fmt: skip
def test_a_clock_that_is_off_by_quarters_of_an_hour_is_in_the_wrong_zone(seconds: float, id: str) -> None:
    assert "".join(ids(judge_session(TARGET, facts(skew_seconds=seconds)))) == id


@pytest.mark.parametrize(
    ("codes", "id"),
    [
        ((2103, 2104), ""),
        ((2104, 2103), "market-farm-down"),
        ((2103, 2108), ""),
        ((2105, 2107), ""),
        ((2157, 2158), ""),
        ((2103, 2106), "market-farm-down"),  # another farm is OK
        ((1100, 1102), ""),
        ((1100, 1101), ""),
        ((1102, 1100), "link-lost"),
        ((2110, 1102), ""),
    ],
)
def test_the_last_word_about_a_farm_counts(codes: tuple[int, ...], id: str) -> None:
    said = tuple(Said(-1, code, "Some farm connection:usfarm") for code in codes)
    assert "".join(ids(judge_session(TARGET, facts(said)))) == id


def test_a_farm_of_another_name_is_another_farm() -> None:
    said = (Said(-1, 2103, "broken:usfarm"), Said(-1, 2104, "OK:cashfarm"))
    assert (ids(judge_session(TARGET, facts(said)))) == ["market-farm-down"]


def test_remarks_about_a_what_if_order_are_no_refusal() -> None:
    said = (Said(4, 399, "will not be placed until the open"), Said(4, 2109, "outsideRth is ignored"))
    assert ids(judge_session(TARGET, facts(said))) == []


def test_codes_of_other_requests_are_not_about_the_quote() -> None:
    assert ids(judge_session(TARGET, facts((Said(9, 354, "not subscribed"),)))) == []


@pytest.mark.parametrize(
    ("evidence", "id"),
    [
        ({"tcp": "failed"}, "tws-failed"),
        ({"tcp": "accepted", "handshake": "answered", "server_version": 178, "accounts": ("DU1",)}, "tws-failed"),
        ({"tcp": "accepted", "handshake": "answered", "server_version": 178}, "tws-failed"),
        ({"tcp": "accepted", "handshake": "answered", "server_version": 156}, "tws-too-old"),
    ],
)
def test_why_no_session_was_opened(evidence: dict[str, Any], id: str) -> None:
    seen = Evidence("127.0.0.1", 7497, 18, **evidence)
    finding = judge_failure(TARGET, seen, "it went wrong; do this", MORNING_NS, (157, 178))
    assert finding.id == id
    assert "do this" not in finding.seen
