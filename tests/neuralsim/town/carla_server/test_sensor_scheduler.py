"""Generated cameras and the tick: who renders a frame, what the next tick waits for, and that it never waits on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, cast

import numpy as np
import pytest

from bridge.messages import Camera, Frame
from neuralsim.town.carla_server.actor_states import ActorStates
from neuralsim.town.carla_server.sensor_scheduler import Sensing
from neuralsim.town.carla_server.streams import StreamServer
from neuralsim.town.core.types import Transform
from neuralsim.town.frames import frame_of
from neuralsim.town.world import World

Deliver = Callable[[np.ndarray], None]


class Streams:
    """Streams that somebody listens to."""

    def __init__(self) -> None:
        self.opened, self.sent = 0, 0

    def open(self) -> int:
        self.opened += 1
        return self.opened

    def subscriber_count(self, stream: int) -> int:
        return 1

    def borrow(self, size: int) -> np.ndarray:
        return np.empty(size, np.uint8)

    def publish(self, stream: int, *parts: Any) -> None:
        self.sent += 1

    def drop(self, stream: int) -> None:
        pass


class Generator:
    """A generator of one camera that captures what it is told to, and generates nothing."""

    styles = ()

    def __init__(self) -> None:
        self.idle = True
        self.submitted: list[Frame] = []
        self.queued: list[tuple[int, Callable[[], Frame], Deliver, Future[Frame]]] = []

    def open(self, width: int, height: int, style: str, *, is_face: bool = False) -> Generator:
        return self

    def is_ready(self) -> bool:
        return True

    def is_idle(self) -> bool:
        return self.idle

    def submit(self, frame: Frame, deliver: Deliver) -> None:
        self.submitted.append(frame)

    def capture(self, tick: int, lens: Camera, capture: Callable[[], Frame], deliver: Deliver) -> Future[Frame]:
        self.queued.append((tick, capture, deliver, Future()))
        return self.queued[-1][3]

    def close(self) -> None:
        pass


@pytest.fixture
def world() -> World:
    return World("plain", vehicles=2, walkers=0)


@pytest.fixture
def generator() -> Generator:
    return Generator()


@pytest.fixture
def sensing(world: World, generator: Generator) -> Iterator[Sensing]:
    warnings: list[str] = []
    streams = cast(StreamServer, Streams())
    sensing = Sensing(world, ActorStates(world), streams, warnings.append, generator=generator)
    yield sensing
    sensing.close()
    assert not warnings


@pytest.fixture
def camera(world: World, sensing: Sensing) -> int:
    size = {"image_size_x": "96", "image_size_y": "64", "neuralsim_style": "auto"}
    actor = world.spawn("sensor.camera.rgb", size, Transform(z=2.0))
    sensing.add(actor)
    world.tick(0.1)
    return actor.id


def finishing(sensing: Sensing) -> threading.Thread:
    thread = threading.Thread(target=sensing.finish, daemon=True)
    thread.start()
    return thread


def test_an_idle_generator_renders_the_frame_and_the_next_tick_waits_for_it(
    world: World, sensing: Sensing, generator: Generator, camera: int
) -> None:
    sensing.publish_images(complete=True)
    assert not generator.submitted
    ((tick, capture, deliver, frame),) = generator.queued
    waiting = finishing(sensing)
    waiting.join(0.1)
    assert waiting.is_alive()
    captured, expected = capture(), frame_of(world, camera, "rgb")
    assert captured.sim_frame == tick == expected.sim_frame
    for name, plane in expected.planes.items():
        assert captured.planes[name].tobytes() == plane.tobytes(), name
    frame.set_result(captured)
    waiting.join(10.0)
    assert not waiting.is_alive()
    sent = cast(Streams, sensing.streams).sent
    deliver(captured.planes["rgb"])
    assert cast(Streams, sensing.streams).sent == sent + 1


@pytest.mark.parametrize(("complete", "idle"), [(True, False), (False, True)])
def test_the_frame_of_a_busy_generator_or_of_an_asynchronous_world_is_rendered_at_once(
    sensing: Sensing, generator: Generator, camera: int, complete: bool, idle: bool
) -> None:
    generator.idle = idle
    sensing.publish_images(complete)
    sensing.finish()
    assert not generator.queued
    assert len(generator.submitted) == 1


def test_no_tick_waits_for_what_is_given_up_when_its_world_goes(
    sensing: Sensing, generator: Generator, camera: int
) -> None:
    go_on = threading.Event()
    for _ in range(sensing._image_threads):
        sensing._image_workers.submit(go_on.wait, 10.0)
    generator.idle = False
    sensing.publish_images(complete=True)  # waits for a worker
    dropped: Future[Frame] = Future()
    dropped.cancel()
    dropped.set_running_or_notify_cancel()  # as a generator leaves a frame of a camera that was closed
    sensing._pending.append(dropped)
    waiting = finishing(sensing)
    sensing.close()
    go_on.set()
    waiting.join(10.0)
    assert not waiting.is_alive()
    assert not generator.submitted
