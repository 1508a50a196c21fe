"""Graphs of guided generators: exported, run in parts, and rendered with a simulator's image as it is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="a graph is exported")

from helpers.frames import street  # noqa: E402

from bridge.tags import Tag  # noqa: E402
from neuralsim import zoo  # noqa: E402
from neuralsim.base.quiet_openvino import ov  # noqa: E402
from neuralsim.models import onnx_export  # noqa: E402
from neuralsim.models.generator import Generator, GeneratorConfig  # noqa: E402
from neuralsim.models.input_planes import Surface  # noqa: E402
from neuralsim.models.video_generator import GeneratorGraph  # noqa: E402
from neuralsim.renderer.neural_renderer import ModelError, NeuralRenderer  # noqa: E402
from neuralsim.renderer.remap import Remap  # noqa: E402
from neuralsim.runtimes.openvino import runtime, split  # noqa: E402

SMALL = GeneratorConfig(encoder=(16,) * 5, decoder=(16,) * 5, blocks=((2,),) * 5, guided=True, head_layers=2, pool=4)
HEIGHT, WIDTH = 64, 96


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a guided model with random weights."""
    folder = tmp_path_factory.mktemp("guided")
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    surface = Surface(rng.random((3, 256, 3)), 0.1 * rng.standard_normal((256, 3)))
    graph = GeneratorGraph(surface, Generator(SMALL))
    onnx_export.to_onnx(graph, folder / "model.onnx")
    onnx_export.check(graph, folder / "model.onnx")
    styles = {"day": rng.uniform(-0.4, 0.4, (14, 3))}
    card = onnx_export.card("guided", folder / "model.onnx", styles, graph, default_style="day", licence="none")
    card["postprocessing"] = ["border", "noise"]
    (folder / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False))
    return folder


