"""Hands the calls of one client through to the server, and changes those that concern rgb cameras and streams.

Everything else is passed on byte by byte.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgpack
import numpy as np

from bridge.carla_wire import RpcClient, RpcError, close, connect, decode, is_error, unpacker
from neuralsim.lens.answers import Answers
from neuralsim.lens.leftovers import is_companion
from neuralsim.lens.lens import Lens
from neuralsim.lens.lens_camera import Mount
from neuralsim.lens.relay_kernels import name_table, pass_answers, pass_requests
from neuralsim.town.carla_server.generated_cameras import AUTO, CAMERAS, OFF, STYLE, GeneratedCamera
from neuralsim.town.carla_server.rpc import wrap_error
from neuralsim.town.carla_server.structs import RIGID
from neuralsim.town.carla_server.wide_angle_cameras import GeneratedWideAngle
from neuralsim.town.render.wide_angle import SUFFIX, WideAngle

_CHUNK = 1 << 18  # bytes
_SPAWN, _DESTROY = 0, 1  # index in the variant of ``rpc::Command``
#: Commands that move an actor: the call that does the same.
_MOVES = {6: "set_actor_transform", 19: "set_actor_location"}
#: Calls after which the actors are others.
_NEW_EPISODES = ("load_new_episode", "copy_opendrive_to_file")

#: What malformed arguments and results raise.
_MALFORMED = (TypeError, ValueError, LookupError, AttributeError)

Change = Callable[[Any], Any]  # of a result


class ClientRelay:
    """The connection of one client, with one of its own to the server."""

    def __init__(self, lens: Lens, sock: socket.socket) -> None:
        self.lens, self.sock = lens, sock
        self._server: socket.socket | None = None
        self._pending: dict[int, Change] = {}  # by request: what is changed in its result
        self._is_noted = np.zeros(1, np.uint8)  # whether there is any, for the kernel
        self._sending = threading.Lock()

    def serve(self) -> None:
        """Serve the client until it or the server is gone."""
        try:
            while self._server is None:
                try:
                    self._server = connect(self.lens.server)
                except OSError as error:
                    if not self._refuse(f"lens: {error}"):
                        return
            self._server.settimeout(None)
            threading.Thread(target=self._answer, args=(self._server,), name="lens-answers", daemon=True).start()
            self._pass_requests(self._server)
        except (OSError, ValueError, msgpack.UnpackException):
            pass  # disconnected, or no client of CARLA's
        finally:
            close(self.sock, *filter(None, [self._server]))

    def _refuse(self, why: str) -> bool:
        """Answer the next call with an error, as there is no server; return False if the client leaves instead."""
        messages, buffer = _Messages(), bytearray(_CHUNK)
        while count := self.sock.recv_into(buffer):
            for _, message in messages.feed(memoryview(buffer)[:count]):
                self._reply(message[1], wrap_error(why))
            if not messages.incomplete:
                return True
        return False

    def _pass_requests(self, server: socket.socket) -> None:
        requests, buffer = _Messages(), np.empty(_CHUNK, np.uint8)
        view = buffer.data
        with _duplicates(self.sock, server) as (source, sink):
            while True:
                if requests.incomplete:
                    count, passed = self.sock.recv_into(view), 0
                else:
                    count, passed = pass_requests(source, sink, buffer, _NAMES, self.lens.is_awaiting)
                if not count:
                    return
                for raw, message in requests.feed(view[passed:count]):
                    self._request(server, raw, message)

    def _reply(self, ident: int, result: Any) -> None:
        with self._sending:
            self.sock.sendall(msgpack.packb([1, ident, None, result], unicode_errors="surrogateescape"))

    def _request(self, server: socket.socket, raw: bytes | memoryview, message: Any) -> None:
        """Pass a request on, as it came or changed."""
        if not (isinstance(message, list) and len(message) == 4 and message[0] == 0):
            server.sendall(raw)
            return
        _, ident, name, (metadata, *arguments) = message
        handler = _HANDLERS.get(name)
        try:
            changed = handler(self, ident, arguments) if handler is not None else None
        except RpcError as error:
            self._reply(ident, wrap_error(str(error)))
            return
        except _MALFORMED:
            changed = None  # the server says what is wrong with it
        if changed is not None:
            raw = msgpack.packb([0, ident, name, [metadata, *changed]], unicode_errors="surrogateescape")
        server.sendall(raw)

    def _answer(self, server: socket.socket) -> None:
        """Pass answers on, as they came or changed."""
        try:
            self._pass_answers(server)
        except (OSError, ValueError, msgpack.UnpackException):
            pass
        finally:
            close(self.sock, server)
            while self._pending:  # who is gone between a call and its answer keeps no camera
                _discard(self._pending.popitem()[1])

    def _pass_answers(self, server: socket.socket) -> None:
        answers, buffer = Answers(self._pending), np.empty(_CHUNK, np.uint8)
        view = buffer.data
        with _duplicates(server, self.sock) as (source, sink):
            while True:
                if answers.is_between:
                    # A change is noted before its request is sent: without one, nothing in an answer can be for it.
                    count, passed = pass_answers(source, sink, buffer, self._is_noted, answers.state)
                else:
                    count, passed = server.recv_into(view), 0
                if not count:
                    return
                for part, is_noted in answers.feed(view[passed:count]):
                    if is_noted:
                        self._pass_on(part, decode(part))
                    else:
                        self._send(part)

    def _note(self, ident: int, change: Change) -> None:
        """Have the result of a request changed, before it is passed on."""
        self._pending[ident] = change
        self._is_noted[0] = 1

    def _pass_on(self, raw: bytes | memoryview, message: Any) -> None:
        """Pass an answer on, changed if its request was noted."""
        change = self._pending.pop(message[1], None)
        if not self._pending:
            self._is_noted[0] = 0
            self._is_noted[0] = bool(self._pending)  # one may have been noted just now
        if change is not None and is_error(message[3]):
            _discard(change)
        elif change is not None:
            with suppress(*_MALFORMED):  # then it is not as the client expects it either
                self._reply(message[1], change(message[3]))
                return
        self._send(raw)

    def _send(self, data: bytes | memoryview) -> None:
        with self._sending:
            self.sock.sendall(data)

    # Requests: each returns the arguments to pass on, None for those that came ----------------------------------------

    def spawn_actor(self, ident: int, arguments: list[Any]) -> list[Any] | None:
        description, transform, *attachment = arguments
        if description[1] not in CAMERAS:
            return None
        given, generated = self._open(description)
        arguments[0] = _without_style(description)
        mount = Mount(transform, attachment)
        self._note(ident, _Spawned(self.lens, given, mount, generated))
        return arguments

    def _open(self, description: list[Any]) -> tuple[dict[str, str], GeneratedCamera | GeneratedWideAngle | None]:
        """Return the attributes that a client gives an rgb camera, and what generates its images, None for "off"."""
        given = {str(name): str(value) for name, _, value in description[2]}
        style = given.setdefault(STYLE, AUTO)
        if style == OFF or given.get("half_size") == "true":
            return given, None
        size = int(given.get("image_size_x", 800)), int(given.get("image_size_y", 600))
        try:
            if description[1].endswith(SUFFIX):
                return given, GeneratedWideAngle(self.lens.generator, WideAngle.of(given), style)
            return given, self.lens.generator.open(*size, style)
        except ValueError as error:
            raise RpcError(str(error)) from None

    def apply_batch(self, ident: int, arguments: list[Any]) -> list[Any] | None:
        changes: dict[int, Change] = {}
        try:
            self._change_commands(arguments[0], changes)
        except BaseException:  # the whole batch is refused
            _discard(_Batch(changes, self.lens.rpc))
            raise
        if len(arguments) > 1 and arguments[1]:
            self.lens.await_subscribers()
        if not changes:
            return None
        self._note(ident, _Batch(changes, self.lens.rpc))
        return arguments

    def _change_commands(self, commands: list[Any], changes: dict[int, Change]) -> None:
        """Change the commands of a batch that spawn cameras; write what happens to their results to ``changes``."""
        for place, ((index, command),) in enumerate(commands):
            if index == _SPAWN and command[0][1] in CAMERAS:
                try:
                    given, generated = self._open(command[0])
                except RpcError as error:  # the other commands are executed
                    changes[place] = _Refused(str(error))
                    commands[place] = [[_DESTROY, [0]]]  # which the server refuses
                    continue
                parent, *attachment = command[2:-1]
                if attachment:  # a batch attaches rigidly whatever it says (carla, ``CarlaServer.cpp``)
                    attachment[0] = command[3] = RIGID
                mount = Mount(command[1], [parent[1], *attachment] if parent[0] else [])
                changes[place] = _Spawned(self.lens, given, mount, generated)
                command[0] = _without_style(command[0])
            elif index == _DESTROY:
                changes[place] = _Destroyed(self.lens, command[0])
            elif index in _MOVES:
                self._move(_MOVES[index], command)

    def destroy_actor(self, ident: int, arguments: list[Any]) -> None:
        self._note(ident, _Destroyed(self.lens, arguments[0]))

    def set_actor_transform(self, ident: int, arguments: list[Any]) -> None:
        self._move("set_actor_transform", arguments)

    def set_actor_location(self, ident: int, arguments: list[Any]) -> None:
        self._move("set_actor_location", arguments)

    def _move(self, name: str, arguments: list[Any]) -> None:
        camera = self.lens.cameras.get(arguments[0])
        if camera is not None:
            camera.follow(self.lens.rpc, name, arguments[1:])

    def tick_cue(self, ident: int, arguments: list[Any]) -> None:
        self.lens.await_subscribers()

    def set_episode_settings(self, ident: int, arguments: list[Any]) -> None:
        self.lens.is_synchronous = bool(arguments[0][0])

    def set_weather_parameters(self, ident: int, arguments: list[Any]) -> None:
        self._note(ident, self._with_weather)

    def _with_weather(self, result: Any) -> Any:
        self.lens.renew_weather()
        return result

    def new_episode(self, ident: int, arguments: list[Any]) -> None:
        self.lens.forget_all()

    # Results ---------------------------------------------------------------------------------------------------------

    def get_actor_definitions(self, ident: int, arguments: list[Any]) -> None:
        self._note(ident, self._with_styles)

    def _with_styles(self, result: Any) -> Any:
        for definition in result[0][1]:
            if definition[1] in CAMERAS and all(each[0] != STYLE for each in definition[3]):
                choices = [AUTO, OFF, *self.lens.generator.styles]
                definition[3].append([STYLE, 4, AUTO, choices, True, False])
        return result

    def get_actors_by_id(self, ident: int, arguments: list[Any]) -> None:
        self._note(ident, self._visible)

    def _visible(self, result: Any) -> Any:
        result[0][1] = [_shown(self.lens, actor) for actor in result[0][1] if not is_companion(actor)]
        return result

    def get_episode_info(self, ident: int, arguments: list[Any]) -> None:
        self._note(ident, self._with_snapshots)

    def _with_snapshots(self, result: Any) -> Any:
        token = result[0][1][1]
        token[0] = self.lens.through(token[0], is_snapshot=True)
        return result

    def get_sensor_token(self, ident: int, arguments: list[Any]) -> None:
        self._note(ident, self._with_token)

    def _with_token(self, result: Any) -> Any:
        token = result[0][1]
        camera = self.lens.camera_of(int.from_bytes(token[0][:4], "little"))
        token[0] = self.lens.through(token[0])
        if camera is not None:
            try:
                self.lens.expect(camera)
            except (RpcError, OSError) as error:
                return wrap_error(f"lens: no images of camera {camera.ident}: {error}")
        return result

    def get_gbuffer_token(self, ident: int, arguments: list[Any]) -> None:
        self._note(ident, self._with_bare_token)

    def _with_bare_token(self, result: Any) -> Any:
        result[0][1] = self.lens.through(result[0][1])
        return result


class _Spawned:
    """A camera whose spawning is under way."""

    def __init__(
        self,
        lens: Lens,
        given: dict[str, str],
        mount: Mount,
        generated: GeneratedCamera | GeneratedWideAngle | None,
    ) -> None:
        self.lens, self.given, self.mount, self.generated = lens, given, mount, generated

    def __call__(self, result: Any) -> Any:
        self.add(result[0][1])
        result[0][1] = _shown(self.lens, result[0][1], self.given[STYLE])
        return result

    def add(self, actor: list[Any]) -> None:
        """Hand the camera over to the lens."""
        if self.generated is not None:
            self.lens.add(actor, self.given, self.mount, self.generated)

    def discard(self) -> None:
        """Forget the camera: the server has refused it."""
        if self.generated is not None:
            self.generated.close()


class _Destroyed:
    """An actor whose destruction is under way."""

    def __init__(self, lens: Lens, actor: int) -> None:
        self.lens, self.actor = lens, actor

    def __call__(self, result: Any) -> Any:
        self.lens.forget(self.actor)
        return result


class _Refused:
    """A command of a batch that the lens refuses, with an error."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, result: Any) -> Any:
        return wrap_error(self.text)


