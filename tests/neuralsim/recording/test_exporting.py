"""Exports of a rig of several cameras: files as their readers expect them, with figures from the town itself."""

from __future__ import annotations

import base64
import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pycocotools.mask
import pytest
from helpers.recordings import numbered_frame
from rosbags.highlevel import AnyReader

from bridge.messages import Frame, MovingObject
from bridge.tags import Tag
from neuralsim.cli import main
from neuralsim.recording.exporting import nuimages
from neuralsim.recording.exporting.nuscenes import TABLES, VERSION
from neuralsim.recording.exporting.surround import MOUNT, surround_frames
from neuralsim.recording.writing.mcap_writer import McapWriter
from neuralsim.renderer.views import tag_image
from neuralsim.town.core.types import Transform
from neuralsim.town.frames import frame_of
from neuralsim.town.world import World

LENS = {"image_size_x": "160", "image_size_y": "96", "fov": "95"}
VIEWS = {"": 0.0, "left": -90.0, "right": 90.0, "back": 180.0}
PLANES = ("tag", "instance", "depth", "neural")
FRAMES, DELTA = 12, 0.1


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive with four cameras, with a car ahead and a pedestrian behind that only the rear camera sees."""
    world = World("hamlet", vehicles=0, walkers=0)
    place = world.spawn_points()[0]
    heading = np.radians(place.yaw)
    ahead, right = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])

    def spawn(blueprint: str, forward: float, aside: float) -> tuple[int, Tag]:
        x, y = (place.x, place.y) + forward * ahead + aside * right
        actor = world.spawn(blueprint, {"clears_place": "true"}, Transform(x, y, place.z, 0.0, place.yaw))
        return actor.id, Tag.CAR if blueprint.startswith("vehicle") else Tag.PEDESTRIAN

    ego, _ = spawn("vehicle.tesla.model3", 0.0, 0.0)
    others = [spawn("vehicle.audi.tt", 14.0, 0.0), spawn("walker.pedestrian.0001", -9.0, 0.5)]
    cameras = {
        view: world.spawn("sensor.camera.instance_segmentation", LENS, Transform(z=1.6, yaw=yaw), ego).id
        for view, yaw in VIEWS.items()
    }
    path = tmp_path_factory.mktemp("rig") / "r.mcap"
    views = [view for view in VIEWS if view]
    writer = McapWriter(
        path, PLANES, {"scenario": "rig", "fps": f"{1 / DELTA:g}", "scenario_yaml": "title: Rig"}, {}, views
    )
    for _ in range(10):  # everything comes to rest on the ground
        world.tick(DELTA)
    for k in range(FRAMES):
        world.set_velocity(ego, (5.0 * ahead[0], 5.0 * ahead[1], 0.0))
        world.tick(DELTA)
        for view in [*views, ""]:
            frame = frame_of(world, cameras[view])
            frame.sequence, frame.view, frame.ego.pose = k, view, world.actors[ego].transform.matrix()
            frame.ego.speed, frame.ego.throttle = 5.0, 0.25
            frame.objects = [_moving(world, frame, *other) for other in others if _sees(frame, other[0])]
            assert writer.write(frame, tag_image(frame.planes["tag"]))
    writer.close()
    assert writer.error is None
    return path


def _moving(world: World, frame: Frame, ident: int, tag: Tag) -> MovingObject:
    actor = world.actors[ident]
    pose = actor.transform.matrix()
    pose[:3, 3] = (pose @ (*actor.box_offset, 1.0))[:3]
    return MovingObject(ident, tag, pose, actor.extent)


def _sees(frame: Frame, ident: int) -> bool:
    return bool((frame.planes["instance"] == ident).any())


@pytest.fixture(scope="module")
def exported(recording: Path) -> Path:
    folder = recording.parent / "out"
    formats = "nuscenes,nuimages,lerobot,rosbag2,kitti-odometry"
    assert main(["recording", "export", str(recording), "--format", formats, "--out", str(folder)]) == 0
    return folder


def test_the_sweep_lies_on_the_ground_and_on_the_car_ahead(recording: Path) -> None:
    frame = next(surround_frames(recording)[1])
    sweep = frame.sweep()
    assert len(sweep) > 5_000
    assert set(np.unique(sweep[:, 4]).astype(int)) <= set(range(32))
    below = sweep[sweep[:, 2] < 0.15]
    assert len(below) > 1_000, "the road"
    assert np.median(below[:, 2]) == pytest.approx(0.0, abs=0.05)
    car = next(box for box in frame.boxes if box.tag == Tag.CAR)
    local = (np.linalg.inv(car.pose) @ frame.ego @ np.column_stack([sweep[:, :3], np.ones(len(sweep))]).T)[:3].T
    inside = local[(np.abs(local) < np.array(car.size) / 2 + 0.1).all(1)]
    assert len(inside) > 30
    assert np.median(inside[:, 0]) < 0.0, "its rear"


def test_objects_of_all_cameras_are_found_once(recording: Path) -> None:
    for frame in surround_frames(recording)[1]:
        assert sorted(box.tag for box in frame.boxes) == sorted([Tag.CAR, Tag.PEDESTRIAN])
        assert all(box.visibility > 0.4 for box in frame.boxes)


def test_nuimages_masks_are_those_of_the_recorded_planes(recording: Path, exported: Path) -> None:
    tables = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (exported / "nuimages" / VERSION).iterdir()
    }
    assert sorted(tables) == sorted(nuimages.TABLES)
    tokens = {row["token"]: row for table in tables.values() for row in table}
    assert len(tokens) == sum(map(len, tables.values())), "tokens are unique"
    assert len(tables["sample"]) == 3 * len(VIEWS), "twice a second"
    assert all((exported / "nuimages" / row["filename"]).exists() for row in tables["sample_data"])
    frame = next(surround_frames(recording)[1])
    first = min(row["timestamp"] for row in tables["sample_data"])
    for shot in frame.shots.values():
        channel = nuimages.camera_channel(shot.name)
        image = next(
            row for row in tables["sample_data"] if row["timestamp"] == first and f"/{channel}/" in row["filename"]
        )
        found = [
            (tokens[row["category_token"]]["name"], decoded_mask(row["mask"]))
            for table in ("object_ann", "surface_ann")
            for row in tables[table]
            if row["sample_data_token"] == image["token"]
        ]
        road = np.isin(shot.planes["tag"], (Tag.ROAD, Tag.ROAD_LINE))
        assert any(name == "flat.driveable_surface" and np.array_equal(mask, road) for name, mask in found)
        if shot.name == "front":
            box = next(box for box in frame.boxes if box.tag == Tag.CAR)
            car = shot.planes["instance"] == box.instance
            assert any(name == "vehicle.car" and np.array_equal(mask, car) for name, mask in found)
        sky = shot.planes["tag"] == Tag.SKY
        assert not any(mask[sky].any() for _, mask in found)


def decoded_mask(mask: dict[str, Any]) -> np.ndarray:
    """Decode as the devkit does."""
    counts = base64.b64decode(mask["counts"])
    return np.asarray(pycocotools.mask.decode({"size": mask["size"], "counts": counts})).astype(bool)


def test_nuscenes_tables_refer_to_each_other_and_to_files(exported: Path) -> None:
    root = exported / "nuscenes"
    tables = {name: json.loads((root / VERSION / f"{name}.json").read_text(encoding="utf-8")) for name in TABLES}
    rows = {row["token"]: (name, row) for name, table in tables.items() for row in table}
    assert len(rows) == sum(map(len, tables.values())), "tokens are unique"
    for name, row in rows.values():
        for key, value in row.items():
            values = value if isinstance(value, list) else [value]
            if key.endswith(("_token", "_tokens")) or key in ("prev", "next"):
                table = name if key in ("prev", "next") else key.removesuffix("s").removesuffix("_token")
                table = {"first_sample": "sample", "last_sample": "sample"}.get(table, table)
                table = "sample_annotation" if table.endswith("_annotation") else table
                assert all(each == "" or rows[each][0] == table for each in values), (name, key)
        if "filename" in row:
            assert (root / row["filename"]).is_file()
    assert len(tables["sample"]) == 3
    assert len(tables["sample_data"]) == 5 * FRAMES
    assert {row["channel"] for row in tables["sensor"]} == {
        "CAM_FRONT", "CAM_LEFT", "CAM_RIGHT", "CAM_BACK", "LIDAR_TOP",
    }  # fmt: skip
    assert len(tables["sample_annotation"]) == 6
    car = next(row for row in tables["sample_annotation"] if row["size"][1] > 3.0)
    assert car["num_lidar_pts"] > 30
    ego, ahead = (np.array(row["translation"])[:2] for row in (tables["ego_pose"][0], car))
    assert np.hypot(*(ahead - ego)) == pytest.approx(14.0, abs=0.7)
    road = cv2.imread(str(root / tables["map"][0]["filename"]), cv2.IMREAD_GRAYSCALE)
    column, row = ((ego + ahead) / 2.0 / 0.1).astype(int)
    assert road[len(road) - 1 - row, column] == 255, "between the two cars, in the map's coordinates"
    pose = json.loads((root / "can_bus/scene-0001_pose.json").read_text(encoding="utf-8"))
    assert len(pose) == FRAMES
    assert pose[5]["vel"][0] == pytest.approx(5.0, abs=0.3)


def _rerun_columns(path: Path, blueprint: bool = False) -> dict[str, list[Any]]:
    """Return entity:component -> its rows in order of logging, as Rerun's reader finds them; also of the layout."""
    chunks = pytest.importorskip("rerun.chunk", reason='pip install "neuralsim[rerun]" first')
    reader = chunks.RrdReader(path)
    columns: dict[str, list[Any]] = {}
    for chunk in reader.stream(store=(reader.blueprints() if blueprint else reader.recordings())[0]):
        rows = chunk.to_record_batch()
        for name in set(rows.schema.names) - {"log_time", "log_tick", "simulated"}:
            columns.setdefault(f"{chunk.entity_path}:{name.split(':')[-1]}", []).extend(rows.column(name).to_pylist())
    return columns


