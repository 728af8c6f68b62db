"""Every state of a machine is staged, told by its name, and told with its cure."""

import os
import shutil
import subprocess
import sys
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quant_trading.core.diagnose_table import Finding, Severity
from quant_trading.tools import doctor_machine
from quant_trading.tools.doctor_machine import ENVIRONMENT, disk, examine_machine, folders, machine_zone, time_zones
from tests.tools.checkouts import make_checkout, put_package

MAKE_ANEW = "start any ./desk command, such as ./desk demo: it makes the environment anew"
UPDATE_ZONES = "update the database: apt-get install -y tzdata, or pip install --upgrade tzdata"

posix = pytest.mark.skipif(sys.platform == "win32", reason="other platform: its rights are not POSIX's")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path)


def of(checkout: Path, check: str, environment: str = "", **environ: str) -> Finding:
    """Return the finding of a check."""
    return next(one for one in examine_machine(checkout, environment, environ) if one.check == check)


# Python and its packages.


@pytest.mark.parametrize(("version", "id"), [((3, 10, 14), "python-old"), ((3, 11, 0), ""), ((3, 13, 1), "")])
def test_python(version: tuple[int, int, int], id: str) -> None:
    finding = doctor_machine.python(version)
    assert finding.id == id
    if id:
        assert finding.seen.startswith("3.10.14 at ")
        assert finding.cure == (
            "install it (Debian, Ubuntu: apt-get install python3.11 python3.11-venv) and run: python3.11 desk"
        )


@pytest.mark.parametrize(
    ("environment", "severity", "cure"),
    [
        ("ready", Severity.OK, ""),
        ("unstamped", Severity.OK, ""),
        ("missing", Severity.NOTE, "start any ./desk command, such as ./desk demo: it makes it"),
        ("outdated", Severity.NOTE, "start any ./desk command, such as ./desk demo: it brings it in line"),
        ("unfinished", Severity.WARN, MAKE_ANEW),
        ("broken", Severity.WARN, MAKE_ANEW),
        ("moved", Severity.WARN, MAKE_ANEW),
    ],
)
def test_every_state_of_the_environment(checkout: Path, environment: str, severity: Severity, cure: str) -> None:
    finding = of(checkout, ".venv", environment)
    assert (finding.severity, finding.seen, finding.cure) == (severity, ENVIRONMENT[environment], cure)
    assert finding.id == (f"environment-{environment}" if cure else "")


def test_no_state_of_the_environment_is_left_out() -> None:
    desk = (Path(__file__).resolve().parents[2] / "desk").read_text(encoding="utf-8")
    assert [state for state in ENVIRONMENT if f'"{state}"' not in desk] == []


def test_without_an_environment_there_are_no_packages(checkout: Path) -> None:
    finding = of(checkout, "packages")
    assert (finding.id, finding.cure) == (
        "packages-none",
        "start any ./desk command, such as ./desk demo: it installs them",
    )


def test_packages_in_a_locked_version_are_fine(checkout: Path) -> None:
    put_package(checkout, "pyyaml", "6.0.3")
    put_package(checkout, "numpy", "2.5.5")
    put_package(checkout, "unrelated", "1.0")
    assert of(checkout, "packages") == Finding("packages", Severity.OK, "2 installed, each in the locked version")


def test_a_package_in_another_version_is_named(checkout: Path) -> None:
    put_package(checkout, "numpy", "2.3.0")
    finding = of(checkout, "packages")
    assert finding.id == "packages-differ"
    assert "numpy 2.3.0 (locked: 2.4.6 or 2.5.5)" in finding.seen
    assert finding.cure == "bring them in line: pip install -r requirements.txt"


