"""A command as a process: in a child, for what it sets is for good."""

import os
import subprocess
import sys

import pytest

SHOW = """
import gc, os, sys
from quant_trading.process import run_command
def main():
    print(gc.isenabled(), gc.get_threshold()[0] > 10_000, os.environ["OPENBLAS_THREAD_TIMEOUT"], gc.get_freeze_count())
    {end}
try:
    code = run_command(main)
finally:
    print(gc.get_freeze_count() > 0)
sys.exit(code)
"""


@pytest.mark.parametrize(("end", "code"), [("return 3", 3), ("sys.exit(4)", 4), ("raise KeyError", 1)])
def test_the_code_is_that_of_the_command_however_it_ends(end: str, code: int) -> None:
    surroundings = {name: value for name, value in os.environ.items() if name != "OPENBLAS_THREAD_TIMEOUT"}
    command = [sys.executable, "-c", SHOW.format(end=end)]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "True True 4 0\nTrue\n")


def test_what_the_environment_says_of_threads_stands() -> None:
    surroundings = os.environ | {"OPENBLAS_THREAD_TIMEOUT": "20"}
    command = [sys.executable, "-c", SHOW.format(end="return 0")]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True)
    assert done.stdout.split()[2] == "20"


def test_numpy_is_imported_later() -> None:
    code = "import sys, quant_trading.process; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
