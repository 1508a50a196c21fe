"""Clients for wire tests: the official one, each in its own process, and a raw one."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgpack

from neuralsim.town.carla_server.compile_stamp import CompiledStamp
from neuralsim.town.carla_server.process import TownServer, compile_kernels
from neuralsim.town.world import World

PRELUDE = """
import carla, faulthandler, os, queue, socket, sys, time
import numpy as np
faulthandler.enable()
client = carla.Client("127.0.0.1", int(sys.argv[1]))
client.set_timeout(40.0)
def pixels(image, kind=np.uint8):
    return np.frombuffer(image.raw_data, kind).reshape(image.height, image.width, -1)
def unused_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
def raises(call, *texts):
    try:
        call()
    except RuntimeError as error:
        assert all(text in str(error) for text in texts), str(error)
    else:
        raise AssertionError("no error")
def synchronous(world, delta=0.05):
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, delta
    world.apply_settings(settings)
def camera(world, kind, parent=None, **attributes):
    blueprint = world.get_blueprint_library().find("sensor.camera." + kind)
    for name, value in attributes.items():
        blueprint.set_attribute(name, str(value))
    sensor = world.spawn_actor(blueprint, carla.Transform(carla.Location(1.5, 0, 1.5)), attach_to=parent)
    images = queue.Queue()
    sensor.listen(images.put)
    return sensor, images
"""

#: The start of a client that drives a car by itself, a tick at a time.
ONE_CAR = """
client.set_timeout(30.0)
world = client.get_world()
synchronous(world)
library = world.get_blueprint_library()
model3, places = library.find("vehicle.tesla.model3"), world.get_map().get_spawn_points()
car = next(filter(None, (world.try_spawn_actor(model3, place) for place in places)))
"""


@contextmanager
def serving(server: TownServer) -> Iterator[TownServer]:
    """Run ``server``; close it at the end. First compile what the town's own process compiles before it is ready."""
    compiled = CompiledStamp()
    if not compiled.is_set:
        compile_kernels(World("hamlet", 0, 2, 1))
        compiled.set()
    server.start()
    try:
        yield server
    finally:
        server.close()


def empty_town(name: str, *towns: Any) -> AbstractContextManager[TownServer]:
    """Run a server of the town ``name`` without traffic; ``towns``: the maps that it offers."""
    return serving(TownServer(lambda town: World(town, vehicles=0, walkers=0), name, *towns, port=0))


_CLOSED_TWICE = "close: Bad file descriptor"


class ClientHangsError(AssertionError):
    """The client did not end in time."""


def start_client(port: int, script: str, stdin: int | None = None) -> subprocess.Popen[str]:
    """Start a process of the official client that runs ``script`` after ``PRELUDE``."""
    # At exit the official client may abort in its streaming threads while a sensor still listens: exit at once.
    code = PRELUDE + textwrap.dedent(script) + "\nsys.stdout.flush()\nos._exit(0)\n"
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, str(port)]
    return subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str], timeout: float = 60.0) -> str:
    """Wait for a client; return its output. Fail if the client failed or took too long: then with its threads' stacks,
    which ``faulthandler`` writes when the process is aborted."""
    try:
        out, error = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        out, error = process.communicate()
        raise ClientHangsError(f"the client hangs: {out}{error}") from None
    assert process.returncode == 0, out + error
    return out


def run_client(port: int, script: str, timeout: float = 60.0) -> str:
    """Run a script to its end, a second time if the official client ends itself.

    When a server ends a stream, as it does with each map that is loaded, the client's thread for it closes the socket;
    once in some hundred runs on a busy machine twice, and aborts the process.
    """
    try:
        return finish(start_client(port, script), timeout)
    except AssertionError as error:
        if _CLOSED_TWICE not in str(error):
            raise
        return finish(start_client(port, script), timeout)


def run_traffic_manager(port: int, script: str, timeout: float = 60.0) -> str:
    """Run a script with a synchronous Traffic Manager, up to twice more, each in the world loaded anew, if it hangs.

    The client's ``TrafficManagerLocal::SynchronousTick`` notifies its worker thread without holding its mutex. A worker
    that is just about to wait misses that, and both wait for ever in ``world.tick()``: on one busy core in two of
    938 short runs. The script takes an ``unused_port()``: that of a client that was killed is not free at once.
    """
    for _ in range(2):
        try:
            return run_client(port, script, timeout / 3.0)
        except ClientHangsError as error:
            warnings.warn(str(error), stacklevel=2)
            run_client(port, "client.reload_world()")  # without the vehicles of the client that was killed
    return run_client(port, script, timeout)


class RawClient:
    """A client without CARLA's library, for what the official one never does."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10.0)
        self.unpacker = msgpack.Unpacker()

    def call(self, name: str, *args: object) -> object:
        self.sock.sendall(msgpack.packb([0, 7, name, [[False], *args]]))
        return self.answer()

    def answer(self) -> object:
        while True:
            for message in self.unpacker:
                kind, ident, error, result = message
                assert (kind, ident, error) == (1, 7, None)
                return result
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.unpacker.feed(data)


def is_dropped(sock: socket.socket) -> bool:
    """Return whether the server closes this connection within a few seconds."""
    sock.settimeout(8.0)
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True
