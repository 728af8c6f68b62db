"""Trading halts: spans of time without a trade; what would have traded then trades when they end.

Limit up, limit down pauses last five minutes (documented, Nasdaq's rules); here they begin on the full minute.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quant_trading.tws_sim.aggregate import aggregate, concat, rows
from quant_trading.tws_sim.tape import TapeBars

__all__ = ["GENERAL", "VOLATILITY", "Halt", "without_halted"]

GENERAL, VOLATILITY = 1, 2
"""Values of tick 49: halted for regulatory reasons, paused for volatility (documented)."""


@dataclass(frozen=True, slots=True)
class Halt:
    """No trading in [start_ns, end_ns)."""

    start_ns: int
    end_ns: int
    kind: int = VOLATILITY


def without_halted(blocks: TapeBars, halts: Sequence[Halt]) -> TapeBars:
    """Return the blocks with each halt flat and its trades moved into the first block after it.

    The day adds up to the same prices and volume. A halt to the end of the blocks leaves its trades out.
    """
    for halt in halts:
        begin, end = (int(np.searchsorted(blocks.start_ns, ns)) for ns in (halt.start_ns, halt.end_ns))
        if begin == end:
            continue
        price = float(blocks.close[begin - 1]) if begin else float(blocks.open[begin])
        flat, zeros = np.full(end - begin, price), np.zeros(end - begin)
        none = zeros.astype(np.int64)
        quiet = TapeBars(blocks.start_ns[begin:end], flat, flat, flat, flat, zeros, flat, none)
        parts = [rows(blocks, slice(0, begin)), quiet]
        if end < len(blocks):
            held = rows(blocks, slice(begin, end + 1))
            reopening = aggregate(held, np.zeros(len(held), dtype=np.int64))
            stamp = blocks.start_ns[end : end + 1]
            parts.append(TapeBars(stamp, *(getattr(reopening, name) for name in TapeBars.__slots__[1:])))
            parts.append(rows(blocks, slice(end + 1, None)))
        blocks = concat(parts)
    return blocks
