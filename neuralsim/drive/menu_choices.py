"""Settings that are one of several values, as every menu offers them: that of the window, that of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.process import presets
from neuralsim import zoo
from neuralsim.drive.settings import CROWDS, QUALITIES, CockpitSettings
from neuralsim.guide import GUIDES

if TYPE_CHECKING:
    from neuralsim.drive.interactive_drive import InteractiveDrive

_MINUTES = 60  # by which the time of day changes
_AGAIN = "When you leave this page; the simulator starts anew."


@dataclass(frozen=True)
class Choice:
    """A field of ``CockpitSettings`` that is one of ``values``, which are called ``shown``."""

    label: str
    name: str
    values: Sequence[Any]
    shown: Sequence[str]
    hint: str = ""

    def at(self, chosen: CockpitSettings) -> int:
        """Which of the values it is now: the first where it is none of them."""
        value = getattr(chosen, self.name)
        return list(self.values).index(value) if value in self.values else 0


def switch(label: str, name: str, hint: str = "") -> Choice:
    """Off or on."""
    return Choice(label, name, (False, True), ("off", "on"), hint)


def picture_choices(drive: InteractiveDrive) -> list[Choice]:
    """Place and picture, as far as this drive can change them."""
    here, found = drive.options.connect is None, []
    if drive.own_town:
        towns = list(dict.fromkeys([drive.options.town, *presets.TOWNS]))
        found.append(Choice("Town", "town", towns, [Path(town).stem for town in towns], _AGAIN))
    if here:
        names = ["as it is", *presets.WEATHERS]
        found.append(Choice("Weather", "weather", [None, *presets.WEATHERS], names, "At once, as C does."))
        times = sorted({*range(0, 1440 + 1, _MINUTES), drive.settings.minutes})
        said = [f"{at // 60 % 24:02d}:{at % 60:02d}" if at else "as the weather says" for at in times]
        found.append(Choice("Time of day", "minutes", times, said, "Where the sun stands. At once."))
    if drive.own_town:
        said = [f"{crowd}: {vehicles} vehicles" for crowd, (vehicles, _) in CROWDS.items()]
        found.append(Choice("Traffic", "traffic", list(CROWDS), said, _AGAIN))
    models = list(dict.fromkeys([drive.options.model, *zoo.names()]))
    found.append(Choice("Model", "model", models, models, _AGAIN))
    if here:
        said = [f"as given, {drive.options.size}", *(f"{name}, {size}" for name, size in QUALITIES.items())]
        found.append(Choice("Quality", "quality", [None, *QUALITIES], said, f"Pixels painted. {_AGAIN}"))
        found.append(switch("Upscaling", "upscaling", f"Twice as wide and high, painted in parts. {_AGAIN}"))
    guides = list(dict.fromkeys([drive.options.guide, *GUIDES]))
    found.append(Choice("Guide", "guide", guides, guides, "Whose look of things is painted. At once, as G."))
    return found


UNITS = Choice("Units", "units", ("km/h", "mph"), ("km/h", "mph"))
REVERSING_VIEW = switch("Reversing view", "reversing_view", "Look behind while the car backs up.")
