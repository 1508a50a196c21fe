"""A car driven over DDS by a stranger, as ROS 2 would: what it is told, and what it can do."""

import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("cyclonedds", reason="the ros2 extra is not installed")
from helpers.ros_peer import Inbox, RosPeer, seconds, wait

from neuralsim.cli.app import main
from neuralsim.town.core.polylines import arc_lengths, interpolate
from neuralsim.town.opendrive.network import Network

ROOT = Path(__file__).resolve().parents[3]
EGO = "/carla/ego_vehicle"
#: What CARLA's ROS bridge publishes of that, by topic: carla_ros_bridge/src, ``new_publisher``.
BRIDGE = {
    "/clock": "rosgraph_msgs::msg::dds_::Clock_",
    "/tf": "tf2_msgs::msg::dds_::TFMessage_",
    "/carla/status": "carla_msgs::msg::dds_::CarlaStatus_",
    "/carla/world_info": "carla_msgs::msg::dds_::CarlaWorldInfo_",
    "/carla/objects": "derived_object_msgs::msg::dds_::ObjectArray_",
    "/carla/markers": "visualization_msgs::msg::dds_::MarkerArray_",
    f"{EGO}/objects": "derived_object_msgs::msg::dds_::ObjectArray_",
    f"{EGO}/odometry": "nav_msgs::msg::dds_::Odometry_",
    f"{EGO}/speedometer": "std_msgs::msg::dds_::Float32_",
    f"{EGO}/vehicle_status": "carla_msgs::msg::dds_::CarlaEgoVehicleStatus_",
    f"{EGO}/collision": "carla_msgs::msg::dds_::CarlaCollisionEvent_",
    f"{EGO}/lidar": "sensor_msgs::msg::dds_::PointCloud2_",
    **{
        f"{EGO}/{camera}_front/{name}": f"sensor_msgs::msg::dds_::{kind}_"
        for camera in ("rgb", "semantic_segmentation", "depth")
        for name, kind in (("image", "Image"), ("camera_info", "CameraInfo"))
    },
    f"{EGO}/rgb_front/image/compressed": "sensor_msgs::msg::dds_::CompressedImage_",
}


@pytest.fixture(scope="module")
def domain() -> int:
    return 20 + os.getpid() % 80  # others may test at the same time


@pytest.fixture(scope="module")
def peer(domain: int) -> RosPeer:
    return RosPeer(domain)


