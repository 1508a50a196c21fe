"""The command: packs the data, or runs the checks and writes ``report.json`` and ``report.html`` after each of them."""

import argparse
import html
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu import packed

_SIZES = {"cuda": "512x256,1024x512,2048x1024", "cpu": "128x64"}
_STEPS = {"cuda": 200, "cpu": 3}
_STYLE = "body{font:15px sans-serif;margin:2em;max-width:75em}td,th{text-align:left;padding:.15em 1em .15em 0;vertical-align:top}table table{font-size:95%}.bad{color:#b00}"  # noqa: E501


def page(report: dict[str, Any]) -> str:
    """Return the report as HTML: one heading for each check."""
    parts = [f"<title>NeuralSim on {html.escape(report['device'])}</title><style>{_STYLE}</style>"]
    parts.append(f"<h1>NeuralSim on {html.escape(report['device'])}</h1><p>{html.escape(report['note'])}</p>")
    for name, result in report["checks"].items():
        parts.append(f"<h2>{html.escape(name)} <small>{result['seconds']} s</small></h2>{_table(result['result'])}")
    return "<!doctype html><meta charset=utf-8>" + "\n".join(parts) + "\n"


def _table(value: Any) -> str:
    if not isinstance(value, dict):
        kind = " class=bad" if str(value).startswith("failed") else ""
        return f"<span{kind}>{html.escape(str(value))}</span>"
    rows = "".join(f"<tr><th>{html.escape(str(key))}<td>{_table(entry)}" for key, entry in value.items())
    return f"<table>{rows}</table>"


def failures(value: Any, place: str = "") -> list[str]:
    """Return all that failed, a line each."""
    if isinstance(value, dict):
        return [line for key, entry in value.items() for line in failures(entry, f"{place}{key}: ")]
    return [f"{place}{value}"] if str(value).startswith("failed") else []


def run(arguments: argparse.Namespace) -> int:
    """Run the checks; returns 0 if nothing failed."""
    from benchmarks.gpu import checks  # PyTorch

    torch = checks.torch
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    data = arguments.data or arguments.out / "pack.npz"
    if not data.is_file():
        print(f"{data} is missing: it is made from this installation")
        packed.write(data)
    sizes = [tuple(map(int, text.split("x"))) for text in (arguments.size or _SIZES[device]).split(",")]
    machine = checks.Machine(packed.Pack(data), device, sizes, arguments.steps or _STEPS[device])  # type: ignore[arg-type]
    machine.models = tuple(arguments.model.split(","))
    name = torch.cuda.get_device_name() if device == "cuda" else "a processor"
    note = "" if device == "cuda" else "No GPU: every check ran on the processor in place of one, at a small size."
    report: dict[str, Any] = {"device": name, "note": note, "checks": {}}
    chosen = arguments.only.split(",") if arguments.only else list(checks.ALL)
    for check in chosen:
        begun = time.monotonic()
        result = checks.each([check], lambda key: checks.ALL[key](machine))[check]
        report["checks"][check] = {"seconds": round(time.monotonic() - begun, 1), "result": result}
        print(f"{check}: {report['checks'][check]['seconds']} s", flush=True)
        (arguments.out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (arguments.out / "report.html").write_text(page(report), encoding="utf-8")
    wrong = failures({check: entry["result"] for check, entry in report["checks"].items()})
    print("\n".join([*wrong, f"{len(wrong)} failed; {arguments.out / 'report.html'}"]))
    return 1 if wrong else 0


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and run; needs no package but PyTorch and numpy."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description="Check and measure an NVIDIA GPU.")
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder for report.json and report.html")
    parser.add_argument("--data", type=Path, help="the packed data (default: OUT/pack.npz, made if it can be)")
    parser.add_argument("--pack", type=Path, help="only write the packed data to this file, for another machine")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda where there is a GPU")
    parser.add_argument("--model", default=",".join(packed.MODELS), help="of the packed models")
    parser.add_argument("--size", help="WxH,... to measure at, multiples of 32")
    parser.add_argument("--steps", type=int, help="steps of each measurement")
    parser.add_argument("--only", help="some of the checks, separated by commas")
    arguments = parser.parse_args(argv)
    if arguments.pack:
        print(f"{arguments.pack}: {packed.write(arguments.pack) / 2**20:.1f} MiB")
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    return run(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
