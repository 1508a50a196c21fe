"""The bridge's process: a CARLA server on one side, frames and controls over ZeroMQ on the other.

python -m bridge.carla_bridge --carla 127.0.0.1:2000 --publish ipc:///tmp/frames --control ipc:///tmp/controls
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import carla

from bridge.carla_client.camera_rig import SensorTimeout, compile_kernels
from bridge.carla_client.connection import VERSION, connect, lost, watch_server
from bridge.carla_client.ego_bridge import CarlaBridge
from bridge.carla_client.options import BridgeOptions
from bridge.carla_client.scenario_hooks import ScenarioHooks
from bridge.carla_client.tick_loop import run
from bridge.link.pacing import FramePacer
from bridge.link.transport import ControlReceiver, FramePublisher, LinkError, control_endpoint
from bridge.process.lifetime import BridgeError, Lifetime, end
from bridge.process.options import parse

_PORTS = 10  # that are tried


def _settings(options: BridgeOptions, direct: Callable[[Path], ScenarioHooks] | None) -> dict[str, Any]:
    """The bridge's settings: from the options, else from the scenario. Raises ``BridgeError``."""
    names = ("size", "fov", "fps", "seed", "weather", "planes", "autopilot", "jitter")
    found: dict[str, Any] = {name: getattr(options, name) for name in names}
    x, y, z, pitch = options.camera
    found["mount"] = carla.Transform(carla.Location(x, y, z), carla.Rotation(pitch))
    if options.scenario is not None:
        if direct is None:
            raise BridgeError("this bridge plays no scenarios: start it with `neuralsim bridge`")
        director = direct(options.scenario)
        given = {"mount" if name == "camera" else name for name in options.model_fields_set - {"scenario"}}
        found |= {name: value for name, value in director.settings().items() if name not in given}
        found["director"] = director
        if options.hand_over_at is not None:
            del found["more_cameras"]  # a driver needs one view only
    return found


def links(options: BridgeOptions) -> tuple[FramePublisher, ControlReceiver]:
    """Both links' ends. Where the system chooses the frames' port, another one is tried if the next port, which is for
    controls, is taken. Raises ``LinkError``."""
    chosen = options.publish.endswith(":0") and not options.control
    tried = 0
    while True:
        tried += 1
        frames = FramePublisher(options.publish, options.keys, options.lockstep)
        try:
            return frames, ControlReceiver(options.control or control_endpoint(frames.endpoint), options.keys)
        except LinkError:
            frames.close()
            if not chosen or tried == _PORTS:
                raise


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code; wrong usage exits with 2."""
    compile_kernels()  # before the options: who waits for them waits for a town
    return serve(parse(BridgeOptions, arguments, "bridge"))


def serve(options: BridgeOptions, direct: Callable[[Path], ScenarioHooks] | None = None) -> int:
    """Run the bridge. Returns 0 on request to end, 1 after a one-line error.

    ``direct`` creates the director of a scenario file; without it the option ``scenario`` is an error.
    """
    lifetime = Lifetime(options.with_parent)
    try:
        frames, controls = links(options)
        with frames, controls:
            client = connect(options.carla)
            watch_server(options.carla, lambda: lifetime.over)
            with CarlaBridge(client, **_settings(options, direct)) as bridge:
                where = {"carla": options.carla, "frames": frames.endpoint, "controls": controls.endpoint}
                words = "bridge ready: CARLA {0} at {carla}, frames on {frames}, controls on {controls}"
                options.tell("ready", where, words.format(VERSION, **where))
                pace = FramePacer(1.0 / bridge.delta) if options.realtime else None
                run(bridge, frames, controls, lambda: lifetime.over, pace, options.frames, options.hand_over_at)
                if options.scenario is not None:
                    result = bridge.result()
                    options.tell("verdict", result, f"scenario over: {json.dumps(result)}")
    except (BridgeError, LinkError) as error:
        print(error, file=sys.stderr)
        return 1
    except (RuntimeError, SensorTimeout) as error:
        if lifetime.over:
            return 0
        print(lost(options.carla, str(error).partition("\n")[0]), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    end(main())  # the client's threads may outlive the interpreter and crash in its teardown
