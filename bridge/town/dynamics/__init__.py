"""What moves: vehicles, traffic, traffic lights, walkers, and what is mounted on them."""
