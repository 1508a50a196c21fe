"""Format the figures of a report as tables, for the terminal and for Markdown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from neuralsim.bench.cells import format_guide, format_sizes
from neuralsim.bench.ledger import Row
from neuralsim.bench.report.latency_figures import TOTAL
from neuralsim.session.metrics import STAGES

_TIME_FLOOR = 1e-4  # s of a frame, below which a stage of the ledger has no row


@dataclass(frozen=True)
class Table:
    """A table of texts; ``head`` and ``rows`` have equal lengths."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""

    def terminal(self) -> str:
        """Return the table as aligned text, numbers to the right."""
        widths = [max(len(row[n]) for row in (self.head, *self.rows)) for n in range(len(self.head))]
        lines = [self.title]
        for row in (self.head, *self.rows):
            cells = [
                f"{cell:>{width}}" if n else f"{cell:{width}}"
                for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  " + "  ".join(cells).rstrip())
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    def markdown(self) -> str:
        """Return a table in GitHub's Markdown, followed by its note."""
        lines = [self.head, tuple("---:" if n and cell else "---" for n, cell in enumerate(self.head)), *self.rows]
        text = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)
        return text + (f"\n\n{self.note}" if self.note else "")


def drives(report: dict[str, Any]) -> Table | None:
    """Return one row per cell: rate, latency, input latency."""
    head: tuple[str, ...] = ("drive", "fps", "p50", "p95", "p99", "input p50", "p95", "frame p50", "p99", "dropped")
    head += ("displayed",)
    rows: list[tuple[str, ...]] = []
    for drive in report["drives"]:
        if "summary" not in drive:
            rows.append((drive["cell"]["name"], "failed", *[""] * (len(head) - 2)))
            continue
        s = drive["summary"]
        rate, latency, photon, frame = s["fps"], s["latency_ms"], s["input_to_photon_ms"], s["frame_ms"]
        texts = [_with_interval(latency, q) for q in ("p50", "p95", "p99")]
        texts += [_with_interval(photon, q) for q in ("p50", "p95")]
        displayed = f"{s['displayed_fps']:.1f}" if "displayed_fps" in s else ""
        texts += [f"{frame['p50']:.1f}", f"{frame['p99']:.1f}", str(s["dropped"]), displayed]
        rows.append((drive_name(drive["cell"], s), f"{rate['value']:.1f}{_half(rate['ci'])}", *texts))
    note = (
        "ms; ±: half of the 95 % confidence interval. p50, p95, p99: capture to display; input: from the key press to "
        "the first image with it; frame: from one image to the next; dropped: frames that a newer one replaced before "
        "they were rendered"
    )
    if not any(row[-1] for row in rows):  # nothing is displayed without a window
        head, rows = head[:-1], [row[:-1] for row in rows]
    else:
        note += "; displayed: changes of the screen per second"
    return Table("Drives", head, rows, f"{note}.") if rows else None


def stages(report: dict[str, Any]) -> Table | None:
    """Return one row per cell: the median of each stage, and the CPU cores it keeps busy."""
    processes = sorted({name for d in report["drives"] if "summary" in d for name in d["summary"]["cores"]}, key=_order)
    processes = [name for name in processes if not name.startswith("subscriber")]
    upscales = any("upscale_ms" in d["summary"] for d in report["drives"] if "summary" in d)
    head = (
        "median, ms",
        *STAGES,
        *(("upscale",) if upscales else ()),
        "bound by",
        *(name.split()[0] for name in processes),
        "memory, MB",
    )
    rows = []
    for drive in report["drives"]:
        if "summary" in drive:
            s = drive["summary"]
            times = [f"{s['stage_ms'][stage]['p50']:.2f}" for stage in STAGES]
            if upscales:
                times.append(f"{s['upscale_ms']['p50']:.2f}" if "upscale_ms" in s else "")
            busy = [f"{s['cores'][name]:.2f}" if name in s["cores"] else "" for name in processes]
            memory = f"{s['memory_mb']['all']:.0f}" if "all" in s["memory_mb"] else ""
            rows.append((drive_name(drive["cell"], s), *times, s["bound_by"], *busy, memory))
    note = f"{', '.join(name.split()[0] for name in processes)}: CPU cores that this process kept busy."
    if upscales:
        note += " upscale: the part of render that composes the image from the rendered and the remembered pixels."
    return Table("Stages", head, rows, note if processes else "") if rows else None


