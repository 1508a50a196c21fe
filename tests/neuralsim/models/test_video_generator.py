"""The generator that sees the past: what reaches what, within which bounds, and in one graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="the generator's own tests need the train extra")

from bridge.messages import UNKNOWN_MOTION  # noqa: E402
from neuralsim import cli, runtimes  # noqa: E402
from neuralsim.models import onnx_export  # noqa: E402
from neuralsim.models.classes import CHANNELS, Channel  # noqa: E402
from neuralsim.models.generator import SIZES, Generator, GeneratorConfig  # noqa: E402
from neuralsim.models.input_planes import Surface  # noqa: E402
from neuralsim.models.video_generator import GeneratorGraph, RecurrenceStep, VideoGenerator, no_past  # noqa: E402

SMALL = GeneratorConfig(
    encoder=(12,) * 5,
    decoder=(12,) * 5,
    blocks=((1,),) * 5,
    past_frames=2,
    past=(8,) * 5,
    foreground=(8,) * 5,
    mask=True,
    flow=8,
)
H, W = 64, 96


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(SMALL).eval()


def scene(generator: Generator) -> dict[str, torch.Tensor]:
    """A house behind a road, and a car before it."""
    label = torch.full((1, H, W), int(Channel.BUILDING))
    label[:, 40:] = Channel.ROAD
    label[:, 30:50, 20:50] = Channel.VEHICLE
    torch.manual_seed(1)
    tint = torch.nn.functional.interpolate(torch.randn(1, 3, 8, 12), (H, W), mode="bilinear") * 0.3
    return {
        "label": label,
        "embedded": generator.embed(label, tint).detach(),
        "movers": generator.movers(label),
        "detail": torch.randn(1, 2, H // 2, W // 2) * 0.3,
        "motion": torch.zeros(1, H, W, 2),
    }


def step(
    video: VideoGenerator, past: tuple[torch.Tensor, torch.Tensor] | RecurrenceStep | None = None, **changed: object
) -> RecurrenceStep:
    seen = scene(video.generator) | changed
    if isinstance(past, RecurrenceStep):
        past = past.past_rgb, past.past_label
    rgb, label = past or no_past(video.generator, 1, H, W)
    with torch.no_grad():
        return video(**seen, past_rgb=rgb, past_label=label)


def bounded(generator: Generator, refresh: float, spread: float) -> VideoGenerator:
    """The same weights within other bounds."""
    generator.config = replace(generator.config, blend_factor=refresh, clip_gamma=spread)
    return VideoGenerator(generator)


def test_without_a_past_a_frame_stands_alone(generator: Generator) -> None:
    video = VideoGenerator(generator)
    seen = scene(generator)
    with torch.no_grad():
        alone = generator.generate(seen["embedded"], seen["detail"], seen["movers"])
    first = step(video)
    assert torch.equal(first.generated, alone)
    assert torch.equal(first.image, alone.clamp(-1, 1))
    assert (first.blend == 1.0).all()


def test_the_past_modulates_the_background_and_no_mover(generator: Generator) -> None:
    video = VideoGenerator(generator)
    first = step(video)
    kept = step(video, first)
    other = step(video, ((first.past_rgb + 0.3), first.past_label))
    differs = (kept.generated != other.generated).any(1)[0]
    mover = scene(generator)["movers"][0, 0] > 0
    assert not differs[mover].any(), "the foreground is generated from the map alone"
    assert differs[~mover].float().mean() > 0.9


def test_every_frame_of_the_past_counts_and_lies_where_it_is_seen_from_here(generator: Generator) -> None:
    video = VideoGenerator(generator)
    first = step(video)
    second = step(video, first)
    assert torch.allclose(second.past_rgb[:, 3:], first.image, atol=1e-5), "nothing moved"
    changed = second.past_rgb.clone()
    changed[:, 3:] += 0.3
    assert (step(video, second).generated != step(video, (changed, second.past_label)).generated).any()
    moved = step(video, first, motion=torch.full((1, H, W, 2), 4.0))
    assert torch.allclose(moved.past_rgb[:, 3:, 8:-8, 8:-8], first.image[:, :, 12:-4, 12:-4], atol=1e-5)


def test_the_mask_is_the_generators_own_within_its_bounds(generator: Generator) -> None:
    video = VideoGenerator(generator)
    first = step(video)
    known = step(video, first)
    assert known.mask is not None
    torch.testing.assert_close(known.blend, 1 - (1 - generator.config.blend_factor) * (1 - known.mask))
    assert known.mask.std() > 1e-4, "it follows what is seen"
    new = step(video, (first.past_rgb, first.past_label + 1.0))
    assert (new.blend == 1.0).all(), "what belonged to other classes is all new, whatever the mask says"
    with torch.no_grad():
        generator.occlusion.bias.fill_(-50.0)  # it would keep everything for ever
    black = step(video, (torch.full_like(first.past_rgb, -1.0), first.past_label))
    assert black.blend.min() == pytest.approx(generator.config.blend_factor)
    half = bounded(generator, 0.5, 1.5)
    settled = step(half, first)
    for _ in range(8):
        black, settled = step(half, black), step(half, settled)
    assert (black.image - settled.image).abs().mean() < 0.005, "drift is impossible by construction"
    free = bounded(generator, 0.0, 0.0)
    kept = step(free, (torch.full_like(first.past_rgb, -1.0), first.past_label))
    assert torch.allclose(kept.image, torch.tensor(-1.0)), "without bounds the mask alone decides"


def test_motion_is_estimated_only_where_the_engine_has_none(generator: Generator) -> None:
    video = bounded(generator, 0.12, 0.0)
    first = step(video)
    with torch.no_grad():
        generator.flow.last.bias.fill_(0.5)  # four pixels to the right and down
    motion = torch.zeros(1, H, W, 2)
    motion[:, :, : W // 2] = UNKNOWN_MOTION
    mixed = step(video, first, motion=motion)
    assert mixed.flow is not None
    assert mixed.flow.mean() == pytest.approx(4.0, abs=0.5)
    warped = mixed.past_rgb[:, 3:]
    assert torch.allclose(warped[..., W // 2 + 2 :], first.image[..., W // 2 + 2 :], atol=1e-5)
    assert not torch.allclose(warped[..., : W // 2 - 2], first.image[..., : W // 2 - 2], atol=1e-2)


def street(height: int, width: int) -> dict[str, np.ndarray]:
    """Inputs of the graph, all but the state: a house, a road, a car; half of the motion is unknown."""
    tag = np.full((height, width), 3, np.uint8)
    tag[height // 2 :] = 1
    tag[height // 3 : height // 2, :20] = 14
    motion = np.full((height, width, 2), (3.0, -2.0), np.float16)
    motion[:, : width // 2] = UNKNOWN_MOTION
    pose = [1, 0, 0, 253.3, 0, 1, 0, -773.1, 0, 0, 1, 1.5, 0, 0, 0, 1]
    return {
        "tag": tag,
        "instance": (tag == 14).astype(np.uint16) * 7,
        "motion": motion,
        "depth": np.linspace(60, 3, height, dtype=np.float32)[:, None].repeat(width, 1),
        "camera": np.array([*pose, width * 0.7, width * 0.7, width / 2, height / 2], np.float32),
        "style": np.zeros((CHANNELS, 3), np.float32),
        "guide": np.repeat((tag == 14)[..., None], 4, 2).astype(np.uint8) * 90,
        "blend": np.linspace(0.2, 0.6, CHANNELS, dtype=np.float32),
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[GeneratorGraph, Path]:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    surface = Surface(rng.uniform(-0.3, 0.3, (3, 256, 3)), rng.uniform(-0.1, 0.1, (256, 3)))
    whole = GeneratorGraph(surface, Generator(SMALL)).eval()
    path = tmp_path_factory.mktemp("video") / "model.onnx"
    onnx_export.to_onnx(whole, path)
    return whole, path


@pytest.mark.parametrize("runtime", runtimes.available())
def test_one_graph_with_its_state_for_every_runtime(exported: tuple[GeneratorGraph, Path], runtime: str) -> None:
    whole, path = exported
    height, width = H, W
    session = runtimes.create(runtime, path, height, width, threads=1)
    feeds = street(height, width)
    tensors = {k: torch.from_numpy(v.astype(np.int32) if v.dtype == np.uint16 else v) for k, v in feeds.items()}
    state = no_past(whole.generator, 1, height, width)
    for brighter in (0.0, 0.3, 0.0, 0.1):  # so that the past differs from the present
        tensors["style"] = torch.full((CHANNELS, 3), brighter)
        rgb = session.step(feeds | {"style": tensors["style"].numpy()}).astype(float)
        with torch.no_grad():
            expected, *state, _ = whole(*tensors.values(), *state)
        psnr = 10 * np.log10(255**2 / max(((rgb - expected.numpy()) ** 2).mean(), 1e-9))
        assert psnr > (36 if "bf16" in session.name else 45), f"{session.name} {width}x{height}: {psnr:.1f} dB"
    assert session.state()["past_rgb"].shape == (1, 6, height, width)
    assert np.abs(session.state()["past_label"] - state[1].numpy()).mean() < 0.2


@pytest.mark.parametrize(("size", "least", "most"), [("street-rt", 8, 9), ("street", 100, 120)])
def test_a_frame_of_1024x512_costs_no_more_than_it_may(size: str, least: float, most: float) -> None:
    """GFLOP of convolutions, multiply + add = 2."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        generator = Generator(SIZES[size])
        label = torch.zeros(1, 512, 1024, dtype=torch.int64)
        embedded, detail = generator.embed(label, torch.zeros(1, 3, 512, 1024)), torch.zeros(1, 2, 256, 512)
        with FlopCounterMode(display=False) as counter:
            if generator.config.past_frames:
                past = no_past(generator, 1, 512, 1024, "meta")
                motion = torch.zeros(1, 512, 1024, 2)
                VideoGenerator(generator)(label, embedded, generator.movers(label), detail, motion, *past)
            else:
                generator.generate(embedded, detail)
    assert least < counter.get_total_flops() / 1e9 <= most


