"""Data sets on the disk: their layouts, and what becomes of pictures and labels that cannot be used."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from neuralsim.imaging.image_files import ImageError, read_ids, read_image
from neuralsim.models.classes import Channel
from neuralsim.training import configs
from neuralsim.training.config import Source, load_stages
from neuralsim.training.data.datasets import DATASETS, ImageSet, Pictures, find

SIZE = 160, 96  # px


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def photograph(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (SIZE[1], SIZE[0], 3)).astype(np.uint8)


def ids(road: int, car: int = 0) -> np.ndarray:
    label = np.full((SIZE[1], SIZE[0]), road, np.uint8)
    label[10:40, 20:80] = car
    return label


def pal8(path: Path, label: np.ndarray) -> None:
    """A PNG of palette indices, as Mapillary Vistas has them: OpenCV writes none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.tobytes() for row in label)
    header = struct.pack(">IIBBBBB", label.shape[1], label.shape[0], 8, 3, 0, 0, 0)
    colours = np.random.default_rng(0).integers(0, 255, (256, 3)).astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            chunk(*c) for c in ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        )
    )


def pictures(*sets: ImageSet) -> tuple[Pictures, list[str]]:
    messages: list[str] = []
    return Pictures(sets, (64, 32), 10**9, messages.append), messages


def own(root: Path, count: int = 3) -> ImageSet:
    """A plain folder in CamVid's ids."""
    for k in range(count):
        write(root / f"images/f{k}.jpg", photograph(k))
        write(root / f"labels/f{k}.png", ids(3, 8))
    return find(Source(root=str(root), classes="camvid"))


