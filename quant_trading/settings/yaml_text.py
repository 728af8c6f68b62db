"""YAML read strictly: text stays text, nothing is said twice, and every value knows its line."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from quant_trading.domain.errors import ConfigError
from quant_trading.settings.scalars import Quoted, show

__all__ = ["Document", "parse_yaml"]

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 8
# What an empty value looks like; `NULL` and `Null` stay text, they could be names.
_EMPTY = ("", "~", "null")


@dataclass(frozen=True, slots=True)
class Document:
    """The contents of one YAML file.

    Attributes:
        name: how messages call the file.
        root: nested dict, list, str (`Quoted` when it stood in quotes) and None.
        lines: 1-based line of each key by its dotted path, `risk.max_position_pct`.
    """

    name: str
    root: dict[str, Any]
    lines: dict[str, int] = field(default_factory=dict)


def parse_yaml(content: bytes, name: str) -> Document:
    """Return the mapping in `content`; an empty file is an empty mapping.

    Args:
        content: the file's bytes, UTF-8 with or without a byte order mark.
        name: how messages call the file.

    Raises:
        ConfigError: when it is no YAML, not a mapping, too large or deep, or uses duplicate keys, anchors, aliases
            or tags.
    """
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{name}: {len(content)} bytes is more than {_MAX_BYTES}; this is not a settings file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}: byte {error.start} is not UTF-8; save the file as UTF-8 (line {line})") from None
    try:
        loader = _Loader(text)
        loader.source = name
        node = loader.get_single_node()
    except yaml.YAMLError as error:
        raise ConfigError(_describe(error, name)) from None
    document = Document(name, {})
    if node is None:
        return document
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{name}: holds no settings at its top; write lines such as `risk:` (line {_line(node)})")
    document.root.update(_mapping(node, document, ""))
    return document


class _Loader(yaml.SafeLoader):
    """Composes nodes, never constructs objects; refuses what has a meaning beside its text."""

    source = ""
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's own class has no annotations
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ConfigError(f"{self.source}: & anchors and * aliases are not used here; write the value out, or in "
                              f"quotes if it is text (line {line})")  # fmt: skip
        if getattr(event, "tag", None) is not None:
            raise ConfigError(f"{self.source}: tag {show(event.tag)} is not used here; write the plain value "
                              f"(line {line})")  # fmt: skip
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ConfigError(f"{self.source}: nested deeper than {_MAX_DEPTH} levels (line {line})")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _mapping(node: yaml.MappingNode, document: Document, above: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{document.name}: a key must be a name, not a list or mapping (line {_line(key_node)})")
        key = str(key_node.value)
        path = f"{above}.{key}" if above else key
        if key in found:
            raise ConfigError(
                f"{document.name}: {show(path)} is written twice, in lines {document.lines[path]} and "
                f"{_line(key_node)}; take one out"
            )
        document.lines[path] = _line(key_node)
        found[key] = _value(value_node, document, path)
    return found


def _value(node: yaml.Node, document: Document, path: str) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, document, path)
    if isinstance(node, yaml.SequenceNode):
        return list(_items(node, document, path))
    text = str(node.value)
    if isinstance(node, yaml.ScalarNode) and node.style is not None:
        return Quoted(text)
    return None if text in _EMPTY else text


def _items(node: yaml.SequenceNode, document: Document, path: str) -> Iterator[Any]:
    for index, item in enumerate(node.value):
        here = f"{path}[{index}]"
        document.lines[here] = _line(item)
        yield _value(item, document, here)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _describe(error: yaml.YAMLError, name: str) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"{name}: this is not YAML: {show(problem)}; check indentation, colons and quotes{where}"
