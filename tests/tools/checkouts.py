"""A checkout with a lock, a settings file and nothing else, for the tests of the doctor."""

import socket
from pathlib import Path

__all__ = ["make_checkout", "put_package"]


def make_checkout(parent: Path) -> Path:
    """Return the folder; the settings name a port that was free a moment ago, whatever runs on this machine."""
    folder = parent / "checkout"
    (folder / "configs").mkdir(parents=True)
    (folder / "constraints.txt").write_text(
        "# a head\n"
        "PyYAML==6.0.3\n"
        "numpy==2.4.6 ; python_full_version < '3.12'\n"
        "numpy==2.5.5 ; python_full_version >= '3.12'\n"
    )
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    (folder / "configs" / "paper.yaml").write_text(f"ibkr:\n  port: {port}\n")
    return folder


def put_package(checkout: Path, name: str, version: str, module: str = "") -> None:
    """Install a package that consists of its metadata, and of an empty module when one is named."""
    folder = checkout / ".venv" / "lib" / "python3.11" / "site-packages"
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if module:
        (folder / module).mkdir()
