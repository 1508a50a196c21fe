"""Connecting to a CARLA server with the official client, and detecting the loss of the connection."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable

import msgpack

from bridge.carla_library import IS_OFFICIAL, carla
from bridge.process.lifetime import BridgeError

#: Versions whose servers this bridge knows, by their beginnings, with a car that each has (0.10's
#: ``Docs/catalogue_vehicles.md``). Each needs the client of the same version; PyPI has that of the first alone.
VERSIONS = {"0.9.16": "vehicle.tesla.model3", "0.10": "vehicle.lincoln.mkz", "1.0": "vehicle.lincoln.mkz"}
_ARRAY_OF_FOUR = b"\x94"  # first byte of a response from CARLA's rpclib: a msgpack array of four
KEEPALIVE_INTERVAL = 4.0  # s between two requests on a connection that only watches the server
CONNECT_TIMEOUT = 5.0  # s
CALL_TIMEOUT = 20.0  # s; a real server loads assets in some calls

_VERSION_REQUEST = msgpack.packb([0, 0, "version", [[False]]])  # the simplest call


def connect(address: str) -> carla.Client:
    """Connect to the server at HOST:PORT. Raises ``BridgeError`` if there is none, or one of another version."""
    unreachable = f"no CARLA server at {address}; start one or leave --carla out"
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise BridgeError(f"{address!r} is not HOST:PORT")
    response = _first_byte(host, int(port))
    if not response:
        raise BridgeError(unreachable)
    if response != _ARRAY_OF_FOUR:  # the client would abort this process
        raise BridgeError(f"the process at {address} is not a CARLA server; is the port right?")
    client = carla.Client(host, int(port))
    client.set_timeout(CONNECT_TIMEOUT)
    try:
        version = client.get_server_version()
    except RuntimeError:
        raise BridgeError(unreachable) from None
    if not version.startswith(tuple(VERSIONS)):
        raise BridgeError(f"the server at {address} is CARLA {version}, this bridge needs {', '.join(VERSIONS)}")
    installed = client.get_client_version()
    if version.partition("-")[0] != installed.partition("-")[0]:
        raise BridgeError(
            f"the server at {address} is CARLA {version}, the installed package carla {installed}: install the wheel "
            "in PythonAPI/carla/dist of that server's release"
        )
    if not (IS_OFFICIAL or is_embedded_town(client.get_world())):
        raise BridgeError(
            f"a CARLA server, as that at {address}, needs the package carla, which has wheels for Python 3.10 to 3.12; "
            "on this Python the embedded town can be driven"
        )
    client.set_timeout(CALL_TIMEOUT)
    return client


def is_embedded_town(world: carla.World) -> bool:
    """Return whether a world is this project's own, known by its cameras."""
    return bool(world.get_blueprint_library().find("sensor.camera.rgb").has_attribute("jitter"))


def _first_byte(host: str, port: int) -> bytes:
    """Return the first byte of the response to the simplest call; empty if there is no response."""
    try:
        with socket.create_connection((host, port), CONNECT_TIMEOUT) as connection:
            connection.sendall(_VERSION_REQUEST)
            return connection.recv(4096)[:1]
    except OSError:
        return b""


def watch_server(address: str, over: Callable[[], bool]) -> None:
    """Exit with a one-line error when the server ends; a call into the client would wait for its timeout.

    ``over``: whether this process is ending anyway.
    """
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)), CONNECT_TIMEOUT)
    connection.settimeout(KEEPALIVE_INTERVAL)
    errors = os.dup(2)  # another thread may have redirected standard error when the server ends (``quiet_library``)

    def wait() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(_VERSION_REQUEST)  # keeps the connection open: servers may drop silent clients
                with contextlib.suppress(TimeoutError):
                    while connection.recv(64):
                        pass
                    break
        is_unexpected = not over()
        if is_unexpected:
            os.write(errors, f"{lost_server_message(address, 'it has ended')}\n".encode())
        os._exit(int(is_unexpected))  # there is no server left to restore the settings of

    threading.Thread(target=wait, name="server", daemon=True).start()


def lost_server_message(address: str, reason: str) -> str:
    """Return the error line for a lost server."""
    return f"lost the CARLA server at {address} ({reason}); start it again"
