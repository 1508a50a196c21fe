"""What a driver has chosen once and finds again: a YAML file of one's own that can be edited, with every key explained.

It lies in ``$NEURALSIM_CONFIG``, else in ``neuralsim`` in the user's folder of configurations, as ``cockpit.yaml``.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict

from bridge.process import settings
from bridge.process.values import number
from bridge.size import Size
from neuralsim.runtimes import cache

Units = Literal["km/h", "mph"]
Share = Annotated[float, number(0.0, 1.0, "a share from 0 to 1")]
Sharpness = Annotated[float, number(0.3, 2.0, "a number from 0.3 to 2")]
_HEAD = "# How you like your cockpit. Written when you change something in the menu (Esc); edit it as you like.\n"


class CockpitSettings(BaseModel):
    """The driver's choices, each with its default."""

    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    window: Size | None = None
    """Size of the window, pixels; null: twice the picture's."""
    fullscreen: bool = False
    """Begin on the whole screen."""
    full_hud: bool = False
    """Begin with everything that is measured on the screen (F3)."""
    units: Units = "km/h"
    """km/h or mph."""
    volume: Share = 0.6
    """Of engine, tyres, wind and blows, 0 to 1; 0 is silence."""
    jolts: bool = True
    """Shake the picture when something is hit."""
    force_feedback: Share = 0.7
    """How hard a gamepad shakes then, 0 to 1."""
    steering: Sharpness = 1.0
    """How sharply the car turns while a key is held, 0.3 to 2: 1 is 4.5 m/s2 across at any speed."""


def path() -> Path:
    """Where the file is, or will be."""
    own = os.environ.get("NEURALSIM_CONFIG")
    if own:
        return Path(own) / "cockpit.yaml"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "neuralsim" / "cockpit.yaml"


def load(file: Path) -> CockpitSettings:
    """The choices in ``file``, the defaults where there is none.

    Raises ``bridge.process.settings.SettingsError``, one line with file, line and key, for what cannot be used.
    """
    if not file.exists():
        return CockpitSettings()
    return settings.load(file, CockpitSettings)


def save(file: Path, chosen: CockpitSettings) -> None:
    """Write the choices, whole or not at all, with what each means. Raises ``OSError``."""
    cache.write(file, as_yaml(chosen).encode())


def as_yaml(chosen: CockpitSettings) -> str:
    """The file's text: every key, its meaning in a comment above it."""
    import yaml

    values = chosen.model_dump(mode="json")
    parts = [_HEAD]
    for name, info in CockpitSettings.model_fields.items():
        said = textwrap.fill(" ".join((info.description or "").split()), 100)
        parts.append(textwrap.indent(said, "# "))
        parts.append(yaml.safe_dump({name: values[name]}, sort_keys=False, allow_unicode=True).rstrip() + "\n")
    return "\n".join(parts)
