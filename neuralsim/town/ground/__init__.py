"""The ground of a map: hills, blocks between the roads, asphalt, markings, bridges."""
