"""Modules and functions keep the size a reader can hold."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE_LINES, FUNCTION_LINES = 600, 70
FOLDERS = ("quant_trading", "strategies", "scripts", "benchmarks", "tests", "web/backend")


def sources() -> list[Path]:
    """Return every Python file of ours, the extensionless bootstrap included."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts]
    return sorted([*files, *ROOT.glob("*.py"), ROOT / "desk"])


def long_functions(text: str) -> Iterator[str]:
    """Yield every function of more than FUNCTION_LINES lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{node.name} at line {node.lineno} has {lines} lines"


def test_no_module_is_longer_than_allowed() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MODULE_LINES} == {}


def test_no_function_is_longer_than_allowed() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {what}" for path in sources() for what in long_functions(path.read_text("utf-8"))
    ]
    assert found == []


def test_a_long_function_is_seen() -> None:
    body = "    x = 1\n"
    assert list(long_functions("def f():\n" + body * (FUNCTION_LINES - 1))) == []
    assert list(long_functions("def f():\n" + body * FUNCTION_LINES)) == ["f at line 1 has 71 lines"]
