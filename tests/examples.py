"""How many examples a property is tried with: a fifth in the fast suite, all of them in a whole run."""

from hypothesis import settings

__all__ = ["examples", "is_fast"]


def is_fast() -> bool:
    """Return True in a run that leaves the slow tests out (see conftest.py)."""
    return settings.get_current_profile_name() == "fast"


def examples(count: int) -> int:
    """Return `count`, the examples of a whole run, or for the fast suite a fifth of them but at least ten."""
    return min(count, max(10, count // 5)) if is_fast() else count
