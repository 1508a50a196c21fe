"""Takes those answers of a server that are to be changed out of what comes over a connection."""

from collections.abc import Container, Iterator

import numpy as np

from bridge.carla_wire import MAX_MESSAGE_BYTES
from neuralsim.lens.relay_kernels import answered, pass_over


class Answers:
    """Divides what a server sends into answers; those to requests in ``noted`` are collected, the others are not.

    A server may send a whole file in one answer, which nobody needs to keep or decode.
    """

    def __init__(self, noted: Container[int]) -> None:
        self.state = np.zeros(2, np.int64)  # of ``relay_kernels.pass_over``
        self._noted = noted
        self._cut = bytearray()  # bytes that can only be understood with those that follow
        self._collected: bytearray | None = None  # of the answer that has begun, None: it is not collected

    @property
    def is_between(self) -> bool:
        """Whether no answer has begun."""
        return not (self.state.any() or self._cut)

    def feed(self, chunk: memoryview) -> Iterator[tuple[memoryview, bool]]:
        """Yield a chunk u8 (N,) in parts, valid until the next one, each with whether it is a whole, noted answer.

        Raises ValueError for a noted answer of more than ``MAX_MESSAGE_BYTES``.
        """
        data = self._cut + chunk
        buffer, at, end = np.frombuffer(data, np.uint8), 0, len(data)
        while at < end:
            if not self.state.any():
                request = answered(buffer, at, end)
                if request == -1:
                    break
                self._collected = bytearray() if request in self._noted else None
                self.state[0] = 1
            begin, at = at, int(pass_over(buffer, at, end, self.state))
            part = memoryview(data)[begin:at]
            if self._collected is None:
                yield part, False
            else:
                self._collected += part
                if len(self._collected) > MAX_MESSAGE_BYTES:
                    raise ValueError(f"an answer of more than {MAX_MESSAGE_BYTES} bytes")
                if not self.state.any():
                    yield memoryview(self._collected), True
            if self.state.any():
                break
        self._cut = bytearray(memoryview(data)[at:])
