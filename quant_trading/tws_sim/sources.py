"""From the words of `--source` to a market."""

from collections.abc import Callable
from pathlib import Path

from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.tape import SourceError

__all__ = ["SourceError", "open_source"]

_SEEDED = "seed:"


def open_source(spec: str) -> SeriesTape:
    """Return the market that `spec` names: "seed:7", a Parquet or CSV file of bars, or a folder of them.

    A file or folder may be followed by ";actions=FILE" (splits and dividends) and ";basis=traded" (the bars are as
    traded, the default) or ";basis=split" (they are adjusted for all those splits already).

    Raises:
        SourceError: the words or the files cannot be used; the message says why and what would do.
    """
    if not spec.startswith(_SEEDED):
        # Only files need pyarrow, whose import costs more than the whole built-in market.
        from quant_trading.tws_sim.replay import replay_tape

        return _replay(spec, replay_tape)
    number = spec.removeprefix(_SEEDED)
    if not number.isascii() or not number.isdigit():
        raise SourceError(f"source {spec!r}: {number!r} is not a seed; write a whole number, as in seed:7")
    return seeded_tape(int(number))


def _replay(spec: str, replay_tape: Callable[[Path, Path | None, str], SeriesTape]) -> SeriesTape:
    path, *words = spec.split(";")
    options = dict(word.partition("=")[::2] for word in words)
    if unknown := sorted(options.keys() - {"actions", "basis"}):
        raise SourceError(f"source {spec!r}: {unknown[0]!r} is unknown; write FILE;actions=FILE;basis=traded")
    actions = Path(options["actions"]) if options.get("actions") else None
    return replay_tape(Path(path), actions, options.get("basis") or "traded")
