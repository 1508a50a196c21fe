"""Ways through the map: routes, spawn points and the ego's autopilot."""
