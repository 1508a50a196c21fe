"""Types of options about rendering; nothing heavy is imported before one of them is used."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from bridge.process.options import Arg


def _remap(value: Any) -> str:
    """Return the normalised text of a :class:`neuralsim.renderer.remap.Remap`, from its text or a mapping."""
    from neuralsim.renderer.remap import Remap

    return str(Remap.of(value) if isinstance(value, Mapping) else Remap.parse(str(value)))


#: Tags that are rendered as others, for :meth:`neuralsim.renderer.remap.Remap.parse`; "": nothing.
RemapText = Annotated[str, BeforeValidator(_remap), Arg("TAG=TAG,...", repeat=True)]
