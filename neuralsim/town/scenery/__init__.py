"""The scenery on the ground: buildings, gardens, street furniture, woods."""
