"""Frames for the tests of the link."""

from __future__ import annotations

import time

import numpy as np

from bridge.link.transport import FramePublisher, FrameSubscriber
from bridge.messages import Camera, Ego, Frame, Lamp, MovingObject

W, H = 64, 32
LOOPBACK = "tcp://127.0.0.1:0"


def make_frame(sequence: int = 0, width: int = W, height: int = H, motion: float = 1.0) -> Frame:
    shape = height, width
    planes = {
        "tag": np.full(shape, 1, np.uint8),
        "instance": np.zeros(shape, np.uint16),
        "depth": np.full(shape, 10.0, np.float32),
        "motion": np.full((*shape, 2), (motion, 0.0), np.float16),
    }
    return Frame(sequence, sequence + 100, sequence / 30, Camera(width, height, 70.0, np.eye(4)), planes)


def full_frame() -> Frame:
    frame = make_frame(7, 512, 256)
    frame.planes["rgb"] = np.random.default_rng(0).integers(0, 255, (256, 512, 3), np.uint8)
    frame.objects = [MovingObject(i, 14, np.eye(4) * i, (2.0, 1.0, 0.7)) for i in range(64)]
    frame.lamps = [Lamp("traffic_light", "red", (1.0, 2.0, 3.0, 4.0), 20.0)] * 8
    frame.ego = Ego(speed=-1.5, gear=-1, road_id=3, lane_id=-1, autopilot=True, pose=np.diag([1.0, 2.0, 3.0, 1.0]))
    frame.weather, frame.weather_name = {"cloudiness": 10.0, "wetness": 0.0}, "ClearNoon"
    frame.stamps = {"capture": 1, "simulated": 2}
    return frame


def wait_until(condition, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.005)


def send_until_received(publisher: FramePublisher, subscriber: FrameSubscriber) -> int:
    """Send frames until one arrives; return its sequence number. The queues are empty then."""
    for sequence in range(200):
        publisher.send(make_frame(sequence))
        frame = subscriber.recv(0.05)
        if frame is not None and frame.sequence == sequence:
            return sequence
    raise AssertionError("no frame arrived")
