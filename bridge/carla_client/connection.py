"""Reaching a CARLA server with the official client, and noticing when it is gone."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable

import carla
import msgpack

from bridge.process.lifetime import BridgeError

VERSION = "0.9.16"
FOUR = b"\x94"  # how an answer of CARLA's rpclib begins: a msgpack array of four
ALIVE = 4.0  # s between two words to a server that is only watched
CONNECT = 5.0  # s until a server counts as not there
PATIENCE = 20.0  # s for a call to a server that is; a real one loads assets in some

_ASK = msgpack.packb([0, 0, "version", [[False]]])  # the simplest call


def connect(address: str) -> carla.Client:
    """A client of the server at HOST:PORT. Raises ``BridgeError`` if there is none, or one of another version."""
    nobody = f"no CARLA server at {address}; start one or leave --carla out"
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise BridgeError(f"{address!r} is not HOST:PORT")
    answer = _first_byte(host, int(port))
    if not answer:
        raise BridgeError(nobody)
    if answer != FOUR:  # the client would abort this process over it
        raise BridgeError(f"what answers at {address} is no CARLA server; is the port right?")
    client = carla.Client(host, int(port))
    client.set_timeout(CONNECT)
    try:
        version = client.get_server_version()
    except RuntimeError:
        raise BridgeError(nobody) from None
    if version.partition("-")[0] != VERSION:
        raise BridgeError(f"the server at {address} is CARLA {version}, this bridge needs {VERSION}")
    client.set_timeout(PATIENCE)
    return client


def _first_byte(host: str, port: int) -> bytes:
    """Of the answer to the simplest call; none if nobody answers."""
    try:
        with socket.create_connection((host, port), CONNECT) as line:
            line.sendall(_ASK)
            return line.recv(4096)[:1]
    except OSError:
        return b""


def watch_server(address: str, over: Callable[[], bool]) -> None:
    """End this process with its one line when the server ends: a call into the client would wait out its patience."""
    host, _, port = address.rpartition(":")
    line = socket.create_connection((host, int(port)), CONNECT)
    line.settimeout(ALIVE)

    def wait() -> None:
        with contextlib.suppress(OSError):
            while True:
                line.sendall(_ASK)  # also, servers may drop who is silent
                with contextlib.suppress(TimeoutError):
                    while line.recv(64):
                        pass
                    break
        told = over()
        if not told:
            print(lost(address, "it has ended"), file=sys.stderr, flush=True)
        os._exit(int(not told))  # told to end as well: there is nobody left to give anything back to

    threading.Thread(target=wait, name="server", daemon=True).start()


def lost(address: str, reason: str) -> str:
    """The line for a server that went away."""
    return f"lost the CARLA server at {address} ({reason}); start it again"
