"""The bridge's process: connects a CARLA server to receivers of frames and senders of controls over ZeroMQ.

python -m bridge.carla_bridge --carla 127.0.0.1:2000 --publish ipc:///tmp/frames --control ipc:///tmp/controls
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bridge.carla_client.connection import connect, lost_server_message, watch_server
from bridge.carla_client.ego_bridge import BridgeSettings, CarlaBridge
from bridge.carla_client.options import BridgeOptions
from bridge.carla_client.scenario_hooks import ScenarioHooks
from bridge.carla_client.tick_loop import run
from bridge.carla_library import carla
from bridge.image_decoding import compile_kernels
from bridge.link.pacing import FramePacer
from bridge.link.transport import ControlReceiver, FramePublisher, LinkError, control_endpoint
from bridge.process.lifetime import BridgeError, Lifetime, end
from bridge.process.options import parse

_MAX_PORTS = 10  # that are tried
CLOSE_SECONDS = 25.0  # within which even a slow server is restored: two calls of ``CLOSE_TIMEOUT``, and some time

MakeDirector = Callable[[Path], ScenarioHooks]


def _settings(options: BridgeOptions, director: ScenarioHooks | None) -> BridgeSettings:
    """Return the bridge's settings: from the options that were given, else from the scenario."""
    names = ("size", "fov", "fps", "seed", "weather", "planes", "autopilot", "jitter", "motion", "vehicle")
    values: dict[str, Any] = {name: getattr(options, name) for name in names}
    x, y, z, pitch = options.camera
    values["mount"] = carla.Transform(carla.Location(x, y, z), carla.Rotation(pitch))
    if director is not None:
        given = {"mount" if name == "camera" else name for name in options.model_fields_set - {"scenario", "rig"}}
        values |= {name: value for name, value in director.settings().items() if name not in given}
        if options.hand_over_at is not None:
            del values["more_cameras"]  # a driver needs one view only
    return BridgeSettings(**values)


def _director(options: BridgeOptions, make_director: MakeDirector | None) -> ScenarioHooks | None:
    if options.scenario is None:
        return None
    if make_director is None:
        raise BridgeError("this bridge plays no scenarios: start it with `neuralsim link bridge`")
    return make_director(options.scenario)


def open_links(options: BridgeOptions) -> tuple[FramePublisher, ControlReceiver]:
    """Open the bridge's ends of both links. Raises ``LinkError``.

    If the system chooses the port for frames, and the next one, which is for controls, is taken, another port is tried.
    """
    is_any_port = options.publish.endswith(":0") and not options.control
    attempts = 0
    while True:
        attempts += 1
        frames = FramePublisher(options.publish, options.keys, options.lockstep)
        try:
            return frames, ControlReceiver(options.control or control_endpoint(frames.endpoint), options.keys)
        except LinkError:
            frames.close()
            if not is_any_port or attempts == _MAX_PORTS:
                raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; wrong usage exits with 2."""
    compile_kernels()  # before the options are read: a parent may send them only once its town is ready
    return serve(parse(BridgeOptions, arguments, "bridge"))


def serve(options: BridgeOptions, make_director: MakeDirector | None = None) -> int:
    """Run the bridge; return 0 on request to end, 1 after a one-line error.

    ``make_director`` creates the director of a scenario file; without it the option ``scenario`` is an error.
    """
    lifetime = Lifetime(options.with_parent)
    try:
        frames, controls = open_links(options)
        with frames, controls:
            client = connect(options.carla)
            watch_server(options.carla, lambda: lifetime.over)
            director = _director(options, make_director)
            hurried, lifetime.grace = lifetime.grace, CLOSE_SECONDS  # nothing leaves a server synchronous, not even ^C
            with CarlaBridge(client, _settings(options, director), director, lambda: lifetime.over) as bridge:
                lifetime.grace = hurried
                if options.at_rest:
                    bridge.stop_ego()
                addresses = {"carla": options.carla, "frames": frames.endpoint, "controls": controls.endpoint}
                text = "bridge ready: CARLA {0} at {carla}, frames on {frames}, controls on {controls}"
                options.announce("ready", addresses, text.format(client.get_server_version(), **addresses))
                pace = FramePacer(1.0 / bridge.delta) if options.realtime else None
                run(bridge, frames, controls, lambda: lifetime.over, pace, options.frames, options.hand_over_at)
                if options.scenario is not None:
                    result = bridge.result()
                    options.announce("verdict", result, f"scenario over: {json.dumps(result)}")
                lifetime.grace = CLOSE_SECONDS
    except (LinkError, RuntimeError) as error:
        if lifetime.over:
            return 0
        text = str(error).partition("\n")[0]
        is_ours = isinstance(error, (BridgeError, LinkError))
        print(text if is_ours else lost_server_message(options.carla, text), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    end(main())  # the client's threads may outlive the interpreter and crash in its teardown