def test_a_package_that_is_gone_or_half_gone_is_named(checkout: Path) -> None:
    wanted = ["PyYAML>=6", "numpy>=2.0,<3", "python-dotenv", "tzdata[x] ; python_version > '3'"]
    (checkout / "pyproject.toml").write_text(f"[project]\nname = 'x'\ndependencies = {wanted}\n")
    put_package(checkout, "pyyaml", "6.0.3", "yaml")
    put_package(checkout, "numpy", "2.5.5")  # its metadata is there, its module is not
    put_package(checkout, "tzdata", "2025.3", "tzdata")
    finding = of(checkout, "packages")
    assert finding.id == "package-missing"
    assert finding.seen == "not there, or only in part: numpy, python-dotenv"
    assert finding.cure == "install what is missing: pip install -r requirements.txt"
    put_package(checkout, "python_dotenv", "1.0", "dotenv")
    (checkout / ".venv" / "lib" / "python3.11" / "site-packages" / "numpy").mkdir()
    assert of(checkout, "packages").severity is Severity.OK


def test_hooks_are_offered_until_they_are_on(checkout: Path) -> None:
    cure = "in a git checkout, switch the hooks on: git config core.hooksPath .githooks"
    assert (of(checkout, "git hooks").id, of(checkout, "git hooks").cure) == ("hooks-off", cure)
    subprocess.run(["git", "init", "-q", str(checkout)], check=True)
    assert of(checkout, "git hooks").id == "hooks-off"
    subprocess.run(["git", "-C", str(checkout), "config", "core.hooksPath", ".githooks"], check=True)
    assert of(checkout, "git hooks").severity is Severity.OK


def test_clients_are_found_by_variable_and_by_folder(checkout: Path) -> None:
    absent = of(checkout, "test client")
    assert (absent.id, absent.cure) == ("client-none", "make them: .ci/run --clients")
    assert "ibapi" in absent.seen
    python = checkout / ".venvs" / "ibapi" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert of(checkout, "test clients").seen == "ibapi"
    assert " ibapi," not in of(checkout, "test client").seen
    gone = of(checkout, "test client ibapi", QT_PYTHON_IBAPI=str(checkout / "gone"))
    assert (gone.id, gone.severity, gone.cure) == ("client-gone", Severity.BAD, "make it again: .ci/run --clients")


def test_shared_data_is_found_beside_the_checkout(checkout: Path) -> None:
    finding = of(checkout, "test data")
    assert finding.id == "test-data-none"
    assert finding.cure == "set QT_SHARED to their folder; without them their tests are skipped"
    (checkout.parent / "shared" / "market_data").mkdir(parents=True)
    assert of(checkout, "test data").severity is Severity.OK
    assert of(checkout, "test data", QT_SHARED=str(checkout)).id == "test-data-none"


# The system.


def nothing(_: str) -> None:
    return None


def refuses(*names: str) -> object:
    def load(name: str) -> None:
        if name in names:
            raise OSError(f"{name}: cannot open shared object file")

    return load


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other platform: the packages are Debian's")
def test_system_packages_that_are_missing_are_named() -> None:
    found = {one.id: one for one in doctor_machine.system_packages(nothing, refuses("libEGL.so.1", "libdbus-1.so.3"))}
    assert found["chromium-none"].cure == "install it: apt-get install -y chromium"
    assert found["qt-libraries-none"].seen == "not found: libEGL.so.1, libdbus-1.so.3"
    assert found["qt-libraries-none"].cure == "install them: apt-get install -y libegl1 libdbus-1-3"
    assert {one.severity for one in found.values()} == {Severity.NOTE}
    there = list(doctor_machine.system_packages(lambda name: f"/usr/bin/{name}", refuses()))
    assert [one.severity for one in there] == [Severity.OK, Severity.OK]
    assert there[0].seen == "/usr/bin/chromium"


@contextmanager
def zones_at(folder: Path | None) -> Iterator[None]:
    """Let the system's database of time zones be at `folder`."""
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([] if folder is None else [str(folder)])
    try:
        yield
    finally:
        zoneinfo.reset_tzpath(before)


def test_the_time_zones_of_this_machine_are_known() -> None:
    assert time_zones().id in ("", "tzdata-old")


def test_no_database_of_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "tzdata" or name.startswith("tzdata.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tzdata", None)
    with zones_at(None):
        finding = time_zones()
    assert (finding.id, finding.cure) == ("tzdata-none", "install one: pip install -r requirements.txt")


