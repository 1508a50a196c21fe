"""The ledger of a frame: processor time, waiting and bytes of every stage, in all threads of a drive's processes.

    python -m neuralsim.bench.ledger PROCESS MODULE ARGUMENTS...

The measured code has none of this: the functions of ``ledger.yaml`` are wrapped here, from outside. Times are the
kernel's (that in the kernel is sampled by its ticks). What a stage calls in another stage counts there; what it gives
to a thread pool counts for it. The rest of each thread is a row of its own, so that the rows of a process add up to
what the kernel says it has spent.
"""

from __future__ import annotations

import functools
import json
import os
import re
import resource
import runpy
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from neuralsim.session.processes import Child, ProcessError

_ANSWER = 10.0  # s within which a process tells its account
_TICK = 1.0 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01  # s


class LedgerError(ProcessError):
    """A process did not tell its account; the message is one line."""


def _bytes_of(*values: Any) -> int:
    """Return the bytes of all arrays and buffers in ``values``, also within collections."""
    size = 0
    for value in values:
        if isinstance(value, (np.ndarray, memoryview)):
            size += value.nbytes
        elif isinstance(value, (bytes, bytearray)):
            size += len(value)
        elif isinstance(value, dict):
            size += _bytes_of(*value.values())
        elif isinstance(value, (list, tuple)):
            size += _bytes_of(*value)
        elif hasattr(value, "raw_data"):  # an image of CARLA's client
            size += 4 * value.width * value.height
    return size


class Stage(NamedTuple):
    """A stage: its group of ``cells.GROUPS``, its name, the functions that it consists of ("module:name"), and of what
    the bytes are counted that a call of them moves: "arguments" or "result", or a part, as in "arguments.1"."""

    group: str
    name: str
    functions: tuple[str, ...]
    moved: str = ""


#: The stages of each process.
STAGES = {
    process: tuple(Stage(**stage | {"functions": tuple(stage["functions"])}) for stage in stages)
    for process, stages in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")).items()
}


class Row(NamedTuple):
    """What a stage has spent: calls; processor time, the kernel's part of it, and elapsed time, s; bytes moved."""

    calls: float = 0.0
    processor: float = 0.0
    system: float = 0.0
    elapsed: float = 0.0
    moved: float = 0.0

    def plus(self, *more: float) -> Row:
        """Return the sum with a row's values."""
        return Row(*(a + b for a, b in zip(self, more, strict=True)))


class Account(NamedTuple):
    """What a process has spent so far.

    Attributes:
        total: Processor time and the kernel's part of it, s.
        threads: The same of each thread, after its name, by id.
        stages: The values of a ``Row`` by thread and stage.
    """

    total: tuple[float, float]
    threads: dict[str, tuple[str, float, float]]
    stages: dict[str, dict[str, tuple[float, ...]]]

    def since(self, before: Account) -> dict[str, Row]:
        """Return what was spent since ``before``, by stage, then by thread what is not of a stage."""
        rows: dict[str, Row] = {}
        known = Row()

        def add(name: str, row: Row) -> None:
            rows[name] = rows.get(name, Row()).plus(*row)

        for ident in {*self.threads, *self.stages}:
            in_stages = Row()
            for stage, values in self.stages.get(ident, {}).items():
                row = Row(*values).plus(*(-value for value in before.stages.get(ident, {}).get(stage, Row())))
                in_stages = in_stages.plus(*row)
                add(stage, row)
            if ident in self.threads:
                name, processor, system = self.threads[ident]
                _, *begun = before.threads.get(ident, (name, 0.0, 0.0))
                rest = Row(0.0, processor - begun[0] - in_stages.processor, system - begun[1] - in_stages.system)
                add(f"thread {name}", rest)
                known = known.plus(*rest)
            known = known.plus(*in_stages)
        ended = [now - then for now, then in zip(self.total, before.total, strict=True)]
        add("threads that ended", Row(0.0, ended[0] - known.processor, ended[1] - known.system))
        return rows


