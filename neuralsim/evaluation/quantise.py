"""``neuralsim model quantise``: measure a model's activations on town frames, so that it can run in int8."""

import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import onnx

from bridge.messages import Frame
from neuralsim import runtimes, zoo
from neuralsim.base.failure import fail
from neuralsim.base.progress import progress_reporter
from neuralsim.evaluation.options import QuantiseOptions
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.runtimes import RuntimeUnavailable, int8
from neuralsim.runtimes.activation_ranges import save_ranges
from neuralsim.town.town_drive import TownDrive

LENGTH = 6  # frames of one stretch; the first has no past
LEAST = 32.0  # least PSNR against fp32, of the worst frame, dB
_SIZE = (512, 256)
_RIDE = 40  # ticks between stretches
_REFERENCE = "onnxruntime:fp32"
Stretch = list[dict[str, np.ndarray]]


def run(options: QuantiseOptions) -> int:
    """Measure on frames of a recording or of the town, compare with fp32 on the same number of frames, and save the
    ranges if that is close enough; return the exit code."""
    model, recording = options.model, options.recording
    try:
        with progress_reporter() as report:
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
            text += f"; PSNR against fp32 {usual:.1f} dB, at worst {worst:.1f}"
            if worst < LEAST:
                raise ValueError(f"{text}: less than {LEAST:.0f}, so {model} stays without int8")
            place = save_ranges(graph, ranges, options.out)
    except (zoo.ModelError, RuntimeUnavailable, RecordingError, ValueError, OSError) as error:
        return fail(error)
    print(f"{place}: {text}")
    return 0


def compare(graph: Path, rounded: Path, stretches: list[Stretch]) -> tuple[float, float]:
    """Return the PSNR, dB, of the worst and the median frame of another form of ``graph`` against it, each step from
    the state of ``graph``."""
    height, width = stretches[0][0]["tag"].shape
    exact, other = (runtimes.create(_REFERENCE, file, height, width) for file in (graph, rounded))
    ratios = []
    for stretch in stretches:
        exact.reset()
        for feeds in stretch:
            other.restore(exact.state())
            difference = exact.step(feeds).astype(np.float32) - other.step(feeds)
            ratios.append(10.0 * np.log10(255.0**2 / max(float(np.square(difference).mean()), 1e-9)))
    return min(ratios), float(np.median(ratios))


def _stretches(model: str, recording: Path | None, count: int) -> Iterator[Stretch]:
    """Yield ``count`` stretches of consecutive frames as the model's inputs, in all of its styles."""
    renderer = NeuralRenderer(model, _REFERENCE)
    styles = list(renderer.card.styles)
    drive = _recorded(recording, count) if recording else _town(count)
    for number, frames in enumerate(drive):
        renderer.set_style(styles[number // 2 % len(styles)])  # neighbours are for measuring and for comparing
        renderer.reset()
        yield [_encoded(renderer, frame) for frame in frames]


def _encoded(renderer: NeuralRenderer, frame: Frame) -> dict[str, np.ndarray]:
    """Return a copy of the graph's inputs for ``frame``."""
    renderer.prepare((frame.camera.width, frame.camera.height))
    return {name: tensor.copy() for name, tensor in renderer.encode(frame).tensors.items()}


def _town(count: int) -> Iterator[Iterable[Frame]]:
    town = TownDrive(*_SIZE)
    for _ in range(count):
        town.ride()
        yield islice(iter(town.next_frame, None), LENGTH)
        town.skip(_RIDE)


def _recorded(path: Path, count: int) -> Iterator[Iterable[Frame]]:
    """Yield stretches evenly over the whole recording. Raises RecordingError where it is too short."""
    with RecordingReader(path) as reader:
        if len(reader) < 2 * LENGTH:
            raise RecordingError(f"{path} holds {len(reader)} frames, at least {2 * LENGTH} are needed")
        count = min(count, len(reader) // LENGTH // 2 * 2)
        for first in np.linspace(0, len(reader) - LENGTH, count).astype(int):
            yield (frame_of(reader.read(int(first) + k)) for k in range(LENGTH))
