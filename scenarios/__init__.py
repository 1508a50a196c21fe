"""Scenarios: the language, what plays it inside the bridge, and the scenario files."""
