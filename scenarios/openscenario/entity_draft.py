"""An OpenSCENARIO entity while its file is being read."""

from math import atan2, degrees
from typing import Any

from scenarios.openscenario.actions import CRUISE, WALK
from scenarios.openscenario.elements import Element

NO_SPEED = {"shift", "change_lane", "set_light", "mark"}  # steps that do not change the speed


class EntityDraft:
    """An entity that will become the ego or an actor."""

    def __init__(self, element: Element, name: str, blueprint: str, color: str | None) -> None:
        self.element, self.name, self.blueprint, self.color = element, name, blueprint, color
        self.spawn: dict[str, Any] | None = None
        self.is_absent = False  # deleted in Init
        self.speed = 0.0
        self.initial: dict[str, Any] = {}  # the initial speed as a ``set_speed``
        self.events: list[dict[str, Any]] = []
        self.has_controller = False  # a controller of its own, which may be activated
        self.controlled = False  # by something external to the file, which is replaced by this project's autopilot
        self.paths = False  # follows a trajectory at some time
        self.acceleration: float | None = None  # m/s^2, the vehicle's maximum

    @property
    def walks(self) -> bool:
        """Whether it is a walker."""
        return self.blueprint.startswith("walker.")

    @property
    def stands(self) -> bool:
        """Whether it is a static prop."""
        return self.blueprint.startswith("static.")

    @property
    def is_never_there(self) -> bool:
        """Whether it is deleted in Init and nothing brings it back."""
        return self.is_absent and not any("teleport" in step for step in self.events)

    def place_on_path(self) -> None:
        """Give it the start of its first path as its place, unless it has one."""
        path = next((step["follow_path"] for step in self.events if "follow_path" in step), None)
        if self.spawn is not None or path is None or path.get("frame") is not None or len(path["points"]) < 2:
            return
        first, then = path["points"][:2]
        self.spawn = {key: value for key, value in first.items() if key != "at"}
        if "x" in first and "x" in then:
            self.spawn["yaw"] = degrees(atan2(then["y"] - first["y"], then["x"] - first["x"]))

    def as_data(self, ego: bool, rails: bool) -> dict[str, Any]:
        """Return the entity in the scenario language; ``rails``: vehicles follow their paths exactly."""
        added = next((step["teleport"] for step in self.events if "teleport" in step), None)
        if self.spawn is None and added is not None and not ego:
            self.spawn, self.is_absent = added, True
        self.place_on_path()
        if self.is_absent:
            self.events.insert(0, {"when": {"time": 0}, "vanish": True})
        if self.spawn is None:
            raise self.element.error(f"{self.name} has no TeleportAction in Init, hence no position")
        do: list[dict[str, Any]] = []
        if self.stands:
            pass
        elif self.walks and self.speed and not self.paths:
            do.append({"cross": {"speed": min(self.speed, 6.0), "distance": WALK}})
        elif self.controlled:
            leaves_speed = all(step.keys() & NO_SPEED for step in self.events)  # to the driver
            speed = self.speed or (CRUISE if ego and leaves_speed else 0.0)
            do += [{"follow_lane": {"speed": speed}}] if speed else []
        elif self.walks and self.speed:
            do.append({"set_speed": {"speed": min(self.speed, 6.0)}})
        elif not self.walks:
            across = self.spawn.get("across", 0.0)
            do += [{"shift": {"across": across, "length": 0.0}}] if across else []
            do += [{"set_speed": self.initial or {"speed": 0.0}}] if self.initial or (ego and not self.events) else []
        spawn = self.spawn if self.walks or self.stands else {**self.spawn, "speed": self.speed}
        result: dict[str, Any] = {"blueprint": self.blueprint, "spawn": spawn}
        if self.color:
            result["color"] = self.color
        if rails and not (self.stands or self.controlled):
            result["rails"] = True
        if do:
            result["do"] = do
        if self.events:
            result["events"] = self.events
        return result if ego else {"name": self.name, **result}
