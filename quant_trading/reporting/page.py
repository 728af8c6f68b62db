"""One self-contained HTML file from a `ReportData`: no network, no clock, the same bytes for the same data."""

import base64
import hashlib
from importlib.resources import files

from quant_trading.reporting import method, performance, trading
from quant_trading.reporting.formats import date_text
from quant_trading.reporting.markup import element, escape
from quant_trading.reporting.model import ReportData
from quant_trading.reporting.palette import stylesheet_variables
from quant_trading.reporting.tables import tiles

__all__ = ["render_report"]

MODES = {"backtest": "Backtest", "paper": "Paper trading", "live": "LIVE trading"}
NAMED = 8  # symbols named in the heading


def render_report(data: ReportData) -> str:
    """Return the report as the text of one HTML file.

    It loads nothing and sends nothing: styles, script and data are inside, and its security policy forbids the rest.
    """
    style, script = stylesheet_variables() + _asset("report.css"), _asset("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"
    title = f"{data.strategy} \u00b7 {MODES[data.mode]}"
    head = (
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{style}</style>"
    )
    sections = [
        ("performance", "Performance", performance.equity(data)),
        ("returns", "Returns", performance.returns(data)),
        ("statistics", "Statistics", method.statistics(data)),
        ("activity", "Exposure and costs", performance.activity(data)),
        ("symbols", "Symbols", trading.symbols(data)),
        ("trades", "Trades", trading.trades(data)),
        ("sweep", "Parameter sweep", method.sweep(data)),
        ("method", "Method", method.method(data)),
        ("data", "Data", method.data_section(data)),
    ]
    present = [(name, words, body) for name, words, body in sections if body]
    main = _header(data) + method.alerts(data) + _figures(data) + _navigation([(n, w) for n, w, _ in present])
    for name, words, body in present:
        main += element("section", element("h2", words, id=f"{name}-h") + body, id=name, aria_labelledby=f"{name}-h")
    body = element("main", main + _footer(data)) + element("script", script)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body class="{data.mode}">{body}</body></html>\n'


def _asset(name: str) -> str:
    """Return one of the files beside this module."""
    return (files("quant_trading.reporting") / "assets" / name).read_text(encoding="utf-8")


def _header(data: ReportData) -> str:
    """Return the name, the period and what was traded."""
    named = ", ".join(data.symbols[:NAMED])
    more = f" and {len(data.symbols) - NAMED} more" if len(data.symbols) > NAMED else ""
    dates = data.sessions.dates
    period = f"{date_text(dates[0])} to {date_text(dates[-1])}" if len(dates) else "no session"
    facts = [
        period, f"{len(dates):,} sessions", f"{len(data.curve.times):,} bars of {data.bar_size}", data.currency,
    ]  # fmt: skip
    theme = (
        '<button type="button" id="theme" class="screen" title="Light or dark" aria-label="Light or dark">'
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">'
        '<circle cx="10" cy="10" r="7.5" class="ring"/><path d="M10 2.5a7.5 7.5 0 0 1 0 15z"/></svg></button>'
    )
    over = element(
        "p", element("span", MODES[data.mode], class_="mode") + escape(f"Created {data.created}"), class_="over"
    )
    top = element("div", over + theme, class_="top")
    return element(
        "header",
        top + element("h1", escape(data.strategy)) + element("p", escape(named + more), class_="names")
        + element("p", "".join(element("span", escape(fact)) for fact in facts), class_="period"),
    )  # fmt: skip


def _figures(data: ReportData) -> str:
    """Return the tiles under the heading."""
    return tiles(data.key_figures) if data.key_figures else ""


def _navigation(names: list[tuple[str, str]]) -> str:
    """Return links to the sections."""
    links = "".join(element("a", words, href=f"#{name}") for name, words in names)
    return element("nav", links, class_="screen", aria_label="Sections") if len(names) > 1 else ""


def _footer(data: ReportData) -> str:
    """Return how the report can be repeated."""
    out = element("p", f"quant-trading {escape(data.version)} \u00b7 created {escape(data.created)}")
    if data.command:
        out = element("p", "Made by") + element("pre", element("code", escape(data.command))) + out
    return element("footer", out)
