"""The evaluation of models: measures on cases with known answers, metric networks, and the whole command."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
import yaml
from helpers import recordings
from helpers.clips import write_clip

from bridge.link.motion import reproject
from bridge.tags import Tag
from neuralsim import cli
from neuralsim.evaluation import class_realism, drive_metrics, measures, metric_networks, real_clip
from neuralsim.evaluation.by_class import ByClass
from neuralsim.evaluation.metric_networks import CAMVID_CLASSES, MetricNetwork
from neuralsim.evaluation.object_realism import ObjectCrops, windows
from neuralsim.evaluation.real_clip import camvid_label, camvid_of_tag
from neuralsim.imaging.image_files import ImageError
from neuralsim.models.classes import CARLA_TO_CHANNEL, Channel
from neuralsim.town.town_drive import TownLoop

# Measures -------------------------------------------------------------------------------------------------------------


def test_frechet_distance_of_gaussians_is_what_its_formula_says() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((20_000, 3))
    b = rng.standard_normal((20_000, 3)) * [1.0, 2.0, 3.0] + [2.0, 0.0, 0.0]
    # |2|^2 + (1 - 1)^2 + (2 - 1)^2 + (3 - 1)^2
    assert measures.frechet(a, b) == pytest.approx(9.0, rel=0.05)
    assert measures.frechet(a, a) == pytest.approx(0.0, abs=1e-9)


def test_shrinkage_keeps_a_large_sample_and_mends_a_small_one() -> None:
    rng = np.random.default_rng(1)
    shape = np.diag(np.linspace(0.5, 4.0, 40))
    large, small = (rng.standard_normal((n, 40)) @ np.sqrt(shape) for n in (50_000, 30))
    assert np.abs(measures.shrunk(large) - shape).max() < 0.2
    assert np.linalg.eigvalsh(np.cov(small, rowvar=False))[0] < 1e-9  # fewer pictures than channels: singular
    assert np.linalg.eigvalsh(measures.shrunk(small))[0] > 0.1
    wrong = [np.square(c - shape).sum() for c in (measures.shrunk(small), np.cov(small, rowvar=False))]
    assert wrong[0] < wrong[1]


def test_kernel_distance_is_zero_for_one_source_and_grows_apart() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, 500, 8))
    assert abs(measures.kid(a, b)) < 0.03
    assert measures.kid(a, b + 0.5) > 0.2


def test_patches_are_means_of_squares_of_64_pixels() -> None:
    feature = np.arange(2 * 9 * 8, dtype=np.float32).reshape(2, 9, 8)
    result = measures.patches(feature, 16)
    assert result.shape == (2 * 2, 2)
    assert result[0, 0] == feature[0, :4, :4].mean()


def test_blur_loses_sharpness_and_a_picture_moved_exactly_has_no_warping_error() -> None:
    rng = np.random.default_rng(3)
    picture = cv2.GaussianBlur(rng.integers(0, 255, (60, 90, 3)).astype(np.uint8), (0, 0), 1.0)
    assert measures.sharpness(cv2.GaussianBlur(picture, (0, 0), 1.5)) < 0.5 * measures.sharpness(picture)
    moved = np.roll(picture, 3, axis=1)
    motion = np.zeros((60, 90, 2), np.float32)
    motion[..., 0] = -3.0
    seen = np.ones((60, 90), bool)
    seen[:, :3] = False
    assert measures.warping_error(picture, moved, motion, seen) < 1e-3
    assert measures.warping_error(picture, moved, 0 * motion, seen) > 3.0


def test_iou_counts_both_kinds_of_mistakes_and_leaves_void_out() -> None:
    label = np.array([[0, 0, 1, metric_networks.CAMVID_VOID]])
    predicted = np.array([[0, 1, 1, 5]], np.uint8)
    mean, each = metric_networks.mean_iou([predicted], [label])
    assert each == {"sky": 0.5, "building": 0.5}
    assert mean == 0.5


# Judges ---------------------------------------------------------------------------------------------------------------


def test_the_metric_networks_are_those_of_their_card() -> None:
    card = yaml.safe_load((metric_networks.HERE / "card.yaml").read_text(encoding="utf-8"))
    for name in ("segmenter.onnx", "features.onnx"):
        data = (metric_networks.HERE / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == card[name]["sha256"]
        assert len(data) < 4_000_000
    rgb = np.zeros((96, 128, 3), np.uint8)
    label = metric_networks.MetricNetwork(metric_networks.HERE / "segmenter.onnx", threads=1)(rgb)[0]
    assert label.shape == (96, 128)
    assert label.max() < len(metric_networks.CAMVID_CLASSES)
    shapes = [
        feature.shape
        for feature in metric_networks.MetricNetwork(metric_networks.HERE / "features.onnx", threads=1)(rgb)
    ]
    assert shapes == [(48, 12, 16), (120, 6, 8)]


def test_carla_tags_become_camvid_labels() -> None:
    table = camvid_of_tag()
    expected = {Tag.SKY: "sky", Tag.ROAD_LINE: "road", Tag.ROAD: "road", Tag.BUS: "car", Tag.RIDER: "bicyclist"}
    expected |= {Tag.BUILDING: "building", Tag.WALL: "building", Tag.FENCE: "fence", Tag.GUARD_RAIL: "fence"}
    assert {tag: metric_networks.CAMVID_CLASSES[table[tag]] for tag in expected} == expected
    assert table[Tag.TERRAIN] == table[Tag.UNLABELED] == metric_networks.CAMVID_VOID


def test_trunks_are_trees() -> None:
    tag = np.array([[Tag.VEGETATION, Tag.POLE, Tag.POLE, Tag.POLE, Tag.VEGETATION, Tag.CAR]], np.uint8)
    instance = np.array([[7, 7, 8, 0, 0, 7]], np.uint16)
    names = [metric_networks.CAMVID_CLASSES[label] for label in camvid_label(tag, instance)[0]]
    assert names == ["tree", "tree", "pole", "pole", "tree", "car"]


# Drives ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_loop_through_the_town_comes_back_to_the_same_view() -> None:
    town = TownLoop(width=96, height=64)
    first, second = town.frame(0.0), town.frame(1.0)
    again = town.frame(float(town.lap))
    assert (first.planes["tag"] == again.planes["tag"]).all()
    assert np.hypot(*(second.camera.pose - first.camera.pose)[:2, 3]) == pytest.approx(0.35, abs=0.02)
    exact = reproject(second.planes["depth"], second.camera, first.camera.pose)
    assert np.abs(exact.astype(np.float32) - second.planes["motion"]).mean() < 0.01
    assert town.lap * 0.35 > 200.0


@pytest.mark.slow
def test_drift_and_return_are_measured_on_real_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive_metrics, "_RESTART", 4)
    monkeypatch.setattr(drive_metrics, "_COMPARISON", 2)
    result = drive_metrics.drift("street-rt", "auto", frames=7, threads=1)
    assert result["compared"] == 2
    assert result["worst"] == max(abs(value) for value in result["change"].values())
    back = drive_metrics.comes_back("street-rt", "auto", most=13)
    assert back["compared"] == 2
    assert 10.0 < back["frame_by_frame"]["psnr"] < 60.0
    assert 10.0 < back["with_state"]["psnr"] < 60.0


# By class -------------------------------------------------------------------------------------------------------------


class Brightness:
    """A metric network with two features at stride 16: mean and deviation of each square."""

    def __call__(self, rgb: np.ndarray) -> list[np.ndarray]:
        high, wide = rgb.shape[0] // 16, rgb.shape[1] // 16
        squares = rgb.mean(-1).reshape(high, 16, wide, 16)
        return [np.zeros(0), np.stack([squares.mean((1, 3)), squares.std((1, 3))]).astype(np.float32)]


def test_the_class_rendered_wrong_is_the_one_that_costs() -> None:
    """Road and sky unchanged, houses too bright: with real houses nothing is left of the distance."""
    rng = np.random.default_rng(0)
    label = np.zeros((192, 256), np.uint8)
    label[64:128], label[128:] = CAMVID_CLASSES.index("building"), CAMVID_CLASSES.index("road")
    by_class = ByClass(cast(MetricNetwork, Brightness()))
    for _ in range(6):
        real = rng.integers(0, 120, (192, 256, 3)).astype(np.uint8)
        generated = real.copy()
        generated[64:128] += 90
        by_class.add(real, generated, label)
    result = by_class.figures()
    assert result is not None
    assert next(iter(result["with_real"])) == "building"
    assert result["with_real"]["building"]["realism"] < 0.01 * result["realism"]
    assert result["with_real"]["road"] == {"share": pytest.approx(1 / 3), "realism": pytest.approx(result["realism"])}
    assert "car" not in result["with_real"], "there was none"


def test_three_frames_say_nothing_by_class() -> None:
    by_class = ByClass(cast(MetricNetwork, Brightness()))
    for _ in range(3):
        by_class.add(np.zeros((64, 64, 3), np.uint8), np.ones((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8))
    assert by_class.figures() is None


# Class realism -------------------------------------------------------------------------------------------------------


def test_cells_of_two_classes_are_left_out() -> None:
    """Of 4 x 4 cells the upper half is road; in the column at the border of a house, no cell is of one class."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32] = 100
    channels = np.full((64, 64), Channel.SKY, np.uint8)
    channels[:32] = Channel.ROAD
    channels[:, 24:40] = Channel.BUILDING  # half of two columns
    cells = class_realism.cells(cast(MetricNetwork, Brightness()), image, channels)
    assert {name: len(rows) for name, rows in cells.items() if len(rows)} == {"road": 4, "sky": 4}
    assert (cells["road"][:, 0] == 100.0).all()
    channels[:2, :16] = Channel.VEHICLE  # an eighth of a cell
    assert len(class_realism.cells(cast(MetricNetwork, Brightness()), image, channels)["road"]) == 4


