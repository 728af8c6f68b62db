"""The documentation says what it has to, and what it points at exists."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", ".github/*.md")
    for path in ROOT.glob(pattern)
)


def text_of(name: str) -> str:
    """Return a page with its line breaks made spaces, so that a sentence can be found."""
    return re.sub(r"\s+", " ", (ROOT / name).read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+\s+(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> Iterator[str]:
    """Yield the relative links of a page that lead nowhere."""
    prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            yield target


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve(name: str) -> None:
    assert list(dead_links(ROOT / name)) == []


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page!\n[a](page.md) [b](#a-page) [c](gone.md) [d](page.md#gone) [e](https://example.org) `[f](x)`\n"
    )
    assert list(dead_links(page)) == ["gone.md", "page.md#gone"]


def test_every_page_of_docs_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page != "README.md" and f"({page})" not in index] == []


@pytest.mark.parametrize(
    "words",
    [
        "./desk demo",
        "./desk test",
        "py desk demo",
        "pip install -r requirements.txt",
        "cp .env.example .env",
        # D9 and Q4: what TWS has to be told
        "Global Configuration -> API -> Settings",
        "Enable ActiveX and Socket Clients",
        "Read-Only API",
        "7497",
        "7496",
        "https://www.interactivebrokers.com/en/trading/download-tws.php?p=stable",
        # D10, D11, D13, D35, D58, D59
        "python scripts/ibkr_smoke.py",
        "python scripts/risk_smoke.py",
        "do not run in live mode",
        "python trade.py --run backtest --mode paper --ibkr --config configs/paper.yaml "
        '--duration "1 Y" --bar-size "1 day" --cost-bps 5',
        "python trade.py --run live --mode paper --ibkr --config configs/paper.yaml --cost-bps 5 --dry-run",
    ],
)
def test_the_readme_says(words: str) -> None:
    assert words in text_of("README.md")


@pytest.mark.parametrize(
    "module", ["trade", "broker_ibkr", "backtest", "live", "config_loader", "risk", "strategy"]
)  # D22 to D28
def test_the_readme_says_where_each_flat_module_lives(module: str) -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("| specification | here |")[2]
    row = re.search(rf"^\| `{module}\.py` \| (.*) \|$", table, re.MULTILINE)
    assert row is not None
    homes = re.findall(r"`((?:quant_trading/)[\w/.]+)`", row[1])
    assert homes
    assert [home for home in homes if not (ROOT / home).exists()] == []


@pytest.mark.parametrize(
    "words",
    [
        "Do not push to `main`",  # D15
        "git checkout main",  # D16
        "git pull",
        "git checkout -b feature-example",
        'git commit -m "Commit message"',
        "git pull origin main",
        "git push -u origin feature-example",
        "Squash and merge",  # D17
        "explicit review and confirmation",  # D18
        "kebab-case",  # D19
        "Delete branch",  # D20
        "git branch -d feature-example",
        "git branch -D feature-example",
        "git fetch --prune",
        "hold by team convention",  # D21
        "git config core.hooksPath .githooks",
    ],
)
def test_the_rules_of_working_together_are_written(words: str) -> None:
    assert words in text_of("CONTRIBUTING.md")


def test_main_is_pulled_before_the_branch_is_pushed() -> None:
    flow = text_of("CONTRIBUTING.md")
    assert flow.index("git pull origin main") < flow.index("git push -u origin feature-example")


OWNED = [line.split() for line in (ROOT / ".github/CODEOWNERS").read_text("utf-8").splitlines() if line.startswith("/")]


@pytest.mark.parametrize("folder", ["desk", "risk", "core"])  # D18: live, risk, broker
def test_code_that_can_trade_has_owners(folder: str) -> None:
    owners = [owners for path, *owners in OWNED if path == f"/quant_trading/{folder}/"]
    assert len(owners) == 1
    assert all(owner.startswith("@") for owner in owners[0])


def test_the_owned_paths_exist() -> None:
    assert [path for path, *_ in OWNED if not (ROOT / path.lstrip("/")).exists()] == []


def test_the_scripts_can_be_started() -> None:
    command = ["git", "-C", str(ROOT), "ls-files", "--stage", "desk", ".ci/run", ".ci/not-behind", ".githooks/pre-push"]
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    modes = [
        line.split()[0]
        for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    ]
    assert modes == ["100755"] * 4
