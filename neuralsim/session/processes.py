"""Town and bridge as child processes: started, watched, and ended together, whatever happens to this one."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bridge.process.json_lines import received
from neuralsim.base import machine
from neuralsim.session.forks import AVAILABLE, Fork, Template, alive, child_process

_WORK = 0.05  # s of processor time that are work, not idling
_LAST_WORDS = 0.3  # seconds a dying process gets to finish its error line
_LONGEST = 64  # bytes of the temporary folder's name: a socket's path has 107
GRACE = 0.9  # seconds from SIGTERM to SIGKILL; quitting takes under two in all


class ProcessError(RuntimeError):
    """A process did not start or ended by itself; the message is its own one-line error."""


@contextlib.contextmanager
def ended_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP call ``stop`` instead of ending this process: everything else has to end with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Child:
    """One child process: what it said, whether it is ready, whether it lives.

    ``process``: in a session of its own. Ctrl-C reaches this process only, which then ends its children in order.
    """

    def __init__(self, name: str, process: subprocess.Popen[str] | Fork) -> None:
        self.name, self.process = name, process
        self._worked = 0.0  # s of processor time, when it was found to have worked
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._errors: deque[str] = deque(maxlen=50)
        self._readers = [
            threading.Thread(target=self._read_output, name=f"{name} out", daemon=True),
            threading.Thread(target=self._read_errors, name=f"{name} err", daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def begin(self, options: str) -> None:
        """Give it the line that one waits for which was started ``later``. :class:`ProcessError` if it has ended."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(options + "\n")
            self.process.stdin.close()
        except OSError:
            raise ProcessError(self.last_words()) from None

    def wait_ready(
        self, timeout: float, cancelled: Callable[[], bool], step: Callable[[str], None] = lambda words: None
    ) -> Any:
        """Wait for its message ``ready`` and return what that says; None when ``cancelled``; else
        :class:`ProcessError`.

        ``timeout``: seconds in which it has neither said anything nor worked. One that computes, as compilers do on a
        busy machine, is waited for. ``step`` is called with what it says that it does.
        """
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if cancelled():
                return None
            if self.has_worked():
                until = time.monotonic() + timeout
            try:
                message = self._messages.get(timeout=0.05)
            except queue.Empty:
                continue
            if message is None:
                raise ProcessError(self.last_words())
            if "step" in message:
                step(str(message["step"]))
            if "ready" in message:
                step("")
                return message["ready"]
        raise ProcessError(f"the {self.name} has done nothing for {timeout:.0f} s; its last line: {self.last_words()}")

    def has_worked(self) -> bool:
        """Whether it has computed for a while since the last time that this was true."""
        spent = machine.cpu_seconds(self.pid)
        if spent is None or 0.0 <= spent - self._worked < _WORK:  # it is less when it has just been forked
            return False
        self._worked = spent
        return True

    def said(self) -> dict[str, Any] | None:
        """The next message on its stdout (``bridge.process.json_lines``), None while there is none that is new."""
        try:
            return self._messages.get_nowait()
        except queue.Empty:
            return None

    def check(self) -> None:
        """:class:`ProcessError` if it has ended."""
        if self.process.poll() is not None:
            raise ProcessError(self.last_words())

    def last_words(self) -> str:
        """The last line it wrote on stderr, as it is; of a process that said nothing, its exit code."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # it lives, and has not closed its output to end
            self.process.wait(_LAST_WORDS)
            for reader in self._readers:
                reader.join(_LAST_WORDS)
        for line in reversed(self._errors):
            if line.strip():
                return line.strip()
        code = self.process.poll()
        return f"the {self.name} says nothing" if code is None else f"the {self.name} ended with exit code {code}"

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if (message := received(line)) is not None:
                self._messages.put(message)
        self._messages.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._errors.append(line)


class Processes:
    """The children of one drive and the folder of their sockets; :meth:`stop` ends and removes them all."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self._templates: dict[str, Template] = {}  # by their modules
        self._guard = threading.Lock()
        self._folder: Path | None = None

    @property
    def pids(self) -> list[int]:
        """Process ids of the living ones."""
        return [child.pid for child in self.children if child.process.poll() is None]

    def start(self, name: str, module: str, *arguments: str, later: bool = False, again: bool = False) -> Child:
        """Start ``python -m module ...`` under this very interpreter.

        ``later``: it waits for a line on its standard input (:meth:`Child.begin`), with the argument ``-``, and imports
        what it needs meanwhile; ``again``: another one may be wanted soon after it has ended, which is then forked.
        """
        forks = later and again and AVAILABLE
        process = self._forked(module) if forks else child_process([sys.executable, "-m", module, *arguments], later)
        child = Child(name, process)
        self.children.append(child)
        return child

    def _forked(self, module: str) -> Fork:
        with self._guard:
            template = self._templates.get(module)
            if template is not None:
                with contextlib.suppress(OSError):  # it has ended
                    return template.fork()
                template.close()
            template = self._templates[module] = Template(module)
            return template.first

    def check(self) -> None:
        """:class:`ProcessError` with the one-line error of the first child that has ended."""
        for child in self.children:
            child.check()

    def have_worked(self) -> bool:
        """Whether any of them has computed for a while since the last time that this was true."""
        worked = [child.has_worked() for child in self.children]  # of each: they count from then on
        return any(worked)

    def endpoint(self) -> str:
        """A fresh ZeroMQ endpoint that only this user can reach: ``ipc://`` in a private folder, or loopback TCP."""
        if sys.platform == "win32" or len(os.fsencode(tempfile.gettempdir())) > _LONGEST:
            return f"tcp://127.0.0.1:{free_port()}"
        if self._folder is None:
            _sweep()
            self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        return f"ipc://{self._folder}/frames"

    def stop(self) -> None:
        """End all children and what they were forked from, and remove the folder of their sockets."""
        self.end_children()
        with self._guard:
            while self._templates:
                self._templates.popitem()[1].close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def end_children(self, grace: float = GRACE, but: Child | None = None) -> None:
        """End all children: SIGTERM to all at once, SIGKILL for those that stay for longer than ``grace`` seconds.

        ``but``: one that goes on.
        """
        ending = [child for child in self.children if child is not but]
        for child in ending:
            if child.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    child.process.terminate()
        until = time.monotonic() + grace
        for child in ending:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(until - time.monotonic(), 0.0))
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if hasattr(os, "killpg"):
                    os.killpg(child.pid, signal.SIGKILL)  # its session: what it may have started, too
                else:
                    child.process.kill()
            child.process.wait()
            with contextlib.suppress(ValueError):  # another thread ends them, too
                self.children.remove(child)


_PREFIX = "neuralsim-"


def _sweep() -> None:
    """Remove socket folders of drives that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}[0-9]*-*"):
        pid = folder.name[len(_PREFIX) :].partition("-")[0]
        if pid.isdigit() and not alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A TCP port on loopback with the next one free as well (frames and controls), both free a moment ago."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port
