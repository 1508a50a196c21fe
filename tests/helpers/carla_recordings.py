"""Frames of the embedded town, written as CARLA's clients write what its cameras send: the formulas are CARLA's."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bridge.messages import Frame
from bridge.tags import COLOURS, Tag
from neuralsim.town.core.types import Transform
from neuralsim.town.town_drive import TownDrive

#: CARLA 0.9.13's ids by today's tags; those that it had no id for are vehicles or pedestrians.
OLD_IDS = {
    Tag.UNLABELED: 0, Tag.BUILDING: 1, Tag.FENCE: 2, Tag.OTHER: 3, Tag.PEDESTRIAN: 4, Tag.POLE: 5, Tag.ROAD_LINE: 6,
    Tag.ROAD: 7, Tag.SIDEWALK: 8, Tag.VEGETATION: 9, Tag.CAR: 10, Tag.WALL: 11, Tag.TRAFFIC_SIGN: 12, Tag.SKY: 13,
    Tag.GROUND: 14, Tag.BRIDGE: 15, Tag.RAIL_TRACK: 16, Tag.GUARD_RAIL: 17, Tag.TRAFFIC_LIGHT: 18, Tag.STATIC: 19,
    Tag.DYNAMIC: 20, Tag.WATER: 21, Tag.TERRAIN: 22,
}  # fmt: skip
RATE = 20.0  # frames per second


def drive(frames: int, width: int = 256, height: int = 128, weather: dict[str, float] | None = None) -> list[Frame]:
    """Return consecutive frames of a car in a town, with the simulator image."""
    town = TownDrive(width, height, seed=3, vehicles=30, walkers=20, weather=weather)
    town.ride()
    town.skip(30)
    return [town.next_frame("rgb") for _ in range(frames)]


def old_ids(tag: np.ndarray) -> np.ndarray:
    """Return tags u8 (H, W) as ids of 0.9.13."""
    table = np.full(256, OLD_IDS[Tag.CAR], np.uint8)
    table[list(OLD_IDS)] = list(OLD_IDS.values())
    table[[Tag.RIDER]] = OLD_IDS[Tag.PEDESTRIAN]
    return table[tag]


def bgra(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """Return a camera's picture u8 (H, W, 4), as ``save_to_disk`` writes it: opaque."""
    return np.dstack([blue, green, red, np.full_like(red, 255)]).astype(np.uint8)


def raw_tags(tag: np.ndarray) -> np.ndarray:
    """Return tags in the red channel."""
    return bgra(tag, np.zeros_like(tag), np.zeros_like(tag))


def palette(tag: np.ndarray, colours: np.ndarray = COLOURS) -> np.ndarray:
    """Return tags in the colours of ``ColorConverter.CityScapesPalette``."""
    return bgra(*np.moveaxis(colours[tag], -1, 0))


