"""Record, replay and compare sessions of any IBKR client: `desk sim record`, `replay`, `diff`.

    desk sim record --listen 7500 --server 127.0.0.1:7497 --out session.txt
    desk sim replay session.txt --server 127.0.0.1:7497
    desk sim replay session.txt --listen 7500
    desk sim diff one.txt other.txt

Exit codes: 0 done and nothing differs, 1 something differs, 2 a file or an option cannot be used, 3 an
address cannot be had or reached.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from quant_trading.tws_sim.transcript import Transcript

__all__ = ["main"]

_OK, _DIFFERENT, _USAGE, _ADDRESS = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; return the exit code."""
    options = _parser().parse_args(arguments)
    # Everything heavy is imported from here on, so that --help answers at once.
    from quant_trading.tws_sim.player import ReplayRefused

    commands = {"record": _record, "replay": _replay, "diff": _diff}
    try:
        return commands[options.command](options)
    except (ValueError, ReplayRefused) as error:
        return _fail(_USAGE, str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="desk sim", description="Record, replay and compare sessions with a TWS.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{record,replay,diff}")

    record = commands.add_parser(
        "record", help="stand between a client and a server, write down what passes", description=(
            "Passes everything on unchanged, between any client and any server, also a real TWS; account numbers "
            "are replaced in the file by DU0000001, ... until Ctrl-C."
        ))  # fmt: skip
    add = record.add_argument
    add("--server", required=True, metavar="HOST:PORT", help="where the TWS or the simulator listens")
    add("--listen", default="7500", metavar="[HOST:]PORT", help="where clients come, 0 takes a free port (7500)")
    add("--out", required=True, metavar="FILE", help="the transcript, - for the screen")
    add("--keep-accounts", action="store_true", help="write account numbers as they are")

    replay = commands.add_parser(
        "replay", help="play one side of a transcript, show what the other side does differently", description=(
            "With --server plays the clients of the transcript to a server, with --listen plays the server to "
            "clients. Orders are played to paper accounts only."
        ))  # fmt: skip
    add = replay.add_argument
    add("file", metavar="FILE", help="a transcript")
    add("--server", metavar="HOST:PORT", help="the server to play the clients to")
    add("--listen", metavar="[HOST:]PORT", help="where clients come to hear the server, 0 takes a free port")
    add("--out", metavar="FILE", help="write down this session")
    add("--speed", type=float, default=0.0, help="recorded seconds per second; 0 goes on as soon as it can (0)")
    add("--patience", type=float, default=2.0, metavar="SECONDS", help="wait so long for what was recorded (2)")
    _add_rules(replay)

    diff = commands.add_parser("diff", help="show what differs between two transcripts")
    diff.add_argument("left", metavar="LEFT")
    diff.add_argument("right", metavar="RIGHT")
    _add_rules(diff)
    return parser


def _add_rules(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ignore", action="append", default=[], metavar="MESSAGE.FIELD",
                        help="leave a field out, with * as wildcard; may be repeated")  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="compare also clocks, permanent ids and execution ids")


def _record(options: argparse.Namespace) -> int:
    from quant_trading.tws_sim.proxy import record_until_stopped

    server, listen = _address(options.server, "--server"), _address(options.listen, "--listen")
    target: AbstractContextManager[TextIO]
    if options.out == "-":
        target = nullcontext(sys.stdout)
    else:
        try:
            target = Path(options.out).open("w", encoding="ascii", newline="\n")  # noqa: SIM115  # entered below
        except OSError as error:
            return _fail(_USAGE, f"--out {options.out} cannot be written: {error.strerror or error}")

    def on_ready(port: int) -> None:
        _say(
            f"recording: clients connect to {listen[0]}:{port}, passed on to {server[0]}:{server[1]}; stop with Ctrl-C"
        )

    with target as file:
        try:
            count = record_until_stopped(file, server, listen, on_ready, is_scrubbed=not options.keep_accounts)
        except OSError as error:
            return _fail(_ADDRESS, f"{options.listen} or {options.out} cannot be used: {error.strerror or error}")
    _say(f"recorded {count} connection{'s' * (count != 1)} in {options.out}")
    return _OK


def _replay(options: argparse.Namespace) -> int:
    from quant_trading.tws_sim.playback import replay_to_port, serve_playback
    from quant_trading.tws_sim.transcript import format_transcript

    if (options.server is None) == (options.listen is None):
        raise ValueError("replay needs one of --server (play the clients) and --listen (play the server)")
    if options.speed < 0 or options.patience <= 0:
        raise ValueError("--speed must not be negative and --patience must be positive")
    recorded = _read(options.file)
    where = options.server or options.listen
    address = _address(where, "--server" if options.server else "--listen")
    try:
        if options.server:
            heard = replay_to_port(recorded, *address, speed=options.speed, patience_seconds=options.patience)
        else:
            ready = "replaying: clients connect to {}:{}; stop with Ctrl-C"
            heard = serve_playback(
                recorded, *address, lambda port: _say(ready.format(address[0], port)), patience_seconds=options.patience
            )
    except OSError as error:
        return _fail(_ADDRESS, f"{where} cannot be used: {error.strerror or error}")
    if options.out:
        Path(options.out).write_text(format_transcript(heard), encoding="ascii", newline="\n")
    return _show(recorded, heard, options)


def _diff(options: argparse.Namespace) -> int:
    return _show(_read(options.left), _read(options.right), options)


def _show(left: "Transcript", right: "Transcript", options: argparse.Namespace) -> int:
    from quant_trading.tws_sim.differences import IGNORED, differences

    rules = (*(() if options.strict else IGNORED), *options.ignore)
    found = differences(left, right, rules)
    for difference in found:
        _say(str(difference))
    _say(f"{len(found) or 'no'} difference{'s' * (len(found) != 1)} in {len(left.records)} lines")
    return _DIFFERENT if found else _OK


def _read(name: str) -> "Transcript":
    from quant_trading.tws_sim.transcript import parse_transcript

    try:
        text = Path(name).read_text(encoding="ascii")
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name} is no transcript: a transcript is ASCII text") from None
    return parse_transcript(text, name)


def _address(words: str, option: str) -> tuple[str, int]:
    host, _, port = words.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"{option} {words!r} is no address; write 127.0.0.1:7497")
    return host.strip("[]") or "127.0.0.1", int(port)


def _say(text: str) -> None:
    print(text, flush=True)


def _fail(code: int, text: str) -> int:
    print(f"error: {text}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
