"""Stand-in for ``cuda-python`` where there is no GPU: the few calls in use, on the host's memory."""