def test_a_class_is_compared_with_both_real_sets_and_rare_ones_are_not() -> None:
    rng = np.random.default_rng(0)

    def sample(shift: float, count: int = 3000) -> dict[str, np.ndarray]:
        return {name: rng.standard_normal((count, 3)) + np.array([shift, 0.0, 0.0]) for name in class_realism.CLASSES}

    first, second = sample(-1.0), sample(1.0)
    first["vehicle"] = first["vehicle"][:10]
    result = class_realism.compare(sample(0.0) | {"sky": sample(4.0)["sky"]}, first, second)
    ratios = result["by_class"]
    assert ratios["vehicle"] is None
    # both sets are off by 1: mean 0, variance 2 along x; a sample at 0 of variance 1 is (sqrt 2 - 1)^2 from them
    assert ratios["road"] == pytest.approx((2**0.5 - 1.0) ** 2 / 4.0, abs=0.02)
    assert [each["road"] for each in result["by_set"]] == [pytest.approx(0.25, abs=0.03)] * 2
    assert ratios["sky"] == pytest.approx((16.0 + (2**0.5 - 1.0) ** 2) / 4.0, rel=0.05)
    assert result["mean"] == pytest.approx(np.mean([ratio for ratio in ratios.values() if ratio is not None]))


def test_labelled_images_lie_in_a_folder_or_below_it(tmp_path: Path) -> None:
    labels, images = write_clip(tmp_path / "data", frames=2)
    root = labels.parent
    assert [(image.parent, label.parent) for image, label in class_realism.labelled_images(root)] == [
        (images, labels)
    ] * 2
    assert class_realism.labelled_images(root.parent) == class_realism.labelled_images(root)
    (tmp_path / "none").mkdir()
    with pytest.raises(ImageError, match="no image/ and label/"):
        class_realism.labelled_images(tmp_path / "none")


