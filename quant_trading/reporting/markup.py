"""HTML and SVG as text: every value is escaped on the way in."""

import html
import json
from collections.abc import Iterable, Mapping

__all__ = ["element", "escape", "json_block", "pairs"]


def escape(text: object) -> str:
    """Return `text` for the inside of an element or of a quoted attribute, without control characters."""
    clean = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in str(text))
    return html.escape(clean, quote=True)


def element(name: str, body: str = "", /, **attributes: object) -> str:
    """Return `<name attributes>body</name>`; `body` is markup already.

    An attribute is written as its name without a last underscore and with hyphens for the others
    (`class_`, `aria_label`); None and False leave it out, True writes it with its own name as value.
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        written.append(f' {label}="{escape(label if value is True else value)}"')
    return f"<{name}{''.join(written)}>{body}</{name}>"


def json_block(data: Mapping[str, object], class_: str) -> str:
    """Return `data` as an inert script element that no browser runs; nothing in it can end the element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, sort_keys=True)
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" class="{class_}">{text}</script>'


def pairs(rows: Iterable[tuple[str, str]], class_: str = "facts") -> str:
    """Return a list of names and their text, both escaped here."""
    inside = "".join(element("div", element("dt", escape(a)) + element("dd", escape(b))) for a, b in rows)
    return element("dl", inside, class_=class_)
