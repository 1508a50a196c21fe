"""The client-facing vocabulary of the simulator: transforms, actors, blueprints."""
