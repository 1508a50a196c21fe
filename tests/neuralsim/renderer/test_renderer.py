"""The renderer as its users know it: shipped model in, images out, one line for each error."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.frames import street

from neuralsim import runtimes, zoo
from neuralsim.renderer.neural_renderer import ModelError, NeuralRenderer, RuntimeUnavailable


@pytest.mark.parametrize("runtime", runtimes.available())
def test_shipped_model_renders_sky_brighter_than_road(runtime: str) -> None:
    renderer = NeuralRenderer(runtime=runtime, threads=1)
    for number in range(1, 4):
        image = renderer.render(street(number))
    assert image.shape == (64, 128, 3)
    assert image.dtype == np.uint8
    assert image[:12].mean() > image[-16:].mean() + 40
    assert runtime in renderer.runtime


def test_runtimes_agree_far_from_the_origin() -> None:
    """Surface coordinates must stay fp32: half a kilometre out, bf16 has steps of two metres."""
    far = street(width=256, height=128)
    rows = (np.arange(128) + 0.5 - 64)[:, None] / far.camera.focal
    far.planes["depth"] = np.broadcast_to(np.clip(1.5 / np.maximum(rows, 1e-3), 0.0, 20.0), (128, 256)).astype(
        np.float32
    )
    far.camera.pose[:3, 3] = (-253.3, 473.1, 1.5)
    images = [NeuralRenderer(runtime=name, threads=1).render(far).astype(float) for name in runtimes.available()]
    assert len(images) >= 2
    assert images[0].std() > 20
    for other in images[1:]:
        psnr = 10 * np.log10(255**2 / np.mean((images[0] - other) ** 2))
        assert psnr > 40, f"{psnr:.1f} dB"


@pytest.mark.slow
def test_any_size_and_a_change_of_size() -> None:
    renderer = NeuralRenderer(threads=1)
    for width, height in ((130, 75), (96, 96)):
        assert renderer.render(street(1, width, height)).shape == (height, width, 3)


def test_an_image_has_no_line_along_its_border() -> None:
    renderer = NeuralRenderer(threads=1)
    image = np.mean([renderer.render(street(n, 256, 128)).astype(float) for n in (1, 2, 3)], axis=0)
    for lines in (image, image.swapaxes(0, 1)):
        steps = np.abs(np.diff(lines, axis=0)).mean((1, 2))
        assert max(steps[0], steps[-1]) <= np.median(steps)


def test_same_frames_give_same_bytes_and_a_jump_back_resets() -> None:
    renderer = NeuralRenderer(threads=1)
    first = [renderer.render(street(n)) for n in (1, 2, 3)]
    again = [renderer.render(street(n)) for n in (1, 2, 3)]  # simulator time jumps back: the state starts afresh
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


class Lost(Exception):
    """As a library raises when its device is gone."""


def test_when_a_runtime_fails_the_next_one_continues_from_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer, undisturbed, fresh = (NeuralRenderer(threads=1) for _ in range(3))
    frames = [street(n) for n in range(1, 7)]
    for other in frames:
        other.planes["tag"] = np.roll(other.planes["tag"], other.sequence, axis=0)
    for each in frames[:5]:
        renderer.render(each)
        undisturbed.render(each)
    failed = renderer._view.session

    def lost(inputs: dict[str, np.ndarray]) -> np.ndarray:
        raise Lost("CUDA error: an illegal memory access\nwas encountered")

    monkeypatch.setattr(failed, "step", lost)
    image = renderer.render(frames[5]).astype(float)
    assert renderer._view.session is not failed
    assert "failed: CUDA error: an illegal memory access was encountered; running on " in renderer.warning
    expected = undisturbed.render(frames[5]).astype(float)
    without_state = fresh.render(frames[5]).astype(float)
    assert np.abs(image - expected).mean() < 0.5 * np.abs(without_state - expected).mean()


def test_a_requested_runtime_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = NeuralRenderer(runtime="onnxruntime", threads=1)
    renderer.render(street(1))

    def full(inputs: dict[str, np.ndarray]) -> np.ndarray:
        raise MemoryError("out of memory")

    monkeypatch.setattr(renderer._view.session, "step", full)
    with pytest.raises(RuntimeUnavailable, match=r"^onnxruntime.* failed: out of memory$"):
        renderer.render(street(2))


def test_styles_of_the_card_change_the_light() -> None:
    bright, dark = (NeuralRenderer(threads=1, style=s).render(street()).mean() for s in ("overcast", "dusk"))
    assert dark < bright - 10


def test_bad_models_and_runtimes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected one of .*street-rt"):
        NeuralRenderer(model="no-such-model")
    with pytest.raises(RuntimeUnavailable, match="known: auto, openvino"):
        NeuralRenderer(runtime="abacus")
    with pytest.raises(ModelError, match="no style"):
        NeuralRenderer(style="sepia")
    copy = tmp_path / "model"
    shutil.copytree(zoo.HERE / "street-rt", copy)
    with (copy / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="sha256"):
        NeuralRenderer(model=str(copy))
    (copy / "card.yaml").write_text("name: [")
    with pytest.raises(ModelError, match="not a readable model card"):
        NeuralRenderer(model=str(copy))


def test_a_missing_plane_or_a_wrong_card_is_one_line(tmp_path: Path) -> None:
    lacking = street()
    del lacking.planes["depth"]
    with pytest.raises(ModelError, match=r"renders from the planes tag,.*has only tag,instance,motion"):
        NeuralRenderer(threads=1).render(lacking)
    copy = tmp_path / "model"
    shutil.copytree(zoo.HERE / "street-rt", copy)
    card = (copy / "card.yaml").read_text(encoding="utf-8")
    for text, complaint in (
        (card.replace("multiple_of: 32", "multiple_of: 0"), "multiple_of must be"),
        (card.replace("  day:\n", "  day:\n  - [0, 0, 0]\n"), "multiple_of must be"),
        (card.replace("exact: [", "exact: [0.5, "), "a share for each of 14 classes; export it again"),
    ):
        assert text != card
        (copy / "card.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(ModelError, match=complaint):
            NeuralRenderer(model=str(copy))


def test_a_cut_is_in_the_chosen_style_at_once() -> None:
    cut, fresh = (NeuralRenderer(threads=1, style=style) for style in ("overcast", "dusk"))
    cut.render(street())
    cut.set_style("dusk")
    cut.reset()
    assert np.array_equal(cut.render(street()), fresh.render(street()))


def test_the_drive_path_imports_no_torch() -> None:
    modules = "neuralsim.renderer, neuralsim.cli, neuralsim.drive.drive_loop"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
