"""`--help` of every front door answers without the heavy libraries."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.front_doors import ROOT, existing

HEAVY = ("numpy", "pandas", "numba", "ib_async", "pyarrow")

# Runs a front door as the interpreter would and tells, after its exit, what it has imported.
PROBE = """
import json, runpy, sys
door = sys.argv[1]
sys.argv = [door, "--help"]
code = None
try:
    if door.endswith(".py"):
        runpy.run_path(door, run_name="__main__")
    else:
        runpy.run_module(door, run_name="__main__", alter_sys=True)
except SystemExit as stop:
    code = stop.code
print("\\n" + json.dumps({"code": code, "modules": sorted(sys.modules)}))
"""


@pytest.mark.parametrize("door", existing())
def test_help_imports_nothing_heavy(door: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, door],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *said, last = done.stdout.strip().splitlines()
    found = json.loads(last)
    assert found["code"] in (0, None), done.stdout
    assert any("usage" in line.lower() for line in said), done.stdout
    assert [name for name in HEAVY if name in found["modules"]] == []


def test_the_probe_sees_a_heavy_import(tmp_path: Path) -> None:
    door = tmp_path / "door.py"
    door.write_text("import numpy\nprint('usage')\n")
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(door)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "numpy" in json.loads(done.stdout.strip().splitlines()[-1])["modules"]
