"""The figures of a report as tables: rows of words, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from neuralsim.bench.options import after, sizes
from neuralsim.session.metrics import STAGES


@dataclass(frozen=True)
class Table:
    """``head`` and ``rows`` of equal length; ``title`` and ``note`` say what it is."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""

    def terminal(self) -> str:
        """Columns side by side, numbers to the right."""
        widths = [max(len(row[n]) for row in (self.head, *self.rows)) for n in range(len(self.head))]
        lines = [self.title]
        for row in (self.head, *self.rows):
            cells = [
                word.ljust(w) if n == 0 else word.rjust(w) for n, (word, w) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  " + "  ".join(cells).rstrip())
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    def markdown(self) -> str:
        """A table of GitHub's Markdown with its note below."""
        lines = [self.head, tuple("---:" if n and word else "---" for n, word in enumerate(self.head)), *self.rows]
        text = "\n".join(f"| {' | '.join(word.replace('|', '/') for word in row)} |" for row in lines)
        return text + (f"\n\n{self.note}" if self.note else "")


def drives(report: dict[str, Any]) -> Table | None:
    """One row per cell: rate, latency, click to photon."""
    head = ("drive", "fps", "p50", "p95", "p99", "photon p50", "p95", "frame p50", "p99", "dropped", "displayed")
    rows = []
    for drive in report["drives"]:
        if "summary" not in drive:
            rows.append((drive["cell"]["name"], "failed", *[""] * (len(head) - 2)))
            continue
        s = drive["summary"]
        rate, latency, photon, frame = s["fps"], s["latency_ms"], s["input_to_photon_ms"], s["frame_ms"]
        words = [_with_interval(latency, q) for q in ("p50", "p95", "p99")]
        words += [_with_interval(photon, q) for q in ("p50", "p95")]
        displayed = f"{s['displayed_fps']:.1f}" if "displayed_fps" in s else ""
        words += [f"{frame['p50']:.1f}", f"{frame['p99']:.1f}", str(s["dropped"]), displayed]
        rows.append((drive_name(drive["cell"], s), f"{rate['value']:.1f}{_half(rate['ci'])}", *words))
    note = (
        "ms; ±: half of the 95 % confidence interval. p50, p95, p99: capture to display; photon: from the key to the "
    )
    note += "first picture with it; frame: from one picture to the next; displayed: changes of the screen per second."
    return Table("Drives", head, rows, note) if rows else None


def stages(report: dict[str, Any]) -> Table | None:
    """One row per cell: the median of each stage, and the processors it keeps busy."""
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
    note = f"{', '.join(name.split()[0] for name in processes)}: processor cores that this process kept busy."
    if upscales:
        note += " upscale: the part of render that puts the picture together from what is painted and remembered."
    return Table("Stages", head, rows, note if processes else "") if rows else None


def pages(report: dict[str, Any]) -> Table | None:
    """One row per cell in a browser: what its page saw."""
    head = ("in the browser", "pictures/s", "painted/s", "key to picture p50", "p95", "encoder", "transport")
    rows = []
    for drive in report["drives"]:
        if page := drive.get("summary", {}).get("page"):
            photon = drive["summary"]["input_to_photon_ms"]
            rates = f"{page['shown_fps']:.1f}", f"{page['painted_fps']:.1f}"
            times = f"{photon['p50']:.1f}", f"{photon['p95']:.1f}"
            rows.append(
                (drive_name(drive["cell"], drive["summary"]), *rates, *times, page["encoder"], page["transport"])
            )
    note = "ms, by the page's own clock; painted: distinct ones, the others are the one before, moved."
    return Table("Pages", head, rows, note) if rows else None


def link(report: dict[str, Any]) -> Table | None:
    """One row per case of the link alone."""
    if "link" not in report:
        return None
    head = ("link alone", "frames/s", "delay p50", "p99", "send p50", "p99", "tick p99", "received of published")
    rows = []
    for case in report["link"]["cases"]:
        delay, send, tick = case["delay_ms"], case["send_ms"], case["tick_ms"]
        received = sorted(case["received"])
        share = f"{received[0]}..{received[-1]} of {case['published']}" if received else ""
        times = [f"{times[q]:.2f}" for times in (delay, send) for q in ("p50", "p99")]
        rows.append((case["case"]["name"], f"{case['frames_per_second']:.0f}", *times, f"{tick['p99']:.1f}", share))
    case, packing = report["link"]["cases"][0], report["link"]["packing_ms"]
    note = (
        f"ms, {case['case']['size']}, all planes, {case['bytes'] / 1e6:.2f} MB a frame. flood: as fast as it goes, "
        f"none lost. Making a message takes {packing['p50']:.3f} ms (p99 {packing['p99']:.3f})."
    )
    return Table("Link", head, rows, note)


def peers(report: dict[str, Any]) -> Table | None:
    """Our time per frame beside that of other generators."""
    found = report.get("peers")
    if not found:
        return None
    names = [name.removesuffix("_ms") for name in found if name.endswith("_ms")]
    rows = []
    for name in names:
        taken = found[f"{name}_ms"]
        rows.append((name, f"{taken:.1f}", f"{found['gflop'][name]:.1f}", f"{taken / found['ours_ms']:.1f}"))
    note = f"{found['runtime']} {found['precision']}, {found['threads']} threads; others' graphs with random weights."
    return Table("Peers", ("generator", "ms", "GFLOP", "times ours"), rows, note)


def roof(report: dict[str, Any]) -> Table | None:
    """What this machine can do at most, and what the model makes of it."""
    peaks, found = report.get("peaks"), report.get("roofline")
    if not peaks:
        return None
    words = {
        "bf16_gflops": "matrix product, bf16, GFLOP/s",
        "f32_gflops": "matrix product, f32, GFLOP/s",
        "numpy_gflops": "the same by numpy, GFLOP/s",
        "copy_gb_per_s": "copying, GB/s read and written",
    }
    rows = [(words[name], f"{peaks[name]:.1f}") for name in words if name in peaks]
    note = ""
    if found:
        rate = found["gflop"] / found["ms"] * 1e3
        top = peaks.get(f"{found['precision']}_gflops")
        rows.append((f"{found['model']} {found['size']}, the whole graph, GFLOP/s", f"{rate:.1f}"))
        share = f" = {100.0 * rate / top:.0f} % of the peak" if top else ""
        kinds = ", ".join(f"{kind} {ms:.1f}" for kind, ms in list(found["kinds"].items())[:6])
        note = f"{found['gflop']:.2f} GFLOP in {found['ms']:.1f} ms{share}. By kind of layer, ms: {kinds}."
    return Table("Machine", ("measured peaks", ""), rows, note)


def check(report: dict[str, Any]) -> Table | None:
    """What the bench saw of a delay of known length."""
    found = report.get("check")
    if not found:
        return None
    rows = [
        (
            stage,
            str(seen["frames"]),
            f"{seen['stage_ms']:+.2f}",
            f"{seen['total_ms']:+.2f}",
            f"{seen['others_ms']:+.2f}",
        )
        for stage, seen in found["stages"].items()
    ]
    within = f"seen in the stage and in the total within {found['tolerance_ms']:g} ms"
    verdicts = {
        True: f"Honest: {within}.",
        False: f"NOT honest: not {within}.",
        None: "The machine is too busy to tell.",
    }
    note = f"ms; {found['injected_ms']:g} injected. {verdicts[found['honest']]}"
    return Table("Honesty", ("delayed in", "frames", "in the stage", "in the total", "elsewhere"), rows, note)


def comparison(report: dict[str, Any]) -> Table | None:
    """What changed since another report."""
    found = report.get("comparison")
    if not found:
        return None
    rows = []
    for drive in found["drives"]:
        for row in drive["rows"]:
            unit = f" {row['unit']}" if row["unit"] else ""
            words = [f"{row[name]:.2f}" for name in ("old", "new")]
            change = f"{row['change']:+.2f} ({row['low']:+.2f} .. {row['high']:+.2f})"
            rows.append((f"{row['what']}{unit}", *words, change, f"{row['floor']:.2f}", row["verdict"], drive["name"]))
    note = "Noise: the interval holds 0, or repeats of the same differ by as much."
    if found["warnings"]:
        note += f" Beware: {'; '.join(found['warnings'])}."
    return Table(
        f"Against {found['against']}", ("", "old", "new", "change (95 %)", "repeats", "verdict", "drive"), rows, note
    )


def machine(report: dict[str, Any]) -> Table:
    """The machine in words."""
    m = report["machine"]
    quota = f", of which {m['quota_cores']:g} may be used" if m["quota_cores"] else ""
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


#: Name -> table, in the order of reading.
ALL: dict[str, Callable[[dict[str, Any]], Table | None]] = {
    "drives": drives,
    "stages": stages,
    "pages": pages,
    "link": link,
    "roof": roof,
    "peers": peers,
    "check": check,
    "comparison": comparison,
}


def terminal(report: dict[str, Any]) -> str:
    """All tables of a report, for a terminal."""
    return "\n\n".join(table.terminal() for make in ALL.values() if (table := make(report)) is not None)


def drive_name(cell: dict[str, Any], summary: dict[str, Any]) -> str:
    """With the runtime that was really used."""
    shown = sizes(cell["size"], cell.get("show"))
    return f"{cell['model']} {summary['runtime']} {shown} {cell['link']} {cell['loop']}{after(cell.get('guide'))}"


def _with_interval(times: dict[str, Any], q: str) -> str:
    return f"{times[q]:.1f}{_half(times['ci'][q])}" if times["n"] else ""


def _half(edges: list[float]) -> str:
    return f" ±{(edges[1] - edges[0]) / 2:.1f}"


def _order(process: str) -> tuple[int, str]:
    known = ("town server", "bridge", "renderer")
    return known.index(process) if process in known else len(known), process


def _load(values: list[float] | None) -> str:
    return f"{values[0]:g}" if values else "unknown"
