"""The bridge with a scenario director: ``bridge.carla_bridge`` with support for scenarios.

python -m scenarios.play --carla 127.0.0.1:2000 --scenario scenarios/library/following.yaml
"""

from functools import partial
from typing import NoReturn

from bridge.carla_bridge import serve
from bridge.carla_client.options import BridgeOptions
from bridge.image_decoding import compile_kernels
from bridge.process.lifetime import end
from bridge.process.options import parse
from scenarios.engine.director import Director


def play(options: BridgeOptions) -> NoReturn:
    """Run the bridge with ``options``, then end this process."""
    end(serve(options, partial(Director, rig=options.rig)))


if __name__ == "__main__":
    compile_kernels()  # before the options are read: a parent may send them only once its town is ready
    play(parse(BridgeOptions, None, "bridge"))
