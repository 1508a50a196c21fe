"""The client of a CARLA server over its wire: only the embedded town's is known to be content with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any, NamedTuple

from bridge.carla_wire import Address, Definition, RpcClient, RpcError, StreamReader, Token
from bridge.own_carla.actors import Actor, ActorList, WorldSnapshot, actor_of
from bridge.own_carla.road_map import Map
from bridge.own_carla.values import (
    AttachmentType,
    BoundingBox,
    CityObjectLabel,
    Location,
    Transform,
    VehicleLightState,
    WeatherParameters,
)

VERSION = "0.9.16"
_LOADING_POLL = 0.05  # s between two looks for a world that is being loaded
_ALL_LAYERS = 0xFFFF


@dataclass
class WorldSettings:
    """CARLA's settings of a world, in wire order."""

    synchronous_mode: bool
    no_rendering_mode: bool
    fixed_delta_seconds: float | None
    substepping: bool
    max_substep_delta_time: float
    max_substeps: int
    max_culling_distance: float
    deterministic_ragdolls: bool
    tile_stream_distance: float
    actor_active_distance: float
    spectator_as_ego: bool


class EnvironmentObject(NamedTuple):
    """An object of the level, with its box in the world."""

    id: int
    name: str
    bounding_box: BoundingBox


class ActorBlueprint:
    """What to spawn: a kind with its attributes."""

    def __init__(self, definition: Definition, ident: str, values: dict[str, str]) -> None:
        self._definition, self.id, self._values = definition, ident, values

    def has_attribute(self, name: str) -> bool:
        """Return whether there is such an attribute."""
        return name in self._values

    def get_attribute(self, name: str) -> str:
        """Return the text of an attribute."""
        return self._values[name]

    def set_attribute(self, name: str, value: str) -> None:
        """Set the text of an attribute. Raises ``IndexError`` if there is none of this name."""
        if name not in self._values:
            raise IndexError(f"attribute {name!r} not found")
        self._values[name] = value

    def copy(self) -> ActorBlueprint:
        """Return one whose attributes can be set."""
        return ActorBlueprint(self._definition, self.id, dict(self._values))

    def wire(self) -> list[Any]:
        """Return the ``ActorDescription``."""
        return self._definition.describe(self.id, self._values)


class BlueprintLibrary(list[ActorBlueprint]):
    """Everything that can be spawned."""

    def filter(self, pattern: str) -> BlueprintLibrary:
        """Return copies of those whose id matches a pattern with ``*``."""
        return BlueprintLibrary(each.copy() for each in self if fnmatchcase(each.id, pattern))

    def find(self, ident: str) -> ActorBlueprint:
        """Return a copy of one. Raises ``IndexError`` if there is none."""
        found = next((each for each in self if each.id == ident), None)
        if found is None:
            raise IndexError(f"blueprint {ident!r} not found")
        return found.copy()


