"""Everything that moves: vehicles, traffic, traffic lights, walkers, and sensors mounted on them."""
