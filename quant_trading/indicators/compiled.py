"""Machine code for a numeric loop that also runs as it stands."""

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["is_worth_compiling", "machine_code", "use_wide_registers"]

# Importing numba and loading the machine code takes about half a second, which is what loops over this many
# numbers need as they stand; where it is loaded already a call pays at once.
_COMPILE_FROM_CELLS = 500_000
_CELLS_ONCE_LOADED = 2_000


def is_worth_compiling(cells: int) -> bool:
    """Return True for much work, and for little when numba is there already."""
    return cells >= (_CELLS_ONCE_LOADED if "numba" in sys.modules else _COMPILE_FROM_CELLS)


@cache
def machine_code(loop: Callable[..., Any], short: bool = False) -> Any:
    """Return `loop` compiled by numba, kept on disk where the place can be written.

    No fast-math flag is set, so the compiled loop gives the bits of the interpreted one. What is divided by 0 is
    infinite or NaN, as in numpy: a check of every divisor would keep divisions out of vectors.

    Args:
        short: a x b + c may be one instruction that rounds once; the last bits differ then.
    """
    import numba

    use_wide_registers()
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
    if short:
        options["fastmath"] = {"contract"}
    try:
        return numba.njit(cache=True, **options)(loop)
    except RuntimeError:  # numba found no folder it may write its cache to
        return numba.njit(**options)(loop)


@cache
def use_wide_registers() -> None:
    """Let loops over lanes use eight float64 at a time where the processor has them.

    LLVM keeps to four on the first generations with AVX-512, whose clock fell under such code; lanes gain more
    than that. What NUMBA_CPU_NAME or NUMBA_CPU_FEATURES say stands.
    """
    import llvmlite.binding as llvm  # type: ignore[import-untyped]  # ships no types
    import numba

    config: Any = numba.config  # its names are made when it is imported
    if config.CPU_NAME is None and config.CPU_FEATURES is None:
        features = llvm.get_host_cpu_features()
        if features.get("avx512f"):
            config.CPU_NAME = llvm.get_host_cpu_name()
            config.CPU_FEATURES = features.flatten() + ",-prefer-256-bit"
