"""The link between bridge and renderer: ZeroMQ sockets, shared memory, pacing, motion over skipped frames."""


class LinkError(RuntimeError):
    """A link cannot be made or kept; one line says what to do."""
