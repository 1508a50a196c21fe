"""Parity: whatever runs the graph, it paints what PyTorch paints in fp32."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from bridge.messages import Frame
from neuralsim import runtimes, zoo
from neuralsim.evaluation import measures
from neuralsim.evaluation.metric_networks import HERE, MetricNetwork, mean_iou
from neuralsim.evaluation.real_clip import camvid_of_tag
from neuralsim.models.warp import still_visible
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.runtimes import activation_ranges, graph_variants, int8
from neuralsim.town.town_drive import TownDrive

WIDTH, HEIGHT = 256, 128
GRAPH = zoo.load(zoo.DEFAULT).file

pytestmark = pytest.mark.timeout(600)  # seconds of work on one core, which a busy machine stretches


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255.0**2 / max(np.mean((a.astype(float) - b.astype(float)) ** 2), 1e-9)))


def moving_car(width: int, height: int, seed: int = 0) -> TownDrive:
    """The town seen from a car that does not stand at a crossing: a drive without motion proves nothing."""
    town = TownDrive(width, height, vehicles=20, walkers=10, seed=seed)
    for _ in range(30):
        town.ride()
        before = town.next().camera.pose[:3, 3]
        town.skip(10)
        if np.linalg.norm(town.next().camera.pose[:3, 3] - before) > 1.5:
            return town
    raise AssertionError("nobody drives in this town")


@pytest.fixture(scope="module")
def drive() -> list[dict[str, Any]]:
    """A hundred steps through the town."""
    return reference(zoo.DEFAULT, WIDTH, HEIGHT, 100)


@pytest.fixture(scope="module")
def drive_of_the_best() -> list[dict[str, Any]]:
    """A few steps, smaller: this model takes thirteen times the arithmetic."""
    return reference(zoo.BEST, 128, 64, 12)


def reference(model: str, width: int, height: int, count: int) -> list[dict[str, Any]]:
    """Steps through the town, painted by PyTorch in fp32: inputs, state before, picture."""
    pytest.importorskip("torch", reason="the reference is PyTorch")
    town = moving_car(width, height)
    renderer = NeuralRenderer(model, runtime="torch:fp32", size=(width, height), threads=1)
    steps = []
    for _ in range(count):
        feeds = renderer.feeds(town.next())
        session = renderer._session
        assert session is not None
        state = session.state()
        steps.append({"feeds": feeds, "state": state, "picture": session.step(feeds).copy()})
    return steps


@pytest.fixture(scope="module")
def elsewhere() -> list[Frame]:
    """300 frames of another drive, of another size."""
    town = moving_car(192, 96, seed=1)
    return [town.next() for _ in range(300)]


@pytest.fixture(scope="module", autouse=True)
def calibrated(elsewhere: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> Iterator[activation_ranges.Ranges]:
    """int8 as `neuralsim quantise` prepares it, from frames of the other drive."""
    renderer = NeuralRenderer(runtime="onnxruntime:fp32", size=(192, 96), threads=1, finish=False)
    stretches = [[renderer.feeds(frame) for frame in elsewhere[first : first + 2]] for first in range(0, 300, 30)]
    measured = int8.calibrate(GRAPH, stretches, "elsewhere", threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEURALSIM_CACHE", str(tmp_path_factory.mktemp("cache")))
        activation_ranges.keep(GRAPH, measured)
        yield measured


def worst(session: runtimes.ModelSession, drive: list[dict[str, Any]]) -> float:
    """PSNR of the worst step, each begun from the reference's state."""
    found = []
    for step in drive:
        session.restore(step["state"])
        found.append(psnr(session.step(step["feeds"]), step["picture"]))
    return min(found)


@pytest.mark.parametrize(
    ("runtime", "bound"),
    [
        ("openvino:fp32", 45.0),
        ("openvino:bf16", 36.0),
        ("onnxruntime:fp32", 45.0),
        ("onnxruntime:fp16", 36.0),
        ("torch:bf16", 36.0),
        ("openvino:int8", 32.0),
        ("onnxruntime:int8", 32.0),
    ],
)
def test_every_step_of_a_town_drive_is_the_references(runtime: str, bound: float, drive: list[dict[str, Any]]) -> None:
    session = runtimes.create(runtime, GRAPH, HEIGHT, WIDTH, threads=1)
    assert session.name.split()[:2] == runtime.split(":")
    found = worst(session, drive)
    assert found >= bound, f"{session.name}: {found:.1f} dB"
    changes = [psnr(a["picture"], b["picture"]) for a, b in pairwise(drive)]
    assert min(changes) < bound, "pictures that do not change prove nothing"


@pytest.mark.parametrize(
    ("runtime", "bound"),
    [("openvino:fp32", 45.0), ("openvino:bf16", 36.0), ("onnxruntime:fp32", 45.0), ("onnxruntime:fp16", 36.0)],
)
def test_a_painter_that_sees_its_past_is_the_references_too(
    runtime: str, bound: float, drive_of_the_best: list[dict[str, Any]]
) -> None:
    session = runtimes.create(runtime, zoo.load(zoo.BEST).file, 64, 128, threads=1)
    found = worst(session, drive_of_the_best)
    assert found >= bound, f"{session.name}: {found:.1f} dB"


