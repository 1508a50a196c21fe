"""The size of an image: one type, range, order and notation for every option and file that has a size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

LEAST, MOST = 32, 4096  # pixels per side
_SCHEMA_PATTERN = r"^[1-9]\d{1,3}[xX][1-9]\d{1,3}$"  # for JSON schemas, which cannot express the range
_TEXT = re.compile(r"(\d{1,5})[xX](\d{1,5})", re.ASCII)


class Size(NamedTuple):
    """Width and height in pixels, in this order; written ``512x256``.

    Sizes of generated images, of their inputs, and in options and scenarios are limited to sides of ``LEAST`` to
    ``MOST`` pixels (checked by :meth:`parse`). Sensors of other CARLA clients may be smaller, down to one pixel.
    """

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, value: str | Sequence[int]) -> Size:
        """Parse ``"512x256"``, or a width and a height. Raises ``ValueError`` with a one-line message."""
        if isinstance(value, str):
            match = _TEXT.fullmatch(value)
            sides: Sequence[Any] = tuple(map(int, match.groups())) if match else ()
        else:
            sides = value if isinstance(value, Sequence) else ()
        if len(sides) != 2 or not all(type(side) is int and LEAST <= side <= MOST for side in sides):
            shown = value if isinstance(value, str) else "x".join(map(str, sides)) or str(value)
            raise ValueError(f"{shown!r} is not WIDTHxHEIGHT with {LEAST} to {MOST} pixels each, such as 512x256")
        return cls(*sides)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Validate with :meth:`parse` in pydantic models, and serialise as text."""
        from pydantic_core import core_schema

        as_text = core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=as_text)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": _SCHEMA_PATTERN}
