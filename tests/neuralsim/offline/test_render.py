"""Folders of label maps: class maps, motion of real clips, pseudo-depth, and the rendered images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.clips import street, write_clip

from bridge.link.motion import reproject
from bridge.messages import Camera, Frame
from bridge.tags import Tag
from neuralsim import classmaps, cli
from neuralsim.imaging import optical_flow
from neuralsim.imaging.object_tracker import ObjectTracker
from neuralsim.imaging.pseudo_depth import PseudoDepth, PseudoView, horizon_row
from neuralsim.models.classes import CARLA_TO_CHANNEL, Channel
from neuralsim.offline.render_folder import Map, finish_image, render_size, resize_image

# Class maps -----------------------------------------------------------------------------------------------------------


def test_camvid_and_cityscapes_ids_map_to_the_training_channels() -> None:
    c = Channel
    camvid = (
        c.SKY, c.BUILDING, c.POLE, c.ROAD, c.SIDEWALK, c.VEGETATION, c.SIGN, c.BARRIER, c.VEHICLE, c.PERSON, c.CYCLE,
        c.OTHER,
    )  # fmt: skip
    assert tuple(CARLA_TO_CHANNEL[classmaps.load("camvid").tags[:12]]) == camvid
    cityscapes = CARLA_TO_CHANNEL[classmaps.load("cityscapes").tags]
    for label, channel in {7: c.ROAD, 8: c.SIDEWALK, 11: c.BUILDING, 20: c.SIGN, 23: c.SKY, 26: c.VEHICLE}.items():
        assert cityscapes[label] == channel
    assert (classmaps.load("kitti").tags == classmaps.load("cityscapes").tags).all()
    assert (classmaps.load("carla").tags[: len(Tag)] == np.arange(len(Tag))).all()


def test_every_shipped_class_map_knows_roads_houses_sky_and_cars() -> None:
    for name in classmaps.names():
        loaded = classmaps.load(name)
        assert {Tag.ROAD, Tag.BUILDING, Tag.SKY, Tag.CAR} <= set(loaded.tags[loaded.known].tolist()), name


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("labels: {1: rode}", "'rode' is not one of CARLA's tags"),
        ("labels: {-1: road}", "not a whole number"),
        ("- road", "expected `labels:`"),
        ("labels: [", "while parsing"),
        ("like: own.yaml", "leads back to itself"),
    ],
)
def test_a_bad_class_map_is_one_line(
    tmp_path: Path, text: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(classmaps.ClassMapError, match=complaint) as error:
        classmaps.load("own.yaml")
    assert "\n" not in str(error.value)


# Motion ---------------------------------------------------------------------------------------------------------------


def test_flow_leads_back_to_the_last_place_and_survives_the_file(tmp_path: Path) -> None:
    _, images = write_clip(tmp_path, frames=2, size=(160, 120))
    assert cli.main(["images", "flow", str(images), "--out", str(tmp_path / "motion")]) == 0
    motion, valid = optical_flow.load(tmp_path / "motion" / "f01.png")
    inner = motion[20:-20, 20:-20]
    assert np.abs(inner - [-1.0, 0.0]).mean() < 0.1  # the image moved right: its past lies to the left
    assert valid[20:-20, 20:-20].mean() > 0.95
    assert not optical_flow.load(tmp_path / "motion" / "f00.png")[1].any()  # the first has no past


# The stand-in world ---------------------------------------------------------------------------------------------------


def canyon(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Tags and depth of a street between two walls, 6 m to the left and 8 m to the right, 9 m high."""
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width] + 0.5
    local = np.stack(
        [np.ones_like(rows), (columns - camera.width / 2) / camera.focal, -(rows - camera.height / 2) / camera.focal],
        -1,
    )
    ray, eye = local @ camera.pose[:3, :3].T, camera.pose[:3, 3]
    with np.errstate(divide="ignore"):
        wall = np.where(ray[..., 1] < 0, (-6.0 - eye[1]) / ray[..., 1], (8.0 - eye[1]) / ray[..., 1])
        ground = np.where(ray[..., 2] < 0, -eye[2] / ray[..., 2], np.inf)
    high = eye[2] + wall * ray[..., 2] > 9.0
    depth = np.minimum(np.where(high, np.inf, wall), ground)
    tag = np.where(ground < wall, Tag.ROAD, np.where(high, Tag.SKY, Tag.BUILDING)).astype(np.uint8)
    return tag, np.where(np.isfinite(depth), depth, 1000.0).clip(0.0, 1000.0).astype(np.float32)


