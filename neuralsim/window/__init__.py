"""The driving window: pictures on the screen, keys in."""
