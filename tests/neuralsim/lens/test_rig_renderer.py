"""Cameras of one rig: one graph, a past for each, and images that agree where their views overlap."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.frames import street

from bridge.messages import Frame
from neuralsim import zoo
from neuralsim.lens.rig_renderer import RigCamera, RigRenderer
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.core.types import Transform
from neuralsim.town.frames import frame_of
from neuralsim.town.world import World

SIZE = (256, 128)


def test_forks_share_a_graph_and_not_their_past() -> None:
    alone = NeuralRenderer(zoo.DEFAULT, "openvino", SIZE, guide="surface")
    frames = [street(number, *SIZE) for number in range(4)]
    others = [street(number, *SIZE) for number in range(4)]
    for frame in others:  # the mirror image
        frame.planes = {name: np.ascontiguousarray(plane[::-1]) for name, plane in frame.planes.items()}
    expected, expected_others = ([alone.render(frame) for frame in each] for each in (frames, others))
    alone.reset()
    first, second = alone.fork(), alone.fork()
    for fork in (first, second):
        fork.set_streams(2)
    with ThreadPoolExecutor(2) as pool:  # both at the same time
        images = pool.map(lambda job: [job[0].render(frame) for frame in job[1]], ((first, frames), (second, others)))
    for actual, references in zip(images, (expected, expected_others), strict=True):
        for image, reference in zip(actual, references, strict=True):
            assert np.abs(image.astype(int) - reference).mean() < 0.5
    assert np.abs(expected[3].astype(int) - expected_others[3]).mean() > 2


def rendered(cameras: list[RigCamera], frames: list[Frame]) -> list[np.ndarray]:
    """Return the images that cameras of a rig make of one frame each."""
    queues: list[queue.SimpleQueue[np.ndarray]] = [queue.SimpleQueue() for _ in cameras]
    for camera, frame, images in zip(cameras, frames, queues, strict=True):
        camera.submit(frame, images.put)
    return [images.get(timeout=60.0) for images in queues]


def overlap(one: Frame, other: Frame, image: np.ndarray, other_image: np.ndarray) -> np.ndarray:
    """Return the CIELAB distances of the surface points that both cameras see."""
    camera, second = one.camera, other.camera
    rows, columns = np.mgrid[: camera.height, : camera.width]
    depth = one.planes["depth"].astype(np.float64)
    right = (columns + 0.5 - camera.width / 2) / camera.focal * depth
    up = (camera.height / 2 - rows - 0.5) / camera.focal * depth
    points = np.stack([depth, right, up, np.ones_like(depth)], axis=-1) @ (np.linalg.inv(second.pose) @ camera.pose).T
    ahead = np.maximum(points[..., 0], 1e-3)
    x = points[..., 1] / ahead * second.focal + second.width / 2 - 0.5
    y = second.height / 2 - 0.5 - points[..., 2] / ahead * second.focal
    at = x.astype(np.float32), y.astype(np.float32)
    there = cv2.remap(other.planes["depth"], *at, cv2.INTER_NEAREST, borderValue=0.0)
    same = (depth < 100.0) & (np.abs(there - points[..., 0]) < 0.02 * ahead) & (points[..., 0] > 0.5)
    lab = [cv2.cvtColor(each.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB) for each in (image, other_image)]
    distance = np.linalg.norm(lab[0] - cv2.remap(lab[1], *at, cv2.INTER_LINEAR), axis=-1)
    distances: np.ndarray = distance[same]
    return distances


def test_neighbouring_cameras_generate_the_same_image_of_what_both_see(rig: RigRenderer) -> None:
    world = World("hamlet", seed=0, vehicles=6, walkers=4)
    car = world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[2])
    car.control.throttle = 0.5
    world.drive_of(car.id)
    size = {"image_size_x": "400", "image_size_y": "224", "fov": "70"}
    mounts = [Transform(x=0.6, z=1.7, yaw=yaw) for yaw in (-25.0, 25.0)]
    idents = [world.spawn("sensor.camera.rgb", size, mount, car.id).id for mount in mounts]
    cameras = [rig.open(400, 224, "auto") for _ in idents]
    strangers = [NeuralRenderer(zoo.DEFAULT, "openvino", (400, 224)) for _ in idents]
    distances: list[np.ndarray] = []
    apart: list[np.ndarray] = []
    for tick in range(6):
        world.tick(0.1)
        frames = [frame_of(world, ident, "rgb") for ident in idents]
        images = rendered(cameras, frames)
        for stranger, frame in zip(strangers, frames, strict=True):
            stranger.follow(frame.weather)
        others = [stranger.render(frame) for stranger, frame in zip(strangers, frames, strict=True)]
        if tick >= 2:
            distances.append(overlap(*frames, *images))
            apart.append(overlap(*frames, *others))
    for camera in cameras:
        camera.close()
    assert min(map(len, distances)) > 2000
    mean, of_strangers = float(np.concatenate(distances).mean()), float(np.concatenate(apart).mean())
    assert mean < 4.0
    assert mean < 0.6 * of_strangers


def test_a_camera_waits_for_a_neighbour_of_the_same_tick_but_not_for_one_that_is_silent(rig: RigRenderer) -> None:
    first, second = (rig.open(*SIZE, "auto") for _ in range(2))
    frames = [street(number, *SIZE) for number in range(4)]
    alone = rig.open(*SIZE, "auto")
    own = [rendered([alone], [frame])[0] for frame in frames]
    alone.close()
    rendered([first, second], frames[:1] * 2)
    for number in (1, 2):  # the second camera's frame comes first; what the first one makes of it is inverted
        frame, images = frames[number], [queue.SimpleQueue[np.ndarray](), queue.SimpleQueue[np.ndarray]()]
        second.submit(frame, images[1].put)
        if number == 1:
            first.submit(frame, images[0].put)
            assert (images[0].get(timeout=60.0) == images[1].get(timeout=60.0)).mean() > 0.95
        else:
            assert np.abs(images[1].get(timeout=60.0).astype(int) - own[number]).mean() < 12.0
    first.close()
    assert rendered([second], frames[3:])[0].shape == own[3].shape
    second.close()


def test_images_of_a_tick_are_finished_once_all_are_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[tuple[str, int]] = []
    for name in ("_generate", "_finish"):
        original = getattr(RigRenderer, name)

        def recorded(rig: RigRenderer, camera: RigCamera, *job: Any, name: str = name, original: Any = original) -> Any:
            order.append((name, camera.number))
            return original(rig, camera, *job)

        monkeypatch.setattr(RigRenderer, name, recorded)
    rig = RigRenderer(threads=1)
    cameras = [rig.open(*SIZE, "auto") for _ in range(3)]
    for number in range(2):
        images: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()
        with rig._changed:  # the frames of a tick arrive together
            for camera in cameras:
                camera.submit(street(number, *SIZE), images.put)
        for _ in cameras:
            images.get(timeout=60.0)
    rig.close()
    assert order == [(name, number) for name in ("_generate", "_finish") for number in (1, 2, 3)] * 2


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_frame_is_captured_when_its_turn_has_come_and_never_once_its_camera_is_closed(rig: RigRenderer) -> None:
    camera, frame = rig.open(*SIZE, "auto"), street(0, *SIZE)
    go_on, images = threading.Event(), queue.SimpleQueue[np.ndarray]()
    captured: list[int] = []

    def capture(number: int) -> Frame:
        captured.append(number)
        go_on.wait(timeout=60.0)
        return frame

    wait_until(camera.is_idle)  # its model is loaded
    first = camera.capture(0, frame.camera, lambda: capture(0), images.put)
    wait_until(camera.is_ready)
    assert not camera.is_idle()
    assert not first.done()
    second = camera.capture(1, frame.camera, lambda: capture(1), images.put)
    assert not camera.is_ready()
    camera.close()
    third = camera.capture(2, frame.camera, lambda: capture(2), images.put)
    assert wait([second, third], timeout=10.0).done == {second, third}
    assert second.cancelled()
    assert third.cancelled()
    go_on.set()
    assert first.result(timeout=60.0) is frame
    wait_until(lambda: camera.job is None)
    assert images.empty()
    assert captured == [0]


def test_a_camera_whose_model_is_loading_is_not_idle(rig: RigRenderer) -> None:
    loading: Future[NeuralRenderer] = Future()
    camera = RigCamera(rig, 1, loading, "auto")
    assert camera.is_ready()
    assert not camera.is_idle()
    loading.set_exception(ValueError("no such model"))
    assert not camera.is_idle()


def test_a_rig_that_is_closed_waits_for_nothing_and_can_be_closed_again() -> None:
    rig = RigRenderer(threads=1)
    camera, frame = rig.open(*SIZE, "auto"), street(0, *SIZE)
    go_on = threading.Event()

    def capture() -> Frame:
        go_on.wait(timeout=60.0)
        return frame

    def ignore(image: np.ndarray) -> None:
        pass

    wait_until(camera.is_idle)
    first = camera.capture(0, frame.camera, capture, ignore)
    wait_until(camera.is_ready)
    second = camera.capture(1, frame.camera, capture, ignore)
    rig.close()
    rig.close()
    camera.close()
    go_on.set()
    assert wait([first, second], timeout=60.0).done == {first, second}
    assert second.cancelled()


def test_nothing_is_delivered_of_a_frame_that_cannot_be_captured(
    rig: RigRenderer, capsys: pytest.CaptureFixture[str]
) -> None:
    camera, frame = rig.open(*SIZE, "auto"), street(0, *SIZE)
    images = queue.SimpleQueue[np.ndarray]()

    def capture() -> Frame:
        raise ValueError("no such view")

    future = camera.capture(frame.sim_frame, frame.camera, capture, images.put)
    with pytest.raises(ValueError, match="no such view"):
        future.result(timeout=60.0)
    camera.submit(street(1, *SIZE), images.put)
    assert images.get(timeout=60.0).shape == (*SIZE[::-1], 3)
    assert images.empty()
    assert "no image of 256x128 generated: no such view" in capsys.readouterr().err
    camera.close()
