"""The bridge: CARLA's official client on one side, frames on the other."""
