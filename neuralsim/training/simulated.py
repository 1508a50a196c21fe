"""Neighbouring simulator frames as training pairs: exact motion, no real picture.

The embedded town's cars carry a camera each for a while; what it sees at two neighbouring ticks becomes a pair, with
the very planes that the shipped graph computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bridge.town.actors import Transform
from bridge.town.raster import Planes
from bridge.town.world import World
from neuralsim.models.classes import CARLA_TO_CHANNEL
from neuralsim.models.surface import Surface
from neuralsim.models.temporal import TemporalGenerator


@dataclass
class Pair:
    """Two neighbouring frames: label i64 (2, H, W), extra planes f32 (2, 5, H, W); from the second to the first: motion
    f32 (H, W, 2) px and visibility f32 (1, H, W)."""

    label: Tensor
    extra: Tensor
    motion: Tensor
    visible: Tensor


def pairs(folder: Path, seed: int) -> Iterator[Pair]:
    """Endless pairs from the ``.npz`` files in ``folder``, at random. Raises FileNotFoundError when there are none."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise FileNotFoundError(f"no .npz pairs in {folder}")
    rng = np.random.default_rng(seed)
    while True:
        with np.load(files[rng.integers(len(files))]) as stored:
            yield Pair(
                label=torch.from_numpy(stored["label"].astype(np.int64)),
                extra=torch.from_numpy(stored["extra"].astype(np.float32)),
                motion=torch.from_numpy(stored["motion"].astype(np.float32)),
                visible=torch.from_numpy(stored["visible"].astype(np.float32))[None],
            )


def make_pairs(
    folder: Path,
    surface: Surface,
    styles: dict[str, np.ndarray],
    count: int,
    width: int = 512,
    height: int = 256,
    seed: int = 0,
) -> None:
    """Drive ``count`` pairs out of the town into ``folder``: another car every eight, half a second between two."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    world = World(seed=seed, vehicles=40, walkers=30)
    for _ in range(60):
        world.tick(1 / 30)
    camera = 0
    for number in range(count):
        if number % 8 == 0:
            if camera:
                world.destroy(camera)
            drivers = [a for a in world.actors.values() if a.blueprint.id.startswith("vehicle.")]
            fov = float(rng.choice([60.0, 70.0, 80.0, 90.0]))
            attributes = {"image_size_x": str(width), "image_size_y": str(height), "fov": str(fov)}
            place = Transform(
                x=rng.uniform(0.2, 1.0), z=rng.uniform(1.25, 1.7), yaw=rng.choice([0.0, 0.0, 12.0, -12.0])
            )
            chosen = drivers[rng.integers(len(drivers))].id
            camera = world.spawn("sensor.camera.instance_segmentation", attributes, place, chosen).id
            style = torch.from_numpy(styles[rng.choice(list(styles))])
        for _ in range(int(rng.integers(8, 20))):
            world.tick(1 / 30)
        frames = []
        for _ in range(2):
            world.tick(1 / 30)
            frames.append(_frame(world.capture(camera), _camera(world, camera, width, height, fov), surface, style))
        motion = frames[1][3]
        visible = _visible(frames[0], frames[1])
        np.savez_compressed(
            folder / f"{seed:03d}_{number:05d}.npz",
            label=np.stack([frame[0] for frame in frames]),
            extra=np.stack([frame[1] for frame in frames]).astype(np.float16),
            motion=motion.astype(np.float16),
            visible=visible,
        )


def _camera(world: World, camera: int, width: int, height: int, fov: float) -> Tensor:
    focal = width / (2.0 * np.tan(np.radians(fov) / 2.0))
    pose = world.actors[camera].transform.matrix()
    values = [*pose.ravel(), focal, focal, width / 2.0, height / 2.0]
    return torch.tensor(values, dtype=torch.float32)


def _frame(planes: Planes, camera: Tensor, surface: Surface, style: Tensor) -> tuple[np.ndarray, ...]:
    """Label, extra planes, instance and motion of one frame."""
    tag, instance = planes.tag.copy(), planes.instance.copy()
    with torch.no_grad():
        _, extra = surface(
            torch.from_numpy(tag)[None],
            torch.from_numpy(instance.astype(np.int32))[None],
            torch.from_numpy(planes.depth.copy())[None],
            camera,
            style,
        )
    return CARLA_TO_CHANNEL[tag], extra[0].numpy(), instance, planes.motion.copy()


def _visible(before: tuple[np.ndarray, ...], after: tuple[np.ndarray, ...]) -> np.ndarray:
    """bool (H, W): this pixel's surface was in the frame before, and is the same object there."""
    with torch.no_grad():
        grid = TemporalGenerator.sampling_grid(torch.from_numpy(after[3].astype(np.float32))[None])
        past = torch.from_numpy(np.stack([before[0], before[2]]).astype(np.float32))[None]
        warped = torch.nn.functional.grid_sample(past, grid, mode="nearest", align_corners=False)[0].numpy()
    inside = (grid.abs() < 1.0).all(-1)[0].numpy()
    same: np.ndarray = inside & (warped[0] == after[0]) & (warped[1] == after[2])
    return same