class _Batch:
    """A batch that is under way, with changes by the place of their command."""

    def __init__(self, changes: dict[int, Change], server: RpcClient) -> None:
        self.changes, self.server = changes, server

    def __call__(self, result: Any) -> Any:
        for place, change in self.changes.items():
            answer = result[place]
            if isinstance(change, _Refused):
                result[place] = change(answer)
            elif is_error(answer):
                _discard(change)
            elif isinstance(change, _Spawned):  # a batch answers with the id alone
                change.add(self.server.call("get_actors_by_id", [answer[0][1]])[0])
            else:
                change(answer)
        return result


def _discard(change: Change) -> None:
    for each in change.changes.values() if isinstance(change, _Batch) else (change,):
        if isinstance(each, _Spawned):
            each.discard()


def _without_style(description: list[Any]) -> list[Any]:
    number, kind, values = description
    return [number, kind, [each for each in values if each[0] != STYLE]]


def _shown(lens: Lens, actor: list[Any], style: str = "") -> list[Any]:
    """Return an ``rpc::Actor`` as clients of the lens see it."""
    camera = lens.cameras.get(actor[0])
    style = style or (camera.attributes[STYLE] if camera is not None else "")
    if style and all(each[0] != STYLE for each in actor[2][2]):
        actor[2][2].append([STYLE, 4, style])
    if actor[5]:
        actor[5] = lens.through(actor[5])
    return actor


