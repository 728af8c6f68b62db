"""Nothing that belongs to one machine, one account or one person is tracked (D8), and D75's list is ignored."""

import ipaddress
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = "tests/repository/test_tracked_files.py"  # full of the very samples that are looked for
VERSIONS = ("1.9.78.123",)  # of backtrader, a peer in the benchmarks; it only looks like an address
DOCUMENTATION = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")  # RFC 5737: addresses of nobody

needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")


@cache
def tracked() -> list[str]:
    """Return the tracked files."""
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@cache
def text_of(file: str) -> str:
    """Return what a tracked file says, nothing for one that is no text."""
    data = (ROOT / file).read_bytes()
    return "" if b"\0" in data else data.decode(errors="replace")


def foreign_address(text: str) -> bool:
    """Return True for an address of somebody's machine: not loopback, not any, not of the documentation ranges."""
    if text in VERSIONS:
        return False
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    fictional = any(address in ipaddress.IPv4Network(network) for network in DOCUMENTATION)
    return not (address.is_loopback or address.is_unspecified or fictional)


def real_account(text: str) -> bool:
    """Return True unless the account number is plainly made up: counting up or down, or of two digits only."""
    digits = text.lstrip("DFU")
    return digits not in "01234567890" and digits not in "09876543210" and len(set(digits)) > 2


def real_path(text: str) -> bool:
    """Return True unless the folder is that of somebody who lives in examples only."""
    return not text.endswith(("/home/trader", "/Users/trader"))


def always(text: str) -> bool:
    """Return True: the pattern alone decides."""
    return bool(text)


# name -> (pattern, the second look at what it matched, a sample that has to be found)
PATTERNS: dict[str, tuple[str, Callable[[str], bool], str]] = {
    "machine path": (r"(?<![\w.~/-])/(?:home|Users|root|work)/[\w.-]+", real_path, "see /home/jmeyer/desk"),
    "Windows path": (r"[A-Za-z]:\\Users\\\w+", always, r"C:\Users\ada"),
    "address": (r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])", foreign_address, "host: 192.168.1.17"),
    "account": (r"\b(?:DU|DF|U|F)\d{6,9}\b", real_account, "account = U4719302"),
    "package index": (
        r"(?:index-url|find-links)[ =]+[\"']?(?:\w+:)?/|\bfile:///\w",
        always,
        "--index-url https://pypi.example.org",
    ),
    "credentials in an address": (r"://[^/\s:@'\"{}<>]+:[^/\s@'\"{}<>]+@", always, "https://ada:s3cret@example.org"),
    "private key": (r"-----BEGIN [A-Z ]*PRIVATE KEY-----", always, "-----BEGIN RSA PRIVATE KEY-----"),
    "access key": (r"\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_\w{30,}|xox[abp]-\w{10,}|sk-\w{20,})", always, "AKIA" + "Q" * 16),
    "written secret": (
        r"(?i)\b(?:password|passwd|secret_key|api_key|auth_token)\s*[:=]\s*[\"'][^\"'<>{}$\s]{8,}[\"']",
        always,
        'password = "correct-horse"',
    ),
}

# A test may write an address to see it overridden, or a secret to see it masked.
INVENTED_IN_TESTS = ("address", "written secret")


def findings(name: str, text: str) -> list[str]:
    """Return what the pattern `name` finds in `text`."""
    pattern, look_again, _ = PATTERNS[name]
    return [match.group() for match in re.finditer(pattern, text) if look_again(match.group())]


@needs_git
@pytest.mark.parametrize("name", PATTERNS)
def test_no_tracked_file_contains(name: str) -> None:
    found = []
    for file in tracked():
        if file == HERE or (name in INVENTED_IN_TESTS and file.startswith("tests/")):
            continue
        found += [f"{file}: {what}" for what in findings(name, text_of(file))]
    assert found == []


@pytest.mark.parametrize("name", PATTERNS)
def test_each_pattern_finds_its_sample(name: str) -> None:
    assert findings(name, PATTERNS[name][2])


HARMLESS = [
    "127.0.0.1:7497",
    "DU1234567",
    "DU0000001",
    "192.0.2.1",
    "ib_async 9.81.1",
    "~/work/x",
    "--no-emit-index-url",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_is_not_found(text: str) -> None:
    assert [what for name in PATTERNS for what in findings(name, text)] == []


@needs_git
@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".venv/bin/python",
        "logs/desk.log",
        "logs/live_trades.csv",
        "logs/live_portfolio.csv",
        "logs/live_snapshot.csv",
        "__pycache__/trade.cpython-311.pyc",
        "quant_trading/core/__pycache__/x.pyc",
        "outputs/backtest_20260102_030405.csv",
    ],
)
def test_local_files_are_ignored(path: str) -> None:
    done = subprocess.run(["git", "-C", str(ROOT), "check-ignore", "-q", "--no-index", path], check=False)
    assert done.returncode == 0


@needs_git
def test_no_ignored_file_is_tracked() -> None:
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""