@pytest.mark.slow
def test_drives_are_compared_class_by_class_and_the_simulator_image_for_reference(tmp_path: Path) -> None:
    write_clip(tmp_path / "data", frames=2)
    real = ",".join(f"{classes}:{tmp_path / 'data'}" for classes in ("camvid", "cityscapes", "camvid"))
    arguments = ["--only", "classes", "--classes-real", real, "--classes-frames", "4", "--threads", "1"]
    assert cli.main(["model", "evaluate", *arguments, "--out", str(tmp_path / "out")]) == 0
    classes = json.loads((tmp_path / "out/figures.json").read_text(encoding="utf-8"))["classes"]
    assert classes["frames"] == 4
    assert [each["images"] for each in classes["real"]] == [2, 2, 2]
    assert len(classes["photographs"]["by_folder"]) == 1
    assert set(classes["model"]["by_class"]) == set(classes["simulator"]["by_class"]) == set(class_realism.CLASSES)


def test_frames_are_taken_evenly_from_recordings(tmp_path: Path) -> None:
    recordings.write(tmp_path / "a.mcap", 9)
    recordings.write(tmp_path / "b.mcap", 5)
    taken = list(class_realism._recorded([tmp_path / "a.mcap", tmp_path / "b.mcap"], 8))
    assert len(taken) == 8
    tags = recordings.numbered_frame(2)[0].planes["tag"]  # the first frame is never taken: it has no past
    assert (taken[0][0][::8, ::8] == CARLA_TO_CHANNEL[tags]).all()
    assert {image.shape for _, image in taken} == {(256, 512, 3)}


# Objects --------------------------------------------------------------------------------------------------------------


