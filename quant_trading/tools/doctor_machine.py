"""What this machine has and lacks for the desk: Python, packages, system libraries, time zones, disk.

Only the standard library is used, since this has to work when nothing else does. Nothing is changed; that a folder can
be written to is tried with a file that has no name and leaves nothing behind.
"""

import ctypes
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from quant_trading.core.diagnose_table import Finding, found, is_fine

__all__ = ["ENVIRONMENT", "disk", "examine_machine", "folders"]

ENVIRONMENT = {
    "ready": "made by ./desk and up to date",
    "unstamped": "made by hand; the next ./desk start completes it",
    "outdated": "the lock has changed or an extra is missing",
    "missing": "not made yet",
    "unfinished": "its making was interrupted",
    "broken": "its Python does not exist any more",
    "moved": "made for another folder or Python",
}

_OLDEST_PYTHON = (3, 11)
_TEST_CLIENTS = (
    "ib_insync", "ibapi", "nautilus_ibapi_1019", "nautilus_ibapi_1030", "nautilus_ibapi_1037", "nautilus_ibapi_1046",
)  # fmt: skip
_PYTHONS = ("bin/python", "Scripts/python.exe")
# What a package is imported as, where that is not its name with underscores.
_MODULES = {"pyyaml": "yaml", "python-dotenv": "dotenv"}
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Shared libraries that Qt loads, and the Debian packages that hold them.
_QT_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
}
_OLDEST_RULES = 2024
# Hours from UTC that hold by the rules of today and by no older ones: New York since 2007.
_CLOCKS = (
    ("America/New_York", datetime(2026, 3, 15, 12, tzinfo=UTC), -4),
    ("America/New_York", datetime(2026, 11, 4, 12, tzinfo=UTC), -5),
    ("Europe/Zurich", datetime(2026, 7, 1, tzinfo=UTC), 2),
    ("Asia/Hong_Kong", datetime(2026, 7, 1, tzinfo=UTC), 8),
)
_POSIX_ZONE = re.compile(r"(<[^>]+>|[A-Za-z]{3,})[+-]?\d.*")
_MEGABYTE = 1_000_000
_FULL_BYTES, _LOW_BYTES = 100 * _MEGABYTE, 1000 * _MEGABYTE


