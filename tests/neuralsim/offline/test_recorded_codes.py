"""How recordings of CARLA's cameras are coded: tags, depths, flows, poses, and where they lie."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.carla_recordings import (
    OLD_IDS,
    bgra,
    depth_16bit,
    depth_24bit,
    depth_log,
    flow_colours,
    instances,
    old_ids,
    palette,
    raw_tags,
)

from bridge.tags import COUNT, Tag
from neuralsim.imaging.image_files import ImageError
from neuralsim.offline.recorded import content, depth_codes, flow_codes, poses, tag_codes
from neuralsim.offline.recorded.finder import find
from neuralsim.offline.recorded.plane_source import read_npy
from neuralsim.recording.exporting.nuscenes import pose_row
from neuralsim.recording.foxglove import right_handed
from neuralsim.recording.topics import OPTICAL


def street(width: int = 160, height: int = 96) -> np.ndarray:
    """Tags u8 (H, W): houses, sky, road, pavements, a car, and a patch of every other tag."""
    tag = np.full((height, width), Tag.BUILDING, np.uint8)
    tag[: height // 2, 50:110] = Tag.SKY
    tag[height // 2 :] = Tag.ROAD
    tag[height // 2 :, :30] = Tag.SIDEWALK
    tag[60:72, 70:90] = Tag.CAR
    return tag


def patches() -> np.ndarray:
    tag = street(320, 192)
    for number in range(COUNT):
        tag[8 + 16 * (number // 15) : 20 + 16 * (number // 15), 16 * (number % 15) : 16 * (number % 15) + 12] = number
    return tag


def decoded(image: np.ndarray, label: str = "a.png") -> tuple[np.ndarray, tag_codes.TagCode, float]:
    split, _ = tag_codes.split(image, label)
    code = tag_codes.find_code([(split, label)])
    return *tag_codes.decode(split, code, label)[:1], code, tag_codes.decode(split, code, label)[1]


# Tags -----------------------------------------------------------------------------------------------------------------


def test_tags_in_the_red_channel_and_in_one_channel_are_read_with_the_ids_of_both_editions() -> None:
    tag = patches()
    for image in (raw_tags(tag), raw_tags(tag)[..., :3], tag, cv2.merge([tag] * 3)):
        back, code, _ = decoded(image)
        assert (back == tag).all()
        assert code.edition == "0.9.14"
    tag = street()
    assert decoded(raw_tags(tag))[1].edition == "0.9.14"
    back, code, _ = decoded(raw_tags(old_ids(tag)))
    assert (code.edition, code.is_palette) == ("0.9.13", False)
    assert (back == tag).all()


def test_the_palettes_of_both_editions_are_read_exactly() -> None:
    tag = patches()
    back, code, doubtful = decoded(palette(tag))
    assert (back == tag).all()
    assert (code.edition, code.is_exact, doubtful) == ("0.9.14", True, 0.0)
    old = street()
    old[50:60, 120:150] = Tag.TERRAIN
    colours = np.zeros((256, 3), np.uint8)
    colours[[Tag.BUILDING, Tag.SKY, Tag.ROAD, Tag.SIDEWALK, Tag.CAR, Tag.TERRAIN]] = [
        (70, 70, 70), (70, 130, 180), (128, 64, 128), (244, 35, 232), (0, 0, 142), (145, 170, 100),
    ]  # fmt: skip
    back, code, doubtful = decoded(palette(old, colours))
    assert (back == old).all()
    assert (code.edition, doubtful) == ("0.9.13", 0.0)


def test_a_jpeg_of_the_palette_is_read_by_nearest_colour_and_says_how_much_is_doubtful() -> None:
    tag = cv2.resize(street(), (640, 384), interpolation=cv2.INTER_NEAREST)
    _, coded = cv2.imencode(".jpg", palette(tag)[..., :3], [cv2.IMWRITE_JPEG_QUALITY, 85])
    back, code, doubtful = decoded(cv2.imdecode(coded, cv2.IMREAD_COLOR), "a.jpg")
    assert not code.is_exact
    assert 0.0 < doubtful < 0.05
    assert (back == tag).mean() > 0.995
    assert np.isin(back, np.unique(tag)).mean() > 0.9999, "hardly a third class between two others"


def test_what_holds_no_tags_of_carla_is_named() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(ImageError, match=r"a\.png: not CARLA's palette: .* such as \(10, 200, 10\)"):
        decoded(np.dstack([np.full((64, 64), 10, np.uint8), np.full((64, 64), 200, np.uint8)] * 2)[..., :3])
    with pytest.raises(ImageError, match=r"a\.png: id 45 is none of CARLA's tags"):
        decoded(np.full((64, 64), 45, np.uint8))
    with pytest.raises(ImageError, match=r"a\.png: 16-bit tags up to 26001"):
        tag_codes.split(np.full((8, 8), 26001, np.uint16), "a.png")
    assert "16-bit tags, read as ids" in tag_codes.split(street().astype(np.uint16), "a.png")[1]
    glass = raw_tags(street())
    glass[..., 3] = rng.integers(0, 255, glass.shape[:2])
    assert "alpha channel" in tag_codes.split(glass, "a.png")[1]
    assert tag_codes.split(raw_tags(street()), "a.png")[1] == "", "an opaque one is CARLA's own"


def test_an_untagged_sky_becomes_sky_by_depth_or_from_the_upper_edge() -> None:
    tag = street()
    black = np.where(tag == Tag.SKY, np.uint8(0), tag)
    black[80:84, 100:104] = 0  # untagged things stay
    for depth in (None, np.where(tag == Tag.SKY, np.float32(1000.0), np.float32(20.0))):
        filled = black.copy()
        tag_codes.fill_sky(filled, depth)
        assert (filled[tag == Tag.SKY] == Tag.SKY).all()
        assert (filled[80:84, 100:104] == 0).all()


# Depths ---------------------------------------------------------------------------------------------------------------


def ground(height: int = 96, width: int = 160, eye: float = 1.6, focal: float = 80.0) -> np.ndarray:
    """Depths f32 (H, W) of a plane road and the sky above it."""
    below = np.arange(height) + 0.5 - height / 2
    with np.errstate(divide="ignore"):
        rows = np.where(below > 0, np.minimum(eye * focal / np.maximum(below, 1e-6), 1000.0), 1000.0)
    return np.repeat(rows[:, None], width, 1).astype(np.float32)


def test_depths_in_all_encodings_are_read_in_metres() -> None:
    depth, tag = ground(), street()
    tag[48:] = Tag.ROAD
    whole = depth < 999.0

    def read(image: np.ndarray, label: str = "a.png") -> tuple[np.ndarray, depth_codes.DepthCode]:
        code = depth_codes.find_code([(image, label)], [tag], 80.0)
        return depth_codes.decode(image, code, label), code

    back, code = read(depth_24bit(depth))
    assert code.coding == "24bit"
    assert np.abs(back - depth).max() < 1e-3
    back, code = read(depth_log(depth))
    seen = whole & (depth > 3.5)
    assert code.coding == "log"
    assert np.abs(back / depth - 1.0)[seen].max() < 0.025
    assert (back[~whole] == 1000.0).all()
    for step in (0.01, 1.0 / 256.0, 0.001):
        near = whole & (depth < 60000 * step)
        back, code = read(depth_16bit(np.where(whole, depth, 1e6), step))
        assert code.step == pytest.approx(step), "the road tells the unit"
        assert np.abs(back - depth)[near].max() < step
    own = np.where(whole, depth_16bit(depth, 1.0 / 64.0), 64000).astype(np.uint16)
    back, code = read(own)
    assert code.step == 1.0 / 64.0
    assert (back[~whole] == 1000.0).all()
    assert np.abs(read(depth, "a.npy")[0] - depth).max() == 0.0


def test_depths_that_cannot_be_read_are_named() -> None:
    with pytest.raises(ImageError, match=r"a\.tiff: depths as floating-point pixels"):
        depth_codes.coding_of(ground(), "a.tiff")
    with pytest.raises(ImageError, match=r"a\.jpg: depths in 24 bit do not survive a JPEG"):
        depth_codes.coding_of(depth_24bit(ground())[..., :3], "a.jpg")


# Flow -----------------------------------------------------------------------------------------------------------------


def test_the_colours_of_a_flow_are_read_to_a_tenth_of_a_pixel_and_their_limit_is_not_known() -> None:
    angles = np.linspace(0.0, 2.0 * np.pi, 720, endpoint=False)
    lengths = np.linspace(0.004, 0.098, 60)[:, None]
    flow = np.dstack([lengths * np.cos(angles), lengths * np.sin(angles)]).astype(np.float32)
    back, known = flow_codes.decode(flow_colours(flow), "a.png")
    pixels = np.hypot(*np.moveaxis((back - flow) * 128.0, -1, 0))  # of an image 256 wide
    assert known.all()
    assert np.percentile(pixels, 95) < 0.1
    assert not flow_codes.decode(flow_colours(np.full((4, 4, 2), 0.3, np.float32)), "a.png")[1].any()
    assert (flow_codes.decode(flow_colours(np.zeros((4, 4, 2), np.float32)), "a.png")[0] == 0.0).all()
    with pytest.raises(ImageError, match=r"a\.npy: a flow up to 30\.0"):
        flow_codes.decode(np.full((4, 4, 2), 30.0, np.float32), "a.npy")
    with pytest.raises(ImageError, match=r"a\.png: not the colours"):
        flow_codes.decode(np.random.default_rng(0).integers(9, 255, (64, 64, 3), np.uint8), "a.png")


def test_an_npy_never_executes_what_is_in_it(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "executed",)

    np.save(tmp_path / "a.npy", np.array([Payload()], object), allow_pickle=True)
    with pytest.raises(ImageError, match=r"a\.npy: damaged or not an \.npy file of numbers"):
        read_npy(tmp_path / "a.npy")
    assert not (tmp_path / "executed").exists()


# Poses ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "frame,x,y,z,pitch,yaw,roll,fov\n7,1,2,3,0,90,0,70\n8,1,3,3,0,90,0,70\n"),
        ("b.csv", "frame_id;location_x;location_y;location_z;rotation_pitch;rotation_yaw;rotation_roll;fov\n"
                  "7;1;2;3;0;90;0;70\n8;1;3;3;0;90;0;70\n"),
        ("c.json", '{"fov": 70, "frames": [{"frame": 7, "transform": {"location": {"x": 1, "y": 2, "z": 3}, "rotation":'
                   '{"pitch": 0, "yaw": 90, "roll": 0}}}, {"frame": 8, "transform": {"location": {"x": 1, "y": 3,'
                   '"z": 3}, "rotation": {"pitch": 0, "yaw": 90, "roll": 0}}}]}'),
        ("d.json", '{"fov": 70, "000007": [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]],'
                   '"000008": [[0, -1, 0, 1], [1, 0, 0, 3], [0, 0, 1, 3], [0, 0, 0, 1]]}'),
    ],
)  # fmt: skip
def test_poses_are_read_from_csv_and_json_of_transforms_or_matrices(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = poses.load(tmp_path / name)
    assert (found.numbers, found.fov) == ([7, 8], 70.0)
    forward, place = found.poses[1][:3, 0], found.poses[1][:3, 3]
    assert np.allclose(forward, (0.0, 1.0, 0.0), atol=1e-9)
    assert np.allclose(place, (1.0, 3.0, 3.0))


def test_poses_of_kitti_carla_are_those_of_its_lidar_at_the_cameras_times(tmp_path: Path) -> None:
    lines = [f"1 0 0 {0.001 * k} 0 1 0 0 0 0 1 0 {0.001 * k}" for k in range(300)]
    (tmp_path / "full_poses_lidar.txt").write_text("# R t time\n" + "\n".join(lines), encoding="utf-8")
    (tmp_path / "full_ts_camera.txt").write_text("# frame_id timestamp\n0 0.1\n1 0.2\n", encoding="utf-8")
    (tmp_path / "lidar_to_cam0.txt").write_text("# R t\n1 0 0 -0.3 0 1 0 0.2 0 0 1 0.1\n", encoding="utf-8")
    found = poses.load(tmp_path / "full_poses_lidar.txt")
    assert found.fov == 72.0
    assert np.allclose([pose[:3, 3] for pose in found.poses], [(0.4, 0.2, -0.1), (0.5, 0.2, -0.1)])  # y to the right


def test_poses_of_nuscenes_are_looked_up_by_the_names_of_its_pictures(tmp_path: Path) -> None:
    pose = np.eye(4)
    pose[:3, 3] = 10.0, 4.0, 1.5
    camera = np.eye(4)
    camera[:3, 3] = 1.0, -0.5, 0.2
    optical = right_handed(camera) @ OPTICAL
    tables = {
        "ego_pose": [{"token": "e", **pose_row(right_handed(pose))}],
        "calibrated_sensor": [
            {"token": "c", **pose_row(optical), "camera_intrinsic": [[100, 0, 100], [0, 100, 50], [0, 0, 1]]}
        ],
        "sample_data": [
            {"filename": "samples/CAM_FRONT/a.jpg", "ego_pose_token": "e", "calibrated_sensor_token": "c",
             "timestamp": 2_000_000, "width": 200}
        ],
    }  # fmt: skip
    for name, rows in tables.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    found = poses.load(tmp_path / "ego_pose.json", [Path("samples/CAM_FRONT/a.jpg")])
    assert np.allclose(found.poses, [pose @ camera])
    assert found.fov == pytest.approx(90.0)
    assert found.times == [2.0]


def test_our_own_index_gives_poses_times_fov_and_weather(tmp_path: Path) -> None:
    pose = np.eye(4)
    pose[:3, 3] = 10.0, 4.0, 1.5
    line = {
        "frame": 3, "time": 0.15, "intrinsics": [100, 0, 100, 0, 100, 50, 0, 0, 1],
        "camera": (right_handed(pose) @ OPTICAL).ravel().tolist(),
        "ego": {"weather_parameters": {"cloudiness": 80.0}},
    }  # fmt: skip
    (tmp_path / "index.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    found = poses.load(tmp_path / "index.jsonl")
    assert np.allclose(found.poses, [pose])
    assert (found.numbers, found.times, found.weather) == ([3], [0.15], {"cloudiness": 80.0})
    assert found.fov == pytest.approx(90.0)


def test_bad_poses_are_one_line(tmp_path: Path) -> None:
    for text in ("", "x,y\n1,2\n", "a,b,c\n", "\x00\x01"):
        (tmp_path / "poses.csv").write_text(text, encoding="utf-8")
        with pytest.raises(ImageError, match=r"poses\.csv: ") as error:
            poses.load(tmp_path / "poses.csv")
        assert "\n" not in str(error.value)
    (tmp_path / "deep.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ImageError, match=r"deep\.json"):
        poses.load(tmp_path / "deep.json")
    (tmp_path / "far.json").write_text(json.dumps([{"x": 1e99, "y": 0, "z": 0}]), encoding="utf-8")
    with pytest.raises(ImageError, match=r"far\.json: poses with numbers that are not finite"):
        poses.load(tmp_path / "far.json")


# Layouts --------------------------------------------------------------------------------------------------------------


def found_in(folder: Path, *files: str) -> dict[str, dict[str, list[str]]]:
    """Create empty ``files`` and return the names found by clip and plane."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return {
        clip.key: {kind: [file.name for file in plane.files] for kind, plane in clip.planes.items()}
        for clip in find(folder)
    }


