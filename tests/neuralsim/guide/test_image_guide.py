"""The simulator image as a guide: its tint and sketch of each pixel, and the whole model follows it."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.messages import Camera, Frame, Lamp
from bridge.tags import Tag
from neuralsim.base.colour import LUMA
from neuralsim.guide import GUIDES, guide_kernels, lamp_light
from neuralsim.guide.image_guide import ImageGuide
from neuralsim.models.classes import CHANNELS

H, W = 64, 96

CHROMA = 0.6  # of tints, over the simulator image's


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """tag, instance, rgb: a road, a wall in two colours, a blue car and a red one with a dark window, a crown, sky."""
    tag = np.full((H, W), Tag.SKY, np.uint8)
    tag[16:40] = Tag.BUILDING
    tag[40:] = Tag.ROAD
    tag[30:50, 10:30], tag[30:50, 30:50] = Tag.CAR, Tag.CAR
    tag[10:30, 80:] = Tag.VEGETATION
    instance = np.zeros((H, W), np.uint16)
    instance[30:50, 10:30], instance[30:50, 30:50] = 7, 65535
    rgb = np.full((H, W, 3), 100, np.uint8)
    rgb[16:40, : W // 2], rgb[16:40, W // 2 :] = (150, 60, 50), (90, 90, 120)
    rgb[30:50, 10:30], rgb[30:50, 30:50] = (20, 40, 160), (180, 30, 30)
    rgb[32:38, 34:46] = 20
    rgb[10:30, 80:] = np.random.default_rng(0).integers(40, 120, (20, 16, 1), np.uint8)
    return tag, instance, rgb


def lit_as(rgb: np.ndarray, tag: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """A style whose surfaces are ``factor`` times as bright as those of ``rgb``."""
    style = np.zeros((CHANNELS, 3), np.float32)
    ground = np.isin(tag, (Tag.ROAD, Tag.BUILDING, Tag.VEGETATION))
    style[:] = float((rgb[ground] @ LUMA).mean()) * factor / 255.0 - 0.5
    return style


def muted(rgb: np.ndarray) -> np.ndarray:
    """``rgb`` (3,) with the chroma that streets have in photographs, as bright as before."""
    return float(rgb @ LUMA) + CHROMA * (rgb - float(rgb @ LUMA))


def test_objects_have_their_mean_brightness_and_each_part_its_own_hue() -> None:
    tag, instance, rgb = scene()
    out = ImageGuide().follow(tag, instance, rgb, lit_as(rgb, tag), 0.0)
    for number in (7, 65535):
        inside = (tag == Tag.CAR) & (instance == number)
        tint = out[inside][:, :3].astype(float)
        mean = rgb[inside].mean(0)
        assert np.abs(tint.mean(0) - muted(mean)).max() < 1.0
        assert np.ptp(tint @ LUMA) < 1.5, "as bright everywhere as on the whole"
    body, window = out[45, 40, :3].astype(int), out[34, 40, :3].astype(int)
    assert body[0] - body[2] == pytest.approx(CHROMA * (180 - 30), abs=2), "a red car is red"
    assert np.ptp(window) <= 1, "and its window grey"
    left, right = out[20, 8, :3].astype(int), out[20, 88 - 16, :3].astype(int)
    assert left[0] > left[2] + 30, "the wall is red where it is red"
    assert right[2] > right[0], "and blue where it is blue"
    assert (out[tag == Tag.SKY] == 0).all(), "its surface noise is richer than a simulator's"
    crown = tag == Tag.VEGETATION
    assert (out[tag == Tag.ROAD][:, :3] == 0).all(), "a road keeps the hue of its style"
    assert (np.ptp(out[crown][:, :3].astype(int), axis=1) <= 1).all(), "leaves without a hue stay grey"
    assert out[::2, ::2][crown[::2, ::2]][:, 3].std() > 3.0, "and its sketch where it is dark and bright"


def test_a_sketch_shows_where_an_object_is_darker_than_its_mean() -> None:
    tag, instance, rgb = scene()
    out = ImageGuide().follow(tag, instance, rgb, lit_as(rgb, tag), 0.0)
    luma = rgb[tag == Tag.CAR] @ LUMA
    assert luma.std() > 5.0
    assert (out[20:24:2, 4:8:2, 3] > 100).all()
    window, body = int(out[34, 40, 3]), int(out[44, 40, 3])
    assert window < 100 < 128 < body, "1..255, 128 is the tint"
    mean = rgb[(tag == Tag.CAR) & (instance == 65535)].mean(0) @ LUMA
    expected = 128 + 127 * np.tanh(4.5 * (20.0 - mean) / 255.0)
    assert window == pytest.approx(expected, abs=2.0)
    assert (out[1::2, :, 3] == 0).all(), "only where the graph reads it"
    assert (out[:, 1::2, 3] == 0).all()


@pytest.mark.parametrize("step", [1, 2])
def test_the_outline_of_a_dark_car_is_not_as_bright_as_what_is_behind_it(step: int) -> None:
    tag, instance = np.full((H, W), Tag.BUILDING, np.uint8), np.zeros((H, W), np.uint16)
    tag[20:44, 31:63], instance[20:44, 31:63] = Tag.CAR, 7
    rgb = np.full((H, W, 3), 220, np.uint8)
    rgb[tag == Tag.CAR] = 30
    out = ImageGuide().follow(tag, instance, np.ascontiguousarray(rgb[::step, ::step]), lit_as(rgb, tag), 0.0)
    sketch = out[::2, ::2, 3][tag[::2, ::2] == Tag.CAR]
    assert np.ptp(sketch.astype(int)) <= 2


def test_paint_in_the_sun_is_no_lamp() -> None:
    tag, instance, rgb = scene()
    car = (tag == Tag.CAR) & (instance == 65535)
    rows, columns = np.nonzero(car)
    roof = rows[:8], columns[:8]
    for paint, sunlit in (
        ((70, 25, 30), (255, 40, 30)),
        ((75, 95, 130), (160, 200, 240)),
        ((130, 115, 45), (255, 200, 50)),
    ):
        rgb[car], rgb[roof] = paint, sunlit
        out = ImageGuide().follow(tag, instance, rgb, lit_as(rgb, tag), 0.0)[..., :3].astype(int)
        assert np.ptp(out[roof] @ LUMA) < 1.5, "as bright as its car"
        assert np.ptp(out[roof][0]) < np.ptp(sunlit), "and no purer than paint"


def test_a_lamp_gives_the_guide_its_colour_where_nothing_hides_it() -> None:
    tag, instance, rgb = scene()
    depth = np.full((H, W), 20.0, np.float32)
    depth[:, 40:] = 5.0
    before = ImageGuide().follow(tag, instance, rgb, lit_as(rgb, tag), 0.0).copy()
    guide = before.copy()
    lamp = Lamp("brake", "on", (36.0, 40.0, 44.0, 46.0), 20.0)
    lamp_light.tint_lamps(lamp_light.lamp_rows([lamp], W, 0.0), depth, guide)
    red, green, blue = guide[42, 38, :3].astype(int)
    assert red > 200
    assert max(green, blue) < 60
    assert abs(int(guide[42, 38, 3]) - 128) < abs(int(before[42, 38, 3]) - 128) or before[42, 38, 3] == 128
    assert (guide[:, 40:] == before[:, 40:]).all(), "hidden"
    changed = (guide != before).any(-1)
    assert changed[43, 37], "the lamp"
    assert not changed[:34].any(), "and nothing far from it"
    assert 60 < guide[43, 35, 0] < red, "its edge is soft"
    empty = np.zeros_like(guide)
    lamp_light.tint_lamps(lamp_light.lamp_rows([lamp], W, 0.0), depth, empty)
    assert not empty.any(), "where the guide is empty the surface keeps its own colour"


def test_lit_windows_are_bright_in_the_dark_only() -> None:
    tag, instance, rgb = scene()
    rgb[tag == Tag.BUILDING] = 20
    rgb[20:26, 50:56] = (236, 186, 110)
    by_day, by_night = (
        ImageGuide().follow(tag, instance, rgb, lit_as(rgb, tag), 0.0, True, dark)[..., :3].astype(float) @ LUMA
        for dark in (0.0, 1.0)
    )
    assert by_night[23, 53] > by_day[23, 53] + 40.0
    assert by_night[20, 4] < by_day[20, 4] + 10.0


def test_exposure_follows_the_style_slowly() -> None:
    tag, instance, rgb = scene()
    guide, style = ImageGuide(), lit_as(rgb, tag)
    car = (tag == Tag.CAR) & (instance == 7)
    by_day = guide.follow(tag, instance, rgb, style, 0.0)[car][0, 2]
    dark = lit_as(rgb, tag, 0.5)
    soon = guide.follow(tag, instance, rgb, dark, 0.05)[car][0, 2]
    late = guide.follow(tag, instance, rgb, dark, 10.0)[car][0, 2]
    assert by_day * 0.85 < soon < by_day
    assert late == pytest.approx(by_day * 0.5, abs=1.5)
    night = (rgb * 0.5).astype(np.uint8)
    guide.reset()
    again = guide.follow(tag, instance, night, dark, 20.0)[car][0, 2]
    assert again == pytest.approx(by_day * 0.5, abs=2.5), "a dark image is not darkened again"


def test_the_guide_from_every_second_pixel_differs_only_at_outlines() -> None:
    tag, instance, rgb = scene()
    rgb[10:30, 80:] = np.random.default_rng(0).integers(40, 120, (10, 8, 1)).repeat(2, 0).repeat(2, 1)
    style, guide = lit_as(rgb, tag), ImageGuide()
    whole = guide.follow(tag, instance, rgb, style, 0.0).astype(int)
    half = guide.follow(tag, instance, np.ascontiguousarray(rgb[::2, ::2]), style, 0.0).astype(int)
    assert half.shape == whole.shape
    assert (np.abs(half - whole).max(-1) <= 3).mean() > 0.97
    sketched = whole[::2, ::2, 3]
    assert sketched.std() > 5
    assert ((half[::2, ::2, 3] > 0) == (sketched > 0)).all()
    assert (guide.follow(tag, instance, rgb, style, 0.0) == whole).all(), "and from all pixels again"


@pytest.mark.parametrize("size", [(7, 9), (12, 16), (1, 1)])
def test_pixels_between_take_the_tint_of_a_neighbour_of_the_same_object(size: tuple[int, int]) -> None:
    dice = np.random.default_rng(3)
    tag, instance = dice.integers(0, 3, size, np.uint8), dice.integers(0, 2, size, np.uint16)
    half = dice.integers(1, 1 << 32, ((size[0] + 1) // 2, (size[1] + 1) // 2), np.uint32)
    out = np.zeros(size, np.uint32)
    guide_kernels.upsample_guide(tag, instance, half, out)
    for y, x in np.ndindex(size):
        around = [(row, column) for row in (y - y % 2, y + y % 2) for column in (x - x % 2, x + x % 2)]
        inside = [place for place in around if place[0] < size[0] and place[1] < size[1]]
        like = [place for place in inside if (tag[place], instance[place]) == (tag[y, x], instance[y, x])]
        marks = half[like[0][0] // 2, like[0][1] // 2] if like else 0
        assert out[y, x] == (marks if (y % 2, x % 2) == (0, 0) else marks & 0xFFFFFF)


def test_any_size_and_read_only_planes() -> None:
    guide = ImageGuide()
    for height, width in ((32, 32), (96, 64), (33, 47)):
        tag, instance, rgb = (np.resize(plane, (height, width, *plane.shape[2:])) for plane in scene())
        for plane in (tag, instance, rgb):
            plane.flags.writeable = False
        out = guide.follow(tag, instance, rgb, np.zeros((CHANNELS, 3), np.float32), 0.0)
        assert out.shape == (height, width, 4)


def test_a_model_with_a_guide_follows_the_simulator_image() -> None:
    """A car is rendered in the colour of the ``rgb`` plane, after real cars, or by its surface alone."""
    from neuralsim.renderer import NeuralRenderer

    tag, instance, rgb = scene()
    planes = {
        "tag": tag, "instance": instance, "motion": np.zeros((H, W, 2), np.float16),
        "depth": np.full((H, W), 20.0, np.float32),
    }  # fmt: skip
    camera = Camera(W, H, 70.0, np.eye(4))

    def render(guide: str, **more: np.ndarray) -> np.ndarray:
        renderer = NeuralRenderer("street-rt", "onnxruntime", threads=1, guide=guide)
        assert renderer.follows_simulator_image == (guide == "picture")
        return renderer.render(Frame(1, 1, 0.0, camera, planes | more)).astype(int)

    blue = (tag == Tag.CAR) & (instance == 7)
    followed, ignored, real = render("picture", rgb=rgb), render("surface", rgb=rgb), render("exemplars", rgb=rgb)
    assert (render("picture") == ignored).all(), "there is none"
    red, _, bluish = followed[blue].mean(0)
    assert bluish > red + 40.0
    car, far = tag == Tag.CAR, np.ones_like(tag, bool)
    far[20:60, :64] = False
    assert np.abs(real - ignored)[car].mean() > 3.0, "it looks like a real car"
    assert np.abs(real - ignored)[far].mean() < 0.5 * np.abs(real - ignored)[car].mean()
    assert np.abs(followed - ignored)[blue].mean() > 10.0
    halved = render("picture", rgb_half=np.ascontiguousarray(rgb[::2, ::2]))
    assert np.abs(halved - followed)[car].mean() < 0.2 * np.abs(halved - ignored)[car].mean()
    assert np.abs(followed - ignored)[tag == Tag.ROAD].mean() < 0.25 * np.abs(followed - ignored)[blue].mean()


def test_outlines_of_instances_draw_no_contours_where_the_simulator_image_shows_them() -> None:
    """A single car gets the same guide with an instance as without; the graph alone would outline it."""
    from neuralsim.renderer import NeuralRenderer

    tag, _, rgb = scene()
    tag[30:50, 10:50] = Tag.CAR
    camera = Camera(W, H, 70.0, np.eye(4))

    def render(number: int, **more: np.ndarray) -> np.ndarray:
        planes = {
            "tag": tag, "instance": np.where(tag == Tag.CAR, number, 0).astype(np.uint16),
            "motion": np.zeros((H, W, 2), np.float16), "depth": np.full((H, W), 20.0, np.float32),
        }  # fmt: skip
        renderer = NeuralRenderer("street-rt", "onnxruntime", threads=1, postprocess=False)
        return renderer.render(Frame(1, 1, 0.0, camera, planes | more)).astype(int)

    assert (render(7, rgb=rgb) == render(0, rgb=rgb)).all()
    assert (render(7) != render(0)).any()


def test_the_option_accepts_all_guides() -> None:
    from neuralsim.session.options import DriveOptions

    assert [DriveOptions(guide=guide).guide for guide in GUIDES] == list(GUIDES)
    with pytest.raises(ValueError, match="guide"):
        DriveOptions(guide="nobody")


def test_windows_follow_the_simulator_image_at_half_the_size() -> None:
    from neuralsim.session.child_options import bridge_options
    from neuralsim.session.options import DriveOptions

    for show, plane in ((None, "rgb"), ("512x256", "rgb"), ("1024x512", "rgb_half")):
        options = DriveOptions(size="512x256", show=show)
        assert options.picture_plane == plane
        unhurried = bridge_options(options, "a:1", "ipc:///tmp/f", fps=30.0, lockstep=True)
        assert unhurried.planes[-1] == "rgb", "offline there is time for all of it"
