"""TensorRT engines: built once for a model, size, precision, TensorRT, driver and GPU; cached, and checked when read.

An engine file is a magic line, one line of JSON with everything it depends on and the plan's length and hash, and the
plan. A truncated, damaged or foreign file is refused with one line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bridge.process.user_cache import cache_folder
from neuralsim.base.extras import remedy
from neuralsim.runtimes import cache, cuda_driver
from neuralsim.runtimes.interface import RuntimeUnavailable

_MAGIC = b"NeuralSim TensorRT engine 1\n"
_AGAIN = "run neuralsim model build-engine"
LEVELS = range(6)
_DISTRIBUTIONS = ("tensorrt-cu13", "tensorrt", "tensorrt-cu12")

#: Receives the current step and the share done, 0..1; returns whether to continue.
Report = Callable[[str, float], bool]


class EngineError(Exception):
    """An engine cannot be built or used; the message says why and what to do, in one line."""


@dataclass(frozen=True)
class EngineFacts:
    """Everything that an engine depends on: if one of these changes, it is another engine."""

    model: str  # sha256 of the ONNX file; in int8 of the quantised one, which changes with its ranges
    height: int
    width: int
    precision: str
    tensorrt: str
    driver: str
    gpu: str
    conversion: int = cache.CONVERSION

    @classmethod
    def here(cls, graph: Path, height: int, width: int, precision: str) -> EngineFacts:
        """Return those of ``graph`` on this machine. Raises EngineError without GPU, TensorRT or, for int8, ranges."""
        try:
            gpu = cuda_driver.check(cuda_driver.gpu(), built_for())
            source = _quantised(graph) if precision == "int8" else graph
        except (cuda_driver.NoGpu, RuntimeUnavailable) as error:
            raise EngineError(str(error)) from error
        return cls(cache.sha256(source), height, width, precision, tensorrt_version(), gpu.driver, gpu.name)

    @property
    def path(self) -> Path:
        """Return the path of the engine."""
        return cache_folder() / "engines" / f"{cache.key(asdict(self))}.engine"


def tensorrt_version() -> str:
    """Return the version of the installed package without loading it. Raises EngineError if there is none."""
    for name in _DISTRIBUTIONS:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise EngineError(f"TensorRT is not installed: {remedy('tensorrt')}")


def built_for() -> tuple[int, int]:
    """Return the CUDA that the installed package is built for, by its name; that of the pinned one by default."""
    for name in _DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            version(name)
            return (12, 0) if name.endswith("-cu12") else cuda_driver.CUDA
    return cuda_driver.CUDA


def write(facts: EngineFacts, plan: bytes) -> Path:
    """Write ``plan``; returns the file. Raises OSError."""
    header = {**asdict(facts), "bytes": len(plan), "sha256": hashlib.sha256(plan).hexdigest()}
    cache.write(facts.path, _MAGIC, json.dumps(header).encode() + b"\n", plan)
    return facts.path


def read(facts: EngineFacts) -> bytes:
    """Return the plan stored for ``facts``. Raises EngineError if there is none or the file does not match."""
    path = facts.path
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise EngineError(f"no engine for this model and size on this GPU yet: {_AGAIN}") from None
    except OSError as error:
        raise EngineError(f"cannot read {path}: {(error.strerror or 'unknown reason').lower()}") from error
    if not content.startswith(_MAGIC):
        raise EngineError(f"{path} is not an engine of NeuralSim: {_AGAIN}")
    line, _, plan = content[len(_MAGIC) :].partition(b"\n")
    try:
        header = dict(json.loads(line))
        size, digest = int(header.pop("bytes")), str(header.pop("sha256"))
    except (ValueError, KeyError, TypeError):
        raise EngineError(f"{path} is damaged at its beginning: {_AGAIN}") from None
    for name, expected in asdict(facts).items():
        if header.get(name) != expected:
            raise EngineError(f"{path} is of another {name} ({header.get(name)}, here {expected}): {_AGAIN}")
    if len(plan) != size:
        raise EngineError(f"{path} is cut short ({len(plan)} of {size} bytes): {_AGAIN}")
    if hashlib.sha256(plan).hexdigest() != digest:
        raise EngineError(f"{path} is damaged: {_AGAIN}")
    return plan


def is_current(facts: EngineFacts) -> bool:
    """Return whether a valid engine for ``facts`` exists."""
    try:
        read(facts)
    except EngineError:
        return False
    return True


def build(
    graph: Path, facts: EngineFacts, level: int = 3, workspace: int = 2048, report: Report = lambda what, share: True
) -> Path:
    """Build and store the engine of ``graph`` for ``facts``; minutes. ``workspace`` in MiB, ``level`` 0..5.

    Raises EngineError, also when ``report`` returns False.
    """
    import onnx

    from neuralsim.runtimes import graph_variants

    source = _quantised(graph) if facts.precision == "int8" else graph
    model = onnx.load(str(source))
    if facts.precision != "fp32":
        model = graph_variants.half(model)
    model = graph_variants.for_tensorrt(model, facts.height, facts.width)
    return write(facts, compile_plan(model.SerializeToString(), facts, level, workspace, report))


def compile_plan(model: bytes, facts: EngineFacts, level: int, workspace: int, report: Report) -> bytes:
    """Compile an ONNX model of fixed sizes into TensorRT's plan. Raises EngineError.

    Args:
        model: The ONNX file's bytes.
        facts: Of the engine.
        level: TensorRT's optimisation level, 0 to 5.
        workspace: Memory that TensorRT may use while building, MiB.
        report: Called with the progress.
    """
    import tensorrt as trt

    log = logger(trt)
    builder = trt.Builder(log)
    flags = 0
    if int(trt.__version__.split(".")[0]) < 11:  # from 11 on, all networks are
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        why = "; ".join(str(parser.get_error(n).desc()) for n in range(parser.num_errors)) or log.last
        raise EngineError(f"TensorRT {trt.__version__} cannot read the model: {_one_line(why)}")
    config = builder.create_builder_config()
    config.builder_optimization_level = level
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace << 20)
    monitor = _monitor(trt, report)
    config.progress_monitor = monitor
    config.clear_flag(trt.BuilderFlag.TF32)  # the default: fp32 would round as fp16 does
    timings = cache_folder() / "engines" / f"{cache.key({'gpu': facts.gpu, 'tensorrt': facts.tensorrt})}.timings"
    for known in (timings.read_bytes() if timings.is_file() else b"", b""):
        timing_cache = config.create_timing_cache(known)
        if timing_cache is not None and config.set_timing_cache(timing_cache, False):
            break  # else it is damaged or of another GPU: measured again
    plan = builder.build_serialized_network(network, config)
    if monitor.stopped:
        raise EngineError("interrupted")
    if plan is None:
        if "memory" in log.last.lower():
            raise EngineError(
                f"too little GPU memory to build the engine ({_one_line(log.last)}): close other programs "
                "that use the GPU, or build with a smaller --workspace or --size"
            )
        raise EngineError(f"TensorRT cannot build the engine: {_one_line(log.last)}")
    cache.write(timings, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def logger(trt: Any) -> Any:
    """Return a TensorRT logger that prints nothing and keeps the last error in ``last``."""

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last = "no reason given"

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.last = message

    return Log()


def _monitor(trt: Any, report: Report) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        """Reports the share of the outermost of the nested phases, with the name of the innermost."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopped = False
            self._phases: dict[str, list[int]] = {}  # [step, steps] by name, in order of nesting

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._phases[phase_name] = [0, max(num_steps, 1)]

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._phases.setdefault(phase_name, [0, step + 1])[0] = step + 1
            share, part = 0.0, 1.0
            for done, steps in self._phases.values():
                share += part * min(done / steps, 1.0)
                part /= steps
            try:
                self.stopped = self.stopped or not report(phase_name, min(share, 1.0))
            except KeyboardInterrupt:  # must not travel through TensorRT
                self.stopped = True
            return not self.stopped

        def phase_finish(self, phase_name: str) -> None:
            self._phases.pop(phase_name, None)

    return Monitor()


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _quantised(graph: Path) -> Path:
    from neuralsim.runtimes.int8 import quantised  # onnx: imported only where it is needed

    return quantised(graph)
