"""Scenarios: the language, the engine that plays them inside the bridge, and the shipped scenario files."""
