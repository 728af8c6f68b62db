"""Error codes: the table holds every code we know, and the unknown ones fail safe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.core.error_codes import (
    ERROR_ROWS,
    ErrorClass,
    OrderErrorClass,
    classify_message,
    classify_order,
)

# The codes of reference/tws-protocol.md section 2, "Codes to model".
MODELLED = [
    1100, 1101, 1102, 1300, *range(2100, 2111), 2158, 100, 101, 102, 103, 104, 105, 106, 109, 110, 161, 162, 165, 200,
    201, 202, 203, 300, 317, 321, 322, 326, 354, 366, 399, 404, 420, 434, 460, 502, 504, 2174, 10089, 10090, 10092,
    10147, 10148, 10167, 10168, 10186, 10190, 10197, 10276, 10314, 10349,
]  # fmt: skip


@pytest.mark.parametrize("code", MODELLED)
def test_every_modelled_code_has_a_row_with_a_remark(code: int) -> None:
    assert ERROR_ROWS[code].remark


# What is true of a live order after the code, from section 4 of the same file and reliability.md W13.
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (10349, OrderErrorClass.KEEPS_ORDER),
        (399, OrderErrorClass.KEEPS_ORDER),
        (2109, OrderErrorClass.KEEPS_ORDER),
        (161, OrderErrorClass.CANCEL_REFUSED),
        (10147, OrderErrorClass.CANCEL_REFUSED),
        (10148, OrderErrorClass.CANCEL_REFUSED),
        (202, OrderErrorClass.CANCELLED),
        (201, OrderErrorClass.REJECTED),
        (203, OrderErrorClass.REJECTED),
        (110, OrderErrorClass.REJECTED),
        (321, OrderErrorClass.REJECTED),
        (434, OrderErrorClass.REJECTED),
        (404, OrderErrorClass.HELD),
        (104, OrderErrorClass.DOUBT),
        (322, OrderErrorClass.DOUBT),
    ],
)
def test_codes_on_an_order(code: int, kind: OrderErrorClass) -> None:
    assert classify_order(code) is kind


@given(st.integers(min_value=-10, max_value=200_000).filter(lambda code: code not in ERROR_ROWS))
def test_an_unlisted_code_on_an_order_is_doubt(code: int) -> None:
    assert classify_order(code) is OrderErrorClass.DOUBT


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1100, ErrorClass.CONNECTIVITY_LOST),
        (2110, ErrorClass.CONNECTIVITY_LOST),
        (1101, ErrorClass.CONNECTIVITY_BACK),
        (1102, ErrorClass.CONNECTIVITY_BACK),
        (326, ErrorClass.FATAL),
        (2104, ErrorClass.ADVISORY),
        (2199, ErrorClass.ADVISORY),  # unlisted, but of IBKR's warnings
        (10167, ErrorClass.FEED),
        (162, ErrorClass.REQUEST_FAILED),
        (99_999, ErrorClass.REQUEST_FAILED),
    ],
)
def test_codes_on_a_session_or_request(code: int, kind: ErrorClass) -> None:
    assert classify_message(code) is kind
