"""The six points: each is judged by what was seen, and says so."""

import re
from dataclasses import replace

import pytest

from quant_trading.core.troubleshooting import Evidence, Verdict, explain, format_findings

SEEN = Evidence("127.0.0.1", 7497, 12)
SESSION = replace(SEEN, tcp="accepted", handshake="answered", server_version=178, accounts=("DU1",))


def _verdicts(evidence: Evidence) -> list[str]:
    return [finding.verdict.name for finding in explain(evidence)]


OK, FAILED, OPEN = Verdict.OK.name, Verdict.FAILED.name, Verdict.NOT_CHECKED.name


# The points: TWS runs, API settings, port, firewall, other connections, client id.
@pytest.mark.parametrize(
    ("evidence", "verdicts"),
    [
        (SEEN, [OPEN, OPEN, OPEN, OPEN, OPEN, OPEN]),
        (replace(SEEN, tcp="refused"), [FAILED, OPEN, FAILED, OPEN, OPEN, OPEN]),
        (replace(SEEN, tcp="timeout"), [OPEN, OPEN, OPEN, FAILED, OPEN, OPEN]),
        (replace(SEEN, tcp="unresolved"), [FAILED, OPEN, OPEN, OPEN, OPEN, OPEN]),
        (replace(SEEN, tcp="accepted", handshake="silent"), [OPEN, OPEN, OK, OK, OPEN, OPEN]),
        (replace(SEEN, tcp="accepted", handshake="closed"), [OPEN, FAILED, OK, OK, OPEN, OPEN]),
        (replace(SEEN, tcp="accepted", handshake="not_tws", opening=b"HTTP"), [OPEN, OPEN, FAILED, OK, OPEN, OPEN]),
        (replace(SESSION, accounts=(), client_id_in_use=True), [OK, OK, OK, OK, FAILED, FAILED]),
        (SESSION, [OK, OK, OK, OK, OK, OK]),
        (replace(SESSION, accounts=("U1",)), [FAILED, OK, OK, OK, OK, OK]),
    ],
)
def test_verdicts(evidence: Evidence, verdicts: list[str]) -> None:
    assert _verdicts(evidence) == verdicts


def test_the_list_has_the_specifications_six_points_in_its_order() -> None:
    text = format_findings(explain(SEEN))
    wanted = [
        "TWS is running and logged into Paper Trading account",
        "API settings are properly configured",
        "Port 7497 is available",
        "Windows firewall allows TWS connections",
        "No other API connections are occupying TWS",
        "Each script uses a different client ID to avoid conflicts",
    ]
    assert re.findall(r"^  \d\. \[[a-z ]+\] ([^:]+):", text, flags=re.M) == wanted


def test_another_port_that_listens_is_named() -> None:
    text = format_findings(explain(replace(SEEN, tcp="refused", other_ports=(7496,))))
    assert "something listens on 7496 (TWS live)" in text


def test_what_is_not_tws_is_shown() -> None:
    assert "b'HTTP/1.1'" in format_findings(explain(replace(SEEN, handshake="not_tws", opening=b"HTTP/1.1")))
