"""The quick way to write bars writes what the layout table writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.tws_sim.bar_frames import history_frame
from quant_trading.tws_sim.fields import encode
from quant_trading.tws_sim.history import HistoryAnswer, HistoryRow
from quant_trading.tws_sim.responses import RESPONSE_NAMES
from quant_trading.tws_sim.wire import encode_frame

PRICES = st.one_of(st.integers(1, 10**7).map(lambda cents: cents / 100), st.floats(1e-7, 1e9))
ROWS = st.lists(
    st.builds(
        HistoryRow, st.just("20251008 10:00:00 US/Eastern"), PRICES, PRICES, PRICES, PRICES,
        st.integers(-1, 10**10), st.one_of(st.just(-1.0), PRICES), st.integers(-1, 10**6),
    ),
    max_size=5,
)  # fmt: skip


@pytest.mark.parametrize("version", [157, 178, 195, 196, 200])
@given(ROWS)
def test_a_frame_is_what_the_table_says(version: int, rows: list[HistoryRow]) -> None:
    answer = HistoryAnswer("20251001 09:30:00 US/Eastern", "20251008 10:00:00 US/Eastern", tuple(rows))
    values = {"reqId": 7, "start": answer.start_text, "end": answer.end_text, "bars": [row._asdict() for row in rows]}
    expected = encode_frame(encode(RESPONSE_NAMES["historicalData"], values, version))
    assert history_frame(answer, 7, version) == expected


def test_raw_ids_are_left_to_the_table() -> None:
    assert history_frame(HistoryAnswer("", "", ()), 1, 201) is None
