"""Imports strategies so that they register themselves: the built-in ones, and the files of `strategies/`."""

import importlib
import importlib.util
import re
import sys
from pathlib import Path

from quant_trading.domain.errors import ConfigError, DeskError
from quant_trading.strategy.base import registered_names

__all__ = ["load_builtin_strategies", "load_user_strategies"]

_BUILTIN = ("static", "reversal", "macd")
_FILE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\.py")
# User modules live under a name of their own, so that strategies/numpy.py can never stand in for numpy.
_PREFIX = "quant_trading_user_strategies"


def load_builtin_strategies() -> list[str]:
    """Register STATIC, REVERSAL, REVERSAL_RANK and MACD; return all names known by now."""
    for name in _BUILTIN:
        importlib.import_module(f"quant_trading.strategy.{name}")  # noqa: TID251  # the one module that may
    return list(registered_names())


def load_user_strategies(folder: Path) -> list[str]:
    """Import every strategy file of `folder`, in order of name; return the strategy names they registered.

    Files that begin with an underscore and other files than `*.py` are left alone; a folder that does not exist holds
    none. Loading the same folder again does nothing and returns the same names.

    Raises:
        ConfigError: with file, line and cause when a file cannot be imported, registers nothing, or takes a name that
            is taken.
    """
    load_builtin_strategies()
    if not folder.is_dir():
        return []
    found: list[str] = []
    for path in sorted(folder.glob("*.py")):
        if not path.name.startswith("_"):
            found += _load_file(path, f"{folder.name}/{path.name}")
    return found


def strategy_files() -> frozenset[Path]:
    """Return the files of the strategies loaded so far, built-in and the user's own."""
    built_in = {f"quant_trading.strategy.{name}" for name in _BUILTIN}
    modules = [m for n, m in sys.modules.items() if n in built_in or n.startswith(f"{_PREFIX}.")]
    return frozenset(Path(file).absolute() for module in modules if (file := getattr(module, "__file__", None)))


def _load_file(path: Path, name: str) -> list[str]:
    if not _FILE_NAME.fullmatch(path.name):
        raise ConfigError(f"{name}: a strategy file is named with letters, digits and _, such as my_idea.py; rename it")
    module_name = f"{_PREFIX}.{path.stem}"
    known_module = sys.modules.get(module_name)
    if known_module is not None and getattr(known_module, "__file__", None) == str(path.absolute()):
        return list(known_module.__dict__["__registered__"])
    before = set(registered_names())
    spec = importlib.util.spec_from_file_location(module_name, path.absolute())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a user's file may raise anything; it is named and nothing runs
        del sys.modules[module_name]
        raise ConfigError(f"{name}: {_cause(error, path)}") from error
    new = sorted(set(registered_names()) - before)
    if not new:
        del sys.modules[module_name]
        raise ConfigError(f"{name}: registers no strategy; put @register(\"NAME\") over its class, or _ before the "
                          "file's name")  # fmt: skip
    module.__dict__["__registered__"] = tuple(new)
    return new


def _cause(error: BaseException, path: Path) -> str:
    """Return one line: where in the user's file it went wrong, and what was said."""
    said = " ".join(str(error).split()) or "no message"
    kind = "" if isinstance(error, DeskError) else f"{type(error).__name__}: "
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {kind}{error.msg}; correct it, or put _ before the file's name"
    import traceback

    own = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path.absolute()]
    where = f"line {own[-1]}: " if own else ""
    return f"{where}{kind}{said}; correct it, or put _ before the file's name"
