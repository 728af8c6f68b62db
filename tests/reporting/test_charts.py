"""Curves, bars and candles stand where their numbers say."""

import re

import numpy as np
import pytest

from quant_trading.reporting.charts import Caption, Line, bar_chart, histogram_chart, line_chart, path_of, scale_of
from quant_trading.reporting.heatmaps import step_of, sweep_chart
from quant_trading.reporting.model import Marker, PriceSeries, Sweep, Table
from quant_trading.reporting.price_chart import MOST_CANDLES, MOST_MARKERS, MOST_SYMBOLS, price_charts, window_of
from quant_trading.reporting.series import Distribution
from tests.reporting.pages import read

CAPTION = Caption("c", "Title", "Words.")


def times(rows: int) -> np.ndarray:
    return (np.datetime64("2024-01-01") + np.arange(rows)).astype("datetime64[s]")


def walk(data: str) -> list[tuple[float, float]]:
    """Return the points of path data with M, l and h."""
    points: list[tuple[float, float]] = []
    for command, numbers in re.findall(r"([Mlh])([^Mlh]*)", data):
        values = [float(v) for v in re.findall(r"-?\d+", numbers)]
        if command == "M":
            points.append((values[0], values[1]))
        elif command == "l":
            points.append((points[-1][0] + values[0], points[-1][1] + values[1]))
    return points


def test_a_curve_goes_through_its_points() -> None:
    values = np.array([10.0, 20.0, 15.0, 10.0, 20.0])
    (path,) = read(line_chart(CAPTION, times(5), [Line("a", values, "accent")], "ratio")).all("path")
    # The axis runs from 10 to 20: the top is 0 of 10,000 units, 15 is in the middle.
    assert walk(path.attributes["d"]) == [(0, 10000), (2500, 0), (5000, 5000), (7500, 10000), (10000, 0)]


def test_a_hole_lifts_the_pen() -> None:
    data = path_of(np.array([0, 1, 2, 3]), np.array([5.0, float("nan"), 6.0, 7.0]))
    assert data == "M0 5h0M2 6h0l1 1"


def test_a_thinned_curve_says_so_and_keeps_its_extremes() -> None:
    values = np.sin(np.arange(20_000) / 50.0)
    values[7_777], values[12_345] = 9.0, -9.0
    tree = read(line_chart(CAPTION, times(20_000), [Line("a", values, "accent")], "ratio"))
    (note,) = tree.all("p", class_="note")
    shown, total = re.findall(r"through ([\d,]+) of ([\d,]+) points", note.text)[0]
    assert total == "20,000"
    assert int(shown.replace(",", "")) <= 2_000
    points = walk(tree.all("path")[0].attributes["d"])
    assert (min(y for _, y in points), max(y for _, y in points)) == (500, 9500)  # 9 and -9 on an axis of -10 to 10


def test_a_legend_names_more_than_one_curve() -> None:
    one = [Line("a", np.ones(3), "accent")]
    assert read(line_chart(CAPTION, times(3), one, "ratio")).all("li") == []
    two = [*one, Line("b", np.ones(3), "bench")]
    assert [li.text for li in read(line_chart(CAPTION, times(3), two, "ratio")).all("li")] == ["a", "b"]


def test_bars_reach_from_zero_to_their_value() -> None:
    line = Line("a", np.array([1.0, -1.0, 0.0, float("nan")]), "accent")
    (path,) = read(bar_chart(CAPTION, times(4), line, "ratio")).all("path")
    # Four slots of 2,500 units, 70 % of each filled; the axis runs from -1 to 1.
    assert path.attributes["d"] == "M375 5000h1750V0h-1750zM2875 5000h1750V10000h-1750z"


def test_the_bin_around_zero_is_neither_gain_nor_loss() -> None:
    # Ten bins of 1 % from -4.5 % to 5.5 %: four below zero, one around it, five above.
    counts = np.array([1, 2, 3, 4, 90, 4, 3, 2, 1, 1])
    spread = Distribution(np.linspace(-0.045, 0.055, 11), counts, 0, 0.0, 0.01, -0.02, -0.03, -0.025)
    tree = read(histogram_chart(CAPTION, spread))
    bars = {name: tree.all("path", class_=name)[0].attributes["d"].count("M") for name in ("loss", "bench", "gain")}
    assert bars == {"loss": 4, "bench": 1, "gain": 5}
    assert [line.attributes["x1"] for line in tree.all("line", class_="mark")] == ["25.0%", "15.0%"]


def test_the_axis_covers_the_values() -> None:
    scale = scale_of([np.array([3.0, float("nan"), 7.0])], with_zero=True)
    assert (scale.low, scale.high) == (0.0, 8.0)
    assert (scale.percent(8.0), scale.percent(0.0), scale.percent(4.0)) == (0.0, 100.0, 50.0)


def series(rows: int, markers: tuple[Marker, ...] = (), symbol: str = "AAPL") -> PriceSeries:
    close = 100.0 + np.arange(rows) % 7
    return PriceSeries(symbol, times(rows), close - 0.5, close + 1.0, close - 1.0, close, markers)


