"""CARLA's wire protocol under faults: clients that send noise, die or never read; ports in use; signals."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgpack
import numpy as np
import pytest
from helpers.wire_client import RawClient, is_dropped, run_client, serving, start_client
from helpers.wire_world import OneRoad

from neuralsim.town.carla_server import rpc, streams
from neuralsim.town.carla_server.process import TownServer

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def town() -> Iterator[TownServer]:
    with serving(TownServer(OneRoad, "oneroad", ["oneroad", "longroad"], port=0)) as server:
        yield server


@pytest.mark.parametrize(
    "noise",
    [
        bytes(np.random.default_rng(0).integers(0, 256, 4096, np.uint8)),
        b"GET / HTTP/1.1\r\nHost: town\r\n\r\n",
        b"\x94\x00\x01\xa7version\xc6\xff\xff\xff\xff",  # an argument of 4 GB
        b"\xdd\xff\xff\xff\xff" + b"\x00" * 64,  # an array of 4 G elements
        b"\x91" * 5000,  # nested too deeply
        msgpack.packb([0, "seven", "version", []]),
        msgpack.packb([9, 1, "version", []]),
        msgpack.packb({"version": 1}),
    ],
    ids=["random", "http", "4GB", "4G-array", "nested", "bad-id", "bad-type", "map"],
)
def test_noise_drops_only_the_client_that_sent_it(
    town: TownServer, noise: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "PARTIAL_MESSAGE_TIMEOUT", 0.5)
    other = RawClient(town.port)
    with socket.create_connection(("127.0.0.1", town.port), timeout=10.0) as sock:
        sock.sendall(noise)
        assert is_dropped(sock)
    assert other.call("version") == [[1, "0.9.16"]]


def test_invalid_arguments_are_errors(town: TownServer) -> None:
    client = RawClient(town.port)
    for name, *args in (
        ("no_such_function",),
        ("version", 1, 2, 3),
        ("get_actors_by_id", 5),
        ("get_sensor_token", "x"),
        ("spawn_actor", [1, "vehicle.tesla.model3", []], [[0, 0, float("nan")], [0, 0, 0]]),
        ("spawn_actor", [1, "vehicle.flying.carpet", []], [[0, 0, 0], [0, 0, 0]]),
        ("apply_control_to_vehicle", 1, [1, 0, 0, False, False, False, 0]),
        ("apply_control_to_vehicle", 99, [float("inf")] * 7),
        ("set_episode_settings", [True]),
        ("set_weather_parameters", ["wet"] * 14),
        ("load_new_episode", "../../etc/passwd", True, 0),
        ("freeze_traffic_light", 1, True),
        ("tick_cue", 1, 2),
    ):
        result = client.call(name, *args)
        assert isinstance(result, list)
        code, (message,) = result[0]
        assert code == 0, (name, result)
        assert message
        assert "\n" not in message
    assert client.call("version") == [[1, "0.9.16"]]


def test_a_partial_message_and_a_killed_client_affect_nobody_else(
    town: TownServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "PARTIAL_MESSAGE_TIMEOUT", 0.5)
    request = msgpack.packb([0, 7, "version", [[False]]])
    client = RawClient(town.port)
    client.sock.sendall(request[:6])
    assert is_dropped(client.sock)
    client = RawClient(town.port)
    assert client.call("version") == [[1, "0.9.16"]]
    time.sleep(0.8)  # between messages a client may be silent
    for byte in request:
        client.sock.sendall(bytes([byte]))
        time.sleep(0.01)
    assert client.answer() == [[1, "0.9.16"]]
    client.sock.sendall(request[:6])
    client.sock.close()
    process = start_client(
        town.port,
        """
        world = client.get_world()
        sensor, images = camera(world, "rgb", image_size_x=512, image_size_y=256)
        images.get(timeout=5)
        print("streaming", flush=True)
        time.sleep(60)
        """,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "streaming"
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 5.0
    while any(town.streams.subscriber_count(sensor.stream) for sensor in town.sensing.sensors.values()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert RawClient(town.port).call("version") == [[1, "0.9.16"]]


@pytest.mark.alone
def test_a_subscriber_that_never_reads_loses_images_and_costs_nothing(town: TownServer) -> None:
    """The rate of other subscribers and the server's memory stay the same."""
    attributes = [["image_size_x", 2, "512"], ["image_size_y", 2, "256"], ["fov", 3, "90"]]
    client = RawClient(town.port)
    client.call("set_episode_settings", [True, False, [True, 0.05], True, 0.01, 10, 0.0, True, 3e3, 2e3, True])
    actor = client.call("spawn_actor", [1, "sensor.camera.rgb", attributes], [[0, 0, 2], [0, 0, 0]])
    assert isinstance(actor, list)
    stream, port = struct.unpack("<IH", actor[0][1][5][:6])
    stalled = []
    for ident in (stream, stream, 1):
        sock = socket.create_connection(("127.0.0.1", port), timeout=10.0)
        sock.sendall(struct.pack("<I", ident))
        stalled.append(sock)
    reader = socket.create_connection(("127.0.0.1", port), timeout=10.0)
    reader.sendall(struct.pack("<I", stream))
    deadline = time.monotonic() + 5.0
    while town.streams.subscriber_count(stream) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    frames: list[int] = []

    def read() -> None:
        with reader.makefile("rb") as file, suppress(ConnectionError):
            while length := file.read(4):
                payload = file.read(struct.unpack("<I", length)[0])
                frames.append(struct.unpack_from("<Q", payload, 8)[0])

    thread = threading.Thread(target=read, daemon=True)
    thread.start()

    def memory() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for _ in range(40):
        client.call("tick_cue")
    before, start = memory(), time.perf_counter()
    for _ in range(200):
        client.call("tick_cue")
    rate = 200 / (time.perf_counter() - start)
    growth = memory() - before
    reader.shutdown(socket.SHUT_RDWR)
    thread.join(5.0)
    assert rate > 60.0, rate
    assert growth < 40 << 20, growth
    assert len(frames) > 150
    assert frames == sorted(frames)
    for sock in stalled:
        sock.close()


