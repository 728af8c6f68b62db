"""The whole page: well-formed, self-contained, complete, harmless and the same for the same data."""

import base64
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from quant_trading.reporting.model import (
    Causality,
    Column,
    Curve,
    Figure,
    FigureGroup,
    Finding,
    Interval,
    ReportData,
    SessionCurve,
    Sweep,
    Table,
)
from quant_trading.reporting.page import render_report
from tests.reporting.pages import Node, drawings, number, read, rows_of
from tests.reporting.sample import CAPITAL, SYMBOLS, sample, without_trading

DATA = sample()
PAGE = render_report(DATA)
TREE = read(PAGE)
SECTIONS = ["performance", "returns", "statistics", "activity", "symbols", "trades", "sweep", "method", "data"]


def account(equity: list[float], **more: object) -> ReportData:
    """Return a report of an account alone, one session per value after the first."""
    values = np.array(equity, dtype=np.float64)
    dates = np.arange("2024-01-02", "2030-01-01", dtype="datetime64[D]")[: len(values) - 1]
    curve = Curve(dates.astype("datetime64[s]"), values[1:])
    data = replace(without_trading(DATA), curve=curve, sessions=SessionCurve(dates, values))
    return replace(data, **more)


def test_every_drawing_is_xml_with_a_title_and_a_description() -> None:
    found = drawings(PAGE)
    charts = [svg for svg in found if "aria-labelledby" in svg.split(">")[0]]
    assert len(charts) == 8 + len(SYMBOLS)  # seven of the account and the sweep; prices per symbol
    for svg in found:
        root = ET.fromstring(svg)
        if svg in charts:
            ids = root.attrib["aria-labelledby"].split()
            named = {e.attrib.get("id"): e.text for e in root if e.tag.endswith(("title", "desc"))}
            assert [bool(named[i]) for i in ids] == [True, True]


def test_ids_are_unique_and_links_lead_somewhere() -> None:
    ids = re.findall(r'\sid="([^"]*)"', PAGE)
    assert len(ids) == len(set(ids))
    assert {link.attributes["href"] for link in TREE.all("a")} == {f"#{name}" for name in SECTIONS}
    assert [s.attributes["id"] for s in TREE.all("section")] == SECTIONS


def references(page: str) -> list[str]:
    """Return whatever could make a browser fetch something."""
    tree = read(page)
    nodes: list[Node] = [tree]
    out = []
    while nodes:
        node = nodes.pop()
        nodes += node.children
        if node.name in ("link", "img", "iframe", "object", "embed", "base", "form", "video", "audio", "source"):
            out.append(node.name)
        for key, value in node.attributes.items():
            if key in ("src", "srcset", "href", "xlink:href", "action", "data", "poster") and not value.startswith("#"):
                out.append(f"{key}={value}")
            if key.startswith("on") or (key == "style" and "url(" in value):
                out.append(f"{key}={value}")
    for part in (*tree.all("style"), *tree.all("script")):
        out += re.findall(r"@import|url\(|fetch\(|XMLHttpRequest|import\(|WebSocket|sendBeacon|\bnew Image", part.text)
    # The name of the SVG language is the only address of the page, and no browser asks there.
    return out + [a for a in re.findall(r"(?:https?:)?//[\w.]+", page) if a != "http://www.w3.org"]


def test_nothing_is_fetched_from_anywhere() -> None:
    assert references(PAGE) == []


@pytest.mark.parametrize(
    "planted",
    [
        '<img src="x.png">', '<script src="//cdn.example.org/x.js"></script>', '<link rel="stylesheet" href="x.css">',
        "<style>@import 'x.css';</style>", "<style>a{background:url(x.png)}</style>", '<a href="javascript:x()">x</a>',
        "<script>fetch('x')</script>", '<p onclick="x()">x</p>',
    ],
)  # fmt: skip
def test_a_planted_reference_is_seen(planted: str) -> None:
    assert references(f"<html><body>{planted}<footer></footer></body></html>") != []


def test_a_reference_planted_in_the_page_is_seen() -> None:
    assert references(PAGE.replace("<footer>", '<img src="x.png"><footer>')) == ["img", "src=x.png"]