def test_the_layouts_of_carlas_examples_are_found(tmp_path: Path) -> None:
    old = [f"_out/episode_{k:04d}/Camera{name}/000000.png" for k in (0, 1) for name in ("RGB", "SemanticSegmentation")]
    found = found_in(tmp_path / "a", *old)
    assert set(found) == {"_out/episode_0000", "_out/episode_0001"}
    assert set(found["_out/episode_0000"]) == {"rgb", "tags"}
    found = found_in(tmp_path / "b", "rgb_00000002.png", "rgb_00000010.png", "sem_00000002.png", "depth_00000002.png")
    assert found == {
        "": {
            "rgb": ["rgb_00000002.png", "rgb_00000010.png"],
            "tags": ["sem_00000002.png"],
            "depth": ["depth_00000002.png"],
        }
    }
    found = found_in(tmp_path / "c", "new_rgb_output/9.png", "new_rgb_output/10.png", "new_sem_output/9.png")
    assert found == {"": {"rgb": ["9.png", "10.png"], "tags": ["9.png"]}}, "in the order of the numbers"


def test_kitti_carlas_towns_and_cameras_are_clips_of_their_own(tmp_path: Path) -> None:
    files = [
        f"Town0{town}/generated/images_{plane}/{k:04d}_{first + camera}.png"
        for town in (1, 2)
        for plane, first in (("rgb", 0), ("ss", 10), ("depth", 20))
        for k in range(3)
        for camera in range(2)
    ]
    found = found_in(tmp_path, *files)
    assert set(found) == {f"Town0{town}/generated/camera{camera}" for town in (1, 2) for camera in (0, 1)}
    assert found["Town02/generated/camera1"] == {
        "rgb": [f"{k:04d}_1.png" for k in range(3)],
        "tags": [f"{k:04d}_11.png" for k in range(3)],
        "depth": [f"{k:04d}_21.png" for k in range(3)],
    }


