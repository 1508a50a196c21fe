"""A process that has imported all it needs and is forked for each one of its kind that is wanted, now or later.

To import what town or bridge need takes a second of processor time. What replaces one that has died is forked from a
process that has done so already: it is there at once, shares its memory, and costs a drive nothing before.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket

from bridge.process.lifetime import PARENT

DESCRIPTOR = "NEURALSIM_FORKS"  # in the environment: number of the socket to who wants the forks


def wait_for_forks() -> None:
    """Return in each process that is forked; without ``DESCRIPTOR``, at once. Call it before there are threads.

    The first one is forked at once, with this process's standard streams; the next ones for each message on the socket,
    with the three descriptors that come with it. The other side is told ``{"pid": ...}`` of each, in that order, and
    ``{"ended": pid, "code": ...}``. This process itself ends, without returning, when the other side has closed.
    """
    number = os.environ.pop(DESCRIPTOR, "")
    if not number:
        return
    gc.freeze()  # what is shared stays so
    wants = socket.socket(fileno=int(number))
    streams = [0, 1, 2]  # of the next process
    living: dict[int, int] = {}  # ids of those that live, by descriptor
    try:
        while True:
            if streams:
                pid = os.fork()
                if pid == 0:
                    wants.close()
                    _become(streams, [*living])
                    return
                _let_go(streams)
                living[os.pidfd_open(pid)] = pid
                wants.send(json.dumps({"pid": pid}).encode())
            streams = []
            for ready in select.select([wants.fileno(), *living], [], [])[0]:
                if ready == wants.fileno():
                    said, streams, _, _ = socket.recv_fds(wants, 16, 3)
                    if not said:
                        os._exit(0)
                else:
                    pid = living.pop(ready)
                    os.close(ready)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    wants.send(json.dumps({"ended": pid, "code": code}).encode())
    except OSError:  # nobody is there
        os._exit(0)


def _become(streams: list[int], others: list[int]) -> None:
    """Be a process of its own, with ``streams`` as its standard ones; ``others`` are closed."""
    os.setsid()
    os.environ[PARENT] = str(os.getppid())
    for standard, stream in enumerate(streams):
        if stream != standard:
            os.dup2(stream, standard)
            others.append(stream)
    for descriptor in others:
        os.close(descriptor)


def _let_go(streams: list[int]) -> None:
    """Close what belongs to a fork: else nobody could see that it has ended."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in streams:
        if stream <= 2:
            os.dup2(nothing, stream)
        else:
            os.close(stream)
    os.close(nothing)
