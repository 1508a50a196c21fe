"""The generator as tensors: attached to surfaces, bounded in time, one graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the generator's own tests need the train extra")

from helpers.training import SMALL  # noqa: E402

from neuralsim import runtimes  # noqa: E402
from neuralsim.models import onnx_export  # noqa: E402
from neuralsim.models.classes import CHANNELS  # noqa: E402
from neuralsim.models.generator import SIZES, Generator, upsample  # noqa: E402
from neuralsim.models.input_planes import Surface  # noqa: E402
from neuralsim.models.video_generator import GeneratorGraph  # noqa: E402
from neuralsim.models.warp import reproject, sampling_grid  # noqa: E402
from neuralsim.training.pretrained import load_weights  # noqa: E402


@pytest.fixture(scope="module")
def generator() -> GeneratorGraph:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    surface = Surface(rng.uniform(-0.3, 0.3, (3, 256, 3)), rng.uniform(-0.1, 0.1, (256, 3)))
    return GeneratorGraph(surface, Generator(SMALL)).eval()


def street(height: int = 64, width: int = 96, forward: float = 0.0) -> dict[str, torch.Tensor]:
    """A flat road under a wall 12 m ahead and the sky, the camera ``forward`` metres along."""
    camera_height, distance, wall = 1.5, 12.0 - forward, 4.0
    focal = width * 0.7
    y = (torch.arange(height) + 0.5 - height / 2)[:, None].expand(height, width) / focal
    ground = camera_height / y.clamp(min=1e-3)
    on_wall = (ground > distance) & (-y * distance + camera_height < wall)
    sky = (ground > distance) & ~on_wall
    depth = torch.where(sky, 1000.0, torch.where(on_wall, distance, ground))
    tag = torch.where(sky, 11, torch.where(on_wall, 3, 1)).to(torch.uint8)
    pose = torch.eye(4)
    pose[:3, 3] = torch.tensor(
        [forward - 253.3, 773.1, camera_height]
    )  # far out, where half precision has no centimetres
    camera = torch.cat([pose.ravel(), torch.tensor([focal, focal, width / 2, height / 2])])
    return {
        "tag": tag,
        "instance": torch.where(on_wall, 7, 0).to(torch.int32),
        "motion": torch.zeros(height, width, 2, dtype=torch.float16),
        "depth": depth.float(),
        "camera": camera.float(),
        "style": torch.zeros(CHANNELS, 3),
        "guide": torch.zeros(height, width, 4, dtype=torch.uint8),
        "blend": torch.full((CHANNELS,), 0.23),
        "past_rgb": torch.zeros(1, 3, height, width),
        "past_label": torch.full((1, 1, height, width), -1.0),
    }


def shift_errors(generator: Generator) -> tuple[list[float], float]:
    """Mean error of the picture moved back, map and planes moved by 2, 4, 6 and 32 px; and the picture's deviation."""
    torch.manual_seed(1)
    block = torch.randint(0, CHANNELS, (1, 20, 36)).repeat_interleave(16, 1).repeat_interleave(16, 2)
    tint = torch.nn.functional.interpolate(torch.randn(1, 3, 40, 72), scale_factor=8.0, mode="bilinear") * 0.3
    detail = torch.nn.functional.interpolate(torch.randn(1, 2, 40, 72), scale_factor=4.0, mode="bilinear") * 0.3
    size = 256

    def generate(shift: int) -> torch.Tensor:
        with torch.no_grad():
            across, half = slice(shift, shift + size), slice(shift // 2, (shift + size) // 2)
            return generator(block[:, :size, across], tint[:, :, :size, across], detail[:, :, : size // 2, half])

    still = generate(0)
    errors = []
    for shift in (2, 4, 6, 32):
        moved = generate(shift)[..., 64 : -64 - shift]
        errors.append(float((moved - still[..., 64 + shift : -64]).abs().mean()))
    return errors, float(still.std())


def test_rendering_moves_with_the_map_off_the_stride_grid() -> None:
    """Map and planes moved by 2, 4, 6 px give the same picture moved, though the trunk's stride is 32."""
    torch.manual_seed(1)
    errors, spread = shift_errors(Generator(SMALL).eval())
    assert max(errors) < 0.08 * spread


def test_wider_means_swim_less() -> None:
    """The shipped weights, halved by means of 4x4 instead of 2x2: pool in the generator's settings."""
    two, four = (Generator(replace(SIZES["street-rt"], pool=side)).eval() for side in (2, 4))
    for generator in (two, four):
        load_weights(generator, "street-rt")
    before, after = shift_errors(two)[0], shift_errors(four)[0]
    assert np.mean(after[:3]) < 0.8 * np.mean(before[:3])


def test_surface_planes_belong_to_the_world_not_to_the_screen(generator: GeneratorGraph) -> None:
    """The wall's sketch, seen from two places, is the same function of the world point."""
    names = ("tag", "instance", "depth", "camera", "style")
    planes = []
    for forward in (0.0, 0.05):
        inputs = street(128, 192, forward)
        args = [inputs[n][None] if inputs[n].ndim == 2 and n != "style" else inputs[n] for n in names]
        label, _, _, detail = generator.surface(*args)
        planes.append((label[0, ::2, ::2], detail[0, 1]))
    wall = (planes[0][0] == 3) & (planes[1][0] == 3)
    assert wall.sum() > 1000
    values = planes[0][1][wall]
    assert values.std() > 0.1, "a wall without structure proves nothing"
    # five centimetres of twelve metres move the wall by less than half a pixel
    assert (values - planes[1][1][wall]).abs().mean() < 0.35 * values.std()


def test_past_is_used_where_known_and_dropped_where_new(generator: GeneratorGraph) -> None:
    inputs = street()
    with torch.no_grad():
        _, fresh, label, _ = generator(**inputs)
        brighter = (fresh + 0.02).clamp(-1, 1)
        _, kept, *_ = generator(**(inputs | {"past_rgb": brighter, "past_label": label}))
        _, other, *_ = generator(**(inputs | {"past_rgb": brighter, "past_label": label + 1}))
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    assert (kept - fresh)[inner].mean() > 0.002
    assert torch.equal(other, fresh)


def test_rollout_from_any_past_returns_to_what_the_map_says(generator: GeneratorGraph) -> None:
    """Drift is impossible by construction: 40 frames after a black past nothing of it is left."""
    inputs = street()
    with torch.no_grad():
        _, fresh, label, _ = generator(**inputs)
        past = torch.full_like(fresh, -1.0)
        for _ in range(40):
            _, past, label, _ = generator(**(inputs | {"past_rgb": past, "past_label": label}))
    assert (past - fresh).abs().mean() < 0.02


@pytest.mark.parametrize(
    "runtime",
    [each if each == "openvino" else pytest.param(each, marks=pytest.mark.slow) for each in runtimes.available()],
)
def test_one_graph_for_every_runtime_and_size(generator: GeneratorGraph, runtime: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    onnx_export.to_onnx(generator, tmp_path / "model.onnx")
    for height, width in ((64, 96), (96, 64)):
        inputs = street(height, width)
        session = runtimes.create(runtime, tmp_path / "model.onnx", height, width, threads=1)
        feeds = {k: v.numpy() for k, v in inputs.items() if not k.startswith("past")}
        feeds["instance"] = feeds["instance"].astype(np.uint16)
        feeds["motion"][:] = (3.0, -2.0)
        inputs["motion"] = torch.from_numpy(feeds["motion"])
        state = {k: inputs[k] for k in ("past_rgb", "past_label")}
        styles = [inputs["style"], inputs["style"] + 0.02, inputs["style"]]  # a little: it is to be believed
        for style in styles:
            rgb = session.step(feeds | {"style": style.numpy()}).astype(float)
            with torch.no_grad():
                alone = generator(**(inputs | {"style": style}))[0]
                expected, state["past_rgb"], state["past_label"], _ = generator(**(inputs | state | {"style": style}))
            error = ((rgb - expected.numpy()) ** 2).mean()
            psnr = 10 * np.log10(255**2 / max(error, 1e-9))
            assert psnr > (36 if "bf16" in session.name else 45), f"{session.name} {width}x{height}: {psnr:.1f} dB"
        assert (expected.float() - alone.float()).abs().mean() > 0.5, "the past has to show in the last frame"


def test_large_weights_are_stored_as_fp16(generator: GeneratorGraph, tmp_path) -> None:  # type: ignore[no-untyped-def]
    import onnx

    onnx_export.to_onnx(generator, tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx")
    large = [t for t in graph.graph.initializer if np.prod(t.dims) > 512 and t.data_type == onnx.TensorProto.FLOAT]
    assert not large


def test_exported_upsampling_is_bilinear(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = torch.rand(2, 5, 7, 9)
    trained = upsample(picture)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    assert upsample(picture).sub(trained).abs().max() < 1e-6


def test_the_past_is_as_sharp_as_by_bicubic_sampling() -> None:
    """Grey is sampled as bicubic sampling does it; of a colour only what green does not share is softer."""
    past, label, motion = torch.rand(1, 3, 32, 48), torch.ones(1, 1, 32, 48), torch.full((1, 32, 48, 2), 0.4)
    grey = past[:, :1].expand(1, 3, 32, 48)
    bicubic = torch.nn.functional.grid_sample(
        grey, sampling_grid(motion), mode="bicubic", padding_mode="border", align_corners=False
    )
    moved, _, known = reproject(grey, label, label, motion)
    inside = (slice(None), slice(None), slice(0, -1), slice(0, -1))
    assert (moved - bicubic)[inside].abs().max() < 1e-5
    assert bool((known[inside] == 1.0).all())
    assert not known[..., -1, :].any()
    assert not known[..., -1].any()
    moved, *_ = reproject(past, label, label, motion)
    assert torch.allclose(reproject(past, label, label, torch.zeros_like(motion))[0], past, atol=1e-5)
    assert moved[:, 1].var() > moved[:, 0].var()
