"""The sections on what the figures rest on: statistics, sweep, conventions, data and checks."""

from quant_trading.reporting.charts import Caption
from quant_trading.reporting.formats import shown
from quant_trading.reporting.heatmaps import sweep_chart
from quant_trading.reporting.markup import element, escape, pairs
from quant_trading.reporting.model import Causality, Column, Finding, Interval, ReportData, SourceFile, Table
from quant_trading.reporting.tables import figure_lists, html_table

__all__ = ["alerts", "data_section", "method", "statistics", "sweep"]

SEVERITIES = ("error", "warning", "info")
WORST = 5  # findings named at the top of the page


def alerts(data: ReportData) -> str:
    """Return what a reader must know before the first figure: a leak, and findings that are errors."""
    out = []
    if data.causality is not None and data.causality.passed is False:
        out.append(_alert("The strategy reads the future", data.causality.text))
    errors = [f for f in data.findings if f.severity == "error"]
    if errors:
        named = "; ".join(f"{f.symbol} {f.where}: {f.text}" for f in errors[:WORST])
        more = f"; and {len(errors) - WORST} more below" if len(errors) > WORST else ""
        out.append(_alert(f"{len(errors)} {'errors' if len(errors) > 1 else 'error'} in the data", named + more))
    return "".join(out)


def _alert(head: str, text: str) -> str:
    return element("p", element("strong", escape(head) + ".") + " " + escape(text), class_="alert", role="note")


def statistics(data: ReportData) -> str:
    """Return all metrics and the bootstrap intervals."""
    out = figure_lists(data.metrics) if data.metrics else ""
    return out + (_intervals(data.intervals, data.interval_note) if data.intervals else "")


def _intervals(intervals: tuple[Interval, ...], made: str) -> str:
    """Return the estimates between their bounds, as numbers and as a line with a dot."""
    rows = []
    for item in intervals:
        cells = element("th", escape(item.name), scope="row")
        for value in (item.low, item.estimate, item.high):
            exact = repr(float(value)) if value == value else None
            cells += element("td", escape(shown(value, item.kind)), class_="num", data_v=exact)
        rows.append(element("tr", cells + element("td", _span(item), class_="span")))
    level = intervals[0].level
    heads = (("", None), ("Low", "num"), ("Estimate", "num"), ("High", "num"), ("", "span"))
    head = element("thead", element("tr", "".join(element("th", a, scope="col", class_=b) for a, b in heads)))
    table = element("table", head + element("tbody", "".join(rows)), aria_label="Bootstrap intervals")
    title = element("h3", f"Bootstrap intervals, {level:.0%}")
    words = "What the same strategy might have shown, had the same market gone otherwise; the tick is zero."
    said = element("p", escape(f"{words} {made}".strip()), class_="said")
    return element("div", title + said + element("div", table, class_="scroll"), class_="block")


def _span(item: Interval) -> str:
    """Return the interval as a small drawing over a range that holds zero too."""
    known = [v for v in (item.low, item.high, item.estimate, 0.0) if v == v and abs(v) != float("inf")]
    low, high = min(known), max(known)
    if len(known) < 4 or not high > low:
        return ""

    def at(value: float) -> float:
        return round(3.0 + (value - low) / (high - low) * 94.0, 2)

    words = (
        f"{item.name}: {shown(item.estimate, item.kind)}, {shown(item.low, item.kind)} to {shown(item.high, item.kind)}"
    )
    inside = (
        element("title", escape(words))
        + f'<line class="zero" x1="{at(0.0)}%" x2="{at(0.0)}%" y1="1" y2="17"/>'
        + f'<line class="reach" x1="{at(item.low)}%" x2="{at(item.high)}%" y1="9" y2="9"/>'
        + f'<circle cx="{at(item.estimate)}%" cy="9" r="4"/>'
    )
    return element("svg", inside, xmlns="http://www.w3.org/2000/svg", width="100%", height=18, role="img")


def sweep(data: ReportData) -> str:
    """Return the heat map and the best combinations of a sweep, with the number of trials."""
    found = data.sweep
    if found is None:
        return ""
    said = f"{found.trials:,} combinations were tried; the best of many looks better than it is. {found.note}".strip()
    out = element("p", escape(said), class_="said")
    if found.values is not None:
        words = f"{found.measure} for each pair of {found.x_name} (across) and {found.y_name} (down)."
        out += sweep_chart(found, Caption("sweep-chart", f"{found.measure} by parameters", words))
    if found.top.rows:
        out += element(
            "div", element("h3", "Best combinations") + html_table(found.top, "Best combinations", sortable=True),
            class_="block",
        )  # fmt: skip
    return out


def method(data: ReportData) -> str:
    """Return parameters and conventions in words."""
    out = ""
    if data.parameters:
        out += element("div", element("h3", "Parameters") + pairs(data.parameters, "facts tight"), class_="block")
    if data.conventions:
        out += element("div", element("h3", "Conventions") + pairs(data.conventions), class_="block")
    return element("div", out, class_="two uneven") if out else ""


def data_section(data: ReportData) -> str:
    """Return the causality verdict, the findings of the data checker and the files with their fingerprints."""
    out = _verdict(data.causality) if data.causality is not None else ""
    out += _findings(data.findings) if data.findings else ""
    return out + (_sources(data.sources) if data.sources else "")


def _verdict(verdict: Causality) -> str:
    """Return whether the strategy was seen to read the future."""
    word, colour = {True: ("passed", "gain"), False: ("FAILED", "loss"), None: ("not run", "muted")}[verdict.passed]
    chip = element("span", f"Causality test {word}", class_=f"chip {colour}")
    return element("p", chip + " " + escape(verdict.text), class_="verdict")


def _findings(findings: tuple[Finding, ...]) -> str:
    """Return what the checker saw, worst first."""
    rank = {name: place for place, name in enumerate(SEVERITIES)}
    ordered = sorted(findings, key=lambda f: rank.get(f.severity, len(rank)))
    counts = ", ".join(f"{n} {name}" for name in SEVERITIES if (n := sum(f.severity == name for f in findings)))
    rows = []
    for item in ordered:
        colour = {"error": "loss", "warning": "second"}.get(item.severity, "muted")
        cells = element("td", element("span", escape(item.severity), class_=f"chip {colour}"))
        cells += element("th", escape(item.symbol), scope="row") + element("td", escape(item.where), class_="nowrap")
        rows.append(element("tr", cells + element("td", escape(item.text), class_="prose")))
    heads = "".join(element("th", name, scope="col") for name in ("Severity", "Symbol", "Where", "What"))
    table = element("table", element("thead", element("tr", heads)) + element("tbody", "".join(rows)),
                    aria_label="Data findings")  # fmt: skip
    title = element("h3", "Findings of the data checker") + element("p", escape(counts), class_="said")
    return element("div", title + element("div", table, class_="scroll"), class_="block")


def _sources(sources: tuple[SourceFile, ...]) -> str:
    """Return the files the bars came from."""
    columns = (
        Column("Symbol", "text"), Column("File", "text"), Column("Rows", "count"), Column("First bar", "text"),
        Column("Last bar", "text"), Column("SHA-256", "text"),
    )  # fmt: skip
    rows = tuple((s.symbol, s.file, s.rows, s.first, s.last, s.sha256) for s in sources)
    table = html_table(Table(columns, rows), "Files")
    return element("div", element("h3", "Files") + table, class_="block files")
