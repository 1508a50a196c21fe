"""Stand-in for ``cuda-python`` where there is no GPU: the few calls in use, on the host's memory.

Its parent is a namespace package without a file, as the real one is: ``inspect`` remembers files of modules by their
names, and fails on a ``cuda`` that had one before.
"""
