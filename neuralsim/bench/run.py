"""``neuralsim bench``: run the matrix, assemble the report, and check it against the budgets."""

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bridge.size import Size
from neuralsim.base.extras import remedy
from neuralsim.base.failure import fail, log_line
from neuralsim.base.machine import host
from neuralsim.base.progress import ProgressLine
from neuralsim.bench import link, machine_state, self_test
from neuralsim.bench.cells import Cell, Link
from neuralsim.bench.measurement import Job
from neuralsim.bench.options import (
    NO_BROWSER,
    NO_DISPLAY,
    BenchOptions,
    ResolveOptions,
    browser_command,
    whole_matrix,
)
from neuralsim.bench.report import budget, compare, tables, trace
from neuralsim.bench.report.html_page import busy_warnings, render_page
from neuralsim.bench.report.latency_figures import ledger_of, summarise
from neuralsim.session.options import TAGS
from neuralsim.session.processes import Child, ProcessError, Processes, ended_by_signals

FORMAT = 1  # of report.json; raised when a field changes its meaning
_RESOLVE_TIMEOUT = 600.0  # s that measuring the runtimes may take
_MAX_CHECKS = 4  # runs until the self-test gives up on a busy machine


class BenchError(RuntimeError):
    """The benchmark cannot continue; the message is one line."""


class BenchInterrupted(BenchError):
    """The user has interrupted the benchmark."""