def test_objects_rendered_flat_are_far_from_real_ones_and_others_are_not() -> None:
    """Cars of noise on a plain road: generated exactly they have no distance, generated white a large one."""
    rng = np.random.default_rng(0)
    crops = ObjectCrops(cast(MetricNetwork, Brightness()), ("real", "same", "flat"), "real")
    for _ in range(20):
        label = np.full((192, 256), CAMVID_CLASSES.index("road"), np.uint8)
        for column in (20, 150):
            label[80:130, column : column + 80] = CAMVID_CLASSES.index("car")
        label[10:14, 10:14] = CAMVID_CLASSES.index("pedestrian")  # too small to have a shape
        real = rng.integers(0, rng.integers(100, 250), (192, 256, 3)).astype(np.uint8)
        flat = np.where((label == CAMVID_CLASSES.index("car"))[..., None], 250, real).astype(np.uint8)
        crops.add({"real": real, "same": real, "flat": flat}, label)
    result = crops.figures()
    assert result["same"]["vehicles"]["crops"] == 40
    assert result["same"]["vehicles"]["ratio"] < 1e-6
    assert result["flat"]["vehicles"]["ratio"] > 5.0
    assert "people" not in result["flat"]


def test_windows_are_squares_within_the_frame() -> None:
    mask = np.zeros((100, 160), np.uint8)
    mask[0:20, 0:50] = mask[60:100, 120:160] = mask[30:95, 60:80] = 1
    mask[5:8, 100:103] = 1
    result = windows(mask)
    assert len(result) == 3
    for rows, columns in result:
        assert rows.stop - rows.start == columns.stop - columns.start
        assert 0 <= rows.start < rows.stop <= 100
        assert 0 <= columns.start < columns.stop <= 160


# neuralsim model evaluate ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_clip_is_rendered_in_three_variants_and_every_row_is_on_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_clip, "EVERY", 1)
    write_clip(tmp_path / "data", frames=4, size=(128, 96))
    out = tmp_path / "out"
    only = "label_fidelity,realism,flicker,sharpness,classes,town"
    arguments = ["model", "evaluate", "--data", f"camvid:{tmp_path / 'data'}", "--only", only, "--town-frames", "3"]
    assert cli.main([*arguments, "--size", "128x96", "--threads", "1", "--out", str(out)]) == 0
    assert "flicker, town" in capsys.readouterr().out
    figures = json.loads((out / "figures.json").read_text(encoding="utf-8"))
    table = {row["name"]: row for row in figures["table"]}
    assert list(table) == ["label fidelity", "realism", "flicker, clip", "flicker, town", "sharpness"]
    for row in table.values():
        assert row["value"] > 0.0
        assert row["met"] in (True, False)
    result = figures["clip"]
    assert result["real"]["flicker"] == result["real"]["sharpness"] == result["real"]["label_fidelity"] == 1.0
    by_class = result["by_class"]
    assert by_class["frames"] == 4
    assert by_class["realism"] > 0.0
    assert all(0.0 < each["share"] < 1.0 for each in by_class["with_real"].values())
    assert result["smoothed"]["sharpness"] < result["frame_by_frame"]["sharpness"]
    assert figures["town"]["frame_by_frame"]["flicker"] == 1.0
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("data:video/mp4;base64,") == 2
    assert "http" not in page  # opens from disk, without a network
    assert all(name in page for name in table)


def test_impossible_options_are_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def complaint(code: int, *arguments: str) -> str:
        assert cli.main(["model", "evaluate", "--out", str(tmp_path / "out"), *arguments]) == code
        lines = [line for line in capsys.readouterr().err.splitlines() if "neuralsim" in line]
        assert len(lines) == 1
        return lines[0]

    labels, images = write_clip(tmp_path / "data", frames=2)
    assert "--data CLASSES:DIR names" in complaint(2, "--only", "label_fidelity")
    assert "compared with two sets" in complaint(2, "--only", "classes", "--classes-real", f"camvid:{tmp_path}")
    assert "is not CLASSES:DIR" in complaint(2, "--data", "camvid")
    assert "is not a folder" in complaint(2, "--data", f"camvid:{tmp_path / 'none'}")
    assert "unknown 'beauty'" in complaint(2, "--only", "beauty")
    clip = ["--data", f"camvid:{labels}", "--only", "sharpness"]
    assert "give the folder of images with --real" in complaint(1, *clip)
    assert "unknown model" in complaint(1, "nobody", *clip, "--real", str(images))
    cv2.imwrite(str(images / "f01.png"), np.zeros((10, 10, 3), np.uint8))
    assert "f01" in complaint(1, *clip, "--real", str(images))