def test_the_policy_allows_only_the_script_of_the_page() -> None:
    (script,) = [s for s in TREE.all("script") if s.attributes.get("type") != "application/json"]
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    (policy,) = [m.attributes["content"] for m in TREE.all("meta") if "http-equiv" in m.attributes]
    assert policy.split("; ")[0] == "default-src 'none'"
    assert f"script-src 'sha256-{digest}'" in policy.split("; ")


def test_the_same_data_gives_the_same_bytes() -> None:
    assert render_report(sample()) == PAGE
    assert "2026-01-05 16:30 EST" in PAGE
    assert render_report(replace(DATA, created="later")) != PAGE


def test_long_curves_stay_small() -> None:
    assert len(render_report(sample(5_000)).encode()) < 800_000
    assert len(PAGE.encode()) < 300_000


@pytest.mark.parametrize(
    ("field", "section"),
    [("sweep", "sweep"), ("symbol_table", "symbols")],
)
def test_what_is_not_given_has_no_section(field: str, section: str) -> None:
    tree = read(render_report(replace(DATA, **{field: None})))
    assert [s.attributes["id"] for s in tree.all("section")] == [name for name in SECTIONS if name != section]


def test_an_account_alone_has_its_curve_and_nothing_else() -> None:
    tree = read(render_report(without_trading(DATA)))
    assert [s.attributes["id"] for s in tree.all("section")] == ["performance", "returns", "activity"]
    assert tree.all("dl", class_="tiles") == []
    assert "benchmark" not in tree.text


@pytest.mark.parametrize(
    ("part", "id_"),
    [("gross_exposure", None), ("turnover", "turnover"), ("cost", "costs-chart"), ("benchmark", None)],
)
def test_curves_that_are_not_given_are_not_drawn(part: str, id_: str | None) -> None:
    tree = read(render_report(replace(DATA, curve=replace(DATA.curve, **{part: None}))))
    if id_:
        assert tree.by_id(id_) is None
        assert TREE.by_id(id_) is not None
    names = {"gross_exposure": ("exposure", ["net"]), "benchmark": ("equity-chart", ["Reversal"])}
    if part in names:
        chart, kept = names[part]
        assert [s["n"] for s in points(tree, chart)["s"]] == kept


def points(tree: Node, chart: str) -> dict[str, list]:
    """Return the crosshair's data of a chart."""
    node = tree.by_id(chart)
    assert node is not None
    (block,) = node.all("script", class_="points")
    return json.loads(block.text)


def test_the_crosshair_reads_the_data() -> None:
    data = points(TREE, "equity-chart")
    minutes = np.cumsum(data["t"]).astype("datetime64[m]")
    assert (minutes == DATA.curve.times).all()
    np.testing.assert_allclose(data["s"][0]["v"], DATA.curve.equity, rtol=1e-6)
    assert data["s"][1]["n"] == "SPY"
    assert np.cumsum(data["x"])[-1] == 10_000


def test_tables_show_the_numbers_of_the_data() -> None:
    section = TREE.by_id("symbols")
    assert section is not None
    (table,) = section.all("table")
    assert DATA.symbol_table is not None
    for shown, row in zip(rows_of(table), DATA.symbol_table.rows, strict=True):
        assert shown[0] == row[0]
        for text, value, column in zip(shown[1:], row[1:], DATA.symbol_table.columns[1:], strict=True):
            places = {"count": 0.5, "money": 0.005, "pnl": 0.005}.get(column.kind, 0.00005)
            assert abs(number(text) - value) <= places * 1.001, column.name
    exact = [[cell.attributes.get("data-v") for cell in row.children] for row in table.all("tbody")[0].all("tr")]
    assert [[float(v) for v in row[1:]] for row in exact] == [list(row[1:]) for row in DATA.symbol_table.rows]


def test_gains_and_losses_have_a_sign_with_their_colour() -> None:
    coloured = [n for kind in ("td", "dd") for c in ("gain", "loss") for n in TREE.all(kind, class_=c)]
    assert len(coloured) > 50
    for node in coloured:
        assert node.text[0] == ("+" if node.has("class_", "gain") else "\u2212"), node.text


