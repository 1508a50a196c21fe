"""``neuralsim model build-engine``: builds TensorRT's engine for this GPU, for all further drives."""

import time

from neuralsim import zoo
from neuralsim.base.failure import fail
from neuralsim.base.progress import progress_reporter
from neuralsim.runtimes import cuda_driver
from neuralsim.runtimes.tensorrt import engines as tensorrt_engines
from neuralsim.runtimes.tensorrt import runtime as tensorrt_


def run(model: str, size: tuple[int, int], precision: str, level: int, workspace: int, again: bool) -> int:
    """Build the engine of ``model`` for ``size`` (width, height), even if there is one ``again``; return the exit code.

    ``level``: TensorRT's optimisation level, 0 to 5. ``workspace``: memory that it may use while building, MiB.
    """
    try:
        card = zoo.load(model)
        reason = tensorrt_.unavailable_reason()
        if reason:
            raise tensorrt_engines.EngineError(reason)
        width, height = (-(-side // card.multiple_of) * card.multiple_of for side in size)
        facts = tensorrt_engines.EngineFacts.here(card.file, height, width, precision)
        if tensorrt_engines.is_current(facts) and not again:
            print(f"{facts.path}: exists already, for {facts.gpu} and TensorRT {facts.tensorrt}")
            return 0
        begun = time.monotonic()
        with progress_reporter() as report:
            path = tensorrt_engines.build(card.file, facts, level, workspace, report)
    except (zoo.ModelError, tensorrt_engines.EngineError, cuda_driver.NoGpu, OSError) as error:
        return fail(error)
    print(f"{path}: built in {time.monotonic() - begun:.0f} s for {facts.gpu}, {path.stat().st_size / 1e6:.1f} MB")
    return 0
