"""Measurements of single parts, run from a checkout. They are not in the wheel."""
