"""Runs folders of other people's maps, scenarios and label maps, and prints a table with one picture each.

python -m tools.compat --maps DIR --scenarios DIR --labels DIR --out OUT --jobs 2

OUT/index.md has the table, OUT/NAME.png the last image of each; the labels of each folder in --labels are read by the
class map of its name. Returns 1 if something failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import av

from neuralsim.base.machine import cores
from neuralsim.imaging.image_files import SUFFIXES, write_png

LIMIT = 900.0  # s for one file, in which a town may be built for the first time
_DRIVE = "drive --headless --autopilot --frames 60 --size 256x128 --record {out}/a.mp4 --town"
_RECORD = "record --format mp4 --planes tag --size 256x128 --variations 10 --out {out}"


class Result(NamedTuple):
    """A file that was run: how it ended, "" for well, how long it took, s, and its last image if there is one."""

    file: Path
    complaint: str
    seconds: float
    picture: Path | None


def jobs_of(options: argparse.Namespace) -> list[tuple[Path, list[str]]]:
    """Return what to run, with the words of each command but its file and its output."""
    jobs: list[tuple[Path, list[str]]] = []
    for folder, suffix, command in ((options.maps, ".xodr", _DRIVE), (options.scenarios, ".xosc", _RECORD)):
        files = sorted(folder.rglob(f"*{suffix}")) if folder is not None else []
        jobs += [(file, command.split()) for file in files]
    for folder in sorted(options.labels.iterdir()) if options.labels is not None else ():
        if any(each.suffix.lower() in SUFFIXES for each in folder.glob("*")):
            jobs.append((folder, ["render", "--classes", folder.name, "--out", "{out}"]))
    return jobs


def run(job: tuple[Path, list[str]], number: int, out: Path) -> Result:
    """Run one file in a process of its own."""
    file, words = job
    folder = out / f"{number:03d}"
    folder.mkdir(parents=True, exist_ok=True)
    begun, complaint = time.monotonic(), ""
    command = [sys.executable, "-m", "neuralsim", *(word.format(out=folder) for word in words), str(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LIMIT, check=False)
        if done.returncode:
            complaint = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    except subprocess.TimeoutExpired:
        complaint = f"no end after {LIMIT:.0f} s"
    return Result(file, complaint, time.monotonic() - begun, picture_of(folder, out / f"{number:03d}.png"))


def picture_of(folder: Path, target: Path) -> Path | None:
    """Write the last image of what a command has left in a folder; None if there is none."""
    images = sorted(folder.rglob("*.png"))
    if images:
        target.write_bytes(images[-1].read_bytes())
        return target
    for video in sorted(folder.rglob("*.mp4"))[-1:]:
        try:
            with av.open(str(video)) as file:
                *_, last = file.decode(video=0)
        except (av.error.FFmpegError, ValueError):  # damaged, or without an image
            return None
        write_png(target, last.to_ndarray(format="bgr24"))
        return target
    return None


def table(results: list[Result]) -> str:
    """Return the results as a Markdown table."""
    lines = [f"{sum(not each.complaint for each in results)} of {len(results)} run.", ""]
    lines += ["| file | ends | s | picture |", "| --- | --- | --- | --- |"]
    for each in results:
        picture = f"![]({each.picture.name})" if each.picture is not None else ""
        lines.append(f"| {each.file.name} | {each.complaint or 'well'} | {each.seconds:.0f} | {picture} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.compat", description=(__doc__ or "").splitlines()[0])
    for name in ("maps", "scenarios", "labels"):
        parser.add_argument(f"--{name}", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, default=Path("compat"), metavar="DIR")
    parser.add_argument("--jobs", type=int, default=max(1, cores() // 2), metavar="N")
    options = parser.parse_args()
    jobs = jobs_of(options)
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda each: run(each[1], each[0], options.out), enumerate(jobs)))
    text = table(results)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "index.md").write_text(text, encoding="utf-8", errors="replace")
    print(text, end="")
    return 1 if not results or any(each.complaint for each in results) else 0


if __name__ == "__main__":
    sys.exit(main())
