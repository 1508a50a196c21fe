"""What plays a scenario inside the bridge, tick by tick."""
