"""Strategies are found by name; a broken file stops with its name, line and cause."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quant_trading.domain.bars import BarPanel
from quant_trading.domain.errors import ConfigError
from quant_trading.domain.limits import Limits
from quant_trading.plugins import load_builtin_strategies, load_user_strategies
from quant_trading.strategy import base
from quant_trading.strategy.base import build_strategy, registered_names

STRATEGIES = Path(__file__).resolve().parents[1] / "strategies"
GOOD = """\
from dataclasses import dataclass
from quant_trading.strategy.base import register


@register("{name}")
@dataclass(frozen=True, slots=True)
class Idea:
    size: int = 1
"""


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test its own registry and set of user modules."""
    load_builtin_strategies()
    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("quant_trading_user_strategies"):
            del sys.modules[name]


def test_the_built_in_strategies_are_known() -> None:
    assert {"STATIC", "REVERSAL", "REVERSAL_RANK", "MACD"} <= set(load_builtin_strategies())


def test_a_file_dropped_into_the_folder_is_found_by_its_registered_name(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text(GOOD.format(name="TEST_B"))
    (tmp_path / "a.py").write_text(GOOD.format(name="TEST_A"))
    (tmp_path / "_draft.py").write_text("raise RuntimeError('not to be imported')")
    (tmp_path / "notes.txt").write_text("not Python")
    assert load_user_strategies(tmp_path) == ["TEST_A", "TEST_B"]
    assert {"TEST_A", "TEST_B", "MACD"} <= set(registered_names())
    assert build_strategy("test_a", {"size": 2}).size == 2  # type: ignore[attr-defined]
    assert load_user_strategies(tmp_path) == ["TEST_A", "TEST_B"]


def test_a_missing_folder_holds_no_strategy(tmp_path: Path) -> None:
    assert load_user_strategies(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1\ny = (\n", "line 2: SyntaxError: '(' was never closed; correct it"),
        ("\n\nimport no_such_module_here\n", "line 3: ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("def f():\n    raise RuntimeError('two\\nlines')\nf()\n", "line 2: RuntimeError: two lines; correct it"),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3; correct it"),
        ("x = 1\n", 'registers no strategy; put @register("NAME") over its class'),
        (GOOD.format(name="MACD"), "line 5: strategy MACD is registered twice: quant_trading.strategy.macd and"),
    ],
    ids=["syntax", "import", "raises", "exits", "nothing", "clash"],
)
def test_a_file_that_cannot_be_used_is_named_with_line_and_cause(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "idea.py").write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_user_strategies(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path.name}/idea.py: {message}")
    assert "\n" not in str(caught.value)


def test_a_file_name_that_is_no_module_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my idea.py").write_text(GOOD.format(name="X"))
    with pytest.raises(ConfigError, match=r"my idea\.py: a strategy file is named with letters"):
        load_user_strategies(tmp_path)


def test_a_user_file_never_stands_in_for_a_library(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text(GOOD.format(name="TEST_NUMPY"))
    before = sys.modules["numpy"]
    assert load_user_strategies(tmp_path) == ["TEST_NUMPY"]
    assert sys.modules["numpy"] is before


def test_sma_cross_by_hand() -> None:
    """fast 2, slow 3 on 1, 2, 3, 2, 1: fast 1.5 2.5 2.5 1.5 from bar 1, slow 2 2.333 2 from bar 2."""
    assert "SMA_CROSS" in load_user_strategies(STRATEGIES)
    close = np.array([[1.0], [2.0], [3.0], [2.0], [1.0]])
    start = np.arange(5, dtype=np.int64) * 100
    bars = BarPanel(("A",), "1 day", start, start + 50, close, close.copy(), close.copy(), close.copy(), close * 0)
    strategy = build_strategy("SMA_CROSS", {"fast": 2, "slow": 3})
    signal = strategy.signal(bars)
    np.testing.assert_array_equal(signal[:, 0], [np.nan, np.nan, 1.0, 1.0, 0.0])
    np.testing.assert_array_equal(strategy.target(signal, Limits(0.2, 1.0))[:, 0], [0.0, 0.0, 0.2, 0.2, 0.0])
    assert strategy.warmup == 3
    with pytest.raises(ConfigError, match=r"fast = 20 is not within \[1, slow\)"):
        build_strategy("SMA_CROSS", {"fast": 20})


ALLOWED = ("quant_trading.strategy", "quant_trading.indicators", "quant_trading.domain", "numpy")
PURE_STANDARD = {"collections", "dataclasses", "decimal", "enum", "functools", "itertools", "math", "typing"}


def imported_names(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports reach outside the file"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", sorted(STRATEGIES.glob("*.py")), ids=lambda p: p.name)
def test_a_strategy_imports_the_walk_and_numpy_only(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for name in imported_names(tree):
        is_ours = any(name == allowed or name.startswith(f"{allowed}.") for allowed in ALLOWED)
        assert is_ours or name.split(".")[0] in PURE_STANDARD, f"{path.name} imports {name}"
    called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert not called & {"open", "exec", "eval", "__import__", "print", "input"}