@pytest.mark.parametrize(
    ("name", "image", "label", "instance", "road", "car"),
    [
        ("camvid", "train/image/a.png", "train/label/a.png", "", 3, 8),
        (
            "cityscapes",
            "leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png",
            "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png",
            "gtFine/train/ulm/ulm_000000_000019_gtFine_instanceIds.png",
            7,
            26,
        ),
        ("cityscapes", "clip0/image/a.jpg", "clip0/label/a.png", "clip0/instance/a.png", 7, 26),
        (
            "kitti",
            "training/image_2/000000_10.png",
            "training/semantic/000000_10.png",
            "training/instance/000000_10.png",
            7,
            26,
        ),
        ("mapillary", "training/images/a.jpg", "training/labels/a.png", "training/instances/a.png", 13, 55),
        ("mapillary", "training/images/a.jpg", "training/v2.0/labels/a.png", "training/v2.0/instances/a.png", 21, 108),
        ("bdd100k", "images/10k/train/a.jpg", "labels/sem_seg/masks/train/a.png", "", 0, 13),
        ("neuralsim", "rgb/000000.png", "tag/000000.png", "instance/000000.png", 1, 14),
    ],
)
def test_a_data_set_is_found_in_its_official_layout(
    tmp_path: Path, name: str, image: str, label: str, instance: str, road: int, car: int
) -> None:
    write(tmp_path / image, photograph())
    (pal8 if name == "mapillary" else write)(tmp_path / label, ids(road, car))
    if instance:
        write(tmp_path / instance, ids(0, 9).astype(np.uint16) * 1000)
    every, messages = pictures(find(Source(name=name, root=str(tmp_path))))
    picture = every.draw(np.random.default_rng(0))
    height, width = picture.label.shape
    assert messages == []
    assert picture.label[height - 1, width - 1] in (Channel.ROAD, Channel.ROAD_LINE)
    assert picture.label[height // 4, width // 4] == Channel.VEHICLE
    assert (picture.instance is not None) == bool(instance)
    assert width < SIZE[0], "shrunk to what 64x32 can use"
    if picture.instance is not None:
        assert picture.instance[height // 4, width // 4] == 9000


def test_every_data_set_says_where_it_looked(tmp_path: Path) -> None:
    for name in DATASETS:
        with pytest.raises(ImageError, match=f"{tmp_path}: no labelled images of {name}.*looked for") as error:
            find(Source(name=name, root=str(tmp_path)))
        assert "\n" not in str(error.value)
    with pytest.raises(ImageError, match="is no folder"):
        find(Source(name="kitti", root=str(tmp_path / "nowhere")))
    with pytest.raises(ImageError, match="no data set 'kitty': there are camvid"):
        find(Source(name="kitty", root=str(tmp_path)))


def test_bad_pictures_are_named_counted_and_never_drawn(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image_set = own(tmp_path, 5)
    jpeg = (tmp_path / "images/f0.jpg").read_bytes()
    (tmp_path / "images/f0.jpg").write_bytes(jpeg[:2000] + b"\xff" * 100 + jpeg[2100:])
    png = (tmp_path / "labels/f1.png").read_bytes()
    (tmp_path / "labels/f1.png").write_bytes(png[: len(png) // 2])
    write(tmp_path / "labels/f2.png", ids(3, 8)[1:])
    write(tmp_path / "labels/f3.png", ids(3, 77))
    every, messages = pictures(image_set)
    drawn = {every.draw(np.random.default_rng(seed)).name for seed in range(40)}
    assert drawn == {"f3", "f4"}
    assert sorted(re.sub(r".*/", "", line) for line in messages) == [
        "f0.jpg: damaged or not an image: left out",
        "f1.png: damaged or not an image: left out",
        "f2.png: 160x95 pixels, its image has 160x96: left out",
        "f3.png: label 77 is not in the class map camvid",
    ]
    assert every.summary() == [
        f"{tmp_path.name}: label 77 is not in the class map: {30 * 60} pixels, trained as unlabeled",
        "3 of 5 images left out",
    ]
    assert capfd.readouterr() == ("", ""), "libjpeg's and libpng's own lines"


def test_a_source_whose_pictures_are_all_damaged_ends_the_run(tmp_path: Path) -> None:
    image_set = own(tmp_path, 2)
    for path in (tmp_path / "images").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(ImageError, match="none of its 2 images can be used"):
        pictures(image_set)[0].draw(np.random.default_rng(0))


def test_sources_are_drawn_by_their_shares_and_missing_labels_are_reported(tmp_path: Path) -> None:
    a, b = own(tmp_path / "a", 1), own(tmp_path / "b", 6)
    write(tmp_path / "b/images/extra.png", photograph())
    b = find(Source(root=str(tmp_path / "b"), classes="camvid", share=3.0))
    every, messages = pictures(a, b)
    assert messages == [f"{tmp_path}/b/images: 1 images without labels: left out"]
    rng = np.random.default_rng(0)
    share = np.mean([every.draw(rng).source == "b" for _ in range(400)])
    assert 0.68 < share < 0.82
    assert [p.name for p in every.sample(4)] == ["f0", "f0", "f5"], "spread over each source"


def test_harmless_codec_warnings_are_silent_and_damage_is_reported(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.jpg", photograph())
    jpeg = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(jpeg[:20] + b"\x00\x00\x00" + jpeg[20:])  # bytes between two segments
    assert read_image(tmp_path / "a.jpg").shape == (SIZE[1], SIZE[0], 3)
    pal8(tmp_path / "b.png", ids(200, 55))
    assert (read_ids(tmp_path / "b.png") == ids(200, 55)).all()
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:900])
    with pytest.raises(ImageError, match="damaged"):
        read_ids(tmp_path / "b.png")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("rate: fast", "1: optimiser.rate: input should be a valid number.*not 'fast'"),
        ("out: here\nquux: 3", "2: quux: unknown key; expected one of name, steps, seed, data, model, losses"),
        ("losses: {}\nrate: 3", "2: rate: unknown key; it is optimiser.rate now$"),
        ("losses:\n  hue: 1\n  tune: 3", "3: losses.tune: unknown key"),
        ("out: here\n\nsped: 3", r"3: sped: unknown key; did you mean seed\?$"),
        ("judge_rate: 0.1", "1: judge_rate: unknown key; it is optimiser.discriminator_rate now$"),
        ("width: 500", "1: data.width: input should be a multiple of 32, not 500"),
        ("size: huge", "1: model.size: unknown value 'huge'; expected one of street-guided, street-rt, street$"),
        ("size: street-hq", "1: model.size: unknown value 'street-hq'"),
        ("data: [{root: there}]", r"1: data.sources\[0\]: needs `name` of a known data set, or `classes`"),
        (
            "data: [{root: there, name: kitti, part: 0.5}]",
            r"1: data.sources\[0\].part: unknown key; expected one of root, name",
        ),
        ("simulated_every: 3", "1: `data.simulated_every` needs `data.simulated`"),
        ("stages: 3", "1: stages: must be a list of mappings"),
        ("seed: 1\nstages:\n- {seed: 2}", r"3: stages\[0\].steps: is missing"),
        ("seed: x\nstages:\n- {steps: 2}", "1: seed: input should"),
        ("stages:\n- {steps: 2}\n- steps: 3\n  optimiser: {rate: -1}", r"4: stages\[1\].optimiser.rate: input should"),
        ("stages:\n- {steps: 2}\n- {steps: 3, model: {size: street}}", "1: stages: all stages train one generator"),
        ("stages:\n- {steps: 2}\n- {steps: 3, output: {folder: x}}", "1: stages: all stages are kept in one"),
        ("- 3", "1: must be a mapping"),
        ("out: [", "[12]: not YAML"),
    ],
)
def test_a_bad_config_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"run.yaml:{complaint}") as error:
        load_stages(tmp_path / "run.yaml")
    assert "\n" not in str(error.value)


def test_shipped_configs_have_a_stage_for_each_part_of_their_run() -> None:
    first, second, third = load_stages(configs.find("street-rt"))
    assert [source.name for source in second.data.sources] == ["camvid", "cityscapes"]
    assert (first.steps, first.losses.frechet, second.steps, second.losses.frechet) == (7800, 0.0, 7064, 4.0)
    assert first.losses.equivariance == second.losses.equivariance == third.losses.equivariance == 2.0
    assert (third.steps, third.losses.frechet_classes, third.optimiser.decay) == (5310, 6.0, 0.6)
    images, rollouts = load_stages(configs.find("street"))
    assert (images.rollouts.frames, rollouts.rollouts.frames, rollouts.optimiser.rate) == (0, 5, 0.0002)
    assert configs.names() == ["street", "street-guided", "street-rt"]


def test_a_config_without_sections_is_read_with_one_notice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "flat.yaml").write_text("out: there\nrate: 0.1\nrollout: 4\nrollout_from: 3\nmodel: {pool: 2}\n")
    (tmp_path / "new.yaml").write_text(
        "output: {folder: there}\noptimiser: {rate: 0.1}\nrollouts: {frames: 4, first_frames: 3}\n"
        "model: {settings: {pool: 2}}\n"
    )
    flat = load_stages(tmp_path / "flat.yaml")
    notice = f"neuralsim: {tmp_path}/flat.yaml: keys without sections (`rate` for `optimiser.rate`) are read for one"
    assert capsys.readouterr().err == f"{notice} more release\n"
    assert flat == load_stages(tmp_path / "new.yaml")
    assert capsys.readouterr().err == ""
    assert flat[0].generator().pool == 2


def test_a_missing_config_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}/none.yaml: no such file or directory")):
        load_stages(tmp_path / "none.yaml")
