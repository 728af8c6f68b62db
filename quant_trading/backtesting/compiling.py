"""Machine code of plain Python loops, made when a run is large enough to pay for it."""

import sys
import zlib
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

from quant_trading.indicators.compiled import use_wide_registers

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
def compile_functions(
    functions: tuple[_Loop, ...], counts_references: bool = True, reordered: tuple[_Loop, ...] = ()
) -> _Loop:  # fmt: skip
    """Return the machine code of the last of `functions`, kept on disk where the place can be written.

    The functions may call those before them in the tuple. Copies of them are compiled, so that the modules they come
    from stay plain Python. numba notices changes of the last one's file only, so the copies carry in their names a sum
    of all that goes into them.

    Args:
        counts_references: False for functions that make no arrays and divide by nothing that is 0; then a call among
            them costs a few nanoseconds, not a hundred.
        reordered: those of them whose sums may be added up in any order, which is what makes vectors of a sum; their
            last bits are not those of the interpreted loop.
    """
    import numba

    use_wide_registers()  # before anything is compiled, for it is asked once: else it would hang on who comes first
    options: dict[str, Any] = {"nogil": True}
    if not counts_references:
        options.update(_nrt=False, error_model="numpy")
    namespace: dict[str, Any] = {}
    for function in functions:
        namespace.update(function.__globals__)
    mark = f"{_sum_of(functions):08x}"
    for function in functions:
        assert isinstance(function, FunctionType)
        copy = FunctionType(function.__code__, namespace, function.__name__, function.__defaults__)
        copy.__module__, copy.__qualname__ = function.__module__, f"{function.__qualname__}_{mark}"
        chosen = {**options, "fastmath": {"reassoc", "contract"}} if function in reordered else options
        try:
            namespace[function.__name__] = numba.njit(cache=True, **chosen)(copy)
        except RuntimeError:  # numba found no folder it may write its cache to
            namespace[function.__name__] = numba.njit(**chosen)(copy)
    compiled: _Loop = namespace[functions[-1].__name__]
    return compiled


def _sum_of(functions: tuple[_Loop, ...]) -> int:
    """Return a checksum of the code of `functions` and of the numbers they take from their modules."""
    total = 0
    for function in functions:
        code = function.__code__
        numbers = [(n, v) for n in code.co_names if isinstance(v := function.__globals__.get(n), int | float)]
        total = zlib.crc32(repr((code.co_code, code.co_consts, code.co_names, numbers)).encode(), total)
    return total
