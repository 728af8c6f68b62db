"""The bootstrap: from a bare folder to a running command, and back from everything that can spoil its environment.

The real script runs in a checkout whose only requirement is pip, which every new environment has, so that nothing
is fetched. Where pip itself does not matter, a stand-in for uv that always succeeds saves three seconds.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

posix = pytest.mark.skipif(sys.platform == "win32", reason="other platform: the stand-ins are shell scripts")

PROJECT = """
[project]
dependencies = ["pip"]
[project.optional-dependencies]
dev = ["pip>=1"]
"""

# Tells which Python runs it, where it runs, and what it was given.
TRADE = "import json, os, sys; print(json.dumps([sys.prefix, os.getcwd(), sys.argv[1:]])); sys.exit(7)\n"

# What the doctor needs besides its own modules before anything is installed; the packages themselves keep Python from
# taking those of this checkout.
NEEDED = (
    "__init__.py", "core/__init__.py", "core/client_ids.py", "core/connect_options.py", "core/diagnose_table.py",
    "tools/__init__.py",
)  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the real bootstrap and the smallest possible project."""
    folder = tmp_path / "a checkout"
    (folder / "quant_trading" / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "desk", folder / "desk")
    (folder / "quant_trading" / "core").mkdir()
    doctor = (ROOT / "quant_trading" / "tools").glob("doctor*.py")
    for path in (*doctor, *map((ROOT / "quant_trading").joinpath, NEEDED)):
        shutil.copy(path, folder / path.relative_to(ROOT))
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "constraints.txt").write_text("# nothing\n")
    (folder / "trade.py").write_text(TRADE)
    return folder


def environment(checkout: Path) -> dict[str, str]:
    """Return what a new user's shell has: an empty HOME, a PATH without uv; and no package index."""
    home = checkout.parent / "home"
    home.mkdir(exist_ok=True)
    keep = {name: os.environ[name] for name in ("SYSTEMROOT", "TEMP") if name in os.environ}
    path = os.pathsep.join([str(checkout.parent / "bin"), os.defpath])
    return keep | {"HOME": str(home), "PATH": path, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}


def put_uv(checkout: Path, exit_code: int) -> None:
    """Put a stand-in for uv on the PATH that installs nothing and returns `exit_code`."""
    folder = checkout.parent / "bin"
    folder.mkdir()
    (folder / "uv").write_text(f"#!/bin/sh\nexit {exit_code}\n")
    (folder / "uv").chmod(0o755)


def start(checkout: Path, *words: str, folder: Path | None = None) -> "subprocess.Popen[str]":
    """Start ./desk with `words`."""
    return subprocess.Popen(
        [sys.executable, str(checkout / "desk"), *words],
        cwd=folder or checkout,
        env=environment(checkout),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def desk(checkout: Path, *words: str, folder: Path | None = None) -> tuple[int, str]:
    """Run ./desk with `words`; return its exit code and its words."""
    with start(checkout, *words, folder=folder) as child:
        said, _ = child.communicate()
    return child.returncode, said


def files_outside(checkout: Path) -> list[str]:
    """Return what was written beside the checkout, the package installer's own cache excepted."""
    home = checkout.parent / "home"
    return sorted(str(path.relative_to(home)) for path in home.iterdir() if path.name not in (".cache", "Library"))


@pytest.mark.slow
@posix
def test_two_first_starts_at_once_make_one_environment_and_later_ones_use_it(checkout: Path, tmp_path: Path) -> None:
    put_uv(checkout, exit_code=0)
    first, second = start(checkout, "trade", "--run", "x y"), start(checkout, "trade")
    said = [first.communicate()[0], second.communicate()[0]]
    assert (first.returncode, second.returncode) == (7, 7), said
    assert sum("made .venv" in words for words in said) == 1
    prefix, folder, arguments = json.loads(said[0].splitlines()[-1])
    assert Path(prefix) == checkout / ".venv"
    assert Path(folder) == checkout
    assert arguments == ["--run", "x y"]

    # The next start says nothing of its own and leaves the caller in his folder.
    code, words = desk(checkout, "trade", "a", folder=tmp_path)
    assert code == 7
    assert json.loads(words) == [str(checkout / ".venv"), str(tmp_path), ["a"]]

    # A new lock is installed into the environment that is there.
    (checkout / "constraints.txt").write_text("# another lock\n")
    words = desk(checkout, "trade")[1]
    assert "installing core with uv" in words
    assert "made .venv" not in words

    # A moved checkout would run the scripts and the code of the old place.
    moved = checkout.rename(checkout.with_name("moved"))
    words = desk(moved, "trade")[1]
    assert ".venv is moved, making it anew" in words
    assert json.loads(words.splitlines()[-1])[0] == str(moved / ".venv")
    assert files_outside(moved) == []


@pytest.mark.slow
@posix
def test_an_environment_whose_making_was_cut_short_is_made_anew(checkout: Path) -> None:
    put_uv(checkout, exit_code=0)
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "desk-unfinished").touch()
    code, said = desk(checkout, "trade")
    assert code == 7
    assert ".venv is unfinished, making it anew" in said
    assert not (checkout / ".venv" / "desk-unfinished").exists()

    # The interpreter it was made from is gone: the link leads nowhere.
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(checkout / "gone")
    code, said = desk(checkout, "trade")
    assert code == 7
    assert ".venv is broken, making it anew" in said


