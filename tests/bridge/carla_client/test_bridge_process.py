"""The bridge as a process: frames out, controls in, and how it ends."""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from helpers.bridge_processes import end, free_port, start, start_bridge, wait_for

from bridge import carla_bridge
from bridge.carla_client.connection import connect
from bridge.carla_client.options import BridgeOptions
from bridge.link.transport import ControlReceiver, ControlSender, FrameSubscriber, LinkError, control_endpoint
from bridge.messages import Control

TOWN = {"vehicles": 2, "walkers": 1, "more": ("--town", "hamlet")}


@pytest.fixture
def town(towns) -> str:
    return towns[0][1]


def test_frames_out_and_controls_in(town, tmp_path):
    endpoint = f"ipc://{tmp_path}/frames"
    process = start_bridge(town, endpoint, "--weather", "wetsunset", "--planes", "tag,depth,motion,instance,rgb")
    with FrameSubscriber(endpoint) as frames, ControlSender(control_endpoint(endpoint)) as controls:
        frame = frames.recv(5.0)
        assert frame is not None
        assert frame.weather_name == "WetSunset"
        assert "rgb" in frame.planes
        controls.send(Control(4, throttle=1.0))
        until = time.monotonic() + 5.0
        while (frame := frames.recv(1.0)) is not None and frame.ego.speed < 1.0:
            assert time.monotonic() < until
        assert frame is not None
        assert frame.control_seq == 4
        begun, first = time.monotonic(), frame.sequence
        while time.monotonic() - begun < 1.0:
            frame = frames.recv(1.0) or frame
        assert frame.sequence - first < 35  # 30 a second, in real time
        controls.send(Control(5, quit=True))
        assert wait_for(process).code == 0


def test_lockstep_loses_no_frame_and_ends_after_the_last(town, tmp_path):
    endpoint = f"ipc://{tmp_path}/frames"
    process = start_bridge(town, endpoint, "--lockstep", "--no-realtime", "--autopilot", "--frames", "25")
    with FrameSubscriber(endpoint, lockstep=True) as frames:
        got = [frames.recv(5.0) for _ in range(25)]
        assert [frame.sequence if frame else None for frame in got] == list(range(25))
        assert wait_for(process).code == 0


def test_ends_promptly_on_request(town, tmp_path):
    world = connect(town).get_world()
    before = len(world.get_actors())
    process = start_bridge(town, f"ipc://{tmp_path}/frames")
    process.send_signal(signal.SIGINT)
    ended = wait_for(process)
    assert (ended.code, ended.errors) == (0, "")
    assert ended.seconds < 1.5
    until = time.monotonic() + 5.0
    while len(connect(town).get_world().get_actors()) != before:
        assert time.monotonic() < until, "it left something of its own behind"


def test_hanging_server_and_lost_server(towns, tmp_path):
    server, address = towns[1]
    process = start_bridge(address, f"ipc://{tmp_path}/frames")
    server.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert wait_for(process).seconds < 1.5
    server.send_signal(signal.SIGCONT)

    process = start_bridge(address, f"ipc://{tmp_path}/frames")
    end(server)
    ended = wait_for(process)
    assert ended.code == 1
    assert ended.seconds < 2.0
    assert ended.errors.strip().splitlines()[-1].startswith(f"lost the CARLA server at {address}")
    assert "Traceback" not in ended.errors


def test_ends_with_its_parent(town, tmp_path):
    module = [sys.executable, "-m", "bridge.carla_bridge"]
    command = [*module, "--carla", town, "--publish", f"ipc://{tmp_path}/frames", "--with-parent"]
    program = (
        f"import subprocess; p = subprocess.Popen({command!r}, stdout=subprocess.PIPE, text=True);"
        "print(p.pid, p.stdout.readline(), flush=True); input()"
    )
    parent = start("-c", program, ready=False)
    assert parent.stdout is not None
    child, _, line = parent.stdout.readline().partition(" ")
    assert "ready" in line
    end(parent)
    until = time.monotonic() + 3.0
    while Path(f"/proc/{child}/stat").exists() and ") Z" not in Path(f"/proc/{child}/stat").read_text(encoding="utf-8"):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_another_port_is_chosen_if_the_next_one_is_taken(monkeypatch):
    asked = []

    class Taken(ControlReceiver):
        def __init__(self, endpoint, keys=None):
            asked.append(endpoint)
            if len(asked) < 3:
                raise LinkError("cannot bind: address already in use")
            super().__init__(endpoint, keys)

    monkeypatch.setattr(carla_bridge, "ControlReceiver", Taken)
    frames, controls = carla_bridge.open_links(BridgeOptions(carla="127.0.0.1:2000", publish="tcp://127.0.0.1:0"))
    with frames, controls:
        assert controls.endpoint == control_endpoint(frames.endpoint) == asked[-1]
    for fixed in ({"publish": f"tcp://127.0.0.1:{free_port()}"}, {"control": "tcp://127.0.0.1:0"}):
        asked.clear()
        with pytest.raises(LinkError, match="already in use"):
            carla_bridge.open_links(
                BridgeOptions(**{"carla": "127.0.0.1:2000", "publish": "tcp://127.0.0.1:0"} | fixed)
            )
        assert len(asked) == 1


def test_errors_are_one_line(town):
    nobody = f"127.0.0.1:{free_port()}"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cases = {
            f"no CARLA server at {nobody}; start one or leave --carla out": (nobody, "tcp://127.0.0.1:0"),
            "address already in use": (town, f"tcp://127.0.0.1:{taken.getsockname()[1]}"),
            "encrypted links only": (town, "tcp://0.0.0.0:0"),
        }
        running = {text: start_bridge(*case, ready=False) for text, case in cases.items()}
        for text, process in running.items():
            ended = wait_for(process)
            assert (ended.code, ended.output) == (1, ""), text
            assert text in ended.errors
            assert ended.errors.count("\n") == 1
