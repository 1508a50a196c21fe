"""Settings with a fixed set of values, as the menus of the window and the web page offer them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.process import presets
from neuralsim import zoo
from neuralsim.drive.drive_state import DriveState
from neuralsim.drive.settings import CROWDS, QUALITIES
from neuralsim.drive.time_ratio import speed_of_time
from neuralsim.guide import GUIDES
from neuralsim.session.options import AUTO

if TYPE_CHECKING:
    from neuralsim.drive.interactive_drive import InteractiveDrive

_MINUTES = 60  # step of the time of day
#: What a frame of each model costs, in frames of the default one.
_COST = {zoo.DEFAULT: 1.0, zoo.BEST: 4.0}
PREVIEWS = Path(__file__).parent / "town_previews"
_RESTARTS = "Restarts the town when you leave this page."


@dataclass(frozen=True)
class Choice:
    """A field of ``CockpitSettings`` that is one of ``values``, displayed as ``shown``."""

    label: str
    name: str
    values: Sequence[Any]
    shown: Sequence[str]
    hint: str = ""
    picture: Path | None = None  # of the current value, a JPEG

    def at(self, chosen: DriveState) -> int:
        """Return the index of the current value, 0 if it is none of them."""
        value = chosen.current(self.name)
        return list(self.values).index(value) if value in self.values else 0


def switch(label: str, name: str, hint: str = "") -> Choice:
    """Return a choice between off and on."""
    return Choice(label, name, (False, True), ("off", "on"), hint)


def picture_choices(drive: InteractiveDrive) -> list[Choice]:
    """Return the choices of place and picture that this drive can change."""
    local = drive.options.connect is None
    line = drive.chosen.command_line
    shown_weather = drive.weather_name
    choices = []
    if drive.has_own_town:
        towns = list(dict.fromkeys([drive.options.town, *presets.TOWNS]))
        town = drive.chosen.current("town")
        hint = f"{presets.TOWNS.get(town, '')} {_RESTARTS}".strip()
        picture = PREVIEWS / f"{town}.jpg" if town in presets.TOWNS else None
        choices.append(Choice("Town", "town", towns, [Path(town).stem for town in towns], hint, picture))
    if local and drive.options.scenario is None:
        cars, titles = list(presets.VEHICLES), list(presets.VEHICLES.values())
        choices.append(Choice("Car", "vehicle", cars, titles, _RESTARTS))
    if local:
        names = [f"the town's{f', {shown_weather}' if shown_weather else ''}", *presets.WEATHERS]
        choices.append(
            Choice(
                "Weather",
                "weather",
                [None, *presets.WEATHERS],
                names,
                "Sets the time of day, too. At once. Also: C, Shift+C.",
            )
        )
        times = sorted({*range(0, 1440 + 1, _MINUTES), drive.chosen.current("minutes")})
        shown = [f"{at // 60 % 24:02d}:{at % 60:02d}" if at else "set by the weather" for at in times]
        choices.append(Choice("Time of day", "minutes", times, shown, "Position of the sun. Effective immediately."))
    now = drive.state
    shown = [speed_of_time(real, now.time_ratio if real == now.real_time else 1.0) for real in (True, False)]
    hint = "Where frames are slow: longer steps at real speed, or slow motion. Effective immediately."
    choices.append(Choice("Time", "real_time", (True, False), shown, hint))
    if drive.has_own_town:
        crowds: list[Any] = [*CROWDS]
        shown = [f"{crowd}: {vehicles} vehicles, {walkers} people" for crowd, (vehicles, walkers) in CROWDS.items()]
        if drive.chosen.current("traffic") is None:
            crowds, shown = [None, *crowds], [f"{line.vehicles} vehicles, {line.walkers} people", *shown]
        choices.append(Choice("Traffic", "traffic", crowds, shown, _RESTARTS))
    choices.append(_model_choice(drive))
    if local:
        qualities: list[Any] = [*QUALITIES]
        cost = _milliseconds(drive)
        here = drive.size.pixels
        shown = [f"{name}, {size}{_about(cost * size.pixels / here)}" for name, size in QUALITIES.items()]
        if drive.chosen.current("quality") is None:
            started = f"automatic, {drive.size}" if drive.size_line else f"as on the command line, {line.size}"
            qualities, shown = [None, *qualities], [started, *shown]
        hint = f"{drive.why_size or 'Resolution to render at'}. {_RESTARTS}"
        choices.append(Choice("Quality", "quality", qualities, shown, hint))
        if drive.chosen.current("model") != zoo.BEST:  # its windows leave seams
            hint = f"Doubles the width and height, a part per frame; not with {zoo.BEST}. {_RESTARTS}"
            choices.append(switch("Upscaling", "upscaling", hint))
    hint = f"Over the bonnet, with date and speed; in rain through drops and a wiper; no late warp. {_RESTARTS}"
    choices.append(switch("Dashboard camera", "dashcam", hint))
    guides = list(dict.fromkeys([drive.options.guide, *GUIDES]))
    choices.append(Choice("Guide", "guide", guides, guides, "What objects look like. Effective immediately. Also: G."))
    return choices


def _model_choice(drive: InteractiveDrive) -> Choice:
    """Return the choice of the model, with what each costs where that is known."""
    running, cost = drive.session.model or drive.options.model, _milliseconds(drive)
    models = list(dict.fromkeys([drive.options.model, *zoo.names()]))
    share = cost / _COST[running] if running in _COST else 0.0
    shown = [f"{name}{_about(share * _COST.get(running if name == AUTO else name, 0.0))}" for name in models]
    hint = f"{zoo.DEFAULT} is the fast one; {zoo.BEST} looks better, four times as slow; {zoo.GUIDED} is for CARLA's"
    hint += f" pictures. {_RESTARTS}"
    return Choice("Model", "model", models, shown, hint)


def _milliseconds(drive: InteractiveDrive) -> float:
    """Return what rendering a frame takes at the moment, ms; 0 where that is not known or not comparable."""
    return 0.0 if drive.options.show else drive.state.stages.get("render", 0.0)


def _about(milliseconds: float) -> str:
    return f", {milliseconds:.0f} ms here" if milliseconds >= 0.5 else ""


LATE_WARP = switch("Late warp", "late_warp", "Display at 60 Hz between rendered frames. Also: L.")
UNITS = Choice("Units", "units", ("km/h", "mph"), ("km/h", "mph"), "Of speed, everywhere. Effective immediately.")
REVERSING_VIEW = switch("Reversing view", "reversing_view", "Look behind while driving in reverse.")
GHOST = switch("Ghost", "ghost", "Shows where you were in your last run of a task. Effective immediately.")
