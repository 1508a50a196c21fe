"""CUDA runtime calls with the real ones' names, arguments and results. Work on streams is done when it is waited for.

Late on purpose: a caller that forgets to wait for an event or a stream sees old bytes, as on a GPU.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from typing import Any


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorStreamCaptureUnsupported = 900


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


class cudaStream_t:
    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []
        self.recording: list[Callable[[], None]] | None = None

    def __int__(self) -> int:
        return id(self)

    def put(self, task: Callable[[], None]) -> None:
        (self.work if self.recording is None else self.recording).append(task)

    def drain(self) -> None:
        while self.work:
            self.work.pop(0)()


class cudaEvent_t:
    def __init__(self) -> None:
        self.mark: Callable[[], None] = lambda: None


OK = cudaError_t.cudaSuccess
streams: dict[int, cudaStream_t] = {}
memory: dict[int, Any] = {}  # address -> the bytes there
limit = 1 << 40  # bytes; tests lower it
launches = 0


def cudaGetErrorString(error: cudaError_t) -> tuple[cudaError_t, bytes]:
    return OK, error.name.encode()


def cudaMalloc(size: int) -> tuple[Any, ...]:
    if size > limit:
        return cudaError_t.cudaErrorMemoryAllocation, None
    block = (ctypes.c_ubyte * size)(*([0xAB] * min(size, 64)))
    memory[ctypes.addressof(block)] = block
    return OK, ctypes.addressof(block)


def cudaMemset(devPtr: int, value: int, count: int) -> tuple[Any, ...]:
    ctypes.memset(devPtr, value, count)
    return (OK,)


def cudaHostAlloc(size: int, flags: int) -> tuple[Any, ...]:
    return cudaMalloc(size)


def cudaFree(pointer: int) -> tuple[Any, ...]:
    del memory[pointer]  # KeyError: freed twice
    return (OK,)


cudaFreeHost = cudaFree


def cudaStreamCreateWithFlags(flags: int) -> tuple[Any, ...]:
    stream = cudaStream_t()
    streams[int(stream)] = stream
    return OK, stream


def cudaStreamDestroy(stream: cudaStream_t) -> tuple[Any, ...]:
    del streams[int(stream)]
    return (OK,)


def cudaEventCreateWithFlags(flags: int) -> tuple[Any, ...]:
    return OK, cudaEvent_t()


def cudaEventDestroy(event: cudaEvent_t) -> tuple[Any, ...]:
    return (OK,)


def cudaEventRecord(event: cudaEvent_t, stream: cudaStream_t) -> tuple[Any, ...]:
    event.mark = stream.drain
    return (OK,)


def cudaStreamWaitEvent(stream: cudaStream_t, event: cudaEvent_t, flags: int) -> tuple[Any, ...]:
    stream.put(event.mark)
    return (OK,)


def cudaStreamSynchronize(stream: cudaStream_t) -> tuple[Any, ...]:
    stream.drain()
    return (OK,)


def cudaMemcpyAsync(dst: int, src: int, count: int, kind: cudaMemcpyKind, stream: cudaStream_t) -> tuple[Any, ...]:
    stream.put(lambda: ctypes.memmove(dst, src, count) and None)
    return (OK,)


def cudaStreamBeginCapture(stream: cudaStream_t, mode: cudaStreamCaptureMode) -> tuple[Any, ...]:
    stream.recording = []
    return (OK,)


def cudaStreamEndCapture(stream: cudaStream_t) -> tuple[Any, ...]:
    graph, stream.recording = stream.recording, None
    return OK, graph


def cudaGraphInstantiate(graph: Any, flags: int) -> tuple[Any, ...]:
    return OK, list(graph)


def cudaGraphDestroy(graph: Any) -> tuple[Any, ...]:
    return (OK,)


cudaGraphExecDestroy = cudaGraphDestroy


def cudaGraphLaunch(graphExec: Any, stream: cudaStream_t) -> tuple[Any, ...]:
    global launches
    launches += 1
    for task in graphExec:
        stream.put(task)
    return (OK,)