def test_the_four_lists_of_trades() -> None:
    book = DATA.trades
    assert book is not None
    lists = {}
    for name in ("first", "last", "best", "worst"):
        panel = TREE.by_id(f"trades-{name}")
        assert panel is not None
        lists[name] = [number(row[8]) for row in rows_of(panel.all("table")[0])]
    assert lists["first"] == [pytest.approx(v, abs=0.0051) for v in book.pnl[:12]]
    assert lists["last"] == [pytest.approx(v, abs=0.0051) for v in book.pnl[::-1][:12]]
    assert lists["best"] == [pytest.approx(v, abs=0.0051) for v in sorted(book.pnl, reverse=True)[:12]]
    assert lists["worst"] == [pytest.approx(v, abs=0.0051) for v in sorted(book.pnl)[:12]]


def test_months_and_years_by_hand() -> None:
    # January: 100 -> 110 -> 99, that is -1 %; February: 99 -> 108.9, +10 %; the year: +8.9 %; then 2025: -50 %.
    dates = np.array(["2024-01-30", "2024-01-31", "2024-02-01", "2025-03-03"], dtype="datetime64[D]")
    equity = np.array([100.0, 110.0, 99.0, 108.9, 54.45])
    data = replace(
        without_trading(DATA),
        curve=Curve(dates.astype("datetime64[s]"), equity[1:]),
        sessions=SessionCurve(dates, equity),
    )
    months = read(render_report(data)).by_id("months")
    assert months is not None
    first, second = rows_of(months.all("table")[0])
    assert first == ["2024", "\u22121.0", "+10.0", *[""] * 10, "+8.9"]
    assert second == ["2025", "", "", "\u221250.0", *[""] * 9, "\u221250.0"]


HOSTILE = "<script>alert(1)</script>\"'&</script><!--"


