"""Label maps in colours, with instances, in the red channel or with a palette are read as their ids."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from bridge.tags import COLOURS, Tag
from neuralsim import classmaps
from neuralsim.imaging.image_files import ImageError
from neuralsim.imaging.label_maps import read_labels
from neuralsim.offline import render_folder
from neuralsim.offline.options import RenderOptions

CLASSES = ("bdd100k", "carla", "cityscapes", "mapillary", "mapillary_v2")


def write(path: Path, image: np.ndarray) -> Path:
    """Write an image of RGB, RGBA or one channel."""
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
    assert cv2.imwrite(str(path), image if image.ndim == 2 else image[..., order[image.shape[2]]])
    return path


def with_palette(indices: np.ndarray, palette: np.ndarray) -> bytes:
    """Return a PNG of ``indices`` u8 (H, W) with a palette u8 (N, 3), which OpenCV cannot write."""
    height, width = indices.shape
    rows = np.pad(indices, ((0, 0), (1, 0)))  # each row follows its filter type: none
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = (b"IHDR", head), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part)) for kind, part in parts
    )


def coloured(classes: classmaps.ClassMap, size: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Return a map with a square of ``size`` px of every class that has a colour: RGB, and its ids."""
    count = len(classes.colours)
    squares = np.arange(-(-count // 8) * 8).reshape(-1, 8) % count
    indices = np.kron(squares, np.ones((size, size), int))
    return classes.colours[indices], classes.coloured[indices]


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("alpha", [False, True])
def test_colours_of_a_class_map_are_its_ids(name: str, alpha: bool, tmp_path: Path) -> None:
    classes = classmaps.load(name)
    image, ids = coloured(classes)
    if alpha:
        image = np.dstack([image, np.full(ids.shape, 255, np.uint8)])
    labels, doubtful = read_labels(write(tmp_path / "a.png", image), classes)
    assert doubtful == 0.0
    assert (classes.tags[labels] == classes.tags[ids]).mean() > (0.9 if name.startswith("mapillary") else 0.999)
    # Mapillary gives some colours to several classes: where only one tag has a colour, it is found
    for colour in np.unique(classes.colours, axis=0):
        tags = set(classes.tags[classes.coloured[(classes.colours == colour).all(axis=1)]].tolist())
        where = (image[..., :3] == colour).all(axis=2)
        assert set(classes.tags[labels[where]].tolist()) <= tags


def test_colours_that_were_scaled_are_read_and_the_share_of_doubtful_pixels_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = classmaps.load("cityscapes")
    image, ids = coloured(classes, 24)
    size = ids.shape[1] * 3 // 2, ids.shape[0] * 3 // 2
    (tmp_path / "maps").mkdir()
    path = write(tmp_path / "maps" / "a.png", cv2.resize(image, size, interpolation=cv2.INTER_LINEAR))
    labels, doubtful = read_labels(path, classes)
    expected = classes.tags[cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST)]
    assert 0.0 < doubtful < 0.2
    assert (classes.tags[labels] == expected).mean() > 0.95
    census = render_folder.LabelCensus()
    options = RenderOptions(labels=tmp_path / "maps", classes="cityscapes", out=tmp_path / "out")
    (item,) = render_folder.maps(options, classes, [path], census)
    assert item.size == size
    assert census.doubtful == [doubtful]
    monkeypatch.setattr(render_folder, "render", lambda _: (census, 1))
    assert render_folder.run(options) == 0
    assert f"{doubtful:.1%} of the pixels of 1 coloured maps" in capsys.readouterr().out


def test_other_colours_are_refused_by_one_of_them(tmp_path: Path) -> None:
    image = np.full((20, 20, 3), (10, 200, 90), np.uint8)
    path = write(tmp_path / "a.png", image)
    with pytest.raises(ImageError, match=r"100% of its pixels have other colours .*, such as \(10, 200, 90\)"):
        read_labels(path, classmaps.load("cityscapes"))
    with pytest.raises(ImageError, match="the class map camvid has no `colours`"):
        read_labels(path, classmaps.load("camvid"))


def test_ids_in_red_in_three_equal_channels_and_with_a_palette(tmp_path: Path) -> None:
    ids = np.repeat(np.array([1, 3, 11, 14], np.uint8), 8)[None].repeat(8, 0)
    zero, full = np.zeros_like(ids), np.full_like(ids, 255)
    carla = classmaps.load("carla")
    for image in (np.dstack([ids, zero, zero, full]), np.dstack([ids, zero, zero]), np.dstack([ids, ids, ids, full])):
        labels, doubtful = read_labels(write(tmp_path / "a.png", image), carla)
        assert (labels == ids).all()
        assert doubtful == 0.0
    (tmp_path / "b.png").write_bytes(with_palette(ids, COLOURS))
    assert (read_labels(tmp_path / "b.png", carla)[0] == ids).all()
    theirs = classmaps.load("cityscapes")  # other ids, the same colours
    assert (theirs.tags[read_labels(tmp_path / "b.png", theirs)[0]] == ids).all()


@pytest.mark.parametrize(("name", "factor"), [("cityscapes", 1000), ("kitti", 256), ("mapillary", 256)])
def test_instances_are_left_out_of_ids(name: str, factor: int, tmp_path: Path) -> None:
    plain = np.array([[23, 7, 26, 24]], np.uint16).repeat(4, 0)
    numbered = plain * factor + np.array([0, 0, 3, 17], np.uint16)
    if name == "cityscapes":
        numbered[:, :2] = plain[:, :2]
    assert (read_labels(write(tmp_path / "a.png", numbered), classmaps.load(name))[0] == plain).all()
    assert (read_labels(write(tmp_path / "b.png", plain), classmaps.load(name))[0] == plain).all()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("labels: {1: road}\ncolours: [1]", "expected `colours:`"),
        ("labels: {1: road}\ncolours: {1: [1, 2, 256]}", "the colour of label 1 is not"),
        ("labels: {1: road}\ncolours: {1: [1, 2, true]}", "the colour of label 1 is not"),
        ("labels: {1: road}\ncolours: {x: [1, 2, 3]}", "label id .* is not a whole number"),
        ("labels: {1: road}\ninstances: -1", "instances is '-1'"),
    ],
)
def test_bad_colours_of_a_class_map_are_one_line(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(classmaps.ClassMapError, match=complaint) as caught:
        classmaps.load(str(path))
    assert "\n" not in str(caught.value)


def test_own_colours_extend_those_of_another_map(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("like: cityscapes\nlabels: {50: car}\ncolours: {50: [1, 2, 3]}", encoding="utf-8")
    classes = classmaps.load(str(path))
    image = np.full((4, 4, 3), (1, 2, 3), np.uint8)
    image[:2] = (128, 64, 128)
    labels, _ = read_labels(write(tmp_path / "a.png", image), classes)
    assert (classes.tags[labels] == np.repeat([Tag.ROAD, Tag.CAR], 2)[:, None]).all()
