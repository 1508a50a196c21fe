"""Data sets for detection: pycocotools reads COCO's, KITTI's own formulas check the other."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO

from bridge.messages import Camera, Frame, MovingObject
from bridge.tags import Tag
from neuralsim.cli import main
from neuralsim.recording.detection import KITTI_DEPTH, box3d, projected
from neuralsim.recording.exporting.nuscenes import VERSION
from neuralsim.recording.image_folder import DEPTH_STEPS
from neuralsim.recording.reading.sequential_reader import McapRecording
from neuralsim.recording.writing.mcap_writer import McapWriter
from neuralsim.renderer.views import tag_image
from neuralsim.town.carla_server.compat import level_objects
from neuralsim.town.core.types import Transform
from neuralsim.town.frames import frame_of
from neuralsim.town.world import World

LENS = {"image_size_x": "160", "image_size_y": "96", "fov": "80"}
FORMATS = "coco,kitti,yolo,frames,nuscenes,nuimages"
PLANES = ("tag", "instance", "depth", "motion", "neural")


def street() -> list[Frame]:
    """Three frames with two cars and a pedestrian ahead, one of the cars half outside of the image; parked cars."""
    world = World("hamlet", vehicles=0, walkers=0)
    place = world.spawn_points()[0]
    heading = np.radians(place.yaw)
    ahead, right = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
    camera = world.spawn("sensor.camera.instance_segmentation", LENS, Transform(place.x, place.y, 1.6, 0.0, place.yaw))
    shown = []
    for blueprint, tag, forward, aside, turned in (
        ("vehicle.audi.tt", Tag.CAR, 14.0, 0.0, 0.0),
        ("vehicle.nissan.micra", Tag.CAR, 5.0, -4.2, 15.0),
        ("walker.pedestrian.0001", Tag.PEDESTRIAN, 9.0, 1.5, 90.0),
    ):
        x, y = (place.x, place.y) + forward * ahead + aside * right
        shown.append((world.spawn(blueprint, {}, Transform(x, y, place.z, 0.0, place.yaw + turned)), tag))
    frames = []
    for _ in range(3):
        world.tick(1.0 / 30.0)
        frame = frame_of(world, camera.id)
        for actor, tag in shown:
            pose = actor.transform.matrix()
            pose[:3, 3] = (pose @ (*actor.box_offset, 1.0))[:3]
            frame.objects.append(MovingObject(actor.id, tag, pose, actor.extent))
        for each in level_objects.vehicles(world.shapes()[1]):
            if (frame.planes["instance"] == each.ident).any():
                centre, (x, y, z), (_, yaw, _), _ = each.box
                pose = Transform(*centre, 0.0, yaw).matrix()
                frame.objects.append(MovingObject(each.ident, each.tag, pose, (x, y, z), parked=True))
        frames.append(frame)
    return frames


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Frame], Path]:
    folder, frames = tmp_path_factory.mktemp("detection"), street()
    writer = McapWriter(folder / "r.mcap", PLANES, {"scenario": "x", "fps": "30"})
    for frame in frames:
        assert writer.write(frame, tag_image(frame.planes["tag"]))
    writer.close()
    arguments = ["recording", "export", str(folder / "r.mcap"), "--format", FORMATS, "--out", str(folder)]
    assert main(arguments) == 0
    return frames, folder


def test_pycocotools_reads_boxes_and_masks(exported: tuple[list[Frame], Path]) -> None:
    frames, folder = exported
    coco = COCO(str(folder / "coco/annotations.json"))
    assert coco.getImgIds() == [0, 1, 2]
    info = coco.loadImgs([1])[0]
    image = cv2.imread(str(folder / "coco/images" / info["file_name"]))
    assert image.shape == (info["height"], info["width"], 3)
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert {coco.cats[each["category_id"]]["name"] for each in annotations} == {"car", "pedestrian"}
    for each in annotations:
        mask = coco.annToMask(each).astype(bool)
        assert (mask == (frames[1].planes["instance"] == each["instance"])).all()
        assert run_lengths.area(run_lengths.encode(np.asfortranarray(mask.astype(np.uint8)))) == each["area"]
        assert each["box3d"]["location"][2] == pytest.approx(frames[1].planes["depth"][mask].mean(), abs=2.5)
    parked = {thing.instance: thing.parked for thing in frames[1].objects}
    assert {each["parked"] for each in annotations} == {False, True}
    assert all(each["parked"] == parked[each["instance"]] for each in annotations)
    depth = cv2.imread(str(folder / "coco/depth/000001.png"), -1)
    assert np.abs(depth / DEPTH_STEPS - frames[1].planes["depth"]).max() < 0.02


def corners_of(values: list[float]) -> np.ndarray:
    """f64 (3, 8): a label's box in the camera's axes, as KITTI's devkit computes it (computeBox3D.m)."""
    height, width, length, x, y, z, turned = values[7:14]
    c, s = np.cos(turned), np.sin(turned)
    across = np.array([1, 1, -1, -1, 1, 1, -1, -1]) * length / 2.0
    up = np.array([0, 0, 0, 0, -1, -1, -1, -1]) * height
    along = np.array([1, -1, -1, 1, 1, -1, -1, 1]) * width / 2.0
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.stack([across, up, along]) + np.array([[x], [y], [z]])


