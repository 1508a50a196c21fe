"""Copying without the interpreter: what goes through, where it stops, and wherever the stream is cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgpack
import numpy as np

from neuralsim.lens import relay_kernels as kernels
from neuralsim.lens.answers import Answers

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


def test_answers_are_passed_on_until_one_is_noted() -> None:
    buffer, flag, state = np.empty(1 << 20, np.uint8), np.zeros(1, np.uint8), np.zeros(2, np.int64)
    feed = b"".join(msgpack.packb([1, k, None, value]) for k, value in enumerate(VALUES))
    kernel = lambda source, sink: kernels.pass_answers(source, sink, buffer, flag, state)  # noqa: E731
    assert run(feed, [], kernel) == ((0, 0), feed)
    assert not state.any()
    flag[0] = 1
    (count, passed), out = run(feed, [], kernel)
    assert passed == 0
    assert bytes(buffer[:count]) == feed[:count]
    assert out == b""


def test_an_answer_that_has_begun_is_passed_on_to_its_end() -> None:
    """Wherever it was cut: what is noted after that cannot be for it."""
    small = np.empty(64, np.uint8)
    first, second = (
        msgpack.packb([1, 500, None, ["x" * 300, [1] * 16, 1 << 40]]),
        msgpack.packb([1, 501, None, "noted"]),
    )
    for cut in (1, 3, 4, 7, 8, 100, len(first) - 1):
        flag, state = np.zeros(1, np.uint8), np.zeros(2, np.int64)
        (source, server), (sink, client) = socket.socketpair(), socket.socketpair()
        with ThreadPoolExecutor(1) as passing, source, server, sink, client:
            result = passing.submit(kernels.pass_answers, source.fileno(), sink.fileno(), small, flag, state)
            server.sendall(first[:cut])
            received = client.recv(cut, socket.MSG_WAITALL)
            flag[0] = 1
            server.sendall(first[cut:] + second)
            received += client.recv(len(first) - cut, socket.MSG_WAITALL)
            count, passed = result.result(10.0)
            assert received == first
            assert bytes(small[passed:count]) == second[: count - passed]
            assert not state.any()


def test_noted_answers_come_whole_and_all_others_as_they_are_cut() -> None:
    random, noted = np.random.default_rng(0), {3, 4, 300, 70_000}
    numbers = [0, 3, 1, 300, 301, 4, 70_000, 1 << 33, *range(5, 29)]
    messages = [msgpack.packb([1, number, None, value]) for number, value in zip(numbers, VALUES, strict=True)]
    feed = b"".join((*messages, msgpack.packb("no answer"), messages[1]))
    for size in (1, 7, 1000, 1 << 20):
        answers, whole, out = Answers(noted), [], bytearray()
        while len(feed) - len(out) > 0:
            chunk = memoryview(feed)[len(out) + answers_held(answers) :][: int(random.integers(1, size + 1))]
            for part, is_noted in answers.feed(chunk):
                out += part
                if is_noted:
                    whole.append(bytes(part))
        assert out == feed
        assert whole == [messages[1], messages[3], messages[5], messages[6], messages[1]]
        assert answers.is_between


def answers_held(answers: Answers) -> int:
    """Return how many bytes have come and were not handed out."""
    collected = answers._collected if answers.state.any() else None
    return len(answers._cut) + len(collected or b"")


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
