"""The options that a drive passes to the processes it starts."""

from typing import Any

from bridge.carla_client.options import BridgeOptions
from bridge.link.transport import control_endpoint
from neuralsim import zoo
from neuralsim.session.options import AUTO, TAGS, DriveOptions
from neuralsim.town.carla_server.options import TownOptions
from scenarios.sumo.sumo_network import opendrive_of

RENDER_PLANES = ("tag", "instance", "depth", "motion")  # planes that the renderer needs


def follows_simulator_image(model: str, guide: str) -> bool:
    """Return whether ``model`` is guided by the simulator image and ``guide`` selects that guide."""
    if model == TAGS or guide != "picture":
        return False
    try:
        return "guide" in zoo.load(zoo.DEFAULT if model == AUTO else model).inputs
    except zoo.ModelError:
        return False  # loading it will report the problem


def town_options(options: DriveOptions) -> TownOptions:
    """Return the options of a drive's town server. Raises ``SumoError``."""
    if options.sumo is not None:
        network = {"town": str(opendrive_of(options.sumo)), "vehicles": 0, "walkers": 0, "sumo": None}
        return town_options(options.model_copy(update=network))
    return TownOptions(
        port=0,
        town=(options.town,),
        seed=options.seed,
        vehicles=options.vehicles,
        walkers=options.walkers,
        damage=options.damage,
        strict=options.strict,
        with_parent=True,
        json_lines=True,
    )


def bridge_options(options: DriveOptions, server: str, frames: str, *, fps: float, lockstep: bool) -> BridgeOptions:
    """Return the options of a drive's bridge. What is not set is left to its scenario or its defaults.

    ``server``: the simulator's address, HOST:PORT. ``frames``: the endpoint to publish frames on.
    """
    planes = options.planes
    if planes is None and lockstep and follows_simulator_image(options.model, options.guide):
        planes = (*RENDER_PLANES, "rgb")  # from the first frame on; a window requests it later
    requested: dict[str, Any] = {
        "planes": planes,
        "weather": options.weather,
        "scenario": options.scenario or options.sumo,
        "rig": options.rig,
    }
    return BridgeOptions(
        carla=server,
        publish=frames,
        control=control_endpoint(frames),
        size=options.shown,
        jitter=options.show == options.size,  # with upscaling, each window sees too few of the shifts
        fps=fps,
        seed=options.seed,
        hand_over_at=options.hand_over_at,
        at_rest=options.at_rest,
        autopilot=options.autopilot,
        vehicle=options.vehicle,
        lockstep=lockstep,
        realtime=not lockstep,
        with_parent=True,
        json_lines=True,
        **{name: value for name, value in requested.items() if value is not None},
    )
