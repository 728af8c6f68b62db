"""Every text can be read, in both themes."""

import itertools

import pytest

from quant_trading.reporting.palette import TEXT_ON, TOKENS, stylesheet_variables


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.1."""
    parts = [int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_measure_itself() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # WebAIM's example just below 4.5


@pytest.mark.parametrize(("theme", "pair"), list(itertools.product((0, 1), TEXT_ON)))
def test_text_has_contrast(theme: int, pair: tuple[str, str]) -> None:
    text, ground = (TOKENS[name][theme] for name in pair)
    assert contrast(text, ground) >= 4.5, f"{pair} {text} on {ground}: {contrast(text, ground):.2f}"


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("name", ["accent", "bench", "second", "gain", "loss", "long-entry", "long-exit", "short-entry",
                                  "short-exit"])  # fmt: skip
def test_shapes_stand_out_from_the_page(name: str, theme: int) -> None:
    assert contrast(TOKENS[name][theme], TOKENS["page"][theme]) >= 3.0


def test_the_dark_colours_stay_on_screens() -> None:
    css = stylesheet_variables()
    light, *dark = css.split("@media screen")
    assert len(dark) == 2
    assert f"--page:{TOKENS['page'][0]};" in light
    assert all(f"--page:{TOKENS['page'][1]};" in part for part in dark)
    assert css.count("{") == css.count("}")
