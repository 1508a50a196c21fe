"""One-line errors: not a CARLA server, a server of another version, wrong usage."""

from __future__ import annotations

import socket
import threading

import msgpack
import pytest
from helpers.bridge_processes import start, wait_for

from bridge import carla_bridge
from bridge.carla_client import connection
from bridge.carla_client.connection import connect
from bridge.process.lifetime import BridgeError


def test_not_a_carla_server(monkeypatch):
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(BridgeError, match="no CARLA server at 127"):
            connect(f"127.0.0.1:{silent.getsockname()[1]}")
    with socket.create_server(("127.0.0.1", 0)) as other:
        greeting = threading.Thread(target=lambda: other.accept()[0].sendall(b"SSH-2.0-another"), daemon=True)
        greeting.start()
        with pytest.raises(BridgeError, match="is not a CARLA server; is the port right"):
            connect(f"127.0.0.1:{other.getsockname()[1]}")
    for wrong in ("somewhere", "localhost:", "localhost:0", "localhost:http"):
        with pytest.raises(BridgeError, match="is not HOST:PORT"):
            connect(wrong)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("0.9.15", r"is CARLA 0\.9\.15, this bridge needs 0\.9\.16, 0\.10, 1\.0$"),
        (
            "0.10.0",
            r"is CARLA 0\.10\.0, the installed package carla 0\.9\.16: install the wheel in PythonAPI/carla/dist",
        ),
        ("1.0.0-12-gabc", r"is CARLA 1\.0\.0-12-gabc, the installed package carla 0\.9\.16: install the wheel"),
    ],
)
def test_another_version_is_named(version: str, message: str) -> None:
    def answer() -> None:
        for _ in range(2):  # the bridge's own probe, then the client
            with server.accept()[0] as peer:
                _, number, *_ = msgpack.unpackb(peer.recv(4096))
                peer.sendall(msgpack.packb([1, number, None, [[1, version]]]))
                peer.recv(1)

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(BridgeError, match=message):
            connect(f"127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("wrong", [("--size", "5x"), ("--weather", "Hail"), ("--planes", "tag,x"), ("--fps", "0")])
def test_wrong_usage(wrong):
    with pytest.raises(SystemExit) as ended:
        carla_bridge.main(wrong)
    assert ended.value.code == 2


def test_loss_of_the_server_is_reported_while_the_library_is_silenced() -> None:
    program = (
        "import sys, time\n"
        "from bridge.carla_client.connection import watch_server\n"
        "from bridge.carla_client.world_clock import quiet_library\n"
        "watch_server(sys.argv[1], lambda: False)\n"
        "with quiet_library():\n"
        "    print('silenced', flush=True)\n"
        "    time.sleep(20.0)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        bridge = start("-c", program, address, ready=False)
        peer, _ = server.accept()
        assert bridge.stdout is not None
        assert bridge.stdout.readline() == "silenced\n"
        peer.close()
        ended = wait_for(bridge)
    assert (ended.code, ended.errors) == (1, f"lost the CARLA server at {address} (it has ended); start it again\n")
