"""Write the locks in this folder from the ranges in pyproject.toml: ``make lock``.

A pin is kept as long as its range admits it; ``--upgrade`` takes the newest version of all packages or of those named.
``bridge.txt`` and ``drive.txt`` are complete; the other locks hold what is needed on top of ``drive.txt``. The hashes
are those of the wheels for Linux on x86-64 and of the source packages.

torch is in ``torch.txt`` without a hash, and the dependencies of its CUDA builds are in no lock: which build is right
(CPU, which CUDA) depends on the machine, and they differ in hashes and by gigabytes.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
EXTRAS = ("bridge", "drive", "serve", "train", "gym", "sumo", "tensorrt", "cluster", "export", "bench", "dev", "docs")
PLATFORM = ("implementation_name == 'cpython'", "platform_machine == 'x86_64'", "sys_platform == 'linux'")
CUDA = re.compile(r"^(torch|triton|cuda-|nvidia-)")  # in train.txt; tensorrt.txt does pin CUDA's Python packages
HEADER = """\
# Written by `make lock` from the ranges in pyproject.toml: {what}.
"""
WHAT = {"bridge": "the simulator's machine, complete", "drive": "driving, recording, rendering, benchmarking; complete"}


def main(arguments: list[str]) -> None:
    """Resolve all extras together, so that the locks agree, and write one file each."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        ranges = (FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8").split("[project]\n")[1]
        ranges = re.sub(r"(?m)^rerun = .*$", "", ranges)
        ranges = re.sub(r"(?m)^rtx = .*$", "", ranges)  # needs a newer ONNX Runtime than Python 3.10 has
        ranges = ranges.split("\n[project.scripts]")[0].replace('dynamic = ["version"]', 'version = "0"')
        environments = " and ".join(PLATFORM)
        uv_settings = f"package = false\nenvironments = [{environments!r}]\nconstraint-dependencies = [\n"
        uv_settings = uv_settings.replace(repr(environments), f'"{environments}"')
        kept = "".join(f'  "{pin}",\n' for pin in _pins(arguments))
        text = f"[project]\n{ranges}\n[tool.uv]\n{uv_settings}{kept}]\n"
        (project / "pyproject.toml").write_text(text, encoding="utf-8")
        _uv("lock", "--quiet", "--project", folder)
        locks = {extra: _export(folder, extra) for extra in EXTRAS}
    for extra, lock in locks.items():
        if extra not in ("bridge", "drive"):
            lock = {pin: hashes for pin, hashes in lock.items() if pin not in locks["drive"]}
        if extra == "train":
            lock = {pin: hashes for pin, hashes in lock.items() if not CUDA.match(pin)}
        header = HEADER.format(what=WHAT.get(extra, f"the extra `{extra}`, on top of drive.txt"))
        body = "".join(f"{pin} \\\n{hashes}" for pin, hashes in lock.items())
        (FOLDER / f"{extra}.txt").write_text(header + body, encoding="utf-8")


def _pins(arguments: list[str]) -> list[str]:
    """Return ``name==version ; marker`` of all existing locks except for packages to be upgraded."""
    upgraded = {name.lower() for name in arguments if not name.startswith("-")}
    if "--upgrade" in arguments and not upgraded:
        return []
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.txt")))
    pins = {line.split("\\")[0].strip() for line in text.splitlines() if "==" in line.split("#")[0].split(";")[0]}
    return sorted(pin for pin in pins if pin.split("==")[0].lower() not in upgraded)


def _export(project: str, extra: str) -> dict[str, str]:
    """Return the hash lines of each pin of an extra, without the platform markers common to all locks."""
    options = ("--extra", extra, "--no-emit-project", "--no-header", "--no-annotate", "--format", "requirements.txt")
    text = _uv("export", "--quiet", "--frozen", "--project", project, *options)
    lock: dict[str, str] = {}
    pin = ""
    for line in text.splitlines():
        if line.startswith(" "):
            lock[pin] += f"{line}\n"
        else:
            pin = line.rstrip(" \\")
            for condition in PLATFORM:
                pin = pin.replace(f" and {condition}", "").replace(f"{condition} and ", "").replace(condition, "")
            pin = pin.rstrip("; ")
            lock[pin] = ""
    return lock


def _uv(*arguments: str) -> str:
    done = subprocess.run(["uv", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1:])
