"""Moved to ``bridge.town.carla_server``. This name goes with the next release."""

from bridge.town.carla_server.process import TownServer, main

__all__ = ["TownServer", "main"]

if __name__ == "__main__":
    main()
