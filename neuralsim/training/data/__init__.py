"""Training data: data sets on disk, video clips, simulated pairs, palettes and exemplars."""
