"""What all clients of a lens share: its cameras on the server, its streams and what is to be hidden."""

import socket
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np

from bridge import carla_wire
from bridge.carla_wire import (
    LENGTH,
    Address,
    RpcClient,
    RpcError,
    StreamReader,
    Token,
    close,
    snapshot_actors,
    without_actors,
)
from neuralsim.lens import leftovers
from neuralsim.lens.lens_camera import LensCamera, Mount, stream_of
from neuralsim.lens.moving_actors import NOBODY, Bodies, MovingActors
from neuralsim.lens.relay_kernels import pass_messages
from neuralsim.town.carla_server import structs
from neuralsim.town.carla_server.generated_cameras import GeneratedCamera, ImageGenerator
from neuralsim.town.carla_server.rpc import listen
from neuralsim.town.carla_server.streams import SUBSCRIBE_TIMEOUT, StreamSubscriber
from neuralsim.town.carla_server.wide_angle_cameras import GeneratedWideAngle

_WEATHER_AGE = 0.5  # s after which the weather is asked for again
_UNUSED = 5.0  # s that companions stand without a subscriber
_CHUNK = 1 << 18  # bytes


class Lens:
    """The cameras and streams of a lens in front of ``server``. Raises OSError if it is not there.

    Streams of generated cameras are served here; all others are handed through, one connection for each of a client's.
    """

    def __init__(self, server: Address, generator: ImageGenerator, host: str, port: int = 0) -> None:
        self.server, self.generator = server, generator
        self.role = leftovers.new_role()
        self.watchdog: leftovers.Watchdog | None = None
        self.rpc, self.is_synchronous = _connected(server)
        self.cameras: dict[int, LensCamera] = {}  # by actor id
        self.hidden: set[int] = set()  # ids of companions, gone ones included
        self._is_hiding = np.zeros(1, np.uint8)  # whether there was a camera, so that snapshots have to be looked at
        self.is_awaiting = np.zeros(1, np.uint8)  # whether a tick may have to wait for a subscriber
        self._seen: dict[int, int] = {}  # cameras that a snapshot has shown, and its tick
        self._snapshots: set[int] = set()  # ids of the streams of snapshots
        self._tokens: dict[int, Token] = {}  # of streams that are handed through
        self._moving: MovingActors | None = None  # while there are companions
        self._weather: dict[str, float] = {}
        self._weather_time = -_WEATHER_AGE
        self._changed = threading.Condition(threading.RLock())
        self._closed = False
        self._listener = listen(host, port)
        self.port: int = self._listener.getsockname()[1]

    def start(self) -> None:
        """Accept subscribers."""
        threading.Thread(target=self._accept, name="lens-streams", daemon=True).start()
        threading.Thread(target=self._stop_unused, name="lens-unused", daemon=True).start()

    def reconnect(self) -> None:
        """Connect to the server anew; cameras that it does not have, as after its restart, are forgotten.

        Raises OSError or RpcError, as the constructor does; then nothing has changed.
        """
        rpc, is_synchronous = _connected(self.server)
        companions = [ident for camera in list(self.cameras.values()) for ident in camera.companions]
        try:
            actors = rpc.call("get_actors_by_id", companions)
        except BaseException:
            rpc.close()
            raise
        alive = {actor[0] for actor in actors if leftovers.role_of(actor) == self.role}
        self.rpc.close()
        self.rpc, self.is_synchronous = rpc, is_synchronous
        self.renew_weather()
        for ident, camera in list(self.cameras.items()):
            if not camera.companions or not alive.issuperset(camera.companions):
                self.forget(ident)
        if not alive:  # another process may use these numbers for something else
            self.hidden.clear()
            self._seen.clear()
            self._snapshots.clear()
            self._tokens.clear()

    def close(self) -> None:
        """Take all companions away."""
        self._closed = True
        close(self._listener)
        self.forget_all()
        self.rpc.close()
        if self.watchdog is not None:
            self.watchdog.close()

    # Cameras -----------------------------------------------------------------------------------------------------

    def add(
        self,
        actor: list[Any],
        attributes: dict[str, str],
        mount: Mount,
        generated: GeneratedCamera | GeneratedWideAngle,
    ) -> None:
        """Add a camera that a client has spawned: an ``rpc::Actor``, with the attributes that the client gave."""
        values = {name: str(value) for name, _, value in actor[2][2]} | attributes
        stream = stream_of(actor)
        camera = LensCamera(
            actor[0], stream, values, mount, generated, lambda: self.is_synchronous, self.weather, self._bodies_at
        )
        with self._changed:
            self.cameras[actor[0]] = camera
            self._is_hiding[0] = 1

    def camera_of(self, stream: int) -> LensCamera | None:
        """Return the generated camera of a stream, None for other streams."""
        return next((camera for camera in list(self.cameras.values()) if camera.stream == stream), None)

    def expect(self, camera: LensCamera) -> None:
        """Start a camera to whose stream a client is about to subscribe. Raises RpcError or OSError."""
        with self._changed:
            if not camera.is_running:
                if self.watchdog is not None:
                    self.watchdog.note(camera.ident)
                if self._moving is None or not self._moving.is_open:
                    self._forget_actors()
                    self._moving = MovingActors(self.server)
                camera.start(self.rpc, self.role, self._hide)
            camera.expected += 1
            self.is_awaiting[0] = 1

    def _hide(self, companion: int) -> None:
        """Hide a companion that was spawned from clients."""
        self.hidden.add(companion)
        if self.watchdog is not None:
            self.watchdog.note(companion)

    def _bodies_at(self, tick: int, viewpoint: np.ndarray) -> Bodies:
        moving = self._moving
        return NOBODY if moving is None else moving.at(tick, viewpoint)

    def _forget_actors(self) -> None:
        moving, self._moving = self._moving, None
        if moving is not None:
            moving.close()

    def await_subscribers(self) -> None:
        """Wait until those that asked for a stream have subscribed, at most ``SUBSCRIBE_TIMEOUT`` s."""
        with self._changed:
            cameras = list(self.cameras.values())
            self._changed.wait_for(lambda: not any(each.expected for each in cameras), SUBSCRIBE_TIMEOUT)
            for camera in cameras:
                camera.expected = 0
            self.is_awaiting[0] = 0

    def forget(self, ident: int) -> None:
        """Take the companions of a camera away that was destroyed; do nothing for other actors."""
        with self._changed:
            camera = self.cameras.pop(ident, None)
            self._seen.pop(ident, None)
            if camera is not None:
                camera.generated.close()
                camera.stop(self.rpc)

    def forget_all(self) -> None:
        """Forget all cameras, as after a change of the map."""
        self.rpc.forget_definitions()
        for ident in list(self.cameras):
            self.forget(ident)
        self._forget_actors()

    def weather(self) -> dict[str, float]:
        """Return ``carla.WeatherParameters`` by name, at most ``_WEATHER_AGE`` s old."""
        now = time.monotonic()
        if now - self._weather_time > _WEATHER_AGE:
            self._weather_time = now
            with suppress(RpcError, OSError):
                values = self.rpc.call("get_weather_parameters")
                self._weather = {name: float(value) for name, value in zip(structs.WEATHER, values, strict=False)}
        return self._weather

    def renew_weather(self) -> None:
        """Ask for the weather with the next frame: a client has changed it."""
        self._weather_time = -_WEATHER_AGE

    # Streams -----------------------------------------------------------------------------------------------------

    def through(self, data: bytes, is_snapshot: bool = False) -> bytes:
        """Return the token of a stream that clients get instead of the server's, ``data``."""
        if not data:
            return data
        token = Token.read(data, self.server)
        self._tokens[token.stream] = token
        if is_snapshot:
            self._snapshots.add(token.stream)
        return token.at(self.port)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), name="lens-stream", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(_UNUSED)
            data = sock.recv(LENGTH.size, socket.MSG_WAITALL)
            sock.settimeout(None)
            if len(data) == LENGTH.size:
                stream = LENGTH.unpack(data)[0]
                camera = self.camera_of(stream)
                if camera is not None and camera.is_running:
                    self._subscribe(camera, sock)
                elif stream in self._tokens:
                    self._hand_through(self._tokens[stream], sock)
        except OSError:
            pass  # the client or the server is gone
        finally:
            close(sock)

    def _subscribe(self, camera: LensCamera, sock: socket.socket) -> None:
        """Serve a subscriber to a generated camera until it is gone."""
        subscriber = StreamSubscriber(sock, camera.stream)
        with self._changed:
            camera.subscribers += (subscriber,)
            camera.expected = max(0, camera.expected - 1)
            self._changed.notify_all()
        with suppress(OSError):
            sock.recv(1)  # returns when the client disconnects: it sends nothing
        subscriber.close()
        subscriber.join()
        with self._changed:
            camera.subscribers = tuple(each for each in camera.subscribers if each is not subscriber)
            if not camera.subscribers and not camera.expected:
                camera.stop(self.rpc)

    def _hand_through(self, token: Token, sock: socket.socket) -> None:
        """Copy a stream to a subscriber until one side is gone."""
        reader = StreamReader(token)
        threading.Thread(target=_close_with, args=(sock, reader), name="lens-stream", daemon=True).start()
        try:
            if token.stream in self._snapshots:
                self._hand_snapshots_through(reader, sock)
                return
            buffer = bytearray(_CHUNK)
            view = memoryview(buffer)
            while count := reader.sock.recv_into(buffer):
                sock.sendall(view[:count])
        finally:
            reader.close()

    def _hand_snapshots_through(self, reader: StreamReader, sock: socket.socket) -> None:
        """Copy snapshots, without what is hidden; as they come, whole messages or not, while nothing is."""
        buffer = np.empty(_CHUNK, np.uint8)
        view = buffer.data
        with reader.sock.dup() as source, sock.dup() as sink:
            kept = bytearray(view[: pass_messages(source.fileno(), sink.fileno(), buffer, self._is_hiding)])
        while kept:
            while len(kept) >= LENGTH.size and len(kept) >= (end := LENGTH.size + LENGTH.unpack_from(kept)[0]):
                message = self._visible(kept[LENGTH.size : end])
                sock.sendall(LENGTH.pack(len(message)) + message)
                del kept[:end]
            count = reader.sock.recv_into(view)
            if not count:
                return
            kept += view[:count]

    def _visible(self, message: bytearray) -> bytearray:
        """Return a snapshot without companions; cameras that it no longer shows are forgotten."""
        if self.cameras:
            tick = carla_wire.SENSOR_HEADER.unpack_from(message)[1]
            present = self.cameras.keys() & set(snapshot_actors(message).tolist())
            with self._changed:  # each client has a stream of its own, some are behind others
                gone = [each for each in self.cameras.keys() - present if self._seen.get(each, tick) < tick]
                self._seen |= {each: tick for each in present if self._seen.get(each, 0) < tick}
            for ident in gone:
                self.forget(ident)
        return without_actors(message, self.hidden) if self.hidden else message

    def _stop_unused(self) -> None:
        """Take companions away whose client asked for the stream but never subscribed."""
        since: dict[int, float] = {}
        while not self._closed:
            time.sleep(1.0)
            for ident, camera in list(self.cameras.items()):
                if camera.subscribers or not camera.is_running:
                    since.pop(ident, None)
                elif time.monotonic() - since.setdefault(ident, time.monotonic()) > _UNUSED:
                    with self._changed:
                        if not camera.subscribers:
                            camera.stop(self.rpc)
            with self._changed:
                if not any(camera.is_running for camera in self.cameras.values()):
                    self._forget_actors()


def _connected(server: Address) -> tuple[RpcClient, bool]:
    """Return a connection, and whether the world is synchronous. Raises OSError if the server is not there, RpcError if
    it is none of CARLA's, or one of another version."""
    rpc = RpcClient(server)
    try:
        version = str(rpc.call("version"))
        if version != structs.VERSION:
            raise RpcError(f"the CARLA server at {server} has version {version}: {structs.VERSION} is needed")
        return rpc, bool(rpc.call("get_episode_settings")[0])
    except BaseException:
        rpc.close()
        raise


def _close_with(sock: socket.socket, reader: StreamReader) -> None:
    """Close ``reader`` when the client behind ``sock`` disconnects: a client sends nothing on a stream."""
    with suppress(OSError):
        sock.recv(1)
    reader.close()
