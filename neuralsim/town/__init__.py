"""The embedded simulator: a small town behind CARLA 0.9.16's own wire protocol."""
