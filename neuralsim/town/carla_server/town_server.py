"""A ``World`` behind CARLA 0.9.16's wire.

One lock guards the world: functions run under it in the thread of their connection, and so does a tick, which first
sends the snapshot, then lets the client go on, then has the rays cast and the pictures drawn of that very frame, beside
the town: only the next tick waits for them. While no client is synchronous the town ticks by itself, 30 times a second.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuralsim.town.carla_server import structs
from neuralsim.town.carla_server.actor_states import ActorStates
from neuralsim.town.carla_server.compat.recorder import Recorder
from neuralsim.town.carla_server.registry import FUNCTIONS, WITHOUT_LOCK
from neuralsim.town.carla_server.rpc import Call, Connection, RpcError, RpcServer, wrap
from neuralsim.town.carla_server.sensing import Sensing
from neuralsim.town.carla_server.static_scene import StaticScene
from neuralsim.town.carla_server.streams import StreamServer
from neuralsim.town.carla_server.vehicle_commands import VehicleCommands
from neuralsim.town.opendrive.towns import find

if TYPE_CHECKING:
    from neuralsim.town.world import World

FIRST_CLIENT_TIMEOUT = (
    2.0  # seconds without a call after which the first client of a new town will not go synchronous any more
)
FIRST_CLIENT_MAX_WAIT = 10.0  # seconds after its first call at which the town stops waiting for that
IDLE_BEFORE_TICK = 0.25  # seconds without a call after which it gets one tick meanwhile
RATE = 30.0  # ticks per second when no client is synchronous, and the step of a client that names none
MAX_STEP = 0.1  # s, longest step of a town that ticks by itself
UPLOADED = "OpenDriveMap"  # CARLA's name for the map that a client sent
RETURN_TIMEOUT = 1.0  # s that a new world waits for the client that has asked for it to subscribe anew


@dataclass
class Settings:
    """``carla.WorldSettings`` in the order of the wire. Only the first three change anything here."""

    synchronous_mode: bool = False
    no_rendering_mode: bool = False
    fixed_delta_seconds: float | None = None  # s
    substepping: bool = True
    max_substep_delta_time: float = 0.01
    max_substeps: int = 10
    max_culling_distance: float = 0.0
    deterministic_ragdolls: bool = True
    tile_stream_distance: float = 3000.0
    actor_active_distance: float = 2000.0
    spectator_as_ego: bool = True


@dataclass
class Exchange:
    """A world that takes the present one's place with the next tick, as a level does in CARLA.

    The client that has asked for it (``asker``) first takes leave of the present episode and subscribes anew: told of
    the new one before, its stream's thread and its own would both replace what they share, and end its process.
    """

    world: World
    asker: Connection
    latest: float  # monotonic time at which the world waits no longer
    back: threading.Event = field(default_factory=threading.Event)  # set when it subscribes


class TownServer:
    """Serves the worlds that ``make_world`` (given a town's name or path) builds, the first of them ``town``.

    Its functions are those that ``handlers`` registers when it is imported. ``towns`` are the names that clients may
    load, or what ``make_world`` takes for each of them (``towns.maps``). Port 0 means any free one. Raises ``OSError``
    for a port that is taken, ``ValueError`` for a town that cannot be built.

    ``host``: address to listen on; ``port`` for clients, ``streaming_port`` for sensor data; ``patient``: whether the
    first client finds the town as it began, if it goes synchronous at once: of no use where nothing moves by itself.
    """

    def __init__(
        self,
        make_world: Callable[[str], World],
        town: str,
        towns: Mapping[str, str] | Sequence[str] = (),
        host: str = "127.0.0.1",
        port: int = 2000,
        streaming_port: int = 0,
        patient: bool = True,
    ) -> None:
        self.lock = threading.RLock()
        self._ticking = threading.Lock()  # who holds it may wait for the sensors; taken before ``lock``
        self.rpc = RpcServer(host, port, self._dispatch, self._closed)
        try:
            self.streams = StreamServer(host, streaming_port)
            self.make_world = make_world
            # What ``make_world`` calls a town, by the name that clients use: they differ for files.
            self.towns = dict(towns) if isinstance(towns, Mapping) else {name: name for name in towns}
            self.world = make_world(self.towns.get(town, town))
            if town in self.towns:
                self.world.name = town
            self.towns.setdefault(self.world.name, town)
        except BaseException:
            self.rpc.close()
            raise
        self.snapshots = self.streams.open()
        self.settings = Settings()
        self.uploaded = ""  # OpenDRIVE text for the next load of "OpenDriveMap"
        self.traffic_managers: dict[int, tuple[str, Connection]] = {}  # port -> its host, its client
        self._master: Connection | None = None  # the client that requested sync mode
        self._delta = 1.0 / RATE  # s, of a tick without a fixed step
        self._stop = threading.Event()
        self._free = threading.Event()  # set while the town ticks by itself
        self._called = 0.0  # when a client last called
        self._met = threading.Event()  # set by the first call of a client
        self._patient = patient
        self._clock = threading.Thread(target=self._run, name="clock", daemon=True)
        self._complaints: set[str] = set()
        self.episode = 0
        self._exchange: Exchange | None = None
        self.sensing: Sensing
        self._adopt(self.world)

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self.rpc.port

    def start(self) -> None:
        """Accept clients and begin to tick."""
        self.streams.start()
        self.rpc.start()
        self._clock.start()

    def close(self) -> None:
        """Drop every client and stop ticking."""
        self._stop.set()
        self._met.set()
        self._free.set()
        self.rpc.close()
        self.sensing.close()
        self.streams.close()

    def load(self, town: str, asker: Connection | None = None) -> None:
        """Replace the world: ``town`` by its name, "" for the present one anew, ``UPLOADED`` for a client's map.

        With the next tick if the ``asker`` replaces its episode by itself; else at once, and clients are told that the
        map has changed.
        """
        name = town.rsplit("/", 1)[-1] or self.world.name
        if name == UPLOADED and self.uploaded:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{UPLOADED}.xodr"
                path.write_text(self.uploaded, encoding="utf-8")
                world = self.make_world(str(path))
        elif (found := find(name, self.towns)) is not None:
            place, name = found
            world = self.make_world(place)
            world.name = name
        else:
            raise RpcError(f"no town {town!r} here; there are: {', '.join(self.towns)}")
        with self.lock:
            if asker is not None:
                self._exchange = Exchange(world, asker, time.monotonic() + RETURN_TIMEOUT)
            else:
                self._exchange = None
                self._adopt(world, structs.MAP_CHANGED)

    def subscribes(self, connection: Connection, stream: int) -> None:
        """A client has got the token of a stream."""
        exchange = self._exchange
        if exchange is not None and stream == self.snapshots and connection is exchange.asker:
            exchange.back.set()

    def _await_asker(self) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.back.wait(max(0.0, exchange.latest - time.monotonic()))
            self.streams.settle(exchange.asker)

    def _adopt(self, world: World, state: int = 0) -> None:
        if self.episode:
            self.sensing.close()
        self.world = world
        self.actor_states = ActorStates(world)
        self.sensing = Sensing(world, self.actor_states, self.streams, self._complain)
        self.vehicle_commands = VehicleCommands(world)
        self.static_scene = StaticScene(world)
        self.recorder = Recorder(world)
        self.episode += 1
        threading.Thread(target=self._prepare, args=(world, self.static_scene), name="preparing", daemon=True).start()
        self._publish_snapshot(world.delta, state)

    @staticmethod
    def _prepare(world: World, scene: StaticScene) -> None:
        """Work out what takes seconds in a large town before it is asked for: the map, which clients that connect wait
        for, and the trees that rays go through."""
        assert scene.opendrive
        world.spawn_points()
        world.rays()

    def set_settings(self, settings: Settings, connection: Connection) -> int:
        """Apply what a client asked for; returns the frame from which it holds."""
        with self.lock:
            self.settings = settings
            self._master = connection if settings.synchronous_mode else None
            (self._free.clear if settings.synchronous_mode else self._free.set)()
            return int(self.world.frame)

    @property
    def delta(self) -> float:
        """Seconds that one tick lasts."""
        return self.settings.fixed_delta_seconds or self._delta

    def tick(self, then: Callable[[int], None] = lambda _: None) -> None:
        """One step of everything. ``then`` gets the frame's number after the snapshot and before the pictures."""
        self._await_asker()
        with self._ticking:
            self.sensing.settle()
            with self.lock:
                self._tick(then)

    def _tick(self, then: Callable[[int], None] = lambda _: None) -> None:
        """``tick`` with both locks held and the sensors done."""
        if self._exchange is not None:
            world, self._exchange = self._exchange.world, None
            self._adopt(world)
            then(world.frame)
            return
        self.vehicle_commands.before(self.delta)
        self.recorder.before(self.delta)
        self.world.tick(self.delta)
        self.vehicle_commands.after()
        self.recorder.after()
        self._publish_snapshot(self.delta)
        self.sensing.publish_events()
        then(self.world.frame)
        self.sensing.publish_rays()
        if not self.settings.no_rendering_mode:
            self.sensing.publish_images()

    def tick_for(self, call: Call) -> None:
        """Tick at a client's request and answer it as soon as it can go on; asynchronous, it may wait for the next."""
        if not self.settings.synchronous_mode:
            call.answer(wrap(self.world.frame + 1))
            return
        self.streams.settle(call.connection)
        self.tick(lambda frame: call.answer(wrap(frame)))

    def _publish_snapshot(self, delta: float, state: int = 0) -> None:
        world = self.world
        header = structs.sensor_header(structs.WORLD_OBSERVER, world.frame, world.time, structs.Transform())
        records = bytes(self.actor_states.records())
        about = (self.episode, time.monotonic(), delta, 0, 0, 0)
        first, now = (structs.EPISODE_HEADER.pack(*about, bits) for bits in (structs.MAP_CHANGED, state))
        self.streams.welcome(self.snapshots, (header, first, records))
        self.streams.publish(self.snapshots, (header, now, records))

    def _dispatch(self, call: Call) -> Any:
        self._called = time.monotonic()
        if call.name != "version":  # which asks who is there
            self._met.set()
        function = FUNCTIONS.get(call.name)
        if function is None:
            # Said here too: for many of its functions the client does not wait for an answer.
            self._complain(f"not supported: {call.name[:80]!r}")
            raise RpcError(f"not supported by the town: {call.name}")
        try:
            if call.name in WITHOUT_LOCK:
                return function(self, call, *call.args)
            with self.lock:
                return function(self, call, *call.args)
        except RpcError:
            raise
        except ValueError as error:
            raise RpcError(f"{call.name}: {error}") from None
        except Exception as error:  # whatever a client sends, the others keep their server
            what = f"{type(error).__name__}: {error}"
            raise RpcError(f"{call.name}: cannot be done with these arguments ({what})") from None

    def _complain(self, text: str) -> None:
        """Print a warning on standard error, once."""
        if text not in self._complaints and len(self._complaints) < 100:
            self._complaints.add(text)
            print(f"town: {text}", file=sys.stderr, flush=True)

    def _closed(self, connection: Connection) -> None:
        """Leave sync mode when the client that requested it is disconnected."""
        with self.lock:
            for number in [number for number, (_, owner) in self.traffic_managers.items() if owner is connection]:
                del self.traffic_managers[number]
            if self._exchange is not None and connection is self._exchange.asker:
                self._exchange.back.set()
            if connection is self._master:
                self._master = None
                self.settings = Settings()
                self._free.set()

    def _run(self) -> None:
        # The first client may want every tick for itself: given a moment to say so, it finds the same town every time.
        self._met.wait()
        latest = time.monotonic() + FIRST_CLIENT_MAX_WAIT
        ticked = 0.0
        while (
            self._patient
            and not self.settings.synchronous_mode
            and time.monotonic() < min(latest, self._called + FIRST_CLIENT_TIMEOUT)
        ):
            if self._stop.wait(0.05):
                return
            if time.monotonic() > max(ticked, self._called) + IDLE_BEFORE_TICK:
                # It may be waiting for one: ``get_world()`` of a town that goes by itself does.
                self._tick_freely()
                ticked = time.monotonic()
        with self.lock:
            if not self.settings.synchronous_mode:
                self._free.set()
        due = begun = time.monotonic()
        while not self._stop.is_set():
            if not self._free.is_set():
                self._free.wait()
                due = begun = time.monotonic()
            # A pause in every turn, however late it is: the others need the lock too.
            due = max(due + self.delta, time.monotonic() + 0.001)
            if self._stop.wait(due - time.monotonic()):
                return
            late, begun = time.monotonic() - begun, time.monotonic()
            self._tick_freely(late)

    def _tick_freely(self, late: float = 0.0) -> None:
        """Tick, unless a client is in sync mode.

        ``late``: seconds since the last tick. Without a fixed step, on a machine too slow for ``RATE``, steps grow with
        it up to ``MAX_STEP``, so that nothing moves in slow motion.
        """
        self._await_asker()
        with self._ticking:
            self.sensing.settle()
            with self.lock:
                if self.settings.synchronous_mode or self._stop.is_set():
                    return
                if not self.settings.fixed_delta_seconds and late > 1.5 / RATE:
                    self._delta = min(late, MAX_STEP)
                try:
                    self._tick()
                except Exception as error:
                    self._complain(f"a tick failed: {type(error).__name__}: {error}")
                finally:
                    self._delta = 1.0 / RATE
