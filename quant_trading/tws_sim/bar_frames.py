"""The answer to a history request as bytes, column by column: a year of minutes has a hundred thousand rows.

The layout table says the same thing row by row; a test holds the two together.
"""

from collections.abc import Sequence
from itertools import chain

from quant_trading.tws_sim.fields import format_number
from quant_trading.tws_sim.history import HistoryAnswer
from quant_trading.tws_sim.wire import RAW_IDS_SINCE, encode_frame

__all__ = ["history_frame"]

_HISTORICAL_DATA = "17"
_SPAN_UNTIL = 196


def history_frame(answer: HistoryAnswer, req_id: int, version: int) -> bytes | None:
    """Return the frame of a historicalData message, None for versions whose message ids are raw."""
    if version >= RAW_IDS_SINCE:
        return None
    span = (answer.start_text, answer.end_text) if version < _SPAN_UNTIL else ()
    dates, *prices, volumes, waps, counts = zip(*answer.rows, strict=True) if answer.rows else ((),) * 8
    columns = (dates, *map(_texts, prices), map(str, volumes), _texts(waps), map(str, counts))
    fields = chain.from_iterable(zip(*columns, strict=True))
    return encode_frame((_HISTORICAL_DATA, str(req_id), *span, str(len(answer.rows)), *fields))


def _texts(values: Sequence[float]) -> list[str]:
    """Return the numbers as TWS writes them: without an exponent, without needless zeros."""
    texts = map(repr, values)
    return [
        text[:-2] if text.endswith(".0") else format_number(value) if "e" in text else text
        for text, value in zip(texts, values, strict=True)
    ]
