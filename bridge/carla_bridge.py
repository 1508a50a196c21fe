"""Moved to ``bridge.carla_client.carla_bridge``. This name goes with the next release."""

from bridge.carla_client.carla_bridge import end, main

__all__ = ["end", "main"]

if __name__ == "__main__":
    end(main())
