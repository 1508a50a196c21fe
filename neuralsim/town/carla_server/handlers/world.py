"""CARLA's server functions for the whole world: episode, map, settings, weather, traffic lights."""

from typing import Any, get_type_hints

import numpy as np

from neuralsim.town.carla_server import structs
from neuralsim.town.carla_server.compat import strictness
from neuralsim.town.carla_server.compat.level_objects import ALL_LAYERS, PROP_LAYERS, MapLayer, in_layers
from neuralsim.town.carla_server.generated_cameras import with_style
from neuralsim.town.carla_server.registry import accept, function
from neuralsim.town.carla_server.rpc import Call
from neuralsim.town.carla_server.town_server import TownServer
from neuralsim.town.dynamics.traffic_lights import TrafficLight
from neuralsim.town.render.wide_angle import SUFFIX

# Debug shapes are drawn in the spectator's window, which the town does not have.
accept(
    "draw_debug_shape",
    "clear_debug_shape",
    "clear_debug_string",
    "set_annotations_traverse_translucency",
    "update_day_night_cycle",
)


@function
def version(town: TownServer, call: Call) -> str:
    return town.dialect.version


@function
def get_episode_info(town: TownServer, call: Call) -> list[Any]:
    return [town.episode, [town.streams.name_of(town.snapshots)]]


@function
def get_sensor_token(town: TownServer, call: Call, stream: int) -> list[Any]:
    token = town.streams.token(stream, call.connection)
    town.note_token(call.connection, stream)
    return [token]


@function
def tick_cue(town: TownServer, call: Call) -> None:
    town.tick_for(call)


@function
def get_episode_settings(town: TownServer, call: Call) -> list[Any]:
    names = call.connection.names
    if "get_episode_info" in names and "get_sensor_token" not in names:
        # So do clients before 0.9.14, which end in a segmentation fault when they read a snapshot of today.
        town.warn(f"refused a client older than CARLA 0.9.14: this server speaks {town.dialect.version}")
        raise ValueError(f"this client is older than CARLA 0.9.14: install carla=={town.dialect.version}")
    town.await_loading(call.connection)
    settings = list(vars(town.settings).values())
    delta = town.settings.fixed_delta_seconds
    settings[2] = [False] if delta is None else [True, delta]
    return settings


@function
def set_episode_settings(town: TownServer, call: Call, data: list[Any]) -> int:
    kinds = get_type_hints(type(town.settings))
    if len(data) != len(kinds):
        raise ValueError(f"expected {len(kinds)} settings, got {len(data)}")
    values = [_setting(name, kind, value) for (name, kind), value in zip(kinds.items(), data, strict=True)]
    return town.set_settings(type(town.settings)(*values), call.connection)


def _setting(name: str, kind: Any, value: Any) -> Any:
    """Return a validated setting, since all other clients will read it. Raise ``ValueError`` if it is invalid."""
    if kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r:.40}: choose true or false")
        return value
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1000:
            raise ValueError(f"{name} is {value!r:.40}: choose a whole number from 0 to 1000")
        return value
    if kind is float:
        return structs.finite(value)
    delta = structs.finite(value[1]) if value[0] else None
    if delta is not None and not 0.0005 <= delta <= 10.0:
        raise ValueError(f"{name} is {delta:g}: choose 0.0005 to 10 s")
    return delta


@function
def get_available_maps(town: TownServer, call: Call) -> list[str]:
    return [f"Carla/Maps/{name}" for name in town.towns]


@function
def get_map_info(town: TownServer, call: Call) -> list[Any]:
    points = [structs.pack_transform(point) for point in town.static_scene.spawn_points]
    return [f"Carla/Maps/{town.world.name}", points]


@function
def get_map_data(town: TownServer, call: Call) -> str:
    return town.static_scene.opendrive


@function
def load_new_episode(
    town: TownServer, call: Call, name: str, reset_settings: bool = True, layers: int = ALL_LAYERS
) -> None:
    town.load_for(call, name, layers)
    if reset_settings:
        town.reset_settings(call.connection)


@function
def load_map_layer(town: TownServer, call: Call, layers: int) -> None:
    _show_layers(town, layers, True)


@function
def unload_map_layer(town: TownServer, call: Call, layers: int) -> None:
    _show_layers(town, layers, False)


