"""The CUDA runtime calls that an engine needs, through NVIDIA's ``cuda-python``: memory, streams, graphs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from cuda.bindings import runtime as cudart

_NON_BLOCKING = 1  # cudaStreamNonBlocking: not ordered against the default stream
_NO_TIMING = 2  # cudaEventDisableTiming: cheaper, and all that ordering needs
_OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation


class CudaError(Exception):
    """A CUDA call failed; the message is one line."""


def call(function: Callable[..., tuple[Any, ...]], *arguments: object) -> Any:
    """Call a CUDA runtime ``function`` and return its result without the status. Raises CudaError."""
    status, *results = function(*arguments)
    if int(status):
        _, text = cudart.cudaGetErrorString(status)
        if int(status) == _OUT_OF_MEMORY:
            raise CudaError("too little GPU memory: close other programs that use the GPU, or choose a smaller --size")
        raise CudaError(f"{function.__name__}: {text.decode() if text else status}")
    return results[0] if len(results) == 1 else tuple(results)


class Buffers:
    """Memory of the device and pinned memory of the host, freed together."""

    def __init__(self) -> None:
        self._device: list[int] = []
        self._host: list[int] = []

    def device(self, size: int) -> int:
        """Allocate ``size`` zeros on the device; returns the address. Raises CudaError.

        A graph may look up by what it reads there, so that not even a first run may read what was there before.
        """
        address = int(call(cudart.cudaMalloc, size))
        self._device.append(address)
        call(cudart.cudaMemset, address, 0, size)
        return address

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """Allocate a pinned array of zeros: copies to and from the device need no staging. Raises CudaError."""
        size = int(np.prod(shape)) * dtype.itemsize
        address = int(call(cudart.cudaHostAlloc, size, 0))
        self._host.append(address)
        ctypes.memset(address, 0, size)
        memory = (ctypes.c_ubyte * size).from_address(address)
        return np.ctypeslib.as_array(memory).view(dtype).reshape(shape)

    def free(self) -> None:
        """Free everything; arrays of ``pinned`` must not be accessed any more."""
        for address in self._device:
            cudart.cudaFree(address)
        for address in self._host:
            cudart.cudaFreeHost(address)
        self._device, self._host = [], []


class Stream:
    """A CUDA stream: its work runs in order, concurrently with other streams."""

    def __init__(self) -> None:
        self.handle = call(cudart.cudaStreamCreateWithFlags, _NON_BLOCKING)
        self._event = call(cudart.cudaEventCreateWithFlags, _NO_TIMING)

    def upload(self, device: int, host: np.ndarray) -> None:
        """Start to copy a pinned array to the device."""
        self._copy(device, host.ctypes.data, host.nbytes, cudart.cudaMemcpyKind.cudaMemcpyHostToDevice)

    def download(self, host: np.ndarray, device: int) -> None:
        """Start to copy from the device into a pinned array."""
        self._copy(host.ctypes.data, device, host.nbytes, cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost)

    def after(self, other: Stream) -> None:
        """Let further work of this stream wait for all work that ``other`` has now."""
        call(cudart.cudaEventRecord, other._event, other.handle)
        call(cudart.cudaStreamWaitEvent, self.handle, other._event, 0)

    def finish(self) -> None:
        """Wait until all work is done."""
        call(cudart.cudaStreamSynchronize, self.handle)

    def close(self) -> None:
        """Destroy the stream."""
        cudart.cudaEventDestroy(self._event)
        cudart.cudaStreamDestroy(self.handle)

    @contextmanager
    def captured(self, graphs: list[Any]) -> Iterator[None]:
        """Record this stream's work instead of running it; the executable graph is appended to ``graphs``."""
        call(cudart.cudaStreamBeginCapture, self.handle, cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            yield
        finally:
            graph = call(cudart.cudaStreamEndCapture, self.handle)
        graphs.append(call(cudart.cudaGraphInstantiate, graph, 0))
        call(cudart.cudaGraphDestroy, graph)

    def launch(self, graph: Any) -> None:
        """Launch a captured graph on this stream."""
        call(cudart.cudaGraphLaunch, graph, self.handle)

    def _copy(self, target: int, source: int, size: int, kind: Any) -> None:
        call(cudart.cudaMemcpyAsync, target, source, size, kind, self.handle)


def destroy_graph(graph: Any) -> None:
    """Destroy a captured graph."""
    cudart.cudaGraphExecDestroy(graph)