@contextmanager
def _duplicates(source: socket.socket, sink: socket.socket) -> Iterator[tuple[int, int]]:
    """Yield descriptors of two connections that stay open until the end. Raises OSError if one is closed."""
    with source.dup() as one, sink.dup() as other:
        yield one.fileno(), other.fileno()


class _Messages:
    """Takes messages out of what comes over a connection."""

    def __init__(self) -> None:
        self.incomplete = bytearray()  # the beginning of a message
        self._decoder, self._start = unpacker(), 0

    def feed(self, chunk: memoryview) -> Iterator[tuple[bytes | memoryview, Any]]:
        """Yield each message that ``chunk`` completes, as it came and decoded."""
        decoder, rest = self._decoder, chunk
        decoder.feed(chunk)
        for message in decoder:
            end = decoder.tell()
            count = end - self._start - len(self.incomplete)
            raw = bytes(self.incomplete) + rest[:count] if self.incomplete else rest[:count]
            self.incomplete.clear()
            self._start, rest = end, rest[count:]
            yield raw, message
        self.incomplete += rest


_HANDLERS: dict[str, Callable[[ClientRelay, int, list[Any]], list[Any] | None]] = {
    "spawn_actor": ClientRelay.spawn_actor,
    "spawn_actor_with_parent": ClientRelay.spawn_actor,
} | {
    name: getattr(ClientRelay, name)
    for name in (
        "apply_batch", "destroy_actor", "set_actor_transform", "set_actor_location", "tick_cue",
        "set_episode_settings", "set_weather_parameters", "get_actor_definitions", "get_actors_by_id",
        "get_episode_info", "get_sensor_token", "get_gbuffer_token",
    )
} | dict.fromkeys(_NEW_EPISODES, ClientRelay.new_episode)  # fmt: skip

_WAITING = "tick_cue"  # concerns the lens only while it waits for subscribers
_NAMES = name_table((_WAITING, *(name for name in _HANDLERS if name != _WAITING)))
