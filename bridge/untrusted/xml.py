"""Untrusted XML as a tree: no document types, hence no entities, and a limited depth and number of elements."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from xml.parsers import expat

from bridge.untrusted.files import FileRefused, FileTooLarge


def parse(text: str, elements: int, depth: int, tag_limits: Mapping[str, int] | None = None) -> ET.Element:
    """Parse an XML text and return its root. Raises ``FileRefused``.

    The limits are checked while parsing; ``ElementTree.fromstring`` would build the whole tree first.

    Args:
        text: The XML.
        elements: Maximum number of elements.
        depth: Maximum nesting depth.
        tag_limits: Maximum number of elements with certain tags.
    """
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate("utf-8", "}")
    parser.buffer_text = parser.ordered_attributes = True
    count = level = 0
    remaining = dict(tag_limits or {})

    def start(tag: str, attributes: list[str]) -> None:
        nonlocal count, level
        count, level = count + 1, level + 1
        if count > elements or level > depth:
            if level > depth:
                raise FileRefused(f"line {parser.CurrentLineNumber}: nested deeper than {depth}")
            raise FileTooLarge(f"line {parser.CurrentLineNumber}: more than {elements} elements")
        if tag in remaining:
            remaining[tag] -= 1
            if remaining[tag] < 0:
                limit = (tag_limits or {})[tag]
                raise FileTooLarge(f"line {parser.CurrentLineNumber}: more than {limit} <{tag}> elements")
        pairs = zip(attributes[::2], attributes[1::2], strict=True)
        builder.start(_qualified(tag), {_qualified(name): value for name, value in pairs})

    def end(tag: str) -> None:
        nonlocal level
        level -= 1
        builder.end(_qualified(tag))

    def refuse(*_: object) -> None:
        raise FileRefused(f"line {parser.CurrentLineNumber}: document types are not allowed")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(text.encode(), True)
        root: ET.Element = builder.close()
    except (expat.ExpatError, UnicodeEncodeError) as error:
        raise FileRefused(str(error)) from None
    return root


def _qualified(name: str) -> str:
    return f"{{{name}" if "}" in name else name
