"""How a command runs as a process of its own: what it does once, it does without waste."""

import gc
import os
from collections.abc import Callable

__all__ = ["run_command"]

# What a command makes it mostly keeps, modules above all, so that looking for garbage every 700 objects finds none.
_OBJECTS = 50_000
# The library below numpy starts a thread for each further core, which spins for 2**26 cycles until its first work
# comes. Nothing here gives it any; where a strategy does, a thread that sleeps is awake soon enough.
_SPINNING = ("OPENBLAS_THREAD_TIMEOUT", "4")


def run_command(main: Callable[[], int]) -> int:
    """Return the exit code of `main`, after which the process ends; to be called before numpy is imported.

    What the environment says about threads stands.
    """
    gc.set_threshold(_OBJECTS)
    os.environ.setdefault(*_SPINNING)
    try:
        return main()
    finally:
        gc.freeze()  # the interpreter looks for garbage once more when it ends
