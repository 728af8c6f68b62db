"""What the tests read back from a page: its tree, its tables, its drawings."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "input", "link"}


@dataclass
class Node:
    """An element: its attributes, its children and the text right inside it."""

    name: str
    attributes: dict[str, str]
    children: list["Node"] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def all(self, name: str, **wanted: str) -> list["Node"]:
        """Return every element below with this name and these attributes (class_: one of its classes)."""
        found = []
        for child in self.children:
            if child.name == name and all(child.has(key, value) for key, value in wanted.items()):
                found.append(child)
            found += child.all(name, **wanted)
        return found

    def has(self, key: str, value: str) -> bool:
        if key == "class_":
            return value in self.attributes.get("class", "").split()
        return self.attributes.get(key) == value

    def by_id(self, id_: str) -> "Node | None":
        for child in self.children:
            found = child if child.attributes.get("id") == id_ else child.by_id(id_)
            if found is not None:
                return found
        return None

    @property
    def text(self) -> str:
        return "".join(self.parts)


class Reader(HTMLParser):
    """Builds the tree and refuses a tag that is not closed in its order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [key for key, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute: {names}"
        node = Node(tag, {key: value or "" for key, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"</{tag}> closes <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for node in self.open:
            node.parts.append(data)


def read(page: str) -> Node:
    """Return the tree of a page, all tags balanced."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert len(reader.open) == 1, f"never closed: {[node.name for node in reader.open[1:]]}"
    return reader.root


def drawings(page: str) -> list[str]:
    """Return the outermost SVG elements as text."""
    found, depth, start = [], 0, 0
    for match in re.finditer(r"<svg\b|</svg>", page):
        if match.group() == "</svg>":
            depth -= 1
            if depth == 0:
                found.append(page[start : match.end()])
        else:
            if depth == 0:
                start = match.start()
            depth += 1
    assert depth == 0
    return found


def rows_of(table: Node) -> list[list[str]]:
    """Return the texts of the body of a table."""
    (body,) = table.all("tbody")
    return [[cell.text for cell in row.children] for row in body.all("tr")]


def number(text: str) -> float:
    """Return the number a cell shows: signs, thousands and percent as the page writes them."""
    scale = 0.01 if text.endswith("%") else 1.0
    return float(text.rstrip("%").replace(",", "").replace("\u2212", "-").replace("+", "")) * scale
