"""Removes the cameras that a lens has spawned on a server, also when the lens was killed.

A lens names itself in the role of its cameras: host, process and a random part. A watchdog, a process of its own, waits
for the lens to end and removes what has its role; a new lens does the same for earlier ones on this host whose process
is gone, in case that the watchdog was killed as well.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from typing import Any

from neuralsim.lens.carla_wire import Address, RpcClient, StreamReader, snapshot_actors
from neuralsim.town.carla_server.rpc import RpcError

_PREFIX = "neuralsim-lens"
_LATE = 0.5  # s after which a spawn that was under way when the lens was killed has been executed
_SNAPSHOT = 2.0  # s for the list of actors; a server that stands still may send none


def new_role() -> str:
    """Return the role of the cameras of this process."""
    return f"{_PREFIX}:{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def role_of(actor: list[Any]) -> str:
    """Return the role in an ``rpc::Actor``, "" without one."""
    return next((str(value) for ident, _, value in actor[2][2] if ident == "role_name"), "")


def is_companion(actor: list[Any]) -> bool:
    """Return whether an ``rpc::Actor`` is a camera that some lens has spawned."""
    return role_of(actor).startswith(f"{_PREFIX}:")


def remove(server: Address, role: str = "") -> int:
    """Destroy the cameras of a ``role``, or of all lenses of this host that have ended; return their number.

    Raises OSError if the server is gone.
    """
    client = RpcClient(server)
    try:
        leftovers = [actor for actor in _actors(client) if is_companion(actor) and _is_left(role_of(actor), role)]
        for actor in leftovers:
            with suppress(RpcError):
                client.call("destroy_actor", actor[0])
        return len(leftovers)
    finally:
        client.close()


def _actors(client: RpcClient) -> list[list[Any]]:
    """Return the ``rpc::Actor`` of every actor."""
    _, (token,) = client.call("get_episode_info")
    stream = int.from_bytes(token[:4], "little")
    reader = StreamReader(client.token(stream))
    reader.sock.settimeout(_SNAPSHOT)
    try:
        ids = snapshot_actors(reader.read())
    finally:
        reader.close()
    actors: list[list[Any]] = client.call("get_actors_by_id", ids.tolist())
    return actors


def _is_left(role: str, expected: str) -> bool:
    if expected:
        return role == expected
    _, host, process, _ = (role.split(":") + [""] * 4)[:4]
    return host == socket.gethostname() and process.isdecimal() and not _is_running(int(process))


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def start_watchdog(server: Address, role: str) -> subprocess.Popen[bytes]:
    """Start the process that removes the cameras of ``role`` when this one ends, however it does."""
    command = [sys.executable, "-m", "neuralsim.lens.leftovers", server.host, str(server.port), role]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def main(host: str, port: str, role: str) -> None:
    """Wait until standard input ends, then remove the cameras of ``role``."""
    sys.stdin.buffer.read()
    for pause in (0.0, _LATE):
        time.sleep(pause)
        with suppress(OSError, RpcError):
            remove(Address(host, int(port)), role)


if __name__ == "__main__":
    main(*sys.argv[1:4])
