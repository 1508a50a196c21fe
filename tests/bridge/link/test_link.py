"""The ZeroMQ link with real sockets: both deliveries, keys, noise, and motion over skipped frames."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zmq

from bridge import messages
from bridge.link.motion import compose, from_flow, reproject
from bridge.link.transport import (
    QUEUE,
    ControlReceiver,
    ControlSender,
    FramePublisher,
    FrameSubscriber,
    LinkError,
    LinkTimeout,
    control_endpoint,
    generate_keys,
    generate_observer,
    is_local,
    load_keys,
)
from bridge.messages import Camera, Control, Ego, Frame, Lamp, MovingObject, ProtocolError

W, H = 64, 32
LOOPBACK = "tcp://127.0.0.1:0"


def make_frame(sequence: int = 0, width: int = W, height: int = H, motion: float = 1.0) -> Frame:
    shape = height, width
    planes = {
        "tag": np.full(shape, 1, np.uint8),
        "instance": np.zeros(shape, np.uint16),
        "depth": np.full(shape, 10.0, np.float32),
        "motion": np.full((*shape, 2), (motion, 0.0), np.float16),
    }
    return Frame(sequence, sequence + 100, sequence / 30, Camera(width, height, 70.0, np.eye(4)), planes)


def full_frame() -> Frame:
    frame = make_frame(7, 512, 256)
    frame.planes["rgb"] = np.random.default_rng(0).integers(0, 255, (256, 512, 3), np.uint8)
    frame.objects = [MovingObject(i, 14, np.eye(4) * i, (2.0, 1.0, 0.7)) for i in range(64)]
    frame.lamps = [Lamp("traffic_light", "red", (1.0, 2.0, 3.0, 4.0), 20.0)] * 8
    frame.ego = Ego(speed=-1.5, gear=-1, road_id=3, lane_id=-1, autopilot=True, pose=np.diag([1.0, 2.0, 3.0, 1.0]))
    frame.weather, frame.weather_name = {"cloudiness": 10.0, "wetness": 0.0}, "ClearNoon"
    frame.stamps = {"capture": 1, "simulated": 2}
    return frame


def wait_until(condition, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.005)


class TestMessages:
    def test_a_frame_arrives_as_it_was(self):
        sent = full_frame()
        got = messages.unpack([bytes(part) for part in messages.pack(sent)])
        for name, plane in sent.planes.items():
            assert got.planes[name].dtype == plane.dtype
            np.testing.assert_array_equal(got.planes[name], plane)
        np.testing.assert_array_equal(got.ego.pose, sent.ego.pose)
        np.testing.assert_array_equal(got.objects[5].pose, sent.objects[5].pose)
        assert (got.ego.speed, got.ego.gear, got.ego.autopilot) == (-1.5, -1, True)
        assert (got.objects[5].instance, got.objects[5].extent) == (5, (2.0, 1.0, 0.7))
        assert (got.lamps, got.weather, got.stamps) == (sent.lamps, sent.weather, sent.stamps)
        assert (got.sequence, got.sim_frame, got.weather_name) == (7, 107, "ClearNoon")

    def test_what_a_driver_sees_beside_the_picture_arrives_as_it_was(self):
        sent = make_frame()
        sent.impact, sent.mount, sent.route_left = messages.Impact("guard rail", 3.5), "chase", 120.0
        sent.route, sent.traffic = np.ones((7, 2), np.float32), np.full((3, 4), 2.0, np.float32)
        lines = [np.arange(6, dtype=np.float32).reshape(3, 2), np.zeros((2, 2), np.float32)]
        sent.chart = messages.Chart("oldtown", lines, np.array([[3.5], [2.0]], np.float32))
        parts = [bytes(part) for part in messages.pack(sent)]
        got = messages.unpack(parts)
        assert (got.impact, got.mount, got.route_left) == (sent.impact, "chase", 120.0)
        np.testing.assert_array_equal(got.route, sent.route)
        np.testing.assert_array_equal(got.traffic, sent.traffic)
        assert got.chart is not None
        assert (got.chart.name, [line.tolist() for line in got.chart.lines]) == ("oldtown", [a.tolist() for a in lines])
        np.testing.assert_array_equal(got.chart.widths, sent.chart.widths)
        header = msgpack.unpackb(parts[1])
        wrong = {
            "impact": {"what": "pole", "speed": float("inf")}, "route": b"123", "mount": 3, "traffic": b"1234" * 3,
            "chart": {"name": "oldtown", "lines": [np.full(2, np.nan, np.float32).tobytes()], "widths": b"1234"},
        }  # fmt: skip
        for name, value in wrong.items():
            with pytest.raises(messages.ProtocolError, match=name):
                messages.unpack([parts[0], msgpack.packb(header | {name: value}), *parts[2:]])

    def test_planes_are_not_copied(self):
        parts = [bytes(part) for part in messages.pack(full_frame())]
        depth = messages.unpack(parts).planes["depth"]
        assert np.shares_memory(depth, np.frombuffer(parts[4], np.uint8))

    def test_packing_is_cheap(self):
        frame = full_frame()
        times = []
        for _ in range(30):
            begun = time.perf_counter()
            messages.pack(frame)
            times.append(time.perf_counter() - begun)
        assert sorted(times)[len(times) // 4] < 0.2e-3

    def test_a_control_arrives_as_it_was(self):
        control = Control(3, 4, 0.5, 0.25, -0.5, True, True, True, 2, 1, True, True, True)
        assert messages.unpack_control(messages.pack_control(control)) == control
        more = Control(3, camera="chase", going=2, goal=True, goal_x=-812.5, goal_y=40.0, preset="WetNoon", minutes=600)
        assert messages.unpack_control(messages.pack_control(more)) == more

    def test_pedals_are_clipped(self):
        control = messages.unpack_control(messages.pack_control(Control(1, throttle=7.0, brake=-1.0, steer=-3.0)))
        assert (control.throttle, control.brake, control.steer) == (1.0, 0.0, -1.0)

    @pytest.mark.parametrize("version", [0, 1, "2", None])
    def test_another_version_is_named(self, version):
        with pytest.raises(ProtocolError, match="protocol version"):
            messages.unpack_control(msgpack.packb({"protocol": version, "sequence": 1}))

    def test_a_plane_of_another_size_is_refused(self):
        frame = make_frame()
        parts = messages.pack(frame)
        for wrong in (parts[:-1], [*parts, b"x"], [*parts[:-1], bytes(8)]):
            with pytest.raises(ProtocolError):
                messages.unpack(wrong)
        frame.planes["depth"] = frame.planes["depth"].astype(np.float64)
        with pytest.raises(ValueError, match="depth"):
            messages.pack(frame)

    def test_noise_raises_nothing_but_protocol_errors(self):
        random = np.random.default_rng(1)
        frame = full_frame()
        frame.planes = make_frame().planes
        frame.camera = make_frame().camera
        whole = [bytes(part) for part in messages.pack(frame)]
        control = messages.pack_control(Control(1))
        refused = 0
        for trial in range(4000):
            parts = list(whole)
            victim = int(random.integers(0, len(parts)))
            kind = trial % 4
            if kind == 0:  # bit flips, mostly in the header
                victim = 1
                data = bytearray(parts[1])
                for _ in range(int(random.integers(1, 6))):
                    data[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))
                parts[1] = bytes(data)
            elif kind == 1:
                parts[victim] = parts[victim][: int(random.integers(0, len(parts[victim]) + 1))]
            elif kind == 2:
                parts[victim] = random.bytes(int(random.integers(0, 200)))
            else:
                parts = [random.bytes(int(random.integers(0, 60))) for _ in range(int(random.integers(0, 6)))]
                parts[:1] = [messages.TOPIC]
            try:
                messages.unpack(parts)
            except ProtocolError as error:
                refused += "\n" not in str(error)
            data = bytearray(control)
            data[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))
            for noise in (bytes(data), random.bytes(int(random.integers(0, 80))), control[: trial % len(control)]):
                with contextlib.suppress(ProtocolError):
                    messages.unpack_control(noise)
        assert refused > 2000


class TestLatestWins:
    def test_a_slow_receiver_gets_the_newest_and_counts_the_rest(self):
        with FramePublisher(LOOPBACK) as publisher, FrameSubscriber(publisher.endpoint) as subscriber:
            first = send_until_received(publisher, subscriber)
            for sequence in range(first + 1, first + 6):
                publisher.send(make_frame(sequence))
            time.sleep(0.2)
            frame = subscriber.recv(1.0)
            assert frame is not None
            assert (frame.sequence, frame.skipped, subscriber.skipped) == (first + 5, 4, 4)
            np.testing.assert_allclose(frame.planes["motion"][:, 10:20, 0], 5.0)  # over all five frames
            assert set(frame.stamps) >= {"sent", "received"}

    @pytest.mark.parametrize("shared", [True, False])
    def test_a_publisher_is_never_held_up_and_its_queue_is_bounded(self, shared):
        with FramePublisher(LOOPBACK) as publisher, FrameSubscriber(publisher.endpoint, shared=shared) as subscriber:
            first = send_until_received(publisher, subscriber)
            begun = time.monotonic()
            for sequence in range(first + 1, first + 200):  # 200 MB, far more than any buffer takes
                publisher.wait()
                publisher.send(make_frame(sequence, 512, 256))
            assert time.monotonic() - begun < 5.0
            time.sleep(0.3)
            frames = 0
            while subscriber.recv(0.3) is not None:
                frames += 1
            assert frames <= 2 * QUEUE
            publisher.send(make_frame(first + 500))  # and it goes on
            got = subscriber.recv(1.0)
            assert got is not None
            assert got.sequence == first + 500
            assert subscriber.skipped == 499 - frames

    def test_motion_of_lost_frames_is_taken_from_depth(self):
        with FramePublisher(LOOPBACK) as publisher, FrameSubscriber(publisher.endpoint) as subscriber:
            first = send_until_received(publisher, subscriber)
            frame = make_frame(first + 5)  # those between never come
            frame.camera.pose[1, 3] = 0.5  # half a metre to the right
            publisher.send(frame)
            got = subscriber.recv(1.0)
            assert got is not None
            assert got.skipped == 4
            np.testing.assert_allclose(got.planes["motion"][..., 0], frame.camera.focal * 0.05, atol=2e-3)

    def test_a_new_bridge_is_found(self, tmp_path):
        endpoint = f"ipc://{tmp_path}/frames"
        with FrameSubscriber(endpoint) as subscriber:
            assert subscriber.recv(0.05) is None
            for _ in range(2):
                with FramePublisher(endpoint) as publisher:
                    send_until_received(publisher, subscriber)

    def test_noise_is_counted_and_skipped(self):
        context = zmq.Context()
        with context.socket(zmq.ROUTER) as router:
            port = router.bind_to_random_port("tcp://127.0.0.1")
            with FrameSubscriber(f"tcp://127.0.0.1:{port}") as subscriber:
                identity = router.recv_multipart()[0]
                router.send_multipart([identity, b"noise", b"\xff" * 50])
                router.send_multipart([identity, *messages.pack(make_frame())])
                router.send_multipart([identity, messages.TOPIC, msgpack.packb({"protocol": 9})])
                frame = subscriber.recv(1.0)
                assert frame is not None
                assert frame.sequence == 0
                wait_until(lambda: subscriber.recv(0.01) is None and subscriber.malformed == 2)
                assert "protocol version 9" in subscriber.error
        context.term()


class TestLockstep:
    def test_none_is_lost_and_none_comes_twice(self):
        got = []

        def receive() -> None:
            with FrameSubscriber(publisher.endpoint, lockstep=True) as subscriber:
                while len(got) < 60:
                    frame = subscriber.recv(5.0)
                    assert frame is not None
                    got.append((frame.sequence, frame.skipped))
                    if len(got) % 20 == 0:
                        time.sleep(0.1)  # slower than the publisher

        with FramePublisher(LOOPBACK, lockstep=True, timeout=5.0) as publisher:
            thread = threading.Thread(target=receive)
            thread.start()
            for sequence in range(60):
                publisher.wait()
                publisher.send(make_frame(sequence, 512, 256))
            thread.join(5.0)
        assert got == [(sequence, 0) for sequence in range(60)]

    @pytest.mark.parametrize(("ahead", "allowed"), [(0, 1), (1, 2)])
    def test_the_publisher_waits_for_room(self, ahead, allowed):
        with (
            FramePublisher(LOOPBACK, lockstep=True, timeout=0.4) as publisher,
            FrameSubscriber(publisher.endpoint, lockstep=True, ahead=ahead) as subscriber,
        ):
            for sequence in range(allowed):
                publisher.wait()
                publisher.send(make_frame(sequence))
            with pytest.raises(LinkTimeout, match="does not take its frames"):
                publisher.wait()
            assert subscriber.recv(1.0) is not None
            subscriber.recv(0.1)  # this asks for the next
            publisher.wait()

    def test_nobody_there_ends_in_a_clear_error(self):
        with FramePublisher(LOOPBACK, lockstep=True, timeout=0.3) as publisher:
            with pytest.raises(LinkTimeout, match="no receiver came"):
                publisher.wait()
            publisher.wait(stop=lambda: True)

    def test_a_receiver_that_left_is_not_waited_for(self):
        with FramePublisher(LOOPBACK, lockstep=True, timeout=5.0) as publisher:
            stays = FrameSubscriber(publisher.endpoint, lockstep=True)
            leaves = FrameSubscriber(publisher.endpoint, lockstep=True)
            wait_until(lambda: publisher.wait(lambda: True) or publisher.receivers == 2)
            leaves.close()
            for sequence in range(6):
                publisher.wait()
                publisher.send(make_frame(sequence))
                assert stays.recv(2.0) is not None
            assert publisher.receivers == 1
            stays.close()

    def test_a_lost_frame_is_an_error(self):
        with FramePublisher(LOOPBACK) as publisher, FrameSubscriber(publisher.endpoint, lockstep=True) as subscriber:
            first = send_until_received(publisher, subscriber)
            publisher.send(make_frame(first + 3))
            with pytest.raises(LinkError, match="2 frames were lost"):
                subscriber.recv(1.0)


class TestControls:
    def test_the_newest_wins(self):
        with ControlReceiver(LOOPBACK) as receiver, ControlSender(receiver.endpoint) as sender:
            for sequence in range(1, 51):
                sender.send(Control(sequence, steer=sequence / 100))
            newest = None

            def last_came() -> bool:
                nonlocal newest
                newest = receiver.newest() or newest
                return newest is not None and newest.sequence == 50

            wait_until(last_came)
            assert newest is not None
            assert newest.steer == 0.5
            assert newest.stamp > 0
            assert receiver.newest() is None

    def test_sending_to_nobody_does_not_block(self):
        with ControlSender("tcp://127.0.0.1:9") as sender:
            begun = time.monotonic()
            for sequence in range(1000):
                sender.send(Control(sequence))
            assert time.monotonic() - begun < 2.0

    def test_noise_is_counted_and_skipped(self):
        context = zmq.Context()
        with ControlReceiver(LOOPBACK) as receiver, context.socket(zmq.PUSH) as push:
            push.connect(receiver.endpoint)
            push.send(b"\x00noise")
            push.send_multipart([messages.pack_control(Control(8)), b"more"])
            push.send(messages.pack_control(Control(9)))
            push.send(b"")
            newest, until = None, time.monotonic() + 5.0
            while receiver.malformed < 3 and time.monotonic() < until:
                newest = receiver.newest(0.1) or newest
            assert newest is not None
            assert (newest.sequence, receiver.malformed) == (9, 3)
        context.term()


class TestAddresses:
    def test_only_loopback_without_keys(self):
        for endpoint in ("tcp://0.0.0.0:5600", "tcp://*:5600", "tcp://192.0.2.7:5600", "tcp://[::]:5600"):
            for make in (FramePublisher, FrameSubscriber, ControlSender, ControlReceiver):
                with pytest.raises(LinkError, match="keys"):
                    make(endpoint)
        assert all(map(is_local, ("tcp://127.0.0.3:1", "tcp://[::1]:1", "tcp://localhost:1", "ipc:///tmp/x")))

    @pytest.mark.parametrize(
        "endpoint", ["", "localhost:5", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "ipc://", "inproc://x"]
    )
    def test_what_is_no_endpoint(self, endpoint):
        with pytest.raises(LinkError, match="no endpoint"):
            FramePublisher(endpoint)

    def test_an_address_in_use(self, tmp_path):
        for endpoint in (LOOPBACK, f"ipc://{tmp_path}/frames"):
            with FramePublisher(endpoint) as publisher, pytest.raises(LinkError, match="address already in use"):
                FramePublisher(publisher.endpoint)

    def test_where_controls_go(self):
        assert control_endpoint("tcp://127.0.0.1:5600") == "tcp://127.0.0.1:5601"
        assert control_endpoint("ipc:///tmp/frames") == "ipc:///tmp/frames.control"


class TestKeys:
    def test_both_links_work_encrypted(self, tmp_path):
        keys = generate_keys(tmp_path / "keys")
        for name in ("public", "secret"):
            assert stat.S_IMODE(os.stat(keys / name).st_mode) == 0o600
        with FramePublisher("tcp://0.0.0.0:0", keys) as publisher, ControlReceiver("tcp://0.0.0.0:0", keys) as receiver:
            ports = [socket.endpoint.rpartition(":")[2] for socket in (publisher, receiver)]
            frames, controls = (f"tcp://127.0.0.1:{port}" for port in ports)
            with FrameSubscriber(frames, keys) as subscriber, ControlSender(controls, keys) as sender:
                send_until_received(publisher, subscriber)
                sender.send(Control(5))
                wait_until(lambda: (receiver.newest() or Control(0)).sequence == 5)

    def test_strangers_see_and_steer_nothing(self, tmp_path):
        ours, others = generate_keys(tmp_path / "ours"), generate_keys(tmp_path / "others")
        # One who has found out the public key, but not the secret.
        (others / "public").rename(others / "own")
        with FramePublisher(LOOPBACK, ours) as publisher, ControlReceiver(LOOPBACK, ours) as receiver:
            context = zmq.Context()
            dealer, push = context.socket(zmq.DEALER), context.socket(zmq.PUSH)
            for socket, endpoint in ((dealer, publisher.endpoint), (push, receiver.endpoint)):
                socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
                socket.curve_serverkey = (ours / "public").read_bytes().strip()
                socket.linger = 0
                socket.connect(endpoint)
            dealer.send(msgpack.packb((messages.PROTOCOL, 2, -1)))
            with FrameSubscriber(publisher.endpoint) as plain, ControlSender(receiver.endpoint) as sender:
                sender.send(Control(1))
                push.send(messages.pack_control(Control(2)))
                for sequence in range(20):
                    publisher.send(make_frame(sequence))
                    assert plain.recv(0.02) is None
                assert publisher.receivers == 0
                assert not dealer.poll(0)
                assert receiver.newest(0.1) is None
            dealer.close()
            push.close()
            context.term()

    def test_an_observer_watches_and_cannot_drive(self, tmp_path):
        keys = generate_keys(tmp_path / "keys")
        guest, former = (generate_observer(tmp_path / name, keys) for name in ("guest", "former"))
        (keys / "observers" / load_keys(former).public.hex()[:16]).unlink()
        with FramePublisher(LOOPBACK, keys) as publisher, ControlReceiver(LOOPBACK, keys) as receiver:
            with FrameSubscriber(publisher.endpoint, guest) as watching:
                send_until_received(publisher, watching)
            with FrameSubscriber(publisher.endpoint, former) as refused:
                for sequence in range(20):
                    publisher.send(make_frame(sequence))
                    assert refused.recv(0.02) is None
            with pytest.raises(LinkError, match="may watch and not drive"):
                ControlSender(receiver.endpoint, guest)
            context = zmq.Context()
            for folder, arrives in ((guest, False), (keys, True)):  # by a program that does not ask our classes
                pair = load_keys(folder)
                with context.socket(zmq.PUSH) as push:
                    push.curve_publickey, push.curve_secretkey = pair.public, pair.secret
                    push.curve_serverkey, push.linger = load_keys(keys).public, 0
                    push.connect(receiver.endpoint)
                    push.send(messages.pack_control(Control(2, driver="a")))
                    assert (receiver.newest(0.3 if not arrives else 5.0) is not None) == arrives
            context.term()
            for make in (FramePublisher, ControlReceiver):
                with pytest.raises(LinkError, match="observer"):
                    make(LOOPBACK, guest)
        with pytest.raises(LinkError, match="observer"):
            generate_observer(tmp_path / "second", guest)

    def test_bad_folders(self, tmp_path):
        keys = generate_keys(tmp_path / "keys")
        with pytest.raises(LinkError, match="keys already"):
            generate_keys(keys)
        with pytest.raises(LinkError, match="neuralsim keys new"):
            FramePublisher(LOOPBACK, tmp_path / "none")
        Path(keys / "secret").write_text("x" * 40, encoding="utf-8")
        with pytest.raises(LinkError, match="damaged"):
            FramePublisher(LOOPBACK, keys)


class TestMotion:
    """A road plane and a wall that slides by itself, seen by a camera that drives and turns: all motion is known."""

    width, height = 256, 128

    def scene(self, time: float) -> Frame:
        yaw = 0.06 * time
        pose = np.eye(4)
        pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
        pose[:3, 3] = 0.8 * time, 0.05 * time, 1.5
        camera = Camera(self.width, self.height, 70.0, pose)
        j, i = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        right, up = (j - self.width / 2) / camera.focal, (self.height / 2 - i) / camera.focal
        rays = np.stack([np.ones_like(right), right, up], -1) @ pose[:3, :3].T
        with np.errstate(divide="ignore", invalid="ignore"):
            road = np.where(rays[..., 2] < -1e-3, -1.5 / rays[..., 2], np.inf)
            wall = np.where(rays[..., 0] > 0, (20.0 - pose[0, 3]) / rays[..., 0], np.inf)
        at_wall = pose[:3, 3] + wall[..., None] * rays
        shift = 0.4 * time
        wall[(np.abs(at_wall[..., 1] - shift) > 2.0) | (at_wall[..., 2] > 3.0) | (at_wall[..., 2] < 0.0)] = np.inf
        depth = np.minimum(road, wall)
        sky = ~np.isfinite(depth)
        depth[sky] = 1000.0
        tag = np.where(sky, 11, np.where(wall <= road, 14, 1)).astype(np.uint8)
        planes = {
            "tag": tag,
            "instance": np.where(tag == 14, 7, 0).astype(np.uint16),
            "depth": depth.astype(np.float32),
        }
        return Frame(0, 0, time, camera, planes)

    def true_motion(self, new: Frame, old: Frame) -> np.ndarray:
        camera, depth, tag = new.camera, new.planes["depth"].astype(float), new.planes["tag"]
        j, i = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        right, up = (j - self.width / 2) / camera.focal, (self.height / 2 - i) / camera.focal
        rays = np.stack([np.ones_like(right), right, up], -1) @ camera.pose[:3, :3].T
        points = rays * depth[..., None] + camera.pose[:3, 3]
        points[tag == 14, 1] -= 0.4 * (new.sim_time - old.sim_time)
        points[tag == 11] = rays[tag == 11] * 1e9 + old.camera.pose[:3, 3]
        local = (points - old.camera.pose[:3, 3]) @ old.camera.pose[:3, :3]
        u = self.width / 2 + camera.focal * local[..., 1] / local[..., 0]
        v = self.height / 2 - camera.focal * local[..., 2] / local[..., 0]
        return np.stack([u - j, v - i], -1)

    def frames(self) -> list[Frame]:
        frames = [self.scene(k / 3) for k in range(4)]
        for new, old in zip(frames[1:], frames, strict=False):
            new.planes["motion"] = self.true_motion(new, old).astype(np.float16)
        return frames

    def test_composed_motion_reaches_the_frame_delivered_before(self):
        first, *skipped, newest = self.frames()
        got = compose(newest, skipped, first.camera).astype(float)
        true = self.true_motion(newest, first)
        j, i = np.meshgrid(np.arange(self.width), np.arange(self.height))
        seen = (np.abs(true[..., 0] + j - self.width / 2) < self.width / 2) & (np.abs(true[..., 1] + i - 64) < 64)
        error = np.abs(got - true).max(-1)
        unit = np.spacing(np.abs(true).max(-1).astype(np.float16)).astype(float)
        for name in (1, 11, 14):
            of = seen & (newest.planes["tag"] == name)
            assert of.sum() > 300
            # Two roundings to f16 and a bilinear reading; at the wall's edge hidden road comes into view.
            assert (error[of] < np.maximum(0.05, 2 * unit[of])).mean() > 0.99, name

    def test_the_newest_field_alone_would_be_wrong(self):
        first, *_, newest = self.frames()
        error = np.abs(newest.planes["motion"].astype(float) - self.true_motion(newest, first)).max(-1)
        assert np.median(error) > 1.0

    def test_reprojection_is_right_for_what_stands_still(self):
        first, *_, newest = self.frames()
        got, true = reproject(newest.planes["depth"], newest.camera, first.camera.pose), self.true_motion(newest, first)
        still = newest.planes["tag"] != 14
        assert np.abs(got.astype(float) - true)[still & (np.abs(true).max(-1) < 100)].max() < 0.05

    def test_carlas_flow_becomes_backward_motion(self):
        *_, old, new = self.frames()
        true = self.true_motion(new, old)
        flow = (-true * (2.0 / self.width, -2.0 / self.height)).astype(np.float32)
        flow[new.planes["tag"] == 11] = 0.0  # as a server that gives the sky none
        out = np.empty((self.height, self.width, 2), np.float16)
        from_flow(flow, new.planes["depth"], new.camera, old.camera.pose, out)
        unit = np.spacing(np.abs(true).astype(np.float16)).astype(float)
        assert (np.abs(out.astype(float) - true) <= np.maximum(0.51 * unit, 1e-3)).all()


def send_until_received(publisher: FramePublisher, subscriber: FrameSubscriber) -> int:
    """Send frames until one arrives; returns its sequence (and nothing is left in the queues)."""
    for sequence in range(200):
        publisher.send(make_frame(sequence))
        frame = subscriber.recv(0.05)
        if frame is not None and frame.sequence == sequence:
            return sequence
    raise AssertionError("no frame arrived")
