"""What stands on the ground: buildings, gardens, street furniture, woods."""
