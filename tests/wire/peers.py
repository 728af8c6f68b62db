"""The official clients, each in an environment of its own.

QT_PYTHON_IBAPI (9.81) and QT_PYTHON_NAUTILUS_IBAPI_1019, _1030, _1037 and _1046 (the last two with protobuf beside
them) name their interpreters, as `.ci/run --clients` sets them up.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

DRIVER = Path(__file__).parent / "official" / "driver.py"

PEERS = {
    "QT_PYTHON_IBAPI": 157,
    "QT_PYTHON_NAUTILUS_IBAPI_1019": 176,
    "QT_PYTHON_NAUTILUS_IBAPI_1030": 187,
    "QT_PYTHON_NAUTILUS_IBAPI_1037": 203,
    "QT_PYTHON_NAUTILUS_IBAPI_1046": 225,
}
"""The variable that names each client's interpreter, and the highest version it speaks."""


def ask_peer(variable: str, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the client's result for each task, in order; skips the test when there is no such client."""
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"no official client: set {variable} to a Python that has it")
    lines = "".join(json.dumps(task) + "\n" for task in tasks)
    done = subprocess.run([python, str(DRIVER)], input=lines, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(tasks)
    return results
