"""The link between bridge and renderer: ZeroMQ sockets, shared memory, pacing, motion over skipped frames."""


class LinkError(RuntimeError):
    """A link cannot be established or maintained; the message is one line that says what to do."""
