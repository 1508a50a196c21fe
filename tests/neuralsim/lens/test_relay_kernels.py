"""Copying without the interpreter: what goes through, where it stops, and wherever the stream is cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np

from neuralsim.lens import relay_kernels as kernels

VALUES: list[Any] = [
    None, True, 0, -1, 127, 128, 255, 70_000, 1 << 40, -5, -200, -70_000, -(1 << 40), 1.5, "", "x" * 31, "x" * 32,
    "x" * 300, "x" * 70_000, b"", b"x" * 300, b"x" * 70_000, [], [1] * 15, [1] * 16, [[2, "a"]] * 70_000, {}, {"a": 1},
    {str(k): [k] for k in range(20)}, msgpack.ExtType(1, b"x"), msgpack.ExtType(1, b"xx"), msgpack.ExtType(1, b"x" * 7),
]  # fmt: skip


def run(feed: bytes, cuts: list[int], kernel: Callable[[int, int], Any]) -> tuple[Any, bytes]:
    """Return what a kernel returns and what it passed on, when ``feed`` comes in parts."""
    (source, far_source), (sink, far_sink) = socket.socketpair(), socket.socketpair()
    received = bytearray()

    def send() -> None:
        for start, end in zip([0, *cuts], [*cuts, len(feed)], strict=True):
            far_source.sendall(feed[start:end])
        far_source.shutdown(socket.SHUT_WR)

    def receive() -> None:
        while data := far_sink.recv(1 << 16):
            received.extend(data)

    threads = [threading.Thread(target=each) for each in (send, receive)]
    for each in threads:
        each.start()
    result = kernel(source.fileno(), sink.fileno())
    while source.recv(1 << 16):
        pass
    sink.shutdown(socket.SHUT_WR)
    for each in threads:
        each.join()
    for sock in (source, far_source, sink, far_sink):
        sock.close()
    return result, bytes(received)


def test_every_kind_of_value_is_measured() -> None:
    for value in VALUES:
        packed = np.frombuffer(b"?" + msgpack.packb(value) + b"?", np.uint8)
        assert kernels._end_of_value(packed, 1, len(packed)) == len(packed) - 1
        assert kernels._end_of_value(packed, 1, len(packed) - 2) == -1


def test_requests_are_passed_on_up_to_one_that_concerns_the_lens() -> None:
    buffer, names = np.empty(1 << 20, np.uint8), kernels.name_table(("tick_cue", "spawn_actor"))
    plain = [msgpack.packb([0, k, name, [[False], value]]) for k, (name, value) in enumerate(
        [("version", 1), ("tick_cue", None), ("spawn_actor_with_parent", "x" * 40), ("spawn", {"a": [1]})]
    )]  # fmt: skip
    for last, waiting in (
        (msgpack.packb([0, 300, "spawn_actor", []]), 0), (msgpack.packb([0, 300, "tick_cue", []]), 1),
        (msgpack.packb([1, 300, "version", []]), 0), (msgpack.packb(5), 0),
        (msgpack.packb([0, 1, "version", []])[:-1], 0),
    ):  # fmt: skip
        feed = b"".join(each for each in plain if not (waiting and b"tick" in each))
        flag = np.array([waiting], np.uint8)
        kernel = lambda source, sink, flag=flag: kernels.pass_requests(source, sink, buffer, names, flag)  # noqa: E731
        (count, passed), out = run(feed + last, [], kernel)
        assert bytes(buffer[passed:count]) == last
        assert out == feed


def test_answers_are_passed_on_until_one_is_noted_or_cut() -> None:
    buffer, flag = np.empty(1 << 20, np.uint8), np.zeros(1, np.uint8)
    feed = b"".join(msgpack.packb([1, k, None, value]) for k, value in enumerate(VALUES[:18]))
    kernel = lambda source, sink: kernels.pass_answers(source, sink, buffer, flag)  # noqa: E731
    assert run(feed, [], kernel) == ((0, False), feed)
    (count, is_passed), out = run(feed[:-1], [], kernel)
    assert is_passed
    assert out == feed[:-1]
    flag[0] = 1
    (count, is_passed), out = run(feed, [], kernel)
    assert not is_passed
    assert bytes(buffer[:count]) == feed[:count]
    assert out == b""


def test_messages_of_a_stream_are_passed_on_wherever_they_are_cut() -> None:
    random = np.random.default_rng(0)
    buffer, flag = np.empty(300, np.uint8), np.zeros(1, np.uint8)
    for _ in range(20):
        sizes = random.choice((0, 1, 3, 50, 400, 2000), 40)
        feed = b"".join(int(size).to_bytes(4, "little") + random.bytes(size) for size in sizes)
        cuts = sorted(random.integers(1, len(feed), 60).tolist())
        kernel = lambda source, sink: kernels.pass_messages(source, sink, buffer, flag)  # noqa: E731
        assert run(feed, cuts, kernel) == (0, feed)
    flag[0] = 1
    count, out = run(feed, [], kernel)
    assert bytes(buffer[:count]) == feed[:count]
    assert out == b""
