"""The result files: JSON of the very numbers, whatever their form, and no number that JSON has not."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.backtesting.cache import _Gapped, _Rows, _text

NAN = float("nan")
numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=120)
texts = st.text(max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def written(document):
    return _text(document).decode()


@given(st.dictionaries(texts, plain, max_size=6))
def test_what_is_no_array_is_written_as_json_writes_it(document):
    assert written(document) == json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n"


@given(numbers, st.lists(st.integers(-(2**62), 2**62), max_size=120))
def test_arrays_are_written_as_json_writes_their_lists(floats, integers):
    arrays = {"a": np.array(floats, dtype=np.float64), "b": {"c": np.array(integers, dtype=np.int64)}}
    lists = {"a": floats, "b": {"c": integers}}
    assert written(arrays) == json.dumps(lists, separators=(",", ":")) + "\n"


@given(st.lists(st.floats(), max_size=120))
def test_numbers_that_may_be_unknown_are_null_where_they_are(values):
    found = json.loads(written({"x": _Gapped(np.array(values, dtype=np.float64))}))["x"]
    assert found == [value if np.isfinite(value) else None for value in values]


@pytest.mark.parametrize("count", [0, 1, 200])
def test_columns_are_written_as_objects(count):
    prices, bars = np.random.default_rng(count).normal(100.0, 5.0, count), np.arange(count)
    rows = _Rows({"side": ['"long"'] * count, "price": prices, "bars": bars})
    found = json.loads(written({"trades": rows, "after": 1}))
    assert found["after"] == 1
    assert found["trades"] == [
        {"side": "long", "price": price, "bars": bar} for price, bar in zip(prices.tolist(), bars.tolist(), strict=True)
    ]


@pytest.mark.parametrize("bad", [NAN, float("inf"), -float("inf")])
@pytest.mark.parametrize("form", [lambda v: v, lambda v: [v], lambda v: np.array([1.0, v]), lambda v: np.full(99, v)])
def test_a_number_json_has_not_is_refused(bad, form):
    with pytest.raises(ValueError, match=r"not finite|Out of range"):
        written({"x": {"y": form(bad)}})
    with pytest.raises(ValueError, match="not finite"):
        written({"x": _Rows({"y": np.array([bad])})})
