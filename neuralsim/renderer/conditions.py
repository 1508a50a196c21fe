"""Light and weather of one frame: what several steps of the renderer ask about it, decided in one place."""

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.messages import Frame
from bridge.weather import darkness, effective_weather, wetness


@dataclass(frozen=True)
class Conditions:
    """Light and weather of one frame.

    Attributes:
        weather: ``carla.WeatherParameters`` by name, None where the frame has none: as a fair day.
        darkness: From 0, by day, to 1, by night (``bridge.weather.darkness``).
        wetness: How wet the ground is, from 0 to 1.
    """

    weather: Mapping[str, float] | None = None
    darkness: float = 0.0
    wetness: float = 0.0

    @property
    def daylight(self) -> float:
        """From 0, by night, to 1, by day."""
        return 1.0 - self.darkness

    @property
    def mirrors(self) -> float:
        """How much the ground mirrors by day, from 0 to 1; by night the generator follows its guide's mirrors."""
        return self.daylight * self.wetness

    @property
    def is_lit_from_below(self) -> bool:
        """Whether the ground is lit by lamps, or mirrors what is above it, so that it has their colours."""
        return max(self.darkness, self.wetness) > 0.5


def conditions_of(frame: Frame) -> Conditions:
    """Return the light and weather of ``frame``."""
    if not frame.weather:
        return Conditions()
    return Conditions(effective_weather(frame.weather), darkness(frame.weather), wetness(frame.weather))