def test_a_database_with_wrong_rules(tmp_path: Path) -> None:
    tzdata = pytest.importorskip("tzdata", reason="other platform: brings its own zones")
    zones = Path(tzdata.__file__).parent / "zoneinfo"
    (tmp_path / "America").mkdir()
    # Jamaica keeps New York's winter time all year, as New York's rules of 2006 would in March.
    shutil.copy(zones / "America" / "Jamaica", tmp_path / "America" / "New_York")
    with zones_at(tmp_path):
        finding = time_zones()
    assert (finding.id, finding.cure) == ("tzdata-wrong", UPDATE_ZONES)
    assert finding.seen.startswith("America/New_York is -1 day, 19:00:00 from UTC on 2026-03-15")


@pytest.mark.parametrize(
    ("file", "text", "id"),
    [
        ("tzdata.zi", "# version 2019c\n", "tzdata-old"),
        ("+VERSION", "2023d\n", "tzdata-old"),
        ("tzdata.zi", "# version 2024a\n", ""),
        ("tzdata.zi", "# version unknown\n", ""),
    ],
)
def test_an_old_database(tmp_path: Path, file: str, text: str, id: str) -> None:
    (tmp_path / file).write_text(text)  # the zones themselves come from the package
    with zones_at(tmp_path):
        finding = time_zones()
    assert finding.id == id
    if id:
        assert finding.cure == UPDATE_ZONES
        assert text.split()[-1] in finding.seen


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("", ""), ("Europe/Zurich", ""), (":America/New_York", ""), ("UTC", ""), ("EST5EDT", ""), ("<+03>-3", ""),
        ("CET-1CEST,M3.5.0,M10.5.0/3", ""), ("Europe/Zürich", "zone-unknown"), ("New York", "zone-unknown"),
        ("Amerika/New_York", "zone-unknown"), ("/no/such/file", "zone-unknown"), ("../etc/passwd", "zone-unknown"),
    ],
)  # fmt: skip
def test_the_machines_zone(name: str, id: str) -> None:
    finding = machine_zone({"TZ": name} if name else {})
    assert finding.id == id
    if id:
        assert finding.cure == (
            "correct the environment's TZ, or unset it: an unknown name counts as UTC without a word"
        )


# The folders.


@pytest.mark.parametrize(
    ("megabytes", "id", "cure"),
    [
        (99, "disk-full", "free space, or point paths.state, paths.logs and paths.data to a larger disk"),
        (100, "disk-low", "free space, or point paths.data to a larger disk: bars and logs grow"),
        (999, "disk-low", "free space, or point paths.data to a larger disk: bars and logs grow"),
        (1000, "", ""),
    ],
)
def test_the_disk(tmp_path: Path, megabytes: int, id: str, cure: str) -> None:
    (tmp_path / "state").mkdir()
    room = {tmp_path: 10**12, tmp_path / "state": megabytes * 1_000_000}
    finding = disk([tmp_path / "logs", tmp_path / "state"], room.__getitem__)
    assert (finding.id, finding.cure) == (id, cure)
    assert finding.seen == f"{megabytes:,} MB free at {tmp_path / 'state'}"


def test_folders_are_tried_where_they_would_be_made_and_nothing_is_left(tmp_path: Path) -> None:
    assert [one.severity for one in folders({"logs": tmp_path / "logs" / "new", "state": tmp_path})] == [Severity.OK]
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    [finding] = folders({"logs": tmp_path / "logs", "state": tmp_path / "state"})
    assert finding.id == "folder-not-writable"
    assert finding.cure == (
        "make it a folder of this user (chown, chmod), or set paths.state in configs/paper.yaml to another"
    )
    assert str(tmp_path / "state") in finding.seen


@posix
def test_a_folder_of_another_user(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)  # rights do not bind root
    try:
        [finding] = folders({"logs": folder})
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)
    assert finding.id == "folder-not-writable"
    assert "Permission denied" in finding.seen
