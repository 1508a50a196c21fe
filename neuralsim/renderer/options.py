"""Types of options about what is painted; nothing heavy is imported before one of them is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from bridge.process.options import Arg


def _remap(value: Any) -> str:
    """The text that :class:`neuralsim.renderer.remap.Remap` writes, of any that it reads or of a mapping."""
    from neuralsim.renderer.remap import Remap

    return str(Remap.of(value) if isinstance(value, Mapping) else Remap.parse(str(value)))


#: What is painted as something else, for :meth:`neuralsim.renderer.remap.Remap.parse`; "": nothing.
RemapText = Annotated[str, BeforeValidator(_remap), Arg("TAG=TAG,...", repeat=True)]
