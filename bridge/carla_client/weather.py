"""CARLA's weather: as numbers by name, as in frames and the embedded town, and its control by a driver."""

from bridge.carla_client.sun import sun_at
from bridge.carla_library import carla
from bridge.messages import Control
from bridge.process.presets import WEATHERS


def weather_values(weather: carla.WeatherParameters) -> dict[str, float]:
    """Return all parameters of ``weather``."""
    return {name: float(getattr(weather, name)) for name in dir(weather) if name[0].islower()}


def preset_values(name: str) -> dict[str, float]:
    """Return all parameters of a preset, one of ``bridge.process.presets.WEATHERS``."""
    return weather_values(getattr(carla.WeatherParameters, name))


def preset_weather(name: str) -> carla.WeatherParameters:
    """Return a preset that may be changed: those of ``carla.WeatherParameters`` are shared by the whole process."""
    return carla.WeatherParameters(**preset_values(name))


class WeatherControl:
    """The weather of ``world``: ``name`` of its preset ("" if it is none), and ``values`` by parameter."""

    def __init__(self, world: carla.World, preset: str) -> None:
        self._world = world
        self.name, self.values = "", dict[str, float]()
        self._noted: carla.WeatherParameters | None = None
        self._set(preset, 0)

    def apply(self, control: Control, old: Control) -> None:
        """Change the weather as far as ``control`` differs from the ``old`` one."""
        if control.weather > old.weather:
            index = WEATHERS.index(self.name or "ClearNight")  # so that the first one is ClearNoon
            self._set(WEATHERS[(index + control.weather - old.weather) % len(WEATHERS)], control.minutes)
        elif (control.preset, control.minutes) != (old.preset, old.minutes):
            is_new = control.preset in WEATHERS and control.preset != old.preset
            self._set((control.preset if is_new else "") or self.name, control.minutes)

    def refresh(self) -> None:
        """Take over what somebody else has set: a scenario, or another client."""
        self._note(self._world.get_weather())

    def _set(self, preset: str, minutes: int) -> None:
        """Set a preset ("": keep the current weather), with the sun at ``minutes`` after midnight (0: the preset's)."""
        if preset or minutes:
            parameters = preset_weather(preset) if preset else self._world.get_weather()
            if minutes:
                parameters.sun_azimuth_angle, parameters.sun_altitude_angle = sun_at(minutes)
            self._world.set_weather(parameters)
        self._note(self._world.get_weather(), preset)

    def _note(self, current: carla.WeatherParameters, preset: str = "") -> None:
        if preset or current != self._noted:
            self.name = preset or next((n for n in WEATHERS if getattr(carla.WeatherParameters, n) == current), "")
            self.values = weather_values(current)
        self._noted = current