class Bench:
    """Runs the measurements in ``options``. Each drive has a process of its own."""

    def __init__(self, options: BenchOptions) -> None:
        self.options = options
        self.interrupted = False
        self._folder = Path()
        self._done = 0  # frames
        self._auto: dict[tuple[str, Size], dict[str, str]] = {}  # what "auto" resolves to here
        self._begun = time.monotonic()
        cells = list(options.cells()) if "drive" in options.parts else []
        total = len(cells) * options.repeats * (options.frames + options.warm_up)
        self._progress = ProgressLine(total or None)

    def run(self) -> dict[str, Any]:
        """Measure everything; return the report, ready for JSON. Raises ``BenchError``, ``ProcessError``."""
        options = self.options
        report: dict[str, Any] = {
            "format": FORMAT,
            "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "options": {
                "frames": options.frames,
                "warm_up": options.warm_up,
                "repeats": options.repeats,
                "matrix": options.matrix,
            },
            "machine": machine_state.describe(),
        }
        parts = options.parts
        with ended_by_signals(self._interrupt), self._workplace():
            try:
                drives = self._drives() if "drive" in parts else []
                report |= self._headline(drives)
                report["drives"] = drives
                report["ledger"] = ledger_of(drives, options.ledger)
                report["auto"] = [
                    {"model": model, "size": str(size), **choice} for (model, size), choice in self._auto.items()
                ]
                if "link" in parts:
                    report["link"] = self._link()
                if "machine" in parts:
                    self._begin_step("peaks of this machine")
                    report["peaks"] = machine_state.peaks()
                if "check" in parts:
                    report["check"] = self._check()
            finally:
                self._progress.close()
        report["took_s"] = round(time.monotonic() - self._begun, 1)
        report["load_after"] = machine_state.load()
        return report

    def _drives(self) -> list[dict[str, Any]]:
        """Run all cells, repeat by repeat, so that a machine that becomes slower does so for all of them."""
        options = self.options
        cells = list(options.cells())
        for cell in cells:
            if cell.runtime == "auto" and cell.model != TAGS and options.connect is None:
                self._auto[cell.model, cell.size] = self._auto.get((cell.model, cell.size)) or self._resolve(cell)
        runs: dict[Cell, list[dict[str, Any]]] = {cell: [] for cell in cells}
        failed: dict[Cell, str] = {}
        for _ in range(options.repeats):
            for cell in cells:
                if cell in failed:
                    continue
                try:
                    runs[cell].append(self._drive(self._job(cell), cell.name))
                except ProcessError as error:
                    if len(cells) == 1:
                        raise
                    failed[cell] = str(error)
        entries = []
        for cell in cells:
            entry: dict[str, Any] = {"cell": cell.as_json()}
            if cell in failed:
                entry["error"] = failed[cell]
            else:
                entry |= {"summary": summarise(runs[cell]), "runs": runs[cell]}
                if options.connect is not None:  # a bridge on another machine has its own size
                    size = Size.parse(runs[cell][0]["drive"]["size"])
                    entry["cell"] = replace(cell, size=size).as_json()
            entries.append(entry)
        if all("error" in entry for entry in entries):
            raise BenchError(entries[0]["error"])
        return entries

    def _resolve(self, cell: Cell) -> dict[str, str]:
        """Return the runtime that "auto" resolves to, for all drives alike. Raises ``ProcessError``."""
        options = ResolveOptions(size=cell.size, model=cell.model)
        until, choice = time.monotonic() + _RESOLVE_TIMEOUT, {}
        with self._child("neuralsim.bench.resolve_auto", options.to_json()) as child:
            while child.process.poll() is None and time.monotonic() < until:
                self._pause()
                self._progress.waiting([f"the runtime for {cell.model}"])
            if child.process.poll() != 0:
                raise ProcessError(child.last_error_line())
            child.last_error_line()  # waits until all of its output is here
            while (message := child.next_message()) is not None:
                choice = message
        return choice

    def _job(self, cell: Cell) -> Job:
        options = self.options
        choice = self._auto.get((cell.model, cell.size)) if cell.runtime == "auto" else None
        return Job(
            cell=cell if choice is None else replace(cell, runtime=choice["runtime"]),
            frames=options.frames,
            warm_up=options.warm_up,
            seed=options.seed,
            town=options.town,
            fps=options.fps,
            carla=options.carla,
            connect=options.connect,
            keys=options.keys,
            ledger=self._folder / "drive.mp4" if options.ledger else None,
        )

    def _drive(self, job: Job, label: str) -> dict[str, Any]:
        """Run one cell once, in a process of its own; ``label`` describes it in the progress line."""
        path = self._folder / "job.json"
        path.write_text(job.to_json(), encoding="utf-8")
        path.with_suffix(".result").unlink(missing_ok=True)
        base, done = self._done, 0
        with self._child("neuralsim.bench.measured_drive", str(path)) as child:
            while child.process.poll() is None:
                self._pause()
                while (message := child.next_message()) is not None:
                    done = message.get("done", done)
                if job.faults:  # not one of the matrix
                    self._progress.waiting([label])
                else:
                    self._progress.show(base + done, label)
            if child.process.returncode != 0:
                raise ProcessError(child.last_error_line())
        self._done = base if job.faults else base + job.frames + job.warm_up
        try:
            result: dict[str, Any] = json.loads(path.with_suffix(".result").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise ProcessError(f"the drive {job.cell.name} ended without a result") from None
        return result

    def _headline(self, drives: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the first cell's figures in the form of every other report of this project."""
        summary = next((drive["summary"] for drive in drives if "summary" in drive), None)
        if summary is None:
            return {}
        cell = drives[0]["cell"]
        short = ("p50", "p95", "p99")
        return {
            **{name: summary[name] for name in ("frames", "seconds", "dropped", "runtime", "model")},
            "fps": summary["fps"]["value"],
            **{name: {q: summary[name][q] for q in short} for name in ("latency_ms", "input_to_photon_ms")},
            "stage_ms": {stage: {q: times[q] for q in short} for stage, times in summary["stage_ms"].items()},
            "size": cell["size"],
            "show": cell["show"],
            "host": host(),
        }

    def _link(self) -> dict[str, Any]:
        size = self.options.sizes[0]
        cases = []
        for case in link.CASES:
            self._begin_step(f"link, {case.name}")
            cases.append(link.measure_link(case, size, is_over=lambda: self.interrupted))
            self._check_interrupt()
        return {"packing_ms": link.measure_packing(link.full_frame(size)), "cases": cases}

    def _check(self) -> dict[str, Any]:
        """Run the self-test until it has a result."""
        runs: list[dict[str, Any]] = []
        while True:
            runs.append(self._drive(self_test.job(seed=len(runs)), "self-test"))
            result = self_test.evaluate(runs)
            if self_test.is_final(result) or len(runs) == _MAX_CHECKS:
                return result

    @contextlib.contextmanager
    def _child(self, module: str, *arguments: str) -> Iterator[Child]:
        processes = Processes()
        try:
            yield processes.start(module.rpartition(".")[2], module, *arguments)
        finally:
            processes.stop()

    @contextlib.contextmanager
    def _workplace(self) -> Iterator[None]:
        self._folder = Path(tempfile.mkdtemp(prefix="neuralsim-bench-"))
        try:
            yield
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _begin_step(self, name: str) -> None:
        self._check_interrupt()
        self._progress.waiting([name])

    def _pause(self) -> None:
        self._check_interrupt()
        time.sleep(0.1)

    def _check_interrupt(self) -> None:
        if self.interrupted:
            raise BenchInterrupted("interrupted")

    def _interrupt(self) -> None:
        self.interrupted = True


def run(options: BenchOptions) -> int:
    """Measure, write and compare; return the exit code, 1 also for an exceeded budget. Errors are one line each."""
    try:
        options = whole_matrix(options) if options.matrix else options
        if options.ledger:
            options = options.model_copy(update={"parts": ("drive",), "loops": ("lockstep",), "links": (Link(),)})
        budgets = [budget.Budget.parse(text) for text in options.budget]
        old = compare.load(options.against) if options.against is not None else None
        _check_outputs(options)
        _check_displays(options)
        report = Bench(options).run()
        return _publish(options, report, budgets, old)
    except (BenchError, ProcessError, compare.ReportError, OSError) as error:
        return fail(error)


def _publish(
    options: BenchOptions, report: dict[str, Any], budgets: list[budget.Budget], old: dict[str, Any] | None
) -> int:
    code = 0
    if old is not None:
        report["comparison"], report["ledger_before"] = compare.compare(old, report), old.get("ledger")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "report.json").write_text(json.dumps(report) + "\n", encoding="utf-8")
    (options.out / "report.html").write_text(render_page(report), encoding="utf-8")
    if options.trace is not None:
        options.trace.parent.mkdir(parents=True, exist_ok=True)
        options.trace.write_text(json.dumps(trace.events(report)), encoding="utf-8")
    print(tables.terminal(report))
    files = (options.out / "report.html", options.out / "report.json", *([options.trace] if options.trace else []))
    print("\n" + "\n".join((*busy_warnings(report), ", ".join(map(str, files)))))
    if find_spec("matplotlib") is None:
        log_line(f"report.html has no charts, matplotlib is missing: {remedy('bench')}")
    for drive in report["drives"]:
        if "error" in drive:
            code = fail(f"{drive['cell']['name']}: {drive['error']}")
    if report.get("check", {"honest": True})["honest"] is False:
        code = fail("the self-test failed: an injected delay was not measured where it was injected; see its table")
    for line in (line for limit in budgets for line in limit.violations(report)):
        code = fail(line)
    return code


def _check_outputs(options: BenchOptions) -> None:
    """Raise ``OSError`` now rather than after the measurement."""
    options.out.mkdir(parents=True, exist_ok=True)
    probe = options.out / "report.json"
    probe.open("ab").close()
    if not probe.stat().st_size:
        probe.unlink()
    if options.trace is not None:
        options.trace.parent.mkdir(parents=True, exist_ok=True)


def _check_displays(options: BenchOptions) -> None:
    """Raise ``BenchError`` for a missing display or browser now rather than after the drives before it."""
    if "drive" in options.parts and "window" in options.loops:
        from neuralsim.window.window import display_available

        if not display_available():
            raise BenchError(f"no display: {NO_DISPLAY}")
    if "drive" in options.parts and "browser" in options.loops:
        if not browser_command():
            raise BenchError(NO_BROWSER)
        for package in ("aiohttp", "aiortc"):
            if find_spec(package) is None:
                raise BenchError(f"{package} is missing: {remedy('serve')}")