def test_hostile_names_stay_text() -> None:
    table = Table((Column(HOSTILE, "text", HOSTILE), Column(HOSTILE, "ratio")), ((HOSTILE, 1.0),))
    assert DATA.trades is not None
    data = replace(
        DATA, strategy=HOSTILE, symbols=(HOSTILE,), bar_size=HOSTILE, created=HOSTILE, version=HOSTILE,
        currency=HOSTILE, command=HOSTILE, key_figures=(Figure(HOSTILE, HOSTILE, "text", HOSTILE),), symbol_table=table,
        metrics=(FigureGroup(HOSTILE, (Figure(HOSTILE, 1.0, "ratio", HOSTILE),)),),
        costs=(Figure(HOSTILE, 1.0, "money"),),
        intervals=(Interval(HOSTILE, 1.0, 0.5, 2.0, 0.9, "ratio"),), parameters=((HOSTILE, HOSTILE),),
        conventions=((HOSTILE, HOSTILE),), findings=(Finding(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        causality=Causality(False, HOSTILE), curve=replace(DATA.curve, benchmark_name=HOSTILE),
        trades=replace(DATA.trades, symbols=(HOSTILE,) * 5, reason=(HOSTILE,) * len(DATA.trades)),
        prices=tuple(p._replace(symbol=HOSTILE) for p in DATA.prices[:2]),
        sources=tuple(s._replace(symbol=HOSTILE, file=HOSTILE, sha256=HOSTILE) for s in DATA.sources),
        sweep=Sweep(HOSTILE, "ratio", 1, table, HOSTILE, (HOSTILE,), HOSTILE, (HOSTILE,), np.ones((1, 1)), HOSTILE),
    )  # fmt: skip
    page = render_report(data)
    tree = read(page)
    assert len(tree.all("script")) - len(tree.all("script", type="application/json")) == 1
    assert references(page) == []
    assert "<!--" not in page
    (title,) = tree.all("h1")
    assert title.text == HOSTILE
    for svg in drawings(page):
        ET.fromstring(svg)
    assert points(tree, "equity-chart")["s"][0]["n"] == HOSTILE


NAN = float("nan")


@pytest.mark.parametrize(
    "equity",
    [
        [CAPITAL],
        [CAPITAL, CAPITAL],
        [CAPITAL, 99_000.0],
        [CAPITAL] * 40,
        [CAPITAL, 50_000.0, 1.0, 0.0, 0.0],
        [CAPITAL, 100.0, -5_000.0, -5_000.0],
        [CAPITAL, NAN, 101_000.0, NAN],
        [CAPITAL, NAN],
        [CAPITAL, 1e15, 1e-9, 1e12],
        [1e-9, 2e-9, 1e-9],
        [CAPITAL * 0.99**i for i in range(300)],
    ],
    ids=["no bar", "one bar, flat", "one bar", "flat", "to zero", "below zero", "holes", "nothing known",
         "extreme", "tiny", "only losses"],
)  # fmt: skip
def test_odd_accounts_are_drawn(equity: list[float]) -> None:
    with np.errstate(all="raise", under="ignore"):
        page = render_report(account(equity))
    read(page)
    for svg in drawings(page):
        ET.fromstring(svg)
    assert not re.search(r"\b(nan|inf|None)\b", re.sub(r"<style>.*?</style>|<script>.*?</script>", "", page))


def test_odd_numbers_are_shown_as_not_known() -> None:
    data = replace(
        DATA,
        intervals=(Interval("a", NAN, NAN, NAN, 0.95, "ratio"), Interval("b", 0.0, 0.0, 0.0, 0.95, "return")),
        key_figures=(Figure("a", NAN, "return"), Figure("b", None, "money"), Figure("c", float("inf"), "ratio")),
        costs=(Figure("a", NAN, "money"), Figure("b", 0.0, "money")),
        sweep=Sweep("Sharpe", "ratio", 2, Table((), ()), "a", ("1",), "b", ("2", "3"), np.full((2, 1), NAN)),
        prices=tuple(p._replace(close=np.full(len(p.times), NAN), markers=()) for p in DATA.prices[:1]),
    )
    tree = read(render_report(data))
    (tiles,) = tree.all("dl", class_="tiles")
    assert [dd.text for dd in tiles.all("dd")] == ["n/a", "n/a", "\u221e"]


def test_one_bar_with_everything() -> None:
    read(render_report(sample(1)))
    read(render_report(sample(2)))


@pytest.mark.parametrize(
    ("mode", "words"), [("backtest", "Backtest"), ("paper", "Paper trading"), ("live", "LIVE trading")]
)
def test_the_mode_is_said(mode: str, words: str) -> None:
    tree = read(render_report(replace(DATA, mode=mode)))
    assert [n.text for n in tree.all("span", class_="mode")] == [words]
    assert tree.all("body")[0].attributes["class"] == mode
    assert words in tree.all("title")[0].text


def test_a_leak_and_errors_in_the_data_stand_above_the_figures() -> None:
    data = replace(DATA, causality=Causality(False, "SPY at bar 77 changes"))
    page = render_report(data)
    alerts = read(page).all("p", class_="alert")
    assert [a.text.split(".")[0] for a in alerts] == ["The strategy reads the future", "1 error in the data"]
    assert page.index('class="alert"') < page.index('class="tiles"')
    clean = replace(DATA, findings=tuple(f for f in DATA.findings if f.severity != "error"))
    assert read(render_report(clean)).all("p", class_="alert") == []


def test_costs_have_bars_by_their_size_and_a_total_without() -> None:
    costs = (Figure("a", 30.0, "money"), Figure("b", -15.0, "money"), Figure("Total", 15.0, "money"))
    (table,) = read(render_report(replace(DATA, costs=costs))).all("table", class_="costs")
    assert [i.attributes["style"] for i in table.all("i")] == ["width:100.0%", "width:50.0%"]
    assert [row[1] for row in rows_of(table)] == ["30.00", "\u221215.00", "15.00"]


def test_how_the_intervals_were_made_is_said() -> None:
    assert "1,000 resampled runs" in read(render_report(replace(DATA, interval_note="1,000 resampled runs"))).text


def test_findings_are_listed_worst_first() -> None:
    section = TREE.by_id("data")
    assert section is not None
    (table,) = section.all("table", **{"aria-label": "Data findings"})
    assert [row[0] for row in rows_of(table)] == ["error", "warning", "info"]


def test_files_are_named_with_their_fingerprint() -> None:
    section = TREE.by_id("data")
    assert section is not None
    (table,) = section.all("table", **{"aria-label": "Files"})
    assert [row[5] for row in rows_of(table)] == [s.sha256 for s in DATA.sources]
    assert [number(row[2]) for row in rows_of(table)] == [320.0] * 5
