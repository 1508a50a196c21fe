"""Resolve ``auto`` to a runtime on this machine.

    python -m neuralsim.bench.resolve_auto '{"model": ..., "size": ...}'

Prints one JSON object: the runtime as ``--runtime`` takes it, and why the machine was too busy to measure, "" if it was
not. It runs in a process of its own, because what measuring leaves behind would be measured with the drives.
"""

import json
import sys

from bridge.process.lifetime import end
from bridge.process.options import parse
from neuralsim.base.machine import cores
from neuralsim.bench.options import ResolveOptions
from neuralsim.renderer.neural_renderer import ModelError, NeuralRenderer, RuntimeUnavailable
from neuralsim.runtimes import autotune
from neuralsim.session.renderer_loading import render_threads


def main() -> int:
    """Measure, or recall an earlier measurement; return the exit code."""
    options = parse(ResolveOptions, None, "resolve")
    threads = render_threads(cores())
    try:
        renderer = NeuralRenderer(options.model, "auto", options.size, threads)
    except (ModelError, RuntimeUnavailable) as error:
        print(error, file=sys.stderr)
        return 1
    choice = autotune.load_measurement(renderer.card.file, *renderer.padded, threads)
    runtime = choice.runtime if choice is not None else renderer.runtime.partition(" ")[0]
    print(json.dumps({"runtime": runtime, "busy": choice.busy if choice is not None else ""}), flush=True)
    return 0


if __name__ == "__main__":
    end(main())
