"""The pre-push hook and the not-behind check, on real repositories with a real bare remote."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="other platform: the hooks are POSIX shell scripts")


def git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run git in `folder`, shielded from this machine's configuration."""
    shield = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    shield |= {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
    }
    return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, env=shield, check=False)


def must(folder: Path, *words: str) -> str:
    """Run git and demand success."""
    done = git(folder, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(folder: Path, name: str) -> None:
    """Commit one new file."""
    (folder / name).write_text(name)
    must(folder, "add", name)
    must(folder, "commit", "-q", "-m", name)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of a bare remote whose main has one commit, with our hooks switched on as documented."""
    must(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    must(tmp_path, "clone", "-q", "remote.git", "checkout")
    folder = tmp_path / "checkout"
    must(folder, "checkout", "-q", "-b", "main")
    commit(folder, "first")
    must(folder, "push", "-q", "-u", "origin", "main")
    must(folder, "config", "core.hooksPath", str(ROOT / ".githooks"))
    return folder


def test_push_to_main_is_refused_with_the_cure(checkout: Path) -> None:
    commit(checkout, "second")
    before = must(checkout, "ls-remote", "origin", "main")
    done = git(checkout, "push", "origin", "main")
    assert done.returncode != 0
    assert "main is changed by pull request only" in done.stderr
    assert "git push -u origin feature-example" in done.stderr
    assert must(checkout, "ls-remote", "origin", "main") == before


def test_main_is_refused_under_any_local_name_and_cannot_be_deleted(checkout: Path) -> None:
    must(checkout, "checkout", "-q", "-b", "feature-example")
    commit(checkout, "second")
    assert git(checkout, "push", "origin", "HEAD:main").returncode != 0
    assert git(checkout, "push", "origin", ":main").returncode != 0
    assert must(checkout, "ls-remote", "origin", "main")


@pytest.mark.parametrize("name", ["feature-example", "fix2", "test-pr-flow", "7-days"])
def test_kebab_case_branches_are_pushed(checkout: Path, name: str) -> None:
    must(checkout, "checkout", "-q", "-b", name)
    commit(checkout, "second")
    must(checkout, "push", "-q", "-u", "origin", name)
    assert must(checkout, "ls-remote", "origin", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Feature-x", "feature_x", "feature/x", "feature--x", "feature-", "größe"])
def test_other_branch_names_are_refused_with_the_cure(checkout: Path, name: str) -> None:
    must(checkout, "checkout", "-q", "-b", name)
    commit(checkout, "second")
    done = git(checkout, "push", "-u", "origin", name)
    assert done.returncode != 0
    assert "is not kebab-case" in done.stderr
    assert f"git branch -m '{name}' feature-example" in done.stderr
    assert must(checkout, "ls-remote", "--heads", "origin") == must(checkout, "ls-remote", "--heads", "origin", "main")


def test_one_bad_branch_among_several_refuses_the_push(checkout: Path) -> None:
    must(checkout, "branch", "good-name")
    must(checkout, "branch", "Bad_Name")
    assert git(checkout, "push", "origin", "good-name", "Bad_Name").returncode != 0


def test_a_wrongly_named_branch_can_still_be_deleted(checkout: Path) -> None:
    must(checkout, "branch", "Bad_Name")
    must(checkout, "push", "-q", "--no-verify", "origin", "Bad_Name")
    must(checkout, "push", "-q", "origin", "--delete", "Bad_Name")


def test_tags_are_none_of_the_hooks_business(checkout: Path) -> None:
    must(checkout, "tag", "v0.1.0")
    must(checkout, "push", "-q", "origin", "v0.1.0")


def not_behind(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the check as the workflow does."""
    script = str(ROOT / ".ci" / "not-behind")
    return subprocess.run([script, *words], cwd=folder, capture_output=True, text=True, check=False)


def test_not_behind_accepts_a_branch_that_contains_main(checkout: Path) -> None:
    must(checkout, "checkout", "-q", "-b", "feature-example")
    commit(checkout, "second")
    assert not_behind(checkout).returncode == 0


def test_not_behind_counts_what_the_branch_lacks(checkout: Path) -> None:
    must(checkout, "checkout", "-q", "-b", "feature-example")
    must(checkout, "checkout", "-q", "main")
    commit(checkout, "second")
    commit(checkout, "third")
    must(checkout, "push", "-q", "--no-verify", "origin", "main")
    must(checkout, "checkout", "-q", "feature-example")
    done = not_behind(checkout)
    assert done.returncode == 1
    assert "lacks 2 commit(s) of origin/main" in done.stderr
    assert "git pull origin main" in done.stderr


def test_not_behind_says_when_there_is_nothing_to_compare_with(checkout: Path) -> None:
    done = not_behind(checkout, "origin/release")
    assert done.returncode == 2
    assert "git fetch origin main" in done.stderr