@pytest.mark.slow
def test_an_environment_made_by_hand_is_kept_and_completed(checkout: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(checkout / ".venv")], check=True)
    mine = checkout / ".venv" / "mine"
    mine.touch()
    code, said = desk(checkout, "trade")
    assert code == 7
    assert "made .venv" not in said
    assert mine.exists()
    stamp = json.loads((checkout / ".venv" / "desk-stamp.json").read_text())
    assert stamp["extras"] == []


@posix
@pytest.mark.slow
def test_uv_is_no_requirement_and_a_failed_installation_is_tried_again(checkout: Path) -> None:
    put_uv(checkout, exit_code=2)
    (checkout / "pyproject.toml").write_text(PROJECT.replace('["pip"]', '["pip<1"]'))
    code, said = desk(checkout, "trade")
    assert code == 1
    assert "uv did not succeed" in said
    assert "pip could not install the packages" in said
    assert "No matching distribution found for pip<1" in said
    assert "desk-install.log" in said
    (checkout / "pyproject.toml").write_text(PROJECT)
    assert desk(checkout, "trade")[0] == 7

    # An update that fails, without a network for one, leaves what is there for the next start to complete.
    (checkout / "pyproject.toml").write_text(PROJECT.replace('["pip"]', '["pip<1"]'))
    assert desk(checkout, "trade")[0] == 1
    (checkout / "pyproject.toml").write_text(PROJECT)
    code, said = desk(checkout, "trade")
    assert code == 7
    assert "made .venv" not in said


def test_without_arguments_it_says_what_there_is(checkout: Path) -> None:
    code, said = desk(checkout)
    assert code == 0
    for command in ("demo", "trade", "sim", "test", "bench", "doctor"):
        assert f"\n  {command} " in said
    assert not (checkout / ".venv").exists()


def test_an_unknown_command_is_answered_with_the_known_ones(checkout: Path) -> None:
    code, said = desk(checkout, "tset")
    assert code == 2
    assert "no command is called tset" in said
    assert "demo, trade, sim, data, test, bench, doctor, help" in said


def test_the_doctor_works_before_anything_is_installed(checkout: Path) -> None:
    code, said = desk(checkout, "doctor")
    assert code == 0
    assert "not made yet; start any ./desk command, such as ./desk demo: it makes it" in said
    assert not (checkout / ".venv").exists()


def test_an_unknown_benchmark_is_answered_with_the_known_ones(checkout: Path) -> None:
    (checkout / "benchmarks").mkdir()
    (checkout / "benchmarks" / "bench_startup.py").touch()
    code, said = desk(checkout, "bench", "strtup")
    assert code == 1
    assert "no benchmark is called strtup; there are: startup" in said


def test_an_older_python_can_read_the_script() -> None:
    ast.parse((ROOT / "desk").read_text(encoding="utf-8"), feature_version=(3, 6))


OLDER = (
    "import runpy, sys; sys.version_info = (3, 8, 0, 'final', 0); sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"
)


def test_an_older_python_ends_with_the_cure_on_one_line(checkout: Path) -> None:
    command = [sys.executable, "-c", OLDER, str(checkout / "desk"), "demo"]
    nowhere = environment(checkout) | {"PATH": str(checkout)}
    done = subprocess.run(command, capture_output=True, text=True, env=nowhere, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    assert "Python 3.11 or newer is needed, this is 3.8" in line
    assert "apt-get install python3.11" in line


@posix
def test_an_older_python_hands_over_to_a_newer_one_that_works(checkout: Path) -> None:
    scripts = {"python3.13": "exit 127", "python3.12": 'test "$1" = -c || echo handed over: "$2" "$3"'}
    for name, body in scripts.items():
        (checkout / name).write_text(f"#!/bin/sh\n{body}\n")
        (checkout / name).chmod(0o755)
    command = [sys.executable, "-c", OLDER, str(checkout / "desk"), "trade", "--help"]
    path = environment(checkout) | {"PATH": str(checkout)}
    done = subprocess.run(command, capture_output=True, text=True, env=path, check=False)
    assert done.stdout == "handed over: trade --help\n"


@pytest.mark.skipif(sys.platform == "win32", reason="other platform: only Debian splits ensurepip off")
def test_a_debian_without_ensurepip_gets_the_exact_line(checkout: Path) -> None:
    hidden = "import importlib.util as u, runpy, sys; find = u.find_spec; "
    hidden += "u.find_spec = lambda name, *rest: None if name == 'ensurepip' else find(name, *rest); "
    hidden += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", hidden, str(checkout / "desk"), "trade"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(checkout), check=False)
    assert done.returncode == 1
    assert f"apt-get install -y python{sys.version_info[0]}.{sys.version_info[1]}-venv" in done.stdout
    assert not (checkout / ".venv").exists()
