"""``neuralsim bench``: run the matrix, put the report together, say whether it is good enough."""

from __future__ import annotations

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
from neuralsim.base.failure import fail
from neuralsim.base.machine import host
from neuralsim.base.progress import ProgressLine
from neuralsim.bench import budget, compare, docs_tables, link, machine_state, roofline, self_test, tables, trace
from neuralsim.bench.measurement import Job
from neuralsim.bench.options import NO_BROWSER, NO_DISPLAY, BenchOptions, Cell, PeersOptions, browser, everything
from neuralsim.bench.report_html import page
from neuralsim.bench.results import summarise
from neuralsim.session.options import TAGS
from neuralsim.session.processes import Child, ProcessError, Processes, ended_by_signals
from neuralsim.zoo import ModelError

FORMAT = 1  # of report.json; raised when a field changes its meaning
_PEERS = 600.0  # s that one question, such as the comparison with the peers, may take
_CHECKS = 4  # runs at most until the check can tell


class BenchError(RuntimeError):
    """The bench cannot go on; the message is one line."""


class BenchInterrupted(BenchError):
    """Interrupted by the user."""


class Bench:
    """Runs what ``options`` ask for. Each drive has a process of its own."""

    def __init__(self, options: BenchOptions) -> None:
        self.options = options
        self.interrupted = False
        self._folder = Path()
        self._done = 0  # frames
        self._auto: dict[tuple[str, Size], dict[str, str]] = {}  # what "auto" is here, by model and size
        self._begun = time.monotonic()
        cells = list(options.cells()) if "drive" in options.parts else []
        whole = len(cells) * options.repeats * (options.frames + options.warm_up)
        self._progress = ProgressLine(whole or None)

    def run(self) -> dict[str, Any]:
        """Measure everything; the report, ready for JSON. Raises ``BenchError``, ``ProcessError``, ``ModelError``."""
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
                report["auto"] = [
                    {"model": model, "size": str(size), **found} for (model, size), found in self._auto.items()
                ]
                if "link" in parts:
                    report["link"] = self._link()
                if "machine" in parts:
                    before = self._step("peaks of this machine", machine_state.peaks)
                    report["roofline"] = self._roofline()
                    # Before the layers and after them: a machine that others use has good seconds and bad ones.
                    after = self._step("peaks of this machine, again", machine_state.peaks)
                    report["peaks"] = {name: max(value, after.get(name, 0.0)) for name, value in before.items()}
                if "peers" in parts:
                    report["peers"] = self._peers()
                if "check" in parts:
                    report["check"] = self._check()
            finally:
                self._progress.close()
        report["took_s"] = round(time.monotonic() - self._begun, 1)
        report["load_after"] = machine_state.load()
        return report

    def _drives(self) -> list[dict[str, Any]]:
        """All cells, repeat by repeat, so that a machine that becomes slower does so for all of them."""
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
        found = []
        for cell in cells:
            entry: dict[str, Any] = {"cell": cell.described()}
            if cell in failed:
                entry["error"] = failed[cell]
            else:
                entry |= {"summary": summarise(runs[cell]), "runs": runs[cell]}
                if options.connect is not None:  # a bridge elsewhere has its own size
                    size = Size.parse(runs[cell][0]["drive"]["size"])
                    entry["cell"] = replace(cell, size=size).described()
            found.append(entry)
        if all("error" in entry for entry in found):
            raise BenchError(found[0]["error"])
        return found

    def _resolve(self, cell: Cell) -> dict[str, str]:
        """The runtime that "auto" is, for all drives alike. Raises ``ProcessError``."""
        wanted = PeersOptions(size=cell.size, model=cell.model)
        return self._answer("neuralsim.bench.resolve_auto", wanted, f"the runtime for {cell.model}")

    def _answer(self, module: str, wanted: PeersOptions, words: str) -> dict[str, Any]:
        """What a module of ours says last; raises ``ProcessError`` with its line where it cannot."""
        until, found = time.monotonic() + _PEERS, {}
        with self._child(module, wanted.to_json()) as child:
            while child.process.poll() is None and time.monotonic() < until:
                self._pause()
                self._progress.waiting([words])
            if child.process.poll() != 0:
                raise ProcessError(child.last_words())
            child.last_words()  # waits until all that it said is here
            while (message := child.said()) is not None:
                found = message
        return found

    def _job(self, cell: Cell) -> Job:
        options = self.options
        found = self._auto.get((cell.model, cell.size)) if cell.runtime == "auto" else None
        return Job(
            cell=cell if found is None else replace(cell, runtime=found["runtime"]),
            frames=options.frames,
            warm_up=options.warm_up,
            seed=options.seed,
            town=options.town,
            fps=options.fps,
            carla=options.carla,
            connect=options.connect,
            keys=options.keys,
        )

    def _drive(self, job: Job, words: str) -> dict[str, Any]:
        """One run of one cell, in a process of its own; ``words`` say what it is."""
        path = self._folder / "job.json"
        path.write_text(job.to_json(), encoding="utf-8")
        path.with_suffix(".result").unlink(missing_ok=True)
        base, seen = self._done, 0
        with self._child("neuralsim.bench.measured_drive", str(path)) as child:
            while child.process.poll() is None:
                self._pause()
                while (message := child.said()) is not None:
                    seen = message.get("done", seen)
                if job.faults:  # not one of the matrix
                    self._progress.waiting([words])
                else:
                    self._progress.measured(base + seen, words)
            if child.process.returncode != 0:
                raise ProcessError(child.last_words())
        self._done = base if job.faults else base + job.frames + job.warm_up
        try:
            result: dict[str, Any] = json.loads(path.with_suffix(".result").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise ProcessError(f"the drive {job.cell.name} ended without a result") from None
        return result

    def _headline(self, drives: list[dict[str, Any]]) -> dict[str, Any]:
        """The first cell's figures in the form of every other report of this project."""
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
            self._progress.waiting([f"link, {case.name}"])
            cases.append(link.measure_link(case, size, over=lambda: self.interrupted))
            if self.interrupted:
                raise BenchInterrupted("interrupted")
        return {"packing_ms": link.measure_packing(link.full_frame(size)), "cases": cases}

    def _roofline(self) -> dict[str, Any] | None:
        model = next((model for model in self.options.models if model != TAGS), None)
        if model is None:
            return None
        return self._step("layers of the model", lambda: roofline.profile(model, self.options.sizes[0]))

    def _step(self, name: str, work: Any) -> Any:
        if self.interrupted:
            raise BenchInterrupted("interrupted")
        self._progress.waiting([name])
        return work()

    def _peers(self) -> dict[str, Any]:
        """Beside other papers' generators."""
        wanted = PeersOptions(size=self.options.sizes[0], model=self.options.models[0])
        return self._answer("neuralsim.bench.peers", wanted, "peers")

    def _check(self) -> dict[str, Any]:
        """Runs until the check can tell."""
        runs: list[dict[str, Any]] = []
        while True:
            runs.append(self._drive(self_test.job(seed=len(runs)), "self-test"))
            found = self_test.evaluate(runs)
            if found["honest"] is not None or len(runs) == _CHECKS:
                return found

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

    def _pause(self) -> None:
        if self.interrupted:
            raise BenchInterrupted("interrupted")
        time.sleep(0.1)

    def _interrupt(self) -> None:
        self.interrupted = True


def run(options: BenchOptions) -> int:
    """Measure, write, compare; the exit code. 1 also where a budget is broken; errors are one line on stderr."""
    try:
        options = everything(options) if options.matrix else options
        budgets = [budget.Budget.parse(text) for text in options.budget]
        old = compare.load(options.against) if options.against is not None else None
        _check_outputs(options)
        _check_displays(options)
        report = Bench(options).run()
        return _publish(options, report, budgets, old)
    except (BenchError, ProcessError, ModelError, compare.ReportError, docs_tables.DocsError, OSError) as error:
        return fail(error)


def _publish(
    options: BenchOptions, report: dict[str, Any], budgets: list[budget.Budget], old: dict[str, Any] | None
) -> int:
    code = 0
    if old is not None:
        report["comparison"] = compare.compare(old, report)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "report.json").write_text(json.dumps(report) + "\n", encoding="utf-8")
    (options.out / "report.html").write_text(page(report), encoding="utf-8")
    if options.trace is not None:
        options.trace.parent.mkdir(parents=True, exist_ok=True)
        options.trace.write_text(json.dumps(trace.events(report)), encoding="utf-8")
    if options.docs is not None:
        docs_tables.fill(options.docs, report)
    print(tables.terminal(report))
    print(
        f"\n{options.out / 'report.html'}, {options.out / 'report.json'}"
        + (f", {options.trace}" if options.trace else "")
    )
    for drive in report["drives"]:
        if "error" in drive:
            code = fail(f"{drive['cell']['name']}: {drive['error']}")
    if report.get("check", {"honest": True})["honest"] is False:
        code = fail("a delay of known length was not seen where it was: see the check's table")
    for line in (line for wanted in budgets for line in wanted.broken(report)):
        code = fail(line)
    return code


def _check_outputs(options: BenchOptions) -> None:
    """``OSError`` now rather than after the measurement; ``DocsError`` for a page without places to fill."""
    options.out.mkdir(parents=True, exist_ok=True)
    probe = options.out / "report.json"
    probe.open("ab").close()
    if not probe.stat().st_size:
        probe.unlink()
    if options.docs is not None:
        docs_tables.check(options.docs)
    if options.trace is not None:
        options.trace.parent.mkdir(parents=True, exist_ok=True)


def _check_displays(options: BenchOptions) -> None:
    """``BenchError`` for what pictures cannot be shown on, now rather than when the drives before it are done."""
    if "drive" in options.parts and "window" in options.loops:
        from neuralsim.window.window import display_available

        if not display_available():
            raise BenchError(f"no display: {NO_DISPLAY}")
    if "drive" in options.parts and "browser" in options.loops:
        if not browser():
            raise BenchError(NO_BROWSER)
        for package in ("aiohttp", "aiortc"):
            if find_spec(package) is None:
                raise BenchError(f"{package} is missing: {remedy('serve')}")
