"""Your own simulator in a hundred lines: a ray caster whose frames NeuralSim renders and drives in.

python examples/own_engine.py & neuralsim drive --connect tcp://127.0.0.1:5600   # to record every frame: --lockstep
The frames are described in docs/guide/link.md; it needs no more than `pip install neuralsim`.
"""

import sys
import time
from math import cos, sin, tan

import numpy as np

from bridge.link.transport import ControlReceiver, FramePublisher, control_endpoint
from bridge.messages import Camera, Control, Ego, Frame, MovingObject
from bridge.tags import Tag

WIDTH, HEIGHT, FOV, FPS, FAR = 256, 128, 70.0, 20.0, 1000.0
#: Boxes: tag, centre (m), half sizes (m), speed along x (m/s). Houses and cars on a straight road; one car moves.
HOUSES = [(Tag.BUILDING, 18.0 * k, side * 15.0, 4.0 + k % 3, 8.0, 5.0, 4.0 + k % 3, 0.0)
          for k in range(-2, 30) for side in (-1, 1)]  # fmt: skip
CARS = [(Tag.CAR, 15.0 + 31.0 * k, 5.1, 0.75, 2.2, 0.9, 0.75, 0.0) for k in range(16)]
BOXES = np.array([*HOUSES, *CARS, (Tag.CAR, 25.0, 1.75, 0.75, 2.2, 0.9, 0.75, 6.0)])


class Engine:
    """A car on a street of boxes. Axes: x forward, y right, z up, metres, left-handed as UE's."""

    def __init__(self) -> None:
        self.boxes, self.place, self.yaw, self.speed, self.tick = BOXES.copy(), np.array([0.0, 1.75]), 0.0, 0.0, 0
        self.control, self.before = Control(0), np.eye(4)
        camera = Camera(WIDTH, HEIGHT, FOV, np.eye(4))
        right, down = np.meshgrid(np.arange(WIDTH) + 0.5 - WIDTH / 2, np.arange(HEIGHT) + 0.5 - HEIGHT / 2)
        self.focal = camera.focal
        self.rays = np.stack([np.ones_like(right), right / self.focal, -down / self.focal], 2)  # per pixel, camera axes

    def step(self) -> None:
        """Advance by 1 / FPS seconds, the car according to its control."""
        c = self.control
        if c.autopilot:  # along the middle of the lane at 8 m/s
            c = Control(0, throttle=float(self.speed < 8.0), steer=-0.06 * (self.place[1] - 1.75) - 1.5 * self.yaw)
        acceleration = (-2.0 if c.reverse else 3.5) * c.throttle - 0.05 * self.speed
        braking = 8.0 * max(c.brake, float(c.hand_brake)) / FPS
        self.speed += acceleration / FPS
        self.speed -= float(np.clip(self.speed, -braking, braking))
        self.yaw += self.speed * tan(0.6 * c.steer) / 2.7 / FPS
        self.place += self.speed / FPS * np.array([cos(self.yaw), sin(self.yaw)])
        self.boxes[:, 1] += self.boxes[:, 7] / FPS
        self.tick += 1

    def frame(self) -> Frame:
        """Render what the camera in the car sees."""
        ego = np.eye(4)
        ego[:2, :2] = [[cos(self.yaw), -sin(self.yaw)], [sin(self.yaw), cos(self.yaw)]]
        ego[:2, 3] = self.place
        pose = ego.copy()
        pose[:3, 3] += (0.5 * cos(self.yaw), 0.5 * sin(self.yaw), 1.45)
        eye, rays = pose[:3, 3], self.rays @ pose[:3, :3].T  # of length 1 along the camera's axis: depth 1
        with np.errstate(divide="ignore"):
            ground = np.where(rays[..., 2] < 0.0, -eye[2] / rays[..., 2], np.inf)
        depth, instance = np.minimum(ground, FAR), np.zeros((HEIGHT, WIDTH), np.uint16)
        across = np.abs(eye[1] + np.where(depth < FAR, depth, 0.0) * rays[..., 1])
        tag = np.select([depth >= FAR, across < 7.0, across < 9.0], [Tag.SKY, Tag.ROAD, Tag.SIDEWALK], Tag.TERRAIN)
        shift = np.zeros((HEIGHT, WIDTH))  # m along x that the surface has moved since the previous frame
        for number in np.flatnonzero(np.abs(self.boxes[:, 1] - eye[0]) < 150.0):
            kind, x, y, z, *half, speed = self.boxes[number]
            with np.errstate(divide="ignore", invalid="ignore"):  # slabs (Kay and Kajiya 1986)
                sides = [((x, y, z)[k] + s * half[k] - eye[k]) / rays[..., k] for k in range(3) for s in (-1, 1)]
            near = np.max([np.minimum(*sides[k : k + 2]) for k in (0, 2, 4)], axis=0)
            far = np.min([np.maximum(*sides[k : k + 2]) for k in (0, 2, 4)], axis=0)
            hit = (near < far) & (near > 0.0) & (near < depth)
            depth[hit], tag[hit], instance[hit], shift[hit] = near[hit], kind, number + 1, speed / FPS
        points = eye + depth[..., None] * rays
        points[..., 0] -= shift
        past = self.before if self.tick else pose
        ahead, right, up = np.moveaxis((points - past[:3, 3]) @ past[:3, :3], 2, 0)  # in the previous camera
        motion = np.stack([right / ahead - self.rays[..., 1], self.rays[..., 2] - up / ahead], 2) * self.focal
        self.before = pose
        planes = {"tag": tag.astype(np.uint8), "instance": instance, "depth": depth.astype(np.float32),
                  "motion": np.clip(motion, -6e4, 6e4).astype(np.float16)}  # fmt: skip
        moving = MovingObject(len(self.boxes), Tag.CAR, np.eye(4), (2.2, 0.9, 0.75))
        moving.pose[:3, 3] = self.boxes[-1, 1:4]
        c = self.control
        state = Ego(self.speed, c.steer, c.throttle, c.brake, gear=-1 if c.reverse else 1, pose=ego)
        return Frame(self.tick, self.tick, self.tick / FPS, Camera(WIDTH, HEIGHT, FOV, pose), planes, state,
                     control_seq=c.sequence, objects=[moving])  # fmt: skip


def main(endpoint: str, lockstep: bool = False) -> None:
    """Publish frames and apply controls; in ``lockstep`` at the renderer's pace, until the driver leaves."""
    engine = Engine()
    publisher = FramePublisher(endpoint, lockstep=lockstep, timeout=120.0)  # s to wait for a receiver
    with publisher as frames, ControlReceiver(control_endpoint(endpoint)) as controls:

        def is_over() -> bool:
            engine.control = controls.newest() or engine.control
            return engine.control.quit or (lockstep and engine.control.leaving)

        while not is_over():
            frames.wait(is_over)
            start = time.monotonic_ns()  # after reading controls: the clocks of two machines are compared by it
            frame = engine.frame()
            frame.stamps |= {"capture": start, "simulated": time.monotonic_ns()}
            frames.send(frame)
            engine.step()
            if not lockstep:
                time.sleep(max(1.0 / FPS - (time.monotonic_ns() - start) / 1e9, 0.0))


if __name__ == "__main__":
    main(next((word for word in sys.argv[1:] if "://" in word), "tcp://127.0.0.1:5600"), "--lockstep" in sys.argv)
