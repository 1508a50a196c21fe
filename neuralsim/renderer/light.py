"""The light that images are rendered in: a model's style and the fog, as the weather or the user chooses them."""

import difflib
import math
from collections.abc import Mapping

from neuralsim import zoo
from neuralsim.renderer.weather import fog, weather_style

_BLEND_TIME = 0.4  # s, simulated, in which 1 - 1/e of the way to the chosen light is gone


class Light:
    """Style and fog of now, on their way to the chosen ones.

    Attributes:
        style: f32 (CHANNELS, 3), mean colour of each class, -0.5..0.5.
        fog: f64 (2,), as from ``fog.fog_of_weather``.
    """

    def __init__(self, card: zoo.Card) -> None:
        """``card``: that of the model, which begins in its default style."""
        self._card = card
        self._weather: Mapping[str, float] | None = None  # that chose the light; None: a name has
        self.style = self._target_style = card.styles[card.default_style]
        self.fog = self._target_fog = fog.NO_FOG

    @property
    def is_of_weather(self) -> bool:
        """Whether the weather has chosen it, not a name."""
        return self._weather is not None

    def choose(self, name: str) -> None:
        """Blend over to one of the model's styles, without fog. Raises ModelError for an unknown one."""
        self._weather = None
        if name not in self._card.styles:
            close = difflib.get_close_matches(name, self._card.styles, 1)
            advice = f"did you mean {close[0]}?" if close else f"it has: {', '.join(self._card.styles)}"
            raise zoo.ModelError(f"model {self._card.name} has no style {name!r}; {advice}")
        self._target_style, self._target_fog = self._card.styles[name], fog.NO_FOG

    def follow(self, weather: Mapping[str, float]) -> None:
        """Blend over to the light of ``weather``, carla.WeatherParameters by name (``weather_style.py``)."""
        if weather != self._weather:
            self._weather = dict(weather)
            self._target_style = weather_style.style_of_weather(weather, self._card.styles, self._card.default_style)
            self._target_fog = fog.fog_of_weather(weather)

    def settle(self) -> None:
        """Be in the chosen light at once."""
        self.style, self.fog = self._target_style, self._target_fog

    def advance(self, seconds: float) -> None:
        """Blend on by ``seconds``, simulated."""
        remaining = math.exp(-max(seconds, 0.0) / _BLEND_TIME)
        self.style = self._target_style + remaining * (self.style - self._target_style)
        self.fog = self._target_fog + remaining * (self.fog - self._target_fog)
