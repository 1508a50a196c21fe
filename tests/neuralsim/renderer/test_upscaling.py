"""Pictures put together from windows: what is remembered moves exactly, what is uncovered leaves no ghosts."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.jitter import frame_jitter
from bridge.messages import Camera, Frame
from bridge.tags import Tag
from neuralsim.base import bands
from neuralsim.evaluation.upscaling_quality import distance, gradient, outlines
from neuralsim.renderer.neural_renderer import ModelError, NeuralRenderer
from neuralsim.renderer.upscaling import TemporalUpscaler, window_width
from neuralsim.session.child_options import bridge_options
from neuralsim.session.options import DriveOptions

W, H, WINDOW = 320, 64, 128


def frame(number: int, motion: tuple[float, float] = (0.0, 0.0), width: int = W, height: int = H) -> Frame:
    planes = {
        "tag": np.full((height, width), Tag.BUILDING, np.uint8),
        "instance": np.full((height, width), 10001, np.uint16),
        "depth": np.full((height, width), 30.0, np.float32),
        "motion": np.full((height, width, 2), motion, np.float16),
    }
    camera = Camera(width, height, 70.0, np.eye(4), frame_jitter(number))
    return Frame(number, number, number / 30, camera, planes)


def noise(seed: int = 0) -> np.ndarray:
    """Blobs of some pixels, u8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(40, 215, (H // 8, W // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)


def luminance(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float64) @ (0.25, 0.5, 0.25)


def step(upscaler: TemporalUpscaler, now: Frame, image: np.ndarray) -> np.ndarray:
    """Composite one frame whose generator returns ``image``."""
    for left in upscaler.reproject(now):
        upscaler.accumulate(np.ascontiguousarray(image[:, left : left + upscaler.window]), left)
    return upscaler.image()


def test_the_first_image_is_generated_whole() -> None:
    image = noise()
    shown = step(TemporalUpscaler((W, H), WINDOW), frame(1), image)
    assert np.abs(shown.astype(int) - image).max() <= 1


@pytest.mark.parametrize("window", [96, 128, 256])
def test_every_column_is_renewed_regularly(window: int) -> None:
    upscaler = TemporalUpscaler((W, H), window)
    step(upscaler, frame(0), noise(0))
    for number in range(1, 60):
        shown = step(upscaler, frame(number), noise(1))
    assert np.abs(shown.astype(int) - noise(1)).mean() < 2.0


def test_the_past_moves_by_whole_pixels_exactly_and_by_fractions_without_blur() -> None:
    image = noise()
    upscaler = TemporalUpscaler((W, H), WINDOW)
    step(upscaler, frame(0), image)
    assert len(upscaler.reproject(frame(1, (3.0, -2.0)))) == 1
    shown = upscaler.image()
    assert np.abs(shown[8:-8, 8:-8].astype(int) - image[6:-10, 11:-5]).max() <= 1
    expected = soft = luminance(image)[6:-10, 11:-5]
    for number in range(2, 10):  # to and fro by half a pixel
        upscaler.reproject(frame(number, (0.5 if number % 2 else -0.5, 0.0)))
        last = luminance(upscaler.image())[8:-8, 8:-8]
        soft = 0.5 * (soft + np.roll(soft, -1 if number % 2 else 1, axis=1))  # what bilinear sampling would leave
    lost, lost_bilinearly = (np.square(x - expected)[:, 8:-8].mean() for x in (last, soft))
    assert lost < 0.6 * lost_bilinearly


def test_uncovered_pixels_take_the_colour_next_to_them_and_show_no_ghost() -> None:
    upscaler = TemporalUpscaler((W, H), WINDOW)

    def with_car(number: int, left: int) -> Frame:
        now = frame(number)
        here = np.s_[20:44, left : left + 24]
        now.planes["tag"][here], now.planes["instance"][here] = Tag.CAR, 7
        now.planes["depth"][here] = 8.0
        now.planes["motion"][here] = (-6.0, 0.0)
        return now

    def generated(now: Frame) -> np.ndarray:
        car = (now.planes["tag"] == Tag.CAR)[..., None]
        return np.where(car, np.uint8([220, 20, 20]), np.uint8([90, 120, 90])).astype(np.uint8)

    for number in range(6):
        now = with_car(number, 100 + 6 * number)
        upscaler.reproject(now)
        if number == 0:
            for left in upscaler.covering_windows():
                upscaler.accumulate(np.ascontiguousarray(generated(now)[:, left : left + WINDOW]), left)
        shown = upscaler.image()  # nothing is generated after the first frame: only the past
    assert np.abs(shown[21:43, 100:128].astype(int) - (90, 120, 90)).max() < 12, "a ghost is left behind"
    assert np.abs(shown[22:42, 133:151].astype(int) - (220, 20, 20)).max() < 12, "the car has gone with its motion"


def test_columns_that_come_into_view_are_generated_first() -> None:
    upscaler = TemporalUpscaler((W, H), WINDOW)
    for number in range(8):
        step(upscaler, frame(number), noise())
    for motion, expected in (((40.0, 0.0), W - WINDOW), ((-40.0, 0.0), 0)):
        for number in range(8, 12):
            lefts = upscaler.reproject(frame(number, motion))
            if lefts == [expected]:
                break
            upscaler.accumulate(noise()[:, : upscaler.window], lefts[0])
            upscaler.image()
        assert lefts == [expected]


def test_outlines_lose_their_stairs_where_nothing_moves() -> None:
    """A slanting roof, drawn from another part of the pixel in each frame: shades between, as a lens would see it."""
    upscaler = TemporalUpscaler((W, H), W)
    rows, columns = np.mgrid[0:H, 0:W] + 0.5
    for number in range(45):
        now = frame(number)
        right, down = now.camera.jitter
        sky = rows - down < 20.0 + (columns - right) / 9.0
        now.planes["tag"][sky], now.planes["instance"][sky], now.planes["depth"][sky] = Tag.SKY, 0, 1000.0
        shown = step(upscaler, now, np.where(sky[..., None], 230, 60).astype(np.uint8).repeat(3, axis=2))
    expected = 60 + 170 * np.clip(20.0 + columns / 9.0 - rows + 0.5, 0.0, 1.0)
    stairs = np.where(rows < 20.0 + columns / 9.0, 230.0, 60.0)
    edge = np.abs(rows - 20.0 - columns / 9.0) < 1.5
    assert np.abs(shown[..., 0] - expected)[edge].mean() < 0.5 * np.abs(stairs - expected)[edge].mean()


@pytest.mark.parametrize(("width", "height"), [(97, 33), (2, 2), (64, 31)])
def test_any_size(width: int, height: int) -> None:
    upscaler = TemporalUpscaler((width, height), width)
    for number in range(3):
        now = frame(number, (0.3, -0.4), width, height)
        assert upscaler.reproject(now) == [0]
        upscaler.accumulate(np.full((height, width, 3), 77, np.uint8), 0)
        assert np.abs(upscaler.image().astype(int) - 77).max() <= 1


def test_invalid_motion_has_no_past() -> None:
    upscaler = TemporalUpscaler((W, H), WINDOW)
    for number in range(4):
        now = frame(number)
        now.planes["motion"][:] = (np.nan, np.inf, 65504.0, -65504.0)[number]
        shown = step(upscaler, now, noise())
    assert shown.shape == (H, W, 3)


def test_two_threads_give_the_image_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def last() -> np.ndarray:
        upscaler = TemporalUpscaler((W, 131), 96)
        for number in range(6):
            now = frame(number, (0.4, -0.3), W, 131)
            now.planes["instance"][20 + 9 * number :, 30:60] = 7
            image = step(upscaler, now, np.resize(noise(number), (131, W, 3)))
        return image

    helped = last()
    monkeypatch.setattr(bands, "_HELPER", None)
    np.testing.assert_array_equal(helped, last())


def test_uncovered_pixels_in_the_first_row_of_a_band_show_no_ghost() -> None:
    upscaler = TemporalUpscaler((W, 131), 96)
    black, white = np.zeros((131, W, 3), np.uint8), np.full((131, W, 3), 255, np.uint8)
    for number in range(3):
        step(upscaler, frame(number, (0.0, 0.0), W, 131), black)
    now = frame(3, (0.0, 0.0), W, 131)
    now.planes["tag"][20:] = Tag.SKY  # all of it new, and no past of that class to either side
    image = step(upscaler, now, white)
    assert image[20:].min() > 100


def test_impossible_windows_are_refused() -> None:
    for window in (0, W + 1, 40):
        with pytest.raises(ValueError, match="window"):
            TemporalUpscaler((W, H), window)


def test_a_window_has_the_requested_pixels() -> None:
    assert window_width(512 * 256, 1024, 512, 32) == 256
    assert window_width(1024 * 512, 2048, 1024, 32) == 512
    assert window_width(512 * 256, 512, 256, 32) == 512
    assert window_width(1, 1024, 512, 32) == 96, "rims alone are no window"


@pytest.mark.slow
def test_the_renderer_generates_a_quarter_and_shows_everything() -> None:
    renderer = NeuralRenderer(runtime="onnxruntime", threads=1, size=(512, 64), pixels=128 * 64)
    whole = NeuralRenderer(runtime="onnxruntime", threads=1, size=(512, 64)).render(frame(1, width=512, height=64))
    images = [renderer.render(frame(number, width=512, height=64)) for number in (1, 2, 3)]
    assert all(image.shape == (64, 512, 3) for image in images)
    assert renderer.generate(frame(4, width=512, height=64)).compositing > 0.0
    assert abs(images[0].mean() - whole.mean()) < 12.0
    renderer.reset()
    assert np.abs(renderer.render(frame(5, width=512, height=64)).astype(int) - images[0]).mean() < 6.0


def test_upscaling_needs_motion() -> None:
    renderer = NeuralRenderer(runtime="onnxruntime", threads=1, pixels=96 * 64)
    now = frame(1)
    del now.planes["motion"]
    with pytest.raises(ModelError, match="motion"):
        renderer.render(now)


def test_a_drive_that_shows_more_than_it_generates_has_larger_frames_and_jitters_whole_ones() -> None:
    link = {"server": "127.0.0.1:2000", "frames": "ipc:///frames", "fps": 30.0, "lockstep": False}
    large = bridge_options(DriveOptions(size=(512, 256), show=(1024, 512)), **link)
    assert large.size == (1024, 512)
    assert not large.jitter, "averaged over a visit or two, a shift is an error of position"
    assert bridge_options(DriveOptions(size=(512, 256), show=(512, 256)), **link).jitter
    assert not bridge_options(DriveOptions(), **link).jitter


def test_what_the_evaluation_compares() -> None:
    rng = np.random.default_rng(0)
    features = [rng.random((1, 6, 4, 4)).astype(np.float32)]
    assert distance(features, [3.0 * features[0]]) < 1e-9, "strength does not matter, direction does"
    assert distance(features, [features[0][:, ::-1]]) > 0.01
    ramp = np.tile(np.arange(64, dtype=np.float32)[None, :, None] * 2.0, (8, 1, 3))
    np.testing.assert_allclose(gradient(ramp)[2:-2, 2:-2], np.broadcast_to((2.0, 0.0), (4, 60, 2)), atol=1e-4)
    now = frame(0)
    now.planes["instance"][:, 100:] = 5
    assert np.flatnonzero(outlines(now)[3]).tolist() == [99, 100]