def test_rerun_reads_its_file(recording: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason='pip install "neuralsim[rerun]" first')
    assert main(["recording", "export", str(recording), "--format", "rerun", "--out", str(tmp_path)]) == 0
    table = _rerun_columns(tmp_path / "rerun" / "recording.rrd")
    assert table["/speed:scalars"] == [[5.0]] * FRAMES
    frame = next(surround_frames(recording)[1])
    depth = np.array(table["/world/ego/left/depth:buffer"][0][0], np.uint8).view(np.float32)
    assert np.array_equal(depth.reshape(96, 160), frame.shots["left"].planes["depth"])


def test_reruns_layout_shows_what_the_replay_shows(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason='pip install "neuralsim[rerun]" first')
    writer = McapWriter(tmp_path / "r.mcap", ("tag", "depth", "neural"), {"fps": "20", "scenario": "made"})
    for k in [*range(10), *range(30, 40)]:  # a second is missing
        frame, image = numbered_frame(k)
        frame.ego.speed, frame.ego.collisions = float(k), int(k >= 35)
        assert writer.write(frame, image)
    writer.close()
    assert main(["recording", "export", str(tmp_path / "r.mcap"), "--format", "rerun", "--out", str(tmp_path)]) == 0
    table = _rerun_columns(tmp_path / "rerun/recording.rrd")
    assert table["/events/hole:text"] == [["20 frames missing: 0:00.5 to 0:01.5"]]
    assert table["/events/collision:text"] == [["Collision 1"]]
    assert table["/events/collision:scalars"] == [[pytest.approx(35.0)]], "on the curve of the speed"
    layout = _rerun_columns(tmp_path / "rerun/recording.rrd", blueprint=True)
    assert layout["/time_panel:timeline"] == [["simulated"]]
    views = {key.split(":")[0] for key in layout if key.startswith("/view/") and key.endswith(":class_identifier")}
    shown: dict[str, set[str]] = {}
    for view in views:
        (kind,), (origin,) = layout[f"{view}:class_identifier"][0], layout[f"{view}:space_origin"][0]
        for query in layout[f"{view}/ViewContents:query"][0]:
            pattern = query.replace("$origin", origin).replace("**", "*")
            found = {key.split(":")[0] for key in table if fnmatch(key.split(":")[0], pattern)}
            assert found, (kind, query)
            shown.setdefault(kind, set()).update(found)
    assert "/world/ego/front/image" in shown["2D"]
    curves = {"/speed", "/controls/throttle", "/controls/brake", "/controls/steer", "/events/collision", "/events/hole"}
    assert curves <= shown["TimeSeries"]
    assert {"/events/collision", "/events/hole"} <= shown["TextLog"]


