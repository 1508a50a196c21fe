"""A camera of the lens whose companions' messages do not all arrive, or are not what they should be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bridge import carla_wire
from bridge.carla_wire import Definition, RpcError
from neuralsim.lens.lens_camera import COMPANIONS, LensCamera, Mount
from neuralsim.lens.moving_actors import NOBODY
from neuralsim.town.carla_server.camera_images import pixel_bytes
from neuralsim.town.carla_server.generated_cameras import CAMERA
from neuralsim.town.carla_server.wide_angle_cameras import GeneratedWideAngle
from neuralsim.town.render.wide_angle import WideAngle


class Reader:
    """The messages of given ticks, all of which are there already. ``size``: of their images, px."""

    def __init__(self, *ticks: int, size: tuple[int, int] = (4, 2), kind: str = CAMERA) -> None:
        image = carla_wire.IMAGE_HEADER.pack(*size, 90.0) + bytes(pixel_bytes(kind) * size[0] * size[1])
        self.messages = [bytearray(carla_wire.SENSOR_HEADER.pack(0, tick, 0.0, *[0.0] * 6) + image) for tick in ticks]

    def wait(self, timeout: float) -> bool:
        return bool(self.messages)

    def read(self) -> bytearray:
        if not self.messages:
            raise OSError("the server has closed the stream")
        return self.messages.pop(0)


class Nothing:
    """A generator that sends nothing."""

    def submit(self, *arguments: Any) -> None:
        pass


def companions(*ticks: int, size: tuple[int, int] = (4, 2)) -> list[Reader]:
    return [Reader(*ticks, size=size, kind=kind) for kind in COMPANIONS]


def ticks_sent(camera: Reader, *companions: Reader, generated: Any = None) -> list[int]:
    """Return the ticks of the simulator's own images that are sent."""
    sent: list[int] = []

    class Subscriber:
        def offer(self, message: Any) -> None:
            sent.append(carla_wire.SENSOR_HEADER.unpack_from(message.parts[1])[1])

    each = LensCamera(1, 2, {}, Mount([]), generated or Nothing(), lambda: True, dict, lambda tick, pose: NOBODY)
    subscriber: Any = Subscriber()
    each.subscribers = (subscriber,)
    readers: Any = [*companions, camera]
    each._run(readers)
    return sent


def test_images_are_skipped_while_the_server_is_ahead() -> None:
    dropped = [Reader(4, 5) for _ in COMPANIONS]
    assert ticks_sent(Reader(1, 2, 3), *dropped) == [3]  # nothing newer: rather the simulator's than none


def test_a_companion_that_is_silent_costs_no_image() -> None:
    assert ticks_sent(Reader(7), Reader(7), Reader()) == [7]


def test_companions_of_another_size_are_reported_and_images_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert ticks_sent(Reader(7, 8), *companions(7, 8, size=(8, 6))) == [7, 8]
    (line,) = capsys.readouterr().err.splitlines()
    assert "camera 1 sends the simulator's image: it has 4x2 px and 90 degrees" in line
    assert f"{COMPANIONS[0]} next to it 8x6 px" in line


def test_a_message_of_another_length_than_its_image_is_not_decoded(capsys: pytest.CaptureFixture[str]) -> None:
    longer, *others = companions(7)
    longer.messages[0] += bytes(4)
    assert ticks_sent(Reader(7), longer, *others) == [7]
    assert f"{COMPANIONS[0]} of 4x2 px and 90 degrees sends 36 bytes" in capsys.readouterr().err


def test_a_wide_angle_image_of_another_size_is_sent_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    generator: Any = SimpleNamespace(open=lambda *size, **options: Nothing())
    generated = GeneratedWideAngle(generator, WideAngle(8, 6, "equidistant", 20.0), "auto")
    (face,) = generated.faces
    views = [Reader(7, size=(face.side, face.side), kind=kind) for kind in (CAMERA, *COMPANIONS)]
    assert ticks_sent(Reader(7), *views, generated=generated) == [7]
    assert "it has 4x2 px and 90 degrees, not 8x6 px" in capsys.readouterr().err


def test_a_companion_that_is_gone_is_reported_and_images_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, *others = companions(7, 8, 9)
    del ends.messages[1:]
    monkeypatch.setattr(ends, "wait", lambda timeout: True)
    assert ticks_sent(Reader(7, 8, 9), ends, *others) == [8, 9]
    (line,) = capsys.readouterr().err.splitlines()
    assert "camera 1 sends the simulator's image: the server has closed the stream" in line


def test_companions_have_the_lens_of_the_camera() -> None:
    """CARLA distorts the images of all cameras alike (``SetCamera`` of ``AShaderBasedSensor``)."""
    sent: list[Any] = []

    class Server:
        def definition(self, kind: str) -> Definition:
            return Definition(9, dict.fromkeys(("fov", "lens_k", "lens_kcube", "lens_x_size", "role_name"), 3), {})

        def call(self, name: str, description: list[Any], *arguments: Any) -> list[Any]:
            sent.append(description)
            raise RpcError("full")

    given = {"fov": "70", "lens_k": "0.5", "lens_kcube": "0.1", "lens_x_size": "0.2", "lens_y_size": "9", "gamma": "1"}
    server: Any = Server()
    generated: Any = None
    with pytest.raises(RpcError):
        LensCamera(1, 2, given, Mount([]), generated, lambda: True, dict, lambda tick, pose: NOBODY).start(
            server, "lens", lambda ident: None
        )
    ((number, kind, values),) = sent
    assert (number, kind) == (9, COMPANIONS[0])
    expected = {"fov": "70", "lens_k": "0.5", "lens_kcube": "0.1", "lens_x_size": "0.2", "role_name": "lens"}
    assert {name: value for name, _, value in values} == expected