def examine_machine(checkout: Path, environment: str, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the findings, what everything else rests on first.

    Args:
        checkout: the folder that holds `pyproject.toml` and `.venv`.
        environment: what `./desk` knows about `.venv`, a key of ENVIRONMENT; empty when nobody said.
        environ: the environment of the process.
    """
    yield python()
    yield is_fine("platform", f"{platform.platform()}, {os.cpu_count()} cores")
    yield _environment(checkout, environment)
    yield from _packages(checkout)
    yield _hooks(checkout)
    yield from _clients(checkout, environ)
    yield _shared_data(checkout, environ)
    yield from system_packages()
    yield time_zones()
    yield machine_zone(environ)


def python(version: tuple[int, int, int] = sys.version_info[:3]) -> Finding:
    """Return whether the running Python will do."""
    text = f"{'.'.join(map(str, version))} at {sys.executable}"
    return is_fine("python", text) if version >= _OLDEST_PYTHON else found("python-old", text)


def _environment(checkout: Path, environment: str) -> Finding:
    known = environment or ("unstamped" if _site_packages(checkout) else "missing")
    if known in ("ready", "unstamped"):
        return is_fine(".venv", ENVIRONMENT[known])
    return found(f"environment-{known}", ENVIRONMENT[known])


def _site_packages(checkout: Path) -> Path | None:
    """Return the folder of installed packages of the checkout's environment, None when there is none."""
    venv = checkout / ".venv"
    return next(
        (path for path in [*venv.glob("lib/python3*/site-packages"), venv / "Lib/site-packages"] if path.is_dir()), None
    )


def _normal(name: str) -> str:
    """Return a package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins(checkout: Path) -> dict[str, set[str]]:
    """Return for each package of the lock the versions it may have, one for each marker."""
    pins: dict[str, set[str]] = {}
    for line in (checkout / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, equals, rest = line.partition("==")
        if equals and not line.startswith("#"):
            pins.setdefault(_normal(name), set()).add(rest.partition(";")[0].strip())
    return pins


def _required(checkout: Path) -> list[str]:
    """Return the packages the desk cannot do without, none when there is no `pyproject.toml`."""
    import tomllib

    try:
        project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return []
    return [_normal(re.split(r"[<>=!~;\[ ]", line, maxsplit=1)[0]) for line in project.get("dependencies", [])]


def _packages(checkout: Path) -> Iterator[Finding]:
    folder = _site_packages(checkout)
    if folder is None:
        yield found("packages-none", "none yet")
        return
    from importlib.metadata import distributions  # half of the start-up time, which --help does not need

    pins = _pins(checkout)
    installed = {_normal(dist.metadata["Name"]): dist.version for dist in distributions(path=[str(folder)])}
    gone = [name for name in _required(checkout) if name not in installed or not _can_be_imported(folder, name)]
    if gone:
        yield found("package-missing", f"not there, or only in part: {', '.join(gone)}")
    locked = {name: version for name, version in installed.items() if name in pins}
    other = [
        f"{name} {version} (locked: {' or '.join(sorted(pins[name]))})"
        for name, version in sorted(locked.items())
        if version not in pins[name]
    ]
    if other:
        yield found("packages-differ", f"not as tested: {', '.join(other)}")
    elif not gone:
        yield is_fine("packages", f"{len(locked)} installed, each in the locked version")


def _can_be_imported(folder: Path, name: str) -> bool:
    module = _MODULES.get(name, name.replace("-", "_"))
    return (folder / module).is_dir() or (folder / f"{module}.py").is_file()


def _hooks(checkout: Path) -> Finding:
    git = shutil.which("git")
    if git is None or not (checkout / ".git").exists():
        return found("hooks-off", "no git checkout here")
    command = [git, "-C", str(checkout), "config", "core.hooksPath"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.stdout.strip() == ".githooks":
        return is_fine("git hooks", "switched on: a push to main is refused")
    return found("hooks-off", "off: nothing here refuses a push to main")


def _clients(checkout: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The clients of other makers that the tests run against the simulator, each in its own environment."""
    here, absent = [], []
    for name in _TEST_CLIENTS:
        variable = f"QT_PYTHON_{name.upper()}"
        named = environ.get(variable)
        places = [Path(named)] if named else [checkout / ".venvs" / name / part for part in _PYTHONS]
        if any(place.exists() for place in places):
            here.append(name)
        elif named:
            yield found("client-gone", f"{variable}={named} does not exist", check=f"test client {name}")
        else:
            absent.append(name)
    if here:
        yield is_fine("test clients", ", ".join(here))
    if absent:
        yield found("client-none", f"not here, their tests are skipped: {', '.join(absent)}")


def _shared_data(checkout: Path, environ: Mapping[str, str]) -> Finding:
    named = environ.get("QT_SHARED")
    folder = Path(named) if named else checkout.parent / "shared"
    if (folder / "market_data").is_dir():
        return is_fine("test data", str(folder))
    return found("test-data-none", f"none at {folder}")


def system_packages(
    which: Callable[[str], str | None] = shutil.which, load: Callable[[str], object] = ctypes.CDLL
) -> Iterator[Finding]:
    """Yield what tests of pages and windows need from the system; nobody who trades needs it."""
    browser = next((path for name in _BROWSERS if (path := which(name))), None)
    yield is_fine("chromium", browser) if browser else found("chromium-none", "no browser on PATH")
    if not sys.platform.startswith("linux"):
        return
    gone = []
    for library in _QT_LIBRARIES:
        try:
            load(library)
        except OSError:
            gone.append(library)
    if gone:
        packages = " ".join(_QT_LIBRARIES[library] for library in gone)
        yield found("qt-libraries-none", f"not found: {', '.join(gone)}", packages=packages)
    else:
        yield is_fine("Qt libraries", "found")


def time_zones() -> Finding:
    """Return whether the database of time zones knows the exchanges' clocks of today."""
    for name, moment, hours in _CLOCKS:
        try:
            zone = zoneinfo.ZoneInfo.no_cache(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            return found("tzdata-none", f"{name} is not known")
        offset = moment.astimezone(zone).utcoffset()
        if offset != timedelta(hours=hours):
            seen = f"{name} is {offset} from UTC on {moment:%Y-%m-%d}, it should be {hours:+d} h"
            return found("tzdata-wrong", seen)
    version = _rules_version()
    if version and int(version[:4]) < _OLDEST_RULES:
        return found("tzdata-old", f"rules of {version}")
    return is_fine("time zones", f"rules of {version}" if version else "the exchanges' clocks are right")


def _rules_version() -> str:
    """Return the version of the database that is used, "2025b", empty when it does not say; the system's goes first."""
    for folder in map(Path, zoneinfo.TZPATH):
        for name in ("tzdata.zi", "+VERSION"):
            if (folder / name).is_file():
                with (folder / name).open(encoding="utf-8", errors="replace") as file:
                    said = re.search(r"\b(20\d\d[a-z]?)\b", file.readline())
                if said:
                    return said[1]
        if (folder / "America" / "New_York").is_file():
            return ""
    try:
        from tzdata import IANA_VERSION  # type: ignore[import-untyped]  # a package of data
    except ImportError:
        return ""
    return str(IANA_VERSION)


def machine_zone(environ: Mapping[str, str]) -> Finding:
    """Return whether this machine's zone is one; the C library takes UTC for a name it does not know."""
    name = environ.get("TZ", "").lstrip(":")
    if not name:
        return is_fine("machine's zone", "that of the system")
    if Path(name).is_absolute() and Path(name).is_file():
        return is_fine("machine's zone", f"TZ={name}")
    try:
        zoneinfo.ZoneInfo.no_cache(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        if not _POSIX_ZONE.fullmatch(name):
            return found("zone-unknown", f"TZ={name} is no zone")
    return is_fine("machine's zone", f"TZ={name}")


# The folders the desk writes to.


def disk(paths: Iterable[Path], free_bytes: Callable[[Path], int] | None = None) -> Finding:
    """Return whether the disks under `paths` have room."""
    measure = free_bytes or (lambda folder: shutil.disk_usage(folder).free)
    free, where = min((measure(_existing(path)), str(_existing(path))) for path in paths)
    seen = f"{free / _MEGABYTE:,.0f} MB free at {where}"
    if free < _FULL_BYTES:
        return found("disk-full", seen, least=f"{_FULL_BYTES // _MEGABYTE} MB")
    if free < _LOW_BYTES:
        return found("disk-low", seen, least=f"{_LOW_BYTES // _MEGABYTE} MB")
    return is_fine("disk", seen)


def folders(paths: Mapping[str, Path]) -> Iterator[Finding]:
    """Yield which of the folders, by their name under `paths` in the settings, cannot be written to."""
    bad = False
    for name, path in paths.items():
        place = _existing(path)
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            bad = True
            yield found(
                "folder-not-writable", f"{place}: {error.strerror or error} (for paths.{name} {path})", name=name
            )
    if not bad:
        yield is_fine("folders", f"{', '.join(paths)} can be written to")


def _existing(path: Path) -> Path:
    """Return `path`, or the nearest folder above it that exists: there it would be made."""
    return next(one for one in (path, *path.absolute().parents) if os.path.lexists(one))
