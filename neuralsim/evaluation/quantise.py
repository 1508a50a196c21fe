"""``neuralsim quantise``: measure a model's activations on town frames, so that it can be painted in int8."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import onnx

from bridge.messages import Frame
from neuralsim import runtimes, zoo
from neuralsim.base.failure import fail
from neuralsim.base.progress import reporting
from neuralsim.evaluation.options import QuantiseOptions
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.runtimes import RuntimeUnavailable, int8
from neuralsim.runtimes.activation_ranges import keep
from neuralsim.town.town_drive import TownDrive

LENGTH = 6  # frames of one stretch: the first has no past, the others have one
LEAST = 32.0  # dB beside fp32, of the worst frame
_SIZE = (512, 256)
_RIDE = 40  # ticks from one stretch to the next
_REFERENCE = "onnxruntime:fp32"
Stretch = list[dict[str, np.ndarray]]


def run(options: QuantiseOptions) -> int:
    """Measure on frames of a recording or of the town, compare on as many with fp32, and keep the ranges where that is
    close enough; returns the exit code."""
    model, recording = options.model, options.recording
    try:
        with reporting() as report:
            graph = zoo.load(model).file
            count = -(-options.frames // LENGTH)
            stretches = []
            for stretch in _stretches(model, recording, 2 * count):
                stretches.append(stretch)
                report("frames", 0.5 * len(stretches) / (2 * count))
            report("measuring", 0.5)
            source = recording.name if recording else "the embedded town"
            ranges = int8.calibrate(graph, stretches[::2], source)
            report("comparing", 0.75)
            with tempfile.TemporaryDirectory(prefix="neuralsim-int8-") as folder:
                rounded = Path(folder) / "int8.onnx"
                onnx.save(int8.quantise(onnx.load(str(graph)), ranges.range), str(rounded))
                worst, usual = compare(graph, rounded, stretches[1::2])
            text = f"{len(ranges.range)} activations measured on {ranges.frames} frames of {source}"
            text += f"; beside fp32 {usual:.1f} dB, at worst {worst:.1f}"
            if worst < LEAST:
                raise ValueError(f"{text}: less than {LEAST:.0f}, so that {model} stays without int8")
            place = keep(graph, ranges, options.out)
    except (zoo.ModelError, RuntimeUnavailable, RecordingError, ValueError, OSError) as error:
        return fail(error)
    print(f"{place}: {text}")
    return 0


def compare(graph: Path, rounded: Path, stretches: list[Stretch]) -> tuple[float, float]:
    """PSNR, dB, of another form of ``graph`` beside it, each step from its state: of the worst and the median frame."""
    height, width = stretches[0][0]["tag"].shape
    exact, other = (runtimes.create(_REFERENCE, file, height, width) for file in (graph, rounded))
    found = []
    for stretch in stretches:
        exact.reset()
        for feeds in stretch:
            other.restore(exact.state())
            apart = exact.step(feeds).astype(np.float32) - other.step(feeds)
            found.append(10.0 * np.log10(255.0**2 / max(float(np.square(apart).mean()), 1e-9)))
    return min(found), float(np.median(found))


def _stretches(model: str, recording: Path | None, count: int) -> Iterator[Stretch]:
    """So many stretches of consecutive frames as the model's inputs, in all of its styles."""
    renderer = NeuralRenderer(model, _REFERENCE)
    styles = list(renderer.card.styles)
    drive = _recorded(recording, count) if recording else _town(count)
    for number, frames in enumerate(drive):
        renderer.set_style(styles[number // 2 % len(styles)])  # neighbours are for measuring and for comparing
        renderer.reset()
        yield [{name: plane.copy() for name, plane in renderer.feeds(frame).items()} for frame in frames]


def _town(count: int) -> Iterator[Iterable[Frame]]:
    town = TownDrive(*_SIZE)
    for _ in range(count):
        town.ride()
        yield islice(iter(town.next, None), LENGTH)
        town.skip(_RIDE)


def _recorded(path: Path, count: int) -> Iterator[Iterable[Frame]]:
    """Evenly over the whole recording. Raises RecordingError where it is too short."""
    with RecordingReader(path) as reader:
        if len(reader) < 2 * LENGTH:
            raise RecordingError(f"{path} holds {len(reader)} frames, {2 * LENGTH} are needed at least")
        count = min(count, len(reader) // LENGTH // 2 * 2)
        for first in np.linspace(0, len(reader) - LENGTH, count).astype(int):
            yield (frame_of(reader.read(int(first) + k)) for k in range(LENGTH))
