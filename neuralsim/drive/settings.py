"""What a driver has chosen once and finds again: a YAML file of one's own that can be edited, with every key explained.

It lies in ``$NEURALSIM_CONFIG``, else in ``neuralsim`` in the user's folder of configurations, as ``cockpit.yaml``.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bridge.process import settings
from bridge.process.option_types import number, whole
from bridge.size import Size
from neuralsim.drive.driver_input import Axes
from neuralsim.guide import Guide
from neuralsim.runtimes import cache
from neuralsim.session.options import DriveOptions

Units = Literal["km/h", "mph"]
Share = Annotated[float, number(0.0, 1.0, "a share from 0 to 1")]
Sharpness = Annotated[float, number(0.3, 2.0, "a number from 0.3 to 2")]
_HEAD = "# How you like your cockpit. Written when you change something in the menu (Esc); edit it as you like.\n"


Quality = Literal["fast", "balanced", "best"]
#: Pixels that are painted.
QUALITIES: dict[Quality, Size] = {"fast": Size(384, 192), "balanced": Size(512, 256), "best": Size(768, 384)}
Traffic = Literal["none", "light", "usual", "dense"]
#: Vehicles and people on foot.
CROWDS: dict[Traffic, tuple[int, int]] = {"none": (0, 0), "light": (8, 6), "usual": (20, 12), "dense": (45, 40)}


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
    tutorial: bool = True
    """Begin with the first steps; false once they have been taken or skipped."""
    town: str | None = None
    """Where to drive: hamlet, motorway, oldtown, suburb, village, a file; null, as below: as the command line says."""
    weather: str | None = None
    """CARLA's preset, such as WetSunset; null: the town's own."""
    minutes: Annotated[int, whole(0, 1440)] = 0
    """Time of day, minutes after midnight, that the sun stands as at; 0: as the weather says."""
    traffic: Traffic = "usual"
    """None, light, usual or dense."""
    model: str | None = None
    """What paints; null: the model that ships."""
    quality: Quality | None = None
    """Fast, balanced or best: 384x192, 512x256 or 768x384 pixels are painted; null: as the command line says."""
    upscaling: bool = False
    """Pictures twice as wide and high, painted in parts."""
    guide: Guide | None = None
    """Whose look of things is painted: picture, exemplars or surface; null: as the command line says."""
    units: Units = "km/h"
    """km/h or mph."""
    minimap: bool = True
    """Show the small map in the corner."""
    mirror: bool = False
    """Show a rear mirror: the simulator's picture of what is behind, not a painted one."""
    reversing_view: bool = True
    """Look behind while the car backs up."""
    volume: Share = 0.6
    """Of engine, tyres, wind and blows, 0 to 1; 0 is silence."""
    jolts: bool = True
    """Shake the picture when something is hit."""
    force_feedback: Share = 0.7
    """How hard a gamepad shakes then, 0 to 1."""
    steering: Sharpness = 1.0
    """How sharply the car turns while a key is held, 0.3 to 2: 1 is 4.5 m/s2 across at any speed."""
    keys: dict[str, str] = Field(default_factory=dict)
    """Other keys than at first, such as {horn: k, camera: c}; the menu lists the actions."""
    axes: dict[str, Axes] = Field(default_factory=dict)
    """Calibrated wheels and gamepads, by their names."""

    def applied(self, options: DriveOptions) -> DriveOptions:
        """The options of a drive with what was chosen here where they say nothing."""
        given, chosen = options.model_fields_set, dict[str, Any]()
        embedded = all(
            value is None for value in (options.carla, options.connect, options.replay, options.scenario, options.sumo)
        )
        if embedded:
            chosen["town"] = self.town
            chosen["vehicles"], chosen["walkers"] = CROWDS[self.traffic]
        if options.connect is None and options.scenario is None:
            chosen["weather"] = self.weather
            chosen["size"] = None if self.quality is None else QUALITIES[self.quality]
        chosen["model"], chosen["guide"] = self.model, self.guide
        chosen = {name: value for name, value in chosen.items() if value is not None and name not in given}
        if self.upscaling and "show" not in given and options.connect is None:
            size = chosen.get("size", options.size)
            chosen["show"] = Size(2 * size.width, 2 * size.height)
        return options.model_copy(update=chosen)


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
