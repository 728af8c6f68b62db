"""Modules and functions keep the size a reader can hold."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE_LINES, FUNCTION_LINES = 600, 70
FOLDERS = ("quant_trading", "strategies", "scripts", "benchmarks", "tests", "web/backend")


def sources() -> list[Path]:
    """Return every Python file of ours, the extensionless bootstrap included."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts]
    return sorted([*files, *ROOT.glob("*.py"), ROOT / "desk"])


def long_functions(text: str) -> Iterator[str]:
    """Yield every function of more than FUNCTION_LINES lines."""
    todo: list[ast.AST] = [ast.parse(text)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{node.name} at line {node.lineno} has {lines} lines"
        # Functions stand among statements only: a walk through every expression takes three times as long.
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inside = getattr(node, name, None)
            todo += inside if isinstance(inside, list) else []


def test_no_module_is_longer_than_allowed() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MODULE_LINES} == {}


@pytest.mark.slow
def test_no_function_is_longer_than_allowed() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {what}" for path in sources() for what in long_functions(path.read_text("utf-8"))
    ]
    assert found == []


def test_a_long_function_is_seen() -> None:
    body = "    x = 1\n"
    assert list(long_functions("def f():\n" + body * (FUNCTION_LINES - 1))) == []
    assert list(long_functions("def f():\n" + body * FUNCTION_LINES)) == ["f at line 1 has 71 lines"]


@pytest.mark.parametrize(
    "around",
    [
        "class A:", "def g():", "async def g():", "if a:", "if a: pass\nelse:", "if a: pass\nelif b:", "for a in b:",
        "while a: pass\nelse:", "with a:", "try:", "try: pass\nexcept A:", "try: pass\nfinally:",
        "match a:\n case 1:",
    ],
)  # fmt: skip
def test_a_long_function_is_seen_wherever_it_stands(around: str) -> None:
    text = f"{around}\n  async def f():\n" + "    x = 1\n" * FUNCTION_LINES
    text += "finally: pass\n" if around == "try:" else ""
    assert [what.partition(" ")[0] for what in long_functions(text) if what.startswith("f ")] == ["f"]