def driven(
    walls: Tag = Tag.BUILDING, noise: float = 0.0
) -> Iterator[tuple[PseudoView, Camera, np.ndarray, np.ndarray]]:
    """A drive through the canyon: what the stage makes of its labels and motion, the true camera, tags and depth.

    ``noise``: deviation of the motion's errors, px, as blotchy as a flow's.
    """
    width, height, step = 256, 192, 0.3
    cameras = []
    for k in range(25):
        pose = np.eye(4)
        turn = 0.002 * k
        pose[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        pose[:3, 3] = step * k, 0.0, 1.45
        cameras.append(Camera(width, height, 60.0, pose))
    seen = []
    for camera in cameras:
        tag, depth = canyon(camera)
        seen.append((np.where(tag == Tag.BUILDING, np.uint8(walls), tag), depth))
    horizon = horizon_row([CARLA_TO_CHANNEL[tag] for tag, _ in seen])
    stage = PseudoDepth((width, height), cameras[0].focal, horizon)
    nothing, rng = np.zeros((height, width), np.uint16), np.random.default_rng(0)
    for k, (camera, (tag, depth)) in enumerate(zip(cameras, seen, strict=True)):
        motion = None
        if k:
            blotches = cv2.resize(rng.normal(0.0, noise, (12, 16, 2)), (width, height), interpolation=cv2.INTER_LINEAR)
            motion = (reproject(depth, camera, cameras[k - 1].pose) + blotches).astype(np.float32)
        yield stage.view(tag, nothing, motion, None), camera, tag, depth


def points(view: PseudoView, camera: Camera) -> np.ndarray:
    """World points f64 (H, W, 3) of the stand-in world."""
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width] + 0.5
    sideways, down = (columns - camera.width / 2) / camera.focal, (rows - camera.height / 2) / camera.focal
    ray = np.stack([np.ones_like(rows), sideways, -down], -1) @ view.pose[:3, :3].T
    return np.asarray(view.pose[:3, 3] + view.depth[..., None] * ray)


def test_pseudo_depth_recovers_street_and_motion_from_labels_and_flow() -> None:
    *_, (view, _, tag, depth) = driven()
    assert np.hypot(*view.pose[:2, 3]) == pytest.approx(0.3 * 24, rel=0.15)
    wall = (tag == Tag.BUILDING) & (depth < 40.0)
    wrong = np.abs(view.depth / depth - 1.0)
    assert np.median(wrong[wall]) < 0.2
    assert np.median(wrong[(tag == Tag.ROAD) & (depth < 30.0)]) < 0.1
    assert (view.depth[tag == Tag.SKY] > 900.0).all()
    assert len(np.unique(view.plot[wall])) >= 4  # houses of their own on either side


def test_walls_are_plane_where_the_feet_of_labels_are_ragged() -> None:
    """Windows hang in rows on a wall: where it waves, so do they."""
    pose = np.eye(4)
    pose[2, 3] = 1.45
    camera = Camera(256, 192, 60.0, pose)
    tag, depth = canyon(camera)
    columns = np.arange(256)
    wave = 3.0 * np.sin(columns / 5.0)
    ragged = np.where((tag == Tag.ROAD) & np.roll(tag == Tag.BUILDING, 3, 0) & (wave > 0), Tag.BUILDING, tag)
    stage = PseudoDepth((256, 192), camera.focal, 96.0)
    view = stage.view(ragged.astype(np.uint8), np.zeros((192, 256), np.uint16), None, None)
    for side in (slice(10, 80), slice(190, 246)):
        inverse = 1.0 / view.depth[90, side].astype(np.float64)
        line = np.polyval(np.polyfit(columns[side], inverse, 1), columns[side])
        assert np.abs(inverse - line).max() < 0.02 * inverse.mean()
        assert inverse.mean() == pytest.approx((1.0 / depth[90, side]).mean(), rel=0.15)


