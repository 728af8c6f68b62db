"""The whole desk in a minute, without an account: simulator, backtest, dry run, paper rebalance.

Every step is the very command a user would type; it is shown before it runs. All files go below
`outputs/demo/<time>/`, apart from the user's own logs and journal.

Exit codes: 0 all steps did what they should, 1 some did not, 3 the simulator did not start, 130 interrupted.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

_START_SECONDS = 60.0
_STEP_SECONDS = 300.0
_STOP_SECONDS = 10.0
_RULE = "=" * 78


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration; return 0 when every step did what it should."""
    parser = argparse.ArgumentParser(prog="desk demo", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--seed", type=int, default=7, help="seed of the built-in market (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for everything it writes (default: outputs/demo/<time>)")
    options = parser.parse_args(argv)

    from quant_trading.app import SystemClock

    # A closed terminal or a time limit ends the demonstration as Ctrl-C does: with its simulator.
    signal.signal(signal.SIGTERM, _interrupt)
    checkout = Path(__file__).resolve().parents[2]
    now = SystemClock().now()
    folder = (options.out or Path.cwd() / "outputs" / "demo" / f"{now:%Y%m%dT%H%M%SZ}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    moment = _market_moment(int(now.timestamp()) * 1_000_000_000)
    print(f"{_RULE}\nThe trading desk in a minute: no account, no TWS, nothing real is bought.\n{_RULE}", flush=True)
    try:
        with _Simulator(options.seed, moment, folder) as port:
            return _Tour(checkout, folder, port).walk()
    except _NotStarted as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("interrupted: the simulator is stopped, and with it everything it held", file=sys.stderr)
        return 130


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


class _NotStarted(Exception):
    """The simulator ended, or said nothing in time, before it could be reached."""


def _market_moment(now_ns: int) -> str:
    """Return 10:00 exchange time of the last completed session: a time when orders fill."""
    from quant_trading.refdata.sessions import last_completed_session

    return f"{last_completed_session(now_ns).day} 10:00"


class _Simulator:
    """A TWS simulator in its own process on a free port, ended with the block."""

    def __init__(self, seed: int, moment: str, folder: Path) -> None:
        self._command = [sys.executable, "-m", "quant_trading.tools.sim", "--port", "0", "--source", f"seed:{seed}",
                         "--now", moment, "--account", _new_account(folder)]  # fmt: skip
        self._log = folder / "simulator.log"
        self._port_file = folder / "simulator.port"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> int:
        shown = " ".join(f'"{word}"' if " " in word else word for word in self._command[3:])
        print(f"\n[1/5] Start a TWS simulator with the built-in market\n      ./desk sim {shown}", flush=True)
        self._port_file.unlink(missing_ok=True)  # an earlier run's: nothing listens there any more
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [*self._command, "--port-file", str(self._port_file)], stdout=log, stderr=subprocess.STDOUT
                )
            port = self._wait_for_port(self._process)
        except BaseException:  # an interrupt too: `__exit__` is called only after a whole `__enter__`
            self._stop()
            raise
        print(f"      it listens on 127.0.0.1:{port} (log: {self._log.name})", flush=True)
        return port

    def _wait_for_port(self, process: "subprocess.Popen[bytes]") -> int:
        from quant_trading.app import SystemClock

        deadline = SystemClock().monotonic() + _START_SECONDS
        while SystemClock().monotonic() < deadline:
            if self._port_file.exists():
                return int(self._port_file.read_text(encoding="utf-8"))
            try:
                process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            said = self._log.read_text(encoding="utf-8", errors="replace")
            raise _NotStarted(f"the simulator ended with exit code {process.returncode}:\n{said}")
        raise _NotStarted(f"the simulator was not ready within {_START_SECONDS:g} s; its log is {self._log}")

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            _end(self._process)
        self._port_file.unlink(missing_ok=True)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process of ours: in order if it can, which Windows does not offer, else by force."""
    process.terminate()
    try:
        process.wait(timeout=_STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()


def _new_account(folder: Path) -> str:
    """Return a paper account no earlier run into `folder` had: each simulator starts with an empty one.

    The journal would take an old account's positions and finished plans for this one's.
    """
    earlier = sum(1 for _ in (folder / "state").glob("DU*"))
    return f"DU{1234567 + earlier}"


class _Tour:
    """The steps after the simulator is up."""

    def __init__(self, checkout: Path, folder: Path, port: int) -> None:
        self._checkout, self._folder = checkout, folder
        # The demo must not follow the user's own IBKR_* settings to a real TWS.
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith("IBKR_")}
        self._environ |= {
            "IBKR_HOST": "127.0.0.1",
            "IBKR_PAPER_PORT": str(port),
            "PYTHONPATH": str(checkout),
            "QT_HOME": str(folder),  # logs and journal of the demonstration, not the user's
        }

    def walk(self) -> int:
        """Run the four commands; return the number of those that failed."""
        backtest = ["--run", "backtest", "--mode", "paper", "--ibkr", "--duration", "1 Y", "--bar-size", "1 day",
                    "--cost-bps", "5", "--out", "backtest.csv"]  # fmt: skip
        steps = (
            ("[2/5] Backtest one year of REVERSAL on 20 symbols, bars over the wire", backtest),
            ("[3/5] Dry run: what would it trade today?", ["--run", "live", "--mode", "paper", "--ibkr", "--dry-run"]),
            ("[4/5] Paper rebalance to the STATIC weights: real orders to the simulator",
             ["--run", "trade", "--mode", "paper", "--ibkr"]),
            ("[5/5] The same again: the journal knows, nothing is sent twice",
             ["--run", "trade", "--mode", "paper", "--ibkr"]),
        )  # fmt: skip
        failed = sum(self._step(title, arguments) != 0 for title, arguments in steps)
        self._sum_up(failed)
        return 1 if failed else 0

    def _step(self, title: str, arguments: list[str]) -> int:
        shown = " ".join(f'"{a}"' if " " in a else a for a in arguments)
        print(f"\n{title}\n      python trade.py {shown}\n", flush=True)
        config = ["--config", str(self._checkout / "configs" / "paper.yaml")]
        process = subprocess.Popen(
            [sys.executable, str(self._checkout / "trade.py"), *arguments, *config], cwd=self._folder, env=self._environ
        )
        try:
            code = process.wait(timeout=_STEP_SECONDS)
        except subprocess.TimeoutExpired:
            _end(process)
            print(f"      this step was ended: it took more than {_STEP_SECONDS:g} s", file=sys.stderr, flush=True)
            return 1
        except KeyboardInterrupt:
            _end(process)
            raise
        if code:
            print(f"      this step ended with exit code {code}", file=sys.stderr, flush=True)
        return code

    def _sum_up(self, failed: int) -> None:
        what = {
            "backtest.csv": "the backtest, one row per session",
            "logs/live_trades.csv": "what was traded, and at which price",
            "logs/live_portfolio.csv": "what is held after each run",
            "logs/live_snapshot.csv": "equity and running P&L, one row per run",
            "logs/desk.log": "everything the desk said",
            "state": "the journal: each order was on disk before it was sent",
            "simulator.log": "what the simulator saw",
        }
        print(f"\n{_RULE}\n{'All steps done.' if not failed else f'{failed} step(s) failed.'} Everything is in "
              f"{self._folder}", flush=True)  # fmt: skip
        for name, meaning in what.items():
            if (self._folder / name).exists():
                print(f"  {name:<24} {meaning}")
        print(
            "Next: ./desk sim --port 7497 --source seed:7 and point any TWS client at 127.0.0.1:7497;\n"
            "      docs/quickstart.md goes on from here, with TWS itself at the end.\n" + _RULE,
            flush=True,
        )


if __name__ == "__main__":
    raise SystemExit(main())
