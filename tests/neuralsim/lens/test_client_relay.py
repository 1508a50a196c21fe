"""What a client of the lens leaves behind when a call of it fails, or its connection ends."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace
from typing import Any, cast

import msgpack
import pytest

from neuralsim.lens.client_relay import ClientRelay
from neuralsim.lens.lens import Lens
from neuralsim.town.carla_server.generated_cameras import CAMERA
from neuralsim.town.carla_server.rpc import RpcError


class Generator:
    """Opens at most ``most`` cameras at a time."""

    def __init__(self, most: int) -> None:
        self.most, self.open_now = most, 0
        self.styles = ("day",)

    def open(self, width: int, height: int, style: str) -> SimpleNamespace:
        if self.open_now == self.most:
            raise ValueError("no more cameras")
        self.open_now += 1
        return SimpleNamespace(close=self._close)

    def _close(self) -> None:
        self.open_now -= 1


def lens(generator: Generator, server: tuple[str, int] = ("", 0)) -> Lens:
    return cast(Lens, SimpleNamespace(generator=generator, rpc=None, server=server, await_subscribers=lambda: None))


def spawn() -> list[Any]:
    return [[0, [[1, CAMERA, []], [0, 0, 0], [0, 0], []]]]


def test_cameras_of_a_batch_that_is_refused_are_closed() -> None:
    generator = Generator(2)
    relay = ClientRelay(lens(generator), socket.socket())
    with pytest.raises(RpcError, match="no more"):
        relay.apply_batch(1, [[spawn(), spawn(), spawn()], False])
    assert generator.open_now == 0


def test_a_client_that_is_gone_before_the_answer_keeps_no_camera() -> None:
    generator = Generator(2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours, theirs = socket.socketpair()
        serving = threading.Thread(target=ClientRelay(lens(generator, server.getsockname()), ours).serve)
        serving.start()
        connection, _ = server.accept()
        theirs.sendall(msgpack.packb([0, 7, "spawn_actor", [[], [1, CAMERA, []], [0, 0, 0]]]))
        assert connection.recv(1 << 16), "passed on to the server"
        assert generator.open_now == 1
        theirs.close()
        serving.join(10.0)
        for thread in threading.enumerate():
            if thread.name == "lens-answers":
                thread.join(10.0)
        connection.close()
    assert generator.open_now == 0