def test_our_own_exports_are_found_without_what_is_in_them_twice(tmp_path: Path) -> None:
    names = ("tag", "trainId", "instance", "depth", "motion", "rgb", "neural", "left/tag", "left/rgb")
    found = found_in(tmp_path / "frames", *(f"{name}/000000.png" for name in names), "cityscapes/gtFine/train/a.png")
    assert {key: set(planes) for key, planes in found.items()} == {
        "": {"tags", "instances", "depth", "motion", "rgb"},
        "left": {"tags", "rgb"},
    }
    shots = [f"{part}/CAM_FRONT/scene-0001__CAM_FRONT__{time}.jpg" for part, time in (("samples", 5), ("sweeps", 7))]
    found = found_in(tmp_path / "nuscenes", *shots, "v1.0-neuralsim/ego_pose.json")
    assert [len(planes["rgb"]) for planes in found.values()] == [2], "key frames and those between them are one clip"


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="contains no pictures"):
        find(tmp_path)
    with pytest.raises(ImageError, match="no such file or folder"):
        find(tmp_path / "none")


def test_pixels_tell_the_plane_where_no_name_does() -> None:
    rng = np.random.default_rng(2)
    tag = patches()
    scene = cv2.GaussianBlur(rng.integers(0, 255, (*tag.shape, 3), np.uint8), (0, 0), 3)
    slope = np.repeat(np.linspace(2.0, 90.0, tag.shape[0])[:, None], tag.shape[1], 1)
    depth = (slope * np.linspace(1.0, 1.3, tag.shape[1])).astype(np.float32)
    flow = rng.normal(0.0, 0.02, (*tag.shape, 2)).astype(np.float32)
    pictures = {
        "tags": [raw_tags(tag), palette(tag), tag],
        "depth": [depth_24bit(depth), depth_log(depth), depth_16bit(depth), depth],
        "instances": [instances(tag, (1000 + 37 * tag.astype(np.uint16)))],
        "flow": [flow_colours(flow), flow],
        "rgb": [scene, bgra(*np.moveaxis(scene, -1, 0))],
    }
    for kind, images in pictures.items():
        for image in images:
            assert content.kind_of(image, "a") == kind


def test_every_old_id_has_its_tag_of_today() -> None:
    for tag, number in OLD_IDS.items():
        assert tag_codes.TABLES["0.9.13"][number] == tag
