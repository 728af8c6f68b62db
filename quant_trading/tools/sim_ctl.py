"""Command a simulator that runs: `./desk sim ctl --port 7497 halt AAPL 600`.

    ./desk sim ctl status                       clock, clients, counters
    ./desk sim ctl advance 3600                 an hour later
    ./desk sim ctl advance to=15:59
    ./desk sim ctl kill-client 5
    ./desk sim ctl halt AAPL
    ./desk sim ctl lose-link 30 restore=1101    1100 now, 1101 in half a minute
    ./desk sim ctl fault '{"when": "send:execDetails#1", "do": "duplicate"}'
    ./desk sim ctl chaos 7

Values come in the order of the documentation, or as name=value. Exit codes: 0 done, 1 the simulator refused,
2 the command is wrong, 3 no simulator answers.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["main"]

_OK, _REFUSED, _USAGE, _UNREACHABLE = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Send one command; return the exit code."""
    options = _parser().parse_args(arguments)
    from quant_trading.tws_sim.control import ask, default_file, read_control_file

    try:
        values = _values(options.command, options.values)
        file = Path(options.control_file) if options.control_file else default_file(options.port)
        port, token = read_control_file(file)
    except ValueError as error:
        return _fail(_USAGE, str(error))
    try:
        answer = ask(port, token, options.command, values)
    except OSError as error:
        return _fail(_UNREACHABLE, f"no simulator answers on 127.0.0.1:{port}: {error.strerror or error}")
    except ValueError as error:
        return _fail(_REFUSED, str(error))
    for key, value in answer.items():
        _show(key, value)
    return _OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="desk sim ctl",
        description="Command a simulator that runs: status, step, advance, speed, fault, chaos, scenario, faults, "
        "clear, log, kill-client, open-port, login, or any action of docs/simulator-faults.md.",
    )  # fmt: skip
    add = parser.add_argument
    add("--port", type=int, default=7497, help="the port its clients connect to (default: %(default)s)")
    add("--control-file", metavar="FILE", help="its control file, if it was started with one")
    add("command", help="what to do")
    add("values", nargs="*", help="values in the documented order, name=value, or one JSON object")
    return parser


def _values(command: str, words: Sequence[str]) -> dict[str, Any]:
    """Return the arguments by name.

    Raises:
        ValueError: when there are more values than the command has arguments.
    """
    from quant_trading.tws_sim.control import COMMANDS
    from quant_trading.tws_sim.faults import ACTIONS

    action = ACTIONS.get(command.replace("-", "_"))
    known = COMMANDS.get(command.replace("_", "-"))
    names = list(action.parameters) if action is not None and known is None else list((known and known[1]) or ())
    values: dict[str, Any] = {}
    for word in words:
        name, separator, text = word.partition("=")
        if word.startswith("{"):
            values |= _object(word)
        elif separator and name.isidentifier():
            values[name] = _read(text)
        else:
            free = [one for one in names if one not in values]
            if not free:
                raise ValueError(f"{command} has no place for {word!r}; it takes {', '.join(names) or 'nothing'}")
            values[free[0]] = _read(word)
    return values


def _object(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{text!r:.60} is no JSON object: {error}") from None
    return dict(data)


def _read(text: str) -> Any:
    """Return a number, true, false, a list or a table where the text is one, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _show(key: str, value: Any) -> None:
    if isinstance(value, list):
        for one in value:
            print(one if isinstance(one, str) else json.dumps(one))
    elif isinstance(value, dict):
        print(f"{key:<18} {', '.join(f'{name} {one}' for name, one in value.items()) or 'none'}")
    else:
        print(f"{key:<18} {value}")


def _fail(code: int, text: str) -> int:
    print(f"error: {text}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
