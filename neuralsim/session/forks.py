"""Child processes, spawned or forked from a template that has done the imports (``bridge.process.forking``)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import IO, Any

from bridge.process.forking import DESCRIPTOR
from bridge.process.lifetime import PARENT

#: Whether this system supports forking from templates.
AVAILABLE = sys.platform == "linux" and hasattr(os, "pidfd_open")
_POLL = 0.005  # s between two checks whether a fork has ended
_ENDING = 0.5  # s that a template has to end


def child_process(
    arguments: Sequence[str],
    deferred: bool = False,
    descriptors: Sequence[int] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[str]:
    """Start a child in its own session, told our process id so that it can end with us.

    ``deferred``: its standard input can be written to. It inherits ``descriptors``, and ``environment`` on top of ours.
    """
    return subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE if deferred else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        pass_fds=descriptors,
        env=os.environ | {PARENT: str(os.getpid()), **environment},
    )


def alive(pid: int) -> bool:
    """Return whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Template:
    """A process ``python -m module -`` that forks itself on request. ``first``: its first fork."""

    def __init__(self, module: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            self.process = child_process([sys.executable, "-m", module, "-"], True, [number], {DESCRIPTOR: str(number)})
        self._socket, self._guard = ours, threading.Lock()
        ours.setblocking(False)
        self._forks: list[Fork] = []
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.first = Fork(self, self.process.stdin, self.process.stdout, self.process.stderr)
        self._forks.append(self.first)

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def fork(self) -> Fork:
        """Return another fork. Raises OSError if the template has ended."""
        (theirs_in, ours_in), (ours_out, theirs_out), (ours_err, theirs_err) = (os.pipe() for _ in range(3))
        streams = open(ours_in, "w"), open(ours_out, errors="replace"), open(ours_err, errors="replace")  # noqa: SIM115
        fork = Fork(self, *streams)
        theirs = [theirs_in, theirs_out, theirs_err]
        try:
            with self._guard:
                socket.send_fds(self._socket, [b"fork"], theirs)
                self._forks.append(fork)
        except OSError:
            for stream in streams:
                stream.close()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return fork

    def listen(self) -> None:
        """Pass the template's messages on to the forks they are about."""
        with self._guard, contextlib.suppress(OSError):  # nothing new, or the template has ended
            while data := self._socket.recv(256):
                message: dict[str, Any] = json.loads(data)
                if "pid" in message:
                    next(fork for fork in self._forks if fork.known is None).known = message["pid"]
                else:
                    next(fork for fork in self._forks if fork.known == message["ended"]).returncode = message["code"]
                    self._forks = [fork for fork in self._forks if fork.returncode is None]

    def close(self) -> None:
        """End the template and with it the forks that end with their parent."""
        self._socket.close()
        try:
            self.process.wait(_ENDING)
        except subprocess.TimeoutExpired:  # it is still importing
            self.process.kill()
            self.process.wait()


class Fork:
    """A forked process with the interface of ``subprocess.Popen``."""

    def __init__(self, template: Template, stdin: IO[str], stdout: IO[str], stderr: IO[str]) -> None:
        self.template = template
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.known: int | None = None  # its id, once it has been forked
        self.returncode: int | None = None

    @property
    def pid(self) -> int:
        """Process id. Until the first fork exists, the template's id stands in for it."""
        self.template.listen()
        while self.known is None and self is not self.template.first and self.template.lives:  # the reply is immediate
            time.sleep(_POLL)
            self.template.listen()
        return self.template.process.pid if self.known is None else self.known

    def poll(self) -> int | None:
        """Return the exit code, negative after a signal; None while it runs."""
        self.template.listen()
        if self.returncode is None and not self.template.lives:
            if self.known is None:
                self.returncode = self.template.process.returncode
            elif not alive(self.known):  # its real exit status is lost
                self.returncode = -signal.SIGTERM
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended. Raises subprocess.TimeoutExpired after ``timeout`` seconds."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() >= until:
                raise subprocess.TimeoutExpired("a fork", timeout or 0.0)
            time.sleep(_POLL)
        return code

    def terminate(self) -> None:
        """Send SIGTERM, unless it has ended."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)
