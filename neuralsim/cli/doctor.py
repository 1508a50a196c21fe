"""``neuralsim doctor``: what this machine has, what will be used, what is missing and how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bridge.process.user_cache import cache_folder
from bridge.size import Size
from neuralsim import __version__
from neuralsim.base.extras import remedy
from neuralsim.base.machine import cores, cpu, gpu, memory_gb

_PACKAGES = {  # import name -> (distribution, what it is for)
    "numpy": ("numpy", "everything"),
    "zmq": ("pyzmq", "the link between bridge and renderer"),
    "msgspec": ("msgspec", "the link between bridge and renderer"),
    "yaml": ("PyYAML", "model cards"),
    "pygame": ("pygame-ce", "the window"),
    "av": ("av", "MP4 recordings"),
    "carla": ("carla", "the bridge"),
    "numba": ("numba", "the embedded town"),
    "cv2": ("opencv-python-headless", "the embedded town"),
    "scenariogeneration": ("scenariogeneration", "the embedded town"),
}
_DISTRIBUTION = {"tensorrt": "tensorrt-cu13"}  # where it is not called like the runtime
_SIZE = Size(512, 256)  # what `drive` paints by default
_CARLA = "0.9.16"
_PYTHONS = ((3, 10), (3, 12))
_ENOUGH_GB = 3.0  # all processes of a drive take under 2

Say = Callable[[str], object]


class _Findings:
    """Prints lines in columns and remembers whether a drive is possible."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.well = True

    def title(self, text: str) -> None:
        self._say(f"\n{text}")

    def good(self, name: str, text: str) -> None:
        self._line("ok", name, text)

    def note(self, name: str, text: str) -> None:
        self._line("--", name, text)

    def missing(self, name: str, text: str, remedy: str) -> None:
        self.well = False
        self._line("!!", name, f"{text}; {remedy}" if remedy else text)

    def _line(self, mark: str, name: str, text: str) -> None:
        self._say(f"  {mark} {name:<20} {' '.join(text.split())}")


def examine(say: Say, measure: bool = False) -> bool:
    """Tell line by line what is here; True if a headless drive is possible. Never raises: what fails is a finding.

    ``measure``: find out anew which runtime is the fastest.
    """
    if measure:
        _measure(say)
    findings = _Findings(say)
    say(f"NeuralSim {__version__}")
    for title, check in (
        ("Machine", _machine),
        ("Packages", _packages),
        ("Models and runtimes", _models),
        ("Window and devices", _window),
    ):
        findings.title(title)
        try:
            check(findings)
        except Exception as error:  # one check that fails must not end the others
            findings.note(title.lower(), f"cannot be examined: {type(error).__name__}: {error}")
    say(
        "\nA drive is possible: neuralsim drive"
        if findings.well
        else "\nA drive is not possible yet: see the lines with !!"
    )
    return findings.well


def _machine(findings: _Findings) -> None:
    version = sys.version_info[:2]
    text = f"{platform.python_version()} at {sys.executable}"
    if _PYTHONS[0] <= version <= _PYTHONS[1]:
        findings.good("Python", text)
    else:
        findings.missing("Python", text, "3.10 to 3.12 is needed: install one and run `make drive` again")
    findings.good("system", f"{platform.system()} {platform.release()}, {platform.machine()}")
    model, flags = cpu()
    note = "" if cores() >= 2 else "; 2 or more are needed for 20 frames per second"
    findings.good("processor", f"{model}, {cores()} cores{note}")
    found = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    if found:
        bf16 = "bf16 in hardware" if {"avx512_bf16", "amx_bf16"} & flags else "no bf16: the model runs in fp32, slower"
        findings.good("vector units", f"{', '.join(found)} ({bf16})")
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
        if version is None:
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
                name, f"whole{default}, {card.file.stat().st_size / 1e6:.1f} MB, styles: {', '.join(card.styles)}"
            )
        except zoo.ModelError as error:
            findings.missing(name, str(error), "")
    if not zoo.names():
        findings.missing("models", "none is installed", "install the project again: pip install -e .")
    _runtimes(findings)


def _measure(say: Say) -> None:
    """What ``auto`` remembers of the default model and size, measured anew: as a drive paints, and on all cores."""
    from neuralsim import zoo
    from neuralsim.renderer.neural_renderer import NeuralRenderer
    from neuralsim.runtimes import RuntimeUnavailable, autotune
    from neuralsim.session.renderer_loading import painting_threads

    for threads in dict.fromkeys((painting_threads(cores()), None)):
        try:
            autotune.forget(zoo.load(zoo.DEFAULT).file, _SIZE.height, _SIZE.width, threads)
            note = NeuralRenderer(size=_SIZE, threads=threads).note
        except (OSError, RuntimeUnavailable, zoo.ModelError) as error:
            note = str(error)
        on = "all cores" if threads is None else f"{threads} of {cores()} cores"
        say(f"auto, {zoo.DEFAULT} at {_SIZE} on {on}: {note or 'there is one runtime only'}")


def _runtimes(findings: _Findings) -> None:
    """Which can be used here, which one ``auto`` takes and why, and how to get the others."""
    from neuralsim import runtimes, zoo
    from neuralsim.runtimes import autotune
    from neuralsim.runtimes.candidates import candidates
    from neuralsim.session.renderer_loading import painting_threads

    there = runtimes.available()
    for name, room in runtimes.RUNTIMES.items():
        reason = runtimes.obstacle(name)
        if reason:
            findings.note(name, reason)
        else:
            findings.good(name, f"{_version(room.package, _DISTRIBUTION.get(name, name))}, --runtime {name}")
    if not there:
        findings.missing("runtimes", "none can be used", next(iter(runtimes.RUNTIMES.values())).remedy)
        return
    graph = zoo.load(zoo.DEFAULT).file
    width, height = _SIZE
    for name, reason in candidates(graph, height, width).items():
        if reason and name.partition(":")[0] in there:
            findings.note(f"auto, {name}", f"passed over: {reason}")
    known = autotune.recall(graph, height, width, painting_threads(cores())) or autotune.recall(graph, height, width)
    size = f"{zoo.DEFAULT} at {_SIZE}"
    if known is not None:
        day = time.strftime("%Y-%m-%d", time.localtime(known.measured))
        words = f"{known}, measured on {day} with {size}; kept in {cache_folder() / 'choices'}"
        (findings.note if known.busy else findings.good)("auto", f"{words}; anew: neuralsim doctor --measure")
    else:
        findings.note("auto", f"not measured yet with {size}: the first drive does, in about two seconds")


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
    """Whether a browser can be driven in, and what encodes the video."""
    if importlib.util.find_spec("aiortc") is None or importlib.util.find_spec("aiohttp") is None:
        return f"drives too, also one elsewhere: {remedy('serve')}"
    from neuralsim.serve.encoding import working_encoder

    return f"neuralsim serve, H.264 by {working_encoder()}"


def _version(module: str, distribution: str) -> str | None:
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"