def _show_layers(town: TownServer, layers: int, shown: bool) -> None:
    if fixed := MapLayer(layers & ALL_LAYERS) & ~PROP_LAYERS:  # no error: for some of CARLA's own maps that is so, too
        town.warn(
            f"these map layers always stay: {', '.join(str(each.name).lower() for each in MapLayer if each & fixed)}"
        )
    town.world.show_props(in_layers(town.world.all_props, layers), shown)


@function
def copy_opendrive_to_file(town: TownServer, call: Call, opendrive: str, parameters: list[Any]) -> None:
    if not isinstance(opendrive, str):
        raise ValueError("an OpenDRIVE file is text")
    town.uploaded = opendrive


@function
def get_weather_parameters(town: TownServer, call: Call) -> list[float]:
    return [float(town.world.weather.get(name, 0.0)) for name in structs.WEATHER]


@function
def set_weather_parameters(town: TownServer, call: Call, values: list[float]) -> None:
    numbers = [structs.finite(value) for value in values]
    town.world.weather.update(zip(structs.WEATHER, numbers, strict=True))


@function
def get_actor_definitions(town: TownServer, call: Call) -> list[Any]:
    blueprints = [
        each
        for each in town.world.blueprints()
        if town.dialect is structs.NEWEST
        or (structs.SENSOR_TYPES.get(each.id, -1) < town.dialect.world_observer and not each.id.endswith(SUFFIX))
    ]
    if town.strict is not None:
        blueprints = [strictness.blueprint(each) for each in blueprints]
    if town.generator is not None:
        blueprints = [with_style(each, town.generator.styles) for each in blueprints]
    return [structs.pack_blueprint(number, each) for number, each in enumerate(blueprints, 1)]


def _light(town: TownServer, ident: int) -> TrafficLight:
    if ident not in town.actor_states.lights:
        raise ValueError(f"actor {ident} is no traffic light")
    return town.actor_states.lights[ident]


def _junction(town: TownServer, ident: int) -> list[TrafficLight]:
    cycle = _light(town, ident).cycle
    return [light for light in town.actor_states.lights.values() if light.cycle == cycle]


@function
def set_traffic_light_state(town: TownServer, call: Call, ident: int, state: int) -> None:
    town.world.set_light(ident, structs.LIGHT_NAMES.get(state, str(state)))


@function
def set_traffic_light_green_time(town: TownServer, call: Call, ident: int, seconds: float) -> None:
    _light(town, ident).green_time = max(0.0, structs.finite(seconds))


@function
def set_traffic_light_yellow_time(town: TownServer, call: Call, ident: int, seconds: float) -> None:
    _light(town, ident).yellow_time = max(0.0, structs.finite(seconds))


@function
def set_traffic_light_red_time(town: TownServer, call: Call, ident: int, seconds: float) -> None:
    _light(town, ident).red_time = max(0.0, structs.finite(seconds))


@function
def freeze_traffic_light(town: TownServer, call: Call, ident: int, frozen: bool) -> None:
    for light in _junction(town, ident):
        light.frozen = bool(frozen)


@function
def freeze_all_traffic_lights(town: TownServer, call: Call, frozen: bool) -> None:
    for light in town.actor_states.lights.values():
        light.frozen = bool(frozen)


@function
def reset_traffic_light_group(town: TownServer, call: Call, ident: int) -> None:
    for light in _junction(town, ident):
        light.elapsed = 0.0


@function
def reset_all_traffic_lights(town: TownServer, call: Call) -> None:
    for light in town.actor_states.lights.values():
        light.elapsed = 0.0


@function
def get_group_traffic_lights(town: TownServer, call: Call, ident: int) -> list[int]:
    return [light.actor for light in _junction(town, ident)]


@function
def get_light_boxes(town: TownServer, call: Call, ident: int) -> list[Any]:
    """Return the boxes of the light's heads in the world, each around its lamps."""
    lamps = np.stack([np.reshape(places, (-1, 3)) for places in _light(town, ident).bulbs.values()])
    low, high = lamps.min(axis=0) - 0.15, lamps.max(axis=0) + 0.15
    heads = zip((low + high) / 2, (high - low) / 2, strict=True)
    return [[centre.tolist(), half.tolist(), [0.0, 0.0, 0.0], ident] for centre, half in heads]
