"""Measuring the town: how fast it is, how it bears an hour. Nothing imports this."""
