"""The bridge's CARLA side: drives the ego with the official client and turns ticks into frames."""