@pytest.mark.slow
def test_a_free_rollout_stays_with_the_references(elsewhere: list[Frame]) -> None:
    """300 frames on their own state, bf16 and int8 against fp32: flicker, obedience and realism within 3 %.

    Realism is a distance of features to those of other frames: here of the drive's first half to fp32's second half.
    bf16's is bounded from above as well, for any other frames that are as far away: by how far its features are from
    fp32's (the Fréchet distance's root is a metric). int8 leaves that to bf16, in which OpenVINO does the rest of it.
    """
    segmenter, features = (MetricNetwork(HERE / name, threads=1) for name in ("segmenter.onnx", "features.onnx"))
    camvid = camvid_of_tag()
    figures, seen = [], []
    for runtime in ("openvino:fp32", "openvino:bf16", "openvino:int8"):
        renderer = NeuralRenderer(runtime=runtime, size=(192, 96), threads=1, finish=False)
        flicker, detail, predicted, wanted, found = [], [], [], [], []
        last: np.ndarray | None = None
        for number, (before, frame) in enumerate(zip([None, *elsewhere], elsewhere, strict=False)):
            picture = renderer.render(frame)
            if last is not None and before is not None:
                motion = frame.planes["motion"].astype(np.float32)
                flicker.append(measures.warping_error(last, picture, motion, still_visible(before, frame)))
            detail.append(measures.sharpness(picture))
            if number % 4 == 0:
                predicted.append(segmenter(picture)[0])
                wanted.append(camvid[frame.planes["tag"]])
                stride8, _ = features(picture)
                found.append(measures.patches(stride8.reshape(stride8.shape[-3:]), 8))
            last = picture
        obedience, _ = mean_iou(predicted, wanted)
        figures.append(np.array([np.mean(flicker), np.mean(detail), obedience]))
        seen.append(found)
    assert figures[0][0] > 0.2
    assert figures[0][2] > 0.15, "a judge that recognises nothing proves nothing"
    first, second = (
        [np.concatenate(half) for half in halves]
        for halves in zip(*((f[: len(f) // 2], f[len(f) // 2 :]) for f in seen), strict=True)
    )
    realism = [measures.frechet(half, second[0], shrink=True) ** 0.5 for half in first]
    for other in (1, 2):
        assert np.abs(figures[other] / figures[0] - 1.0).max() < 0.03, figures
        assert abs(realism[other] / realism[0] - 1.0) < 0.03, realism
    apart = measures.frechet(np.concatenate(seen[0]), np.concatenate(seen[1]), shrink=True) ** 0.5
    assert apart < 0.03 * realism[0]


def test_fp16_has_room_for_every_activation(drive: list[dict[str, Any]], tmp_path: Path) -> None:
    """The largest value that the painter puts into fp16 on a town drive is far below 65504."""
    half = graph_variants.half(onnx.load(str(GRAPH)))
    convolutions = [node.output[0] for node in half.graph.node if node.op_type == "Conv"]
    for name in convolutions:
        half.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT16, None))
    onnx.save(half, tmp_path / "half.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "half.onnx"), providers=["CPUExecutionProvider"])
    for step in drive[::25]:
        values = session.run(convolutions, step["feeds"] | step["state"])
        assert max(float(np.abs(value).max()) for value in values) < 65504 / 16


def test_tensorrt_paints_the_same_through_its_buffers_and_graphs(
    gpu: object, drive: list[dict[str, Any]], calibrated: activation_ranges.Ranges
) -> None:
    """Our side of TensorRT on a stand-in: state on the device in turns, captured graphs, three streams."""
    activation_ranges.keep(GRAPH, calibrated)  # in the cache of this test
    session = runtimes.create("tensorrt:int8", GRAPH, HEIGHT, WIDTH)
    assert session.name == "tensorrt int8"
    assert worst(session, drive[::20]) > 32
    session.close()  # type: ignore[attr-defined]
    session = runtimes.create("tensorrt", GRAPH, HEIGHT, WIDTH)
    assert session.name == "tensorrt fp16"
    assert worst(session, drive[::10]) > 36
    from cuda.bindings import runtime as cudart  # type: ignore[import-not-found]

    before = cudart.launches
    reference = runtimes.create("onnxruntime:fp16", GRAPH, HEIGHT, WIDTH, threads=1)
    for either in (session, reference):
        either.reset()
    for step in drive[:5]:  # on its own state now
        assert psnr(session.step(step["feeds"]), reference.step(step["feeds"])) > 60
    assert cudart.launches == before + 5
    assert psnr(session.state()["past_rgb"] * 127, reference.state()["past_rgb"] * 127) > 60
    assert cudart.memory
    session.close()  # type: ignore[attr-defined]
    assert not cudart.memory, "all device and pinned memory is given back"
    assert not cudart.streams
