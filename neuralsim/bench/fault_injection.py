"""Inject faults into a drive's processes to test the benchmark itself: a delayed stage, a skewed clock.

    python -m neuralsim.bench.fault_injection '{"delay_ms": 20, "skew_ms": 0}' MODULE ARGUMENTS...

The measured code has none of this: its functions are wrapped here, from outside. Stages are delayed in turn, one frame
in eight, so that frames with and without the delay are measured side by side in one run: frame 0 of each eight is
delayed, frames 1 to 4 may still be affected (those that wait for a delayed display, at 6 ms each), 5 to 7 are not.
Every sixth of these delays lies before the frame, in no stage: what it changes is the machine's doing, whose caches
have cooled in the meantime.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from bridge.messages import Frame
from neuralsim.session.metrics import STAGES

EVERY = 8  # frames, of which the first is delayed
BEFORE = "before"  # the delay that lies before the frame
TURNS = (*STAGES, BEFORE)
_AFFECTED = 5  # of these may be affected
_SPIN = 0.001  # s before the end of a pause from which on the clock is polled: sleeping alone would overshoot


@dataclass(frozen=True)
class FaultInjection:
    """The faults: ``delay_ms`` delays the stages in turn; ``skew_ms`` is added to the bridge's clock."""

    delay_ms: float = 0.0
    skew_ms: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.delay_ms or self.skew_ms)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def delayed_stage(sequence: int) -> str | None:
    """Return the stage in which the frame with this number is delayed, or ``BEFORE``, or None."""
    return TURNS[sequence // EVERY % len(TURNS)] if sequence % EVERY == 0 else None


def is_unaffected(sequence: int) -> bool:
    """Return whether neither this frame nor one shortly before was delayed."""
    return sequence % EVERY >= _AFFECTED


def pause(seconds: float) -> None:
    """Sleep, accurate to microseconds."""
    until = time.perf_counter() + seconds
    time.sleep(max(seconds - _SPIN, 0.0))
    while time.perf_counter() < until:
        pass


def wrap(owner: Any, name: str, hook: Callable[..., None], after: bool = False) -> Callable[[], None]:
    """Call ``hook`` with the arguments of ``owner.name`` before each call of it, or right ``after``.

    Returns a function that undoes this.
    """
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if not after:
            hook(*arguments)
        result = original(*arguments, **named)
        if after:
            hook(*arguments)
        return result

    setattr(owner, name, wrapped)
    return lambda: setattr(owner, name, original)


@contextmanager
def delayed_renderer(faults: FaultInjection) -> Iterator[None]:
    """Delay this process's renderers within this context, for the frames whose render stage is to be delayed.

    ``generate`` is what the live and the lockstep loop both call; ``render`` goes through it, too.
    """
    from neuralsim.renderer.neural_renderer import NeuralRenderer
    from neuralsim.session.tag_renderer import TagRenderer

    def delay(_: object, frame: Frame) -> None:
        if delayed_stage(frame.sequence) == "render":
            pause(faults.delay_ms / 1e3)

    undo = [wrap(renderer, "generate", delay) for renderer in (TagRenderer, NeuralRenderer)] if faults else []
    try:
        yield
    finally:
        for restore in undo:
            restore()


def _inject_into_bridge(faults: FaultInjection) -> None:
    from bridge.carla_client import camera_rig, ego_bridge
    from bridge.link import transport

    if faults.skew_ms:
        clock, skew = time.monotonic_ns, int(faults.skew_ms * 1e6)
        time.monotonic_ns = lambda: clock() + skew
    if not faults.delay_ms:
        return
    current: list[str | None] = [None]  # the stage to delay in the current frame; None before the first

    def delay(stage: str) -> Callable[..., None]:
        return lambda *_: pause(faults.delay_ms / 1e3) if current[0] == stage else None

    def begin(bridge: ego_bridge.CarlaBridge) -> None:
        current[0] = delayed_stage(bridge.sequence)
        delay(BEFORE)()

    wrap(ego_bridge.CarlaBridge, "tick", begin)
    # after it: a delay before it would overlap with the arrival of images
    wrap(camera_rig.CameraRig, "gather", delay("simulate"), after=True)
    wrap(transport.FramePublisher, "send", delay("pack"))
    wrap(transport, "pack", delay("transport"))  # after the stamp, before the socket


def main(arguments: list[str]) -> int:
    """Run the bridge's module, the second argument, with the faults (JSON) in the first one."""
    faults, module, *rest = arguments
    _inject_into_bridge(FaultInjection(**json.loads(faults)))
    code: int = import_module(module).main(rest)
    return code


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # like the bridge itself: the client's threads may outlive the interpreter