def test_rosbags_reads_the_bag(exported: Path) -> None:
    with AnyReader([exported / "rosbag2"]) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        assert set(counts.values()) == {FRAMES}
        assert {
            "/clock", "/tf", "/carla/ego_vehicle/odometry", "/carla/ego_vehicle/vehicle_status",
            "/carla/ego_vehicle/lidar", "/carla/ego_vehicle/rgb_front/image", "/carla/ego_vehicle/rgb_back/camera_info",
            "/carla/ego_vehicle/rgb_left/image/compressed", "/carla/ego_vehicle/depth_right/image", "/carla/markers",
        } <= counts.keys()  # fmt: skip
        newest = {c.topic: reader.deserialize(data, c.msgtype) for c, _, data in reader.messages()}
    image, depth = (newest[f"/carla/ego_vehicle/{name}_front/image"] for name in ("rgb", "depth"))
    assert (image.height, image.width, image.encoding, len(image.data)) == (96, 160, "bgr8", 96 * 160 * 3)
    assert np.isfinite(depth.data.view(np.float32)).all()
    assert newest["/carla/ego_vehicle/vehicle_status"].control.throttle == pytest.approx(0.25)
    cloud = newest["/carla/ego_vehicle/lidar"]
    points = cloud.data.view(np.float32).reshape(-1, 4)
    assert len(points) == cloud.width
    assert np.median(points[points[:, 2] < 0.15 - MOUNT[2], 2]) == pytest.approx(-MOUNT[2], abs=0.05)
    assert len(newest["/carla/markers"].markers) == 2


