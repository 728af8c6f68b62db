"""Every value is escaped on the way in."""

import html
import json
import re

from hypothesis import given
from hypothesis import strategies as st

from quant_trading.reporting.markup import element, escape, json_block, pairs


@given(st.text())
def test_escaped_text_has_no_markup_and_reads_back(text: str) -> None:
    written = escape(text)
    assert not re.search(r"[<>\"']", written)
    expected = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
    assert html.unescape(written) == expected


@given(st.text())
def test_data_cannot_end_its_element(text: str) -> None:
    block = json_block({"n": text}, "points")
    inside = block.split(">", 1)[1].rsplit("</script>", 1)[0]
    assert "<" not in inside
    assert json.loads(inside) == {"n": text}


def test_attributes() -> None:
    made = element("td", "x", class_="a b", data_v="1", title=None, hidden=True, disabled=False)
    assert made == '<td class="a b" data-v="1" hidden="hidden">x</td>'
    assert element("p", "x", title='"><script>') == '<p title="&quot;&gt;&lt;script&gt;">x</p>'


def test_pairs() -> None:
    assert pairs([("a<", "b&")]) == '<dl class="facts"><div><dt>a&lt;</dt><dd>b&amp;</dd></div></dl>'
