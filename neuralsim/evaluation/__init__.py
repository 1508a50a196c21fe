"""Evaluation of models: measures, metric networks, and the report of ``neuralsim model evaluate``."""
