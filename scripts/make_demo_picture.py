"""Draw docs/pictures/demo.svg: what `./desk demo` prints, with the settings left out.

python scripts/make_demo_picture.py
"""

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "demo.svg"
WIDTH = 84
SETTING = re.compile(r"^  .{22}.*\[.*\]$")  # a line of the start-up banner, which names its source


def main() -> int:
    """Run the demo, keep what a reader of the README wants to see, and draw it."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "quant_trading.tools.demo", "--out", folder],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        text = done.stdout.replace(folder, "outputs/demo/<time>").replace(str(Path(folder).resolve()), "outputs/demo")
    lines = [line for line in text.splitlines() if not SETTING.match(line) and not line.startswith("Trading desk:")]
    draw(["$ ./desk demo", *shorten(lines)])
    return 0


def shorten(lines: list[str]) -> list[str]:
    """Return `lines` without the inside of the dry run, and with at most two orders of each list."""
    kept: list[str] = []
    is_dry = False
    orders = 0
    for line in lines:
        if line.startswith("["):
            is_dry = line.startswith("[3/")
        is_order = line.startswith(("  BUY", "  SELL", "  filled"))
        orders = orders + 1 if is_order else 0
        if is_dry and line.startswith("  ") and not is_command(line):
            continue
        if orders == 3:
            kept.append("  ...")
        if orders < 3 and not (line == "" and kept and kept[-1] == ""):
            kept.append(line if len(line) <= WIDTH else f"{line[: WIDTH - 4]} ...")
    return [line for line in kept if not line.startswith(("      it listens", "Next:", "      docs/"))]


def is_command(line: str) -> bool:
    """Return True for a line that shows what a user would type."""
    return line.startswith(("      ./desk", "      python"))


def draw(lines: list[str]) -> None:
    """Write the picture, new file first; no font is fetched from anywhere."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=WIDTH, file=io.StringIO())
    for line in lines:
        words = line.lstrip()
        style = "bold green" if re.match(r"(\[\d/\d\]|\$)", line) else "dim" if is_command(line) else ""
        # The indent is a span of its own style: as part of the words, viewers drop it.
        indented = Text().append(" " * (len(line) - len(words)), style="italic").append(words, style=style)
        console.print(indented, highlight=False)
    svg = console.export_svg(title="./desk demo")
    svg = re.sub(r"@font-face \{[^}]*\}\s*", "", svg).replace("Fira Code, monospace", "ui-monospace, monospace")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    new = PICTURE.with_suffix(".new")
    new.write_text(svg, encoding="utf-8")
    new.replace(PICTURE)


if __name__ == "__main__":
    raise SystemExit(main())
