"""The link between bridge and renderer: ZeroMQ sockets, shared memory, pacing, motion over skipped frames."""