def instances(tag: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """Return the picture of an instance camera."""
    return bgra(tag, (instance & 255).astype(np.uint8), (instance >> 8).astype(np.uint8))


def depth_24bit(depth: np.ndarray) -> np.ndarray:
    """Return the picture of a depth camera."""
    value = np.rint(np.clip(depth.astype(np.float64), 0.0, 1000.0) * (16777215.0 / 1000.0)).astype(np.uint32)
    return bgra((value & 255).astype(np.uint8), (value >> 8 & 255).astype(np.uint8), (value >> 16).astype(np.uint8))


def depth_log(depth: np.ndarray) -> np.ndarray:
    """Return depths by ``ColorConverter.LogarithmicDepth``."""
    grey = 1.0 + np.log(np.maximum(depth.astype(np.float64) / 1000.0, 1e-9)) / 5.70378
    grey = (np.clip(grey, 0.005, 1.0) * 255.0).astype(np.uint8)
    return bgra(grey, grey, grey)


def depth_16bit(depth: np.ndarray, step: float = 0.01) -> np.ndarray:
    """Return depths u16 (H, W) in steps of ``step`` metres."""
    return np.clip(np.rint(depth / step), 0, 65535).astype(np.uint16)


def raw_flow(motion: np.ndarray) -> np.ndarray:
    """Return the flow camera's numbers f32 (H, W, 2) for the motion in pixels back to the frame before."""
    height, width = motion.shape[:2]
    return motion.astype(np.float32) * np.array([-2.0 / width, 2.0 / height], np.float32)


def flow_colours(flow: np.ndarray) -> np.ndarray:
    """Return a flow f32 (H, W, 2) as ``get_color_coded_flow`` paints it, whose alpha is 0."""
    x, y = flow[..., 0], flow[..., 1]
    angle = (180.0 + np.arctan2(y, x) * (360.0 / (2.0 * 3.1415))) % 360.0
    value = np.clip(np.log(np.hypot(x, y) + 0.999) / math.log(0.1 + 0.999), 0.0, 1.0)
    middle = value * (1.0 - np.abs(angle / 60.0 % 2.0 - 1.0))
    zero = np.zeros_like(value)
    case = (angle / 60.0).astype(int)
    red = np.choose(case, [value, middle, zero, zero, middle, value])
    green = np.choose(case, [middle, value, value, middle, zero, zero])
    blue = np.choose(case, [zero, zero, middle, value, value, middle])
    out = (np.dstack([blue, green, red, zero]) * 255.0).astype(np.uint8)
    out[..., 3] = 0
    return out


def transform_of(frame: Frame) -> dict[str, float]:
    """Return the camera's transform as a row of numbers."""
    pose = frame.camera.pose
    pitch = math.degrees(math.asin(np.clip(pose[2, 0], -1.0, 1.0)))
    yaw = math.degrees(math.atan2(pose[1, 0], pose[0, 0]))
    roll = math.degrees(math.atan2(-pose[2, 1], pose[2, 2]))
    place = Transform(*pose[:3, 3].tolist(), pitch, yaw, roll)
    assert np.allclose(place.matrix(), pose, atol=1e-6)
    return {"x": place.x, "y": place.y, "z": place.z, "pitch": pitch, "yaw": yaw, "roll": roll}


def write_poses(file: Path, frames: Sequence[Frame], first: int = 0) -> None:
    """Write the camera's transforms as a CSV or JSON, by the suffix of ``file``."""
    rows: list[dict[str, Any]] = [
        {"frame": first + k, "timestamp": frame.sim_time, **transform_of(frame), "fov": frame.camera.fov}
        for k, frame in enumerate(frames)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".json":
        shaped = [
            {
                "frame": row["frame"],
                "timestamp": row["timestamp"],
                "transform": {
                    "location": {name: row[name] for name in "xyz"},
                    "rotation": {name: row[name] for name in ("pitch", "yaw", "roll")},
                },
            }
            for row in rows
        ]
        file.write_text(json.dumps({"fov": frames[0].camera.fov, "frames": shaped}), encoding="utf-8")
        return
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_recording(
    folder: Path, frames: Sequence[Frame], *, tags: str = "raw", depth: str = "24bit", flow: str = "npy",
    poses: str = "csv", with_instances: bool = True,
) -> None:  # fmt: skip
    """Write ``frames`` as a recording; "" leaves a plane out."""
    for k, frame in enumerate(frames):
        planes, name = frame.planes, f"{1000 + k:08d}"
        pictures: dict[str, np.ndarray] = {"rgb": planes["rgb"][..., ::-1]}
        if tags:
            pictures["semantic"] = {"raw": raw_tags, "palette": palette}[tags](planes["tag"])
        if with_instances:
            pictures["instance"] = instances(planes["tag"], planes["instance"])
        if depth:
            coders = {"24bit": depth_24bit, "log": depth_log, "16bit": depth_16bit}
            pictures["depth"] = coders[depth](planes["depth"])
        flows = raw_flow(planes["motion"])
        if flow == "png":
            pictures["flow"] = flow_colours(flows)
        if flow == "npy":
            (folder / "flow").mkdir(parents=True, exist_ok=True)
            np.save(folder / "flow" / f"{name}.npy", flows)
        for plane, picture in pictures.items():
            (folder / plane).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(folder / plane / f"{name}.png"), picture)
    if poses:
        write_poses(folder / f"poses.{poses}", frames, 1000)