def test_lerobot_tables_and_videos_agree(exported: Path) -> None:
    root = exported / "lerobot"
    info = json.loads((root / "meta/info.json").read_text(encoding="utf-8"))
    assert (info["codebase_version"], info["total_frames"], info["fps"]) == ("v3.0", FRAMES, 10)
    table = pq.read_table(root / "data/chunk-000/file-000.parquet").to_pydict()
    assert table["frame_index"] == list(range(FRAMES))
    assert table["action"][3] == pytest.approx([0.25, 0.0, 0.0])
    assert table["timestamp"] == pytest.approx([k * DELTA for k in range(FRAMES)])
    assert pq.read_table(root / "meta/tasks.parquet").to_pydict() == {"task_index": [0], "task": ["Rig"]}
    keys = [key for key, feature in info["features"].items() if feature["dtype"] == "video"]
    assert len(keys) == len(VIEWS)
    for key in keys:
        path = root / info["video_path"].format(video_key=key, chunk_index=0, file_index=0)
        with av.open(str(path)) as video:
            times = [frame.time for frame in video.decode(video=0)]
        assert times == pytest.approx(table["timestamp"], abs=1e-3)


def test_kitti_odometry_projects_its_points_into_its_images(exported: Path) -> None:
    root = exported / "kitti-odometry"
    rows = dict(line.split(": ") for line in (root / "sequences/00/calib.txt").read_text(encoding="utf-8").splitlines())
    projection, to_camera = (np.array(rows[name].split(), float).reshape(3, 4) for name in ("P2", "Tr"))
    points = np.fromfile(root / "sequences/00/velodyne/000000.bin", np.float32).reshape(-1, 4)
    points[:, 3] = 1.0
    camera = to_camera @ points.T
    camera = camera[:, (camera[2] > 5.0) & (np.abs(camera[0]) < 0.8 * camera[2])]  # what the first camera has seen
    u, v = (projection[:, :3] @ camera)[:2] / camera[2]
    assert ((u >= 0) & (u < 160) & (v >= 0) & (v < 96)).mean() > 0.99
    poses = np.loadtxt(root / "poses/00.txt")
    assert poses.shape == (FRAMES, 12)
    assert poses[-1, 11] == pytest.approx(5.0 * DELTA * (FRAMES - 1), abs=0.3), "ahead"


def test_a_bag_does_not_replace_another(exported: Path, recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recording", "export", str(recording), "--format", "rosbag2", "--out", str(exported)]) == 1
    assert "exists already" in capsys.readouterr().err
