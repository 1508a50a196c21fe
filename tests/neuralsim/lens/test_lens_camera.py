"""A camera of the lens whose companions' messages do not all arrive."""

from __future__ import annotations

from typing import Any

from neuralsim.lens.lens_camera import COMPANIONS, LensCamera, Mount
from neuralsim.town.carla_server import structs


class Reader:
    """The messages of given ticks, all of which are there already."""

    def __init__(self, *ticks: int) -> None:
        self.messages = [bytearray(structs.SENSOR_HEADER.pack(0, tick, 0.0, *[0.0] * 6)) for tick in ticks]

    def wait(self, timeout: float) -> bool:
        return bool(self.messages)

    def read(self) -> bytearray:
        if not self.messages:
            raise OSError("the server has closed the stream")
        return self.messages.pop(0)


def ticks_sent(camera: Reader, *companions: Reader) -> list[int]:
    """Return the ticks of the simulator's own images that are sent."""
    sent: list[int] = []

    class Subscriber:
        def offer(self, message: Any) -> None:
            sent.append(structs.SENSOR_HEADER.unpack_from(message.parts[1])[1])

    generated: Any = None
    each = LensCamera(1, 2, {}, Mount([]), generated, lambda: True, dict)
    subscriber: Any = Subscriber()
    each.subscribers = (subscriber,)
    readers: Any = [*companions, camera]
    each._run(readers)
    return sent


def test_images_are_skipped_while_the_server_is_ahead() -> None:
    dropped = [Reader(4, 5) for _ in COMPANIONS]
    assert ticks_sent(Reader(1, 2, 3), *dropped) == [3]  # nothing newer: rather the simulator's than none


def test_a_companion_that_is_silent_costs_no_image() -> None:
    assert ticks_sent(Reader(7), Reader(7), Reader(7), Reader()) == [7]
