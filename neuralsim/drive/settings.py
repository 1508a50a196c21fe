"""The driver's settings, kept in an editable YAML file with a comment for every key.

The file is ``cockpit.yaml`` in ``$NEURALSIM_CONFIG``, or else in ``neuralsim`` in the user's configuration folder.
"""

import os
import textwrap
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bridge.process import presets, settings
from bridge.process.option_types import integer, number
from bridge.size import Size
from neuralsim import zoo
from neuralsim.drive.driver_input import Axes
from neuralsim.guide import Guide
from neuralsim.runtimes import cache
from neuralsim.session.options import DriveOptions

Units = Literal["km/h", "mph"]
Share = Annotated[float, number(0.0, 1.0, "a share from 0 to 1")]
Sharpness = Annotated[float, number(0.3, 2.0, "a number from 0.3 to 2")]
_HEAD = "# Cockpit settings. Written when you change something in the menu (Esc); you may also edit this file.\n"
VehicleName = Annotated[str, AfterValidator(presets.vehicle)]
Quality = Literal["fast", "balanced", "best"]
#: Resolution to render at.
QUALITIES: dict[Quality, Size] = {"fast": Size(384, 192), "balanced": Size(512, 256), "best": Size(768, 384)}
Traffic = Literal["none", "light", "usual", "dense"]
#: Vehicles and pedestrians.
CROWDS: dict[Traffic, tuple[int, int]] = {"none": (0, 0), "light": (8, 6), "usual": (20, 24), "dense": (45, 40)}


class CockpitSettings(BaseModel):
    """The driver's settings with their defaults."""

    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    window: Size | None = None
    """Size of the window in pixels; null: twice that of the picture."""
    fullscreen: bool = False
    """Start in fullscreen mode."""
    full_hud: bool = False
    """Start with the detailed HUD (F3)."""
    tutorial: bool = True
    """Start with the tutorial; set to false once it was completed or skipped."""
    town: str | None = None
    """Town: hamlet, motorway, oldtown, suburb, village or a file; null, here and below: as on the command line."""
    weather: str | None = None
    """CARLA's weather preset, such as WetSunset; null: that of the town."""
    minutes: Annotated[int, integer(0, 1440)] = 0
    """Time of day for the position of the sun, minutes after midnight; 0: set by the weather."""
    real_time: bool = True
    """Keep the world at real speed where frames are slow; false: slow motion, but every step is shown."""
    traffic: Traffic = "usual"
    """Amount of traffic: none, light, usual or dense."""
    vehicle: VehicleName | None = None
    """The car to drive, such as vehicle.mini.cooper_s; null: as on the command line."""
    dashboard: bool = False
    """Show dashboard and steering wheel in the driver's view."""
    ghost: bool = True
    """Show the last run of a task as a ghost."""
    model: str | None = None
    """Name of the model; null: as on the command line."""
    quality: Quality | None = None
    """Resolution to render at: fast (384x192), balanced (512x256) or best (768x384); null: as on the command line."""
    upscaling: bool = False
    """Double the width and height of the picture; each frame renders a part of it."""
    guide: Guide | None = None
    """Source of the appearance of objects: picture, exemplars or surface; null: as on the command line."""
    dashcam: bool = False
    """Film like a dashboard camera: exposed for the street, over the own bonnet, with date, time and speed, in rain
    through drops and a wiper."""
    late_warp: bool = True
    """Display at 60 Hz, warping the last frame while the next one is rendered."""
    grain: Share = 0.5
    """Grain and sharpness of a generated image that the window enlarges, 0 to 1."""
    units: Units = "km/h"
    """Unit of speed: km/h or mph."""
    minimap: bool = True
    """Show the small map in the corner."""
    mirror: bool = False
    """Show a rear mirror, with a generated image of the view behind."""
    wing_mirrors: bool = False
    """Show the wing mirrors, likewise."""
    reversing_view: bool = True
    """Look behind while driving in reverse."""
    volume: Share = 0.6
    """Volume of engine, tyres, wind and impacts, 0 to 1."""
    jolts: bool = True
    """Shake the picture when something is hit."""
    force_feedback: Share = 0.7
    """Strength of a gamepad's or wheel's rumble on impact, 0 to 1."""
    steering: Sharpness = 1.0
    """Sensitivity of steering with keys, 0.3 to 2; 1 is a lateral acceleration of 4.5 m/s2 at any speed."""
    keys: dict[str, str] = Field(default_factory=dict)
    """Keys that differ from the defaults, such as {horn: k, camera: c}; the menu lists the actions."""
    axes: dict[str, Axes] = Field(default_factory=dict)
    """Calibrated wheels and gamepads, by name."""

    def applied(self, options: DriveOptions) -> DriveOptions:
        """Return the options with these settings wherever the command line left them unset."""
        given, chosen = options.model_fields_set, dict[str, Any]()
        embedded = all(
            value is None for value in (options.carla, options.connect, options.replay, options.scenario, options.sumo)
        )
        if embedded:
            chosen["town"] = self.town
            chosen["vehicles"], chosen["walkers"] = CROWDS[self.traffic]
        if options.connect is None and options.scenario is None:
            chosen["weather"], chosen["vehicle"] = self.weather, self.vehicle
            chosen["size"] = None if self.quality is None else QUALITIES[self.quality]
        chosen["model"], chosen["guide"], chosen["late_warp"] = self.model, self.guide, self.late_warp
        chosen["dashcam"] = self.dashcam
        chosen = {name: value for name, value in chosen.items() if value is not None and name not in given}
        is_seamless = chosen.get("model", options.model) != zoo.BEST
        if self.upscaling and is_seamless and "show" not in given and options.connect is None:
            size = chosen.get("size", options.size)
            chosen["show"] = Size(2 * size.width, 2 * size.height)
        return options.model_copy(update=chosen)


def path() -> Path:
    """Return where the file is, or will be."""
    own = os.environ.get("NEURALSIM_CONFIG")
    if own:
        return Path(own) / "cockpit.yaml"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "neuralsim" / "cockpit.yaml"


def load(file: Path) -> CockpitSettings:
    """Return the settings in ``file``, the defaults if there is none.

    Raises ``bridge.process.settings.SettingsError``, one line with file, line and key, for invalid content.
    """
    if not file.exists():
        return CockpitSettings()
    return settings.load(file, CockpitSettings)


def save(file: Path, chosen: CockpitSettings) -> None:
    """Write the settings atomically, each with its explanation. Raises ``OSError``.

    It does not wait for the disk: the drive's loop calls it between two frames.
    """
    cache.write(file, as_yaml(chosen).encode(), durable=False)


def as_yaml(chosen: CockpitSettings) -> str:
    """Return the file's text: every key, with its explanation in a comment above it."""
    import yaml

    values = chosen.model_dump(mode="json")
    parts = [_HEAD]
    for name, info in CockpitSettings.model_fields.items():
        comment = textwrap.fill(" ".join((info.description or "").split()), 100)
        parts.append(textwrap.indent(comment, "# "))
        parts.append(yaml.safe_dump({name: values[name]}, sort_keys=False, allow_unicode=True).rstrip() + "\n")
    return "\n".join(parts)