def test_an_older_config_gives_the_same_generator() -> None:
    old = {"labels": 14, "encoder": [16, 48, 96, 128, 128], "decoder": [32, 48, 96, 128, 128]}
    old |= {"blocks": [[1], [1], [1], [2], [2]], "separable": 1, "embed": 8, "head": 16}
    config = GeneratorConfig.from_dict(old)
    assert config == GeneratorConfig() == replace(SIZES["street-rt"], pool=2)
    kinds = {name.split(".")[0] for name in Generator(config).state_dict()}
    assert kinds == {"label", "detail", "encode", "start", "blocks", "lower", "to_head", "head", "rgb"}


def test_a_graph_that_is_not_the_model_is_refused(exported: tuple[GeneratorGraph, Path]) -> None:
    whole, path = exported
    assert onnx_export.check(whole, path) > 45
    other = GeneratorGraph(whole.surface, Generator(SMALL)).eval()
    with pytest.raises(ValueError, match="do not use it"):
        onnx_export.check(other, path)


def test_blend_weights_are_set_by_class_and_may_change_in_each_frame(generator: Generator) -> None:
    with torch.no_grad():
        generator.occlusion.bias.fill_(-50.0)  # it would keep everything for ever
    generator.config = replace(generator.config, blend_factor=0.25, blend_movers=0.5)
    video = VideoGenerator(generator)
    label = scene(generator)["label"]
    first = step(video)
    for blend in (None, torch.linspace(0.9, 0.1, CHANNELS)):
        shares = torch.where(generator.movers(label) > 0, 0.5, 0.25) if blend is None else blend[label][:, None]
        torch.testing.assert_close(step(video, first, blend=blend).blend, shares)
    generator.config = replace(generator.config, blend_movers=0.0)
    assert set(generator.config.blend) == {0.25}, "nothing that moves is kept longer than what stands"


