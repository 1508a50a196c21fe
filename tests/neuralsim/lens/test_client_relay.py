"""What a client of the lens leaves behind when a call of it fails, or its connection ends."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace
from typing import Any, cast

import msgpack
import numpy as np
import pytest

from bridge import carla_wire
from bridge.carla_wire import MAX_MESSAGE_BYTES
from neuralsim.lens.client_relay import ClientRelay
from neuralsim.lens.lens import Lens
from neuralsim.town.carla_server.generated_cameras import CAMERA
from neuralsim.town.carla_server.rpc import wrap_error


class Generator:
    """Opens at most ``most`` cameras at a time."""

    def __init__(self, most: int) -> None:
        self.most, self.open_now = most, 0
        self.styles = ("day",)

    def open(self, width: int, height: int, style: str, *, is_face: bool = False) -> SimpleNamespace:
        if self.open_now == self.most:
            raise ValueError("no more cameras")
        self.open_now += 1
        return SimpleNamespace(close=self._close)

    def _close(self) -> None:
        self.open_now -= 1


def lens(generator: Generator, server: tuple[str, int] = ("", 0)) -> Lens:
    shared = {"generator": generator, "rpc": None, "server": server, "is_awaiting": np.zeros(1, np.uint8)}
    return cast(Lens, SimpleNamespace(**shared, await_subscribers=lambda: None))


def spawn() -> list[Any]:
    return [[0, [[1, CAMERA, []], [0, 0, 0], [0, 0], []]]]


def test_a_camera_of_a_batch_that_is_refused_is_an_error_of_its_own() -> None:
    generator = Generator(2)
    relay = ClientRelay(lens(generator), socket.socket())
    passed = relay.apply_batch(1, [[spawn(), spawn(), spawn()], False])
    assert passed is not None
    assert generator.open_now == 2
    assert [command[0][0] for command in passed[0]] == [0, 0, 1]  # nothing is spawned at the third place
    answers = [wrap_error("full"), wrap_error("full"), wrap_error("no actor 0")]
    with pytest.raises(OSError, match=r"not connected|closed|pipe"):  # this client is not there
        relay._pass_on(msgpack.packb([1, 1, None, answers]), [1, 1, None, answers])
    assert generator.open_now == 0
    assert answers[2] == wrap_error("no more cameras")


def test_a_camera_of_a_batch_is_attached_rigidly_with_all_its_companions() -> None:
    """As CARLA's server does, whatever is asked for: companions on a spring arm would leave the camera."""
    relay = ClientRelay(lens(Generator(1)), socket.socket())
    command = [[0, [[1, CAMERA, []], [[0, 0, 0], [0, 0, 0]], [True, 5], 2, "socket", []]]]
    passed = relay.apply_batch(1, [[command], False])
    assert passed is not None
    assert passed[0][0][0][1][3] == 0
    (spawned,) = relay._pending[1].changes.values()  # type: ignore[attr-defined]
    assert spawned.mount.attachment == [5, 0, "socket"]


def test_cameras_of_a_malformed_batch_are_closed() -> None:
    generator = Generator(2)
    relay = ClientRelay(lens(generator), socket.socket())
    with pytest.raises(IndexError):
        relay.apply_batch(1, [[spawn(), [[0, []]]], False])
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


@pytest.mark.parametrize("is_another_noted", [False, True])
def test_an_answer_of_any_size_reaches_the_client(is_another_noted: bool) -> None:
    """A server sends a whole file at once."""
    whole = msgpack.packb([1, 7, None, [[1, bytes(MAX_MESSAGE_BYTES + 1000)]]])
    noted = msgpack.packb([1, 8, None, [[1, [1.0, 2.0]]]])
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours, theirs = socket.socketpair()
        relay = ClientRelay(lens(Generator(2), server.getsockname()), ours)
        threading.Thread(target=relay.serve).start()
        connection, _ = server.accept()
        if is_another_noted:
            relay._note(8, lambda result: "changed")
        threading.Thread(target=connection.sendall, args=(whole + noted,)).start()
        expected = whole + (msgpack.packb([1, 8, None, "changed"]) if is_another_noted else noted)
        received = bytearray()
        theirs.settimeout(20.0)
        while len(received) < len(expected) and (data := theirs.recv(1 << 20)):
            received += data
        assert received == expected
        theirs.close()
        connection.close()


def test_a_snapshot_that_is_behind_another_forgets_no_camera() -> None:
    forgotten: list[int] = []
    cameras, lock = {5: None, 6: None}, threading.Lock()
    lens = SimpleNamespace(cameras=cameras, _seen={}, _changed=lock, hidden=(), forget=forgotten.append)

    def show(tick: int, *idents: int) -> None:
        header = carla_wire.SENSOR_HEADER.pack(0, tick, 0.0, *[0.0] * 6) + bytes(carla_wire.EPISODE_HEADER.size)
        records = b"".join(ident.to_bytes(4, "little") + bytes(carla_wire.RECORD - 4) for ident in idents)
        Lens._visible(cast(Lens, lens), bytearray(header + records))

    show(11, 5, 6)
    show(10)  # another client's, from before they were spawned
    assert forgotten == []
    show(12, 5)
    assert forgotten == [6]
