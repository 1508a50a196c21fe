"""A server of ``World``s over CARLA 0.9.16's wire protocol.

One lock guards the world. Functions run under it in the thread of their connection, and so does a tick: it sends the
snapshot, lets the client continue, then starts casting the rays and rendering the images of that same frame in threads
of their own, for which only the next tick waits. While no client is synchronous, ``Clock`` ticks the town. A strict
town gives clients less help, as CARLA's own server does: ``compat.strictness``.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge import carla_wire
from bridge.carla_wire import RpcError
from bridge.weather import darkness
from neuralsim.town.carla_server import structs
from neuralsim.town.carla_server.actor_states import ActorStates
from neuralsim.town.carla_server.clock import FIRST_CLIENT_TIMEOUT, RATE, Clock
from neuralsim.town.carla_server.compat.level_objects import ALL_LAYERS, in_layers
from neuralsim.town.carla_server.compat.recorder import Recorder
from neuralsim.town.carla_server.compat.strictness import ASYNCHRONOUS, FRAME_TIMEOUT, Strictness
from neuralsim.town.carla_server.generated_cameras import ImageGenerator
from neuralsim.town.carla_server.registry import FUNCTIONS, WITHOUT_LOCK
from neuralsim.town.carla_server.rpc import Call, Connection, RpcServer, wrap
from neuralsim.town.carla_server.sensor_scheduler import Sensing
from neuralsim.town.carla_server.static_scene import StaticScene
from neuralsim.town.carla_server.streams import StreamServer
from neuralsim.town.carla_server.vehicle_commands import VehicleCommands
from neuralsim.town.opendrive.towns import find

if TYPE_CHECKING:
    from neuralsim.town.world import World

MAX_STEP = 0.1  # s, longest step of a town that ticks by itself
MAX_REAL_STEP = 0.4  # s, longest step of a synchronous town without a fixed one; slower machines see slow motion
PAUSE = 1.0  # s between two ticks after which that client has paused rather than been slow
#: Calls of CARLA's client while it waits for a world: in a loop, and of its own accord for each snapshot.
_LOADING = (
    "get_episode_info", "get_episode_settings", "get_sensor_token", "query_lights_state", "tick_cue", "version",
)  # fmt: skip
UPLOADED = "OpenDriveMap"  # CARLA's name for a map sent by a client
_SPAWNING = ("spawn_actor", "spawn_actor_with_parent")
TICK_TIMEOUT = 3.0  # s that a call waits at most for a tick of a kind town, less than the client's default time-out
FIRST_FRAME_MULTIPLE = 60  # of the shifts of ``bridge.jitter`` and of the frames at which a bridge begins
ANSWER_WITHIN = 2.0  # s that a call which waits for a world takes at most, less than the client's default time-out
UPLOAD_WITHIN = 4.0  # s likewise, of a map that a client has sent
IMAGES_TIMEOUT = 1.0  # s that the answer to a tick waits at most for its images
RESUBSCRIBE_TIMEOUT = 1.0  # s that a new world waits for the client that requested it to subscribe again


@dataclass
class Settings:
    """``carla.WorldSettings`` in wire order. Only the first three have an effect here."""

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
class PendingWorld:
    """A world that replaces the current one with the next tick, as a level does in CARLA.

    The client that requested it first ends its current episode and subscribes again. If the snapshot of the new episode
    reached it before that, its stream's thread and its own would both replace the episode they share, and the client
    would crash.
    """

    world: World
    requester: Connection
    deadline: float  # monotonic time until which the world waits
    resubscribed: threading.Event = field(default_factory=threading.Event)


class TownServer:
    """A server of one world at a time.

    Its functions are those that ``handlers`` registers when it is imported. Raises ``OSError`` if a port is taken and
    ``ValueError`` if the town cannot be built.

    Args:
        make_world: Builds a world, given the name or path of a town.
        town: The town of the first world.
        towns: The names that clients may load, or a mapping of these to what ``make_world`` takes (``towns.maps``).
        host: Address to listen on.
        port: Port for clients, 0: any free port.
        streaming_port: Port for sensor data, 0: any free port.
        patience: Seconds without a call that the first client gets to become synchronous, so that it finds the town in
            its initial state; 0: none, as in a strict town.
        strict: How strict to be, None for a kind town.
        dialect: The version of CARLA whose clients are served.
        generator: What makes the images of rgb cameras that do not choose the simulator's own.
        prepare_rays: Whether to build the trees for ray casting at once rather than with the first sensor or call that
            needs them. They take as long as all other preparations of a drive, which casts no rays.
    """

    def __init__(
        self,
        make_world: Callable[[str], World],
        town: str,
        towns: Mapping[str, str] | Sequence[str] = (),
        host: str = "127.0.0.1",
        port: int = 2000,
        streaming_port: int = 0,
        patience: float = FIRST_CLIENT_TIMEOUT,
        strict: Strictness | None = None,
        generator: ImageGenerator | None = None,
        prepare_rays: bool = True,
        dialect: structs.Dialect = structs.NEWEST,
    ) -> None:
        self.dialect = dialect
        self.strict, self.generator, self._prepare_rays = strict, generator, prepare_rays
        self.lock = threading.RLock()
        self._ticked = threading.Condition()  # notified after each tick and change of settings
        self._ticking = threading.Lock()  # held while waiting for the sensors; taken before ``lock``
        self.rpc = RpcServer(host, port, self._dispatch, self._closed)
        try:
            self.streams = StreamServer(host, streaming_port)
            self.make_world = make_world
            # What ``make_world`` takes for a town, by the name that clients use; they differ for files.
            self.towns = dict(towns) if isinstance(towns, Mapping) else {name: name for name in towns}
            self.world = make_world(self.towns.get(town, town))
            if town in self.towns:
                self.world.name = town
            self.towns.setdefault(self.world.name, town)
        except BaseException:
            self.rpc.close()
            raise
        self.snapshots = self.streams.open()
        self._was_dark = False
        self.settings = Settings()
        self.uploaded = ""  # OpenDRIVE text for the next load of "OpenDriveMap"
        self._built = ""  # the last uploaded one of which a world was built
        self.traffic_managers: dict[int, tuple[str, Connection]] = {}  # port -> its host, its client
        self._master: Connection | None = None  # the client that is in synchronous mode
        self._delta = 1.0 / RATE  # s, of a tick without a fixed step
        self._last_tick = 0.0  # monotonic time at which the last tick began
        self._clock = Clock(
            self._tick_freely, self._tick_idly, lambda: self.delta, lambda: self.settings.synchronous_mode, self.lock,
            0.0 if strict else patience,
        )  # fmt: skip
        self._warnings: set[str] = set()
        self.episode = 0
        self._pending: PendingWorld | None = None
        self._pool = ThreadPoolExecutor(1, "loading")  # builds worlds for clients, one after the other
        self._loads: dict[Connection, Future[None]] = {}  # those under way after the answer, by who asked for them
        self._subscribed: set[Connection] = set()  # those of them who have subscribed to the snapshots again
        self._loader: Connection | None = None  # the client that may not have noticed yet that its world is there
        self._asked_settings = False  # whether its last call was for the settings
        self.sensing: Sensing
        self._adopt(self.world)

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self.rpc.port

    def start(self) -> None:
        """Accept clients and begin to tick: a strict town at once, a kind one with the first client."""
        self.streams.start()
        self.rpc.start()
        self._clock.start()
        if self.strict is not None:
            self._clock.note_call(is_probe=False)

    def close(self) -> None:
        """Drop every client and stop ticking."""
        self._clock.stop()
        self.rpc.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.sensing.close()
        self.streams.close()

    def load(self, town: str, requester: Connection | None = None, layers: int = ALL_LAYERS) -> None:
        """Replace the world by one with these ``layers``, a sum of ``carla.MapLayer``.

        ``town``: its name, "" to reload the current one, ``UPLOADED`` for a client's map. The change takes place with
        the next tick if there is a ``requester``, which replaces its episode itself; else at once, and clients are
        notified that the map has changed.
        """
        world = self._make(town)
        if hidden := ALL_LAYERS & ~layers:
            world.show_props(in_layers(world.all_props, hidden), False)
        with self.lock:
            if requester is not None:
                self._pending = PendingWorld(world, requester, time.monotonic() + RESUBSCRIBE_TIMEOUT)
                if requester in self._subscribed:
                    self._pending.resubscribed.set()
            else:
                self._pending = None
                self._adopt(world, structs.MAP_CHANGED)

    def load_for(self, call: Call, town: str, layers: int) -> None:
        """Replace the world at a client's request. The answer comes before the client's default time-out of 5 s.

        After the answer, the client subscribes again and asks for the settings, up to a hundred times, until the
        episode has changed: ``await_loading`` delays the answers. An upload may be refused: it is waited for longer.
        """
        loading = self._pool.submit(self.load, town, call.connection, layers)
        if wait([loading], UPLOAD_WITHIN if town.endswith(UPLOADED) else ANSWER_WITHIN).done:
            loading.result()  # raises what it raised
        else:
            self._loads[call.connection] = loading  # before the client subscribes again
            loading.add_done_callback(lambda done: self._warn_of_failure(town, done.exception()))

    def _warn_of_failure(self, town: str, failure: BaseException | None) -> None:
        if failure is not None:
            self.warn(f"{town!r:.80} cannot be loaded: {failure}")

    def await_loading(self, connection: Connection) -> None:
        """Wait a while for the world that this client loads."""
        loading = self._loads.get(connection)
        if loading is not None and not wait([loading], ANSWER_WITHIN).not_done:
            self._loads.pop(connection, None)
            self._subscribed.discard(connection)

    def _make(self, town: str) -> World:
        name = town.rsplit("/", 1)[-1] or self.world.name
        if name == UPLOADED and self.uploaded:
            return self._make_uploaded()
        if (match := find(name, self.towns)) is None:
            raise RpcError(f"no town {town!r} here; available: {', '.join(self.towns)}")
        location, name = match
        world = self.make_world(location)
        world.name = name
        return world

    def _make_uploaded(self) -> World:
        """Build the map that a client has sent; one that is refused is not that of the next reload."""
        text, self.uploaded = self.uploaded, self._built
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{UPLOADED}.xodr"
            path.write_text(text, encoding="utf-8")
            world = self.make_world(str(path))
        self.uploaded = self._built = text
        return world

    def note_token(self, connection: Connection, stream: int) -> None:
        """Record that a client got the token of a stream."""
        if stream == self.snapshots and connection in self._loads:
            self._subscribed.add(connection)
        pending = self._pending
        if pending is not None and stream == self.snapshots and connection is pending.requester:
            pending.resubscribed.set()

    def _await_requester(self) -> None:
        pending = self._pending
        if pending is not None:
            pending.resubscribed.wait(max(0.0, pending.deadline - time.monotonic()))
            self.streams.await_subscriptions(pending.requester)

    def _adopt(self, world: World, state: int = 0) -> None:
        if self.episode:
            self.sensing.close()
        self.world = world
        self.actor_states = ActorStates(world)
        is_strict = self.strict is not None
        self.sensing = Sensing(
            world, self.actor_states, self.streams, self.warn, is_strict, self.generator, self.dialect
        )
        self.vehicle_commands = VehicleCommands(world)
        self.static_scene = StaticScene(world)
        self.recorder = Recorder(world)
        self.episode += 1
        self._last_tick = 0.0  # the time that loading took is not the new world's
        threading.Thread(target=self._prepare, args=(world, self.static_scene), name="preparing", daemon=True).start()
        self._publish_snapshot(world.delta, state)

    def _prepare(self, world: World, scene: StaticScene) -> None:
        """Compute what takes seconds in a large town ahead of time: the map, for which connecting clients wait, and the
        trees for ray casting."""
        assert scene.opendrive
        assert scene.spawn_points
        if self._prepare_rays:
            world.rays()

    def set_settings(self, settings: Settings, connection: Connection) -> int:
        """Apply a client's settings; return the frame from which they hold."""
        with self.lock:
            self.settings = settings
            self._master = connection if settings.synchronous_mode else None
            if settings.synchronous_mode and self.world.time == 0.0:  # however many ticks it has been idle
                self.world.frame += -self.world.frame % FIRST_FRAME_MULTIPLE
                self._publish_snapshot(self.delta)  # for which the client waits up to a second
            (self._clock.pause if settings.synchronous_mode else self._clock.resume)()
            frame = int(self.world.frame)
        self._notify_ticked()
        return frame

    def reset_settings(self, connection: Connection) -> None:
        """Reset the settings for a new episode: a kind town those of a synchronous client, a strict one all."""
        if self.strict is not None or self.settings.synchronous_mode:
            self.set_settings(Settings(), connection)

    @property
    def delta(self) -> float:
        """Simulated seconds of one tick."""
        return self.settings.fixed_delta_seconds or self._delta

    def tick(self, then: Callable[[int], None] = lambda _: None) -> None:
        """Advance everything by one step.

        Without a fixed step, a step is the real time since the last one, as in CARLA; ``World`` divides it where it is
        long. ``then`` is called with the frame number once the snapshot is sent and before rays and images are begun.
        """
        self._await_requester()
        with self._ticking:
            self.sensing.finish()
            with self.lock:
                elapsed = time.monotonic() - self._last_tick
                if not self.settings.fixed_delta_seconds and elapsed < PAUSE:
                    self._delta = min(max(elapsed, 0.001), MAX_REAL_STEP)
                try:
                    self._tick(then)
                finally:
                    self._delta = 1.0 / RATE
        self._notify_ticked()

    def _tick(self, then: Callable[[int], None] = lambda _: None) -> None:
        """Do the work of ``tick``, with both locks held and the sensors finished."""
        self._last_tick = time.monotonic()
        if self._pending is not None:
            world, requester, self._pending = self._pending.world, self._pending.requester, None
            if self.strict is not None:
                time.sleep(self.strict.loading)
            self._adopt(world, structs.MAP_CHANGED)
            self._loader = requester
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
        self.streams.hold.end()
        self.sensing.publish_rays()
        if not self.settings.no_rendering_mode:
            self.sensing.publish_images(self.settings.synchronous_mode)

    def tick_for(self, call: Call) -> None:
        """Tick at a client's request and answer as soon as the client can continue; if asynchronous, answer at once."""
        if not self.settings.synchronous_mode:
            call.answer(wrap(self.world.frame + 1))
            return
        if self.strict is not None:
            with self._ticking:
                call.answer(wrap(self.world.frame + 1))
            self.tick()
        elif call.connection is self._loader and self._asked_settings:
            # While it waits for the world that it loads, CARLA's client asks for the settings and then for a tick,
            # again and again. How often depends on the machine's load, so the new world must not move by that.
            call.answer(wrap(self.world.frame))
        elif self.streams.hold.has_ticked_in_batch(call.connection):
            self.streams.await_subscriptions(call.connection)
            self.tick()
            self.sensing.await_sent(IMAGES_TIMEOUT)
            call.answer(wrap(self.world.frame))
        else:
            self.streams.await_subscriptions(call.connection)
            self.tick(lambda frame: call.answer(wrap(frame)))

    def _publish_snapshot(self, delta: float, state: int = 0) -> None:
        world = self.world
        is_dark = darkness(world.weather) > 0.0
        if is_dark != self._was_dark:
            self._was_dark, state = is_dark, state | structs.LAMPS_CHANGED
        header = structs.sensor_header(self.dialect.world_observer, world.frame, world.time, structs.Transform())
        records = bytes(self.actor_states.records())
        episode = (self.episode, time.monotonic(), delta, 0, 0, 0)
        first, current = (carla_wire.EPISODE_HEADER.pack(*episode, bits) for bits in (structs.MAP_CHANGED, state))
        welcome = (header, first, records) if self.strict is None else None
        self.streams.publish(self.snapshots, (header, current, records), welcome=welcome, urgent=True)

    def _dispatch(self, call: Call) -> Any:
        self._clock.note_call(is_probe=call.name == "version")
        if call.connection is self._loader and call.name not in _LOADING:
            self._loader = None
        function = FUNCTIONS.get(call.name)
        if function is None:
            # Printed here as well: for many functions the client does not wait for the answer.
            self.warn(f"not supported: {call.name[:80]!r}")
            raise RpcError(f"not supported by the town: {call.name}")
        call.connection.names.add(call.name)
        if call.name not in ("apply_batch", "tick_cue"):
            self.streams.hold.end(call.connection)
        if self.strict is not None and call.name not in ASYNCHRONOUS:
            self._await_tick(FRAME_TIMEOUT)
        elif self.strict is None and call.name == "set_episode_settings":
            self._await_measurements(call.connection)
        try:
            with nullcontext() if call.name in WITHOUT_LOCK else self.lock:
                result = function(self, call, *call.args)
            if call.name in _SPAWNING:
                self.await_snapshot()
            return result
        except RpcError:
            raise
        except ValueError as error:
            raise RpcError(f"{call.name}: {error}") from None
        except Exception as error:  # whatever a client sends, the server keeps running for the others
            raise RpcError(f"{call.name}: invalid arguments ({type(error).__name__}: {error})") from None
        finally:
            if call.connection is self._loader and call.name in ("get_episode_settings", "tick_cue"):
                self._asked_settings = call.name == "get_episode_settings"

    def await_snapshot(self) -> None:
        """Return once the clients of an asynchronous kind town have read a snapshot of what is there now.

        Before it, CARLA's client takes a new actor for dead: it is at 0, 0, 0 and cannot be destroyed.
        """
        if self.strict is None and not self.settings.synchronous_mode:
            if self._clock.is_running:
                self._await_tick(TICK_TIMEOUT)
                self._await_tick(TICK_TIMEOUT)  # a client reads in the background, on a busy machine some ms later
            else:
                self._tick_idly()
                time.sleep(1.0 / RATE)

    def _await_measurements(self, connection: Connection) -> None:
        """Let the sensors that a client of an asynchronous town listens to measure once before its settings change.

        In CARLA, where each call takes a tick, they have. Programs rely on that: gym-carla needs a scan at once.
        """
        if self._clock.is_running and not self.settings.synchronous_mode:
            self.streams.await_subscriptions(connection)
            self._await_tick(TICK_TIMEOUT)
            self.sensing.await_sent(TICK_TIMEOUT)  # not for ever: the first ray waits for its trees

    def _await_tick(self, timeout: float) -> None:
        """Wait for the end of the current tick, which begins without a client in a town that is asynchronous."""
        with self._ticked:
            frame = self.world.frame
            if not self.settings.synchronous_mode:
                over = timeout + time.monotonic()
                while self.world.frame == frame and not self.settings.synchronous_mode and time.monotonic() < over:
                    self._ticked.wait(0.05)
        with self.lock:
            pass

    def _notify_ticked(self) -> None:
        with self._ticked:
            self._ticked.notify_all()

    def warn(self, text: str) -> None:
        """Print a warning to standard error, once."""
        if text not in self._warnings and len(self._warnings) < 100:
            self._warnings.add(text)
            print(f"town: {text}", file=sys.stderr, flush=True)

    def _closed(self, connection: Connection) -> None:
        """Leave synchronous mode when the client that requested it has disconnected; a strict town stays."""
        with self.lock:
            for number in [number for number, (_, owner) in self.traffic_managers.items() if owner is connection]:
                del self.traffic_managers[number]
            if self._pending is not None and connection is self._pending.requester:
                self._pending.resubscribed.set()
            if connection is self._master and self.strict is None:
                self._master = None
                self.settings = Settings()
                self._clock.resume()

    def _tick_idly(self) -> None:
        """Tick while nothing moves, not even the time: a new frame for a client that waits for one."""
        with self._ticking, self.lock:
            if not self.settings.synchronous_mode:
                self.world.frame += 1
                self._publish_snapshot(self.delta)

    def _tick_freely(self, elapsed: float) -> None:
        """Tick, unless a client is in synchronous mode.

        ``elapsed``: seconds since the last tick began. Without a fixed step, on a machine too slow for ``RATE``, steps
        grow with it up to ``MAX_STEP``, so that nothing moves in slow motion.
        """
        self._await_requester()
        with self._ticking:
            self.sensing.finish()
            with self.lock:
                if self.settings.synchronous_mode or self._clock.is_stopped:
                    return
                if not self.settings.fixed_delta_seconds and elapsed > 1.5 / RATE:
                    self._delta = min(elapsed, MAX_STEP)
                try:
                    self._tick()
                except Exception as error:
                    self.warn(f"a tick failed: {type(error).__name__}: {error}")
                finally:
                    self._delta = 1.0 / RATE
        self._notify_ticked()
