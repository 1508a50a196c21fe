"""``neuralsim ros2``: commands in, a tick, sensors out."""

import signal
import time

from bridge.process.lifetime import Lifetime
from neuralsim.base.failure import fail
from neuralsim.recording.exporting.ros2_messages import Ros2Messages
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.ros2.options import Ros2Options
from neuralsim.ros2.participant import Participant
from neuralsim.ros2.town import RosTown
from neuralsim.runtimes import RuntimeUnavailable
from neuralsim.zoo import ModelError
from scenarios.language.problems import ScenarioError

_POLL = 0.001  # s between two looks for commands


def run(options: Ros2Options) -> int:
    """Drive until asked to stop, or for ``options.frames`` ticks; return the exit code."""
    lifetime = Lifetime(options.with_parent)
    messages = Ros2Messages()
    try:
        dds = Participant(messages.store, options.domain, options.interface)
        renderer = NeuralRenderer(options.model, options.runtime, options.size, style=options.style)
        town = RosTown(options, renderer, messages, dds)
    except (ValueError, ModelError, RuntimeUnavailable, ScenarioError) as error:
        return fail(error)
    text = f"ros2: {', '.join(options.roles)} in {town.world.name}; DDS domain {options.domain} on {options.interface}"
    options.announce("ready", {"domain": options.domain}, text)
    town.publish()
    due = time.monotonic()
    while not lifetime.over and (options.frames is None or town.world.frame < options.frames):
        if not options.wait:
            lifetime.wait(max(due - time.monotonic(), 0.0))
            due = max(due + 1.0 / options.fps, time.monotonic())
        missing = set(options.roles) - town.obey()
        while options.wait and missing and not lifetime.wait(_POLL):
            missing -= town.obey()
        town.tick()
        town.publish()
    signal.set_wakeup_fd(-1)
    return 0
