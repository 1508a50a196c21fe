"""A fork server: a process that has imported everything and forks a child for each request, now or later.

Importing what the town or the bridge needs takes a second of CPU time. A replacement for a dead process is forked from
one that has the modules loaded: it starts at once, shares its memory, and costs a running drive nothing until then.
"""

import gc
import json
import os
import select
import socket

from bridge.process.lifetime import PARENT

DESCRIPTOR = "NEURALSIM_FORKS"  # environment variable: descriptor of the socket to the requesting process


def serve_forks() -> None:
    """Return in every forked child; without ``DESCRIPTOR``, return at once. Call it before threads exist.

    The first child is forked at once, with this process's standard streams; further ones for each message on the
    socket, with the three descriptors that it carries. The other side receives ``{"pid": ...}`` for each, in that
    order, and ``{"ended": pid, "code": ...}``. The server itself exits, without returning, when the other side closes.
    """
    number = os.environ.pop(DESCRIPTOR, "")
    if not number:
        return
    gc.freeze()  # keep shared pages shared
    requests = socket.socket(fileno=int(number))
    streams = [0, 1, 2]  # of the next child
    children: dict[int, int] = {}  # process ids of the running children, by descriptor
    try:
        while True:
            if streams:
                pid = os.fork()
                if pid == 0:
                    requests.close()
                    _set_up_child(streams, [*children])
                    return
                _release_streams(streams)
                children[os.pidfd_open(pid)] = pid
                requests.send(json.dumps({"pid": pid}).encode())
            streams = []
            for ready in select.select([requests.fileno(), *children], [], [])[0]:
                if ready == requests.fileno():
                    message, streams, _, _ = socket.recv_fds(requests, 16, 3)
                    if not message:
                        os._exit(0)
                else:
                    pid = children.pop(ready)
                    os.close(ready)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    requests.send(json.dumps({"ended": pid, "code": code}).encode())
    except OSError:  # the other side is gone
        os._exit(0)


def _set_up_child(streams: list[int], others: list[int]) -> None:
    """Make the child a session of its own with ``streams`` as its standard streams; ``others`` are closed."""
    os.setsid()
    os.environ[PARENT] = str(os.getppid())
    for standard, stream in enumerate(streams):
        if stream != standard:
            os.dup2(stream, standard)
            others.append(stream)
    for descriptor in others:
        os.close(descriptor)


def _release_streams(streams: list[int]) -> None:
    """Close the server's copies of a child's streams: otherwise their end would not be visible to readers."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in streams:
        if stream <= 2:
            os.dup2(null, stream)
        else:
            os.close(stream)
    os.close(null)
