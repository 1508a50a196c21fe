"""Town and bridge as child processes: started, monitored, and ended together, however this process ends."""

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

from bridge.process.json_lines import parse_message
from neuralsim.base import machine
from neuralsim.session.forks import AVAILABLE, Fork, Template, alive, child_process

_WORK = 0.05  # s of CPU time that count as work rather than idling
_LAST_OUTPUT = 0.3  # seconds that a dying process gets to finish its error line
_PATH_LIMIT = 64  # bytes of the temporary folder's path; a socket path has at most 107
GRACE = 0.9  # seconds from SIGTERM to SIGKILL; quitting takes under two in total
SERVER_GRACE = 26.0  # the same for a bridge that leaves a CARLA server as it was, which takes a slow one a while


class ProcessError(RuntimeError):
    """A process did not start or ended unexpectedly; the message is its own one-line error."""


@contextlib.contextmanager
def ended_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` on Ctrl-C, SIGTERM and SIGHUP, so that all children can be ended before this process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    previous = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Child:
    """One child process: its messages, whether it is ready, whether it runs.

    ``process`` has its own session. Ctrl-C therefore reaches only this process, which then ends its children in order.
    """

    def __init__(self, name: str, process: subprocess.Popen[str] | Fork) -> None:
        self.name, self.process = name, process
        self._worked = 0.0  # s of CPU time when it was last seen working
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
        """Send the options that a ``deferred`` process waits for. Raises :class:`ProcessError` if it has ended."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(options + "\n")
            self.process.stdin.close()
        except OSError:
            raise ProcessError(self.last_error_line()) from None

    def wait_ready(
        self, timeout: float, cancelled: Callable[[], bool], step: Callable[[str], None] = lambda text: None
    ) -> Any:
        """Wait for its message ``ready`` and return the content; None when ``cancelled``.

        Raises :class:`ProcessError` if it ends, or neither sends a message nor uses CPU time for ``timeout`` seconds. A
        process that computes, such as a compiler on a busy machine, is waited for. ``step`` receives progress lines.
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
                raise ProcessError(self.last_error_line())
            if "step" in message:
                step(str(message["step"]))
            if "ready" in message:
                step("")
                return message["ready"]
        raise ProcessError(
            f"the {self.name} has done nothing for {timeout:.0f} s; its last line: {self.last_error_line()}"
        )

    def has_worked(self) -> bool:
        """Return whether it has used noticeable CPU time since this was last true."""
        spent = machine.cpu_seconds(self.pid)
        if spent is None or 0.0 <= spent - self._worked < _WORK:  # negative if it has just been forked
            return False
        self._worked = spent
        return True

    def next_message(self) -> dict[str, Any] | None:
        """Return the next message on its stdout (``bridge.process.json_lines``), None if there is none."""
        try:
            return self._messages.get_nowait()
        except queue.Empty:
            return None

    def check(self) -> None:
        """Raise :class:`ProcessError` if it has ended."""
        if self.process.poll() is not None:
            raise ProcessError(self.last_error_line())

    def last_error_line(self) -> str:
        """Return the last line that it wrote to stderr, or its exit code if it wrote none."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # it is still running
            self.process.wait(_LAST_OUTPUT)
            for reader in self._readers:
                reader.join(_LAST_OUTPUT)
        for line in reversed(self._errors):
            if line.strip():
                return line.strip()
        code = self.process.poll()
        return (
            f"the {self.name} has no error output" if code is None else f"the {self.name} ended with exit code {code}"
        )

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if (message := parse_message(line)) is not None:
                self._messages.put(message)
        self._messages.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._errors.append(line)


class Templates:
    """Processes that have done their imports and fork a child on request: one per module, started when first needed."""

    def __init__(self) -> None:
        self._templates: dict[str, Template] = {}  # by module
        self._guard = threading.Lock()

    def fork(self, module: str) -> Fork:
        """Return a new child of ``python -m module -``."""
        with self._guard:
            template = self._templates.get(module)
            if template is not None:
                with contextlib.suppress(OSError):  # the template has ended
                    return template.fork()
                template.close()
            template = self._templates[module] = Template(module)
            return template.first

    def close(self) -> None:
        """End all templates, and with them the children that end with their parent."""
        with self._guard:
            while self._templates:
                self._templates.popitem()[1].close()


class Processes:
    """The children of one drive and the folder of their sockets; :meth:`stop` ends and removes all of them.

    ``templates``: those that several drives share and that outlive them; None for its own.
    """

    def __init__(self, templates: Templates | None = None) -> None:
        self.children: list[Child] = []
        self.grace = GRACE  # s from SIGTERM to SIGKILL
        self._is_owner = templates is None
        self._templates = Templates() if templates is None else templates
        self._folder: Path | None = None

    @property
    def pids(self) -> list[int]:
        """Process ids of the running children."""
        return [child.pid for child in self.children if child.process.poll() is None]

    def start(
        self, name: str, module: str, *arguments: str, deferred: bool = False, restartable: bool = False
    ) -> Child:
        """Start ``python -m module ...`` under this very interpreter.

        ``deferred``: it takes the argument ``-`` and waits for its options on standard input (:meth:`Child.begin`),
        importing its modules meanwhile. ``restartable``: its successor, should it end, is forked, which is fast.
        """
        forks = deferred and restartable and AVAILABLE
        process = (
            self._templates.fork(module)
            if forks
            else child_process([sys.executable, "-m", module, *arguments], deferred)
        )
        child = Child(name, process)
        self.children.append(child)
        return child

    def check(self) -> None:
        """Raise :class:`ProcessError` with the one-line error of the first child that has ended."""
        for child in self.children:
            child.check()

    def have_worked(self) -> bool:
        """Return whether any child has used noticeable CPU time since this was last true."""
        worked = [child.has_worked() for child in self.children]  # no short cut: each call resets its counter
        return any(worked)

    def endpoint(self) -> str:
        """Return a new ZeroMQ endpoint: ``ipc://`` in a private folder of this user, or loopback TCP."""
        if sys.platform == "win32" or len(os.fsencode(tempfile.gettempdir())) > _PATH_LIMIT:
            return f"tcp://127.0.0.1:{free_port()}"
        if self._folder is None:
            _sweep()
            self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        return f"ipc://{self._folder}/frames"

    def stop(self) -> None:
        """End all children and its own templates, and remove the folder of their sockets."""
        self.end_children()
        if self._is_owner:
            self._templates.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def end_children(self, grace: float | None = None, keep: Child | None = None) -> None:
        """End all children except ``keep``: SIGTERM to all at once, SIGKILL after ``grace`` or ``self.grace`` s."""
        ending = [child for child in self.children if child is not keep]
        for child in ending:
            if child.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    child.process.terminate()
        until = time.monotonic() + (self.grace if grace is None else grace)
        for child in ending:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(until - time.monotonic(), 0.0))
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if hasattr(os, "killpg"):
                    os.killpg(child.pid, signal.SIGKILL)  # its session, including processes that it started
                else:
                    child.process.kill()
            child.process.wait()
            with contextlib.suppress(ValueError):  # another thread may be ending them too
                self.children.remove(child)


_PREFIX = "neuralsim-"


def _sweep() -> None:
    """Remove the socket folders of drives that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}[0-9]*-*"):
        pid = folder.name[len(_PREFIX) :].partition("-")[0]
        if pid.isdigit() and not alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """Return a free TCP port on loopback whose successor is free as well (frames and controls)."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port