def test_trees_along_the_street_are_cards_across_it_with_a_fixed_place() -> None:
    """A crown seen at a slant would have its noise drawn out into streaks."""
    places = []
    for view, camera, tag, depth in driven(walls=Tag.VEGETATION):
        trees = (tag == Tag.VEGETATION) & (depth < 30.0)
        ahead = points(view, camera)[..., 0]
        step = np.abs(np.diff(ahead, axis=1))[trees[:, 1:] & trees[:, :-1]]
        assert (step < 0.02).mean() > 0.9, "within a card the street's direction does not change"
        places.append(set(np.unique(ahead[trees].round(1))))
    assert len(places[-1]) >= 4, "one tree behind the other"
    assert len(places[-1] & places[-2]) >= 0.7 * len(places[-1]), "they do not come along with the car"


def test_a_poor_flow_does_not_bend_the_road() -> None:
    *_, (view, camera, tag, depth) = driven(noise=0.7)
    road = (tag == Tag.ROAD) & (depth < 20.0)
    assert np.abs(points(view, camera)[..., 2][road]).max() < 0.05


def test_objects_keep_their_numbers_while_they_move() -> None:
    objects = ObjectTracker()
    moved = np.zeros((40, 80, 2), np.float32)
    moved[:, :40, 0] = -2.0  # what is on the left comes from two pixels further left
    first = np.zeros((40, 80), np.uint8)
    first[10:20, 10:22], first[10:20, 50:60] = Tag.CAR, Tag.CAR
    second = np.zeros_like(first)
    second[10:20, 12:24], second[10:20, 50:60], second[30:36, 70:76] = Tag.CAR, Tag.CAR, Tag.PEDESTRIAN
    before, after = objects.track(first, None), objects.track(second, moved)
    assert before[15, 15] == after[15, 15] != 0
    assert before[15, 55] == after[15, 55] != before[15, 15]
    assert after[33, 73] not in (0, before[15, 15], before[15, 55])
    assert after[0, 0] == 0


# neuralsim render -----------------------------------------------------------------------------------------------------


