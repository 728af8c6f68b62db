"""Why a connection failed: what was found for each of the six usual causes.

`probe_ports` looks, `Evidence` holds what was seen, `explain` judges; the last two are pure, so each
combination can be tested without a socket.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from quant_trading.core.account_guard import is_paper_account

__all__ = ["WELL_KNOWN_PORTS", "Evidence", "Finding", "Verdict", "explain", "format_findings", "probe_ports"]

WELL_KNOWN_PORTS = {7497: "TWS paper", 7496: "TWS live", 4002: "Gateway paper", 4001: "Gateway live"}


class Verdict(Enum):
    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One of the six points.

    Attributes:
        title: the claim that must hold.
        verdict: whether it does, as far as could be seen from here.
        detail: what was found, or what to look at.
    """

    title: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one attempt to connect showed.

    Attributes:
        host, port, client_id: where and as whom.
        tcp: "accepted", "refused", "timeout", "unresolved", "failed", or "" when not tried.
        handshake: "answered", "silent", "closed", "not_tws", or "" when not reached.
        server_version: of the answer, 0 without one.
        opening: first bytes of a peer that is not TWS.
        accounts: what TWS said the login manages.
        client_id_in_use: TWS answered 326.
        other_ports: well-known ports of the same host that accept; None when not probed.
    """

    host: str
    port: int
    client_id: int
    tcp: str = ""
    handshake: str = ""
    server_version: int = 0
    opening: bytes = b""
    accounts: tuple[str, ...] = ()
    client_id_in_use: bool = False
    other_ports: tuple[int, ...] | None = None

    @property
    def is_session(self) -> bool:
        """Return True when TWS answered and named its accounts."""
        return self.handshake == "answered" and bool(self.accounts) and not self.client_id_in_use


async def probe_ports(host: str, ports: Iterable[int], timeout_seconds: float) -> tuple[int, ...]:
    """Return those of `ports` that accept a TCP connection; nothing is said to them."""
    wanted = tuple(ports)
    answers = await asyncio.gather(*(_accepts(host, port, timeout_seconds) for port in wanted))
    return tuple(port for port, accepts in zip(wanted, answers, strict=True) if accepts)


async def _accepts(host: str, port: int, timeout_seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        transport, _ = await asyncio.wait_for(loop.create_connection(asyncio.Protocol, host, port), timeout_seconds)
        transport.close()
        await asyncio.sleep(0)  # one turn of the loop lets the transport close its socket
        return True
    return False


def explain(evidence: Evidence) -> list[Finding]:
    """Return the six points of the troubleshooting list, judged by `evidence`."""
    return [
        Finding("TWS is running and logged into Paper Trading account", *_running(evidence)),
        Finding("API settings are properly configured", *_settings(evidence)),
        Finding(f"Port {evidence.port} is available", *_port(evidence)),
        Finding("Windows firewall allows TWS connections", *_firewall(evidence)),
        Finding("No other API connections are occupying TWS", *_others(evidence)),
        Finding("Each script uses a different client ID to avoid conflicts", *_client_id(evidence)),
    ]


def format_findings(findings: Iterable[Finding]) -> str:
    """Return the list as text, one numbered line per point."""
    return "\n".join(
        f"  {number}. [{finding.verdict.value}] {finding.title}: {finding.detail}"
        for number, finding in enumerate(findings, start=1)
    )


_Judged = tuple[Verdict, str]


def _running(seen: Evidence) -> _Judged:
    where = f"{seen.host}:{seen.port}"
    if seen.accounts:
        names = ", ".join(seen.accounts)
        if all(is_paper_account(account) for account in seen.accounts):
            return Verdict.OK, f"TWS answered with paper account {names}"
        return Verdict.FAILED, f"TWS answered, but {names} is a live account"
    if seen.tcp == "refused":
        return Verdict.FAILED, f"nothing listens on {where}{_elsewhere(seen)}"
    if seen.tcp == "unresolved":
        return Verdict.FAILED, f"the host name {seen.host!r} is not known; use 127.0.0.1 for this machine"
    if seen.handshake == "silent":
        return Verdict.NOT_CHECKED, f"{where} accepts but says nothing; look for a login or a question window in TWS"
    if seen.handshake == "answered":
        return Verdict.OK, f"TWS answered (server version {seen.server_version}), accounts not named yet"
    return Verdict.NOT_CHECKED, "TWS was not reached; look at its window"


def _elsewhere(seen: Evidence) -> str:
    if not seen.other_ports:
        return ""
    known = ", ".join(f"{port} ({WELL_KNOWN_PORTS.get(port, 'other')})" for port in seen.other_ports)
    return f"; something listens on {known}"


def _settings(seen: Evidence) -> _Judged:
    if seen.handshake == "answered":
        return Verdict.OK, f"the API answered, server version {seen.server_version}"
    menu = "Edit > Global Configuration > API > Settings"
    if seen.handshake == "closed":
        return Verdict.FAILED, f"TWS closed the connection at once: allow {seen.host} under {menu} > Trusted IPs"
    return Verdict.NOT_CHECKED, f"{menu}: Enable ActiveX and Socket Clients on, Socket port {seen.port}"


def _port(seen: Evidence) -> _Judged:
    if seen.handshake == "not_tws":
        return Verdict.FAILED, f"another program answers there; its first bytes are {seen.opening!r}"
    if seen.tcp == "refused":
        return Verdict.FAILED, f"{seen.host}:{seen.port} refused the connection{_elsewhere(seen)}"
    if seen.tcp == "accepted":
        whose = "TWS" if seen.handshake == "answered" else "an unknown program"
        return Verdict.OK, f"{whose} accepts connections there"
    return Verdict.NOT_CHECKED, f"{seen.host}:{seen.port} gave no answer"


def _firewall(seen: Evidence) -> _Judged:
    if seen.tcp == "accepted":
        return Verdict.OK, "the connection was let through"
    if seen.tcp == "timeout":
        return (
            Verdict.FAILED,
            f"packets to {seen.host}:{seen.port} vanish; allow TWS in the firewall or correct the host",
        )
    return Verdict.NOT_CHECKED, "cannot be seen from here; a firewall mostly shows as silence, not as a refusal"


def _others(seen: Evidence) -> _Judged:
    if seen.client_id_in_use:
        return Verdict.FAILED, f"another program is connected with client id {seen.client_id}"
    if seen.is_session:
        return Verdict.OK, "TWS opened a session"
    return Verdict.NOT_CHECKED, "no session was opened; TWS takes at most 32 clients"


def _client_id(seen: Evidence) -> _Judged:
    if seen.client_id_in_use:
        return Verdict.FAILED, f"client id {seen.client_id} is in use (error 326); end that program or pass another id"
    if seen.is_session:
        return Verdict.OK, f"client id {seen.client_id} was accepted"
    return Verdict.NOT_CHECKED, f"client id {seen.client_id} was not judged by TWS yet"