def frame_inputs(kind: str, number: int) -> dict[str, np.ndarray]:
    """Return the graph's inputs of a frame whose guide is an "image", "none", or a "mixture" with sketches."""
    rng = np.random.default_rng(number)
    blocks = np.ones((8, 8), np.uint8)
    guide = rng.integers(1, 256, (HEIGHT, WIDTH, 4), np.uint8)
    guide[..., 3] = 128
    if kind == "none":
        guide[:] = 0
    elif kind == "mixture":
        guide[: HEIGHT // 2] = 0
        guide[:, WIDTH // 2 :, 3] = 200
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    pose = np.concatenate([turned, 9.0 * rng.normal(size=(3, 1))], 1)
    camera = np.concatenate([pose.ravel(), [0.0, 0.0, 0.0, 1.0, 90.0, 80.0, 48.0, 32.0]])
    return {
        "tag": np.kron(rng.integers(0, 29, (HEIGHT // 8, WIDTH // 8), np.uint8), blocks),
        "instance": np.kron(rng.integers(0, 1 << 16, (HEIGHT // 8, WIDTH // 8), np.uint16), blocks),
        "motion": rng.normal(size=(HEIGHT, WIDTH, 2)).astype(np.float16),
        "depth": rng.uniform(3.0, 60.0, (HEIGHT, WIDTH)).astype(np.float32),
        "camera": camera.astype(np.float32),
        "style": rng.uniform(-0.4, 0.4, (14, 3)).astype(np.float32),
        "guide": guide,
        "blend": rng.uniform(size=14).astype(np.float32),
    }


@pytest.mark.parametrize("kind", ["image", "none", "mixture"])
def test_a_guided_graph_in_parts_computes_the_same(model: Path, kind: str) -> None:
    file = model / "model.onnx"
    core = ov.Core()
    assert split.split(core, core.read_model(file), is_exact=True) is not None
    parted = runtime.load(file, HEIGHT, WIDTH, 1, "fp32")
    assert isinstance(parted, runtime.SplitSession)
    whole = ov.Core().read_model(file)
    runtime.fix_size(whole, HEIGHT, WIDTH)
    compiled = core.compile_model(whole, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    past = {"past_rgb": np.zeros((1, 3, HEIGHT, WIDTH), np.float32)}
    past |= {"past_label": np.full((1, 1, HEIGHT, WIDTH), -1.0, np.float32)}
    for number in range(3):
        inputs = frame_inputs(kind, number)
        expected = compiled(inputs | past)
        actual = parted.step(inputs).astype(int)
        assert expected["rgb"].std() > 5.0
        assert (np.abs(actual - expected["rgb"]) > 1).mean() < 1e-2  # at borders of what has a sketch
        past = {"past_rgb": expected["next_rgb"].copy(), "past_label": expected["next_label"].copy()}
        parted.restore(past)


def test_a_surfaces_texture_is_fixed_to_it_and_as_strong_near_and_far(model: Path) -> None:
    rng = np.random.default_rng(2)
    surface = Surface(rng.random((3, 256, 3)), np.zeros((256, 3)))
    height, width, focal, above = 128, 256, 128.0, 1.4
    down = (np.arange(height) + 0.5 - 20.0) / focal
    tag = np.where(down > 0.02, Tag.ROAD, Tag.SKY)[:, None].repeat(width, 1).astype(np.uint8)
    depth = np.where(down > 0.02, above / np.maximum(down, 0.02), 500.0)[:, None].repeat(width, 1).astype(np.float32)
    instance, style = np.zeros(tag.shape, np.uint16), np.zeros((14, 3), np.float32)
    guide = np.ones((1, 4, height, width))

    def texture(ahead: float) -> np.ndarray:
        camera = np.concatenate([np.eye(4).ravel(), [focal, focal, width / 2, 20.0]]).astype(np.float32)
        camera[3], camera[11] = ahead, above
        planes = (torch.from_numpy(each) for each in (tag[None], instance[None], depth[None], camera, style, guide))
        return surface(*planes, is_image=True)[3][0, 0].numpy()

    here, there = texture(0.0), texture(0.5)
    is_road = tag[::2, ::2] == Tag.ROAD
    assert not here[~is_road].any()
    near, far = here[50:], here[13:22]
    for part in (near, far):
        assert part.std() == pytest.approx(1.0, abs=0.3)
    # a point of the road half a metre nearer: the row where it is then, at half size
    rows = np.arange(24, 40)
    distance = above * focal / (2.0 * rows + 0.5 - 20.0)
    after = (above * focal / (distance - 0.5) + 20.0 - 0.5) / 2.0
    columns = np.arange(30, width // 2 - 30)
    across = (2.0 * columns + 0.5 - width / 2)[None] * (distance / (distance - 0.5))[:, None]
    place = (across + width / 2 - 0.5) / 2.0, after[:, None].repeat(len(columns), 1)
    seen = cv2.remap(there, *(each.astype(np.float32) for each in place), cv2.INTER_LINEAR)
    alike = np.corrcoef(here[rows][:, columns].ravel(), seen.ravel())[0, 1]
    assert alike > 0.6
    assert abs(np.corrcoef(here[rows][:, columns].ravel(), there[rows][:, columns].ravel())[0, 1]) < 0.3


def test_in_bfloat16_it_is_close(model: Path) -> None:
    sessions = [runtime.load(model / "model.onnx", HEIGHT, WIDTH, 1, precision) for precision in ("fp32", "bf16")]
    for kind in ("image", "mixture"):
        images = [session.step(frame_inputs(kind, 5)).astype(int).copy() for session in sessions]
        assert np.abs(images[1] - images[0]).mean() < 2.0


def test_the_card_says_that_it_is_guided_and_which_steps_follow(model: Path) -> None:
    card = zoo.load(str(model))
    assert card.guided
    assert card.postprocessing == ("border", "noise")
    assert not zoo.load(zoo.DEFAULT).guided


def test_a_renderer_hands_the_simulators_image_on_as_it_is(model: Path) -> None:
    frame = street()
    height, width = frame.planes["tag"].shape
    rng = np.random.default_rng(1)
    small = rng.integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    frame.planes["rgb"] = np.kron(small, np.ones((8, 8, 1), np.uint8))
    renderer = NeuralRenderer(str(model), "onnxruntime", threads=1)
    renderer.prepare((width, height))
    guide = renderer.encode(frame).tensors["guide"][:height, :width]
    assert (guide[..., :3] == np.maximum(frame.planes["rgb"], 1)).all()
    assert (guide[..., 3] == 128).all()
    fork = renderer.fork()
    assert not np.shares_memory(fork.encode(frame).tensors["guide"], renderer.encode(frame).tensors["guide"])
    image = renderer.render(frame)
    frame.sim_frame += 1
    frame.planes["rgb"] = 255 - frame.planes["rgb"]
    assert np.abs(renderer.render(frame).astype(int) - image).mean() > 10.0


def test_of_half_the_size_it_is_scaled_up_and_edited_things_have_none(model: Path) -> None:
    frame = street()
    height, width = frame.planes["tag"].shape
    frame.planes["rgb_half"] = np.full((-(-height // 2), -(-width // 2), 3), (200, 100, 50), np.uint8)
    renderer = NeuralRenderer(str(model), "onnxruntime", threads=1)
    renderer.prepare((width, height))
    guide = renderer.encode(frame).tensors["guide"][:height, :width]
    assert (guide[..., :3] == (200, 100, 50)).all()
    renderer.set_remap(Remap.parse("roads=vegetation"))
    guide = renderer.encode(frame).tensors["guide"][:height, :width]
    is_road = np.isin(frame.planes["tag"], (Tag.ROAD,))
    assert is_road.any()
    assert not guide[is_road][:, 3].any() or (guide[is_road][:, :3] != (200, 100, 50)).any()


def test_steps_that_this_version_lacks_are_named(model: Path, tmp_path: Path) -> None:
    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    card = yaml.safe_load((tmp_path / "card.yaml").read_text())
    card["postprocessing"] = ["glitter"]
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(ModelError, match="step 'glitter'"):
        NeuralRenderer(str(tmp_path))
