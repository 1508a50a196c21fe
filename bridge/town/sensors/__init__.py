"""Sensors that are no cameras: rays against the town's geometry, and instruments that measure motion and place."""
