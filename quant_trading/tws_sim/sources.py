"""From the words of `--source` to a market."""

from pathlib import Path

from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.tape import SourceError

__all__ = ["SourceError", "open_source"]

_SEEDED = "seed:"


def open_source(spec: str) -> SeriesTape:
    """Return the market that `spec` names: "seed:7", a Parquet or CSV file of bars, or a folder of them.

    Raises:
        SourceError: the words or the files cannot be used; the message says why and what would do.
    """
    if not spec.startswith(_SEEDED):
        # Only files need pyarrow, whose import costs more than the whole built-in market.
        from quant_trading.tws_sim.replay import replay_tape

        return replay_tape(Path(spec))
    number = spec.removeprefix(_SEEDED)
    if not number.isascii() or not number.isdigit():
        raise SourceError(f"source {spec!r}: {number!r} is not a seed; write a whole number, as in seed:7")
    return seeded_tape(int(number))
