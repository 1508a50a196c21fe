"""Benchmarks of single parts, run from a checkout. They are not part of the wheel."""
