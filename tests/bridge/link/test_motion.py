"""Backward motion, composed over skipped frames and reprojected by depth."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.link.motion import SCENERY_BIT, Movers, PoseMotion, compose, from_flow, reproject
from bridge.messages import Camera, Frame
from bridge.tags import Tag


class TestMotion:
    """A road plane and a wall that slides by itself, seen by a camera that drives and turns: all motion is known."""

    width, height = 256, 128

    def scene(self, time: float) -> Frame:
        yaw = 0.06 * time
        pose = np.eye(4)
        pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
        pose[:3, 3] = 0.8 * time, 0.05 * time, 1.5
        camera = Camera(self.width, self.height, 70.0, pose)
        j, i = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        right, up = (j - self.width / 2) / camera.focal, (self.height / 2 - i) / camera.focal
        rays = np.stack([np.ones_like(right), right, up], -1) @ pose[:3, :3].T
        with np.errstate(divide="ignore", invalid="ignore"):
            road = np.where(rays[..., 2] < -1e-3, -1.5 / rays[..., 2], np.inf)
            wall = np.where(rays[..., 0] > 0, (20.0 - pose[0, 3]) / rays[..., 0], np.inf)
        at_wall = pose[:3, 3] + wall[..., None] * rays
        shift = 0.4 * time
        wall[(np.abs(at_wall[..., 1] - shift) > 2.0) | (at_wall[..., 2] > 3.0) | (at_wall[..., 2] < 0.0)] = np.inf
        depth = np.minimum(road, wall)
        sky = ~np.isfinite(depth)
        depth[sky] = 1000.0
        tag = np.where(sky, 11, np.where(wall <= road, 14, 1)).astype(np.uint8)
        planes = {
            "tag": tag,
            "instance": np.where(tag == 14, 7, 0).astype(np.uint16),
            "depth": depth.astype(np.float32),
        }
        return Frame(0, 0, time, camera, planes)

    def true_motion(self, new: Frame, old: Frame) -> np.ndarray:
        camera, depth, tag = new.camera, new.planes["depth"].astype(float), new.planes["tag"]
        j, i = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        right, up = (j - self.width / 2) / camera.focal, (self.height / 2 - i) / camera.focal
        rays = np.stack([np.ones_like(right), right, up], -1) @ camera.pose[:3, :3].T
        points = rays * depth[..., None] + camera.pose[:3, 3]
        points[tag == 14, 1] -= 0.4 * (new.sim_time - old.sim_time)
        points[tag == 11] = rays[tag == 11] * 1e9 + old.camera.pose[:3, 3]
        local = (points - old.camera.pose[:3, 3]) @ old.camera.pose[:3, :3]
        u = self.width / 2 + camera.focal * local[..., 1] / local[..., 0]
        v = self.height / 2 - camera.focal * local[..., 2] / local[..., 0]
        return np.stack([u - j, v - i], -1)

    def frames(self) -> list[Frame]:
        frames = [self.scene(k / 3) for k in range(4)]
        for new, old in zip(frames[1:], frames, strict=False):
            new.planes["motion"] = self.true_motion(new, old).astype(np.float16)
        return frames

    def test_composed_motion_refers_to_the_frame_delivered_before(self):
        first, *skipped, newest = self.frames()
        got = compose(newest, skipped, first.camera).astype(float)
        true = self.true_motion(newest, first)
        j, i = np.meshgrid(np.arange(self.width), np.arange(self.height))
        seen = (np.abs(true[..., 0] + j - self.width / 2) < self.width / 2) & (np.abs(true[..., 1] + i - 64) < 64)
        error = np.abs(got - true).max(-1)
        unit = np.spacing(np.abs(true).max(-1).astype(np.float16)).astype(float)
        for name in (1, 11, 14):
            of = seen & (newest.planes["tag"] == name)
            assert of.sum() > 300
            # Two roundings to f16 and a bilinear reading; at the wall's edge hidden road comes into view.
            assert (error[of] < np.maximum(0.05, 2 * unit[of])).mean() > 0.99, name

    def test_the_newest_field_alone_would_be_wrong(self):
        first, *_, newest = self.frames()
        error = np.abs(newest.planes["motion"].astype(float) - self.true_motion(newest, first)).max(-1)
        assert np.median(error) > 1.0

    def test_reprojection_is_right_for_static_surfaces(self):
        first, *_, newest = self.frames()
        got, true = reproject(newest.planes["depth"], newest.camera, first.camera.pose), self.true_motion(newest, first)
        still = newest.planes["tag"] != 14
        assert np.abs(got.astype(float) - true)[still & (np.abs(true).max(-1) < 100)].max() < 0.05

    def test_carlas_flow_becomes_backward_motion(self):
        *_, old, new = self.frames()
        true = self.true_motion(new, old)
        flow = (-true * (2.0 / self.width, -2.0 / self.height)).astype(np.float32)
        flow[new.planes["tag"] == 11] = 0.0  # as a server that gives the sky none
        out = np.empty((self.height, self.width, 2), np.float16)
        from_flow(flow, new.planes["depth"], new.camera, old.camera.pose, out)
        unit = np.spacing(np.abs(true).astype(np.float16)).astype(float)
        assert (np.abs(out.astype(float) - true) <= np.maximum(0.51 * unit, 1e-3)).all()


class TestPoses:
    """A wall of one colour, seen by a camera that drives; part of it belongs to a car."""

    camera = Camera(64, 32, 90.0, np.eye(4))  # focal length 32 px
    before = np.eye(4)  # the camera was 0.5 m behind

    def planes(self) -> dict[str, np.ndarray]:
        planes = {
            "tag": np.full((32, 64), Tag.BUILDING, np.uint8),
            "instance": np.full((32, 64), 20000, np.uint16),
            "depth": np.full((32, 64), 10.0, np.float32),
        }
        planes["tag"][12:20, 24:40], planes["instance"][12:20, 24:40] = Tag.CAR, 7
        return planes

    def motion(self, planes: dict[str, np.ndarray], wheel: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)) -> np.ndarray:
        """Return the motion if the car has moved by (0.2, 0, 0) m: it looks the same way as the camera."""
        old = self.before.copy()
        old[0, 3] = -0.5
        pose, previous = np.eye(4), np.eye(4)
        pose[0, 3], previous[0, 3] = 10.0, 9.8
        wheels = np.zeros((1, 4, 4))
        wheels[0, 0] = wheel
        car = Movers(np.array([7], np.uint16), pose[None], previous[None], np.array([[2.0, 2.5, 1.25]]), wheels)
        out = np.full((32, 64, 2), 9.0, np.float16)
        PoseMotion()(planes, self.camera, old, car, out)
        return out.astype(float)

    def test_scenery_moves_with_the_camera_and_a_mover_by_itself(self):
        got = self.motion(self.planes())
        right = np.arange(64) + 0.5 - 32.0
        np.testing.assert_allclose(got[2, :, 0], right * (10.0 / 10.5 - 1.0), atol=2e-3)
        np.testing.assert_allclose(got[15, 24:40, 0], right[24:40] * (10.0 / 10.3 - 1.0), atol=2e-3)

    def test_scenery_with_the_instance_of_a_mover_stands_and_gets_another(self):
        planes = self.planes()
        planes["instance"][2, :] = 7  # a building with Unreal's id
        planes["tag"][28, :], planes["instance"][28, :], planes["depth"][28, :] = Tag.CAR, 7, 40.0  # a parked car
        got = self.motion(planes)
        assert (planes["instance"][[2, 28]] == 7 | SCENERY_BIT).all()
        assert (planes["instance"][12:20, 24:40] == 7).all()
        right = np.arange(64) + 0.5 - 32.0
        np.testing.assert_allclose(got[2, :, 0], right * (10.0 / 10.5 - 1.0), atol=2e-3)
        np.testing.assert_allclose(got[28, :, 0], right * (40.0 / 40.5 - 1.0), atol=2e-3)

    def test_wheel_rolls_as_far_as_it_has_come(self):
        got, rigid = self.motion(self.planes(), (0.0, 0.0, 0.0, 0.4)), self.motion(self.planes())
        turned = 0.2 / 0.4
        pixel = 15, 32  # 0.16 m above the axle, in the plane through it
        up = (16.0 - 15.5) / 32.0 * 10.0
        ahead = up * -np.sin(turned)  # it was further back, and lower
        v = 16.0 - 32.0 * up * np.cos(turned) / (10.3 + ahead)
        assert got[pixel][1] == pytest.approx(v - 15.5, abs=2e-3)
        assert abs(got[pixel][1] - rigid[pixel][1]) > 0.04
        assert got[15, 25, 1] == rigid[15, 25, 1]  # not a part of the wheel
