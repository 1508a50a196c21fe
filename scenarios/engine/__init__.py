"""The scenario engine: plays a scenario inside the bridge, tick by tick."""
