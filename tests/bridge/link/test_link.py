"""The ZeroMQ link with real sockets: both deliveries, keys, noise, and motion over skipped frames."""

from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zmq
from helpers.link_frames import LOOPBACK, make_frame, send_until_received, wait_until

from bridge import messages
from bridge.link import frame_header
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
from bridge.messages import MIRRORS, Camera, Control, Frame, MirrorName, RearView, mirror_frame


def test_a_frame_sent_by_value_is_received_after_its_publisher_has_closed():
    with FramePublisher(LOOPBACK, lockstep=True) as publisher:
        subscriber = FrameSubscriber(publisher.endpoint, lockstep=True)
        with subscriber:
            first = send_until_received(publisher, subscriber)
            publisher.listen(0.2)  # the receiver asks for the next one
            publisher.send(make_frame(first + 1), by_value=True)
            publisher.close()
            frame = subscriber.recv(2.0)
            assert frame is not None
            assert frame.sequence == first + 1
            np.testing.assert_array_equal(frame.planes["tag"], make_frame(first + 1).planes["tag"])


class TestLatestWins:
    def test_slow_receiver_gets_the_newest_frame_and_counts_the_rest(self):
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
    def test_publisher_never_blocks_and_its_queue_is_bounded(self, shared):
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

    def test_motion_over_lost_frames_is_reprojected_by_depth(self):
        with FramePublisher(LOOPBACK) as publisher, FrameSubscriber(publisher.endpoint) as subscriber:
            first = send_until_received(publisher, subscriber)
            frame = make_frame(first + 5)  # those between never come
            frame.camera.pose[1, 3] = 0.5  # half a metre to the right
            publisher.send(frame)
            got = subscriber.recv(1.0)
            assert got is not None
            assert got.skipped == 4
            np.testing.assert_allclose(got.planes["motion"][..., 0], frame.camera.focal * 0.05, atol=2e-3)

    def test_motion_in_a_mirror_refers_to_its_last_image_returned(self):
        def send(sequence: int, mirror: MirrorName | None = "rear") -> None:
            frame = make_frame(sequence)
            if mirror is not None:
                width, height = MIRRORS[mirror]
                frame.mirror = RearView(Camera(width, height, 48.0, np.eye(4)), name=mirror)
                frame.planes["mirror_tag"] = np.ones((height, width), np.uint8)
                frame.planes["mirror_depth"] = np.full((height, width), 10.0, np.float32)
                frame.planes["mirror_motion"] = np.full((height, width, 2), (1.0, 0.0), np.float16)
            publisher.send(frame)

        def receive(sequence: int) -> Frame:
            time.sleep(0.2)
            got = subscriber.recv(1.0)
            assert got is not None
            assert got.sequence == sequence
            return got

        def moved(frame: Frame) -> float:
            own = mirror_frame(frame)
            assert own is not None
            return float(np.median(own.planes["motion"][..., 0]))

        with (
            FramePublisher(LOOPBACK) as publisher,
            FrameSubscriber(publisher.endpoint, shared=False) as subscriber,
        ):
            first = send_until_received(publisher, subscriber)
            send(first + 1)
            assert moved(receive(first + 1)) == 1.0
            send(first + 2)  # never returned, and the next one has no mirror
            send(first + 3, None)
            assert receive(first + 3).mirror is None
            send(first + 4)
            assert moved(receive(first + 4)) == 2.0
            send(first + 5)
            send(first + 6)
            assert moved(receive(first + 6)) == 2.0
            send(first + 8)  # the one between is lost: by depth, and the camera has not moved
            assert moved(receive(first + 8)) == 0.0
            send(first + 9)
            send(first + 10, "left")  # another mirror has a past of its own
            send(first + 11)
            assert moved(receive(first + 11)) == 2.0
            send(first + 12, "left")
            assert moved(receive(first + 12)) == 1.0, "the first one returned"

    def test_subscriber_finds_a_restarted_bridge(self, tmp_path):
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
                router.send_multipart([identity, *frame_header.pack(make_frame())])
                router.send_multipart([identity, messages.TOPIC, msgpack.packb({"protocol": 9})])
                frame = subscriber.recv(1.0)
                assert frame is not None
                assert frame.sequence == 0
                wait_until(lambda: subscriber.recv(0.01) is None and subscriber.malformed == 2)
                assert "protocol version 9" in subscriber.error
        context.term()