def pages(report: dict[str, Any]) -> Table | None:
    """Return one row per cell in a browser, as its page measured it."""
    head = ("in the browser", "shown/s", "rendered/s", "input latency p50", "p95", "encoder", "transport")
    rows = []
    for drive in report["drives"]:
        if page := drive.get("summary", {}).get("page"):
            photon = drive["summary"]["input_to_photon_ms"]
            rates = f"{page['shown_fps']:.1f}", f"{page['painted_fps']:.1f}"
            times = f"{photon['p50']:.1f}", f"{photon['p95']:.1f}"
            rows.append(
                (drive_name(drive["cell"], drive["summary"]), *rates, *times, page["encoder"], page["transport"])
            )
    note = "ms, by the page's own clock; rendered: distinct images, the others are the previous one, moved."
    return Table("Pages", head, rows, note) if rows else None


def link(report: dict[str, Any]) -> Table | None:
    """Return one row per case of the link alone."""
    if "link" not in report:
        return None
    head = ("link alone", "frames/s", "delay p50", "p99", "send p50", "p99", "tick p99", "received of published")
    rows = []
    for case in report["link"]["cases"]:
        delay, send, tick = case["delay_ms"], case["send_ms"], case["tick_ms"]
        received = sorted(case["received"])
        share = "..".join(dict.fromkeys(map(str, (received[0], received[-1])))) if received else ""
        share += f" of {case['published']}" if received else ""
        times = [f"{times[q]:.2f}" for times in (delay, send) for q in ("p50", "p99")]
        rows.append((case["case"]["name"], f"{case['frames_per_second']:.0f}", *times, f"{tick['p99']:.1f}", share))
    case, packing = report["link"]["cases"][0], report["link"]["packing_ms"]
    note = (
        f"ms, {case['case']['size']}, all planes, {case['bytes'] / 1e6:.2f} MB a frame. flood: as fast as possible, "
        "none lost. "
        "delay: publisher to subscriber; send: the publisher's time per frame; tick: from one frame to the next. "
        f"Making a message takes {packing['p50']:.3f} ms (p99 {packing['p99']:.3f})."
    )
    return Table("Link", head, rows, note)


def peaks(report: dict[str, Any]) -> Table | None:
    """Return the highest rates that this machine has reached."""
    names = {
        "bf16_gflops": "matrix product, bf16, GFLOP/s",
        "f32_gflops": "matrix product, f32, GFLOP/s",
        "numpy_gflops": "the same by numpy, GFLOP/s",
        "copy_gb_per_s": "copying, GB/s read and written",
    }
    rates = report.get("peaks") or {}
    rows = [(text, f"{rates[name]:.1f}") for name, text in names.items() if name in rates]
    return Table("Machine", ("measured peaks", ""), rows) if rows else None


def self_test(report: dict[str, Any]) -> Table | None:
    """Return what was measured of injected delays of known length."""
    check = report.get("check")
    if not check:
        return None
    rows = [
        (
            stage,
            str(seen["frames"]),
            f"{seen['stage_ms']:+.2f}",
            f"{seen['total_ms']:+.2f}",
            f"{seen['others_ms']:+.2f}",
        )
        for stage, seen in check["stages"].items()
    ]
    within = f"measured in the stage and in the total within {check['tolerance_ms']:g} ms"
    verdicts = {
        True: f"Passed: {within}.",
        False: f"FAILED: not {within}.",
        None: "This machine is too busy to tell, or too slow after a pause.",
    }
    note = f"ms; {check['injected_ms']:g} injected. {verdicts[check['honest']]}"
    if "before_ms" in check:
        note += f" Before the frame, in no stage, it changes the total by {check['before_ms']:+.2f}."
    return Table("Self-test", ("delayed in", "frames", "in the stage", "in the total", "elsewhere"), rows, note)


def ledger(report: dict[str, Any]) -> Table | None:
    """Return what a frame costs: a row for each process, and for each of its stages that is not negligible."""
    entries = report.get("ledger")
    if not entries:
        return None
    before = report.get("ledger_before") or {}
    rows: list[tuple[str, ...]] = []
    for process in ("all processes", *sorted(entries, key=_order)):
        stages, old = ({name: Row(*row) for name, row in each.get(process, {}).items()} for each in (entries, before))
        if process not in entries:
            stages, old = ({TOTAL: _sum_of(each)} for each in (entries, before))
        total, *rest = sorted(stages.items(), key=lambda item: (item[0] != TOTAL, -item[1].processor))
        rows.append((process, *_spent(total[1]), "", "", "", _before(old, TOTAL)))
        for stage, row in rest:
            waiting = max(row.elapsed - row.processor, 0.0)
            if row.processor >= _TIME_FLOOR or waiting >= _TIME_FLOOR:
                known = (f"{1e3 * waiting:.2f}", f"{row.calls:.1f}", f"{row.moved / 1e3:.0f}" if row.moved else "")
                more = known if row.calls else ("", "", "")
                rows.append((f"- {stage}", *_spent(row), *more, _before(old, stage)))
        groups = {stage.partition(":")[0] for stage in stages if ":" in stage}
        for stage in old.keys() - stages.keys():
            if stage.partition(":")[0] in groups and old[stage].processor >= _TIME_FLOOR:
                rows.append((f"- {stage}", *[""] * 6, _before(old, stage)))
    head: tuple[str, ...] = (
        "a frame",
        "processor, ms",
        "user",
        "system",
        "waiting, ms",
        "calls",
        "moved, kB",
        "before, ms",
    )
    if not before:
        head, rows = head[:-1], [row[:-1] for row in rows]
    note = (
        "Processor time by the kernel, of all threads; medians of the repeats. waiting: for locks, queues, other "
        f"threads and a free core. Stages under {1e3 * _TIME_FLOOR:g} ms are only in the sums. (native): threads of "
        "libraries; in the renderer, those of the network."
    )
    return Table("Ledger", head, rows, note)


