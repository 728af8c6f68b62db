"""Draw docs/pictures/report.png: the top of a report over made-up bars of the simulator's market.

python scripts/make_report_picture.py    (needs Chromium or Chrome on the PATH)
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "report.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
SYMBOLS = "AAPL,MSFT,NVDA,AMZN,JPM,XOM,JNJ,KO,SPY"
WIDTH, HEIGHT = 1180, 1960
MOST_BYTES = 300_000


def main() -> int:
    """Make bars, run a backtest over them and photograph its report; return the exit code."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        print(f"no browser: none of {', '.join(BROWSERS)} is on the PATH; install one", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        bars, page, shot = Path(folder) / "bars", Path(folder) / "report.html", Path(folder) / "report.png"
        run(
            "-m", "quant_trading.tools.sample_data", "--symbols", SYMBOLS, "--timeframe", "1d", "--years", "5",
            "--end", "2025-12-31", "--output-dir", str(bars),
        )  # fmt: skip
        run(
            "-m", "quant_trading.backtesting.run_backtest", "--timeframe", "1d", "--data-dir", str(bars), "--all",
            "--strategy", "REVERSAL", "--capital", "100000", "--benchmark", "SPY", "--no-cache", "--report", str(page),
        )  # fmt: skip
        subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={shot}",
             f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={folder}/profile", page.as_uri()],
            capture_output=True, timeout=120, check=True,
        )  # fmt: skip
        size = shot.stat().st_size
        if size > MOST_BYTES:
            print(f"{size:,} bytes are more than the {MOST_BYTES:,} a picture may have; lower HEIGHT", file=sys.stderr)
            return 1
        new = PICTURE.with_suffix(".new")
        shutil.copyfile(shot, new)
        new.replace(PICTURE)
    print(f"{PICTURE.relative_to(ROOT)}: {size:,} bytes")
    return 0


def run(*arguments: str) -> None:
    """Run Python with `arguments` from the checkout."""
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, timeout=300, check=True)


if __name__ == "__main__":
    raise SystemExit(main())
