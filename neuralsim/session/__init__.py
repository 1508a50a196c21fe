"""A drive without its user interface: the child processes, the render loop, metrics and recording."""
