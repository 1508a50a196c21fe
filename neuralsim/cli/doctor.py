"""``neuralsim doctor``: what this machine has, what will be used, what is missing and how to get it.

For a recording: whether it is complete.
"""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from bridge.process.option_types import McapFile
from bridge.process.options import Arg, Options
from bridge.process.user_cache import cache_folder
from bridge.size import Size
from neuralsim import __version__
from neuralsim.base.extras import CARLA_PYTHONS, PYTHONS, remedy
from neuralsim.base.failure import FAILED, fail
from neuralsim.base.machine import cores, cpu, gpu, memory_gb
from neuralsim.base.shared_options import GpuNumber

_PACKAGES = {  # import name -> (distribution, purpose)
    "numpy": ("numpy", "everything"),
    "zmq": ("pyzmq", "the link between bridge and renderer"),
    "msgspec": ("msgspec", "the link between bridge and renderer"),
    "yaml": ("PyYAML", "model cards"),
    "pygame": ("pygame-ce", "the window"),
    "av": ("av", "MP4 recordings"),
    "carla": ("carla", "CARLA servers"),
    "numba": ("numba", "the embedded town"),
    "cv2": ("opencv-python-headless", "the embedded town"),
    "scenariogeneration": ("scenariogeneration", "the embedded town"),
}
_DISTRIBUTION = {"tensorrt": "tensorrt-cu13"}  # where its name differs from the runtime's
_SIZE = Size(512, 256)  # that `drive` renders by default
_CARLA = "0.9.16"
_ENOUGH_GB = 3.0  # all processes of a drive take less than 2

Print = Callable[[str], object]


class DoctorOptions(Options):
    """What to examine: this machine, or a recording."""

    file: Annotated[McapFile, Arg(positional=True)] | None = None
    """A recording to check for damage."""
    recover: Annotated[McapFile, Arg("NEW.mcap")] | None = None
    """Write all that can be read of FILE into a new, complete file."""
    measure: bool = False
    """Measure again which runtime is the fastest here, for --runtime auto."""
    gpu: GpuNumber = None

    def check(self) -> None:
        """Raise ``ValueError`` where options contradict each other."""
        if self.measure and self.file is not None:
            raise ValueError("--measure is for this machine, not for a recording")
        if self.recover is not None and self.file is None:
            raise ValueError("--recover is for a recording: name it first")


def doctor(options: DoctorOptions) -> int:
    """Examine the machine or a recording; the exit code is 0 if all is well."""
    if options.file is not None:
        return _examine_recording(options.file, options.recover)
    return 0 if examine_machine(print, options.measure) else FAILED


def _examine_recording(file: Path, target: Path | None) -> int:
    """Print what a recording holds and whether it is complete; write a complete copy to ``target`` if there is one."""
    from neuralsim.recording import RecordingError
    from neuralsim.recording.export import examine, recover

    try:
        health = examine(file)
        span = f"{health.begin:.2f} to {health.end:.2f} s"
        print(f"{file}: {health.frames} complete frames, {span}, {', '.join(health.topics)}")
        if health.problem:
            rest = "these frames can be read" if health.frames else "no whole frame is left"
            print(f"{file}: {health.problem}; {rest}")
        if target is not None:
            recover(file, target)
            print(f"{target}: written, complete")
            return 0
        if health.problem and health.frames:
            print(f"make a complete file of them: neuralsim doctor {file} --recover NEW.mcap")
    except RecordingError as error:
        return fail(error)
    return FAILED if health.problem else 0


class _Findings:
    """Prints lines in columns and remembers whether a drive is possible."""

    def __init__(self, write: Print) -> None:
        self._write = write
        self.is_ready = True

    def title(self, text: str) -> None:
        self._write(f"\n{text}")

    def good(self, name: str, text: str) -> None:
        self._line("ok", name, text)

    def note(self, name: str, text: str) -> None:
        self._line("--", name, text)

    def missing(self, name: str, text: str, remedy: str) -> None:
        self.is_ready = False
        self._line("!!", name, f"{text}; {remedy}" if remedy else text)

    def _line(self, mark: str, name: str, text: str) -> None:
        self._write(f"  {mark} {name:<20} {' '.join(text.split())}")


def examine_machine(write: Print, measure: bool = False) -> bool:
    """Print line by line what is here; return whether a headless drive is possible.

    Never raises: a check that fails is a finding. ``measure``: measure again which runtime is the fastest.
    """
    if measure:
        _measure(write)
    findings = _Findings(write)
    write(f"NeuralSim {__version__}")
    for title, check in (
        ("Machine", _machine),
        ("Packages", _packages),
        ("Models and runtimes", _models),
        ("Window and devices", _window),
    ):
        findings.title(title)
        try:
            check(findings)
        except Exception as error:  # a failing check must not end the others
            findings.note(title.lower(), f"cannot be examined: {type(error).__name__}: {error}")
    write(
        "\nA drive is possible: neuralsim drive"
        if findings.is_ready
        else "\nA drive is not possible yet: see the lines with !!"
    )
    return findings.is_ready