def _sum_of(entries: dict[str, Any]) -> Row:
    whole = Row()
    for stages in entries.values():
        whole = whole.plus(*stages[TOTAL])
    return whole


def _before(stages: dict[str, Row], stage: str) -> str:
    return f"{1e3 * stages[stage].processor:.2f}" if stage in stages else ""


def _spent(row: Row) -> tuple[str, str, str]:
    system = min(max(row.system, 0.0), row.processor)
    return f"{1e3 * row.processor:.2f}", f"{1e3 * (row.processor - system):.2f}", f"{1e3 * system:.2f}"


def comparison(report: dict[str, Any]) -> Table | None:
    """Return what has changed since another report."""
    changes = report.get("comparison")
    if not changes:
        return None
    rows = []
    for drive in changes["drives"]:
        for row in drive["rows"]:
            unit = f" {row['unit']}" if row["unit"] else ""
            values = [f"{row[name]:.2f}" for name in ("old", "new")]
            change = f"{row['change']:+.2f} ({row['low']:+.2f} .. {row['high']:+.2f})"
            rows.append((f"{row['what']}{unit}", *values, change, f"{row['floor']:.2f}", row["verdict"], drive["name"]))
    note = "Noise: the interval contains 0, or repeats of the same measurement differ by as much."
    if changes["warnings"]:
        note += f" Warning: {'; '.join(changes['warnings'])}."
    return Table(
        f"Against {changes['against']}", ("", "old", "new", "change (95 %)", "repeats", "verdict", "drive"), rows, note
    )


def machine(report: dict[str, Any]) -> Table:
    """Return a description of the machine."""
    m = report["machine"]
    quota = f", limited to {m['quota_cores']:g}" if m["quota_cores"] else ""
    virtual = ", virtual" if m["virtual"] else ""
    rows = [
        ("processor", f"{m['cpu']}, {m['cores']} cores{quota}{virtual}; {', '.join(m['vector_units'])}"),
        ("memory", f"{m['memory_gb']} GiB"),
        ("GPU", m["gpu"] or "none"),
        ("governor", m["governor"] or "unknown"),
        ("system", f"{m['system']}, Python {m['python']}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in m["packages"].items())),
        ("NeuralSim", f"{m['neuralsim']} {m['commit']}".strip()),
        ("measured", f"{report['date']}, load {_load(m['load'])} before, {_load(report.get('load_after'))} after"),
    ]
    return Table("Machine", ("", ""), rows)


#: Name -> table, in order of display.
ALL: dict[str, Callable[[dict[str, Any]], Table | None]] = {
    "drives": drives,
    "stages": stages,
    "pages": pages,
    "link": link,
    "peaks": peaks,
    "ledger": ledger,
    "check": self_test,
    "comparison": comparison,
}


def terminal(report: dict[str, Any]) -> str:
    """Return all tables of a report, for a terminal."""
    return "\n\n".join(table.terminal() for make in ALL.values() if (table := make(report)) is not None)


def drive_name(cell: dict[str, Any], summary: dict[str, Any]) -> str:
    """Return a drive's name with the runtime that was actually used."""
    shown = format_sizes(cell["size"], cell.get("show"))
    return (
        f"{cell['model']} {summary['runtime']} {shown} {cell['link']} {cell['loop']}{format_guide(cell.get('guide'))}"
    )


def _with_interval(times: dict[str, Any], q: str) -> str:
    return f"{times[q]:.1f}{_half(times['ci'][q])}" if times["n"] else ""


def _half(edges: list[float]) -> str:
    return f" ±{(edges[1] - edges[0]) / 2:.1f}"


def _order(process: str) -> tuple[int, str]:
    known = ("town server", "bridge", "renderer")
    return known.index(process) if process in known else len(known), process


def _load(values: list[float] | None) -> str:
    return f"{values[0]:g}" if values else "unknown"
