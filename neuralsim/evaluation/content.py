"""Faithfulness of rendered objects to the simulator image.

For perception trained on rendered frames, the blue car of the labels has to be blue. Colours are compared in CIELAB
(CIE 1976, D65) by object: the distance of the mean chroma (a, b), and the rank correlation of the mean lightness L,
which exposure and light do not change (Spearman 1904). And a traffic light has to show the same colour.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from bridge.messages import Frame
from bridge.tags import Tag
from neuralsim.models.classes import CARLA_TO_CHANNEL, Channel
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.town_drive import TownDrive

TOWNS = ("oldtown", "suburb", "village", "motorway")
LEAST = {Channel.VEHICLE: 400, Channel.PERSON: 150, Channel.CYCLE: 150}  # least size of an object that is compared, px
_EVERY = 8  # frames from one that is compared to the next
_RIDE = 5  # compared frames per car
NEAR = 40.0  # greatest distance of a traffic light that is read, m
_APPROACH = (10.0, 20.0, 30.0, 39.0)  # distances before a traffic light at which it is read too, m
_HEAD = 12  # least visible size of its head, px
_LAMP_LEVEL = 130  # of 255, least value of a lamp's brightest channel
_LAMP_CHROMA = 60  # of 255, least difference to its darkest channel


@dataclass
class Compared:
    """Objects of one class: mean CIELAB in the simulator image and in the rendered one, f64 (3,) each."""

    simulated: list[np.ndarray] = field(default_factory=list)
    generated: list[np.ndarray] = field(default_factory=list)

    def figures(self) -> dict[str, float | int | None]:
        """Return ``objects``; median ``chroma_difference``; ``lightness_rank`` correlation, None for fewer than
        three."""
        if not self.simulated:
            return {"objects": 0, "chroma_difference": None, "lightness_rank": None}
        rendered, simulated = np.array(self.generated), np.array(self.simulated)
        difference = np.linalg.norm(rendered[:, 1:] - simulated[:, 1:], axis=1)
        rank = spearman(rendered[:, 0], simulated[:, 0]) if len(rendered) > 2 else None
        return {"objects": len(rendered), "chroma_difference": float(np.median(difference)), "lightness_rank": rank}


@dataclass
class Signals:
    """Counts of traffic lights: lit ones, and those of the same colour in the rendered image."""

    lit: int = 0
    read: int = 0

    def figures(self) -> dict[str, float | int | None]:
        """Return ``lit``; ``read``, the share that is read correctly, None where none was lit."""
        return {"lit": self.lit, "read": self.read / self.lit if self.lit else None}


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Return the rank correlation of two samples f64 (N,), ties at their mean rank."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return f32 (H, W, 3): CIELAB of u8 RGB, L 0..100."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB))


def signal(pixels: np.ndarray) -> str:
    """Return the colour of a lamp among ``pixels`` u8 (N, 3), RGB: "red", "yellow" or "green"; "" where none is lit.

    The brightest pixel with the purest hue decides. Yellow starts where green is 0.6 of red, which includes amber.
    """
    if not len(pixels):
        return ""
    most, least = pixels.max(1).astype(int), pixels.min(1).astype(int)
    lamp = int(np.argmax(2 * most - least))
    red, green, blue = pixels[lamp].astype(int).tolist()
    if most[lamp] < _LAMP_LEVEL or most[lamp] - least[lamp] < _LAMP_CHROMA:
        return ""
    if green > 1.2 * red:
        return "green"
    return "yellow" if green > 0.6 * red and green > blue else "red" if red > 1.5 * blue else ""


def read_signals(planes: Mapping[str, np.ndarray], generated: np.ndarray, signals: Signals) -> None:
    """Add the traffic lights of one frame, within ``NEAR`` m, that show a colour in the simulator image."""
    lights = (planes["tag"] == Tag.TRAFFIC_LIGHT) & (planes["depth"] < NEAR)
    for number in np.unique(planes["instance"][lights]).tolist():
        head = lights & (planes["instance"] == number)
        shown = signal(planes["rgb"][head])
        if shown and int(head.sum()) >= _HEAD:
            signals.lit += 1
            signals.read += signal(generated[head]) == shown


def render_without_light(renderer: NeuralRenderer, frame: Frame) -> np.ndarray:
    """Return the image of ``frame`` before the light of lamps is drawn: what the generator made of them is judged."""
    generated = renderer.generate(frame)
    generated.inputs.frame = replace(frame, lamps=[])
    return renderer.postprocess(generated)


def compare(planes: Mapping[str, np.ndarray], generated: np.ndarray, objects: Mapping[Channel, Compared]) -> None:
    """Add the objects of one frame: ``planes`` with tag, instance and rgb; ``generated`` u8 (H, W, 3)."""
    channel, instance = CARLA_TO_CHANNEL[planes["tag"]], planes["instance"].astype(np.int64)
    simulated, rendered = lab(planes["rgb"]), lab(generated)
    for kind, into in objects.items():
        inside = (channel == kind) & (instance > 0)
        numbers = instance[inside]
        counts = np.bincount(numbers)
        for number in np.flatnonzero(counts >= LEAST[kind]):
            here = numbers == number
            into.simulated.append(simulated[inside][here].mean(0).astype(np.float64))
            into.generated.append(rendered[inside][here].mean(0).astype(np.float64))


def content(
    model: str,
    runtime: str,
    frames: int,
    seed: int = 0,
    guide: str = "picture",
    towns: tuple[str, ...] = TOWNS,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Any]:
    """Return the figures of ``Compared`` by class and of ``Signals``, over an equal number of frames in each town.

    ``frames``: frames to compare, in all towns together; the same number looks at traffic lights.
    """
    objects, signals = {channel: Compared() for channel in LEAST}, Signals()
    renderer = NeuralRenderer(model, runtime, guide=guide)
    each = max(1, frames // len(towns))
    for place, name in enumerate(towns):
        town = TownDrive(seed=seed, town=name)
        for approach in town.traffic_light_views(_APPROACH, each):
            renderer.reset()
            for frame in approach:
                generated = render_without_light(renderer, frame)
            read_signals(frame.planes, generated, signals)
        compared_here = 0
        for index in range(each * _EVERY):
            if index % (_RIDE * _EVERY) == 0:
                town.ride()
                renderer.reset()
            frame = town.next_frame(colour="rgb")
            generated = render_without_light(renderer, frame)
            if index % _EVERY == _EVERY - 1:
                compare(frame.planes, generated, objects)
                read_signals(frame.planes, generated, signals)
                compared_here += 1
                progress(place * each + compared_here, each * len(towns))
    return {"frames": each * len(towns), "guide": guide, "traffic_lights": signals.figures()} | {
        channel.name.lower(): compared.figures() for channel, compared in objects.items()
    }
