"""Faithfulness of painted objects to the simulator's picture.

For perception trained on painted frames, the blue car of the labels has to be blue. Colours are compared in CIELAB
(CIE 1976, D65) by object: the distance of the mean chroma (a, b), and the rank correlation of the mean lightness L,
which exposure and light leave as it is (Spearman 1904). And a traffic light has to show the same colour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from bridge.tags import Tag
from neuralsim.models.classes import CARLA_TO_CHANNEL, Channel
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.town_drive import TownDrive

TOWNS = ("oldtown", "suburb", "village", "motorway")
LEAST = {Channel.VEHICLE: 400, Channel.PERSON: 150, Channel.CYCLE: 150}  # px of an object that is compared
_EVERY = 8  # frames from one that is compared to the next
_RIDE = 5  # compared frames on one car
NEAR = 40.0  # m, of a traffic light that is read
_APPROACH = (10.0, 20.0, 30.0, 39.0)  # m before a traffic light, where it is read too
_HEAD = 12  # px of its head at least: of what others hide nothing can be read
_LIT, _PURE = 130, 60  # of 255: brightest channel of a lamp, and how far the least one is below


@dataclass
class Compared:
    """Objects of one class: mean CIELAB in the simulator's picture and in what was painted, f64 (3,) each."""

    simulated: list[np.ndarray] = field(default_factory=list)
    painted: list[np.ndarray] = field(default_factory=list)

    def figures(self) -> dict[str, float | int | None]:
        """``objects``; median ``chroma_difference``; ``lightness_rank`` correlation, None for fewer than three."""
        if not self.simulated:
            return {"objects": 0, "chroma_difference": None, "lightness_rank": None}
        ours, theirs = np.array(self.painted), np.array(self.simulated)
        apart = np.linalg.norm(ours[:, 1:] - theirs[:, 1:], axis=1)
        rank = spearman(ours[:, 0], theirs[:, 0]) if len(ours) > 2 else None
        return {"objects": len(ours), "chroma_difference": float(np.median(apart)), "lightness_rank": rank}


@dataclass
class Signals:
    """Traffic lights: how many were lit, and of how many the painted picture shows the same colour."""

    lit: int = 0
    read: int = 0

    def figures(self) -> dict[str, float | int | None]:
        """``lit``; ``read``, the share that is read correctly, None where none was lit."""
        return {"lit": self.lit, "read": self.read / self.lit if self.lit else None}


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation of two samples f64 (N,), ties at their mean rank."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


def lab(rgb: np.ndarray) -> np.ndarray:
    """f32 (H, W, 3): CIELAB of u8 RGB, L 0..100."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB))


def signal(pixels: np.ndarray) -> str:
    """What a lamp among ``pixels`` u8 (N, 3), RGB, shows: "red", "yellow" or "green"; "" where none is lit.

    It is the pixel that is brightest and purest in hue. Yellow is from where green is 0.6 of red, which amber is too.
    """
    if not len(pixels):
        return ""
    most, least = pixels.max(1).astype(int), pixels.min(1).astype(int)
    lamp = int(np.argmax(2 * most - least))
    red, green, blue = pixels[lamp].astype(int).tolist()
    if most[lamp] < _LIT or most[lamp] - least[lamp] < _PURE:
        return ""
    if green > 1.2 * red:
        return "green"
    return "yellow" if green > 0.6 * red and green > blue else "red" if red > 1.5 * blue else ""


def read_signals(planes: Mapping[str, np.ndarray], painted: np.ndarray, found: Signals) -> None:
    """Add the traffic lights of one frame, within ``NEAR`` m, that show a colour in the simulator's picture."""
    lights = (planes["tag"] == Tag.TRAFFIC_LIGHT) & (planes["depth"] < NEAR)
    for number in np.unique(planes["instance"][lights]).tolist():
        head = lights & (planes["instance"] == number)
        shown = signal(planes["rgb"][head])
        if shown and int(head.sum()) >= _HEAD:
            found.lit += 1
            found.read += signal(painted[head]) == shown


def compare(planes: Mapping[str, np.ndarray], painted: np.ndarray, found: Mapping[Channel, Compared]) -> None:
    """Add the objects of one frame: ``planes`` with tag, instance and rgb; ``painted`` u8 (H, W, 3)."""
    channel, instance = CARLA_TO_CHANNEL[planes["tag"]], planes["instance"].astype(np.int64)
    theirs, ours = lab(planes["rgb"]), lab(painted)
    for kind, into in found.items():
        inside = (channel == kind) & (instance > 0)
        numbers = instance[inside]
        counts = np.bincount(numbers)
        for number in np.flatnonzero(counts >= LEAST[kind]):
            here = numbers == number
            into.simulated.append(theirs[inside][here].mean(0).astype(np.float64))
            into.painted.append(ours[inside][here].mean(0).astype(np.float64))


def content(
    model: str,
    runtime: str,
    frames: int,
    seed: int = 0,
    guide: str = "picture",
    towns: tuple[str, ...] = TOWNS,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Any]:
    """Figures of ``Compared`` by class and of ``Signals``, over as many frames in each town.

    Args:
        model: Name of a shipped model or a folder.
        runtime: As for ``neuralsim.runtimes.create``.
        frames: That are compared, in all towns together; and as many that look at traffic lights.
        seed: Of the towns' traffic.
        guide: One of ``neuralsim.guide.GUIDES``.
        towns: Names of maps.
        progress: Called with the frames done and all of them.
    """
    found, signals = {channel: Compared() for channel in LEAST}, Signals()
    renderer = NeuralRenderer(model, runtime, guide=guide)
    each = max(1, frames // len(towns))
    for place, name in enumerate(towns):
        town = TownDrive(seed=seed, town=name)
        for frames_there in town.before_lights(_APPROACH, each):
            renderer.reset()
            for frame in frames_there:
                painted = renderer.render(frame)
            read_signals(frame.planes, painted, signals)
        seen = 0
        for index in range(each * _EVERY):
            if index % (_RIDE * _EVERY) == 0:
                town.ride()
                renderer.reset()
            frame = town.next(picture="rgb")
            painted = renderer.render(frame)
            if index % _EVERY == _EVERY - 1:
                compare(frame.planes, painted, found)
                read_signals(frame.planes, painted, signals)
                seen += 1
                progress(place * each + seen, each * len(towns))
    return {"frames": each * len(towns), "guide": guide, "traffic_lights": signals.figures()} | {
        channel.name.lower(): compared.figures() for channel, compared in found.items()
    }
