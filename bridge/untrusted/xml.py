"""XML of strangers as a tree: no document types, so no entities, and bounded depth and number of elements."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from xml.parsers import expat

from bridge.untrusted.files import FileRefused, FileTooLarge


def parse(text: str, elements: int, depth: int, most: Mapping[str, int] | None = None) -> ET.Element:
    """The root of an XML text of up to so many ``elements``, nested up to ``depth``; ``most``: of some, by their tag.
    Raises ``FileRefused``.

    As ``ElementTree.fromstring``, which would make any tree before it can be counted.
    """
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate("utf-8", "}")
    parser.buffer_text = parser.ordered_attributes = True
    count = open_ = 0
    left = dict(most or {})

    def start(tag: str, given: list[str]) -> None:
        nonlocal count, open_
        count, open_ = count + 1, open_ + 1
        if count > elements or open_ > depth:
            if open_ > depth:
                raise FileRefused(f"line {parser.CurrentLineNumber}: nested deeper than {depth}")
            raise FileTooLarge(f"line {parser.CurrentLineNumber}: more than {elements} elements")
        if tag in left:
            left[tag] -= 1
            if left[tag] < 0:
                raise FileTooLarge(f"line {parser.CurrentLineNumber}: more than {(most or {})[tag]} <{tag}> elements")
        pairs = zip(given[::2], given[1::2], strict=True)
        builder.start(_qualified(tag), {_qualified(name): value for name, value in pairs})

    def end(tag: str) -> None:
        nonlocal open_
        open_ -= 1
        builder.end(_qualified(tag))

    def refuse(*_: object) -> None:
        raise FileRefused(f"line {parser.CurrentLineNumber}: a document type, which no such file needs")

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
