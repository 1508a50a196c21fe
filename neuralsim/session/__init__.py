"""A drive behind its picture: the processes, the painting, the measurement, the loop without a window."""
