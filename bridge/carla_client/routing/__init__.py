"""Routes, spawn points and the ego's autopilot."""
