"""Training: data, losses, steps and the state of a run."""
