"""The rules of tests/conftest.py hold: each is broken once, in an inner pytest run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow  # a whole pytest for each of them


def inner(tmp_path: Path, text: str, **environment: str) -> str:
    """Run `text` as a test module under our conftest and return what pytest said."""
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_inner.py").write_text(text)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("QT_STRICT", "PYTEST_"))}
    options = [
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        capture_output=True,
        text=True,
        env=clean | environment,
        check=False,
    )
    return done.stdout + done.stderr


SKIPS = """
import pytest
def test_platform(): pytest.skip("other platform: needs Windows")
def test_shared(): pytest.skip("no shared market data (set QT_SHARED)")
@pytest.mark.skipif(True, reason="no client")
def test_client(): ...
@pytest.mark.xfail(reason="known")
def test_known(): assert False
"""


@pytest.mark.parametrize(
    ("environment", "closing"),
    [
        ({}, "3 skipped, 1 xfailed"),
        # A mark skips while the test is set up, which pytest calls an error when it fails.
        ({"QT_STRICT": "1"}, "1 failed, 1 skipped, 1 xfailed, 1 error"),
        ({"QT_STRICT": "1", "QT_STRICT_ALLOW": "shared-data"}, "2 skipped, 1 xfailed, 1 error"),
    ],
)
def test_strict_turns_skips_into_failures(tmp_path: Path, environment: dict[str, str], closing: str) -> None:
    assert closing in inner(tmp_path, SKIPS, **environment)


def test_strict_turns_the_skip_of_a_module_into_an_error(tmp_path: Path) -> None:
    text = 'import pytest\npytest.skip("no client", allow_module_level=True)\n'
    assert "1 skipped" in inner(tmp_path, text)
    said = inner(tmp_path, text, QT_STRICT="1")
    assert "1 error" in said
    assert "skipped under QT_STRICT=1: no client" in said


def test_an_error_record_of_the_client_fails_the_test(tmp_path: Path) -> None:
    text = """
import logging, pytest
def test_bad(): logging.getLogger("ib_async.wrapper").error("cannot decode %s", 17)
def test_warning_is_fine(): logging.getLogger("ib_async.client").warning("slow")
@pytest.mark.expects_client_errors
def test_meant(): logging.getLogger("ib_async.client").error("provoked")
"""
    said = inner(tmp_path, text)
    assert "3 passed, 1 error" in said
    assert "ib_async.wrapper: cannot decode 17" in said


def test_another_machine_is_out_of_reach_even_when_the_refusal_is_swallowed(tmp_path: Path) -> None:
    text = """
import socket
def reach(host):
    with socket.socket() as sock:
        sock.settimeout(1)
        try: sock.connect((host, 9))
        except OSError: pass
def test_outside(): reach("192.0.2.1")
def test_name(): reach("example.org")
def test_loopback(): reach("127.0.0.1")
"""
    said = inner(tmp_path, text)
    assert "3 passed, 2 errors" in said
    assert "tests may connect to 127.0.0.1 only" in said


def test_warnings_are_errors(tmp_path: Path) -> None:
    assert "1 failed" in inner(tmp_path, "import warnings\ndef test_warns(): warnings.warn('old')\n")
