"""Removes the cameras that a lens has spawned on a server, also when the lens was killed.

A lens names itself in the role of its cameras: host, process and a random part. A watchdog, a process of its own, waits
for the lens to end and removes what has its role; a new lens does the same for earlier ones on this host whose process
is gone, in case that the watchdog was killed as well.

A synchronous world that nobody ticks sends no snapshot, and CARLA lists actors nowhere else. So the lens tells its
watchdog the ids of its cameras, and a new lens waits in the background for the first tick.
"""

import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from bridge.carla_wire import Address, RpcClient, RpcError, snapshot_actors

_PREFIX = "neuralsim-lens"
_LATE = 0.5  # s after which a spawn that was under way when the lens was killed has been executed
_SNAPSHOT = 2.0  # s for the list of actors; a world that stands still sends none
_UNDER_WAY = 256  # ids after the last known one among which are those of spawns that were under way


def new_role() -> str:
    """Return the role of the cameras of this process."""
    return f"{_PREFIX}:{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def role_of(actor: list[Any]) -> str:
    """Return the role in an ``rpc::Actor``, "" without one."""
    return next((str(value) for ident, _, value in actor[2][2] if ident == "role_name"), "")


def is_companion(actor: list[Any]) -> bool:
    """Return whether an ``rpc::Actor`` is a camera that some lens has spawned."""
    return role_of(actor).startswith(f"{_PREFIX}:")


def remove(server: Address, role: str = "", known: Collection[int] = (), patience: float | None = _SNAPSHOT) -> int:
    """Destroy the cameras of a ``role``, or of all lenses of this host that have ended; return their number.

    Args:
        server: Where they are.
        role: See ``new_role``.
        known: Ids of actors. These and the next ones are looked at even if the world stands still.
        patience: How long to wait for a list of all actors, s; None: for ever.

    Raises:
        TimeoutError: The world stands still. Of what is not ``known``, nothing was removed.
        OSError: The server is gone.
    """
    client = RpcClient(server)
    try:
        count = 0
        if known:
            count += _destroy(client, {*known, *range(max(known) + 1, max(known) + 1 + _UNDER_WAY)}, role)
        return count + _destroy(client, _all_ids(client, patience), role)
    finally:
        client.close()


def remove_once_it_ticks(server: Address) -> None:
    """Do what ``remove`` does for the lenses that have ended, in the background, once the world goes on."""

    def wait() -> None:
        with suppress(OSError, RpcError):
            remove(server, patience=None)

    threading.Thread(target=wait, name="lens-leftovers", daemon=True).start()


def _destroy(client: RpcClient, ids: Collection[int], role: str) -> int:
    actors = client.call("get_actors_by_id", sorted(ids))
    leftovers = [actor[0] for actor in actors if is_companion(actor) and _is_left(role_of(actor), role)]
    for ident in leftovers:
        with suppress(RpcError):
            client.call("destroy_actor", ident)
    return len(leftovers)


def _all_ids(client: RpcClient, patience: float | None) -> list[int]:
    reader = client.snapshots()
    reader.sock.settimeout(patience)
    try:
        ids: list[int] = snapshot_actors(reader.read()).tolist()
    finally:
        reader.close()
    return ids


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


class Watchdog:
    """The process that removes the cameras of ``role`` when this one ends, however it does."""

    def __init__(self, server: Address, role: str) -> None:
        command = [sys.executable, "-m", "neuralsim.lens.leftovers", server.host, str(server.port), role]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def note(self, ident: int) -> None:
        """Tell it the id of a camera, or of an actor after which cameras are about to be spawned."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(b"%d\n" % ident)
            self._process.stdin.flush()

    def close(self) -> None:
        """Let it remove what is left, and end."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()


def main(host: str, port: str, role: str) -> None:
    """Wait until standard input, the ids of cameras, ends; then remove the cameras of ``role``."""
    known = [int(line) for line in sys.stdin]
    for pause in (0.0, _LATE):
        time.sleep(pause)
        with suppress(OSError, RpcError):
            remove(Address(host, int(port)), role, known)


if __name__ == "__main__":
    main(*sys.argv[1:4])
