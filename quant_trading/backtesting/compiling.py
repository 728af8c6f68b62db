"""Machine code of plain Python loops, made when a run is large enough to pay for it."""

import sys
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

__all__ = ["COMPILE_FROM_CELLS", "compile_functions", "is_worth_compiling"]

# Importing numba and loading the cached machine code takes about half a second, which is what
# the interpreted loops need for this many cells (bars x symbols).
COMPILE_FROM_CELLS = 500_000

# What a call of machine code that is loaded already pays back.
_CELLS_ONCE_LOADED = 200

_Loop = Callable[..., Any]


def is_worth_compiling(cells: int) -> bool:
    """Return True for much work, and for little when numba is there already."""
    return cells >= (_CELLS_ONCE_LOADED if "numba" in sys.modules else COMPILE_FROM_CELLS)


@cache
def compile_functions(functions: tuple[_Loop, ...]) -> _Loop:
    """Return the machine code of the last of `functions`, kept on disk where the place can be written.

    The functions may call those before them in the tuple. Copies of them are compiled, so that the module they come
    from stays plain Python. All of them must stand in one file: numba notices changes of that file only.
    """
    import numba

    namespace = dict(functions[-1].__globals__)
    for function in functions:
        assert isinstance(function, FunctionType)
        copy = FunctionType(function.__code__, namespace, function.__name__, function.__defaults__)
        copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
        try:
            namespace[function.__name__] = numba.njit(nogil=True, cache=True)(copy)
        except RuntimeError:  # numba found no folder it may write its cache to
            namespace[function.__name__] = numba.njit(nogil=True)(copy)
    compiled: _Loop = namespace[functions[-1].__name__]
    return compiled
