"""The specification of a data set, and its plan: which drives, each of them a scenario file.

    title: Rainy evenings
    drives: 24
    seed: 1
    towns: [oldtown, suburb]
    weathers: [ClearNoon, WetSunset]
    vehicles: [10, 40]              # a range; a number for all
    splits: {train: 0.8, val: 0.2}
    formats: [frames, nuscenes]

Equal specifications give equal plans.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import yaml
from pydantic import Field, field_validator, model_validator

from bridge.process import presets, settings
from bridge.process.presets import Preset
from scenarios.language.conditions import Model
from scenarios.language.schema import CameraSpec, ExtraCameraSpec

Format = Literal[
    "frames", "coco", "kitti", "yolo", "kitti-odometry", "nuscenes", "nuimages", "lerobot", "rosbag2", "rerun"
]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Range = tuple[float, float]
MERGED = ("nuscenes", "nuimages", "lerobot")  # formats with one data set per split


class DatasetSpec(Model):
    """A data set: ranges from which each drive is drawn. A range is ``[least, most]``, or one number."""

    title: str = Field(min_length=1, max_length=80, pattern=r"^[^\n]+$")
    drives: Annotated[int, Field(ge=1, le=100_000)]
    """Number of drives."""
    seed: int = Field(0, ge=0, le=2**31)
    """Seed of the plan."""
    towns: list[str] = Field(default=["oldtown"], min_length=1)
    """Names of towns, or .xodr files next to the specification."""
    town_seeds: Range = (0, 3)
    """Seeds of the towns; each combination is built once."""
    weathers: list[Preset] = Field(default=["ClearNoon"], min_length=1)
    """CARLA's presets."""
    sun_altitude: Range | None = None
    """Degrees: the time of day (default: the preset's)."""
    vehicles: Range = (10, 40)
    """Moving vehicles."""
    walkers: Range = (5, 25)
    """Pedestrians."""
    speed: Range = (6.0, 12.0)
    """The ego's desired speed, m/s."""
    points: Range = (0, 15)
    """Spawn points of the ego."""
    duration: Annotated[float, Field(gt=0.0, le=3600.0)] = 10.0
    """Seconds of each drive."""
    fps: Annotated[float, Field(ge=5.0, le=120.0)] = 10.0
    """Frames per simulated second."""
    camera: CameraSpec = Field(default_factory=lambda: CameraSpec())
    """The first camera."""
    cameras: list[ExtraCameraSpec] = Field(default_factory=list, max_length=7)
    """Further cameras."""
    planes: list[Literal["tag", "instance", "depth", "motion", "rgb", "neural"]] = Field(
        default=["tag", "instance", "depth", "motion", "rgb", "neural"]
    )
    """What is recorded."""
    splits: dict[Annotated[str, Field(pattern=r"^[a-z]{1,20}$")], Share] = Field(default={"train": 0.8, "val": 0.2})
    """Shares of the drives; no town with one seed is in two splits where there are enough of them."""
    formats: list[Format] = Field(default=["frames"])
    """Exports of each drive; nuscenes, nuimages and lerobot of each split."""

    @field_validator("town_seeds", "sun_altitude", "vehicles", "walkers", "speed", "points", mode="before")
    @classmethod
    def _range(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value), float(value)
        if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(end, int | float) for end in value):
            if value[0] > value[1]:
                raise ValueError("must be [least, most]")
            return float(value[0]), float(value[1])
        return value

    @field_validator("towns")
    @classmethod
    def _known(cls, towns: list[str]) -> list[str]:
        return [presets.town(town) for town in towns]

    @model_validator(mode="after")
    def _sums(self) -> DatasetSpec:
        if abs(sum(self.splits.values()) - 1.0) > 1e-6:
            raise ValueError("splits: the shares must add up to 1")
        return self


class Drive(NamedTuple):
    """A planned drive: its name, its split, and its scenario as YAML."""

    name: str
    split: str
    scenario: str


def load_spec(path: Path) -> DatasetSpec:
    """Load a specification. Raises ``SettingsError``, one line."""
    return settings.load(path, DatasetSpec)


def plan(spec: DatasetSpec, folder: Path) -> list[Drive]:
    """Return all drives of ``spec``; ``folder`` is where its maps are."""
    rng = np.random.default_rng([spec.seed, 11])
    low, high = (round(end) for end in spec.town_seeds)
    places = [(town, seed) for town in spec.towns for seed in range(low, high + 1)]
    rng.shuffle(places)
    splits = _splits(spec, len(places))
    drives: list[Drive] = []
    for number in range(spec.drives):
        drawn = np.random.default_rng([spec.seed, 12, number])  # so that a longer plan begins with the same drives
        split = _split_of(spec, number)
        town, seed = places[splits[split][int(drawn.integers(len(splits[split])))]]
        name = f"{split}-{number:05d}"
        drives.append(Drive(name, split, _scenario(spec, name, town, int(seed), drawn, folder)))
    return drives


def _splits(spec: DatasetSpec, places: int) -> dict[str, list[int]]:
    """Return the places of each split: its own, or all of them where there are fewer places than splits."""
    if places < len(spec.splits):
        return {name: list(range(places)) for name in spec.splits}
    rest, shares = places - len(spec.splits), list(spec.splits.values())
    counts = [1 + int(rest * share) for share in shares]
    counts[int(np.argmax(shares))] += places - sum(counts)
    ends = np.cumsum(counts)
    return {
        name: list(range(end - count, end)) for name, end, count in zip(spec.splits, ends.tolist(), counts, strict=True)
    }


def _split_of(spec: DatasetSpec, number: int) -> str:
    """Return the split of a drive: that which is furthest behind its share of the drives up to this one."""
    counts = dict.fromkeys(spec.splits, 0)
    for k in range(number + 1):
        chosen = max(spec.splits, key=lambda name: spec.splits[name] * (k + 1) - counts[name])
        counts[chosen] += 1
    return chosen


def _scenario(spec: DatasetSpec, name: str, town: str, seed: int, drawn: np.random.Generator, folder: Path) -> str:
    def whole(ends: Range) -> int:
        return int(drawn.integers(round(ends[0]), round(ends[1]) + 1))

    speed = round(float(drawn.uniform(*spec.speed)), 2)
    weather: dict[str, Any] = {"preset": str(drawn.choice(spec.weathers))}
    if spec.sun_altitude is not None:
        weather["sun_altitude_angle"] = round(float(drawn.uniform(*spec.sun_altitude)), 1)
    content = {
        "title": f"{spec.title}: {name}"[:80],
        "town": str((folder / town).resolve()) if town.lower().endswith(".xodr") else town,
        "seed": seed,
        "weather": weather,
        "duration": spec.duration,
        "fps": spec.fps,
        "traffic": {"vehicles": whole(spec.vehicles), "walkers": whole(spec.walkers)},
        "camera": _plain(spec.camera),
        "cameras": [_plain(camera) for camera in spec.cameras],
        "ego": {
            "spawn": {"point": whole(spec.points), "speed": min(speed, 6.0)},
            "do": [{"follow_lane": {"speed": speed, "turn": "any"}}],
        },
        "assert": [],
    }
    return str(yaml.safe_dump(content, sort_keys=False))


def _plain(camera: CameraSpec) -> dict[str, Any]:
    return {**camera.model_dump(exclude_defaults=True, exclude={"size"}), "size": str(camera.size)}