def _machine(findings: _Findings) -> None:
    version = sys.version_info[:2]
    text = f"{platform.python_version()} at {sys.executable}"
    if PYTHONS[0] <= version <= PYTHONS[1]:
        findings.good("Python", text)
    else:
        findings.missing("Python", text, "3.10 to 3.13 is needed: install one and run `make drive` again")
    findings.good("system", f"{platform.system()} {platform.release()}, {platform.machine()}")
    model, flags = cpu()
    note = "" if cores() >= 2 else "; 2 or more are needed for 20 frames per second"
    findings.good("processor", f"{model}, {cores()} cores{note}")
    vector_units = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    if vector_units:
        bf16 = "bf16 in hardware" if {"avx512_bf16", "amx_bf16"} & flags else "no bf16: int8 or fp32, slower"
        findings.good("vector units", f"{', '.join(vector_units)} ({bf16})")
    memory = memory_gb()
    text = f"{memory[0]:.1f} GB, {memory[1]:.1f} GB free"
    if memory[1] >= _ENOUGH_GB:
        findings.good("memory", text)
    else:
        findings.note("memory", f"{text}: a drive takes up to 2 GB, close other programs")
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    (findings.good if free > 1.0 else findings.note)("disk", f"{free:.1f} GB free here for recordings")
    findings.note("GPU", gpu() or "none found; none is needed")


def _packages(findings: _Findings) -> None:
    for module, (distribution, purpose) in _PACKAGES.items():
        version = _version(module, distribution)
        if version is None and module == "carla" and sys.version_info[:2] > CARLA_PYTHONS[1]:
            findings.note(distribution, "has no wheel for this Python: embedded towns only, no CARLA server")
        elif version is None:
            findings.missing(distribution, f"missing, for {purpose}", f"pip install {distribution}")
        elif module == "carla" and not version.startswith(_CARLA):
            findings.missing(distribution, f"{version}, not {_CARLA}", f"pip install carla=={_CARLA}")
        else:
            findings.good(distribution, version)


def _models(findings: _Findings) -> None:
    from neuralsim import zoo

    for name in zoo.names():
        try:
            card = zoo.load(name)
            default = " (default)" if name == zoo.DEFAULT else ""
            findings.good(
                name, f"complete{default}, {card.file.stat().st_size / 1e6:.1f} MB, styles: {', '.join(card.styles)}"
            )
        except zoo.ModelError as error:
            findings.missing(name, str(error), "")
    if not zoo.names():
        findings.missing("models", "none is installed", "install the project again: pip install -e .")
    _runtimes(findings)


def _measure(write: Print) -> None:
    """Measure again what ``auto`` chooses for the default model and size: with a drive's threads and on all cores."""
    from neuralsim import zoo
    from neuralsim.renderer.neural_renderer import NeuralRenderer
    from neuralsim.runtimes import RuntimeUnavailable, autotune
    from neuralsim.session import size_choice
    from neuralsim.session.renderer_loading import render_threads

    size_choice.forget()
    for threads in dict.fromkeys((render_threads(cores()), None)):
        try:
            autotune.delete_measurement(zoo.load(zoo.DEFAULT).file, _SIZE.height, _SIZE.width, threads)
            note = NeuralRenderer(size=_SIZE, threads=threads).note
        except (OSError, RuntimeUnavailable, zoo.ModelError) as error:
            note = str(error)
        on = "all cores" if threads is None else f"{threads} of {cores()} cores"
        write(f"auto, {zoo.DEFAULT} at {_SIZE} on {on}: {note or 'there is only one runtime'}")


def _runtimes(findings: _Findings) -> None:
    from neuralsim import runtimes, zoo
    from neuralsim.runtimes import autotune
    from neuralsim.runtimes.candidates import candidates
    from neuralsim.session.renderer_loading import render_threads

    available = runtimes.available()
    for name, room in runtimes.RUNTIMES.items():
        reason = runtimes.unavailable_reason(name)
        if reason:
            findings.note(name, reason)
        else:
            findings.good(name, f"{_version(room.package, _DISTRIBUTION.get(name, name))}, --runtime {name}")
    if not available:
        findings.missing("runtimes", "none can be used", next(iter(runtimes.RUNTIMES.values())).remedy)
        return
    graph = zoo.load(zoo.DEFAULT).file
    width, height = _SIZE
    for name, reason in candidates(graph, height, width).items():
        if reason and name.partition(":")[0] in available:
            findings.note(f"auto, {name}", f"passed over: {reason}")
    arguments = graph, height, width
    choice = autotune.load_measurement(*arguments, render_threads(cores())) or autotune.load_measurement(*arguments)
    size = f"{zoo.DEFAULT} at {_SIZE}"
    if choice is not None:
        day = time.strftime("%Y-%m-%d", time.localtime(choice.measured))
        text = f"{choice}, measured on {day} with {size}; kept in {cache_folder() / 'choices'}"
        (findings.note if choice.busy else findings.good)("auto", f"{text}; again: neuralsim doctor --measure")
    else:
        findings.note("auto", f"not measured yet with {size}: the first drive does that, in about two seconds")


def _window(findings: _Findings) -> None:
    from neuralsim.window.window import display_available

    if display_available():
        where = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or "the system's"
        findings.good("display", where)
    else:
        findings.note(
            "display", "none: use --headless, or a virtual one: apt-get install xvfb && xvfb-run neuralsim drive"
        )
    findings.note("browser", _serving())
    import pygame

    pygame.joystick.init()
    names = [pygame.joystick.Joystick(n).get_name() for n in range(pygame.joystick.get_count())]
    pygame.joystick.quit()
    findings.note("gamepad or wheel", ", ".join(names) or "none, the keyboard drives as well")


def _serving() -> str:
    """Return whether a browser can be driven in, and what encodes the video."""
    if importlib.util.find_spec("aiortc") is None or importlib.util.find_spec("aiohttp") is None:
        return f"can be used for driving, also from another machine: {remedy('serve')}"
    from neuralsim.serve.encoding import working_encoder

    return f"neuralsim serve, H.264 by {working_encoder()}"


def _version(module: str, distribution: str) -> str | None:
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown version"