def test_the_streaming_port_refuses_noise(town: TownServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HANDSHAKE_TIMEOUT", 0.5)
    for noise in (b"x" * 100, b"\x01\x00\x00\x00more"):
        with socket.create_connection(("127.0.0.1", town.streams.port), timeout=10.0) as sock:
            sock.sendall(noise)
            assert is_dropped(sock)
    with socket.create_connection(("127.0.0.1", town.streams.port), timeout=10.0) as sock:
        sock.sendall(b"\x01\x00")  # half an id and then nothing: nobody waits for it
        assert RawClient(town.port).call("version") == [[1, "0.9.16"]]
        assert is_dropped(sock)


# The process --------------------------------------------------------------------------------------------------------


def start_town(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "neuralsim.town.carla_server"]
    command += ["--town", "hamlet", "--vehicles", "2", "--walkers", "1"]
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, *options], cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.slow
def test_the_process_prints_one_line_and_ends_on_a_signal() -> None:
    process = start_town("--port", "0")
    assert process.stdout is not None
    line = process.stdout.readline()
    ready = re.fullmatch(r"town: hamlet ready on 127\.0\.0\.1:(\d+)\n", line)
    assert ready, line
    second = start_town("--port", ready[1])
    out, error = second.communicate(timeout=30)
    assert (second.returncode, out) == (1, "")
    assert len(error.splitlines()) == 1
    assert f"cannot listen on 127.0.0.1:{ready[1]}" in error
    run_client(int(ready[1]), "world = client.get_world(); world.wait_for_tick()")
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=10)
    assert time.monotonic() - start < 1.0
    assert (process.returncode, out, error) == (0, "", "")


def test_an_unknown_town_is_an_error_of_one_line() -> None:
    process = start_town("--port", "0", "--town", "atlantis")
    out, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert out == ""
    assert len(error.splitlines()) == 1
    assert "atlantis" in error


def test_the_process_ends_with_its_parent() -> None:
    code = (
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-m', 'neuralsim.town.carla_server', '--port', '0',"
        " '--town', 'hamlet', '--vehicles', '0', '--walkers', '0',"
        " '--with-parent'], stdout=subprocess.PIPE, text=True)\n"
        "print(p.stdout.readline(), p.pid, flush=True)\n"
    )
    parent = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    child = int(parent.stdout.split()[-1])
    deadline = time.monotonic() + 3.0
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{child}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the town outlives its parent")
