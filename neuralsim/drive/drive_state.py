"""The one state behind keys, menu, HUD, page and settings file: what the driver has chosen, validated and observed."""

from collections.abc import Callable
from typing import Any

from bridge.process.presets import WEATHERS
from neuralsim.drive.settings import CROWDS, QUALITIES, CockpitSettings
from neuralsim.session.options import AutoSize, DriveOptions

#: The options that a setting determines, where their names differ.
_OPTIONS = {"traffic": ("vehicles", "walkers"), "quality": ("size",), "upscaling": ("show",)}
_SAME_NAME = ("town", "vehicle", "weather", "model", "guide", "late_warp", "dashcam")
#: Settings that a scenario or somebody else's simulator determines, with the value that leaves them to it.
_OF_THE_SCENE: dict[str, Any] = {"weather": None, "minutes": 0}
#: Called with the names of the settings that have changed.
Observer = Callable[[frozenset[str]], None]


class DriveState:
    """The driver's settings over the command line's options. Every change goes through :meth:`choose`.

    ``settings`` are what the settings file holds. What was given on the command line takes precedence over them until
    the driver chooses something else; :meth:`current` is what is in effect.
    """

    def __init__(self, settings: CockpitSettings, command_line: DriveOptions) -> None:
        self.settings = settings
        self.command_line = command_line
        self._observers: list[Observer] = []
        self._chosen: set[str] = set()  # in this drive

    def begin(self, command_line: DriveOptions) -> None:
        """Begin another drive with these options: what was chosen in the one before no longer overrides them."""
        self.command_line = command_line
        self._chosen.clear()

    def observe(self, observer: Observer) -> None:
        """Call ``observer`` after each change."""
        self._observers.append(observer)

    def choose(self, name: str, value: Any) -> None:
        """Change a setting. A weather brings its own sun, so it resets the time of day.

        Raises ``ValueError`` (pydantic's) for an unknown name or an invalid value; nothing has changed then.
        """
        if name not in CockpitSettings.model_fields:
            raise ValueError(f"unknown setting {name!r}")
        settings = self.settings.model_copy()
        setattr(settings, name, value)  # validates
        changed = {name}
        if name == "weather" and settings.minutes:
            settings.minutes = 0
            changed.add("minutes")
        self.command_line = self.command_line.model_copy()
        for option in _OPTIONS.get(name, (name,)):  # the choice overrides the command line
            self.command_line.model_fields_set.discard(option)
        self.settings = settings
        self._chosen |= changed
        for observer in self._observers:
            observer(frozenset(changed))

    def current(self, name: str) -> Any:
        """Return the value of a setting that is in effect, or will be after the restart that it needs.

        None where nothing is chosen: the weather is the town's, the quality that of the command line.
        """
        value, line = getattr(self.settings, name), self.command_line
        given = line.model_fields_set
        if name == "traffic" and given & {"vehicles", "walkers"}:
            return next((crowd for crowd, counts in CROWDS.items() if counts == (line.vehicles, line.walkers)), None)
        if name == "quality" and ("size" in given or value is None):
            if isinstance(line.size, AutoSize):
                return None
            return next((quality for quality, size in QUALITIES.items() if size == line.size), None)
        if name == "upscaling" and "show" in given:
            return line.show not in (None, line.size)
        if name in _OF_THE_SCENE and name not in self._chosen and (line.connect or line.scenario):
            return _OF_THE_SCENE[name]  # somebody else's simulator, or a scenario: the settings do not apply
        if name in _SAME_NAME and (name in given or (value is None and name != "weather")):
            return getattr(line, name)
        return value

    def options(self) -> DriveOptions:
        """Return the options of the next drive."""
        return self.settings.applied(self.command_line)

    def next_weather(self, shown: str, step: int = 1) -> str:
        """Return the preset ``step`` places after the chosen one, or else after ``shown``, that of the last frame."""
        now = self.current("weather") or shown
        index = WEATHERS.index(now) if now in WEATHERS else WEATHERS.index("ClearNight")  # the next one is ClearNoon
        return WEATHERS[(index + step) % len(WEATHERS)]