def test_a_generator_without_a_past_has_none_of_its_parts() -> None:
    with pytest.raises(ValueError, match="`past_frames`"):
        GeneratorConfig(mask=True)
    with pytest.raises(ValueError, match="`blend_factor` and `blend_movers` are weights"):
        GeneratorConfig(blend_factor=1.5)
    with pytest.raises(ValueError, match="5 levels"):
        replace(SMALL, past=(8,))


@pytest.mark.slow
def test_footage_without_motion_keeps_its_past_by_the_flow_head(
    exported: tuple[GeneratorGraph, Path], tmp_path: Path
) -> None:
    whole, path = exported
    card = onnx_export.card("small", path, {"day": np.zeros((CHANNELS, 3), np.float32)}, whole, default_style="day")
    assert (card["past_frames"], card["estimates_motion"]) == (2, True)
    (path.parent / "card.yaml").write_text(yaml.safe_dump(card))
    (tmp_path / "labels").mkdir()
    for number in range(3):
        label = np.full((64, 96), 3, np.uint8)
        label[30 + number :] = 1
        cv2.imwrite(str(tmp_path / f"labels/{number}.png"), label)
    common = ["render", str(tmp_path / "labels"), "--classes", "carla", "--sequence", "--model", str(path.parent)]
    assert cli.main([*common, "--out", str(tmp_path / "kept")]) == 0
    assert cli.main([*common, "--out", str(tmp_path / "alone"), "--frame-by-frame"]) == 0
    kept, alone = (cv2.imread(str(tmp_path / folder / "2.png")) for folder in ("kept", "alone"))
    assert (kept != alone).mean() > 0.2
