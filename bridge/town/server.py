"""Moved to ``bridge.town.carla_server.server``. This name goes with the next release."""

import os
import sys

from bridge.town.carla_server.server import TownServer, main

__all__ = ["TownServer", "main"]

if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)
