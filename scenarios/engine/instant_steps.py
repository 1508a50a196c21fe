"""Steps that take no time, such as a teleport or lamps."""

from typing import Any

from bridge.carla_library import carla
from scenarios.engine.routes import RouteResolver
from scenarios.engine.script import INSTANT
from scenarios.language.schema import Step

#: Lamps by CARLA's names.
LAMPS = {
    "position": "Position", "low_beam": "LowBeam", "high_beam": "HighBeam", "brake": "Brake",
    "right_blinker": "RightBlinker", "left_blinker": "LeftBlinker", "reverse": "Reverse", "fog": "Fog",
    "interior": "Interior",
}  # fmt: skip
NOWHERE = -500.0  # m, height of an actor that has vanished


def perform_instant(step: Step, actor: Any, resolver: RouteResolver) -> bool:
    """Perform a step that takes no time; return whether it was one."""
    if step.teleport is not None:
        actor.set_transform(resolver.teleport(step))
        actor.set_simulate_physics(not actor.type_id.startswith("static."))
    elif step.vanish:
        actor.set_simulate_physics(False)
        actor.set_location(carla.Location(0.0, 0.0, NOWHERE))
    elif step.lamps is not None:
        bits = int(actor.get_light_state())
        for name in step.lamps.model_fields_set:
            bit = int(getattr(carla.VehicleLightState, LAMPS[name]))
            bits = bits | bit if getattr(step.lamps, name) else bits & ~bit
        actor.set_light_state(carla.VehicleLightState(bits))
    elif step.set_light is not None:
        resolver.signals.hold(step.set_light.signal, step.set_light.state)
    return step.chosen()[0] in INSTANT
