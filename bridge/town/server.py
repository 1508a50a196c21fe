"""The embedded simulator as a process: a ``World`` behind CARLA 0.9.16's wire.

    python -m bridge.town.server --port 2000 --town oldtown --seed 0

One lock guards the world: functions run under it in the thread of their connection, and so does a tick, which first
sends the snapshot, then lets the client go on, then casts the rays and takes the pictures of that very frame. While no
client is synchronous the town ticks by itself, 30 times a second.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bridge.lifetime import Lifetime
from bridge.town.options import parse
from bridge.town.sensors.rays import Rays
from bridge.town.wire import calls_world, structs
from bridge.town.wire.functions import FUNCTIONS
from bridge.town.wire.handling import Handling
from bridge.town.wire.queries import Queries
from bridge.town.wire.recorder import Recorder
from bridge.town.wire.rpc import Call, Connection, RpcError, RpcServer, wrap
from bridge.town.wire.sensing import Sensing
from bridge.town.wire.situation import Situation
from bridge.town.wire.streams import StreamServer
from bridge.untrusted import limits
from bridge.untrusted.memory import bounded

PATIENCE = 2.0  # seconds without a call after which the first client of a new town will not go synchronous any more
MOST_PATIENCE = 10.0  # seconds after its first call at which the town stops waiting for that
LULL = 0.25  # seconds without a call after which it gets one tick meanwhile
RATE = 30.0  # ticks per second when no client is synchronous, and the step of a client that names none
LONGEST = 0.1  # s, longest step of a town that ticks by itself
#: Where the compiled kernels of a tick, of pictures and of rays are kept.
KERNELS = (
    ("__pycache__", "driving_kernels"),
    ("__pycache__", "raster_kernels"),
    ("sensors/__pycache__", "boxes"),
    ("sensors/__pycache__", "rays"),
)
UPLOADED = "OpenDriveMap"  # CARLA's name for the map that a client sent


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


class TownServer:
    """Serves the worlds that ``make_world`` (given a town's name or path) builds, the first of them ``town``.

    ``towns`` are the names that clients may load. Port 0 means any free one. Raises ``OSError`` for a port that is
    taken, ``ValueError`` for a town that cannot be built.
    """

    def __init__(
        self,
        make_world: Callable[[str], Any],
        town: str,
        towns: Sequence[str] = (),
        host: str = "127.0.0.1",
        port: int = 2000,
        streaming_port: int = 0,
    ) -> None:
        self.lock = threading.RLock()
        self.rpc = RpcServer(host, port, self._dispatch, self._closed)
        try:
            self.streams = StreamServer(host, streaming_port)
            self.make_world = make_world
            self.world = make_world(town)
            # What ``make_world`` calls a town, by the name that clients use: they differ for files.
            self.towns = {name: name for name in towns} | {self.world.name: town}
        except BaseException:
            self.rpc.close()
            raise
        self.snapshots = self.streams.open()
        self.settings = Settings()
        self.uploaded = ""  # OpenDRIVE text for the next load of "OpenDriveMap"
        self.managers: dict[int, tuple[str, Connection]] = {}  # port of a Traffic Manager -> its host, its client
        self._master: Connection | None = None  # whoever asked for synchronous mode
        self._delta = 1.0 / RATE  # s, of a tick without a fixed step
        self._stop = threading.Event()
        self._free = threading.Event()  # set while the town ticks by itself
        self._called = 0.0  # when a client last called
        self._met = threading.Event()  # set by the first call of a client
        self._clock = threading.Thread(target=self._run, name="clock", daemon=True)
        self._complaints: set[str] = set()
        self.episode = 0
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
        self.streams.close()

    def load(self, town: str) -> None:
        """Replace the world: ``town`` by its name, "" for the present one anew, ``UPLOADED`` for a client's map."""
        name = town.rsplit("/", 1)[-1] or self.world.name
        if name == UPLOADED and self.uploaded:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{UPLOADED}.xodr"
                path.write_text(self.uploaded, encoding="utf-8")
                world = self.make_world(str(path))
        elif name in self.towns:
            world = self.make_world(self.towns[name])
        else:
            raise RpcError(f"no town {town!r} here; there are: {', '.join(self.towns)}")
        with self.lock:
            self._adopt(world)

    def _adopt(self, world: Any) -> None:
        if self.episode:
            self.sensing.close()
        self.world = world
        self.situation = Situation(world)
        self.sensing = Sensing(world, self.situation, self.streams, self._complain)
        self.handling = Handling(world)
        self.queries = Queries(world)
        self.recorder = Recorder(world)
        self.episode += 1
        self._publish_snapshot(world.delta)

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
        with self.lock:
            self.handling.before(self.delta)
            self.recorder.before(self.delta)
            self.world.tick(self.delta)
            self.handling.after()
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

    def _publish_snapshot(self, delta: float) -> None:
        world = self.world
        header = structs.sensor_header(structs.WORLD_OBSERVER, world.frame, world.time, structs.Transform())
        records = bytes(self.situation.records())
        about = (self.episode, time.time(), delta, 0, 0, 0)
        first, state = (structs.EPISODE_HEADER.pack(*about, bits) for bits in (structs.MAP_CHANGED, 0))
        self.streams.welcome(self.snapshots, (header, first, records))
        self.streams.publish(self.snapshots, (header, state, records))

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
            if call.name in calls_world.WITHOUT_LOCK:
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
        """Say it on the standard error, once."""
        if text not in self._complaints and len(self._complaints) < 100:
            self._complaints.add(text)
            print(f"town: {text}", file=sys.stderr, flush=True)

    def _closed(self, connection: Connection) -> None:
        """The client that asked for synchronous mode has gone: time goes on without it."""
        with self.lock:
            for number in [number for number, (_, owner) in self.managers.items() if owner is connection]:
                del self.managers[number]
            if connection is self._master:
                self._master = None
                self.settings = Settings()
                self._free.set()

    def _run(self) -> None:
        # The first client may want every tick for itself: given a moment to say so, it finds the same town every time.
        self._met.wait()
        latest = time.monotonic() + MOST_PATIENCE
        ticked = 0.0
        while not self.settings.synchronous_mode and time.monotonic() < min(latest, self._called + PATIENCE):
            if self._stop.wait(0.05):
                return
            if time.monotonic() > max(ticked, self._called) + LULL:
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
        """A tick, unless a client wants them all. ``late``: seconds since the last one; where no step is set and this
        machine is too slow for ``RATE``, steps grow up to ``LONGEST`` with it, so that nothing moves in slow motion."""
        with self.lock:
            if self.settings.synchronous_mode or self._stop.is_set():
                return
            if not self.settings.fixed_delta_seconds and late > 1.5 / RATE:
                self._delta = min(late, LONGEST)
            try:
                self.tick()
            except Exception as error:
                self._complain(f"a tick failed: {type(error).__name__}: {error}")
            finally:
                self._delta = 1.0 / RATE


def _compile(world: Any) -> None:
    """Never run here before: compile what ticks, pictures and rays need now, not while a client waits for an answer."""
    car = world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[0])
    lens = {"image_size_x": "64", "image_size_y": "32"}
    camera = world.spawn("sensor.camera.rgb", lens, structs.Transform(z=1.5), car.id)
    world.tick(1.0 / RATE)
    world.capture(camera.id)
    scene, props, poses = world.shapes()
    Rays(scene, props).cast(np.zeros(3), np.eye(3)[:1], 1.0, poses)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code. Prints one line when the town is ready."""
    options = parse(argv)

    lifetime = Lifetime(options.with_parent)
    # Threads that wait for each other's lock get it within half a millisecond, not five.
    sys.setswitchinterval(0.0005)
    # carla.Map talks to the standard output, which belongs to our one line.
    console = os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.close(quiet)
    from bridge.town.probe import too_large
    from bridge.town.towns import TOWNS
    from bridge.town.world import World

    def make_world(town: str) -> World:
        if town in TOWNS:
            return World(town, options.seed, options.vehicles, options.walkers)
        try:
            with bounded(limits.MAP_MEMORY):
                return World(town, options.seed, options.vehicles, options.walkers)
        except MemoryError:
            raise ValueError(too_large(town)) from None

    if not all(any((Path(__file__).parent / place).glob(f"{name}.*.nbi")) for place, name in KERNELS):
        _compile(World("hamlet", 0, 2, 1))
    try:
        server = TownServer(make_world, options.town, sorted(TOWNS), options.host, options.port, options.streaming_port)
    except OSError as error:
        print(f"town: {error.strerror or error}: choose another --host or port", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"town: {error}", file=sys.stderr)
        return 1
    server.start()
    print(f"town: {server.world.name} ready on {options.host}:{server.port}", file=console, flush=True)
    lifetime.wait()
    server.close()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # not held up by a thread that is still drawing a picture
