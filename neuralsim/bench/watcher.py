"""A subscriber that only looks: ``python -m neuralsim.bench.watcher ENDPOINT [--lockstep] [--ahead N]``.

Prints "ready" with its first frame, and when it is told to end one JSON line: frames received and skipped, and per
frame the milliseconds since it was sent and the time at which it came (both clocks are this machine's).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from bridge.link.motion import compose, reproject
from bridge.link.transport import FrameSubscriber, LinkError
from bridge.messages import Frame
from bridge.process.arguments import Parser, count
from bridge.process.lifetime import Lifetime

_KEEP = 200_000  # frames


def _warm_up(frame: Frame) -> None:
    """Load the kernels that the first skipped frame would otherwise wait for."""
    if {"motion", "depth"} <= frame.planes.keys():
        compose(frame, [frame], frame.camera)
        reproject(frame.planes["depth"], frame.camera, frame.camera.pose)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Parser("watcher", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("endpoint")
    parser.add_argument("--lockstep", action="store_true", help="every frame once")
    parser.add_argument("--ahead", type=count, default=1, help="frames that may be on their way in lock-step")
    parser.add_argument("--out", type=Path, help="write the JSON line there instead")
    options = parser.parse_args(arguments)
    lifetime = Lifetime(with_parent=True, grace=15.0)
    came: list[float] = []
    delays: list[float] = []
    try:
        with FrameSubscriber(options.endpoint, None, options.lockstep, options.ahead) as frames:
            while not lifetime.over:
                frame = frames.recv(0.05)
                if frame is None:
                    continue
                for plane in frame.planes.values():
                    plane[-1, -1]  # it is really there
                if not came:
                    _warm_up(frame)
                    print("ready", flush=True)
                if len(came) < _KEEP:
                    came.append(round(frame.stamps["received"] / 1e6, 3))
                    delays.append(round((frame.stamps["received"] - frame.stamps["sent"]) / 1e6, 4))
            seen = {"received": frames.received, "skipped": frames.skipped, "came_ms": came, "delay_ms": delays}
    except LinkError as error:
        print(error, file=sys.stderr)
        return 1
    line = json.dumps(seen | {"cpu_s": time.process_time()})
    if options.out is not None:
        options.out.write_text(line, encoding="utf-8")
    else:
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