class TestLockstep:
    def test_no_frame_is_lost_or_duplicated(self):
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
            with pytest.raises(LinkTimeout, match="has not taken its frames"):
                publisher.wait()
            assert subscriber.recv(1.0) is not None
            subscriber.recv(0.1)  # this asks for the next
            publisher.wait()

    def test_the_publisher_can_wait_until_all_is_taken(self):
        with (
            FramePublisher(LOOPBACK, lockstep=True, timeout=0.4) as publisher,
            FrameSubscriber(publisher.endpoint, lockstep=True, ahead=1) as subscriber,
        ):
            publisher.wait()
            publisher.send(make_frame(0))
            publisher.wait()  # there is room for one more
            with pytest.raises(LinkTimeout, match="has not taken its frames"):
                publisher.wait(all_taken=True)
            assert subscriber.recv(1.0) is not None
            subscriber.recv(0.1)  # this asks for the next
            publisher.wait(all_taken=True)

    def test_last_frame_arrives_even_if_the_publisher_closes_at_once(self):
        for _ in range(20):
            with FramePublisher(LOOPBACK, lockstep=True, timeout=5.0) as publisher:
                subscriber = FrameSubscriber(publisher.endpoint, lockstep=True, shared=False)
                publisher.wait()
                publisher.send(make_frame(7, 1024, 512))
            with subscriber:
                frame = subscriber.recv(1.0)
                assert frame is not None
                assert frame.sequence == 7

    def test_missing_receiver_is_a_clear_error(self):
        with FramePublisher(LOOPBACK, lockstep=True, timeout=0.3) as publisher:
            with pytest.raises(LinkTimeout, match="no receiver has connected"):
                publisher.wait()
            publisher.wait(stop=lambda: True)

    def test_publisher_does_not_wait_for_a_receiver_that_left(self):
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

    def test_lost_frame_is_an_error(self):
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
            push.send_multipart([frame_header.pack_control(Control(8)), b"more"])
            push.send(frame_header.pack_control(Control(9)))
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
    def test_invalid_endpoints(self, endpoint):
        with pytest.raises(LinkError, match="not an endpoint"):
            FramePublisher(endpoint)

    def test_address_in_use(self, tmp_path):
        for endpoint in (LOOPBACK, f"ipc://{tmp_path}/frames"):
            with FramePublisher(endpoint) as publisher, pytest.raises(LinkError, match="address already in use"):
                FramePublisher(publisher.endpoint)

    def test_default_control_endpoint(self):
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

    def test_clients_without_keys_can_neither_watch_nor_drive(self, tmp_path):
        ours, others = generate_keys(tmp_path / "ours"), generate_keys(tmp_path / "others")
        # The attacker knows the public key, but not the secret one.
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
                push.send(frame_header.pack_control(Control(2)))
                for sequence in range(20):
                    publisher.send(make_frame(sequence))
                    assert plain.recv(0.02) is None
                assert publisher.receivers == 0
                assert not dealer.poll(0)
                assert receiver.newest(0.1) is None
            dealer.close()
            push.close()
            context.term()

    def test_observer_can_watch_but_not_drive(self, tmp_path):
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
                    push.send(frame_header.pack_control(Control(2, driver="a")))
                    assert (receiver.newest(0.3 if not arrives else 5.0) is not None) == arrives
            context.term()
            for make in (FramePublisher, ControlReceiver):
                with pytest.raises(LinkError, match="observer"):
                    make(LOOPBACK, guest)
        with pytest.raises(LinkError, match="observer"):
            generate_observer(tmp_path / "second", guest)

    def test_invalid_key_folders(self, tmp_path):
        keys = generate_keys(tmp_path / "keys")
        with pytest.raises(LinkError, match="keys already"):
            generate_keys(keys)
        with pytest.raises(LinkError, match="neuralsim link keys new"):
            FramePublisher(LOOPBACK, tmp_path / "none")
        Path(keys / "secret").write_text("x" * 40, encoding="utf-8")
        with pytest.raises(LinkError, match="damaged"):
            FramePublisher(LOOPBACK, keys)
