"""The wire format: messages survive the round trip, and noise is refused with a one-line error."""

from __future__ import annotations

import contextlib
import time

import msgpack
import numpy as np
import pytest
from helpers.link_frames import full_frame, make_frame

from bridge import messages
from bridge.link import frame_header
from bridge.messages import Control, Lights, ProtocolError


class TestMessages:
    def test_frame_round_trip(self):
        sent = full_frame()
        got = frame_header.unpack([bytes(part) for part in frame_header.pack(sent)])
        for name, plane in sent.planes.items():
            assert got.planes[name].dtype == plane.dtype
            np.testing.assert_array_equal(got.planes[name], plane)
        np.testing.assert_array_equal(got.ego.pose, sent.ego.pose)
        np.testing.assert_array_equal(got.objects[5].pose, sent.objects[5].pose)
        assert (got.ego.speed, got.ego.gear, got.ego.autopilot) == (-1.5, -1, True)
        assert (got.objects[5].instance, got.objects[5].extent) == (5, (2.0, 1.0, 0.7))
        assert (got.lamps, got.weather, got.stamps) == (sent.lamps, sent.weather, sent.stamps)
        assert (got.sequence, got.sim_frame, got.weather_name) == (7, 107, "ClearNoon")

    def test_cockpit_data_round_trip(self):
        sent = make_frame()
        sent.impact, sent.mount, sent.route_left = messages.Impact("guard rail", 3.5), "chase", 120.0
        sent.route, sent.traffic = np.ones((7, 2), np.float32), np.full((3, 4), 2.0, np.float32)
        lines = [np.arange(6, dtype=np.float32).reshape(3, 2), np.zeros((2, 2), np.float32)]
        sent.chart = messages.Chart("oldtown", lines, np.array([[3.5], [2.0]], np.float32))
        parts = [bytes(part) for part in frame_header.pack(sent)]
        got = frame_header.unpack(parts)
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
                frame_header.unpack([parts[0], msgpack.packb(header | {name: value}), *parts[2:]])

    def test_planes_are_not_copied(self):
        parts = [bytes(part) for part in frame_header.pack(full_frame())]
        depth = frame_header.unpack(parts).planes["depth"]
        assert np.shares_memory(depth, np.frombuffer(parts[4], np.uint8))

    def test_packing_is_cheap(self):
        frame = full_frame()
        times = []
        for _ in range(30):
            begun = time.perf_counter()
            frame_header.pack(frame)
            times.append(time.perf_counter() - begun)
        assert sorted(times)[len(times) // 4] < 0.2e-3

    def test_control_round_trip(self):
        control = Control(3, 4, 0.5, 0.25, -0.5, True, True, True, 2, 1, True, True, True)
        assert frame_header.unpack_control(frame_header.pack_control(control)) == control
        more = Control(3, camera="chase", going=2, goal=True, goal_x=-812.5, goal_y=40.0, preset="WetNoon", minutes=600)
        more.lights, more.lights_auto = Lights.HIGH_BEAM | Lights.LEFT_BLINKER, False
        assert frame_header.unpack_control(frame_header.pack_control(more)) == more

    def test_pedals_are_clipped(self):
        reckless = frame_header.pack_control(Control(1, throttle=7.0, brake=-1.0, steer=-3.0))
        control = frame_header.unpack_control(reckless)
        assert (control.throttle, control.brake, control.steer) == (1.0, 0.0, -1.0)

    @pytest.mark.parametrize("version", [0, 1, "2", None])
    def test_another_version_is_named(self, version):
        with pytest.raises(ProtocolError, match="protocol version"):
            frame_header.unpack_control(msgpack.packb({"protocol": version, "sequence": 1}))

    def test_plane_of_wrong_size_is_refused(self):
        frame = make_frame()
        parts = frame_header.pack(frame)
        for wrong in (parts[:-1], [*parts, b"x"], [*parts[:-1], bytes(8)]):
            with pytest.raises(ProtocolError):
                frame_header.unpack(wrong)
        frame.planes["depth"] = frame.planes["depth"].astype(np.float64)
        with pytest.raises(ValueError, match="depth"):
            frame_header.pack(frame)

    def test_half_size_plane_rounds_both_sides_up(self):
        sent = make_frame(width=17, height=9)
        sent.planes["rgb_half"] = np.full((5, 9, 3), 7, np.uint8)
        parts = [bytes(part) for part in frame_header.pack(sent)]
        assert (frame_header.unpack(parts).planes["rgb_half"] == 7).all()
        header = msgpack.unpackb(parts[1])
        header["planes"][-1][2] = [9, 5, 3]
        with pytest.raises(ProtocolError, match="rgb_half"):
            frame_header.unpack([parts[0], msgpack.packb(header), *parts[2:]])
        sent.planes["rgb_half"] = np.zeros((9, 17, 3), np.uint8)
        with pytest.raises(ValueError, match="rgb_half"):
            frame_header.pack(sent)

    def test_noise_raises_nothing_but_protocol_errors(self):
        random = np.random.default_rng(1)
        frame = full_frame()
        frame.planes = make_frame().planes
        frame.camera = make_frame().camera
        whole = [bytes(part) for part in frame_header.pack(frame)]
        control = frame_header.pack_control(Control(1))
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
                frame_header.unpack(parts)
            except ProtocolError as error:
                refused += "\n" not in str(error)
            data = bytearray(control)
            data[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))
            for noise in (bytes(data), random.bytes(int(random.integers(0, 80))), control[: trial % len(control)]):
                with contextlib.suppress(ProtocolError):
                    frame_header.unpack_control(noise)
        assert refused > 2000
