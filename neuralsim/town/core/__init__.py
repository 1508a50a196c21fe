"""Data types of the simulator that clients know: transforms, actors, blueprints."""