class Ledger:
    """Accounts for the stages of this process, from :meth:`install` on."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._books: dict[int, dict[str, list[float]]] = {}  # by thread, then stage: the values of a ``Row``

    def install(self, stages: Iterable[Stage]) -> None:
        """Wrap the functions of ``stages``, but for those of packages that are not installed.

        Raises ``LedgerError`` for one that does not exist.
        """
        for stage in stages:
            for path in stage.functions:
                module, _, name = path.partition(":")
                *owners, last = name.split(".")
                try:
                    owner = functools.reduce(getattr, owners, import_module(module))
                    function = getattr(owner, last)
                except ImportError:
                    continue
                except AttributeError:
                    raise LedgerError(f"the stage {stage.name!r} of the ledger has no function {path}") from None
                setattr(owner, last, self._timed(f"{stage.group}: {stage.name}", function, stage.moved, 1))
        submit = ThreadPoolExecutor.submit

        def submit_for_stage(
            pool: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **named: Any
        ) -> Any:
            stage = self._stage
            return submit(pool, function if stage is None else self._timed(stage, function), *args, **named)

        ThreadPoolExecutor.submit = submit_for_stage  # type: ignore[assignment, method-assign]

    def account(self) -> Account:
        """Return what this process has spent so far."""
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        threads = {}
        for folder in Path("/proc/self/task").iterdir():
            try:
                own, fields = (folder / "stat").read_text(errors="replace").rsplit(")", 1)
                processor = int((folder / "schedstat").read_text().split()[0]) / 1e9
            except OSError:  # ended meanwhile
                continue
            name = names.get(int(folder.name), f"{own.partition('(')[2]} (native)")
            threads[folder.name] = re.sub(r"[-_ ]*\d+$", "", name), processor, int(fields.split()[12]) * _TICK
        total = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_stime
        stages = {str(ident): {name: tuple(row) for name, row in book.items()} for ident, book in self._books.items()}
        return Account(total, threads, stages)

    @property
    def _stage(self) -> str | None:
        return getattr(self._local, "stage", None)

    def _switch(self, stage: str | None) -> str | None:
        """Charge the time since the last switch to the stage that this thread is in, and begin ``stage``; return the
        former one."""
        local, before = self._local, self._stage
        system = resource.getrusage(resource.RUSAGE_THREAD).ru_stime
        now = time.thread_time(), system, time.perf_counter()
        if before is not None:
            row = self._row(before)
            for column, (value, begun) in enumerate(zip(now, local.mark, strict=True), 1):
                row[column] += value - begun
        local.stage, local.mark = stage, now
        return before

    def _row(self, stage: str) -> list[float]:
        book = self._books.setdefault(threading.get_native_id(), {})
        return book.setdefault(stage, [0.0] * len(Row()))

    def _timed(self, stage: str, function: Callable[..., Any], moved: str = "", calls: int = 0) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            outer = self._switch(stage)
            try:
                result = function(*arguments, **named)
            finally:
                self._switch(outer)
            row = self._row(stage)
            row[0] += calls
            if moved:
                value, *parts = moved.split(".")
                moving: Any = arguments if value == "arguments" else result
                for part in parts:
                    moving = moving[int(part)] if part.isdigit() else getattr(moving, part)
                row[4] += _bytes_of(moving)
            return result

        return timed


def answer(ledger: Ledger) -> None:
    """Tell this process's account to its parent whenever that asks for it."""
    listener = Listener(_address(os.getpid()), "AF_UNIX")

    def serve() -> None:
        while True:
            with listener.accept() as connection:
                connection.send_bytes(json.dumps(ledger.account()).encode())

    threading.Thread(target=serve, name="ledger", daemon=True).start()


def ask(child: Child) -> Account:
    """Return the account of a child process that runs this module. Raises ``LedgerError`` if it does not answer."""
    try:
        with Client(_address(child.pid), "AF_UNIX") as connection:
            if connection.poll(_ANSWER):
                return Account(*json.loads(connection.recv_bytes()))
    except (OSError, EOFError):
        pass
    raise LedgerError(f"the {child.name} has ended or hangs: it does not tell what it has spent")


def _address(process: int) -> str:
    return f"\0neuralsim-ledger-{process}"


def main(arguments: list[str]) -> None:
    """Run a module as the program of a process, with its arguments, and account for its stages."""
    process, module, *rest = arguments
    ledger = Ledger()
    answer(ledger)
    ledger.install(STAGES[process])
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
