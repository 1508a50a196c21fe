"""Clients for the tests of the wire: the official one, each in a process of its own, and one made by hand."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgpack
import pytest

from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.world import World

PRELUDE = """
import carla, faulthandler, os, queue, sys, time
import numpy as np
faulthandler.enable()
client = carla.Client("127.0.0.1", int(sys.argv[1]))
client.set_timeout(10.0)
def pixels(image, kind=np.uint8):
    return np.frombuffer(image.raw_data, kind).reshape(image.height, image.width, -1)
def says(call, *words):
    try:
        call()
    except RuntimeError as error:
        assert all(word in str(error) for word in words), str(error)
    else:
        raise AssertionError("no error")
def synchronous(world, delta=0.05):
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, delta
    world.apply_settings(settings)
def camera(world, kind, parent=None, **given):
    blueprint = world.get_blueprint_library().find("sensor.camera." + kind)
    for name, value in given.items():
        blueprint.set_attribute(name, str(value))
    sensor = world.spawn_actor(blueprint, carla.Transform(carla.Location(1.5, 0, 1.5)), attach_to=parent)
    images = queue.Queue()
    sensor.listen(images.put)
    return sensor, images
"""


@contextmanager
def serving(server: TownServer) -> Iterator[TownServer]:
    """``server`` while it serves."""
    server.start()
    try:
        yield server
    finally:
        server.close()


def empty_town(name: str, *known: Any) -> AbstractContextManager[TownServer]:
    """A server of the town ``name``, without traffic, while it serves; ``known``: the maps that it has."""
    return serving(TownServer(lambda town: World(town, vehicles=0, walkers=0), name, *known, port=0))


def start_client(port: int, script: str) -> subprocess.Popen[str]:
    """A process of the official client that runs ``script`` after ``PRELUDE``."""
    # At exit the official client may abort in its own streaming threads while a sensor still listens: leave at once.
    code = PRELUDE + textwrap.dedent(script) + "\nsys.stdout.flush()\nos._exit(0)\n"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code, str(port)], stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str], timeout: float = 30.0) -> str:
    """What the client printed; fails when it did, or took too long."""
    try:
        out, error = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, error = process.communicate()
        pytest.fail(f"the client hangs: {out}{error}")
    assert process.returncode == 0, out + error
    return out


def run_client(port: int, script: str, timeout: float = 30.0) -> str:
    return finish(start_client(port, script), timeout)


class Bare:
    """A client by hand, for what the official one never does."""

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
    """Whether the server ends this connection within a few seconds."""
    sock.settimeout(8.0)
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True
