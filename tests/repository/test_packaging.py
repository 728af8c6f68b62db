"""pyproject.toml, constraints.txt and requirements.txt tell the same story."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
LOCK = [
    line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line and not line.startswith("#")
]


def pins() -> dict[str, list[Requirement]]:
    """Return the lock's requirements by package."""
    found: dict[str, list[Requirement]] = {}
    for line in LOCK:
        requirement = Requirement(line)
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


@pytest.mark.parametrize("text", [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)])
def test_every_requirement_is_locked_within_its_range(text: str) -> None:
    requirement = Requirement(text)
    locked = pins().get(canonicalize_name(requirement.name), [])
    assert locked, f"{requirement.name} is not in constraints.txt; make the lock again as its head says"
    for pin in locked:
        (version,) = [spec.version for spec in pin.specifier]
        assert requirement.specifier.contains(version), f"locked {version}, asked for {requirement.specifier}"


def test_the_lock_is_exact_and_names_no_place() -> None:
    wrong = [line for line in LOCK if not re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*(?: ; .+)?", line)]
    assert wrong == []


def test_the_extras_are_those_of_the_design() -> None:
    assert sorted(EXTRAS) == ["calendars", "cluster", "dev", "gui", "notify", "web"]


def test_pandas_is_for_developers_only() -> None:
    core = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert "pandas" not in core


def test_requirements_install_the_checkout_under_the_lock() -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert lines == ["-c constraints.txt", "-e ."]
