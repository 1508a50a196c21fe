"""Sensors other than cameras: ray casting against the town's geometry, and the instruments built on it."""
