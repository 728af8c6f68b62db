"""Order messages: plain values, and the ledger knows what to do with each kind."""

from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

import pytest

from quant_trading.core.order_ledger import OrderLedger
from quant_trading.core.order_messages import OrderMessage
from quant_trading.domain.orders import Side

_SAMPLES: dict[str, Any] = {
    "str": "", "int": 0, "Decimal": Decimal(1), "Side": Side.BUY, "datetime": datetime(2026, 11, 20, tzinfo=UTC),
}  # fmt: skip


def _sample(kind: type) -> Any:
    values = {}
    for item in fields(kind):
        name = item.type if isinstance(item.type, str) else getattr(item.type, "__name__", "None")
        values[item.name] = _SAMPLES.get(name)
    return kind(**values)


@pytest.mark.parametrize("kind", get_args(OrderMessage))
def test_the_ledger_takes_every_kind_and_none_can_be_changed(kind: type) -> None:
    message = _sample(kind)
    assert OrderLedger("DU1", 12).apply(message) == []
    with pytest.raises(FrozenInstanceError):
        setattr(message, fields(kind)[0].name, None)
