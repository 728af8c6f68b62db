"""What Windows would choke on: names of files, and paths that are put together by hand (Q5)."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{k}" for name in ("com", "lpt") for k in range(1, 10))}
# What joins or takes apart paths by their separator; web addresses and contents are no paths.
BY_HAND = re.compile(
    r"os\.sep\b|\.split\(os\.path|str\([\w.]*(?:path|folder|root)\)\s*\+|[\"']/tmp/|\bos\.system\(|shell=True"
)


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name]


def illegal(name: str) -> bool:
    """Return whether Windows could not check a file of this name out."""
    parts = name.split("/")
    return any(
        part.split(".")[0].lower() in RESERVED or part[-1] in ". " or re.search(r'[<>:"\\|?*\x00-\x1f]', part)
        for part in parts
    )


@pytest.mark.parametrize("name", ["a/con.py", "data/AUX", "x:y.json", "docs/what?.md", "folder./a", "a\\b"])
def test_the_check_finds_what_is_illegal(name: str) -> None:
    assert illegal(name)


def test_names_are_legal_on_windows() -> None:
    names = tracked()
    assert [name for name in names if illegal(name)] == []
    assert [name for name, count in Counter(map(str.lower, names)).items() if count > 1] == []
    assert [name for name in names if len(name) > 150] == []  # 260 with the checkout's own path


def test_paths_are_never_joined_by_hand() -> None:
    found = [
        f"{name}: {line.strip()}"
        for name in tracked()
        if name.startswith(("quant_trading/", "scripts/", "strategies/"))
        and name.endswith(".py")
        and (ROOT / name).exists()
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if BY_HAND.search(line)
    ]
    assert found == []
