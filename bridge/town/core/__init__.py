"""What a simulator consists of for its clients: transforms, actors, blueprints."""
