"""Measuring the town: throughput and endurance. Nothing imports this."""
