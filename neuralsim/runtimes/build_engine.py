"""``neuralsim build-engine``: TensorRT's engine for this GPU, kept for every drive after."""

from __future__ import annotations

import sys
import time

from neuralsim import zoo
from neuralsim.base.failure import fail
from neuralsim.runtimes import driver, engines, tensorrt_

_WIDTH = 28  # characters of the bar


def run(model: str, size: tuple[int, int], precision: str, level: int, workspace: int, again: bool) -> int:
    """Build the engine of ``model`` for ``size`` (width, height); returns the exit code."""
    try:
        card = zoo.load(model)
        reason = tensorrt_.obstacle()
        if reason:
            raise engines.EngineError(reason)
        width, height = (-(-side // card.multiple_of) * card.multiple_of for side in size)
        facts = engines.EngineFacts.here(card.file, height, width, precision)
        if engines.is_current(facts) and not again:
            print(f"{facts.path}: is there already, for {facts.gpu} and TensorRT {facts.tensorrt}")
            return 0
        begun = time.monotonic()
        with Bar() as bar:
            path = engines.build(card.file, facts, level, workspace, report=bar)
    except (zoo.ModelError, engines.EngineError, driver.NoGpu, OSError) as error:
        return fail(error)
    print(f"{path}: built in {time.monotonic() - begun:.0f} s for {facts.gpu}, {path.stat().st_size / 1e6:.1f} MB")
    return 0


class Bar:
    """A line on the terminal that is rewritten, and gone in the end; nothing where stderr is a file."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._length = 0

    def __call__(self, what: str, share: float) -> bool:
        if self._terminal:
            full = round(_WIDTH * share)
            line = f"[{'#' * full}{'.' * (_WIDTH - full)}] {100 * share:3.0f} %  {what[:60]}"
            sys.stderr.write("\r" + line.ljust(self._length))
            sys.stderr.flush()
            self._length = len(line)
        return True

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._length:
            sys.stderr.write("\r" + " " * self._length + "\r")
            self._length = 0
