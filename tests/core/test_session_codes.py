"""One test per error code of the protocol reference: what a supervised session does when TWS says it."""

import pytest

from quant_trading.core.error_codes import ERROR_ROWS, Effect, effect_of

# reference/tws-protocol.md, "Codes to model", with what its sections 2, 4, 5 and 6 say about each. Codes of the
# socket's own end (502, 504) never come from TWS; they are what a client says to itself.
EXPECTED: dict[int, Effect] = {
    **dict.fromkeys((1100, 2103, 2105, 2110, 10197), Effect.FEED_LOST),
    **dict.fromkeys((1102, 2104, 2106, 2107, 2108, 2158), Effect.FEED_BACK),
    **dict.fromkeys((1101, 317, 10225), Effect.MUST_RESUBSCRIBE),
    **dict.fromkeys((326, 502, 504, 1300), Effect.FATAL),
    **dict.fromkeys((100, 162, 420), Effect.RETRY),
    **dict.fromkeys(
        (101, 102, 200, 322, 354, 10092, 10168, 10186, 10190, 10276, 10314), Effect.REQUEST_ENDED
    ),
    **dict.fromkeys(
        (103, 104, 105, 106, 109, 110, 161, 201, 202, 203, 321, 399, 404, 434, 460, 2102, 2109, 10147, 10148, 10349),
        Effect.ORDER_DECISION,
    ),
    **dict.fromkeys((165, 300, 366, 2100, 2101, 2174, 10089, 10090, 10167), Effect.ADVISORY),
}  # fmt: skip


@pytest.mark.parametrize("code", sorted(EXPECTED))
def test_the_effect_of_each_code(code: int) -> None:
    assert effect_of(code) is EXPECTED[code]


def test_every_code_in_the_table_has_an_effect_and_only_order_codes_decide_orders() -> None:
    from quant_trading.core.error_codes import OrderErrorClass

    for code, row in ERROR_ROWS.items():
        assert isinstance(row.effect, Effect), code
        if row.effect is Effect.FEED_LOST or row.effect is Effect.FEED_BACK:
            assert row.order is OrderErrorClass.DOUBT, code  # a feed says nothing about an order


def test_unlisted_codes_fail_safe() -> None:
    assert effect_of(2199) is Effect.ADVISORY  # IBKR's range of warnings
    assert effect_of(99_999) is Effect.REQUEST_ENDED
