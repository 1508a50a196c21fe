"""A subscriber that displays nothing.

    python -m neuralsim.bench.passive_subscriber ENDPOINT [--lockstep] [--ahead N]

Prints ``{"ready": true}`` with its first frame, and when it is asked to end one JSON line: frames received and skipped,
and per frame the milliseconds since it was sent and its time of arrival (both clocks are this machine's).
"""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

from bridge.link.motion import compose, reproject
from bridge.link.transport import FrameSubscriber, LinkError
from bridge.messages import Frame
from bridge.process.json_lines import send
from bridge.process.lifetime import Lifetime, end
from bridge.process.option_types import Count
from bridge.process.options import Arg, Options, parse

_MAX_FRAMES = 200_000  # whose times are kept


def _warm_up(frame: Frame) -> None:
    """Load the kernels that the first skipped frame would otherwise wait for."""
    if {"motion", "depth"} <= frame.planes.keys():
        compose(frame, [frame], frame.camera)
        reproject(frame.planes["depth"], frame.camera, frame.camera.pose)


class SubscriberOptions(Options):
    """A subscriber that only receives, and reports its counts in the end."""

    endpoint: Annotated[str, Arg(positional=True)]
    """Endpoint of the frames."""
    lockstep: bool = False
    """Receive every frame once."""
    ahead: Count = 1
    """Frames in flight in lockstep."""
    out: Annotated[Path, Arg("FILE.json")] | None = None
    """Write the counts to this file instead."""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = parse(SubscriberOptions, arguments, "watcher")
    lifetime = Lifetime(with_parent=True, grace=15.0)
    arrivals: list[float] = []
    delays: list[float] = []
    try:
        with FrameSubscriber(options.endpoint, None, options.lockstep, options.ahead) as frames:
            while not lifetime.over:
                frame = frames.recv(0.05)
                if frame is None:
                    continue
                for plane in frame.planes.values():
                    plane[-1, -1]  # touches the memory: the plane is really there
                if not arrivals:
                    _warm_up(frame)
                    send("ready", True)
                if len(arrivals) < _MAX_FRAMES:
                    arrivals.append(round(frame.stamps["received"] / 1e6, 3))
                    delays.append(round((frame.stamps["received"] - frame.stamps["sent"]) / 1e6, 4))
            counts = {"received": frames.received, "skipped": frames.skipped, "came_ms": arrivals, "delay_ms": delays}
    except LinkError as error:
        print(error, file=sys.stderr)
        return 1
    line = json.dumps(counts | {"cpu_s": time.process_time()})
    if options.out is not None:
        options.out.write_text(line, encoding="utf-8")
    else:
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    end(main())