def test_kitti_labels_project_onto_the_objects(exported: tuple[list[Frame], Path]) -> None:
    frames, folder = exported
    training = folder / "kitti/training"
    lines = (training / "label_2/000002.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["Car", "Car", "Pedestrian"]
    identities = (training / "identity_2/000002.txt").read_text(encoding="utf-8").splitlines()
    things = {str(thing.instance): thing for thing in frames[2].objects}
    assert [bool(int(line.split()[1])) for line in identities] == [False] * 3 + [True] * (len(lines) - 3)
    assert len(lines) > 3
    calibration = dict(line.split(": ") for line in (training / "calib/000002.txt").read_text().splitlines())
    matrix = np.array(calibration["P2"].split(), float).reshape(3, 4)
    for line, identity in zip(lines, identities, strict=True):
        thing = things[identity.split()[0]]
        values = [float(text) for text in line.split()[1:]]
        corners = corners_of(values)
        if corners[2].min() > 0.5:
            u, v, w = matrix @ np.vstack([corners, np.ones(8)])
            box = (u / w).min(), (v / w).min(), (u / w).max(), (v / w).max()
            assert box == pytest.approx(projected(frames[2].camera, thing), abs=1.0)  # two decimals, and no pitch
        left, top, right, bottom = values[3:7]
        outer = projected(frames[2].camera, thing)
        assert left > outer[0] - 2.0
        assert top > outer[1] - 2.0
        assert right < outer[2] + 2.0
        assert bottom < outer[3] + 2.0
    truncated = [float(line.split()[1]) for line in lines]
    assert truncated[0] == 0.0
    assert truncated[1] > 0.1
    depth = cv2.imread(str(training / "depth_2/000002.png"), -1) / KITTI_DEPTH
    real = frames[2].planes["depth"]
    assert np.abs(depth - real)[real < 255.0].max() < 0.01
    assert (depth[real >= 255.0] == 0.0).all()


def test_other_formats_mark_parked_cars(exported: tuple[list[Frame], Path]) -> None:
    frames, folder = exported
    parked = {each.instance: each.parked for each in frames[0].objects}
    annotations = json.loads((folder / "frames/coco.json").read_text(encoding="utf-8"))["annotations"]
    assert annotations
    assert all(each["parked"] == parked[each["instance"]] for each in annotations)
    for name, table in (("nuscenes", "sample_annotation"), ("nuimages", "object_ann")):
        tables = folder / name / VERSION
        attributes = {each["token"]: each["name"] for each in json.loads((tables / "attribute.json").read_text())}
        rows = json.loads((tables / f"{table}.json").read_text())
        marked = [row for row in rows if attributes[row["attribute_tokens"][0]] == "vehicle.parked"]
        seen = [each for each in annotations if each["image_id"] == 0]
        assert len(marked) >= sum(each["parked"] for each in seen) > 0
        assert len(rows) > len(marked)


def test_yolo_labels_match_coco_boxes(exported: tuple[list[Frame], Path]) -> None:
    _, folder = exported
    names = json.loads((folder / "yolo/data.yaml").read_text(encoding="utf-8"))["names"]
    coco = COCO(str(folder / "coco/annotations.json"))
    rows = [line.split() for line in (folder / "yolo/labels/000000.txt").read_text(encoding="utf-8").splitlines()]
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[0]))
    assert [names[row[0]] for row in rows] == [coco.cats[each["category_id"]]["name"] for each in annotations]
    for row, each in zip(rows, annotations, strict=True):
        x, y, width, height = (float(text) for text in row[1:])
        box = ((x - width / 2) * 160, (y - height / 2) * 96, width * 160, height * 96)
        assert box == pytest.approx(each["bbox"], abs=0.01)
    assert (folder / "yolo/images/000000.jpg").read_bytes() == (folder / "coco/images/000000.jpg").read_bytes()


def test_angles_follow_kittis_definitions() -> None:
    thing = MovingObject(1, Tag.CAR, np.eye(4), (2.0, 1.0, 0.75))
    thing.pose[:3, 3] = 10.0, 2.0, 0.75
    box = box3d(Camera(64, 32, 70.0, np.eye(4)), thing)
    assert box["location"] == pytest.approx([2.0, 0.0, 10.0])
    assert box["dimensions"] == pytest.approx([1.5, 2.0, 4.0])
    assert box["rotation_y"] == pytest.approx(-np.pi / 2.0)
    assert box["alpha"] == pytest.approx(-np.pi / 2.0 - np.arctan2(2.0, 10.0))


def test_missing_images_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = street()[0]
    writer = McapWriter(tmp_path / "r.mcap", ("tag", "depth"), {"scenario": "x", "fps": "30"})
    writer.write(frame, None)
    writer.close()
    assert len(list(McapRecording(tmp_path / "r.mcap").frames())) == 1
    assert main(["recording", "export", str(tmp_path / "r.mcap"), "--format", "coco", "--out", str(tmp_path)]) == 1
    assert "lacks neural (or rgb), instance" in capsys.readouterr().err