class World:
    """The world of a server; its snapshots are read in a thread of their own."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc
        self._timeout = 5.0
        self._actors: dict[int, Actor] = {}
        self._map: Map | None = None
        self._library: BlueprintLibrary | None = None
        self._snapshot: WorldSnapshot | None = None
        self._arrived = threading.Condition()
        self._subscribe()

    def _subscribe(self) -> None:
        self._reader = reader = self._guarded(self._rpc.snapshots)
        threading.Thread(target=self._read, args=(reader,), name="snapshots", daemon=True).start()

    def _read(self, reader: StreamReader) -> None:
        with suppress(OSError):
            while True:
                snapshot = WorldSnapshot(reader.read())
                with self._arrived:
                    self._snapshot = snapshot
                    self._arrived.notify_all()

    def _guarded(self, call: Any, *args: Any) -> Any:
        try:
            return call(*args)
        except OSError as error:
            raise RuntimeError(f"time-out or loss of the server at {self._rpc.address}: {error}") from None

    def call(self, name: str, *args: Any) -> Any:
        """Return what a function of the server returns. Raises RuntimeError."""
        return self._guarded(self._rpc.call, name, *args)

    def send(self, name: str, *args: Any) -> None:
        """Call a function of the server that returns nothing, without waiting. Raises RuntimeError."""
        self._guarded(self._rpc.send, name, *args)

    def set_timeout(self, seconds: float) -> None:
        """Let calls wait this long."""
        self._timeout = seconds
        self._rpc.set_timeout(seconds)

    def open_stream(self, token: bytes) -> StreamReader:
        """Subscribe to a sensor's stream."""
        stream = Token.read(token, self._rpc.address).stream
        return StreamReader(self._guarded(self._rpc.token, stream))

    # Time

    def get_snapshot(self) -> WorldSnapshot:
        """Return the state at the last tick; wait for the first one."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: self._snapshot is not None, self._timeout):
                raise RuntimeError("no snapshot arrived from the server")
            assert self._snapshot is not None
            return self._snapshot

    def tick(self, seconds: float | None = None) -> int:
        """Advance a synchronous world by a step, and wait for its snapshot; return its frame."""
        seconds = self._timeout if seconds is None else seconds
        self._rpc.set_timeout(seconds)
        try:
            frame = int(self.call("tick_cue"))
        finally:
            self._rpc.set_timeout(self._timeout)
        with self._arrived:
            if not self._arrived.wait_for(
                lambda: self._snapshot is not None and self._snapshot.frame >= frame, seconds
            ):
                raise RuntimeError(f"time-out of {seconds:g} s while waiting for tick {frame}")
        return frame

    def get_settings(self) -> WorldSettings:
        """Return the settings."""
        values = self.call("get_episode_settings")
        values[2] = values[2][1] if values[2][0] else None
        return WorldSettings(*values)

    def apply_settings(self, settings: WorldSettings) -> int:
        """Change the settings; return the frame from which they hold."""
        values = [getattr(settings, each.name) for each in fields(settings)]
        values[2] = [False] if values[2] is None else [True, float(values[2])]
        return int(self.call("set_episode_settings", values))

    def reload(self, reset_settings: bool) -> None:
        """Load the map anew."""
        before = self.get_snapshot().id
        self.call("load_new_episode", "", reset_settings, _ALL_LAYERS)
        self._reader.close()
        self._actors, self._map, self._library = {}, None, None
        self._rpc.forget_definitions()
        self._subscribe()
        over = time.monotonic() + self._timeout
        while self.get_snapshot().id == before:
            if time.monotonic() > over:
                raise RuntimeError("time-out while the map was loaded")
            if self.get_settings().synchronous_mode:
                self.call("tick_cue")
            with self._arrived:
                self._arrived.wait(_LOADING_POLL)

    # What is there

    def get_map(self) -> Map:
        """Return the map."""
        if self._map is None:
            name, points = self.call("get_map_info")
            self._map = Map(name, self.call("get_map_data"), [Transform.read(point) for point in points])
        return self._map

    def get_blueprint_library(self) -> BlueprintLibrary:
        """Return everything that can be spawned."""
        if self._library is None:
            self._library = BlueprintLibrary(
                ActorBlueprint(definition, ident, dict(definition.values))
                for ident, definition in self._guarded(self._rpc.definitions).items()
            )
        return self._library

    def get_actors(self) -> ActorList:
        """Return all actors of the last snapshot."""
        return self.actors_by_id(list(self.get_snapshot()))

    def get_actor(self, ident: int) -> Actor | None:
        """Return an actor."""
        return next(iter(self.actors_by_id([ident])), None)

    def actors_by_id(self, idents: Iterable[int]) -> ActorList:
        """Return those of the actors that exist."""
        wanted = list(idents)
        if missing := [ident for ident in wanted if ident not in self._actors]:
            self._actors |= {data[0]: actor_of(self, data) for data in self.call("get_actors_by_id", missing)}
        return ActorList(self._actors[ident] for ident in wanted if ident in self._actors)

    def spawn_actor(
        self,
        blueprint: ActorBlueprint,
        transform: Transform,
        attach_to: Actor | None = None,
        attachment_type: int = AttachmentType.Rigid,
    ) -> Any:
        """Spawn an actor. Raises RuntimeError where something is in the way."""
        description = blueprint.wire(), transform.wire()
        if attach_to is None:
            data = self.call("spawn_actor", *description)
        else:
            data = self.call("spawn_actor_with_parent", *description, attach_to.id, int(attachment_type))
        actor = self._actors[data[0]] = actor_of(self, data)
        return actor

    def try_spawn_actor(self, *args: Any, **options: Any) -> Any:
        """Spawn an actor as ``spawn_actor`` does; return None where that is impossible."""
        with suppress(RpcError):
            return self.spawn_actor(*args, **options)
        return None

    def get_weather(self) -> WeatherParameters:
        """Return the weather."""
        return WeatherParameters(*self.call("get_weather_parameters"))

    def set_weather(self, weather: WeatherParameters) -> None:
        """Change the weather."""
        self.call("set_weather_parameters", [float(getattr(weather, each.name)) for each in fields(weather)])

    def get_vehicles_light_states(self) -> dict[int, VehicleLightState]:
        """Return which lamps of each vehicle are on."""
        return {ident: VehicleLightState(bits) for ident, bits in self.call("get_vehicle_light_states")}

    def get_environment_objects(self, label: int = CityObjectLabel.NONE) -> list[EnvironmentObject]:
        """Return the objects of the level with a label."""
        found = self.call("get_environment_objects", int(label))
        return [EnvironmentObject(each[2], each[3], BoundingBox.read(each[1])) for each in found]

    def cast_ray(self, start: Location, end: Location) -> list[Any]:
        """Return what is between two places, nearest first."""
        hits = self.call("cast_ray", [float(x) for x in start], [float(x) for x in end])
        return [SimpleNamespace(location=Location(*place), label=CityObjectLabel(label)) for place, label in hits]

    def get_lightmanager(self) -> Any:
        """Return what lists the lamps of the level."""
        return SimpleNamespace(get_all_lights=self._lights)

    def _lights(self, group: int) -> list[Any]:
        lights = self.call("query_lights_state", "")
        return [
            SimpleNamespace(id=ident, location=Location(*place), is_on=is_on)
            for ident, place, _, kind, _, is_on in lights
            if kind == group
        ]


class Client:
    """A connection to a server. Raises RuntimeError if there is none."""

    def __init__(self, host: str, port: int) -> None:
        try:
            self._rpc = RpcClient(Address(host, port))
        except OSError as error:
            raise RuntimeError(str(error)) from None
        self._world: World | None = None
        self._timeout = 5.0

    def set_timeout(self, seconds: float) -> None:
        """Let calls wait this long."""
        self._timeout = seconds
        self._rpc.set_timeout(seconds)
        if self._world is not None:
            self._world.set_timeout(seconds)

    def get_server_version(self) -> str:
        """Return the server's version of CARLA."""
        return str(self._rpc.call("version"))

    def get_client_version(self) -> str:
        """Return the version whose wire this speaks."""
        return VERSION

    def get_world(self) -> World:
        """Return the world of now."""
        if self._world is None:
            self._world = World(self._rpc)
            self._world.set_timeout(self._timeout)
        return self._world

    def reload_world(self, reset_settings: bool = True) -> World:
        """Load the map anew, and return its world."""
        world = self.get_world()
        world.reload(reset_settings)
        return world

    def apply_batch_sync(self, commands: Iterable[Any], do_tick: bool = False) -> None:
        """Carry out commands, of which there is ``DestroyActor``; those that are impossible are left out."""
        for ident in commands:
            with suppress(RpcError):
                self.get_world().call("destroy_actor", ident)


#: CARLA's commands for batches.
command = SimpleNamespace(DestroyActor=int)
