"""Untrusted XML as a tree: no document types, hence no entities, and a limited depth and number of elements."""

import codecs
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from xml.parsers import expat

from bridge.untrusted.files import FileRefused, FileTooLarge
from bridge.untrusted.names import printable

#: Encodings of XML files whose decoders only decode: Python has others that compute.
_ENCODING = re.compile(
    r"(us-?)?ascii|utf-?(8|16|32)([-_]?[bl]e)?|iso-?8859-?\d+|latin-?\d+|(windows-?|cp)\d+|koi8-?\w|mac-?roman|"
    r"shift-?jis|euc-?(jp|kr)|iso-?2022-?(jp|kr)|gb(2312|k|18030)|big5",
    re.IGNORECASE,
)
_DECLARED = re.compile(rb"""<\?xml\b[^>]*?\bencoding\s*=\s*["']([\w.-]+)["']""")
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)


def decode(data: bytes) -> str:
    """Return the text of an XML file, in the encoding of its mark or its declaration, else UTF-8. Raises `FileRefused`.

    What stands before the declaration, where XML allows nothing, is left out: some programs put a comment there.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    if not encoding:
        declared = _DECLARED.search(data[:4096])
        encoding = declared[1].decode() if declared else "utf-8"
    if not _ENCODING.fullmatch(encoding):
        raise FileRefused(f"its encoding is {printable(encoding)}: save it as UTF-8")
    try:
        text = data.decode("utf-8-sig" if encoding.lower().replace("-", "") == "utf8" else encoding)
    except (UnicodeError, LookupError):
        raise FileRefused(f"not a text file ({encoding.upper()})") from None
    return text[max(text.find("<?xml ", 0, 4096), 0) :].removeprefix("\ufeff")


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
        local = tag.rpartition("}")[2]
        if local in remaining:
            remaining[local] -= 1
            if remaining[local] < 0:
                limit = (tag_limits or {})[local]
                raise FileTooLarge(f"line {parser.CurrentLineNumber}: more than {limit} <{local}> elements")
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