def test_few_bars_are_candles_and_many_a_line() -> None:
    assert len(read(price_charts([series(MOST_CANDLES)])).all("path", class_="body")) == 2
    assert read(price_charts([series(MOST_CANDLES + 1)])).all("path", class_="body") == []


def test_a_rising_candle_is_hollow_and_a_falling_one_filled() -> None:
    rising = PriceSeries("A", times(1), *(np.array([v]) for v in (10.0, 14.0, 8.0, 12.0)))
    up, down = (read(price_charts([rising])).all("path", class_=name)[0] for name in ("up", "down"))
    # The axis runs from 8 to 14: the body from 12 to 10 is 3,333 to 6,667 units from the top.
    assert re.fullmatch(r"M\d+ 3333h6000V6667h-6000z", up.attributes["d"])
    assert down.attributes["d"] == ""


@pytest.mark.parametrize(
    ("kind", "words", "up"),
    [("long_entry", "long entry", True), ("long_exit", "long exit", False), ("short_entry", "short entry", False),
     ("short_exit", "short exit", True)],
)  # fmt: skip
def test_markers(kind: str, words: str, up: bool) -> None:
    text = price_charts([series(10, (Marker(5, 105.0, 40.0, kind),))])
    tree = read(text)
    (marker,) = tree.all("svg", class_="marker")
    assert marker.attributes["x"] == "55.0%"  # the middle of the sixth of ten slots
    (arrow,) = marker.all("path")
    assert arrow.attributes["class"] == kind.replace("_", "-")
    below = [float(y) for y in re.findall(r"[ML]-?\d+ ?(-?\d+)", arrow.attributes["d"])]
    assert all(y > 0 for y in below) is up
    assert [li.text for li in tree.all("li")] == [words]
    assert f"{words} 40 @ 105.00" in text


def test_too_many_fills_are_cut_to_the_last_ones_and_it_is_said() -> None:
    many = tuple(Marker(i, 100.0, 1.0, "long_entry") for i in range(300))
    data = series(300, many)
    assert window_of(data) == 300 - MOST_MARKERS
    # Two fills on each bar: a bar is drawn with both or not at all.
    pairs = tuple(Marker(i // 2, 100.0, 1.0, "long_entry") for i in range(11))
    assert [window_of(data._replace(markers=pairs), most) for most in (1, 2, 3, 4)] == [5, 5, 4, 4]
    assert window_of(data._replace(markers=many[:MOST_MARKERS])) == 0
    tree = read(price_charts([data]))
    assert len(tree.all("svg", class_="marker")) == MOST_MARKERS
    assert f"The last {MOST_MARKERS} of 300 fills" in tree.text


def test_one_symbol_is_seen_and_the_others_can_be_chosen() -> None:
    tree = read(price_charts([series(5, symbol=f"S{i}") for i in range(MOST_SYMBOLS + 3)]))
    options = tree.all("option")
    assert [o.text for o in options] == [f"S{i}" for i in range(MOST_SYMBOLS)]
    charts = [d for d in tree.all("div") if "data-price" in d.attributes]
    assert [c.attributes["data-price"] for c in charts] == [o.attributes["value"] for o in options]
    assert ["hidden" in c.attributes for c in charts] == [False] + [True] * (MOST_SYMBOLS - 1)
    assert "3 more symbols have no chart here." in tree.text


@pytest.mark.parametrize(
    ("value", "step"),
    [(0.001, "p1"), (0.05, "p3"), (0.0999, "p5"), (0.1, "p5"), (9.0, "p5"), (-0.001, "n1"), (-1.0, "n5"), (0.0, ""),
     (float("nan"), "")],
)  # fmt: skip
def test_steps_of_a_return(value: float, step: str) -> None:
    assert step_of(value, 0.1) == step


def test_a_sweep_frames_its_best_and_shows_its_numbers() -> None:
    values = np.array([[0.15, 0.25, float("nan")], [0.35, 0.9, -0.1]])
    sweep = Sweep("Sharpe", "ratio", 6, Table((), ()), "fast", ("5", "6", "7"), "slow", ("26", "30"), values)
    tree = read(sweep_chart(sweep, CAPTION))
    (best,) = tree.all("path", class_="best")
    assert best.attributes["d"] == "M3333 5000H6667V10000H3333z"  # second column, second row
    numbers = [t.text for name in ("on-low", "on-high") for t in tree.all("text", class_=name)]
    assert sorted(numbers) == sorted(["0.15", "0.25", "0.35", "0.90", "\u22120.10"])
    # From -0.1 (darkest) to 0.9 (brightest) in ten steps: 0.15 is step 2, 0.25 step 3, 0.35 step 4.
    steps = sorted(p.attributes["class"] for p in tree.all("path") if p.attributes["class"] != "best")
    assert steps == ["s0", "s2", "s3", "s4", "s9"]
