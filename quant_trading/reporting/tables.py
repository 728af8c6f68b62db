"""HTML tables: numbers right aligned with one formatter per kind, sortable, each cell carrying its exact value."""

from collections.abc import Sequence

from quant_trading.reporting.formats import is_number, is_signed, shown
from quant_trading.reporting.markup import element, escape
from quant_trading.reporting.model import Column, Figure, FigureGroup, Table, Value

__all__ = ["cell", "figure_lists", "html_table", "sign_class", "tiles"]


def sign_class(value: Value, kind: str) -> str:
    """Return gain or loss for a signed kind, else nothing."""
    if not is_signed(kind) or not isinstance(value, int | float) or value == 0 or value != value:
        return ""
    return "gain" if value > 0 else "loss"


def cell(value: Value, column: Column, heading: bool = False) -> str:
    """Return one table cell; `data-v` holds the exact value, by which the column is sorted."""
    classes = [name for name in ("num" if is_number(column.kind) else "", sign_class(value, column.kind)) if name]
    exact = repr(float(value)) if isinstance(value, int | float) and value == value else None
    return element(
        "th" if heading else "td", escape(shown(value, column.kind)), class_=" ".join(classes) or None, data_v=exact,
        scope="row" if heading else None,
    )  # fmt: skip


def html_table(table: Table, name: str, sortable: bool = False, foot: Sequence[Value] | None = None) -> str:
    """Return `table`; the first column heads its rows. `foot` is one more row that stays below when sorted."""
    heads = []
    for column in table.columns:
        words = escape(column.name)
        inside = f'<button type="button">{words}</button>' if sortable else words
        heads.append(
            element(
                "th",
                inside,
                scope="col",
                class_="num" if is_number(column.kind) else None,
                title=column.meaning or None,
                aria_sort="none" if sortable else None,
            )
        )
    body = "".join(_row(row, table.columns) for row in table.rows)
    inside = element("thead", element("tr", "".join(heads))) + element("tbody", body)
    if foot is not None:
        inside += element("tfoot", _row(foot, table.columns))
    drawn = element("table", inside, class_="sortable" if sortable else None, aria_label=name)
    return element("div", drawn, class_="scroll", tabindex="0", role="region", aria_label=name)


def _row(row: Sequence[Value], columns: Sequence[Column]) -> str:
    """Return one line of a table."""
    cells = [cell(value, column, place == 0) for place, (value, column) in enumerate(zip(row, columns, strict=True))]
    return element("tr", "".join(cells))


def tiles(figures: Sequence[Figure]) -> str:
    """Return the key figures, large."""
    out = []
    for item in figures:
        value = element("dd", escape(shown(item.value, item.kind)), class_=sign_class(item.value, item.kind) or None)
        note = element("dd", escape(item.note), class_="small") if item.note else ""
        out.append(element("div", element("dt", escape(item.name)) + value + note))
    return element("dl", "".join(out), class_="tiles")


def figure_lists(groups: Sequence[FigureGroup]) -> str:
    """Return groups of figures as short tables in columns."""
    out = []
    for group in groups:
        rows = []
        for item in group.figures:
            name = element("th", escape(item.name), scope="row", title=item.note or None)
            rows.append(element("tr", name + cell(item.value, Column("", item.kind))))
        table = element("table", element("caption", escape(group.title)) + element("tbody", "".join(rows)))
        out.append(element("div", table, class_="group"))
    return element("div", "".join(out), class_="groups")