def test_each_label_map_becomes_an_image_of_its_name_and_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    odd, even = street(97, 61), street(64, 64)
    odd[:3, :5] = 77
    cv2.imwrite(str(labels / "odd.png"), odd)
    cv2.imwrite(str(labels / "even.png"), cv2.merge([even] * 3))  # one channel written as three
    arguments = ["render", str(labels), "--classes", "camvid", "--size", "128x96", "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    assert "label 77 is not in the class map: 15 pixels in 1 files" in capsys.readouterr().out
    for name, size in (("odd", (61, 97)), ("even", (64, 64))):
        image = cv2.imread(str(tmp_path / "out" / f"{name}.png"))
        assert image.shape == (*size, 3)
        assert image[: size[0] // 3, size[1] // 2].mean() > image[-size[0] // 4 :].mean()  # sky over road


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((128, 64), (384, 192)),
        ((320, 160), (480, 240)),
        ((480, 360), (640, 480)),
        ((640, 320), (640, 320)),
        ((800, 600), (800, 600)),
        ((2048, 928), (1024, 464)),
    ],
)
def test_small_maps_are_rendered_larger_and_large_ones_smaller(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert render_size(size) == expected


def test_supersampled_images_stay_sharp_and_smaller_ones_have_no_moire() -> None:
    rng = np.random.default_rng(5)
    grain = rng.integers(0, 256, (480, 640, 3), np.uint8)
    area = cv2.resize(grain, (480, 360), interpolation=cv2.INTER_AREA)
    resized = resize_image(grain, (480, 360))
    assert resized.mean() == pytest.approx(grain.mean(), abs=1.0)
    assert resized.std() > 1.1 * area.std()
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    assert resize_image(stripes, (200, 150)).std() < 30.0, "no moiré"


def test_supersampled_images_are_sharpened_where_they_follow_the_one_before() -> None:
    grain = np.random.default_rng(6).integers(64, 192, (64, 96, 3), np.uint8)
    planes = {"tag": np.full((64, 96), Tag.BUILDING, np.uint8)}
    frame = Frame(1, 1, 0.0, Camera(96, 64, 70.0, np.eye(4)), planes)
    small, whole = (72, 48), (96, 64)
    plain = resize_image(grain, small)
    assert finish_image(grain, Map("a", small, frame, has_motion=True), has_past=True).std() > 1.1 * plain.std()
    assert np.array_equal(finish_image(grain, Map("a", small, frame, has_motion=False), has_past=True), plain)
    assert np.array_equal(finish_image(grain, Map("a", small, frame, has_motion=True), has_past=False), plain)
    assert np.array_equal(finish_image(grain, Map("a", whole, frame, has_motion=True), has_past=True), grain)


def test_a_sequence_becomes_images_and_a_video_and_uses_its_past(tmp_path: Path) -> None:
    labels, images = write_clip(tmp_path)
    motion, kept, alone = tmp_path / "motion", tmp_path / "kept", tmp_path / "alone"
    assert cli.main(["images", "flow", str(images), "--out", str(motion)]) == 0
    common = ["render", str(labels), "--classes", "camvid", "--size", "128x96", "--sequence", "--motion", str(motion)]
    assert cli.main([*common, "--out", str(kept)]) == 0
    assert cli.main([*common, "--out", str(alone), "--frame-by-frame"]) == 0
    video = cv2.VideoCapture(str(kept / "label.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 3 or sum(video.read()[0] for _ in range(9)) == 3
    images = {folder: [cv2.imread(str(folder / f"f{k:02d}.png")) for k in range(3)] for folder in (kept, alone)}
    assert (images[kept][0] == images[alone][0]).all()
    assert (images[kept][2] != images[alone][2]).any()


@pytest.mark.slow
def test_a_sequence_can_be_rendered_in_windows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, _ = write_clip(tmp_path)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    common = [
        "render",
        str(labels),
        "--classes",
        "camvid",
        "--size",
        "192x96",
        "--sequence",
        "--runtime",
        "onnxruntime",
    ]
    assert cli.main([*common, "--out", str(whole)]) == 0
    assert cli.main([*common, "--paint", "96x96", "--out", str(parts)]) == 0
    last = [cv2.imread(str(folder / "f02.png")).astype(int) for folder in (whole, parts)]
    assert last[0].shape == last[1].shape
    assert 0.0 < np.abs(last[0] - last[1]).mean() < 30.0
    assert cli.main([*common[:6], "--paint", "96x96", "--out", str(parts)]) == 2
    assert "--sequence" in capsys.readouterr().err


def test_bad_input_is_one_line_that_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    arguments = ["render", str(labels), "--classes", "camvid", "--size", "64x64", "--out", str(tmp_path / "out")]

    def complaint(code: int, *extra: str) -> str:
        assert cli.main([*arguments, *extra]) == code
        # a machine under load shows progress before
        lines = [line for line in capsys.readouterr().err.splitlines() if line and not line.startswith("[")]
        assert len(lines) == 1
        return lines[0]

    assert "contains no images" in complaint(1)
    cv2.imwrite(str(labels / "a.png"), street())
    assert "needs --sequence" in complaint(2, "--motion", str(labels))
    assert "not a folder" in complaint(2, "--instances", str(tmp_path / "none"))
    assert "no image named a" in complaint(1, "--instances", str(tmp_path))
    assert "no style 'neon'" in complaint(1, "--style", "neon")
    assert "unknown model" in complaint(1, "--model", "nobody")
    cv2.imwrite(str(labels / "b.png"), street(80, 64))
    assert "b.png: 80x64 pixels, but the clip began with 96x64" in complaint(1, "--sequence")
    (labels / "b.png").write_bytes((labels / "a.png").read_bytes()[:60])
    assert "b.png: damaged" in complaint(1, "--sequence")
    assert "b.png: damaged or not an image: skipped" in complaint(1)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a.png"], "the others are rendered"
    cv2.imwrite(str(labels / "b.png"), np.dstack([street()] * 2 + [street() + 1]))
    assert "b.png: a colour image" in complaint(1)
    assert cli.main([*arguments[:3], "mycity", *arguments[4:]]) == 1
    assert "unknown class map 'mycity'" in capsys.readouterr().err