@contextmanager
def town(domain: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``neuralsim ros2``."""
    command = [
        sys.executable,
        "-m",
        "neuralsim",
        "ros2",
        "--domain",
        str(domain),
        "--with-parent",
        "--runtime",
        "openvino",
        *options,
    ]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ros2: ")
            yield process
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def driven(domain: int, peer: RosPeer) -> Iterator[subprocess.Popen[str]]:
    with town(domain, "--size", "128x64", "--vehicles", "3", "--walkers", "3") as process:
        yield process


def test_topics_and_types_are_those_of_the_bridge(driven: subprocess.Popen[str], peer: RosPeer) -> None:
    wait(lambda: len(peer.endpoints()) >= len(BRIDGE))
    found = {topic.removeprefix("rt"): each for topic, each in peer.endpoints().items()}
    assert {topic: each.type_name for topic, each in found.items()} == BRIDGE
    hashed = peer.store.hash_rihs01("nav_msgs/msg/Odometry")
    assert f"typehash={hashed};".encode() in str(found[f"{EGO}/odometry"].qos).encode()
    assert {topic.removeprefix("rt") for topic in peer.endpoints(are_read=True)} >= {
        f"{EGO}/vehicle_control_cmd",
        f"{EGO}/ackermann_cmd",
    }


def test_what_is_told_of_one_tick_agrees(driven: subprocess.Popen[str], peer: RosPeer) -> None:
    readers = {
        "image": peer.reader(f"{EGO}/rgb_front/image", "sensor_msgs/Image"),
        "jpeg": peer.reader(f"{EGO}/rgb_front/image/compressed", "sensor_msgs/CompressedImage"),
        "info": peer.reader(f"{EGO}/rgb_front/camera_info", "sensor_msgs/CameraInfo"),
        "depth": peer.reader(f"{EGO}/depth_front/image", "sensor_msgs/Image"),
        "cloud": peer.reader(f"{EGO}/lidar", "sensor_msgs/PointCloud2"),
        "odometry": peer.reader(f"{EGO}/odometry", "nav_msgs/Odometry"),
        "objects": peer.reader("/carla/objects", "derived_object_msgs/ObjectArray"),
        "status": peer.reader(f"{EGO}/vehicle_status", "carla_msgs/CarlaEgoVehicleStatus"),
    }
    by_time: dict[float, dict[str, object]] = {}

    def whole() -> dict | None:
        for name, reader in readers.items():
            for message in reader.take(100):
                by_time.setdefault(round(seconds(message.header_), 6), {})[name] = message
        return next((each for each in by_time.values() if len(each) == len(readers)), None)

    wait(lambda: whole() is not None)
    tick = whole()
    assert tick is not None
    image, info, depth, cloud = (tick[name] for name in ("image", "info", "depth", "cloud"))
    assert (image.width_, image.height_, image.encoding_, len(image.data_)) == (128, 64, "bgr8", 128 * 64 * 3)
    assert bytes(tick["jpeg"].data_[:2]) == b"\xff\xd8"
    assert info.k_[0] == pytest.approx(64 / np.tan(np.radians(35)))
    metres = np.array(depth.data_, np.uint8).view(np.float32).reshape(64, 128)
    points = np.array(cloud.data_, np.uint8).view(np.float32).reshape(-1, 4)
    assert len(points) > 5_000
    assert np.median(points[points[:, 2] < -1.6, 2]) == pytest.approx(-1.8, abs=0.1), "the road"
    ahead = points[(np.abs(points[:, 1]) < 0.1 * points[:, 0]) & (np.abs(points[:, 2] + 0.35) < 0.02 * points[:, 0])]
    seen = metres[30:34, 58:70]
    assert np.median(ahead[:, 0]) - 1.2 == pytest.approx(np.median(seen), rel=0.3), "LiDAR and camera see the same"
    place = tick["odometry"].pose_.pose_.position_
    own = min(tick["objects"].objects_, key=lambda each: np.hypot(*_offset(each.pose_.position_, place)))
    assert np.hypot(*_offset(own.pose_.position_, place)) < 0.3
    assert own.classification_ == 6
    assert own.shape_.dimensions_[0] > 4.0


def _offset(a: object, b: object) -> tuple[float, float]:
    return a.x_ - b.x_, a.y_ - b.y_  # type: ignore[attr-defined]


def test_no_image_is_lost(driven: subprocess.Popen[str], peer: RosPeer) -> None:
    images = Inbox(peer.reader(f"{EGO}/rgb_front/image", "sensor_msgs/Image"))
    times = [seconds(images.next().header_) for _ in range(500)]
    assert np.diff(times) == pytest.approx(np.full(499, 0.05), abs=1e-6)


def test_a_command_moves_the_car_within_two_ticks(driven: subprocess.Popen[str], peer: RosPeer) -> None:
    state = Inbox(peer.reader(f"{EGO}/odometry", "nav_msgs/Odometry", depth=1))
    control = peer.writer(f"{EGO}/vehicle_control_cmd", "carla_msgs/CarlaEgoVehicleControl")
    assert abs(state.next().twist_.twist_.linear_.x_) < 0.01
    sent = seconds(state.next().header_)
    control.write(peer.control(throttle=1.0))
    while (moved := state.next()).twist_.twist_.linear_.x_ < 0.01:
        assert seconds(moved.header_) < sent + 1.0
    assert seconds(moved.header_) - sent <= 0.1 + 1e-6
    control.write(peer.control(brake=1.0))
    while state.next().twist_.twist_.linear_.x_ > 0.01:
        pass


def test_an_ackermann_target_is_reached(driven: subprocess.Popen[str], peer: RosPeer) -> None:
    state = Inbox(peer.reader(f"{EGO}/odometry", "nav_msgs/Odometry", depth=1))
    target = peer.writer(f"{EGO}/ackermann_cmd", "ackermann_msgs/AckermannDrive")
    target.write(peer.type("ackermann_msgs/AckermannDrive")(0.2, 0.0, 3.0, 0.0, 0.0))
    for _ in range(40):
        twist = state.next().twist_.twist_
    assert twist.linear_.x_ == pytest.approx(3.0, abs=0.3)
    assert twist.angular_.z_ > 0.05, "to the left"
    target.write(peer.type("ackermann_msgs/AckermannDrive")(0.0, 0.0, 0.0, 0.0, 0.0))
    while abs(state.next().twist_.twist_.linear_.x_) > 0.01:
        pass


def test_strangers_bytes_and_commands_do_no_harm(driven: subprocess.Popen[str], peer: RosPeer, domain: int) -> None:
    status = Inbox(peer.reader(f"{EGO}/vehicle_status", "carla_msgs/CarlaEgoVehicleStatus", depth=1))
    hostile, honest = (peer.writer(f"{EGO}/vehicle_control_cmd", "carla_msgs/CarlaEgoVehicleControl") for _ in range(2))
    status.next()
    memory, rng = psutil.Process(driven.pid).memory_info().rss, random.Random(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        for k in range(2000):
            body = rng.randbytes(rng.randrange(4, 1400))
            begin = b"RTPS\2\1\1\x10" + rng.randbytes(12) + bytes([rng.choice((6, 7, 8, 9, 14, 21, 22)), k % 4])
            packet = begin + len(body).to_bytes(2, "little") + body if k % 3 else body
            noise.sendto(packet, ("127.0.0.1", 7410 + 250 * domain + k % 8))  # of discovery and data
    for _ in range(3):
        large = peer.control(throttle=1.0)
        large.header_.frame_id_ = "x" * 1_000_000
        hostile.write(large)
    for value in (float("nan"), float("inf")):
        hostile.write(peer.control(throttle=value, steer=value))
    honest.write(peer.control(throttle=7.0, steer=0.25))
    while (control := status.next().control_).steer_ != 0.25:
        assert control.throttle_ < 1.0
    assert control.throttle_ == 1.0, "no more than there is"
    honest.write(peer.control(brake=1.0))
    assert psutil.Process(driven.pid).memory_info().rss < memory + 100e6


def test_a_controller_drives_around_the_block(domain: int) -> None:
    peer = RosPeer(domain + 1)
    with town(domain + 1, "--wait", "--vehicles", "0", "--walkers", "0", "--fps", "10", "--seed", "3"):
        control = peer.writer(f"{EGO}/vehicle_control_cmd", "carla_msgs/CarlaEgoVehicleControl")
        state = Inbox(peer.reader(f"{EGO}/odometry", "nav_msgs/Odometry"))
        hits = peer.reader(f"{EGO}/collision", "carla_msgs/CarlaCollisionEvent")
        world = Inbox(peer.reader("/carla/world_info", "carla_msgs/CarlaWorldInfo", is_latched=True)).next()
        control.write(peer.control(brake=1.0))
        x, y, _, _ = _where(state.newest())
        way = _block(Network(world.map_name_, world.opendrive_), x, y)
        along = arc_lengths(way)
        length, driven_, at, off = along[-1], 0.0, 0.0, 0.0
        while driven_ < length:
            x, y, yaw, speed = _where(state.newest())
            near = np.flatnonzero(np.abs((along - at + length / 2) % length - length / 2) < 8.0)
            nearest = near[np.hypot(*(way[near, :2] - (x, y)).T).argmin()]
            off = max(off, float(np.hypot(*(way[nearest, :2] - (x, y)))))
            driven_ += (along[nearest] - at + length / 2) % length - length / 2
            at = along[nearest]
            aim = interpolate(way, along, (at + 3.0 + 0.5 * speed) % length)[:2] - (x, y)
            bend = np.arctan2(aim[1], aim[0]) - yaw
            bend = (bend + np.pi) % (2 * np.pi) - np.pi
            cruise = 6.0 - 4.0 * min(abs(bend) / 0.4, 1.0)
            pedal = 0.3 * (cruise - speed)
            wheel = np.arctan2(2 * 2.9 * np.sin(bend), np.hypot(*aim)) / np.radians(38)
            control.write(
                peer.control(
                    throttle=float(np.clip(pedal, 0, 1)), steer=-float(wheel), brake=float(np.clip(-pedal, 0, 1))
                )
            )
        assert length > 150.0
        assert off < 1.5
        assert hits.take(10) == []


def _where(odometry: object) -> tuple[float, float, float, float]:
    """Return x, y, heading and speed, right-handed."""
    pose, twist = odometry.pose_.pose_, odometry.twist_.twist_  # type: ignore[attr-defined]
    q = pose.orientation_
    return pose.position_.x_, pose.position_.y_, 2.0 * np.arctan2(q.z_, q.w_), twist.linear_.x_


def _block(network: Network, x: float, y: float) -> np.ndarray:
    """Return the shortest way f64 (N, 3), right-handed, that leads from a place back to it."""
    lanes, mirror = network.lanes, (1.0, -1.0, 1.0)
    start = min(range(len(lanes)), key=lambda k: np.hypot(*(lanes[k].centre[:, :2] * (1, -1) - (x, y)).T).min())
    open_ = [(lanes[start].length, [start])]
    seen: set[int] = set()
    while open_:
        open_.sort(reverse=True)
        length, chain = open_.pop()
        if chain[-1] == start and len(chain) > 1:
            way = np.concatenate([lanes[k].centre for k in chain[:-1]]) * mirror
            gaps = np.linalg.norm(np.diff(way, axis=0), axis=1)
            way = np.concatenate([way[:1], way[1:][gaps > 0.05]])
            first = int(np.hypot(*(way[:, :2] - (x, y)).T).argmin())
            return np.concatenate([way[first:], way[: first + 1]])
        for following in lanes[chain[-1]].next:
            if following == start or following not in seen:
                seen.add(following)
                open_.append((length + lanes[following].length, [*chain, following]))
    raise AssertionError("no way leads back")


def test_several_vehicles_obey_their_own_commands(domain: int, peer: RosPeer) -> None:
    with town(
        domain, "--roles", "left,right", "--town", "hamlet", "--vehicles", "0", "--walkers", "0", "--size", "64x64"
    ):
        control = peer.writer("/carla/left/vehicle_control_cmd", "carla_msgs/CarlaEgoVehicleControl")
        states = [Inbox(peer.reader(f"/carla/{role}/odometry", "nav_msgs/Odometry")) for role in ("left", "right")]
        control.write(peer.control(throttle=1.0))
        speeds = [[each.next().twist_.twist_.linear_.x_ for _ in range(20)][-1] for each in states]
        assert speeds[0] > 1.0
        assert abs(speeds[1]) < 0.01


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ros2", "--interface", "nowhere0", "--domain", "7"]) == 1
    assert capsys.readouterr().err.strip().startswith("neuralsim: no DDS domain 7 on nowhere0")
    assert main(["ros2", "--roles", "a b"]) == 2
    assert "a name of letters" in capsys.readouterr().err
